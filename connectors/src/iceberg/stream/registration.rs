//! Says in the table how far this stream has read, so that nobody who asks expires what it has still to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use weir_base::task::{Task, spawn};
use weir_catalog::upkeep::readers::{Reader, register};

use super::shared::Shared;

/// Progress is told so often at most.
const EVERY: Duration = Duration::from_secs(10);
/// And so often at least: a reader that is not heard of for days does not count any more.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What this stream has told.
#[derive(Debug)]
pub(super) struct Registration {
    shared: Arc<Shared>,
    job: String,
    source: String,
    told: Option<(Instant, i64)>,
    telling: Option<Task<()>>,
    warned: Arc<AtomicBool>,
}

impl Registration {
    pub(super) fn new(shared: &Arc<Shared>, job: &str, source: &str) -> Self {
        let (job, source) = (job.to_owned(), source.to_owned());
        Self { shared: Arc::clone(shared), job, source, told: None, telling: None, warned: Arc::default() }
    }

    /// Tells that everything before the sequence number `next` is in a checkpoint, if that is due. Nobody waits for it.
    pub(super) fn tell(&mut self, next: i64) {
        let busy = self.telling.as_ref().is_some_and(|telling| !telling.is_finished());
        if !busy && is_due(self.told.map(|(when, told)| (when.elapsed(), told)), next) {
            self.begin(next);
        }
    }

    /// The same at the end of the job, and waits until it is told.
    pub(super) async fn tell_last(&mut self, next: i64) {
        self.begin(next);
        if let Some(Err(error)) = match self.telling.take() {
            Some(telling) => Some(telling.await),
            None => None,
        } {
            tracing::debug!(table = self.shared.name, %error, "the last telling of a reader was cut off");
        }
    }

    fn begin(&mut self, next: i64) {
        self.told = Some((Instant::now(), next));
        let time_ms = SystemTime::UNIX_EPOCH.elapsed().ok().and_then(|now| i64::try_from(now.as_millis()).ok()).unwrap_or(0);
        let reader = Reader {
            job: self.job.clone(),
            source: self.source.clone(),
            table: self.shared.uuid.clone(),
            branch: self.shared.options.branch.clone(),
            next_sequence: next,
            time_ms,
        };
        let (shared, warned) = (Arc::clone(&self.shared), Arc::clone(&self.warned));
        self.telling = Some(spawn("reader registration", async move {
            let Err(error) = register(&shared.catalog, &shared.location, &reader).await else { return };
            if !warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    table = shared.name,
                    %error,
                    "how far this job has read cannot be written beside the table: expiry may take snapshots that it has not read yet"
                );
            }
        }));
    }
}

/// Whether to tell `next`, of what was told how long ago.
fn is_due(told: Option<(Duration, i64)>, next: i64) -> bool {
    told.is_none_or(|(ago, told)| ago >= AGAIN || (next != told && ago >= EVERY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_now_and_then_and_standing_still_seldom() {
        let seconds = Duration::from_secs;
        assert!(is_due(None, 1), "the beginning at once");
        assert!(!is_due(Some((seconds(9), 1)), 2) && is_due(Some((seconds(10), 1)), 2));
        assert!(!is_due(Some((seconds(3_599), 1)), 1) && is_due(Some((seconds(3_600), 1)), 1));
    }
}
