//! From the lookup joins of a logical plan to operators.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Schema};
use async_trait::async_trait;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, JoinType, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use weir_sql::lookup_join::LookupJoin;

use super::exec::LookupJoinExec;
use super::index::Index;
use super::join::Joiner;
use super::probe::Operator;
use super::state::Lookups;

/// DataFusion's planner, which knows of lookup joins.
#[derive(Debug)]
pub(crate) struct LookupQueryPlanner {
    lookups: Lookups,
}

impl LookupQueryPlanner {
    pub(crate) fn new(lookups: &Lookups) -> Self {
        Self { lookups: lookups.clone() }
    }
}

#[async_trait]
impl QueryPlanner for LookupQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, state: &SessionState) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Planner { lookups: self.lookups.clone() })]);
        planner.create_physical_plan(plan, state).await
    }
}

struct Planner {
    lookups: Lookups,
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        state: &SessionState,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(join) = node.as_any().downcast_ref::<LookupJoin>() else { return Ok(None) };
        let [input] = physical_inputs else { return Err(DataFusionError::Internal("a lookup join has one input".to_owned())) };
        let schema = UserDefinedLogicalNodeCore::schema(join);
        let keys =
            join.key.keys.iter().map(|key| planner.create_physical_expr(key, join.input.schema(), state)).collect::<DataFusionResult<Vec<_>>>()?;
        let residual = join.residual.as_ref().map(|residual| planner.create_physical_expr(residual, schema, state)).transpose()?;
        let tasks = state.config().target_partitions().max(1);
        let joiner = Joiner {
            schema: Arc::new(schema.as_arrow().clone()),
            left: join.input.schema().fields().len(),
            keeps_all: join.join_type == JoinType::Left,
            residual,
        };
        let input = if join.table.options.hash { spread(Arc::clone(input), &keys, tasks)? } else { Arc::clone(input) };
        let index = match &join.key.index {
            Some(index) => {
                let state = self.lookups.of(&index.table, &index.columns, tasks)?;
                Some(Arc::new(Index::new(state, index.row_key.clone(), self.lookups.budget())))
            }
            None => None,
        };
        let state = self.lookups.of(&join.table, &join.key.columns, tasks)?;
        let operator = Operator { state, index, keys, joiner, budget: self.lookups.budget().clone() };
        Ok(Some(Arc::new(LookupJoinExec::new(input, Arc::new(operator)))))
    }
}

/// The input with rows of one key in one partition.
fn spread(input: Arc<dyn ExecutionPlan>, keys: &[Arc<dyn PhysicalExpr>], tasks: usize) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let keys: Vec<_> = keys.iter().filter(|key| !key.is::<Literal>()).cloned().collect();
    if keys.is_empty() || (tasks == 1 && input.output_partitioning().partition_count() == 1) {
        return Ok(input);
    }
    Ok(Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(vec![Arc::new(KeyRoute { keys })], tasks))?))
}

/// A number for each row: the same for equal keys; rows without a key go anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRoute {
    keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl Hash for KeyRoute {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

impl fmt::Display for KeyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "key({})", keys.join(", "))
    }
}

impl PhysicalExpr for KeyRoute {
    fn data_type(&self, _input: &Schema) -> DataFusionResult<DataType> {
        Ok(DataType::UInt64)
    }

    fn nullable(&self, _input: &Schema) -> DataFusionResult<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        let columns = self.keys.iter().map(|key| key.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())));
        let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&columns, &RandomState::with_seed(0), &mut hashes)?;
        for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
            for (row, hash) in hashes.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)) {
                *hash = row as u64;
            }
        }
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(hashes))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.keys.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { keys: children }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
