//! Of a lookup table only what a query needs is read, kept and checked, and what it finds is the same.

use crate::lake::Lake;
use crate::lookups::{command, connection, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;
const ROWS: &str = "(1, 'ann', 'eu', TRUE, 3), (1, 'eve', 'us', FALSE, 4), (2, 'bob', 'eu', FALSE, 5), (3, 'cid', 'us', TRUE, NULL),
    (4, NULL, 'eu', NULL, 7), (NULL, 'dan', 'eu', TRUE, 1), (5, 'fay', NULL, TRUE, 9)";
const KEYS: &str = "(SELECT n, k FROM (VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, NULL), (8, 1)) AS v (n, k)) AS v";

/// Joins, with what comes behind: conditions that are pushed into loads, some that must not be, and joins that share a table.
const JOINS: &[(&str, &str)] = &[
    ("d.name", "JOIN $d ON v.k = d.id"),
    ("d.name", "JOIN $d ON v.k = d.id AND d.active = TRUE"),
    ("d.name", "LEFT JOIN $d ON v.k = d.id AND d.active = TRUE"),
    ("d.name", "JOIN $d ON v.k = d.id WHERE d.region = 'eu' AND d.active IS NOT TRUE"),
    ("d.name", "LEFT JOIN $d ON v.k = d.id WHERE d.region = 'eu'"),
    ("d.name", "LEFT JOIN $d ON v.k = d.id AND d.region = 'eu' WHERE d.score IS NULL OR d.score > 4"),
    ("d.name", "LEFT JOIN $d ON v.k = d.id AND d.region = 'eu' AND d.score > v.n"),
    ("d.id", "JOIN $d ON v.k = d.id WHERE d.score BETWEEN 3 AND 5 AND d.region IN ('eu', 'us') AND d.name LIKE '%b%'"),
    ("d.name", "JOIN $d ON v.k = d.id WHERE d.region = 'mars'"),
    ("d.name", "JOIN $d ON v.k = d.id WHERE UPPER(d.region) = 'EU' AND d.score > 3"),
    ("v.n", "JOIN $d ON v.k = d.id"),
    ("d.name, e.name", "JOIN $d ON v.k = d.id AND d.region = 'eu' JOIN $e ON v.k = e.id AND e.region = 'us'"),
    ("d.name, e.score", "LEFT JOIN $d ON v.k = d.id AND d.active LEFT JOIN $e ON d.id = e.id AND e.active"),
    ("d.name, e.score", "JOIN $d ON v.k = d.id LEFT JOIN $e ON d.id = e.id AND e.active WHERE d.active AND d.score < 9"),
    ("COUNT(*), d.region", "JOIN $d ON v.k = d.id WHERE d.active GROUP BY d.region"),
];

/// A query over keys, with `table` as it is written for a join by the name of its rows.
fn query((columns, join): &(&str, &str), table: impl Fn(&str) -> String) -> String {
    let join = join.replace("$d", &table("d")).replace("$e", &table("e"));
    let (first, order) = if columns.starts_with("COUNT") { ("", "1, 2") } else { ("v.n, ", "1, 2, 3") };
    let order = if columns.contains(',') || first.is_empty() { order } else { "1, 2" };
    format!("SELECT {first}{columns} FROM {KEYS} {join} ORDER BY {order}")
}

async fn with_rows() -> Lake {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE dims (id BIGINT, name STRING, region STRING, active BOOLEAN, score INT)").await;
    lake.run(&format!("INSERT INTO dims VALUES {ROWS}")).await;
    lake
}

#[tokio::test]
async fn a_dictionary_that_is_loaded_in_part_joins_as_the_whole_table_does() {
    let mut lake = with_rows().await;
    for join in JOINS {
        let plain = lake.ask(&query(join, |name| format!("dims AS {name}"))).await;
        let looked_up = query(join, |name| format!("dims FOR SYSTEM_TIME AS OF PROCTIME() AS {name}"));
        assert_eq!(lake.ask(&looked_up).await, plain, "{looked_up}");
    }
    let join = "v.k = d.id WHERE d.active AND d.region = 'eu'";
    let bounded = |options: &str| {
        let table = format!("JOIN dims /*+ OPTIONS({options}) */ FOR SYSTEM_TIME AS OF PROCTIME() AS d ON {join}");
        query(&("d.name", &table), |_| String::new())
    };
    assert_eq!(lake.ask(&bounded("'lookup.preload.max-rows' = '1'")).await, "1,ann\n8,ann");
    let all = bounded("'lookup.preload.max-rows' = '1'").replace(" AND d.region = 'eu'", "");
    assert!(lake.batches(&all).await.unwrap_err().contains("more rows than 'lookup.preload.max-rows' allows"));
    let shown = lake.ask(&format!("EXPLAIN ANALYZE {}", bounded("'lookup.preload.max-rows' = '1'"))).await;
    assert!(shown.contains("cache=FULL, columns=[id, name], filters=["), "{shown}");
}

#[tokio::test]
async fn the_memory_of_a_dictionary_is_that_of_the_columns_that_are_used() {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE wide (id BIGINT, name STRING, extra STRING)").await;
    let ids: Vec<String> = (0..4_000).map(|id| format!("({id})")).collect();
    let values = ids.join(", ");
    lake.run(&format!("INSERT INTO wide SELECT id, 'n', REPEAT('x', 1000) || CAST(id AS STRING) FROM (VALUES {values}) AS v (id)")).await;
    let table = "wide /*+ OPTIONS('lookup.preload.max-bytes' = '2 mb') */ FOR SYSTEM_TIME AS OF PROCTIME() AS d";
    let joined = |column: &str| query(&(column, &format!("JOIN {table} ON v.k = d.id WHERE v.n < 3")), |_| String::new());
    assert_eq!(lake.ask(&joined("d.name")).await, "1,n\n2,n");
    let told = lake.batches(&joined("d.extra")).await.unwrap_err();
    assert!(told.contains("that 'lookup.preload.max-bytes' allows"), "{told}");
}

#[tokio::test]
async fn files_are_joined_as_they_are_in_part_and_what_nobody_reads_may_be_wrong() {
    let mut lake = with_rows().await;
    let folder = lake.folder.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.csv"), "1,ann,eu,much\n2,bob,eu,2\n3,cid,us,3\n").unwrap();
    let with = format!("'connector' = 'filesystem', 'path' = 'file://{}', 'format' = 'csv'", folder.display());
    lake.run(&format!("CREATE TEMPORARY TABLE files (id BIGINT, name STRING, region STRING, score INT, twice AS score * 2) WITH ({with})")).await;
    let files = |columns: &str, rest: &str| {
        query(&(columns, &format!("LEFT JOIN files FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id{rest}")), |_| String::new())
    };
    assert_eq!(lake.ask(&files("d.name", " AND d.region = 'eu' WHERE v.n < 4")).await, "1,ann\n2,bob\n3,NULL");
    for column in ["score", "twice"] {
        let told = lake.batches(&files(&format!("d.{column}"), "")).await.unwrap_err();
        assert!(told.contains("line 1: column 'score'"), "{told}");
    }
}

#[tokio::test]
async fn a_key_alone_is_joined_whatever_its_value_holds() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    for (id, value) in [("1", "{\"score\":3}"), ("2", "{\"score\":\"many\"}")] {
        command(&mut keys, &["SET", &format!("{prefix}{id}"), value]);
    }
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}', 'format' = 'json'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, score INT, name STRING) WITH ({with})")).await;
    for (column, expected) in
        [("d.id", Ok("1,1\n2,2\n8,1")), ("d.name", Ok("1,NULL\n2,NULL\n8,NULL")), ("d.score", Err(":2': column 'score': 'many' is not a number"))]
    {
        let asked = query(&(column, "JOIN $d ON v.k = d.id"), |name| format!("d FOR SYSTEM_TIME AS OF PROCTIME() AS {name}"));
        match expected {
            Ok(expected) => assert_eq!(lake.ask(&asked).await, expected, "{asked}"),
            Err(expected) => {
                let told = lake.batches(&asked).await.unwrap_err();
                assert!(told.contains(expected), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn hashes_of_redis_are_joined_in_part_with_every_cache() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    let rows = [("1", "ann", "eu", "3"), ("2", "bob", "eu", "5"), ("3", "cid", "us", "many"), ("5", "fay", "", "9")];
    for (id, name, region, score) in rows {
        let key = format!("{prefix}{id}");
        command(&mut keys, &["HSET", &key, "name", name, "score", score]);
        if !region.is_empty() {
            command(&mut keys, &["HSET", &key, "region", region]);
        }
    }
    command(&mut keys, &["HSET", &format!("{prefix}4"), "region", "eu"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'hmget', 'key.prefix' = '{prefix}'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, name STRING, region STRING, score INT, label AS UPPER(name)) WITH ({with})")).await;
    let partial = "'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100'";
    for cache in [
        "'lookup.cache' = 'NONE'",
        partial,
        &format!("{partial}, 'lookup.preload' = 'true'"),
        "'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'",
    ] {
        // The number that is none is not read.
        for (columns, join, expected) in [
            ("d.name", "JOIN $d ON v.k = d.id WHERE d.region = 'eu'", "1,ann\n2,bob\n4,NULL\n8,ann"),
            (
                "d.label",
                "LEFT JOIN $d ON v.k = d.id AND d.region = 'eu' AND d.label <> 'BOB'",
                "1,ANN\n2,NULL\n3,NULL\n4,NULL\n5,NULL\n6,NULL\n7,NULL\n8,ANN",
            ),
            ("d.id", "JOIN $d ON v.k = d.id", "1,1\n2,2\n3,3\n4,4\n5,5\n8,1"),
        ] {
            let looked_up = query(&(columns, join), |name| format!("d /*+ OPTIONS({cache}) */ FOR SYSTEM_TIME AS OF PROCTIME() AS {name}"));
            assert_eq!(lake.ask(&looked_up).await, expected, "{looked_up}");
        }
        let all =
            query(&("d.score", "JOIN $d ON v.k = d.id"), |name| format!("d /*+ OPTIONS({cache}) */ FOR SYSTEM_TIME AS OF PROCTIME() AS {name}"));
        let told = lake.batches(&all).await.unwrap_err();
        assert!(told.contains("many"), "{told}");
    }
}
