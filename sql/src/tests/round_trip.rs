//! SHOW CREATE gives a statement that makes the same object again.

use super::golden::shown;
use super::session;
use crate::parse::Script;
use crate::session::{Mode, Session};

async fn run(session: &mut Session, sql: &str) -> String {
    let script = Script::parse(sql).unwrap_or_else(|problems| panic!("{problems}\n{sql}"));
    let outcome = session.run(&script, Mode::Run).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    shown(&outcome)
}

#[tokio::test]
async fn a_table_is_the_same_after_show_create_drop_and_create() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE `my table` (
           id BIGINT NOT NULL COMMENT 'it''s the key', `select` ROW<a INT NOT NULL, `b c` ARRAY<MAP<STRING, DECIMAL(10,2)>>>, t TIMESTAMP_LTZ(3),
           u CHAR(3), v VARCHAR, w MULTISET<INT>, x TIME, y BINARY(4), z INTERVAL DAY TO SECOND,
           p INT METADATA FROM 'partition' VIRTUAL, `timestamp` TIMESTAMP_LTZ(3) METADATA,
           n AS id + CAST(p AS BIGINT) COMMENT 'a sum', WATERMARK FOR t AS t - INTERVAL '5' SECOND, PRIMARY KEY (id) NOT ENFORCED
         ) COMMENT 'all of it' PARTITIONED BY (u) WITH ('connector' = 'kafka', 'topic' = 'a;b', 'properties.bootstrap.servers' = 'x:1', 'format' = 'json')",
    )
    .await;
    let first = run(&mut session, "SHOW CREATE TABLE `my table`").await;
    let described = run(&mut session, "DESCRIBE `my table`").await;
    run(&mut session, "DROP TABLE `my table`").await;
    run(&mut session, &first).await;
    assert_eq!(run(&mut session, "SHOW CREATE TABLE `my table`").await, first);
    assert_eq!(run(&mut session, "DESC `my table`").await, described);
}

#[tokio::test]
async fn an_iceberg_table_is_the_same_after_show_create_drop_and_create() {
    let mut session = session();
    run(&mut session, "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory'); CREATE DATABASE lake.shop;").await;
    run(
        &mut session,
        "CREATE TABLE lake.shop.orders (
           id BIGINT, ts TIMESTAMP(6), event_type STRING, props ROW<ip STRING, tags ARRAY<STRING>, m MAP<STRING, INT>>, PRIMARY KEY (id) NOT ENFORCED
         ) PARTITIONED BY (event_type, days(ts), bucket(16, id), truncate(event_type, 8)) WITH ('distribution-mode' = 'hash')",
    )
    .await;
    let first = run(&mut session, "SHOW CREATE TABLE lake.shop.orders").await;
    assert!(first.contains("PARTITIONED BY (event_type, days(ts), bucket(16, id), truncate(8, event_type))"), "{first}");
    assert!(first.contains("'write.distribution-mode' = 'hash'"), "{first}");
    run(&mut session, "DROP TABLE lake.shop.orders").await;
    run(&mut session, &first).await;
    assert_eq!(run(&mut session, "SHOW CREATE TABLE lake.shop.orders").await, first);
}

#[tokio::test]
async fn a_view_and_a_catalog_can_be_made_again_and_secrets_stay_masked() {
    let mut session = session();
    run(&mut session, "CREATE VIEW v (a, b) COMMENT 'two' AS SELECT 1, 'x'").await;
    let view = run(&mut session, "SHOW CREATE VIEW v").await;
    run(&mut session, "DROP VIEW v").await;
    run(&mut session, &view).await;
    assert_eq!(run(&mut session, "SHOW CREATE VIEW v").await, view);
    run(&mut session, "CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 's3.secret-access-key' = 'hunter2')").await;
    let catalog = run(&mut session, "SHOW CREATE CATALOG c").await + &run(&mut session, "DESCRIBE CATALOG c").await;
    assert!(catalog.contains("'s3.secret-access-key' = '******'") && !catalog.contains("hunter2"), "{catalog}");
}
