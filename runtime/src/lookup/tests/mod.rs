//! The operator over tables in memory: what comes out, what is asked for, and what is kept.

mod asking;
mod fake;
mod full;
mod indexed;
mod property;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use weir_base::memory::MemoryBudget;
use weir_connectors::lookup::{Cache, LookupOptions};
use weir_connectors::table::TablePath;
use weir_sql::lookup_join::{Asking, LookupTable, Taken};

use super::index::Index;
use super::join::Joiner;
use super::probe::{Operator, Probe};
use super::state::LookupState;
use fake::{FakeTable, nested};

/// A row of the input, by number, and what it was joined with.
type Joined = (i64, Option<i64>);

fn budget() -> MemoryBudget {
    MemoryBudget::new(1 << 30)
}

fn some(keys: &[i64]) -> Vec<Option<i64>> {
    keys.iter().map(|key| Some(*key)).collect()
}

fn options() -> LookupOptions {
    LookupOptions {
        cache: Cache::None,
        preload: None,
        max_retries: 3,
        is_async: true,
        hash: false,
        batch: 4,
        linger: Duration::from_millis(1),
        indexes: Vec::new(),
    }
}

fn asking() -> Asking {
    Asking { capacity: 16, timeout: Duration::from_secs(60), ordered: true, on_miss: None }
}

/// How rows are joined.
#[derive(Debug, Clone, Copy)]
struct How {
    keeps_all: bool,
    /// Only values above this match.
    above: Option<i64>,
}

const ALL: How = How { keeps_all: true, above: None };

fn state(fake: &Arc<FakeTable>, options: LookupOptions, asking: Asking, budget: &MemoryBudget) -> Arc<LookupState> {
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "dim".to_owned() };
    let table = Arc::new(LookupTable { id: "dim".to_owned(), path, lookup: Arc::clone(fake) as _, options, asking, taken: Taken::default() });
    Arc::new(LookupState::try_new(&table, &[0], budget, 2).expect("a state"))
}

fn operator(fake: &Arc<FakeTable>, options: LookupOptions, asking: Asking, how: How, budget: &MemoryBudget) -> Arc<Operator> {
    operator_on(state(fake, options, asking, budget), None, how, budget)
}

fn operator_on(state: Arc<LookupState>, index: Option<Index>, how: How, budget: &MemoryBudget) -> Arc<Operator> {
    let nullable = how.keeps_all;
    let fields = [("n", false), ("k", true), ("k", nullable), ("v", nullable)];
    let fields = fields.map(|(name, nullable)| Field::new(name, DataType::Int64, nullable)).into_iter();
    let fields = fields.chain([Field::new("m", nested(&[]).data_type().clone(), true)]);
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let residual = how.above.map(|above| binary(col("v", &schema).expect("v"), Op::Gt, lit(above), &schema).expect("a condition"));
    let key: Arc<dyn PhysicalExpr> = Arc::new(datafusion::physical_expr::expressions::Column::new("k", 1));
    let joiner = Joiner { schema, left: 2, keeps_all: how.keeps_all, residual };
    Arc::new(Operator { state, index: index.map(Arc::new), keys: vec![key], joiner, in_order: false, budget: budget.clone() })
}

/// Batches of numbered rows with these keys.
fn batches(keys: &[Vec<Option<i64>>]) -> Vec<RecordBatch> {
    let mut number = 0;
    let batch = |keys: &Vec<Option<i64>>| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(number..number + keys.len() as i64));
        number += keys.len() as i64;
        let keys: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
        RecordBatch::try_from_iter_with_nullable([("n", numbers, false), ("k", keys, true)]).expect("a batch")
    };
    keys.iter().map(batch).collect()
}

/// One task of an operator.
fn probe(operator: &Arc<Operator>, keys: &[Vec<Option<i64>>]) -> Probe {
    let batches = batches(keys);
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let input = Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok))));
    Probe::new(Arc::clone(operator), input)
}

/// That the rows that were found have what is nested in them, and the others nothing.
fn has_nested(values: &Int64Array, column: &ArrayRef) {
    let is_found: BooleanArray = values.iter().map(|value| Some(value.is_some())).collect();
    assert_eq!(&filter(column, &is_found).expect("filtered"), &nested(&values.iter().flatten().collect::<Vec<_>>()));
    assert_eq!(column.null_count(), values.iter().filter(|value| value.is_none_or(|value| value.rem_euclid(5) == 4)).count());
}

/// Runs one task of an operator to its end: rows of the input with the row that each was joined with.
async fn pairs(operator: &Arc<Operator>, keys: &[Vec<Option<i64>>]) -> DataFusionResult<Vec<(i64, Option<(i64, i64)>)>> {
    let mut probe = probe(operator, keys);
    let mut rows = Vec::new();
    while let Some(batch) = probe.next().await? {
        let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().clone();
        let (numbers, found, values) = (column(0), column(2), column(3));
        has_nested(&values, batch.column(4));
        rows.extend((0..batch.num_rows()).map(|row| (numbers.value(row), values.is_valid(row).then(|| (found.value(row), values.value(row))))));
    }
    Ok(rows)
}

/// The same of a table that is found by the key of each row itself.
async fn run(operator: &Arc<Operator>, keys: &[Vec<Option<i64>>]) -> DataFusionResult<Vec<Joined>> {
    let given: Vec<Option<i64>> = keys.iter().flatten().copied().collect();
    let joined = pairs(operator, keys).await?.into_iter().map(|(number, row)| {
        let is_of_key = row.is_none_or(|(key, _)| given.get(usize::try_from(number).expect("a number")) == Some(&Some(key)));
        assert!(is_of_key, "a row of another key");
        (number, row.map(|(_, value)| value))
    });
    Ok(joined.collect())
}
