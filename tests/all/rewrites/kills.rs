//! Killed at every step of a rewrite and of an expiry, and at random: rows are there once, and after recovery no file is left that nobody needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_fs::FileSystems;

use super::{World, asked};
use crate::orders::{LIMIT, OrdersJob, answer, holds_exactly, run, send, sqlite, verified};
use crate::orphans::{nothing_is_left, paths_below};
use crate::support::{Servers, Table, Topic, Workdir, until};

const PARTITIONS: u64 = 2;

/// A job that commits five times a second, rewrites files after every second commit, and expires snapshots.
struct Compacted {
    folder: Workdir,
    topic: Topic,
    job: PathBuf,
    table: Table,
    file_systems: FileSystems,
    location: String,
    sent: Vec<(i32, i64)>,
}

impl Compacted {
    /// With a warehouse at `warehouse`, of which `options` tell Weir how to get there.
    async fn new(folder: Workdir, warehouse: &str, options: &str, file_systems: FileSystems, reached: impl FnOnce(Table) -> Table) -> Self {
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "compacted", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
        let catalog = sqlite(&folder);
        job.bounded = false;
        job.catalog = format!("'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}'{options}");
        job.settings = "SET 'execution.checkpointing.interval' = '200 ms';".to_owned();
        job.partitioned_by = "PARTITIONED BY (event_type)".to_owned();
        job.table_options = "WITH ('auto-compact' = 'true', 'compact.delta.commits' = '2', 'compact.min-input-files' = '2',
          'weir.expire-snapshots.enabled' = 'true', 'history.expire.max-snapshot-age-ms' = '1', 'history.expire.min-snapshots-to-keep' = '3',
          'flink-maintenance.expire-snapshots.schedule.commit-count' = '3')"
            .to_owned();
        let job = job.write(&folder);
        let table = reached(Table::of_sql("shop.orders", "lake", &catalog, warehouse));
        Self { folder, topic, job, table, file_systems, location: format!("{warehouse}/shop/orders"), sent: Vec::new() }
    }

    async fn on_disk() -> Self {
        let folder = Workdir::new();
        let warehouse = folder.uri("warehouse");
        Self::new(folder, &warehouse, "", FileSystems::default(), |table| table).await
    }

    async fn on_hdfs() -> Self {
        let hdfs = Servers::shared().hdfs();
        let warehouse = format!("{}/compacted-{}", hdfs.uri, uuid::Uuid::new_v4().simple());
        Self::new(Workdir::new(), &warehouse, "", FileSystems::default(), |table| table.on_hdfs(&hdfs)).await
    }

    async fn on_s3() -> Self {
        let s3 = Servers::shared().s3();
        let warehouse = format!("s3://{}/compacted-{}", s3.bucket, uuid::Uuid::new_v4().simple());
        let keys = [("endpoint", &s3.endpoint), ("access-key-id", &s3.access_key), ("secret-access-key", &s3.secret_key), ("region", &s3.region)];
        let options: String = keys.iter().map(|(key, value)| format!(", 's3.{key}' = '{value}'")).collect();
        let properties = keys.iter().map(|(key, value)| (format!("s3.{key}"), (*value).clone())).collect();
        Self::new(Workdir::new(), &warehouse, &options, FileSystems::new(properties), |table| table.on_s3(&s3)).await
    }

    async fn send(&mut self) {
        let next = self.sent.len() as u64;
        self.sent.extend(send(&self.topic, PARTITIONS, next..next + 20).await);
    }

    /// Runs the job, while orders keep coming, until the fail point `place` has killed it.
    async fn killed_at(&mut self, place: &str) {
        let mut running = Some(self.folder.weir(run(&self.job)).env("WEIR_FAIL", &format!("{place}=kill")).start());
        until(&format!("{place} is reached"), LIMIT, async || {
            self.send().await;
            running.as_mut().unwrap().has_ended().then_some(())
        })
        .await;
        running.take().unwrap().wait(LIMIT).await.killed();
    }

    /// Kills the job after `pause`, while orders keep coming.
    async fn killed_after(&mut self, pause: Duration) {
        let running = self.folder.weir(run(&self.job)).start();
        let end = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < end {
            self.send().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        running.kill().await;
    }

    /// Lets the job recover and end gently, and judges what is there.
    async fn judged(mut self) {
        self.send().await;
        let mut running = self.folder.weir(run(&self.job)).start();
        let address = running.address(LIMIT).await;
        // The journal is empty when what was cut off is settled and nothing is being rewritten.
        let journal = format!("{}/metadata/_weir-upkeep", self.location);
        until("everything is read and settled", LIMIT, async || {
            let status = running.status(&address).await?;
            let sources = status["sources"].as_object()?;
            let is_read = !sources.is_empty() && sources.values().all(|source| source["lag"] == 0);
            (is_read && paths_below(&self.file_systems, &journal).await.is_empty()).then_some(())
        })
        .await;
        running.terminate();
        running.wait(LIMIT).await.succeeded();
        let found = holds_exactly(&self.table, &self.sent).await;
        let snapshots = found["snapshots"].as_array().unwrap();
        assert!(snapshots.iter().any(|snapshot| snapshot["summary"]["operation"] == "replace"), "{snapshots:?}");
        nothing_is_left(&self.table).await;
        verified(&self.folder, &self.job).await;
    }

    async fn through(mut self, places: &[&str]) {
        for place in places {
            self.killed_at(place).await;
        }
        self.judged().await;
    }
}

#[tokio::test]
async fn a_job_killed_at_every_step_of_a_rewrite_and_of_an_expiry_recovers_on_disk() {
    let steps =
        ["upkeep-journal-written", "rewrite-file-written", "rewrite-before-commit", "rewrite-committed", "expire-before-swap", "expire-after-swap"];
    Compacted::on_disk().await.through(&steps).await;
}

#[tokio::test]
async fn a_job_killed_in_rewrites_and_expiries_recovers_on_hdfs() {
    Compacted::on_hdfs().await.through(&["rewrite-file-written", "rewrite-before-commit", "expire-after-swap"]).await;
}

#[tokio::test]
async fn a_job_killed_in_rewrites_and_expiries_recovers_on_s3() {
    Compacted::on_s3().await.through(&["rewrite-file-written", "rewrite-committed", "expire-before-swap"]).await;
}

/// `WEIR_TEST_KILLS` of them, 5 if unset.
#[tokio::test]
async fn a_job_that_rewrites_killed_at_random_loses_and_doubles_nothing_and_leaves_nothing() {
    let mut job = Compacted::on_disk().await;
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..asked("WEIR_TEST_KILLS", 5) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        job.killed_after(Duration::from_millis(300 + (seed >> 33) % 3_000)).await;
    }
    job.judged().await;
}

/// Makes what killed commands have left a day old: not before is it taken for theirs.
fn a_day_later(journal: &Path) {
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 3_600);
    for entry in std::fs::read_dir(journal).unwrap() {
        std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(yesterday).unwrap();
    }
}

#[tokio::test]
async fn a_command_killed_at_every_step_leaves_nothing_once_the_next_one_has_come_a_day_later() {
    let world = World::new();
    let sql = async |statement: &str| answer(&world.folder, &world.init, statement).await;
    sql("CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t (id BIGINT, s STRING, kind INT) PARTITIONED BY (kind)").await;
    let mut rows = 0;
    for place in [
        "upkeep-journal-written",
        "sink-file-open",
        "rewrite-file-written",
        "rewrite-before-commit",
        "commit-manifest-written",
        "commit-before-swap",
        "commit-metadata-written",
        "commit-after-swap",
        "rewrite-committed",
    ] {
        for _ in 0..2 {
            sql(&format!("INSERT INTO lake.shop.t VALUES ({rows}, 'a', 0), ({}, 'b', 1)", rows + 1)).await;
            rows += 2;
        }
        let arguments = ["table", "compact", "lake.shop.t", "--init", world.init.to_str().unwrap(), "--settle", "--min-input-files", "2"];
        world.folder.weir(arguments).env("WEIR_FAIL", &format!("{place}=kill")).output(LIMIT).await.killed();
        let expected = format!("{rows},{rows},{}", rows * (rows - 1) / 2);
        assert_eq!(sql("SELECT count(*), count(DISTINCT id), sum(id) FROM lake.shop.t").await, expected, "{place}");
        a_day_later(&world.folder.path("warehouse/shop/t/metadata/_weir-upkeep"));
        world.compact("shop.t", &["--settle", "--min-input-files", "2"]).await;
        assert_eq!(sql("SELECT count(*), count(DISTINCT id), sum(id) FROM lake.shop.t").await, expected, "{place}");
        nothing_is_left(&world.table("shop.t")).await;
    }
}
