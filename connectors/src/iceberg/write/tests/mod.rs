//! Writers against real files in a temporary folder.

mod fixture;
mod metrics;
mod partitions;
mod rows;
mod whole;
