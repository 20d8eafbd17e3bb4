//! Whole jobs in a small world: whatever dies, fails or lies, every record is in the table exactly once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_base::task::{Task, spawn};
use weir_base::{Classified, ErrorKind};

use crate::error::RuntimeError;
use crate::job::JobReport;
use crate::status::JobState;
use crate::testing::{FakeLog, Rig};

const ALL: &str = "SELECT s, o FROM src";
const SOME: &str = "SELECT s, o FROM src WHERE v = 3";

fn all(_: &(String, i64)) -> bool {
    true
}

fn some((_, offset): &(String, i64)) -> bool {
    offset % 7 == 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_job_reads_splits_of_uneven_length_to_their_ends_and_ends_by_itself() {
    let rig = Rig::new(FakeLog::new(&[3, 20_000, 1, 777, 0], 10), &[ALL]);
    let report = rig.run().await.expect("ends");
    rig.assert_exactly_once("t0", all);
    rig.assert_no_litter();
    assert!(!report.stopped && report.rows == rig.log.rows().len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_feeds_several_inserts_and_is_read_once() {
    let mut rig =
        Rig::new(FakeLog::new(&[2_000, 3_000], 0), &[ALL, SOME, "SELECT s, o FROM src WHERE v < 3 UNION ALL SELECT s, o FROM src WHERE v >= 3"]);
    rig.hash = true;
    rig.run().await.expect("ends");
    rig.assert_exactly_once("t0", all);
    rig.assert_exactly_once("t1", some);
    rig.assert_exactly_once("t2", all);
    assert_eq!(rig.log.opened.load(Ordering::SeqCst), 2, "one reader a split, kept across epochs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_has_as_many_writers_as_the_sink_says() {
    for (hash, writers, most) in [(false, None, 2), (false, Some(1), 1), (false, Some(5), 5), (true, None, 2), (true, Some(1), 1), (true, Some(3), 3)]
    {
        let mut rig = Rig::new(FakeLog::new(&[9_000, 7_000, 8_000], 0), &[ALL]);
        (rig.hash, rig.writers, rig.interval) = (hash, writers, Duration::from_secs(60));
        rig.run().await.expect("ends");
        rig.assert_exactly_once("t0", all);
        let commits = rig.table("t0").commits();
        assert_eq!(commits.iter().map(|commit| commit.committables.len()).max(), Some(most), "{hash} {writers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_branches_over_one_source_never_wait_for_each_other() {
    for (hash, writers) in [(false, None), (false, Some(1)), (false, Some(3)), (true, Some(1)), (true, Some(3))] {
        let query = "SELECT s, o FROM src WHERE v < 3 UNION ALL SELECT s, o FROM src WHERE v >= 3";
        let mut rig = Rig::new(FakeLog::new(&[60_000, 1, 30_000], 0), &[query, SOME]);
        (rig.hash, rig.writers, rig.interval) = (hash, writers, Duration::from_secs(60));
        let ended = tokio::time::timeout(Duration::from_secs(60), rig.run()).await;
        ended.expect("neither branch stands still").expect("ends");
        rig.assert_exactly_once("t0", all);
        rig.assert_exactly_once("t1", some);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_of_a_finished_job_adds_nothing() {
    let rig = Rig::new(FakeLog::new(&[500], 0), &[ALL]);
    rig.run().await.expect("ends");
    let commits = rig.table("t0").commits().len();
    rig.run().await.expect("ends again");
    assert_eq!(rig.table("t0").commits().len(), commits);
    rig.log.append("0", 100, 0);
    rig.log.append("late", 100, 0);
    rig.run().await.expect("goes on");
    rig.assert_exactly_once("t0", all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_a_job_loses_and_doubles_nothing() {
    for seed in 0..40_u64 {
        let mut rig = Rig::new(FakeLog::new(&[900, 300, 50], 9), &[ALL, SOME]);
        rig.interval = Duration::from_millis(1);
        rig.hash = seed % 2 == 0;
        let mut step = 1 + seed * 7 % 60;
        let mut deaths = 0;
        loop {
            rig.world.die_at(step);
            match rig.run_or_die().await {
                Some(ended) => {
                    ended.expect("ends");
                    break;
                }
                None => deaths += 1,
            }
            step += 3 + (seed * 31 + deaths * 17) % 23;
        }
        rig.assert_exactly_once("t0", all);
        rig.assert_exactly_once("t1", some);
        rig.world.die_at(u64::MAX);
        rig.run().await.expect("a last recovery"); // cleans after the last death
        rig.assert_no_litter();
        assert!(deaths > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_refusals_everywhere_lose_and_double_nothing() {
    for seed in 0..12_u64 {
        let mut rig = Rig::new(FakeLog::new(&[600, 200], 0), &[ALL, SOME]);
        rig.interval = Duration::from_millis(2);
        rig.world.faults(60, seed * 7_919 + 3);
        let ended = rig.run().await;
        rig.world.faults(0, 1);
        match ended {
            Ok(report) => assert_eq!(report.rows, (rig.table("t0").rows().len() + rig.table("t1").rows().len()) as u64, "each is counted once"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                rig.run().await.expect("ends without faults");
            }
        }
        rig.assert_exactly_once("t0", all);
        rig.assert_exactly_once("t1", some);
    }
}

/// A job that runs until it is told to stop.
struct Running {
    task: Task<Result<JobReport, RuntimeError>>,
    stop: CancellationToken,
}

async fn start(rig: &Rig) -> Running {
    let stop = CancellationToken::new();
    let job = rig.job().await;
    Running { task: spawn("job", job.run(stop.clone())), stop }
}

impl Running {
    async fn stop(self) -> Result<JobReport, RuntimeError> {
        self.stop.cancel();
        self.task.await.expect("no panic")
    }
}

/// Waits until `condition` holds; a test that waits for ever is ended by this.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(100), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn unbounded(log: FakeLog, queries: &[&str]) -> Rig {
    let mut rig = Rig::new(log, queries);
    rig.bounded = false;
    rig
}

/// Names of the objects in the checkpoint directory.
async fn objects(rig: &Rig) -> BTreeSet<String> {
    let found: Vec<_> = rig.objects.list(None).try_collect().await.expect("listed");
    found.into_iter().map(|object| object.location.to_string()).collect()
}

async fn delete(rig: &Rig, wanted: impl Fn(&str) -> bool) {
    for name in objects(rig).await.into_iter().filter(|name| wanted(name)) {
        rig.objects.delete(&name.into()).await.expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_splits_that_come_late_are_read_and_nothing_is_committed_without_data() {
    let rig = unbounded(FakeLog::new(&[100], 0), &[ALL, SOME]);
    let running = start(&rig).await;
    until("first rows", || rig.table("t0").rows().len() == 100).await;
    let commits = rig.table("t0").commits().len();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(rig.table("t0").commits().len(), commits, "no data, no commit");
    rig.log.append("0", 50, 0);
    rig.log.append("9", 70, 0);
    until("late rows", || rig.table("t0").rows().len() == 220).await;
    assert!(running.stop().await.expect("stops").stopped);
    rig.assert_exactly_once("t0", all);
    rig.assert_exactly_once("t1", some);
    rig.assert_no_litter();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_the_epoch_and_commits_in_seconds_however_much_is_left_to_read() {
    let mut rig = unbounded(FakeLog::new(&[400_000, 400_000], 0), &[ALL]);
    rig.interval = Duration::from_secs(3_600);
    let stop = CancellationToken::new();
    let job = rig.job().await;
    let board = job.status();
    let running = Running { task: spawn("job", job.run(stop.clone())), stop };
    until("some rows are read", || board.snapshot().sources.values().any(|source| source.rows > 0)).await;
    let asked = Instant::now();
    running.stop().await.expect("stops");
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    let committed = rig.table("t0").rows().len();
    assert!(committed > 0 && committed < 800_000, "{committed}");
    rig.bounded = true;
    rig.run().await.expect("goes on");
    rig.assert_exactly_once("t0", all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_goes_on_where_nothing_is_left_to_read_shows_its_sources_and_no_lag() {
    let rig = unbounded(FakeLog::new(&[10, 5], 0), &[ALL]);
    let running = start(&rig).await;
    until("everything is committed", || rig.table("t0").rows().len() == 15).await;
    running.stop().await.expect("stops");
    let stop = CancellationToken::new();
    let job = rig.job().await;
    let board = job.status();
    let running = Running { task: spawn("job", job.run(stop.clone())), stop };
    until("the ends are known", || board.snapshot().sources.get("src").is_some_and(|source| source.lag.is_some())).await;
    let source = board.snapshot().sources.remove("src").expect("it is there");
    let positions: Vec<(i64, Option<i64>)> = source.splits.values().map(|split| (split.position, split.end)).collect();
    assert_eq!((source.rows, source.lag, positions), (0, Some(0), vec![(10, Some(10)), (5, Some(5))]));
    running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_splits_shows_until_one_is_found() {
    let rig = unbounded(FakeLog::new(&[], 0), &[ALL]);
    let stop = CancellationToken::new();
    let job = rig.job().await;
    let board = job.status();
    let running = Running { task: spawn("job", job.run(stop.clone())), stop };
    until("the job runs", || board.snapshot().state == JobState::Running).await;
    let source = board.snapshot().sources.remove("src").expect("it is there");
    assert_eq!((source.rows, source.lag, source.splits.len()), (0, Some(0), 0));
    rig.log.append("0", 7, 0);
    until("rows", || board.snapshot().sources["src"].rows == 7).await;
    assert_eq!(board.snapshot().sources["src"].splits.len(), 1);
    running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_the_older_is_fenced_and_no_row_is_there_twice() {
    for round in 0..5 {
        let rig = unbounded(FakeLog::new(&[2_000, 500], 0), &[ALL, SOME]);
        let older = start(&rig).await;
        until("the older commits", || rig.table("t0").marker_epoch().is_some()).await;
        let newer = start(&rig).await;
        while !older.task.is_finished() {
            rig.log.append("0", 20 + round, 0);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let error = older.task.await.expect("no panic").expect_err("fenced");
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(error.kind().exit_code(), 5);
        until("the newer reads on", || rig.table("t0").rows().len() == rig.log.rows().len()).await;
        newer.stop().await.expect("stops");
        rig.assert_exactly_once("t0", all);
        rig.assert_exactly_once("t1", some);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_checkpoints_deleted_a_job_goes_on_at_each_sinks_own_cut() {
    // t1 has rows only in the first 700 offsets of each split, so that the sinks stand at different epochs.
    let early = "SELECT s, o FROM src WHERE v = 3 AND o < 700";
    let wanted = |row: &(String, i64)| some(row) && row.1 < 700;
    let rig = Rig::new(FakeLog::new(&[600, 300], 0), &[ALL, early]);
    rig.run().await.expect("first run");
    rig.log.append("0", 400, 0);
    rig.log.append("7", 50, 0);
    rig.run().await.expect("second run");
    rig.log.append("0", 1_000, 0);
    rig.run().await.expect("third run");
    let (full, sparse) = (rig.table("t0").marker_epoch(), rig.table("t1").marker_epoch());
    assert!(full > sparse, "{full:?} {sparse:?}");
    delete(&rig, |_| true).await;
    rig.log.append("0", 10, 0);
    rig.log.append("1", 5, 0);
    rig.run().await.expect("goes on from the markers");
    assert!(rig.table("t0").marker_epoch() > full, "epochs go on above the highest marker");
    rig.assert_exactly_once("t0", all);
    rig.assert_exactly_once("t1", wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_checkpoints_deleted_a_kill_at_any_step_still_doubles_nothing() {
    for seed in 0..15_u64 {
        let mut rig = Rig::new(FakeLog::new(&[400, 100], 0), &[ALL, SOME]);
        rig.run().await.expect("first run");
        rig.log.append("0", 2, 0); // no row for t1
        rig.run().await.expect("second run");
        delete(&rig, |_| true).await;
        rig.interval = Duration::from_millis(1);
        rig.log.append("0", 300, 0);
        let mut step = 4 + seed;
        loop {
            rig.world.die_at(step);
            if let Some(ended) = rig.run_or_die().await {
                ended.expect("ends");
                break;
            }
            step += 5 + seed % 4;
        }
        rig.assert_exactly_once("t0", all);
        rig.assert_exactly_once("t1", some);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_checkpoint_put_back_by_hand_is_refused_and_nothing_changes() {
    let rig = Rig::new(FakeLog::new(&[300], 0), &[ALL]);
    rig.run().await.expect("first run");
    let old = rig.store().list().await.expect("listed").entries;
    rig.log.append("0", 300, 0);
    rig.run().await.expect("second run");
    delete(&rig, |name| !old.iter().any(|epoch| name.contains(&format!("{epoch:012}")))).await;
    let before = (rig.table("t0").rows(), objects(&rig).await);
    rig.log.append("0", 5, 0);
    let error = rig.run().await.expect_err("refused");
    assert!(matches!(error, RuntimeError::TargetAhead { .. }) && error.kind() == ErrorKind::User, "{error}");
    assert_eq!((rig.table("t0").rows(), objects(&rig).await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_anew_stops_the_job_and_the_offsets_stay() {
    let rig = Rig::new(FakeLog::new(&[300], 0), &[ALL]);
    rig.run().await.expect("first run");
    let before = objects(&rig).await;
    rig.table("t0").recreate("uuid-new");
    let error = rig.run().await.expect_err("refused").to_string();
    assert!(error.contains("uuid-new") && error.contains("uuid-t0"), "{error}");
    assert_eq!(objects(&rig).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_anew_under_the_running_job_stops_it() {
    let rig = unbounded(FakeLog::new(&[300], 0), &[ALL]);
    let running = start(&rig).await;
    until("first rows", || rig.table("t0").rows().len() == 300).await;
    rig.table("t0").recreate("uuid-new");
    rig.log.append("0", 10, 0);
    let error = running.task.await.expect("no panic").expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    assert!(rig.table("t0").rows().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attempt_leaves_no_source_being_watched() {
    let rig = unbounded(FakeLog::new(&[300], 0), &[ALL]);
    let job = rig.job().await;
    let board = job.status();
    let running = spawn("job", job.run(CancellationToken::new()));
    until("first rows", || rig.table("t0").rows().len() == 300).await;
    assert_eq!(rig.log.watching.load(Ordering::SeqCst), 1);
    rig.table("t0").recreate("uuid-new");
    rig.log.append("0", 10, 0);
    running.await.expect("no panic").expect_err("stopped");
    // Whoever still looks at the job's status keeps nothing of it running.
    until("the source is left alone", || rig.log.watching.load(Ordering::SeqCst) == 0).await;
    assert_eq!(board.snapshot().state, JobState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_job_on_the_same_splits_and_table_is_refused_unless_the_topic_is_another() {
    let mut rig = Rig::new(FakeLog::new(&[300], 0), &[ALL]);
    rig.run().await.expect("first job");
    rig.name = "renamed".to_owned();
    let error = rig.run().await.expect_err("refused");
    assert!(matches!(&error, RuntimeError::SharedSource { other, .. } if other == "job"), "{error}");
    *rig.log.topic.lock().expect("not poisoned") = "topic-2".to_owned();
    rig.run().await.expect("two jobs write one table");
    assert_eq!(rig.table("t0").rows().len(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_topic_that_took_the_place_of_the_one_that_was_being_read_are_not_committed() {
    let mut rig = unbounded(FakeLog::new(&[300], 0), &[ALL]);
    rig.interval = Duration::from_secs(3_600);
    let running = start(&rig).await;
    until("the reader is there", || rig.log.opened.load(Ordering::SeqCst) > 0).await;
    *rig.log.topic.lock().expect("not poisoned") = "topic-2".to_owned();
    let error = running.stop().await.expect_err("the epoch is not sealed");
    assert!(error.kind() == ErrorKind::User && error.to_string().contains("topic-2"), "{error}");
    assert!(rig.table("t0").rows().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_position_of_a_job_is_shown_also_when_nothing_was_left_to_read() {
    let rig = Rig::new(FakeLog::new(&[300, 20], 0), &[ALL]);
    let shown = || rig.log.shown.lock().expect("not poisoned").values().map(|position| position.offset).collect::<Vec<_>>();
    rig.run().await.expect("ends");
    assert_eq!(shown(), [300, 20]);
    rig.log.shown.lock().expect("not poisoned").clear();
    rig.run().await.expect("ends at once");
    assert_eq!(shown(), [300, 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_reader_or_writer_is_an_error_and_loses_nothing() {
    let rig = Rig::new(FakeLog::new(&[3_000, 100], 0), &[ALL]);
    rig.log.panic_at.store(1_234, Ordering::SeqCst);
    let error = rig.run().await.expect_err("a defect ends the job");
    assert!(error.kind() == ErrorKind::Internal && error.to_string().contains("panics at 1234"), "{error}");
    rig.table("t0").panic_in_writer.store(true, Ordering::SeqCst);
    let error = rig.run().await.expect_err("a defect ends the job");
    assert!(error.kind() == ErrorKind::Internal && error.to_string().contains("the writer panics"), "{error}");
    rig.run().await.expect("ends");
    rig.assert_exactly_once("t0", all);
    rig.assert_no_litter();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_makes_the_sources_wait_and_memory_stays_bounded() {
    let slow = || {
        let rig = Rig::new(FakeLog::new(&[4_000, 4_000, 4_000, 4_000], 0), &[ALL]);
        rig.table("t0").write_delay_ms.store(1, Ordering::SeqCst);
        rig
    };
    let free = slow();
    free.run().await.expect("ends");
    let mut rig = slow();
    rig.budget = MemoryBudget::new(free.budget.peak() / 3);
    rig.run().await.expect("ends");
    rig.assert_exactly_once("t0", all);
    assert!(rig.budget.peak() < free.budget.peak() * 3 / 4, "{} of {}", rig.budget.peak(), free.budget.peak());
    assert_eq!(rig.budget.used(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_checkpoint_is_named_and_stops_the_job() {
    let rig = Rig::new(FakeLog::new(&[300], 0), &[ALL]);
    rig.run().await.expect("first run");
    let newest = objects(&rig).await.into_iter().rfind(|name| name.ends_with(".json")).expect("a checkpoint");
    rig.objects.put(&newest.as_str().into(), PutPayload::from_static(b"{\"version\": 9}")).await.expect("written");
    let error = rig.run().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(newest.rsplit('/').next().expect("a name")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_old_checkpoints_are_kept_and_no_intent_of_a_committed_epoch() {
    let rig = unbounded(FakeLog::new(&[10], 0), &[ALL]);
    let running = start(&rig).await;
    for round in 1..8 {
        until("rows", || rig.table("t0").rows().len() == round * 10).await;
        rig.log.append("0", 10, 0);
    }
    until("rows", || rig.table("t0").rows().len() == 80).await;
    running.stop().await.expect("stops");
    let names = objects(&rig).await;
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    assert_eq!(count(".committed"), 3, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.contains("intents")).count(), 0, "{names:?}");
    assert!(count(".json") <= 4, "three checkpoints and the claim: {names:?}");
}
