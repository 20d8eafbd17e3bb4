//! Reading tables in batch queries: one snapshot, whatever the history of the table.
//!
//! [`IcebergScan`] gives DataFusion a provider. Planning a query goes from [`snapshot`] (which one) over [`planning`] (which files, by
//! manifests, partition values and metrics; [`listed`] is what manifests become, [`cache`] keeps it) to [`splits`] (who reads what). [`scan_exec`] is the one leaf of the plan; [`open`] reads a split:
//! [`files`] finds columns by field id and reads leaves, [`deletes`] takes rows away, [`condition`] says what need not be read at all.
//! [`NestedPruning`] tells the leaf which parts of its columns the plan looks at. [`FileFilter`] leaves out files as planning would, for those
//! who read no rows.

mod between;
mod cache;
mod columns;
mod condition;
mod condition_of;
mod deletes;
mod facts;
mod file_filter;
mod file_rows;
mod files;
mod listed;
mod need;
mod open;
mod options;
mod order;
mod past;
mod planning;
mod provider;
mod pruning_rule;
mod scan_exec;
mod snapshot;
mod snapshot_rows;
mod splits;
mod statistics;
#[cfg(test)]
mod tests;
mod transforms;
mod values;
mod want;

pub use cache::MetadataCache;
pub(in crate::iceberg) use columns::TableColumns;
pub(in crate::iceberg) use facts::PartitionConstants;
pub use file_filter::FileFilter;
pub(in crate::iceberg) use file_rows::{FileRows, FileToRead, GroupSize, Wanted, row_groups};
pub use options::{READ_OPTIONS, pins_version, row_limit};
pub(in crate::iceberg) use options::{SPLIT_SIZE, pass_over_idle, read_options};
pub use past::past_column;
pub use provider::IcebergScan;
pub use pruning_rule::{NestedPruning, physical_rules};
pub(in crate::iceberg) use snapshot::Chosen;
pub use snapshot_rows::SnapshotRows;
pub(in crate::iceberg) use snapshot_rows::read_error;
