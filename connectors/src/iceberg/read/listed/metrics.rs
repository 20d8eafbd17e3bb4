//! Counts and bounds of one leaf in the files of a manifest. Columns in which all files say the same take no memory for each.

use std::collections::HashMap;

/// What the files say of a leaf.
#[derive(Debug, Default)]
pub(in crate::iceberg::read) struct Metrics {
    pub(super) values: Counts,
    pub(super) nulls: Counts,
    pub(super) nans: Counts,
    pub(super) lower: Bounds,
    pub(super) upper: Bounds,
}

impl Metrics {
    pub(super) fn memory(&self) -> u64 {
        let counts = |counts: &Counts| if let Counts::Each(each) = counts { each.len() * 8 } else { 0 };
        let bounds = |bounds: &Bounds| match bounds {
            Bounds::None => 0,
            Bounds::Fixed { data, .. } => data.len(),
            Bounds::Varied { data, ends, absent } => data.len() + (ends.len() + absent.len()) * 4,
        };
        let held = counts(&self.values) + counts(&self.nulls) + counts(&self.nans) + bounds(&self.lower) + bounds(&self.upper);
        (held + size_of::<Self>()) as u64
    }

    /// The counts of values, nulls and NaNs in a file of `records` rows.
    pub(in crate::iceberg::read) fn counts(&self, row: usize, records: u64) -> [Option<u64>; 3] {
        [&self.values, &self.nulls, &self.nans].map(|counts| counts.get(row, records))
    }

    /// The bounds in a file.
    pub(in crate::iceberg::read) fn bounds(&self, row: usize) -> [Option<&[u8]>; 2] {
        [self.lower.get(row), self.upper.get(row)]
    }
}

/// A count for each file.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Counts {
    #[default]
    None,
    /// It is the file's number of rows.
    Records,
    Same(u64),
    /// [`NOTHING`] where it is not known.
    Each(Box<[u64]>),
}

const NOTHING: u64 = u64::MAX;

impl Counts {
    pub(super) fn get(&self, row: usize, records: u64) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Records => Some(records),
            Self::Same(count) => Some(*count),
            Self::Each(each) => each.get(row).copied().filter(|count| *count != NOTHING),
        }
    }

    fn of(mut each: Vec<u64>, records: &[u64]) -> Self {
        each.resize(records.len(), NOTHING);
        match each.first() {
            None => Self::None,
            Some(first) if each.iter().all(|count| count == first) => {
                if *first == NOTHING {
                    Self::None
                } else {
                    Self::Same(*first)
                }
            }
            Some(_) if each == records => Self::Records,
            Some(_) => Self::Each(each.into_boxed_slice()),
        }
    }
}

/// A bound for each file.
#[derive(Debug, Default)]
pub(super) enum Bounds {
    #[default]
    None,
    /// All have one, all of the same length.
    Fixed { width: usize, data: Box<[u8]> },
    Varied {
        ends: Box<[u32]>,
        /// Files without one, in order.
        absent: Box<[u32]>,
        data: Box<[u8]>,
    },
}

impl Bounds {
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Fixed { width, data } => data.get(row * width..(row + 1) * width),
            Self::Varied { ends, absent, data } => {
                if absent.binary_search(&u32::try_from(row).ok()?).is_ok() {
                    return None;
                }
                let start = row.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
                data.get(start as usize..*ends.get(row)? as usize)
            }
        }
    }
}

#[derive(Debug, Default)]
struct BoundsBuilder {
    ends: Vec<u32>,
    absent: Vec<u32>,
    data: Vec<u8>,
}

impl BoundsBuilder {
    fn pad(&mut self, rows: usize) {
        while self.ends.len() < rows {
            self.absent.push(self.ends.len() as u32);
            self.ends.push(self.data.len() as u32);
        }
    }

    fn finish(mut self, rows: usize) -> Bounds {
        if self.ends.is_empty() {
            return Bounds::None;
        }
        self.pad(rows);
        let width = self.ends.first().map_or(0, |end| *end as usize);
        let even = width > 0 && self.absent.is_empty() && self.ends.iter().enumerate().all(|(row, end)| *end as usize == (row + 1) * width);
        let data = self.data.into_boxed_slice();
        if even {
            return Bounds::Fixed { width, data };
        }
        Bounds::Varied { ends: self.ends.into_boxed_slice(), absent: self.absent.into_boxed_slice(), data }
    }
}

/// Which count of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Values,
    Nulls,
    Nans,
}

/// Which bound of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Lower,
    Upper,
}

#[derive(Debug, Default)]
struct LeafBuilder {
    id: i32,
    counts: [Vec<u64>; 3],
    bounds: [BoundsBuilder; 2],
}

/// Collects the metrics of one file after the other.
#[derive(Debug, Default)]
pub(super) struct MetricsBuilder {
    rows: usize,
    leaves: Vec<LeafBuilder>,
    by_id: HashMap<i32, usize>,
    /// Where the leaf is likely that comes next: writers keep an order.
    next: usize,
}

impl MetricsBuilder {
    fn leaf(&mut self, id: i32) -> Option<&mut LeafBuilder> {
        let likely = if self.leaves.get(self.next).is_some_and(|leaf| leaf.id == id) { Some(self.next) } else { self.by_id.get(&id).copied() };
        let index = likely.unwrap_or_else(|| {
            self.by_id.insert(id, self.leaves.len());
            self.leaves.push(LeafBuilder { id, ..LeafBuilder::default() });
            self.leaves.len() - 1
        });
        self.next = index + 1;
        self.leaves.get_mut(index)
    }

    /// The metrics of another kind begin.
    pub(super) fn restart(&mut self) {
        self.next = 0;
    }

    /// A count of the next file.
    pub(super) fn count(&mut self, which: Count, id: i32, count: u64) {
        let rows = self.rows;
        if let Some(counts) = self.leaf(id).and_then(|leaf| leaf.counts.get_mut(which as usize)) {
            counts.resize(rows, NOTHING);
            counts.push(count);
        }
    }

    /// A bound of the next file; `None` if bounds are too long for one manifest. The last one counts if a leaf has two.
    pub(super) fn bound(&mut self, which: Bound, id: i32, value: &[u8]) -> Option<()> {
        let rows = self.rows;
        let bounds = self.leaf(id)?.bounds.get_mut(which as usize)?;
        bounds.pad(rows);
        bounds.ends.truncate(rows);
        bounds.data.truncate(bounds.ends.last().map_or(0, |end| *end as usize));
        bounds.data.extend_from_slice(value);
        bounds.ends.push(u32::try_from(bounds.data.len()).ok()?);
        Some(())
    }

    pub(super) fn end_of_file(&mut self) {
        self.rows += 1;
    }

    pub(super) fn finish(self, records: &[u64]) -> HashMap<i32, Metrics> {
        let finished = |leaf: LeafBuilder| {
            let [values, nulls, nans] = leaf.counts.map(|counts| Counts::of(counts, records));
            let [lower, upper] = leaf.bounds.map(|bounds| bounds.finish(records.len()));
            (leaf.id, Metrics { values, nulls, nans, lower, upper })
        };
        self.leaves.into_iter().map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say_comes_back_and_what_they_do_not_say_is_absent() {
        let mut builder = MetricsBuilder::default();
        let texts: [Option<&str>; 4] = [None, Some("long text"), Some(""), None];
        for (row, text) in texts.iter().enumerate() {
            builder.restart();
            builder.count(Count::Values, 1, 10 + row as u64);
            builder.count(Count::Nulls, 1, 0);
            builder.bound(Bound::Lower, 1, &(row as i64).to_le_bytes()).expect("fits");
            if let Some(text) = text {
                builder.bound(Bound::Upper, 2, b"replaced").expect("fits");
                builder.bound(Bound::Upper, 2, text.as_bytes()).expect("fits");
                builder.count(Count::Nans, 2, row as u64);
            }
            builder.end_of_file();
        }
        let finished = builder.finish(&[10, 11, 12, 13]);
        let (first, second) = (&finished[&1], &finished[&2]);
        assert_eq!((&first.values, &first.nulls, &first.nans), (&Counts::Records, &Counts::Same(0), &Counts::None));
        assert!(matches!(first.lower, Bounds::Fixed { width: 8, .. }), "{first:?}");
        assert_eq!(first.lower.get(3), Some(3_i64.to_le_bytes().as_slice()));
        assert_eq!(first.lower.get(4), None);
        let read: Vec<_> = (0..4).map(|row| second.upper.get(row)).collect();
        assert_eq!(read, texts.map(|text| text.map(str::as_bytes)));
        assert_eq!([0, 1, 2, 3].map(|row| second.nans.get(row, 0)), [None, Some(1), Some(2), None]);
    }
}
