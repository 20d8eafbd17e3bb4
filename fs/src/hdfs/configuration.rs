//! Hadoop's configuration, read by ourselves and handed over whole.
//!
//! The client's own reader does not trim values, substitute `${…}`, follow `xi:include` or mind `<final>`; nor does it know the default
//! port or a nameservice of one NameNode. And it looks at the environment, which is the same for all clusters of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use weir_base::ErrorKind;

use crate::deadline::Limits;
use crate::environment::Environment;
use crate::error::FsError;

const DEFAULT_PORT: u16 = 8020;

/// One client is made for each identity: a cluster as configured, and a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// `hdfs://host:port` or `hdfs://nameservice`.
    pub(super) url: String,
    /// All the client is told.
    pub(super) entries: BTreeMap<String, String>,
    /// The user of an unsecured cluster, if not the system's.
    pub(super) user: Option<String>,
}

/// The identity for `authority` where `properties` hold.
///
/// # Errors
/// Files that are missing or broken, and an authority that leads to no NameNode.
pub(super) fn load(authority: &str, properties: &BTreeMap<String, String>, environment: &Environment, limits: &Limits) -> Result<Identity, FsError> {
    let folder = properties.get("hadoop-conf-dir").map(String::as_str);
    let mut entries = match folder.or_else(|| environment.get("HADOOP_CONF_DIR")) {
        Some(folder) => read_folder(Path::new(folder))?,
        None => BTreeMap::new(),
    };
    let own = properties.iter().filter(|(key, _)| !matches!(key.as_str(), "hadoop-conf-dir" | "hadoop.user.name") && !key.starts_with("fs.request."));
    entries.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    let user = properties.get("hadoop.user.name").map(String::as_str).or_else(|| environment.get("HADOOP_USER_NAME"));
    identity(authority, entries, user, limits)
}

fn identity(authority: &str, mut entries: BTreeMap<String, String>, user: Option<&str>, limits: &Limits) -> Result<Identity, FsError> {
    let wrong = |message: String| Err(FsError::new(ErrorKind::User, message));
    let default =
        entries.get("fs.defaultFS").and_then(|uri| uri.strip_prefix("hdfs://")).map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
    let authority = match (authority, default) {
        ("", Some(default)) if !default.is_empty() => default,
        ("", _) => {
            return wrong(
                "`hdfs:///…` names no NameNode, and neither does 'fs.defaultFS'; write `hdfs://host:port/…` or give 'hadoop-conf-dir'".to_owned(),
            );
        }
        (authority, _) => authority.to_owned(),
    };
    let list_key = format!("dfs.ha.namenodes.{authority}");
    let address_key = format!("dfs.namenode.rpc-address.{authority}");
    let url = if let Some(names) = entries.get(&list_key) {
        let names: Vec<String> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(missing) = names.iter().find(|name| !entries.contains_key(&format!("{address_key}.{name}"))) {
            return wrong(format!("'{list_key}' lists '{missing}', but there is no '{address_key}.{missing}'"));
        }
        entries.insert(list_key, names.join(","));
        format!("hdfs://{authority}")
    } else if let Some(address) = entries.get(&address_key).cloned() {
        entries.insert(list_key, "nn".to_owned());
        entries.insert(format!("{address_key}.nn"), address);
        format!("hdfs://{authority}")
    } else if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        format!("hdfs://{authority}")
    } else {
        format!("hdfs://{authority}:{DEFAULT_PORT}")
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
    let secured = entries.get("hadoop.security.authentication").is_some_and(|kind| kind != "simple");
    Ok(Identity { url, entries, user: user.filter(|_| !secured).map(str::to_owned) })
}

/// The entries of `core-site.xml` and `hdfs-site.xml` in `folder`, with `${…}` substituted.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, FsError> {
    let mut loaded = Loaded::default();
    let mut found = false;
    for name in ["core-site.xml", "hdfs-site.xml"] {
        let file = folder.join(name);
        if file.exists() {
            found = true;
            loaded.read(&file, 0)?;
        }
    }
    if !found {
        let message = format!("'hadoop-conf-dir' is '{}', where there is neither core-site.xml nor hdfs-site.xml", folder.display());
        return Err(FsError::new(ErrorKind::User, message));
    }
    let entries = &loaded.entries;
    Ok(entries.iter().map(|(key, value)| (key.clone(), substitute(value, entries, 0))).collect())
}

/// The entries of `files`, in this order.
pub(crate) fn read_files(files: &[std::path::PathBuf]) -> Result<BTreeMap<String, String>, FsError> {
    let mut loaded = Loaded::default();
    for file in files {
        loaded.read(file, 0)?;
    }
    let entries = &loaded.entries;
    Ok(entries.iter().map(|(key, value)| (key.clone(), substitute(value, entries, 0))).collect())
}

#[derive(Default)]
struct Loaded {
    entries: BTreeMap<String, String>,
    finals: BTreeSet<String>,
}

impl Loaded {
    /// Reads `file` and what it includes, in the order of the text.
    fn read(&mut self, file: &Path, depth: u32) -> Result<(), FsError> {
        let broken = |what: String| FsError::new(ErrorKind::User, format!("Hadoop configuration `{}`: {what}", file.display()));
        if depth > 8 {
            return Err(broken("includes itself".to_owned()));
        }
        let text = std::fs::read_to_string(file).map_err(|error| broken(error.to_string()).with_source(error))?;
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
        let tree = roxmltree::Document::parse_with_options(&text, options).map_err(|error| broken(error.to_string()).with_source(error))?;
        for node in tree.root_element().children().filter(roxmltree::Node::is_element) {
            match node.tag_name().name() {
                "property" => self.property(node),
                "include" => {
                    let Some(target) = node.attribute("href") else { return Err(broken("an include has no href".to_owned())) };
                    let included = file.parent().unwrap_or(Path::new("/")).join(target);
                    let optional = node.children().any(|child| child.tag_name().name() == "fallback");
                    if included.exists() || !optional {
                        self.read(&included, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A later value wins over an earlier one, unless that was final.
    fn property(&mut self, node: roxmltree::Node<'_, '_>) {
        let part = |name: &str| {
            let child = node.children().find(|child| child.tag_name().name() == name);
            // A comment inside a value cuts its text in pieces.
            let text = child.map(|child| child.descendants().filter(roxmltree::Node::is_text).filter_map(|piece| piece.text()).collect::<String>());
            text.or_else(|| node.attribute(name).map(str::to_owned)).map(|text| text.trim().to_owned())
        };
        let (Some(name), Some(value)) = (part("name"), part("value")) else { return };
        if name.is_empty() || self.finals.contains(&name) {
            return;
        }
        if part("final").is_some_and(|is_final| is_final == "true") {
            self.finals.insert(name.clone());
        }
        self.entries.insert(name, value);
    }
}

/// Replaces `${key}` by the key's value, as deep as Hadoop does; what is unknown stays.
fn substitute(value: &str, entries: &BTreeMap<String, String>, depth: u32) -> String {
    let mut done = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((key, after)) = after.split_once('}') else { break };
        done.push_str(before);
        match entries.get(key) {
            Some(value) if depth < 20 => done.push_str(&substitute(value, entries, depth + 1)),
            _ => done.push_str(&format!("${{{key}}}")),
        }
        rest = after;
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn url(authority: &str, pairs: &[(&str, &str)]) -> Result<Identity, String> {
        identity(authority, entries(pairs), None, &Limits::default()).map_err(|error| error.to_string())
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn a_host_needs_no_configuration() {
        assert_eq!(url("nn.example:9000", &[]).expect("found").url, "hdfs://nn.example:9000");
        assert_eq!(url("nn.example", &[]).expect("found").url, "hdfs://nn.example:8020");
        assert_eq!(url("", &[("fs.defaultFS", "hdfs://nn:1/")]).expect("found").url, "hdfs://nn:1");
        assert!(url("", &[("fs.defaultFS", "file:///")]).expect_err("nothing").contains("names no NameNode"));
    }

    #[test]
    fn a_nameservice_leads_to_its_namenodes_with_or_without_failover() {
        let both =
            url("ns1", &[("dfs.ha.namenodes.ns1", "a, b"), ("dfs.namenode.rpc-address.ns1.a", "x:1"), ("dfs.namenode.rpc-address.ns1.b", "y:1")]);
        let both = both.expect("found");
        assert_eq!((both.url.as_str(), both.entries["dfs.ha.namenodes.ns1"].as_str()), ("hdfs://ns1", "a,b"));
        let single = url("ns1", &[("dfs.namenode.rpc-address.ns1", "x:1")]).expect("found");
        assert_eq!(single.entries["dfs.namenode.rpc-address.ns1.nn"], "x:1");
        let missing = url("ns1", &[("dfs.ha.namenodes.ns1", "a")]).expect_err("no address");
        assert!(missing.contains("dfs.namenode.rpc-address.ns1.a"), "{missing}");
    }

    #[test]
    fn files_are_read_as_hadoop_reads_them() {
        let core = r#"<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="x"?>
            <configuration xmlns:xi="http://www.w3.org/2001/XInclude">
            <property><name> host </name><value>
                nn1.example
            </value></property>
            <property><name>fs.defaultFS</name><value>hdfs://${host}:${port}${unknown}</value></property>
            <property><name>port</name><value>80<!-- sic -->20</value><final>true</final></property>
            <property name="attribute" value="form"/>
            <xi:include href="more.xml"/>
            <xi:include href="missing.xml"><xi:fallback/></xi:include>
            </configuration>"#;
        let more = "<configuration><property><name>included</name><value>yes</value></property></configuration>";
        let hdfs = "<configuration><property><name>port</name><value>1</value></property></configuration>";
        let folder = folder(&[("core-site.xml", core), ("more.xml", more), ("hdfs-site.xml", hdfs)]);
        let read = read_folder(folder.path()).expect("read");
        let expected = [
            ("attribute", "form"),
            ("fs.defaultFS", "hdfs://nn1.example:8020${unknown}"),
            ("host", "nn1.example"),
            ("included", "yes"),
            ("port", "8020"),
        ];
        assert_eq!(read, entries(&expected));
    }

    #[test]
    fn broken_and_missing_files_are_named() {
        let broken = folder(&[("core-site.xml", "<configuration>")]);
        assert!(read_folder(broken.path()).expect_err("broken").to_string().contains("core-site.xml"));
        assert!(read_folder(Path::new("/nowhere")).expect_err("missing").to_string().contains("/nowhere"));
        let circle = folder(&[("core-site.xml", r#"<c><include href="core-site.xml"/></c>"#)]);
        assert!(read_folder(circle.path()).expect_err("circle").to_string().contains("includes itself"));
    }

    #[test]
    fn a_value_that_names_itself_ends() {
        let read = substitute("${a}", &entries(&[("a", "x${a}")]), 0);
        assert!(read.starts_with("xx") && read.ends_with("${a}"), "{read}");
    }

    #[test]
    fn properties_win_over_files_and_the_folder_over_the_environment() {
        let text =
            |port: &str| format!("<configuration><property><name>fs.defaultFS</name><value>hdfs://nn:{port}</value></property></configuration>");
        let (own, other) = (folder(&[("core-site.xml", &text("1"))]), folder(&[("core-site.xml", &text("2"))]));
        let path = |folder: &tempfile::TempDir| folder.path().display().to_string();
        let environment = Environment::new([("HADOOP_CONF_DIR".to_owned(), path(&other)), ("HADOOP_USER_NAME".to_owned(), "amy".to_owned())]);
        let limits = Limits::default();
        let found = |properties: &[(&str, &str)]| load("", &entries(properties), &environment, &limits).expect("found");
        assert_eq!((found(&[]).url.as_str(), found(&[]).user.as_deref()), ("hdfs://nn:2", Some("amy")));
        let of_own = found(&[("hadoop-conf-dir", &path(&own)), ("hadoop.user.name", "bob")]);
        assert_eq!((of_own.url.as_str(), of_own.user.as_deref()), ("hdfs://nn:1", Some("bob")));
        assert_eq!(found(&[("hadoop-conf-dir", &path(&own)), ("fs.defaultFS", "hdfs://nn:3")]).url, "hdfs://nn:3");
    }
}
