//! From the lookup joins of a logical plan to operators.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Schema};
use async_trait::async_trait;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, JoinType, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
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
        let input = if join.table.options.hash {
            // Of rows that change each other, those of one key have one key here too, or none: these stay together as well.
            let columns = join.key.keys.iter().flat_map(Expr::column_refs).filter(|_| join.in_order).cloned().map(Expr::Column);
            let without_key = columns.map(|column| planner.create_physical_expr(&column, join.input.schema(), state));
            spread(Arc::clone(input), &keys, without_key.collect::<DataFusionResult<Vec<_>>>()?, tasks)?
        } else {
            Arc::clone(input)
        };
        let index = match &join.key.index {
            Some(index) => {
                let state = self.lookups.of(&index.table, &index.columns, tasks)?;
                Some(Arc::new(Index::new(state, index.row_key.clone(), self.lookups.budget())))
            }
            None => None,
        };
        let state = self.lookups.of(&join.table, &join.key.columns, tasks)?;
        let operator = Operator { state, index, keys, joiner, in_order: join.in_order, budget: self.lookups.budget().clone() };
        Ok(Some(Arc::new(LookupJoinExec::new(input, Arc::new(operator)))))
    }
}

/// The input with rows of one key in one partition, and rows without one that are equal in `without_key`.
fn spread(
    input: Arc<dyn ExecutionPlan>,
    keys: &[Arc<dyn PhysicalExpr>],
    without_key: Vec<Arc<dyn PhysicalExpr>>,
    tasks: usize,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let keys: Vec<_> = keys.iter().filter(|key| !key.is::<Literal>()).cloned().collect();
    if keys.is_empty() || (tasks == 1 && input.output_partitioning().partition_count() == 1) {
        return Ok(input);
    }
    Ok(Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(vec![Arc::new(KeyRoute { keys, without_key })], tasks))?))
}

/// A number for each row: the same for equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRoute {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// What the number of a row without a key is made of; if there is nothing, such rows go anywhere.
    without_key: Vec<Arc<dyn PhysicalExpr>>,
}

impl KeyRoute {
    fn hashes(columns: &[ArrayRef], rows: usize) -> DataFusionResult<Vec<u64>> {
        let mut hashes = vec![0; rows];
        create_hashes(columns, &RandomState::with_seed(0), &mut hashes)?;
        Ok(hashes)
    }
}

impl Hash for KeyRoute {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
        self.without_key.hash(state);
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
        let rows = batch.num_rows();
        let value = |of: &Arc<dyn PhysicalExpr>| of.evaluate(batch).and_then(|value| value.into_array(rows));
        let columns = self.keys.iter().map(value).collect::<DataFusionResult<Vec<_>>>()?;
        let mut hashes = Self::hashes(&columns, rows)?;
        if columns.iter().all(|column| column.logical_null_count() == 0) {
            return Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(hashes))));
        }
        let without_key = match self.without_key.as_slice() {
            [] => (0..rows as u64).collect(),
            some => Self::hashes(&some.iter().map(value).collect::<DataFusionResult<Vec<_>>>()?, rows)?,
        };
        for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
            for ((row, hash), other) in hashes.iter_mut().enumerate().zip(&without_key) {
                if nulls.is_null(row) {
                    *hash = *other;
                }
            }
        }
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(hashes))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.keys.iter().chain(&self.without_key).collect()
    }

    fn with_new_children(self: Arc<Self>, mut keys: Vec<Arc<dyn PhysicalExpr>>) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let without_key = keys.split_off(self.keys.len().min(keys.len()));
        Ok(Arc::new(Self { keys, without_key }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, RecordBatch};
    use datafusion::physical_expr::expressions::{Column, TryCastExpr};

    use super::*;

    /// Texts of which only some are numbers, which are keys.
    fn routed(texts: &[&str], by: &[&str]) -> Vec<u64> {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("t", 0));
        let key: Arc<dyn PhysicalExpr> = Arc::new(TryCastExpr::new(Arc::clone(&column), DataType::Int64));
        let route =
            Arc::new(KeyRoute { keys: vec![Arc::new(Column::new("moved", 1))], without_key: by.iter().map(|_| Arc::clone(&column)).collect() });
        let children: Vec<_> = [&key].into_iter().chain(by.iter().map(|_| &column)).cloned().collect();
        let route = route.with_new_children(children).expect("children");
        let column: ArrayRef = Arc::new(arrow_array::StringArray::from(texts.to_vec()));
        let other: ArrayRef = Arc::new(Int64Array::from(vec![0; texts.len()]));
        let batch = RecordBatch::try_from_iter([("t", column), ("moved", other)]).expect("a batch");
        let ColumnarValue::Array(routes) = route.evaluate(&batch).expect("routes") else { panic!("one for each row") };
        arrow_array::cast::AsArray::as_primitive::<arrow_array::types::UInt64Type>(&routes).values().to_vec()
    }

    #[test]
    fn rows_of_one_key_go_one_way_and_rows_without_one_any_way_unless_they_change_each_other() {
        let texts = ["1", "x", "1", "x", "y", "x"];
        let anywhere = routed(&texts, &[]);
        assert_eq!(anywhere[0], anywhere[2]);
        assert_eq!([anywhere[1], anywhere[3], anywhere[5]], [1, 3, 5]);
        let kept = routed(&texts, &["t"]);
        assert_eq!((kept[0], kept[1], kept[1]), (kept[2], kept[3], kept[5]));
        assert_ne!(kept[1], kept[4], "others are spread");
        assert_eq!(kept[0], anywhere[0]);
    }
}
