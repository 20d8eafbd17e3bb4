//! Positions of a split that hold no records.

use std::ops::Range;
use std::sync::Arc;

/// Stretches of positions without records, in order and apart from each other. Empty if every position may hold a record.
///
/// They are for display and for credit: a reader passes them on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps(Arc<[Range<i64>]>);

impl Gaps {
    /// The gaps `ranges`, which must be in order and may touch.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range<i64>>) -> Self {
        Self(ranges.into_iter().filter(|range| !range.is_empty()).collect())
    }

    /// How many positions from `from` to `to` (exclusive) may hold a record.
    #[must_use]
    pub fn records(&self, from: i64, to: i64) -> i64 {
        let empty: i64 = self.0.iter().map(|gap| gap.end.min(to).saturating_sub(gap.start.max(from)).max(0)).sum();
        to.saturating_sub(from).max(0) - empty
    }

    /// The position that is `records` records after `from`. A gap that begins there is passed, too.
    #[must_use]
    pub fn after(&self, from: i64, records: i64) -> i64 {
        let mut reached = from.saturating_add(records);
        for gap in self.0.iter().filter(|gap| gap.end > from) {
            if gap.start > reached {
                break;
            }
            reached = reached.saturating_add(gap.end - gap.start.max(from));
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_hold_no_records_and_are_passed() {
        let gaps = Gaps::new([10..100, 100..100, 110..1_000]);
        assert_eq!((gaps.records(0, 10), gaps.records(0, 100), gaps.records(5, 105), gaps.records(50, 2_000)), (10, 10, 10, 1_010));
        assert_eq!((gaps.after(0, 5), gaps.after(0, 10), gaps.after(0, 15), gaps.after(50, 0), gaps.after(105, 5)), (5, 100, 105, 100, 1_000));
        assert_eq!((Gaps::default().records(3, 9), Gaps::default().after(i64::MAX - 1, 5)), (6, i64::MAX));
    }

    proptest! {
        #[test]
        fn after_is_where_the_records_are(lengths in prop::collection::vec((0_i64..20, 1_i64..20), 0..6), from in 0_i64..100, records in 0_i64..100) {
            let mut at = 0;
            let gaps = Gaps::new(lengths.into_iter().map(|(dense, gap)| {
                let start = at + dense;
                at = start + gap;
                start..at
            }));
            let to = gaps.after(from, records);
            prop_assert_eq!(gaps.records(from, to), records);
            prop_assert_eq!(gaps.records(from, to + 1), records + 1, "nothing that could be passed is left");
        }
    }
}
