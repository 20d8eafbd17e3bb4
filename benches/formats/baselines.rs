//! What others do with the messages.

use apache_avro::types::Value as AvroValue;
use apache_avro::{Schema as AvroSchema, from_avro_datum};
use arrow_array::builder::{BinaryBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_schema::{DataType, SchemaRef};
use chrono::NaiveDateTime;
use prost::Message as _;
use serde_json::Value;

use crate::BATCH;
use crate::messages::TIME;
use crate::wide::Wide;

/// Reads JSON behind a header of so many bytes.
pub(crate) fn with_serde_json(header: usize) -> impl Fn(&[&[u8]]) {
    move |messages| {
        for message in messages {
            let value: Value = serde_json::from_slice(&message[header..]).expect("JSON");
            assert!(value.is_object());
        }
    }
}

/// Reads records of a schema behind a header of so many bytes.
pub(crate) fn with_apache_avro(header: usize, schema: AvroSchema) -> impl Fn(&[&[u8]]) {
    move |messages| {
        for message in messages {
            let value = from_avro_datum(&schema, &mut &message[header..], None).expect("record");
            assert!(matches!(value, AvroValue::Record(_)));
        }
    }
}

/// Reads wide messages behind a header of so many bytes.
pub(crate) fn with_prost(header: usize) -> impl Fn(&[&[u8]]) {
    move |messages| {
        for message in messages {
            assert!(Wide::decode(&message[header..]).expect("message").id >= 0);
        }
    }
}

/// Copies messages into arrays of texts; the last array is there while the next is made, as in a pipeline.
pub(crate) fn as_texts(messages: &[&[u8]]) {
    let mut last = None;
    for batch in messages.chunks(BATCH) {
        let mut texts = StringBuilder::new();
        batch.iter().for_each(|message| texts.append_value(std::str::from_utf8(message).expect("text")));
        last = Some(texts.finish());
    }
    assert!(last.is_some());
}

/// Copies messages into arrays of bytes, in the same way.
pub(crate) fn as_bytes(messages: &[&[u8]]) {
    let mut last = None;
    for batch in messages.chunks(BATCH) {
        let mut bytes = BinaryBuilder::new();
        batch.iter().for_each(|message| bytes.append_value(message));
        last = Some(bytes.finish());
    }
    assert!(last.is_some());
}

enum Builder {
    Long(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int64 => Self::Long(Int64Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            _ => Self::Time(TimestampMicrosecondBuilder::new()),
        }
    }

    fn append(&mut self, field: &str) {
        match self {
            Self::Long(longs) => longs.append_value(field.parse().expect("number")),
            Self::Double(doubles) => doubles.append_value(field.parse().expect("number")),
            Self::Text(texts) => texts.append_value(field),
            Self::Time(times) => times.append_value(NaiveDateTime::parse_from_str(field, TIME).expect("time").and_utc().timestamp_micros()),
        }
    }
}

/// Reads lines into the columns of a schema.
pub(crate) fn with_csv(schema: SchemaRef) -> impl Fn(&[&[u8]]) {
    move |messages| {
        let mut builders: Vec<Builder> = schema.fields().iter().map(|field| Builder::new(field.data_type())).collect();
        let text = messages.join(&b'\n');
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
        let mut record = csv::StringRecord::new();
        let mut rows = 0;
        while reader.read_record(&mut record).expect("line") {
            rows += 1;
            builders.iter_mut().zip(&record).for_each(|(builder, field)| builder.append(field));
        }
        assert_eq!(rows, messages.len());
    }
}
