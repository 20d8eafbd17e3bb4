//! Arrow types of Iceberg schemas, and bringing arrays into them.
//!
//! Two Arrow forms of one table schema are used: the plain one, which operators and users see, and the one for files, in which every
//! field carries its Iceberg id as `PARQUET:field_id`. Types are those of section 10 of the DDL contract.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef};
use iceberg::spec::Schema;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use weir_base::ErrorKind;

use crate::error::ConnectorError;

/// The Arrow schema of a table for its files: every field, nested ones too, carries its id.
pub(super) fn file_schema(schema: &Schema) -> Result<SchemaRef, ConnectorError> {
    let arrow = iceberg::arrow::schema_to_arrow_schema(schema)
        .map_err(|error| ConnectorError::new(ErrorKind::User, format!("table schema cannot be written: {error}")))?;
    let fields: Fields = arrow.fields().iter().map(|field| rebuild(field, true)).collect();
    Ok(Arc::new(ArrowSchema::new(fields)))
}

/// The Arrow schema of a table as everyone else sees it: no ids.
pub(super) fn plain_schema(file_schema: &ArrowSchema) -> SchemaRef {
    let fields: Fields = file_schema.fields().iter().map(|field| rebuild(field, false)).collect();
    Arc::new(ArrowSchema::new(fields))
}

fn rebuild(field: &FieldRef, keep_id: bool) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|child| rebuild(child, keep_id)).collect()),
        DataType::List(element) => DataType::List(rebuild(element, keep_id)),
        DataType::Map(entries, sorted) => DataType::Map(rebuild(entries, keep_id), *sorted),
        other => other.clone(),
    };
    let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY).filter(|_| keep_id);
    let metadata: HashMap<String, String> = id.map(|id| (PARQUET_FIELD_ID_META_KEY.to_owned(), id.clone())).into_iter().collect();
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
}

/// The Iceberg id of a field of a file schema.
pub(super) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok())
}

/// `array` as `target`: parts in their places, by position, and leaves cast.
///
/// # Errors
/// A type that cannot be cast, or a null where `target` allows none.
pub(super) fn conform(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(to)) => {
            let source = array.as_struct();
            let children = conform_children(source.columns(), to)?;
            Ok(Arc::new(StructArray::try_new_with_length(to.clone(), children, source.nulls().cloned(), source.len())?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let source = array.as_list::<i32>();
            let values = conform(source.values(), element.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), source.offsets().clone(), values, source.nulls().cloned())?))
        }
        (DataType::LargeList(_), DataType::List(element)) => {
            let source = array.as_list::<i64>();
            let values = conform(source.values(), element.data_type())?;
            let offsets: Result<Vec<i32>, ArrowError> = source.offsets().iter().map(|offset| small_offset(*offset)).collect();
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets?));
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, source.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => conform_map(array.as_map(), entries, *sorted),
        _ => arrow_cast::cast(array, target),
    }
}

fn small_offset(offset: i64) -> Result<i32, ArrowError> {
    i32::try_from(offset).map_err(|error| ArrowError::CastError(format!("a list of {offset} elements in one batch: {error}")))
}

fn conform_map(source: &MapArray, entries: &FieldRef, sorted: bool) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(to) = entries.data_type() else {
        return Err(ArrowError::SchemaError("a map without a struct of entries".to_owned()));
    };
    let [key, value] = to.as_ref() else {
        return Err(ArrowError::SchemaError("a map whose entries are not two".to_owned()));
    };
    let keys = conform(source.keys(), key.data_type())?;
    let values = conform(source.values(), value.data_type())?;
    let inner = StructArray::try_new(to.clone(), vec![keys, values], None)?;
    let map = MapArray::try_new(Arc::clone(entries), source.offsets().clone(), inner, source.nulls().cloned(), sorted)?;
    Ok(Arc::new(map))
}

fn conform_children(columns: &[ArrayRef], to: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
    if columns.len() != to.len() {
        return Err(ArrowError::SchemaError(format!("expected {} columns, got {}", to.len(), columns.len())));
    }
    columns.iter().zip(to).map(|(column, field)| conform(column, field.data_type())).collect()
}

/// `batch` with the columns of `target`, by position.
///
/// # Errors
/// As [`conform`], and a batch with another number of columns.
pub(super) fn conform_batch(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref().fields() == target.fields() {
        return Ok(batch.clone());
    }
    let columns = conform_children(batch.columns(), target.fields())?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::builder::{Int32Builder, MapBuilder, StringBuilder};
    use arrow_array::{Int64Array, LargeListArray};

    #[test]
    fn large_lists_and_maps_take_the_names_of_the_target() {
        let list: ArrayRef =
            Arc::new(LargeListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]));
        let element = Arc::new(Field::new("element", DataType::Int64, true));
        let got = conform(&list, &DataType::List(element)).expect("conforms");
        assert_eq!((got.len(), got.null_count(), got.as_list::<i32>().values().len()), (3, 1, 2));

        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(7);
        map.append(true).expect("entry");
        let map: ArrayRef = Arc::new(map.finish());
        let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
        let target = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false);
        let got = conform(&map, &target).expect("conforms");
        assert_eq!(got.data_type(), &target);
        assert_eq!(got.as_map().values().as_ref(), &Int64Array::from(vec![7]));
    }
}
