//! The background committer: makes the commits of durable checkpoints, epoch by epoch, while later epochs run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::mpsc;
use weir_base::{Classified, ErrorKind, failpoint};
use weir_connectors::ConnectorError;
use weir_connectors::sink::{SinkCommit, SinkCommitter};

use crate::checkpoint::{Checkpoint, CheckpointStore, IntentName, Listing, obsolete};
use crate::epoch::injected;
use crate::error::RuntimeError;
use crate::monitor::Monitors;
use crate::tally::{Commit, Tally};

/// Durable epochs that wait for their commits before the next one has to wait.
pub(crate) const QUEUE: usize = 2;

/// Wait between two tries of a commit that failed in passing; a committer retries by itself too.
const RETRY: Duration = Duration::from_secs(1);

/// A durable epoch.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) checkpoint: Checkpoint,
    /// To be removed once it is committed.
    pub(crate) intents: Vec<IntentName>,
}

/// The committer of one attempt.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) store: CheckpointStore,
    pub(crate) sinks: BTreeMap<String, Arc<dyn SinkCommitter>>,
    pub(crate) listing: Listing,
    pub(crate) retained: usize,
    pub(crate) limit: Duration,
    pub(crate) monitors: Arc<Monitors>,
    pub(crate) tally: Tally,
}

impl Committer {
    /// Commits what comes, in order, until the queue ends. The first failure ends it.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Durable>) -> Result<(), RuntimeError> {
        while let Some(durable) = queue.recv().await {
            self.commit(&durable).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, durable: &Durable) -> Result<(), RuntimeError> {
        let checkpoint = &durable.checkpoint;
        let commits = checkpoint.sinks.iter().filter_map(|(id, record)| Some((id, record.commit.as_ref()?)));
        try_join_all(commits.map(|(id, commit)| self.commit_sink(checkpoint, id, commit))).await?;
        if failpoint::fails("before-committed-mark").await {
            return Err(injected("before-committed-mark"));
        }
        self.store.mark_committed(checkpoint.epoch).await?;
        self.listing.entries.insert(checkpoint.epoch);
        self.listing.marks.insert(checkpoint.epoch);
        self.monitors.show_progress(&checkpoint.cuts);
        for intent in &durable.intents {
            self.store.remove_intent(intent).await?;
        }
        let old = obsolete(&self.listing, self.retained);
        self.store.retire(&old).await?;
        self.listing.forget(&old);
        Ok(())
    }

    async fn commit_sink(&self, checkpoint: &Checkpoint, id: &str, commit: &SinkCommit) -> Result<(), RuntimeError> {
        let Some(committer) = self.sinks.get(id) else {
            return Err(RuntimeError::Internal(format!("sink {id} has a commit but no committer")));
        };
        let target = checkpoint.sinks.get(id).map(|record| record.target.clone()).unwrap_or_default();
        let this = Commit { job: &checkpoint.job, sink: id, epoch: checkpoint.epoch, commit };
        let began = Instant::now();
        self.tally.begins(&this);
        let (mut tries, mut last) = (0_u32, None);
        let trying = async {
            loop {
                match committer.commit(&checkpoint.job, id, checkpoint.epoch, commit).await {
                    Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Conflict) => {
                        tries += 1;
                        self.failed(checkpoint, id, &target, tries, &error);
                        last = Some(Box::new(error));
                        tokio::time::sleep(RETRY).await;
                    }
                    done => return done,
                }
            }
        };
        let timed = tokio::time::timeout(self.limit, trying).await;
        let Ok(done) = timed else {
            return Err(RuntimeError::CommitTimeout { target, sink: id.to_owned(), epoch: checkpoint.epoch, limit: self.limit, tries, last });
        };
        let committed = done?;
        if tries > 0 {
            self.tally.board.update(|status| status.last_error = None);
            if let Err(error) = committer.sweep(&[commit.commit_id]).await {
                tracing::warn!(job = checkpoint.job, sink = id, %error, "files of earlier tries of a commit are left behind");
            }
        }
        tracing::info!(
            job = checkpoint.job,
            sink = id,
            epoch = checkpoint.epoch,
            snapshot = committed.snapshot,
            rows = this.rows(),
            bytes = this.bytes(),
            retries = committed.retries,
            "committed"
        );
        self.tally.done(&this, &committed.snapshot, began.elapsed());
        Ok(())
    }

    /// Tells of a try that did not succeed and is followed by another.
    fn failed(&self, checkpoint: &Checkpoint, sink: &str, target: &str, tries: u32, error: &ConnectorError) {
        let error = weir_base::error::chain(error);
        tracing::warn!(job = checkpoint.job, sink, target, epoch = checkpoint.epoch, tries, error, "commit failed, trying again");
        self.tally.board.update(|status| status.last_error = Some(error));
    }
}
