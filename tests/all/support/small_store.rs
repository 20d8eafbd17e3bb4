//! A small object store in memory, which speaks what the XML interfaces of S3 and of Google Cloud Storage have in common. It believes every
//! signature and runs on the test's own runtime.
//!
//! As S3 it is careless: it takes every PUT, whatever its conditions. As Google's store it keeps Google's condition that there is no object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use weir_base::task::Task;

/// The user metadata that a put may bring.
const MARKS: [&str; 2] = ["x-amz-meta-weirput", "x-goog-meta-weirput"];
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const LARGEST_BODY: usize = 1 << 26;

#[derive(Clone)]
struct Object {
    content: Bytes,
    mark: Option<(&'static str, HeaderValue)>,
}

/// An upload that was begun: its parts by their numbers.
struct Upload {
    mark: Option<(&'static str, HeaderValue)>,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Default)]
struct Stored {
    /// By `/bucket/key`.
    objects: BTreeMap<String, Object>,
    uploads: Vec<Upload>,
    puts: u32,
    proofs: BTreeSet<String>,
}

/// The server; it ends when it is dropped.
pub(crate) struct SmallStore {
    uri: String,
    stored: Arc<Mutex<Stored>>,
    _task: Task<()>,
}

impl SmallStore {
    /// An S3 server that ignores conditions, or a Google one, that does not.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let stored: Arc<Mutex<Stored>> = Arc::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&stored));
        let task = weir_base::task::spawn("small store", async move { axum::serve(listener, router).await.unwrap() });
        Self { uri, stored, _task: task }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The properties of an S3 client.
    pub(crate) fn as_s3(&self) -> [(&str, &str); 3] {
        [("s3.endpoint", &self.uri), ("s3.access-key-id", "any"), ("s3.secret-access-key", "thing")]
    }

    /// What is there: `/bucket/key`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.stored.lock().unwrap().objects.keys().cloned().collect()
    }

    /// How many objects were put so far.
    pub(crate) fn puts(&self) -> u32 {
        self.stored.lock().unwrap().puts
    }

    /// By what clients have proved who they are: the values of `Authorization`.
    pub(crate) fn proofs(&self) -> BTreeSet<String> {
        self.stored.lock().unwrap().proofs.clone()
    }
}

async fn answer(State(stored): State<Arc<Mutex<Stored>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let content = to_bytes(body, LARGEST_BODY).await.unwrap();
    let mut stored = stored.lock().unwrap();
    if let Some(proof) = head.headers.get("authorization") {
        stored.proofs.insert(proof.to_str().unwrap().to_owned());
    }
    stored.answer(&head, content).unwrap_or_else(|code| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = code;
        response
    })
}

fn mark(headers: &HeaderMap) -> Option<(&'static str, HeaderValue)> {
    MARKS.iter().find_map(|name| Some((*name, headers.get(*name)?.clone())))
}

fn done() -> Response<Body> {
    Response::builder().header("etag", "\"x\"").body(Body::empty()).unwrap()
}

fn xml(text: String) -> Response<Body> {
    Response::builder().header("content-type", "application/xml").body(Body::from(text)).unwrap()
}

impl Stored {
    fn answer(&mut self, head: &Parts, content: Bytes) -> Result<Response<Body>, StatusCode> {
        let path = decoded(head.uri.path().trim_end_matches('/'));
        let query = head.uri.query().unwrap_or_default();
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(decoded);
        let upload = parameter("uploadId").map(|id| id.parse::<usize>().unwrap());
        match (&head.method, upload) {
            (&Method::PUT, Some(upload)) => {
                let number = parameter("partNumber").unwrap().parse().unwrap();
                self.uploads.get_mut(upload).ok_or(StatusCode::NOT_FOUND)?.parts.insert(number, content);
                Ok(done())
            }
            (&Method::POST, Some(upload)) => {
                let Upload { mark, parts } = self.uploads.get(upload).ok_or(StatusCode::NOT_FOUND)?;
                let content = parts.values().map(Bytes::as_ref).collect::<Vec<_>>().concat().into();
                self.objects.insert(path, Object { content, mark: mark.clone() });
                Ok(xml("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>".to_owned()))
            }
            (&Method::DELETE, Some(_)) => Ok(done()),
            (&Method::POST, None) if query.starts_with("uploads") => {
                self.uploads.push(Upload { mark: mark(&head.headers), parts: BTreeMap::new() });
                let id = self.uploads.len() - 1;
                Ok(xml(format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>")))
            }
            (&Method::POST, None) => Ok(self.delete_all(&path, &content)),
            (&Method::PUT, None) => self.put(path, &head.headers, content),
            (&Method::GET, None) if parameter("list-type").is_some() => Ok(self.list(&path, parameter)),
            (&Method::GET | &Method::HEAD, None) => self.get(&path, head),
            (&Method::DELETE, None) => self.objects.remove(&path).map(|_| done()).ok_or(StatusCode::NOT_FOUND),
            _ => Err(StatusCode::NOT_IMPLEMENTED),
        }
    }

    fn put(&mut self, path: String, headers: &HeaderMap, content: Bytes) -> Result<Response<Body>, StatusCode> {
        self.puts += 1;
        if headers.get("x-goog-if-generation-match").is_some_and(|wanted| wanted == "0") && self.objects.contains_key(&path) {
            return Err(StatusCode::PRECONDITION_FAILED);
        }
        let object = match headers.get("x-goog-copy-source") {
            Some(source) => self.objects.get(&format!("/{}", decoded(source.to_str().unwrap()))).ok_or(StatusCode::NOT_FOUND)?.clone(),
            None => Object { content, mark: mark(headers) },
        };
        self.objects.insert(path, object);
        Ok(done())
    }

    fn get(&self, path: &str, head: &Parts) -> Result<Response<Body>, StatusCode> {
        let object = self.objects.get(path).ok_or(StatusCode::NOT_FOUND)?;
        let (mut content, size) = (object.content.clone(), object.content.len());
        let mut answer = Response::builder().header("etag", "\"x\"").header("last-modified", DATE);
        if let Some((name, value)) = &object.mark {
            answer = answer.header(*name, value);
        }
        if let Some((first, last)) = head.headers.get("range").and_then(|range| range.to_str().unwrap().strip_prefix("bytes=")?.split_once('-')) {
            let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap().min(size.saturating_sub(1)));
            if first >= size {
                return Err(StatusCode::RANGE_NOT_SATISFIABLE);
            }
            content = content.slice(first..=last);
            answer = answer.status(StatusCode::PARTIAL_CONTENT).header("content-range", format!("bytes {first}-{last}/{size}"));
        }
        let answer = answer.header("content-length", content.len());
        Ok(answer.body(if head.method == Method::GET { Body::from(content) } else { Body::empty() }).unwrap())
    }

    fn delete_all(&mut self, bucket: &str, content: &Bytes) -> Response<Body> {
        let text = String::from_utf8(content.to_vec()).unwrap();
        let mut deleted = String::new();
        for key in text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
            self.objects.remove(&format!("{bucket}/{key}"));
            write!(deleted, "<Deleted><Key>{key}</Key></Deleted>").unwrap();
        }
        xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
    }

    /// A listing, all of it at once.
    fn list(&self, bucket: &str, parameter: impl Fn(&str) -> Option<String>) -> Response<Body> {
        let given = |name: &str| parameter(name).unwrap_or_default();
        let (prefix, delimiter, after) = (given("prefix"), given("delimiter"), given("start-after"));
        let (mut found, mut folders) = (String::new(), BTreeSet::new());
        for (path, object) in &self.objects {
            let Some(key) = path.strip_prefix(&format!("{bucket}/")).filter(|key| key.starts_with(&prefix) && *key > after.as_str()) else {
                continue;
            };
            match key[prefix.len()..].split_once(&delimiter).filter(|_| !delimiter.is_empty()) {
                Some((folder, _)) => {
                    folders.insert(escaped(&format!("{prefix}{folder}{delimiter}")));
                }
                None => {
                    let (key, size) = (escaped(key), object.content.len());
                    let facts = format!("<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>x</ETag><Size>{size}</Size>");
                    write!(found, "<Contents><Key>{key}</Key>{facts}</Contents>").unwrap();
                }
            }
        }
        for folder in folders {
            write!(found, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap();
        }
        xml(format!("<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A part of a URL without its percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap() as u8;
        bytes.push(if byte == b'%' { digit() * 16 + digit() } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}
