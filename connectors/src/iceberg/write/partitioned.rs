//! The writer of a partitioned table.
//!
//! Rows wait until there are some megabytes of them, are grouped by partition, and are placed: partitions that get many rows have an open
//! file and take theirs at once; the rows of all others wait, sorted, in runs, in memory while the budget allows and in local temporary files
//! after that. At the end each partition's rows are gathered from the runs and written, one partition at a time: one file for each
//! partition, epoch and writer, unless the target size is passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use weir_base::memory::{Reservation, Use};
use weir_base::{compute, task};

use super::closing::Closing;
use super::file::{FileFactory, OpenFile};
use super::grouped::{Grouped, Numbered};
use super::limits::{Limits, choose_hot};
use super::partitioning::{Grouper, PartitionTuple, Partitioning};
use super::runs::{MemoryRun, Runs, row_bytes};
use super::written::WrittenFile;
use crate::error::ConnectorError;
use crate::sink::WriterContext;

#[derive(Debug)]
pub(super) struct PartitionedWriter {
    limits: Limits,
    target_bytes: u64,
    grouper: Option<Grouper>,
    tuples: Vec<Arc<PartitionTuple>>,
    pending: Numbered,
    pending_bytes: u64,
    runs: Runs,
    open: BTreeMap<u32, OpenFile>,
    closing: Closing,
    /// Pending rows and runs in memory.
    reservation: Reservation,
}

impl PartitionedWriter {
    pub(super) fn new(context: &WriterContext, limits: Limits, target_bytes: u64, partitioning: Arc<Partitioning>) -> Self {
        Self {
            limits,
            target_bytes,
            grouper: Some(Grouper::new(partitioning)),
            tuples: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            runs: Runs::default(),
            open: BTreeMap::new(),
            closing: Closing::new(limits.closing),
            reservation: context.budget.reservation(Use::Writers),
        }
    }

    pub(super) async fn write(&mut self, batch: RecordBatch, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let bytes = batch.get_array_memory_size() as u64;
        if !self.reservation.try_grow(bytes) {
            self.relieve(files).await?;
            self.reservation.grow(bytes);
        }
        let mut grouper = self.grouper.take().ok_or_else(|| ConnectorError::internal("a writer is used after it failed"))?;
        let (grouper, batch, numbers) = computed(move || {
            let numbers = grouper.number(&batch)?;
            Ok((grouper, batch, numbers))
        })
        .await?;
        self.tuples.extend(grouper.tuples.iter().skip(self.tuples.len()).cloned().map(Arc::new));
        self.grouper = Some(grouper);
        self.pending.push((batch, numbers));
        self.pending_bytes += bytes;
        if self.pending_bytes >= self.limits.drain { self.drain(files).await } else { Ok(()) }
    }

    /// Groups what is pending and places it.
    async fn drain(&mut self, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let pending = std::mem::take(&mut self.pending);
        let (limits, open): (Limits, BTreeSet<u32>) = (self.limits, self.open.keys().copied().collect());
        let (hot, cold) = computed(move || {
            let grouped = Grouped::new(pending);
            let hot = choose_hot(&grouped.counts(), |number| open.contains(&number), &limits, open.len());
            grouped.split(&hot)
        })
        .await?;
        let hot_bytes: u64 = hot.iter().flat_map(|(_, rows)| rows).map(|rows| rows.get_array_memory_size() as u64).sum();
        self.reservation.grow(hot_bytes + cold.as_ref().map_or(0, MemoryRun::bytes));
        self.reservation.shrink(std::mem::take(&mut self.pending_bytes));
        self.runs.memory.extend(cold);
        self.open_files(&hot, files).await?;
        for (number, rows) in hot {
            self.append(number, rows, files).await?;
        }
        self.reservation.shrink(hot_bytes);
        if self.runs.bytes() >= self.limits.runs {
            self.spill().await?;
        }
        self.shrink_encoders(self.limits.encoders).await
    }

    /// Opens files for the partitions that have none; their names are recorded together.
    async fn open_files(&mut self, hot: &[(u32, Vec<RecordBatch>)], files: &mut FileFactory) -> Result<(), ConnectorError> {
        let new: Vec<_> = hot.iter().filter(|(number, _)| !self.open.contains_key(number)).collect();
        let tuples = new.iter().map(|(number, _)| self.tuple(*number)).collect::<Result<Vec<_>, _>>()?;
        let paths = files.name(&tuples).await?;
        let mut opened = Vec::with_capacity(paths.len());
        for (((number, rows), tuple), path) in new.into_iter().zip(&tuples).zip(&paths) {
            let Some(sample) = rows.iter().max_by_key(|rows| rows.num_rows()) else { continue };
            opened.push((*number, files.open(path, tuple, sample).await?));
        }
        self.open.extend(opened);
        Ok(())
    }

    /// Adds rows to the open file of a partition; a file that has reached the target is closed, and the next rows begin another.
    async fn append(&mut self, number: u32, rows: Vec<RecordBatch>, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let Some(sample) = rows.first() else { return Ok(()) };
        let file = match self.open.remove(&number) {
            Some(file) => file,
            None => files.create(&self.tuple(number)?, sample).await?,
        };
        let limit = self.limits.encoder(self.open.len() + 1);
        let file = file.append(rows, limit).await?;
        if file.size() >= self.target_bytes {
            return self.closing.push(file.seal(Vec::new(), limit).await?).await;
        }
        self.open.insert(number, file);
        Ok(())
    }

    /// Frees what can be freed: the budget is used up.
    async fn relieve(&mut self, files: &mut FileFactory) -> Result<(), ConnectorError> {
        self.drain(files).await?;
        self.spill().await?;
        self.shrink_encoders(self.limits.encoders / 2).await
    }

    async fn spill(&mut self) -> Result<(), ConnectorError> {
        let bytes = self.runs.bytes();
        let mut runs = std::mem::take(&mut self.runs);
        self.runs = blocking(move || {
            runs.spill()?;
            Ok(runs)
        })
        .await?;
        self.reservation.shrink(bytes);
        Ok(())
    }

    /// Ends row groups, the largest first, until the open files hold no more than `limit`, or nothing more can be freed.
    async fn shrink_encoders(&mut self, limit: u64) -> Result<(), ConnectorError> {
        let mut sizes: Vec<(usize, u32)> = self.open.iter().map(|(number, file)| (file.memory(), *number)).collect();
        sizes.sort_unstable();
        let mut held: u64 = sizes.iter().map(|(bytes, _)| *bytes as u64).sum();
        while held > limit
            && let Some((bytes, number)) = sizes.pop()
            && let Some(file) = self.open.remove(&number)
        {
            let file = file.flush().await?;
            held -= (bytes as u64).saturating_sub(file.memory() as u64);
            self.open.insert(number, file);
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let pending = std::mem::take(&mut self.pending);
        let (_, run) = computed(move || Grouped::new(pending).split(&[])).await?;
        self.reservation.grow(run.as_ref().map_or(0, MemoryRun::bytes));
        self.reservation.shrink(std::mem::take(&mut self.pending_bytes));
        self.runs.memory.extend(run);
        let open: BTreeSet<u32> = self.open.keys().copied().collect();
        for number in &open {
            self.finish_partition(*number, None, files).await?;
        }
        let waiting: Vec<u32> = self.runs.partitions().into_iter().filter(|number| !open.contains(number)).collect();
        let tuples = waiting.iter().map(|number| self.tuple(*number)).collect::<Result<Vec<_>, _>>()?;
        let paths = files.name(&tuples).await?;
        for (number, path) in waiting.iter().zip(&paths) {
            self.finish_partition(*number, Some(path), files).await?;
        }
        self.runs = Runs::default();
        self.reservation.resize(0);
        Ok(())
    }

    /// Writes the waiting rows of a partition and closes its file. `path` is the recorded name of a file that is still to be opened.
    async fn finish_partition(&mut self, number: u32, path: Option<&String>, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let mut from = 0;
        let mut path = path;
        let total = self.runs.spilled.len() + self.runs.memory.len();
        while from < total {
            let rows = self.read_runs(number, &mut from).await?;
            let Some(sample) = rows.first() else { continue };
            if let Some(path) = path.take() {
                let file = files.open(path, &self.tuple(number)?, sample).await?;
                self.open.insert(number, file);
            }
            let bytes: usize = rows.iter().map(row_bytes).sum();
            self.reservation.grow(bytes as u64);
            self.append(number, rows, files).await?;
            self.reservation.shrink(bytes as u64);
        }
        match self.open.remove(&number) {
            Some(file) => self.closing.push(file.seal(Vec::new(), self.limits.encoder(1)).await?).await,
            None => Ok(()),
        }
    }

    async fn read_runs(&mut self, number: u32, from: &mut usize) -> Result<Vec<RecordBatch>, ConnectorError> {
        let limit = usize::try_from(self.limits.drain).unwrap_or(usize::MAX);
        let mut runs = std::mem::take(&mut self.runs);
        let mut place = *from;
        let (runs, place, rows) = blocking(move || {
            let rows = runs.read(number, &mut place, limit)?;
            Ok((runs, place, rows))
        })
        .await?;
        (self.runs, *from) = (runs, place);
        Ok(rows)
    }

    pub(super) async fn stored(self) -> Result<Vec<WrittenFile>, ConnectorError> {
        self.closing.finish().await
    }

    pub(super) async fn abort(self) {
        for file in self.open.into_values() {
            file.abort().await;
        }
        self.closing.settle().await;
    }

    fn tuple(&self, number: u32) -> Result<Arc<PartitionTuple>, ConnectorError> {
        self.tuples.get(number as usize).cloned().ok_or_else(|| ConnectorError::internal(format!("no partition has the number {number}")))
    }
}

/// Work that only computes.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> Result<T, ArrowError> + Send + 'static) -> Result<T, ConnectorError> {
    outcome(compute::run("iceberg-partition", work).await)
}

/// Work on temporary files.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ArrowError> + Send + 'static) -> Result<T, ConnectorError> {
    outcome(task::blocking("iceberg-spill", work).await)
}

fn outcome<T>(done: Result<Result<T, ArrowError>, task::TaskError>) -> Result<T, ConnectorError> {
    let done = done.map_err(|error| ConnectorError::internal(error.to_string()).with_source(error))?;
    done.map_err(|error| match error {
        ArrowError::IoError(_, _) => ConnectorError::transient(format!("rows cannot be spilled to disk: {error}")).with_source(error),
        other => ConnectorError::user(format!("rows cannot be partitioned: {other}")).with_source(other),
    })
}
