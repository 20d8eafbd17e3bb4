//! Values in a format: written, looked up and read as a whole.

use crate::lake::Lake;
use crate::lookups::{command, connection, lookup, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;
const JOIN: &str = "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id";

fn text(keys: &mut redis::Connection, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(keys).unwrap()
}

#[tokio::test]
async fn rows_are_values_in_a_format_and_are_found_by_lookups_and_scans() {
    let redis = Servers::shared().redis();
    let mut keys = connection(&redis);
    let mut lake = Lake::new(MEMORY).await;
    let columns = "id BIGINT, name STRING, sizes ARRAY<INT>, last ROW<price DECIMAL(10, 2), sold_on DATE>";
    let source = prefix();
    for (key, value) in
        [("1", r#"{"name":"Ann","sizes":[7,8],"last":{"price":1.5,"sold_on":"2026-01-31"}}"#), ("2", "{}"), ("3", r#"{"name":"gone"}"#)]
    {
        command(&mut keys, &["SET", &format!("{source}{key}"), value]);
    }
    let with = format!("{}, 'command' = 'get', 'key.prefix' = '{source}', 'format' = 'json'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE source ({columns}) WITH ({with})")).await;
    let rows = "INSERT INTO d SELECT s.id, s.name, s.sizes, s.last, CASE WHEN s.id = 3 THEN '-D' ELSE '+I' END
        FROM (VALUES (1), (2), (3)) AS v (k) JOIN source FOR SYSTEM_TIME AS OF PROCTIME() AS s ON v.k = s.id";
    for (format, more) in [
        ("'format' = 'json'", ""),
        ("'value.format' = 'csv'", ", 'value.csv.null-literal' = 'n/a', 'lookup.async.batch.size' = '10'"),
        ("'format' = 'avro'", ", 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'"),
    ] {
        let prefix = prefix();
        command(&mut keys, &["SET", &format!("{prefix}3"), "old"]);
        let with = format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}', {format}{more}", options(&redis));
        lake.run(&format!("CREATE TEMPORARY TABLE d ({columns}, kind STRING METADATA FROM 'row-kind', PRIMARY KEY (id) NOT ENFORCED) WITH ({with})"))
            .await;
        lake.run(rows).await;
        lake.run("DROP TEMPORARY TABLE d").await;
        assert_eq!(text(&mut keys, &format!("{prefix}3")), None, "{format}");
        lake.run(&format!("CREATE TEMPORARY TABLE d ({columns}) WITH ({with})")).await;
        let found = lake.ask(&lookup("n, d.id, name, sizes[2], last.price, last.sold_on", "(1, 2), (2, 1), (3, 3)", &format!("LEFT {JOIN}"))).await;
        assert_eq!(found, "1,2,NULL,NULL,NULL,NULL\n2,1,Ann,8,1.50,2026-01-31\n3,NULL,NULL,NULL,NULL,NULL", "{format}");
        assert_eq!(lake.ask("SELECT count(*), max(name), max(sizes[1]) FROM d").await, "2,Ann,7", "{format}");
        if format.contains("json") {
            let told = r#"{"name":"Ann","sizes":[7,8],"last":{"price":1.5,"sold_on":"2026-01-31"}}"#;
            assert_eq!(text(&mut keys, &format!("{prefix}1")).as_deref(), Some(told));
        }
        lake.run("DROP TEMPORARY TABLE d").await;
    }
}

#[tokio::test]
async fn fields_of_hashes_have_a_format_too_and_a_bad_value_is_told_with_its_key() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["HSET", &format!("{prefix}a"), "x", r#"{"num":1}"#, "y", r#"{"num":2,"more":true}"#]);
    command(&mut keys, &["HSET", &format!("{prefix}b"), "x", r#"{"num":"many"}"#]);
    command(&mut keys, &["HSET", &format!("{prefix}c"), "x", "null"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'hget', 'key.prefix' = '{prefix}', 'format' = 'json'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id STRING, f STRING, num INT) WITH ({with})")).await;
    let found = lake.ask(&lookup("f, num", "(1, 'a')", JOIN).replace("ORDER BY n", "ORDER BY f")).await;
    assert_eq!(found, "x,1\ny,2");
    let one = format!("LEFT {JOIN} AND d.f = 'x'");
    assert_eq!(lake.ask(&lookup("n, num", "(1, 'a'), (2, 'c')", &one)).await, "1,1\n2,NULL", "null is no row");
    let told = lake.batches(&lookup("n, num", "(1, 'a'), (2, 'b')", &one)).await.unwrap_err();
    let wanted = format!("key '{prefix}b': column 'num': 'many' is not a number; 'json.ignore-parse-errors' = 'true' tolerates such values");
    assert!(told.contains(&wanted), "{told}");
    let tolerant = one.replace(" d FOR", " d /*+ OPTIONS('json.ignore-parse-errors' = 'true') */ FOR");
    command(&mut keys, &["HSET", &format!("{prefix}c"), "x", "{"]);
    assert_eq!(lake.ask(&lookup("n, d.f, num", "(1, 'b'), (2, 'c')", &tolerant)).await, "1,x,NULL\n2,NULL,NULL");
}

#[tokio::test]
async fn bytes_of_a_fixed_number_are_found_and_written() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    redis::cmd("SET").arg(format!("{prefix}1")).arg(&[0_u8, 255, 65]).exec(&mut keys).unwrap();
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'set', 'key.prefix' = '{prefix}'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v BINARY(3), PRIMARY KEY (id) NOT ENFORCED) WITH ({with})")).await;
    let found = lookup("CAST(n + 1 AS BIGINT), d.v", "(1, 1)", JOIN);
    assert_eq!(lake.ask(&found).await, "2,00ff41");
    lake.run(&format!("INSERT INTO d {}", found.replace(" ORDER BY n", ""))).await;
    let written: Vec<u8> = redis::cmd("GET").arg(format!("{prefix}2")).query(&mut keys).unwrap();
    assert_eq!(written, [0, 255, 65]);
}
