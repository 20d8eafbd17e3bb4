//! Messages and their schemas, from a registry of the tests' own.

mod trouble;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use apache_avro::types::Value;
use apache_avro::{Schema as AvroSchema, to_avro_datum};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_base::options::{OptionBag, Problems};
use weir_base::task::{Task, spawn};

use super::{RegistryFactory, avro, debezium, json, protobuf};
use crate::error::ConnectorError;
use crate::format::changes::ROW_KIND;
use crate::format::{BadMessage, Decoded, Decoder, Format, FormatFactory};

/// A registry that answers as it is told, and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _task: Task<()>,
}

impl Server {
    /// `answer` gets a request's head and the number of requests before it; it gives a status and a body.
    async fn start(answer: impl Fn(&str, usize) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let task = spawn("a registry", async move {
            loop {
                let (mut wire, _) = listener.accept().await.expect("connection");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match wire.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let before = log.lock().expect("log").len();
                let (status, body) = answer(&head, before);
                log.lock().expect("log").push(head);
                let told = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                // A client that has heard enough hangs up.
                drop(wire.write_all(told.as_bytes()).await);
            }
        });
        Self { url, asked, _task: task }
    }

    /// A registry of these Avro schemas: id 1 is the first. Each is a version of the subject `t-value`.
    async fn of(schemas: &[&str]) -> Self {
        let schemas: Vec<String> = schemas.iter().map(|text| serde_json::json!({ "schema": text }).to_string()).collect();
        Self::start(move |head, _| answer_of(head, &schemas)).await
    }

    fn times_asked(&self, path: &str) -> usize {
        self.asked.lock().expect("log").iter().filter(|head| head.starts_with(&format!("GET {path} "))).count()
    }
}

/// The path of a request.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn answer_of(head: &str, schemas: &[String]) -> (u16, String) {
    let unknown = || (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned());
    let mut parts = path(head).split('/').skip(1);
    match [parts.next(), parts.next(), parts.next(), parts.next()] {
        [Some("schemas"), Some("ids"), Some(id), versions] => {
            let found = id.parse::<usize>().ok().and_then(|id| schemas.get(id.checked_sub(1)?));
            match (found, versions) {
                (Some(_), Some(_)) => (200, format!(r#"[{{"subject":"t-value","version":{id}}}]"#)),
                (Some(schema), None) => (200, schema.clone()),
                (None, _) => unknown(),
            }
        }
        _ => unknown(),
    }
}

fn open(factory: RegistryFactory, schema: &SchemaRef, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("f.{key}"), *value, None);
    }
    let format = factory.open("f.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

/// What becomes of a message, whatever it waits for.
async fn push(decoder: &mut dyn Decoder, message: &[u8]) -> Result<Decoded, ConnectorError> {
    loop {
        match decoder.push(message) {
            Decoded::Waits => decoder.wanted().await?,
            other => return Ok(other),
        }
    }
}

async fn reason(decoder: &mut dyn Decoder, message: &[u8]) -> BadMessage {
    let decoded = push(decoder, message).await.expect("answered");
    let Decoded::Failed(bad) = decoded else { panic!("{decoded:?}") };
    bad
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let value =
        |column: &Arc<dyn Array>, row| if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).expect("display") };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join(" ")).collect()
}

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

/// A message of `schema`, registered as `id`.
fn message(id: u32, schema: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let schema = AvroSchema::parse_str(schema).expect("schema");
    let record = Value::Record(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
    framed(id, &to_avro_datum(&schema, record).expect("datum"))
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

/// How the schema of a customer has changed: a field came and one went; the id became shorter, and the name another one.
const VERSIONS: [&str; 3] = [
    r#"{"type":"record","name":"C","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},{"name":"points","type":"float"}]}"#,
    r#"{"type":"record","name":"C","fields":[{"name":"email","type":["null","string"],"default":null},{"name":"id","type":"long"},
        {"name":"name","type":["null","string"]},{"name":"tags","type":{"type":"map","values":"string"}}]}"#,
    r#"{"type":"record","name":"C","fields":[{"name":"id","type":"int"},{"name":"full_name","aliases":["name"],"type":"string"},
        {"name":"points","type":"long"},{"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","OLD"]}}]}"#,
];

fn customers() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("email", DataType::Utf8, true),
        Field::new("points", DataType::Float64, true),
        Field::new("state", DataType::Utf8, true),
    ]))
}

/// One message of each version, and the row that it is.
fn customer(version: usize, id: i32) -> (Vec<u8>, String) {
    let number = u32::try_from(version).expect("small") + 1;
    let schema = VERSIONS[version];
    match version {
        0 => (
            message(number, schema, &[("id", Value::Long(id.into())), ("name", text("a")), ("points", Value::Float(1.5))]),
            format!("{id} a NULL 1.5 NULL"),
        ),
        1 => {
            let tags = Value::Map(HashMap::from([("k".to_owned(), text("v"))]));
            let fields =
                [("email", some(text("a@x"))), ("id", Value::Long(id.into())), ("name", Value::Union(0, Box::new(Value::Null))), ("tags", tags)];
            (message(number, schema, &fields), format!("{id} NULL a@x NULL NULL"))
        }
        _ => {
            let fields = [("id", Value::Int(id)), ("full_name", text("b")), ("points", Value::Long(7)), ("state", Value::Enum(1, "OLD".to_owned()))];
            (message(number, schema, &fields), format!("{id} b NULL 7.0 OLD"))
        }
    }
}

#[tokio::test]
async fn a_schema_may_change_from_message_to_message_and_is_asked_for_once() {
    let server = Server::of(&VERSIONS).await;
    let format = open(avro(), &customers(), &[("url", &server.url)]).expect("format");
    for _ in 0..2 {
        let mut decoder = format.decoder(&customers());
        let mut expected = Vec::new();
        for id in 0..9 {
            let (message, row) = customer(usize::try_from(id % 3).expect("small"), id);
            assert_eq!(push(&mut *decoder, &message).await.expect("answered"), Decoded::Row);
            expected.push(row);
        }
        assert_eq!(shown(&decoder.take().expect("batch")), expected);
    }
    assert_eq!([1, 2, 3].map(|id| server.times_asked(&format!("/schemas/ids/{id}"))), [1, 1, 1]);
}

#[tokio::test]
async fn bad_messages_are_told_with_the_id_and_the_place_of_their_schema() {
    let number = r#"{"type":"record","name":"C","fields":[{"name":"id","type":"string"},{"name":"name","type":"string"}]}"#;
    let other = r#"{"type":"record","name":"C","fields":[{"name":"x","type":"string"}]}"#;
    let server = Server::of(&[VERSIONS[0], number, "{\"type\":", other]).await;
    let format = open(avro(), &customers(), &[("url", &server.url)]).expect("format");
    let mut decoder = format.decoder(&customers());
    let decoder = &mut *decoder;
    for (message, expected, column) in [
        (&b"\x00\x00\x01"[..], "the message has 3 bytes, and the header of a schema registry 5", None),
        (b"{\"id\": 1}", "the message begins with byte 123, not with 0: it was not written with a schema registry", None),
        (&framed(1, b"\x02"), "schema 1 (subject 't-value' version 1): the message ends within a value that begins at byte 1", Some("name")),
        (&framed(2, b"\x02a\x02a"), "schema 2 (subject 't-value' version 2): string cannot be read into Int64", Some("id")),
        (&framed(3, b""), "schema 3 (subject 't-value' version 3): it is no schema of Avro that can be read: it is no JSON", None),
        (&framed(4, b"\x00"), "schema 4 (subject 't-value' version 4): there is no such field, and the column is NOT NULL", Some("id")),
        (&framed(77, b""), "the registry does not know schema 77: Schema not found", None),
    ] {
        let bad = reason(decoder, message).await;
        assert!(bad.reason.starts_with(expected), "{}", bad.reason);
        assert_eq!((bad.column.as_deref(), decoder.rows()), (column, 0));
    }
    reason(decoder, &framed(77, b"")).await;
    assert_eq!(server.times_asked("/schemas/ids/77"), 1, "an unknown id is remembered");
    assert_eq!(push(decoder, &customer(0, 5).0).await.expect("answered"), Decoded::Row);

    let emails = Arc::new(Schema::new(vec![Field::new("email", DataType::Utf8, true)]));
    let mut decoder = open(avro(), &emails, &[("url", &server.url)]).expect("format").decoder(&emails);
    let bad = reason(&mut *decoder, &framed(4, b"\x00")).await;
    assert_eq!(bad.reason, "schema 4 (subject 't-value' version 4): it has none of the table's columns");
}

#[tokio::test]
async fn what_a_message_is_does_not_depend_on_the_columns_that_are_wanted() {
    let nameless = r#"{"type":"record","name":"C","fields":[{"name":"name","type":"string"}]}"#;
    let server = Server::of(&["\"string\"", nameless, VERSIONS[0]]).await;
    let format = open(avro(), &customers(), &[("url", &server.url)]).expect("format");
    for wanted in [&[0, 1, 2, 3, 4][..], &[1], &[]] {
        let mut decoder = format.decoder(&Arc::new(customers().project(wanted).expect("columns")));
        let bad = reason(&mut *decoder, &framed(1, b"\x02a")).await;
        assert_eq!(bad.reason, "schema 1 (subject 't-value' version 1): it is no record");
        let bad = reason(&mut *decoder, &framed(2, b"\x02a")).await;
        assert!(bad.reason.contains("there is no such field, and the column is NOT NULL"), "{}", bad.reason);
        assert_eq!(bad.column.as_deref(), Some("id"));
        assert_eq!(push(&mut *decoder, &framed(3, &customer(0, 1).0[5..])).await.expect("answered"), Decoded::Row);
    }
}

#[tokio::test]
async fn what_a_schema_refers_to_is_asked_for_too_as_far_as_there_is_an_end() {
    let money = r#"{"type":"record","name":"Money","namespace":"org.shop","fields":[{"name":"unit","type":"org.shop.Unit"},{"name":"amount","type":"long"}]}"#;
    let unit = r#"{"type":"enum","name":"Unit","namespace":"org.shop","symbols":["EUR","USD"]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"org.shop","fields":[{"name":"unit","type":"Unit"},{"name":"price","type":"Money"}]}"#;
    let reference = |name: &str| serde_json::json!({"name": format!("org.shop.{name}"), "subject": name, "version": 1});
    let schema = |text: &str, references: &[&str]| {
        let references: Vec<_> = references.iter().map(|name| reference(name)).collect();
        serde_json::json!({"schema": text, "references": references}).to_string()
    };
    let answers = [
        ("/schemas/ids/1", schema(order, &["Unit", "Money"])),
        ("/subjects/Money/versions/1", schema(money, &["Unit"])),
        ("/subjects/Unit/versions/1", schema(unit, &[])),
        ("/schemas/ids/2", schema(order, &["Loop"])),
        ("/subjects/Loop/versions/1", schema(unit, &["Money", "Loop"])),
        ("/schemas/ids/3", schema(order, &["Gone"])),
        ("/schemas/ids/4", schema(order, &["Endless"])),
        ("/schemas/ids/5", schema(order, &["Layer0"])),
    ];
    // A chain without end, and layers of which each refers to the next one three times, under other names.
    let last = schema(money, &["Unit"]);
    let deeper = move |head: &str| {
        let (subject, version) = path(head).strip_prefix("/subjects/")?.split_once("/versions/")?;
        let next = |name: &str, subject: &str, version: i64| serde_json::json!({"name": name, "subject": subject, "version": version});
        let references = match subject.strip_prefix("Layer").map(str::parse::<u32>) {
            Some(Ok(20)) => return Some(last.clone()),
            Some(Ok(layer)) => ["a", "b", "c"].map(|name| next(name, &format!("Layer{}", layer + 1), 1)).to_vec(),
            _ if subject == "Endless" => vec![next("e", subject, version.parse::<i64>().ok()? + 1)],
            _ => return None,
        };
        Some(serde_json::json!({"schema": "\"string\"", "references": references}).to_string())
    };
    let server = Server::start(move |head, _| match answers.iter().find(|(known, _)| *known == path(head)) {
        Some((_, answer)) => (200, answer.clone()),
        None => match deeper(head) {
            Some(answer) => (200, answer),
            None => (404, r#"{"error_code":40401,"message":"Subject not found"}"#.to_owned()),
        },
    })
    .await;
    let row = DataType::Struct(vec![Field::new("unit", DataType::Utf8, true), Field::new("amount", DataType::Int64, true)].into());
    let columns: SchemaRef = Arc::new(Schema::new(vec![Field::new("price", row, true)]));
    let mut decoder = open(avro(), &columns, &[("url", &server.url)]).expect("format").decoder(&columns);
    assert_eq!(push(&mut *decoder, &framed(1, &[0, 2, 14])).await.expect("answered"), Decoded::Row);
    assert_eq!(push(&mut *decoder, &framed(2, &[0, 2, 14])).await.expect("answered"), Decoded::Row);
    assert_eq!(push(&mut *decoder, &framed(5, &[0, 2, 14])).await.expect("answered"), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch")), ["{unit: USD, amount: 7}"; 3]);
    assert_eq!(reason(&mut *decoder, &framed(4, &[])).await.reason, "schema 4: it refers to more than 256 schemas");
    assert_eq!(reason(&mut *decoder, &framed(3, &[])).await.reason, "schema 3: it refers to version 1 of subject 'Gone': Subject not found");
}

#[tokio::test]
async fn the_schema_to_read_with_knows_other_names_and_defaults() {
    let server = Server::of(&VERSIONS).await;
    let asked = r#"{"type":"record","name":"C","fields":[{"name":"number","type":"long","aliases":["id"]},
        {"name":"name","type":["null","string"]},{"name":"state","type":"string","default":"UNKNOWN"}]}"#;
    let columns = Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("state", DataType::Utf8, false),
    ]));
    let mut decoder = open(avro(), &columns, &[("url", &server.url), ("schema", asked)]).expect("format").decoder(&columns);
    for version in 0..3 {
        assert_eq!(push(&mut *decoder, &customer(version, 4).0).await.expect("answered"), Decoded::Row);
    }
    assert_eq!(shown(&decoder.take().expect("batch")), ["4 a UNKNOWN", "4 NULL UNKNOWN", "4 b OLD"]);
}

#[tokio::test]
async fn a_key_that_is_no_record_goes_into_the_only_column() {
    let server = Server::of(&["\"long\"", r#"{"type":"string"}"#]).await;
    let columns = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
    let mut decoder = open(avro(), &columns, &[("url", &server.url)]).expect("format").decoder(&columns);
    assert_eq!(push(&mut *decoder, &framed(1, &[84])).await.expect("answered"), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch")), ["42"]);
    assert_eq!(reason(&mut *decoder, &framed(2, b"\x02a")).await.column.as_deref(), Some("k"));
}

#[tokio::test]
async fn a_message_of_protobuf_says_which_type_of_the_file_it_is() {
    let money = r#"syntax = "proto3"; package org; message Money { int64 cents = 1; }"#;
    let shop = r#"syntax = "proto3"; package shop; import "money.proto";
        message Key { int64 id = 1; } message Order { int64 id = 1; string name = 2; org.Money paid = 3; message Line { int64 id = 1; bool name = 2; } }"#;
    let reference = serde_json::json!([{"name": "money.proto", "subject": "money", "version": 3}]);
    let answers = [
        ("/schemas/ids/1", serde_json::json!({"schemaType": "PROTOBUF", "schema": shop, "references": reference}).to_string()),
        ("/subjects/money/versions/3", serde_json::json!({"schemaType": "PROTOBUF", "schema": money}).to_string()),
        ("/schemas/ids/2", serde_json::json!({"schema": "\"long\""}).to_string()),
        ("/schemas/ids/3", serde_json::json!({"schemaType": "PROTOBUF", "schema": "message {"}).to_string()),
    ];
    let server = Server::start(move |head, _| match answers.iter().find(|(known, _)| *known == path(head)) {
        Some((_, answer)) => (200, answer.clone()),
        None => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
    })
    .await;
    let paid = DataType::Struct(vec![Field::new("cents", DataType::Int64, true)].into());
    let columns: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("paid", paid, true),
    ]));
    let mut decoder = open(protobuf(), &columns, &[("url", &server.url)]).expect("format").decoder(&columns);
    let decoder = &mut *decoder;
    for body in [&b"\x00\x08\x07"[..], b"\x02\x02\x08\x08\x12\x01a\x1a\x02\x08\x05", b"\x02\x00\x08\x09", b"\x02\x02\x08\x0a"] {
        assert_eq!(push(decoder, &framed(1, body)).await.expect("answered"), Decoded::Row);
    }
    for (id, body, expected) in [
        (1, &b"\x04\x02\x00\x08\x07"[..], "schema 1: column 'name': bool cannot be read into Utf8"),
        (1, b"\x02\x06", "schema 1: it has no message at [3]"),
        (1, b"\x09", "schema 1: -5 is no place of a message's type"),
        (1, b"\xfe\xff\xff\xff\x0f", "schema 1: the message ends within the places of its type"),
        (2, b"", "schema 2: it is a schema of Avro, not of Protobuf"),
        (3, b"", "schema 3: it is no schema of Protobuf that can be read: "),
        (4, b"", "the registry does not know schema 4: Schema not found"),
    ] {
        let bad = reason(decoder, &framed(id, body)).await.reason;
        assert!(bad.starts_with(expected), "{bad}");
    }
    let rows = ["7 NULL NULL", "8 a {cents: 5}", "9 NULL NULL", "10  NULL"];
    assert_eq!(shown(&decoder.take().expect("batch")), rows);

    // A type that has nothing of the table: whatever its numbers hold, it is not for here.
    let columns: SchemaRef = Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, true), Field::new("paid", DataType::Int64, true)]));
    for wanted in [&[0, 1][..], &[0]] {
        let wanted = Arc::new(columns.project(wanted).expect("columns"));
        let mut decoder = open(protobuf(), &columns, &[("url", &server.url)]).expect("format").decoder(&wanted);
        let bad = reason(&mut *decoder, &framed(1, b"\x00\x08\x07")).await.reason;
        assert_eq!(bad, "schema 1: message 'shop.Key' has none of the table's columns");
        let bad = reason(&mut *decoder, &framed(1, b"\x02\x02\x08\x08")).await.reason;
        assert!(bad.starts_with("schema 1: column 'paid': message org.Money cannot be read into Int64"), "{bad}");
        let bad = reason(&mut *decoder, &framed(1, &[&[0x82, 1][..], &[0; 65]].concat())).await.reason;
        assert_eq!(bad, "schema 1: the type of the message has 65 places, and 64 at most are read");
    }
}

#[tokio::test]
async fn a_message_of_json_needs_a_schema_of_json_and_is_read_by_the_options_of_json() {
    let server = Server::start(|head, _| match path(head) {
        "/schemas/ids/1" => (200, r#"{"schemaType":"JSON","schema":"{}"}"#.to_owned()),
        _ => (200, r#"{"schema":"\"long\""}"#.to_owned()),
    })
    .await;
    let options = [("url", server.url.as_str()), ("ignore-parse-errors", "true")];
    let mut decoder = open(json(), &customers(), &options).expect("format").decoder(&customers());
    let decoder = &mut *decoder;
    assert_eq!(push(decoder, &framed(1, br#"{"id":1,"name":"a","points":"x"}"#)).await.expect("answered"), Decoded::Row);
    assert_eq!(push(decoder, &framed(1, b"null")).await.expect("answered"), Decoded::Nothing);
    for (message, expected) in [
        (framed(1, b"{"), "schema 1: "),
        (framed(2, b"{}"), "schema 2: it is a schema of Avro, not of JSON"),
        (b"{}".to_vec(), "the message has 2 bytes"),
    ] {
        let decoded = push(decoder, &message).await.expect("answered");
        let Decoded::Skipped(bad) = decoded else { panic!("{decoded:?}") };
        assert!(bad.reason.starts_with(expected), "{}", bad.reason);
        assert_eq!(bad.tolerated_by.as_deref(), Some("f.ignore-parse-errors"));
    }
    assert_eq!((shown(&decoder.take().expect("batch")), decoder.field_errors()), (vec!["1 a NULL NULL NULL".to_owned()], 1));
}

/// An envelope as Debezium's MySQL connector registers it.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"server.inventory.customers","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"first_name","type":"string"},
        {"name":"born","type":["null",{"type":"int","connect.version":1,"connect.name":"io.debezium.time.Date"}],"default":null}],
        "connect.name":"server.inventory.customers.Value"}],"default":null},
    {"name":"after","type":["null","Value"],"default":null},
    {"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.mysql","fields":[
        {"name":"version","type":"string"},{"name":"ts_ms","type":"long"},{"name":"snapshot","type":[{"type":"string","connect.version":1},"null"]}]}},
    {"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null}],
    "connect.name":"server.inventory.customers.Envelope"}"#;

fn event(before: Option<&str>, after: Option<&str>, op: &str) -> Vec<u8> {
    let row = |name: Option<&str>| match name {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(name) => some(Value::Record(vec![
            ("id".to_owned(), Value::Int(1004)),
            ("first_name".to_owned(), text(name)),
            ("born".to_owned(), some(Value::Int(3_000))),
        ])),
    };
    let snapshot = Value::Union(0, Box::new(text("false")));
    let source = Value::Record(vec![("version".to_owned(), text("2.7")), ("ts_ms".to_owned(), Value::Long(1)), ("snapshot".to_owned(), snapshot)]);
    message(1, ENVELOPE, &[("before", row(before)), ("after", row(after)), ("source", source), ("op", text(op)), ("ts_ms", some(Value::Long(5)))])
}

#[tokio::test]
async fn changes_of_debezium_in_avro_are_rows_with_their_kind() {
    let server = Server::of(&[ENVELOPE]).await;
    let declared: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("first_name", DataType::Utf8, true),
        Field::new("born", DataType::Date32, true),
    ]));
    let fields: Vec<Field> = declared.fields().iter().map(|field| Field::clone(field)).chain([Field::new(ROW_KIND, DataType::Utf8, false)]).collect();
    let mut decoder = open(debezium(), &declared, &[("url", &server.url)]).expect("format").decoder(&Arc::new(Schema::new(fields)));
    let decoder = &mut *decoder;
    assert_eq!(push(decoder, &event(None, Some("Anne"), "c")).await.expect("answered"), Decoded::Row);
    assert_eq!(decoder.push(&event(Some("Anne"), Some("Anne Marie"), "u")), Decoded::Rows(2));
    assert_eq!(decoder.push(&event(Some("Anne Marie"), None, "d")), Decoded::Row);
    let Decoded::Failed(bad) = decoder.push(&event(None, Some("Bob"), "u")) else { panic!("an update without the row before") };
    assert!(bad.reason.starts_with("The \"before\" field of \"UPDATE\" message is null"), "{}", bad.reason);
    let rows = ["1004 Anne 1978-03-20 +I", "1004 Anne 1978-03-20 -U", "1004 Anne Marie 1978-03-20 +U", "1004 Anne Marie 1978-03-20 -D"];
    assert_eq!(shown(&decoder.take().expect("batch")), rows);
}

#[tokio::test]
async fn a_change_of_another_table_is_a_bad_message_and_no_row_of_nulls() {
    let transaction = r#"{"type":"record","name":"T","fields":[{"name":"status","type":"string"},{"name":"id","type":"string"}]}"#;
    let server = Server::of(&[ENVELOPE, transaction]).await;
    let change = event(None, Some("Anne"), "c");
    for (id, columns, wanted, expected) in [
        ("number", ["name", "email"], &[1, 2, 3][..], "it has none of the table's columns"),
        ("number", ["name", "email"], &[3], "it has none of the table's columns"),
        ("id", ["first_name", "email"], &[0], "there is no such field, and the column is NOT NULL"),
    ] {
        let last = Field::new(columns[1], DataType::Utf8, id != "id");
        let fields = [Field::new(id, DataType::Int64, true), Field::new(columns[0], DataType::Utf8, true), last];
        let declared: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let all = Schema::new([&fields[..], &[Field::new(ROW_KIND, DataType::Utf8, false)]].concat());
        let format = open(debezium(), &declared, &[("url", &server.url)]).expect("format");
        let mut decoder = format.decoder(&Arc::new(all.project(wanted).expect("columns")));
        let bad = reason(&mut *decoder, &change).await.reason;
        assert!(bad.contains(expected), "{bad}");
        let begin = message(2, transaction, &[("status", text("BEGIN")), ("id", text("1"))]);
        assert_eq!(push(&mut *decoder, &begin).await.expect("answered"), Decoded::Nothing);
    }
}

/// A format that knows all versions already.
fn warm() -> Box<dyn Format> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let server = Server::of(&VERSIONS).await;
        let format = open(avro(), &customers(), &[("url", &server.url)]).expect("format");
        for version in 0..3 {
            push(&mut *format.decoder(&customers()), &customer(version, 1).0).await.expect("answered");
        }
        format
    })
}

#[test]
fn rows_are_those_of_their_own_schema_in_whatever_order_and_no_message_is_a_panic() {
    let format = warm();
    proptest!(|(versions in prop::collection::vec((0_usize..3, any::<i32>()), 1..60), noise in prop::collection::vec(any::<u8>(), 0..30), cut in 0_usize..40)| {
        let mut decoder = format.decoder(&customers());
        let mut expected = Vec::new();
        for (version, id) in versions {
            let (message, row) = customer(version, id);
            prop_assert_eq!(decoder.push(&message), Decoded::Row);
            expected.push(row);
            let damaged = [&message[..cut.min(message.len())], &noise[..]].concat();
            if decoder.push(&damaged) == Decoded::Row {
                prop_assert!(damaged.starts_with(&message[..5]), "only what has the header can be a row");
                let rows = shown(&decoder.take().expect("batch"));
                prop_assert_eq!(&rows[..rows.len() - 1], &expected[..]);
                expected.clear();
            }
        }
        prop_assert_eq!(shown(&decoder.take().expect("batch")), expected);
    });
}
