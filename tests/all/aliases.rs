//! Scheme aliases in whole jobs: two HDFS clusters of one name in one job, and an alias that moved.

use std::path::Path;

use object_store::ObjectStoreExt;
use serde_json::Value;
use weir_fs::FileSystems;

use crate::orders::{COLUMNS, LIMIT, committed, endpoint, holds_exactly, run, send};
use crate::support::{Hdfs, Servers, Table, Topic, Workdir};

const PARTITIONS: u64 = 3;
/// Places in the names of orders' events: `click` and `buy`.
const CLICK: u64 = 1;
const BUY: u64 = 3;

/// The job of two clusters; everything of it on either cluster is below `/<place>`.
struct Job<'a> {
    folder: &'a Workdir,
    place: &'a str,
    topic: &'a Topic,
    bounded: bool,
    /// `root` of the second alias, and its warehouse.
    second: (&'a str, &'a str),
    settings: &'a str,
}

impl Job<'_> {
    fn write(&self) -> std::path::PathBuf {
        let Self { folder, place, topic, settings, second: (root, warehouse), .. } = self;
        let bounded = if self.bounded { ", 'scan.bounded.mode' = 'latest-offset'" } else { "" };
        let (brokers, topic) = (Servers::shared().kafka(), topic.name());
        let (a, b) = (folder.path("a.db").display().to_string(), folder.path("b.db").display().to_string());
        let text = format!(
            "SET 'fs.alias.bbhdfs.root' = '{root}';
{settings}
SET 'pipeline.name' = 'two-clusters';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'aahdfs://ns1/{place}/checkpoints';
CREATE CATALOG a WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{a}', 'warehouse' = 'aahdfs://ns1/{place}/warehouse');
CREATE CATALOG b WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{b}', 'warehouse' = '{warehouse}');
CREATE TABLE orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(3),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>,
  p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL
) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
        'scan.startup.mode' = 'earliest-offset', 'format' = 'json'{bounded});
CREATE DATABASE IF NOT EXISTS a.shop;
CREATE DATABASE IF NOT EXISTS b.shop;
CREATE TABLE IF NOT EXISTS a.shop.clicks ({COLUMNS}) PARTITIONED BY (days(ts));
CREATE TABLE IF NOT EXISTS b.shop.buys ({COLUMNS});
EXECUTE STATEMENT SET BEGIN
  INSERT INTO a.shop.clicks SELECT * FROM orders WHERE event_type = 'click';
  INSERT INTO b.shop.buys SELECT * FROM orders WHERE event_type = 'buy';
END;
"
        );
        folder.write("job.sql", &text)
    }
}

/// The configuration file of both aliases: each has the folder of a cluster that calls itself `ns1`.
fn configure(folder: &Workdir, a: &Hdfs, b: &Hdfs) {
    let of = |name: &str, hdfs: &Hdfs| format!("[fs.alias.{name}]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n", hdfs.conf_ns1.display());
    folder.write("weir.toml", &(of("aahdfs", a) + &of("bbhdfs", b)));
}

/// Positions of the orders of one event, of those that were sent from order 0 on.
fn of_event(sent: &[(i32, i64)], event: u64) -> Vec<(i32, i64)> {
    (0..).zip(sent).filter(|(id, _)| id % 4 == event).map(|(_, at)| *at).collect()
}

/// The lines of a NameNode's audit log that name something of this test.
fn audited(hdfs: &Hdfs, place: &str) -> Vec<String> {
    let log = std::fs::read_to_string(&hdfs.audit).unwrap();
    log.lines().filter(|line| line.contains(place)).map(str::to_owned).collect()
}

/// The newest checkpoint of the job.
async fn newest_checkpoint(a: &Hdfs, place: &str) -> Value {
    let plain = FileSystems::new([("hadoop-conf-dir".to_owned(), a.conf_ns1.display().to_string())].into());
    let folder = plain.resolve(&format!("hdfs://ns1/{place}/checkpoints/two-clusters")).unwrap();
    let listed = folder.store.list_with_delimiter(Some(&folder.path)).await.unwrap().objects;
    let mut newest = Value::Null;
    for object in listed {
        let bytes = folder.store.get(&object.location).await.unwrap().bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        if body["epoch"].as_u64() > newest["epoch"].as_u64() {
            newest = body;
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_writes_to_two_clusters_that_have_the_same_name() {
    let servers = Servers::shared();
    let (a, b) = (servers.hdfs(), servers.hdfs_b());
    let folder = Workdir::new();
    configure(&folder, &a, &b);
    let place = format!("two-{}", uuid::Uuid::new_v4().simple());
    let topic = Topic::create(&servers.kafka(), "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let (root, below) = (format!("/{place}"), "bbhdfs://ns1/warehouse");
    let mut job = Job { folder: &folder, place: &place, topic: &topic, bounded: true, second: (&root, below), settings: "" };

    // The environment of the process names the wrong cluster and the wrong user.
    let launch = |file: &Path| folder.weir(run(file)).env("HADOOP_CONF_DIR", "/nowhere").env("HADOOP_USER_NAME", "nobody-of-ours");
    let mut sent = send(&topic, PARTITIONS, 0..4_000).await;
    let killed = launch(&job.write()).env("WEIR_FAIL", "checkpoint-after-put=kill").output(LIMIT).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "the checkpoint was not reached\n{}", killed.stderr);
    let pending = newest_checkpoint(&a, &place).await;
    let path = |sink: &str| pending["sinks"][sink]["commit"]["committables"][0]["payload"]["path"].as_str().unwrap().to_owned();
    assert!(path("clicks").starts_with(&format!("aahdfs://ns1/{place}/warehouse/shop/clicks/data/")), "{pending}");
    assert!(path("buys").starts_with("bbhdfs://ns1/warehouse/shop/buys/data/"), "{pending}");

    sent.extend(send(&topic, PARTITIONS, 4_000..8_000).await);
    job.bounded = false;
    let running = launch(&job.write()).start();
    let http = endpoint(&folder, 1).await;
    committed(&http, 2_000).await;
    let metrics = reqwest::get(format!("{http}/metrics")).await.unwrap().text().await.unwrap();
    for alias in ["aahdfs", "bbhdfs"] {
        let counted = metrics.lines().any(|line| line.starts_with("weir_fs_requests_total{") && line.contains(&format!("alias=\"{alias}\"")));
        assert!(counted, "no counters of {alias}:\n{metrics}");
    }
    running.kill().await;
    job.bounded = true;
    launch(&job.write()).output(LIMIT).await.succeeded();

    // The readers know one cluster each, by its own name.
    let table = |name: &str, catalog: &str, hdfs: &Hdfs| {
        let uri = format!("sqlite:{}", folder.path(&format!("{catalog}.db")).display());
        Table::of_sql(name, catalog, &uri, &format!("hdfs://ns1/{place}/warehouse")).on_hdfs(hdfs)
    };
    for (name, catalog, hdfs, event) in [("shop.clicks", "a", &a, CLICK), ("shop.buys", "b", &b, BUY)] {
        let found = holds_exactly(&table(name, catalog, hdfs), &of_event(&sent, event)).await;
        let location = format!("hdfs://ns1/{place}/warehouse/{}", name.replace('.', "/"));
        assert_eq!(found["location"], *location);
        let files = found["files"].as_array().unwrap();
        assert!(!files.is_empty() && files.iter().all(|file| file["path"].as_str().unwrap().starts_with(&location)), "{files:?}");
        let (job, name) = (folder.path("job.sql").display().to_string(), format!("{catalog}.{name}"));
        folder.weir(["verify", "--init", &job, &name]).output(LIMIT).await.succeeded();
    }
    let (on_a, on_b) = (audited(&a, &place), audited(&b, &place));
    assert!(on_a.iter().any(|line| line.contains("/warehouse/shop/clicks")) && on_b.iter().any(|line| line.contains("/warehouse/shop/buys")));
    assert!(on_a.iter().all(|line| !line.contains("shop/buys")), "a path of B was seen by A");
    assert!(on_b.iter().all(|line| !line.contains("shop/clicks") && !line.contains("checkpoints")), "a path of A was seen by B");
    assert!(on_a.iter().chain(&on_b).all(|line| !line.contains("nobody-of-ours")), "the environment decided who it is");

    // The same place under another root: a checkpoint does not go on with it by itself.
    let rooted = format!("bbhdfs://ns1/{place}/warehouse");
    let moved = Job { second: ("/", &rooted), ..job };
    let refused = launch(&moved.write()).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains("[FS-001] Alias 'bbhdfs'") && refused.stderr.contains("'fs.alias.bbhdfs.root' was"), "{}", refused.stderr);
    let allowed = Job { settings: "SET 'fs.alias.bbhdfs.allow-rebind' = 'true';", ..moved };
    launch(&allowed.write()).output(LIMIT).await.succeeded();
    holds_exactly(&table("shop.buys", "b", &b), &of_event(&sent, BUY)).await;
}

/// A job that needs no server but that of its checkpoints.
fn small_job(folder: &Workdir, checkpoints: &str) -> std::path::PathBuf {
    let text = format!(
        "SET 'pipeline.name' = 'small';
SET 'restart-strategy.type' = 'none';
SET 'execution.checkpointing.dir' = '{checkpoints}';
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE nowhere (id BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT id FROM numbers;
"
    );
    folder.write("small.sql", &text)
}

#[tokio::test]
async fn a_wrong_alias_ends_a_job_before_it_begins() {
    let folder = Workdir::new();
    let job = small_job(&folder, &folder.uri("checkpoints"));
    let config = folder.write("mine.toml", "[fs.alias.jfs]\nscheme = \"hdfs\"\nconf-dir = \"/etc/of-nobody\"\n");
    let launch = [run(&job)[0], job.as_os_str(), "--config".as_ref(), config.as_os_str()];
    let refused = folder.weir(launch).output(LIMIT).await.failed_with(2);
    let expected = "[FS-001] Alias 'jfs': 'fs.alias.jfs.conf-dir'='/etc/of-nobody' is no folder on worker '";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert!(!folder.path("checkpoints").exists());
    folder.write("mine.toml", "[fs.alias.jfs]\nsheme = \"hdfs\"\n");
    let refused = folder.weir(launch).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains("Did you mean 'fs.alias.jfs.scheme'?"), "{}", refused.stderr);
    folder.write("mine.toml", "[fs.alias.jfs\n");
    let refused = folder.weir(launch).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains("mine.toml' is no TOML: line 1"), "{}", refused.stderr);
    folder.write("mine.toml", "[fs.alias.jfs]\nscheme = \"file\"\n");
    folder.weir(launch).output(LIMIT).await.succeeded();
}

#[tokio::test]
async fn secrets_of_aliases_are_shown_nowhere() {
    const SECRET: &str = "hunter2-of-the-test";
    let folder = Workdir::new();
    // Nobody listens there: the job fails after many words about it.
    let keys = format!("scheme = \"oss\"\noption.fs.oss.endpoint = \"http://127.0.0.1:1\"\noption.fs.oss.accessKeyId = \"{SECRET}\"\n");
    let text = format!("[fs.request]\ndeadline = \"2 s\"\n[fs.alias.far]\n{keys}option.fs.oss.accessKeySecret = \"{SECRET}\"\n");
    folder.write("weir.toml", &text);
    let job = small_job(&folder, "far://bucket/checkpoints");
    let launch = [run(&job)[0], job.as_os_str(), "--log".as_ref(), "debug".as_ref()];
    let failed = folder.weir(launch).output(LIMIT).await.failed_with(4);
    assert!(failed.stderr.contains("far://bucket/checkpoints"), "the message names the alias: {}", failed.stderr);
    let catalog = format!(
        "CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'near://bucket/w',
         'fs.alias.near.scheme' = 's3', 'fs.alias.near.option.s3.endpoint' = 'http://127.0.0.1:1',
         'fs.alias.near.option.s3.access-key-id' = '{SECRET}', 'fs.alias.near.option.s3.secret-access-key' = '{SECRET}')"
    );
    let shown = folder.weir(["sql", "-e", &catalog, "-e", "SHOW CREATE CATALOG c", "-e", "SET"]).output(LIMIT).await.succeeded();
    let explained = folder.weir(["explain".as_ref(), job.as_os_str()]).output(LIMIT).await.succeeded();
    assert!(
        shown.stdout.contains("fs.alias.near.option.s3.secret-access-key") && shown.stdout.contains("fs.alias.far.option.fs.oss.accessKeySecret")
    );
    for output in [failed, shown, explained] {
        assert!(!output.stdout.contains(SECRET) && !output.stderr.contains(SECRET), "{}\n{}", output.stdout, output.stderr);
    }
}
