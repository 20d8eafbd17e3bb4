//! The JSON Schema of rows as `encode` writes them.

use arrow_schema::{DataType, Field, Fields};
use serde_json::{Map, Value, json};

/// The schema of objects of `columns`. What may be missing may come later without harm to older readers, so an object has no other fields.
pub(in crate::format) fn schema_of(columns: &Fields) -> Value {
    let mut schema = object(columns);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    }
    schema
}

fn object(columns: &Fields) -> Value {
    let properties: Map<String, Value> = columns.iter().map(|column| (column.name().clone(), property(column))).collect();
    let required: Vec<&str> = columns.iter().filter(|column| !column.is_nullable()).map(|column| column.name().as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn property(column: &Field) -> Value {
    let mut value = match column.data_type() {
        DataType::Boolean => json!({ "type": "boolean" }),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => json!({ "type": "integer" }),
        DataType::Decimal128(..) => json!({ "type": "number" }),
        // What is no number (NaN, the infinities) is a text.
        DataType::Float32 | DataType::Float64 => json!({ "type": ["number", "string"] }),
        DataType::List(element) => json!({ "type": "array", "items": property(element) }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => json!({ "type": "object", "additionalProperties": fields.get(1).map(|value| property(value)) }),
            _ => json!({ "type": "object" }),
        },
        DataType::Struct(fields) => object(fields),
        _ => json!({ "type": "string" }),
    };
    if column.is_nullable()
        && let Some(ty) = value.get_mut("type")
    {
        match ty {
            Value::Array(types) => types.push(json!("null")),
            one => *one = json!([one, "null"]),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_make_a_schema_of_objects_with_these_fields_and_no_others() {
        let row = DataType::Struct(vec![Field::new("price", DataType::Decimal128(10, 2), true), Field::new("on", DataType::Date32, false)].into());
        let columns = vec![Field::new("id", DataType::Int64, false), Field::new("share", DataType::Float64, true), Field::new("last", row, true)];
        let expected = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {"id": {"type": "integer"}, "share": {"type": ["number", "string", "null"]},
                "last": {"type": ["object", "null"], "required": ["on"], "additionalProperties": false,
                    "properties": {"price": {"type": ["number", "null"]}, "on": {"type": "string"}}}}});
        assert_eq!(schema_of(&columns.into()), expected);
    }
}
