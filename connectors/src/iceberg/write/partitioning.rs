//! Partition values of whole arrays, and the numbering of the partitions that one writer meets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow_cast::cast;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::{Datum, Literal, PartitionSpec, PrimitiveType, Schema, Struct, Transform, Type};
use iceberg::transform::{BoxedTransformFunction, create_transform_function};

use crate::error::ConnectorError;
use crate::iceberg::types::field_id;

/// The values of one partition, and the folder its files go to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PartitionTuple {
    /// One value for each partition field.
    pub(super) values: Vec<Option<Datum>>,
    /// `event_type=click/ts_day=2026-11-21/`, or nothing.
    pub(super) folder: String,
}

impl PartitionTuple {
    /// The tuple of a table without partitions.
    pub(super) fn none() -> Self {
        Self { values: Vec::new(), folder: String::new() }
    }

    /// The tuple as Iceberg's struct.
    pub(super) fn to_struct(&self) -> Struct {
        Struct::from_iter(self.values.iter().map(|value| value.clone().map(Literal::from)))
    }
}

#[derive(Debug)]
struct PartitionColumn {
    name: String,
    /// Index of the column, then of the child in each struct.
    path: Vec<usize>,
    transform: Transform,
    function: BoxedTransformFunction,
    /// Type of the partition value.
    primitive: PrimitiveType,
}

/// The partition columns of a table.
#[derive(Debug)]
pub(super) struct Partitioning {
    columns: Vec<PartitionColumn>,
}

impl Partitioning {
    /// # Errors
    /// A transform that cannot be computed on its source column.
    pub(super) fn try_new(spec: &PartitionSpec, schema: &Schema, file_schema: &ArrowSchema) -> Result<Self, ConnectorError> {
        let wrong = |name: &str, why: &dyn std::fmt::Display| ConnectorError::user(format!("partition field `{name}` cannot be written: {why}"));
        let types = spec.partition_type(schema).map_err(|error| wrong("*", &error))?;
        let mut columns = Vec::with_capacity(spec.fields().len());
        for (field, partition) in spec.fields().iter().zip(types.fields()) {
            let name = field.name.as_str();
            let path = path_of(file_schema, field.source_id).ok_or_else(|| wrong(name, &"its source is not a column or a field of a row"))?;
            let function = create_transform_function(&field.transform).map_err(|error| wrong(name, &error))?;
            let Type::Primitive(primitive) = partition.field_type.as_ref() else {
                return Err(wrong(name, &"its values are not primitive"));
            };
            let column = PartitionColumn { name: name.to_owned(), path, transform: field.transform, function, primitive: primitive.clone() };
            let source = type_at(file_schema, &column.path).ok_or_else(|| wrong(name, &"its source has no type"))?;
            column.transform(&new_empty_array(&source)).map_err(|error| wrong(name, &error))?;
            columns.push(column);
        }
        Ok(Self { columns })
    }

    /// One array of partition values for each partition field.
    ///
    /// # Errors
    /// A batch that does not fit the table.
    pub(super) fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let value = |column: &PartitionColumn| {
            let source = column_at(batch, &column.path).ok_or_else(|| ArrowError::SchemaError(format!("no source of `{}`", column.name)))?;
            column.transform(&source)
        };
        self.columns.iter().map(value).collect()
    }

    /// The tuple at `row` of what [`Self::values`] gave.
    fn tuple(&self, values: &[ArrayRef], row: usize) -> Result<PartitionTuple, ArrowError> {
        let mut tuple = PartitionTuple::none();
        for (column, array) in self.columns.iter().zip(values) {
            let datum = match single_value(array, row)? {
                Some(bytes) => Some(Datum::try_from_bytes(&bytes, column.primitive.clone()).map_err(|e| ArrowError::ExternalError(e.into()))?),
                None => None,
            };
            let literal = datum.clone().map(Literal::from);
            let text = column.transform.to_human_string(&Type::Primitive(column.primitive.clone()), literal.as_ref());
            tuple.folder.push_str(&path_part(&column.name));
            tuple.folder.push('=');
            tuple.folder.push_str(&path_part(&text));
            tuple.folder.push('/');
            tuple.values.push(datum);
        }
        Ok(tuple)
    }
}

impl PartitionColumn {
    fn transform(&self, source: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        // Iceberg's functions know one binary type.
        let source = if source.data_type() == &DataType::Binary { cast(source, &DataType::LargeBinary)? } else { Arc::clone(source) };
        self.function.transform(source).map_err(|error| ArrowError::ExternalError(error.into()))
    }
}

/// Numbers partitions in the order of their first row.
#[derive(Debug)]
pub(super) struct Grouper {
    partitioning: Arc<Partitioning>,
    converter: Option<RowConverter>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// The partitions by number.
    pub(super) tuples: Vec<PartitionTuple>,
}

impl Grouper {
    pub(super) fn new(partitioning: Arc<Partitioning>) -> Self {
        Self { partitioning, converter: None, numbers: HashMap::new(), tuples: Vec::new() }
    }

    /// The partition number of each row.
    ///
    /// # Errors
    /// A batch that does not fit the table.
    pub(super) fn number(&mut self, batch: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
        let values = self.partitioning.values(batch)?;
        if self.converter.is_none() {
            let fields = values.iter().map(|array| SortField::new(array.data_type().clone())).collect();
            self.converter = Some(RowConverter::new(fields)?);
        }
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let keys = converter.convert_columns(&values)?;
        let mut numbers = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(usize, u32)> = None;
        for row in 0..batch.num_rows() {
            let key = keys.row(row);
            let number = match last {
                Some((before, number)) if keys.row(before) == key => number,
                _ => match self.numbers.get(key.as_ref()) {
                    Some(number) => *number,
                    None => self.add(key.as_ref(), &values, row)?,
                },
            };
            last = Some((row, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn add(&mut self, key: &[u8], values: &[ArrayRef], row: usize) -> Result<u32, ArrowError> {
        let number = u32::try_from(self.tuples.len()).map_err(|error| ArrowError::ComputeError(format!("too many partitions: {error}")))?;
        self.tuples.push(self.partitioning.tuple(values, row)?);
        self.numbers.insert(key.into(), number);
        Ok(number)
    }
}

/// The column or struct field with an id.
pub(super) fn path_of(schema: &ArrowSchema, id: i32) -> Option<Vec<usize>> {
    fn search(fields: &arrow_schema::Fields, id: i32) -> Option<Vec<usize>> {
        for (index, field) in fields.iter().enumerate() {
            if field_id(field) == Some(id) {
                return Some(vec![index]);
            }
            if let DataType::Struct(children) = field.data_type()
                && let Some(mut path) = search(children, id)
            {
                path.insert(0, index);
                return Some(path);
            }
        }
        None
    }
    search(schema.fields(), id)
}

fn type_at(schema: &ArrowSchema, path: &[usize]) -> Option<DataType> {
    let (first, rest) = path.split_first()?;
    let mut data_type = schema.fields().get(*first)?.data_type();
    for index in rest {
        let DataType::Struct(children) = data_type else { return None };
        data_type = children.get(*index)?.data_type();
    }
    Some(data_type.clone())
}

/// The column at a path; a field of a struct that is null is null.
pub(super) fn column_at(batch: &RecordBatch, path: &[usize]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut column = Arc::clone(batch.columns().get(*first)?);
    for index in rest {
        let parent = column.as_struct_opt()?;
        let child = Arc::clone(parent.columns().get(*index)?);
        let nulls = arrow_buffer::NullBuffer::union(parent.nulls(), child.nulls());
        column = arrow_array::make_array(child.to_data().into_builder().nulls(nulls).build().ok()?);
    }
    Some(column)
}

/// Iceberg's single-value serialisation of one value.
fn single_value(array: &ArrayRef, row: usize) -> Result<Option<Vec<u8>>, ArrowError> {
    if array.is_null(row) {
        return Ok(None);
    }
    let bytes = match array.data_type() {
        DataType::Boolean => vec![u8::from(array.as_boolean().value(row))],
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_le_bytes().to_vec(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_le_bytes().to_vec(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_le_bytes().to_vec(),
        DataType::Time64(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(row).to_le_bytes().to_vec(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes().to_vec(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array.as_primitive::<TimestampNanosecondType>().value(row).to_le_bytes().to_vec(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_le_bytes().to_vec(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_le_bytes().to_vec(),
        DataType::Decimal128(_, _) => array.as_primitive::<Decimal128Type>().value(row).to_be_bytes().to_vec(),
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        DataType::Binary => array.as_binary::<i32>().value(row).to_vec(),
        DataType::LargeBinary => array.as_binary::<i64>().value(row).to_vec(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row).to_vec(),
        other => return Err(ArrowError::NotYetImplemented(format!("partition values of type {other}"))),
    };
    Ok(Some(bytes))
}

const LONGEST_PART: usize = 180;

/// `text` as a part of a path: letters, digits, `-`, `_` and `.` stay, the rest becomes `%XX`; a long text is cut.
pub(super) fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if part.len() >= LONGEST_PART {
            break;
        }
        let inner_dot = byte == b'.' && !part.is_empty();
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || inner_dot {
            part.push(char::from(byte));
        } else if write!(part, "%{byte:02X}").is_err() {
            break;
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_are_safe_on_every_file_system() {
        assert_eq!(path_part("r/4 é.x"), "r%2F4%20%C3%A9.x");
        assert_eq!(path_part(".."), "%2E.");
        assert!(path_part(&"ü".repeat(500)).len() < 200);
    }
}
