//! Computed columns of a lookup table: computed when rows are fetched or loaded, so that joins, caches and conditions see them as any others.
//!
//! What depends on the time, or on chance, would grow old in a cache: it goes only without one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_datafusion_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use futures::StreamExt;
use weir_base::options::{Position, Problem};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Cache, Charge, Found, Keys, Load, Lookup, LookupParts, Newest, columns_of};
use weir_connectors::table::{ColumnKind, TableDef};

use super::super::resolve::computed;
use super::join::analysed;
use crate::error::{NOT_YET, SqlError, plan_error};

/// The table with the computed columns of `def` over those that the connector gives.
pub(super) fn over(base: &SessionState, def: &TableDef, (lookup, options): LookupParts, at: Position) -> Result<LookupParts, SqlError> {
    if def.stores_all() {
        return Ok((lookup, options));
    }
    let object = format!("Table '{}'", def.path);
    let failed = |error| plan_error(&error, &object, at);
    let stored = DFSchema::try_from(lookup.schema().as_ref().clone()).map_err(failed)?;
    let (mut fields, mut columns) = (Vec::with_capacity(def.columns.len()), Vec::with_capacity(def.columns.len()));
    for column in &def.columns {
        let ColumnKind::Computed(text) = &column.kind else {
            let (place, field) =
                stored.as_arrow().fields().find(&column.name).ok_or_else(|| failed(plan_datafusion_err!("no column '{}'", column.name)))?;
            fields.push(Arc::clone(field));
            columns.push(Column::Stored(place));
            continue;
        };
        let expression = computed(base, text, &stored, &object, at)?;
        if expression.is_volatile() && options.cache != Cache::None {
            let what = format!("column '{}' is computed anew each time, but rows of a lookup table with a cache are kept.", column.name);
            return Err(Problem::new(NOT_YET, object, what).hint("Compute it in the query.").at(Some(at)).into());
        }
        if let Some(function) = of_the_planning(&expression).map_err(failed)? {
            let what = format!("column '{}' uses {function}, which would stay that of the job's start.", column.name);
            return Err(Problem::new(NOT_YET, object, what).hint("Compute it in the query.").at(Some(at)).into());
        }
        let (value, field) = physical(base, expression, &stored).map_err(failed)?;
        fields.push(Arc::new(field.as_ref().clone().with_name(&column.name)));
        columns.push(Column::Computed(value));
    }
    let all = Columns { table: def.path.to_string(), schema: Arc::new(Schema::new(fields)), of: columns };
    Ok((Arc::new(WithComputed { stored: lookup, all: Arc::new(all) }), options))
}

/// A function whose value is one for a whole statement, such as that of the day: a job's statement may run for months.
fn of_the_planning(expression: &Expr) -> DataFusionResult<Option<String>> {
    let mut found = None;
    expression.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility == Volatility::Stable
        {
            found = Some(call.func.name().to_uppercase());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn physical(base: &SessionState, expression: Expr, stored: &DFSchema) -> DataFusionResult<(Arc<dyn PhysicalExpr>, FieldRef)> {
    let value = base.create_physical_expr(analysed(expression, stored)?, stored)?;
    let field = value.return_field(stored.as_arrow())?;
    Ok((value, field))
}

#[derive(Debug)]
enum Column {
    /// The column of this number of those that the connector gives.
    Stored(usize),
    /// A value of these.
    Computed(Arc<dyn PhysicalExpr>),
}

/// The columns that queries see.
#[derive(Debug)]
struct Columns {
    /// What messages call the table.
    table: String,
    schema: SchemaRef,
    of: Vec<Column>,
}

impl Columns {
    /// The number of a column among those that the connector gives.
    fn stored(&self, column: usize) -> Option<usize> {
        match self.of.get(column)? {
            Column::Stored(place) => Some(*place),
            Column::Computed(_) => None,
        }
    }

    /// The column that the connector gives as this one.
    fn of_stored(&self, place: usize) -> Option<usize> {
        self.of.iter().position(|column| matches!(column, Column::Stored(stored) if *stored == place))
    }

    /// Whether the connector gives the column of this name.
    fn is_stored(&self, name: &str) -> bool {
        self.schema.index_of(name).is_ok_and(|column| self.stored(column).is_some())
    }

    /// Some of the columns, over some of those that the connector gives, which are `stored`: these, and what is computed of them.
    fn narrowed(&self, columns: &[usize], stored: &SchemaRef) -> (Vec<usize>, Self) {
        let mut read = BTreeSet::new();
        for column in columns.iter().filter_map(|column| self.of.get(*column)) {
            match column {
                Column::Stored(place) => drop(read.insert(*place)),
                Column::Computed(value) => read.extend(collect_columns(value).iter().map(PhysicalColumn::index)),
            }
        }
        // Rows are counted by their columns.
        let read: Vec<usize> = if read.is_empty() { vec![0] } else { read.into_iter().collect() };
        let left = columns_of(stored, &read);
        let place = |column: &usize| match self.of.get(*column)? {
            Column::Stored(place) => read.binary_search(place).ok().map(Column::Stored),
            Column::Computed(value) => reassign_expr_columns(Arc::clone(value), &left).ok().map(Column::Computed),
        };
        let of = columns.iter().filter_map(place).collect();
        (read, Self { table: self.table.clone(), schema: columns_of(&self.schema, columns), of })
    }

    fn rows(&self, stored: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let value = |(column, field): (&Column, &FieldRef)| match column {
            Column::Stored(place) => {
                stored.columns().get(*place).cloned().ok_or_else(|| ConnectorError::internal("a column of a lookup table is missing"))
            }
            Column::Computed(value) => value.evaluate(stored).and_then(|value| value.into_array(stored.num_rows())).map_err(|error| {
                let what = format!(
                    "Table '{}': column '{}' cannot be computed: {}. Use a function that gives NULL for such a value, as TRY_CAST does.",
                    self.table,
                    field.name(),
                    error.strip_backtrace()
                );
                ConnectorError::user(what)
            }),
        };
        let columns = self.of.iter().zip(self.schema.fields()).map(value).collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows);
        rows.map_err(|error| ConnectorError::internal(format!("Table '{}': computed columns that do not fit", self.table)).with_source(error))
    }
}

/// A lookup table with columns that its connector does not know.
#[derive(Debug)]
struct WithComputed {
    stored: Arc<dyn Lookup>,
    all: Arc<Columns>,
}

#[async_trait]
impl Lookup for WithComputed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.all.schema)
    }

    fn narrowed(&self, columns: &[usize], filters: &[Expr]) -> Arc<dyn Lookup> {
        let (read, all) = self.all.narrowed(columns, &self.stored.schema());
        let is_stored = |filter: &&Expr| filter.column_refs().iter().all(|column| self.all.is_stored(&column.name));
        let filters: Vec<Expr> = filters.iter().filter(is_stored).cloned().collect();
        Arc::new(Self { stored: self.stored.narrowed(&read, &filters), all: Arc::new(all) })
    }

    fn keys(&self, equal: &[usize]) -> Result<Vec<usize>, String> {
        // A table that needs no key is read as a whole; its rows are found by whatever they have then.
        if self.stored.keys(&[]).is_ok() {
            return Ok(equal.to_vec());
        }
        let stored: Vec<usize> = equal.iter().filter_map(|column| self.all.stored(*column)).collect();
        Ok(self.stored.keys(&stored)?.into_iter().filter_map(|place| self.all.of_stored(place)).collect())
    }

    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
        let columns = keys.columns.iter().filter_map(|column| self.all.stored(*column)).collect();
        let Found { rows, keys } = self.stored.get(&Keys { columns, values: keys.values.clone() }).await?;
        Ok(Found { rows: self.all.rows(&rows)?, keys })
    }

    async fn load(&self, parallelism: usize, known: Option<&str>, charge: Charge) -> Result<Newest, ConnectorError> {
        let all = Arc::clone(&self.all);
        Ok(match self.stored.load(parallelism, known, charge).await? {
            Newest::Rows(load) => {
                let rows = load.rows.map(move |rows| all.rows(&rows?)).boxed();
                Newest::Rows(Load { rows, ..load })
            }
            nothing => nothing,
        })
    }
}
