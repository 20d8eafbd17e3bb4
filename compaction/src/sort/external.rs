//! Rows sorted in memory, and beyond that in files on the local disk, by DataFusion's sort.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{SchemaRef, SortOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::SessionConfig;
use futures::stream;
use tokio::sync::mpsc;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{SortBy, SortColumn};
use weir_connectors::spill::SpillFolders;

/// A sort takes this share of the budget: writers may take a half.
const SHARE: u64 = 3;
/// Batches on their way into the sort.
const AHEAD: usize = 2;
/// Rows of a sorted batch.
const BATCH_ROWS: usize = 8_192;
/// What a sort sets aside for merging, as a share of its memory.
const MERGING: usize = 8;

/// Sorts the rows of one group.
#[derive(Debug)]
pub(crate) struct Sorter {
    plan: SortExec,
    charged: Reservation,
    /// They go with this.
    spill: SpillFolders,
}

/// Where rows go in.
pub(crate) type Input = mpsc::Sender<RecordBatch>;

impl Sorter {
    /// A sort of rows with `schema`, one of `sorts` at the same time, and where its rows go in. A share of `budget` is charged as long as it lives.
    ///
    /// # Errors
    /// Columns that the rows do not have: a defect.
    pub(crate) fn try_new(schema: &SchemaRef, by: &SortBy, budget: &MemoryBudget, sorts: usize) -> Result<(Self, Input), ConnectorError> {
        let expression = |column: &SortColumn| {
            let index = schema.index_of(&column.name).map_err(|error| ConnectorError::internal(error.to_string()).with_source(error))?;
            let options = SortOptions { descending: column.descending, nulls_first: column.nulls_first };
            Ok(PhysicalSortExpr::new(Arc::new(Column::new(&column.name, index)), options))
        };
        let ordering: Vec<PhysicalSortExpr> = by.columns().iter().map(expression).collect::<Result<_, ConnectorError>>()?;
        let ordering = LexOrdering::new(ordering).ok_or_else(|| ConnectorError::internal("a sort by no columns"))?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let rows: Arc<dyn PartitionStream> = Arc::new(Received { schema: Arc::clone(schema), rows: Mutex::new(Some(receiver)) });
        let input = StreamingTableExec::try_new(Arc::clone(schema), vec![rows], None, Vec::<LexOrdering>::new(), false, None).map_err(failed)?;
        let mut charged = budget.reservation(Use::Operators);
        charged.grow(budget.limit() / SHARE / sorts.max(1) as u64);
        Ok((Self { plan: SortExec::new(ordering, Arc::new(input)), charged, spill: SpillFolders::try_new(&[])? }, sender))
    }

    /// The rows in their order, once all senders are gone.
    ///
    /// # Errors
    /// No memory or disk for them.
    pub(crate) fn sorted(&self) -> Result<SendableRecordBatchStream, ConnectorError> {
        let memory = usize::try_from(self.charged.bytes()).unwrap_or(usize::MAX);
        let environment = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(self.spill.disk_manager())
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
            .build_arc()
            .map_err(failed)?;
        let mut config = SessionConfig::new().with_batch_size(BATCH_ROWS);
        config.options_mut().execution.sort_spill_reservation_bytes = memory / MERGING;
        let context = TaskContext::default().with_session_config(config).with_runtime(environment);
        self.plan.execute(0, Arc::new(context)).map_err(failed)
    }
}

/// Rows as the sort takes them in: once.
#[derive(Debug)]
struct Received {
    schema: SchemaRef,
    rows: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl PartitionStream for Received {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let received = stream::unfold(rows, |rows| async move {
            let mut rows = rows?;
            rows.recv().await.map(|batch| (Ok(batch), Some(rows)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), received))
    }
}

/// A failed sort as a connector's error.
pub(crate) fn failed(error: DataFusionError) -> ConnectorError {
    let what = format!("rows cannot be sorted: {error}");
    let made = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => ConnectorError::user(what),
        DataFusionError::IoError(_) => ConnectorError::transient(what),
        _ => ConnectorError::internal(what),
    };
    made.with_source(error)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use futures::TryStreamExt;
    use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, TableMetadataBuilder, Type, UnboundPartitionSpec};

    use super::*;

    fn by(text: &str) -> SortBy {
        let field = |id, name: &str, of| NestedField::optional(id, name, Type::Primitive(of)).into();
        let schema = Schema::builder().with_fields([field(1, "id", PrimitiveType::Long), field(2, "pad", PrimitiveType::String)]);
        let (schema, spec) = (schema.build().expect("schema"), UnboundPartitionSpec::builder().build());
        let builder =
            TableMetadataBuilder::new(schema, spec, SortOrder::unsorted_order(), "file:///t".to_owned(), FormatVersion::V2, Default::default());
        SortBy::of(Some(text), &builder.expect("builds").build().expect("metadata").metadata).expect("parses").expect("columns")
    }

    fn batch(ids: impl Iterator<Item = i64>) -> RecordBatch {
        let ids: Vec<Option<i64>> = ids.map(|id| (id % 1_000 != 7).then_some(id)).collect();
        let pad: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("{id:?}").repeat(10))));
        RecordBatch::try_from_iter_with_nullable([("id", Arc::new(Int64Array::from(ids)) as ArrayRef, true), ("pad", pad, true)]).expect("batch")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn more_rows_than_memory_holds_come_in_order_and_nothing_is_left_on_the_disk() {
        // 40 MB of rows, 8 MiB for the sort.
        let budget = MemoryBudget::new(24 << 20);
        let (sorter, input) = Sorter::try_new(&batch(0..1).schema(), &by("id DESC NULLS LAST"), &budget, 1).expect("sorter");
        assert_eq!(budget.used(), 8 << 20);
        let feed = async move {
            for part in 0..60_i64 {
                input.send(batch((0..8_000).map(|row| (row * 60 + part) % 480_000))).await.expect("taken");
            }
        };
        let drain = async { sorter.sorted().expect("sorts").try_collect::<Vec<RecordBatch>>().await.expect("sorted") };
        let ((), sorted) = futures::join!(feed, drain);
        let ids: Vec<Option<i64>> = sorted.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>()).collect();
        assert_eq!(ids.len(), 480_000);
        let nulls = ids.iter().filter(|id| id.is_none()).count();
        assert!(nulls == 480 && ids[480_000 - nulls..].iter().all(Option::is_none), "nulls come last");
        assert!(ids[..480_000 - nulls].windows(2).all(|two| two[0] > two[1]), "each id once, from the greatest down");
        let spilled = sorter.plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
        assert!(spilled > 0, "it was too much for memory");
        drop(sorter);
        assert_eq!(budget.used(), 0);
    }
}
