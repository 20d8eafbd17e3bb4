//! Whole jobs with a lookup: orders from Kafka, enriched from Redis, in an Iceberg table. Killed, or left by their store, they lose nothing.

use std::path::PathBuf;

use redis::ConnectionLike;

use crate::lookups::{command, connection, options, prefix};
use crate::orders::{LIMIT, OrdersJob, answer, committed, holds_exactly, run, send, table_on_disk, verified};
use crate::rewrites::asked;
use crate::support::{Redis, Servers, Topic, Workdir, until};

const PARTITIONS: u64 = 2;
/// What orders have for a user: the number modulo this.
const USERS: u64 = 97;

struct Enriched {
    folder: Workdir,
    topic: Topic,
    job: PathBuf,
    sent: Vec<(i32, i64)>,
}

impl Enriched {
    /// A job whose table of users has these options too.
    async fn new(redis: &Redis, prefix: &str, more: &str, hint: &str, bounded: bool) -> Self {
        let folder = Workdir::new();
        let brokers = Servers::shared().kafka();
        let topic = Topic::create(&brokers, "enriched", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
        job.bounded = bounded;
        job.settings = format!(
            "SET 'execution.checkpointing.interval' = '200 ms';
CREATE TABLE users (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({}, 'command' = 'get', 'key.prefix' = '{prefix}'{more});",
            options(redis)
        );
        // The category of an order is replaced by the name of its user.
        job.inserts = format!(
            "INSERT INTO lake.shop.orders SELECT {hint} o.id, o.user_id, o.item_id, u.name, o.event_type, o.amount, o.ts, o.props, o.p, o.o FROM orders AS o
             LEFT JOIN users FOR SYSTEM_TIME AS OF PROCTIME() AS u ON o.user_id = u.id AND COALESCE(u.name <> '', TRUE);"
        );
        let job = job.write(&folder);
        Self { folder, topic, job, sent: Vec::new() }
    }

    async fn send(&mut self, orders: u64) {
        let next = self.sent.len() as u64;
        self.sent.extend(send(&self.topic, PARTITIONS, next..next + orders).await);
    }

    /// Every order is there once, with the name of its user if the user has one.
    async fn judged(&self, names: impl Fn(u64) -> Option<String>) {
        holds_exactly(&table_on_disk(&self.folder), &self.sent).await;
        let told =
            answer(&self.folder, &self.job, "SELECT user_id, category, count(*) FROM lake.shop.orders GROUP BY user_id, category ORDER BY user_id")
                .await;
        let all = self.sent.len() as u64;
        let expected = (0..USERS.min(all)).map(|user| {
            let orders = (all - user).div_ceil(USERS);
            format!("{user},{},{orders}", names(user).unwrap_or_else(|| "NULL".to_owned()))
        });
        assert_eq!(told, expected.collect::<Vec<_>>().join("\n"));
        verified(&self.folder, &self.job).await;
    }
}

/// Users of even numbers have names.
fn name(user: u64) -> Option<String> {
    user.is_multiple_of(2).then(|| format!("user {user}"))
}

fn fill(keys: &mut impl ConnectionLike, prefix: &str) {
    for user in 0..USERS {
        if let Some(name) = name(user) {
            command(keys, &["SET", &format!("{prefix}{user}"), &name]);
        }
    }
}

#[tokio::test]
async fn a_bounded_job_joins_every_order_whatever_its_cache_order_and_distribution() {
    let redis = Servers::shared().redis();
    let prefix = prefix();
    fill(&mut connection(&redis), &prefix);
    let unordered = "/*+ LOOKUP('table' = 'u', 'output-mode' = 'allow_unordered', 'capacity' = '400') */";
    let hashed = "/*+ LOOKUP('table' = 'u', 'shuffle' = 'true') */";
    for (more, hint) in [
        (", 'lookup.async.batch.size' = '50'", ""),
        (", 'lookup.async.batch.size' = '200'", unordered),
        (", 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '30', 'lookup.async.batch.size' = '8'", hashed),
        (", 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '200 ms'", ""),
    ] {
        let mut enriched = Enriched::new(&redis, &prefix, more, hint, true).await;
        enriched.send(2_000).await;
        enriched.folder.weir(run(&enriched.job)).output(LIMIT).await.succeeded();
        enriched.judged(name).await;
    }
}

#[tokio::test]
async fn a_job_whose_store_goes_away_waits_for_it_and_loses_nothing() {
    let servers = Servers::own();
    let redis = servers.redis();
    fill(&mut connection(&redis), "");
    let more = ", 'lookup.async.batch.size' = '20', 'timeout' = '2 s', 'lookup.max-retries' = '1'";
    let mut enriched = Enriched::new(&redis, "", more, "", false).await;
    enriched.send(500).await;
    let mut running = enriched.folder.weir(run(&enriched.job)).start();
    let address = running.address(LIMIT).await;
    committed(&address, 500).await;
    servers.pause("redis");
    enriched.send(500).await;
    until("the job waits to begin again", LIMIT, async || {
        let status = running.status(&address).await?;
        (status["restarts"].as_u64()? > 0 && status["last_error"].as_str()?.contains("Table 'default_catalog.default_database.users'")).then_some(())
    })
    .await;
    servers.resume("redis");
    enriched.send(500).await;
    committed(&address, 1_500).await;
    let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    for metric in [
        "weir_runtime_lookup_keys_total",
        "weir_runtime_lookup_requests_total",
        "weir_runtime_lookup_retries_total",
        "weir_runtime_lookup_wait_seconds",
    ] {
        assert!(metrics.contains(metric), "{metric} is not in:\n{metrics}");
    }
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    enriched.judged(name).await;
}

/// `WEIR_TEST_KILLS` times (8 if unset).
#[tokio::test]
async fn a_job_with_a_lookup_that_is_killed_again_and_again_has_every_row_once() {
    let redis = Servers::shared().redis();
    let prefix = prefix();
    fill(&mut connection(&redis), &prefix);
    let more = ", 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '40', 'lookup.async.batch.size' = '10'";
    let mut enriched = Enriched::new(&redis, &prefix, more, "", false).await;
    for place in ["checkpoint-before-put", "checkpoint-after-put"].into_iter().cycle().take(usize::try_from(asked("WEIR_TEST_KILLS", 8)).unwrap()) {
        let mut running = Some(enriched.folder.weir(run(&enriched.job)).env("WEIR_FAIL", &format!("{place}@2=kill")).start());
        until(&format!("{place} is reached"), LIMIT, async || {
            enriched.send(40).await;
            running.as_mut().unwrap().has_ended().then_some(())
        })
        .await;
        running.take().unwrap().wait(LIMIT).await.killed();
    }
    let mut running = enriched.folder.weir(run(&enriched.job)).start();
    let address = running.address(LIMIT).await;
    until("everything is read", LIMIT, async || {
        let status = running.status(&address).await?;
        let sources = status["sources"].as_object()?;
        (!sources.is_empty() && sources.values().all(|source| source["lag"] == 0)).then_some(())
    })
    .await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    enriched.judged(name).await;
}
