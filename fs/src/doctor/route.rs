//! What a URI stands for, which configuration holds, and which servers and which identity that means. Makes no request.

use std::path::Path;

use weir_base::error::chain;
use weir_base::secret::shown;

use super::{Finding, Tell};
use crate::azure;
use crate::environment::Environment;
use crate::file_systems::FileSystems;
use crate::gcs;
use crate::hadoop_xml::system_user;
use crate::hdfs;
use crate::mounts::StoreKind;
use crate::registry::{StoreKey, object_store_settings};
use crate::s3;

/// The files of Hadoop's configuration.
const HADOOP_FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];

/// A server on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// What the configuration calls it.
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The way to a place.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) servers: Vec<Server>,
    /// What listens there.
    pub(super) listening: &'static str,
    /// Whether requests may take a way on which the servers cannot be seen.
    pub(super) may_be_behind_proxy: bool,
    /// Who comes.
    pub(super) identity: String,
    /// What to do if that is not believed.
    pub(super) credentials_hint: &'static str,
    /// What to do if the answer is any other error.
    pub(super) answer_hint: &'static str,
}

/// Finds the way to `uri` and tells its steps; none, after telling why, if there is none.
pub(super) fn find(file_systems: &FileSystems, uri: &str, tell: Tell<'_>) -> Option<Route> {
    let (key, path) = match file_systems.trace(uri) {
        Ok(found) => found,
        Err(error) => {
            tell(Finding::failed("name", chain(&error), "write the URI as the message says; `weir fs --help` has examples"));
            return None;
        }
    };
    tell(Finding::fine("name", meaning(uri, &key, &path)));
    let environment = file_systems.environment();
    tell(Finding::fine("configuration", sources(&key, environment)));
    let settings = settings(&key);
    if !settings.is_empty() {
        tell(Finding::fine("settings", settings));
    }
    let route = match key.binding.scheme.kind {
        StoreKind::File | StoreKind::Memory => Ok(local()),
        StoreKind::Hdfs => of_hdfs(&key, environment),
        StoreKind::Azure => of_azure(&key, environment),
        StoreKind::Gcs => of_gcs(&key, environment),
        StoreKind::S3 => of_s3(&key, environment),
    };
    match route {
        Ok(route) => {
            tell(Finding::fine("identity", format!("it comes as {}", route.identity)));
            Some(route)
        }
        Err(error) => {
            tell(Finding::failed("configuration", chain(&error), "put the setting or the file right that the message names"));
            None
        }
    }
}

fn meaning(uri: &str, key: &StoreKey, path: &str) -> String {
    let scheme = key.binding.scheme.name;
    let place = if key.authority.is_empty() { String::new() } else { format!(", authority '{}'", key.authority) };
    match &key.binding.alias {
        None => format!("`{uri}` has the scheme {scheme}{place}, path `/{}`", path.trim_start_matches('/')),
        Some(alias) => {
            let root = if alias.root.is_empty() { String::new() } else { format!(", root `{}`", alias.root) };
            format!("`{uri}` goes through alias '{}', bound to {scheme}{place}{root}, path `/{}`", alias.name, path.trim_start_matches('/'))
        }
    }
}

/// Where the configuration comes from.
fn sources(key: &StoreKey, environment: &Environment) -> String {
    let files = |folder: &str, names: &[String]| {
        let one = |name: &String| {
            let file = Path::new(folder).join(name);
            format!("{}{}", file.display(), if file.is_file() { "" } else { " (not there)" })
        };
        names.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let hadoop = HADOOP_FILES.map(str::to_owned);
    let given = key.binding.properties.get("hadoop-conf-dir");
    match (&key.binding.alias, key.binding.scheme.kind) {
        (Some(alias), kind) => match &alias.conf_dir {
            None => format!("the options of alias '{}' and nothing else", alias.name),
            Some(folder) if kind == StoreKind::Hdfs => format!("of alias '{}' alone: {}", alias.name, files(folder, &hadoop)),
            Some(folder) => {
                let own = format!("{}.properties", key.binding.scheme.name);
                let name = if Path::new(folder).join(&own).is_file() { own } else { "core-site.xml".to_owned() };
                format!("of alias '{}' alone: {}", alias.name, files(folder, &[name]))
            }
        },
        (None, StoreKind::Hdfs) => match (given, environment.get("HADOOP_CONF_DIR")) {
            (Some(folder), _) => format!("'hadoop-conf-dir': {}", files(folder, &hadoop)),
            (None, Some(folder)) => format!("HADOOP_CONF_DIR: {}", files(folder, &hadoop)),
            (None, None) => "no files: neither 'hadoop-conf-dir' nor HADOOP_CONF_DIR is set".to_owned(),
        },
        (None, StoreKind::S3) => behind(environment, "AWS_"),
        (None, StoreKind::Azure) => behind(environment, "AZURE_"),
        (None, StoreKind::Gcs) => behind(environment, "GOOGLE_"),
        (None, StoreKind::File | StoreKind::Memory) => "none is needed".to_owned(),
    }
}

/// Settings, and the variables of the process behind them.
fn behind(environment: &Environment, prefix: &str) -> String {
    let names: Vec<&str> = environment.with_prefix(prefix).map(|(name, _)| name).collect();
    if names.is_empty() { format!("settings; no {prefix}* is set") } else { format!("settings, and behind them {}", names.join(", ")) }
}

/// The settings that count for the store, secrets masked.
fn settings(key: &StoreKey) -> String {
    let shown = key.binding.properties.iter().map(|(name, value)| format!("{name} = {}", shown(name, value)));
    shown.collect::<Vec<_>>().join(", ")
}

fn local() -> Route {
    Route {
        servers: Vec::new(),
        listening: "",
        may_be_behind_proxy: false,
        identity: format!("the user of this process{}", system_user().map(|user| format!(", `{user}`")).unwrap_or_default()),
        credentials_hint: "",
        answer_hint: "look at the path with `ls -ld`, and whether the disk is mounted",
    }
}

fn of_hdfs(key: &StoreKey, environment: &Environment) -> Result<Route, crate::FsError> {
    let hdfs::Facts { name_nodes, identity } = hdfs::facts(key, environment)?;
    let server = |(name, address): (String, String)| {
        let (host, port) = host_and_port(&address, hdfs::DEFAULT_PORT);
        Server { name: format!("NameNode {name}"), host, port }
    };
    Ok(Route {
        servers: name_nodes.into_iter().map(server).collect(),
        listening: "the NameNode (its RPC port is 8020 or 9000 as a rule; 9870 is its web page)",
        may_be_behind_proxy: false,
        identity,
        credentials_hint: "look at the ticket with `klist`, at the principal and keytab, and at 'hadoop.security.authentication' of the cluster",
        answer_hint: "look at the NameNode's log and web page: it may be starting, in safe mode, or a standby",
    })
}

fn of_s3(key: &StoreKey, environment: &Environment) -> Result<Route, crate::FsError> {
    let (properties, fallback) = object_store_settings(key, environment)?;
    let s3::Target { endpoint, region } = s3::target(&properties, &fallback);
    let (identity, profile) = s3::identity(&properties, &fallback)?;
    let of_profile = |key: &str| profile.as_ref().and_then(|profile| profile.get(key));
    let region = region.or_else(|| of_profile("region")).unwrap_or(s3::NO_REGION);
    let url = endpoint.or_else(|| of_profile("endpoint_url")).map_or_else(|| format!("https://s3.{region}.amazonaws.com"), str::to_owned);
    let identity = match identity {
        // The id is no secret, but nobody needs all of it.
        s3::Identity::Keys(keys) => format!("the owner of access key `{}…`, region {region}", keys.id.chars().take(4).collect::<String>()),
        s3::Identity::Web(web) => format!("`{}`, proved by the token in {}, region {region}", web.role, web.token_file),
        s3::Identity::Profile(files) => format!("the AWS profile '{}', region {region}", files.name),
        s3::Identity::Anonymous => format!("nobody: requests are not signed, region {region}"),
        s3::Identity::Machine => format!("whoever this machine is to the cloud (no access key is set), region {region}"),
    };
    let hint = "check 's3.access-key-id', 's3.secret-access-key' and 's3.region', and the clock of this machine";
    Ok(to_endpoint(&url, identity, hint, "check 's3.endpoint', 's3.path-style-access' and the name of the bucket"))
}

fn of_gcs(key: &StoreKey, environment: &Environment) -> Result<Route, crate::FsError> {
    let (properties, fallback) = object_store_settings(key, environment)?;
    let identity = match gcs::identity(&properties, (&fallback, key.binding.alias.is_none()))? {
        gcs::Identity::Anonymous => "nobody".to_owned(),
        gcs::Identity::Token(_) => "the owner of the token in 'gcs.oauth2.token'".to_owned(),
        gcs::Identity::File(file) => format!("the account in {file}"),
        gcs::Identity::Process => "the user that gcloud has logged in here, or else whoever this machine is to the cloud".to_owned(),
    };
    let url = properties.get("gcs.service.host").map_or(gcs::ENDPOINT, String::as_str);
    let hint = "check 'gcs.credentials-file' or GOOGLE_APPLICATION_CREDENTIALS, and the clock of this machine";
    Ok(to_endpoint(url, identity, hint, "check 'gcs.service.host' and the name of the bucket"))
}

fn of_azure(key: &StoreKey, environment: &Environment) -> Result<Route, crate::FsError> {
    let (properties, fallback) = object_store_settings(key, environment)?;
    let azure::Target { account, endpoint, .. } = azure::target(&key.authority, &properties, &fallback)?;
    let identity = format!("{} to account `{account}`", azure::identity(&properties, &fallback)?);
    let hint = "check 'adls.account-key' or what else says who it is, and the clock of this machine";
    Ok(to_endpoint(&endpoint, identity, hint, "check 'adls.account-name', 'adls.endpoint' and the name of the container"))
}

fn to_endpoint(url: &str, identity: String, credentials_hint: &'static str, answer_hint: &'static str) -> Route {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (host, port) = host_and_port(rest.split('/').next().unwrap_or(rest), if scheme == "http" { 80 } else { 443 });
    Route {
        servers: vec![Server { name: "endpoint".to_owned(), host, port }],
        listening: "the server of the endpoint",
        may_be_behind_proxy: true,
        identity,
        credentials_hint,
        answer_hint,
    }
}

fn host_and_port(address: &str, default: u16) -> (String, u16) {
    let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = split.unwrap_or((address, default));
    (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_perhaps_a_port() {
        for (address, host, port) in [("nn:9000", "nn", 9000), ("nn", "nn", 8020), ("[::1]:99", "::1", 99), ("10.0.0.1:1", "10.0.0.1", 1)] {
            assert_eq!(host_and_port(address, 8020), (host.to_owned(), port));
        }
    }
}
