//! What a manifest says of the columns of one file, as it is written there.

use std::collections::HashMap;

use iceberg::spec::{DataFile, Datum};

use crate::avro::{Cursor, Outcome, write_bytes, write_length, write_long};

/// The fields of a data file that say something of its columns, in the order in which they are kept: numbers by field id, then bounds.
pub(super) const FIELDS: [&str; 6] = ["column_sizes", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds"];

/// Metrics of the columns of a file: some 30 bytes for each column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileMetrics(
    /// An array of pairs for each of [`FIELDS`], encoded as in manifests; nothing at all if none of them is known.
    Box<[u8]>,
);

/// Metrics by field id, each in the order of the manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadMetrics<'a> {
    /// Bytes, values, nulls and NaNs.
    pub counts: [Vec<(i32, u64)>; 4],
    /// Lower and upper bounds in Iceberg's single-value serialisation.
    pub bounds: [Vec<(i32, &'a [u8])>; 2],
}

impl FileMetrics {
    /// Those of a description.
    #[must_use]
    pub fn of(file: &DataFile) -> Self {
        let mut out = Vec::new();
        for counts in [file.column_sizes(), file.value_counts(), file.null_value_counts(), file.nan_value_counts()] {
            write_pairs(counts, &mut out, |count, out| write_long(i64::try_from(*count).unwrap_or(i64::MAX), out));
        }
        for bounds in [file.lower_bounds(), file.upper_bounds()] {
            let serialised: HashMap<i32, _> = bounds.iter().filter_map(|(id, bound): (&i32, &Datum)| Some((*id, bound.to_bytes().ok()?))).collect();
            write_pairs(&serialised, &mut out, |bound, out| write_bytes(bound, out));
        }
        Self::encoded(&out)
    }

    /// Those of arrays that are encoded one behind the other.
    pub(super) fn encoded(arrays: &[u8]) -> Self {
        if arrays == [0; FIELDS.len()] { Self::default() } else { Self(arrays.into()) }
    }

    /// Bytes that they take in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.len()
    }

    /// Reads them; negative counts mean nothing.
    ///
    /// # Errors
    /// Metrics that are damaged.
    pub fn read(&self) -> Outcome<ReadMetrics<'_>> {
        let mut read = ReadMetrics::default();
        if self.0.is_empty() {
            return Ok(read);
        }
        let mut cursor = Cursor::new(&self.0);
        for counts in &mut read.counts {
            cursor.items(|cursor| {
                let (id, count) = (cursor.long()?, cursor.long()?);
                counts.extend(i32::try_from(id).ok().zip(u64::try_from(count).ok()));
                Ok(())
            })?;
        }
        for bounds in &mut read.bounds {
            cursor.items(|cursor| {
                let (id, bound) = (cursor.long()?, cursor.bytes()?);
                bounds.extend(i32::try_from(id).ok().map(|id| (id, bound)));
                Ok(())
            })?;
        }
        Ok(read)
    }
}

fn write_pairs<V>(pairs: &HashMap<i32, V>, out: &mut Vec<u8>, write: impl Fn(&V, &mut Vec<u8>)) {
    if !pairs.is_empty() {
        write_length(pairs.len(), out);
        for (id, value) in pairs {
            write_long(i64::from(*id), out);
            write(value, out);
        }
    }
    write_length(0, out);
}
