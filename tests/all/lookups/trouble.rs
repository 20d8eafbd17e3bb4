//! What goes wrong with a server: it is told in one message, in bounded time.

use crate::lake::Lake;
use crate::lookups::{command, connection, lookup, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;
const JOIN: &str = "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id";

#[tokio::test]
async fn what_lies_under_a_key_and_is_no_value_is_told_with_the_key() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["HSET", &format!("{prefix}1"), "v", "1"]);
    command(&mut keys, &["SET", &format!("{prefix}2"), "many"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = |command: &str| format!("{}, 'command' = '{command}', 'key.prefix' = '{prefix}'", options(&redis));
    for (kind, key, wanted) in [
        ("get", "1", format!("key '{prefix}1' does not hold a string")),
        ("get", "2", format!("key '{prefix}2', column 'v': 'many' is no Int32")),
        ("hmget", "2", format!("key '{prefix}2' does not hold a hash")),
    ] {
        lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v INT) WITH ({})", with(kind))).await;
        let told = lake.batches(&lookup("n, d.v", &format!("(1, 0), (2, {key})"), JOIN)).await.unwrap_err();
        assert!(told.contains("Table 'lake.d.d'") && told.contains(&wanted), "{told}");
        lake.run("DROP TEMPORARY TABLE d").await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_asked_again_and_then_given_up() {
    let servers = Servers::own();
    let redis = servers.redis();
    command(&mut connection(&redis), &["SET", "1", "one"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'get', 'timeout' = '2 s', 'lookup.max-retries' = '1'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v STRING) WITH ({with})")).await;
    let query = lookup("n, d.v", "(1, 1)", JOIN);
    assert_eq!(lake.ask(&query).await, "1,one");
    servers.pause("redis");
    let told = lake.batches(&query).await.unwrap_err();
    assert!(told.contains("a lookup of 1 keys failed, 2 tries in all") && told.contains("timed out"), "{told}");
    servers.resume("redis");
    servers.kill("redis");
    let told = lake.batches(&query).await.unwrap_err();
    assert!(told.contains(&format!("Redis at 127.0.0.1:{}", redis.port)) && told.contains("refused"), "{told}");
    servers.start("redis");
    assert_eq!(lake.ask(&lookup("n, d.v", "(1, 1)", &JOIN.replace("JOIN", "LEFT JOIN"))).await, "1,NULL", "it is back, and has lost everything");
}

#[tokio::test]
async fn a_server_without_memory_goes_on_answering() {
    let servers = Servers::own();
    let redis = servers.redis();
    let mut keys = connection(&redis);
    command(&mut keys, &["SET", "1", "one"]);
    command(&mut keys, &["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(redis::cmd("SET").arg("2").arg("x").exec(&mut keys).unwrap_err().code(), Some("OOM"));
    let mut lake = Lake::new(MEMORY).await;
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v STRING) WITH ({}, 'command' = 'get')", options(&redis))).await;
    assert_eq!(lake.ask(&lookup("n, d.v", "(1, 1)", JOIN)).await, "1,one");
}

#[tokio::test]
async fn tables_that_cannot_be_are_refused_when_they_are_declared() {
    let mut lake = Lake::new(MEMORY).await;
    for (columns, with, wanted) in [
        ("id BIGINT, v STRING", "'command' = 'get'", "'host' is required with 'redis-mode'='single' but missing"),
        ("id BIGINT, v STRING", "'host' = 'h'", "One or more required options are missing: 'command'"),
        ("id BIGINT, v STRING", "'host' = 'h', 'command' = 'gett'", "Did you mean 'get', 'set' or 'hget'?"),
        ("id BIGINT, a STRING, b STRING", "'host' = 'h', 'command' = 'get'", "needs two columns, the key and its value; the table has 3"),
        ("id DOUBLE, v STRING", "'host' = 'h', 'command' = 'get'", "column 'id' of type DOUBLE cannot be a key"),
        (
            "id BIGINT, v ARRAY<INT>",
            "'host' = 'h', 'command' = 'get'",
            "column 'v' of type ARRAY<INT> needs a format; choose one with 'value.format'",
        ),
        ("id BIGINT, v ARRAY<INT>", "'host' = 'h', 'command' = 'hmget'", "needs a format; only strings and fields have one"),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'hmget', 'format' = 'json'", "'format' does not go with 'command' = 'hmget'"),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'get', 'format' = 'jso'", "Did you mean 'json'?"),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'get', 'format' = 'ogg-json'", "is a log of changes, and what lies under a key is a row"),
        (
            "id BIGINT, v INT",
            "'host' = 'h', 'command' = 'get', 'value.format' = 'json', 'json.fail-on-missing-field' = 'true'",
            "Did you mean 'value.json.fail",
        ),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'incrby'", "'command' = 'incrby' is not supported: an epoch that is written again"),
        (
            "id BIGINT, v INT",
            "'host' = 'h', 'command' = 'get', 'ttl' = '5', 'ttl.on.time' = '10:15'",
            "'ttl' and 'ttl.on.time' shouldn't be set together",
        ),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'get', 'ttl.on.time' = 'noon'", "Expected a time of the day"),
        ("id BIGINT, v INT", "'host' = 'h', 'command' = 'get', 'ttl.key.not.absent' = 'true'", "'ttl' or 'ttl.on.time' is required"),
        ("id BIGINT, v STRING, m STRING", "'host' = 'h', 'command' = 'zadd'", "column 'v' of type STRING cannot be a score"),
        ("id BIGINT, v STRING, PRIMARY KEY (v) NOT ENFORCED", "'host' = 'h', 'command' = 'get'", "the primary key must be (id)"),
        ("id BIGINT, v STRING", "'host' = 'h', 'command' = 'get', 'lookup.cash' = 'FULL'", "Did you mean 'lookup.cache'?"),
    ] {
        let told = lake.refused(&format!("CREATE TEMPORARY TABLE d ({columns}) WITH ('connector' = 'redis', {with})")).await;
        assert!(told.contains(wanted), "{told}");
    }
    lake.run("CREATE TEMPORARY TABLE d (id BIGINT, v STRING) WITH ('connector' = 'redis', 'host' = 'h', 'command' = 'get')").await;
    lake.run("CREATE TEMPORARY TABLE s (id BIGINT, v STRING) WITH ('connector' = 'redis', 'host' = 'h', 'command' = 'sadd')").await;
    let told = lake.refused("SELECT * FROM s").await;
    assert!(told.contains("'command' = 'sadd' only writes"), "{told}");
    let told = lake.refused("CREATE TABLE t (id BIGINT, v STRING); INSERT INTO t SELECT * FROM d").await;
    for part in ["can only be used as a sink or a lookup table", "JOIN … FOR SYSTEM_TIME AS OF t.proctime"] {
        assert!(told.contains(part), "{told}");
    }
}
