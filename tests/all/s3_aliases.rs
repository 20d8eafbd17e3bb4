//! Aliases of object stores in whole jobs: two endpoints with keys of their own in one job, and HDFS and S3 in one job.

use axum::http::Method;
use object_store::ObjectStoreExt;
use weir_fs::FileSystems;

use crate::aliases::{Job, PARTITIONS, of_hdfs, of_s3};
use crate::orders::{COLUMNS, LIMIT, Setting, holds_exactly, run, send, sqlite};
use crate::orphans::{nothing_is_left, paths_below};
use crate::support::{Proxy, S3, Servers, Table, Topic, Workdir, until};

/// An S3 server by its real address.
fn real_s3(s3: &S3) -> FileSystems {
    let keys =
        [("s3.endpoint", &s3.endpoint), ("s3.access-key-id", &s3.access_key), ("s3.secret-access-key", &s3.secret_key), ("s3.region", &s3.region)];
    FileSystems::new(keys.map(|(key, value)| (key.to_owned(), value.clone())).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_writes_to_two_endpoints_with_different_keys() {
    let servers = Servers::shared();
    let (a, b) = (servers.s3(), servers.s3_b());
    assert_eq!(a.bucket, b.bucket, "only the alias tells one from the other");
    let (before_a, before_b) = (Proxy::before(&a.endpoint).await, Proxy::before(&b.endpoint).await);
    let folder = Workdir::new();
    folder.write("weir.toml", &(of_s3("aas3", &a, before_a.uri()) + &of_s3("bbs3", &b, before_b.uri())));
    let place = format!("two-{}", uuid::Uuid::new_v4().simple());
    let below = format!("{}/{place}", a.bucket);
    let topic = Topic::create(&servers.kafka(), "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let mut job = Job {
        folder: &folder,
        topic: &topic,
        bounded: true,
        checkpoints: &format!("aas3://{below}/checkpoints"),
        warehouses: [&format!("aas3://{below}/warehouse"), &format!("bbs3://{below}/warehouse")],
        settings: "",
        environment: &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ACCESS_KEY_ID", "nobody-of-ours"), ("AWS_SECRET_ACCESS_KEY", "x")],
    };
    let [clicks, buys] = job.through_two_kills(&real_s3(&a).resolve(&format!("s3://{below}/checkpoints/two-places")).unwrap()).await;

    // The readers know one endpoint each, and nothing of proxies.
    let warehouse = format!("s3://{below}/warehouse");
    let table = |name: &str, catalog: &str, s3: &S3| {
        Table::of_sql(name, catalog, &format!("sqlite:{}", folder.path(&format!("{catalog}.db")).display()), &warehouse).on_s3(s3)
    };
    job.left_exactly(&clicks, &table("shop.clicks", "a", &a), "a.shop.clicks", &warehouse).await;
    job.left_exactly(&buys, &table("shop.buys", "b", &b), "b.shop.buys", &warehouse).await;

    let of_others = [(&a, &before_a, "shop/clicks/", &["shop/buys"][..]), (&b, &before_b, "shop/buys/", &["shop/clicks", "/checkpoints"])];
    for (s3, proxy, own, others) in of_others {
        assert!(!proxy.seen(Method::PUT, &format!("{below}/warehouse/{own}")).is_empty());
        let credential = format!("Credential={}/", s3.access_key);
        for request in proxy.all_seen() {
            assert!(request.authorization.contains(&credential), "another key: {request:?}");
            let path = request.path.replace("%2F", "/");
            assert!(others.iter().all(|other| !path.contains(other)), "a path of the other one: {request:?}");
        }
        let stored = paths_below(&real_s3(s3), &format!("s3://{below}")).await;
        assert!(stored.iter().any(|path| path.contains(own)));
        assert!(stored.iter().all(|path| others.iter().all(|other| !path.contains(other))), "{stored:?}");
    }
}

#[tokio::test]
async fn a_key_of_the_other_endpoint_is_refused_unless_the_server_takes_any() {
    let (a, b) = (Servers::shared().s3(), Servers::shared().s3_b());
    let any_key = a.server == "moto";
    for access_key in [a.access_key.clone(), b.access_key] {
        let mixed = S3 { access_key, secret_key: b.secret_key.clone(), ..a.clone() };
        let at = real_s3(&mixed).resolve(&format!("s3://{}/with-another-key", mixed.bucket)).unwrap();
        let answer = at.store.put(&at.path, "x".into()).await;
        assert!(answer.is_ok() == any_key, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_writes_to_hdfs_and_to_s3() {
    let servers = Servers::shared();
    let (hdfs, s3) = (servers.hdfs(), servers.s3_b());
    let folder = Workdir::new();
    folder.write("weir.toml", &(of_hdfs("aahdfs", &hdfs) + &of_s3("bbs3", &s3, &s3.endpoint)));
    let place = format!("both-{}", uuid::Uuid::new_v4().simple());
    let on_s3 = format!("{}/{place}", s3.bucket);
    let topic = Topic::create(&servers.kafka(), "orders", i32::try_from(PARTITIONS).unwrap(), &[]).await;
    let mut job = Job {
        folder: &folder,
        topic: &topic,
        bounded: true,
        checkpoints: &format!("bbs3://{on_s3}/checkpoints"),
        warehouses: [&format!("aahdfs://ns1/{place}/warehouse"), &format!("bbs3://{on_s3}/warehouse")],
        settings: "",
        environment: &[],
    };
    let [clicks, buys] = job.through_two_kills(&real_s3(&s3).resolve(&format!("s3://{on_s3}/checkpoints/two-places")).unwrap()).await;
    let uri = |catalog: &str| format!("sqlite:{}", folder.path(&format!("{catalog}.db")).display());
    let warehouse = format!("hdfs://ns1/{place}/warehouse");
    let table = Table::of_sql("shop.clicks", "a", &uri("a"), &warehouse).on_hdfs(&hdfs);
    job.left_exactly(&clicks, &table, "a.shop.clicks", &warehouse).await;
    let warehouse = format!("s3://{on_s3}/warehouse");
    let table = Table::of_sql("shop.buys", "b", &uri("b"), &warehouse).on_s3(&s3);
    job.left_exactly(&buys, &table, "b.shop.buys", &warehouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_carries_what_is_committed_to_a_table_on_hdfs_into_one_on_s3() {
    let servers = Servers::shared();
    let (hdfs, s3) = (servers.hdfs_b(), servers.s3());
    let Setting { folder, topic, mut job } = Setting::on_disk(&servers.kafka(), PARTITIONS).await;
    folder.write("weir.toml", &(of_hdfs("bbhdfs", &hdfs) + &of_s3("aas3", &s3, &s3.endpoint)));
    let place = format!("carried-{}", uuid::Uuid::new_v4().simple());
    let catalog = |warehouse: &str| format!("'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{warehouse}'", sqlite(&folder));
    job.catalog = catalog(&format!("bbhdfs://ns1/{place}/warehouse"));
    job.checkpoints = format!("bbhdfs://ns1/{place}/checkpoints");
    let from_kafka = job.write(&folder);
    let mut sent = send(&topic, PARTITIONS, 0..5_000).await;
    folder.weir(run(&from_kafka)).output(LIMIT).await.succeeded();

    let real = format!("s3://{}/{place}/warehouse", s3.bucket);
    job.name = "carry".to_owned();
    job.inserts = format!(
        "CREATE CATALOG far WITH ('type' = 'iceberg', {});
CREATE DATABASE IF NOT EXISTS far.shop;
CREATE TABLE IF NOT EXISTS far.shop.orders ({COLUMNS}) PARTITIONED BY (event_type);
INSERT INTO far.shop.orders SELECT * FROM lake.shop.orders
  /*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '100 ms', 'starting-strategy' = 'TABLE_SCAN_THEN_INCREMENTAL') */;",
        catalog(&format!("aas3://{}/{place}/warehouse", s3.bucket))
    );
    let carry = job.write(&folder);
    // Once with files and no checkpoint, once in the middle of the commit.
    for fail_point in ["epoch-files-closed", "commit-metadata-written"] {
        folder.weir(run(&carry)).env("WEIR_FAIL", &format!("{fail_point}=kill")).output(LIMIT).await.killed();
    }
    let running = folder.weir(run(&carry)).start();
    sent.extend(send(&topic, PARTITIONS, 5_000..8_000).await);
    folder.weir(run(&from_kafka)).output(LIMIT).await.succeeded();
    let table = Table::of_sql("shop.orders", "far", &sqlite(&folder), &real).on_s3(&s3);
    until("all orders are carried", LIMIT, async || (table.check(&[]).await["rows"] == sent.len()).then_some(())).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    holds_exactly(&table, &sent).await;
    nothing_is_left(&table).await;
    folder.weir(["verify", "--init", carry.to_str().unwrap(), "far.shop.orders"]).output(LIMIT).await.succeeded();
}
