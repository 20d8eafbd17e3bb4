//! Connections: made when they are first needed, shared by all requests of a table, and made anew after they broke.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, Pipeline, RedisError, Value, cmd};

use super::connect::{Failure, connect, slots};
use super::options::{self, Address, Settings};
use super::rows::bytes;
use super::run::Run;
use super::slots::SlotMap;
use super::topology::Topology;
use super::trouble::connector_error;
use crate::error::ConnectorError;

/// A server, or several that are one.
#[derive(Debug)]
pub(super) struct Server {
    settings: Arc<Settings>,
    /// What messages call the table, and the servers.
    pub(super) table: String,
    servers: String,
    state: Mutex<State>,
}

/// How far the connection is. Attempts are numbered, so that nobody takes away the connection of a later one.
#[derive(Debug, Default)]
struct State {
    attempts: u64,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    None,
    /// It is being made, by all who wait for it: when the last of them gives up, so does the attempt.
    Making(WeakShared<Attempt>),
    Made(Link),
}

/// A connection that is being made.
type Attempt = BoxFuture<'static, Result<Link, Failure>>;

/// A connection that works; clones share it.
#[derive(Clone)]
pub(super) enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection, SlotMap),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Single(_)) { "Single" } else { "Cluster" })
    }
}

/// A command, with the key that says to which node of a cluster it goes.
pub(super) struct Keyed {
    pub(super) key: Vec<u8>,
    pub(super) command: Cmd,
}

impl Server {
    pub(super) fn new(settings: Settings, table: String) -> Self {
        let list = |addresses: &[Address]| addresses.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",");
        let servers = match &settings.topology {
            options::Topology::Single(address) => list(std::slice::from_ref(address)),
            options::Topology::Cluster(nodes) => list(nodes),
            options::Topology::Sentinel { sentinels, master, .. } => format!("{master} of {}", list(sentinels)),
        };
        Self { settings: Arc::new(settings), table, servers, state: Mutex::default() }
    }

    /// Whether keys are spread over nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.settings.topology, options::Topology::Cluster(_))
    }

    /// The answer to a command that any node can answer; an error of the server is the error.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, ConnectorError> {
        self.ask_node(command, None).await
    }

    /// The answer to a command for the node at `address`; without one any master will do.
    pub(super) async fn ask_node(&self, command: &Cmd, address: Option<&Address>) -> Result<Value, ConnectorError> {
        let (number, answer) = self.answer(command, address).await?;
        answer.map_err(|error| self.broke(number, error))
    }

    /// Which run the node at `address`, or the only server, is in; `None` if it does not say, or the user may not ask.
    pub(super) async fn run(&self, address: Option<&Address>) -> Result<Option<Run>, ConnectorError> {
        let (number, answer) = self.answer(&cmd("INFO"), address).await?;
        let run = match answer {
            Ok(info) => bytes(&info).and_then(|info| Run::parse(&String::from_utf8_lossy(info))),
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => None,
            Err(error) => return Err(self.broke(number, error)),
        };
        let is_demoted = matches!(self.settings.topology, options::Topology::Sentinel { .. }) && run.as_ref().is_some_and(|run| run.is_replica);
        if is_demoted {
            self.forget(number);
            return Err(ConnectorError::transient(format!("Table '{}': Redis at {} is no master any more", self.table, self.servers)));
        }
        Ok(run)
    }

    /// The answer to a command, and the number of the attempt that made the connection.
    async fn answer(&self, command: &Cmd, address: Option<&Address>) -> Result<(u64, Result<Value, RedisError>), ConnectorError> {
        let (number, link) = self.link().await?;
        let answer = match link {
            Link::Single(mut connection) => connection.send_packed_command(command).await,
            Link::Cluster(connection, _) => {
                let route = address.map_or(SingleNodeRoutingInfo::RandomPrimary, |(host, port)| SingleNodeRoutingInfo::ByAddress {
                    host: host.clone(),
                    port: *port,
                });
                connection.clone().route_command(command.clone(), RoutingInfo::SingleNode(route)).await
            }
        };
        let answer = match answer {
            Ok(Value::ServerError(error)) => Err(error.into()),
            answer => answer,
        };
        Ok((number, answer))
    }

    /// The answers to commands, in their order; errors of the server are among them.
    pub(super) async fn ask_all(&self, commands: &[Keyed]) -> Result<Vec<Value>, ConnectorError> {
        let (number, link) = self.link().await?;
        match link {
            Link::Single(mut connection) => {
                let pipeline = pipeline(commands.iter());
                let answers = connection.send_packed_commands(&pipeline, 0, commands.len()).await.map_err(|error| self.broke(number, error))?;
                let demoted = |answer: &Value| matches!(answer, Value::ServerError(error) if error.code() == "READONLY");
                if answers.iter().any(demoted) {
                    self.forget(number);
                }
                Ok(answers)
            }
            Link::Cluster(connection, slots) => self.ask_nodes((number, &connection), &slots, commands).await,
        }
    }

    /// One pipeline for each node; what a node has no longer, or not yet, is asked for once more by itself, wherever it is now.
    async fn ask_nodes(
        &self,
        (number, connection): (u64, &ClusterConnection),
        slots: &SlotMap,
        commands: &[Keyed],
    ) -> Result<Vec<Value>, ConnectorError> {
        let groups = slots.by_node(commands.iter().map(|command| command.key.as_slice()));
        let asked = groups.iter().map(|group| async {
            let of_group: Vec<&Keyed> = group.iter().filter_map(|number| commands.get(*number)).collect();
            let Some(first) = of_group.first() else { return Ok(Vec::new()) };
            let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(&first.key, SlotAddr::Master));
            connection.clone().route_pipeline(pipeline(of_group.iter().copied()), 0, group.len(), route).await
        });
        let answers = futures::future::join_all(asked).await;
        let mut all = vec![Value::Nil; commands.len()];
        let mut moved = Vec::new();
        for (group, answers) in groups.iter().zip(answers) {
            let answers = match answers {
                Ok(answers) => answers,
                Err(error) if error.is_cluster_error() => {
                    moved.extend(group);
                    continue;
                }
                Err(error) => return Err(self.broke(number, error)),
            };
            for (place, answer) in group.iter().zip(answers) {
                if matches!(&answer, Value::ServerError(error) if RedisError::from(error.clone()).is_cluster_error()) {
                    moved.push(*place);
                } else if let Some(slot) = all.get_mut(*place) {
                    *slot = answer;
                }
            }
        }
        if moved.is_empty() {
            return Ok(all);
        }
        // One after the other: the commands of one key keep their order.
        for place in &moved {
            let Some(keyed) = commands.get(*place) else { continue };
            let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(Route::with_key(&keyed.key, SlotAddr::Master)));
            match connection.clone().route_command(keyed.command.clone(), route).await {
                Ok(answer) => {
                    if let Some(slot) = all.get_mut(*place) {
                        *slot = answer;
                    }
                }
                Err(error) => {
                    self.leave_if_broken(number, &error);
                    return Err(self.error_at(&keyed.key, error));
                }
            }
        }
        tracing::debug!(table = self.table, keys = moved.len(), "keys have moved within the cluster");
        self.look_at_slots(connection).await;
        Ok(all)
    }

    /// What the masters of the cluster say of their slots.
    pub(super) async fn topology(&self) -> Result<Topology, ConnectorError> {
        let (number, Link::Cluster(connection, _)) = self.link().await? else { return Err(ConnectorError::internal("one server is no cluster")) };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        // The client may not have heard of a new master, or may try an old connection for long: the next one begins with the addresses of the declaration.
        let answer = connection.clone().route_command(cmd("CLUSTER").arg("NODES").to_owned(), all).await.map_err(|error| {
            self.leave(number);
            self.error(error)
        })?;
        let Value::Map(answers) = answer else { return Err(ConnectorError::internal("CLUSTER NODES gave something else")) };
        let text = |value: &Value| bytes(value).map(|text| String::from_utf8_lossy(text).into_owned());
        let told = |(address, answer): &(Value, Value)| {
            let (address, answer) = (text(address)?, text(answer)?);
            let (host, port) = address.rsplit_once(':')?;
            Some(((host.to_owned(), port.parse().ok()?), answer))
        };
        Topology::parse(&answers.iter().filter_map(told).collect::<Vec<_>>()).map_err(|why| {
            self.leave(number);
            ConnectorError::transient(format!("Table '{}': the cluster at {} cannot be read as a whole now: {why}", self.table, self.servers))
        })
    }

    /// Learns where the slots are now; if that fails, moved keys go on being asked for one by one.
    async fn look_at_slots(&self, connection: &ClusterConnection) {
        if let Ok(slots) = slots(connection).await
            && let Phase::Made(Link::Cluster(_, known)) = &mut self.state().phase
        {
            *known = slots;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection and the number of the attempt that made it. All who need one meanwhile wait for the same attempt, and fail with it.
    async fn link(&self) -> Result<(u64, Link), ConnectorError> {
        let (number, attempt) = {
            let mut state = self.state();
            let running = match &state.phase {
                Phase::Made(link) => return Ok((state.attempts, link.clone())),
                Phase::Making(attempt) => attempt.upgrade(),
                Phase::None => None,
            };
            let attempt = running.unwrap_or_else(|| self.begin(&mut state));
            (state.attempts, attempt)
        };
        let made = attempt.await;
        let mut state = self.state();
        if state.attempts == number && matches!(state.phase, Phase::Making(_)) {
            state.phase = made.as_ref().map_or(Phase::None, |link| Phase::Made(link.clone()));
        }
        drop(state);
        made.map(|link| (number, link)).map_err(|failure| match failure {
            Failure::Redis(error) => self.error(error),
            Failure::File(path, error) => ConnectorError::user(format!("Table '{}': '{path}' cannot be read", self.table)).with_source(error),
        })
    }

    fn begin(&self, state: &mut State) -> Shared<Attempt> {
        let attempt = connect(Arc::clone(&self.settings)).boxed().shared();
        state.attempts += 1;
        state.phase = attempt.downgrade().map_or(Phase::None, Phase::Making);
        attempt
    }

    /// What an error of the connection of attempt `number` means; one that broke is not used again.
    fn broke(&self, number: u64, error: RedisError) -> ConnectorError {
        self.leave_if_broken(number, &error);
        self.error(error)
    }

    fn leave_if_broken(&self, number: u64, error: &RedisError) {
        if error.is_unrecoverable_error() || error.is_io_error() || error.code() == Some("READONLY") {
            self.forget(number);
        }
    }

    /// The next request connects anew, unless a later attempt has connected already. The client of a cluster mends itself.
    fn forget(&self, number: u64) {
        if !self.is_cluster() {
            self.leave(number);
        }
    }

    /// The next request connects anew, unless a later attempt has connected already.
    fn leave(&self, number: u64) {
        let mut state = self.state();
        if state.attempts == number && matches!(state.phase, Phase::Made(_)) {
            state.phase = Phase::None;
        }
    }

    /// What an error of a server means.
    pub(super) fn error(&self, error: RedisError) -> ConnectorError {
        connector_error(&format!("Table '{}'", self.table), &self.servers, self.is_cluster(), error)
    }

    /// What an error at a key means.
    pub(super) fn error_at(&self, key: &[u8], error: RedisError) -> ConnectorError {
        let object = format!("Table '{}': key '{}'", self.table, String::from_utf8_lossy(key));
        connector_error(&object, &self.servers, self.is_cluster(), error)
    }
}

fn pipeline<'a>(commands: impl Iterator<Item = &'a Keyed>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for keyed in commands {
        pipeline.add_command(keyed.command.clone());
    }
    pipeline
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::StreamExt;
    use redis::cmd;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    fn server(port: u16) -> Server {
        let topology = options::Topology::Single(("127.0.0.1".to_owned(), port));
        let timeout = Duration::from_secs(2);
        Server::new(Settings { topology, username: None, password: None, database: 0, timeout, tls: None }, "c.d.t".to_owned())
    }

    /// Waiters for a server that takes connections and never answers: they make one connection, and fail together.
    #[tokio::test]
    async fn all_who_wait_for_a_dead_server_share_one_attempt() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let server = server(listener.local_addr().expect("address").port());
        let accepted = AtomicUsize::new(0);
        let accept = async {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                held.push(stream);
            }
        };
        let ping = cmd("PING");
        let waiting = futures::future::join_all((0..100).map(|_| server.ask(&ping)));
        let answers = tokio::select! {
            () = accept => panic!("the listener has ended"),
            answers = waiting => answers,
        };
        assert!(answers.iter().all(Result::is_err));
        assert_eq!((accepted.load(Ordering::SeqCst), server.state().attempts), (1, 1));
        assert!(server.ask(&ping).await.is_err());
        assert_eq!(server.state().attempts, 2, "who comes later tries anew");
    }

    /// A server that says OK to everything, for ever.
    async fn agree(listener: &TcpListener) {
        let mut connections = futures::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _peer) = accepted.expect("connection");
                    connections.push(async move {
                        let mut stream = BufReader::new(stream);
                        let mut line = String::new();
                        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                            // A line of a command says how many words follow, each in two lines.
                            let words: usize = line.trim().trim_start_matches('*').parse().expect("a command");
                            for _ in 0..words * 2 {
                                stream.read_line(&mut line).await.expect("a word");
                            }
                            line.clear();
                            stream.write_all(b"+OK\r\n").await.expect("answered");
                        }
                    });
                }
                Some(()) = connections.next() => {}
            }
        }
    }

    #[test]
    fn an_error_at_a_key_names_it() {
        let told = server(1).error_at(b"user:7", redis::make_extension_error("WRONGTYPE".to_owned(), None)).to_string();
        assert_eq!(told, "Table 'c.d.t': key 'user:7': Redis at 127.0.0.1:1 cannot be asked");
    }

    #[tokio::test]
    async fn an_error_of_an_old_connection_leaves_the_new_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let server = server(listener.local_addr().expect("address").port());
        let broken = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let ping = cmd("PING");
        let seen = || {
            let state = server.state();
            (state.attempts, matches!(state.phase, Phase::Made(_)))
        };
        let asking = async {
            for attempt in 1..3 {
                assert_eq!(server.ask(&ping).await.expect("answer"), Value::Okay);
                server.broke(attempt - 1, broken());
                assert_eq!(seen(), (attempt, true), "that of the attempt before broke, not this one");
                server.broke(attempt, broken());
                assert_eq!(seen(), (attempt, false));
            }
        };
        tokio::select! {
            () = agree(&listener) => {}
            () = asking => {}
        }
    }
}
