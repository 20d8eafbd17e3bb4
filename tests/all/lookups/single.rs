//! One Redis server: strings, hashes and fields of hashes, users and TLS, and whole tables.

use crate::lake::Lake;
use crate::lookups::{command, connection, lookup, options, prefix};
use crate::support::Servers;

const MEMORY: u64 = 200 << 20;

#[tokio::test]
async fn strings_become_values_of_the_declared_type_and_a_key_without_one_is_a_miss() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    for (key, value) in [("1", "12.50"), ("2", "0.01"), ("9", "7")] {
        command(&mut keys, &["SET", &format!("{prefix}{key}"), value]);
    }
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id INT, price DECIMAL(10, 2), PRIMARY KEY (id) NOT ENFORCED) WITH ({with})")).await;
    let values = "(1, 2), (2, 1), (3, 1), (4, 5), (5, CAST(NULL AS INT))";
    let left = lookup("n, price", values, "LEFT JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id");
    assert_eq!(lake.ask(&left).await, "1,0.01\n2,12.50\n3,12.50\n4,NULL\n5,NULL");
    let inner = lookup("n, d.id, price", values, "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id AND price > 1");
    assert_eq!(lake.ask(&inner).await, "2,1,12.50\n3,1,12.50");
    let residual = lookup("n, price", values, "LEFT JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id AND price > n");
    assert_eq!(lake.ask(&residual).await, "1,NULL\n2,12.50\n3,12.50\n4,NULL\n5,NULL");
    for more in ["'lookup.async.batch.size' = '2'", "'lookup.async' = 'false'", "'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '2'"] {
        let hinted = left.replace(" d FOR", &format!(" d /*+ OPTIONS({more}) */ FOR"));
        assert_eq!(lake.ask(&hinted).await, lake.ask(&left).await, "{more}");
    }
    let shown = lake.ask(&format!("EXPLAIN ANALYZE {left}")).await;
    assert!(shown.contains("LookupJoinExec: table=lake.d.d") && shown.contains("output_rows=5") && !shown.contains(&redis.password), "{shown}");
}

#[tokio::test]
async fn hashes_give_a_row_or_a_row_for_each_field() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["HSET", &format!("{prefix}a"), "name", "Ann", "age", "30"]);
    command(&mut keys, &["HSET", &format!("{prefix}b"), "name", "Bob"]);
    command(&mut keys, &["HSET", &format!("{prefix}c"), "other", "x"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = |command: &str| format!("{}, 'command' = '{command}', 'key.prefix' = '{prefix}', 'lookup.async.batch.size' = '10'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE people (id STRING, name STRING, age INT) WITH ({})", with("hmget"))).await;
    lake.run(&format!("CREATE TEMPORARY TABLE facts (id STRING, fact STRING, told STRING) WITH ({})", with("hget"))).await;
    let values = "(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')";
    let rows = lookup("n, name, age", values, "LEFT JOIN people FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = people.id");
    assert_eq!(lake.ask(&rows).await, "1,Ann,30\n2,Bob,NULL\n3,NULL,NULL\n4,NULL,NULL");
    let one = lookup("n, told", values, "LEFT JOIN facts FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = facts.id AND facts.fact = 'name'");
    assert_eq!(lake.ask(&one).await, "1,Ann\n2,Bob\n3,NULL\n4,NULL");
    let all = "SELECT n, fact, told FROM (VALUES (1, 'a'), (2, 'd')) AS v (n, k) JOIN facts FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = facts.id ORDER BY fact";
    assert_eq!(lake.ask(all).await, "1,age,30\n1,name,Ann");
}

#[tokio::test]
async fn a_value_may_be_a_whole_row() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    command(&mut keys, &["SET", &format!("{prefix}7"), "7\u{1}Ann\u{1}1.5"]);
    command(&mut keys, &["SET", &format!("{prefix}8"), "8\u{1}Bob"]);
    let mut lake = Lake::new(MEMORY).await;
    let with = format!("{}, 'command' = 'set', 'value.data.structure' = 'row', 'key.prefix' = '{prefix}'", options(&redis));
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, name STRING, x DOUBLE) WITH ({with})")).await;
    let join = "JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id";
    assert_eq!(lake.ask(&lookup("n, name, x", "(1, 7)", join)).await, "1,Ann,1.5");
    let told = lake.batches(&lookup("n, name, x", "(1, 8)", join)).await.unwrap_err();
    assert!(told.contains(&format!("key '{prefix}8': the value '8\\u0001Bob' has 2 columns, and the table 3")), "{told}");
}

#[tokio::test]
async fn a_user_comes_in_by_tls_and_sees_the_keys_that_its_rules_allow() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), format!("{}{}", redis.user_prefix, prefix()));
    command(&mut keys, &["SET", &format!("{prefix}1"), "one"]);
    let mut lake = Lake::new(MEMORY).await;
    let user = |password: &str| {
        let (port, ca, name) = (redis.tls_port, redis.ca.display(), &redis.username);
        format!(
            "'connector' = 'redis', 'host' = 'localhost', 'port' = '{port}', 'username' = '{name}', 'password' = '{password}',
             'ssl.enabled' = 'true', 'ssl.ca.location' = '{ca}', 'command' = 'get'"
        )
    };
    lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v STRING) WITH ({}, 'key.prefix' = '{prefix}')", user(&redis.user_password))).await;
    lake.run(&format!("CREATE TEMPORARY TABLE others (id BIGINT, v STRING) WITH ({})", user(&redis.user_password))).await;
    lake.run(&format!("CREATE TEMPORARY TABLE wrong (id BIGINT, v STRING) WITH ({})", user("wrong"))).await;
    lake.run(&format!(
        "CREATE TEMPORARY TABLE open (id BIGINT, v STRING) WITH ({})",
        user("x").replace("'ssl.ca.location'", "'ssl.certificate.location' = '/none', 'ssl.key.location'")
    ))
    .await;
    let join = |table: &str| lookup("n, d.v", "(1, 1)", &format!("JOIN {table} FOR SYSTEM_TIME AS OF PROCTIME() AS d ON v.k = d.id"));
    assert_eq!(lake.ask(&join("d")).await, "1,one");
    let told = lake.batches(&join("others")).await.unwrap_err();
    assert!(told.contains("Table 'lake.d.others'") && told.contains("the user may not do this"), "{told}");
    let told = lake.batches(&join("wrong")).await.unwrap_err();
    assert!(told.contains("check 'username' and 'password'") && !told.contains(&redis.user_password), "{told}");
    let told = lake.batches(&join("open")).await.unwrap_err();
    assert!(told.contains("'/none' cannot be read"), "{told}");
}

#[tokio::test]
async fn a_whole_table_is_loaded_by_a_scan_of_its_keys() {
    let redis = Servers::shared().redis();
    let (mut keys, prefix) = (connection(&redis), prefix());
    let mut filling = redis::pipe();
    for key in 0..3_000 {
        filling.cmd("SET").arg(format!("{prefix}{key}")).arg(key * 2).ignore();
    }
    filling.cmd("HSET").arg(format!("{prefix}hash")).arg("f").arg("v").ignore();
    // Keys of others, which no lookup of a number asks for.
    for key in ["07", "+7", "name", "1.0"] {
        filling.cmd("SET").arg(format!("{prefix}{key}")).arg("nothing").ignore();
    }
    filling.exec(&mut keys).unwrap();
    let mut lake = Lake::new(MEMORY).await;
    for cache in [
        "'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'",
        "'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '5000', 'lookup.preload' = 'true'",
    ] {
        let with = format!("{}, 'command' = 'get', 'key.prefix' = '{prefix}', {cache}", options(&redis));
        lake.run(&format!("CREATE TEMPORARY TABLE d (id BIGINT, v BIGINT) WITH ({with})")).await;
        let join = "LEFT JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON v.k = d.id";
        assert_eq!(lake.ask(&lookup("n, d.v", "(1, 0), (2, 2999), (3, 3000)", join)).await, "1,0\n2,5998\n3,NULL");
        assert_eq!(lake.ask("SELECT count(*), sum(v), max(id) FROM d").await, "3000,8997000,2999");
        lake.run("DROP TEMPORARY TABLE d").await;
    }
}
