//! A job that writes to a table with `'connector' = 'iceberg'`: no catalog is created in the file, and everything holds as with one.

use crate::orders::{LIMIT, OrdersJob, Setting, holds_exactly, run, send, sqlite, table_on_disk};
use crate::orphans::nothing_is_left;
use crate::support::{Servers, Table};

const PARTITIONS: u64 = 4;

/// The orders job with a declared table `sunk` in the place of the catalog's.
fn linked(job: &OrdersJob) -> String {
    let create = format!("CREATE CATALOG lake WITH ('type' = 'iceberg', {});\nCREATE DATABASE IF NOT EXISTS lake.shop;\n", job.catalog);
    let options = format!(
        "WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', {}, 'catalog-database' = 'shop', 'catalog-table' = 'orders',
          'distribution-mode' = 'hash', 'write.parquet.compression-codec' = 'snappy')",
        job.catalog
    );
    let job = OrdersJob { table_options: options, inserts: "INSERT INTO sunk SELECT * FROM orders;".to_owned(), ..job.clone() };
    let sql = job.sql();
    assert!(sql.contains(&create), "{sql}");
    sql.replace(&create, "").replace("CREATE TABLE IF NOT EXISTS lake.shop.orders", "CREATE TABLE sunk")
}

#[tokio::test]
async fn a_linked_table_is_created_by_the_job_alone_and_a_kill_loses_and_doubles_nothing() {
    let Setting { folder, topic, job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    let file = folder.write("orders.sql", &linked(&job));
    let with_job = |command: &str, rest: &[&str]| -> Vec<String> {
        [command, "--init", file.to_str().unwrap()].iter().chain(rest).map(|argument| (*argument).to_owned()).collect()
    };
    let count = ["-e", "SELECT count(*) AS orders FROM sunk", "--format", "csv"];

    let missing = folder.weir(with_job("sql", &count)).output(LIMIT).await.failed_with(2);
    assert!(missing.stderr.contains("its table 'lake.shop.orders' does not exist, and nothing is created here"), "{}", missing.stderr);
    assert!(!folder.path("warehouse").exists(), "a query created something");

    let sent = send(&topic, PARTITIONS, 0..20_000).await;
    folder.weir(run(&file)).env("WEIR_FAIL", "commit-after-swap=kill").output(LIMIT).await.killed();
    folder.weir(run(&file)).output(LIMIT).await.succeeded();

    holds_exactly(&table_on_disk(&folder), &sent).await;
    nothing_is_left(&table_on_disk(&folder)).await;
    folder.weir(with_job("verify", &["sunk"])).output(LIMIT).await.succeeded();
    let counted = folder.weir(with_job("sql", &count)).output(LIMIT).await.succeeded();
    assert_eq!(counted.stdout, "orders\n20000\n");
}

#[tokio::test]
async fn an_alias_that_a_linked_table_declares_for_itself_holds_through_a_kill() {
    let hdfs = Servers::shared().hdfs_b();
    let Setting { folder, topic, mut job } = Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await;
    let place = format!("linked-{}", uuid::Uuid::new_v4().simple());
    job.catalog = format!(
        "'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = 'own://ns1/warehouse',
          'fs.alias.own.scheme' = 'hdfs', 'fs.alias.own.conf-dir' = '{}', 'fs.alias.own.root' = '/{place}'",
        sqlite(&folder),
        hdfs.conf_ns1.display()
    );
    let file = folder.write("orders.sql", &linked(&job));
    let sent = send(&topic, PARTITIONS, 0..5_000).await;
    folder.weir(run(&file)).env("WEIR_FAIL", "commit-metadata-written=kill").output(LIMIT).await.killed();
    folder.weir(run(&file)).output(LIMIT).await.succeeded();

    let warehouse = format!("hdfs://ns1/{place}/warehouse");
    let table = Table::of_sql("shop.orders", "lake", &sqlite(&folder), &warehouse).on_hdfs(&hdfs);
    let found = holds_exactly(&table, &sent).await;
    assert_eq!(found["location"], format!("{warehouse}/shop/orders"));
    nothing_is_left(&table).await;
    let verify = ["verify", "--init", file.to_str().unwrap(), "sunk"];
    folder.weir(verify).output(LIMIT).await.succeeded();
    // Nobody else has it.
    let outside = ["fs", "ls", "own://ns1/warehouse"];
    let refused = folder.weir(outside).output(LIMIT).await.failed_with(2);
    assert!(refused.stderr.contains("no file system has the scheme 'own'"), "{}", refused.stderr);
}
