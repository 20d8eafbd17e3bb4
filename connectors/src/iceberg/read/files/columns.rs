//! The columns of a Parquet file by field id, at any depth: the ids that are in the file, or those that the table's name mapping gives.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use iceberg::spec::{MappedField, NameMapping};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::iceberg::read::need::parts_of;
use crate::iceberg::types::field_id;

/// A column of a file, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::iceberg::read) struct FileColumn {
    /// Its id; elements, keys and values may lack one.
    pub(in crate::iceberg::read) id: Option<i32>,
    pub(in crate::iceberg::read) name: String,
    pub(in crate::iceberg::read) data_type: DataType,
    /// Numbers of its leaves, in the file's order.
    pub(in crate::iceberg::read) leaves: Range<usize>,
    pub(in crate::iceberg::read) parts: Vec<FileColumn>,
}

impl FileColumn {
    /// The part with that id.
    pub(in crate::iceberg::read) fn part(&self, id: i32) -> Option<&Self> {
        self.parts.iter().find(|part| part.id == Some(id))
    }

    /// Whether it has no parts.
    pub(in crate::iceberg::read) fn is_leaf(&self) -> bool {
        !matches!(self.data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..))
    }

    /// All leaves in it.
    pub(in crate::iceberg::read) fn all_leaves(&self) -> Vec<&Self> {
        if self.is_leaf() { vec![self] } else { self.parts.iter().flat_map(Self::all_leaves).collect() }
    }
}

/// A file's metadata as its reader takes it, and all its columns as one row.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) struct FileColumns {
    pub(in crate::iceberg::read) metadata: ArrowReaderMetadata,
    pub(in crate::iceberg::read) row: Arc<FileColumn>,
}

/// How columns of a file without ids find theirs.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) enum Naming {
    /// By the table's property `schema.name-mapping.default`.
    Mapped(Arc<NameMapping>),
    /// By the names that the table's columns (which carry ids) have now.
    Current(Fields),
}

impl FileColumns {
    /// The columns of a file with this footer. The Arrow schema that a writer may have left in it is not looked at: it says which types the
    /// writer had in memory (large strings, dictionaries), and ours are the table's.
    pub(in crate::iceberg::read) fn try_new(footer: &Arc<ParquetMetaData>, naming: &Naming) -> Result<Self, ParquetError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let mut metadata = ArrowReaderMetadata::try_new(Arc::clone(footer), options.clone())?;
        let leaves = metadata.parquet_schema().columns();
        if leaves.iter().any(|leaf| leaf.physical_type() == PhysicalType::INT96) {
            // In nanoseconds, as INT96 is read by default, years after 2262 have no place.
            let mut next = 0;
            let is_int96 = |leaf: usize| leaves.get(leaf).is_some_and(|leaf| leaf.physical_type() == PhysicalType::INT96);
            let fields: Fields = metadata.schema().fields().iter().map(|field| in_micros(field, &mut next, &is_int96)).collect();
            let schema = Arc::new(Schema::new_with_metadata(fields, metadata.schema().metadata().clone()));
            metadata = ArrowReaderMetadata::try_new(Arc::clone(footer), options.with_schema(schema))?;
        }
        let fields = metadata.schema().fields();
        let mut next = 0;
        let mut parts: Vec<FileColumn> = fields.iter().map(|field| column(field, &mut next)).collect();
        if !parts.iter().any(has_id) {
            match naming {
                Naming::Mapped(mapping) => parts.iter_mut().for_each(|part| name_mapped(part, mapping.fields().iter())),
                Naming::Current(wanted) => parts.iter_mut().for_each(|part| name_current(part, wanted)),
            }
        }
        let row = FileColumn { id: None, name: String::new(), data_type: DataType::Struct(fields.clone()), leaves: 0..next, parts };
        Ok(Self { metadata, row: Arc::new(row) })
    }

    /// Bytes of a leaf in the file.
    pub(in crate::iceberg::read) fn size(&self, leaf: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups().iter();
        let bytes: i64 = groups.filter_map(|group| group.columns().get(leaf)).map(ColumnChunkMetaData::compressed_size).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn in_micros(field: &FieldRef, next: &mut usize, is_int96: &dyn Fn(usize) -> bool) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|part| in_micros(part, next, is_int96)).collect()),
        DataType::List(element) => DataType::List(in_micros(element, next, is_int96)),
        DataType::Map(entries, sorted) => DataType::Map(in_micros(entries, next, is_int96), *sorted),
        other => {
            let leaf = *next;
            *next += 1;
            if is_int96(leaf) { DataType::Timestamp(TimeUnit::Microsecond, None) } else { other.clone() }
        }
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn column(field: &FieldRef, next: &mut usize) -> FileColumn {
    let start = *next;
    let parts: Vec<FileColumn> = parts_of(field.data_type()).iter().map(|part| column(part, next)).collect();
    if parts.is_empty() {
        *next += 1;
    }
    FileColumn { id: field_id(field), name: field.name().clone(), data_type: field.data_type().clone(), leaves: start..*next, parts }
}

fn has_id(column: &FileColumn) -> bool {
    column.id.is_some() || column.parts.iter().any(has_id)
}

/// Elements, keys and values go by these names in name mappings, whatever the file calls them.
fn mapped_name(of: &DataType, index: usize, own: &str) -> String {
    match (of, index) {
        (DataType::List(_), _) => "element".to_owned(),
        (DataType::Map(..), 0) => "key".to_owned(),
        (DataType::Map(..), _) => "value".to_owned(),
        _ => own.to_owned(),
    }
}

fn name_mapped<'a>(column: &mut FileColumn, mapping: impl Iterator<Item = &'a MappedField> + Clone) {
    let Some(found) = mapping.clone().find(|mapped| mapped.names().contains(&column.name)) else { return };
    column.id = found.field_id();
    let of = column.data_type.clone();
    for (index, part) in column.parts.iter_mut().enumerate() {
        let own = std::mem::take(&mut part.name);
        part.name = mapped_name(&of, index, &own);
        name_mapped(part, found.fields().iter().map(AsRef::as_ref).collect::<Vec<_>>().into_iter());
        part.name = own;
    }
}

fn name_current(column: &mut FileColumn, wanted: &Fields) {
    let Some(found) = wanted.iter().find(|field| *field.name() == column.name) else { return };
    take_ids(column, found);
}

fn take_ids(column: &mut FileColumn, wanted: &Field) {
    column.id = field_id(wanted);
    match (&column.data_type, wanted.data_type()) {
        (DataType::Struct(_), DataType::Struct(fields)) => column.parts.iter_mut().for_each(|part| name_current(part, fields)),
        (DataType::List(_), DataType::List(_)) | (DataType::Map(..), DataType::Map(..)) => {
            column.parts.iter_mut().zip(parts_of(wanted.data_type())).for_each(|(part, wanted)| take_ids(part, wanted));
        }
        _ => {}
    }
}
