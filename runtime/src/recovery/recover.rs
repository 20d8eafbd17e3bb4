//! The shell of recovery: reads, claims, finishes commits, deletes litter. Nothing is deleted, and nothing committed, before the claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_connectors::sink::SinkCommitter;
use weir_connectors::source::Cuts;

use super::decide::{Decision, Facts, SinkProgress, Start, decide, epoch_to_claim};
use super::intents::{IntentFate, fate};
use crate::checkpoint::{Checkpoint, CheckpointStore, Claim, Entry, Listing};
use crate::error::RuntimeError;
use crate::tally::{Commit, Tally};

/// A sink as recovery sees it.
#[derive(Debug, Clone)]
pub(crate) struct RecoverySink {
    pub(crate) target: String,
    pub(crate) committer: Option<Arc<dyn SinkCommitter>>,
}

/// One recovery of one job.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) job: &'a str,
    pub(crate) attempt: &'a str,
    pub(crate) store: &'a CheckpointStore,
    pub(crate) sinks: BTreeMap<String, RecoverySink>,
    pub(crate) limit: Duration,
    /// Where the commits that it makes are counted.
    pub(crate) tally: Tally,
}

/// What the job goes on with.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// First epoch that this attempt may write.
    pub(crate) next_epoch: u64,
    /// Where to start.
    pub(crate) start: Start,
    /// Cuts of the newest checkpoint; empty without one.
    pub(crate) cuts: Cuts,
    /// What each sink has taken.
    pub(crate) sinks: BTreeMap<String, SinkProgress>,
    /// What the directory holds now.
    pub(crate) listing: Listing,
}

struct Chain {
    checkpoints: Vec<Checkpoint>,
    first_is_committed: bool,
}

impl Recovery<'_> {
    /// Recovers the job.
    pub(crate) async fn run(&self) -> Result<Recovered, RuntimeError> {
        let (mut listing, chain, decision, claimed) = self.claim().await?;
        tracing::info!(job = self.job, epoch = claimed, attempt = self.attempt, "claimed");
        let pending = chain.checkpoints.get(usize::from(chain.first_is_committed)..).unwrap_or_default();
        for checkpoint in pending {
            self.finish(checkpoint, &decision.markers).await?;
        }
        self.sweep(pending).await; // before the marks: without them this would be found again after a death here
        for checkpoint in pending {
            self.store.mark_committed(checkpoint.epoch).await?;
            listing.marks.insert(checkpoint.epoch);
        }
        self.clean(&listing, claimed).await?;
        listing.intents.clear();
        let cuts = chain.checkpoints.into_iter().next_back().map(|checkpoint| checkpoint.cuts).unwrap_or_default();
        Ok(Recovered { next_epoch: claimed + 1, start: decision.start, cuts, sinks: decision.sinks, listing })
    }

    /// Deletes what an attempt that has ended wrote for epochs without a checkpoint, while no other attempt is at work: of a single statement,
    /// whose directory is its own.
    pub(crate) async fn clean_up(&self) -> Result<(), RuntimeError> {
        let listing = self.store.list().await?;
        self.clean(&listing, listing.entries.last().copied().unwrap_or_default()).await
    }

    /// Reads until a claim is won. Targets are read before the directory, so that a process which is still at work never makes a target
    /// look ahead of its checkpoints. It may make one look behind them: committed, and the checkpoint before retired, between the two
    /// readings. So a target that is behind is read again, until it does not move any more.
    async fn claim(&self) -> Result<(Listing, Chain, Decision, u64), RuntimeError> {
        let mut behind = None;
        loop {
            let mut sinks = BTreeMap::new();
            for (id, sink) in &self.sinks {
                let state = match &sink.committer {
                    Some(committer) => Some(self.timed("reading a target", committer.state(self.job, id)).await?),
                    None => None,
                };
                sinks.insert(id.clone(), (sink.target.clone(), state));
            }
            let mut listing = self.store.list().await?;
            let chain = self.chain(&listing).await?;
            let decision = decide(&Facts {
                job: self.job,
                dir: self.store.uri(),
                chain: &chain.checkpoints,
                first_is_committed: chain.first_is_committed,
                sinks: &sinks,
            });
            let decision = match decision {
                Err(RuntimeError::TargetBehind { sink, target_epoch, .. }) if behind != Some((sink.clone(), target_epoch)) => {
                    behind = Some((sink, target_epoch));
                    continue;
                }
                decision => decision?,
            };
            let named = listing.entries.last().max(listing.marks.last()).copied();
            let known = if named.is_some() { None } else { self.claimed_before().await? };
            let epoch = epoch_to_claim(named.max(known), decision.highest_marker());
            if self.store.claim(epoch, self.attempt).await? == Claim::Won {
                listing.entries.insert(epoch);
                return Ok((listing, chain, decision, epoch));
            }
            tracing::info!(job = self.job, epoch, "lost the race for a claim, reading again");
        }
    }

    /// The highest epoch that earlier attempts have claimed, as far as what looks after the targets tells, now that the directory does not: with a lower
    /// one they would be taken for newer than this attempt.
    async fn claimed_before(&self) -> Result<Option<u64>, RuntimeError> {
        let mut highest = None;
        for committer in self.sinks.values().filter_map(|sink| sink.committer.as_ref()) {
            highest = highest.max(self.timed("reading what earlier attempts have claimed", committer.claimed(self.job)).await?);
        }
        Ok(highest)
    }

    /// The newest committed checkpoint and all later ones. What lies under it are claims, and checkpoints that are done with.
    async fn chain(&self, listing: &Listing) -> Result<Chain, RuntimeError> {
        let committed = listing.marks.intersection(&listing.entries).last().copied();
        let mut chain = Chain { checkpoints: Vec::new(), first_is_committed: committed.is_some() };
        for epoch in listing.entries.range(committed.unwrap_or(0)..) {
            if let Some(Entry::Checkpoint(checkpoint)) = self.store.read(*epoch).await? {
                chain.checkpoints.push(*checkpoint);
            } else if Some(*epoch) == committed {
                chain.first_is_committed = false; // retired by the process before us since the listing
            }
        }
        Ok(chain)
    }

    /// Makes the commits of a checkpoint that are not made yet; `markers` are the epochs that were found in the targets.
    async fn finish(&self, checkpoint: &Checkpoint, markers: &BTreeMap<String, u64>) -> Result<(), RuntimeError> {
        for (id, record) in &checkpoint.sinks {
            let committer = self.sinks.get(id).and_then(|sink| sink.committer.as_ref());
            if let (Some(commit), Some(committer)) = (&record.commit, committer) {
                let this = Commit { job: self.job, sink: id, epoch: checkpoint.epoch, commit };
                let began = Instant::now();
                // What is there before this process begins is an earlier one's, and stays so if this has to be asked for again.
                let is_there = markers.get(id) >= Some(&checkpoint.epoch);
                let begun = if is_there { self.tally.has_begun(&this) } else { self.tally.begins(&this) };
                let done = tokio::time::timeout(self.limit, committer.commit(self.job, id, checkpoint.epoch, commit)).await;
                let late = |_elapsed| RuntimeError::CommitTimeout {
                    target: record.target.clone(),
                    sink: id.clone(),
                    epoch: checkpoint.epoch,
                    limit: self.limit,
                    tries: 0,
                    last: None,
                };
                let done = done.map_err(late)??;
                // One that is there already was made by this process if it had begun it and not heard the answer; else by an earlier one.
                if begun || !done.already {
                    self.tally.done(&this, &done.snapshot, began.elapsed());
                }
                tracing::info!(
                    job = self.job,
                    sink = id,
                    epoch = checkpoint.epoch,
                    snapshot = done.snapshot,
                    already = done.already,
                    "commit finished"
                );
            }
        }
        Ok(())
    }

    /// Removes what earlier processes left of the commits that are now done. Nothing depends on it, so a failure is only told.
    async fn sweep(&self, pending: &[Checkpoint]) {
        for (id, committer) in self.sinks.iter().filter_map(|(id, sink)| Some((id, sink.committer.as_ref()?))) {
            let commits = pending.iter().filter_map(|checkpoint| Some(checkpoint.sinks.get(id)?.commit.as_ref()?.commit_id));
            let commits: Vec<i64> = commits.collect();
            if commits.is_empty() {
                continue;
            }
            if let Err(error) = self.timed("removing what earlier tries of a commit left", committer.sweep(&commits)).await {
                tracing::warn!(
                    job = self.job,
                    sink = id,
                    error = weir_base::error::chain(&error),
                    "files of earlier tries of a commit are left behind"
                );
            }
        }
    }

    async fn clean(&self, listing: &Listing, claimed: u64) -> Result<(), RuntimeError> {
        let mut entries = BTreeMap::new();
        for epoch in listing.intents.iter().map(|intent| intent.epoch) {
            if entries.contains_key(&epoch) {
                continue;
            }
            if let Some(entry) = self.store.read(epoch).await? {
                entries.insert(epoch, entry);
            }
        }
        for name in &listing.intents {
            match fate(name, &entries, claimed) {
                IntentFate::Keep => continue,
                IntentFate::Forget => {}
                IntentFate::DeleteFiles => {
                    let Some(intent) = self.store.read_intent(name).await? else { continue };
                    let Some(committer) = self.sinks.get(&intent.sink).and_then(|sink| sink.committer.as_ref()) else { continue };
                    let files: Vec<String> = intent.paths.into_iter().map(|path| path.into_uri()).collect();
                    self.timed("deleting files of a failed attempt", committer.discard(&files)).await?;
                    tracing::info!(job = self.job, sink = intent.sink, epoch = name.epoch, files = files.len(), "files of a failed attempt deleted");
                }
            }
            self.store.remove_intent(name).await?;
        }
        Ok(())
    }

    async fn timed<T, E>(&self, step: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, RuntimeError>
    where
        RuntimeError: From<E>,
    {
        match tokio::time::timeout(self.limit, work).await {
            Ok(result) => result.map_err(RuntimeError::from),
            Err(_) => Err(RuntimeError::Timeout { step, limit: self.limit }),
        }
    }
}
