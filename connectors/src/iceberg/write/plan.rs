//! What all writers of one sink share: the table's shape, the options and what has been learned.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_catalog::lake::LakeTable;
use weir_fs::FileSystems;

use super::encoding::LearnedEncodings;
use super::metrics::{LeafMetrics, leaf_metrics};
use super::options::{ParquetSettings, WriteOptions};
use super::partitioning::Partitioning;
use super::written::TableIds;
use crate::error::ConnectorError;
use crate::iceberg::leaves::leaves;
use crate::iceberg::types::{file_schema, plain_schema};

/// Shared, and unchanged after it was made, the learned encodings apart.
#[derive(Debug)]
pub(super) struct WritePlan {
    /// `catalog.database.table`, for messages.
    pub(super) table: String,
    pub(super) ids: TableIds,
    /// What writers take.
    pub(super) schema: SchemaRef,
    /// The same with field ids.
    pub(super) file_schema: SchemaRef,
    pub(super) leaves: Arc<[LeafMetrics]>,
    /// `None` for a table without partitions.
    pub(super) partitioning: Option<Arc<Partitioning>>,
    pub(super) parquet: ParquetSettings,
    pub(super) target_file_bytes: u64,
    pub(super) data_path: String,
    pub(super) file_systems: FileSystems,
    pub(super) learned: LearnedEncodings,
}

impl WritePlan {
    /// # Errors
    /// A table whose types or transforms cannot be written.
    pub(super) fn try_new(name: String, table: &LakeTable, file_systems: FileSystems, options: &WriteOptions) -> Result<Self, ConnectorError> {
        let metadata = &table.metadata;
        let schema = metadata.current_schema();
        let spec = metadata.default_partition_spec();
        let file_schema = file_schema(schema)?;
        let partitioning = match spec.is_unpartitioned() && spec.fields().is_empty() {
            true => None,
            false => Some(Arc::new(Partitioning::try_new(spec, schema, &file_schema)?)),
        };
        Ok(Self {
            table: name,
            ids: TableIds { schema: metadata.current_schema_id(), spec: spec.spec_id() },
            schema: plain_schema(&file_schema),
            leaves: leaf_metrics(&leaves(&file_schema), schema, &options.metrics).into(),
            file_schema,
            partitioning,
            parquet: options.parquet.clone(),
            target_file_bytes: options.target_file_bytes,
            // Checkpoints keep the names of data files, so these carry the alias; metadata gets the bound form when they are committed.
            // A path that no file system serves is refused when the first file is opened; a table that is only planned never gets there.
            data_path: file_systems.for_checkpoint(&options.data_path).unwrap_or_else(|_| options.data_path.clone()),
            file_systems,
            learned: LearnedEncodings::default(),
        })
    }
}
