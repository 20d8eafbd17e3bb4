//! Iceberg tables: the sink, its committer, and batch reads.
//!
//! [`IcebergSink`] writes Parquet files and describes them; [`IcebergCommitter`] hands the descriptions of an epoch to the table's
//! committer in `weir-catalog`; [`IcebergScan`] reads a snapshot into DataFusion, [`IcebergStream`] what commits add, [`IcebergDictionary`] all rows for
//! lookup joins.

mod committer;
mod dictionary;
mod leaves;
mod metadata_tables;
mod properties;
mod read;
mod replacing;
mod sort_order;
mod stream;
mod sums;
#[cfg(test)]
mod tests;
mod types;
mod upkeep;
mod with;
mod write;

pub use committer::{IcebergCommitter, catalog_error, delete_files};
pub use dictionary::IcebergDictionary;
pub use metadata_tables::{MetadataTable, MetadataTableError};
pub use read::{
    FileFilter, IcebergScan, MetadataCache, NestedPruning, READ_OPTIONS, SnapshotRows, past_column, physical_rules, pins_version, row_limit,
};
pub use replacing::{FILE_COLUMN, FoundFiles, Scope, is_partitioned_by};
pub use sort_order::{SortBy, SortColumn};
pub use stream::{IcebergStream, ROW_KIND, STREAM_OPTIONS, StreamError, is_streaming, tells_changes};
pub use sums::{ColumnSum, Sum, SumReader, Sums};
pub use upkeep::{ExpireOptions, LakeTarget, UPKEEP_OPTIONS, UpkeepOptions, is_of_upkeep, is_without_effect, upkeep_aliases, wrong_order_of_new};
pub use weir_catalog::properties::TABLE_PROPERTIES;
pub use with::{CONNECTOR_OPTIONS, TableLink, TableWith};
pub use write::{IcebergSink, PartitionPlace, Rewriter, Upload, WRITE_OPTIONS, file_system_error, store_error};
