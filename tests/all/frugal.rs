//! How little is asked of a NameNode: its own counters, and its record of who asked what, hold what the book says.

use std::collections::{BTreeMap, BTreeSet};

use object_store::{ObjectStoreExt, PutMode};
use serde_json::Value;
use weir_fs::FileSystems;

use crate::orders::{LIMIT, OrdersJob, committed, holds_exactly, run, send, sqlite};
use crate::support::{Hdfs, NameNodeCalls, Servers, Table, Topic, Workdir, until};

const PARTITIONS: u64 = 2;
const EPOCHS: u64 = 30;
const MIB: u64 = 1 << 20;

type Calls = BTreeMap<String, u64>;

fn calls<const N: usize>(of: [(&str, u64); N]) -> Calls {
    of.into_iter().map(|(call, count)| (call.to_owned(), count)).collect()
}

/// The calls without those that close a file: it is asked for again until a DataNode has reported.
fn closed(mut calls: Calls) -> Calls {
    assert!(calls.remove("Complete") >= Some(1), "{calls:?}");
    calls
}

/// The name of a call as NameNodes have it in their counters.
fn as_counted(call: &str) -> String {
    let (first, rest) = call.split_at(1);
    first.to_uppercase() + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_costs_a_call_for_each_block_and_three_more_and_a_range_of_a_known_file_costs_none() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_b());
    let alias = [("fs.alias.counted.scheme", "hdfs"), ("fs.alias.counted.conf-dir", hdfs.conf_ns1.to_str().unwrap())];
    let at = FileSystems::new(alias.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).resolve("counted://ns1/frugal").unwrap();
    let ours = || -> Calls {
        let calls = weir_fs::name_node_calls().remove("counted").unwrap_or_default();
        calls.into_iter().map(|(call, count)| (as_counted(call), count)).collect()
    };
    let started = NameNodeCalls::settled(&hdfs).await;
    // The NameNode counts a call after it has answered it.
    let counted = || {
        until("the NameNode's count is ours", LIMIT, async || {
            let now = NameNodeCalls::read(&hdfs).await;
            (now.since(&started) == ours()).then_some(now)
        })
    };
    at.store.put(&at.path.clone().join("warm"), "x".into()).await.unwrap();

    let before = counted().await;
    let put = at.path.clone().join("put");
    at.store.put_opts(&put, vec![7; 1_000_000].into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(closed(counted().await.since(&before)), calls([("Create", 1), ("AddBlock", 1), ("Rename2", 1)]));
    let mut tries = 0;
    let (uploaded, one_block, four_blocks) = loop {
        let uploaded = at.path.clone().join(format!("uploaded-{tries}"));
        let one_block = counted().await;
        let mut upload = at.store.put_multipart(&uploaded).await.unwrap();
        let sent = async {
            upload.put_part(vec![8; 2_000_000].into()).await?;
            upload.put_part(vec![9; 2_000_000].into()).await?;
            upload.complete().await
        };
        match sent.await {
            Ok(_) => break (uploaded, one_block, counted().await),
            // A DataNode that is busy reports a block late, and then the next one is refused.
            Err(error) if tries < 20 && error.to_string().contains("NotReplicatedYet") => tries += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(closed(four_blocks.since(&one_block)), calls([("Create", 1), ("AddBlock", 4), ("Rename2", 1)]));

    assert_eq!(at.store.get_range(&uploaded, 0..10).await.unwrap().as_ref(), [8; 10]);
    let opened = counted().await;
    assert_eq!(opened.since(&four_blocks), calls([("GetFileInfo", 1), ("GetBlockLocations", 1)]));
    for start in 0..30 {
        assert_eq!(at.store.get_range(&uploaded, 2_000_000 + start * 50_000..2_000_010 + start * 50_000).await.unwrap().as_ref(), [9; 10]);
    }
    at.store.get_ranges(&uploaded, &[0..1, MIB - 5..MIB + 5, 3 * MIB..3 * MIB + 1]).await.unwrap();
    assert_eq!(counted().await.since(&opened), calls([]), "every block of it is known");
}

/// One line of a NameNode's audit log.
#[derive(Debug)]
struct Asked {
    what: String,
    source: String,
    target: String,
}

fn audited(hdfs: &Hdfs) -> Vec<Asked> {
    let log = std::fs::read_to_string(&hdfs.audit).unwrap();
    let asked = log.lines().map(|line| {
        let field = |name: &str| line.split('\t').find_map(|field| field.strip_prefix(name)).unwrap().to_owned();
        Asked { what: field("cmd=").split(' ').next().unwrap().to_owned(), source: field("src="), target: field("dst=") }
    });
    asked.collect()
}

/// The calls that `/status` tells of, under all aliases together.
fn told(status: &Value) -> Calls {
    let mut sum = Calls::new();
    for calls in status["name_nodes"]["calls"].as_object().unwrap().values() {
        for (call, count) in calls.as_object().unwrap() {
            *sum.entry(as_counted(call)).or_default() += count.as_u64().unwrap();
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_lists_nothing_looks_for_nothing_and_asks_three_calls_and_its_blocks_of_every_file() {
    let servers = Servers::own();
    let hdfs = tokio::task::block_in_place(|| servers.hdfs_of("hdfs-3"));
    let brokers = tokio::task::block_in_place(|| Servers::shared().kafka());
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.bounded = false;
    job.partitioned_by = String::new();
    // Upkeep looks at its journal when a job starts, and reads and writes files of its own.
    job.table_options = "WITH ('auto-compact' = 'false')".to_owned();
    job.catalog = format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = 'near://ns1/warehouse'", sqlite(&folder));
    job.checkpoints = "near://ns1/checkpoints".to_owned();
    job.settings = "SET 'execution.checkpointing.interval' = '100 ms';".to_owned();
    folder.write("weir.toml", &format!("[fs.alias.near]\nscheme = \"hdfs\"\nconf-dir = \"{}\"\n", hdfs.conf_ns1.display()));
    let file = job.write(&folder);
    let before = NameNodeCalls::settled(&hdfs).await;
    let mut running = folder.weir(run(&file)).start();
    let address = running.address(LIMIT).await;
    let mut sent = Vec::new();
    for epoch in 1..=EPOCHS {
        sent.extend(send(&topic, PARTITIONS, epoch * 100..epoch * 100 + 100).await);
        let durable = async || running.status(&address).await.filter(|status| status["checkpoints"].as_u64() >= Some(epoch));
        until("the epoch is durable", LIMIT, durable).await;
    }
    committed(&address, sent.len()).await;
    // What follows a commit goes on for a while: the counts are compared when it is over.
    let status = until("our count is the NameNode's", LIMIT, async || {
        let status = running.status(&address).await.unwrap();
        (told(&status) == NameNodeCalls::read(&hdfs).await.since(&before)).then_some(status)
    })
    .await;
    let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    let of_epochs = status["name_nodes"]["epochs"].as_array().unwrap();
    let newest = of_epochs.last().unwrap();
    assert!(metrics.contains("weir_fs_name_node_calls_total{alias=\"near\",call=\"create\"}"), "{metrics}");
    assert_eq!((&newest["epoch"], of_epochs.len()), (&status["epoch"], 10), "{status}");
    assert!(of_epochs.iter().all(|epoch| epoch["calls"]["near"]["create"].as_u64() >= Some(1)), "{status}");
    running.terminate();
    running.wait(LIMIT).await.succeeded();

    let spent = NameNodeCalls::settled(&hdfs).await.since(&before);
    let of = |call: &str| spent.get(call).copied().unwrap_or(0);
    let asked = audited(&hdfs);
    let renamed: BTreeMap<&str, &str> = asked.iter().filter(|asked| asked.what == "rename").map(|asked| (&*asked.source, &*asked.target)).collect();
    let created: BTreeSet<&str> = asked.iter().filter(|asked| asked.what == "create").map(|asked| &*asked.source).collect();
    // This cluster closes files without waiting for its DataNodes to report, so no file is closed twice.
    // Every file is made under a name of its own and renamed, once each. Only an empty one has no block.
    assert_eq!((created.len() as u64, renamed.len() as u64), (of("Create"), of("Rename2")), "{spent:?}");
    assert_eq!(created, renamed.keys().copied().collect());
    assert_eq!(of("Complete"), of("Create"), "{spent:?}");
    assert!(of("AddBlock") <= of("Create") && of("AddBlock") + 1 >= of("Create"), "only the claim of the job is empty: {spent:?}");
    let data: Vec<&str> = renamed.values().copied().filter(|path| path.ends_with(".parquet")).collect();
    assert!(data.len() as u64 >= EPOCHS, "{data:?}");

    // Nobody looks for a file before it is made, and a data file is nothing but made.
    let mut made = BTreeSet::new();
    for Asked { what, source, target } in &asked {
        match what.as_str() {
            "rename" => _ = made.insert(target.as_str()),
            "getfileinfo" | "open" => assert!(made.contains(source.as_str()) && !data.contains(&source.as_str()), "{what} {source}"),
            "create" | "delete" | "listStatus" => assert!(!data.contains(&source.as_str()), "{what} {source}"),
            other => panic!("nobody expects `{other}` of {source}"),
        }
    }
    // A start looks for checkpoints, and nothing is listed from the first data file on.
    let first = asked.iter().position(|asked| asked.source.contains(".parquet.")).unwrap();
    let (start, rest) = asked.split_at(first);
    assert!(start.iter().filter(|asked| asked.what == "listStatus").count() <= 4, "{start:?}");
    assert!(rest.iter().all(|asked| asked.what != "listStatus"), "a listing on the hot path");
    // An epoch reads the manifest list of the snapshot before, which another writer might have made: two calls.
    assert!(of("GetFileInfo") <= EPOCHS + 5 && of("GetBlockLocations") <= EPOCHS + 5, "{spent:?}");
    let uri = format!("sqlite:{}", folder.path("catalog.db").display());
    holds_exactly(&Table::of_sql("shop.orders", "lake", &uri, "hdfs://ns1/warehouse").on_hdfs(&hdfs), &sent).await;
}
