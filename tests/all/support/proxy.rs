//! An HTTP server in front of another one (a REST catalog, S3) that misbehaves on command. It runs on the test's own runtime, so a test
//! must not block its thread while something talks through it.

use std::io::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use futures::stream;
use tokio::sync::watch;
use weir_base::task::Task;

const LARGEST_BODY: usize = 1 << 30;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status and never reaches the server.
    Answer(u16),
    /// It is answered with this status, and with the number of seconds after which it may come again.
    AskForPause(u16, u32),
    /// The server does it, and its answer is replaced by this status.
    LoseAnswer(u16),
    /// The server does it, and the connection breaks before its answer is complete.
    CutAnswer,
    /// The server does it, and its answer waits.
    DelayAnswer(Duration),
    /// It waits before it is passed on.
    Delay(Duration),
    /// It waits for [`Proxy::release`] before it is passed on.
    Hold,
}

/// The proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    uri: String,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    released: watch::Sender<bool>,
    _task: Task<()>,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) when: Instant,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// The header that says who asks.
    pub(crate) authorization: String,
}

struct Rule {
    method: Method,
    part: String,
    fault: Fault,
    left: u32,
}

#[derive(Clone)]
struct Forwarder {
    target: String,
    client: reqwest::Client,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    released: watch::Receiver<bool>,
}

impl Proxy {
    /// Starts a proxy in front of `target`, a URI without a path.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let (rules, seen) = (Arc::default(), Arc::default());
        let (released, told) = watch::channel(false);
        let client = reqwest::Client::new();
        let forwarder = Forwarder { target: target.to_owned(), client, rules: Arc::clone(&rules), seen: Arc::clone(&seen), released: told };
        let router = Router::new().fallback(forward).with_state(forwarder);
        let task = weir_base::task::spawn("test proxy", async move { axum::serve(listener, router).await.unwrap() });
        Self { uri, rules, seen, released, _task: task }
    }

    /// The address to give to clients instead of the server's.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Applies `fault` to the next `times` requests with that method whose path and query hold `part`.
    pub(crate) fn inject(&self, method: Method, part: &str, fault: Fault, times: u32) {
        self.rules.lock().unwrap().push(Rule { method, part: part.to_owned(), fault, left: times });
    }

    /// Lets every held request go on, also those that come later.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Fails every request with this status, until [`Proxy::mend`].
    pub(crate) fn answer_all(&self, code: u16) {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
            self.inject(method, "", Fault::Answer(code), u32::MAX);
        }
    }

    /// Forgets the faults that have not happened yet.
    pub(crate) fn mend(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// The requests with that method that have come so far and whose path and query hold `part`.
    pub(crate) fn seen(&self, method: Method, part: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.method == method && seen.path.contains(part)).cloned().collect()
    }

    /// All requests that have come so far.
    pub(crate) fn all_seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many of the faults that were asked for have not happened yet.
    pub(crate) fn left(&self) -> u32 {
        self.rules.lock().unwrap().iter().map(|rule| rule.left).sum()
    }
}

impl Forwarder {
    fn fault_of(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && rule.method == *method && path.contains(&rule.part))?;
        rule.left -= 1;
        Some(rule.fault)
    }

    /// The headers go through as they are, `Host` too: S3 requests are signed with it.
    async fn pass_on(&self, request: Request, path: &str) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut headers = head.headers;
        headers.remove(CONNECTION);
        headers.remove(TRANSFER_ENCODING);
        let body = to_bytes(body, LARGEST_BODY).await.unwrap();
        let sent = self.client.request(head.method.clone(), format!("{}{path}", self.target)).headers(headers).body(body).send().await;
        let Ok(answer) = sent else { return status(502) };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            // The length of a HEAD answer is that of a body which is not there.
            if *name != CONNECTION && *name != TRANSFER_ENCODING && (*name != CONTENT_LENGTH || head.method == Method::HEAD) {
                response = response.header(name, value);
            }
        }
        match answer.bytes().await {
            Ok(body) => response.body(Body::from(body)).unwrap(),
            Err(_) => status(502),
        }
    }
}

async fn forward(State(forwarder): State<Forwarder>, request: Request) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let authorization = request.headers().get(AUTHORIZATION).map_or("", |header| header.to_str().unwrap()).to_owned();
    forwarder.seen.lock().unwrap().push(Seen { when: Instant::now(), method: request.method().clone(), path: path.clone(), authorization });
    match forwarder.fault_of(request.method(), &path) {
        None => forwarder.pass_on(request, &path).await,
        Some(Fault::Answer(code)) => refuse(request, code).await,
        Some(Fault::AskForPause(code, seconds)) => {
            let mut answer = refuse(request, code).await;
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            answer
        }
        Some(Fault::LoseAnswer(code)) => {
            forwarder.pass_on(request, &path).await;
            status(code)
        }
        Some(Fault::CutAnswer) => {
            let (head, _) = forwarder.pass_on(request, &path).await.into_parts();
            Response::from_parts(head, Body::from_stream(stream::once(async { Err::<Bytes, _>(Error::other("cut by the test's proxy")) })))
        }
        Some(Fault::DelayAnswer(time)) => {
            let answer = forwarder.pass_on(request, &path).await;
            tokio::time::sleep(time).await;
            answer
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            forwarder.pass_on(request, &path).await
        }
        Some(Fault::Hold) => {
            forwarder.released.clone().wait_for(|released| *released).await.unwrap();
            forwarder.pass_on(request, &path).await
        }
    }
}

/// Hears the request out first: a client that is still sending may see a broken connection and no answer.
async fn refuse(request: Request, code: u16) -> Response<Body> {
    drop(to_bytes(request.into_body(), LARGEST_BODY).await);
    status(code)
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(Body::from("a fault of the test's proxy"));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}
