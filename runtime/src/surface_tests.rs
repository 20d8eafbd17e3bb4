//! What the command line and people see: batch queries, recorded targets, status, the HTTP endpoint, and giving up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_base::task::spawn;
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;

use crate::error::RuntimeError;
use crate::http::{BoundAddress, HttpEndpoint};
use crate::job::{Job, JobEnvironment, JobOptions, JobReport};
use crate::query::run_query;
use crate::recovery::{check_target, recorded_targets};
use crate::status::JobState;
use crate::testing::{FakeLog, Rig};

async fn count(rig: &Rig, sql: &str) -> Result<usize, RuntimeError> {
    let rows: Vec<_> = run_query(rig.query(sql).await, &MemoryBudget::new(1 << 30)).await?.try_collect().await?;
    Ok(rows.iter().map(arrow_array::RecordBatch::num_rows).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_reads_a_bounded_stream_table_to_its_end() {
    let rig = Rig::new(FakeLog::new(&[1_000, 10, 0], 10), &[]);
    assert_eq!(count(&rig, "SELECT * FROM src").await.expect("runs"), rig.log.rows().len());
    assert_eq!(count(&rig, "SELECT v FROM src WHERE v = 3").await.expect("runs"), rig.log.rows().iter().filter(|row| row.1 % 7 == 3).count());
    assert_eq!(count(&rig, "SELECT o FROM src LIMIT 5").await.expect("runs"), 5);
}

#[tokio::test]
async fn a_query_over_an_endless_table_is_refused_with_the_option_that_bounds_it() {
    let mut rig = Rig::new(FakeLog::new(&[10], 0), &[]);
    rig.bounded = false;
    let error = count(&rig, "SELECT * FROM src").await.expect_err("refused");
    assert!(error.kind() == ErrorKind::User && error.to_string().contains("'scan.bounded.mode'"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_known_from_the_checkpoint_before_anything_is_created() {
    let rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    let mut plan = rig.plan().await;
    plan.settings.checkpoint_dir = "memory://recorded-targets/checkpoints".to_owned();
    let (settings, file_systems) = (plan.settings.clone(), FileSystems::default());
    assert_eq!(recorded_targets(&settings, &file_systems).await.expect("read"), []);
    let environment = JobEnvironment { file_systems: file_systems.clone(), budget: rig.budget.clone(), options: JobOptions::default() };
    Job::new(plan, environment).expect("a job").run(CancellationToken::new()).await.expect("ends");
    let recorded = recorded_targets(&settings, &file_systems).await.expect("read");
    let [target] = recorded.as_slice() else { panic!("one target: {recorded:?}") };
    assert_eq!((target.target.as_str(), target.incarnation.as_str()), ("c.d.t0", "uuid-t0"));
    assert!(check_target(target, Some("uuid-t0")).is_ok());
    let text = check_target(target, Some("uuid-new")).expect_err("another table").to_string();
    assert!(text.contains("uuid-new") && text.contains("uuid-t0"), "{text}");
    assert!(check_target(target, None).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_keeps_failing_gives_up_as_its_strategy_says() {
    let mut rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    rig.restarts = "fixed-delay";
    rig.world.faults(1_000, 2); // every operation fails or loses its answer
    let job = rig.job().await;
    let board = job.status();
    let error = job.run(CancellationToken::new()).await.expect_err("gives up");
    assert!(matches!(error, RuntimeError::GaveUp { restarts: 1, .. }) && error.kind().exit_code() == 4, "{error}");
    let status = board.snapshot();
    assert!(status.state == JobState::Failed && status.restarts == 1 && status.last_error.is_some());
}

async fn get(endpoint: &HttpEndpoint, path: &str) -> String {
    let mut connection = TcpStream::connect(endpoint.address()).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("received");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_tells_rows_positions_commits_and_memory() {
    let mut rig = Rig::new(FakeLog::new(&[100, 7], 0), &["SELECT s, o FROM src"]);
    rig.name = "endpoint".to_owned();
    let job = rig.job().await;
    let address = BoundAddress::bind(None).await.expect("a free port");
    let endpoint = HttpEndpoint::open(address, job.status());
    assert!(endpoint.address().ip().is_loopback());
    assert!(get(&endpoint, "/healthz").await.starts_with("HTTP/1.1 200"), "up before recovery");
    assert!(get(&endpoint, "/status").await.contains("\"state\":\"recovering\""));
    job.run(CancellationToken::new()).await.expect("ends");
    let status = get(&endpoint, "/status").await;
    let body: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!(body["sources"]["src"]["rows"], 107);
    assert_eq!(body["sources"]["src"]["splits"]["0"]["position"], 100);
    assert_eq!(body["sinks"]["t0"]["rows"], 107);
    assert_eq!(body["sinks"]["t0"]["pending_commits"], 0);
    assert!(body["memory"]["limit"].as_u64() > Some(0));
    let metrics = get(&endpoint, "/metrics").await;
    for line in [
        "weir_runtime_committed_rows_total{job=\"endpoint\",sink=\"t0\"} 107",
        "weir_runtime_lag_offsets{job=\"endpoint\",partition=\"1\",source=\"src\"} 0",
        "weir_runtime_unsaved_offsets{job=\"endpoint\",partition=\"1\",source=\"src\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_end_in_time_names_the_table_the_tries_and_the_last_cause() {
    let mut rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    (rig.restarts, rig.timeout) = ("none", Duration::from_millis(1_500));
    rig.table("t0").refuses.store(true, Ordering::SeqCst);
    let error = rig.run().await.expect_err("gives up");
    let text = weir_base::error::chain(&error);
    for part in ["the commit of epoch", "table c.d.t0 (sink 't0')", "1.5s", "after 2 tries that failed", "the catalog says 503"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(error.kind(), ErrorKind::Transient);
    rig.table("t0").refuses.store(false, Ordering::SeqCst);
    rig.run().await.expect("goes on");
    rig.assert_exactly_once("t0", |_| true);
}

/// As if every process so far had died before it noted its commits.
async fn forget_commits(rig: &Rig) {
    let marks: Vec<_> = rig.objects.list(None).try_collect::<Vec<_>>().await.expect("listed");
    for mark in marks.into_iter().filter(|object| object.location.as_ref().ends_with(".committed")) {
        rig.objects.delete(&mark.location).await.expect("deleted");
    }
}

/// Runs the job with a table that refuses commits until the first attempt has failed.
async fn run_refused_once(rig: &Rig) -> JobReport {
    rig.table("t0").refuses.store(true, Ordering::SeqCst);
    let job = rig.job().await;
    let board = job.status();
    let running = spawn("job", job.run(CancellationToken::new()));
    while board.snapshot().restarts == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    rig.table("t0").refuses.store(false, Ordering::SeqCst);
    running.await.expect("no panic").expect("ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_an_earlier_process_are_not_counted_however_often_this_one_has_to_ask_for_their_commit() {
    let rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    assert_eq!(rig.run().await.expect("commits").rows, 100);
    forget_commits(&rig).await;
    rig.log.append("0", 50, 0);
    assert_eq!(run_refused_once(&rig).await.rows, 50, "its own");
    rig.assert_exactly_once("t0", |_| true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_recovery_commits_are_counted_once_by_the_process_that_commits_them() {
    let mut rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    (rig.name, rig.timeout) = ("recovered-rows".to_owned(), Duration::from_secs(1));
    let report = run_refused_once(&rig).await;
    assert_eq!((report.rows, report.commits), (100, rig.table("t0").commits().len() as u64));
    let shown = weir_base::metrics::exposition();
    assert!(shown.contains("weir_runtime_committed_rows_total{job=\"recovered-rows\",sink=\"t0\"} 100"), "{shown}");

    forget_commits(&rig).await;
    assert_eq!(rig.run().await.expect("finds them made").rows, 0);

    rig.log.append("0", 50, 0);
    rig.restarts = "none";
    rig.table("t0").refuses.store(true, Ordering::SeqCst);
    rig.run().await.expect_err("cannot commit");
    rig.table("t0").refuses.store(false, Ordering::SeqCst);
    assert_eq!(rig.run().await.expect("commits what was left").rows, 50);
    rig.assert_exactly_once("t0", |_| true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_a_catalog_is_away_ends_with_what_is_waited_for_and_loses_nothing() {
    let mut rig = Rig::new(FakeLog::new(&[100], 0), &["SELECT s, o FROM src"]);
    (rig.bounded, rig.stop_timeout) = (false, Duration::from_millis(1_500));
    rig.table("t0").refuses.store(true, Ordering::SeqCst);
    let (job, stop) = (rig.job().await, CancellationToken::new());
    let board = job.status();
    let running = spawn("job", job.run(stop.clone()));
    while board.snapshot().last_error.is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    let error = running.await.expect("no panic").expect_err("it cannot commit");
    let text = error.to_string();
    for part in ["asked to stop", "within 1.5s", "waiting for the commit to table c.d.t0", "last error: the catalog says 503", "Nothing is lost"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(error.kind(), ErrorKind::Transient);
    rig.table("t0").refuses.store(false, Ordering::SeqCst);
    rig.bounded = true;
    rig.run().await.expect("goes on");
    rig.assert_exactly_once("t0", |_| true);
}
