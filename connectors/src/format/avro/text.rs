//! The text of the schema that columns make, as Flink derives it: its names are Flink's too, for a registry compares them.

use arrow_schema::{DataType, Field, Fields};
use serde_json::{Value, json};

use super::schema::{MILLIS, Meaning, Type, derive};

/// What Flink calls the record of a row.
pub(in crate::format) const RECORD: &str = "org.apache.flink.avro.generated.record";

/// The schema of rows of `columns`, a record called `name`.
///
/// # Errors
/// The column that Avro has no form for, and why.
pub(in crate::format) fn schema_of(name: &str, columns: &Fields) -> Result<Value, String> {
    let fields = columns.iter().map(|column| {
        let of_column = |why: String| format!("column '{}': {why}", column.name());
        let written = derive(column, false).map_err(of_column)?;
        field(name, column, &written).map_err(of_column)
    });
    Ok(record(name, fields.collect::<Result<_, String>>()?))
}

fn record(name: &str, fields: Vec<Value>) -> Value {
    json!({ "type": "record", "name": name, "fields": fields })
}

/// A field of the record `record`.
fn field(record: &str, column: &Field, written: &Type) -> Result<Value, String> {
    let name = column.name();
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !begins || !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        return Err(format!("'{name}' is no name in Avro, which has letters, digits and underscores"));
    }
    let ty = typed(&format!("{record}_{name}"), column.data_type(), written)?;
    Ok(if column.is_nullable() { json!({ "name": name, "type": ty, "default": null }) } else { json!({ "name": name, "type": ty }) })
}

/// The text of `written`, which was derived from `column`; records in it are called `record`.
fn typed(record_name: &str, column: &DataType, written: &Type) -> Result<Value, String> {
    let logical = |ty: &str, logical: String| json!({ "type": ty, "logicalType": logical });
    let unit = |ticks: i64| if ticks == MILLIS { "millis" } else { "micros" };
    Ok(match (written, column) {
        (Type::Union(branches), _) => Value::Array(branches.iter().map(|branch| typed(record_name, column, branch)).collect::<Result<_, _>>()?),
        (Type::Null, _) => json!("null"),
        (Type::Boolean, _) => json!("boolean"),
        (Type::Whole(Meaning::Int), _) => json!("int"),
        (Type::Whole(Meaning::Number), _) => json!("long"),
        (Type::Whole(Meaning::Date), _) => logical("int", "date".to_owned()),
        (Type::Whole(Meaning::Time(ticks)), _) => logical("int", format!("time-{}", unit(*ticks))),
        (Type::Whole(Meaning::Timestamp(ticks)), DataType::Timestamp(_, Some(_))) => logical("long", format!("timestamp-{}", unit(*ticks))),
        (Type::Whole(Meaning::Timestamp(ticks)), _) => logical("long", format!("local-timestamp-{}", unit(*ticks))),
        (Type::Float, _) => json!("float"),
        (Type::Double, _) => json!("double"),
        (Type::Bytes, _) => json!("bytes"),
        (Type::Text, _) => json!("string"),
        (Type::Decimal { scale, .. }, DataType::Decimal128(precision, _)) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        (Type::Array(element), DataType::List(elements)) => json!({ "type": "array", "items": typed(record_name, elements.data_type(), element)? }),
        (Type::Map(value), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [_, values] => json!({ "type": "map", "values": typed(record_name, values.data_type(), value)? }),
                _ => return Err("its map has no values".to_owned()),
            },
            _ => return Err("its map has no entries".to_owned()),
        },
        (Type::Record(members), DataType::Struct(columns)) => {
            let fields = members
                .iter()
                .zip(columns)
                .map(|(member, column)| field(record_name, column, &member.written).map_err(|why| format!("field '{}': {why}", member.name)));
            record(record_name, fields.collect::<Result<_, String>>()?)
        }
        (_, other) => return Err(format!("Avro has no form for {other}")),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn columns_make_the_schema_that_flink_makes_of_them() {
        let row = DataType::Struct(vec![Field::new("price", DataType::Decimal128(10, 2), true), Field::new("on", DataType::Date32, false)].into());
        let columns = Fields::from(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("size", DataType::Int16, true),
            Field::new("sold", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("lines", DataType::List(Arc::new(Field::new("element", row, true))), true),
        ]);
        let expected = json!({"type": "record", "name": "org.apache.flink.avro.generated.record", "fields": [
            {"name": "id", "type": "long"},
            {"name": "size", "type": ["null", "int"], "default": null},
            {"name": "sold", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null},
            {"name": "lines", "type": ["null", {"type": "array", "items": ["null",
                {"type": "record", "name": "org.apache.flink.avro.generated.record_lines", "fields": [
                    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}], "default": null},
                    {"name": "on", "type": {"type": "int", "logicalType": "date"}}]}]}], "default": null}]});
        let told = schema_of(RECORD, &columns).expect("schema");
        assert_eq!(told, expected);
        apache_avro::Schema::parse(&told).expect("a schema for others too");
        for (name, data_type, why) in [
            ("größe", DataType::Int64, "column 'größe': 'größe' is no name in Avro, which has letters, digits and underscores"),
            ("at", DataType::Timestamp(TimeUnit::Nanosecond, None), "column 'at': Avro does not support TIMESTAMP type with precision: 9"),
        ] {
            let told = schema_of(RECORD, &Fields::from(vec![Field::new(name, data_type, true)])).expect_err(why);
            assert!(told.starts_with(why), "{told}");
        }
    }
}
