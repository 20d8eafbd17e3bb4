//! A job that commits orders and compacts their table itself, while others change the table.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::orders::{LIMIT, run};
use crate::support::{Row, Servers, Table, Topic, Workdir, until};

pub(super) const PARTITIONS: u64 = 2;
/// Orders that are sent at once.
const BATCH: u64 = 40;

/// The order that `scripts/judges/churn.py` knows.
fn order(id: u64) -> Row {
    let payload = format!(r#"{{"id": {id}, "kind": "k{}", "v": {}}}"#, id % 3, id * 7);
    Row::new(i32::try_from(id % PARTITIONS).unwrap(), payload)
}

/// What the job gives the table that it creates.
pub(super) const UPKEEP: &str =
    "'auto-compact' = 'true', 'compact.delta.commits' = '4', 'compact.min-input-files' = '3', 'weir.expire-snapshots.enabled' = 'false'";

/// Iceberg's own classes give a commit up after four tries unless they are told to be patient.
pub(super) const PATIENT: &str = ", 'commit.retry.num-retries' = '100', 'commit.retry.max-wait-ms' = '1000'";

/// The job.
pub(super) struct Beside<'a> {
    folder: &'a Workdir,
    topic: Topic,
    file: PathBuf,
}

impl<'a> Beside<'a> {
    /// A job in `folder` that writes to `lake.<table>`, which it creates with these `options` and [`UPKEEP`]; `catalog` creates the catalog, and it
    /// commits once in every `interval`.
    pub(super) async fn new(folder: &'a Workdir, catalog: &str, table: &str, interval: &str, options: &str) -> Self {
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let (database, _) = table.split_once('.').unwrap();
        let sql = format!(
            "SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.interval' = '{interval}';
SET 'execution.checkpointing.dir' = '{}';
CREATE TABLE orders (id BIGINT, kind STRING, v BIGINT, p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL)
  WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
{catalog}
CREATE DATABASE IF NOT EXISTS lake.{database};
CREATE TABLE IF NOT EXISTS lake.{table} (id BIGINT, kind STRING, v BIGINT, p INT, o BIGINT) PARTITIONED BY (kind)
  WITH ({UPKEEP}{options});
INSERT INTO lake.{table} SELECT * FROM orders;
",
            folder.uri("checkpoints"),
            topic.name(),
        );
        let file = folder.write("orders.sql", &sql);
        Self { folder, topic, file }
    }

    /// Runs the job, with orders that keep coming, as long as `others` work; they begin when it has committed. Both are told when that is over, by
    /// the cell that `others` are given. Gives what they tell.
    pub(super) async fn while_it_runs<T>(&self, others: impl AsyncFnOnce(&Cell<bool>) -> T) -> T {
        let Self { folder, topic, file } = self;
        topic.produce((0..BATCH).map(order)).await;
        let mut running = folder.weir(run(file)).start();
        running.logged("committed", LIMIT).await;
        let ended = Cell::new(false);
        let sending = async {
            let mut sent = BATCH;
            while !ended.get() {
                topic.produce((sent..sent + BATCH).map(order)).await;
                sent += BATCH;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let working = async {
            let told = others(&ended).await;
            ended.set(true);
            told
        };
        let (told, ()) = tokio::join!(working, sending);
        running.terminate();
        running.wait(LIMIT).await.succeeded();
        told
    }

    /// Lets the job settle what its end has cut off: it waits some seconds for upkeep that has begun, and leaves the rest to the next start.
    async fn settled(&self, table: &Table) {
        let is_left = async || table.reach().await["own"] != json!([]);
        for _ in 0..5 {
            if !is_left().await {
                return;
            }
            let mut running = self.folder.weir(run(&self.file)).start();
            running.logged("upkeep that was cut off deleted", LIMIT).await;
            until("nothing is being rewritten", LIMIT, async || (!is_left().await).then_some(())).await;
            running.terminate();
            running.wait(LIMIT).await.succeeded();
        }
    }

    /// Fails the test unless the table has the rows that its history and `told` say; what was found.
    pub(super) async fn is_as_told(&self, table: &Table, told: &Value) -> Value {
        self.settled(table).await;
        let steps = self.folder.write("steps.json", &told.to_string());
        let found = table.replay(&steps, PARTITIONS).await;
        let none = json!([]);
        assert_eq!((&found["only_table"], &found["only_model"]), (&none, &none), "{found}\n{told}");
        // Others changed the table between commits of the job, however few it could make.
        assert!(found["commits"]["rewrite"].as_u64() >= Some(1) && found["commits"]["orders"].as_u64() > Some(1), "{found}");
        found
    }

    /// Fails the test unless `weir verify` is content with the table.
    pub(super) async fn is_verified(&self, table: &str) {
        let name = format!("lake.{table}");
        let verify = ["verify", "--init", self.file.to_str().unwrap(), &name];
        self.folder.weir(verify).output(LIMIT).await.succeeded();
    }
}
