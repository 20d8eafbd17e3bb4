//! What a job needs of its lookup tables: the columns that any of its joins uses, and of what is loaded the rows that all of them ask for.
//!
//! This is the last step of planning: a table is one for all queries of a job, so all of them must be there, as the optimiser has left them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use weir_connectors::lookup::{Cache, sifted};

use super::super::resolve::Planning;
use super::as_lookup;
use super::conditions::{Conditions, collect, without};
use crate::error::SqlError;
use crate::lookup_join::{IndexLookup, LookupJoin, LookupKey, LookupTable, Taken};

/// A table in some of its columns.
struct Narrowed {
    table: Arc<LookupTable>,
    /// By their numbers in the whole table.
    columns: Vec<usize>,
}

impl Narrowed {
    /// Where columns of the whole table are in it.
    fn places(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().filter_map(|column| self.columns.binary_search(column).ok()).collect()
    }
}

type Tables = BTreeMap<String, Narrowed>;
type Columns = BTreeMap<String, BTreeSet<usize>>;

/// Has all optimised queries of a job, given with the sessions that planned them, take of its lookup tables only what they need.
///
/// # Errors
/// A defect only.
pub(crate) fn narrow(planning: &mut Planning<'_>, plans: &mut [(&mut LogicalPlan, &SessionState)]) -> Result<(), SqlError> {
    if planning.lookups.is_empty() {
        return Ok(());
    }
    let narrowed = narrowed(planning, plans);
    narrowed.map_err(|error| SqlError::Internal(format!("what is needed of lookup tables cannot be found out: {}", error.strip_backtrace())))
}

fn narrowed(planning: &mut Planning<'_>, plans: &mut [(&mut LogicalPlan, &SessionState)]) -> DataFusionResult<()> {
    let mut filters = Conditions::new();
    for (plan, _) in plans.iter() {
        collect(plan, Vec::new(), &mut filters)?;
    }
    let tables = || planning.lookups.iter().map(|(_, table)| table);
    filters.retain(|id, conditions| !conditions.is_empty() && tables().any(|table| table.id == *id && table.options.preload.is_some()));
    // Of other caches rows come that were not loaded.
    let is_full = |id: &String| tables().any(|table| table.id == *id && matches!(table.options.cache, Cache::Full(_)));
    let exact: Conditions = filters.iter().filter(|(id, _)| is_full(id)).map(|(id, conditions)| (id.clone(), conditions.clone())).collect();
    if !exact.is_empty() {
        for (plan, state) in plans.iter_mut() {
            if let Some(open) = without(plan, &exact)? {
                **plan = state.optimizer().optimize(open, *state, |_, _| {})?;
            }
        }
    }
    let mut columns = Columns::new();
    for (plan, _) in plans.iter() {
        note_needed(plan, &vec![true; plan.schema().fields().len()], &mut columns)?;
    }
    let mut narrowed = Tables::new();
    for (_, table) in &mut planning.lookups {
        let (Some(columns), filters) = (columns.get(&table.id), filters.get(&table.id)) else { continue };
        if let Some(one) = of_table(table, columns, filters.map(Vec::as_slice).unwrap_or_default())? {
            *table = Arc::clone(&one.table);
            narrowed.insert(one.table.id.clone(), one);
        }
    }
    if narrowed.is_empty() {
        return Ok(());
    }
    for (plan, _) in plans.iter_mut() {
        **plan = over(plan, &narrowed)?;
    }
    Ok(())
}

/// The table in these columns, loaded with these conditions; nothing, if that is all of it.
fn of_table(table: &LookupTable, columns: &BTreeSet<usize>, filters: &[Expr]) -> DataFusionResult<Option<Narrowed>> {
    let all = table.lookup.schema();
    let is_whole = columns.len() == all.fields().len();
    if is_whole && filters.is_empty() {
        return Ok(None);
    }
    let columns: Vec<usize> = columns.iter().copied().collect();
    let lookup = sifted(table.lookup.as_ref(), &columns, filters)?;
    let names = lookup.schema().fields().iter().filter(|_| !is_whole).map(|field| field.name().clone()).collect();
    let taken = Taken { columns: names, filters: filters.iter().map(ToString::to_string).collect() };
    let (id, path, options, asking) = (table.id.clone(), table.path.clone(), table.options.clone(), table.asking.clone());
    Ok(Some(Narrowed { table: Arc::new(LookupTable { id, path, lookup, options, asking, taken }), columns }))
}

/// Notes which columns of lookup tables a plan needs of which these columns are `wanted`.
fn note_needed(plan: &LogicalPlan, wanted: &[bool], needed: &mut Columns) -> DataFusionResult<()> {
    let mut has_subquery = false;
    plan.apply_subqueries(|query| {
        has_subquery = true;
        note_needed(query, &vec![true; query.schema().fields().len()], needed)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    for (number, input) in plan.inputs().into_iter().enumerate() {
        // A subquery may use any of them.
        let of_input = if has_subquery { None } else { of_input(plan, number, input, wanted) };
        note_needed(input, &of_input.unwrap_or_else(|| vec![true; input.schema().fields().len()]), needed)?;
    }
    let Some(join) = as_lookup(plan) else { return Ok(()) };
    let left = join.input.schema().fields().len();
    let mut used = wanted.to_vec();
    if join.residual.iter().any(|residual| !mark(residual, UserDefinedLogicalNodeCore::schema(join), &mut used)) {
        used.fill(true);
    }
    let of_table = needed.entry(join.table.id.clone()).or_default();
    of_table.extend(used.iter().skip(left).enumerate().filter(|(_, used)| **used).map(|(column, _)| column));
    of_table.extend(&join.key.columns);
    if let Some(IndexLookup { table, columns, row_key }) = &join.key.index {
        needed.entry(table.id.clone()).or_default().extend(columns.iter().chain(row_key));
    }
    Ok(())
}

/// The columns of an input that are needed for those of a plan that are `wanted`; `None`: all. Operators whose own schemas would change with their input's need
/// all, so that only [`over`] has to know them.
fn of_input(plan: &LogicalPlan, number: usize, input: &LogicalPlan, wanted: &[bool]) -> Option<Vec<bool>> {
    let schema = input.schema();
    let mut used = vec![false; schema.fields().len()];
    let is_known = match plan {
        LogicalPlan::Projection(projection) => projection.expr.iter().all(|value| mark(value, schema, &mut used)),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.iter().chain(&aggregate.aggr_expr).all(|value| mark(value, schema, &mut used)),
        LogicalPlan::Filter(filter) => {
            used = wanted.to_vec();
            mark(&filter.predicate, schema, &mut used)
        }
        LogicalPlan::Sort(sort) => {
            used = wanted.to_vec();
            sort.expr.iter().all(|by| mark(&by.expr, schema, &mut used))
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            used = wanted.to_vec();
            true
        }
        other => {
            let join = as_lookup(other).filter(|_| number == 0)?;
            used = wanted.iter().copied().take(used.len()).collect();
            let mut all = wanted.to_vec();
            let in_residual = join.residual.iter().all(|residual| mark(residual, UserDefinedLogicalNodeCore::schema(join), &mut all));
            used.iter_mut().zip(all).for_each(|(used, in_residual)| *used |= in_residual);
            in_residual && join.key.keys.iter().all(|key| mark(key, schema, &mut used))
        }
    };
    is_known.then_some(used)
}

/// Marks the columns of `schema` that are in an expression; false if one of them is not there.
fn mark(expression: &Expr, schema: &DFSchema, used: &mut [bool]) -> bool {
    let place = |column: &Column| match schema.maybe_index_of_column(column).and_then(|place| used.get_mut(place)) {
        Some(used) => {
            *used = true;
            true
        }
        None => false,
    };
    expression.column_refs().into_iter().all(place)
}

/// The plan over the narrowed tables.
fn over(plan: &LogicalPlan, tables: &Tables) -> DataFusionResult<LogicalPlan> {
    let replaced = plan.clone().transform_up_with_subqueries(|node| {
        if let LogicalPlan::SubqueryAlias(_) = &node {
            return node.recompute_schema().map(Transformed::yes);
        }
        let Some(join) = as_lookup(&node) else { return Ok(Transformed::no(node)) };
        let Some(join) = joined(join, tables)? else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(join) })))
    });
    replaced.data()
}

/// The join with its narrowed tables, if it has any.
fn joined(join: &LookupJoin, tables: &Tables) -> DataFusionResult<Option<LookupJoin>> {
    let own = tables.get(&join.table.id);
    let LookupKey { keys, columns, index } = &join.key;
    let of_index = index.as_ref().and_then(|index| tables.get(&index.table.id));
    if own.is_none() && of_index.is_none() {
        return Ok(None);
    }
    let index = match (index, of_index) {
        (Some(index), Some(narrowed)) => Some(IndexLookup {
            table: Arc::clone(&narrowed.table),
            columns: narrowed.places(&index.columns),
            row_key: narrowed.places(&index.row_key),
        }),
        (index, _) => index.clone(),
    };
    let all: Vec<usize> = (0..join.table.lookup.schema().fields().len()).collect();
    let (table, taken) = own.map_or((&join.table, &all), |own| (&own.table, &own.columns));
    let columns = own.map_or_else(|| columns.clone(), |own| own.places(columns));
    let key = LookupKey { keys: keys.clone(), columns, index };
    join.narrowed(Arc::clone(table), taken, key).map(Some)
}
