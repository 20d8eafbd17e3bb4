//! The cast of rows, arrays and maps as Flink does it: fields by position, whatever they are called.
//!
//! DataFusion casts rows by name and fills in NULL for names it does not find. Names, nullability and metadata inside a type (the field ids
//! of Iceberg) are changed without copying data; only leaves of another type are converted.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `value` as `target`, fields by position.
pub(crate) fn nested_cast(value: Expr, target: &DataType) -> DataFusionResult<Expr> {
    // The target type travels as a NULL of that type, so that the call can be sent to another process.
    let like = Expr::Literal(ScalarValue::try_new_null(target)?, None);
    Ok(function().call(vec![value, like]))
}

/// The function, for the session.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(NestedCast { signature: Signature::any(2, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NestedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NestedCast {
    fn name(&self) -> &'static str {
        "weir_nested_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        arguments.get(1).cloned().map_or_else(|| internal_err!("two arguments are needed"), Ok)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        match args.arg_fields {
            [value, like] => Ok(Arc::new(Field::new(self.name(), like.data_type().clone(), value.is_nullable()))),
            _ => internal_err!("two arguments are needed"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [value, _] = args.args.as_slice() else { return internal_err!("two arguments are needed") };
        let array = value.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(convert(&array, args.return_field.data_type())?))
    }
}

fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            let rows = array.as_struct();
            let children: Vec<ArrayRef> =
                rows.columns().iter().zip(to).map(|(child, field)| convert(child, field.data_type())).collect::<Result<_, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(to.clone(), children, rows.nulls().cloned(), rows.len())?))
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), field.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(field, sorted)) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = convert(&entries, field.data_type())?;
            let entries = entries.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(field), map.offsets().clone(), entries, map.nulls().cloned(), *sorted)?))
        }
        _ => cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() }),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{Int32Array, Int64Array, StringArray};
    use arrow_schema::Fields;

    use super::*;

    fn row(fields: Vec<(&str, DataType)>) -> DataType {
        DataType::Struct(Fields::from(fields.into_iter().map(|(name, ty)| Field::new(name, ty, true)).collect::<Vec<_>>()))
    }

    #[test]
    fn fields_of_a_row_are_matched_by_position() {
        let from = StructArray::from(vec![
            (Arc::new(Field::new("c0", DataType::Int32, true)), Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
            (Arc::new(Field::new("c1", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ]);
        let target = row(vec![("id", DataType::Int64), ("name", DataType::Utf8)]);
        let out = convert(&(Arc::new(from) as ArrayRef), &target).expect("converted");
        assert_eq!(out.data_type(), &target);
        let out = out.as_struct();
        assert_eq!(out.column(0).as_primitive::<arrow_array::types::Int64Type>(), &Int64Array::from(vec![1, 2]));
    }

    #[test]
    fn arrays_change_their_element_field_and_keep_their_values() {
        let mut list = ListBuilder::new(Int32Builder::new());
        list.append_value([Some(1), None]);
        list.append_null();
        let element = Field::new("element", DataType::Int32, true).with_metadata([("PARQUET:field_id".to_owned(), "7".to_owned())].into());
        let target = DataType::List(Arc::new(element));
        let out = convert(&(Arc::new(list.finish()) as ArrayRef), &target).expect("converted");
        assert_eq!(out.data_type(), &target);
        assert_eq!((out.len(), out.null_count(), out.as_list::<i32>().value(0).len()), (2, 1, 2));
    }

    #[test]
    fn a_null_where_the_target_allows_none_is_an_error() {
        let rows =
            StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Int32Array::from(vec![None, Some(1)])) as ArrayRef)]);
        let target = DataType::Struct(Fields::from(vec![Field::new("a", DataType::Int32, false)]));
        assert!(convert(&(Arc::new(rows) as ArrayRef), &target).is_err());
    }
}
