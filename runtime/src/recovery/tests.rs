//! Recovery beside a process that is still at work, and of a job whose INSERTs are not those of before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use weir_connectors::ConnectorError;
use weir_connectors::sink::{Committed, Distribution, Gap, GapReason, Marker, SinkCommit, SinkCommitter, StreamSink, TargetState};
use weir_connectors::source::SplitId;

use super::recover::{Recovery, RecoverySink};
use crate::epoch::SplitGauges;
use crate::error::RuntimeError;
use crate::metrics::Metrics;
use crate::status::StatusBoard;
use crate::tally::Tally;
use crate::testing::{FakeLog, FakeSink, Rig};

/// A committer that is slow to tell what it has read: meanwhile, once, a whole other run of the job goes by.
#[derive(Debug)]
struct Slow {
    real: Arc<dyn SinkCommitter>,
    rig: Rig,
    waited: AtomicBool,
}

#[async_trait]
impl SinkCommitter for Slow {
    async fn state(&self, job: &str, sink: &str) -> Result<TargetState, ConnectorError> {
        let state = self.real.state(job, sink).await;
        if !self.waited.swap(true, Ordering::SeqCst) {
            Box::pin(self.rig.run()).await.expect("the other run ends");
        }
        state
    }

    async fn other_markers(&self, job: &str) -> Result<Vec<(String, Marker)>, ConnectorError> {
        self.real.other_markers(job).await
    }

    async fn claimed(&self, job: &str) -> Result<Option<u64>, ConnectorError> {
        self.real.claimed(job).await
    }

    fn next_commit_id(&self) -> i64 {
        self.real.next_commit_id()
    }

    async fn commit(&self, job: &str, sink: &str, epoch: u64, commit: &SinkCommit) -> Result<Committed, ConnectorError> {
        self.real.commit(job, sink, epoch, commit).await
    }

    async fn sweep(&self, commit_ids: &[i64]) -> Result<(), ConnectorError> {
        self.real.sweep(commit_ids).await
    }

    async fn discard(&self, paths: &[String]) -> Result<(), ConnectorError> {
        self.real.discard(paths).await
    }
}

fn committer(rig: &Rig) -> Arc<dyn SinkCommitter> {
    FakeSink::new(Arc::clone(&rig.tables["t0"]), &rig.files, &rig.world, (Distribution::None, None)).committer().expect("it has one")
}

async fn recover(rig: &Rig, committer: Arc<dyn SinkCommitter>) -> Result<u64, RuntimeError> {
    let sink = RecoverySink { target: "c.d.t0".to_owned(), committer: Some(committer) };
    let store = rig.store();
    let sinks = BTreeMap::from([("t0".to_owned(), sink)]);
    let board = StatusBoard::new(&rig.name, &SplitGauges::default(), &rig.budget);
    let tally = Tally { board, metrics: Metrics::shared() };
    let recovery = Recovery { job: &rig.name, attempt: "starter", store: &store, sinks, limit: Duration::from_secs(20), tally };
    recovery.run().await.map(|recovered| recovered.next_epoch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_read_before_the_other_process_went_on_is_not_taken_for_one_that_was_rolled_back() {
    let mut rig = Rig::new(FakeLog::new(&[300], 0), &["SELECT s, o FROM src"]);
    rig.retained = 1; // the checkpoint that fits what was read is gone by then
    rig.run().await.expect("first run");
    rig.log.append("0", 100, 0);
    let before = rig.table("t0").marker_epoch();
    let slow = Slow { real: committer(&rig), rig: rig.clone(), waited: AtomicBool::new(false) };
    let next = recover(&rig, Arc::new(slow)).await.expect("the table is as new as its checkpoints");
    assert!(rig.table("t0").marker_epoch() > before && Some(next) > rig.table("t0").marker_epoch());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_was_rolled_back_is_still_refused() {
    let rig = Rig::new(FakeLog::new(&[300], 0), &["SELECT s, o FROM src"]);
    rig.run().await.expect("first run");
    rig.table("t0").recreate("uuid-t0"); // empty, and no marker in it
    let error = recover(&rig, committer(&rig)).await.expect_err("refused");
    assert!(matches!(error, RuntimeError::TargetBehind { target_epoch: None, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_was_taken_out_and_put_back_gets_what_comes_from_then_on_and_its_next_commit_tells_the_gap() {
    let mut rig = Rig::new(FakeLog::new(&[300], 0), &["SELECT s, o FROM src", "SELECT s, o FROM src WHERE v = 3"]);
    rig.run().await.expect("first run");
    let taken_out = rig.inserts.pop().expect("two");
    rig.log.append("0", 100, 0);
    rig.run().await.expect("second run");
    rig.inserts.push(taken_out);
    rig.log.append("0", 1, 0); // no row for the sink: the gap is told later, after another start
    rig.run().await.expect("third run");
    rig.log.append("0", 50, 0);
    rig.run().await.expect("fourth run");
    rig.log.append("0", 50, 0);
    rig.run().await.expect("fifth run");
    rig.assert_exactly_once("t0", |_| true);
    rig.assert_exactly_once("t1", |(_, offset)| offset % 7 == 3 && !(300..400).contains(offset));
    let gaps: Vec<Vec<Gap>> = rig.table("t1").commits().into_iter().map(|commit| commit.gaps).filter(|gaps| !gaps.is_empty()).collect();
    let gap = Gap { source: "src".to_owned(), split: SplitId("0".to_owned()), from: 300, to: 400, why: GapReason::NotInJob };
    assert_eq!(gaps, [vec![gap]]);
    assert!(rig.table("t0").commits().iter().all(|commit| commit.gaps.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_checkpoints_an_epoch_is_claimed_above_those_that_upkeep_tells_of() {
    let mut rig = Rig::new(FakeLog::new(&[300], 0), &["SELECT s, o FROM src"]);
    rig.run().await.expect("first run");
    // Attempts that claimed and committed nothing.
    rig.table("t0").fence(40);
    assert!(recover(&rig, committer(&rig)).await.expect("goes on") < 40, "while the directory tells, it is believed");
    rig.objects = Arc::default();
    assert_eq!(recover(&rig, committer(&rig)).await.expect("goes on"), 42);
}
