//! Secured HDFS: several identities in one process, each from its alias, whatever happens to NameNodes and KDCs; and protection of what is
//! transferred.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::block_in_place;

use crate::orders::{LIMIT, committed, endpoint, order, run};
use crate::support::{Hdfs, Kdc, Launch, Row, Servers, Topic, Wire, Workdir, until};

const SECURED: &str = "hdfs-kerberos";
const SECURED_B: &str = "hdfs-kerberos-b";
const SECURED_HA: &str = "hdfs-kerberos-ha";

/// One alias in a `weir.toml`.
pub(crate) fn alias(name: &str, conf: &Path, options: &[(&str, &str)]) -> String {
    let options: String = options.iter().map(|(key, value)| format!("option.{key} = \"{value}\"\n")).collect();
    format!("[fs.alias.{name}]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n{options}", conf.display())
}

/// An alias that is `user` of the realm, with more options after that.
fn alias_of(name: &str, hdfs: &Hdfs, kdc: &Kdc, user: &str, more: &str) -> String {
    let (principal, keytab) = (format!("{user}@{}", kdc.realm), kdc.keytab(user));
    alias(name, &hdfs.conf_ns1, &[("hadoop.kerberos.principal", &principal), ("hadoop.kerberos.keytab", &keytab)]) + more
}

/// A table that takes the orders of one event.
struct Sink {
    table: &'static str,
    event: &'static str,
    /// The folder of its warehouse.
    below: &'static str,
}

/// Of four orders each of these takes one.
const CLICKS: Sink = Sink { table: "clicks", event: "click", below: "ofalice://ns1/alice" };
const VIEWS: Sink = Sink { table: "views", event: "view", below: "ofbob://ns1/bob" };
const BUYS: Sink = Sink { table: "buys", event: "buy", below: "otherbob://ns1/bob" };

/// A job on secured clusters, whose first sink has the checkpoints beside it, and its topic.
struct Job {
    folder: Workdir,
    topic: Topic,
    file: PathBuf,
    krb5_conf: PathBuf,
    sinks: &'static [Sink],
}

impl Job {
    /// The job with `weir.toml` and `krb5.conf` as given.
    async fn new(folder: Workdir, config: &str, krb5_conf: PathBuf, sinks: &'static [Sink]) -> Self {
        folder.write("weir.toml", config);
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "orders", 1, &[]).await;
        let of_sink = |Sink { table, below, .. }: &Sink| {
            let uri = format!("sqlite:{}", folder.path(&format!("{table}.db")).display());
            format!(
                "CREATE CATALOG lake_{table} WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{uri}', 'warehouse' = '{below}/warehouse');
CREATE DATABASE IF NOT EXISTS lake_{table}.shop;
CREATE TABLE IF NOT EXISTS lake_{table}.shop.{table} (id BIGINT);
"
            )
        };
        let insert = |Sink { table, event, .. }: &Sink| {
            format!("  INSERT INTO lake_{table}.shop.{table} SELECT id FROM orders WHERE event_type = '{event}';\n")
        };
        let text = format!(
            "SET 'pipeline.name' = 'secured';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = '{}/checkpoints';
CREATE TABLE orders (id BIGINT, event_type STRING) WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
{}EXECUTE STATEMENT SET BEGIN
{}END;
",
            sinks[0].below,
            topic.name(),
            sinks.iter().map(of_sink).collect::<String>(),
            sinks.iter().map(insert).collect::<String>(),
        );
        let file = folder.write("job.sql", &text);
        Self { folder, topic, file, krb5_conf, sinks }
    }

    async fn send(&self, ids: Range<u64>) {
        self.topic.produce(ids.map(|id| Row::new(0, order(id)))).await;
    }

    /// `weir` in an environment which says that we are somebody else, with tickets that nobody has.
    fn weir(&self, arguments: &[&OsStr]) -> Launch {
        let of_others = self.folder.path("tickets").display().to_string();
        let launch = self.folder.weir(arguments).env("KRB5_CONFIG", &self.krb5_conf.display().to_string());
        launch.env("KRB5CCNAME", &of_others).env("HADOOP_USER_NAME", "nobody-of-ours").env("HADOOP_PROXY_USER", "nobody-of-ours")
    }

    /// Waits until the job behind `http` has committed the orders before `end`.
    async fn committed(&self, http: &str, end: usize) {
        committed(http, end / 4 * self.sinks.len()).await;
    }

    /// Each table holds each row once.
    async fn verified(&self) {
        for Sink { table, .. } in self.sinks {
            let target = format!("lake_{table}.shop.{table}");
            self.weir(&["verify".as_ref(), "--init".as_ref(), self.file.as_os_str(), target.as_ref()]).output(LIMIT).await.succeeded();
        }
    }
}

/// Fails unless Hadoop's own tool says that each folder of users and all that is in it are theirs, and that there are files of `sinks` from
/// two commits at least.
fn owned(servers: &Servers, cluster: &str, users: &[&str]) {
    let folders: Vec<String> = users.iter().map(|user| format!("/{user}")).collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let listed = block_in_place(|| servers.admin(cluster, &[&["dfs", "-ls", "-R"], folders.as_slice()].concat()));
    let files: Vec<(&str, &str)> = listed.lines().filter_map(|line| Some((line.split_whitespace().nth(2)?, &line[line.find(" /")? + 1..]))).collect();
    for user in users {
        let own = files.iter().filter(|(_, path)| path.starts_with(&format!("/{user}/warehouse/")) && path.ends_with(".parquet"));
        assert!(own.count() >= 2, "{cluster}: files from before and after: {listed}");
        assert!(files.iter().all(|(owner, path)| path.starts_with(&format!("/{user}/")) == (owner == user)), "{cluster}: {listed}");
    }
}

/// Who created files on the cluster, as the NameNode has written down.
fn creators(hdfs: &Hdfs) -> Vec<String> {
    let log = std::fs::read_to_string(&hdfs.audit).unwrap();
    let user = |line: &str| Some(line.split_once("ugi=")?.1.split_whitespace().next()?.to_owned());
    let mut users: Vec<String> = log.lines().filter(|line| line.contains("cmd=create")).filter_map(user).collect();
    users.sort();
    users.dedup();
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_writes_to_two_secured_clusters_as_three_principals_through_restarts_of_the_name_nodes() {
    let servers = Servers::own();
    let (hdfs, other, kdc, other_kdc) = block_in_place(|| (servers.hdfs_of(SECURED), servers.hdfs_of(SECURED_B), servers.kdc(), servers.kdc_b()));
    let folder = Workdir::new();
    // Both clusters call themselves `ns1`, and both have a `bob`, of whom only the realm tells which one he is.
    let config = [
        alias_of("ofalice", &hdfs, &kdc, "alice", ""),
        alias_of("ofbob", &hdfs, &kdc, "bob", ""),
        alias_of("otherbob", &other, &other_kdc, "bob", ""),
    ];
    let realms = format!("include {}\ninclude {}\n", kdc.krb5_conf.display(), other_kdc.krb5_conf.display());
    let realms = folder.write("krb5.conf", &realms);
    let job = Job::new(folder, &config.concat(), realms, &[CLICKS, VIEWS, BUYS]).await;
    job.send(0..4_000).await;
    let running = job.weir(&run(&job.file)).start();
    let http = endpoint(&job.folder, 0).await;
    job.committed(&http, 4_000).await;
    block_in_place(|| {
        for cluster in [SECURED, SECURED_B] {
            servers.kill(&format!("{cluster}.namenode"));
        }
        for cluster in [SECURED, SECURED_B] {
            servers.start(cluster);
        }
    });
    job.send(4_000..8_000).await;
    job.committed(&http, 8_000).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    job.verified().await;

    owned(&servers, SECURED, &["alice", "bob"]);
    owned(&servers, SECURED_B, &["bob"]);
    assert_eq!(creators(&hdfs), ["alice@TEST.LOCAL", "bob@TEST.LOCAL"]);
    assert_eq!(creators(&other), ["bob@OTHER.LOCAL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_when_the_active_name_node_of_a_secured_pair_is_killed() {
    let servers = Servers::own();
    let (hdfs, kdc) = block_in_place(|| (servers.hdfs_of(SECURED_HA), servers.kdc()));
    let job = Job::new(Workdir::new(), &alias_of("ofalice", &hdfs, &kdc, "alice", ""), kdc.krb5_conf, &[CLICKS]).await;
    job.send(0..4_000).await;
    let running = job.weir(&run(&job.file)).start();
    let http = endpoint(&job.folder, 0).await;
    job.committed(&http, 4_000).await;
    block_in_place(|| servers.kill("hdfs-kerberos-ha.nn1"));
    job.send(4_000..8_000).await;
    block_in_place(|| servers.admin(SECURED_HA, &["haadmin", "-failover", "nn1", "nn2"]));
    job.committed(&http, 8_000).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    job.verified().await;
    owned(&servers, SECURED_HA, &["alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_kdc_is_named_and_the_job_goes_on_when_it_is_back() {
    let servers = Servers::own();
    let (hdfs, kdc) = block_in_place(|| (servers.hdfs_of(SECURED), servers.kdc()));
    // New connections need new tickets: those of the test realm end after seconds.
    let wire = Wire::before(hdfs.uri.strip_prefix("hdfs://").unwrap()).await;
    let through_wire = format!("option.dfs.namenode.rpc-address.ns1 = \"{}\"\n", wire.address());
    let config = alias_of("ofalice", &hdfs, &kdc, "alice", &through_wire);
    let patient = format!("[fs.request]\ntimeout = \"4 s\"\n{config}");
    let job = Job::new(Workdir::new(), &patient, kdc.krb5_conf.clone(), &[CLICKS]).await;
    job.send(0..4_000).await;
    let running = job.weir(&run(&job.file)).start();
    let http = endpoint(&job.folder, 0).await;
    job.committed(&http, 4_000).await;

    block_in_place(|| servers.pause("kdc"));
    let mut sent = 4_000;
    let log = job.folder.path("0.weir.stderr");
    until("the job says that the KDC is silent", LIMIT, async || {
        wire.cut();
        job.send(sent..sent + 4).await;
        sent += 4;
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::read_to_string(&log).unwrap().contains(SILENT_KDC).then_some(())
    })
    .await;
    assert!(running.status(&http).await.is_some(), "only the threads of that identity wait");
    let impatient = Workdir::new();
    impatient.write("weir.toml", &format!("[fs.request]\ntimeout = \"3 s\"\ndeadline = \"6 s\"\n{config}"));
    let listing = impatient.weir(["fs", "ls", "ofalice://ns1/"]).env("KRB5_CONFIG", &job.krb5_conf.display().to_string());
    let refused = listing.output(LIMIT).await;
    assert!(!refused.status.success() && refused.stderr.contains(SILENT_KDC) && refused.stderr.contains("KRB5_CONFIG"), "{}", refused.stderr);

    block_in_place(|| servers.resume("kdc"));
    job.committed(&http, usize::try_from(sent).unwrap()).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    job.verified().await;
}

/// What is said of a KDC that takes connections and does not answer.
const SILENT_KDC: &str = "no answer of the KDC for ";

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_token_stands_in_for_tickets_but_not_for_an_alias() {
    let servers = Servers::shared();
    let (hdfs, kdc) = block_in_place(|| (servers.hdfs_of(SECURED), servers.kdc()));
    let folder = Workdir::new();
    let sent = folder.write("sent", "sent").display().to_string();
    let place = format!("token-{}", uuid::Uuid::new_v4().simple());
    let (token, nobody) = (folder.path("token").display().to_string(), folder.path("none").display().to_string());
    // Hadoop's own tool fetches it, for the NameNode's principal.
    block_in_place(|| servers.admin(SECURED, &["fetchdt", "--renewer", "nn", &token]));
    folder.write("weir.toml", &alias_of("ofalice", &hdfs, &kdc, "alice", ""));
    let put = |to: &str| {
        let launch = folder.weir(["fs", "put", &sent, to]).env("KRB5_CONFIG", &kdc.krb5_conf.display().to_string());
        let launch = launch.env("HADOOP_CONF_DIR", &hdfs.conf.display().to_string()).env("KRB5CCNAME", &nobody);
        launch.env("HADOOP_TOKEN_FILE_LOCATION", &token)
    };
    put(&format!("{}/{place}-nn/file", hdfs.uri)).output(LIMIT).await.succeeded();
    put(&format!("ofalice://ns1/{place}-alice/file")).output(LIMIT).await.succeeded();
    for owner in ["nn", "alice"] {
        let listed = block_in_place(|| servers.admin(SECURED, &["dfs", "-ls", &format!("/{place}-{owner}")]));
        assert!(listed.lines().any(|line| line.ends_with("/file") && line.split_whitespace().nth(2) == Some(owner)), "{listed}");
    }
    let without = put(&format!("{}/{place}-nn/more", hdfs.uri)).env("HADOOP_TOKEN_FILE_LOCATION", &nobody).output(LIMIT).await;
    assert!(!without.status.success() && without.stderr.contains("Kerberos with the tickets of this process"), "{}", without.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_transferred_may_be_signed_or_encrypted() {
    for name in ["hdfs-kerberos", "hdfs-kerberos-integrity", "hdfs-kerberos-privacy"] {
        let servers = Servers::own();
        let (hdfs, kdc) = block_in_place(|| (servers.hdfs_of(name), servers.kdc()));
        let folder = Workdir::new();
        folder.write("weir.toml", &(alias_of("ofalice", &hdfs, &kdc, "alice", "") + &alias_of("ofbob", &hdfs, &kdc, "bob", "")));
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(folder.path("there"), &bytes).unwrap();
        let weir = |arguments: &[&str]| folder.weir(["fs"].iter().chain(arguments)).env("KRB5_CONFIG", &kdc.krb5_conf.display().to_string());
        weir(&["mkdir", "ofalice://ns1/own"]).output(LIMIT).await.succeeded();
        weir(&["put", "there", "ofalice://ns1/own/file"]).output(LIMIT).await.succeeded();
        weir(&["get", "ofbob://ns1/own/file", "back"]).output(LIMIT).await.succeeded();
        assert!(std::fs::read(folder.path("back")).unwrap() == bytes, "{name}");
        let denied = weir(&["put", "there", "ofbob://ns1/own/of-bob"]).output(LIMIT).await;
        assert!(!denied.status.success(), "{name}: bob wrote into alice's folder");
        assert!(denied.stderr.contains("ofbob://ns1/own/of-bob") && denied.stderr.contains("Permission denied: user=bob"), "{}", denied.stderr);
    }
}
