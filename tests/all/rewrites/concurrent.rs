//! Others write while files are rewritten: a job and PyIceberg with a model beside them, and Iceberg's own classes where keys delete rows.

use std::cell::Cell;

use axum::http::Method;
use serde_json::{Value, json};

use super::{World, agreed, asked};
use crate::orders::{LIMIT, answer, run};
use crate::orphans::{nothing_is_left, nothing_is_left_but};
use crate::support::{Fault, IcebergRows, Proxy, Row, Servers, Table, Topic, Warehouse, until};

const PARTITIONS: u64 = 2;
/// Orders that are sent at once.
const BATCH: u64 = 40;

/// The order that `scripts/judges/churn.py` knows.
fn order(id: u64) -> Row {
    let payload = format!(r#"{{"id": {id}, "kind": "k{}", "v": {}}}"#, id % 3, id * 7);
    Row::new(i32::try_from(id % PARTITIONS).unwrap(), payload)
}

/// A job that commits orders of a topic five times a second and compacts their table itself, beside the commands that do so too.
fn job(world: &World, topic: &Topic, brokers: &str) -> String {
    format!(
        "SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.interval' = '200 ms';
SET 'execution.checkpointing.dir' = '{}';
CREATE TABLE orders (id BIGINT, kind STRING, v BIGINT, p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL)
  WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
{}
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.orders (id BIGINT, kind STRING, v BIGINT, p INT, o BIGINT) PARTITIONED BY (kind)
  WITH ('auto-compact' = 'true', 'compact.delta.commits' = '4', 'compact.min-input-files' = '3',
    'weir.expire-snapshots.enabled' = 'false');
INSERT INTO lake.shop.orders SELECT * FROM orders;
",
        world.folder.uri("checkpoints"),
        topic.name(),
        std::fs::read_to_string(&world.init).unwrap(),
    )
}

/// `WEIR_TEST_STEPS` changes by PyIceberg (6 if unset), chosen by `WEIR_TEST_SEED`, while a job commits and the table is compacted.
#[tokio::test]
async fn whatever_a_job_pyiceberg_and_compaction_do_at_the_same_time_the_rows_are_those_of_the_history() {
    let brokers = Servers::shared().kafka();
    let world = World::new();
    let topic = Topic::create(&brokers, "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let file = world.folder.write("orders.sql", &job(&world, &topic, &brokers));
    topic.produce((0..BATCH).map(order)).await;
    let mut running = world.folder.weir(run(&file)).start();
    running.logged("committed", LIMIT).await;
    let table = world.table("shop.orders");
    let (ended, seed) = (Cell::new(false), asked("WEIR_TEST_SEED", 7));
    let sending = async {
        let mut sent = BATCH;
        while !ended.get() {
            topic.produce((sent..sent + BATCH).map(order)).await;
            sent += BATCH;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let compacting = async {
        let ways: [&[&str]; 3] =
            [&["--min-input-files", "2"], &["--min-input-files", "3", "--commits", "1"], &["--min-input-files", "2", "--settle"]];
        for way in ways.iter().cycle().take_while(|_| !ended.get()) {
            world.compact("shop.orders", way).await;
        }
    };
    let changing = async {
        let told = table.churn(asked("WEIR_TEST_STEPS", 6), seed).await;
        ended.set(true);
        told
    };
    let (told, (), ()) = tokio::join!(changing, sending, compacting);
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    let steps = world.folder.write("steps.json", &told.to_string());
    let found = table.replay(&steps, PARTITIONS).await;
    let none = json!([]);
    assert_eq!((&found["only_table"], &found["only_model"]), (&none, &none), "{found}\n{told}");
    assert!(found["commits"]["rewrite"].as_u64() > Some(1) && found["commits"]["orders"].as_u64() > Some(4), "{found}");
    let rewrites = agreed(&table.contents(&["--rewrites"]).await["shop.orders"]);
    assert_eq!(Some(rewrites as u64), found["commits"]["rewrite"].as_u64());
    // What PyIceberg wrote for a step that lost a race, it leaves: data files, and metadata files of refused swaps.
    nothing_is_left_but(&table, |path| path.contains("/00000-") || path.ends_with(".metadata.json")).await;
    let verify = ["verify", "--init", file.to_str().unwrap(), "lake.shop.orders"];
    world.folder.weir(verify).output(LIMIT).await.succeeded();
}

/// 1,000 rows of which ten were upserted; while the commit of their rewrite is on its way, fifteen are deleted by their keys.
#[tokio::test]
async fn an_equality_delete_that_overtakes_a_rewrite_leaves_985_of_1000_rows() {
    let rest = Servers::shared().rest(Warehouse::File);
    let proxy = Proxy::before(&rest.uri).await;
    let world = World::new();
    // The REST server is shared: a database of one's own.
    let name = format!("upserts_{}.t", uuid::Uuid::new_v4().simple());
    let init = world
        .folder
        .write("rest.sql", &format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}');", proxy.uri()));
    let java = IcebergRows::of_rest(&rest.uri);
    let take = async |steps: Vec<Value>| java.take(json!({ name.as_str(): steps })).await[name.as_str()].take();
    let appends = (0..5).map(|part| json!({"append": [part * 200, part * 200 + 200]}));
    take([json!({"create": ""})].into_iter().chain(appends).chain([json!({"upsert": [0, 10]})]).collect()).await;

    proxy.inject(Method::POST, "/tables/t", Fault::Hold, 1);
    let target = format!("lake.{name}");
    let arguments = ["table", "compact", &target, "--init", init.to_str().unwrap(), "--settle", "--min-input-files", "2"];
    let running = world.folder.weir(arguments).start();
    until("the rewrite is on its way", LIMIT, async || (proxy.left() == 0).then_some(())).await;
    take(vec![json!({"delete_ids": [5, 20]})]).await;
    proxy.release();
    let told = running.wait(LIMIT).await.succeeded().stdout;
    assert!(told.contains("6 files of") && told.contains("became 1 of") && told.contains("0 gave way"), "{told}");

    let of_java = take(vec![json!({"rows": {}})]).await;
    assert_eq!(agreed(&of_java), 1);
    let last = |history: &Value, reader: &str| history.as_array().unwrap().last().unwrap()["readers"][reader].clone();
    assert_eq!(last(&of_java, "java")["rows"], 985);
    let table = Table::of_rest(&name, &rest.uri);
    let mut found = table.contents(&["--rewrites"]).await;
    let found = found[name.as_str()].take();
    assert_eq!((agreed(&found), &last(&found, "duckdb")["digest"]), (1, &last(&of_java, "java")["digest"]));
    let upserted = answer(&world.folder, &init, &format!("SELECT count(*), sum(v) FROM {target} WHERE id < 10")).await;
    assert_eq!(upserted, "5,-10.0", "rows 0 to 4");
    nothing_is_left(&table).await;
}
