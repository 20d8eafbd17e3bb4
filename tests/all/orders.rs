//! The main job as tests run it: orders from a topic into an Iceberg table, wherever catalog and warehouse are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Row, Table, Topic, Workdir, until};

/// How long a job of a test may take for anything, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Columns that every orders table has.
pub(crate) const COLUMNS: &str =
    "id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(6),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>, p INT, o BIGINT";

/// A job file to be written: what differs between tests, with defaults for the rest.
#[derive(Debug, Clone)]
pub(crate) struct OrdersJob {
    /// `pipeline.name`.
    pub(crate) name: String,
    /// Topic and brokers.
    pub(crate) topic: String,
    pub(crate) brokers: String,
    /// `WITH` of the catalog, without `type`.
    pub(crate) catalog: String,
    /// Checkpoint directory as a URI.
    pub(crate) checkpoints: String,
    /// Whether the source ends at the log ends of its first start.
    pub(crate) bounded: bool,
    /// More SET statements.
    pub(crate) settings: String,
    /// More options of the source, each with a comma before it.
    pub(crate) source_options: String,
    /// PARTITIONED BY clause of the target.
    pub(crate) partitioned_by: String,
    /// WITH of the target.
    pub(crate) table_options: String,
    /// The statements after the CREATEs.
    pub(crate) inserts: String,
}

impl OrdersJob {
    /// The job on a SQLite catalog and a warehouse in `folder`.
    pub(crate) fn on_disk(folder: &Workdir, topic: &Topic, brokers: &str) -> Self {
        Self {
            name: "orders".to_owned(),
            topic: topic.name().to_owned(),
            brokers: brokers.to_owned(),
            catalog: format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{}'", sqlite(folder), folder.uri("warehouse")),
            checkpoints: folder.uri("checkpoints"),
            bounded: true,
            settings: String::new(),
            source_options: String::new(),
            partitioned_by: "PARTITIONED BY (event_type, days(ts))".to_owned(),
            table_options: "WITH ('write.parquet.compression-codec' = 'zstd', 'distribution-mode' = 'none')".to_owned(),
            inserts: "INSERT INTO lake.shop.orders SELECT * FROM orders;".to_owned(),
        }
    }

    /// The text of the job file.
    pub(crate) fn sql(&self) -> String {
        let Self { name, topic, brokers, catalog, checkpoints, settings, source_options, partitioned_by, table_options, inserts, .. } = self;
        let bounded = if self.bounded { ", 'scan.bounded.mode' = 'latest-offset'" } else { "" };
        format!(
            "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = '{checkpoints}';
{settings}
CREATE TABLE orders (
  id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event_type STRING, amount DECIMAL(10, 2), ts TIMESTAMP(3),
  props ROW<ip STRING, ua STRING, ref ROW<site STRING, pos INT>>,
  p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL
) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
        'scan.startup.mode' = 'earliest-offset', 'format' = 'json'{bounded}{source_options});
CREATE CATALOG lake WITH ('type' = 'iceberg', {catalog});
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.orders ({COLUMNS}) {partitioned_by} {table_options};
{inserts}
"
        )
    }

    /// Writes the job file.
    pub(crate) fn write(&self, folder: &Workdir) -> PathBuf {
        folder.write(&format!("{}.sql", self.name), &self.sql())
    }
}

/// A folder, a topic and the job that reads it into a table in the folder.
pub(crate) struct Setting {
    pub(crate) folder: Workdir,
    pub(crate) topic: Topic,
    pub(crate) job: OrdersJob,
}

impl Setting {
    /// The job on disk, reading a new topic of `brokers`.
    pub(crate) async fn on_disk(brokers: &str, partitions: u64) -> Self {
        let folder = Workdir::new();
        let topic = Topic::create(brokers, "orders", i32::try_from(partitions).unwrap(), &[]).await;
        let job = OrdersJob::on_disk(&folder, &topic, brokers);
        Self { folder, topic, job }
    }
}

/// The arguments of `weir` that run a job file.
pub(crate) fn run(job: &Path) -> [&OsStr; 2] {
    ["run".as_ref(), job.as_os_str()]
}

/// The SQLite catalog of `folder` as a job file names it.
pub(crate) fn sqlite(folder: &Workdir) -> String {
    format!("sqlite:{}", folder.path("catalog.db").display())
}

/// The orders table on the SQLite catalog of `folder`, for PyIceberg.
pub(crate) fn table_on_disk(folder: &Workdir) -> Table {
    Table::of_sql("shop.orders", "lake", &sqlite(folder), &folder.uri("warehouse"))
}

/// Order `id`: 0.01 times (id mod 1000) for an amount, so that sums are known.
pub(crate) fn order(id: u64) -> String {
    let event = ["view", "click", "cart", "buy"][usize::try_from(id % 4).unwrap()];
    let cents = id % 1000;
    format!(
        r#"{{"id":{id},"user_id":{},"item_id":{},"category":"c{}","event_type":"{event}","amount":{}.{:02},"ts":"2026-01-0{} 10:00:00.{:03}","props":{{"ip":"10.0.0.{}","ua":"test","ref":{{"site":"a.example","pos":{}}}}}}}"#,
        id % 97,
        id % 53,
        id % 7,
        cents / 100,
        cents % 100,
        1 + id % 2,
        id % 1000,
        id % 200,
        id % 10,
    )
}

/// Sends orders `ids`, order `id` to partition `id % partitions`.
pub(crate) async fn send(topic: &Topic, partitions: u64, ids: std::ops::Range<u64>) -> Vec<(i32, i64)> {
    topic.produce(ids.map(|id| Row::new(i32::try_from(id % partitions).unwrap(), order(id)))).await
}

/// Fails the test unless the table holds exactly these (partition, offset) pairs, each once.
pub(crate) async fn holds_exactly(table: &Table, sent: &[(i32, i64)]) -> Value {
    let found = table.check(&["--unique", "p,o", "--ranges", "p,o", "--sum", "id"]).await;
    assert_eq!(found["rows"], sent.len(), "rows in the table");
    assert_eq!(found["duplicates"]["groups"], 0, "{}", found["duplicates"]);
    let mut expected: BTreeMap<i32, (u64, i64, i64)> = BTreeMap::new();
    for (partition, offset) in sent {
        let range = expected.entry(*partition).or_insert((0, i64::MAX, i64::MIN));
        *range = (range.0 + 1, range.1.min(*offset), range.2.max(*offset));
    }
    for (partition, (count, least, greatest)) in expected {
        let range = &found["ranges"][partition.to_string()];
        assert_eq!(*range, serde_json::json!({"rows": count, "min": least, "max": greatest}), "partition {partition}");
    }
    found
}

/// The HTTP address that launch `number` of the folder has printed.
pub(crate) async fn endpoint(folder: &Workdir, number: u32) -> String {
    until("the job says where its endpoint is", LIMIT, async || {
        let log = std::fs::read_to_string(folder.path(&format!("{number}.weir.stderr"))).ok()?;
        let at = log.find("http://127.0.0.1:")?;
        let address = log[at..].split_once("/status")?.0;
        Some(address.to_owned())
    })
    .await
}

/// Waits until the job behind `endpoint` has committed `rows` rows since it started.
pub(crate) async fn committed(endpoint: &str, rows: usize) {
    until(&format!("{rows} rows are committed"), LIMIT, async || {
        let status: Value = reqwest::get(format!("{endpoint}/status")).await.ok()?.json().await.ok()?;
        let committed: u64 = status["sinks"].as_object()?.values().filter_map(|sink| sink["rows"].as_u64()).sum();
        (committed >= rows as u64).then_some(())
    })
    .await;
}

/// Runs `weir verify` on the orders table and fails the test unless it is content.
pub(crate) async fn verified(folder: &Workdir, job: &Path) {
    let arguments = ["verify".as_ref(), "--init".as_ref(), job.as_os_str(), "lake.shop.orders".as_ref()];
    folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded();
}

/// What a query on the lake of a job file answers, without its head.
pub(crate) async fn answer(folder: &Workdir, job: &Path, query: &str) -> String {
    let arguments = ["sql", "--init", job.to_str().unwrap(), "--format", "csv", "-e", query];
    let output = folder.weir(arguments).output(LIMIT).await.succeeded();
    output.stdout.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// Fails the test unless the log tells of outages of its source, one at least, and each is over before there is another. On a busy machine
/// servers may seem to be away again, also when the job ends.
#[track_caller]
pub(crate) fn tells_each_outage_once(log: &str) {
    const TURNS: [&str; 2] = ["source cannot be reached, waiting", "source reached again"];
    let told: Vec<&str> = log.lines().filter(|line| TURNS.iter().any(|turn| line.contains(turn))).collect();
    let in_turn = told.iter().zip(TURNS.iter().cycle()).all(|(line, turn)| line.contains(turn));
    assert!(told.len() >= 2 && in_turn, "{told:#?}");
}
