//! Redis clusters and sentinels.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use futures::TryStreamExt;
use redis::cluster::ClusterClient;
use weir_base::{Classified as _, ErrorKind};
use weir_connectors::lookup::Charge;

use crate::lake::Lake;
use crate::lookups::{command, lookup, opened, prefix};
use crate::orders::LIMIT;
use crate::support::{RedisCluster, Servers, until};

const MEMORY: u64 = 200 << 20;
const KEYS: usize = 600;
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

fn keys(cluster: &RedisCluster, prefix: &str) {
    let nodes = cluster.nodes.split(',').map(|node| format!("redis://{node}"));
    let mut connection = ClusterClient::new(nodes).unwrap().get_connection().unwrap();
    for key in 0..KEYS {
        command(&mut connection, &["SET", &format!("{prefix}{key}"), &format!("v{key}")]);
        command(&mut connection, &["HSET", &format!("{prefix}h{key}"), "v", &format!("h{key}")]);
    }
}

async fn lake_on(cluster: &RedisCluster, prefix: &str) -> Lake {
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("'connector' = 'redis', 'redis-mode' = 'cluster', 'cluster-nodes' = '{}', 'lookup.async.batch.size' = '100'", cluster.nodes);
    lake.run(&format!("CREATE TEMPORARY TABLE d (id STRING, v STRING) WITH ({with}, 'command' = 'get', 'key.prefix' = '{prefix}')")).await;
    lake.run(&format!("CREATE TEMPORARY TABLE h (id STRING, v STRING) WITH ({with}, 'command' = 'hmget', 'key.prefix' = '{prefix}h')")).await;
    lake
}

/// All keys, and one that is not there.
fn query(table: &str) -> String {
    let values: Vec<String> = (0..=KEYS).map(|key| format!("({key}, '{key}')")).collect();
    lookup("n, d.v", &values.join(", "), &format!("LEFT JOIN {table} FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id"))
}

fn expected(letter: char) -> String {
    let found = (0..KEYS).map(|key| format!("{key},{letter}{key}"));
    found.chain([format!("{KEYS},NULL")]).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn keys_of_all_nodes_are_found_and_followed_when_their_slots_move() {
    let servers = Arc::new(Servers::own());
    let (cluster, prefix) = (servers.redis_cluster(), prefix());
    keys(&cluster, &prefix);
    let mut lake = lake_on(&cluster, &prefix).await;
    assert_eq!(lake.ask(&query("d")).await, expected('v'));
    assert_eq!(lake.ask(&query("h")).await, expected('h'));
    // A slot that holds a key moves while queries run, from node to node.
    let node = redis::Client::open(format!("redis://{}", cluster.nodes.split(',').next().unwrap())).unwrap();
    let slot: u64 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(format!("{prefix}7")).query(&mut node.get_connection().unwrap()).unwrap();
    let moving = std::thread::spawn({
        let servers = Arc::clone(&servers);
        move || (0..6).for_each(|round| drop(servers.admin("redis-cluster", &["move-slot", &slot.to_string(), NODES[round % NODES.len()]])))
    });
    until("the slot has moved", LIMIT, async || {
        assert_eq!(lake.ask(&query("d")).await, expected('v'));
        moving.is_finished().then_some(())
    })
    .await;
    moving.join().unwrap();
    assert_eq!(lake.ask(&query("d")).await, expected('v'));
}

#[tokio::test]
async fn a_wrong_type_in_a_cluster_is_told() {
    let (cluster, prefix) = (Servers::shared().redis_cluster(), prefix());
    keys(&cluster, &prefix);
    let mut lake = lake_on(&cluster, &prefix).await;
    let told = lake.batches(&lookup("n, d.v", "(1, 'h1')", "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id")).await.unwrap_err();
    assert!(told.contains(&format!("key '{prefix}h1' does not hold a string")), "{told}");
}

/// The answer to a command of one node.
fn at<T: redis::FromRedisValue>(address: &str, words: &[&str]) -> T {
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query(&mut client.get_connection().unwrap()).unwrap()
}

/// The nodes of a cluster, in the order of [`NODES`], and which of them has a key.
struct Nodes(Vec<String>);

impl Nodes {
    fn owner(&self, key: &str) -> usize {
        let keys = |address: &String| at::<Vec<String>>(address, &["CLUSTER", "GETKEYSINSLOT", &self.slot(key), "1000"]);
        self.0.iter().position(|address| keys(address).iter().any(|found| found == key)).unwrap()
    }

    fn slot(&self, key: &str) -> String {
        at::<u64>(&self.0[0], &["CLUSTER", "KEYSLOT", key]).to_string()
    }
}

#[tokio::test]
async fn a_whole_table_has_the_keys_of_slots_that_move_while_it_is_read() {
    let servers = Servers::own();
    let (cluster, prefix) = (servers.redis_cluster(), prefix());
    keys(&cluster, &prefix);
    let nodes = Nodes(cluster.nodes.split(',').map(str::to_owned).collect());
    let with = [("redis-mode", "cluster"), ("cluster-nodes", &*cluster.nodes), ("command", "get"), ("key.prefix", &prefix)];
    let lookup = opened(&with);
    let mut rows = lookup.load(1, None, Charge::free()).await.unwrap().rows().unwrap().rows;
    let mut found: BTreeSet<String> = names(&rows.try_next().await.unwrap().unwrap()).into_iter().collect();
    // The first node was read. The slot of a key that another one has moves there before that one is read.
    let reading = nodes.owner(&format!("{prefix}{}", found.first().unwrap()));
    let unread = (0..KEYS).map(|key| format!("{prefix}{key}")).find(|key| nodes.owner(key) != reading).unwrap();
    servers.admin("redis-cluster", &["move-slot", &nodes.slot(&unread), NODES[reading]]);
    while let Some(batch) = rows.try_next().await.unwrap() {
        let new = names(&batch);
        let before = found.len();
        found.extend(new.iter().cloned());
        assert_eq!(found.len(), before + new.len(), "no key is given twice");
    }
    assert_eq!(found, (0..KEYS).map(|key| key.to_string()).collect());

    // A slot in the middle of a move: one of its keys is at the node that it moves to, and the move goes on for ever.
    let from = nodes.owner(&unread);
    let (source, target) = (&nodes.0[from], &nodes.0[(from + 1) % nodes.0.len()]);
    let (slot, id) = (nodes.slot(&unread), |address: &str| at::<String>(address, &["CLUSTER", "MYID"]));
    at::<()>(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(source)]);
    at::<()>(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(target)]);
    at::<()>(source, &["MIGRATE", "127.0.0.1", target.rsplit_once(':').unwrap().1, &unread, "0", "5000"]);
    let mut lake = lake_on(&cluster, &prefix).await;
    assert_eq!(lake.ask("SELECT count(*), count(DISTINCT v) FROM d").await, format!("{KEYS},{KEYS}"));
    for cache in [
        "FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'",
        "PARTIAL', 'lookup.partial-cache.max-rows' = '5000', 'lookup.preload' = 'true'",
    ] {
        assert_eq!(lake.ask(&query(&format!("d /*+ OPTIONS('lookup.cache' = '{cache}) */"))).await, expected('v'));
    }
}

fn put(cluster: &RedisCluster, prefix: &str, keys: usize) {
    let mut connection = ClusterClient::new(cluster.nodes.split(',').map(|node| format!("redis://{node}"))).unwrap().get_connection().unwrap();
    let mut pipeline = redis::cluster::cluster_pipe();
    for key in 0..keys {
        pipeline.cmd("SET").arg(format!("{prefix}{key}")).arg(key).ignore();
    }
    pipeline.exec(&mut connection).unwrap();
}

#[tokio::test]
async fn a_whole_table_is_read_from_as_many_nodes_at_a_time_as_it_has_readers() {
    const MANY: usize = 30_000;
    let (cluster, prefix) = (Servers::shared().redis_cluster(), prefix());
    put(&cluster, &prefix, MANY);
    let nodes = Nodes(cluster.nodes.split(',').map(str::to_owned).collect());
    let lookup = opened(&[("redis-mode", "cluster"), ("cluster-nodes", &*cluster.nodes), ("command", "get"), ("key.prefix", &prefix)]);
    for readers in [1, 3] {
        let mut rows = lookup.load(readers, None, Charge::free()).await.unwrap().rows().unwrap().rows;
        let (mut found, mut read) = (BTreeSet::new(), Vec::new());
        while let Some(batch) = rows.try_next().await.unwrap() {
            let names = names(&batch);
            read.push(nodes.owner(&format!("{prefix}{}", names[0])));
            found.extend(names);
        }
        assert_eq!(found.len(), MANY);
        let turns = read.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(if readers == 1 { turns == 2 } else { turns > 2 }, "{readers}: {read:?}");
    }
}

/// The names of a batch's keys.
fn names(batch: &RecordBatch) -> Vec<String> {
    batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

/// A node is killed while it is scanned, and started again with the keys that it has kept, or not before nobody waits for it any more.
#[tokio::test]
async fn a_node_that_is_killed_while_it_is_scanned_is_waited_for_and_named_if_it_stays_away() {
    const MANY: usize = 9_000;
    let servers = Arc::new(Servers::own());
    let (cluster, prefix) = (servers.redis_cluster(), prefix());
    put(&cluster, &prefix, MANY);
    let nodes = Nodes(cluster.nodes.split(',').map(str::to_owned).collect());
    nodes.0.iter().for_each(|node| at::<()>(node, &["SAVE"]));
    let with = [("redis-mode", "cluster"), ("cluster-nodes", &*cluster.nodes), ("command", "get"), ("key.prefix", &prefix), ("timeout", "60 s")];
    let lookup = opened(&with);
    let mut rows = lookup.load(1, None, Charge::free()).await.unwrap().rows().unwrap().rows;
    let mut found = names(&rows.try_next().await.unwrap().unwrap());
    let scanned = nodes.owner(&format!("{prefix}{}", found[0]));
    servers.kill(&format!("redis-cluster.{}", NODES[scanned]));
    let starting = std::thread::spawn({
        let servers = Arc::clone(&servers);
        move || servers.start("redis-cluster")
    });
    while let Some(batch) = rows.try_next().await.unwrap() {
        found.extend(names(&batch));
    }
    starting.join().unwrap();
    assert_eq!(found.len(), MANY, "no key is given twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), (0..MANY).map(|key| key.to_string()).collect());

    let mut rows = lookup.load(1, None, Charge::free()).await.unwrap().rows().unwrap().rows;
    let first = names(&rows.try_next().await.unwrap().unwrap()).remove(0);
    let scanned = nodes.owner(&format!("{prefix}{first}"));
    servers.kill(&format!("redis-cluster.{}", NODES[scanned]));
    let told = rows.try_for_each(|_batch| std::future::ready(Ok(()))).await.unwrap_err();
    assert!(told.to_string().contains(&format!("Table 'c.d.t': its keys at the node {} cannot be read", nodes.0[scanned])), "{told}");
    assert_eq!(told.kind(), ErrorKind::Transient);
    let told = lookup.load(1, None, Charge::free()).await.err().unwrap().to_string();
    assert!(told.contains("Table 'c.d.t'"), "{told}");
    let mut lake = Lake::new(MEMORY).await;
    lake.run(&format!(
        "CREATE TEMPORARY TABLE d (id STRING, v STRING) WITH ('connector' = 'redis', 'redis-mode' = 'cluster', 'cluster-nodes' = '{}',
         'command' = 'get', 'key.prefix' = '{prefix}')",
        cluster.nodes
    ))
    .await;
    let told = lake.batches("SELECT count(*) FROM d").await.unwrap_err();
    assert!(told.contains(&format!("the node {}, which has slot ", nodes.0[scanned])), "{told}");
}

#[tokio::test]
async fn a_sentinel_tells_where_the_master_is() {
    let sentinel = Servers::shared().redis_sentinel();
    let prefix = prefix();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", sentinel.port)).unwrap();
    command(&mut client.get_connection().unwrap(), &["SET", &format!("{prefix}1"), "one"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = |master: &str| {
        format!(
            "'connector' = 'redis', 'redis-mode' = 'sentinel', 'master.name' = '{master}', 'sentinels.info' = '{}', 'command' = 'get',
             'key.prefix' = '{prefix}', 'lookup.max-retries' = '0'",
            sentinel.sentinels
        )
    };
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v STRING) WITH ({})", with(&sentinel.master))).await;
    lake.run(&format!("CREATE TEMPORARY TABLE other (id BIGINT, v STRING) WITH ({})", with("nobody"))).await;
    let join = |table: &str| lookup("n, d.v", "(1, 1)", &format!("JOIN {table} FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id"));
    assert_eq!(lake.ask(&join("d")).await, "1,one");
    let told = lake.batches(&join("other")).await.unwrap_err();
    assert!(told.contains("Redis at nobody of") && told.contains("Master"), "{told}");
}
