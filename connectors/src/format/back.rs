//! What every format writes it reads again: random columns and rows, and for each format what its messages look like.

mod golden;
pub(in crate::format) mod random;

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;
use weir_base::options::OptionBag;

use super::changes::{ROW_KIND, canal, debezium, maxwell, ogg};
use super::{BadRow, Decoded, Encoder, Format, FormatFactory};
use random::Limits;

/// A format for `schema` with `options`, which have no prefix.
fn open(factory: &dyn FormatFactory, schema: &SchemaRef, options: &[(&str, &str)]) -> Box<dyn Format> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("f.{key}"), *value, None);
    }
    let format = factory.open("f.", &mut bag, schema);
    bag.finish("redis", &[], &[]).expect("options");
    format.expect("format")
}

fn encoder(format: &dyn Format, schema: &SchemaRef) -> Box<dyn Encoder> {
    format.encoder(schema).expect("encoder")
}

/// The messages of `batch`, as texts.
fn told(format: &dyn Format, batch: &RecordBatch) -> Result<Vec<String>, BadRow> {
    let messages = encoder(format, &batch.schema()).encode(batch)?;
    Ok(messages.iter().map(|message| message.map_or("NULL".to_owned(), |message| String::from_utf8_lossy(message).into_owned())).collect())
}

/// Writes `batch` and reads it again.
fn read_again(format: &dyn Format, batch: &RecordBatch) -> RecordBatch {
    let messages = encoder(format, &batch.schema()).encode(batch).expect("messages");
    assert_eq!(messages.len(), batch.num_rows());
    let mut decoder = format.decoder(&batch.schema());
    for message in messages.iter().flatten() {
        assert_eq!(decoder.push(message), Decoded::Row, "{}", String::from_utf8_lossy(message));
    }
    decoder.take().expect("batch")
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

proptest! {
    #[test]
    fn json_is_read_as_it_was_written(seed in any::<u64>(), iso in any::<bool>(), plain in any::<bool>(), skip in any::<bool>()) {
        let batch = random::batch(seed, &Limits::default());
        let flag = |on: bool| if on { "true" } else { "false" };
        let options = [
            ("timestamp-format.standard", if iso { "ISO-8601" } else { "SQL" }),
            ("encode.decimal-as-plain-number", flag(plain)),
            ("encode.ignore-null-fields", flag(skip)),
        ];
        let format = open(&super::json::JsonFactory, &batch.schema(), &options);
        prop_assert_eq!(read_again(&*format, &batch), batch);
    }

    #[test]
    fn a_change_is_read_as_it_was_written(seed in any::<u64>()) {
        let rows = random::batch(seed, &Limits::default());
        let kinds: Vec<&str> = (0..rows.num_rows()).map(|row| if (seed >> (row % 64)) & 1 == 0 { "+I" } else { "-D" }).collect();
        let fields = rows.schema().fields().iter().map(|field| Field::clone(field)).chain([Field::new(ROW_KIND, DataType::Utf8, false)]).collect();
        let columns = rows.columns().iter().cloned().chain([Arc::new(StringArray::from(kinds)) as Arc<dyn Array>]).collect();
        let batch = RecordBatch::try_new(schema(fields), columns).expect("batch");
        for factory in [debezium(), canal(), maxwell(), ogg()] {
            let format = open(&factory, &rows.schema(), &[]);
            prop_assert_eq!(&read_again(&*format, &batch), &batch);
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written(seed in any::<u64>(), dialect in 0_usize..4, plain in any::<bool>()) {
        let limits = Limits { depth: 1, maps: false, parts: "ab#\"' é", ..Limits::default() };
        let batch = random::batch(seed, &limits);
        // Without quotes there is no line for an empty text alone.
        prop_assume!(dialect < 3 || batch.num_columns() > 1);
        let dialect: &[(&str, &str)] = match dialect {
            0 => &[("allow-comments", "true")],
            1 => &[("field-delimiter", "\\t"), ("quote-character", "'"), ("array-element-delimiter", "::")],
            2 => &[("field-delimiter", ";"), ("escape-character", "\\"), ("array-element-delimiter", "|")],
            _ => &[("field-delimiter", "|"), ("escape-character", "\\"), ("disable-quote-character", "true")],
        };
        let numbers = ("write-bigdecimal-in-scientific-notation", if plain { "false" } else { "true" });
        let format = open(&super::csv::CsvFactory, &batch.schema(), &[&[("null-literal", "<NULL>"), numbers], dialect].concat());
        prop_assert_eq!(read_again(&*format, &batch), batch);
    }

    #[test]
    fn a_record_is_read_as_it_was_written(seed in any::<u64>()) {
        let batch = random::batch(seed, &Limits { nanos: false, text_keys: true, ..Limits::default() });
        let format = open(&super::avro::AvroFactory, &batch.schema(), &[("timestamp_mapping.legacy", "false")]);
        prop_assert_eq!(read_again(&*format, &batch), batch);
    }

    #[test]
    fn a_raw_value_is_read_as_it_was_written(seed in any::<u64>(), little in any::<bool>(), charset in 0_usize..4) {
        let endianness = if little { "little-endian" } else { "big-endian" };
        let charset = ["UTF-8", "UTF-16", "UTF-16BE", "UTF-16LE"][charset];
        for data_type in [
            DataType::Boolean, DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64, DataType::Float32, DataType::Float64,
            DataType::Utf8, DataType::Binary, DataType::FixedSizeBinary(3),
        ] {
            let batch = random::batch_of(seed, schema(vec![Field::new("a", data_type, false)]), &Limits::default());
            let format = open(&super::raw::RawFactory, &batch.schema(), &[("endianness", endianness), ("charset", charset)]);
            prop_assert_eq!(read_again(&*format, &batch), batch);
        }
    }
}

proptest! {
    #[test]
    fn what_a_format_cannot_write_is_told_by_its_column_before_there_are_rows(seed in any::<u64>(), plain_names in any::<bool>()) {
        let batch = random::batch(seed, &Limits { depth: 3, plain_names, ..Limits::default() });
        for factory in super::factories() {
            let (name, mut bag) = (factory.name(), OptionBag::new("Table 'c.d.t'"));
            if factory.options().iter().any(|option| option.key == "subject") {
                bag.insert("f.url", "http://registry:8081", None);
                bag.insert("f.subject", "s", None);
            }
            if ["protobuf", "wasm"].contains(&name) {
                continue; // the one needs a descriptor set, of which its own tests have some; the other does not write
            }
            let format = factory.open("f.", &mut bag, &batch.schema());
            let names_a_column = |told: &str| batch.schema().fields().iter().any(|field| told.contains(&format!("column '{}'", field.name())));
            let format = match (format, bag.finish("redis", &[], &[])) {
                (Some(format), Ok(_)) => format,
                (_, Err(problems)) => {
                    let told = problems.to_string();
                    let raw = told.contains("The 'raw' format only supports single physical column");
                    prop_assert!(raw || told.contains(&format!("Format '{name}' cannot read")) && names_a_column(&told), "{}", told);
                    continue;
                }
                (None, Ok(_)) => panic!("no format and no problem"),
            };
            match format.encoder(&batch.schema()) {
                Err(told) => prop_assert!(names_a_column(&told), "{}: {}", name, told),
                Ok(encoder) => {
                    let told = encoder.encode(&batch).map_or_else(|bad| bad.bad.reason, |_| String::new());
                    prop_assert!(!told.contains("was not made for") && !told.contains("no format writes"), "{}: {}", name, told);
                }
            }
        }
    }
}
