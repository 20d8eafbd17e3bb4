//! Decoded rows that wait for the job to ask for them, and the decision whether a commanded end is reached. Pure.
//!
//! Offsets have gaps (control records, aborted transactions, compaction), so a partition's end is reached when its *position* has passed
//! it, whether or not a record of that offset was ever seen. The position moves with rows, with what stands behind them in the same fetch,
//! and with notes that the partition's end is there.

use std::collections::VecDeque;

use arrow_array::RecordBatch;

use super::ffi::Fault;
use super::letters::Letters;

/// Something decoded from the partition's queue.
#[derive(Debug)]
pub(super) enum Item {
    /// Rows with their offsets, ascending; no rows if only the position moves.
    Rows {
        /// The rows.
        batch: RecordBatch,
        /// One offset for each.
        offsets: Vec<i64>,
        /// The messages between them that gave no row, where those are wanted.
        letters: Option<Letters>,
        /// Everything before this offset is in `batch` or `letters`, or will never come.
        next: i64,
    },
    /// A message that ends the job when it is reached.
    Bad {
        /// Its offset.
        offset: i64,
        /// What to tell the user.
        message: String,
    },
    /// An error of the client about this partition.
    Fault(Fault),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// These rows, all before the end.
    Rows(RecordBatch),
    /// These dead letters, all before the end.
    Letters(RecordBatch),
    /// The end is reached.
    Reached,
    /// Nothing is here: fetch more.
    Empty,
    /// A bad message, with what to tell the user. It stays where it is.
    Bad(String),
    /// An error to look into. It stays where it is until [`Backlog::drop_fault`].
    Fault(Fault),
}

/// The items in order, and the position before them.
#[derive(Debug)]
pub(super) struct Backlog {
    position: i64,
    items: VecDeque<Item>,
}

impl Backlog {
    /// Nothing, at `position`.
    pub(super) fn at(position: i64) -> Self {
        Self { position, items: VecDeque::new() }
    }

    /// Offset of the next record to deliver.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds what was decoded.
    pub(super) fn extend(&mut self, items: Vec<Item>) {
        self.items.extend(items);
    }

    /// Takes a fault away that has been dealt with.
    pub(super) fn drop_fault(&mut self) {
        if matches!(self.items.front(), Some(Item::Fault(_))) {
            self.items.pop_front();
        }
    }

    /// Bytes of the rows that wait, about.
    pub(super) fn bytes(&self) -> usize {
        let size = |item: &Item| match item {
            Item::Rows { batch, offsets, letters, .. } => {
                let letters = letters.as_ref().map_or(0, |letters| letters.batch.get_array_memory_size());
                batch.get_array_memory_size() + offsets.len() * size_of::<i64>() + letters
            }
            Item::Bad { .. } | Item::Fault(_) => 0,
        };
        self.items.iter().map(size).sum()
    }

    /// What comes next before `until` (exclusive).
    pub(super) fn next(&mut self, until: i64) -> Next {
        loop {
            if self.position >= until {
                return Next::Reached;
            }
            match self.items.pop_front() {
                None => return Next::Empty,
                Some(Item::Rows { batch, offsets, letters, next }) => {
                    let (due, letters) = letters.map_or((None, None), |letters| letters.split(until));
                    if let Some(due) = due {
                        self.items.push_front(Item::Rows { batch, offsets, letters, next });
                        return Next::Letters(due);
                    }
                    if let Some(step) = self.rows((batch, offsets), letters, next, until) {
                        return step;
                    }
                }
                Some(Item::Bad { offset, message }) => {
                    let passed = offset >= until;
                    let told = message.clone();
                    self.items.push_front(Item::Bad { offset, message });
                    if passed {
                        self.position = until;
                    }
                    return if passed { Next::Reached } else { Next::Bad(told) };
                }
                Some(Item::Fault(fault)) => {
                    self.items.push_front(Item::Fault(fault.clone()));
                    return Next::Fault(fault);
                }
            }
        }
    }

    /// The rows before `until`; what is past it, `letters` among it, is kept back.
    fn rows(&mut self, (batch, mut offsets): (RecordBatch, Vec<i64>), letters: Option<Letters>, next: i64, until: i64) -> Option<Next> {
        let fitting = offsets.partition_point(|offset| *offset < until);
        if fitting == offsets.len() && letters.is_none() {
            self.position = self.position.max(next);
            return (fitting > 0).then_some(Next::Rows(batch));
        }
        let rest = batch.slice(fitting, batch.num_rows() - fitting);
        let head = (fitting > 0).then(|| batch.slice(0, fitting));
        self.items.push_front(Item::Rows { batch: rest, offsets: offsets.split_off(fitting), letters, next });
        // The first row or letter that is kept back is at `until` or after it.
        self.position = until;
        Some(head.map_or(Next::Reached, Next::Rows))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use proptest::prelude::*;
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    fn batch(offsets: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(offsets.to_vec()));
        RecordBatch::try_from_iter([("o", column)]).expect("one column")
    }

    fn rows(offsets: &[i64], next: i64) -> Item {
        Item::Rows { batch: batch(offsets), offsets: offsets.to_vec(), letters: None, next }
    }

    fn mixed(offsets: &[i64], is_letter: impl Fn(i64) -> bool) -> Item {
        let (bad, good): (Vec<i64>, Vec<i64>) = offsets.iter().partition(|offset| is_letter(**offset));
        let letters = (!bad.is_empty()).then(|| Letters { batch: batch(&bad), offsets: bad });
        Item::Rows { batch: batch(&good), offsets: good, letters, next: offsets[offsets.len() - 1] + 1 }
    }

    fn taken(next: Next) -> Vec<i64> {
        match next {
            Next::Rows(batch) | Next::Letters(batch) => batch.column(0).as_primitive::<Int64Type>().values().to_vec(),
            other => panic!("rows, not {other:?}"),
        }
    }

    #[test]
    fn rows_past_the_end_are_kept_for_a_later_call() {
        let mut backlog = Backlog::at(0);
        backlog.extend(vec![rows(&[0, 1, 4, 5], 6)]);
        assert_eq!(taken(backlog.next(3)), [0, 1]);
        assert!(matches!(backlog.next(3), Next::Reached));
        assert_eq!(backlog.position(), 3);
        assert_eq!(taken(backlog.next(10)), [4, 5]);
        assert_eq!(backlog.position(), 6);
        assert!(matches!(backlog.next(10), Next::Empty));
    }

    #[test]
    fn a_gap_before_the_end_is_passed_by_the_next_record_or_by_the_partitions_end() {
        let mut backlog = Backlog::at(5);
        backlog.extend(vec![rows(&[90], 91)]);
        assert!(matches!(backlog.next(50), Next::Reached));
        assert_eq!(backlog.position(), 50);
        let mut backlog = Backlog::at(5);
        backlog.extend(vec![rows(&[], 60)]);
        assert!(matches!(backlog.next(50), Next::Reached));
        assert_eq!(backlog.position(), 60);
    }

    #[test]
    fn a_bad_message_counts_only_when_it_is_reached_and_stays() {
        let mut backlog = Backlog::at(0);
        backlog.extend(vec![rows(&[0], 1), Item::Bad { offset: 7, message: "bad".to_owned() }]);
        assert_eq!(taken(backlog.next(7)), [0]);
        assert!(matches!(backlog.next(7), Next::Reached));
        for _ in 0..2 {
            assert!(matches!(backlog.next(8), Next::Bad(text) if text == "bad"));
        }
        assert_eq!(backlog.position(), 7);
    }

    #[test]
    fn letters_come_before_the_rows_of_their_fetch_and_never_past_the_end() {
        let mut backlog = Backlog::at(0);
        backlog.extend(vec![mixed(&[0, 1, 2, 3], |offset| offset % 2 == 1)]);
        assert!(matches!(backlog.next(2), Next::Letters(batch) if batch.num_rows() == 1));
        assert_eq!(backlog.position(), 0);
        assert_eq!(taken(backlog.next(2)), [0]);
        assert!(matches!(backlog.next(2), Next::Reached));
        assert!(matches!(backlog.next(4), Next::Letters(batch) if batch.num_rows() == 1));
        assert_eq!(taken(backlog.next(4)), [2]);
        assert_eq!(backlog.position(), 4);
    }

    #[test]
    fn a_fault_waits_until_it_is_dealt_with() {
        let fault = Fault { code: RDKafkaErrorCode::OffsetOutOfRange, text: "gone".to_owned() };
        let mut backlog = Backlog::at(0);
        backlog.extend(vec![Item::Fault(fault.clone()), rows(&[3], 4)]);
        assert!(matches!(backlog.next(9), Next::Fault(found) if found == fault));
        assert!(matches!(backlog.next(9), Next::Fault(_)));
        backlog.drop_fault();
        assert_eq!(taken(backlog.next(9)), [3]);
    }

    proptest! {
        #[test]
        fn every_row_comes_once_in_order_however_the_ends_fall(gaps in prop::collection::vec(1_i64..5, 1..60), cuts in prop::collection::vec(0_i64..20, 1..30), every in 1_i64..5) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let last = offsets[offsets.len() - 1] + 1;
            let mut backlog = Backlog::at(0);
            backlog.extend(offsets.chunks(7).map(|chunk| mixed(chunk, |offset| offset % every == 0)).collect());
            let (mut seen, mut letters, mut until) = (Vec::new(), Vec::new(), 0);
            for step in cuts.into_iter().chain([last]) {
                until = (until + step).min(last);
                loop {
                    match backlog.next(until) {
                        Next::Letters(batch) => {
                            let values = taken(Next::Letters(batch));
                            prop_assert!(values.iter().all(|offset| *offset < until && *offset >= backlog.position()));
                            letters.extend(values);
                        }
                        Next::Rows(batch) => {
                            let values = taken(Next::Rows(batch));
                            prop_assert!(values.iter().all(|offset| *offset < until && *offset < backlog.position()));
                            seen.extend(values);
                        }
                        Next::Reached => break,
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                prop_assert!(backlog.position() >= until);
            }
            let (bad, good): (Vec<i64>, Vec<i64>) = offsets.iter().partition(|offset| **offset % every == 0);
            prop_assert_eq!(seen, good);
            prop_assert_eq!(letters, bad);
        }
    }
}
