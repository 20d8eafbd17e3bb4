//! How compaction goes on after it gave way: later, and in smaller groups, so that it does not starve. Pure.

use std::time::Duration;

/// The first wait; it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// Groups are not made smaller than this.
const SMALLEST: u64 = 64 << 20;

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace {
    failures: u32,
}

impl Pace {
    /// Notes a run in which groups gave way or failed, and none was committed.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes a run in which something was committed, or there was nothing to do.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait before the next try.
    #[must_use]
    pub fn wait(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => FIRST.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST),
        }
    }

    /// The most bytes of the next run: half as many after each failure.
    #[must_use]
    pub fn max_bytes(&self, wanted: Option<u64>, target_bytes: u64) -> Option<u64> {
        if self.failures == 0 {
            return wanted;
        }
        let begin = wanted.unwrap_or(target_bytes.saturating_mul(4));
        Some((begin >> self.failures.min(63)).max(SMALLEST.min(begin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_and_halves_the_bytes_until_a_success() {
        let mut pace = Pace::default();
        assert_eq!((pace.wait(), pace.max_bytes(None, 512 << 20)), (Duration::ZERO, None));
        let mut seen = Vec::new();
        for _ in 0..3 {
            pace.failed();
            seen.push((pace.wait().as_secs(), pace.max_bytes(None, 512 << 20).map(|bytes| bytes >> 20)));
        }
        assert_eq!(seen, [(1, Some(1_024)), (2, Some(512)), (4, Some(256))]);
        (0..100).for_each(|_| pace.failed());
        assert_eq!((pace.wait(), pace.max_bytes(None, 512 << 20)), (LONGEST, Some(SMALLEST)));
        assert_eq!(pace.max_bytes(Some(1 << 20), 512 << 20), Some(1 << 20), "what the user wants is never exceeded");
        pace.succeeded();
        assert_eq!(pace.failures(), 0);
    }
}
