//! One file as a stream of batches in the table's columns: columns are found by field id, so that renamed, moved, added and promoted ones
//! come out right.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema as ArrowSchema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use weir_fs::FileSystems;

use super::files::FileToRead;
use crate::iceberg::types::{Matching, conform_batch, field_id};

/// What is read of every file of a scan.
#[derive(Debug, Clone)]
pub(in crate::iceberg) struct Wanted {
    /// The columns to give.
    pub(in crate::iceberg) schema: SchemaRef,
    /// The same with field ids.
    pub(in crate::iceberg) with_ids: SchemaRef,
    pub(in crate::iceberg) batch_rows: usize,
    pub(in crate::iceberg) limit: Option<usize>,
}

/// Bytes at the end of a file that are fetched with its footer.
const FOOTER_HINT: usize = 64 << 10;

/// Opens a file. Row counts alone need no columns: then batches of no columns come.
pub(in crate::iceberg) async fn open(
    file_systems: FileSystems,
    file: FileToRead,
    wanted: Arc<Wanted>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let location = file_systems.resolve(&file.path).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let reader = ParquetObjectReader::new(location.store, location.path).with_file_size(file.bytes).with_footer_size_hint(FOOTER_HINT);
    let named = move |error: parquet::errors::ParquetError| DataFusionError::Context(format!("file `{}`", file.path), Box::new(error.into()));
    // The types that an Arrow schema in the footer asks for are the writer's wishes; ours are the table's.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, options).await.map_err(&named)?;
    let matching = if has_ids(builder.schema().fields()) { Matching::Id } else { Matching::Name };
    let roots: Vec<usize> =
        wanted.with_ids.fields().iter().enumerate().filter_map(|(index, field)| matching.find(builder.schema().fields(), field, index)).collect();
    check_required(&wanted.with_ids, builder.schema(), matching).map_err(|error| named(error.into()))?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut builder = builder.with_projection(mask).with_batch_size(wanted.batch_rows);
    if let Some(limit) = wanted.limit {
        builder = builder.with_limit(limit);
    }
    let batches = builder.build().map_err(&named)?.map_err(named);
    let aligned = batches.map(move |batch| conform_batch(&batch?, &wanted.with_ids, &wanted.schema, matching).map_err(DataFusionError::from));
    Ok(aligned.boxed())
}

fn has_ids(fields: &Fields) -> bool {
    fields.iter().any(|field| field_id(field).is_some())
}

/// A column that allows no nulls must be in the file.
fn check_required(wanted: &ArrowSchema, file: &ArrowSchema, matching: Matching) -> Result<(), ArrowError> {
    let missing = |(index, field): (usize, &Arc<Field>)| !field.is_nullable() && matching.find(file.fields(), field, index).is_none();
    match wanted.fields().iter().enumerate().find(|(index, field)| missing((*index, field))) {
        Some((_, field)) if !matches!(field.data_type(), DataType::Null) => {
            Err(ArrowError::SchemaError(format!("column `{}` allows no nulls and is not in the file", field.name())))
        }
        _ => Ok(()),
    }
}
