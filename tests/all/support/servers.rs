//! Real servers, started through `scripts/servers`.
//!
//! The shared set is made for the whole process and each of its servers is started when a test first asks for its address; a guard
//! process ends them, and deletes their folder, when this process has ended in whatever way. A test that stops or pauses a server takes a
//! set of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

static SHARED: LazyLock<Servers> = LazyLock::new(Servers::own);

/// A set of servers in one run folder.
#[derive(Debug)]
pub(crate) struct Servers {
    folder: PathBuf,
    addresses: Mutex<HashMap<&'static str, Arc<OnceLock<Value>>>>,
}

/// An HDFS cluster.
#[derive(Debug, Deserialize)]
pub(crate) struct Hdfs {
    /// What its paths begin with: `hdfs://127.0.0.1:port`.
    pub(crate) uri: String,
    /// A folder with the `core-site.xml` and `hdfs-site.xml` of its clients.
    pub(crate) conf: PathBuf,
    /// The same, with the cluster under the name `ns1`.
    pub(crate) conf_ns1: PathBuf,
    /// The NameNode's web server.
    pub(crate) http: String,
    /// That of the second NameNode, if there is one.
    pub(crate) http_2: Option<String>,
    /// Where the NameNode writes down every call of a client, with the paths in it.
    pub(crate) audit: PathBuf,
}

/// A Kerberos KDC.
#[derive(Debug, Deserialize)]
pub(crate) struct Kdc {
    pub(crate) krb5_conf: PathBuf,
    pub(crate) realm: String,
    keytabs: PathBuf,
}

impl Kdc {
    /// The file with the keys of `alice` or `bob`.
    pub(crate) fn keytab(&self, user: &str) -> String {
        self.keytabs.join(format!("{user}.keytab")).display().to_string()
    }
}

/// A server of the keys of encryption zones.
#[derive(Debug, Deserialize)]
pub(crate) struct Kms {
    /// The certificate of the authority that its own is signed with, as PEM.
    pub(crate) ca: PathBuf,
}

/// An S3 server with one bucket.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    /// Which program it is: `versitygw`, or `moto`, which takes any key.
    pub(crate) server: String,
    /// Where `versitygw` keeps its objects as files, in a folder for each bucket.
    pub(crate) data: Option<PathBuf>,
}

/// Azure's blob storage with one account and one container.
#[derive(Debug, Deserialize)]
pub(crate) struct Azure {
    /// `host:port`.
    pub(crate) host: String,
    pub(crate) endpoint: String,
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) container: String,
}

/// An Iceberg REST catalog.
#[derive(Debug, Deserialize)]
pub(crate) struct Rest {
    pub(crate) uri: String,
    /// Where it puts tables that name no location.
    pub(crate) warehouse: String,
}

/// A Hive Metastore.
#[derive(Debug, Deserialize)]
pub(crate) struct Hive {
    pub(crate) uri: String,
    /// A folder with the `hive-site.xml` of its clients.
    pub(crate) conf: PathBuf,
}

/// Where a catalog keeps its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warehouse {
    File,
    S3,
    Hdfs,
}

/// A Kafka broker and the ways into it.
#[derive(Debug, Deserialize)]
pub(crate) struct Kafka {
    /// Where everybody may come in.
    pub(crate) bootstrap: String,
    /// Where a user and a password are asked for: PLAIN or SCRAM-SHA-512.
    pub(crate) sasl_plaintext: String,
    /// The same over TLS.
    pub(crate) sasl_ssl: String,
    /// Where clients show a certificate.
    pub(crate) ssl: String,
    /// The certificate of the authority, as PEM.
    pub(crate) ca: PathBuf,
    /// Key and certificate of a client, as PEM.
    pub(crate) client: PathBuf,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// A Redis server, which lets nobody in without a password.
#[derive(Debug, Deserialize)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) password: String,
    /// The certificate of the authority, as PEM.
    pub(crate) ca: PathBuf,
    /// A user who may touch only keys that begin with `user_prefix`.
    pub(crate) username: String,
    pub(crate) user_password: String,
    pub(crate) user_prefix: String,
}

/// A Redis cluster of three nodes.
#[derive(Debug, Deserialize)]
pub(crate) struct RedisCluster {
    /// `host:port`, commas between.
    pub(crate) nodes: String,
}

/// A Redis master and the sentinel that knows it.
#[derive(Debug, Deserialize)]
pub(crate) struct RedisSentinel {
    /// The master's port.
    pub(crate) port: u16,
    /// `host:port` of the sentinel.
    pub(crate) sentinels: String,
    /// What it calls the master.
    pub(crate) master: String,
}

#[derive(Deserialize)]
struct Postgres {
    url: String,
}

#[derive(Deserialize)]
struct Registry {
    url: String,
}

impl Servers {
    /// The servers that all tests of this process share.
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// A set of one's own, empty at first; its servers end with it.
    pub(crate) fn own() -> Self {
        let folder = std::env::temp_dir().join(format!("weir-test-{}", uuid::Uuid::new_v4().simple()));
        Self { folder, addresses: Mutex::default() }
    }

    /// The bootstrap address of Kafka.
    pub(crate) fn kafka(&self) -> String {
        self.kafka_ways().bootstrap
    }

    /// The ways into Kafka.
    pub(crate) fn kafka_ways(&self) -> Kafka {
        self.address("kafka")
    }

    /// The HDFS cluster.
    pub(crate) fn hdfs(&self) -> Hdfs {
        self.address("hdfs")
    }

    /// An HDFS cluster of another kind: `hdfs-3`, `hdfs-late`, `hdfs-ha`, `hdfs-zones`, or `hdfs-kerberos`, which may be followed by
    /// `-integrity`, `-privacy`, `-b` or `-ha`.
    pub(crate) fn hdfs_of(&self, name: &'static str) -> Hdfs {
        self.address(name)
    }

    /// The KDC of the secured clusters.
    pub(crate) fn kdc(&self) -> Kdc {
        self.address("kdc")
    }

    /// The KDC of another realm, that of `hdfs-kerberos-b`.
    pub(crate) fn kdc_b(&self) -> Kdc {
        self.address("kdc-b")
    }

    /// The key server of `hdfs-zones`.
    pub(crate) fn kms(&self) -> Kms {
        self.address("kms")
    }

    /// Another HDFS cluster, which calls itself `ns1` too.
    pub(crate) fn hdfs_b(&self) -> Hdfs {
        self.address("hdfs-b")
    }

    /// The S3 server.
    pub(crate) fn s3(&self) -> S3 {
        self.address("s3")
    }

    /// Another S3 server, with other keys and a bucket of the same name.
    pub(crate) fn s3_b(&self) -> S3 {
        self.address("s3-b")
    }

    /// Azure's blob storage.
    pub(crate) fn azure(&self) -> Azure {
        self.address("azurite")
    }

    /// The REST catalog whose tables are kept there.
    pub(crate) fn rest(&self, warehouse: Warehouse) -> Rest {
        self.address(match warehouse {
            Warehouse::File => "rest",
            Warehouse::S3 => "rest-s3",
            Warehouse::Hdfs => "rest-hdfs",
        })
    }

    /// The Hive Metastore.
    pub(crate) fn hive(&self) -> Hive {
        self.address("hive")
    }

    /// The URL of a PostgreSQL database.
    pub(crate) fn postgres(&self) -> String {
        self.address::<Postgres>("postgres").url
    }

    /// Where the schema registry answers as Confluent's does.
    pub(crate) fn registry(&self) -> String {
        self.address::<Registry>("registry").url
    }

    /// The Redis server.
    pub(crate) fn redis(&self) -> Redis {
        self.address("redis")
    }

    /// The Redis cluster.
    pub(crate) fn redis_cluster(&self) -> RedisCluster {
        self.address("redis-cluster")
    }

    /// The Redis master behind a sentinel.
    pub(crate) fn redis_sentinel(&self) -> RedisSentinel {
        self.address("redis-sentinel")
    }

    /// Starts a server that was stopped, on the port and data it had.
    pub(crate) fn start(&self, name: &str) {
        self.call(&["start", name, "--parent", &std::process::id().to_string(), "--remove"]);
    }

    /// Stops a server, or one process of it (`hdfs.datanode`), in good order.
    pub(crate) fn stop(&self, name: &str) {
        self.call(&["stop", name]);
    }

    /// Kills a server, or one process of it.
    pub(crate) fn kill(&self, name: &str) {
        self.call(&["stop", "--kill", name]);
    }

    /// Holds a server: connections stay open and nothing answers.
    pub(crate) fn pause(&self, name: &str) {
        self.call(&["pause", name]);
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self, name: &str) {
        self.call(&["resume", name]);
    }

    /// Runs an administrator's command on a server, and gives what it prints.
    pub(crate) fn admin(&self, name: &str, words: &[&str]) -> String {
        let folder = self.folder.display().to_string();
        run(&[&["admin", "--dir", &folder, name], words].concat())
    }

    fn address<T: DeserializeOwned>(&self, name: &'static str) -> T {
        let cell = Arc::clone(self.addresses.lock().unwrap().entry(name).or_default());
        let address = cell.get_or_init(|| {
            self.start(name);
            let record: Value = serde_json::from_str(&self.call(&["status", "--json"])).unwrap();
            record["servers"][name]["addresses"].clone()
        });
        serde_json::from_value(address.clone()).unwrap()
    }

    fn call(&self, arguments: &[&str]) -> String {
        run(&[arguments, &["--dir", &self.folder.display().to_string()]].concat())
    }
}

/// Runs `scripts/servers`.
fn run(arguments: &[&str]) -> String {
    let output = script(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/servers {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers"));
    command.args(arguments);
    command
}

/// Nothing here panics: in a test that fails already, that would be the end of all the others.
impl Drop for Servers {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot await, and a folder can only be looked at again")]
    fn drop(&mut self) {
        if !self.folder.exists() {
            return;
        }
        let stopped = script(&["stop", "--kill", "--dir", &self.folder.display().to_string()]).output();
        if !stopped.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("the servers in {} were not stopped: {stopped:?}", self.folder.display());
        }
        // What a process writes while it dies may come between.
        for _ in 0..10 {
            match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => std::thread::sleep(Duration::from_millis(200)),
                _ => return,
            }
        }
    }
}
