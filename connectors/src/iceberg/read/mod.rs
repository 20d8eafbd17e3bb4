//! Reading a snapshot in batch queries.

mod files;
mod open;
mod provider;
mod scan_exec;

pub(in crate::iceberg) use files::FileToRead;
pub(in crate::iceberg) use open::{Wanted, open};
pub use provider::{IcebergScan, READ_OPTIONS};
