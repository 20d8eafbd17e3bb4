//! An epoch that runs: first its splits are read to a cut, then its sinks finish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use weir_base::failpoint;
use weir_connectors::ConnectorError;
use weir_connectors::sink::Committable;
use weir_connectors::source::{Cuts, Gaps, SplitPosition};

use super::credit::Command;
use super::failure::Failure;
use super::reading::RunningSplit;
use crate::checkpoint::{IntentName, SinkIntents};
use crate::error::RuntimeError;
use crate::monitor::Monitors;

/// How often commands are renewed when nobody asks for one.
const TICK: Duration = Duration::from_millis(50);
/// The same while the epoch before holds this one open.
const HELD: Duration = Duration::from_millis(5);

/// One sink of a running epoch.
#[derive(Debug)]
pub(crate) struct RunningSink {
    pub(crate) id: String,
    /// Each gives what its writer finished, or nothing if the attempt fails.
    pub(crate) partitions: Vec<oneshot::Receiver<Vec<Committable>>>,
    pub(crate) intents: SinkIntents,
}

/// A running epoch. Dropping it stops its reading, and nothing of it is committed; its writers are the attempt's.
#[derive(Debug)]
pub(crate) struct RunningEpoch {
    pub(crate) number: u64,
    pub(crate) attempt: String,
    pub(crate) splits: Vec<RunningSplit>,
    pub(crate) sinks: Vec<RunningSink>,
    pub(crate) failure: Failure,
    pub(crate) wake: Arc<Notify>,
}

/// What an epoch wrote.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// By sink; only sinks with rows.
    pub(crate) committables: BTreeMap<String, Vec<Committable>>,
    /// To be removed once the epoch is committed.
    pub(crate) intents: Vec<IntentName>,
}

impl RunningEpoch {
    /// Commands the reading until `interval` has passed, every bounded source is at its end, or `stop` is asked for. Ends when every split
    /// has reached the cut, and gives it. While the epoch before is `held` up by slow commits, this one stays open: its end would have to
    /// wait, and nothing would be read.
    pub(crate) async fn read(
        &mut self,
        monitors: &Monitors,
        interval: Duration,
        held: impl Fn() -> bool,
        stop: &CancellationToken,
        limit: Duration,
    ) -> Result<Cuts, RuntimeError> {
        let started = Instant::now();
        loop {
            let complete = self.command(monitors);
            let left = interval.saturating_sub(started.elapsed());
            if complete || stop.is_cancelled() || (left.is_zero() && !held()) {
                break;
            }
            let pause = if left.is_zero() { HELD } else { left.min(TICK) };
            let failure = self.failure.clone();
            tokio::select! {
                biased;
                error = failure.wait() => return Err(error),
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        for split in &self.splits {
            split.gauge.set_window(split.credit.window());
            send(split, split.credit.finish());
        }
        let step = "reading an epoch to its cut";
        let drained = tokio::time::timeout(limit, self.drain()).await;
        drained.unwrap_or(Err(RuntimeError::Timeout { step, limit }))?;
        if failpoint::fails("epoch-rows-read").await {
            return Err(injected("epoch-rows-read"));
        }
        Ok(self.cut())
    }

    /// Renews every command; true if everything that will ever be there has been granted.
    fn command(&mut self, monitors: &Monitors) -> bool {
        let now = Instant::now();
        let mut complete = monitors.finished();
        for split in &mut self.splits {
            let (end, gaps) = monitors.end(&split.key).unwrap_or_else(|| (split.from.offset, Gaps::default()));
            let command = split.credit.grant(split.gauge.position(), end, &gaps, now);
            send(split, command);
            complete &= command.until >= end;
        }
        complete
    }

    async fn drain(&mut self) -> Result<(), RuntimeError> {
        for split in &mut self.splits {
            let failure = self.failure.clone();
            failure.or(failure.join(&mut split.task)).await??;
        }
        Ok(())
    }

    fn cut(&self) -> Cuts {
        let mut cuts = Cuts::new();
        for split in &self.splits {
            let position = SplitPosition { offset: split.credit.granted(), incarnation: split.from.incarnation.clone() };
            cuts.entry(split.key.0.clone()).or_default().insert(split.key.1.clone(), position);
        }
        cuts
    }

    /// Waits until every sink partition has finished, and collects what there is to commit. Runs while the coordinator reads the next epoch:
    /// a failure is left to it.
    pub(crate) async fn finish(mut self, limit: Duration) -> Result<Written, RuntimeError> {
        let work = async {
            let mut written = Written::default();
            for sink in &mut self.sinks {
                let mut committables = Vec::new();
                for partition in &mut sink.partitions {
                    match partition.await {
                        Ok(part) => committables.extend(part),
                        // It has failed, and says itself why: the attempt ends with that.
                        Err(_closed) => std::future::pending().await,
                    }
                }
                if !committables.is_empty() {
                    written.committables.insert(sink.id.clone(), committables);
                }
                written.intents.extend(sink.intents.recorded());
            }
            Ok::<_, RuntimeError>(written)
        };
        let step = "finishing the files of an epoch";
        let finished = tokio::time::timeout(limit, work).await;
        let written = finished.unwrap_or(Err(RuntimeError::Timeout { step, limit }))?;
        if failpoint::fails("epoch-files-closed").await {
            return Err(injected("epoch-files-closed"));
        }
        Ok(written)
    }
}

fn send(split: &RunningSplit, command: Command) {
    split.commands.send_if_modified(|current| {
        let changed = *current != command;
        *current = command;
        changed
    });
}

/// The failure that a fail point asks for.
pub(crate) fn injected(point: &'static str) -> RuntimeError {
    ConnectorError::transient(format!("failed at fail point '{point}'")).into()
}
