//! Positions of a stream over a table.
//!
//! A position is a place in the table's history: the sequence number of a snapshot, and a row of what that snapshot added to the split. Both
//! stand in one number, the row in the lower bits, so that places compare as they follow each other. What lies between the last row of a
//! snapshot and the first of the next is a gap. Sequence numbers rise with every commit (format version 2 and later), and no expiry of
//! snapshots changes them.

/// Bits for the row: 17 thousand million rows of one snapshot in one split, and 537 million snapshots.
const ROW_BITS: u32 = 34;

/// A place in a table's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Sequence number of a snapshot.
    pub(super) sequence: i64,
    /// Row of the split in that snapshot.
    pub(super) row: i64,
}

impl Place {
    /// Before everything that the snapshot with this sequence number added.
    pub(super) fn start_of(sequence: i64) -> Self {
        Self { sequence, row: 0 }
    }

    /// The place that `offset` stands for.
    pub(super) fn of_offset(offset: i64) -> Self {
        Self { sequence: offset >> ROW_BITS, row: offset & ((1 << ROW_BITS) - 1) }
    }

    /// The number that stands for it, if there is one.
    pub(super) fn offset(self) -> Option<i64> {
        let sequence = self.sequence.checked_mul(1 << ROW_BITS).filter(|_| self.sequence >= 0)?;
        (0..1 << ROW_BITS).contains(&self.row).then_some(sequence | self.row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_large_for_a_position_has_none() {
        assert_eq!(Place { sequence: 1 << 29, row: 0 }.offset(), None);
        assert_eq!(Place { sequence: 1, row: 1 << 34 }.offset(), None);
        assert_eq!(Place { sequence: -1, row: 0 }.offset(), None);
    }

    proptest! {
        #[test]
        fn places_come_back_and_keep_their_order(left in (0_i64..1 << 29, 0_i64..1 << 34), right in (0_i64..1 << 29, 0_i64..1 << 34)) {
            let place = |(sequence, row)| Place { sequence, row };
            let offset = |pair| place(pair).offset().unwrap();
            prop_assert_eq!(Place::of_offset(offset(left)), place(left));
            prop_assert_eq!(offset(left).cmp(&offset(right)), place(left).cmp(&place(right)));
        }
    }
}
