//! Waiting between tries, and the end of patience.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::error::CatalogError;

/// How long one call to a catalog or store may take before its answer counts as lost.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long reads and other calls that may be repeated are repeated.
pub(crate) const READ_PATIENCE: Duration = Duration::from_secs(60);

/// Failures in a row before one is told.
const SILENT_TRIES: u32 = 3;

/// Delays that double from `min` to `max`, each shortened by up to a half so that competitors part.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Delays from `min` to `max` until `patience` has passed.
    pub(crate) fn new(min: Duration, max: Duration, patience: Duration) -> Self {
        Self { next: min.max(Duration::from_millis(1)), max, deadline: Instant::now() + patience }
    }

    /// For calls that may be repeated.
    pub(crate) fn reads() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5), READ_PATIENCE)
    }

    /// Waits for the next try; false, at once, if the deadline would pass.
    pub(crate) async fn wait(&mut self) -> bool {
        self.wait_at_least(Duration::ZERO).await
    }

    /// As [`Self::wait`], but at least `floor` (a server's `Retry-After`).
    pub(crate) async fn wait_at_least(&mut self, floor: Duration) -> bool {
        let delay = jittered(self.next, uuid::Uuid::new_v4().as_u128()).max(floor);
        self.next = (self.next * 2).min(self.max);
        if Instant::now() + delay >= self.deadline {
            return false;
        }
        tokio::time::sleep(delay).await;
        true
    }
}

/// Between a half of `delay` and all of it, by the low bits of `random`.
fn jittered(delay: Duration, random: u128) -> Duration {
    let share = (random & 0xffff) as u32;
    delay / 2 + delay / 2 * share / 0xffff
}

/// Repeats `call` while its error is transient and patience lasts. Only for calls that may be repeated.
pub(crate) async fn repeated<T, F, Fut>(mut backoff: Backoff, mut call: F) -> Result<T, CatalogError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, CatalogError>>,
{
    let mut tries = 1_u32;
    loop {
        match call().await {
            Err(error) if error.is_transient() => {
                // A blip is nobody's business; what lasts is said once.
                if tries == SILENT_TRIES {
                    tracing::warn!(%error, tries, "catalog does not answer as it should, trying on");
                } else {
                    tracing::debug!(%error, tries, "catalog call failed and is repeated");
                }
                if !backoff.wait().await {
                    return Err(error.with_note(format_args!("(gave up after {tries} tries)")));
                }
                tries += 1;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::ErrorKind;

    #[test]
    fn a_jittered_delay_lies_between_half_and_whole() {
        let delay = Duration::from_millis(100);
        for random in [0, 1, 0x7fff, 0xffff, u128::MAX] {
            let got = jittered(delay, random);
            assert!(got >= delay / 2 && got <= delay, "{got:?}");
        }
    }

    #[tokio::test]
    async fn only_transient_errors_are_repeated_and_patience_ends() {
        let mut calls = 0;
        let backoff = || Backoff::new(Duration::from_millis(1), Duration::from_millis(2), Duration::from_secs(60));
        let result: Result<(), _> = repeated(backoff(), || {
            calls += 1;
            async { Err(CatalogError::user("no")) }
        })
        .await;
        assert!(result.is_err());
        assert_eq!(calls, 1);
        let mut calls = 0;
        let result = repeated(backoff(), || {
            calls += 1;
            let done = calls == 3;
            async move { if done { Ok(()) } else { Err(CatalogError::other(ErrorKind::Transient, "later")) } }
        })
        .await;
        assert!(result.is_ok());
        assert_eq!(calls, 3);
    }
}
