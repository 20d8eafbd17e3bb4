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
use crate::support::datasets::Dataset;
use crate::{MESSAGES, company, messages, registry, wide};

/// A format, its messages, and what others do with them.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) format: Box<dyn Format>,
    pub(crate) messages: Vec<Vec<u8>>,
    /// All columns.
    pub(crate) wanted: SchemaRef,
    /// Three of them.
    pub(crate) few: Option<SchemaRef>,
    pub(crate) baseline: &'static str,
    pub(crate) theirs: Box<dyn Fn(&[Vec<u8>])>,
}

impl Case {
    /// A case without a baseline.
    pub(crate) fn new(name: &str, format: Box<dyn Format>, wanted: &SchemaRef, messages: Vec<Vec<u8>>) -> Self {
        let rows: Vec<&FieldRef> = wanted.fields().iter().filter(|field| field.name() != ROW_KIND).collect();
        let few = (rows.len() > 3).then(|| Arc::new(wanted.project(&[0, rows.len() / 4, rows.len() - 1]).expect("columns")));
        Self { name: name.to_owned(), format, messages, wanted: Arc::clone(wanted), few, baseline: "nothing", theirs: Box::new(|_| ()) }
    }

    /// The case beside what others do.
    pub(crate) fn beside(self, baseline: &'static str, theirs: impl Fn(&[Vec<u8>]) + 'static) -> Self {
        Self { baseline, theirs: Box::new(theirs), ..self }
    }
}

/// What asks for schemas and modules, before anything is measured.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Every format.
pub(crate) fn all() -> Vec<Case> {
    let json = Dataset::Wide.messages(MESSAGES);
    let mut cases = Dataset::ALL
        .map(|dataset| {
            let name = format!("json, {}", dataset.name());
            Case::new(&name, open(&JsonFactory, &dataset.schema()), &dataset.schema(), dataset.messages(MESSAGES))
                .beside("serde_json", with_serde_json(0))
        })
        .into_iter()
        .collect::<Vec<_>>();
    cases.extend(change_logs(&json));
    cases.extend([csv(&json), avro(&json), protobuf(&json)]);
    cases.extend(of_a_registry(&json));
    cases.extend(raw(&json));
    cases.push(company::case());
    cases
}

/// The four formats of change logs in JSON.
pub(crate) fn change_logs(json: &[Vec<u8>]) -> [Case; 4] {
    let case = |factory: changes::ChangeFactory, messages| {
        Case::new(factory.name(), open(&factory, &declared()), &with_kind(), messages).beside("serde_json", with_serde_json(0))
    };
    [
        case(changes::debezium(), messages::debezium(json)),
        case(changes::canal(), messages::canal(json)),
        case(changes::maxwell(), messages::maxwell(json)),
        case(changes::ogg(), messages::ogg(json)),
    ]
}

/// Lines.
pub(crate) fn csv(json: &[Vec<u8>]) -> Case {
    let schema = Dataset::Wide.schema();
    Case::new("csv", open(&CsvFactory, &declared()), &schema, messages::lines(&schema, json)).beside("csv", with_csv(schema))
}

/// Records of Avro.
pub(crate) fn avro(json: &[Vec<u8>]) -> Case {
    let schema = Dataset::Wide.schema();
    let text = messages::avro_schema(&schema);
    let theirs = with_apache_avro(0, AvroSchema::parse_str(&text).expect("schema"));
    Case::new("avro", open(&AvroFactory, &declared()), &schema, messages::avro(&schema, json, &text)).beside("apache-avro", theirs)
}

/// Messages of Protocol Buffers.
pub(crate) fn protobuf(json: &[Vec<u8>]) -> Case {
    let descriptors = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(descriptors.path(), wide::descriptors().encode_to_vec()).expect("written");
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.descriptor-file", descriptors.path().display().to_string(), None);
    bag.insert("f.message-name", "Wide", None);
    let (schema, columns) = (Dataset::Wide.schema(), numbers());
    let format = ProtobufFactory.open("f.", &mut bag, &columns).expect("format");
    Case::new("protobuf", format, &columns, messages::protobuf(&schema, json)).beside("prost", with_prost(0))
}

/// The four formats of a registry.
fn of_a_registry(json: &[Vec<u8>]) -> [Case; 4] {
    let schema = Dataset::Wide.schema();
    let row = messages::avro_schema(&schema);
    let envelope = messages::avro_envelope(&row);
    let object = r#"{"type":"object"}"#.to_owned();
    let url = registry::start(vec![("AVRO", row.clone()), ("AVRO", envelope.clone()), ("JSON", object), ("PROTOBUF", wide::text())]);
    let case = |factory: registered::RegistryFactory, declared: &SchemaRef, wanted: &SchemaRef, messages: Vec<Vec<u8>>| {
        let format = registry::open(factory, &url, (declared, wanted), &messages[0]);
        Case::new(factory.name(), format, wanted, messages)
    };
    let parsed = |text: &str| AvroSchema::parse_str(text).expect("schema");
    let rows = registry::framed(1, &[], &messages::avro(&schema, json, &row));
    let changes = registry::framed(2, &[], &messages::debezium_avro(&schema, json, &envelope));
    let objects = registry::framed(3, &[], json);
    // The first type of the file.
    let types = registry::framed(4, &[0], &messages::protobuf(&schema, json));
    [
        case(registered::avro(), &declared(), &schema, rows).beside("apache-avro", with_apache_avro(5, parsed(&row))),
        case(registered::debezium(), &declared(), &with_kind(), changes).beside("apache-avro", with_apache_avro(5, parsed(&envelope))),
        case(registered::json(), &schema, &schema, objects).beside("serde_json", with_serde_json(5)),
        case(registered::protobuf(), &numbers(), &numbers(), types).beside("prost", with_prost(6)),
    ]
}

/// Messages as texts and as bytes, beside a builder of arrays.
fn raw(json: &[Vec<u8>]) -> [Case; 2] {
    let case = |name: &str, data_type| {
        let schema = Arc::new(Schema::new(vec![Field::new("value", data_type, true)]));
        Case::new(name, open(&RawFactory, &schema), &schema, json.to_vec())
    };
    [case("raw, STRING", DataType::Utf8).beside("StringBuilder", as_texts), case("raw, BYTES", DataType::Binary).beside("BinaryBuilder", as_bytes)]
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
