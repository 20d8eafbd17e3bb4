//! How far a split may be read: the commanded end runs a short time ahead of the reader, so that an epoch can end soon whenever it must.

use std::time::{Duration, Instant};

use weir_connectors::source::Gaps;

/// How long a reader should have work for when the command is given.
const AHEAD: Duration = Duration::from_millis(250);
/// Smallest step ahead, in offsets.
const SMALLEST: i64 = 1_024;
/// Step ahead before a speed is known.
const FIRST: i64 = 16_384;
/// Largest step ahead.
const LARGEST: i64 = 4_000_000;
/// Speeds are measured over no less than this.
const SAMPLE: Duration = Duration::from_millis(40);

/// The command to a split's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    /// Read up to here, exclusive.
    pub(crate) until: i64,
    /// Wake the coordinator once past this.
    pub(crate) low: i64,
    /// `until` is the end of the epoch.
    pub(crate) last: bool,
}

/// The credit of one split in one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Credit {
    granted: i64,
    window: i64,
    sampled: (Instant, i64),
}

impl Credit {
    /// Nothing is granted past `from`. `window` is what an earlier epoch learned.
    pub(crate) fn new(from: i64, window: Option<i64>, now: Instant) -> Self {
        Self { granted: from, window: window.unwrap_or(FIRST), sampled: (now, from) }
    }

    /// End of what is granted.
    pub(crate) fn granted(&self) -> i64 {
        self.granted
    }

    /// The step ahead that fits the speed seen.
    pub(crate) fn window(&self) -> i64 {
        self.window
    }

    /// Grants more to a reader at `position` of a split that ends at `end` and has records outside of `gaps`. Never takes back.
    pub(crate) fn grant(&mut self, position: i64, end: i64, gaps: &Gaps, now: Instant) -> Command {
        let elapsed = now.saturating_duration_since(self.sampled.0);
        let starved = position >= self.granted && self.granted > self.sampled.1 && end > self.granted;
        if elapsed >= SAMPLE || starved {
            let read = gaps.records(self.sampled.1, position);
            let share = AHEAD.as_secs_f64() / elapsed.as_secs_f64().max(0.001);
            let wanted = (read as f64 * share).min(LARGEST as f64) as i64;
            self.window = if starved { wanted.max(self.window.saturating_mul(2)) } else { (wanted + self.window) / 2 };
            self.window = self.window.clamp(SMALLEST, LARGEST);
            self.sampled = (now, position);
        }
        self.granted = self.granted.max(end.min(gaps.after(position, self.window)));
        let low = if self.granted == end { end } else { gaps.after(position, self.window / 2).min(self.granted) };
        Command { until: self.granted, low, last: false }
    }

    /// The last command: what is granted is the cut.
    pub(crate) fn finish(&self) -> Command {
        Command { until: self.granted, low: i64::MAX, last: true }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fast_reader_soon_has_enough_work_and_a_slow_one_little() {
        let start = Instant::now();
        let (mut fast, mut slow) = (Credit::new(0, None, start), Credit::new(0, None, start));
        let (mut at_fast, mut at_slow) = (0, 0);
        for step in 0..100 {
            let now = start + Duration::from_millis(50 * step);
            at_fast = (at_fast + 50_000).min(fast.grant(at_fast, i64::MAX, &Gaps::default(), now).until);
            at_slow = (at_slow + 20).min(slow.grant(at_slow, i64::MAX, &Gaps::default(), now).until);
        }
        assert!((150_000..600_000).contains(&(fast.granted() - at_fast)), "{fast:?} at {at_fast}");
        assert!(slow.granted() - at_slow <= FIRST, "{slow:?} at {at_slow}");
        assert_eq!(slow.window(), SMALLEST);
    }

    #[test]
    fn a_gap_costs_no_credit() {
        let start = Instant::now();
        let gaps = Gaps::new(std::iter::once(100..1 << 40));
        let mut credit = Credit::new(0, None, start);
        let end = (1 << 40) + 1_000_000;
        assert_eq!(credit.grant(0, end, &gaps, start).until, (1 << 40) + FIRST - 100);
        let mut short = Credit::new(0, None, start);
        assert_eq!(short.grant(0, 1 << 40, &gaps, start), Command { until: 1 << 40, low: 1 << 40, last: false });
    }

    proptest! {
        #[test]
        fn what_is_granted_never_shrinks_and_never_passes_the_end(
            steps in prop::collection::vec((0_i64..50_000, 0_i64..100_000, 0_u64..200), 1..50)
        ) {
            let start = Instant::now();
            let mut credit = Credit::new(10, None, start);
            let (mut position, mut end, mut now) = (10, 10, start);
            for (read, written, waited) in steps {
                now += Duration::from_millis(waited);
                end += written;
                position = (position + read).min(credit.granted());
                let before = credit.granted();
                let command = credit.grant(position, end, &Gaps::default(), now);
                prop_assert!(command.until >= before && command.until <= end && command.low <= command.until);
                prop_assert!(end == position || command.until > position);
            }
        }
    }
}
