//! Connections: made when they are first needed, shared by all requests of a table, and made anew after they broke.

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, TlsCertificates, TlsMode, Value, cmd,
};
use tokio::sync::Mutex;
use weir_base::Secret;

use super::options::{Address, Settings, Tls, Topology};
use super::slots::SlotMap;
use super::trouble::connector_error;
use crate::error::ConnectorError;

/// A server, or several that are one.
#[derive(Debug)]
pub(super) struct Server {
    settings: Settings,
    /// What messages call the table, and the servers.
    pub(super) table: String,
    servers: String,
    link: Mutex<Option<Link>>,
}

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
            Topology::Single(address) => list(std::slice::from_ref(address)),
            Topology::Cluster(nodes) => list(nodes),
            Topology::Sentinel { sentinels, master, .. } => format!("{master} of {}", list(sentinels)),
        };
        Self { settings, table, servers, link: Mutex::new(None) }
    }

    /// Whether keys are spread over nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.settings.topology, Topology::Cluster(_))
    }

    /// The answer to a command that any node can answer; an error of the server is the error.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, ConnectorError> {
        let answer = match self.link().await? {
            Link::Single(mut connection) => connection.send_packed_command(command).await,
            Link::Cluster(mut connection, _) => {
                connection.route_command(command.clone(), RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary)).await
            }
        };
        match answer {
            Ok(Value::ServerError(error)) => Err(self.failed(error.into()).await),
            Ok(value) => Ok(value),
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// The answers to commands, in their order; errors of the server are among them.
    pub(super) async fn ask_all(&self, commands: &[Keyed]) -> Result<Vec<Value>, ConnectorError> {
        match self.link().await? {
            Link::Single(mut connection) => {
                let pipeline = pipeline(commands.iter());
                match connection.send_packed_commands(&pipeline, 0, commands.len()).await {
                    Ok(answers) => Ok(answers),
                    Err(error) => Err(self.failed(error).await),
                }
            }
            Link::Cluster(connection, slots) => self.ask_nodes(&connection, &slots, commands).await,
        }
    }

    /// One pipeline for each node; what a node has no longer, or not yet, is asked for once more by itself, wherever it is now.
    async fn ask_nodes(&self, connection: &ClusterConnection, slots: &SlotMap, commands: &[Keyed]) -> Result<Vec<Value>, ConnectorError> {
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
                Err(error) => return Err(self.failed(error).await),
            };
            for (number, answer) in group.iter().zip(answers) {
                if matches!(&answer, Value::ServerError(error) if RedisError::from(error.clone()).is_cluster_error()) {
                    moved.push(*number);
                } else if let Some(slot) = all.get_mut(*number) {
                    *slot = answer;
                }
            }
        }
        if moved.is_empty() {
            return Ok(all);
        }
        // One after the other: the commands of one key keep their order.
        for number in &moved {
            let Some(keyed) = commands.get(*number) else { continue };
            let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(Route::with_key(&keyed.key, SlotAddr::Master)));
            match connection.clone().route_command(keyed.command.clone(), route).await {
                Ok(answer) => {
                    if let Some(slot) = all.get_mut(*number) {
                        *slot = answer;
                    }
                }
                Err(error) => return Err(self.failed(error).await),
            }
        }
        tracing::debug!(table = self.table, keys = moved.len(), "keys have moved within the cluster");
        self.look_at_slots(connection).await;
        Ok(all)
    }

    /// Learns where the slots are now; if that fails, moved keys go on being asked for one by one.
    async fn look_at_slots(&self, connection: &ClusterConnection) {
        if let Ok(slots) = slots(connection).await
            && let Some(Link::Cluster(_, known)) = self.link.lock().await.as_mut()
        {
            *known = slots;
        }
    }

    async fn link(&self) -> Result<Link, ConnectorError> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref() {
            return Ok(link.clone());
        }
        let made = self.connect().await?;
        *link = Some(made.clone());
        Ok(made)
    }

    /// What an error means; a connection that broke is not used again.
    pub(super) async fn failed(&self, error: RedisError) -> ConnectorError {
        if !self.is_cluster() && (error.is_unrecoverable_error() || error.is_io_error() || error.code() == Some("READONLY")) {
            *self.link.lock().await = None;
        }
        connector_error(&self.table, &self.servers, error)
    }

    async fn connect(&self) -> Result<Link, ConnectorError> {
        let settings = &self.settings;
        let certificates = match &settings.tls {
            Some(tls) => Some(self.certificates(tls).await?),
            None => None,
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(settings.timeout)).set_response_timeout(Some(settings.timeout));
        let made = match &settings.topology {
            Topology::Single(address) => match single(settings, address, certificates) {
                Ok(client) => client.get_multiplexed_async_connection_with_config(&config).await.map(Link::Single),
                Err(error) => Err(error),
            },
            Topology::Cluster(nodes) => cluster(settings, nodes, certificates).await,
            Topology::Sentinel { sentinels, master, password } => {
                let of_sentinels = password.as_ref();
                sentinel(settings, (sentinels, master, of_sentinels), certificates, &config).await
            }
        };
        made.map_err(|error| connector_error(&self.table, &self.servers, error))
    }

    async fn certificates(&self, tls: &Tls) -> Result<TlsCertificates, ConnectorError> {
        let read = |path: String| async move {
            let what = format!("Table '{}': '{path}' cannot be read", self.table);
            tokio::fs::read(path).await.map_err(|error| ConnectorError::user(what).with_source(error))
        };
        let root_cert = match &tls.ca {
            Some(path) => Some(read(path.clone()).await?),
            None => None,
        };
        let client_tls = match &tls.client {
            Some((certificate, key)) => Some(ClientTlsConfig { client_cert: read(certificate.clone()).await?, client_key: read(key.clone()).await? }),
            None => None,
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

fn pipeline<'a>(commands: impl Iterator<Item = &'a Keyed>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for keyed in commands {
        pipeline.add_command(keyed.command.clone());
    }
    pipeline
}

fn address(settings: &Settings, (host, port): &Address) -> ConnectionAddr {
    match settings.tls {
        Some(_) => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host.clone(), *port),
    }
}

fn info(settings: &Settings, address_of: &Address) -> Result<ConnectionInfo, RedisError> {
    let mut redis = RedisConnectionInfo::default().set_db(settings.database);
    if let Some(username) = &settings.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = &settings.password {
        redis = redis.set_password(password.expose());
    }
    Ok(address(settings, address_of).into_connection_info()?.set_redis_settings(redis))
}

fn single(settings: &Settings, address: &Address, certificates: Option<TlsCertificates>) -> Result<Client, RedisError> {
    let info = info(settings, address)?;
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

async fn cluster(settings: &Settings, nodes: &[Address], certificates: Option<TlsCertificates>) -> Result<Link, RedisError> {
    let nodes = nodes.iter().map(|node| info(settings, node)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = ClusterClientBuilder::new(nodes).connection_timeout(settings.timeout).response_timeout(settings.timeout);
    if let Some(certificates) = certificates {
        builder = builder.tls(TlsMode::Secure).certs(certificates);
    }
    let connection = builder.build()?.get_async_connection().await?;
    let slots = slots(&connection).await?;
    Ok(Link::Cluster(connection, slots))
}

async fn slots(connection: &ClusterConnection) -> Result<SlotMap, RedisError> {
    let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
    let answer = connection.clone().route_command(cmd("CLUSTER").arg("SLOTS").to_owned(), route).await?;
    Ok(SlotMap::parse(&answer))
}

async fn sentinel(
    settings: &Settings,
    (sentinels, master, password): (&[Address], &String, Option<&Secret<String>>),
    certificates: Option<TlsCertificates>,
    config: &AsyncConnectionConfig,
) -> Result<Link, RedisError> {
    let sentinels = sentinels.iter().map(|sentinel| address(settings, sentinel));
    let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?.set_client_to_redis_db(settings.database);
    if let Some(password) = password {
        builder = builder.set_client_to_sentinel_password(password.expose());
    }
    if let Some(username) = &settings.username {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = &settings.password {
        builder = builder.set_client_to_redis_password(password.expose());
    }
    if let Some(certificates) = certificates {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_redis_certificates(certificates.clone());
        builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure).set_client_to_sentinel_certificates(certificates);
    }
    builder.build()?.get_async_connection_with_config(config).await.map(Link::Single)
}
