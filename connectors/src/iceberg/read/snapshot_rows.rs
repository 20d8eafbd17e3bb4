//! The rows of single files of a snapshot, without those that its deletes hide: for writing them anew.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::error::DataFusionError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::Snapshot;
use weir_catalog::lake::LakeTable;
use weir_fs::FileSystems;

use super::columns::TableColumns;
use super::condition_of;
use super::facts::{Specs, leaf_types};
use super::files::TableFiles;
use super::need::Need;
use super::open::{Counts, Reading};
use super::planning::{FileTask, Planning};
use super::splits::Split;
use crate::error::ConnectorError;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;

/// The files of a snapshot, in the columns that the table has now.
#[derive(Debug)]
pub struct SnapshotRows {
    reading: Arc<Reading>,
    tasks: HashMap<String, Arc<FileTask>>,
}

impl SnapshotRows {
    /// Reads the manifests of `snapshot`. Messages call the table `name`.
    ///
    /// # Errors
    /// Metadata or types that cannot be read, files of a kind that is not read.
    pub async fn plan(name: &str, table: &LakeTable, snapshot: &Snapshot, file_systems: &FileSystems) -> Result<Self, ConnectorError> {
        let columns = TableColumns::of(name, &table.metadata, table.metadata.current_schema())?;
        Self::of_columns(name, table, snapshot, file_systems, columns).await
    }

    /// The same with only some of the columns.
    pub(in crate::iceberg) async fn of_columns(
        name: &str,
        table: &LakeTable,
        snapshot: &Snapshot,
        file_systems: &FileSystems,
        columns: TableColumns,
    ) -> Result<Self, ConnectorError> {
        let files = TableFiles::new(name, file_systems.clone());
        let types = Arc::new(leaf_types(columns.with_ids.fields()));
        let specs = Arc::new(Specs::of(&table.metadata, &types));
        let condition = condition_of::all(&[], columns.with_ids.fields());
        // No file is left out for what its columns hold.
        let (appended, with_metrics) = (None, false);
        let planning = Planning { table, files: &files, snapshot, appended, condition: &condition, specs: &specs, types: &types, with_metrics };
        let planned = planning.run().await?;
        let tasks = planned.tasks.into_iter().map(|task| (task.file.path().to_owned(), task)).collect();
        let reading = Reading {
            table: table.clone(),
            files,
            specs,
            types,
            needs: vec![Need::Whole; columns.schema.fields().len()],
            columns,
            filters: Vec::new(),
            order: None,
            batch_rows: BATCH_ROWS,
            counts: Counts::default(),
        };
        Ok(Self { reading: Arc::new(reading), tasks })
    }

    /// What the table's metadata calls the files.
    pub(in crate::iceberg) fn paths(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }

    /// The columns of the rows.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.reading.columns.schema)
    }

    /// The rows of a file, which the table's metadata calls `path`, in their order.
    ///
    /// # Errors
    /// A file that the snapshot does not have, or that cannot be read.
    pub async fn of(&self, path: &str) -> Result<BoxStream<'static, Result<RecordBatch, ConnectorError>>, ConnectorError> {
        let missing = || ConnectorError::internal(format!("file `{path}` is not in the snapshot that was read"));
        let task = Arc::clone(self.tasks.get(path).ok_or_else(missing)?);
        let whole = Split { task, range: 0..u64::MAX, shared: None };
        Ok(Arc::clone(&self.reading).open(whole).await.map_err(read_error)?.map_err(read_error).boxed())
    }
}

/// The reader's own error, out of DataFusion's.
pub(in crate::iceberg) fn read_error(error: DataFusionError) -> ConnectorError {
    match error {
        DataFusionError::External(source) => match source.downcast::<ConnectorError>() {
            Ok(error) => *error,
            Err(source) => ConnectorError::internal(source.to_string()),
        },
        other => ConnectorError::internal(other.to_string()),
    }
}
