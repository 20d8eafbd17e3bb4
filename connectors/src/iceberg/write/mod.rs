//! Writing: from record batches to data files and their descriptions.

mod closing;
mod encoder;
mod encoding;
mod file;
mod grouped;
mod hash;
mod limits;
mod metrics;
mod options;
mod partitioned;
mod partitioning;
mod pieces;
mod plan;
mod runs;
mod sink;
mod upload;
mod whole;
mod writer;
mod written;

#[cfg(test)]
mod tests;

pub use options::WRITE_OPTIONS;
pub use sink::IcebergSink;

pub(super) use metrics::MetricsMode;
pub(super) use options::check_write_options;
pub(super) use upload::{file_system_error, store_error};
pub(super) use written::WrittenFile;
