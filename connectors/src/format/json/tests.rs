//! The decoder as a whole: golden messages for each type, bad ones and their neighbours, and arrow-json as the oracle.

mod bad;
mod golden;
mod oracle;

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use weir_base::options::OptionBag;

use super::JsonFactory;
use crate::format::{BadMessage, Decoded, Decoder, FormatFactory};

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn row(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(nullable("element", element)))
}

fn map(key: DataType, value: DataType) -> DataType {
    let entries = row(vec![Field::new("key", key, false), nullable("value", value)]);
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn micros(zone: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| "UTC".into()))
}

/// A decoder with `options` (without prefix).
fn decoder(schema: &SchemaRef, options: &[(&str, &str)]) -> Box<dyn Decoder> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("json.{key}"), *value, None);
    }
    let format = JsonFactory.open("json.", &mut bag, schema).expect("format");
    bag.finish("kafka", &[], &[]).expect("options");
    format.decoder(schema)
}

/// The single column `a` of `data_type`, read from `{"a":<value>}`: its only value as arrow shows it, or the reason that there is none.
fn value(data_type: DataType, value: &str, options: &[(&str, &str)]) -> Result<String, BadMessage> {
    let schema = schema(vec![nullable("a", data_type)]);
    let mut decoder = decoder(&schema, options);
    match decoder.push(format!(r#"{{"a":{value}}}"#).as_bytes()) {
        Decoded::Row => {}
        Decoded::Skipped(bad) | Decoded::Failed(bad) => return Err(bad),
        other => panic!("{other:?} read from {value}"),
    }
    let batch = decoder.take().expect("batch");
    assert_eq!((batch.num_rows(), decoder.rows()), (1, 0));
    Ok(shown(&batch))
}

/// The first column's first value.
fn shown(batch: &RecordBatch) -> String {
    if batch.column(0).is_null(0) {
        return "NULL".to_owned();
    }
    arrow_cast::display::array_value_to_string(batch.column(0), 0).expect("display")
}
