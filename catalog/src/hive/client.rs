//! Connections to metastores: opened when needed, a few at a time, every call with a deadline, the next metastore when one fails.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::settings::Address;
use super::thrift::{self, Answer, Struct};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has lain idle for so long is not trusted with a change: the metastore may have gone meanwhile, and then nobody
/// would know whether the change was made.
const FRESH: Duration = Duration::from_secs(5);

/// A method that a metastore does not have.
const UNKNOWN_METHOD: i32 = 1;

/// Metastores that serve the same data.
#[derive(Debug)]
pub(super) struct Client {
    metastores: Vec<Address>,
    /// Which of them is tried first: the last one that answered.
    first: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    timeout: Duration,
    user: Option<String>,
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
    /// Which metastore it goes to.
    metastore: usize,
    sequence: i32,
    used: Instant,
}

/// A call of a method.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) arguments: &'a Struct,
    /// Whether it changes something, so that it matters whether it was carried out.
    pub(super) changes: bool,
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The metastore threw exception number `field` of those that the method declares.
    Thrown { field: i16, message: String },
    /// The metastore cannot carry out such a call.
    Refused(String),
    /// The call never reached a metastore.
    NotSent(String, Option<io::Error>),
    /// The call was sent and its answer did not come.
    Lost(String, Option<io::Error>),
}

impl Client {
    /// A client with up to `connections`. Connects at the first call.
    pub(super) fn new(metastores: Vec<Address>, connections: usize, timeout: Duration, user: Option<String>) -> Self {
        let permits = Semaphore::new(connections.max(1));
        Self { metastores, first: AtomicUsize::new(0), idle: Mutex::default(), permits, timeout, user }
    }

    /// Calls a method; the fields of its answer.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Struct, Failure> {
        let busy = || Failure::NotSent(format!("all connections to metastore {} are in use", self.names()), None);
        let Ok(Ok(_permit)) = tokio::time::timeout(self.timeout, self.permits.acquire()).await else { return Err(busy()) };
        let mut connection = match self.kept(call.changes) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let metastore = self.metastores.get(connection.metastore).map(Address::to_string).unwrap_or_default();
        let failed = |what: &str| format!("metastore `{metastore}` {what} `{}`", call.method);
        let outcome = tokio::time::timeout(self.timeout, connection.send(call)).await;
        let answer = match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.turn_from(connection.metastore);
                let hint = if error.kind() == io::ErrorKind::UnexpectedEof { " (it closes connections if it wants Kerberos or TLS)" } else { "" };
                return Err(Failure::Lost(failed("did not answer") + hint, Some(error)));
            }
            Err(_late) => {
                self.turn_from(connection.metastore);
                return Err(Failure::Lost(format!("{} within {:?}", failed("did not answer"), self.timeout), None));
            }
        };
        connection.used = Instant::now();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        match answer {
            Answer::Refused(_, UNKNOWN_METHOD) => Err(Failure::Refused(failed("is of a version that does not know"))),
            Answer::Refused(what, _) => Err(Failure::Refused(format!("{}: {what}", failed("could not do")))),
            Answer::Result(result) => match result.thrown() {
                Some((field, thrown)) => Err(Failure::Thrown { field, message: thrown.text(1).unwrap_or("no reason given").trim().to_owned() }),
                None => Ok(result),
            },
        }
    }

    /// The metastores as messages name them.
    pub(super) fn names(&self) -> String {
        self.metastores.iter().map(|address| format!("`{address}`")).collect::<Vec<_>>().join(", ")
    }

    /// An idle connection, for a change only one that was used a moment ago.
    fn kept(&self, changes: bool) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if changes {
            idle.retain(|connection| connection.used.elapsed() < FRESH);
        }
        idle.pop()
    }

    /// The metastore that failed is tried last, and its other connections are closed.
    fn turn_from(&self, metastore: usize) {
        let next = (metastore + 1) % self.metastores.len().max(1);
        // Somebody else may have turned already.
        _ = self.first.compare_exchange(metastore, next, Ordering::Relaxed, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|connection| connection.metastore != metastore);
    }

    /// A connection to the first metastore that takes one.
    async fn connect(&self) -> Result<Connection, Failure> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        let mut last = None;
        for turn in 0..self.metastores.len() {
            let metastore = (first + turn) % self.metastores.len();
            let Some(address) = self.metastores.get(metastore) else { continue };
            let opening = TcpStream::connect((address.host.as_str(), address.port));
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
            let ready = match opened {
                Ok(stream) => self.greet(stream, metastore).await,
                Err(error) => Err(error),
            };
            match ready {
                Ok(connection) => {
                    self.first.store(metastore, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => {
                    failures.push(format!("`{address}`: {error}"));
                    last = Some(error);
                }
            }
        }
        Err(Failure::NotSent(format!("no connection to a metastore: {}", failures.join("; ")), last))
    }

    /// Tells the metastore as whom it shall act; one that does not want to know goes on as itself.
    async fn greet(&self, stream: TcpStream, metastore: usize) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream: BufReader::new(stream), metastore, sequence: 0, used: Instant::now() };
        if let Some(user) = &self.user {
            let arguments = Struct::new().with(1, user.as_str()).with(2, &[] as &[String]);
            let call = Call { method: "set_ugi", arguments: &arguments, changes: false };
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let answer = tokio::time::timeout(self.timeout, connection.send(&call)).await.map_err(late)??;
            tracing::debug!(user, ?answer, "metastore was told the user");
        }
        Ok(connection)
    }
}

impl Connection {
    /// Sends a call and waits for its answer. After an error the connection is of no use.
    async fn send(&mut self, call: &Call<'_>) -> io::Result<Answer> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = thrift::call(call.method, self.sequence, call.arguments);
        self.stream.get_mut().write_all(&message).await?;
        self.stream.get_mut().flush().await?;
        thrift::answer(&mut self.stream, self.sequence).await
    }
}
