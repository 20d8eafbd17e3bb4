//! The plan node that reads the files of a snapshot.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SortOrderPushdownResult};
use futures::{StreamExt, TryStreamExt, stream};

use super::files::store::FileCounts;
use super::need::{Need, paths};
use super::open::{Counts, Reading};
use super::order::Order;
use super::planning::PlanningCounts;
use super::splits::Split;
use super::statistics;

/// Reads data files; each partition reads some splits one after another.
///
/// It gives whole columns of the table, in their full types, but reads of them only the leaves that the plan above looks at
/// ([`super::NestedPruning`] tells it which). Filters are hints to it: rows that do not pass may come, so a filter node stays above.
#[derive(Debug, Clone)]
pub(super) struct IcebergScanExec {
    snapshot: Option<i64>,
    reading: Arc<Reading>,
    parts: Arc<[Vec<Split>]>,
    planning: PlanningCounts,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl IcebergScanExec {
    pub(super) fn new(snapshot: Option<i64>, reading: Reading, parts: Vec<Vec<Split>>, planning: PlanningCounts, limit: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&reading.columns.schema)),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { snapshot, reading: Arc::new(reading), parts: parts.into(), planning, limit, properties: Arc::new(properties), metrics }
    }

    /// The same scan that reads only what `needs` says of each column.
    pub(super) fn with_needs(&self, needs: Vec<Need>) -> Self {
        Self { reading: Arc::new(Reading { needs, ..self.reading.as_ref().clone() }), ..self.clone() }
    }

    /// Registers what the scan counts with the node's metrics.
    fn counts(&self, partition: usize) -> Counts {
        let counter = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        if partition == 0 {
            counter("manifests_pruned").add(self.planning.manifests_pruned);
            counter("files_pruned").add(self.planning.files_pruned);
            counter("manifests_read").add(self.planning.manifests_read);
            counter("manifests_cached").add(self.planning.manifests_cached);
        }
        Counts {
            late_files: counter("files_pruned_late"),
            row_groups: counter("row_groups_pruned"),
            page_rows: counter("page_rows_pruned"),
            deleted_rows: counter("rows_deleted"),
            files: FileCounts { bytes: counter("bytes_scanned"), footers_read: counter("footers_read"), footers_cached: counter("footers_cached") },
        }
    }
}

impl DisplayAs for IcebergScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: std::collections::HashSet<&str> = self.parts.iter().flatten().map(|split| split.task.file.path()).collect();
        let columns = self.reading.columns.schema.fields().iter().zip(&self.reading.needs);
        let leaves: Vec<String> = columns.flat_map(|(field, need)| paths(field.name(), field.data_type(), need)).collect();
        write!(f, "IcebergScanExec: table={}, files={}, leaves=[{}]", self.reading.files.table, tasks.len(), leaves.join(", "))?;
        if let Some(snapshot) = self.snapshot {
            write!(f, ", snapshot={snapshot}")?;
        }
        if self.planning.manifests_pruned + self.planning.files_pruned > 0 {
            write!(f, ", pruned={} manifests, {} files", self.planning.manifests_pruned, self.planning.files_pruned)?;
        }
        if !self.reading.filters.is_empty() {
            let filters: Vec<String> = self.reading.filters.iter().map(ToString::to_string).collect();
            write!(f, ", filters=[{}]", filters.join(", "))?;
        }
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for IcebergScanExec {
    fn name(&self) -> &str {
        "IcebergScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let missing = || DataFusionError::Internal(format!("a scan has no partition {partition}"));
        let splits = self.parts.get(partition).ok_or_else(missing)?.clone();
        let counts = self.counts(partition);
        let files = self.reading.files.counting(&counts.files).charging(context.memory_pool());
        let batch_rows = context.session_config().batch_size();
        let reading = Arc::new(Reading { counts, files, batch_rows, ..self.reading.as_ref().clone() });
        let splits = reading.in_order(splits);
        let batches = stream::iter(splits).then(move |split| Arc::clone(&reading).open(split)).try_flatten();
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let mut left = self.limit.unwrap_or(usize::MAX);
        let rows = batches.map(move |batch| Ok(batch?.record_output(&baseline))).try_take_while(move |_| std::future::ready(Ok(left > 0)));
        let rows = rows.map_ok(move |batch: RecordBatch| {
            let taken = batch.slice(0, batch.num_rows().min(left));
            left -= taken.num_rows();
            taken
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.reading.columns.schema), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let splits: Vec<&Split> = match partition {
            Some(partition) => self.parts.get(partition).into_iter().flatten().collect(),
            None => self.parts.iter().flatten().collect(),
        };
        let whole = partition.is_none() && self.reading.filters.is_empty() && self.limit.is_none();
        Ok(Arc::new(statistics::of(&splits, &self.reading, whole, self.limit)))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    /// Reads first what may hold the first rows of a sort. A scan that stops after some rows has to give those that it would give without the sort.
    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let order = Order::of(order, self.reading.fields()).filter(|_| self.limit.is_none());
        Ok(order.map_or(SortOrderPushdownResult::Unsupported, |order| {
            let reading = Arc::new(Reading { order: Some(order), ..self.reading.as_ref().clone() });
            SortOrderPushdownResult::Inexact { inner: Arc::new(Self { reading, ..self.clone() }) }
        }))
    }

    /// Takes filters that will know more while the query runs. The others came when the scan was planned.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        filters: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let found: Vec<Arc<dyn PhysicalExpr>> = filters.parent_filters.into_iter().map(|filter| filter.filter).collect();
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; found.len()]);
        if phase == FilterPushdownPhase::Pre || found.is_empty() {
            return Ok(answer);
        }
        let filters = self.reading.filters.iter().cloned().chain(found).collect();
        let reading = Arc::new(Reading { filters, ..self.reading.as_ref().clone() });
        Ok(answer.with_updated_node(Arc::new(Self { reading, ..self.clone() })))
    }
}
