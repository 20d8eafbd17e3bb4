//! A coordinator beside a writer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_base::options::OptionBag;
use weir_base::task::{Task, spawn};
use weir_base::{Classified, ErrorKind};
use weir_catalog::commit::TableCommitter;
use weir_catalog::lake::{LakeCatalog, LakeTable};
use weir_catalog::upkeep::{Journal, Keeper};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::IcebergSink;
use weir_connectors::sink::StreamSink;

use super::support::{Lake, local, now, request, rows};
use crate::job::{Activity, Coordinator, Parts, Status};
use crate::{LiveTable, PartitionKey, Quiet, Request};

/// Longer than anything takes.
const LIMIT: Duration = Duration::from_secs(120);

/// A coordinator's table, with hints.
fn parts(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, options: &[(&str, &str)]) -> Parts {
    let mut hints = OptionBag::new("Table 'lake.shop.orders'");
    options.iter().chain(&[("auto-compact", "true")]).for_each(|(key, value)| hints.insert(*key, *value, None));
    let sink = IcebergSink::open(catalog, table, &hints).expect("sink").value;
    Parts {
        target: sink.lake().expect("a lake").clone(),
        job: "job".to_owned(),
        sinks: BTreeSet::from(["s".to_owned()]),
        fence: 1,
        parallelism: 2,
        budget: MemoryBudget::new(256 << 20),
    }
}

struct Running {
    task: Task<Result<(), ConnectorError>>,
    told: watch::Receiver<Status>,
    stop: CancellationToken,
    finish: CancellationToken,
}

impl Running {
    async fn start(lake: &Lake, options: &[(&str, &str)]) -> Self {
        let (coordinator, told) = Coordinator::new(parts(&lake.catalog, &lake.table().await, options));
        let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
        let task = spawn("coordinator", coordinator.run(stop.clone(), finish.clone()));
        Self { task, told, stop, finish }
    }

    async fn until(&mut self, what: impl FnMut(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(LIMIT, self.told.wait_for(what)).await;
        waited.expect("in time").expect("it goes on").clone()
    }

    async fn end(self, how: impl FnOnce(&Self)) -> Result<(), ConnectorError> {
        how(&self);
        tokio::time::timeout(LIMIT, self.task).await.expect("in time").expect("no panic")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_growing_table_stay_few_and_are_known_from_its_commits() {
    let mut lake = Lake::new(&[], &[]).await;
    let mut running = Running::start(&lake, &[("compact.delta.commits", "4")]).await;
    running.until(|status| status.activity == Activity::Waiting).await;
    for part in 0..30 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let status = running.until(|status| status.activity == Activity::Waiting && status.pending.commits < 4).await;
    assert!(status.done.copied >= 2 && status.done.gave_way == 0 && status.failures == 0, "{status:?}");
    let (files, _) = lake.live().await;
    assert_eq!(files.len() as u64, status.debt.live);
    assert!(files.len() <= 3 + 3, "{} files", files.len());
    assert_eq!(status.done.files_before - status.done.files_after + files.len(), 30);
    assert!(status.cpu > Duration::ZERO);
    running.end(|running| running.stop.cancel()).await.expect("ends");
    assert_eq!(lake.number("SELECT sum(id) FROM orders").await, 299 * 300 / 2);
    assert_eq!(lake.orphans().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_done_before_a_job_ends_and_the_count_survives_a_restart() {
    let mut lake = Lake::new(&[], &[]).await;
    let options = [("compact.delta.commits", "4")];
    for part in 0..3 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    Running::start(&lake, &options).await.end(|running| running.finish.cancel()).await.expect("ends");
    assert_eq!(lake.live().await.0.len(), 3, "not due");
    lake.append(&rows(30..40)).await;
    Running::start(&lake, &options).await.end(|running| running.finish.cancel()).await.expect("ends");
    assert_eq!(lake.live().await.0.len(), 1);
    assert_eq!(lake.number("SELECT sum(id) FROM orders").await, 39 * 40 / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_compacted_is_left_alone_and_says_why() {
    let lake = Lake::new(&[], &[("format-version", "3")]).await;
    let mut running = Running::start(&lake, &[]).await;
    let status = running.until(|status| status.activity == Activity::Off).await;
    running.end(|running| running.stop.cancel()).await.expect("no failure of the job");
    assert!(status.last_error.as_ref().is_some_and(|error| error.contains("format version 3")), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_fails_again_and_again_ends_the_job_with_its_reason() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..5 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let (files, _) = lake.live().await;
    let lost = files[2].file.file_path().trim_start_matches("file://").to_owned();
    std::fs::remove_file(&lost).expect("removed");
    let options = [("compact.delta.commits", "4"), ("compact.max-consecutive-failures", "2")];
    let told = Running::start(&lake, &options).await.end(|_| {}).await.expect_err("it gives up").to_string();
    assert!(told.contains("2 times in a row ('compact.max-consecutive-failures' = '2')") && told.contains(&lost), "{told}");
    assert_eq!(lake.live().await.0.len(), 5);
    assert_eq!(lake.orphans().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_has_committed_is_counted_although_another_group_failed() {
    let mut lake = Lake::new(&[("id", iceberg::spec::Transform::Truncate(1_000))], &[]).await;
    // The partition of the smaller files is rewritten first.
    for part in 0..10 {
        let (from, rows_of) = if part % 2 == 0 { (part, 1) } else { (1_000 + 100 * part, 100) };
        lake.append(&rows(from..from + rows_of)).await;
    }
    let (files, _) = lake.live().await;
    let lost = files.iter().find(|live| live.file.file_path().contains("id_trunc=1000")).expect("one").file.file_path().to_owned();
    std::fs::remove_file(local(&lost)).expect("removed");
    let mut running = Running::start(&lake, &[("compact.delta.commits", "10"), ("compact.parallelism", "1")]).await;
    let status = running.until(|status| status.failures > 0).await;
    assert_eq!((status.done.commits, status.done.files_before, status.done.files_after), (1, 5, 1), "{status:?}");
    running.end(|running| running.stop.cancel()).await.expect("ends");
}

/// The case of the reviewers: a delete that comes while a file is rewritten applies to the new file, and no later rewrite may drop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_came_during_a_rewrite_is_known_to_apply_to_what_the_rewrite_made() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..5 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let committer = TableCommitter::of(&lake.catalog, &lake.id);
    let mut news = committer.watch();
    let mut followed = LiveTable::load(lake.table().await, None).await.expect("loads");
    let compactor = lake.compactor().await;
    let wanted = Request { decode_all: true, ..request(false) };
    let plan = compactor.plan(&wanted, now()).await.expect("plans");
    lake.delete_ids(0..4).await;
    lake.append(&rows(50..60)).await;
    assert_eq!(compactor.run(&wanted, plan, &Quiet).await.expect("runs").decoded, 1);
    while let Ok(heard) = news.try_recv() {
        followed = followed.take(&heard, None).await.expect("follows");
    }
    let read = LiveTable::load(lake.table().await, None).await.expect("loads");
    assert_eq!(followed.deletes.told(), read.deletes.told());
    assert_eq!(read.deletes.told().len(), 1);
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 56);
}

/// The files by partition, in no order.
fn known(live: &LiveTable) -> Vec<(PartitionKey, Vec<String>)> {
    let all = live.inventory.partitions();
    all.map(|(partition, files)| {
        let mut files: Vec<String> = files.iter().map(|file| format!("{file:?}")).collect();
        files.sort_unstable();
        (partition.clone(), files)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn following_commits_gives_what_reading_the_table_gives() {
    let mut lake = Lake::new(&[("kind", iceberg::spec::Transform::Identity)], &[]).await;
    let committer = TableCommitter::of(&lake.catalog, &lake.id);
    let mut news = committer.watch();
    let mut followed = LiveTable::load(lake.table().await, None).await.expect("loads");
    for part in 0..12 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
        match part % 4 {
            1 => {
                let first = lake.live().await.0.remove(0);
                lake.delete_places(&first, &[0]).await;
            }
            3 => drop(lake.compact(&request(part == 11)).await),
            _ => {}
        }
        while let Ok(heard) = news.try_recv() {
            followed = followed.take(&heard, None).await.expect("follows");
        }
        if part % 4 == 1 {
            // A commit of somebody else is not told of.
            followed = followed.follow(lake.table().await, None).await.expect("follows");
        }
        let read = LiveTable::load(lake.table().await, None).await.expect("loads");
        assert_eq!(known(&followed), known(&read), "after commit {part}");
        assert_eq!(followed.deletes.told(), read.deletes.told(), "after commit {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_came_while_files_were_copied_are_counted_after_a_restart() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..5 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let compactor = lake.compactor().await;
    let wanted = Request { job: Some("job".to_owned()), ..request(false) };
    let plan = compactor.plan(&wanted, now()).await.expect("plans");
    for part in 5..8 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    assert_eq!(compactor.run(&wanted, plan, &Quiet).await.expect("runs").files_before, 5);
    lake.append(&rows(80..90)).await;
    let mut running = Running::start(&lake, &[("compact.delta.commits", "100")]).await;
    let pending = running.until(|status| status.activity == Activity::Waiting).await.pending;
    let (files, _) = lake.live().await;
    assert_eq!((pending.commits, pending.files, files.len()), (4, 4, 5));
    let copy = files.iter().map(|live| live.file.file_size_in_bytes()).max().expect("some");
    assert_eq!(pending.bytes, files.iter().map(|live| live.file.file_size_in_bytes()).sum::<u64>() - copy);
    running.end(|running| running.stop.cancel()).await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_went_by_unheard_are_counted_once() {
    let mut lake = Lake::new(&[], &[]).await;
    let (coordinator, mut told) = Coordinator::new(parts(&lake.catalog, &lake.table().await, &[("compact.delta.commits", "1000")]));
    // It is told of this one, and finds it in the table too.
    lake.append(&rows(0..10)).await;
    let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
    let mut work = Box::pin(coordinator.run(stop.clone(), finish));
    let mut until = async |commits: u64| {
        let counted = told.wait_for(|status| status.activity == Activity::Waiting && status.pending.commits >= commits);
        tokio::select! {
            ended = &mut work => panic!("it ended: {ended:?}"),
            status = tokio::time::timeout(LIMIT, counted) => status.expect("in time").expect("it goes on").pending,
        }
    };
    until(1).await;
    // While nobody lets it work, more commits come than it can be told of afterwards.
    for part in 1..80 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let pending = until(80).await;
    assert_eq!((pending.commits, pending.files), (80, 80));
    stop.cancel();
    work.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_fails_in_passing_is_tried_again() {
    let mut lake = Lake::in_folders().await;
    lake.append(&rows(0..10)).await;
    let (table, left) = (lake.table().await, local(&format!("{}/data/left.parquet", lake.table().await.metadata.location())));
    let earlier = Keeper::Job { job: "job".to_owned(), sink: "table".to_owned(), branch: None, fence: 0 };
    Journal::new(&lake.catalog, &table, earlier).begin(&table).files(&[format!("file://{left}")]).await.expect("noted");
    std::fs::write(&left, "x").expect("written");
    let (catalog, plan) = lake.beside("list:*_weir-upkeep*@1=fail");
    let (coordinator, mut told) = Coordinator::new(parts(&catalog, &table, &[]));
    let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
    let task = spawn("coordinator", coordinator.run(stop.clone(), finish));
    let waited = tokio::time::timeout(LIMIT, told.wait_for(|status| status.failures_in_a_row > 0)).await;
    drop(waited.expect("in time").expect("it goes on"));
    assert_eq!(plan.idle(), Vec::<&str>::new());
    let gone = async {
        while std::fs::exists(&left).expect("looked") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("what was left is deleted");
    stop.cancel();
    task.await.expect("no panic").expect("ends");
}

/// Two partitions of a file each, of which a tenth and more is deleted, so that each is decoded: the one of few rows, which comes first, and the other.
async fn worn(lake: &mut Lake) -> [String; 2] {
    lake.append(&rows(0..20)).await;
    lake.append(&rows(1_000..1_100)).await;
    let (files, _) = lake.live().await;
    for live in &files {
        lake.delete_places(live, &(0..10).collect::<Vec<_>>()).await;
    }
    let of = |rows: u64| files.iter().find(|live| live.file.record_count() == rows).expect("one").file.file_path().to_owned();
    [of(20), of(100)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_fails_again_and_again_keeps_no_other_from_being_decoded_and_ends_the_job_all_the_same() {
    let mut lake = Lake::new(&[("id", iceberg::spec::Transform::Truncate(1_000))], &[]).await;
    let [lost, other] = worn(&mut lake).await;
    std::fs::remove_file(local(&lost)).expect("removed");
    let options = [("compact.delta.commits", "1"), ("compact.max-consecutive-failures", "3")];
    let told = Running::start(&lake, &options).await.end(|_| {}).await.expect_err("it gives up").to_string();
    assert!(told.contains("3 times in a row") && told.contains("decode of partition id_trunc=0") && told.contains(&local(&lost)), "{told}");
    let mut left: Vec<(String, u64)> = lake.live().await.0.iter().map(|live| (live.file.file_path().to_owned(), live.file.record_count())).collect();
    left.sort_unstable_by_key(|(_, rows)| *rows);
    assert!(left.len() == 2 && left[0].0 == lost && left[1].0 != other && left[1].1 == 90, "{left:?}");
    assert_eq!(lake.orphans().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_cannot_be_copied_keeps_no_other_from_being_copied() {
    let mut lake = Lake::new(&[("id", iceberg::spec::Transform::Truncate(1_000))], &[]).await;
    // The partition of the smallest files comes first, and is the one that fails.
    for part in 0..15 {
        let rows_of = [1, 100, 200][part as usize % 3];
        lake.append(&rows(1_000 * (part % 3) + part..1_000 * (part % 3) + part + rows_of)).await;
    }
    let (files, _) = lake.live().await;
    let lost = files.iter().find(|live| live.file.record_count() == 1).expect("one").file.file_path().to_owned();
    std::fs::remove_file(local(&lost)).expect("removed");
    let mut running = Running::start(&lake, &[("compact.delta.commits", "15"), ("compact.parallelism", "1")]).await;
    let status = running.until(|status| status.done.files_before == 10).await;
    assert!(status.failures_in_a_row >= 1 && status.last_error.as_ref().is_some_and(|error| error.starts_with("copy of partition id_trunc=0:")));
    running.end(|running| running.stop.cancel()).await.expect("ends");
    assert_eq!(lake.live().await.0.len(), 5 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_a_user_may_mend_is_a_failure_like_others_and_does_not_switch_compaction_off() {
    let mut lake = Lake::new(&[("id", iceberg::spec::Transform::Truncate(1_000))], &[]).await;
    worn(&mut lake).await;
    let options = [("compact.delta.commits", "1"), ("compact.max-consecutive-failures", "2"), ("compact.sort-order", "id")];
    let table = lake.table().await;
    // Far too little to sort a hundred rows in.
    let (coordinator, told) = Coordinator::new(Parts { budget: MemoryBudget::new(1_000), ..parts(&lake.catalog, &table, &options) });
    let work = coordinator.run(CancellationToken::new(), CancellationToken::new());
    let error = tokio::time::timeout(LIMIT, work).await.expect("in time").expect_err("it gives up");
    assert!(error.kind() == ErrorKind::User && error.to_string().contains("rows cannot be sorted"), "{error}");
    assert!(error.to_string().contains("2 times in a row") && told.borrow().activity != Activity::Off, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_shall_be_longer_as_long_as_there_are_more_files_than_the_debt_allows() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..4 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let mut running = Running::start(&lake, &[("compact.delta.commits", "5"), ("compact.max-debt", "1")]).await;
    let status = running.until(|status| status.slowdown > 1.0).await;
    assert_eq!((status.debt.files(), (status.slowdown * 100.0).round() as u64), (3, 900));
    lake.append(&rows(40..50)).await;
    let status = running.until(|status| status.done.copied == 1 && status.slowdown <= 1.0).await;
    assert_eq!(status.debt.files(), 0);
    running.end(|running| running.stop.cancel()).await.expect("ends");
}
