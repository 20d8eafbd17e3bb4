//! What is written: it has the id of a schema that was registered once, and is read again as it was.

use std::sync::Mutex;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::runtime::Runtime;
use weir_base::{Classified, ErrorKind};

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Server, answer_of, open, path, push};
use crate::error::ConnectorError;
use crate::format::back::random::{self, Limits};
use crate::format::changes::ROW_KIND;
use crate::format::registry::answers::Language;
use crate::format::registry::client::{Client, Server as Address, Settings};
use crate::format::registry::registration::{Registration, Target};
use crate::format::registry::{RegistryFactory, avro, debezium, json, protobuf};
use crate::format::{Decoded, Encoder, Format, FormatFactory as _};

/// A registry that remembers what is registered: id 1 is the first.
async fn remembering() -> Server {
    let schemas = Mutex::new(Vec::new());
    Server::start(move |request, _| {
        let mut schemas = schemas.lock().expect("schemas");
        match request.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("POST ") => {
                let body = body.to_owned();
                let id = schemas.iter().position(|known| *known == body).unwrap_or_else(|| {
                    schemas.push(body);
                    schemas.len() - 1
                });
                (200, format!(r#"{{"id":{}}}"#, id + 1))
            }
            _ => answer_of(request, &schemas),
        }
    })
    .await
}

/// What was posted.
fn posted(server: &Server) -> Vec<String> {
    server.asked.lock().expect("log").iter().filter(|request| request.starts_with("POST ")).cloned().collect()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime")
}

fn encoder(format: &dyn Format, schema: &SchemaRef) -> Box<dyn Encoder> {
    format.encoder(schema).expect("encoder")
}

/// Writes `batch` in a format that was opened for `declared`, and reads it again.
async fn read_again(server: &Server, factory: RegistryFactory, options: &[(&str, &str)], declared: &SchemaRef, batch: &RecordBatch) -> RecordBatch {
    let options = [&[("url", server.url.as_str()), ("subject", "s")], options].concat();
    let format = open(factory, declared, &options).expect("format");
    let encoder = encoder(&*format, &batch.schema());
    encoder.ready().await.expect("registered");
    let messages = encoder.encode(batch).expect("messages");
    let mut decoder = format.decoder(&batch.schema());
    for message in messages.iter().flatten() {
        assert_eq!(push(&mut *decoder, message).await.expect("answered"), Decoded::Row, "{}", String::from_utf8_lossy(message));
    }
    decoder.take().expect("batch")
}

#[test]
fn records_objects_and_changes_are_read_as_they_were_written() {
    let runtime = runtime();
    let server = runtime.block_on(remembering());
    proptest!(ProptestConfig::with_cases(64), |(seed in any::<u64>())| {
        let batch = random::batch(seed, &Limits { nanos: false, text_keys: true, plain_names: true, ..Limits::default() });
        for factory in [avro(), json()] {
            let again = runtime.block_on(read_again(&server, factory, &[], &batch.schema(), &batch));
            prop_assert_eq!(&again, &batch, "{}", factory.name());
        }
        let kinds: Vec<&str> = (0..batch.num_rows()).map(|row| if (seed >> (row % 64)) & 1 == 0 { "+I" } else { "-D" }).collect();
        let fields = batch.schema().fields().iter().map(|field| Field::clone(field)).chain([Field::new(ROW_KIND, DataType::Utf8, false)]).collect::<Vec<_>>();
        let columns = batch.columns().iter().cloned().chain([Arc::new(StringArray::from(kinds)) as _]).collect();
        let changes = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("batch");
        let again = runtime.block_on(read_again(&server, debezium(), &[], &batch.schema(), &changes));
        prop_assert_eq!(&again, &changes);
    });
}

#[test]
fn messages_of_protobuf_are_read_as_they_were_written() {
    let runtime = runtime();
    let server = runtime.block_on(remembering());
    let list = |element| DataType::List(Arc::new(Field::new("element", element, true)));
    let map = |key, value| {
        let entries = DataType::Struct(vec![Field::new("key", key, false), Field::new("value", value, true)].into());
        DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
    };
    let row = |inner| DataType::Struct(vec![Field::new("a", DataType::Utf8, false), Field::new("inner", inner, false)].into());
    let scalars = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(5),
    ];
    let mut fields = Vec::new();
    for (index, scalar) in scalars.into_iter().enumerate() {
        fields.push(Field::new(format!("nullable{index}"), scalar.clone(), true));
        fields.push(Field::new(format!("list{index}"), list(scalar.clone()), false));
        fields.push(Field::new(format!("map{index}"), map(if index % 2 == 0 { DataType::Utf8 } else { DataType::Int32 }, scalar.clone()), false));
        // Bytes of a fixed number have no zero that could be left out.
        fields.push(Field::new(format!("always{index}"), scalar.clone(), matches!(scalar, DataType::FixedSizeBinary(_))));
    }
    fields.push(Field::new("row", row(list(row(DataType::Int64))), true));
    fields.push(Field::new("rows", list(row(map(DataType::Utf8, row(DataType::Boolean)))), false));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    proptest!(ProptestConfig::with_cases(64), |(seed in any::<u64>())| {
        let batch = random::batch_of(seed, Arc::clone(&schema), &Limits { parts: "ab#\"' é", ..Limits::default() });
        let again = runtime.block_on(read_again(&server, protobuf(), &[], &schema, &batch));
        prop_assert_eq!(again, batch);
    });
}

fn rows() -> RecordBatch {
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)];
    let columns = vec![Arc::new(Int64Array::from(vec![1, 2])) as _, Arc::new(StringArray::from(vec![Some("a"), None])) as _];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("batch")
}

#[tokio::test]
async fn a_schema_is_registered_once_and_its_id_stands_before_each_message() {
    let server = remembering().await;
    let rows = rows();
    for (number, factory, language, body) in [
        (1, avro(), None, &b"\x02\x02\x02a"[..]),
        (2, json(), Some("JSON"), br#"{"id":1,"name":"a"}"#),
        (3, protobuf(), Some("PROTOBUF"), b"\x00\x08\x01\x12\x01a"),
    ] {
        let format = open(factory, &rows.schema(), &[("url", &server.url), ("subject", "a/b c")]).expect("format");
        let encoder = encoder(&*format, &rows.schema());
        let (first, second) = tokio::join!(encoder.ready(), encoder.ready());
        first.and(second).expect("registered");
        encoder.ready().await.expect("registered");
        let messages = encoder.encode(&rows).expect("messages");
        assert_eq!(messages.value(0), [&[0, 0, 0, 0, number][..], body].concat(), "{}", factory.name());
        let posted = posted(&server);
        assert_eq!(posted.len(), usize::from(number), "asked once");
        let request = posted.last().expect("a request");
        assert_eq!(path(request), "/subjects/a%2Fb%20c/versions");
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body.get("schemaType").and_then(|language| language.as_str()), language);
    }
    let format = open(avro(), &rows.schema(), &[("url", &server.url), ("subject", "s")]).expect("format");
    let bad = encoder(&*format, &rows.schema()).encode(&rows).expect_err("before it is ready");
    assert_eq!(bad.bad.reason, "the id of the schema is not known yet");
}

#[tokio::test]
async fn the_schema_that_the_user_gives_is_registered_and_written_by() {
    let server = remembering().await;
    let given = r#"{"type":"record","name":"Customer","namespace":"org.shop","fields":[{"name":"id","type":"int"},
        {"name":"name","type":[{"type":"enum","name":"Name","symbols":["b","a"]},"null"]}]}"#;
    let rows = rows();
    let format = open(avro(), &rows.schema(), &[("url", &server.url), ("subject", "s"), ("schema", given)]).expect("format");
    let encoder = encoder(&*format, &rows.schema());
    encoder.ready().await.expect("registered");
    let messages = encoder.encode(&rows).expect("messages");
    assert_eq!([messages.value(0), messages.value(1)], [b"\0\0\0\0\x01\x02\0\x02", b"\0\0\0\0\x01\x04\x02".as_slice()]);
    assert!(posted(&server).concat().contains("org.shop"));
    let large = RecordBatch::try_new(rows.schema(), vec![Arc::new(Int64Array::from(vec![1_i64 << 40])), Arc::new(StringArray::from(vec!["a"]))]);
    let bad = encoder.encode(&large.expect("batch")).expect_err("out of range").bad;
    assert_eq!(bad.located(), "column 'id': '1099511627776' is out of range for int");

    for (fields, why) in [
        (
            r#"{"name":"name","type":"string"},{"name":"id","type":"long"}"#,
            "column 'id': field 'name' is at its place, and what is written has the order",
        ),
        (r#"{"name":"id","type":"long"},{"name":"name","type":"string"},{"name":"x","type":"long"}"#, "there is no column for the field 'x'"),
        (r#"{"name":"id","type":"long"},{"name":"name","type":["null","bytes"]}"#, "column 'name': bytes is not written from Utf8"),
    ] {
        let given = format!(r#"{{"type":"record","name":"C","fields":[{fields}]}}"#);
        let format = open(avro(), &rows.schema(), &[("url", &server.url), ("subject", "s"), ("schema", &given)]).expect("it can be read with");
        let told = format.encoder(&rows.schema()).expect_err(why);
        assert!(told.starts_with(why), "{told}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_told_before_anything_is_asked() {
    let server = remembering().await;
    let column = |name: &str, data_type: DataType| -> SchemaRef { Arc::new(Schema::new(vec![Field::new(name, data_type, true)])) };
    let entries = DataType::Struct(vec![Field::new("key", DataType::Int64, false), Field::new("value", DataType::Int64, true)].into());
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    let nanos = DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, None);
    let with = [("url", server.url.as_str()), ("subject", "s")];
    for (factory, schema, options, why) in [
        (avro(), column("m", map), &with[..], "column 'm': the keys of Avro's maps are text"),
        (avro(), column("t", nanos.clone()), &with, "column 't': Avro does not support TIMESTAMP type with precision: 9"),
        (debezium(), column("a-b", DataType::Int64), &with, "column 'a-b': 'a-b' is no name in Avro"),
        (protobuf(), column("d", DataType::Decimal128(10, 2)), &with, "column 'd': Protocol Buffers have no form for Decimal128(10, 2)"),
        (json(), column("t", nanos), &with[..1], "One or more required options are missing: 'f.subject'"),
    ] {
        let told = open(factory, &schema, options).expect("it can be read").encoder(&schema).expect_err(why);
        assert!(told.starts_with(why), "{told}");
    }
    assert!(server.asked.lock().expect("log").is_empty());
}

/// What becomes of a schema of subject `s` with a registry that answers so.
async fn told(registers: bool, answer: impl Fn(&str, usize) -> (u16, String) + Send + 'static) -> (Server, Result<u32, ConnectorError>) {
    let server = Server::start(answer).await;
    let settings = Settings::of(vec![Address::parse(&server.url).expect("URL")]);
    let client = Client::new(Settings { first_wait: Duration::from_millis(1), ..settings }).expect("a client");
    let target = Target { client: Arc::new(client), object: "Table 'c.d.t'".to_owned(), subject: "s".to_owned(), registers };
    let registration = Arc::new(Registration::new(target, Language::Avro, "\"long\"".to_owned()));
    let told = Arc::clone(&registration).ensure().await;
    (server, told.map(|()| registration.id().expect("an id")))
}

#[tokio::test]
async fn a_registry_that_does_not_take_a_schema_or_is_away_is_told_with_the_subject() {
    let incompatible = r#"{"error_code":409,"message":"not compatible"}"#;
    let missing = r#"{"error_code":40403,"message":"Schema not found"}"#;
    for (registers, status, body, kind, parts) in [
        (true, 409, incompatible, ErrorKind::User, ["cannot be registered", "(409 not compatible)", "The schema must be compatible"]),
        (true, 422, "{}", ErrorKind::User, ["cannot be registered", "status 422", "does not take the schema"]),
        (true, 403, "", ErrorKind::User, ["cannot be registered", "status 403", "Check 'basic-auth.user-info'"]),
        (true, 503, "", ErrorKind::Transient, ["cannot be registered", "status 503", "given up after 10 tries"]),
        (false, 404, missing, ErrorKind::User, ["does not have the schema: Schema not found", "Register it", "\"long\""]),
    ] {
        let (server, told) = told(registers, move |_, _| (status, body.to_owned())).await;
        let error = told.expect_err("no id");
        assert_eq!(error.kind(), kind, "{error}");
        for part in parts.into_iter().chain(["Table 'c.d.t'", "subject 's'", server.url.as_str()]) {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
    }
    let (server, told) = told(false, |_, before| if before < 3 { (500, String::new()) } else { (200, r#"{"id":7,"version":1}"#.to_owned()) }).await;
    assert_eq!(told.expect("an id"), 7);
    assert_eq!(posted(&server).iter().map(|request| path(request)).collect::<Vec<_>>(), ["/subjects/s"; 4], "looked up, not registered");
    let counted = weir_base::metrics::exposition();
    assert!(counted.contains("weir_connectors_registry_requests_total{answer=\"away\"}"), "{counted}");
}
