//! A table of Redis that is found through an index in Redis: another table, whose rows have its keys.

use crate::lake::Lake;
use crate::lookups::{command, connection, lookup, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;

#[tokio::test]
async fn rows_are_found_by_the_columns_of_an_index_and_an_old_entry_finds_none() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    for (id, name, country) in [("1", "ann", "de"), ("2", "bob", "de"), ("3", "eve", "fr"), ("4", "dan", "it")] {
        command(&mut keys, &["HSET", &format!("{prefix}u:{id}"), "name", name, "country", country]);
        command(&mut keys, &["HSET", &format!("{prefix}c:{country}"), id, "x"]);
    }
    // One entry is of a user who has moved, one of a user who is gone.
    command(&mut keys, &["HSET", &format!("{prefix}c:fr"), "4", "x"]);
    command(&mut keys, &["HSET", &format!("{prefix}c:de"), "9", "x"]);
    command(&mut keys, &["HSET", &format!("{prefix}c:es"), "9", "x"]);
    let mut lake = Lake::new(MEMORY).await;
    let with =
        |command: &str, kind: &str, more: &str| format!("{}, 'command' = '{command}', 'key.prefix' = '{prefix}{kind}:'{more}", options(&redis));
    let index = "'lookup.index.tables' = 'users_by_country'";
    let cached = ", 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10'";
    lake.run(&format!("CREATE TEMPORARY TABLE users (id BIGINT, name STRING, country STRING) WITH ({}, {index})", with("hmget", "u", ""))).await;
    let found = "1,ann\n1,bob\n2,eve\n3,NULL\n4,NULL";
    let join = "LEFT JOIN users FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.country";
    let query = |columns: &str, join: &str| lookup(columns, "(1, 'de'), (2, 'fr'), (3, 'es'), (4, CAST(NULL AS STRING))", join);
    for of_index in
        ["", cached, ", 'lookup.async.batch.size' = '2'", ", 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'"]
    {
        let declared = with("hget", "c", of_index);
        lake.run(&format!("CREATE TEMPORARY TABLE users_by_country (country STRING, id BIGINT, mark STRING) WITH ({declared})")).await;
        for of_rows in ["", cached, ", 'lookup.async.batch.size' = '3'"] {
            let hint = format!("users /*+ OPTIONS({index}{of_rows}) */ FOR");
            let sorted = query("n, d.name", &join.replace("users FOR", &hint)).replace("ORDER BY n", "ORDER BY n, d.name");
            assert_eq!(lake.ask(&sorted).await, found, "{of_index} {of_rows}");
        }
        let inner = query("n, d.id", &join.replace("LEFT JOIN", "JOIN").replace("d.country", "d.country AND d.name > 'b'"));
        assert_eq!(lake.ask(&inner).await, "1,2\n2,3");
        lake.run("DROP TEMPORARY TABLE users_by_country").await;
    }
    let told = lake.batches(&query("n", join)).await.unwrap_err();
    assert!(told.contains("Table 'lake.d.users_by_country'"), "{told}");
}
