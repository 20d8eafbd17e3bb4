//! Whole tables of Redis, whose server is started again while they are read, and the memory that this takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use futures::TryStreamExt;
use weir_base::memory::{MemoryBudget, Use};
use weir_connectors::lookup::{Charge, Keys, Lookup};

use crate::lookups::{connection, opened, prefix};
use crate::orders::LIMIT;
use crate::support::{Redis, Servers, until};

const KEYS: usize = 5_000;

fn table(redis: &Redis, prefix: &str) -> Arc<dyn Lookup> {
    let port = redis.port.to_string();
    opened(&[("host", "127.0.0.1"), ("port", &port), ("password", &redis.password), ("command", "get"), ("key.prefix", prefix), ("timeout", "60 s")])
}

fn put(redis: &Redis, prefix: &str) {
    let mut pipeline = redis::pipe();
    for key in 0..KEYS {
        pipeline.cmd("SET").arg(format!("{prefix}{key}")).arg(key).ignore();
    }
    pipeline.exec(&mut connection(redis)).unwrap();
}

fn names(batch: &RecordBatch) -> impl Iterator<Item = String> {
    batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned)
}

#[tokio::test]
async fn a_server_that_is_started_again_while_it_is_read_is_read_from_the_beginning() {
    let servers = Servers::own();
    let (redis, prefix) = (servers.redis(), prefix());
    put(&redis, &prefix);
    let table = table(&redis, &prefix);
    let mut rows = table.load(1, None, Charge::free()).await.unwrap().rows().unwrap().rows;
    let mut found: BTreeSet<String> = names(&rows.try_next().await.unwrap().unwrap()).collect();
    servers.kill("redis");
    servers.start("redis");
    put(&redis, &prefix);
    // A lookup connects again.
    let one: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let keys = Keys { columns: vec![0], values: vec![one] };
    until("the table is asked again", LIMIT, async || table.get(&keys).await.ok()).await;
    while let Some(batch) = rows.try_next().await.unwrap() {
        let before = found.len();
        found.extend(names(&batch));
        assert_eq!(found.len(), before + batch.num_rows(), "no key is given twice");
    }
    assert_eq!(found, (0..KEYS).map(|key| key.to_string()).collect());
}

#[tokio::test]
async fn the_keys_that_a_load_has_seen_are_charged_and_more_than_there_is_room_for_ends_it() {
    let redis = Servers::shared().redis();
    let prefix = prefix();
    put(&redis, &prefix);
    let table = table(&redis, &prefix);
    let budget = MemoryBudget::new(1 << 20);
    let charge = |budget: &MemoryBudget| {
        let mut held = budget.reservation(Use::Lookups);
        Charge::new(move |bytes| held.try_grow(bytes))
    };
    let rows = table.load(1, None, charge(&budget)).await.unwrap().rows().unwrap().rows;
    let read: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), KEYS);
    let least = (KEYS * (prefix.len() + size_of::<Vec<u8>>())) as u64;
    assert!(budget.peak() > least && budget.used() == 0, "{}", budget.peak());
    let small = MemoryBudget::new(100_000);
    let rows = table.load(1, None, charge(&small)).await.unwrap().rows().unwrap().rows;
    let told = rows.try_collect::<Vec<RecordBatch>>().await.unwrap_err().to_string();
    assert!(told.contains("Table 'c.d.t': the memory budget has no room for the keys that were read, "), "{told}");
    assert!(small.peak() <= 100_000);
}
