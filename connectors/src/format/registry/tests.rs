//! Messages and their schemas, from a registry of the tests' own.

mod changes;
mod languages;
mod schemas;
mod trouble;
mod written;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use apache_avro::types::Value;
use apache_avro::{Schema as AvroSchema, to_avro_datum};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_base::options::{OptionBag, Problems};
use weir_base::task::{Task, spawn};

use super::RegistryFactory;
use crate::error::ConnectorError;
use crate::format::{BadMessage, Decoded, Decoder, Format, FormatFactory};

/// A registry that answers as it is told, and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _task: Task<()>,
}

impl Server {
    /// `answer` gets a request, its head and its body, and the number of requests before it; it gives a status and a body.
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
                let mut request = String::from_utf8_lossy(&head).into_owned();
                let length = request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut posted = vec![0; length.unwrap_or(0)];
                drop(wire.read_exact(&mut posted).await);
                request.push_str(&String::from_utf8_lossy(&posted));
                let before = log.lock().expect("log").len();
                let (status, body) = answer(&request, before);
                log.lock().expect("log").push(request);
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
