//! Killed, doubled, restored, recreated: every order is in the table once, or the job says why not.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::orders::{LIMIT, OrdersJob, Setting, holds_exactly, order, run, send, table_on_disk, verified};
use crate::orphans::{nothing_is_left, nothing_is_left_but};
use crate::support::{Ending, Row, Servers, Topic, Workdir, until};

const PARTITIONS: u64 = 4;

async fn setting() -> Setting {
    Setting::on_disk(&Servers::shared().kafka(), PARTITIONS).await
}

async fn killed_at(place: &str) {
    let Setting { folder, topic, job } = setting().await;
    let sent = send(&topic, PARTITIONS, 0..20_000).await;
    let file = job.write(&folder);
    let killed = folder.weir(run(&file)).env("WEIR_FAIL", &format!("{place}=kill")).output(LIMIT).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "`{place}` was not reached\n{}", killed.stderr);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    nothing_is_left(&table_on_disk(&folder)).await;
    verified(&folder, &file).await;
}

macro_rules! killed_at {
    ($($name:ident: $place:literal;)*) => { $(
        #[tokio::test]
        async fn $name() {
            killed_at($place).await;
        }
    )* };
}

killed_at! {
    killed_when_rows_are_read_nothing_is_lost_or_doubled: "epoch-rows-read";
    killed_with_an_open_file_nothing_is_lost_or_doubled: "sink-file-open";
    killed_when_files_are_closed_nothing_is_lost_or_doubled: "sink-files-closed";
    killed_when_the_epoch_has_ended_nothing_is_lost_or_doubled: "epoch-files-closed";
    killed_before_the_checkpoint_nothing_is_lost_or_doubled: "checkpoint-before-put";
    killed_after_the_checkpoint_nothing_is_lost_or_doubled: "checkpoint-after-put";
    killed_with_manifests_written_nothing_is_lost_or_doubled: "commit-manifest-written";
    killed_before_the_swap_nothing_is_lost_or_doubled: "commit-before-swap";
    killed_with_the_metadata_file_written_nothing_is_lost_or_doubled: "commit-metadata-written";
    killed_after_the_swap_nothing_is_lost_or_doubled: "commit-after-swap";
    killed_before_the_committed_mark_nothing_is_lost_or_doubled: "before-committed-mark";
}

/// Kills at random, `WEIR_TEST_KILLS` of them (25 if unset), while orders keep coming; then a gentle stop.
#[tokio::test]
async fn killed_at_random_while_orders_flow_nothing_is_lost_or_doubled() {
    #[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
    let kills: u64 = std::env::var("WEIR_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let Setting { folder, topic, mut job } = setting().await;
    job.bounded = false;
    let file = job.write(&folder);
    let mut sent = Vec::new();
    let mut next = 0;
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..kills {
        let running = folder.weir(run(&file)).start();
        // Between no time at all and long enough for some commits.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_millis(150 + (seed >> 33) % 2_850);
        let until_kill = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < until_kill {
            sent.extend(send(&topic, PARTITIONS, next..next + 500).await);
            next += 500;
        }
        running.kill().await;
    }
    job.bounded = true;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    // A kill while the table is created may leave the first metadata file of a table that never was.
    nothing_is_left_but(&table_on_disk(&folder), |path| path.contains("/metadata/00000-")).await;
    verified(&folder, &file).await;
}

#[tokio::test]
async fn a_gentle_stop_commits_what_was_read_and_ends_well_within_ten_seconds() {
    let Setting { folder, topic, mut job } = setting().await;
    job.bounded = false;
    job.settings = "SET 'execution.checkpointing.interval' = '10 min';".to_owned();
    let sent = send(&topic, PARTITIONS, 0..5_000).await;
    let file = job.write(&folder);
    let mut running = folder.weir(run(&file)).env("WEIR_STOP_TIMEOUT", "9 s").start();
    let address = running.address(LIMIT).await;
    until("the job has read what is there", LIMIT, async || {
        let status = running.status(&address).await?;
        // Until the job has recovered there is no source in the status, and none of none lags behind.
        let sources = status["sources"].as_object()?;
        (!sources.is_empty() && sources.values().all(|source| source["lag"] == 0 && source["rows"] == 5_000)).then_some(())
    })
    .await;
    running.terminate();
    let stopped = running.wait(Duration::from_secs(10)).await.succeeded();
    assert!(stopped.stderr.contains("rows=5000"), "{}", stopped.stderr);
    holds_exactly(&table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn the_same_job_started_twice_fences_the_older_and_never_writes_both() {
    let Setting { folder, topic, mut job } = setting().await;
    job.bounded = false;
    let file = job.write(&folder);
    let mut sent = send(&topic, PARTITIONS, 0..2_000).await;
    let mut older = folder.weir(run(&file)).start();
    older.logged("committed", LIMIT).await;
    let mut newer = folder.weir(run(&file)).start();
    newer.logged("going on from the last checkpoint", LIMIT).await;
    sent.extend(send(&topic, PARTITIONS, 2_000..10_000).await);
    let fenced = older.wait(LIMIT).await.failed_with(5);
    assert!(fenced.stderr.contains("taken over"), "{}", fenced.stderr);
    sent.extend(send(&topic, PARTITIONS, 10_000..12_000).await);
    newer.logged("committed", LIMIT).await;
    newer.terminate();
    newer.wait(LIMIT).await.succeeded();
    job.bounded = true;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    holds_exactly(&table_on_disk(&folder), &sent).await;
    nothing_is_left(&table_on_disk(&folder)).await;
}

#[tokio::test]
async fn without_checkpoints_the_job_goes_on_from_the_markers_of_its_tables() {
    let Setting { folder, topic, mut job } = setting().await;
    job.inserts = "CREATE TABLE IF NOT EXISTS lake.shop.buys (id BIGINT, p INT, o BIGINT);
EXECUTE STATEMENT SET BEGIN
  INSERT INTO lake.shop.orders SELECT * FROM orders;
  INSERT INTO lake.shop.buys SELECT id, p, o FROM orders WHERE event_type = 'buy';
END;"
        .to_owned();
    let file = job.write(&folder);
    let buys = |ids: std::ops::Range<u64>| ids.filter(|id| id % 4 == 3);
    let mut sent = send(&topic, PARTITIONS, 0..4_000).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    // An epoch in which only one of the two sinks has rows: their markers are apart.
    let quiet: Vec<Row> = (0..500).map(|id| Row::new(0, order(id * 4))).collect();
    sent.extend(topic.produce(quiet).await);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    std::fs::remove_dir_all(folder.path("checkpoints")).unwrap();
    sent.extend(send(&topic, PARTITIONS, 4_000..6_000).await);
    let resumed = folder.weir(run(&file)).output(LIMIT).await.succeeded();
    assert!(resumed.stderr.contains("the checkpoints are gone"), "{}", resumed.stderr);
    holds_exactly(&table_on_disk(&folder), &sent).await;
    let table = crate::support::Table::of_sql("shop.buys", "lake", &crate::orders::sqlite(&folder), &folder.uri("warehouse"));
    let found = table.check(&["--unique", "p,o"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"]), (&Value::from(buys(0..6_000).count()), &Value::from(0)));
}

#[tokio::test]
async fn a_sink_taken_out_and_put_back_says_where_it_begins_and_verify_shows_what_it_lacks() {
    let Setting { folder, topic, mut job } = setting().await;
    let both = "CREATE TABLE IF NOT EXISTS lake.shop.others (id BIGINT, p INT, o BIGINT);
INSERT INTO lake.shop.orders SELECT * FROM orders;
INSERT INTO lake.shop.others SELECT id, p, o FROM orders;";
    for (round, inserts) in [both, "INSERT INTO lake.shop.orders SELECT * FROM orders;", both].into_iter().enumerate() {
        let first = 1_000 * round as u64;
        send(&topic, PARTITIONS, first..first + 1_000).await;
        job.inserts = inserts.to_owned();
        let ran = folder.weir(run(&job.write(&folder))).output(LIMIT).await.succeeded();
        let told = ran.stderr.contains("does not get the rows") && ran.stderr.contains("offsets 250 .. 500");
        assert_eq!(told, round == 2, "{}", ran.stderr);
    }
    let file = job.write(&folder);
    verified(&folder, &file).await;
    let arguments = ["verify".as_ref(), "--init".as_ref(), file.as_os_str(), "lake.shop.others".as_ref()];
    let shown = folder.weir::<&std::ffi::OsStr>(arguments).output(LIMIT).await.succeeded().stdout;
    assert!(shown.contains("2000 rows") && shown.contains("contiguous but for 4 gaps"), "{shown}");
    assert_eq!(shown.matches("offsets 250 .. 500 (the sink was not in the job)").count(), 4, "{shown}");
}

#[tokio::test]
async fn an_older_checkpoint_is_refused_with_both_epochs_and_the_ways_out() {
    let Setting { folder, topic, job } = setting().await;
    let file = job.write(&folder);
    send(&topic, PARTITIONS, 0..1_000).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    copy(&folder.path("checkpoints"), &folder.path("kept"));
    send(&topic, PARTITIONS, 1_000..2_000).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    std::fs::remove_dir_all(folder.path("checkpoints")).unwrap();
    copy(&folder.path("kept"), &folder.path("checkpoints"));
    let sent_before = table_on_disk(&folder).check(&[]).await["rows"].clone();
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    for part in ["holds epoch", "older checkpoint was restored", "put the newer checkpoints back", "delete the checkpoint directory"] {
        assert!(refused.stderr.contains(part), "`{part}` is not in\n{}", refused.stderr);
    }
    assert_eq!(table_on_disk(&folder).check(&[]).await["rows"], sent_before);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn transactions_aborts_and_compaction_neither_stop_the_cut_nor_show_what_was_aborted() {
    let brokers = Servers::shared().kafka();
    let folder = Workdir::new();
    let settings = [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("max.compaction.lag.ms", "100")];
    let topic = Topic::create(&brokers, "orders", 1, &settings).await;
    let job = OrdersJob::on_disk(&folder, &topic, &brokers);
    let keyed = |id: u64| Row { key: Some(id.to_be_bytes().to_vec()), ..Row::new(0, order(id)) };
    let mut sent = topic.produce((0..50).map(keyed)).await;
    topic.produce_transaction((50..90).map(keyed), Ending::Abort).await;
    sent.extend(topic.produce_transaction((100..150).map(keyed), Ending::Commit).await);
    // Nothing readable behind the last commit: the log's end is past every record.
    topic.produce_transaction((200..220).map(keyed), Ending::Abort).await;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let found = table_on_disk(&folder).check(&["--unique", "p,o"]).await;
    assert_eq!((&found["rows"], &found["duplicates"]["groups"]), (&Value::from(sent.len()), &Value::from(0)));
    verified(&folder, &file).await;
}

#[tokio::test]
async fn a_table_dropped_and_created_again_stops_the_job_with_both_uuids() {
    let Setting { folder, topic, job } = setting().await;
    let file = job.write(&folder);
    let mut sent = send(&topic, PARTITIONS, 0..1_000).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let before = table_on_disk(&folder).check(&[]).await["uuid"].as_str().unwrap().to_owned();
    let init = ["sql".as_ref(), "--init".as_ref(), file.as_os_str(), "-e".as_ref(), "DROP TABLE lake.shop.orders".as_ref()];
    folder.weir::<&std::ffi::OsStr>(init).output(LIMIT).await.succeeded();
    sent.extend(send(&topic, PARTITIONS, 1_000..1_500).await);
    let refused = folder.weir(run(&file)).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains(&before), "{}", refused.stderr);
}

#[tokio::test]
async fn a_bounded_job_whose_partitions_end_far_apart_keeps_the_first_ones_last_file() {
    let Setting { folder, topic, job } = setting().await;
    let few = topic.produce((0..10).map(|id| Row::new(0, order(id)))).await;
    let many = topic.produce((0..300_000).map(|id| Row::new(1, order(id)))).await;
    let file = job.write(&folder);
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let sent: Vec<(i32, i64)> = few.into_iter().chain(many).collect();
    holds_exactly(&table_on_disk(&folder), &sent).await;
}

#[tokio::test]
async fn no_data_makes_no_commit() {
    let Setting { folder, topic, job } = setting().await;
    let file = job.write(&folder);
    send(&topic, PARTITIONS, 0..100).await;
    folder.weir(run(&file)).output(LIMIT).await.succeeded();
    let before = table_on_disk(&folder).check(&[]).await["snapshots"].as_array().unwrap().len();
    for _ in 0..3 {
        folder.weir(run(&file)).output(LIMIT).await.succeeded();
    }
    let after = table_on_disk(&folder).check(&[]).await["snapshots"].as_array().unwrap().len();
    assert_eq!(before, after);
}
