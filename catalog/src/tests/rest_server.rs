//! A small Iceberg REST server of one table, which misbehaves on command.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec};
use iceberg::{TableRequirement, TableUpdate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;
use weir_base::task::{Task, spawn};

use super::support::table_id;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::metadata_file::next_version;

/// How one request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is not carried out; this status.
    Status(u16),
    /// It is not carried out; this status, and a wish to be left alone for so many seconds.
    RetryAfter(u16, u32),
    /// It is carried out; this status all the same.
    DoneBut(u16),
    /// It is carried out; the answer is no JSON.
    DoneButGarbage,
    /// It is carried out; the connection ends without an answer.
    DoneButSilent,
    /// It is not carried out; the connection ends without an answer.
    Silent,
    /// It is carried out; the answer never comes.
    DoneButLate,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    metadata: Option<(TableMetadata, String)>,
    /// Acts for the next requests of a method on the table.
    pub(crate) script: HashMap<&'static str, VecDeque<Act>>,
    /// `METHOD path`, in order.
    pub(crate) log: Vec<String>,
    /// Tokens that are accepted; empty: everything is.
    pub(crate) tokens: Vec<String>,
    /// Tokens given for credentials, in order.
    pub(crate) grants: VecDeque<String>,
    root: String,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    _accepting: Task<()>,
}

pub(crate) async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let state = Arc::new(Mutex::new(State { root: format!("memory://{}/w", Uuid::new_v4()), ..State::default() }));
    let shared = Arc::clone(&state);
    let accepting = spawn("test-rest-server", async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&shared);
            connections.push(spawn("test-rest-connection", async move { serve(stream, &state).await.unwrap_or_default() }));
        }
    });
    Server { address, state, _accepting: accepting }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0_u8; 8192];
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            break (head, bytes[end + 4..end + 4 + length].to_vec());
        }
    };
    let (status, extra, text) = match answer(&head, &body, state) {
        Reply::Text(status, extra, text) => (status, extra, text),
        Reply::Nothing => return Ok(()),
        Reply::Never => std::future::pending().await,
    };
    let text = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n{extra}\r\n{text}", text.len());
    stream.write_all(text.as_bytes()).await
}

enum Reply {
    Text(u16, String, String),
    Nothing,
    Never,
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn answer(head: &str, body: &[u8], state: &Mutex<State>) -> Reply {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut state = state.lock().expect("not poisoned");
    state.log.push(format!("{method} {path}"));
    if path == "/c/v1/oauth/tokens" {
        return match state.grants.pop_front() {
            Some(token) => Reply::Text(200, String::new(), json!({ "access_token": token, "token_type": "bearer", "expires_in": 3600 }).to_string()),
            None => Reply::Text(401, String::new(), json!({ "error": "invalid_client" }).to_string()),
        };
    }
    let token = header(head, "authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if !state.tokens.is_empty() && !state.tokens.iter().any(|known| known == token) {
        return Reply::Text(401, String::new(), error("NotAuthorizedException", "token expired"));
    }
    let on_table = path.split('?').next().unwrap_or_default().ends_with("/tables/orders");
    let key = if method == "POST" { "POST" } else { "GET" };
    let act = if on_table { state.script.get_mut(key).and_then(VecDeque::pop_front) } else { None };
    let carried_out = |state: &mut State| state.respond(&method, &path, body);
    let text = |(status, text): (u16, String)| Reply::Text(status, String::new(), text);
    match act {
        None => text(carried_out(&mut state)),
        Some(Act::Status(status)) => text((status, error("Exception", "on command"))),
        Some(Act::RetryAfter(status, seconds)) => Reply::Text(status, format!("retry-after: {seconds}\r\n"), error("Exception", "on command")),
        Some(Act::DoneBut(status)) => {
            carried_out(&mut state);
            text((status, "<html>".to_owned()))
        }
        Some(Act::DoneButGarbage) => {
            carried_out(&mut state);
            text((200, "{\"metadata\": 7".to_owned()))
        }
        Some(Act::DoneButSilent) => {
            carried_out(&mut state);
            Reply::Nothing
        }
        Some(Act::Silent) => Reply::Nothing,
        Some(Act::DoneButLate) => {
            carried_out(&mut state);
            Reply::Never
        }
    }
}

fn error(kind: &str, message: &str) -> String {
    json!({ "error": { "message": message, "type": kind, "code": 0 } }).to_string()
}

impl State {
    fn respond(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let path = path.split('?').next().unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, path) {
            ("GET", "/c/v1/config") => (200, json!({ "defaults": { "x": "y" }, "overrides": { "prefix": "pre/fix" } }).to_string()),
            ("POST", "/c/v1/pre/fix/namespaces") => (200, json!({ "namespace": body["namespace"] }).to_string()),
            ("GET", "/c/v1/pre/fix/namespaces") => (200, json!({ "namespaces": [["shop"], ["a"]] }).to_string()),
            ("GET", "/c/v1/pre/fix/namespaces/shop") => (200, json!({ "namespace": ["shop"] }).to_string()),
            ("POST", "/c/v1/pre/fix/namespaces/shop/tables") => self.create(&body),
            ("GET", "/c/v1/pre/fix/namespaces/shop/tables/orders") => self.load(),
            ("POST", "/c/v1/pre/fix/namespaces/shop/tables/orders") => self.commit(&body),
            _ => (404, error("NoSuchThingException", path)),
        }
    }

    fn create(&mut self, body: &Value) -> (u16, String) {
        if self.metadata.is_some() {
            return (409, error("AlreadyExistsException", "table exists"));
        }
        let schema: Schema = serde_json::from_value(body["schema"].clone()).expect("a schema");
        let spec: UnboundPartitionSpec = serde_json::from_value(body["partition-spec"].clone()).expect("a spec");
        assert_eq!(body["partition-spec"]["spec-id"], 0, "as Iceberg's Java servers demand");
        let mut properties: HashMap<String, String> = serde_json::from_value(body["properties"].clone()).expect("properties");
        assert_eq!(properties.remove("format-version").as_deref(), Some("2"));
        let location = format!("{}/shop/orders", self.root);
        let built = TableMetadataBuilder::new(schema, spec, SortOrder::unsorted_order(), location.clone(), FormatVersion::V2, properties)
            .and_then(TableMetadataBuilder::build)
            .expect("builds");
        self.metadata = Some((built.metadata, format!("{location}/metadata/00000-{}.metadata.json", Uuid::new_v4())));
        self.load()
    }

    fn load(&self) -> (u16, String) {
        match &self.metadata {
            None => (404, error("NoSuchTableException", "no such table")),
            Some((metadata, location)) => {
                (200, json!({ "metadata-location": location, "metadata": metadata, "config": { "s3.region": "here" } }).to_string())
            }
        }
    }

    fn commit(&mut self, body: &Value) -> (u16, String) {
        let Some((metadata, location)) = &self.metadata else { return (404, error("NoSuchTableException", "no such table")) };
        let requirements: Vec<TableRequirement> = serde_json::from_value(body["requirements"].clone()).expect("requirements");
        let updates: Vec<TableUpdate> = serde_json::from_value(body["updates"].clone()).expect("updates");
        let file_io = iceberg::io::FileIO::new_with_memory();
        let base =
            LakeTable { catalog: "lake".into(), id: table_id(), metadata: Arc::new(metadata.clone()), metadata_location: location.clone(), file_io };
        match next_version(&base, &requirements, updates) {
            Ok(next) => {
                self.metadata = Some((next.metadata.as_ref().clone(), next.location.to_string()));
                self.load()
            }
            Err(CatalogError::Conflict(message)) => (409, error("CommitFailedException", &message)),
            Err(other) => (400, error("ValidationException", &other.to_string())),
        }
    }
}
