//! Reading the splits of one source in one epoch, once for all the queries that use it.
//!
//! Each split has its own task, so that decoding overlaps with whatever the plans do. A task hands each batch to every leaf that wants it,
//! through a bounded channel for each leaf partition, and waits while one of them is full. So no plan may read one branch over a source to
//! its end before another: a join would; the front end refuses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::{Notify, mpsc, watch};
use weir_base::memory::{MemoryBudget, Use};
use weir_base::task::Task;
use weir_connectors::ConnectorError;
use weir_connectors::letters::letter_schema;
use weir_connectors::source::{Cut, Read, SplitId, SplitPosition, SplitReader};
use weir_sql::plan::{StreamTable, Wanted};

use super::credit::{Command, Credit};
use super::failure::Failure;
use super::leaf::{LeafPartition, Piece, StreamSourceExec};
use super::memory::MemoryGate;
use super::registry::{ReaderRegistry, SplitGauge, SplitGauges, SplitKey};
use crate::error::RuntimeError;

/// Batches that a leaf partition holds before its split tasks wait.
const IN_FLIGHT: usize = 2;

/// What split tasks share.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) budget: MemoryBudget,
    pub(crate) gate: MemoryGate,
    pub(crate) registry: ReaderRegistry,
    pub(crate) gauges: SplitGauges,
    pub(crate) wake: Arc<Notify>,
    pub(crate) failure: Failure,
}

/// One source in one epoch, while its plans are made.
#[derive(Debug)]
pub(crate) struct Hub {
    table: StreamTable,
    splits: Vec<(SplitId, SplitPosition)>,
    partitions: usize,
    leaves: Vec<LeafInlet>,
}

/// Where the tasks send what one leaf wants.
#[derive(Debug)]
struct LeafInlet {
    /// Dead letters are wanted, not rows.
    letters: bool,
    columns: Vec<usize>,
    skip: Cut,
    senders: Vec<mpsc::Sender<Piece>>,
}

impl Hub {
    /// A source whose splits are read from `from`, in at most `parallelism` partitions.
    pub(crate) fn new(table: StreamTable, from: &Cut, parallelism: usize) -> Self {
        let splits: Vec<_> = from.iter().map(|(split, position)| (split.clone(), position.clone())).collect();
        let partitions = splits.len().min(parallelism).max(1);
        Self { table, splits, partitions, leaves: Vec::new() }
    }

    /// A leaf that gives what is wanted of the source, without what lies before `skip`.
    pub(crate) fn leaf(&mut self, wanted: Wanted<'_>, skip: Cut) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (schema, projection, letters) = match wanted {
            Wanted::Rows(projection) => (self.table.source.schema(), projection, false),
            Wanted::Letters(projection) => (letter_schema(), projection, true),
        };
        let columns = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let schema = Arc::new(schema.project(&columns)?);
        let (mut senders, mut partitions) = (Vec::new(), Vec::new());
        for partition in 0..self.partitions {
            let splits = (partition..self.splits.len()).step_by(self.partitions).count();
            let (sender, pieces) = mpsc::channel(IN_FLIGHT);
            senders.push(sender);
            partitions.push(LeafPartition { pieces, splits });
        }
        self.leaves.push(LeafInlet { letters, columns, skip, senders });
        Ok(Arc::new(StreamSourceExec::new(&self.table.id, schema, partitions)))
    }

    /// Starts the tasks. They wait for commands.
    pub(crate) fn start(self, reading: &Reading) -> Vec<RunningSplit> {
        let columns = self.columns_to_read();
        let now = std::time::Instant::now();
        let mut running = Vec::with_capacity(self.splits.len());
        for (index, (split, from)) in self.splits.into_iter().enumerate() {
            let outlets: Vec<Outlet> = self.leaves.iter().filter_map(|leaf| outlet(leaf, &columns, &split, index % self.partitions)).collect();
            let key = (self.table.id.clone(), split);
            let gauge = reading.gauges.of(&key);
            gauge.set_position(from.offset);
            let credit = Credit::new(from.offset, gauge.window(), now);
            let (commands, received) = watch::channel(Command { until: from.offset, low: i64::MAX, last: false });
            let kept: Vec<_> = outlets.iter().map(|outlet| outlet.sender.clone()).collect();
            let task = SplitTask {
                table: self.table.clone(),
                key: key.clone(),
                from: from.clone(),
                columns: columns.clone(),
                outlets,
                commands: received,
                gauge: Arc::clone(&gauge),
                reading: reading.clone(),
            };
            let task = reading.failure.spawn("split", kept, task.run());
            running.push(RunningSplit { key, from, credit, commands, gauge, task });
        }
        running
    }

    /// The columns that any leaf wants; at least one, for rows need a carrier.
    fn columns_to_read(&self) -> Vec<usize> {
        let leaves = self.leaves.iter().filter(|leaf| !leaf.letters);
        let wanted: BTreeSet<usize> = leaves.flat_map(|leaf| leaf.columns.iter().copied()).collect();
        if wanted.is_empty() { vec![0] } else { wanted.into_iter().collect() }
    }
}

fn outlet(leaf: &LeafInlet, read: &[usize], split: &SplitId, partition: usize) -> Option<Outlet> {
    let (columns, given) = if leaf.letters {
        (leaf.columns.clone(), letter_schema().fields().len())
    } else {
        (leaf.columns.iter().filter_map(|column| read.iter().position(|other| other == column)).collect(), read.len())
    };
    let same = columns.len() == given && columns.iter().copied().eq(0..given);
    Some(Outlet {
        letters: leaf.letters,
        columns: (!same).then_some(columns),
        skip: leaf.skip.get(split).map_or(i64::MIN, |position| position.offset),
        sender: leaf.senders.get(partition)?.clone(),
    })
}

/// A split that is being read.
#[derive(Debug)]
pub(crate) struct RunningSplit {
    pub(crate) key: SplitKey,
    pub(crate) from: SplitPosition,
    pub(crate) credit: Credit,
    pub(crate) commands: watch::Sender<Command>,
    pub(crate) gauge: Arc<SplitGauge>,
    pub(crate) task: Task<Option<()>>,
}

/// Where a task sends the rows for one leaf partition.
#[derive(Debug)]
struct Outlet {
    /// Dead letters are wanted, not rows.
    letters: bool,
    /// Columns of what is read, unless all of them in order.
    columns: Option<Vec<usize>>,
    /// Rows before this are not wanted.
    skip: i64,
    sender: mpsc::Sender<Piece>,
}

struct SplitTask {
    table: StreamTable,
    key: SplitKey,
    from: SplitPosition,
    columns: Vec<usize>,
    outlets: Vec<Outlet>,
    commands: watch::Receiver<Command>,
    gauge: Arc<SplitGauge>,
    reading: Reading,
}

impl SplitTask {
    async fn run(mut self) -> Result<(), RuntimeError> {
        let mut reached = self.from.offset;
        let mut reader: Option<Box<dyn SplitReader>> = None;
        loop {
            let command = *self.commands.borrow_and_update();
            if reached >= command.until {
                if command.last {
                    break;
                }
                self.reading.wake.notify_one();
                if self.commands.changed().await.is_err() {
                    return Ok(()); // the epoch was given up
                }
                continue;
            }
            let until = next_stop(reached, command.until, self.outlets.iter().map(|outlet| outlet.skip));
            self.reading.gate.pass().await;
            let open = match &mut reader {
                Some(open) => open,
                none => none.insert(self.open(reached).await?),
            };
            match open.next(until).await? {
                Read::Rows { batch, position } => {
                    self.gauge.set_position(position);
                    self.gauge.add_rows(batch.num_rows());
                    if position > command.low {
                        self.reading.wake.notify_one();
                    }
                    self.send(batch, until, false).await?;
                }
                Read::Letters { batch } => self.send(batch, until, true).await?,
                Read::Reached => {
                    reached = until;
                    self.gauge.set_position(until);
                }
            }
        }
        if let Some(reader) = reader {
            self.reading.registry.put(self.key, self.columns, reached, reader);
        }
        for outlet in &self.outlets {
            if outlet.sender.send(Piece::End).await.is_err() {
                tracing::debug!(split = %outlet.skip, "a leaf ended before its source");
            }
        }
        Ok(())
    }

    async fn open(&self, reached: i64) -> Result<Box<dyn SplitReader>, ConnectorError> {
        if let Some(reader) = self.reading.registry.take(&self.key, &self.columns, reached) {
            return Ok(reader);
        }
        let from = SplitPosition { offset: reached, incarnation: self.from.incarnation.clone() };
        self.table.source.reader(&self.key.1, &from, &self.columns, &self.reading.budget).await
    }

    /// Sends rows or dead letters that lie before `until`, with no leaf's skip position inside them.
    async fn send(&self, batch: RecordBatch, until: i64, letters: bool) -> Result<(), RuntimeError> {
        let mut charged = self.reading.budget.reservation(Use::Batches);
        charged.grow(batch.get_array_memory_size() as u64);
        let charged = Arc::new(charged);
        for outlet in self.outlets.iter().filter(|outlet| outlet.letters == letters && outlet.skip < until) {
            let rows = match &outlet.columns {
                Some(columns) => batch.project(columns).map_err(|error| RuntimeError::Plan(error.into()))?,
                None => batch.clone(),
            };
            if outlet.sender.send(Piece::Rows(rows, Arc::clone(&charged))).await.is_err() {
                tracing::debug!(source = self.key.0, "a leaf wants no more rows");
            }
        }
        Ok(())
    }
}

/// How far the reader may go in one call: no batch may lie on both sides of a position that some leaf skips to.
fn next_stop(reached: i64, until: i64, skips: impl Iterator<Item = i64>) -> i64 {
    skips.filter(|skip| *skip > reached).fold(until, i64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_never_lies_on_both_sides_of_a_skip_position() {
        assert_eq!(next_stop(0, 100, [30, 60].into_iter()), 30);
        assert_eq!(next_stop(30, 100, [30, 60].into_iter()), 60);
        assert_eq!(next_stop(60, 100, [30, 60].into_iter()), 100);
        assert_eq!(next_stop(0, 20, [30, i64::MIN].into_iter()), 20);
    }
}
