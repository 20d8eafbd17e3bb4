//! Maps as lists of their entries: the same arrays under another type, which a form that has no maps can hold.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};

/// The type with lists of entries in the place of maps, at every depth.
pub(super) fn without_maps(data_type: &DataType) -> DataType {
    let of = |field: &FieldRef| Arc::new(Field::clone(field).with_data_type(without_maps(field.data_type())));
    match data_type {
        DataType::Map(entries, _) => DataType::List(of(entries)),
        DataType::List(item) => DataType::List(of(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        other => other.clone(),
    }
}

/// The column as one of `wanted`, which is its type or differs from it by [`without_maps`]; no value is copied.
pub(super) fn retyped(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    Ok(match wanted {
        DataType::Struct(fields) => {
            let (column, rows) = (column.as_struct(), column.len());
            let columns = column.columns().iter().zip(fields).map(|(column, field)| retyped(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, column.nulls().cloned(), rows)?)
        }
        DataType::List(item) => {
            let (offsets, values) = match column.as_map_opt() {
                Some(map) => (map.offsets().clone(), Arc::new(map.entries().clone()) as ArrayRef),
                None => (column.as_list::<i32>().offsets().clone(), Arc::clone(column.as_list::<i32>().values())),
            };
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, retyped(&values, item.data_type())?, column.nulls().cloned())?)
        }
        DataType::Map(entries, ordered) => {
            let list = column.as_list::<i32>();
            let values = retyped(list.values(), entries.data_type())?;
            Arc::new(MapArray::try_new(Arc::clone(entries), list.offsets().clone(), values.as_struct().clone(), list.nulls().cloned(), *ordered)?)
        }
        other => return Err(ArrowError::InvalidArgumentError(format!("{} is no {other} under another name", column.data_type()))),
    })
}
