//! From a parsed query to a DataFusion plan: tables are found first, then DataFusion plans, then UNNEST is put in place.

mod file_filter;
mod functions;
pub(crate) mod implicit_cast;
pub(crate) mod insert;
mod letters;
pub(crate) mod logical_tables;
mod lookup;
mod metadata_tables;
mod names;
mod places;
pub(crate) mod resolve;
pub(crate) mod row_changes;
pub(crate) mod state;
mod stream_table;
mod streaming;
mod text_casts;
mod time_travel;
mod unnest;

use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement as AstStatement;

pub use file_filter::Predicates;
pub(crate) use insert::plan_insert;
pub(crate) use letters::{LetterTable, plan_letters};
pub(crate) use resolve::Planning;
pub(crate) use row_changes::plan_change;
pub(crate) use streaming::reads_stream;

use crate::error::{SqlError, plan_error};
use crate::parse::ast::QueryText;
use crate::plan::PlannedInsert;
use crate::session::objects::Scope;
use state::StatementTables;

/// A query as a plan that is not optimised, and the state that made it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: LogicalPlan,
    pub(crate) state: SessionState,
}

/// Plans a query. Boxed, because a view's query is planned while another one is.
pub(crate) fn plan_query<'a>(
    planning: &'a mut Planning<'_>,
    query: &'a QueryText,
    scope: &'a Scope,
) -> futures::future::BoxFuture<'a, Result<Planned, SqlError>> {
    Box::pin(async move {
        let references = query_references(planning, query)?;
        let mut hints = lookup::Hints::of_query(query)?;
        let tables = planning.tables(&references, query, scope, &mut hints).await?;
        hints.finish()?;
        plan_over(planning, query, tables, scope).await
    })
}

/// The tables that a query names.
fn query_references(planning: &Planning<'_>, query: &QueryText) -> Result<Vec<TableReference>, SqlError> {
    let references = planning.base.resolve_table_references(&statement_of(query));
    references.map_err(|error| plan_error(&error, "Query", query.position))
}

/// Plans a query whose tables have been found.
async fn plan_over(planning: &mut Planning<'_>, query: &QueryText, tables: StatementTables, scope: &Scope) -> Result<Planned, SqlError> {
    planning.note_idle_hints(query);
    let state = state::statement_state(&planning.base, tables, &query.types, (&scope.catalog, &scope.database));
    let plan = state.statement_to_plan(statement_of(query)).await.and_then(unnest::replace_markers);
    let plan = plan.map_err(|error| planning.column_error(&error, query))?;
    let plan = lookup::replace_markers(plan, query.position)?;
    Ok(Planned { plan, state })
}

fn statement_of(query: &QueryText) -> DfStatement {
    let mut named = query.query.clone();
    names::name_columns(&mut named);
    DfStatement::Statement(Box::new(AstStatement::Query(named)))
}

/// Optimises a query that stands for itself.
pub(crate) fn optimise_query(planning: &mut Planning<'_>, planned: &Planned, at: weir_base::options::Position) -> Result<LogicalPlan, SqlError> {
    let mut plan = optimise(planned, "Query", at)?;
    lookup::narrow(planning, &mut [(&mut plan, &planned.state)])?;
    Ok(plan)
}

/// Has optimised writes of a job, with what was written, read of its lookup tables only what all of them together need.
pub(crate) fn narrow_lookups(planning: &mut Planning<'_>, writes: &mut [PlannedInsert], written: &[Planned]) -> Result<(), SqlError> {
    let mut plans = Vec::with_capacity(writes.len());
    for (PlannedInsert { query, look, .. }, with) in writes.iter_mut().zip(written) {
        plans.push((query, &with.state));
        plans.extend(look.as_mut().map(|look| (&mut look.query, &with.state)));
    }
    lookup::narrow(planning, &mut plans)
}

/// Optimises a plan.
pub(crate) fn optimise(planned: &Planned, object: &str, at: weir_base::options::Position) -> Result<LogicalPlan, SqlError> {
    planned.state.optimize(&planned.plan).map_err(|error| plan_error(&error, object, at))
}
