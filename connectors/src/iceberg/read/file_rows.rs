//! All rows of one data file in their order, for a stream that counts them: no filters, no deletes.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use futures::StreamExt;
use futures::stream::BoxStream;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use weir_fs::FileSystems;

use super::columns::TableColumns;
use super::files::columns::FileColumns;
use super::files::recipe::RowMaker;
use super::files::{TableFiles, footer, leaves, recipe};
use super::need::Need;

/// A data file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::iceberg) struct FileToRead {
    pub(in crate::iceberg) path: String,
    pub(in crate::iceberg) bytes: u64,
    pub(in crate::iceberg) rows: u64,
}

/// What is read of every file.
#[derive(Debug, Clone)]
pub(in crate::iceberg) struct Wanted {
    /// The table's name.
    pub(in crate::iceberg) table: String,
    pub(in crate::iceberg) columns: TableColumns,
    pub(in crate::iceberg) batch_rows: usize,
}

/// Opens a file. Row counts alone need no columns: then batches of no columns come.
///
/// # Errors
/// A file that is missing, damaged, or lacks a column that allows no nulls; the message says which.
pub(in crate::iceberg) async fn open(
    file_systems: FileSystems,
    file: FileToRead,
    wanted: Arc<Wanted>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let files = TableFiles::new(&wanted.table, file_systems);
    let external = |error| DataFusionError::External(Box::new(error));
    let bytes = files.open(&file.path, file.bytes).map_err(external)?;
    let unreadable = |error| external(files.unreadable(&file.path, error));
    let footer = footer::load(&bytes, footer::UNKNOWN, false).await.map_err(unreadable)?;
    let TableColumns { schema, with_ids, naming, defaults } = &wanted.columns;
    let columns = FileColumns::try_new(&footer, naming).map_err(unreadable)?;
    let needs = vec![Need::Whole; with_ids.fields().len()];
    let chosen = leaves::choose(with_ids.fields(), &needs, &columns.row, &|leaf| columns.size(leaf));
    let of_file = recipe::Wanted { fields: with_ids.fields(), needs: &needs, schema };
    let missing = |id: i32| defaults.get(&id).cloned();
    let wrong = |what: String| external(files.wrong(&file.path, &what));
    let mut rows = RowMaker::try_new(of_file, &columns.row, &chosen, &missing).map_err(wrong)?;
    let mask = ProjectionMask::leaves(columns.metadata.parquet_schema(), chosen);
    let builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(bytes, columns.metadata).with_projection(mask).with_batch_size(wanted.batch_rows);
    let read = builder.build().map_err(unreadable)?;
    let batches = read.map(move |batch| {
        let batch = batch.map_err(|error| DataFusionError::External(Box::new(files.unreadable(&file.path, error))))?;
        rows.make(&batch).map_err(|error| DataFusionError::External(Box::new(files.wrong(&file.path, &error.to_string()))))
    });
    Ok(batches.boxed())
}
