//! The jobs of the book's page about lookup joins, as they stand there.

use std::path::PathBuf;

use crate::lookups::{command, connection, prefix};
use crate::orders::{LIMIT, answer, run};
use crate::support::{Row, Servers, Topic, Workdir};

/// A folder with job `number` of the page, which reads `messages` to their end and has its places in the folder.
async fn job(number: usize, messages: &[&str], replace: &[(&str, String)]) -> (Workdir, PathBuf) {
    let (folder, brokers) = (Workdir::new(), Servers::shared().kafka());
    let topic = Topic::create(&brokers, "orders", 1, &[]).await;
    topic.produce(messages.iter().map(|message| Row::new(0, *message))).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/lookups.md")).unwrap();
    let mut jobs = page.split("```sql\n").skip(1).map(|text| text.split_once("```").unwrap().0).filter(|text| text.starts_with("SET"));
    let mut job = jobs.nth(number).unwrap().to_owned();
    let root = folder.path("page.sql").parent().unwrap().display().to_string();
    let places = [
        ("'topic' = 'orders'", format!("'topic' = '{}'", topic.name())),
        ("broker:9092", brokers),
        ("file:///data/", format!("file://{root}/")),
        ("sqlite:/data/", format!("sqlite:{root}/")),
        ("'scan.startup.mode'", "'scan.bounded.mode' = 'latest-offset', 'scan.startup.mode'".to_owned()),
    ];
    for (from, to) in places.iter().chain(replace) {
        assert!(job.contains(from), "'{from}' is not in the page");
        job = job.replace(from, to);
    }
    let file = folder.write("page.sql", &job);
    (folder, file)
}

const ORDERS: &str = "SELECT * FROM lake.shop.orders ORDER BY id";

#[tokio::test]
async fn the_job_with_a_store_runs() {
    let (redis, prefix) = (Servers::shared().redis(), prefix());
    command(&mut connection(&redis), &["HSET", &format!("{prefix}7"), "name", "ann", "country", "de"]);
    let host = format!("'host' = '127.0.0.1', 'port' = '{}', 'password' = '{}'", redis.port, redis.password);
    let messages = [r#"{"id":1,"user_id":7,"amount":12.5}"#, r#"{"id":2,"user_id":8,"amount":1}"#];
    let (folder, file) = job(0, &messages, &[("'host' = 'redis'", host), ("'key.prefix' = 'user:'", format!("'key.prefix' = '{prefix}'"))]).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, ORDERS).await, "1,12.50,ann,de\n2,1.00,NULL,NULL");
}

#[tokio::test]
async fn the_job_with_dictionaries_runs() {
    let messages = [r#"{"id":1,"user_id":7,"currency":"EUR"}"#, r#"{"id":2,"user_id":8,"currency":"SEK"}"#];
    let (folder, file) = job(1, &messages, &[]).await;
    for (day, rate) in [("2026-01-30", "1.1"), ("2026-01-31", "1.2")] {
        std::fs::create_dir_all(folder.path(&format!("rates/dt={day}"))).unwrap();
        folder.write(&format!("rates/dt={day}/rates.csv"), &format!("EUR,{rate}\n"));
    }
    let insert = "CREATE DATABASE lake.shop; CREATE TABLE lake.shop.users (id BIGINT, name STRING); INSERT INTO lake.shop.users VALUES (7, 'ann')";
    folder.weir(["sql", "--init", file.to_str().unwrap(), "-e", insert]).output(LIMIT).await.succeeded();
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &file, ORDERS).await, "1,ann,1.2000,2026-01-31\n2,NULL,NULL,NULL");
}
