//! Messages whose schemas are of Protocol Buffers and of JSON.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Server, customers, framed, open, path, push, reason, shown};
use crate::format::Decoded;
use crate::format::registry::{json, protobuf};

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

    // What a type does not have is NULL, whatever stands under a number that is none.
    let more: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("number", DataType::Int64, true)]));
    let mut decoder = open(protobuf(), &more, &[("url", &server.url)]).expect("format").decoder(&more);
    assert_eq!(push(&mut *decoder, &framed(1, b"\x00\x08\x07")).await.expect("answered"), Decoded::Row);
    let bad = reason(&mut *decoder, &framed(1, b"\x00\x00\x05")).await.reason;
    assert!(bad.contains("a field has a number that is none"), "{bad}");
    assert_eq!(shown(&decoder.take().expect("batch")), ["7 NULL"]);

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
