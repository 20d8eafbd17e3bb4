//! That the servers are what they claim to be, and that the harness does what other tests rely on.

use std::time::{Duration, Instant};

use axum::http::Method;
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::Connection;

use crate::support::{Ending, Fault, NameNodeCalls, Proxy, Row, Servers, Table, Topic, Warehouse, Workdir, until};

const LIMIT: Duration = Duration::from_secs(300);

/// (offset, payload) of what a reader of committed records finds in partition 0, up to offset `end`.
fn committed(bootstrap: &str, topic: &str, end: i64) -> Vec<(i64, String)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "harness").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("isolation.level", "read_committed").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    loop {
        match consumer.poll(LIMIT).expect("a message or the partition's end") {
            Ok(message) => found.push((message.offset(), String::from_utf8(message.payload().unwrap().to_vec()).unwrap())),
            Err(rdkafka::error::KafkaError::PartitionEOF(0)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found.iter().all(|(offset, _)| *offset < end));
    found
}

#[tokio::test]
async fn kafka_keeps_committed_records_and_hides_aborted_ones() {
    let bootstrap = Servers::shared().kafka();
    let topic = Topic::create(&bootstrap, "harness", 1, &[("retention.ms", "-1")]).await;
    assert_eq!(topic.produce([Row::new(0, "plain")]).await, [(0, 0)]);
    topic.produce_transaction([Row::new(0, "aborted")], Ending::Abort).await;
    topic.produce_transaction([Row::new(0, "committed")], Ending::Commit).await;
    let (first, next) = topic.bounds(0);
    assert_eq!((first, next), (0, 5), "three records and two markers");
    assert_eq!(committed(&bootstrap, topic.name(), next), [(0, "plain".to_owned()), (3, "committed".to_owned())]);
}

#[tokio::test]
async fn kafka_topics_grow_shrink_and_come_back() {
    let bootstrap = Servers::shared().kafka();
    let topic = Topic::create(&bootstrap, "harness", 1, &[]).await;
    let row = Row {
        key: Some(b"k".to_vec()),
        timestamp: Some(1_700_000_000_123),
        headers: vec![("h".to_owned(), b"v".to_vec())],
        ..Row::new(0, "with everything")
    };
    topic.produce([Row::new(0, "first"), row]).await;
    topic.forget_before(0, 1).await;
    assert_eq!(topic.bounds(0), (1, 2));

    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &bootstrap).set("group.id", "harness").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.name(), 0, Offset::Offset(1)).unwrap();
    consumer.assign(&list).unwrap();
    let message = consumer.poll(LIMIT).unwrap().unwrap();
    assert_eq!((message.key(), message.timestamp().to_millis()), (Some(&b"k"[..]), Some(1_700_000_000_123)));
    assert_eq!(message.headers().unwrap().get(0).value, Some(&b"v"[..]));

    topic.grow(3).await;
    until("the third partition can be written", LIMIT, async || {
        (consumer.fetch_metadata(Some(topic.name()), LIMIT).unwrap().topics()[0].partitions().len() == 3).then_some(())
    })
    .await;
    topic.delete().await;
    topic.create_again(1, &[]).await;
    assert_eq!(topic.bounds(0), (0, 0));
}

#[tokio::test]
async fn s3_stores_objects_and_refuses_to_overwrite_on_request() {
    let s3 = Servers::shared().s3();
    let proxy = Proxy::before(&s3.endpoint).await;
    let open = |endpoint: &str| {
        let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_allow_http(true).with_region(&s3.region).with_bucket_name(&s3.bucket);
        builder.with_access_key_id(&s3.access_key).with_secret_access_key(&s3.secret_key).build().unwrap()
    };
    let store = open(&s3.endpoint);
    let path = Path::from("harness/object");
    store.put(&path, Bytes::from_static(b"hello").into()).await.unwrap();
    let create = PutOptions::from(PutMode::Create);
    let refused = store.put_opts(&path, Bytes::from_static(b"again").into(), create).await;
    assert!(matches!(refused, Err(object_store::Error::AlreadyExists { .. })), "{refused:?}");
    // Signed requests pass through the proxy too.
    assert_eq!(open(proxy.uri()).get(&path).await.unwrap().bytes().await.unwrap(), "hello");
    assert_eq!(open(proxy.uri()).head(&path).await.unwrap().size, 5);
}

#[tokio::test]
async fn hdfs_stores_files_and_counts_its_calls() {
    let hdfs = Servers::shared().hdfs();
    let client = hdfs_native::ClientBuilder::new().with_url(&hdfs.uri).with_config_dir(hdfs.conf.to_str().unwrap()).build().unwrap();
    let before = NameNodeCalls::read(&hdfs).await;
    let path = format!("/harness-{}", uuid::Uuid::new_v4());
    let mut file = client.create(&path, hdfs_native::WriteOptions::default()).await.unwrap();
    Box::pin(file.write_bytes(Bytes::from_static(b"hello"))).await.unwrap();
    Box::pin(file.close()).await.unwrap();
    let mut reader = client.read(&path).await.unwrap();
    assert_eq!(reader.read_bytes(5).await.unwrap(), "hello");
    let calls = until("the NameNode has counted the calls", LIMIT, async || {
        let calls = NameNodeCalls::read(&hdfs).await.since(&before);
        (calls.contains_key("Create") && calls.contains_key("AddBlock")).then_some(calls)
    })
    .await;
    assert!(!calls.contains_key("SendHeartbeat"), "{calls:?}");
}

#[tokio::test]
async fn postgres_answers() {
    let mut connection = sqlx::PgConnection::connect(&Servers::shared().postgres()).await.unwrap();
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(one, 1);
}

#[tokio::test]
async fn the_proxy_fails_and_loses_answers_on_command() {
    let rest = Servers::shared().rest(Warehouse::File);
    assert!(rest.warehouse.starts_with("file:///"), "{rest:?}");
    let proxy = Proxy::before(&rest.uri).await;
    let config = format!("{}/v1/config", proxy.uri());
    let get = async |uri: &str| reqwest::get(uri).await.unwrap().status().as_u16();
    proxy.inject(Method::GET, "/v1/config", Fault::Answer(503), 1);
    proxy.inject(Method::GET, "/v1/config", Fault::Delay(Duration::from_millis(1)), 1);
    assert_eq!((get(&config).await, get(&config).await), (503, 200));

    let name = format!("ns{}", uuid::Uuid::new_v4().simple());
    proxy.inject(Method::POST, "/v1/namespaces", Fault::LoseAnswer(504), 1);
    let body = format!(r#"{{"namespace":["{name}"],"properties":{{}}}}"#);
    let create = reqwest::Client::new().post(format!("{}/v1/namespaces", proxy.uri())).header("content-type", "application/json").body(body);
    assert_eq!(create.send().await.unwrap().status().as_u16(), 504);
    assert_eq!(get(&format!("{}/v1/namespaces/{name}", rest.uri)).await, 200, "the catalog did what it was asked for");

    proxy.inject(Method::GET, "/v1/config", Fault::CutAnswer, 1);
    let cut = match reqwest::get(&config).await {
        Ok(answer) => answer.text().await.is_err(),
        Err(_) => true,
    };
    assert!(cut, "the answer came whole");
    let begun = Instant::now();
    proxy.inject(Method::GET, "/v1/config", Fault::DelayAnswer(Duration::from_millis(50)), 1);
    assert_eq!(get(&config).await, 200);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(proxy.left(), 0);
}

/// Appends three rows twice through PyIceberg and checks what it reads back.
async fn appends_are_read_back(table: Table) {
    let work = Workdir::new();
    let rows = work.write("rows", "{\"p\":0,\"o\":1,\"x\":0.5}\n{\"p\":0,\"o\":2,\"x\":1.0}\n{\"p\":1,\"o\":1,\"x\":null}\n");
    assert_eq!(table.append(&rows).await["rows"], 3);
    table.append(&rows).await;
    let found = table.check(&["--sum", "x", "--unique", "p,o", "--ranges", "p,o"]).await;
    assert_eq!((&found["rows"], &found["sums"]["x"]), (&6.into(), &"3.0".into()));
    assert_eq!(found["duplicates"]["groups"], 3);
    assert_eq!(found["ranges"]["0"], serde_json::json!({"rows": 4, "min": 1, "max": 2}));
    assert_eq!(found["schema"][2], serde_json::json!({"id": 3, "name": "x", "required": false, "type": "double"}));
    assert_eq!(found["files"][0]["null_counts"]["3"], 1);
    assert_eq!(found["files"][0]["upper"]["2"], 2);
}

fn table_name() -> String {
    format!("harness.t{}", uuid::Uuid::new_v4().simple())
}

#[tokio::test]
async fn the_reader_reads_a_sql_catalog_on_disk() {
    let work = Workdir::new();
    let uri = format!("sqlite:{}", work.path("catalog.db").display());
    appends_are_read_back(Table::of_sql(&table_name(), "lake", &uri, &work.uri("warehouse"))).await;
}

#[tokio::test]
async fn the_reader_reads_postgres_with_files_on_hdfs() {
    let (hdfs, uri) = (Servers::shared().hdfs(), Servers::shared().postgres());
    let warehouse = format!("{}/harness", hdfs.uri);
    appends_are_read_back(Table::of_sql(&table_name(), "lake", &uri, &warehouse).on_hdfs(&hdfs)).await;
}

#[tokio::test]
async fn the_reader_reads_a_rest_catalog_on_disk_s3_and_hdfs() {
    let servers = Servers::shared();
    let (s3, hdfs) = (servers.s3(), servers.hdfs());
    appends_are_read_back(Table::of_rest(&table_name(), &servers.rest(Warehouse::File).uri)).await;
    appends_are_read_back(Table::of_rest(&table_name(), &servers.rest(Warehouse::S3).uri).on_s3(&s3)).await;
    appends_are_read_back(Table::of_rest(&table_name(), &servers.rest(Warehouse::Hdfs).uri).on_hdfs(&hdfs)).await;
}

#[tokio::test]
async fn a_server_comes_back_where_it_was() {
    let servers = Servers::own();
    let bootstrap = servers.kafka();
    let topic = Topic::create(&bootstrap, "harness", 1, &[]).await;
    topic.produce([Row::new(0, "kept")]).await;
    servers.stop("kafka");
    assert!(tokio::net::TcpStream::connect(&bootstrap).await.is_err());
    servers.start("kafka");
    assert_eq!(committed(&bootstrap, topic.name(), 1), [(0, "kept".to_owned())]);
    servers.kill("kafka");
    servers.start("kafka");
    assert_eq!(topic.bounds(0).0, 0);
    servers.pause("kafka");
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_secs(1)).is_err(), "a paused broker does not answer");
    servers.resume("kafka");
    assert_eq!(topic.bounds(0).0, 0);
}

#[tokio::test]
async fn servers_end_with_the_process_that_asked_for_them() {
    let work = Workdir::new();
    let run = std::env::temp_dir().join(format!("weir-test-{}", uuid::Uuid::new_v4().simple()));
    let script = "\"$0\" start postgres s3 --dir \"$1\" --parent $$ --remove >&2 && echo up >&2 && sleep 600";
    let servers = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
    let mut parent = work.program("bash", ["-c", script, servers, run.to_str().unwrap()]).start();
    parent.logged("up\n", LIMIT).await;
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    let postmaster = record["servers"]["postgres"]["processes"]["postmaster"]["pid"].as_u64().unwrap();
    assert!(std::fs::exists(format!("/proc/{postmaster}")).unwrap());
    parent.kill().await;
    until("the run folder is gone", LIMIT, async || (!run.exists()).then_some(())).await;
    assert!(!std::fs::exists(format!("/proc/{postmaster}/exe")).unwrap_or(false), "PostgreSQL still runs");
}

#[tokio::test]
async fn programs_are_watched_stopped_and_killed() {
    let work = Workdir::new();
    let script = "trap 'echo stopping; exit 3' TERM; echo $WORD >&2; while :; do sleep 0.02; done";
    let mut running = work.program("bash", ["-c", script]).env("WORD", "started").start();
    running.logged("started", LIMIT).await;
    running.terminate();
    assert_eq!(running.wait(LIMIT).await.failed_with(3).stdout, "stopping\n");

    let killed = work.program("sleep", ["600"]).start().kill().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
}

#[tokio::test]
async fn weir_tells_its_version() {
    let output = Workdir::new().weir(["--version"]).output(LIMIT).await.succeeded();
    assert_eq!(output.stdout.trim(), concat!("weir ", env!("CARGO_PKG_VERSION")), "{}", output.stderr);
}
