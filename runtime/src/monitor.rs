//! Watching the sources: one task for each asks its enumerator how far the splits can be read, over and over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use weir_base::task::Task;
use weir_base::{Classified, ErrorKind};
use weir_connectors::source::{Cut, Cuts, Frontier, SplitEnumerator};

use crate::epoch::{Failure, SplitKey};
use crate::error::RuntimeError;

/// Wait between two questions while rows arrive, and at most, when none do.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(100);
/// Wait while the server cannot be reached.
const AWAY: Duration = Duration::from_secs(1);

/// What is known of every source of an attempt.
#[derive(Debug)]
pub(crate) struct Monitors {
    sources: BTreeMap<String, Monitor>,
}

#[derive(Debug)]
struct Monitor {
    known: Arc<Mutex<Frontier>>,
    progress: mpsc::Sender<Cut>,
    _task: Task<Option<()>>,
}

impl Monitors {
    /// Starts a task for each source. Each change wakes `wake`.
    pub(crate) fn start(enumerators: BTreeMap<String, Box<dyn SplitEnumerator>>, wake: &Arc<Notify>, failure: &Failure) -> Self {
        let sources = enumerators.into_iter().map(|(id, enumerator)| {
            let known = Arc::<Mutex<Frontier>>::default();
            let (progress, committed) = mpsc::channel(4);
            let watch = Watch { source: id.clone(), enumerator, known: Arc::clone(&known), wake: Arc::clone(wake), committed };
            let task = failure.spawn("source monitor", (), watch.run());
            (id, Monitor { known, progress, _task: task })
        });
        Self { sources: sources.collect() }
    }

    /// End of a split, if it is known yet.
    pub(crate) fn end(&self, (source, split): &SplitKey) -> Option<i64> {
        let known = self.sources.get(source)?.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.ends.get(split).map(|end| end.offset)
    }

    /// Whether every source is bounded and knows its final ends.
    pub(crate) fn finished(&self) -> bool {
        self.sources.values().all(|monitor| monitor.known.lock().unwrap_or_else(PoisonError::into_inner).finished)
    }

    /// Adds the splits that were found since `cuts` to it; true if any split has something to read.
    pub(crate) fn extend(&self, cuts: &mut Cuts) -> bool {
        let mut work = false;
        for (source, monitor) in &self.sources {
            let cut = cuts.entry(source.clone()).or_default();
            let known = monitor.known.lock().unwrap_or_else(PoisonError::into_inner);
            for (split, start) in &known.discovered {
                cut.entry(split.clone()).or_insert_with(|| start.clone());
            }
            work |= cut.iter().any(|(split, position)| known.ends.get(split).is_some_and(|end| end.offset > position.offset));
        }
        work
    }

    /// Tells the servers what is committed, for display. Skipped while an earlier telling is under way.
    pub(crate) fn show_progress(&self, cuts: &Cuts) {
        for (source, cut) in cuts {
            if let Some(monitor) = self.sources.get(source)
                && monitor.progress.try_send(cut.clone()).is_err()
            {
                tracing::debug!(source, "progress not shown, the source is busy");
            }
        }
    }
}

struct Watch {
    source: String,
    enumerator: Box<dyn SplitEnumerator>,
    known: Arc<Mutex<Frontier>>,
    wake: Arc<Notify>,
    committed: mpsc::Receiver<Cut>,
}

impl Watch {
    async fn run(mut self) -> Result<(), RuntimeError> {
        let mut wait = SHORTEST;
        let mut away = false;
        loop {
            match self.enumerator.frontier().await {
                Ok(frontier) => {
                    if away {
                        tracing::info!(source = self.source, "source reached again");
                        away = false;
                    }
                    wait = if self.learn(frontier) { SHORTEST } else { (wait * 2).min(LONGEST) };
                }
                Err(error) if error.kind() == ErrorKind::Transient => {
                    if !away {
                        tracing::warn!(source = self.source, %error, "source cannot be reached, waiting");
                        away = true;
                    }
                    wait = AWAY;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                committed = self.committed.recv() => match committed {
                    Some(cut) => self.enumerator.show_progress(&cut).await,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Takes in an answer; true if it brought something new.
    fn learn(&self, frontier: Frontier) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = known.ends != frontier.ends || known.finished != frontier.finished || !frontier.discovered.is_empty();
        known.ends = frontier.ends;
        known.finished = frontier.finished;
        known.discovered.extend(frontier.discovered);
        drop(known);
        if new {
            self.wake.notify_one();
        }
        new
    }
}
