//! What the client of a cluster is told: all of its configuration, and as whom.
//!
//! The client's own reader does not trim values, substitute `${…}`, follow `xi:include` or mind `<final>`; nor does it know the default
//! port or a nameservice of one NameNode. And it looks at the environment, which is the same for all clusters of a process. So the files
//! are read by ourselves and handed over whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_base::ErrorKind;

use super::following::Following;
use crate::deadline::Limits;
use crate::environment::Environment;
use crate::error::FsError;
use crate::hadoop_xml::{self, system_user};
use crate::mounts::Binding;
use crate::registry::StoreKey;

pub(crate) const DEFAULT_PORT: u16 = 8020;
const LINK: &str = "fs.viewfs.mounttable.";

/// One client is made for each identity: a cluster as configured, a user, and the alias under whose name it is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// `hdfs://host:port`, `hdfs://nameservice` or `viewfs://mount-table`.
    pub(super) url: String,
    /// All the client is told.
    pub(super) entries: BTreeMap<String, String>,
    /// The user of an unsecured cluster, if not the system's.
    pub(super) user: Option<String>,
    /// Who it is in a secured cluster, if the tickets of the process do not say.
    pub(super) kerberos: Option<Kerberos>,
    pub(super) alias: Option<String>,
    /// The client does not know it.
    pub(super) following: Following,
}

impl Identity {
    /// Whether the cluster wants to know for sure who we are.
    pub(super) fn is_secured(&self) -> bool {
        is_secured(&self.entries)
    }
}

/// An identity of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kerberos {
    pub(super) principal: String,
    pub(super) secret: KerberosSecret,
}

/// What proves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum KerberosSecret {
    Keytab(String),
    TicketCache(String),
}

const PRINCIPAL: &str = "hadoop.kerberos.principal";
const KEYTAB: &str = "hadoop.kerberos.keytab";
const TICKET_CACHE: &str = "hadoop.kerberos.ticket-cache";
const USER: &str = "hadoop.user.name";
/// The server of the keys of encryption zones, and what it was called before.
const KEY_SERVER: [&str; 2] = ["hadoop.security.key.provider.path", "dfs.encryption.key.provider.uri"];

/// The identity for `key`.
///
/// # Errors
/// Files that are missing or broken, and an authority that leads to no NameNode.
pub(super) fn load(key: &StoreKey, environment: &Environment, limits: &Limits) -> Result<Identity, FsError> {
    let entries = entries(&key.binding, environment)?;
    // Whoever names an alias means its own configuration, and nothing that is set for the whole process.
    let user = match (&key.binding.alias, entries.get(USER)) {
        (_, Some(user)) => Some(user.clone()),
        (Some(_), None) => system_user(),
        (None, None) => environment.get("HADOOP_USER_NAME").map(str::to_owned),
    };
    identity(&key.binding, &key.authority, entries, user, limits)
}

/// The authority of URIs that have none, as `fs.defaultFS` says.
///
/// # Errors
/// As [`load`].
pub(crate) fn default_authority(binding: &Binding, environment: &Environment) -> Result<String, FsError> {
    default_of(binding, &entries(binding, environment)?)
}

fn entries(binding: &Binding, environment: &Environment) -> Result<BTreeMap<String, String>, FsError> {
    if let Some(alias) = &binding.alias {
        return alias.load(environment);
    }
    let folder = binding.properties.get("hadoop-conf-dir").map(String::as_str);
    let mut entries = match folder.or_else(|| environment.get("HADOOP_CONF_DIR")) {
        Some(folder) => read_folder(Path::new(folder), environment)?,
        None => BTreeMap::new(),
    };
    let own = binding.properties.iter().filter(|(key, _)| key.as_str() != "hadoop-conf-dir");
    entries.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    Ok(entries)
}

/// The entries of `core-site.xml` and `hdfs-site.xml` in `folder`, of which one may be missing.
fn read_folder(folder: &Path, environment: &Environment) -> Result<BTreeMap<String, String>, FsError> {
    let files: Vec<PathBuf> = ["core-site.xml", "hdfs-site.xml"].map(|name| folder.join(name)).into_iter().filter(|file| file.exists()).collect();
    if files.is_empty() {
        let message = format!("'hadoop-conf-dir' is '{}', where there is neither core-site.xml nor hdfs-site.xml", folder.display());
        return Err(FsError::new(ErrorKind::User, message));
    }
    hadoop_xml::read_in(&files, environment)
}

fn default_of(binding: &Binding, entries: &BTreeMap<String, String>) -> Result<String, FsError> {
    let scheme = binding.scheme.name;
    let default = entries.get("fs.defaultFS").map(String::as_str);
    let authority = default.and_then(|uri| uri.strip_prefix(&format!("{scheme}://"))).and_then(|rest| rest.split('/').next());
    match authority.filter(|authority| !authority.is_empty()) {
        Some(authority) => Ok(authority.to_owned()),
        None => {
            let name = binding.name();
            let instead = match &binding.alias {
                Some(alias) => format!("set 'fs.alias.{}.authority'", alias.name),
                None => "give 'hadoop-conf-dir'".to_owned(),
            };
            let default = default.map_or_else(|| "is not set".to_owned(), |uri| format!("is '{uri}'"));
            Err(binding.refuse(format!("`{name}:///…` names no NameNode, and 'fs.defaultFS' {default}; write `{name}://host:port/…` or {instead}.")))
        }
    }
}

fn identity(
    binding: &Binding,
    authority: &str,
    mut entries: BTreeMap<String, String>,
    user: Option<String>,
    limits: &Limits,
) -> Result<Identity, FsError> {
    let authority = if authority.is_empty() { default_of(binding, &entries)? } else { authority.to_owned() };
    complete(&mut entries, &authority).map_err(|what| binding.refuse(what))?;
    let url = if binding.scheme.name == "viewfs" {
        if !entries.keys().any(|key| key.starts_with(&format!("{LINK}{authority}."))) {
            return Err(binding.refuse(format!("there is no '{LINK}{authority}.link.*', so `viewfs://{authority}` has no mounts.")));
        }
        format!("viewfs://{authority}")
    } else {
        format!("hdfs://{}", with_port(&authority, &entries))
    };
    // A server that is down shall be reported in seconds: the tries of a request are counted by its deadline, not by the client.
    let defaults = [
        ("dfs.client.failover.max.attempts", "4".to_owned()),
        ("dfs.client.failover.sleep.base.millis", "200".to_owned()),
        ("dfs.client.failover.sleep.max.millis", "1000".to_owned()),
        ("dfs.client.socket-timeout", limits.timeout.as_millis().to_string()),
        ("dfs.client.block.write.replace-datanode-on-failure.best-effort", "true".to_owned()),
    ];
    for (key, value) in defaults {
        entries.entry(key.to_owned()).or_insert(value);
    }
    let key_server = KEY_SERVER.iter().find_map(|key| entries.get(*key)).filter(|uri| uri.starts_with("kms://")).cloned();
    entries.retain(|key, _| !KEY_SERVER.contains(&key.as_str()));
    entries.extend(key_server.map(|uri| (KEY_SERVER[0].to_owned(), uri)));
    let following = Following::of(&entries).map_err(|what| binding.refuse(what))?;
    let secured = is_secured(&entries);
    let kerberos = if secured { kerberos(binding, &entries)? } else { None };
    entries.retain(|key, _| ![USER, PRINCIPAL, KEYTAB, TICKET_CACHE].contains(&key.as_str()) && !key.starts_with("fs.request."));
    let alias = binding.alias.as_ref().map(|alias| alias.name.clone());
    Ok(Identity { url, entries, user: user.filter(|_| !secured), kerberos, alias, following })
}

fn is_secured(entries: &BTreeMap<String, String>) -> bool {
    entries.get("hadoop.security.authentication").is_some_and(|kind| kind != "simple")
}

/// Who we are in a secured cluster. An alias must say it: the tickets that the process has are not its own.
fn kerberos(binding: &Binding, entries: &BTreeMap<String, String>) -> Result<Option<Kerberos>, FsError> {
    let secret = match (entries.get(KEYTAB), entries.get(TICKET_CACHE)) {
        (Some(keytab), None) => Some(KerberosSecret::Keytab(keytab.clone())),
        (None, Some(cache)) => Some(KerberosSecret::TicketCache(cache.clone())),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(binding.refuse(format!("'{KEYTAB}' and '{TICKET_CACHE}' shouldn't be set together."))),
    };
    match (entries.get(PRINCIPAL), secret) {
        (Some(principal), Some(secret)) => Ok(Some(Kerberos { principal: principal.clone(), secret })),
        (None, None) if binding.alias.is_none() => Ok(None),
        _ => {
            let what = "its cluster wants Kerberos ('hadoop.security.authentication' is not 'simple'), and its identity is not complete";
            Err(binding.refuse(format!("{what}: give '{PRINCIPAL}', and '{KEYTAB}' or '{TICKET_CACHE}'.")))
        }
    }
}

/// Puts every nameservice into the form that the client knows: a list of NameNodes, each with host and port. And the targets of mounts.
fn complete(entries: &mut BTreeMap<String, String>, authority: &str) -> Result<(), String> {
    let listed = entries.get("dfs.nameservices").map(|list| names(list)).unwrap_or_default();
    for service in listed.iter().map(String::as_str).chain([authority]) {
        let list_key = format!("dfs.ha.namenodes.{service}");
        let address_key = format!("dfs.namenode.rpc-address.{service}");
        let nodes = match (entries.get(&list_key), entries.get(&address_key)) {
            (Some(list), _) => names(list),
            (None, Some(address)) => {
                entries.insert(format!("{address_key}.nn"), address.clone());
                vec!["nn".to_owned()]
            }
            (None, None) if service == authority && listed.iter().any(|one| one == service) => {
                return Err(format!("'dfs.nameservices' lists '{service}', but there is neither '{list_key}' nor '{address_key}'."));
            }
            (None, None) => continue,
        };
        for node in &nodes {
            let key = format!("{address_key}.{node}");
            let Some(address) = entries.get(&key) else {
                return Err(format!("'{list_key}' lists '{node}', but there is no '{key}'."));
            };
            let address = host_and_port(address);
            entries.insert(key, address);
        }
        entries.insert(list_key, nodes.join(","));
    }
    let mounts: Vec<(String, String)> = entries
        .iter()
        .filter(|(key, _)| key.starts_with(LINK))
        .filter_map(|(key, target)| Some((key.clone(), whole_target(target, entries)?)))
        .collect();
    entries.extend(mounts);
    Ok(())
}

/// The target of a mount with the port that the client wants; nothing if it is none of HDFS.
fn whole_target(target: &str, entries: &BTreeMap<String, String>) -> Option<String> {
    let rest = target.strip_prefix("hdfs://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some(format!("hdfs://{}{path}", with_port(authority, entries)))
}

/// A nameservice as it is, a host with its port.
fn with_port(authority: &str, entries: &BTreeMap<String, String>) -> String {
    if entries.contains_key(&format!("dfs.ha.namenodes.{authority}")) { authority.to_owned() } else { host_and_port(authority) }
}

fn host_and_port(address: &str) -> String {
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aliases::Aliases;
    use crate::mounts::built_in;

    fn entries_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn plain(scheme: &str, pairs: &[(&str, &str)]) -> Binding {
        Binding { properties: Arc::new(entries_of(pairs)), ..Binding::of_scheme(built_in(scheme).expect("known"), &BTreeMap::new()) }
    }

    /// The alias `aa` whose folder holds `pairs` in its `core-site.xml`.
    fn alias(folder: &tempfile::TempDir, pairs: &[(&str, &str)], options: &[(&str, &str)]) -> Binding {
        let property = |(key, value): &(&str, &str)| format!("<property><name>{key}</name><value>{value}</value></property>");
        let text = format!("<c>{}</c>", pairs.iter().map(property).collect::<String>());
        std::fs::write(folder.path().join("core-site.xml"), text).expect("written");
        std::fs::write(folder.path().join("hdfs-site.xml"), "<c/>").expect("written");
        let mut properties: BTreeMap<String, String> =
            options.iter().map(|(key, value)| (format!("fs.alias.aa.option.{key}"), (*value).to_owned())).collect();
        properties.insert("fs.alias.aa.scheme".to_owned(), "hdfs".to_owned());
        properties.insert("fs.alias.aa.conf-dir".to_owned(), folder.path().display().to_string());
        Binding::of_alias(Aliases::of(&properties).get("aa").expect("right").expect("declared"))
    }

    fn loaded(binding: Binding, authority: &str, environment: &Environment) -> Result<Identity, String> {
        let key = StoreKey { binding, authority: authority.to_owned() };
        load(&key, environment, &Limits::default()).map_err(|error| error.to_string())
    }

    fn url(authority: &str, pairs: &[(&str, &str)]) -> Result<Identity, String> {
        loaded(plain("hdfs", pairs), authority, &Environment::default())
    }

    #[test]
    fn a_host_needs_no_configuration() {
        assert_eq!(url("nn.example:9000", &[]).expect("found").url, "hdfs://nn.example:9000");
        assert_eq!(url("nn.example", &[]).expect("found").url, "hdfs://nn.example:8020");
        assert_eq!(url("", &[("fs.defaultFS", "hdfs://nn:1/")]).expect("found").url, "hdfs://nn:1");
        assert!(url("", &[("fs.defaultFS", "file:///")]).expect_err("nothing").contains("'fs.defaultFS' is 'file:///'"));
    }

    #[test]
    fn a_nameservice_leads_to_its_namenodes_with_or_without_failover() {
        let both =
            url("ns1", &[("dfs.ha.namenodes.ns1", "a, b"), ("dfs.namenode.rpc-address.ns1.a", "x"), ("dfs.namenode.rpc-address.ns1.b", "y:1")]);
        let both = both.expect("found");
        assert_eq!((both.url.as_str(), both.entries["dfs.ha.namenodes.ns1"].as_str()), ("hdfs://ns1", "a,b"));
        assert_eq!(both.entries["dfs.namenode.rpc-address.ns1.a"], "x:8020");
        let single = url("ns1", &[("dfs.namenode.rpc-address.ns1", "x:1")]).expect("found");
        assert_eq!((single.url.as_str(), single.entries["dfs.namenode.rpc-address.ns1.nn"].as_str()), ("hdfs://ns1", "x:1"));
        let missing = url("ns1", &[("dfs.ha.namenodes.ns1", "a")]).expect_err("no address");
        assert!(missing.contains("dfs.namenode.rpc-address.ns1.a"), "{missing}");
        let listed = url("ns1", &[("dfs.nameservices", "ns0, ns1")]).expect_err("only listed");
        assert!(listed.contains("'dfs.nameservices' lists 'ns1'"), "{listed}");
    }

    #[test]
    fn a_key_server_is_handed_on_and_no_other_kind_of_keys() {
        let key = |pairs: &[(&str, &str)]| url("nn", pairs).expect("found").entries.get(KEY_SERVER[0]).cloned();
        let uri = "kms://https@kms.example:9600/kms";
        assert_eq!(key(&[("hadoop.security.key.provider.path", uri)]).as_deref(), Some(uri));
        assert_eq!(key(&[("dfs.encryption.key.provider.uri", uri)]).as_deref(), Some(uri));
        assert_eq!(key(&[("hadoop.security.key.provider.path", "jceks://file/keys")]), None);
    }

    #[test]
    fn mounts_are_handed_on_with_the_clusters_behind_them() {
        let table = [
            ("fs.viewfs.mounttable.all.link./a", "hdfs://ns1/a"),
            ("fs.viewfs.mounttable.all.link./b", "hdfs://nn.example/b"),
            ("fs.viewfs.mounttable.all.linkFallback", "hdfs://ns1/"),
            ("fs.defaultFS", "viewfs://all"),
            ("dfs.nameservices", "ns1"),
            ("dfs.namenode.rpc-address.ns1", "x:1"),
        ];
        let view = loaded(plain("viewfs", &table), "", &Environment::default()).expect("found");
        assert_eq!(view.url, "viewfs://all");
        assert_eq!(view.entries["fs.viewfs.mounttable.all.link./a"], "hdfs://ns1/a");
        assert_eq!(view.entries["fs.viewfs.mounttable.all.link./b"], "hdfs://nn.example:8020/b");
        assert_eq!(view.entries["dfs.ha.namenodes.ns1"], "nn");
        let none = loaded(plain("viewfs", &table), "other", &Environment::default()).expect_err("no mounts");
        assert!(none.contains("`viewfs://other` has no mounts"), "{none}");
    }

    #[test]
    fn properties_win_over_files_and_the_folder_over_the_environment() {
        let (own, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        for (folder, port) in [(&own, "1"), (&other, "2")] {
            let text = format!("<c><property><name>fs.defaultFS</name><value>hdfs://nn:{port}</value></property></c>");
            std::fs::write(folder.path().join("core-site.xml"), text).expect("written");
        }
        let path = |folder: &tempfile::TempDir| folder.path().display().to_string();
        let environment = Environment::new([("HADOOP_CONF_DIR".to_owned(), path(&other)), ("HADOOP_USER_NAME".to_owned(), "amy".to_owned())]);
        let found = |properties: &[(&str, &str)]| loaded(plain("hdfs", properties), "", &environment).expect("found");
        assert_eq!((found(&[]).url.as_str(), found(&[]).user.as_deref()), ("hdfs://nn:2", Some("amy")));
        let of_own = found(&[("hadoop-conf-dir", &path(&own)), ("hadoop.user.name", "bob")]);
        assert_eq!((of_own.url.as_str(), of_own.user.as_deref()), ("hdfs://nn:1", Some("bob")));
        assert_eq!(found(&[("hadoop-conf-dir", &path(&own)), ("fs.defaultFS", "hdfs://nn:3")]).url, "hdfs://nn:3");
        let missing = loaded(plain("hdfs", &[("hadoop-conf-dir", "/nowhere")]), "", &environment).expect_err("missing");
        assert!(missing.contains("/nowhere"), "{missing}");
    }

    #[test]
    fn the_environment_never_decides_for_an_alias() {
        let (own, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let theirs = "<c><property><name>fs.defaultFS</name><value>hdfs://wrong:1</value></property></c>";
        std::fs::write(other.path().join("core-site.xml"), theirs).expect("written");
        let environment = [
            ("HADOOP_CONF_DIR".to_owned(), other.path().display().to_string()),
            ("HADOOP_USER_NAME".to_owned(), "amy".to_owned()),
            ("KRB5CCNAME".to_owned(), "FILE:/amy".to_owned()),
        ];
        let environment = Environment::new(environment);
        let of_alias = loaded(alias(&own, &[("fs.defaultFS", "hdfs://nn:1")], &[]), "", &environment).expect("found");
        assert_eq!((of_alias.url.as_str(), of_alias.alias.as_deref()), ("hdfs://nn:1", Some("aa")));
        assert_eq!(of_alias.user, system_user());
        let error = loaded(alias(&own, &[("dfs.x", "y")], &[]), "", &environment).expect_err("no default");
        assert!(error.contains("[FS-001] Alias 'aa'") && error.contains("'fs.alias.aa.authority'"), "{error}");
    }

    #[test]
    fn an_alias_of_a_secured_cluster_says_who_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let secured = [("fs.defaultFS", "hdfs://nn:1"), ("hadoop.security.authentication", "kerberos")];
        let of = |options: &[(&str, &str)]| loaded(alias(&folder, &secured, options), "", &Environment::default());
        let anonymous = of(&[]).expect_err("nobody");
        assert!(anonymous.contains("Alias 'aa': its cluster wants Kerberos") && anonymous.contains("'hadoop.kerberos.keytab'"), "{anonymous}");
        let alice = of(&[("hadoop.kerberos.principal", "alice@R"), ("hadoop.kerberos.keytab", "/k")]).expect("complete");
        assert_eq!(alice.kerberos, Some(Kerberos { principal: "alice@R".to_owned(), secret: KerberosSecret::Keytab("/k".to_owned()) }));
        assert!(alice.user.is_none() && !alice.entries.contains_key("hadoop.kerberos.keytab"));
        assert!(of(&[("hadoop.kerberos.keytab", "/k")]).is_err());
        assert!(loaded(plain("hdfs", &secured), "", &Environment::default()).expect("the tickets of the process").kerberos.is_none());
    }
}
