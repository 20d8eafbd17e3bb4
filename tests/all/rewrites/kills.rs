//! A job that rewrites, killed at every step of a rewrite and of an expiry, and at random: rows are there once, and after recovery no file is left
//! that nobody needs.

use std::path::PathBuf;
use std::time::Duration;

use super::{Chance, World, asked};
use crate::orders::{LIMIT, OrdersJob, answer, holds_exactly, run, send, verified};
use crate::orphans::nothing_is_left;
use crate::support::{Servers, Topic, until};

const PARTITIONS: u64 = 2;

/// A job that commits five times a second, rewrites files after every second commit, and expires snapshots.
struct Compacted {
    world: World,
    topic: Topic,
    job: PathBuf,
    sent: Vec<(i32, i64)>,
}

impl Compacted {
    async fn new(world: World) -> Self {
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "compacted", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let mut job = OrdersJob::on_disk(&world.folder, &topic, &brokers);
        job.bounded = false;
        job.catalog = world.catalog.clone();
        job.settings = "SET 'execution.checkpointing.interval' = '200 ms';".to_owned();
        job.partitioned_by = "PARTITIONED BY (event_type)".to_owned();
        job.table_options = "WITH ('auto-compact' = 'true', 'compact.delta.commits' = '2', 'compact.min-input-files' = '2',
          'weir.expire-snapshots.enabled' = 'true', 'history.expire.max-snapshot-age-ms' = '1', 'history.expire.min-snapshots-to-keep' = '3',
          'flink-maintenance.expire-snapshots.schedule.commit-count' = '3')"
            .to_owned();
        let job = job.write(&world.folder);
        Self { world, topic, job, sent: Vec::new() }
    }

    async fn send(&mut self) {
        let next = self.sent.len() as u64;
        self.sent.extend(send(&self.topic, PARTITIONS, next..next + 20).await);
    }

    /// Runs the job, while orders keep coming, until the fail point `place` has killed it.
    async fn killed_at(&mut self, place: &str) {
        let mut running = Some(self.world.folder.weir(run(&self.job)).env("WEIR_FAIL", &format!("{place}=kill")).start());
        until(&format!("{place} is reached"), LIMIT, async || {
            self.send().await;
            running.as_mut().unwrap().has_ended().then_some(())
        })
        .await;
        running.take().unwrap().wait(LIMIT).await.killed();
    }

    /// Kills the job after `pause`, while orders keep coming.
    async fn killed_after(&mut self, pause: Duration) {
        let running = self.world.folder.weir(run(&self.job)).start();
        let end = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < end {
            self.send().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        running.kill().await;
    }

    /// Runs the job until it has rewritten files.
    async fn begun(&mut self) {
        let mut running = self.world.folder.weir(run(&self.job)).start();
        let address = running.address(LIMIT).await;
        until("files are rewritten", LIMIT, async || {
            self.send().await;
            let status = running.status(&address).await?;
            let rewritten = status["sinks"].as_object()?.values().any(|sink| sink["upkeep"]["files_before"].as_u64() > Some(0));
            rewritten.then_some(())
        })
        .await;
        running.kill().await;
    }

    /// As it was left, nothing is in the table twice, and nothing is missing before what is there.
    async fn stands(&self) {
        let holes =
            "SELECT count(*) FROM (SELECT p FROM lake.shop.orders GROUP BY p HAVING count(*) <> max(o) + 1 OR count(DISTINCT o) <> count(*)) holes";
        assert_eq!(answer(&self.world.folder, &self.job, holes).await, "0", "partitions with holes or doubled rows");
    }

    /// Lets the job recover, read everything, and end gently.
    async fn settled(&mut self) {
        self.send().await;
        let mut running = self.world.folder.weir(run(&self.job)).start();
        let address = running.address(LIMIT).await;
        // The journal is empty when what was cut off is settled and nothing is being rewritten.
        until("everything is read and settled", LIMIT, async || {
            let status = running.status(&address).await?;
            let sources = status["sources"].as_object()?;
            let is_read = !sources.is_empty() && sources.values().all(|source| source["lag"] == 0);
            (is_read && self.world.journal("shop.orders").await.is_empty()).then_some(())
        })
        .await;
        running.terminate();
        running.wait(LIMIT).await.succeeded();
    }

    /// Lets the job recover, and judges what is there.
    async fn judged(&mut self) {
        let table = self.world.table("shop.orders");
        self.settled().await;
        // An end waits some seconds for upkeep that has begun meanwhile; what it cuts off, the next start settles.
        for _ in 0..4 {
            if !self.world.journal("shop.orders").await.is_empty() {
                self.settled().await;
            }
        }
        holds_exactly(&table, &self.sent).await;
        nothing_is_left(&table).await;
        verified(&self.world.folder, &self.job).await;
    }

    async fn through(mut self, places: &[&str]) {
        for place in places {
            self.killed_at(place).await;
        }
        self.judged().await;
    }
}

/// `WEIR_TEST_KILLS` of them, or as many as given, after pauses that `WEIR_TEST_SEED` chooses; every tenth time the job may recover.
async fn killed_at_random(world: World, kills: u64) {
    let mut job = Compacted::new(world).await;
    job.begun().await;
    let mut chance = Chance::new(asked("WEIR_TEST_SEED", 0x2545_F491_4F6C_DD1D));
    for number in 1..=asked("WEIR_TEST_KILLS", kills) {
        job.killed_after(Duration::from_millis(300 + chance.below(3_000))).await;
        job.stands().await;
        if number % 10 == 0 {
            job.judged().await;
        }
    }
    job.judged().await;
}

#[tokio::test]
async fn a_job_killed_at_every_step_of_a_rewrite_and_of_an_expiry_recovers_on_disk() {
    let steps =
        ["upkeep-journal-written", "rewrite-file-written", "rewrite-before-commit", "rewrite-committed", "expire-before-swap", "expire-after-swap"];
    Compacted::new(World::new()).await.through(&steps).await;
}

#[tokio::test]
async fn a_job_killed_in_rewrites_and_expiries_recovers_on_hdfs() {
    Compacted::new(World::on_hdfs()).await.through(&["rewrite-file-written", "rewrite-before-commit", "expire-after-swap"]).await;
}

#[tokio::test]
async fn a_job_killed_in_rewrites_and_expiries_recovers_on_s3() {
    Compacted::new(World::on_s3()).await.through(&["rewrite-file-written", "rewrite-committed", "expire-before-swap"]).await;
}

#[tokio::test]
async fn a_job_that_rewrites_killed_at_random_loses_and_doubles_nothing_and_leaves_nothing_on_disk() {
    killed_at_random(World::new(), 5).await;
}

#[tokio::test]
async fn a_job_that_rewrites_killed_at_random_loses_and_doubles_nothing_and_leaves_nothing_on_hdfs() {
    killed_at_random(World::on_hdfs(), 5).await;
}

#[tokio::test]
async fn a_job_that_rewrites_killed_at_random_loses_and_doubles_nothing_and_leaves_nothing_on_s3() {
    killed_at_random(World::on_s3(), 5).await;
}
