//! Commits under faults: lost and refused answers of a REST catalog, other writers, other jobs, expiry, and a table that is replaced.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use serde_json::Value;

use crate::orders::{LIMIT, OrdersJob, holds_exactly, run, send, table_on_disk, verified};
use crate::support::{Fault, Proxy, Running, Servers, Table, Topic, Warehouse, Workdir, until};

const PARTITIONS: u64 = 2;

/// A job whose REST catalog is reached through a proxy.
struct Proxied {
    folder: Workdir,
    topic: Topic,
    proxy: Proxy,
    file: PathBuf,
    /// `lake.<database>.orders`
    target: String,
    table: Table,
}

impl Proxied {
    async fn new() -> Self {
        let (brokers, rest) = (Servers::shared().kafka(), Servers::shared().rest(Warehouse::File));
        let folder = Workdir::new();
        let topic = Topic::create(&brokers, "commits", i32::try_from(PARTITIONS).unwrap(), &[]).await;
        let proxy = Proxy::before(&rest.uri).await;
        // The REST server is shared: a database of one's own.
        let database = format!("commits_{}", uuid::Uuid::new_v4().simple());
        let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
        job.catalog = format!("'catalog-type' = 'rest', 'uri' = '{}'", proxy.uri());
        job.partitioned_by = String::new();
        let file = folder.write("orders.sql", &job.sql().replace("lake.shop", &format!("lake.{database}")));
        let table = Table::of_rest(&format!("{database}.orders"), &rest.uri);
        Self { folder, topic, proxy, file, target: format!("lake.{database}.orders"), table }
    }

    /// The next `times` commits meet `fault`.
    fn inject(&self, fault: Fault, times: u32) {
        self.proxy.inject(Method::POST, "/tables/orders", fault, times);
    }

    async fn run(&self) {
        self.folder.weir(run(&self.file)).output(LIMIT).await.succeeded();
    }

    async fn verified(&self) {
        let arguments = ["verify".as_ref(), "--init".as_ref(), self.file.as_os_str(), self.target.as_ref()];
        self.folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded();
    }
}

/// One run for each of `faults`, which every one of them must meet.
async fn survives(faults: &[Fault], times: u32) {
    let setting = Proxied::new().await;
    let mut sent = send(&setting.topic, PARTITIONS, 0..100).await;
    setting.run().await;
    for (fault, number) in faults.iter().zip(1_u64..) {
        sent.extend(send(&setting.topic, PARTITIONS, number * 100..(number + 1) * 100).await);
        setting.inject(*fault, times);
        setting.run().await;
        assert_eq!(setting.proxy.left(), 0, "{fault:?} was not met");
        setting.verified().await;
    }
    holds_exactly(&setting.table, &sent).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_after_the_swap_is_found_and_not_repeated() {
    let lost = [500, 503, 504, 429].map(Fault::LoseAnswer);
    survives(&[lost.as_slice(), &[Fault::CutAnswer]].concat(), 1).await;
}

#[tokio::test]
async fn a_commit_whose_answer_comes_after_the_deadline_is_found_and_not_repeated() {
    survives(&[Fault::DelayAnswer(Duration::from_secs(90))], 1).await;
}

#[tokio::test]
async fn a_commit_that_is_refused_before_the_swap_is_made_again_until_it_passes() {
    survives(&[500, 503, 504, 429].map(Fault::Answer), 3).await;
}

#[tokio::test]
async fn a_foreign_commit_between_our_read_and_our_swap_leaves_both_in_the_table_once() {
    let setting = Proxied::new().await;
    let mut expected = send(&setting.topic, PARTITIONS, 0..100).await;
    setting.run().await;
    expected.extend(send(&setting.topic, PARTITIONS, 100..200).await);
    setting.inject(Fault::Hold, 1);
    let running = setting.folder.weir(run(&setting.file)).start();
    until("our swap is on its way", LIMIT, async || (setting.proxy.left() == 0).then_some(())).await;
    let rows = setting.folder.write("rows", "{\"id\":7,\"p\":99,\"o\":0}\n{\"id\":8,\"p\":99,\"o\":1}\n");
    let foreign = setting.table.append(&rows).await["snapshot"].clone();
    setting.proxy.release();
    running.wait(LIMIT).await.succeeded();
    expected.extend([(99, 0), (99, 1)]);
    let found = holds_exactly(&setting.table, &expected).await;
    let [.., before, last] = found["snapshots"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&before["id"], &last["summary"]["weir.job"]), (&foreign, &Value::from("orders")), "ours is made anew on the foreign one");
    setting.verified().await;
}

/// The answer of the endpoint of a running job, once `wanted` gives something for it.
async fn told<T>(running: &mut Running, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
    let address = running.address(LIMIT).await;
    until(what, LIMIT, async || wanted(&running.status(&address).await?)).await
}

fn commits(status: &Value) -> u64 {
    status["sinks"].as_object().unwrap().values().map(|sink| sink["commits"].as_u64().unwrap()).sum()
}

fn rows(status: &Value) -> u64 {
    status["sinks"].as_object().unwrap().values().map(|sink| sink["rows"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn two_jobs_that_write_one_table_at_the_same_time_are_both_in_it_once() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let mut running = Vec::new();
    let mut topics = Vec::new();
    for (name, shift) in [("first", 0), ("second", 100)] {
        let topic = Topic::create(&brokers, name, 2, &[]).await;
        let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
        job.name = name.to_owned();
        job.bounded = false;
        job.settings = "SET 'execution.checkpointing.interval' = '100 ms';".to_owned();
        job.inserts = format!(
            "INSERT INTO lake.shop.orders SELECT id, user_id, item_id, category, event_type, amount, ts, props, CAST(p + {shift} AS INT), o FROM orders;"
        );
        // Both create database and table, at the same time.
        running.push(folder.weir(run(&job.write(&folder))).start());
        topics.push((topic, shift));
    }
    let mut sent = Vec::new();
    for round in 0..4_u64 {
        for (topic, shift) in &topics {
            let places = send(topic, PARTITIONS, round * 200..(round + 1) * 200).await;
            sent.extend(places.into_iter().map(|(partition, offset)| (partition + shift, offset)));
        }
        for job in &mut running {
            told(job, "the round is committed", |status| (rows(status) == (round + 1) * 200).then_some(())).await;
        }
    }
    for job in running {
        job.terminate();
        job.wait(LIMIT).await.succeeded();
    }
    let found = holds_exactly(&table_on_disk(&folder), &sent).await;
    // Rewrites by auto-compaction are of no job.
    let jobs: Vec<&str> = found["snapshots"].as_array().unwrap().iter().filter_map(|snapshot| snapshot["summary"]["weir.job"].as_str()).collect();
    let turns = jobs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns >= 4, "the jobs took turns in {jobs:?}");
    verified(&folder, &folder.path("first.sql")).await;
}

#[tokio::test]
async fn the_same_source_under_a_new_name_is_refused_unless_confirmed() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 2, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    let sent = send(&topic, PARTITIONS, 0..300).await;
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    job.name = "renamed".to_owned();
    let file = job.write(&folder);
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    for part in ["'orders'", "'renamed'", "--confirm-shared-source", "'execution.allow-shared-source'='true'"] {
        assert!(refused.stderr.contains(part), "{part} is not in {}", refused.stderr);
    }
    holds_exactly(&table_on_disk(&folder), &sent).await;
    // Both ways out that the message names are ways out.
    folder.weir(["run".as_ref(), file.as_os_str(), "--confirm-shared-source".as_ref()]).output(LIMIT).await.succeeded();
    job.name = "renamed-again".to_owned();
    job.settings = "SET 'execution.allow-shared-source' = 'true';".to_owned();
    folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
    assert_eq!(table_on_disk(&folder).check(&[]).await["rows"], 3 * sent.len());
}

#[tokio::test]
async fn a_foreign_writer_on_top_and_its_expiry_of_our_snapshots_hide_nothing() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 2, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.partitioned_by = String::new();
    let file = job.write(&folder);
    let table = table_on_disk(&folder);
    let mut expected = send(&topic, PARTITIONS, 0..300).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    // Committed, but the process died before it could note that: whether it was, only the table knows.
    expected.extend(send(&topic, PARTITIONS, 300..600).await);
    let killed = folder.weir(run(&file)).env("WEIR_FAIL", "commit-after-swap=kill").output(LIMIT).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{}", killed.stderr);
    table.append(&folder.write("rows", "{\"id\":7,\"p\":99,\"o\":0}\n")).await;
    expected.push((99, 0));
    let expired = table.expire().await;
    assert_eq!((expired["expired"].as_array().unwrap().len() >= 2, expired["left"].as_array().unwrap().len()), (true, 1), "{expired}");
    expected.extend(send(&topic, PARTITIONS, 600..900).await);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table, &expected).await;
    verified(&folder, &file).await;
}

/// Sends orders in rounds to a job that commits ten times a second, until it has made `commits` commits; then ends it.
async fn many_commits(folder: &Workdir, topic: &Topic, job: &Path, wanted: u64) -> Vec<(i32, i64)> {
    let mut running = folder.weir(run(job)).start();
    let mut sent = Vec::new();
    let mut made = 0;
    while made < wanted {
        let next = sent.len() as u64;
        sent.extend(send(topic, PARTITIONS, next..next + 20).await);
        made = told(&mut running, "the round is committed", |status| (rows(status) == next + 20).then(|| commits(status))).await;
    }
    running.terminate();
    running.wait(LIMIT).await.succeeded();
    sent
}

#[tokio::test]
async fn metadata_stays_small_under_many_commits() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 2, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.bounded = false;
    job.settings = "SET 'execution.checkpointing.interval' = '100 ms';".to_owned();
    job.table_options = "WITH ('write.metadata.previous-versions-max' = '5', 'commit.manifest.min-count-to-merge' = '4')".to_owned();
    let file = job.write(&folder);
    let sent = many_commits(&folder, &topic, &file, 30).await;
    let found = holds_exactly(&table_on_disk(&folder), &sent).await;
    assert!(found["snapshots"].as_array().unwrap().len() >= 30);
    let manifests = found["manifests"].as_u64().unwrap();
    assert!(manifests <= 4, "{manifests} manifests");
    let metadata = std::fs::read_dir(folder.path("warehouse/shop/orders/metadata")).unwrap();
    let versions = metadata.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".metadata.json")).count();
    assert_eq!(versions, 6, "the current one and five before it");
    verified(&folder, &file).await;
}

#[tokio::test]
async fn a_job_expires_its_own_old_snapshots_when_the_table_asks_for_it() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 2, &[]).await;
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.table_options = "WITH ('weir.expire-snapshots.enabled' = 'true', 'history.expire.max-snapshot-age-ms' = '1',
      'history.expire.min-snapshots-to-keep' = '2')"
        .to_owned();
    let file = job.write(&folder);
    let mut sent = Vec::new();
    for round in 0..5 {
        sent.extend(send(&topic, PARTITIONS, round * 100..(round + 1) * 100).await);
        folder.weir(run(&file)).output(LIMIT).await.succeeded();
    }
    let found = holds_exactly(&table_on_disk(&folder), &sent).await;
    assert_eq!(found["snapshots"].as_array().unwrap().len(), 2, "{}", found["snapshots"]);
    verified(&folder, &file).await;
}

#[tokio::test]
async fn a_bounded_job_over_an_empty_topic_ends_well_and_makes_no_snapshot() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "empty", 3, &[]).await;
    let file = OrdersJob::on_disk(&folder, &topic, &brokers).write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let found = table_on_disk(&folder).check(&[]).await;
    assert_eq!((&found["rows"], &found["snapshots"]), (&Value::from(0), &Value::Array(Vec::new())));
    assert_eq!(found["properties"]["write.metadata.delete-after-commit.enabled"], "true", "{}", found["properties"]);
    verified(&folder, &file).await;
}

#[tokio::test]
async fn a_table_replaced_under_a_running_job_stops_it_with_both_uuids_and_unmoved_offsets() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let topic = Topic::create(&brokers, "orders", 1, &[]).await;
    let group = format!("group-{}", uuid::Uuid::new_v4().simple());
    let mut job = OrdersJob::on_disk(&folder, &topic, &brokers);
    job.bounded = false;
    job.source_options = format!(", 'properties.group.id' = '{group}'");
    let file = job.write(&folder);
    let table = table_on_disk(&folder);
    send(&topic, 1, 0..100).await;
    let mut running = folder.weir(run(&file)).start();
    told(&mut running, "the first rows are committed", |status| (rows(status) == 100).then_some(())).await;
    until("the group's offset is shown", LIMIT, async || (topic.committed_by(&group, 0) == Some(100)).then_some(())).await;
    let old = table.check(&[]).await["uuid"].as_str().unwrap().to_owned();
    let again =
        format!("DROP TABLE lake.shop.orders; CREATE TABLE lake.shop.orders ({}) PARTITIONED BY (event_type, days(ts));", crate::orders::COLUMNS);
    let arguments = ["sql".as_ref(), "--init".as_ref(), file.as_os_str(), "-e".as_ref(), again.as_ref()];
    folder.weir::<&OsStr>(arguments).output(LIMIT).await.succeeded();
    let new = table.check(&[]).await["uuid"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    send(&topic, 1, 100..200).await;
    let stopped = running.wait(LIMIT).await.failed_with(3);
    assert!(stopped.stderr.contains(&old) && stopped.stderr.contains(&new), "{}", stopped.stderr);
    let found = table.check(&[]).await;
    assert_eq!((&found["rows"], &found["uuid"]), (&Value::from(0), &Value::from(new.as_str())), "nothing was written to the new table");
    assert_eq!(topic.committed_by(&group, 0), Some(100), "the offsets have not moved");
    // It stays stopped: the next start finds the same.
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains(&old) && refused.stderr.contains(&new), "{}", refused.stderr);
}
