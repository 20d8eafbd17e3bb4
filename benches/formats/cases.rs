//! Every format, its messages, and what others do with them.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema as AvroSchema;
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use prost::Message as _;
use tokio::runtime::Runtime;
use weir_base::options::OptionBag;
use weir_connectors::format::avro::AvroFactory;
use weir_connectors::format::changes::{self, ROW_KIND};
use weir_connectors::format::csv::CsvFactory;
use weir_connectors::format::json::JsonFactory;
use weir_connectors::format::protobuf::ProtobufFactory;
use weir_connectors::format::raw::RawFactory;
use weir_connectors::format::registry as registered;
use weir_connectors::format::{Format, FormatFactory, SQL_TYPE};

use crate::baselines::{as_bytes, as_texts, with_apache_avro, with_csv, with_prost, with_serde_json};
use crate::messages::Messages;
use crate::support::datasets::{Dataset, packed};
use crate::{MESSAGES, company, messages, registry, wide};

/// Reads messages as others would.
type Baseline = Box<dyn Fn(&[&[u8]])>;

/// A format, its messages, and what others do with them.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) format: Box<dyn Format>,
    pub(crate) messages: Messages,
    /// All columns.
    pub(crate) wanted: SchemaRef,
    /// Three of them.
    pub(crate) few: Option<SchemaRef>,
    pub(crate) baseline: &'static str,
    pub(crate) theirs: Baseline,
}

impl Case {
    /// A case without a baseline.
    pub(crate) fn new(name: &str, format: Box<dyn Format>, wanted: &SchemaRef, messages: Messages) -> Self {
        let rows: Vec<&FieldRef> = wanted.fields().iter().filter(|field| field.name() != ROW_KIND).collect();
        let few = (rows.len() > 3).then(|| Arc::new(wanted.project(&[0, rows.len() / 4, rows.len() - 1]).expect("columns")));
        Self { name: name.to_owned(), format, messages, wanted: Arc::clone(wanted), few, baseline: "nothing", theirs: Box::new(|_| ()) }
    }

    /// The case beside what others do.
    pub(crate) fn beside(self, baseline: &'static str, theirs: impl Fn(&[&[u8]]) + 'static) -> Self {
        Self { baseline, theirs: Box::new(theirs), ..self }
    }
}

/// What asks for schemas and modules, before anything is measured.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Every format: its name, and what makes its case of the wide messages in JSON.
pub(crate) const ALL: [(&str, Make); 16] = [
    ("json, small", |_| json(Dataset::Small, "json, small")),
    ("json, wide", |_| json(Dataset::Wide, "json, wide")),
    ("debezium-json", |rows| change_log(changes::debezium(), messages::debezium(rows))),
    ("canal-json", |rows| change_log(changes::canal(), messages::canal(rows))),
    ("maxwell-json", |rows| change_log(changes::maxwell(), messages::maxwell(rows))),
    ("ogg-json", |rows| change_log(changes::ogg(), messages::ogg(rows))),
    ("csv", csv),
    ("avro", avro),
    ("protobuf", protobuf),
    ("avro-confluent", avro_of_a_registry),
    ("debezium-avro-confluent", changes_of_a_registry),
    ("json-registry", json_of_a_registry),
    ("proto-registry", protobuf_of_a_registry),
    ("raw, STRING", |rows| raw("raw, STRING", DataType::Utf8, rows).beside("StringBuilder", as_texts)),
    ("raw, BYTES", |rows| raw("raw, BYTES", DataType::Binary, rows).beside("BinaryBuilder", as_bytes)),
    ("wasm", |_| company::case()),
];

/// What makes a case of the wide messages in JSON.
pub(crate) type Make = fn(&[&[u8]]) -> Case;

/// Objects of a data set.
pub(crate) fn json(dataset: Dataset, name: &str) -> Case {
    let schema = dataset.schema();
    Case::new(name, open(&JsonFactory, &schema), &schema, dataset.messages(MESSAGES)).beside("serde_json", with_serde_json(0))
}

/// Inserts in one of the four formats of change logs in JSON.
fn change_log(factory: changes::ChangeFactory, messages: Messages) -> Case {
    Case::new(factory.name(), open(&factory, &declared()), &with_kind(), messages).beside("serde_json", with_serde_json(0))
}

/// Lines.
pub(crate) fn csv(json: &[&[u8]]) -> Case {
    let schema = Dataset::Wide.schema();
    Case::new("csv", open(&CsvFactory, &declared()), &schema, messages::lines(&schema, json)).beside("csv", with_csv(schema))
}

/// Records of Avro.
pub(crate) fn avro(json: &[&[u8]]) -> Case {
    let schema = Dataset::Wide.schema();
    let text = messages::avro_schema(&schema);
    let theirs = with_apache_avro(0, AvroSchema::parse_str(&text).expect("schema"));
    Case::new("avro", open(&AvroFactory, &declared()), &schema, messages::avro(&schema, json, &text)).beside("apache-avro", theirs)
}

/// Messages of Protocol Buffers.
pub(crate) fn protobuf(json: &[&[u8]]) -> Case {
    let descriptors = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(descriptors.path(), wide::descriptors().encode_to_vec()).expect("written");
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.descriptor-file", descriptors.path().display().to_string(), None);
    bag.insert("f.message-name", "Wide", None);
    let (schema, columns) = (Dataset::Wide.schema(), numbers());
    let format = ProtobufFactory.open("f.", &mut bag, &columns).expect("format");
    Case::new("protobuf", format, &columns, messages::protobuf(&schema, json)).beside("prost", with_prost(0))
}

fn avro_of_a_registry(json: &[&[u8]]) -> Case {
    let schema = Dataset::Wide.schema();
    let text = messages::avro_schema(&schema);
    let messages = registry::framed(&[], &messages::avro(&schema, json, &text));
    let theirs = with_apache_avro(5, AvroSchema::parse_str(&text).expect("schema"));
    let format = registry::open(registered::avro(), ("AVRO", text), (&declared(), &schema), messages[0]);
    Case::new("avro-confluent", format, &schema, messages).beside("apache-avro", theirs)
}

fn changes_of_a_registry(json: &[&[u8]]) -> Case {
    let schema = Dataset::Wide.schema();
    let text = messages::avro_envelope(&messages::avro_schema(&schema));
    let messages = registry::framed(&[], &messages::debezium_avro(&schema, json, &text));
    let theirs = with_apache_avro(5, AvroSchema::parse_str(&text).expect("schema"));
    let format = registry::open(registered::debezium(), ("AVRO", text), (&declared(), &with_kind()), messages[0]);
    Case::new("debezium-avro-confluent", format, &with_kind(), messages).beside("apache-avro", theirs)
}

fn json_of_a_registry(json: &[&[u8]]) -> Case {
    let schema = Dataset::Wide.schema();
    let messages = registry::framed(&[], json);
    let format = registry::open(registered::json(), ("JSON", r#"{"type":"object"}"#.to_owned()), (&schema, &schema), messages[0]);
    Case::new("json-registry", format, &schema, messages).beside("serde_json", with_serde_json(5))
}

fn protobuf_of_a_registry(json: &[&[u8]]) -> Case {
    // The first type of the file.
    let messages = registry::framed(&[0], &messages::protobuf(&Dataset::Wide.schema(), json));
    let format = registry::open(registered::protobuf(), ("PROTOBUF", wide::text()), (&numbers(), &numbers()), messages[0]);
    Case::new("proto-registry", format, &numbers(), messages).beside("prost", with_prost(6))
}

/// Messages as values of one type.
fn raw(name: &str, data_type: DataType, json: &[&[u8]]) -> Case {
    let schema = Arc::new(Schema::new(vec![Field::new("value", data_type, true)]));
    Case::new(name, open(&RawFactory, &schema), &schema, packed(json.iter().map(|message| message.to_vec())))
}

/// A format without options.
pub(crate) fn open(factory: &dyn FormatFactory, columns: &SchemaRef) -> Box<dyn Format> {
    factory.open("f.", &mut OptionBag::new("Table 'bench'"), columns).expect("format")
}

/// The wide columns with the declared type of a timestamp, which Avro needs to know.
fn declared() -> SchemaRef {
    let typed = |field: &FieldRef| Field::clone(field).with_metadata(HashMap::from([(SQL_TYPE.to_owned(), "TIMESTAMP(3)".to_owned())]));
    Arc::new(Schema::new(Dataset::Wide.schema().fields().iter().map(typed).collect::<Vec<_>>()))
}

/// The wide columns and the kind of a change, which every job looks at.
fn with_kind() -> SchemaRef {
    let kind = Field::new(ROW_KIND, DataType::Utf8, false);
    Arc::new(Schema::new(Dataset::Wide.schema().fields().iter().map(|field| Field::clone(field)).chain([kind]).collect::<Vec<_>>()))
}

/// The wide columns as Protocol Buffers have them: the time is a number.
fn numbers() -> SchemaRef {
    let number =
        |field: &FieldRef| if field.data_type().is_temporal() { Field::new(field.name(), DataType::Int64, true) } else { Field::clone(field) };
    Arc::new(Schema::new(Dataset::Wide.schema().fields().iter().map(number).collect::<Vec<_>>()))
}
