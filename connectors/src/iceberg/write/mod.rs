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
mod rewriter;
mod runs;
mod sink;
mod upload;
mod whole;
mod writer;
mod written;

#[cfg(test)]
mod tests;

pub use options::WRITE_OPTIONS;
pub use rewriter::{PartitionPlace, Rewriter};
pub use sink::IcebergSink;
pub use upload::{Upload, file_system_error, store_error};

pub(super) use metrics::MetricsMode;
pub(super) use options::check_write_options;
pub(super) use written::WrittenFile;
