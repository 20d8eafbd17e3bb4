//! A lookup table of which only rows that fulfil conditions are loaded, whatever its connector can leave out by itself.
//!
//! Rows that are asked for by key come as they are.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use async_trait::async_trait;
use datafusion::common::DFSchema;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use futures::StreamExt;

use super::{Charge, Found, Keys, Load, Lookup, Newest, columns_of};
use crate::error::ConnectorError;

/// `table` in these of its columns, by their numbers, which rise. Loads read those of `filters` too, conditions on columns by their names, and give
/// the rows that fulfil all of them; a condition that is NULL is not fulfilled.
///
/// # Errors
/// Conditions on other columns, or that are none.
pub fn sifted(table: &dyn Lookup, columns: &[usize], filters: &[Expr]) -> DataFusionResult<Arc<dyn Lookup>> {
    let Some(condition) = conjunction(filters.iter().cloned()) else { return Ok(table.narrowed(columns, &[])) };
    let whole = table.schema();
    let mut read = columns.to_vec();
    for column in condition.column_refs() {
        read.push(whole.index_of(&column.name)?);
    }
    read.sort_unstable();
    read.dedup();
    let table = table.narrowed(&read, filters);
    let of_table = DFSchema::try_from(table.schema().as_ref().clone())?;
    let condition = create_physical_expr(&condition, &of_table, &ExecutionProps::new())?;
    let columns: Vec<usize> = columns.iter().filter_map(|column| read.binary_search(column).ok()).collect();
    let schema = columns_of(&table.schema(), &columns);
    Ok(Arc::new(Sieve { table, sifting: Arc::new(Sifting { condition, columns, schema }) }))
}

#[derive(Debug)]
struct Sieve {
    /// With the columns of the conditions.
    table: Arc<dyn Lookup>,
    sifting: Arc<Sifting>,
}

/// What becomes of rows.
#[derive(Debug)]
struct Sifting {
    condition: Arc<dyn PhysicalExpr>,
    /// The columns that stay.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Sifting {
    fn sift(&self, rows: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let kept = || {
            let fulfilled = self.condition.evaluate(rows)?.into_array(rows.num_rows())?;
            let fulfilled: &BooleanArray = as_boolean_array(&fulfilled)?;
            Ok::<_, DataFusionError>(filter_record_batch(&rows.project(&self.columns)?, fulfilled)?)
        };
        kept().map_err(|error| ConnectorError::internal("conditions on rows of a lookup table that cannot be checked").with_source(error))
    }
}

#[async_trait]
impl Lookup for Sieve {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.sifting.schema)
    }

    fn narrowed(&self, columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
        let Sifting { condition, columns: all, .. } = self.sifting.as_ref();
        let columns: Vec<usize> = columns.iter().filter_map(|column| all.get(*column)).copied().collect();
        let schema = columns_of(&self.table.schema(), &columns);
        let sifting = Arc::new(Sifting { condition: Arc::clone(condition), columns, schema });
        Arc::new(Self { table: Arc::clone(&self.table), sifting })
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        let columns = &self.sifting.columns;
        let equal: Vec<usize> = equal.iter().filter_map(|column| columns.get(*column)).copied().collect();
        let keys = self.table.keys(&equal)?;
        Ok(keys.into_iter().filter_map(|key| columns.iter().position(|column| *column == key)).collect())
    }

    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
        let columns = &self.sifting.columns;
        let asked = keys.columns.iter().filter_map(|column| columns.get(*column)).copied().collect();
        let Found { rows, keys } = self.table.get(&Keys { columns: asked, values: keys.values.clone() }).await?;
        let rows = rows.project(columns).map_err(|error| ConnectorError::internal("a column of a lookup table is missing").with_source(error))?;
        Ok(Found { rows, keys })
    }

    async fn load(&self, parallelism: usize, known: Option<&str>, charge: Charge) -> Result<Newest, ConnectorError> {
        let sifting = Arc::clone(&self.sifting);
        Ok(match self.table.load(parallelism, known, charge).await? {
            Newest::Rows(load) => {
                let rows = load.rows.map(move |rows| sifting.sift(&rows?)).boxed();
                Newest::Rows(Load { rows, ..load })
            }
            nothing => nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use arrow_schema::{DataType, Field, Schema};
    use datafusion::logical_expr::{col, lit};
    use futures::{TryStreamExt, stream};

    use super::*;

    /// Three columns of numbers, and what of them was read.
    #[derive(Debug, Clone)]
    struct Numbers {
        columns: Vec<usize>,
        read: Arc<Mutex<Vec<Vec<usize>>>>,
    }

    const ROWS: [[Option<i64>; 3]; 4] =
        [[Some(1), Some(10), Some(100)], [Some(2), None, Some(200)], [Some(3), Some(30), Some(300)], [Some(1), Some(11), None]];

    impl Numbers {
        fn rows(&self, wanted: impl Fn(i64) -> bool) -> RecordBatch {
            self.read.lock().expect("read").push(self.columns.clone());
            let column = |column: &usize| -> ArrayRef {
                Arc::new(ROWS.iter().filter(|row| wanted(row[0].expect("a key"))).map(|row| row[*column]).collect::<Int64Array>())
            };
            RecordBatch::try_new(self.schema(), self.columns.iter().map(column).collect()).expect("rows")
        }
    }

    #[async_trait]
    impl Lookup for Numbers {
        fn schema(&self) -> SchemaRef {
            let all = ["k", "v", "w"].map(|name| Field::new(name, DataType::Int64, true));
            columns_of(&Schema::new(all.to_vec()), &self.columns)
        }

        fn narrowed(&self, columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
            Arc::new(Self { columns: columns.iter().map(|column| self.columns[*column]).collect(), read: Arc::clone(&self.read) })
        }

        fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
            Ok(equal.to_vec())
        }

        async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
            assert_eq!(keys.columns, [0]);
            let key = keys.values[0].as_primitive::<Int64Type>().value(0);
            let rows = self.rows(|other| other == key);
            Ok(Found { keys: vec![0; rows.num_rows()], rows })
        }

        async fn load(&self, _parallelism: usize, _known: Option<&str>, _charge: Charge) -> Result<Newest, ConnectorError> {
            Ok(Newest::Rows(Load { version: None, rows: stream::iter([Ok(self.rows(|_| true))]).boxed(), skipped: None }))
        }
    }

    fn numbers() -> Numbers {
        Numbers { columns: vec![0, 1, 2], read: Arc::default() }
    }

    async fn loaded(table: &Arc<dyn Lookup>) -> Vec<Vec<Option<i64>>> {
        let load = table.load(1, None, Charge::free()).await.expect("loaded").rows().expect("rows");
        let batches: Vec<RecordBatch> = load.rows.try_collect().await.expect("read");
        let rows = &batches[0];
        assert_eq!(rows.schema(), table.schema());
        let value = |row: usize| rows.columns().iter().map(|column| column.as_primitive::<Int64Type>().iter().nth(row).expect("a row")).collect();
        (0..rows.num_rows()).map(value).collect()
    }

    #[tokio::test]
    async fn only_rows_that_fulfil_all_conditions_are_loaded_and_only_what_is_wanted_of_them_stays() {
        let whole = numbers();
        let table = sifted(&whole, &[0], &[col("v").gt(lit(9_i64)), col("v").lt(lit(30_i64))]).expect("a table");
        assert_eq!(loaded(&table).await, [[Some(1)], [Some(1)]]);
        let table = sifted(&whole, &[0, 2], &[col("v").is_null()]).expect("a table");
        assert_eq!(loaded(&table).await, [[Some(2), Some(200)]]);
        assert_eq!(loaded(&table.narrowed(&[1], &[])).await, [[Some(200)]]);
        let table = sifted(&whole, &[0, 2], &[]).expect("a table");
        assert_eq!(loaded(&table).await.len(), ROWS.len());
        assert_eq!(*whole.read.lock().expect("read"), [vec![0, 1], vec![0, 1, 2], vec![0, 1, 2], vec![0, 2]]);
        assert!(sifted(&whole, &[0], &[col("x").is_null()]).is_err());
    }

    #[tokio::test]
    async fn rows_that_are_asked_for_by_key_come_whether_they_fulfil_the_conditions_or_not() {
        let table = sifted(&numbers(), &[0, 2], &[col("v").eq(lit(10_i64))]).expect("a table");
        assert_eq!(table.keys(&[0, 1]), Ok(vec![0, 1]));
        let key: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let found = table.get(&Keys { columns: vec![0], values: vec![key] }).await.expect("found");
        assert_eq!((found.rows.schema(), found.keys), (table.schema(), vec![0, 0]));
    }
}
