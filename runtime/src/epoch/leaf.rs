//! The leaf of a plan: gives the batches that the split tasks of its source send it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream;
use tokio::sync::mpsc;
use weir_base::memory::Reservation;

/// What a split task sends to a leaf.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Rows, charged to the budget until the leaf hands them on.
    Rows(RecordBatch, Arc<Reservation>),
    /// One split has reached its cut. A leaf that misses one of these fails: its rows are not all there.
    End,
}

/// One partition of a leaf before it runs.
#[derive(Debug)]
pub(crate) struct LeafPartition {
    pub(crate) pieces: mpsc::Receiver<Piece>,
    /// Splits that send to it.
    pub(crate) splits: usize,
}

/// A stream table in the plan of one epoch. It runs once.
pub(crate) struct StreamSourceExec {
    source: String,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    partitions: Mutex<Vec<Option<LeafPartition>>>,
}

impl StreamSourceExec {
    pub(crate) fn new(source: &str, schema: SchemaRef, partitions: Vec<LeafPartition>) -> Self {
        let properties = leaf_properties(&schema, partitions.len());
        let partitions = Mutex::new(partitions.into_iter().map(Some).collect());
        Self { source: source.to_owned(), schema, properties, partitions }
    }
}

/// The properties of a bounded leaf without any order.
pub(crate) fn leaf_properties(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl fmt::Debug for StreamSourceExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSourceExec").field("source", &self.source).finish_non_exhaustive()
    }
}

impl DisplayAs for StreamSourceExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamSourceExec: source={}", self.source)
    }
}

impl ExecutionPlan for StreamSourceExec {
    fn name(&self) -> &str {
        "StreamSourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let taken = self.partitions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(partition).and_then(Option::take);
        let leaf = taken.ok_or_else(|| DataFusionError::Internal(format!("partition {partition} of source {} runs twice", self.source)))?;
        let rows = stream::try_unfold(leaf, |mut leaf| async move {
            loop {
                match leaf.pieces.recv().await {
                    Some(Piece::Rows(batch, _charged)) => return Ok(Some((batch, leaf))),
                    Some(Piece::End) => leaf.splits = leaf.splits.saturating_sub(1),
                    None if leaf.splits == 0 => return Ok(None),
                    None => return Err(DataFusionError::Internal("a split ended before its cut".to_owned())),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}
