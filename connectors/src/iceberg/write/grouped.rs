//! Rows that were counted and ordered by partition, and have not been copied yet.
//!
//! All functions block; they are called off the I/O threads.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;

use super::runs::MemoryRun;

/// Where the rows of each partition stand, by ascending partition number.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges(Vec<(u32, Range<usize>)>);

impl Ranges {
    /// Puts partitions one behind another; numbers ascend.
    pub(super) fn of(counts: impl Iterator<Item = (u32, usize)>) -> Self {
        let mut next = 0;
        let place = |(number, rows)| {
            let start = next;
            next += rows;
            (number, start..next)
        };
        Self(counts.map(place).collect())
    }

    pub(super) fn get(&self, number: u32) -> Option<Range<usize>> {
        let index = self.0.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.0.get(index).map(|(_, range)| range.clone())
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(number, _)| *number)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Batches with the partition number of each row.
pub(super) type Numbered = Vec<(RecordBatch, Vec<u32>)>;

/// The batches of each hot partition, and the rows of all others as a run if there are any.
pub(super) type Split = (Vec<(u32, Vec<RecordBatch>)>, Option<MemoryRun>);

/// Batches, and the order of their rows by partition; rows of one partition keep their order.
#[derive(Debug)]
pub(super) struct Grouped {
    batches: Vec<RecordBatch>,
    /// Batch and row.
    order: Vec<(usize, usize)>,
    ranges: Ranges,
}

impl Grouped {
    /// Counting sort: partition numbers are small, for they are given one by one.
    pub(super) fn new(numbered: Numbered) -> Self {
        let all = || numbered.iter().flat_map(|(_, numbers)| numbers);
        let mut counts = vec![0_usize; all().max().map_or(0, |most| *most as usize + 1)];
        for number in all() {
            if let Some(count) = counts.get_mut(*number as usize) {
                *count += 1;
            }
        }
        let ranges = Ranges::of((0_u32..).zip(&counts).filter(|(_, count)| **count > 0).map(|(number, count)| (number, *count)));
        // From here on: where the next row of each partition goes.
        let mut next = counts;
        for (number, range) in &ranges.0 {
            if let Some(next) = next.get_mut(*number as usize) {
                *next = range.start;
            }
        }
        let mut order = vec![(0, 0); all().count()];
        let mut batches = Vec::with_capacity(numbered.len());
        for (batch, numbers) in numbered {
            for (row, number) in numbers.iter().enumerate() {
                if let Some(next) = next.get_mut(*number as usize)
                    && let Some(place) = order.get_mut(*next)
                {
                    *place = (batches.len(), row);
                    *next += 1;
                }
            }
            batches.push(batch);
        }
        Self { batches, order, ranges }
    }

    /// Rows of each partition.
    pub(super) fn counts(&self) -> Vec<(u32, usize)> {
        self.ranges.0.iter().map(|(number, range)| (*number, range.len())).collect()
    }

    /// The rows of each partition in `hot`, and those of all others as a run. Copies each row once, or not at all if all are of one partition
    /// and that is hot.
    pub(super) fn split(self, hot: &[u32]) -> Result<Split, ArrowError> {
        if let ([only], [(number, _)]) = (hot, self.ranges.0.as_slice())
            && only == number
        {
            return Ok((vec![(*number, self.batches)], None));
        }
        let mut split = Vec::with_capacity(hot.len());
        for number in hot {
            if let Some(range) = self.ranges.get(*number) {
                split.push((*number, vec![self.copy(self.order.get(range).unwrap_or_default())?]));
            }
        }
        let cold = || self.ranges.0.iter().filter(|(number, _)| !hot.contains(number));
        let ranges = Ranges::of(cold().map(|(number, range)| (*number, range.len())));
        if ranges.len() == 0 {
            return Ok((split, None));
        }
        let order: Vec<(usize, usize)> = cold().flat_map(|(_, range)| self.order.get(range.clone()).unwrap_or_default()).copied().collect();
        Ok((split, Some(MemoryRun::new(self.copy(&order)?, ranges))))
    }

    fn copy(&self, order: &[(usize, usize)]) -> Result<RecordBatch, ArrowError> {
        interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), order)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use proptest::prelude::*;

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).expect("batch")
    }

    fn values(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        #[test]
        fn each_row_goes_to_its_partition_once_and_in_order(
            batches in prop::collection::vec(prop::collection::vec(0_u32..6, 1..40), 0..5),
            hot in prop::sample::subsequence((0_u32..6).collect::<Vec<_>>(), 0..=6),
        ) {
            let mut expected: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
            let mut next = 0_i64;
            let mut numbered = Vec::new();
            for numbers in batches {
                let rows: Vec<i64> = (next..).take(numbers.len()).collect();
                next += i64::try_from(numbers.len()).expect("small");
                numbers.iter().zip(&rows).for_each(|(number, row)| expected.entry(*number).or_default().push(*row));
                numbered.push((batch(&rows), numbers));
            }
            let grouped = Grouped::new(numbered);
            let counts: Vec<(u32, usize)> = expected.iter().map(|(number, rows)| (*number, rows.len())).collect();
            prop_assert_eq!(grouped.counts(), counts);
            let (split, cold) = grouped.split(&hot).expect("splits");
            let mut got: BTreeMap<u32, Vec<i64>> = split.into_iter().map(|(number, rows)| (number, rows.iter().flat_map(values).collect())).collect();
            prop_assert!(got.keys().all(|number| hot.contains(number)));
            for number in cold.iter().flat_map(MemoryRun::partitions) {
                prop_assert!(!hot.contains(&number));
                got.insert(number, cold.as_ref().and_then(|run| run.slice(number)).as_ref().map(values).unwrap_or_default());
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn rows_of_one_partition_are_not_copied() {
        let rows = batch(&[1, 2, 3]);
        let (split, cold) = Grouped::new(vec![(rows.clone(), vec![4; 3])]).split(&[4]).expect("splits");
        assert!(cold.is_none());
        assert!(Arc::ptr_eq(split[0].1[0].column(0), rows.column(0)));
    }
}
