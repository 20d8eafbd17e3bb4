//! One memory budget: many table partitions within one epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Row, Servers, Table, Topic, Workdir, until};

const LIMIT: Duration = Duration::from_secs(240);
const PLACES: u64 = 2_000;
const ROWS: u64 = 200_000;
const BUDGET: u64 = 512 << 20;
/// What the process may take besides what it charges: code, stacks, the Kafka client, the allocator.
const BESIDES: u64 = 150 << 20;

/// A row of about a kilobyte; every partition of the table gets one in two thousand.
fn row(id: u64) -> Row {
    let text = format!("{:016x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(60);
    Row::new(i32::try_from(id % 4).unwrap(), format!(r#"{{"id":{id},"place":{},"text":"{text}"}}"#, id % PLACES))
}

#[tokio::test]
async fn two_thousand_partitions_within_one_epoch_stay_within_the_budget_and_make_one_file_each() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "places", 4, &[]).await;
    for ids in 0..10 {
        topic.produce((ids * ROWS / 10..(ids + 1) * ROWS / 10).map(row)).await;
    }
    let (catalog, warehouse) = (format!("sqlite:{}", folder.path("catalog.db").display()), folder.uri("warehouse"));
    let job = folder.write(
        "places.sql",
        &format!(
            "SET 'execution.checkpointing.interval' = '1 h';
SET 'execution.checkpointing.dir' = '{}';
SET 'parallelism.default' = '2';
CREATE TABLE events (id BIGINT, place INT, text STRING) WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');
CREATE DATABASE IF NOT EXISTS lake.db;
CREATE TABLE IF NOT EXISTS lake.db.events (id BIGINT, place INT, text STRING) PARTITIONED BY (place) WITH ('distribution-mode' = 'hash');
INSERT INTO lake.db.events SELECT * FROM events;
",
            folder.uri("checkpoints"),
            topic.name()
        ),
    );
    let mut running = folder.weir(["run".as_ref(), job.as_os_str(), "--memory".as_ref(), "512mb".as_ref()]).start();
    let address = running.address(LIMIT).await;
    // Watched until the process is gone; both peaks only rise.
    let (mut memory, mut budget) = (0, Value::Null);
    until("the job has ended", LIMIT, async || {
        let now = running.peak_memory();
        memory = memory.max(now.unwrap_or(0));
        if let Some(status) = running.status(&address).await {
            budget = status["memory"].clone();
        }
        now.is_none().then_some(())
    })
    .await;
    running.wait(LIMIT).await.succeeded();
    println!("peak memory of the process {} MB, of the budget {budget}", memory >> 20);
    assert_eq!(budget["limit"], BUDGET);
    let charged = budget["peak"].as_u64().unwrap();
    assert!(charged > BUDGET / 8 && charged <= BUDGET, "the budget's peak is {} MB", charged >> 20);
    assert!(memory > 0 && memory <= BUDGET + BESIDES, "the process took {} MB", memory >> 20);

    let found = Table::of_sql("db.events", "lake", &catalog, &warehouse).check(&["--unique", "id"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"]), (&Value::from(ROWS), &Value::from(0)));
    assert_eq!(found["snapshots"].as_array().unwrap().len(), 1, "one epoch");
    let mut files: BTreeMap<u64, u64> = BTreeMap::new();
    for file in found["files"].as_array().unwrap() {
        assert_eq!(file["records"], ROWS / PLACES, "{file}");
        *files.entry(file["partition"]["place"].as_u64().unwrap()).or_default() += 1;
    }
    assert_eq!(files, (0..PLACES).map(|place| (place, 1)).collect(), "one file for each partition");
}
