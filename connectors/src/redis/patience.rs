//! How long a load goes on with servers that go away, and how often it begins anew with each of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::options::Address;

/// How often a server may be scanned again, and slots that moved be read again, before a load is given up, to begin anew later.
pub(super) const MOST_ROUNDS: usize = 20;
/// How long a server that goes away is waited for: a cluster needs its `cluster-node-timeout`, 15 s unless it is set, before a replica takes over.
pub(super) const MOST_AWAY: Duration = Duration::from_secs(30);
/// Wait before the second try; it doubles with each one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a load has been through.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How often each server, the only one as none, was scanned again.
    scans: BTreeMap<Option<Address>, usize>,
    /// How often slots were read again.
    slots: usize,
    /// Whether anything was answered at all.
    has_begun: bool,
    /// Since when nothing is, and the last wait.
    away: Option<(Instant, Duration)>,
}

impl Patience {
    /// Something was answered.
    pub(super) fn answered(&mut self) {
        self.has_begun = true;
        self.away = None;
    }

    /// How long to wait before what failed at `now` is tried again; `None` if it is not: nothing was ever answered, or nothing for [`MOST_AWAY`].
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        if !self.has_begun {
            return None;
        }
        let (since, last) = self.away.get_or_insert((now, Duration::ZERO));
        *last = (*last * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        (now.saturating_duration_since(*since) < MOST_AWAY).then_some(*last)
    }

    /// Counts that a server is scanned again; false if that is too often.
    pub(super) fn scans_again(&mut self, address: Option<&Address>) -> bool {
        let scans = self.scans.entry(address.cloned()).or_default();
        *scans += 1;
        *scans <= MOST_ROUNDS
    }

    /// Counts that slots are read again; false if that is too often.
    pub(super) fn reads_slots_again(&mut self) -> bool {
        self.slots += 1;
        self.slots <= MOST_ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_scanned_again_as_often_as_if_it_were_the_only_one() {
        let mut patience = Patience::default();
        let nodes = [1, 2, 3].map(|port| ("h".to_owned(), port));
        for node in &nodes {
            assert!((0..MOST_ROUNDS).all(|_| patience.scans_again(Some(node))), "{node:?}");
        }
        assert!((0..MOST_ROUNDS).all(|_| patience.reads_slots_again()));
        assert!(nodes.iter().all(|node| !patience.scans_again(Some(node))) && !patience.reads_slots_again());
    }

    #[test]
    fn a_server_that_was_there_is_waited_for_and_another_is_not() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert_eq!(patience.wait(start), None);
        for _ in 0..2 {
            patience.answered();
            let (mut now, mut waits) = (start, Vec::new());
            while let Some(wait) = patience.wait(now) {
                waits.push(wait.as_millis());
                now += wait;
            }
            assert_eq!(waits[..6], [100, 200, 400, 800, 1_600, 2_000]);
            assert!((MOST_AWAY..MOST_AWAY + LONGEST_WAIT).contains(&(now - start)), "{:?}", now - start);
        }
    }
}
