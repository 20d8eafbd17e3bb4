//! Computed columns of lookup tables, and columns of maps, with every connector and cache.

use crate::lake::Lake;
use crate::lookups::{command, connection, lookup, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;

#[tokio::test]
async fn computed_columns_and_maps_of_redis_are_there_with_every_cache() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    for (id, value) in [("1", r#"{"name":"ann","tags":{"a":{"x":[7,null]},"b":null}}"#), ("2", r#"{"name":"bob"}"#)] {
        command(&mut keys, &["SET", &format!("{prefix}{id}"), value]);
    }
    let mut lake = Lake::new(MEMORY).await;
    let columns = "id BIGINT, label AS UPPER(name) || CAST(id AS STRING), name STRING, tags MAP<STRING, MAP<STRING, ARRAY<INT>>>,
        one AS COALESCE(tags['a']['x'][1], -1)";
    let with = format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}', 'format' = 'json'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d ({columns}) WITH ({with})")).await;
    assert_eq!(lake.ask("SELECT label, one FROM d ORDER BY label").await, "ANN1,7\nBOB2,-1");
    let partial = "'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10'";
    for cache in [
        "'lookup.cache' = 'NONE'",
        partial,
        &format!("{partial}, 'lookup.preload' = 'true'"),
        "'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'",
    ] {
        let join = format!("d /*+ OPTIONS({cache}) */ FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id");
        let values = "(1, 1), (2, 2), (3, 3)";
        let found = lake.ask(&lookup("n, d.label, d.one, tags['a']['x'][1]", values, &format!("LEFT JOIN {join}"))).await;
        assert_eq!(found, "1,ANN1,7,7\n2,BOB2,-1,NULL\n3,NULL,NULL,NULL", "{cache}");
        let some = lake.ask(&lookup("n, d.label", values, &format!("JOIN {join} AND d.label <> 'ANN1'"))).await;
        assert_eq!(some, "2,BOB2", "{cache}");
    }
    lake.run(&format!("CREATE TEMPORARY TABLE bad (id BIGINT, name STRING, half AS 10 / (id - 1)) WITH ({with})")).await;
    let told = lake.batches(&lookup("n, d.half", "(1, 1)", "JOIN bad FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id")).await.unwrap_err();
    assert!(told.contains("column 'half' cannot be computed: "), "{told}");
}

#[tokio::test]
async fn maps_are_there_where_rows_are_found_through_an_index_with_every_cache_of_both() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["SET", &format!("{prefix}u:1"), r#"{"email":"a@x","tags":{"a":{"x":[7,null]},"b":null}}"#]);
    command(&mut keys, &["SET", &format!("{prefix}u:2"), r#"{"email":"b@x"}"#]);
    for (email, entry) in [("a@x", r#"{"id":1,"tags":{"a":{"x":[8]}}}"#), ("b@x", r#"{"id":2}"#)] {
        command(&mut keys, &["SET", &format!("{prefix}e:{email}"), entry]);
    }
    let mut lake = Lake::new(MEMORY).await;
    let with = |kind: &str| format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}{kind}:', 'format' = 'json'", options(&redis));
    let caches = ["NONE", "PARTIAL', 'lookup.partial-cache.max-rows' = '10", "FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h"];
    for (number, of_index) in caches.into_iter().enumerate() {
        // The index has a map too, of the same name.
        let index = format!("by_email_{number}");
        let columns = "email STRING, id BIGINT, tags MAP<STRING, MAP<STRING, ARRAY<INT>>>";
        lake.run(&format!("CREATE TEMPORARY TABLE {index} ({columns}) WITH ({}, 'lookup.cache' = '{of_index}')", with("e"))).await;
        for (row, of_rows) in caches.into_iter().enumerate() {
            let table = format!("users_{number}_{row}");
            let columns = "id BIGINT, email STRING, tags MAP<STRING, MAP<STRING, ARRAY<INT>>>";
            let with = format!("{}, 'lookup.cache' = '{of_rows}', 'lookup.index.tables' = '{index}'", with("u"));
            lake.run(&format!("CREATE TEMPORARY TABLE {table} ({columns}) WITH ({with})")).await;
            let join = format!("LEFT JOIN {table} FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.email");
            let found = lake.ask(&lookup("n, d.id, d.tags['a']['x'][1]", "(1, 'a@x'), (2, 'b@x'), (3, 'c@x')", &join)).await;
            assert_eq!(found, "1,1,7\n2,2,NULL\n3,NULL,NULL", "{of_index} {of_rows}");
        }
    }
}

#[tokio::test]
async fn dictionaries_are_found_by_computed_columns_too() {
    let mut lake = Lake::new(MEMORY).await;
    let folder = lake.folder.path().to_owned();
    std::fs::create_dir(folder.join("files")).unwrap();
    std::fs::write(folder.join("files/a.csv"), "1,ann\n2,bob\n").unwrap();
    lake.run("CREATE TABLE users (id BIGINT, name STRING)").await;
    lake.run("INSERT INTO users VALUES (1, 'ann'), (2, 'bob')").await;
    let path = folder.display();
    let files = format!("'connector' = 'filesystem', 'path' = 'file://{path}/files', 'format' = 'csv'");
    let linked = format!(
        "'connector' = 'iceberg', 'catalog-name' = 'lake', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db',
         'warehouse' = 'file://{path}/warehouse', 'catalog-database' = 'd', 'catalog-table' = 'users'"
    );
    for (table, with) in [("files", files), ("linked", linked)] {
        lake.run(&format!("CREATE TEMPORARY TABLE {table} (label AS UPPER(name), id BIGINT, name STRING) WITH ({with})")).await;
        let join = |on: &str| format!("LEFT JOIN {table} FOR SYSTEM_TIME AS OF PROCTIME() AS d ON {on}");
        let found = lake.ask(&lookup("n, d.id, d.name, d.label", "(1, 'ANN'), (2, 'bob')", &join("v.k = d.label"))).await;
        assert_eq!(found, "1,1,ann,ANN\n2,NULL,NULL,NULL", "{table}");
        let found = lake.ask(&lookup("n, d.label", "(2, 'bob'), (3, 'bob')", &join("v.k = d.name AND v.n = d.id"))).await;
        assert_eq!(found, "2,BOB\n3,NULL", "{table}");
    }
}
