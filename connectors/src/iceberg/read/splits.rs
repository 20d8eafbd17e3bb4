//! Files cut into ranges and dealt out to the partitions of a plan. Pure.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::files::columns::FileColumns;
use super::planning::FileTask;

/// Ranges smaller than this are not worth a request for the footer of their own.
const SMALLEST: u64 = 8 << 20;

/// A range of a file: the row groups whose middle is in it.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) task: Arc<FileTask>,
    pub(super) range: Range<u64>,
    /// The file's footer, read once for all its splits if there are several. One that has one reader only is not kept.
    pub(super) shared: Option<Arc<OnceCell<FileColumns>>>,
}

/// Cuts files into ranges of at most `most` bytes, and smaller ones if there is not enough for `parts` partitions, and deals them out so that
/// each partition gets about the same. Gives one partition at least.
pub(super) fn deal(tasks: &[Arc<FileTask>], parts: usize, most: u64) -> Vec<Vec<Split>> {
    let total: u64 = tasks.iter().map(|task| task.file.bytes()).sum();
    let parts = parts.max(1);
    let share = total / u64::try_from(parts).unwrap_or(u64::MAX);
    let size = most.min(share.max(SMALLEST)).max(1);
    let mut splits: Vec<Split> = tasks.iter().flat_map(|task| cut(task, size)).collect();
    // The order of the manifests decides among equals: it is the same each time.
    splits.sort_by_key(|split| Reverse(split.range.end - split.range.start));
    let count = parts.min(splits.len()).max(1);
    let mut dealt: Vec<(u64, Vec<Split>)> = (0..count).map(|_| (0, Vec::new())).collect();
    for split in splits {
        if let Some((bytes, part)) = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            // An empty file is work, too.
            *bytes += (split.range.end - split.range.start).max(1);
            part.push(split);
        }
    }
    dealt.into_iter().map(|(_, part)| part).collect()
}

fn cut(task: &Arc<FileTask>, size: u64) -> Vec<Split> {
    let bytes = task.file.bytes();
    let count = bytes.div_ceil(size).max(1);
    let even = bytes.div_ceil(count);
    let shared = (count > 1).then(Arc::default);
    let range = |index: u64| (index * even).min(bytes)..((index + 1) * even).min(bytes);
    (0..count).map(|index| Split { task: Arc::clone(task), range: range(index), shared: shared.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::deletes::Applying;
    use super::super::listed::alone;
    use super::*;

    fn task(bytes: u64) -> Arc<FileTask> {
        Arc::new(FileTask { file: alone(&format!("f{bytes}"), bytes), deletes: Applying::default(), constants: BTreeMap::new() })
    }

    fn sizes(parts: &[Vec<Split>]) -> Vec<Vec<u64>> {
        let mebibytes = |split: &Split| (split.range.end - split.range.start) >> 20;
        parts.iter().map(|part| part.iter().map(mebibytes).collect()).collect()
    }

    #[test]
    fn small_files_are_dealt_out_whole_and_large_ones_are_cut() {
        let files: Vec<_> = [9, 1, 5, 4, 3].into_iter().map(|size: u64| task(size << 20)).collect();
        assert_eq!(sizes(&deal(&files, 2, 128 << 20)), [vec![9, 3], vec![5, 4, 1]]);
        let large = deal(&[task(300 << 20)], 2, 128 << 20);
        assert_eq!(sizes(&large), [vec![100, 100], vec![100]]);
        let shared: Vec<_> = large.iter().flatten().filter_map(|split| split.shared.as_ref()).collect();
        assert!(shared.len() == 3 && Arc::ptr_eq(shared[0], shared[2]), "one footer for all");
        assert_eq!(sizes(&deal(&[], 4, 128 << 20)), [Vec::<u64>::new()]);
    }

    #[test]
    fn every_byte_of_a_file_is_in_one_split() {
        for (bytes, parts, most) in [(0, 3, 10), (7, 3, 2), (100 << 20, 5, 7 << 20), (64 << 20, 8, 1 << 30)] {
            let mut ranges: Vec<Range<u64>> = deal(&[task(bytes)], parts, most).into_iter().flatten().map(|split| split.range).collect();
            ranges.sort_by_key(|range| range.start);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, bytes));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
