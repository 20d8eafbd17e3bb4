//! Schemas of Avro that change, refer to others, or are not what the table wants.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;

use super::{Server, VERSIONS, customer, customers, framed, open, path, push, reason, shown};
use crate::format::registry::avro;
use crate::format::{Decoded, Format};

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
