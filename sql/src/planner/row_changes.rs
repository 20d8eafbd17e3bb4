//! DELETE and UPDATE: a scan that looks for the files with matching rows, and the query that gives what is to be there instead.
//!
//! Both are made from the plan of `SELECT *, <new values> FROM table [WHERE condition]`: its scan is put in place twice, once with the column
//! of each row's file, once over the files found. What stays of a file are the rows for which the condition is not true: false or NULL.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, lit, when};
use weir_base::options::{OptionBag, Position, Problem};
use weir_catalog::lake::{LakeCatalog, LakeTable};
use weir_catalog::properties::declared::{DELETE_ISOLATION, UPDATE_ISOLATION};
use weir_connectors::iceberg::{FILE_COLUMN, FoundFiles, IcebergScan, IcebergSink, Scope as Replaces, pins_version};
use weir_connectors::sink::StreamSink;
use weir_connectors::table::TablePath;

use super::functions::not_null;
use super::insert::{column, places, sink_id};
use super::resolve::{Found, Planning, find, hint_bag};
use super::state::StatementTables;
use super::{Planned, plan_over, query_references};
use crate::error::{NOT_YET, PLAN, SqlError, plan_error};
use crate::parse::ast::RowChange;
use crate::plan::{Look, PlannedInsert};
use crate::session::objects::Scope;

/// Why a statement with a subquery is refused: the scan that looks and the one that writes could see different rows.
const SUBQUERY: &str = "a subquery in it is not supported yet.";

/// The name of the column that says whether a row matches.
const MATCHES: &str = "$matches";

/// Plans one DELETE or UPDATE.
pub(crate) async fn plan_change(planning: &mut Planning<'_>, change: &RowChange, scope: &Scope) -> Result<(PlannedInsert, Planned), SqlError> {
    let target = scope.table(&change.target);
    let at = change.target.position;
    let verb = if change.set.is_some() { "UPDATE" } else { "DELETE FROM" };
    let object = format!("{verb} '{target}'");
    let Changed { catalog, table, reading, writing } = lake_table(planning, &target, &object, at).await?;
    let scan = IcebergScan::open(&catalog, &table.id, &reading)?;
    planning.warnings.extend(scan.warnings);
    let scan = scan.value;
    let all = scan.provider_of(table.clone())?;
    let schema = all.schema();
    let references = query_references(planning, &change.query)?;
    let refused = |what: &str| {
        let hint = "Write the wanted rows anew: INSERT OVERWRITE t SELECT …";
        SqlError::from(Problem::new(NOT_YET, object.clone(), what).hint(hint).at(Some(change.query.position)))
    };
    let [reference] = references.as_slice() else { return Err(refused(SUBQUERY)) };
    let tables = StatementTables::from([(scope.path(&parts_of(reference)), all)]);
    let planned = plan_over(planning, &change.query, tables, scope).await?;
    let parts = Parts::of(&planned.plan, schema.fields().len()).map_err(refused)?;
    let rows = Rows { object: &object, at, target: &target };
    let found = FoundFiles::new(change.set.is_some());
    let failed = |error: DataFusionError| plan_error(&error, &object, change.query.position);
    let again = scan.reading_again(table.clone(), &found)?;
    let (written, look) = match (&change.set, &parts.condition) {
        (None, None) => (LogicalPlanBuilder::from(parts.input.clone()).filter(lit(false)).and_then(LogicalPlanBuilder::build).map_err(failed)?, None),
        (None, Some(condition)) => {
            let stays = Expr::IsNotTrue(Box::new(condition.clone()));
            let kept = over(&parts.input, &again).and_then(|input| LogicalPlanBuilder::from(input).filter(stays)).and_then(LogicalPlanBuilder::build);
            (kept.map_err(failed)?, Some(parts.look(&scan.looking(table.clone(), &found)?).map_err(failed)?))
        }
        (Some(set), _) => {
            let changed = parts.changed(&again, set, &schema, rows)?;
            (changed, Some(parts.look(&scan.looking(table.clone(), &found)?).map_err(failed)?))
        }
    };
    let columns: Vec<Expr> = written.schema().columns().into_iter().map(Expr::Column).collect();
    let written = LogicalPlanBuilder::from(written).project(columns).and_then(LogicalPlanBuilder::build).map_err(failed)?;
    let isolation = if change.set.is_some() { &UPDATE_ISOLATION } else { &DELETE_ISOLATION };
    let serializable = table.metadata.properties().get(isolation.key).is_none_or(|level| !level.eq_ignore_ascii_case("snapshot"));
    let replaces = if look.is_some() { Replaces::Found(found.clone()) } else { Replaces::Everything };
    let sink = IcebergSink::open(&catalog, &table, &writing)?;
    planning.warnings.extend(sink.warnings);
    let sink_id = sink_id(&target.table, sink.value.uid_suffix(), &[]);
    let sink: Arc<dyn StreamSink> = Arc::new(sink.value.replacing(&catalog, &table, replaces, serializable)?);
    let optimised = |plan: &LogicalPlan| planned.state.optimize(plan).map_err(failed);
    let look = look.map(|query| Ok::<_, SqlError>(Look { query: optimised(&query)?, found })).transpose()?;
    let query = optimised(&written)?;
    Ok((PlannedInsert { sink_id, target, sink, query, look }, planned))
}

/// What messages are about.
#[derive(Clone, Copy)]
struct Rows<'a> {
    object: &'a str,
    at: Position,
    target: &'a TablePath,
}

/// The table whose rows change.
struct Changed {
    catalog: Arc<dyn LakeCatalog>,
    table: LakeTable,
    /// Options of the scans.
    reading: OptionBag,
    /// Options of the sink: of the same branch.
    writing: OptionBag,
}

/// The Iceberg table of a name.
async fn lake_table(planning: &Planning<'_>, target: &TablePath, object: &str, at: Position) -> Result<Changed, SqlError> {
    match find(planning.session, target, at).await? {
        Found::Lake(lake, table) => {
            let none = hint_bag(target, None);
            Ok(Changed { catalog: lake.catalog, table: *table, reading: none.clone(), writing: none })
        }
        Found::Declared(declared) if declared.link.is_some() => {
            let link = declared.link.as_ref().ok_or_else(|| SqlError::Internal("a link was there".to_owned()))?;
            let (reading, writing) = (link.reading(target, None), link.writing(target, &[]));
            if let Some(option) = pins_version(&reading) {
                let what = format!("its declaration has the option '{option}', and only the head of a branch can be changed.");
                return Err(Problem::new(NOT_YET, object, what).hint("Declare the table without it.").at(Some(at)).into());
            }
            Ok(Changed { catalog: Arc::clone(&link.catalog), table: link.load(target, at).await?, reading, writing })
        }
        Found::Declared(_) | Found::View(_) => Err(Problem::new(NOT_YET, object, "only rows of Iceberg tables can be changed.").at(Some(at)).into()),
    }
}

fn parts_of(reference: &datafusion::common::TableReference) -> Vec<String> {
    [reference.catalog(), reference.schema(), Some(reference.table())].into_iter().flatten().map(str::to_owned).collect()
}

/// The statement's query, taken apart.
struct Parts {
    /// The scan, under its other name if it has one.
    input: LogicalPlan,
    condition: Option<Expr>,
    /// The table's columns, then the new values.
    values: Vec<Expr>,
}

impl Parts {
    /// `Err` says what in it cannot be done row by row.
    fn of(plan: &LogicalPlan, columns: usize) -> Result<Self, &'static str> {
        const NOT_BY_ROW: &str = "it may only hold expressions over the columns of the row: no aggregate, no window, no UNNEST.";
        let LogicalPlan::Projection(projection) = plan else { return Err(NOT_BY_ROW) };
        let (condition, input) = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
            other => (None, other),
        };
        let scan = match input {
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
            other => other,
        };
        if !matches!(scan, LogicalPlan::TableScan(_)) || projection.expr.len() < columns {
            return Err(NOT_BY_ROW);
        }
        if condition.iter().chain(&projection.expr).any(has_subquery) {
            return Err(SUBQUERY);
        }
        if condition.as_ref().is_some_and(Expr::is_volatile) {
            return Err("its condition is another one each time it is evaluated, as RAND() is; it is evaluated twice.");
        }
        Ok(Self { input: input.clone(), condition, values: projection.expr.clone() })
    }

    /// Paths of the files with matching rows, and how many.
    fn look(&self, provider: &Arc<dyn TableProvider>) -> DataFusionResult<LogicalPlan> {
        let mut builder = LogicalPlanBuilder::from(over(&self.input, provider)?);
        if let Some(condition) = &self.condition {
            builder = builder.filter(condition.clone())?;
        }
        let (qualifier, field) = builder.schema().qualified_field_with_unqualified_name(FILE_COLUMN)?;
        let file = Expr::Column(Column::from((qualifier, field)));
        builder.aggregate(vec![file], vec![count(lit(1))])?.build()
    }

    /// A new value, which is evaluated on rows that match and on no others: there it may fail.
    fn where_it_matches(&self, value: &Expr) -> DataFusionResult<Expr> {
        let bare = value.clone().unalias();
        match &self.condition {
            Some(condition) if !matches!(bare, Expr::Literal(..) | Expr::Column(_)) => {
                let (qualifier, name) = value.qualified_name();
                Ok(when(condition.clone(), bare).end()?.alias_qualified(qualifier, name))
            }
            _ => Ok(value.clone()),
        }
    }

    /// The rows of the files, those that match with their new values.
    fn changed(
        &self,
        provider: &Arc<dyn TableProvider>,
        set: &[(String, Position)],
        schema: &SchemaRef,
        rows: Rows<'_>,
    ) -> Result<LogicalPlan, SqlError> {
        let failed = |error: DataFusionError| plan_error(&error, rows.object, rows.at);
        let matches = self.condition.clone().unwrap_or_else(|| lit(true)).alias(MATCHES);
        let (before, new) = self.values.split_at(schema.fields().len().min(self.values.len()));
        let new = new.iter().map(|value| self.where_it_matches(value)).collect::<DataFusionResult<Vec<Expr>>>().map_err(failed)?;
        let values: Vec<Expr> = before.iter().cloned().chain(new).chain([matches]).collect();
        let input = over(&self.input, provider).and_then(|input| LogicalPlanBuilder::from(input).project(values)?.build()).map_err(failed)?;
        let set = places(set, schema, rows.object)?;
        let matches = input.schema().columns().into_iter().next_back().map(Expr::Column);
        let Some(matches) = matches else { return Err(SqlError::Internal("an UPDATE has no columns".to_owned())) };
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            let before = Expr::Column(Column::from(input.schema().qualified_field(index)));
            let value = match set.iter().position(|place| *place == index) {
                None => before,
                Some(number) => {
                    let new =
                        column(&input, Some(schema.fields().len() + number), field, rows.object).map_err(|problem| problem.at(Some(rows.at)))?;
                    when(matches.clone(), new).otherwise(before).map_err(failed)?
                }
            };
            let value = if field.is_nullable() { value } else { not_null(value, &rows.target.to_string(), field.name()) };
            columns.push(value.alias(field.name()));
        }
        LogicalPlanBuilder::from(input).project(columns).and_then(LogicalPlanBuilder::build).map_err(failed)
    }
}

fn has_subquery(expression: &Expr) -> bool {
    let is_one = |inner: &Expr| matches!(inner, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_));
    expression.exists(|inner| Ok(is_one(inner))).unwrap_or(true)
}

/// The scan `input` over another provider of its table, which may have more columns.
fn over(input: &LogicalPlan, provider: &Arc<dyn TableProvider>) -> DataFusionResult<LogicalPlan> {
    let swapped = input.clone().transform_up(|node| match node {
        LogicalPlan::TableScan(scan) => {
            let scan = TableScan::try_new(scan.table_name, provider_as_source(Arc::clone(provider)), None, Vec::new(), None)?;
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => other.recompute_schema().map(Transformed::yes),
    })?;
    Ok(swapped.data)
}

/// That a write which replaces rows stands with others.
pub(crate) fn not_alone(what: &str, at: Position) -> SqlError {
    let problem = Problem::new(PLAN, what, "it cannot be in one job with other statements that write.");
    problem.hint("Run it by itself: in a file of its own, or with weir sql, which runs one statement after the other.").at(Some(at)).into()
}
