//! Tables of a lake as sources: a job that follows what another commits, and INSERTs from tables as they are.

use std::path::PathBuf;
use std::time::Duration;

use crate::orders::{COLUMNS, LIMIT, OrdersJob, Setting, answer, holds_exactly, run, send, sqlite, table_on_disk};
use crate::support::{Servers, Table, Workdir, until};

const PARTITIONS: u64 = 2;

/// The job that follows `lake.shop.orders` into `lake.shop.copy`.
fn follower(folder: &Workdir, options: &str) -> PathBuf {
    let (catalog, warehouse, checkpoints) = (sqlite(folder), folder.uri("warehouse"), folder.uri("checkpoints"));
    folder.write(
        "copy.sql",
        &format!(
            "SET 'pipeline.name' = 'copy';
SET 'execution.checkpointing.interval' = '300 ms';
SET 'execution.checkpointing.dir' = '{checkpoints}';
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');
CREATE TABLE IF NOT EXISTS lake.shop.copy ({COLUMNS});
INSERT INTO lake.shop.copy SELECT * FROM lake.shop.orders /*+ OPTIONS('streaming'='true', 'monitor-interval'='100 ms'{options}) */;
"
        ),
    )
}

fn copy_on_disk(folder: &Workdir) -> Table {
    Table::of_sql("shop.copy", "lake", &sqlite(folder), &folder.uri("warehouse"))
}

#[tokio::test]
async fn a_job_follows_the_commits_of_another_and_kills_of_either_lose_and_double_nothing() {
    #[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
    let kills: u64 = std::env::var("WEIR_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let Setting { folder, topic, mut job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    // The first run makes the table, and what is there first.
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    job.bounded = false;
    let upstream = job.write(&folder);
    let downstream = follower(&folder, ", 'starting-strategy'='TABLE_SCAN_THEN_INCREMENTAL'");
    let mut next = 1_000;
    let (mut writer, mut reader) = (folder.weir(run(&upstream)).start(), folder.weir(run(&downstream)).start());
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for kill in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until_kill = tokio::time::Instant::now() + Duration::from_millis(300 + (seed >> 33) % 2_700);
        while tokio::time::Instant::now() < until_kill {
            sent.extend(send(&topic, PARTITIONS, next..next + 500).await);
            next += 500;
        }
        if kill % 2 == 0 {
            reader.kill().await;
            reader = folder.weir(run(&downstream)).start();
        } else {
            writer.kill().await;
            writer = folder.weir(run(&upstream)).start();
        }
    }
    let rows = sent.len().to_string();
    for table in ["orders", "copy"] {
        until(&format!("all rows are in {table}"), LIMIT, async || {
            let query = format!("SELECT count(*) FROM lake.shop.{table}");
            (answer(&folder, &downstream, &query).await == rows).then_some(())
        })
        .await;
    }
    for running in [writer, reader] {
        running.terminate();
        running.wait(LIMIT).await.succeeded();
    }
    holds_exactly(&table_on_disk(&folder), &sent).await;
    holds_exactly(&copy_on_disk(&folder), &sent).await;
    for table in ["lake.shop.orders", "lake.shop.copy"] {
        folder.weir(["verify", "--init", downstream.to_str().unwrap(), table]).output(LIMIT).await.succeeded();
    }
}

#[tokio::test]
async fn a_table_is_read_as_it_is_into_another_with_a_join_and_a_sum() {
    let Setting { folder, topic, job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    send(&topic, PARTITIONS, 0..1_000).await;
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    let totals = OrdersJob {
        name: "totals".to_owned(),
        inserts: "CREATE TABLE IF NOT EXISTS lake.shop.totals (event_type STRING, n BIGINT, pairs BIGINT);
INSERT INTO lake.shop.totals SELECT a.event_type, count(DISTINCT a.id), count(*) FROM lake.shop.orders a
  JOIN lake.shop.orders b ON a.user_id = b.user_id AND a.event_type = b.event_type AND b.id < 97 GROUP BY a.event_type;"
            .to_owned(),
        ..job
    };
    let file = totals.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let rows = answer(&folder, &file, "SELECT sum(n) AS n, count(*) AS c FROM lake.shop.totals").await;
    let wanted = (0..1_000_u64).filter(|id| (0..97).any(|other| other % 97 == id % 97 && other % 4 == id % 4)).count();
    assert_eq!(rows, format!("{wanted},4"));
    // The job is done: what it has written does not come again.
    let again = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert!(again.stderr.contains("has been done already"), "{}", again.stderr);
    assert_eq!(answer(&folder, &file, "SELECT count(*) FROM lake.shop.totals").await, "4");
}

#[tokio::test]
async fn a_stream_that_cannot_be_one_says_why_and_what_to_do() {
    let folder = Workdir::new();
    let job = follower(&folder, ", 'snapshot-id'='5', 'starting-strategie'='x'");
    let created = std::fs::read_to_string(&job).unwrap().replace(
        "CREATE TABLE IF NOT EXISTS lake.shop.copy",
        "CREATE DATABASE IF NOT EXISTS lake.shop;\nCREATE TABLE lake.shop.orders (id BIGINT);\nCREATE TABLE IF NOT EXISTS lake.shop.copy",
    );
    let file = folder.write("wrong.sql", &created);
    let told = folder.weir(run(&file)).output(LIMIT).await.failed_with(2).stderr;
    for part in ["Cannot set snapshot-id option for streaming reader.", "Did you mean 'starting-strategy'?", "Table 'lake.shop.orders'"] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    let query = "SELECT * FROM lake.shop.orders /*+ OPTIONS('streaming'='true') */";
    let init = follower(&folder, "");
    let told = folder.weir(["sql", "--init", init.to_str().unwrap(), "-e", query]).output(LIMIT).await.failed_with(2).stderr;
    assert!(told.contains("unbounded stream") && told.contains("'streaming'='false'"), "{told}");
}
