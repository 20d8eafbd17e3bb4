//! Which ranges of a file are asked for together. Pure.

use std::ops::Range;

/// Gaps up to this size may be read over: a request for itself costs more on any store.
const LARGEST_GAP: u64 = 1 << 20;

/// Bytes that nobody wants may be one in so many of those that are wanted.
const SPARE: u64 = 64;

/// Merges ranges, smallest gaps first, as long as little is read in vain. The result is in order and covers every range.
pub(super) fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    let wanted: u64 = joined.iter().map(|range| range.end - range.start).sum();
    let mut gaps: Vec<(u64, usize)> =
        joined.windows(2).enumerate().map(|(index, pair)| (pair[1].start - pair[0].end, index)).filter(|(gap, _)| *gap <= LARGEST_GAP).collect();
    gaps.sort_unstable();
    let mut spare = wanted / SPARE;
    let mut bridged = vec![false; joined.len()];
    for (gap, index) in gaps {
        if gap > spare {
            break;
        }
        spare -= gap;
        bridged[index] = true;
    }
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(joined.len());
    let mut open = false;
    for (index, range) in joined.into_iter().enumerate() {
        match merged.last_mut() {
            Some(last) if open => last.end = range.end,
            _ => merged.push(range),
        }
        open = bridged[index];
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_and_small_gaps_are_read_together_large_ones_are_not() {
        assert_eq!(merge(&[100..200, 0..100, 500..510]), [0..200, 500..510]);
        assert_eq!(merge(&[0..6_400, 6_450..12_800, 20_000..20_001]), [0..12_800, 20_000..20_001]);
        assert_eq!(merge(&[0..100, 150..200, 180..180]), [0..100, 150..200]);
    }

    proptest! {
        #[test]
        fn every_range_is_covered_and_little_is_read_in_vain(starts in proptest::collection::vec((0_u64..1_000_000, 0_u64..50_000), 0..40)) {
            let ranges: Vec<Range<u64>> = starts.into_iter().map(|(start, length)| start..start + length).collect();
            let merged = merge(&ranges);
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                prop_assert!(merged.iter().any(|whole| whole.start <= range.start && range.end <= whole.end));
            }
            prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
            let mut wanted = 0;
            let mut end = 0;
            let mut sorted = ranges;
            sorted.sort_by_key(|range| range.start);
            for range in sorted {
                wanted += range.end.saturating_sub(range.start.max(end));
                end = end.max(range.end);
            }
            let read: u64 = merged.iter().map(|range| range.end - range.start).sum();
            prop_assert!(read <= wanted + wanted / SPARE);
        }
    }
}
