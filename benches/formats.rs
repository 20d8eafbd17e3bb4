//! Megabytes per CPU second of each decoder and of a baseline on the same messages, in turn, with all columns (40, or 8 of the
//! small messages) and with 3 of them.
//!
//! A baseline takes every message apart into values with the usual library for its format: `serde_json`, `csv` (with the fields parsed into
//! Arrow's builders), `apache-avro`, `prost`. It knows no projection. `cargo bench --bench formats` builds with optimisation everywhere.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its table and stops at the first surprise")]

mod support;

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use apache_avro::types::Value as AvroValue;
use apache_avro::{Schema as AvroSchema, from_avro_datum, to_avro_datum};
use arrow_array::Array as _;
use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::NaiveDateTime;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;
use support::cpu;
use support::datasets::Dataset;
use weir_base::options::OptionBag;
use weir_connectors::format::{
    Decoded, Format, FormatFactory, SQL_TYPE, avro::AvroFactory, changes::debezium, csv::CsvFactory, json::JsonFactory, protobuf::ProtobufFactory,
    wasm::WasmFactory,
};
use weir_fs::FileSystems;

const MESSAGES: u64 = 40_000;
const BATCH: usize = 8_192;
const PAIRS: usize = 7;
const TIME: &str = "%Y-%m-%d %H:%M:%S%.f";

/// A format, its messages, and what others do with them.
struct Case {
    name: String,
    baseline: &'static str,
    format: Box<dyn Format>,
    messages: Vec<Vec<u8>>,
    theirs: fn(&SchemaRef, &[Vec<u8>]),
    schema: SchemaRef,
}

fn main() {
    let schema = Dataset::Wide.schema();
    let declared = Arc::new(Schema::new(schema.fields().iter().map(|field| typed(field)).collect::<Vec<_>>()));
    let json = Dataset::Wide.messages(MESSAGES);
    let open = |factory: &dyn FormatFactory| factory.open("f.", &mut OptionBag::new("Table 'bench'"), &declared).expect("format");
    let (proto, numbers) = protobuf(&schema);
    let plain = Dataset::ALL.map(|dataset| {
        let schema = dataset.schema();
        let format = JsonFactory.open("f.", &mut OptionBag::new("Table 'bench'"), &schema).expect("format");
        let messages = dataset.messages(MESSAGES);
        Case { name: format!("json, {}", dataset.name()), baseline: "serde_json", format, theirs: with_serde_json, messages, schema }
    });
    let others = [
        Case {
            name: "debezium-json".to_owned(),
            baseline: "serde_json",
            format: open(&debezium()),
            theirs: with_serde_json,
            messages: events(&json),
            schema: schema.clone(),
        },
        Case {
            name: "csv".to_owned(),
            baseline: "csv",
            format: open(&CsvFactory),
            theirs: with_csv,
            messages: lines(&schema, &json),
            schema: schema.clone(),
        },
        Case {
            name: "avro".to_owned(),
            baseline: "apache-avro",
            format: open(&AvroFactory),
            theirs: with_apache_avro,
            messages: records(&schema, &json),
            schema: schema.clone(),
        },
        company_format(),
        Case {
            name: "protobuf".to_owned(),
            baseline: "prost",
            format: proto,
            theirs: with_prost,
            messages: fields(&schema, &json).map(|values| Wide::of(&values).encode_to_vec()).collect(),
            schema: numbers,
        },
    ];
    println!(
        "{:<14}{:>10}{:>12}{:>14}{:>13}{:>16}{:>10}{:>10}",
        "format", "bytes/row", "all MB/s", "3 only MB/s", "baseline", "baseline MB/s", "all", "3 only"
    );
    for case in plain.iter().chain(&others) {
        let bytes: usize = case.messages.iter().map(Vec::len).sum();
        let rate = |spent: Duration| bytes as f64 / 1e6 / spent.max(Duration::from_millis(1)).as_secs_f64();
        let few = Arc::new(case.schema.project(&[0, case.schema.fields().len() / 4, case.schema.fields().len() - 1]).expect("columns"));
        let mut rounds: Vec<[f64; 3]> = (0..PAIRS)
            .map(|_| {
                [
                    rate(cpu_of(|| ours(case, &case.schema))),
                    rate(cpu_of(|| ours(case, &few))),
                    rate(cpu_of(|| (case.theirs)(&schema, &case.messages))),
                ]
            })
            .collect();
        rounds.sort_by(|a, b| (a[0] / a[2]).total_cmp(&(b[0] / b[2])));
        let [all, some, theirs] = rounds[PAIRS / 2];
        println!(
            "{:<14}{:>10}{all:>12.0}{some:>14.0}{:>13}{theirs:>16.0}{:>10.1}{:>10.1}",
            case.name,
            bytes / case.messages.len(),
            case.baseline,
            all / theirs,
            some / theirs
        );
    }
}

/// The module of `examples/company-format` and its events of one item, beside the same steps in native code.
fn company_format() -> Case {
    let folder = tempfile::tempdir().expect("folder");
    let module = folder.path().join("company_format.wasm");
    let built =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/company-format/build")).arg(&module).status().expect("its build script");
    assert!(built.success(), "scripts/setup test installs a Rust that builds modules");
    let columns = [
        ("order_id", DataType::Int64, "BIGINT"),
        ("placed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "TIMESTAMP_LTZ(3)"),
        ("customer", DataType::Utf8, "STRING"),
        ("line", DataType::Int32, "INT"),
        ("article", DataType::Utf8, "STRING"),
        ("pieces", DataType::Int32, "INT"),
        ("price", DataType::Decimal128(10, 2), "DECIMAL(10, 2)"),
    ];
    let column =
        |(name, data_type, sql): (&str, _, &str)| Field::new(name, data_type, true).with_metadata([(SQL_TYPE.to_owned(), sql.to_owned())].into());
    let schema = Arc::new(Schema::new(columns.map(column).to_vec()));
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.module", module.display().to_string(), None);
    let format = WasmFactory.open("f.", &mut bag, &schema).expect("format");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(format.prepare(&FileSystems::default())).expect("module");
    let messages = (0..MESSAGES).map(order_event).collect();
    Case { name: "wasm".to_owned(), baseline: "native", format, theirs: with_native_steps, messages, schema }
}

fn order_event(id: u64) -> Vec<u8> {
    let field = |tag: u8, value: &[u8]| [&[tag], &u16::try_from(value.len()).expect("short").to_be_bytes()[..], value].concat();
    let item = [field(1, b"bulb E27, warm white"), field(2, &[0, 4]), field(3, &399_u32.to_be_bytes())].concat();
    let customer = format!("customer number {id}");
    let body = [field(1, &id.to_be_bytes()), field(2, &1_769_860_800_123_u64.to_be_bytes()), field(3, customer.as_bytes()), field(4, &item)].concat();
    let sum = crc32(&body);
    [b"AO\x01", &u32::try_from(body.len()).expect("short").to_be_bytes()[..], &body, &sum.to_be_bytes()].concat()
}

/// A table of 256 remainders, as the module has it.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let step = |sum: u32| sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        (0..256).map(|byte| (0..8).fold(byte, |sum, _bit| step(sum))).collect()
    });
    let table = TABLE.as_slice();
    !bytes.iter().fold(!0, |sum: u32, byte| sum >> 8 ^ table[usize::from(sum.to_le_bytes()[0] ^ byte)])
}

/// Takes the messages apart as the module does, into builders.
fn with_native_steps(_: &SchemaRef, messages: &[Vec<u8>]) {
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let (mut numbers, mut texts) = (Int64Builder::new(), StringBuilder::new());
    for message in messages {
        let (body, sum) = message[7..].split_at(message.len() - 11);
        assert_eq!(number(sum), i64::from(crc32(body)));
        let mut rest = vec![(false, body)];
        while let Some((of_item, mut fields)) = rest.pop() {
            while let [tag, high, low, more @ ..] = fields {
                let (value, behind) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                match (of_item, tag) {
                    (false, 4) => rest.push((true, value)),
                    (false, 3) | (true, 1) => texts.append_value(std::str::from_utf8(value).expect("text")),
                    _ => numbers.append_value(number(value)),
                }
                fields = behind;
            }
        }
    }
    assert_eq!(texts.finish().len(), messages.len() * 2);
}

macro_rules! wide_message {
    ($($kind:ident $rust:ty, $name:ident = $tag:tt, $place:literal;)*) => {
        /// The wide messages as prost has them; times count microseconds.
        #[derive(Clone, PartialEq, prost::Message)]
        struct Wide {
            $(#[prost($kind, tag = $tag)] $name: $rust,)*
        }

        impl Wide {
            fn of(values: &[Value]) -> Self {
                Self { $($name: <$rust as FromValue>::of(&values[$place]),)* }
            }
        }

        fn wide_fields() -> Vec<FieldDescriptorProto> {
            vec![$(FieldDescriptorProto {
                name: Some(stringify!($name).to_owned()),
                number: Some($place + 1),
                label: Some(Label::Optional.into()),
                r#type: Some(<$rust as FromValue>::TYPE.into()),
                ..FieldDescriptorProto::default()
            }),*]
        }
    };
}

wide_message! {
    int64 i64, id = "1", 0;
    int64 i64, ts = "2", 1;
    string String, state_02 = "3", 2;
    string String, label_03 = "4", 3;
    int64 i64, count_04 = "5", 4;
    double f64, value_05 = "6", 5;
    string String, state_06 = "7", 6;
    string String, label_07 = "8", 7;
    int64 i64, count_08 = "9", 8;
    double f64, value_09 = "10", 9;
    string String, state_10 = "11", 10;
    string String, label_11 = "12", 11;
    int64 i64, count_12 = "13", 12;
    double f64, value_13 = "14", 13;
    string String, state_14 = "15", 14;
    string String, label_15 = "16", 15;
    int64 i64, count_16 = "17", 16;
    double f64, value_17 = "18", 17;
    string String, state_18 = "19", 18;
    string String, label_19 = "20", 19;
    int64 i64, count_20 = "21", 20;
    double f64, value_21 = "22", 21;
    string String, state_22 = "23", 22;
    string String, label_23 = "24", 23;
    int64 i64, count_24 = "25", 24;
    double f64, value_25 = "26", 25;
    string String, state_26 = "27", 26;
    string String, label_27 = "28", 27;
    int64 i64, count_28 = "29", 28;
    double f64, value_29 = "30", 29;
    string String, state_30 = "31", 30;
    string String, label_31 = "32", 31;
    int64 i64, count_32 = "33", 32;
    double f64, value_33 = "34", 33;
    string String, state_34 = "35", 34;
    string String, label_35 = "36", 35;
    int64 i64, count_36 = "37", 36;
    double f64, value_37 = "38", 37;
    string String, state_38 = "39", 38;
    string String, label_39 = "40", 39;
}

/// Values of JSON as those of prost.
trait FromValue {
    const TYPE: Type;
    fn of(value: &Value) -> Self;
}

impl FromValue for i64 {
    const TYPE: Type = Type::Int64;
    fn of(value: &Value) -> Self {
        value.as_i64().unwrap_or_else(|| micros(value))
    }
}

impl FromValue for f64 {
    const TYPE: Type = Type::Double;
    fn of(value: &Value) -> Self {
        value.as_f64().expect("number")
    }
}

impl FromValue for String {
    const TYPE: Type = Type::String;
    fn of(value: &Value) -> Self {
        value.as_str().expect("text").to_owned()
    }
}

fn micros(value: &Value) -> i64 {
    NaiveDateTime::parse_from_str(value.as_str().expect("text"), TIME).expect("time").and_utc().timestamp_micros()
}

fn with_prost(_: &SchemaRef, messages: &[Vec<u8>]) {
    for message in messages {
        assert!(Wide::decode(message.as_slice()).expect("message").id >= 0);
    }
}

/// The format, and the columns as it reads them: the time is a number.
fn protobuf(schema: &SchemaRef) -> (Box<dyn Format>, SchemaRef) {
    let message = DescriptorProto { name: Some("Wide".to_owned()), field: wide_fields(), ..DescriptorProto::default() };
    let file = FileDescriptorProto { syntax: Some("proto3".to_owned()), message_type: vec![message], ..FileDescriptorProto::default() };
    let descriptors = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(descriptors.path(), FileDescriptorSet { file: vec![file] }.encode_to_vec()).expect("written");
    let number =
        |field: &Arc<Field>| if field.data_type().is_temporal() { Field::new(field.name(), DataType::Int64, true) } else { Field::clone(field) };
    let columns = Arc::new(Schema::new(schema.fields().iter().map(number).collect::<Vec<_>>()));
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.descriptor-file", descriptors.path().display().to_string(), None);
    bag.insert("f.message-name", "Wide", None);
    (ProtobufFactory.open("f.", &mut bag, &columns).expect("format"), columns)
}

/// With the declared type of a timestamp, which Avro needs to know.
fn typed(field: &Field) -> Field {
    field.clone().with_metadata(HashMap::from([(SQL_TYPE.to_owned(), "TIMESTAMP(3)".to_owned())]))
}

fn cpu_of(work: impl FnOnce()) -> Duration {
    let before = cpu::of_thread();
    work();
    cpu::of_thread().saturating_sub(before)
}

fn ours(case: &Case, wanted: &SchemaRef) {
    let mut decoder = case.format.decoder(wanted);
    for batch in case.messages.chunks(BATCH) {
        for message in batch {
            assert!(decoder.push(message) == Decoded::Row);
        }
        assert_eq!(decoder.take().expect("batch").num_rows(), batch.len());
    }
}

fn with_serde_json(_: &SchemaRef, messages: &[Vec<u8>]) {
    for message in messages {
        let value: Value = serde_json::from_slice(message).expect("JSON");
        assert!(value.is_object());
    }
}

fn with_apache_avro(schema: &SchemaRef, messages: &[Vec<u8>]) {
    let schema = avro_schema(schema);
    for mut message in messages.iter().map(Vec::as_slice) {
        let value = from_avro_datum(&schema, &mut message, None).expect("record");
        assert!(matches!(value, AvroValue::Record(_)));
    }
}

enum Builder {
    Long(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

fn with_csv(schema: &SchemaRef, messages: &[Vec<u8>]) {
    let mut builders: Vec<Builder> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Int64 => Builder::Long(Int64Builder::new()),
            DataType::Float64 => Builder::Double(Float64Builder::new()),
            DataType::Utf8 => Builder::Text(StringBuilder::new()),
            _ => Builder::Time(TimestampMicrosecondBuilder::new()),
        })
        .collect();
    let text = messages.join(&b'\n');
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut record).expect("line") {
        rows += 1;
        for (builder, field) in builders.iter_mut().zip(&record) {
            match builder {
                Builder::Long(longs) => longs.append_value(field.parse().expect("number")),
                Builder::Double(doubles) => doubles.append_value(field.parse().expect("number")),
                Builder::Text(texts) => texts.append_value(field),
                Builder::Time(times) => times.append_value(NaiveDateTime::parse_from_str(field, TIME).expect("time").and_utc().timestamp_micros()),
            }
        }
    }
    assert_eq!(rows, messages.len());
}

/// The fields of each message in the order of the columns.
fn fields<'a>(schema: &'a SchemaRef, json: &'a [Vec<u8>]) -> impl Iterator<Item = Vec<Value>> + 'a {
    json.iter().map(|message| {
        let mut object: serde_json::Map<String, Value> = serde_json::from_slice(message).expect("JSON");
        schema.fields().iter().map(|field| object.remove(field.name()).expect("field")).collect()
    })
}

/// The messages as the inserts of a change log.
fn events(json: &[Vec<u8>]) -> Vec<Vec<u8>> {
    json.iter()
        .map(|row| [br#"{"before":null,"after":"#.as_slice(), row, br#","source":{"db":"shop","table":"readings"},"op":"c","ts_ms":1}"#].concat())
        .collect()
}

fn lines(schema: &SchemaRef, json: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields(schema, json).map(|values| values.iter().map(text).collect::<Vec<_>>().join(",").into_bytes()).collect()
}

fn records(schema: &SchemaRef, json: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let written = avro_schema(schema);
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
        (field.name().clone(), AvroValue::Union(1, Box::new(value)))
    };
    let record = |values: Vec<Value>| AvroValue::Record(schema.fields().iter().zip(values).map(value).collect());
    fields(schema, json).map(|values| to_avro_datum(&written, record(values)).expect("datum")).collect()
}

/// The schema that Flink derives from the columns.
fn avro_schema(schema: &SchemaRef) -> AvroSchema {
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
    AvroSchema::parse_str(&format!(r#"{{"type":"record","name":"record","fields":[{}]}}"#, fields.join(","))).expect("schema")
}
