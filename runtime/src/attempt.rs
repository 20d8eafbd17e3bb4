//! One attempt at running a job: recovery, then epoch after epoch until the sources end, somebody asks to stop, or something fails.
//!
//! While an epoch is read, the files of the one before are finished and its checkpoint written, and the commits of up to
//! [`crate::committer::QUEUE`] earlier ones are made. Order within one epoch: files closed, checkpoint durable, commits, committed mark.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use weir_base::failpoint;
use weir_base::memory::MemoryBudget;
use weir_base::task::Task;
use weir_connectors::sink::SinkCommitter;
use weir_connectors::source::{Cut, Cuts, SplitEnumerator};
use weir_sql::plan::{JobPlan, StreamTable};

use crate::checkpoint::CheckpointStore;
use crate::committer::{Committer, Durable, QUEUE};
use crate::epoch::{Engine, EpochId, EpochSpec, Failure, MemoryGate, ReaderRegistry, Reading, RunningEpoch, SplitGauges, Writers, injected, seal};
use crate::error::RuntimeError;
use crate::job::JobOptions;
use crate::lookup::Lookups;
use crate::metrics::Metrics;
use crate::monitor::Monitors;
use crate::recovery::{Recovered, Recovery, RecoverySink, SinkProgress, Start, at_most, shared_source, tell_lost};
use crate::status::{JobState, StatusBoard};
use crate::tally::Tally;
use crate::upkeep::Upkeep;

/// Gaps that are shown one by one when a sink comes back.
const GAPS_SHOWN: usize = 16;

/// What every attempt of a job shares.
#[derive(Debug)]
pub(crate) struct JobParts {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) store: CheckpointStore,
    pub(crate) budget: MemoryBudget,
    pub(crate) lookups: Lookups,
    pub(crate) options: JobOptions,
    pub(crate) gauges: SplitGauges,
    pub(crate) board: StatusBoard,
    pub(crate) metrics: Arc<Metrics>,
}

/// One attempt.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    parts: &'a JobParts,
    id: String,
    failure: Failure,
    writers: Writers,
    wake: Arc<Notify>,
    committers: BTreeMap<String, Arc<dyn SinkCommitter>>,
}

type Progress = BTreeMap<String, SinkProgress>;

/// An epoch whose splits are read to its cut.
struct ReadEpoch {
    epoch: RunningEpoch,
    from: Cuts,
    cuts: Cuts,
    began: Instant,
}

/// What is done next, between two epochs.
enum Next {
    Epoch,
    End,
}

impl<'a> Attempt<'a> {
    /// An attempt; `id` is unique and of letters and digits only.
    pub(crate) fn new(parts: &'a JobParts, id: String) -> Self {
        let committers = parts.plan.inserts.iter().filter_map(|insert| Some((insert.sink_id.clone(), insert.sink.committer()?))).collect();
        Self { parts, id, failure: Failure::default(), writers: Writers::default(), wake: Arc::default(), committers }
    }

    /// Runs until the job is done or stopped.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), RuntimeError> {
        self.parts.board.update(|status| {
            status.state = JobState::Recovering;
            status.attempt.clone_from(&self.id);
        });
        let ready = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()), // nothing is half done: recovery may stop anywhere
            ready = self.recover() => ready?,
        };
        let done = Box::pin(self.epochs(ready, stop)).await;
        if done.is_err() {
            self.writers.settle().await;
            if self.parts.options.one_off {
                self.clean_up().await;
            }
        }
        done
    }

    /// Deletes what a statement wrote and did not commit: there may be no attempt after it.
    async fn clean_up(&self) {
        if let Err(error) = self.recovery().clean_up().await {
            let error = weir_base::error::chain(&error);
            tracing::warn!(
                job = self.parts.plan.settings.name,
                error,
                "files of a failed statement are left, `weir table remove-orphans` removes them"
            );
        }
    }

    fn recovery(&self) -> Recovery<'_> {
        let settings = &self.parts.plan.settings;
        let sinks = self.parts.plan.inserts.iter().map(|insert| {
            let committer = self.committers.get(&insert.sink_id).map(Arc::clone);
            (insert.sink_id.clone(), RecoverySink { target: insert.target.to_string(), committer })
        });
        let (sinks, limit) = (sinks.collect(), settings.timeout);
        Recovery { job: &settings.name, attempt: &self.id, store: &self.parts.store, sinks, limit, tally: self.tally() }
    }

    fn tally(&self) -> Tally {
        Tally { board: self.parts.board.clone(), metrics: Arc::clone(&self.parts.metrics) }
    }

    async fn recover(&self) -> Result<Ready, RuntimeError> {
        let mut recovered = self.recovery().run().await?;
        self.tell_start(&recovered);
        let mut cuts = Cuts::new();
        let mut enumerators = BTreeMap::new();
        for table in &self.parts.plan.sources {
            let step = "connecting to a source";
            let (enumerator, restored, cut) = self.timed(step, self.open_source(table, &recovered)).await?;
            tell_lost(&mut recovered.sinks, &table.id, &restored, &cut);
            cuts.insert(table.id.clone(), cut);
            enumerators.insert(table.id.clone(), enumerator);
        }
        self.check_shared_sources(&recovered.sinks, &cuts).await?;
        for sink in recovered.sinks.values_mut().filter(|sink| sink.last_epoch.is_none() && sink.reached.is_empty()) {
            sink.reached.clone_from(&cuts);
        }
        self.parts.board.begins(&cuts);
        let unread = recovered.start == Start::Fresh || (self.parts.options.one_off && recovered.start != Start::Checkpoint);
        let once = self.parts.plan.sources.is_empty() && unread;
        if self.parts.plan.sources.is_empty() && !once {
            tracing::warn!(job = self.parts.plan.settings.name, "this job has no sources and has been done already: it does nothing");
        }
        Ok(Ready { recovered, cuts, enumerators, once })
    }

    fn tell_start(&self, recovered: &Recovered) {
        let job = &self.parts.plan.settings.name;
        match &recovered.start {
            Start::Fresh => tracing::info!(job, "no checkpoint and no marker: the job starts where its sources' options say"),
            Start::Checkpoint => {
                tracing::info!(job, epoch = recovered.next_epoch, "going on from the last checkpoint");
                recovered.sinks.iter().for_each(|(sink, progress)| tell_joining(job, sink, progress));
            }
            // A single statement has no checkpoints that could be gone; the marker is of the statement before it.
            Start::Markers { .. } if self.parts.options.one_off => {}
            Start::Markers { .. } => {
                for (sink, progress) in &recovered.sinks {
                    tracing::warn!(
                        job,
                        sink,
                        target = progress.target,
                        epoch = progress.last_epoch,
                        "the checkpoints are gone: going on from what the tables hold; rows that this sink has already are left out for it"
                    );
                }
            }
        }
        for (sink, progress) in &recovered.sinks {
            self.parts.board.update_sink(sink, |status| {
                status.target.clone_from(&progress.target);
                status.last_epoch = progress.last_epoch;
                status.pending_commits = 0;
            });
        }
    }

    /// Opens a source where it goes on, and says where that should be by what is recorded, and where it is.
    async fn open_source(&self, table: &StreamTable, recovered: &Recovered) -> Result<(Box<dyn SplitEnumerator>, Cut, Cut), RuntimeError> {
        let source = &table.source;
        let restored = match &recovered.start {
            Start::Fresh => None,
            Start::Checkpoint => recovered.cuts.get(&table.id).cloned(),
            Start::Markers { lowest, complete } => match lowest.get(&table.id) {
                Some(cut) if *complete => Some(cut.clone()),
                Some(cut) => Some(at_most(source.enumerator(None).await?.start(), cut)),
                None => None,
            },
        };
        let mut enumerator = source.enumerator(restored.as_ref()).await?;
        enumerator.read_by(&self.parts.plan.settings.name, &table.id);
        let mut cut = enumerator.start().clone();
        // Where they differ, the options accepted that what lay between is lost. Splits that are not read any more keep their place.
        let restored = restored.unwrap_or_default();
        for (split, position) in &restored {
            cut.entry(split.clone()).or_insert_with(|| position.clone());
        }
        Ok((enumerator, restored, cut))
    }

    async fn check_shared_sources(&self, sinks: &Progress, cuts: &Cuts) -> Result<(), RuntimeError> {
        if self.parts.options.allow_shared_source {
            return Ok(());
        }
        let job = &self.parts.plan.settings.name;
        for (id, committer) in &self.committers {
            let Some(sink) = sinks.get(id).filter(|sink| sink.last_epoch.is_none()) else { continue };
            let markers = self.timed("reading a target", async { Ok(committer.other_markers(job).await?) }).await?;
            if let Some((other, split)) = shared_source(&markers, cuts) {
                let target = format!("table {}", sink.target);
                return Err(RuntimeError::SharedSource { target, job: job.clone(), other: other.to_owned(), split });
            }
        }
        Ok(())
    }

    async fn epochs(&self, ready: Ready, stop: &CancellationToken) -> Result<(), RuntimeError> {
        let Ready { recovered, mut cuts, enumerators, mut once } = ready;
        let settings = &self.parts.plan.settings;
        let limit = settings.timeout;
        let monitors = Arc::new(Monitors::start(enumerators, &self.wake, &self.failure));
        self.parts.board.watch(monitors.known());
        let upkeep = Upkeep::start(&self.parts.plan, &self.parts.budget, recovered.next_epoch - 1, self.parts.options.one_off, stop, &self.failure);
        self.parts.board.show_upkeep(upkeep.told());
        let (queue, mut committer) = self.start_committer(&recovered, &monitors);
        let (first, resumed) = (recovered.next_epoch, recovered.start == Start::Checkpoint);
        let lookups = &self.parts.lookups;
        let engine = Engine::try_new(&self.parts.plan, &self.parts.store, lookups, self.reading(), self.writers.clone())?;
        self.failure.or(engine.look()).await??;
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()), // nothing is read yet
            loaded = self.failure.or(engine.load_lookups()) => loaded??,
        }
        let reached: BTreeMap<String, Cuts> = recovered.sinks.iter().map(|(id, sink)| (id.clone(), sink.reached.clone())).collect();
        let mut progress = recovered.sinks;
        let mut ending: Option<Task<Option<Progress>>> = None;
        let mut number = first;
        self.parts.board.update(|status| {
            status.state = JobState::Running;
            status.last_error = None;
        });
        while let Next::Epoch = self.wait_for_work(&monitors, &mut cuts, std::mem::take(&mut once), stop).await? {
            let began = Instant::now();
            self.parts.board.update(|status| status.epoch = Some(number));
            let spec = EpochSpec { number, attempt: &self.id, from: &cuts, reached: &reached };
            let mut epoch = self.failure.or(self.timed("planning an epoch", engine.start(&spec))).await??;
            let held = || ending.as_ref().is_some_and(|before| !before.is_finished());
            let cut = epoch.read(&monitors, upkeep.slowed(settings.interval), held, stop, limit).await?;
            let from = cuts.clone();
            cuts.extend(cut);
            if let Some(mut before) = ending.take() {
                progress = self.failure.or(self.failure.join(&mut before)).await??;
            }
            let read = ReadEpoch { epoch, from, cuts: cuts.clone(), began };
            let end = self.epoch_end(read, progress.clone(), queue.clone(), Arc::clone(&monitors));
            ending = Some(self.failure.spawn("epoch end", (), end));
            number += 1;
        }
        if let Some(mut last) = ending.take() {
            self.failure.or(self.failure.join(&mut last)).await??;
        }
        drop(queue);
        self.failure.or(self.failure.join(&mut committer)).await??;
        self.failure.or(upkeep.end(&self.failure)).await??;
        if resumed || number > first {
            monitors.show_last(&cuts).await;
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        let budget = self.parts.budget.clone();
        let gate = MemoryGate::new(&budget, self.parts.options.memory_mark);
        Reading {
            budget,
            gate,
            registry: ReaderRegistry::default(),
            gauges: self.parts.gauges.clone(),
            wake: Arc::clone(&self.wake),
            failure: self.failure.clone(),
        }
    }

    fn start_committer(&self, recovered: &Recovered, monitors: &Arc<Monitors>) -> (mpsc::Sender<Durable>, Task<Option<()>>) {
        let committer = Committer {
            store: self.parts.store.clone(),
            sinks: self.committers.clone(),
            listing: recovered.listing.clone(),
            retained: self.parts.plan.settings.retained,
            limit: self.parts.plan.settings.timeout,
            monitors: Arc::clone(monitors),
            tally: self.tally(),
        };
        let (queue, received) = mpsc::channel(QUEUE);
        (queue, self.failure.spawn("committer", (), committer.run(received)))
    }

    /// Waits until there is something to read. No data, no epoch.
    async fn wait_for_work(&self, monitors: &Monitors, cuts: &mut Cuts, once: bool, stop: &CancellationToken) -> Result<Next, RuntimeError> {
        if once {
            return Ok(Next::Epoch); // a job without sources is one epoch
        }
        loop {
            if stop.is_cancelled() {
                return Ok(Next::End);
            }
            let finished = monitors.finished(); // before the ends are looked at: later it might be about newer ends
            if monitors.extend(cuts) {
                return Ok(Next::Epoch);
            }
            if finished {
                return Ok(Next::End);
            }
            tokio::select! {
                biased;
                error = self.failure.wait() => return Err(error),
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// From an epoch that is read to the end to a durable checkpoint that waits for its commits.
    fn epoch_end(
        &self,
        read: ReadEpoch,
        progress: Progress,
        queue: mpsc::Sender<Durable>,
        monitors: Arc<Monitors>,
    ) -> impl Future<Output = Result<Progress, RuntimeError>> + Send + 'static {
        let (plan, store, committers) = (Arc::clone(&self.parts.plan), self.parts.store.clone(), self.committers.clone());
        let (board, metrics) = (self.parts.board.clone(), Arc::clone(&self.parts.metrics));
        async move {
            let job = &plan.settings.name;
            let ReadEpoch { epoch, from, cuts, began } = read;
            let (number, attempt) = (epoch.number, epoch.attempt.clone());
            let limit = plan.settings.timeout;
            let (written, ()) = tokio::try_join!(epoch.finish(limit), monitors.confirm(&from, &cuts, limit))?;
            let id = EpochId { job, epoch: number, attempt: &attempt };
            let commit_id = |sink: &str| committers.get(sink).map(|committer| committer.next_commit_id());
            let (mut checkpoint, progress) = seal(id, &cuts, written.committables, progress, commit_id);
            checkpoint.aliases = store.aliases();
            if failpoint::fails("checkpoint-before-put").await {
                return Err(injected("checkpoint-before-put"));
            }
            let size = store.put(&checkpoint).await?;
            if failpoint::fails("checkpoint-after-put").await {
                return Err(injected("checkpoint-after-put"));
            }
            tracing::debug!(job, epoch = number, size, "checkpoint written");
            metrics.epoch_durable(job, began.elapsed().as_secs_f64());
            board.durable(number, &cuts);
            board.update(|status| {
                status.checkpoints += 1;
                status.checkpoint_bytes = size as u64;
                status.last_checkpoint = Some(Utc::now());
                for id in checkpoint.sinks.iter().filter(|(_, record)| record.commit.is_some()).map(|(id, _)| id) {
                    status.sinks.entry(id.clone()).or_default().pending_commits += 1;
                }
            });
            if queue.send(Durable { checkpoint, intents: written.intents }).await.is_err() {
                return Err(RuntimeError::Internal("the committer has ended".to_owned()));
            }
            Ok(progress)
        }
    }

    async fn timed<T>(&self, step: &'static str, work: impl Future<Output = Result<T, RuntimeError>>) -> Result<T, RuntimeError> {
        let limit: Duration = self.parts.plan.settings.timeout;
        tokio::time::timeout(limit, work).await.unwrap_or(Err(RuntimeError::Timeout { step, limit }))
    }
}

/// Tells of a sink that the last checkpoint does not have, or not all along, where it begins.
fn tell_joining(job: &str, sink: &str, progress: &SinkProgress) {
    if !progress.gaps.is_empty() {
        let gaps: Vec<String> = progress.gaps.iter().take(GAPS_SHOWN).map(ToString::to_string).collect();
        tracing::warn!(
            job,
            sink,
            target = progress.target,
            last_epoch = progress.last_epoch,
            gaps = gaps.join("; "),
            more = progress.gaps.len() - gaps.len(),
            "this sink goes on where the job is now and does not get the rows of these ranges"
        );
    } else if progress.incarnation.is_some() && progress.last_epoch.is_none() && progress.reached.is_empty() {
        tracing::info!(job, sink, target = progress.target, "this sink is new to the job: it begins where the job is now and gets no earlier rows");
    }
}

/// A job that is recovered and whose sources are open.
#[derive(Debug)]
struct Ready {
    recovered: Recovered,
    cuts: Cuts,
    enumerators: BTreeMap<String, Box<dyn SplitEnumerator>>,
    /// The job has no sources and has not run yet.
    once: bool,
}
