//! Arrow schemas to Iceberg schemas, by section 10 of the DDL contract.
//!
//! Iceberg has no integers below 32 bits: those are widened. Nanoseconds need format version 3. What Iceberg cannot store is an error that
//! names the column. The other direction is the iceberg crate's `schema_to_arrow_schema`.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type};

use crate::error::CatalogError;

/// The Iceberg schema of `columns`, with field ids from 1. Columns of `primary_key` become required identifier fields.
///
/// # Errors
/// A type that Iceberg cannot store; a key column that is missing, nested or of a floating type.
pub fn lake_schema(columns: &ArrowSchema, primary_key: &[String]) -> Result<Schema, CatalogError> {
    let mut ids = Ids(0);
    // Ids go level by level, as other engines assign them: first all columns, then what is in them.
    let top: Vec<i32> = columns.fields().iter().map(|_| ids.next()).collect();
    let mut fields: Vec<NestedFieldRef> = Vec::with_capacity(top.len());
    for (field, id) in columns.fields().iter().zip(&top) {
        let required = !field.is_nullable() || primary_key.contains(field.name());
        let field_type = lake_type(field.data_type(), field.name(), &mut ids)?;
        fields.push(Arc::new(NestedField::new(*id, field.name(), field_type, required)));
    }
    let keys = primary_key.iter().map(|key| key_id(key, &fields)).collect::<Result<Vec<_>, _>>()?;
    let schema = Schema::builder().with_fields(fields).with_identifier_field_ids(keys).build();
    schema.map_err(|error| CatalogError::user(format!("the columns make no Iceberg schema: {}", error.message())))
}

fn key_id(key: &str, fields: &[NestedFieldRef]) -> Result<i32, CatalogError> {
    let field = fields.iter().find(|field| field.name == key);
    let field = field.ok_or_else(|| CatalogError::user(format!("primary key column `{key}` does not exist")))?;
    match &*field.field_type {
        Type::Primitive(PrimitiveType::Float | PrimitiveType::Double) => {
            Err(CatalogError::user(format!("primary key column `{key}` has a floating type, which Iceberg does not allow in identifiers")))
        }
        Type::Primitive(_) => Ok(field.id),
        Type::Struct(_) | Type::List(_) | Type::Map(_) => {
            Err(CatalogError::user(format!("primary key column `{key}` is nested, which Iceberg does not allow in identifiers")))
        }
    }
}

struct Ids(i32);

impl Ids {
    fn next(&mut self) -> i32 {
        self.0 += 1;
        self.0
    }
}

fn lake_type(data_type: &DataType, path: &str, ids: &mut Ids) -> Result<Type, CatalogError> {
    match data_type {
        DataType::Struct(children) => {
            let own: Vec<i32> = children.iter().map(|_| ids.next()).collect();
            let mut fields: Vec<NestedFieldRef> = Vec::with_capacity(own.len());
            for (child, id) in children.iter().zip(own) {
                let child_type = lake_type(child.data_type(), &format!("{path}.{}", child.name()), ids)?;
                fields.push(Arc::new(NestedField::new(id, child.name(), child_type, !child.is_nullable())));
            }
            Ok(Type::Struct(StructType::new(fields)))
        }
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            let id = ids.next();
            let element_type = lake_type(element.data_type(), &format!("{path}.element"), ids)?;
            Ok(Type::List(ListType::new(Arc::new(NestedField::list_element(id, element_type, !element.is_nullable())))))
        }
        DataType::Map(entries, _) => map_type(entries, path, ids),
        primitive => primitive_type(primitive, path).map(Type::Primitive),
    }
}

fn map_type(entries: &Field, path: &str, ids: &mut Ids) -> Result<Type, CatalogError> {
    let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(path, entries.data_type())) };
    let [key, value] = &**pair else { return Err(unsupported(path, entries.data_type())) };
    let (key_id, value_id) = (ids.next(), ids.next());
    let key_type = lake_type(key.data_type(), &format!("{path}.key"), ids)?;
    let value_type = lake_type(value.data_type(), &format!("{path}.value"), ids)?;
    let key = NestedField::map_key_element(key_id, key_type);
    let value = NestedField::map_value_element(value_id, value_type, !value.is_nullable());
    Ok(Type::Map(MapType::new(Arc::new(key), Arc::new(value))))
}

fn primitive_type(data_type: &DataType, path: &str) -> Result<PrimitiveType, CatalogError> {
    Ok(match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal128(precision, scale) => {
            let scale = u32::try_from(*scale).map_err(|_negative| unsupported(path, data_type))?;
            PrimitiveType::Decimal { precision: u32::from(*precision), scale }
        }
        DataType::Date32 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond) => PrimitiveType::Time,
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => match zone {
            None => PrimitiveType::TimestampNs,
            Some(_) => PrimitiveType::TimestamptzNs,
        },
        DataType::Timestamp(_, zone) => match zone {
            None => PrimitiveType::Timestamp,
            Some(_) => PrimitiveType::Timestamptz,
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(length) => PrimitiveType::Fixed(u64::try_from(*length).map_err(|_negative| unsupported(path, data_type))?),
        _ => return Err(unsupported(path, data_type)),
    })
}

fn unsupported(path: &str, data_type: &DataType) -> CatalogError {
    CatalogError::user(format!("column `{path}` has type {data_type}, which an Iceberg table cannot store"))
}

/// The first column, in depth too, whose type needs format version 3.
pub(crate) fn needs_version_three(schema: &Schema) -> Option<&str> {
    let nanos = schema
        .field_id_to_fields()
        .values()
        .filter(|field| matches!(&*field.field_type, Type::Primitive(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs)));
    nanos.min_by_key(|field| field.id).and_then(|field| schema.name_by_field_id(field.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(fields: Vec<Field>) -> ArrowSchema {
        ArrowSchema::new(fields)
    }

    #[test]
    fn every_storable_type_has_its_iceberg_type() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (arrow, lake) in [
            (DataType::Int8, PrimitiveType::Int),
            (DataType::Int16, PrimitiveType::Int),
            (DataType::Int32, PrimitiveType::Int),
            (DataType::Int64, PrimitiveType::Long),
            (DataType::Decimal128(10, 2), PrimitiveType::Decimal { precision: 10, scale: 2 }),
            (DataType::Timestamp(TimeUnit::Millisecond, None), PrimitiveType::Timestamp),
            (micros(None), PrimitiveType::Timestamp),
            (micros(Some("UTC")), PrimitiveType::Timestamptz),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), PrimitiveType::TimestampNs),
            (DataType::Time64(TimeUnit::Microsecond), PrimitiveType::Time),
            (DataType::FixedSizeBinary(4), PrimitiveType::Fixed(4)),
            (DataType::Utf8, PrimitiveType::String),
        ] {
            let schema = lake_schema(&columns(vec![Field::new("a", arrow.clone(), true)]), &[]).expect("storable");
            assert_eq!(*schema.field_by_name("a").expect("there").field_type, Type::Primitive(lake), "{arrow}");
        }
    }

    #[test]
    fn nested_fields_get_ids_after_the_columns() {
        let inner = DataType::Struct(vec![Field::new("ip", DataType::Utf8, true), Field::new("n", DataType::Int16, false)].into());
        let list = DataType::List(Arc::new(Field::new("item", inner, true)));
        let schema =
            lake_schema(&columns(vec![Field::new("l", list, true), Field::new("id", DataType::Int64, true)]), &["id".to_owned()]).expect("ok");
        assert_eq!(schema.field_id_by_name("id"), Some(2));
        assert_eq!(schema.field_id_by_name("l.element.n"), Some(5));
        assert_eq!(schema.identifier_field_ids().collect::<Vec<_>>(), [2]);
        assert!(schema.field_by_name("id").expect("there").required);
    }

    #[test]
    fn what_cannot_be_stored_names_its_column() {
        let interval = DataType::Interval(arrow_schema::IntervalUnit::YearMonth);
        let nested = DataType::Struct(vec![Field::new("b", interval, true)].into());
        let error = lake_schema(&columns(vec![Field::new("a", nested, true)]), &[]).expect_err("interval");
        assert!(error.to_string().contains("`a.b`"), "{error}");
        let error = lake_schema(&columns(vec![Field::new("x", DataType::Float64, false)]), &["x".to_owned()]).expect_err("float key");
        assert!(error.to_string().contains("floating"), "{error}");
        assert!(lake_schema(&columns(vec![]), &["x".to_owned()]).is_err());
    }
}
