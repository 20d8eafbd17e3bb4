//! Batch queries: a plan run once. A stream table in it is read to its end, which it must have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream};
use futures::stream;
use tokio::sync::OnceCell;
use weir_base::memory::MemoryBudget;
use weir_connectors::ConnectorError;
use weir_connectors::source::{Read, SplitId, SplitPosition, SplitReader};
use weir_sql::plan::{LeafFactory, QueryPlan, StreamTable, Wanted};

use crate::epoch::{leaf_properties, session_on};
use crate::error::RuntimeError;
use crate::lookup::Lookups;

/// Wait between two questions for the ends of a source that has not told the last ones yet.
const POLL: Duration = Duration::from_millis(50);

/// Runs a query; its memory is charged to `budget`. Dropping the stream stops it.
///
/// # Errors
/// A plan that cannot be made, such as one over an unbounded source. Errors of the run come out of the stream.
pub async fn run_query(query: QueryPlan, budget: &MemoryBudget) -> Result<SendableRecordBatchStream, RuntimeError> {
    let mut state = session_on(budget, &Lookups::new(budget), query.state)?;
    let partitions = state.config().target_partitions().max(1);
    let charged = budget.clone();
    let factory = LeafFactory(Box::new(move |table, wanted| {
        let Wanted::Rows(projection) = wanted else { return Err(DataFusionError::Internal("a query reads no dead letters".to_owned())) };
        let leaf: Arc<dyn ExecutionPlan> = Arc::new(BoundedSourceExec::try_new(table, projection, partitions, &charged)?);
        Ok(leaf)
    }));
    state.config_mut().set_extension(Arc::new(factory));
    let planner = Arc::clone(state.query_planner());
    let plan = planner.create_physical_plan(&query.plan, &state).await?;
    Ok(execute_stream(plan, state.task_ctx())?)
}

/// A range of a split.
#[derive(Debug, Clone)]
struct Range {
    split: SplitId,
    from: SplitPosition,
    until: i64,
}

/// A bounded stream table, read from its start to its end.
struct BoundedSourceExec {
    table: StreamTable,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    budget: MemoryBudget,
    ranges: Arc<OnceCell<Vec<Range>>>,
    partitions: usize,
}

impl BoundedSourceExec {
    fn try_new(table: &StreamTable, projection: Option<&Vec<usize>>, partitions: usize, budget: &MemoryBudget) -> DataFusionResult<Self> {
        if !table.source.is_bounded() {
            let message = format!(
                "Table '{}' never ends, so a batch query over it would not either. Hint: bound it with 'scan.bounded.mode' = 'latest-offset' in WITH or in an OPTIONS hint.",
                table.path
            );
            return Err(DataFusionError::External(Box::new(ConnectorError::user(message))));
        }
        let all = table.source.schema();
        let projection = projection.cloned().unwrap_or_else(|| (0..all.fields().len()).collect());
        let schema = Arc::new(all.project(&projection)?);
        let properties = leaf_properties(&schema, partitions);
        Ok(Self { table: table.clone(), projection, schema, properties, budget: budget.clone(), ranges: Arc::default(), partitions })
    }
}

impl fmt::Debug for BoundedSourceExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSourceExec").field("table", &self.table.path).finish_non_exhaustive()
    }
}

impl DisplayAs for BoundedSourceExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundedSourceExec: table={}", self.table.path)
    }
}

impl ExecutionPlan for BoundedSourceExec {
    fn name(&self) -> &str {
        "BoundedSourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let scan = Scan {
            table: self.table.clone(),
            projection: self.projection.clone(),
            budget: self.budget.clone(),
            ranges: Arc::clone(&self.ranges),
            next: partition,
            step: self.partitions,
            open: None,
        };
        let rows = stream::try_unfold(scan, |mut scan| async move {
            let batch = scan.next().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(batch.map(|batch| (batch, scan)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}

/// One partition: every `step`th range, one after the other.
struct Scan {
    table: StreamTable,
    projection: Vec<usize>,
    budget: MemoryBudget,
    ranges: Arc<OnceCell<Vec<Range>>>,
    next: usize,
    step: usize,
    open: Option<(Box<dyn SplitReader>, i64)>,
}

impl Scan {
    async fn next(&mut self) -> Result<Option<arrow_array::RecordBatch>, ConnectorError> {
        let ranges = Arc::clone(&self.ranges);
        let ranges = ranges.get_or_try_init(|| ranges_of(&self.table)).await?;
        loop {
            if let Some((reader, until)) = &mut self.open {
                match reader.next(*until).await? {
                    Read::Rows { batch, .. } => return Ok(Some(batch)),
                    Read::Letters { .. } => return Err(ConnectorError::internal("a query reads no dead letters")),
                    Read::Reached => self.open = None,
                }
                continue;
            }
            let Some(range) = ranges.get(self.next) else { return Ok(None) };
            self.next += self.step;
            if range.until > range.from.offset {
                let reader = self.table.source.reader(&range.split, &range.from, &self.projection, &self.budget).await?;
                self.open = Some((reader, range.until));
            }
        }
    }
}

/// Every split from its start to its final end.
async fn ranges_of(table: &StreamTable) -> Result<Vec<Range>, ConnectorError> {
    let mut enumerator = table.source.enumerator(None).await?;
    let mut starts = enumerator.start().clone();
    let mut ends = BTreeMap::new();
    loop {
        let frontier = enumerator.frontier().await?;
        starts.extend(frontier.discovered);
        ends.extend(frontier.ends);
        if frontier.finished {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let ranges = starts.into_iter().filter_map(|(split, from)| {
        let until = ends.get(&split)?.offset;
        Some(Range { split, from, until })
    });
    Ok(ranges.collect())
}
