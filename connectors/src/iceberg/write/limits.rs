//! How much memory one writer may use for what, from the budget of the process.

/// Bytes that a writer of small rows needs while its file is open.
const OPEN_FILE: u64 = 8 << 20;

/// The shares of one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Rows that wait unsorted before they are placed.
    pub(super) drain: u64,
    /// Sorted rows that wait in memory before they are spilled.
    pub(super) runs: u64,
    /// All open files.
    pub(super) encoders: u64,
    /// Files open at the same time.
    pub(super) files: usize,
    /// Files on their way into the store.
    pub(super) closing: u64,
}

impl Limits {
    /// The limits of one of `writers`: together they may take half of the budget.
    pub(super) fn of(budget: u64, writers: usize) -> Self {
        let share = budget / 2 / (writers.max(1) as u64);
        let encoders = (share / 2).max(OPEN_FILE);
        Self {
            drain: (share / 12).clamp(256 << 10, 8 << 20),
            runs: (share / 4).clamp(1 << 20, 64 << 20),
            encoders,
            files: usize::try_from(encoders / OPEN_FILE).unwrap_or(usize::MAX).clamp(1, 64),
            closing: (share / 8).clamp(1 << 20, 64 << 20),
        }
    }

    /// What one open file may hold before its row group ends.
    pub(super) fn encoder(&self, open: usize) -> usize {
        usize::try_from(self.encoders).unwrap_or(usize::MAX) / open.max(1)
    }
}

/// Which partitions of a drained batch of rows get a file of their own now: those that have one, and the largest of the others while
/// there is room and they are large enough to keep an encoder busy. `counts` are rows by partition; the rest waits in runs.
pub(super) fn choose_hot(counts: &[(u32, usize)], is_open: impl Fn(u32) -> bool, limits: &Limits, open: usize) -> Vec<u32> {
    let total: usize = counts.iter().map(|(_, rows)| rows).sum();
    let mut hot: Vec<u32> = counts.iter().map(|(number, _)| *number).filter(|number| is_open(*number)).collect();
    let large = |(number, rows): &&(u32, usize)| !is_open(*number) && rows.saturating_mul(4 * limits.files) >= total;
    let mut others: Vec<&(u32, usize)> = counts.iter().filter(large).collect();
    others.sort_by_key(|(number, rows)| (std::cmp::Reverse(*rows), *number));
    hot.extend(others.iter().take(limits.files.saturating_sub(open)).map(|(number, _)| *number));
    hot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_together_stay_within_the_budget() {
        for (budget, writers) in [(512 << 20, 1), (512 << 20, 4), (4 << 30, 8)] {
            let limits = Limits::of(budget, writers);
            // Rows that are drained exist three times for a moment: as they came, joined, and sorted.
            let one = 3 * limits.drain + 2 * limits.runs + limits.encoders + limits.closing;
            assert!(one * writers as u64 <= budget, "{budget} {writers} {limits:?}");
        }
    }

    #[test]
    fn large_partitions_get_files_and_small_ones_wait() {
        let limits = Limits { drain: 0, runs: 0, encoders: 0, files: 2, closing: 0 };
        let counts = [(0, 1), (1, 50), (2, 30), (3, 20), (4, 1)];
        assert_eq!(choose_hot(&counts, |_| false, &limits, 0), [1, 2]);
        assert_eq!(choose_hot(&counts, |number| number == 0 || number == 4, &limits, 2), [0, 4]);
        let many: Vec<(u32, usize)> = (0..2_000).map(|number| (number, 3)).collect();
        assert!(choose_hot(&many, |_| false, &limits, 0).is_empty());
    }
}
