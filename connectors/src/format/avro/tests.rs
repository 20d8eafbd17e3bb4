//! Records that apache-avro writes, damaged ones, and declarations that have no schema.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::{Schema as AvroSchema, to_avro_datum};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use weir_base::options::{OptionBag, Problems};

use super::AvroFactory;
use crate::format::{Decoded, Format, FormatFactory, SQL_TYPE};

fn field(name: &str, data_type: DataType, sql_type: &str) -> Field {
    Field::new(name, data_type, true).with_metadata(HashMap::from([(SQL_TYPE.to_owned(), sql_type.to_owned())]))
}

fn plain(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn micros(zoned: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into()))
}

fn map_of(value: DataType) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![Field::new("key", DataType::Utf8, false), plain("value", value)]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn format(schema: &SchemaRef, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("avro.{key}"), *value, None);
    }
    let format = AvroFactory.open("avro.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

fn shown(batch: &RecordBatch, row: usize) -> Vec<String> {
    let value = |column: &Arc<dyn Array>| if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).expect("display") };
    batch.columns().iter().map(value).collect()
}

/// Columns of every type that a record of Flink's may have.
fn columns() -> SchemaRef {
    let row =
        DataType::Struct(Fields::from(vec![plain("at", micros(false)), plain("list", DataType::List(Arc::new(plain("element", DataType::Int32))))]));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        plain("small", DataType::Int16),
        plain("flag", DataType::Boolean),
        plain("float", DataType::Float32),
        plain("double", DataType::Float64),
        plain("text", DataType::Utf8),
        plain("bytes", DataType::Binary),
        plain("amount", DataType::Decimal128(10, 2)),
        plain("day", DataType::Date32),
        field("time", DataType::Time64(TimeUnit::Microsecond), "TIME(0)"),
        field("at", micros(false), "TIMESTAMP(3)"),
        field("row", row, "ROW<at TIMESTAMP(0), list ARRAY<INT>>"),
        plain("map", map_of(DataType::Int64)),
    ]))
}

/// The schema that Flink derives from [`columns`].
const DERIVED: &str = r#"{"type":"record","name":"record","namespace":"org.apache.flink.avro.generated","fields":[
    {"name":"id","type":"long"},
    {"name":"small","type":["null","int"]},
    {"name":"flag","type":["null","boolean"]},
    {"name":"float","type":["null","float"]},
    {"name":"double","type":["null","double"]},
    {"name":"text","type":["null","string"]},
    {"name":"bytes","type":["null","bytes"]},
    {"name":"amount","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}]},
    {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"time","type":["null",{"type":"int","logicalType":"time-millis"}]},
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"row","type":["null",{"type":"record","name":"record_row","fields":[
        {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
        {"name":"list","type":["null",{"type":"array","items":["null","int"]}]}]}]},
    {"name":"map","type":["null",{"type":"map","values":["null","long"]}]}]}"#;

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn null() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

fn record(id: i64, fill: impl Fn(&str) -> Value) -> Vec<u8> {
    let schema = AvroSchema::parse_str(DERIVED).expect("schema");
    let names = ["small", "flag", "float", "double", "text", "bytes", "amount", "day", "time", "at", "row", "map"];
    let fields = std::iter::once(("id".to_owned(), Value::Long(id))).chain(names.map(|name| (name.to_owned(), fill(name))));
    to_avro_datum(&schema, Value::Record(fields.collect())).expect("datum")
}

fn full(name: &str) -> Value {
    some(match name {
        "small" => Value::Int(-3),
        "flag" => Value::Boolean(true),
        "float" => Value::Float(1.5),
        "double" => Value::Double(-0.25),
        "text" => Value::String("é, 😀".to_owned()),
        "bytes" => Value::Bytes(vec![0, 255]),
        "amount" => Value::Decimal((-12345_i32).to_be_bytes().to_vec().into()),
        "day" => Value::Date(19_782),
        "time" => Value::TimeMillis(86_399_123),
        "at" => Value::TimestampMillis(1_700_000_000_123),
        "row" => Value::Record(vec![
            ("at".to_owned(), some(Value::TimestampMillis(-1))),
            ("list".to_owned(), some(Value::Array(vec![some(Value::Int(1)), null(), some(Value::Int(3))]))),
        ]),
        _ => Value::Map(HashMap::from([("k".to_owned(), some(Value::Long(7)))])),
    })
}

#[test]
fn a_record_of_the_derived_schema_fills_every_column() {
    let schema = columns();
    let mut decoder = format(&schema, &[]).expect("format").decoder(&schema);
    assert_eq!(decoder.push(&record(1, full)), Decoded::Row);
    assert_eq!(decoder.push(&record(2, |_| null())), Decoded::Row);
    let batch = decoder.take().expect("batch");
    let expected = [
        "1",
        "-3",
        "true",
        "1.5",
        "-0.25",
        "é, 😀",
        "00ff",
        "-123.45",
        "2024-02-29",
        "23:59:59.123",
        "2023-11-14T22:13:20.123",
        "{at: 1969-12-31T23:59:59.999, list: [1, , 3]}",
        "{k: 7}",
    ];
    assert_eq!(shown(&batch, 0), expected);
    assert_eq!(shown(&batch, 1).iter().filter(|value| *value == "NULL").count(), 12);
}

#[test]
fn columns_that_nobody_wants_are_passed_over() {
    let declared = columns();
    let wanted = Arc::new(Schema::new(vec![declared.field(12).clone(), declared.field(0).clone()]));
    let mut decoder = format(&declared, &[]).expect("format").decoder(&wanted);
    assert_eq!(decoder.push(&record(5, full)), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch"), 0), ["{k: 7}", "5"]);
    let mut nothing = format(&declared, &[]).expect("format").decoder(&Arc::new(Schema::empty()));
    assert_eq!(nothing.push(&record(5, full)), Decoded::Row);
    assert!(matches!(nothing.push(b"\x02"), Decoded::Failed(_)), "what nobody wants is still read");
}

#[test]
fn timestamps_may_have_microseconds_where_the_option_says_so() {
    let schema = Arc::new(Schema::new(vec![
        field("local", micros(false), "TIMESTAMP(6)"),
        field("zoned", micros(true), "TIMESTAMP_LTZ(3)"),
        Field::new("never_null", DataType::Int8, false),
    ]));
    let mut decoder = format(&schema, &[("timestamp_mapping.legacy", "false")]).expect("format").decoder(&schema);
    // Branch 1, then 1 (a microsecond) and 1 (a millisecond) in zigzag.
    assert_eq!(decoder.push(&[2, 2, 2, 2, 1]), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch"), 0), ["1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.001Z", "-1"]);
    assert!(matches!(decoder.push(&[2, 2, 2, 2, 0xff, 0x7f]), Decoded::Failed(bad) if bad.column.as_deref() == Some("never_null")));
}

#[test]
fn dates_and_times_that_no_calendar_has_are_bad() {
    let zigzag = |value: i64| {
        let (mut rest, mut bytes) = ((value << 1 ^ value >> 63).cast_unsigned(), Vec::new());
        while rest > 0x7f {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let time = DataType::Time64(TimeUnit::Microsecond);
    for (field, good, bad) in [
        (field("a", DataType::Date32, "DATE"), [-719_528, 2_932_896], [-719_529, 2_932_897]),
        (field("a", time, "TIME(3)"), [0, 86_399_999], [-1, 86_400_000]),
        (field("a", micros(false), "TIMESTAMP(3)"), [-62_167_219_200_000, 253_402_300_799_999], [-62_167_219_200_001, 253_402_300_800_000]),
        (field("a", micros(true), "TIMESTAMP_LTZ(6)"), [-62_167_219_200_000_000, 253_402_300_799_999_999], [i64::MIN, i64::MAX]),
    ] {
        let schema = Arc::new(Schema::new(vec![field.with_nullable(false)]));
        let mut decoder = format(&schema, &[("timestamp_mapping.legacy", "false")]).expect("format").decoder(&schema);
        for value in good {
            assert_eq!(decoder.push(&zigzag(value)), Decoded::Row, "{value}");
        }
        for value in bad {
            let decoded = decoder.push(&zigzag(value));
            assert!(matches!(&decoded, Decoded::Failed(bad) if bad.reason.contains("is out of range for a")), "{value}: {decoded:?}");
        }
        assert_eq!(decoder.take().expect("batch").num_rows(), 2);
    }
}

#[test]
fn what_is_no_record_of_the_schema_is_refused_and_leaves_nothing() {
    let schema = Arc::new(Schema::new(vec![Field::new("l", DataType::List(Arc::new(Field::new("element", DataType::Utf8, false))), false)]));
    let mut decoder = format(&schema, &[]).expect("format").decoder(&schema);
    for (message, reason) in [
        (&b""[..], "the message ends within a value that begins at byte 0"),
        (b"\x02\x06ab", "the message ends within a value that begins at byte 2"),
        (b"\x02\x02\xff\x00", "the text is not UTF-8"),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a block of elements reaches past the end of the message"),
        (b"\x02\x05", "a value has -3 bytes"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not a number of 64 bits at byte 0"),
        (b"\x00\x00", "1 bytes follow the record: it was written with another schema"),
    ] {
        let Decoded::Failed(bad) = decoder.push(message) else { panic!("{reason}") };
        assert!(bad.reason.starts_with(reason), "{}", bad.reason);
        assert_eq!((decoder.rows(), bad.tolerated_by), (0, None));
    }
    assert_eq!(
        decoder.push(b"\x03\x04\x02a\x00"),
        Decoded::Failed(crate::format::BadMessage {
            reason: "the message ends within a value that begins at byte 5".to_owned(),
            column: Some("l".to_owned()),
            tolerated_by: None,
        }),
        "the end of the array is missing"
    );
    assert_eq!(decoder.push(b"\x02\x02a\x00"), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch"), 0), ["[a]"]);
}

#[test]
fn of_equal_keys_the_last_wins() {
    let schema = Arc::new(Schema::new(vec![Field::new("m", map_of(DataType::Int32), false)]));
    let mut decoder = format(&schema, &[]).expect("format").decoder(&schema);
    assert_eq!(decoder.push(b"\x04\x02a\x02\x02\x02b\x02\x04\x02\x02a\x02\x06\x00"), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch"), 0), ["{b: 2, a: 3}"]);
}

/// A column, the options of the format, and what is said of them.
type Refused<'a> = (Field, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn declarations_without_a_schema_are_refused() {
    let cases: &[Refused<'_>] = &[
        (
            field("a", micros(false), "TIMESTAMP(6)"),
            &[],
            "column 'a': Avro does not support TIMESTAMP type with precision: 6, it only supports precision less than 3",
        ),
        (field("a", micros(true), "TIMESTAMP_LTZ(3)"), &[], "TIMESTAMP_LTZ needs 'avro.timestamp_mapping.legacy' = 'false'"),
        (field("a", DataType::Timestamp(TimeUnit::Nanosecond, None), "TIMESTAMP(9)"), &[("timestamp_mapping.legacy", "false")], "with precision: 9"),
        (field("a", DataType::Time64(TimeUnit::Microsecond), "TIME(6)"), &[], "Avro does not support TIME type with precision: 6"),
        (plain("a", DataType::Int32), &[("encoding", "json")], "'json' is not supported. Expected 'binary'."),
        (plain("a", DataType::Int32), &[("timestamp-mapping.legacy", "false")], "Did you mean 'avro.timestamp_mapping.legacy'?"),
    ];
    for (field, options, phrase) in cases {
        let text = format(&Arc::new(Schema::new(vec![field.clone()])), options).expect_err(phrase).to_string();
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
}

proptest! {
    #[test]
    fn numbers_and_decimals_are_those_of_apache_avro(id in any::<i64>(), small in any::<i16>(), double in any::<f64>(), amount in -9_999_999_999_i64..10_000_000_000, width in 8_usize..20) {
        let schema = columns();
        let message = record(id, |name| match name {
            "small" => some(Value::Int(small.into())),
            "double" => some(Value::Double(double)),
            // In more bytes than needed: other writers do not trim.
            "amount" => {
                let bytes = i128::from(amount).to_be_bytes();
                let padding = vec![if amount < 0 { 0xff } else { 0 }; width.saturating_sub(16)];
                some(Value::Decimal([&padding[..], &bytes[16_usize.saturating_sub(width)..]].concat().into()))
            }
            _ => null(),
        });
        let mut decoder = format(&schema, &[]).expect("format").decoder(&schema);
        prop_assert_eq!(decoder.push(&message), Decoded::Row);
        let batch = decoder.take().expect("batch");
        let row = shown(&batch, 0);
        prop_assert_eq!(&row[0], &id.to_string());
        prop_assert_eq!(&row[1], &small.to_string());
        let sign = if amount < 0 { "-" } else { "" };
        let magnitude = amount.unsigned_abs();
        prop_assert_eq!(&row[7], &format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100));
    }

    #[test]
    fn no_message_is_a_panic(message in prop::collection::vec(any::<u8>(), 0..80), cut in 0_usize..200) {
        let schema = columns();
        let mut decoder = format(&schema, &[]).expect("format").decoder(&schema);
        let whole = record(1, full);
        for bytes in [&message[..], &whole[..cut.min(whole.len() - 1)], &[&whole[..cut.min(whole.len())], &message[..]].concat()] {
            let rows = usize::from(decoder.push(bytes) == Decoded::Row);
            prop_assert_eq!(decoder.take().expect("batch").num_rows(), rows);
        }
    }
}
