//! Iceberg's types in the words of Hive, as Iceberg's own Hive catalog writes them.

use iceberg::spec::{PrimitiveType, Schema, Type};

use super::thrift::Struct;

/// The columns of a table as the metastore keeps them. Hive knows no capitals in names of columns.
pub(super) fn columns(schema: &Schema) -> Vec<Struct> {
    let column = |field: &iceberg::spec::NestedFieldRef| {
        let comment = field.doc.as_deref().unwrap_or_default();
        Struct::new().with(1, field.name.to_lowercase().as_str()).with(2, hive_type(&field.field_type).as_str()).with(3, comment)
    };
    schema.as_struct().fields().iter().map(column).collect()
}

fn hive_type(of: &Type) -> String {
    match of {
        Type::Primitive(primitive) => match primitive {
            PrimitiveType::Boolean => "boolean".to_owned(),
            PrimitiveType::Int => "int".to_owned(),
            PrimitiveType::Long => "bigint".to_owned(),
            PrimitiveType::Float => "float".to_owned(),
            PrimitiveType::Double => "double".to_owned(),
            PrimitiveType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            PrimitiveType::Date => "date".to_owned(),
            PrimitiveType::Timestamp | PrimitiveType::TimestampNs => "timestamp".to_owned(),
            PrimitiveType::Timestamptz | PrimitiveType::TimestamptzNs => "timestamp with local time zone".to_owned(),
            PrimitiveType::Fixed(_) | PrimitiveType::Binary => "binary".to_owned(),
            // Hive has neither times of day nor UUIDs.
            PrimitiveType::Time | PrimitiveType::String | PrimitiveType::Uuid => "string".to_owned(),
        },
        Type::Struct(fields) => {
            let fields: Vec<String> = fields.fields().iter().map(|field| format!("{}:{}", field.name, hive_type(&field.field_type))).collect();
            format!("struct<{}>", fields.join(","))
        }
        Type::List(list) => format!("array<{}>", hive_type(&list.element_field.field_type)),
        Type::Map(map) => format!("map<{},{}>", hive_type(&map.key_field.field_type), hive_type(&map.value_field.field_type)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};

    use super::*;
    use crate::schema::lake_schema;

    #[test]
    fn columns_have_the_types_that_hive_knows() {
        let row = DataType::Struct(vec![Arc::new(Field::new("ip", DataType::Utf8, true)), Arc::new(Field::new("n", DataType::Int32, true))].into());
        let schema = ArrowSchema::new(vec![
            Field::new("Id", DataType::Int64, true),
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("day", DataType::Date32, true),
            Field::new("rows", DataType::List(Arc::new(Field::new("element", row, true))), true),
            Field::new("time", DataType::Time64(TimeUnit::Microsecond), true),
        ]);
        let found: Vec<String> = columns(&lake_schema(&schema, &[]).expect("schema"))
            .iter()
            .map(|column| format!("{} {}", column.text(1).expect("name"), column.text(2).expect("type")))
            .collect();
        let expected = [
            "id bigint",
            "amount decimal(10,2)",
            "at timestamp with local time zone",
            "day date",
            "rows array<struct<ip:string,n:int>>",
            "time string",
        ];
        assert_eq!(found, expected);
    }
}
