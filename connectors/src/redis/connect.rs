//! How a connection is made.

use std::sync::Arc;

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsCertificates, TlsMode, cmd,
};
use weir_base::Secret;

use super::connection::Link;
use super::options::{Address, Settings, Tls, Topology};
use super::slots::SlotMap;

/// Why there is no connection. Cloned to all who waited for it.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// What the server or the client says.
    Redis(RedisError),
    /// A file that cannot be read.
    File(String, Arc<std::io::Error>),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// Connects as `settings` say.
pub(super) async fn connect(settings: Arc<Settings>) -> Result<Link, Failure> {
    let certificates = match &settings.tls {
        Some(tls) => Some(certificates(tls).await?),
        None => None,
    };
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(settings.timeout)).set_response_timeout(Some(settings.timeout));
    Ok(match &settings.topology {
        Topology::Single(address) => {
            Link::Single(single(&settings, address, certificates)?.get_multiplexed_async_connection_with_config(&config).await?)
        }
        Topology::Cluster(nodes) => cluster(&settings, nodes, certificates).await?,
        Topology::Sentinel { sentinels, master, password } => {
            sentinel(&settings, (sentinels, master, password.as_ref()), certificates, &config).await?
        }
    })
}

async fn certificates(tls: &Tls) -> Result<TlsCertificates, Failure> {
    let read = |path: String| async move { tokio::fs::read(&path).await.map_err(|error| Failure::File(path, Arc::new(error))) };
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

/// Asks which node has which slots.
pub(super) async fn slots(connection: &ClusterConnection) -> Result<SlotMap, RedisError> {
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
