//! Reading a snapshot in batch queries.

mod files;
mod open;
mod provider;
mod scan_exec;

pub use provider::{IcebergScan, READ_OPTIONS};
