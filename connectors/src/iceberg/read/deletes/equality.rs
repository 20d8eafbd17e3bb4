//! Equality deletes: rows are gone whose values in some columns are those of a newer delete.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, make_array};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use iceberg::spec::{DataFileFormat, TableMetadata};
use tokio::sync::OnceCell;

use crate::error::ConnectorError;
use crate::iceberg::read::files::TableFiles;
use crate::iceberg::read::listed::ListedFile;
use crate::iceberg::read::need::Need;
use crate::iceberg::types::{field_id, file_schema, plain_schema};

/// The equality deletes of one partition, or of the whole table, that go by the same columns. Read once for all data files.
#[derive(Debug)]
pub(in crate::iceberg::read) struct EqualityGroup {
    pub(super) ids: Vec<i32>,
    pub(super) files: Vec<ListedFile>,
    pub(super) read: OnceCell<EqualityRows>,
}

/// The columns that deletes go by.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) struct KeyColumns {
    /// The columns that they are, or are in, with ids.
    pub(in crate::iceberg::read) fields: Fields,
    pub(in crate::iceberg::read) needs: Vec<Need>,
    /// The same columns without ids.
    pub(in crate::iceberg::read) schema: SchemaRef,
    /// Where in each column the key is.
    paths: Vec<Vec<usize>>,
}

/// Rows that are deleted, with the greatest sequence number under which they are.
#[derive(Debug)]
pub(in crate::iceberg::read) struct EqualityRows {
    converter: RowConverter,
    rows: HashMap<Box<[u8]>, i64>,
    /// Holds the memory of the rows until they go.
    _charged: MemoryReservation,
}

/// Bytes that a key takes besides its own: its place in the table, and the allocator's share.
const KEY_OVERHEAD: usize = 56;

impl KeyColumns {
    /// The columns with these ids, from the newest schema that has them.
    fn find(ids: &[i32], metadata: &TableMetadata) -> Result<Self, String> {
        let mut schemas = vec![metadata.current_schema()];
        let mut others: Vec<_> = metadata.schemas_iter().collect();
        others.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
        schemas.extend(others);
        let (mut fields, mut needs, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            let schema = schemas.iter().find(|schema| schema.field_by_id(*id).is_some());
            let schema = schema.ok_or_else(|| format!("it deletes by a column with the id {id}, which no schema of the table has"))?;
            let arrow = file_schema(schema).map_err(|error| error.to_string())?;
            let found = arrow.fields().iter().find_map(|field| Some((Arc::clone(field), path_to(field, *id)?)));
            let (field, path) = found.ok_or_else(|| format!("it deletes by a column with the id {id}, which is inside a list or map"))?;
            needs.push(path.iter().rev().fold(Need::Whole, |inner, index| Need::part(*index, inner)));
            paths.push(path);
            fields.push(field);
        }
        let fields = Fields::from(fields);
        let schema = plain_schema(&arrow_schema::Schema::new(fields.clone()));
        Ok(Self { fields, needs, schema, paths })
    }

    /// The keys of rows in these columns.
    fn keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        batch.columns().iter().zip(&self.paths).map(|(column, path)| at(column, path)).collect()
    }
}

fn path_to(field: &FieldRef, id: i32) -> Option<Vec<usize>> {
    if field_id(field) == Some(id) {
        return Some(Vec::new());
    }
    let DataType::Struct(fields) = field.data_type() else { return None };
    let (index, mut path) = fields.iter().enumerate().find_map(|(index, part)| Some((index, path_to(part, id)?)))?;
    path.insert(0, index);
    Some(path)
}

/// A part of a struct, null where the struct is.
fn at(array: &ArrayRef, path: &[usize]) -> Result<ArrayRef, ArrowError> {
    let Some((index, deeper)) = path.split_first() else { return Ok(Arc::clone(array)) };
    let parent = array.as_struct();
    let child = parent.column(*index);
    let nulls = NullBuffer::union(parent.nulls(), child.nulls());
    at(&make_array(child.to_data().into_builder().nulls(nulls).build()?), deeper)
}

impl EqualityGroup {
    /// The columns that the group's deletes go by.
    pub(in crate::iceberg::read) fn columns(&self, metadata: &TableMetadata, files: &TableFiles) -> Result<KeyColumns, ConnectorError> {
        let path = self.files.first().map(ListedFile::path).unwrap_or_default();
        KeyColumns::find(&self.ids, metadata).map_err(|what| files.wrong(path, &what))
    }

    /// Reads the deleted rows, unless they have been read.
    pub(in crate::iceberg::read) async fn read(&self, columns: &KeyColumns, files: &TableFiles) -> Result<(), ConnectorError> {
        self.read.get_or_try_init(|| self.load(columns, files)).await.map(drop)
    }

    /// The deleted rows, if they have been read.
    pub(in crate::iceberg::read) fn read_rows(&self) -> Option<&EqualityRows> {
        self.read.get()
    }

    async fn load(&self, columns: &KeyColumns, files: &TableFiles) -> Result<EqualityRows, ConnectorError> {
        let types = columns.schema.fields().iter().zip(&columns.paths).map(|(field, path)| SortField::new(type_at(field.data_type(), path)));
        let failed = |path: &str, error: &ArrowError| files.wrong(path, &error.to_string());
        let first = self.files.first().map(ListedFile::path).unwrap_or_default();
        let converter = RowConverter::new(types.collect()).map_err(|error| failed(first, &error))?;
        let charged = files.charge("equality deletes");
        let mut rows: HashMap<Box<[u8]>, i64> = HashMap::new();
        for file in &self.files {
            let (path, format, sequence) = (file.path(), file.format(), file.sequence());
            if format != DataFileFormat::Parquet {
                return Err(files.refused(path, &format!("equality deletes in {format} are not read, only those in Parquet")));
            }
            for batch in files.read_all(file, &columns.fields, &columns.needs).await? {
                let keys = columns.keys(&batch).and_then(|keys| converter.convert_columns(&keys)).map_err(|error| failed(path, &error))?;
                let before = rows.len();
                let mut bytes = 0;
                for key in &keys {
                    let newest = rows.entry(key.as_ref().into()).or_insert(sequence);
                    *newest = (*newest).max(sequence);
                    bytes += key.as_ref().len();
                }
                let new = rows.len() - before;
                // Keys of a batch that were there before take nothing.
                let bytes = (bytes / keys.num_rows().max(1) + KEY_OVERHEAD) * new;
                charged.try_grow(bytes).map_err(|error| self.too_large(path, rows.len(), error, files))?;
            }
        }
        Ok(EqualityRows { converter, rows, _charged: charged })
    }
}

impl EqualityGroup {
    fn too_large(&self, path: &str, keys: usize, error: DataFusionError, files: &TableFiles) -> ConnectorError {
        let what = format!(
            "its equality deletes, {} files of them, do not fit into memory: after {keys} keys {}. Or have the table compacted, which applies the \
             deletes and takes them away",
            self.files.len(),
            error.message()
        );
        files.refused(path, &what).with_source(error)
    }
}

fn type_at(data_type: &DataType, path: &[usize]) -> DataType {
    match (data_type, path.split_first()) {
        (DataType::Struct(fields), Some((index, deeper))) => fields.get(*index).map_or(DataType::Null, |field| type_at(field.data_type(), deeper)),
        (other, _) => other.clone(),
    }
}

impl EqualityRows {
    /// Which rows of a file with that sequence number stay; `batch` has the key columns of these rows.
    pub(in crate::iceberg::read) fn kept(&self, columns: &KeyColumns, batch: &RecordBatch, sequence: i64) -> Result<BooleanArray, ArrowError> {
        let keys = self.converter.convert_columns(&columns.keys(batch)?)?;
        Ok(keys.iter().map(|key| Some(self.rows.get(key.as_ref()).is_none_or(|deleted| *deleted <= sequence))).collect())
    }
}
