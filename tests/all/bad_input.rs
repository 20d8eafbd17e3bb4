//! Input that goes wrong, and servers that are away: the job stops and says why, or waits and goes on; nothing is lost either way.

use std::path::Path;
use std::time::Duration;

use axum::http::Method;

use crate::orders::{
    COLUMNS, LIMIT, OrdersJob, Setting, committed, endpoint, holds_exactly, order, run, send, sqlite, table_on_disk, tells_each_outage_once, verified,
};
use crate::orphans::nothing_is_left;
use crate::support::{Fault, Proxy, Row, Servers, Table, Warehouse, Workdir};

const PARTITIONS: u64 = 2;
/// A job that gives up at its first failure.
const NO_RESTART: &str = "SET 'restart-strategy.type' = 'none';";

async fn setting(brokers: &str) -> Setting {
    Setting::on_disk(brokers, PARTITIONS).await
}

/// Fails the test unless the table holds `rows` rows, none of them twice; for topics with gaps.
async fn holds_each_once(folder: &Workdir, job: &Path, rows: usize) {
    let found = table_on_disk(folder).check(&["--unique", "p,o"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"]), (&rows.into(), &0.into()));
    verified(folder, job).await;
}

async fn nothing_is_committed(folder: &Workdir) {
    let table = table_on_disk(folder).check(&[]).await;
    assert_eq!(table["snapshots"].as_array().unwrap().len(), 0, "{table}");
}

#[track_caller]
fn says(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[tokio::test]
async fn a_malformed_message_stops_the_job_and_is_counted_once_the_option_tolerates_it() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let bad = topic.produce([Row::new(1, order(1_000).replace("\"pos\":0", "\"pos\":\"first\"")), Row::new(1, "{\"id\":")]).await;
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    job.bounded = false;
    let file = job.write(&folder);
    let stopped = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    let place = format!("topic '{}' partition 1 offset {}", topic.name(), bad[0].1);
    says(
        &stopped.stderr,
        &[&place, "column 'props.ref.pos'", "'error.mode' = 'dead-letter'", "'json.ignore-parse-errors' = 'true' tolerates such messages"],
    );

    // Neither the bad messages nor their neighbours before and behind are gone: with the option, all that can be read is read.
    job.source_options = ", 'json.ignore-parse-errors' = 'true'".to_owned();
    let file = job.write(&folder);
    let mut running = folder.weir(run(&file)).start();
    running.logged("bad message skipped", LIMIT).await;
    let address = running.address(LIMIT).await;
    crate::support::until("all messages are read and committed", LIMIT, async || {
        let status = running.status(&address).await?;
        let source = status["sources"].as_object()?.values().next()?;
        let split = &source["splits"][format!("{}/1", topic.name())];
        (split["cut"] == topic.bounds(1).1 && status["sinks"].as_object()?.values().all(|sink| sink["pending_commits"] == 0)).then_some(())
    })
    .await;
    let metrics = reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap();
    // As in Flink, a bad field is NULL, and a message that is no JSON at all is skipped.
    for name in ["bad_fields", "skipped_messages"] {
        let count = metrics.lines().find(|line| line.starts_with(&format!("weir_connectors_kafka_{name}_total{{")));
        assert!(count.is_some_and(|line| line.ends_with(" 1")), "{name}: {count:?}");
    }
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    sent.push(bad[0]);
    holds_each_once(&folder, &file, sent.len()).await;
}

#[tokio::test]
async fn brokers_that_are_away_are_waited_for_and_mentioned_once() {
    let servers = Servers::own();
    let Setting { folder, topic, mut job } = setting(&servers.kafka()).await;
    job.bounded = false;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let mut running = folder.weir(run(&file)).start();
    let address = endpoint(&folder, 0).await;
    committed(&address, 1_000).await;
    servers.pause("kafka");
    running.logged("source cannot be reached, waiting", LIMIT).await;
    servers.resume("kafka");
    running.logged("source reached again", LIMIT).await;
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    committed(&address, 2_000).await;
    running.terminate();
    let ended = running.wait(LIMIT).await.succeeded();
    tells_each_outage_once(&ended.stderr);
    holds_exactly(&table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn offsets_gone_by_retention_stop_the_job_until_their_loss_is_accepted() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let later = send(&topic, PARTITIONS, 1_000..2_000).await;
    topic.forget_before(1, 700).await;
    let stopped = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    let place = format!("topic '{}' partition 1: offsets 500 to 699 are gone", topic.name());
    says(&stopped.stderr, &[&place, "set 'properties.auto.offset.reset' = 'earliest'"]);
    holds_exactly(&table_on_disk(&folder), &sent).await;

    job.source_options = ", 'properties.auto.offset.reset' = 'earliest'".to_owned();
    let file = job.write(&folder);
    let accepted = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    says(&accepted.stderr, &["offsets are lost", "lost=200"]);
    sent.extend(later.into_iter().filter(|(partition, offset)| *partition == 0 || *offset >= 700));
    holds_each_once(&folder, &file, sent.len()).await;
}

#[tokio::test]
async fn with_latest_a_lost_range_is_skipped_up_to_the_end_whether_a_reader_or_a_start_finds_it() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    job.source_options = ", 'properties.auto.offset.reset' = 'latest'".to_owned();
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();

    // Offset 500 is there when the job looks where to go on, and gone when its reader comes.
    let later = send(&topic, PARTITIONS, 1_000..2_000).await;
    let mut running = folder.weir(run(&file)).env("WEIR_FAIL", "kafka-source-connected=sleep:12000").start();
    running.logged("kafka source connected", LIMIT).await;
    topic.forget_before(1, 700).await;
    says(&running.wait(LIMIT).await.succeeded().stderr, &["offsets are lost", "partition=1 lost=500 to=1000"]);
    sent.extend(later.into_iter().filter(|(partition, _)| *partition == 0));

    let later = send(&topic, PARTITIONS, 2_000..3_000).await;
    topic.forget_before(0, 1_200).await;
    says(&folder.weir(run(&file)).output(LIMIT).await.succeeded().stderr, &["offsets are lost", "partition=0 lost=500 to=1500"]);
    sent.extend(later.into_iter().filter(|(partition, _)| *partition == 1));
    sent.extend(send(&topic, PARTITIONS, 3_000..3_100).await);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_each_once(&folder, &file, sent.len()).await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_or_another_one_by_now_stops_the_job() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    job.bounded = false;
    let sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let running = folder.weir(run(&file)).start();
    committed(&endpoint(&folder, 0).await, 1_000).await;
    topic.delete().await;
    let under_way = running.wait(LIMIT).await.failed_with(3);
    says(&under_way.stderr, &[&format!("topic '{}'", topic.name()), "was deleted while the job was reading it"]);
    let gone = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    says(&gone.stderr, &[&format!("topic '{}' does not exist", topic.name())]);
    topic.create_again(i32::try_from(PARTITIONS).unwrap(), &[]).await;
    send(&topic, PARTITIONS, 5_000..5_100).await;
    let recreated = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    says(&recreated.stderr, &[&format!("topic '{}' was deleted and created again", topic.name()), "start a job of another name"]);
    holds_exactly(&table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn a_topic_created_again_under_a_running_job_stops_it_and_nothing_of_the_new_one_is_read() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    job.bounded = false;
    let sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let running = folder.weir(run(&file)).start();
    committed(&endpoint(&folder, 0).await, 1_000).await;
    topic.delete().await;
    topic.create_again(i32::try_from(PARTITIONS).unwrap(), &[]).await;
    send(&topic, PARTITIONS, 5_000..8_000).await;
    let stopped = running.wait(LIMIT).await.failed_with(3);
    says(&stopped.stderr, &[&format!("topic '{}'", topic.name()), "deleted"]);
    holds_exactly(&table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn nothing_is_committed_of_a_topic_that_was_created_again_between_the_look_at_its_id_and_the_first_fetch() {
    let Setting { folder, topic, job } = setting(&Servers::shared().kafka()).await;
    send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let mut running = folder.weir(run(&file)).env("WEIR_FAIL", "kafka-source-connected=sleep:15000").start();
    running.logged("kafka source connected", LIMIT).await;
    topic.delete().await;
    topic.create_again(i32::try_from(PARTITIONS).unwrap(), &[]).await;
    // As many as before: the ends tell nothing.
    send(&topic, PARTITIONS, 5_000..6_000).await;
    let stopped = running.wait(LIMIT).await.failed_with(3);
    says(&stopped.stderr, &[&format!("topic '{}' was deleted and created again", topic.name())]);
    let empty = table_on_disk(&folder).check(&[]).await;
    assert_eq!(empty["snapshots"].as_array().unwrap().len(), 0, "{empty}");
}

#[tokio::test]
async fn new_partitions_are_read_from_their_beginning() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    job.bounded = false;
    job.source_options = ", 'scan.topic-partition-discovery.interval' = '200 ms'".to_owned();
    // Even though the others begin at their end.
    let sql = job.sql().replace("'earliest-offset'", "'latest-offset'");
    let file = folder.write("orders.sql", &sql);
    send(&topic, PARTITIONS, 0..500).await;
    let mut running = folder.weir(run(&file)).start();
    running.logged("kafka source connected", LIMIT).await;
    topic.grow(4).await;
    let mut sent = topic.produce((0..300).map(|id| Row::new(2 + i32::try_from(id % 2).unwrap(), order(id)))).await;
    let address = endpoint(&folder, 0).await;
    committed(&address, 300).await;
    sent.extend(topic.produce((300..400).map(|id| Row::new(i32::try_from(id % 4).unwrap(), order(id)))).await);
    committed(&address, 400).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    // Stopped while a partition is added: it is new to the next start too.
    topic.grow(5).await;
    sent.extend(topic.produce((400..450).map(|id| Row::new(4, order(id)))).await);
    let file = folder.write("orders.sql", &sql.replace("'latest-offset'", "'latest-offset', 'scan.bounded.mode' = 'latest-offset'"));
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    verified(&folder, &file).await;
}

/// A job whose warehouse is on S3 behind `proxy`.
fn on_s3(folder: &Workdir, job: &mut OrdersJob, proxy: &Proxy) -> Table {
    let s3 = Servers::shared().s3();
    let root = format!("s3://{}/{}", s3.bucket, uuid::Uuid::new_v4().simple());
    job.catalog = format!(
        "'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{root}', 's3.endpoint' = '{}', 's3.access-key-id' = '{}', \
         's3.secret-access-key' = '{}', 's3.region' = '{}', 's3.path-style-access' = 'true'",
        sqlite(folder),
        proxy.uri(),
        s3.access_key,
        s3.secret_key,
        s3.region
    );
    Table::of_sql("shop.orders", "lake", &sqlite(folder), &root).on_s3(&s3)
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_answering_503_for_a_while_is_asked_again_and_the_job_goes_on() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let table = on_s3(&folder, &mut job, &proxy);
    job.bounded = false;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let mut running = folder.weir(run(&file)).start();
    let address = endpoint(&folder, 0).await;
    committed(&address, 1_000).await;
    proxy.answer_all(503);
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    running.logged("request failed, trying again", LIMIT).await;
    proxy.mend();
    committed(&address, 2_000).await;
    running.terminate();
    let ended = running.wait(LIMIT).await.succeeded();
    assert!(!ended.stderr.contains("attempt failed"), "{}", ended.stderr);
    holds_exactly(&table, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_away_longer_than_the_deadline_ends_the_job_and_a_new_start_goes_on() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let table = on_s3(&folder, &mut job, &proxy);
    job.bounded = false;
    job.settings = format!("{NO_RESTART} SET 'fs.request.deadline' = '10 s';");
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = job.write(&folder);
    let running = folder.weir(run(&file)).start();
    committed(&endpoint(&folder, 0).await, 1_000).await;
    proxy.answer_all(503);
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    let gave_up = running.wait(LIMIT).await.failed_with(4);
    says(&gave_up.stderr, &["gave up", "503", "s3://"]);
    proxy.mend();
    job.bounded = true;
    job.settings.clear();
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table, &sent).await;
}

/// A job on the shared REST catalog behind `proxy`, with the table's name.
fn on_rest(job: &mut OrdersJob, proxy: &Proxy) -> String {
    job.catalog = format!("'catalog-type' = 'rest', 'uri' = '{}'", proxy.uri());
    format!("shop_{}", uuid::Uuid::new_v4().simple())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_away_for_a_while_is_asked_again_and_the_job_goes_on() {
    let rest = Servers::shared().rest(Warehouse::File);
    let proxy = Proxy::before(&rest.uri).await;
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let database = on_rest(&mut job, &proxy);
    job.bounded = false;
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let file = folder.write("orders.sql", &job.sql().replace("lake.shop", &format!("lake.{database}")));
    let mut running = folder.weir(run(&file)).start();
    let address = endpoint(&folder, 0).await;
    committed(&address, 1_000).await;
    proxy.answer_all(503);
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    running.logged("trying again", LIMIT).await;
    proxy.mend();
    committed(&address, 2_000).await;
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    holds_exactly(&Table::of_rest(&format!("{database}.orders"), &rest.uri), &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_away_longer_than_the_deadline_ends_the_job_and_a_new_start_goes_on() {
    let rest = Servers::shared().rest(Warehouse::File);
    let proxy = Proxy::before(&rest.uri).await;
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let database = on_rest(&mut job, &proxy);
    job.bounded = false;
    job.settings = format!("{NO_RESTART} SET 'execution.checkpointing.timeout' = '20 s';");
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    let name = |job: &OrdersJob| job.sql().replace("lake.shop", &format!("lake.{database}"));
    let file = folder.write("orders.sql", &name(&job));
    let running = folder.weir(run(&file)).start();
    committed(&endpoint(&folder, 0).await, 1_000).await;
    proxy.answer_all(503);
    sent.extend(send(&topic, PARTITIONS, 1_000..2_000).await);
    let gave_up = running.wait(LIMIT).await.failed_with(4);
    says(&gave_up.stderr, &["gave up", "the commit of epoch", &format!("table lake.{database}.orders"), "within 20s", "503", proxy.uri()]);
    proxy.mend();
    job.bounded = true;
    job.settings.clear();
    let file = folder.write("orders.sql", &name(&job));
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&Table::of_rest(&format!("{database}.orders"), &rest.uri), &sent).await;
}

#[tokio::test]
async fn a_full_disk_commits_nothing_and_the_job_goes_on_when_there_is_space() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let sent = send(&topic, PARTITIONS, 0..2_000).await;
    let full = folder.write("full", "");
    let faults = format!("put:*.parquet=enospc?{}", full.display());
    job.settings = format!("{NO_RESTART} SET 'fs.request.deadline' = '10 s';");
    let file = job.write(&folder);
    let stopped = folder.weir(run(&file)).env("WEIR_FS_FAULTS", &faults).output(LIMIT).await.failed_with(4);
    says(&stopped.stderr, &["no space left on device", ".parquet"]);
    nothing_is_committed(&folder).await;

    // A process that may restart its job waits for the space.
    job.settings = "SET 'fs.request.deadline' = '10 s';".to_owned();
    let file = job.write(&folder);
    let mut waiting = folder.weir(run(&file)).env("WEIR_FS_FAULTS", &faults).start();
    waiting.logged("attempt failed, the next one begins after a wait", LIMIT).await;
    std::fs::remove_file(&full).unwrap();
    waiting.wait(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    nothing_is_left(&table_on_disk(&folder)).await;
    verified(&folder, &file).await;
}

#[tokio::test]
async fn no_space_for_a_checkpoint_commits_nothing_and_its_files_are_deleted_by_name() {
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    let sent = send(&topic, PARTITIONS, 0..2_000).await;
    let full = folder.write("full", "");
    // The first object of the job is its claim, the second its first checkpoint.
    let faults = format!("put:checkpoints/orders/000000000002.json=enospc?{}", full.display());
    job.settings = format!("{NO_RESTART} SET 'fs.request.deadline' = '10 s';");
    let file = job.write(&folder);
    let stopped = folder.weir(run(&file)).env("WEIR_FS_FAULTS", &faults).output(LIMIT).await.failed_with(4);
    says(&stopped.stderr, &["no space left on device", "000000000002.json"]);
    nothing_is_committed(&folder).await;
    std::fs::remove_file(&full).unwrap();
    job.settings.clear();
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    nothing_is_left(&table_on_disk(&folder)).await;
}

/// What `weir explain` prints about SQL that it refuses.
async fn explained(sql: &str) -> String {
    let folder = Workdir::new();
    let file = folder.write("job.sql", sql);
    folder.weir(["explain".as_ref(), file.as_os_str()]).output(Duration::from_secs(60)).await.failed_with(2).stderr
}

#[tokio::test]
async fn all_wrong_options_of_a_table_are_told_at_once_with_line_and_column() {
    let told = explained(
        "SET 'pipeline.name' = 'orders';
CREATE TABLE orders (id BIGINT) WITH (
  'connector' = 'kafka',
  'topic' = 'orders',
  'bootstrap.servers' = '127.0.0.1:9092',
  'scan.startup.mod' = 'earliest-offset',
  'scan.startup.mode' = 'earliest',
  'scan.topic-partition-discovery.interval' = '5 mins ago',
  'format' = 'json',
  'json.ignore-parse-errors' = 'yes'
);
INSERT INTO nowhere SELECT * FROM orders;
",
    )
    .await;
    let table = "Table 'default_catalog.default_database.orders'";
    says(
        &told,
        &[
            &format!("[OPT-001] {table}: Unsupported options found for 'kafka': "),
            "'scan.startup.mod'",
            "Did you mean 'scan.startup.mode'?",
            &format!("[OPT-002] {table}: One or more required options are missing: 'properties.bootstrap.servers'."),
            "'bootstrap.servers'",
            &format!(
                "[OPT-004] {table}: Invalid value for option 'scan.startup.mode': 'earliest'. Expected one of: [earliest-offset, latest-offset, group-offsets, timestamp, specific-offsets]."
            ),
            "Did you mean 'earliest-offset'?",
            &format!("[OPT-003] {table}: Invalid value for option 'scan.topic-partition-discovery.interval': '5 mins ago' is not a duration."),
            &format!("[OPT-003] {table}: Invalid value for option 'json.ignore-parse-errors': 'yes' is not a boolean. Expected 'true' or 'false'."),
            "at line 6, column 3",
            "at line 7, column",
            "at line 8, column",
            "at line 10, column",
        ],
    );
    let lines: Vec<usize> =
        told.match_indices("at line ").map(|(at, found)| told[at + found.len()..].split(',').next().unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "problems in the order of their places: {told}");
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_what_was_meant_and_where_it_stands() {
    let connector = explained("CREATE TABLE t (id BIGINT)\n  WITH ('connector' = 'kafak', 'topic' = 't');").await;
    says(
        &connector,
        &[
            "[CON-001] Table 'default_catalog.default_database.t': Cannot discover a connector using option 'connector'='kafak'. Did you mean 'kafka'? Available: ",
            "blackhole",
            "at line 2, column 9",
        ],
    );
    let key = explained("SET 'table.exec.state.tll' = '1 h';").await;
    says(&key, &["[CFG-001] SET: unknown key 'table.exec.state.tll'. Did you mean 'table.exec.state.ttl'?", "at line 1, column 5"]);
    let own = explained("SET 'execution.checkpointing.intervall' = '1 s';").await;
    says(&own, &["[CFG-001] SET: unknown key 'execution.checkpointing.intervall'. Did you mean 'execution.checkpointing.interval'?"]);
    let catalog = explained("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'glue');").await;
    says(&catalog, &["Catalog 'lake'", "'catalog-type'", "glue", "rest", "sql", "at line 1, column"]);
    let kind = explained("CREATE CATALOG lake WITH ('type' = 'iceburg', 'catalog-type' = 'rest', 'uri' = 'http://127.0.0.1:1');").await;
    says(&kind, &["[OPT-004] Catalog 'lake'", "'iceburg'", "'iceberg'", "at line 1, column 27"]);
    let target = explained(&format!(
        "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'memory://w');
CREATE DATABASE lake.shop;
CREATE TABLE lake.shop.orders ({COLUMNS}) WITH (
  'write.format.defualt' = 'parquet', 'distribution-mode' = 'round-robin', 'write.parquet.compression-codec' = 'zip');"
    ))
    .await;
    says(&target, &["write.format.defualt", "'write.format.default'", "round-robin", "zip", "at line 5, column 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_s3_request_is_not_repeated_until_the_deadline() {
    let proxy = Proxy::before(&Servers::shared().s3().endpoint).await;
    let Setting { folder, topic, mut job } = setting(&Servers::shared().kafka()).await;
    on_s3(&folder, &mut job, &proxy);
    send(&topic, PARTITIONS, 0..100).await;
    proxy.inject(Method::PUT, ".parquet", Fault::Answer(403), u32::MAX);
    let file = job.write(&folder);
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    says(&refused.stderr, &["403", "s3://"]);
}
