//! Polls of a secured identity that are under way.
//!
//! A Kerberos handshake waits for the KDC inside a poll and holds its thread meanwhile. Nothing on that thread sees that time is over, and
//! nothing in an answer that never came says why. A poll that lasts does.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No other poll takes so long.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// The polls that are under way, by number: the one with the least began first.
#[derive(Debug, Default)]
pub(super) struct Polls(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    next: u64,
    begun: BTreeMap<u64, Instant>,
}

/// One poll; it is over when this is dropped.
struct Poll<'a> {
    polls: &'a Polls,
    number: u64,
}

impl Polls {
    fn numbered(&self) -> std::sync::MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Poll<'_> {
        let mut numbered = self.numbered();
        let number = numbered.next;
        numbered.next += 1;
        numbered.begun.insert(number, Instant::now());
        Poll { polls: self, number }
    }

    /// Does `work`, with each of its polls noted.
    pub(super) async fn note<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let _poll = self.begin();
            work.as_mut().poll(context)
        })
        .await
    }

    /// How long a handshake has been waiting `now`, if there is one.
    pub(super) fn handshake(&self, now: Instant) -> Option<Duration> {
        let longest = self.numbered().begun.first_key_value().map(|(_, begun)| now.saturating_duration_since(*begun));
        longest.filter(|waited| *waited >= HANDSHAKE)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.polls.numbered().begun.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_poll_that_lasts_is_a_handshake() {
        let polls = Polls::default();
        let later = || Instant::now() + HANDSHAKE;
        polls.note(tokio::task::yield_now()).await;
        assert_eq!(polls.handshake(later()), None, "it waits, and no thread is held");
        polls
            .note(async {
                assert_eq!(polls.handshake(Instant::now()), None, "every poll takes a moment");
                assert!(polls.handshake(later()).is_some_and(|waited| waited >= HANDSHAKE));
            })
            .await;
        assert_eq!(polls.handshake(later()), None, "it is over");
    }
}
