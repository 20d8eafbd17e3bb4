//! Changes of Debezium in Avro.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::types::Value;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Server, message, open, push, reason, shown, some, text};
use crate::format::changes::{ROW_KIND, TOLD};
use crate::format::registry::{avro, debezium};
use crate::format::{Decoded, FormatFactory as _};

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

#[tokio::test]
async fn what_debezium_tells_of_a_change_is_in_metadata_columns_in_avro_too() {
    let server = Server::of(&[ENVELOPE]).await;
    let declared: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let keys = ["value.source.properties", "value.source.timestamp", "value.ingestion-timestamp", "value.source.database"];
    let offered = debezium().metadata();
    assert!(offered.iter().all(|key| key.key != "value.schema"), "a message has no schema with it");
    let told = keys.map(|key| {
        let data_type = offered.iter().find(|offered| offered.key == key).expect("offered").data_type.clone();
        Field::new(key, data_type, true).with_metadata(HashMap::from([(TOLD.to_owned(), key.to_owned())]))
    });
    let fields: Vec<Field> = [Field::new("id", DataType::Int64, false)].into_iter().chain(told).collect();
    let mut decoder = open(debezium(), &declared, &[("url", &server.url)]).expect("format").decoder(&Arc::new(Schema::new(fields)));
    assert_eq!(push(&mut *decoder, &event(None, Some("Anne"), "c")).await.expect("answered"), Decoded::Row);
    assert_eq!(decoder.push(&event(Some("Anne"), Some("Bob"), "u")), Decoded::Rows(2));
    let row = "1004 {version: 2.7, ts_ms: 1, snapshot: false} 1970-01-01T00:00:00.001Z 1970-01-01T00:00:00.005Z NULL";
    assert_eq!(shown(&decoder.take().expect("batch")), [row; 3]);

    let map: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("source", offered.iter().find(|key| key.key == keys[0]).expect("a map").data_type.clone(), true)]));
    let mut decoder = open(avro(), &map, &[("url", &server.url)]).expect("format").decoder(&map);
    let bad = reason(&mut *decoder, &event(None, Some("Anne"), "c")).await.reason;
    assert!(bad.contains("a record cannot be read into Map"), "a column of the user's is what its type says: {bad}");
}
