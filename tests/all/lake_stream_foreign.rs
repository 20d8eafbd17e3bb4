//! Streams over a table that PyIceberg writes, changes and tidies while a job follows it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::orders::{LIMIT, answer, run, sqlite};
use crate::support::{Proxy, Running, Servers, Table, Warehouse, Workdir, until};

const CHANGES: &str = "'streaming.overwrite-as-changes'='true', ";
const SKIP: &str = "'streaming.skip-overwrite-snapshots'='true', ";

/// The table `shop.events` of PyIceberg, and jobs that follow it.
struct World {
    folder: Workdir,
    events: Table,
    ids: Range<u64>,
}

impl World {
    /// A table with ten rows.
    async fn new() -> Self {
        let folder = Workdir::new();
        let events = Table::of_sql("shop.events", "lake", &sqlite(&folder), &folder.uri("warehouse"));
        let mut world = Self { folder, events, ids: 0..0 };
        world.append("kind", "").await;
        world
    }

    /// Ten more rows.
    async fn append(&mut self, kind: &str, more: &str) -> u64 {
        self.append_many(10, kind, more).await
    }

    async fn append_many(&mut self, rows: u64, kind: &str, more: &str) -> u64 {
        self.ids = self.ids.end..self.ids.end + rows;
        let row = |id: u64| format!(r#"{{"id": {id}, "{kind}": "k{}"{more}}}"#, id % 3);
        let rows: Vec<String> = self.ids.clone().map(row).collect();
        self.events.append(&self.folder.write("rows.json", &rows.join("\n"))).await["snapshot"].as_u64().unwrap()
    }

    /// A job of that name that follows the table into `lake.shop.<name>`.
    fn job(&self, name: &str, columns: &str, query: &str, options: &str) -> PathBuf {
        let (catalog, warehouse, checkpoints) = (sqlite(&self.folder), self.folder.uri("warehouse"), self.folder.uri("checkpoints"));
        self.folder.write(
            &format!("{name}.sql"),
            &format!(
                "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '200 ms';
SET 'execution.checkpointing.dir' = '{checkpoints}';
SET 'connector.iceberg.monitor-interval' = '100 ms';
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');
CREATE TABLE IF NOT EXISTS lake.shop.{name} ({columns});
INSERT INTO lake.shop.{name} SELECT {query}
  FROM lake.shop.events /*+ OPTIONS({options}'streaming'='true', 'starting-strategy'='TABLE_SCAN_THEN_INCREMENTAL') */;
"
            ),
        )
    }

    fn start(&self, job: &Path) -> Running {
        self.folder.weir(run(job)).start()
    }

    async fn holds(&self, job: &Path, table: &str, rows: u64) {
        holds(&self.folder, job, table, rows).await;
    }

    async fn stopped(running: Running) {
        running.terminate();
        running.wait(LIMIT).await.succeeded();
    }
}

async fn holds(folder: &Workdir, job: &Path, table: &str, rows: u64) {
    until(&format!("{table} has {rows} rows"), LIMIT, async || {
        // The job makes the table, in its own time.
        let arguments = ["sql", "--init", job.to_str()?, "--format", "csv", "-e", &format!("SELECT count(*) FROM lake.shop.{table}")];
        let told = folder.weir(arguments).output(LIMIT).await.stdout;
        (told.lines().last()? == rows.to_string()).then_some(())
    })
    .await;
}

const COPY: &str = "id BIGINT, kind STRING";

#[tokio::test]
async fn a_table_whose_columns_and_partitions_change_under_a_job_is_read_right_until_its_rows_do() {
    let mut world = World::new().await;
    let job = world.job("copy", COPY, "id, kind", "");
    let running = world.start(&job);
    world.holds(&job, "copy", 10).await;
    world.append("kind", "").await;
    world.events.change(json!({"add_column": "note"})).await;
    world.append("kind", r#", "note": "new""#).await;
    world.events.change(json!({"rename_column": ["kind", "sort"]})).await;
    world.append("sort", "").await;
    world.events.change(json!({"partition_by": "sort"})).await;
    world.append("sort", "").await;
    world.holds(&job, "copy", 50).await;
    let right = "SELECT count(*) FROM lake.shop.copy WHERE kind = concat('k', CAST(id % 3 AS STRING))";
    assert_eq!(answer(&world.folder, &job, right).await, "50");

    world.events.change(json!({"delete": "id < 5"})).await;
    let told = running.wait(LIMIT).await.failed_with(3).stderr;
    for part in ["lake.shop.events", "overwrites or deletes rows", "'streaming.skip-overwrite-snapshots'", "'streaming.overwrite-as-changes'"] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    // The column that the job names is gone by now.
    let told = world.folder.weir(run(&job)).output(LIMIT).await.failed_with(2).stderr;
    assert!(told.contains("kind") && told.contains("at line"), "{told}");
    let renamed = world.job("copy", COPY, "id, sort", SKIP);
    let running = world.start(&renamed);
    world.append("sort", "").await;
    world.holds(&renamed, "copy", 60).await;
    World::stopped(running).await;
    assert_eq!(answer(&world.folder, &renamed, right).await, "60");
}

#[tokio::test]
async fn what_deletes_and_overwrites_remove_and_add_is_told_and_adds_up_to_the_table() {
    let mut world = World::new().await;
    let job = world.job("log", "id BIGINT, kind STRING, change STRING, sequence BIGINT", "id, kind, _row_kind, _commit_sequence", CHANGES);
    let running = world.start(&job);
    world.holds(&job, "log", 10).await;
    // Five of ten rows go: the file is written anew, so that ten rows go and five come.
    world.events.change(json!({"delete": "id < 5"})).await;
    world.holds(&job, "log", 25).await;
    running.kill().await;
    let running = world.start(&job);
    world.append("kind", "").await;
    let rows = [json!({"id": 7, "kind": "seven"}), json!({"id": 100, "kind": "new"})];
    world.events.change(json!({"overwrite": {"rows": rows, "where": "id == 7"}})).await;
    let sums =
        "SELECT id, kind, sum(CASE change WHEN '+I' THEN 1 ELSE -1 END) AS n FROM lake.shop.log GROUP BY id, kind HAVING n <> 0 ORDER BY id, kind";
    let wanted = answer(&world.folder, &job, "SELECT id, kind, 1 AS n FROM lake.shop.events ORDER BY id, kind").await;
    assert!(wanted.lines().count() == 16 && wanted.contains("7,seven,1"), "{wanted}");
    until("the changes add up to the table", LIMIT, async || (answer(&world.folder, &job, sums).await == wanted).then_some(())).await;
    // In the order of the commits, a row is there before it goes and goes before it comes again.
    let of_seven = "SELECT change, kind FROM lake.shop.log WHERE id = 7 ORDER BY sequence, CASE change WHEN '-D' THEN 0 ELSE 1 END";
    assert_eq!(answer(&world.folder, &job, of_seven).await, "+I,k1\n-D,k1\n+I,k1\n-D,k1\n+I,seven");
    World::stopped(running).await;
}

/// Where a process ends in the test of large snapshots, always in its first epoch: each is a place between two durable facts.
const ENDS: [&str; 5] = ["checkpoint-after-put", "epoch-rows-read", "checkpoint-before-put", "checkpoint-after-put", "before-committed-mark"];

#[tokio::test]
async fn a_snapshot_of_one_large_file_is_read_once_through_a_kill_at_every_cut_in_it() {
    let mut world = World::new().await;
    // What PyIceberg writes has no page index, and here a row group for every two thousand rows.
    world.events.change(json!({"set": {"write.parquet.row-group-limit": "2000"}})).await;
    world.append_many(600_000, "kind", "").await;
    let options = "'split-size'='20 kb', 'scan.parallelism'='3', ";
    let job = world.job("copy", COPY, "id, kind", options);
    // An epoch reads what its first command grants, and ends.
    let hurried = std::fs::read_to_string(&job).unwrap().replace("'200 ms'", "'1 ms'");
    let job = world.folder.write("copy.sql", &hurried);
    let mut cuts = 0;
    for end in ENDS {
        let launch = world.folder.weir(run(&job)).env("WEIR_FAIL", &format!("{end}=kill"));
        launch.output(LIMIT).await.killed();
        let count = answer(&world.folder, &job, "SELECT count(*) FROM lake.shop.copy").await;
        cuts += u64::from(count.parse::<u64>().unwrap() < 600_010);
    }
    assert!(cuts >= 4, "the job had read everything too soon to be cut off inside of the large snapshot");
    let running = world.start(&job);
    world.holds(&job, "copy", 600_010).await;
    World::stopped(running).await;
    let query =
        "SELECT count(DISTINCT id) AS n, min(id) AS least, max(id) AS most FROM lake.shop.copy WHERE kind = concat('k', CAST(id % 3 AS STRING))";
    assert_eq!(answer(&world.folder, &job, query).await, "600010,0,600009");
}

#[tokio::test]
async fn snapshots_that_expire_under_a_paused_job_stop_it_with_both_ways_out() {
    let mut world = World::new().await;
    let job = world.job("copy", COPY, "id, kind", "");
    let running = world.start(&job);
    world.holds(&job, "copy", 10).await;
    World::stopped(running).await;
    for _ in 0..3 {
        world.append("kind", "").await;
    }
    world.events.expire().await;
    let told = world.folder.weir(run(&job)).output(LIMIT).await.failed_with(3).stderr;
    for part in [
        "lake.shop.events",
        "were expired",
        "restore the table's older metadata",
        "'INCREMENTAL_FROM_EARLIEST_SNAPSHOT'",
        "'TABLE_SCAN_THEN_INCREMENTAL'",
    ] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    assert_eq!(answer(&world.folder, &job, "SELECT count(*) FROM lake.shop.copy").await, "10", "nothing was read behind the loss");
    // A way out: all rows anew, by a job of another name.
    let anew = world.job("anew", COPY, "id, kind", "");
    let running = world.start(&anew);
    world.holds(&anew, "anew", 40).await;
    World::stopped(running).await;
}

#[tokio::test]
async fn a_table_that_is_rolled_back_behind_what_was_read_stops_the_job() {
    let mut world = World::new().await;
    let before = world.append("kind", "").await;
    world.append("kind", "").await;
    let job = world.job("copy", COPY, "id, kind", "");
    let running = world.start(&job);
    world.holds(&job, "copy", 30).await;
    world.events.change(json!({"rollback_to": before})).await;
    let told = running.wait(LIMIT).await.failed_with(3).stderr;
    assert!(told.contains("rolled back behind") && told.contains("job of another name"), "{told}");
}

#[tokio::test]
async fn a_catalog_that_stays_away_for_longer_than_is_allowed_ends_an_attempt_and_no_row_is_lost() {
    let rest = Servers::shared().rest(Warehouse::File);
    let proxy = Proxy::before(&rest.uri).await;
    // The REST server is shared: a database of one's own.
    let database = format!("away_{}", uuid::Uuid::new_v4().simple());
    let events = Table::of_rest(&format!("{database}.events"), &rest.uri);
    let folder = Workdir::new();
    let rows = |ids: Range<u64>| folder.write("rows.json", &ids.map(|id| format!(r#"{{"id": {id}}}"#)).collect::<Vec<_>>().join("\n"));
    events.append(&rows(0..10)).await;
    let (catalog, warehouse, checkpoints) = (sqlite(&folder), folder.uri("warehouse"), folder.uri("checkpoints"));
    let job = folder.write(
        "away.sql",
        &format!(
            "SET 'execution.checkpointing.interval' = '200 ms';
SET 'execution.checkpointing.dir' = '{checkpoints}';
CREATE CATALOG far WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.copy (id BIGINT);
INSERT INTO lake.shop.copy SELECT id FROM far.{database}.events /*+ OPTIONS('streaming'='true', 'monitor-interval'='100 ms',
  'starting-strategy'='TABLE_SCAN_THEN_INCREMENTAL', 'max-allowed-planning-failures'='0') */;
",
            proxy.uri()
        ),
    );
    let mut running = folder.weir(run(&job)).start();
    holds(&folder, &job, "copy", 10).await;
    proxy.answer_all(503);
    // One failure is the end of the client's own patience, a minute.
    running.logged("could not be planned 1 times in a row", 2 * LIMIT).await;
    proxy.mend();
    events.append(&rows(10..20)).await;
    holds(&folder, &job, "copy", 20).await;
    World::stopped(running).await;
}
