//! Redis clusters and sentinels.

use std::sync::Arc;

use redis::cluster::ClusterClient;

use crate::lake::Lake;
use crate::lookups::{command, lookup, prefix};
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
async fn a_wrong_type_in_a_cluster_is_told_and_a_whole_table_is_refused() {
    let (cluster, prefix) = (Servers::shared().redis_cluster(), prefix());
    keys(&cluster, &prefix);
    let mut lake = lake_on(&cluster, &prefix).await;
    let told = lake.batches(&lookup("n, d.v", "(1, 'h1')", "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id")).await.unwrap_err();
    assert!(told.contains(&format!("key '{prefix}h1' does not hold a string")), "{told}");
    let full = "'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'";
    let told = lake.batches(&query(&format!("d /*+ OPTIONS({full}) */"))).await.unwrap_err();
    assert!(told.contains("needs a table that can be read as a whole"), "{told}");
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
