//! An S3 server in memory that takes every PUT, whatever its conditions, and believes every signature. It runs on the test's own runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use weir_base::task::Task;

/// The user metadata that a put may bring.
const MARK: &str = "x-amz-meta-weirput";
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

#[derive(Clone)]
struct Object {
    content: Bytes,
    mark: Option<HeaderValue>,
}

#[derive(Clone, Default)]
struct Objects {
    /// By bucket and key, as they stand in URLs.
    by_path: Arc<Mutex<BTreeMap<String, Object>>>,
    puts: Arc<AtomicU32>,
}

/// The server; it ends when it is dropped.
pub(crate) struct CarelessS3 {
    uri: String,
    objects: Objects,
    _task: Task<()>,
}

impl CarelessS3 {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let objects = Objects::default();
        let router = Router::new().fallback(answer).with_state(objects.clone());
        let task = weir_base::task::spawn("careless S3", async move { axum::serve(listener, router).await.unwrap() });
        Self { uri, objects, _task: task }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The properties of a client.
    pub(crate) fn properties(&self) -> [(&str, &str); 3] {
        [("s3.endpoint", &self.uri), ("s3.access-key-id", "any"), ("s3.secret-access-key", "thing")]
    }

    /// What is there: `/bucket/key`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.objects.by_path.lock().unwrap().keys().cloned().collect()
    }

    /// How many objects were put so far.
    pub(crate) fn puts(&self) -> u32 {
        self.objects.puts.load(Ordering::SeqCst)
    }
}

async fn answer(State(objects): State<Objects>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().trim_end_matches('/').to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let content = to_bytes(body, 1 << 26).await.unwrap();
    let mut by_path = objects.by_path.lock().unwrap();
    match head.method {
        Method::PUT => {
            objects.puts.fetch_add(1, Ordering::SeqCst);
            by_path.insert(path, Object { content, mark: head.headers.get(MARK).cloned() });
            Response::builder().header("etag", "\"x\"").body(Body::empty()).unwrap()
        }
        Method::GET if query.contains("list-type=2") => Response::new(Body::from(listing(&by_path, &path, &query))),
        Method::GET | Method::HEAD => match by_path.get(&path) {
            None => status(StatusCode::NOT_FOUND),
            Some(object) => {
                let answer = Response::builder().header("etag", "\"x\"").header("last-modified", DATE);
                let answer = answer.header("content-length", object.content.len());
                let answer = object.mark.iter().fold(answer, |answer, mark| answer.header(MARK, mark));
                let content = if head.method == Method::GET { Body::from(object.content.clone()) } else { Body::empty() };
                answer.body(content).unwrap()
            }
        },
        Method::POST if query == "delete" => {
            let text = String::from_utf8(content.to_vec()).unwrap();
            let mut deleted = String::new();
            for key in text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
                by_path.remove(&format!("{path}/{key}"));
                write!(deleted, "<Deleted><Key>{key}</Key></Deleted>").unwrap();
            }
            Response::new(Body::from(format!("<DeleteResult>{deleted}</DeleteResult>")))
        }
        _ => status(StatusCode::NOT_IMPLEMENTED),
    }
}

/// The answer to `ListObjectsV2`, all of it at once.
fn listing(by_path: &BTreeMap<String, Object>, bucket: &str, query: &str) -> String {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().replace("%2F", "/");
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let (mut found, mut folders) = (String::new(), BTreeSet::new());
    for (path, object) in by_path {
        let Some(key) = path.strip_prefix(&format!("{bucket}/")).filter(|key| key.starts_with(&prefix)) else { continue };
        match key[prefix.len()..].split_once(&delimiter).filter(|_| !delimiter.is_empty()) {
            Some((folder, _)) => {
                folders.insert(format!("{prefix}{folder}{delimiter}"));
            }
            None => {
                let size = object.content.len();
                let date = "2026-01-01T00:00:00Z";
                write!(found, "<Contents><Key>{key}</Key><LastModified>{date}</LastModified><ETag>x</ETag><Size>{size}</Size></Contents>").unwrap();
            }
        }
    }
    for folder in folders {
        write!(found, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap();
    }
    format!("<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>")
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
