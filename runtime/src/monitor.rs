//! Watching the sources: one task for each asks its enumerator how far the splits can be read, over and over, and whatever else the job wants
//! to know from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::sync::{Notify, mpsc, oneshot};
use weir_base::task::Task;
use weir_base::{Classified, ErrorKind};
use weir_connectors::ConnectorError;
use weir_connectors::source::{Cut, Cuts, Frontier, Gaps, SplitEnumerator};

use crate::epoch::{Failure, SplitKey};
use crate::error::RuntimeError;

/// Wait between two questions while rows arrive, and at most, when none do.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(100);
/// Wait while the server cannot be reached.
const AWAY: Duration = Duration::from_secs(1);
/// How long the end of a job waits for servers to take in how far it came. Less than a stop may take.
const LAST_TELLING: Duration = Duration::from_secs(5);
/// Requests that wait for an enumerator that is busy.
const REQUESTS: usize = 4;

/// The sources of an attempt, and those who watch them.
#[derive(Debug)]
pub(crate) struct Monitors {
    known: Known,
    sources: BTreeMap<String, Monitor>,
}

/// What is known of every source; it stays readable when nobody watches any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(BTreeMap<String, Arc<Mutex<Frontier>>>);

#[derive(Debug)]
struct Monitor {
    requests: mpsc::Sender<Request>,
    _task: Task<Option<()>>,
}

/// What a task does between two questions about ends.
#[derive(Debug)]
enum Request {
    /// Say whether the splits are still those of this cut.
    Confirm(Cut, oneshot::Sender<Result<(), ConnectorError>>),
    /// Show that this is committed.
    Show(Cut),
    /// Show that this is committed, and say when that has arrived.
    ShowLast(Cut, oneshot::Sender<()>),
}

impl Monitors {
    /// Starts a task for each source. Each change wakes `wake`.
    pub(crate) fn start(enumerators: BTreeMap<String, Box<dyn SplitEnumerator>>, wake: &Arc<Notify>, failure: &Failure) -> Self {
        let mut known = Known::default();
        let sources = enumerators.into_iter().map(|(id, enumerator)| {
            let frontier = Arc::clone(known.0.entry(id.clone()).or_default());
            let (requests, received) = mpsc::channel(REQUESTS);
            let watch = Watch { source: id.clone(), enumerator, known: frontier, wake: Arc::clone(wake), requests: received };
            let task = failure.spawn("source monitor", (), watch.run());
            (id, Monitor { requests, _task: task })
        });
        let sources = sources.collect();
        Self { known, sources }
    }

    /// What is known, and will be.
    pub(crate) fn known(&self) -> Known {
        self.known.clone()
    }

    /// End of a split, if it is known yet, and the gaps before it.
    pub(crate) fn end(&self, split: &SplitKey) -> Option<(i64, Gaps)> {
        self.known.end(split)
    }

    /// Whether every source is bounded and knows its final ends.
    pub(crate) fn finished(&self) -> bool {
        self.known.0.values().all(|known| known.lock().unwrap_or_else(PoisonError::into_inner).finished)
    }

    /// Adds the splits that were found since `cuts` to it; true if any split has something to read.
    pub(crate) fn extend(&self, cuts: &mut Cuts) -> bool {
        let mut work = false;
        for (source, known) in &self.known.0 {
            let cut = cuts.entry(source.clone()).or_default();
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
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
                && monitor.requests.try_send(Request::Show(cut.clone())).is_err()
            {
                tracing::debug!(source, "progress not shown, the source is busy");
            }
        }
    }

    /// The same at the end of a job, when all of `cuts` is committed: waits until it has arrived, if not for long.
    pub(crate) async fn show_last(&self, cuts: &Cuts) {
        let tellings = self.sources.iter().filter_map(|(source, monitor)| {
            let cut = cuts.get(source)?.clone();
            Some(async move {
                let (told, arrived) = oneshot::channel();
                let telling = async { monitor.requests.send(Request::ShowLast(cut, told)).await.is_ok() && arrived.await.is_ok() };
                if tokio::time::timeout(LAST_TELLING, telling).await != Ok(true) {
                    tracing::warn!(source, "the server was not told the last position of the job, which is for display only");
                }
            })
        });
        join_all(tellings).await;
    }

    /// Returns when every source that was read from `from` to `to` has said that these are still the same splits.
    pub(crate) async fn confirm(&self, from: &Cuts, to: &Cuts, limit: Duration) -> Result<(), RuntimeError> {
        let read = self.sources.iter().filter_map(|(source, monitor)| Some((monitor, to.get(source).filter(|cut| from.get(source) != Some(cut))?)));
        let step = "checking that the splits of an epoch are still the same";
        let confirmed = tokio::time::timeout(limit, try_join_all(read.map(|(monitor, cut)| monitor.confirm(cut)))).await;
        confirmed.unwrap_or(Err(RuntimeError::Timeout { step, limit })).map(|_| ())
    }
}

impl Known {
    /// End of a split as last seen, and the gaps before it.
    pub(crate) fn end(&self, (source, split): &SplitKey) -> Option<(i64, Gaps)> {
        let known = self.0.get(source)?.lock().unwrap_or_else(PoisonError::into_inner);
        let gaps = known.gaps.get(split).cloned().unwrap_or_default();
        known.ends.get(split).map(|end| (end.offset, gaps))
    }
}

impl Monitor {
    async fn confirm(&self, cut: &Cut) -> Result<(), RuntimeError> {
        loop {
            let (answer, answered) = oneshot::channel();
            let asked = self.requests.send(Request::Confirm(cut.clone(), answer)).await.is_ok();
            match answered.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if error.kind() == ErrorKind::Transient => tracing::debug!(%error, "splits not checked, asking again"),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    // The task has failed, which ends the attempt: nobody waits for this any more.
                    tracing::debug!(asked, "splits not checked, their source has failed");
                    std::future::pending().await
                }
            }
            tokio::time::sleep(AWAY).await;
        }
    }
}

struct Watch {
    source: String,
    enumerator: Box<dyn SplitEnumerator>,
    known: Arc<Mutex<Frontier>>,
    wake: Arc<Notify>,
    requests: mpsc::Receiver<Request>,
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
                request = self.requests.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => return Ok(()),
                },
                () = self.enumerator.news(), if !away => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Confirm(cut, answer) => {
                let confirmed = self.enumerator.confirm(&cut).await;
                if answer.send(confirmed).is_err() {
                    tracing::debug!(source = self.source, "nobody waits for the check any more");
                }
            }
            Request::Show(cut) => self.enumerator.show_progress(&cut, false).await,
            Request::ShowLast(cut, told) => {
                self.enumerator.show_progress(&cut, true).await;
                if told.send(()).is_err() {
                    tracing::debug!(source = self.source, "the telling took too long");
                }
            }
        }
    }

    /// Takes in an answer; true if it brought something new.
    fn learn(&self, frontier: Frontier) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = known.ends != frontier.ends || known.finished != frontier.finished || !frontier.discovered.is_empty();
        known.ends = frontier.ends;
        known.gaps = frontier.gaps;
        known.finished = frontier.finished;
        known.discovered.extend(frontier.discovered);
        drop(known);
        if new {
            self.wake.notify_one();
        }
        new
    }
}
