//! Scheme aliases in whole jobs: two HDFS clusters of one name in one job, and an alias that moved.

use std::path::PathBuf;

use object_store::ObjectStoreExt;
use serde_json::Value;
use weir_fs::{FileSystems, Location};

use crate::orders::{COLUMNS, LIMIT, committed, holds_exactly, run, send};
use crate::orphans::nothing_is_left;
use crate::support::{Hdfs, Launch, S3, Servers, Table, Topic, Workdir};

pub(crate) const PARTITIONS: u64 = 3;
/// Places in the names of orders' events: `click` and `buy`.
const CLICK: u64 = 1;
const BUY: u64 = 3;

/// A job that writes clicks to one place and buys to another.
pub(crate) struct Job<'a> {
    pub(crate) folder: &'a Workdir,
    pub(crate) topic: &'a Topic,
    pub(crate) bounded: bool,
    pub(crate) checkpoints: &'a str,
    /// Those of the catalogs `a` and `b`, each with an alias.
    pub(crate) warehouses: [&'a str; 2],
    /// More SET statements.
    pub(crate) settings: &'a str,
    /// What the environment of the process says, which counts for nothing.
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

impl Job<'_> {
    fn write(&self) -> PathBuf {
        let Self { folder, topic, checkpoints, warehouses: [warehouse_a, warehouse_b], settings, .. } = self;
        let bounded = if self.bounded { ", 'scan.bounded.mode' = 'latest-offset'" } else { "" };
        let (brokers, topic) = (Servers::shared().kafka(), topic.name());
        let (a, b) = (folder.path("a.db").display().to_string(), folder.path("b.db").display().to_string());
        let text = format!(
            "{settings}
SET 'pipeline.name' = 'two-places';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = '{checkpoints}';
CREATE CATALOG a WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{a}', 'warehouse' = '{warehouse_a}');
CREATE CATALOG b WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{b}', 'warehouse' = '{warehouse_b}');
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

    /// The next start of the job as it is now.
    pub(crate) fn launch(&self) -> Launch {
        let launch = self.folder.weir(run(&self.write()));
        self.environment.iter().fold(launch, |launch, (key, value)| launch.env(key, value))
    }

    /// Runs the job, kills it in the middle of its first commit, and again while it commits what comes; then lets it end. `checkpoints` are
    /// those of the job by their real name. Gives the positions of clicks and of buys.
    pub(crate) async fn through_two_kills(&mut self, checkpoints: &Location) -> [Vec<(i32, i64)>; 2] {
        self.bounded = true;
        let mut sent = send(self.topic, PARTITIONS, 0..4_000).await;
        self.launch().env("WEIR_FAIL", "commit-metadata-written=kill").output(LIMIT).await.killed();
        let pending = newest(checkpoints).await;
        for (sink, warehouse) in ["clicks", "buys"].into_iter().zip(self.warehouses) {
            let path = pending["sinks"][sink]["commit"]["committables"][0]["payload"]["path"].as_str().unwrap();
            assert!(path.starts_with(&format!("{warehouse}/shop/{sink}/data/")), "{pending}");
        }

        sent.extend(send(self.topic, PARTITIONS, 4_000..8_000).await);
        self.bounded = false;
        let mut running = self.launch().start();
        let http = running.address(LIMIT).await;
        committed(&http, 2_000).await;
        let metrics = reqwest::get(format!("{http}/metrics")).await.unwrap().text().await.unwrap();
        for warehouse in self.warehouses {
            let label = format!("alias=\"{}\"", warehouse.split_once(':').unwrap().0);
            let counted = metrics.lines().any(|line| line.starts_with("weir_fs_requests_total{") && line.contains(&label));
            assert!(counted, "nothing with {label}:\n{metrics}");
        }
        running.kill().await;
        self.bounded = true;
        self.launch().output(LIMIT).await.succeeded();
        [CLICK, BUY].map(|event| (0..).zip(&sent).filter(|(id, _)| id % 4 == event).map(|(_, at)| *at).collect())
    }

    /// Fails the test unless the table of catalog `a` or `b` holds exactly these positions in files below its location, where nothing else is.
    /// `table` knows the place by its real name.
    pub(crate) async fn left_exactly(&self, sent: &[(i32, i64)], table: &Table, name: &str, warehouse: &str) {
        let found = holds_exactly(table, sent).await;
        let location = format!("{warehouse}/{}", name.split_once('.').unwrap().1.replace('.', "/"));
        assert_eq!(found["location"], *location);
        let files = found["files"].as_array().unwrap();
        assert!(!files.is_empty() && files.iter().all(|file| file["path"].as_str().unwrap().starts_with(&location)), "{files:?}");
        nothing_is_left(table).await;
        let job = self.folder.path("job.sql").display().to_string();
        self.folder.weir(["verify", "--init", &job, name]).output(LIMIT).await.succeeded();
    }
}

/// An alias of a cluster that calls itself `ns1`, for a configuration file.
pub(crate) fn of_hdfs(name: &str, hdfs: &Hdfs) -> String {
    format!("[fs.alias.{name}]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n", hdfs.conf_ns1.display())
}

/// An alias of an S3 server, which is reached at `endpoint`, for a configuration file.
pub(crate) fn of_s3(name: &str, s3: &S3, endpoint: &str) -> String {
    let S3 { access_key, secret_key, .. } = s3;
    let keys = format!("option.s3.access-key-id = \"{access_key}\"\noption.s3.secret-access-key = \"{secret_key}\"\n");
    format!("[fs.alias.{name}]\nscheme = \"s3\"\noption.s3.endpoint = \"{endpoint}\"\n{keys}")
}

/// A cluster by its real name.
pub(crate) fn real_hdfs(hdfs: &Hdfs) -> FileSystems {
    FileSystems::new([("hadoop-conf-dir".to_owned(), hdfs.conf_ns1.display().to_string())].into())
}

/// The lines of a NameNode's audit log that name something of this test.
fn audited(hdfs: &Hdfs, place: &str) -> Vec<String> {
    let log = std::fs::read_to_string(&hdfs.audit).unwrap();
    log.lines().filter(|line| line.contains(place)).map(str::to_owned).collect()
}

/// The newest checkpoint in a folder of them.
async fn newest(folder: &Location) -> Value {
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
    folder.write("weir.toml", &(of_hdfs("aahdfs", &a) + &of_hdfs("bbhdfs", &b)));
    let place = format!("two-{}", uuid::Uuid::new_v4().simple());
    let topic = Topic::create(&servers.kafka(), "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let mut job = Job {
        folder: &folder,
        topic: &topic,
        bounded: true,
        checkpoints: &format!("aahdfs://ns1/{place}/checkpoints"),
        warehouses: [&format!("aahdfs://ns1/{place}/warehouse"), "bbhdfs://ns1/warehouse"],
        settings: &format!("SET 'fs.alias.bbhdfs.root' = '/{place}';"),
        // The wrong cluster and the wrong user.
        environment: &[("HADOOP_CONF_DIR", "/nowhere"), ("HADOOP_USER_NAME", "nobody-of-ours")],
    };
    let [clicks, buys] = job.through_two_kills(&real_hdfs(&a).resolve(&format!("hdfs://ns1/{place}/checkpoints/two-places")).unwrap()).await;

    // The readers know one cluster each, by its own name.
    let warehouse = format!("hdfs://ns1/{place}/warehouse");
    let table = |name: &str, catalog: &str, hdfs: &Hdfs| {
        Table::of_sql(name, catalog, &format!("sqlite:{}", folder.path(&format!("{catalog}.db")).display()), &warehouse).on_hdfs(hdfs)
    };
    job.left_exactly(&clicks, &table("shop.clicks", "a", &a), "a.shop.clicks", &warehouse).await;
    job.left_exactly(&buys, &table("shop.buys", "b", &b), "b.shop.buys", &warehouse).await;
    let (on_a, on_b) = (audited(&a, &place), audited(&b, &place));
    assert!(on_a.iter().any(|line| line.contains("/warehouse/shop/clicks")) && on_b.iter().any(|line| line.contains("/warehouse/shop/buys")));
    assert!(on_a.iter().all(|line| !line.contains("shop/buys")), "a path of B was seen by A");
    assert!(on_b.iter().all(|line| !line.contains("shop/clicks") && !line.contains("checkpoints")), "a path of A was seen by B");
    assert!(on_a.iter().chain(&on_b).all(|line| !line.contains("nobody-of-ours")), "the environment decided who it is");

    // The same place under another root: a checkpoint does not go on with it by itself.
    let rooted = format!("bbhdfs://ns1/{place}/warehouse");
    let moved = Job { warehouses: [job.warehouses[0], &rooted], settings: "", ..job };
    let refused = moved.launch().output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains("[FS-001] Alias 'bbhdfs'") && refused.stderr.contains("'fs.alias.bbhdfs.root' was"), "{}", refused.stderr);
    let allowed = Job { settings: "SET 'fs.alias.bbhdfs.allow-rebind' = 'true';", ..moved };
    allowed.launch().output(LIMIT).await.succeeded();
    holds_exactly(&table("shop.buys", "b", &b), &buys).await;
}

/// A job that needs no server but that of its checkpoints.
fn small_job(folder: &Workdir, checkpoints: &str) -> PathBuf {
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
