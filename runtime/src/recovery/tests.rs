//! Recovery beside a process that is still at work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use weir_connectors::ConnectorError;
use weir_connectors::sink::{Committed, Marker, SinkCommit, SinkCommitter, StreamSink, TargetState};

use super::recover::{Recovery, RecoverySink};
use crate::error::RuntimeError;
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

    fn next_commit_id(&self) -> i64 {
        self.real.next_commit_id()
    }

    async fn commit(&self, job: &str, sink: &str, epoch: u64, commit: &SinkCommit) -> Result<Committed, ConnectorError> {
        self.real.commit(job, sink, epoch, commit).await
    }

    async fn discard(&self, paths: &[String]) -> Result<(), ConnectorError> {
        self.real.discard(paths).await
    }
}

fn committer(rig: &Rig) -> Arc<dyn SinkCommitter> {
    FakeSink::new(Arc::clone(&rig.tables["t0"]), &rig.files, &rig.world, false).committer().expect("it has one")
}

async fn recover(rig: &Rig, committer: Arc<dyn SinkCommitter>) -> Result<u64, RuntimeError> {
    let sink = RecoverySink { target: "c.d.t0".to_owned(), committer: Some(committer) };
    let store = rig.store();
    let sinks = BTreeMap::from([("t0".to_owned(), sink)]);
    let recovery = Recovery { job: &rig.name, attempt: "starter", store: &store, sinks, limit: Duration::from_secs(20) };
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
