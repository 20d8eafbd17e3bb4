//! Redis as a sink: upserts, deletes, lives of keys, and what a job does that is killed or whose server goes away.

use std::collections::BTreeMap;

use redis::ConnectionLike;

use crate::lake::Lake;
use crate::lookups::{command, connection, options, prefix};
use crate::orders::{LIMIT, OrdersJob, run, send};
use crate::support::{Servers, Topic, Workdir, until};

const MEMORY: u64 = 200 << 20;

fn get(keys: &mut impl ConnectionLike, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(keys).unwrap()
}

#[tokio::test]
async fn rows_are_put_and_those_that_are_gone_are_removed() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["SET", &format!("{prefix}3"), "old"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = |command: &str| format!("{}, 'command' = '{command}', 'key.prefix' = '{prefix}'", options(&redis));
    lake.run(&format!(
        "CREATE TEMPORARY TABLE d (id BIGINT, v STRING, kind STRING METADATA FROM 'row-kind', PRIMARY KEY (id) NOT ENFORCED) WITH ({}, 'ttl' = '1000');
         INSERT INTO d VALUES (1, 'a', '+I'), (2, 'b', '+I'), (1, 'c', '+U'), (3, 'x', '-D'), (4, CAST(NULL AS STRING), '+I')",
        with("set")
    ))
    .await;
    let values: Vec<_> = (1..5).map(|key| get(&mut keys, &format!("{prefix}{key}"))).collect();
    assert_eq!(values, [Some("c".to_owned()), Some("b".to_owned()), None, None]);
    let life: i64 = redis::cmd("TTL").arg(format!("{prefix}1")).query(&mut keys).unwrap();
    assert!((1..=1_000).contains(&life), "{life}");
    lake.run(&format!(
        "CREATE TEMPORARY TABLE people (id STRING, name STRING, age INT) WITH ({}, 'sink.rate-limit.rows' = '10000', 'sink.buffer-flush.max-rows' = '1');
         INSERT INTO people VALUES ('x', 'Ann', 30), ('y', 'Bob', NULL)",
        with("hset").replace("'hset'", "'hmset'")
    ))
    .await;
    let query = "SELECT k, name, age FROM (VALUES ('x'), ('y')) AS v (k) JOIN people FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = people.id ORDER BY k";
    assert_eq!(lake.ask(query).await, "x,Ann,30\ny,Bob,NULL");
    let told = lake.refused("INSERT INTO d SELECT CAST(k AS BIGINT), 'v', 'what' FROM (VALUES (1)) AS v (k)").await;
    assert!(told.contains("'what' is no kind of row"), "{told}");
}

#[tokio::test]
async fn members_of_sets_are_written_and_lives_are_kept() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    let mut lake = Lake::new(MEMORY).await;
    let with = |more: &str| format!("{}, 'key.prefix' = '{prefix}', {more}", options(&redis));
    lake.run(&format!(
        "CREATE TEMPORARY TABLE tags (id STRING, tag STRING, kind STRING METADATA FROM 'row-kind', PRIMARY KEY (id, tag) NOT ENFORCED) WITH ({});
         CREATE TEMPORARY TABLE ranks (id STRING, points DOUBLE, who STRING, PRIMARY KEY (id, who) NOT ENFORCED) WITH ({});
         CREATE TEMPORARY TABLE old (id STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({});
         CREATE TEMPORARY TABLE kept (id STRING, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({});",
        with("'command' = 'sadd', 'ttl' = '1 h'"),
        with("'command' = 'zadd', 'ttl.on.time' = '03:00'"),
        with("'command' = 'del'"),
        with("'command' = 'set', 'ttl' = '1 h', 'ttl.key.not.absent' = 'true'"),
    ))
    .await;
    lake.run("INSERT INTO tags VALUES ('s', 'a', '+I'), ('s', 'b', '+I'), ('s', 'c', '+I')").await;
    lake.run("INSERT INTO tags VALUES ('s', 'a', '+I'), ('s', 'b', '-D')").await;
    lake.run("INSERT INTO ranks VALUES ('z', 1.5, 'Ann'), ('z', 1, 'Bob'), ('z', 0.5, 'Ann')").await;
    let (set, sorted) = (format!("{prefix}s"), format!("{prefix}z"));
    let mut members: Vec<String> = redis::cmd("SMEMBERS").arg(&set).query(&mut keys).unwrap();
    members.sort();
    assert_eq!(members, ["a", "c"]);
    let ranks: Vec<String> = redis::cmd("ZRANGE").arg(&sorted).arg(0).arg(-1).query(&mut keys).unwrap();
    assert_eq!(ranks, ["Ann", "Bob"]);
    let life = |keys: &mut redis::Connection, key: &str| redis::cmd("TTL").arg(format!("{prefix}{key}")).query::<i64>(keys).unwrap();
    assert!((1..=86_400).contains(&life(&mut keys, "z")) && (1..=3_600).contains(&life(&mut keys, "s")));
    command(&mut keys, &["SET", &format!("{prefix}k"), "old", "EX", "100000"]);
    lake.run("INSERT INTO kept VALUES ('k', 'new'), ('fresh', 'x'); INSERT INTO old VALUES ('s')").await;
    assert_eq!(get(&mut keys, &format!("{prefix}k")).as_deref(), Some("new"));
    assert!(life(&mut keys, "k") > 3_600 && (1..=3_600).contains(&life(&mut keys, "fresh")));
    assert_eq!(life(&mut keys, "s"), -2, "it is gone");
}

/// What a key has: a string, or the fields of a hash, and whether it will expire soon, later or never.
fn state(keys: &mut redis::Connection, key: &str) -> (Option<String>, BTreeMap<String, String>, i64) {
    let kind: String = redis::cmd("TYPE").arg(key).query(keys).unwrap();
    let text = if kind == "string" { get(keys, key) } else { None };
    let fields = if kind == "hash" { redis::cmd("HGETALL").arg(key).query(keys).unwrap() } else { BTreeMap::new() };
    let life: i64 = redis::cmd("TTL").arg(key).query(keys).unwrap();
    (text, fields, if life > 0 { life / 5_000 } else { life })
}

#[tokio::test]
async fn changes_of_a_key_in_one_epoch_do_what_they_do_one_after_the_other() {
    let redis = Servers::shared().redis();
    let mut keys = connection(&redis);
    let mut lake = Lake::new(MEMORY).await;
    let steps = ["'a', '+I'", "'b', '+I'", "'c', '-D'", "CAST(NULL AS STRING), '+I'"];
    let sequences: Vec<[&str; 3]> =
        (0..64).map(|number| [0, 1, 2].map(|step| steps[number >> (2 * step) & 3])).flat_map(|sequence| [sequence; 2]).collect();
    let is_there = |key: usize| key.is_multiple_of(2);
    for (command_name, field, more) in [
        ("set", "", ""),
        ("set", "", ", 'set.if.absent' = 'true'"),
        ("set", "", ", 'set.if.absent' = 'true', 'ttl' = '1 h'"),
        ("set", "", ", 'ttl' = '1 h', 'ttl.key.not.absent' = 'true'"),
        ("hset", "'f', ", ", 'set.if.absent' = 'true'"),
        ("hset", "'f', ", ", 'ttl' = '1 h', 'ttl.key.not.absent' = 'true'"),
        ("hmset", "", ""),
    ] {
        let row = |key: usize, step: &str| format!("({key}, {field}{step})");
        let of_step = |step: usize| sequences.iter().enumerate().map(|(key, steps)| row(key, steps[step])).collect::<Vec<_>>().join(", ");
        let together = (0..3).map(of_step).collect::<Vec<_>>().join(", ");
        let apart: Vec<String> = (0..3).map(of_step).collect();
        let mut states = Vec::new();
        for inserts in [vec![together], apart] {
            let prefix = prefix();
            for key in (0..sequences.len()).filter(|key| is_there(*key)) {
                let key = format!("{prefix}{key}");
                let there: &[&str] = if command_name == "set" { &["SET", &key, "old"] } else { &["HSET", &key, "f", "old", "v", "old", "w", "old"] };
                command(&mut keys, there);
                // In the middle of what counts as one life: a busy machine takes its time.
                command(&mut keys, &["EXPIRE", &key, "102500"]);
            }
            let (columns, key) = if field.is_empty() { ("id BIGINT, v STRING", "id") } else { ("id BIGINT, f STRING, v STRING", "id, f") };
            lake.run(&format!(
                "CREATE TEMPORARY TABLE d ({columns}, kind STRING METADATA FROM 'row-kind', PRIMARY KEY ({key}) NOT ENFORCED)
                 WITH ({}, 'command' = '{command_name}', 'key.prefix' = '{prefix}'{more})",
                options(&redis)
            ))
            .await;
            for rows in inserts {
                lake.run(&format!("INSERT INTO d VALUES {rows}")).await;
            }
            lake.run("DROP TEMPORARY TABLE d").await;
            states.push((0..sequences.len()).map(|key| state(&mut keys, &format!("{prefix}{key}"))).collect::<Vec<_>>());
        }
        for (key, steps) in sequences.iter().enumerate() {
            assert_eq!(states[0][key], states[1][key], "{command_name}{more}: {steps:?}, there before: {}", is_there(key));
        }
    }
}

#[tokio::test]
async fn a_job_that_is_killed_and_whose_server_goes_away_or_has_no_memory_leaves_the_last_order_of_each_user() {
    let servers = Servers::own();
    let redis = servers.redis();
    let (brokers, folder) = (Servers::shared().kafka(), Workdir::new());
    let topic = Topic::create(&brokers, "users", 1, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.bounded = false;
    job.settings = format!(
        "SET 'execution.checkpointing.interval' = '200 ms';
CREATE TABLE latest (user_id BIGINT, id BIGINT, PRIMARY KEY (user_id) NOT ENFORCED) WITH ({}, 'command' = 'set', 'timeout' = '2 s');",
        options(&redis)
    );
    job.inserts = "INSERT INTO latest SELECT user_id, id FROM orders;".to_owned();
    let job = job.write(&folder);
    let mut sent = 0;
    for place in ["checkpoint-before-put", "checkpoint-after-put"] {
        let mut running = Some(folder.weir(run(&job)).env("WEIR_FAIL", &format!("{place}@2=kill")).start());
        until(&format!("{place} is reached"), LIMIT, async || {
            send(&topic, 1, sent..sent + 30).await;
            sent += 30;
            running.as_mut().unwrap().has_ended().then_some(())
        })
        .await;
        running.take().unwrap().wait(LIMIT).await.killed();
    }
    let mut running = folder.weir(run(&job)).start();
    let address = running.address(LIMIT).await;
    let mut keys = connection(&redis);
    let mut restarts = 0;
    for no_memory in [false, true] {
        if no_memory {
            command(&mut keys, &["CONFIG", "SET", "maxmemory", "1"]);
        } else {
            servers.pause("redis");
        }
        send(&topic, 1, sent..sent + 300).await;
        sent += 300;
        until("the job waits to begin again", LIMIT, async || {
            let now = running.status(&address).await?["restarts"].as_u64()?;
            (now > restarts).then(|| restarts = now)
        })
        .await;
        if no_memory {
            running.logged("OOM", LIMIT).await;
            command(&mut keys, &["CONFIG", "SET", "maxmemory", "0"]);
        } else {
            servers.resume("redis");
        }
        until("the last order of each user is there", LIMIT, async || {
            let is_last = |user: u64| get(&mut keys, &user.to_string()) == Some(((sent - 1 - user) / 97 * 97 + user).to_string());
            (0..97_u64).all(is_last).then_some(())
        })
        .await;
    }
    running.terminate();
    running.wait(LIMIT).await.succeeded();
}
