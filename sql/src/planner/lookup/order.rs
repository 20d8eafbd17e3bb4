//! Lookups among rows that change each other: where a row takes the place of an earlier one of its key, or takes it back, both must come to the sink
//! in the order in which they came.
//!
//! That is so where the sink puts rows by a key, and where rows say in a column what they are. A lookup there keeps the order of rows, whatever hints
//! and SET allow, and may spread rows over tasks only if all rows of one key come to one task: `fixed` columns are those of which rows with one key
//! of the sink have one value.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Extension, JoinType, LogicalPlan, TryCast};
use weir_base::options::{Position, Problem};
use weir_connectors::sink::StreamSink;
use weir_connectors::table::TablePath;

use super::super::functions::checked_value;
use super::super::streaming::{reads_stream, row_kind};
use super::as_lookup;
use crate::error::{PLAN, SqlError, plan_error};
use crate::lookup_join::LookupTable;

/// The query of an INSERT with lookups that keep changes in their order, where its rows are changes.
///
/// # Errors
/// A lookup with `lookup.hash.enable` that would bring rows of one key to several tasks.
pub(in super::super) fn keep_order(query: LogicalPlan, sink: &dyn StreamSink, target: &TablePath, at: Position) -> Result<LogicalPlan, SqlError> {
    let key = sink.key();
    if !reads_stream(&query) || (key.is_empty() && !kinds(&query).contains(&true)) {
        return Ok(query);
    }
    let schema = sink.schema();
    let names: Vec<&str> = key.iter().filter_map(|column| schema.fields().get(*column)).map(|field| field.name().as_str()).collect();
    let fixed: Vec<bool> = (0..schema.fields().len()).map(|column| key.contains(&column)).collect();
    let object = format!("INSERT INTO '{target}'");
    if let Some((table, columns)) = first_that_reorders(&query, &fixed) {
        let (path, columns) = (&table.path, columns.join(", "));
        let what = if names.is_empty() {
            format!(
                "lookup.hash.enable on table '{path}' would reorder updates: '{target}' has no key that the lookup key ({columns}) could be part of."
            )
        } else {
            format!(
                "lookup.hash.enable on table '{path}' would reorder updates of key ({}): lookup key ({columns}) is not part of it.",
                names.join(", ")
            )
        };
        let hint = "Leave 'lookup.hash.enable' out, and 'shuffle' of the LOOKUP hint.";
        return Err(Problem::new(PLAN, object, what).hint(hint).at(Some(at)).into());
    }
    in_order(query).map_err(|error| plan_error(&error, &object, at))
}

fn in_order(query: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let marked = query.transform_up(|node| {
        let Some(join) = as_lookup(&node) else { return Ok(Transformed::no(node)) };
        let node = LogicalPlan::Extension(Extension { node: Arc::new(join.clone().in_order()) });
        Ok(Transformed::yes(node))
    })?;
    Ok(marked.data)
}

/// The first lookup that spreads rows whose key of the sink is the same, with the columns that it is asked by.
fn first_that_reorders<'p>(plan: &'p LogicalPlan, fixed: &[bool]) -> Option<(&'p LookupTable, Vec<String>)> {
    let below = below(plan, fixed);
    if let Some(join) = as_lookup(plan).filter(|join| join.table.options.hash)
        && let Some(fixed) = below.first()
        && !join.key.keys.iter().all(|key| is_fixed(key, join.input.schema(), fixed))
    {
        let mut columns: Vec<String> = join.key.keys.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
        columns.sort_unstable();
        columns.dedup();
        return Some((join.table.as_ref(), columns));
    }
    plan.inputs().into_iter().zip(&below).find_map(|(input, fixed)| first_that_reorders(input, fixed))
}

/// Whether a value is one in all rows that have one value each in the `fixed` columns.
fn is_fixed(value: &Expr, schema: &DFSchema, fixed: &[bool]) -> bool {
    let is_known = |column| schema.maybe_index_of_column(column).is_some_and(|index| fixed.get(index) == Some(&true));
    !value.is_volatile() && value.column_refs().into_iter().all(is_known)
}

/// Of each input of a plan, the columns that have one value in all rows of one value in each of the `fixed` columns of the plan. Of an operator that
/// is not known, none.
fn below(plan: &LogicalPlan, fixed: &[bool]) -> Vec<Vec<bool>> {
    let is_fixed = |output: usize| fixed.get(output) == Some(&true);
    let of = |input: &LogicalPlan, columns: &mut dyn Iterator<Item = usize>| {
        let mut below = vec![false; input.schema().fields().len()];
        for column in columns {
            if let Some(below) = below.get_mut(column) {
                *below = true;
            }
        }
        below
    };
    match plan {
        LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) => plan.inputs().iter().map(|_| fixed.to_vec()).collect(),
        LogicalPlan::Projection(projection) => {
            let input = &projection.input;
            let outputs = projection.expr.iter().enumerate().filter(|(output, _)| is_fixed(*output));
            vec![of(input, &mut outputs.filter_map(|(_, value)| origin(value, input.schema())))]
        }
        LogicalPlan::Unnest(unnest) => {
            let is_taken_apart = |column: &usize| {
                unnest.list_type_columns.iter().any(|(list, _)| list == column) || unnest.struct_type_columns.iter().any(|row| row == column)
            };
            let outputs = unnest.dependency_indices.iter().enumerate().filter(|(output, _)| is_fixed(*output));
            vec![of(&unnest.input, &mut outputs.map(|(_, column)| *column).filter(|column| !is_taken_apart(column)))]
        }
        other => match as_lookup(other) {
            Some(join) => {
                let left = join.input.schema().fields().len();
                // A row that is found by a key has it: of an inner join, no other rows are left.
                let by_key = join
                    .key
                    .columns
                    .iter()
                    .zip(&join.key.keys)
                    .filter(|(column, _)| join.join_type == JoinType::Inner && join.key.index.is_none() && is_fixed(left + **column));
                let by_key = by_key.filter_map(|(_, key)| origin(key, join.input.schema()));
                vec![of(&join.input, &mut (0..left).filter(|column| is_fixed(*column)).chain(by_key))]
            }
            None => other.inputs().iter().map(|input| vec![false; input.schema().fields().len()]).collect(),
        },
    }
}

/// The column that a value is, or is made of so that other values of the column make other ones.
fn origin(value: &Expr, schema: &DFSchema) -> Option<usize> {
    match value {
        Expr::Alias(alias) => origin(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let from = expr.get_type(schema).ok()?;
            if keeps_apart(&from, field.data_type()) { origin(expr, schema) } else { None }
        }
        other => origin(checked_value(other)?, schema),
    }
}

/// Whether a cast makes different values of different ones, and a value of each.
fn keeps_apart(from: &DataType, to: &DataType) -> bool {
    from == to || (from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() <= to.primitive_width())
}

/// Which columns of a plan say what its rows are, or are made of one that does.
fn kinds(plan: &LogicalPlan) -> Vec<bool> {
    let all = |told: bool| vec![told; plan.schema().fields().len()];
    let mut inputs = plan.inputs().into_iter().map(|input| (input, kinds(input)));
    match plan {
        LogicalPlan::TableScan(scan) => {
            let kind = source_as_provider(&scan.source).ok().and_then(|provider| row_kind(provider.as_ref()));
            scan.projected_schema.fields().iter().map(|field| Some(field.name().as_str()) == kind).collect()
        }
        LogicalPlan::Projection(projection) => match inputs.next() {
            Some((input, below)) => {
                let tells = |column| input.schema().maybe_index_of_column(column).is_some_and(|index| below.get(index) == Some(&true));
                projection.expr.iter().map(|value| value.column_refs().into_iter().any(tells)).collect()
            }
            None => all(false),
        },
        LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => inputs.next().map_or_else(|| all(false), |(_, below)| below),
        LogicalPlan::Unnest(unnest) => match inputs.next() {
            Some((_, below)) => unnest.dependency_indices.iter().map(|column| below.get(*column) == Some(&true)).collect(),
            None => all(false),
        },
        other if as_lookup(other).is_some() => {
            let mut left = inputs.next().map(|(_, below)| below).unwrap_or_default();
            left.resize(plan.schema().fields().len(), false);
            left
        }
        _ => all(inputs.any(|(_, below)| below.contains(&true))),
    }
}
