//! HDFS with two NameNodes: the active one dies in the middle of an ingest, or says nothing any more.

use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use weir_fs::FileSystems;

use crate::orders::{OrdersJob, Setting, endpoint, holds_exactly, run, send, sqlite, verified};
use crate::support::{Servers, Table, until};

const CLUSTER: &str = "hdfs-ha";
const LIMIT: Duration = Duration::from_secs(300);
const ROWS: u64 = 1_000_000;
const PARTITIONS: u64 = 4;
/// How long a job may need to go on once another NameNode is active.
const GOES_ON: Duration = Duration::from_secs(90);

/// The rows that the job behind `endpoint` has committed since it started.
async fn committed_rows(endpoint: &str) -> Option<u64> {
    let status: serde_json::Value = reqwest::get(format!("{endpoint}/status")).await.ok()?.json().await.ok()?;
    Some(status["sinks"].as_object()?.values().filter_map(|sink| sink["rows"].as_u64()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_when_the_active_name_node_is_killed() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_of(CLUSTER));
    let Setting { folder, topic, job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    let send_tenth = async |tenth: u64| send(&topic, PARTITIONS, tenth * ROWS / 10..(tenth + 1) * ROWS / 10).await;
    let mut sent = Vec::new();
    for tenth in 0..6 {
        sent.extend(send_tenth(tenth).await);
    }
    let settings = format!("SET 'fs.alias.aahdfs.scheme' = 'hdfs';\nSET 'fs.alias.aahdfs.conf-dir' = '{}';", hdfs.conf_ns1.display());
    let job = OrdersJob {
        catalog: format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = 'aahdfs://ns1/warehouse'", sqlite(&folder)),
        checkpoints: "aahdfs://ns1/checkpoints".to_owned(),
        settings,
        bounded: false,
        ..job
    };
    let file = job.write(&folder);
    let running = folder.weir(run(&file)).start();
    let http = endpoint(&folder, 0).await;
    until("rows are committed", LIMIT, async || committed_rows(&http).await.filter(|rows| *rows > 0)).await;
    tokio::task::block_in_place(|| servers.kill("hdfs-ha.nn1"));
    let before = committed_rows(&http).await.unwrap();
    // However quick the job is: these come while no NameNode answers.
    for tenth in 6..10 {
        sent.extend(send_tenth(tenth).await);
    }
    tokio::task::block_in_place(|| servers.admin(CLUSTER, &["haadmin", "-failover", "nn1", "nn2"]));
    let active = Instant::now();
    until("more rows are committed", LIMIT, async || committed_rows(&http).await.filter(|rows| *rows > before)).await;
    println!("the job went on {:.1} s after another NameNode was active, with {before} rows before", active.elapsed().as_secs_f32());
    assert!(active.elapsed() < GOES_ON, "{:?}", active.elapsed());
    until("all rows are committed", LIMIT, async || committed_rows(&http).await.filter(|rows| *rows == ROWS)).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();

    let second = crate::support::Hdfs { http: hdfs.http_2.clone().unwrap(), ..hdfs };
    let table = Table::of_sql("shop.orders", "lake", &sqlite(&folder), "hdfs://ns1/warehouse").on_hdfs(&second);
    holds_exactly(&table, &sent).await;
    verified(&folder, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_node_that_says_nothing_is_left_for_the_one_that_took_over() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_of(CLUSTER));
    let properties = [("hadoop-conf-dir", hdfs.conf_ns1.display().to_string()), ("fs.request.timeout", "4 s".to_owned())];
    let at = FileSystems::new(properties.map(|(key, value)| (key.to_owned(), value)).into()).resolve("hdfs://ns1/silent").unwrap();
    let path = at.path.clone().join("file");
    at.store.put(&path, "before".into()).await.unwrap();
    // As a machine without power: its connections stay, and nothing ever comes.
    tokio::task::block_in_place(|| {
        servers.pause("hdfs-ha.nn1");
        servers.admin(CLUSTER, &["haadmin", "-failover", "nn1", "nn2"]);
    });
    let taken_over = Instant::now();
    at.store.put(&path, "after".into()).await.unwrap();
    assert!(taken_over.elapsed() < GOES_ON, "{:?}", taken_over.elapsed());
    assert_eq!(at.store.get(&path).await.unwrap().bytes().await.unwrap(), "after");
    tokio::task::block_in_place(|| servers.kill("hdfs-ha.nn1"));
}
