//! The wide JSON messages in the other encodings.

use std::sync::Arc;

use apache_avro::types::Value as AvroValue;
use apache_avro::{Schema as AvroSchema, to_avro_datum};
use arrow_schema::{DataType, Field, SchemaRef};
use chrono::NaiveDateTime;
use prost::Message as _;
use serde_json::Value;

use crate::support::datasets::packed;
use crate::wide::Wide;

/// Messages one behind another in memory.
pub(crate) type Messages = Vec<&'static [u8]>;

/// How times are written in JSON.
pub(crate) const TIME: &str = "%Y-%m-%d %H:%M:%S%.f";

/// The fields of each message in the order of the columns.
fn fields<'a>(schema: &'a SchemaRef, json: &'a [&[u8]]) -> impl Iterator<Item = Vec<Value>> + 'a {
    json.iter().map(|message| {
        let mut object: serde_json::Map<String, Value> = serde_json::from_slice(message).expect("JSON");
        schema.fields().iter().map(|field| object.remove(field.name()).expect("field")).collect()
    })
}

/// The rows between `before` and `after`, as inserts of a change log.
fn around(json: &[&[u8]], before: &str, after: &str) -> Messages {
    packed(json.iter().map(|row| [before.as_bytes(), row, after.as_bytes()].concat()))
}

/// Inserts of Debezium.
pub(crate) fn debezium(json: &[&[u8]]) -> Messages {
    around(json, r#"{"before":null,"after":"#, r#","source":{"db":"shop","table":"readings"},"op":"c","ts_ms":1}"#)
}

/// Inserts of Canal, each of one row.
pub(crate) fn canal(json: &[&[u8]]) -> Messages {
    let behind = r#"],"database":"shop","es":1,"id":9,"isDdl":false,"old":null,"pkNames":["id"],"sql":"","table":"readings","ts":1,"type":"INSERT"}"#;
    around(json, r#"{"data":["#, behind)
}

/// Inserts of Maxwell.
pub(crate) fn maxwell(json: &[&[u8]]) -> Messages {
    around(json, r#"{"database":"shop","table":"readings","type":"insert","ts":1,"xid":7,"commit":true,"data":"#, "}")
}

/// Inserts of GoldenGate.
pub(crate) fn ogg(json: &[&[u8]]) -> Messages {
    let before = r#"{"table":"SHOP.READINGS","op_type":"I","op_ts":"2026-01-01 00:00:00.000000","pos":"143","before":null,"after":"#;
    around(json, before, "}")
}

/// Lines.
pub(crate) fn lines(schema: &SchemaRef, json: &[&[u8]]) -> Messages {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    packed(fields(schema, json).map(|values| values.iter().map(text).collect::<Vec<_>>().join(",").into_bytes()))
}

/// Messages of Protocol Buffers.
pub(crate) fn protobuf(schema: &SchemaRef, json: &[&[u8]]) -> Messages {
    packed(fields(schema, json).map(|values| Wide::of(&values).encode_to_vec()))
}

/// The rows as records of Avro.
fn records<'a>(schema: &'a SchemaRef, json: &'a [&[u8]]) -> impl Iterator<Item = AvroValue> + 'a {
    let value = |(field, value): (&Arc<Field>, Value)| {
        let value = match field.data_type() {
            DataType::Int64 => AvroValue::Long(value.as_i64().expect("number")),
            DataType::Float64 => AvroValue::Double(value.as_f64().expect("number")),
            DataType::Utf8 => AvroValue::String(value.as_str().expect("text").to_owned()),
            _ => {
                let time = NaiveDateTime::parse_from_str(value.as_str().expect("text"), TIME).expect("time");
                AvroValue::TimestampMillis(time.and_utc().timestamp_millis())
            }
        };
        (field.name().clone(), some(value))
    };
    fields(schema, json).map(move |values| AvroValue::Record(schema.fields().iter().zip(values).map(value).collect()))
}

fn some(value: AvroValue) -> AvroValue {
    AvroValue::Union(1, Box::new(value))
}

/// Records of Avro, of the schema with this text.
pub(crate) fn avro(schema: &SchemaRef, json: &[&[u8]], text: &str) -> Messages {
    let written = AvroSchema::parse_str(text).expect("schema");
    packed(records(schema, json).map(|record| to_avro_datum(&written, record).expect("datum")))
}

/// Inserts of Debezium in Avro, of the schema with this text.
pub(crate) fn debezium_avro(schema: &SchemaRef, json: &[&[u8]], text: &str) -> Messages {
    let written = AvroSchema::parse_str(text).expect("schema");
    let event = |row| {
        let before = AvroValue::Union(0, Box::new(AvroValue::Null));
        let fields = [("before", before), ("after", some(row)), ("op", AvroValue::String("c".to_owned())), ("ts_ms", some(AvroValue::Long(1)))];
        AvroValue::Record(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
    };
    packed(records(schema, json).map(|row| to_avro_datum(&written, event(row)).expect("datum")))
}

/// The schema that Flink derives from the columns.
pub(crate) fn avro_schema(schema: &SchemaRef) -> String {
    let fields: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let written = match field.data_type() {
                DataType::Int64 => r#""long""#,
                DataType::Float64 => r#""double""#,
                DataType::Utf8 => r#""string""#,
                _ => r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            };
            format!(r#"{{"name":"{}","type":["null",{written}]}}"#, field.name())
        })
        .collect();
    format!(r#"{{"type":"record","name":"record","fields":[{}]}}"#, fields.join(","))
}

/// The schema of changes as Debezium registers it, for rows of the schema with the text `row`.
pub(crate) fn avro_envelope(row: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Envelope","fields":[{{"name":"before","type":["null",{row}]}},{{"name":"after","type":["null","record"]}},{{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"]}}]}}"#
    )
}
