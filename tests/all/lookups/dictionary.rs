//! Tables that batch jobs rewrite while a stream is joined with them: an Iceberg table and a folder of files.

use std::path::Path;

use serde_json::Value;
use weir_sql::{Mode, Script};

use crate::lake::Lake;
use crate::lookups::lookup;
use crate::orders::{LIMIT, OrdersJob, answer, committed, holds_exactly, run, send, table_on_disk, verified};
use crate::support::{Running, Servers, Topic, Workdir, until};

const MEMORY: u64 = 200 << 20;
const PARTITIONS: u64 = 2;
const USERS: u64 = 97;

/// The job, and what it is to have written: how many orders have which category.
struct Dictionaries {
    folder: Workdir,
    topic: Topic,
    job: std::path::PathBuf,
    sent: Vec<(i32, i64)>,
    expected: std::collections::BTreeMap<String, usize>,
}

impl Dictionaries {
    async fn new() -> Self {
        let folder = Workdir::new();
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "dictionaries", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
        job.bounded = false;
        job.settings = format!(
            "SET 'execution.checkpointing.interval' = '200 ms';
CREATE TABLE ranks (user_id BIGINT, `rank` STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv', 'source.monitor-interval' = '100 ms');",
            folder.uri("ranks")
        );
        job.inserts = "CREATE TABLE IF NOT EXISTS lake.shop.users (id BIGINT, name STRING);
INSERT INTO lake.shop.orders
  SELECT o.id, o.user_id, o.item_id, COALESCE(u.name, '-') || '/' || COALESCE(r.`rank`, '-'), o.event_type, o.amount, o.ts, o.props, o.p, o.o
  FROM orders AS o
  LEFT JOIN lake.shop.users /*+ OPTIONS('monitor-interval' = '100 ms') */ FOR SYSTEM_TIME AS OF PROCTIME() AS u ON o.user_id = u.id
  LEFT JOIN ranks FOR SYSTEM_TIME AS OF PROCTIME() AS r ON o.user_id = r.user_id;"
            .to_owned();
        let job = job.write(&folder);
        std::fs::create_dir(folder.path("ranks")).unwrap();
        Self { folder, topic, job, sent: Vec::new(), expected: std::collections::BTreeMap::new() }
    }

    /// A batch job gives users of even numbers this name.
    async fn rewrite_users(&self, name: &str) {
        let rows: Vec<String> = (0..USERS).step_by(2).map(|user| format!("({user}, '{name}')")).collect();
        let create = "CREATE DATABASE IF NOT EXISTS lake.shop; CREATE TABLE IF NOT EXISTS lake.shop.users (id BIGINT, name STRING)";
        let insert = format!("{create}; INSERT OVERWRITE lake.shop.users SELECT * FROM (VALUES {}) AS v (id, name)", rows.join(", "));
        let arguments = ["sql", "--init", self.job.to_str().unwrap(), "-e", &insert];
        self.folder.weir(arguments).output(LIMIT).await.succeeded();
    }

    /// A batch job of another engine writes the folder: away with the marker, then the rows, then the marker, unless it stops before.
    fn rewrite_ranks(&self, rows: &str, is_whole: bool) {
        let marker = self.folder.path("ranks/_SUCCESS");
        if marker.exists() {
            std::fs::remove_file(&marker).unwrap();
        }
        self.folder.write("ranks/part-0.csv", rows);
        if is_whole {
            std::fs::write(marker, "").unwrap();
        }
    }

    /// Users below 10 have this rank.
    fn rank_users(&self, rank: &str, is_whole: bool) {
        self.rewrite_ranks(&(0..10).map(|user| format!("{user},{rank}\n")).collect::<String>(), is_whole);
    }

    /// Sends orders, which are to be joined with these.
    async fn send(&mut self, orders: u64, name: &str, rank: &str) {
        let next = self.sent.len() as u64;
        self.sent.extend(send(&self.topic, PARTITIONS, next..next + orders).await);
        for id in next..next + orders {
            let user = id % USERS;
            let (name, rank) = (if user.is_multiple_of(2) { name } else { "-" }, if user < 10 { rank } else { "-" });
            *self.expected.entry(format!("{name}/{rank}")).or_default() += 1;
        }
    }

    async fn start(&self) -> (Running, String) {
        let mut running = self.folder.weir(run(&self.job)).start();
        let address = running.address(LIMIT).await;
        (running, address)
    }

    /// Every order is there once, with what was its when it was sent.
    async fn judged(&self) {
        holds_exactly(&table_on_disk(&self.folder), &self.sent).await;
        let query = "SELECT category, count(*) FROM lake.shop.orders GROUP BY category ORDER BY category";
        let expected: Vec<String> = self.expected.iter().map(|(category, orders)| format!("{category},{orders}")).collect();
        assert_eq!(answer(&self.folder, &self.job, query).await, expected.join("\n"));
        verified(&self.folder, &self.job).await;
    }
}

/// Waits until what the job tells of a dictionary is as wanted.
async fn dictionary(running: &Running, address: &str, table: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, LIMIT, async || {
        let status = running.status(address).await?;
        let lookups = status["lookups"].as_array()?;
        lookups.iter().find(|lookup| lookup["table"].as_str().is_some_and(|name| name.ends_with(table)) && wanted(lookup)).cloned()
    })
    .await
}

#[tokio::test]
async fn dictionaries_are_rewritten_under_a_running_job_and_a_bad_version_leaves_the_one_before() {
    let mut job = Dictionaries::new().await;
    job.rewrite_users("ann").await;
    job.rank_users("gold", true);
    let (running, address) = job.start().await;
    job.send(300, "ann", "gold").await;
    committed(&address, 300).await;
    let users = dictionary(&running, &address, "users", "users are loaded", |_| true).await;
    let ranks = dictionary(&running, &address, "ranks", "ranks are loaded", |_| true).await;
    assert!(users["version"].as_str().unwrap().starts_with("snapshot ") && users["rows"] == 49, "{users}");
    assert!(ranks["version"].as_str().unwrap().starts_with("_SUCCESS of ") && ranks["rows"] == 10, "{ranks}");

    job.rewrite_users("bob").await;
    job.rewrite_ranks("0,silver\nnobody,silver\n", true);
    dictionary(&running, &address, "users", "a new snapshot serves", |now| now["version"] != users["version"]).await;
    let is_told = |now: &Value| now["last_error"].as_str().is_some_and(|error| error.contains("part-0.csv': line 2: column 'user_id'"));
    let bad = dictionary(&running, &address, "ranks", "the bad version is told", is_told).await;
    assert_eq!(bad["version"], ranks["version"]);
    job.send(300, "bob", "gold").await;
    committed(&address, 600).await;
    let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    for metric in ["weir_runtime_lookup_age_seconds{job=", "weir_runtime_lookup_reloads_total{outcome=\"failed\""] {
        assert!(metrics.contains(metric), "{metric} is not in:\n{metrics}");
    }
    running.kill().await.killed();

    job.rank_users("silver", true);
    job.send(100, "bob", "silver").await;
    let (mut running, address) = job.start().await;
    committed(&address, 100).await;
    // Another job begins to write, and gets no further for a while.
    let before = dictionary(&running, &address, "ranks", "ranks are loaded", |_| true).await;
    job.rewrite_ranks("0,half\n", false);
    let is_told = |now: &Value| now["last_error"].as_str().is_some_and(|error| error.contains("is being written"));
    let half = dictionary(&running, &address, "ranks", "it was seen that somebody writes", is_told).await;
    assert_eq!(half["version"], before["version"]);
    job.send(100, "bob", "silver").await;
    committed(&address, 200).await;
    job.rank_users("bronze", true);
    let after = dictionary(&running, &address, "ranks", "the whole version serves", |now| now["version"] != before["version"]).await;
    assert!(after["last_error"].is_null(), "{after}");
    job.send(100, "bob", "bronze").await;
    committed(&address, 300).await;
    running.terminate();
    running.logged("lookup table has a new version", LIMIT).await;
    running.wait(LIMIT).await.succeeded();
    job.judged().await;
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn iceberg_tables_and_files_are_looked_up_by_any_columns() {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE users (id BIGINT, country STRING, name STRING)").await;
    lake.run("INSERT INTO users VALUES (1, 'de', 'ann'), (2, 'de', 'bob'), (2, 'fr', 'eve')").await;
    let folder = lake.folder.path().to_owned();
    write(&folder, "files/dt=2026-01-01/a.csv", "1,old\n");
    write(&folder, "files/dt=2026-01-02/a.csv", "1,new\n2,new\n");
    let files = format!("'connector' = 'filesystem', 'path' = 'file://{}/files', 'format' = 'csv', 'scan.partitions' = 'max_pt()'", folder.display());
    lake.run(&format!("CREATE TEMPORARY TABLE files (id BIGINT, state STRING, dt DATE) PARTITIONED BY (dt) WITH ({files})")).await;
    let join = |join: &str| lookup("n, d.name", "(1, 'de'), (2, 'fr'), (3, 'it')", join);
    let by_country = join("LEFT JOIN users FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.country AND d.name <> 'bob'");
    assert_eq!(lake.ask(&by_country).await, "1,ann\n2,eve\n3,NULL");
    let by_both = join("JOIN users FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.country AND v.n = d.id");
    assert_eq!(lake.ask(&by_both).await, "1,ann\n2,eve");
    let of_files = lookup("n, d.state, d.dt", "(1, 1), (2, 3)", "LEFT JOIN files FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id");
    assert_eq!(lake.ask(&of_files).await, "1,new,2026-01-02\n2,NULL,NULL");
    let set = "SET 'table.optimizer.dim-lookup-join.batch.enabled' = 'true'; SET 'table.optimizer.dim-lookup-join.batch.size' = '50'";
    lake.run(set).await;
    let planned = Box::pin(lake.session.run(&Script::parse(&of_files).unwrap(), Mode::Run)).await.unwrap();
    assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
    let path = folder.display();
    let linked = format!(
        "'connector' = 'iceberg', 'catalog-name' = 'lake', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db',
         'warehouse' = 'file://{path}/warehouse', 'catalog-database' = 'd', 'catalog-table' = 'users'"
    );
    lake.run(&format!("CREATE TEMPORARY TABLE linked (name STRING, id BIGINT) WITH ({linked}, 'lookup.preload.max-rows' = '2')")).await;
    let of_linked = lookup("n, d.name", "(1, 1)", "JOIN linked FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id");
    let told = lake.batches(&of_linked).await.unwrap_err();
    assert!(told.contains("more rows than 'lookup.preload.max-rows' allows: 3"), "{told}");
    let more = of_linked.replace("linked FOR", "linked /*+ OPTIONS('lookup.preload.max-rows' = '3') */ FOR");
    assert_eq!(lake.ask(&more).await, "1,ann");
    for (options, wanted) in [
        ("'lookup.cache' = 'NONE'", "this one is read as a whole, so its cache is FULL"),
        ("'monitor-interval' = '0 s'", "'monitor-interval' must be > 0"),
        ("'lookup.cash' = 'FULL'", "Did you mean 'lookup.cache'?"),
        ("'limit' = '1'", "'limit' does not go with a lookup join"),
    ] {
        let told = lake.batches(&by_country.replace("users FOR", &format!("users /*+ OPTIONS({options}) */ FOR"))).await.unwrap_err();
        assert!(told.contains(wanted), "{told}");
    }
    let bad = lake.refused(&format!("CREATE TEMPORARY TABLE bad (id BIGINT) WITH ({linked}, 'lookup.cache' = 'PARTIAL')")).await;
    assert!(bad.contains("'lookup.cache'='PARTIAL' needs a table that gives rows by key"), "{bad}");
}
