//! Runs: rows sorted by partition that wait for their file, in memory or in a local temporary file.
//!
//! All functions block; they are called off the I/O threads.

use std::fs::File;
use std::io::{BufReader, BufWriter};

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;

use super::grouped::Ranges;

/// Rows sorted by partition number, in memory.
#[derive(Debug)]
pub(super) struct MemoryRun {
    rows: RecordBatch,
    ranges: Ranges,
    bytes: u64,
}

/// The same in a file that is gone when this is dropped.
pub(super) struct SpilledRun {
    reader: FileReader<BufReader<File>>,
    ranges: Ranges,
}

impl std::fmt::Debug for SpilledRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpilledRun").field("partitions", &self.ranges.len()).finish_non_exhaustive()
    }
}

impl MemoryRun {
    /// `rows` stand in the order of `ranges`.
    pub(super) fn new(rows: RecordBatch, ranges: Ranges) -> Self {
        let bytes = rows.get_array_memory_size() as u64;
        Self { rows, ranges, bytes }
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The partitions that have rows here, in order.
    pub(super) fn partitions(&self) -> impl Iterator<Item = u32> {
        self.ranges.numbers()
    }

    /// The rows of one partition.
    pub(super) fn slice(&self, number: u32) -> Option<RecordBatch> {
        self.ranges.get(number).map(|range| self.rows.slice(range.start, range.len()))
    }
}

/// Rows of one batch of a spilled run, at most.
const SPILL_BATCH_ROWS: usize = 32_768;

impl SpilledRun {
    /// Writes `runs` as one into a new temporary file.
    pub(super) fn write(runs: &[MemoryRun]) -> Result<Option<Self>, ArrowError> {
        let Some(first) = runs.first() else { return Ok(None) };
        let schema = first.rows.schema();
        let file = tempfile::tempfile().map_err(|error| ArrowError::IoError(format!("no temporary file for spilled rows: {error}"), error))?;
        let mut writer = FileWriter::try_new(BufWriter::new(file.try_clone()?), &schema)?;
        let mut numbers: Vec<u32> = runs.iter().flat_map(MemoryRun::partitions).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut batches = Vec::with_capacity(numbers.len());
        for number in numbers {
            let slices: Vec<RecordBatch> = runs.iter().filter_map(|run| run.slice(number)).collect();
            let rows = concat_batches(&schema, &slices)?;
            let starts = (0..rows.num_rows()).step_by(SPILL_BATCH_ROWS);
            batches.push((number, starts.len()));
            for offset in starts {
                writer.write(&rows.slice(offset, SPILL_BATCH_ROWS.min(rows.num_rows() - offset)))?;
            }
        }
        writer.finish()?;
        drop(writer.into_inner()?);
        Ok(Some(Self { reader: FileReader::try_new_buffered(file, None)?, ranges: Ranges::of(batches.into_iter()) }))
    }

    /// The rows of one partition.
    pub(super) fn read(&mut self, number: u32) -> Result<Vec<RecordBatch>, ArrowError> {
        let Some(range) = self.ranges.get(number) else { return Ok(Vec::new()) };
        self.reader.set_index(range.start)?;
        self.reader.by_ref().take(range.len()).collect()
    }
}

/// All rows that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) spilled: Vec<SpilledRun>,
    pub(super) memory: Vec<MemoryRun>,
}

impl Runs {
    /// Memory held by the runs in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.iter().map(MemoryRun::bytes).sum()
    }

    /// Moves every run in memory to one file.
    pub(super) fn spill(&mut self) -> Result<(), ArrowError> {
        let run = SpilledRun::write(&self.memory)?;
        self.memory.clear();
        self.spilled.extend(run);
        Ok(())
    }

    /// The partitions that have rows here, in order.
    pub(super) fn partitions(&self) -> Vec<u32> {
        let spilled = self.spilled.iter().flat_map(|run| run.ranges.numbers());
        let mut numbers: Vec<u32> = spilled.chain(self.memory.iter().flat_map(MemoryRun::partitions)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Rows of one partition from the run number `*from` on, until about `limit` bytes are there; `*from` is moved on. Small pieces are
    /// joined.
    pub(super) fn read(&mut self, number: u32, from: &mut usize, limit: usize) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        let total = self.spilled.len() + self.memory.len();
        while *from < total && bytes < limit {
            let found = match self.spilled.get_mut(*from) {
                Some(run) => run.read(number)?,
                None => self.memory.get(*from - self.spilled.len()).and_then(|run| run.slice(number)).into_iter().collect(),
            };
            bytes += found.iter().map(row_bytes).sum::<usize>();
            pieces.extend(found);
            *from += 1;
        }
        let rows: usize = pieces.iter().map(RecordBatch::num_rows).sum();
        match pieces.first() {
            Some(first) if pieces.len() > 1 && rows / pieces.len() < 1_024 => Ok(vec![concat_batches(&first.schema(), &pieces)?]),
            _ => Ok(pieces),
        }
    }
}

/// Bytes of the rows of a slice, without those of the buffers it shares.
pub(super) fn row_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::grouped::Grouped;
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn batch(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).expect("batch")
    }

    fn values(pieces: &[RecordBatch]) -> Vec<i64> {
        pieces.iter().flat_map(|piece| piece.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    proptest! {
        #[test]
        fn every_row_comes_back_once_and_in_order_whatever_was_spilled(
            batches in prop::collection::vec((prop::collection::vec(0_u32..6, 1..40), any::<bool>()), 1..8),
            dropped in 0_u32..6,
        ) {
            let mut runs = Runs::default();
            let mut expected: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
            let mut next = 0_i64;
            for (numbers, spill) in batches {
                let rows: Vec<i64> = numbers.iter().map(|_| { next += 1; next }).collect();
                for (number, row) in numbers.iter().zip(&rows) {
                    if *number != dropped {
                        expected.entry(*number).or_default().push(*row);
                    }
                }
                let half = rows.len() / 2;
                let parts = vec![(batch(&rows[..half]), numbers[..half].to_vec()), (batch(&rows[half..]), numbers[half..].to_vec())];
                let (_, run) = Grouped::new(parts).split(&[dropped]).expect("splits");
                runs.memory.extend(run);
                if spill {
                    runs.spill().expect("spills");
                }
            }
            prop_assert_eq!(runs.partitions(), expected.keys().copied().collect::<Vec<_>>());
            for (number, rows) in expected {
                let mut from = 0;
                let mut got = Vec::new();
                while from < runs.spilled.len() + runs.memory.len() {
                    got.extend(values(&runs.read(number, &mut from, 64).expect("reads")));
                }
                prop_assert_eq!(got, rows);
            }
        }
    }
}
