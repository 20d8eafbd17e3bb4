//! Conditions that the joins of a job put on its lookup tables alone: what all joins with a table ask of its rows need not be loaded otherwise.
//!
//! They are sentences about each row of the table by itself which can be said of any row: comparisons of its columns with each other and with constants. What may
//! fail, as a cast, or depends on more, as a function, stays where it is, for rows that are never joined must not fail a load.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator, Projection, UserDefinedLogicalNodeCore, lit, not,
};

use super::as_lookup;
use crate::lookup_join::{LookupJoin, LookupKey};

/// Conditions by the id of the table that they are on, over its columns by their names alone.
pub(super) type Conditions = BTreeMap<String, Vec<Expr>>;

/// Notes in `agreed` what the joins of `plan` ask of the rows of their tables: of a table with several joins, what all of them do. `above` is what the rows of the plan must
/// fulfil.
pub(super) fn collect(plan: &LogicalPlan, mut above: Vec<Expr>, agreed: &mut Conditions) -> DataFusionResult<()> {
    plan.apply_subqueries(|query| {
        collect(query, Vec::new(), agreed)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match plan {
        LogicalPlan::Filter(filter) => {
            above.extend(split_conjunction(&filter.predicate).into_iter().cloned());
            collect(&filter.input, above, agreed)
        }
        LogicalPlan::Projection(projection) if only_picks(projection) => collect(&projection.input, above, agreed),
        other => match as_lookup(other) {
            Some(join) => {
                agree(agreed, &join.table.id, of_join(join, &above)?);
                if let Some(index) = &join.key.index {
                    agree(agreed, &index.table.id, Vec::new());
                }
                let of_input = above.into_iter().filter(|condition| condition.column_refs().into_iter().all(|column| is_of_input(join, column)));
                collect(&join.input, of_input.collect(), agreed)
            }
            None => other.inputs().into_iter().try_for_each(|input| collect(input, Vec::new(), agreed)),
        },
    }
}

fn agree(agreed: &mut Conditions, table: &str, conditions: Vec<Expr>) {
    match agreed.get_mut(table) {
        Some(known) => known.retain(|condition| conditions.contains(condition)),
        None => drop(agreed.insert(table.to_owned(), conditions)),
    }
}

/// Whether columns keep their names through a projection.
fn only_picks(projection: &Projection) -> bool {
    projection.expr.iter().all(|value| matches!(value, Expr::Column(_)))
}

fn place(join: &LookupJoin, column: &Column) -> Option<usize> {
    UserDefinedLogicalNodeCore::schema(join).maybe_index_of_column(column)
}

fn is_of_input(join: &LookupJoin, column: &Column) -> bool {
    place(join, column).is_some_and(|place| place < join.input.schema().fields().len())
}

/// What a join asks of the rows of its table.
fn of_join(join: &LookupJoin, above: &[Expr]) -> DataFusionResult<Vec<Expr>> {
    // Above a left join there are rows without one of the table: what is asked there is asked of these too.
    let said: Vec<&Expr> = match join.join_type {
        JoinType::Inner => above.iter().collect(),
        _ => join.residual.iter().flat_map(split_conjunction).collect(),
    };
    let mut conditions = said.into_iter().filter_map(|condition| of_table(join, condition).transpose()).collect::<DataFusionResult<Vec<_>>>()?;
    conditions.extend((0..join.key.keys.len()).filter_map(|number| of_key(join, number)));
    Ok(conditions)
}

/// A condition over the table's columns by their names, if it is one on the table alone.
fn of_table(join: &LookupJoin, condition: &Expr) -> DataFusionResult<Option<Expr>> {
    let left = join.input.schema().fields().len();
    let columns = condition.column_refs();
    let is_right = |column: &&Column| place(join, column).is_some_and(|place| place >= left);
    if columns.is_empty() || !columns.iter().all(is_right) || !never_fails(condition) {
        return Ok(None);
    }
    let named = condition.clone().transform(|part| {
        Ok(match part {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    named.data().map(Some)
}

/// What a key of a join asks that is the same for all rows of the input.
fn of_key(join: &LookupJoin, number: usize) -> Option<Expr> {
    let LookupKey { keys, columns, index: None } = &join.key else { return None };
    let table = join.table.lookup.schema();
    let column = Expr::Column(Column::new_unqualified(table.fields().get(*columns.get(number)?)?.name()));
    match keys.get(number)?.clone().unalias() {
        // As the optimiser writes it.
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Some(column),
        Expr::Literal(ScalarValue::Boolean(Some(false)), _) => Some(not(column)),
        Expr::Literal(value, _) if !value.is_null() => Some(column.eq(lit(value))),
        _ => None,
    }
}

/// Whether a condition has a value for every row, and always the same.
fn never_fails(condition: &Expr) -> bool {
    match condition {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
            let compares = matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | And | Or);
            compares && never_fails(left) && never_fails(right)
        }
        Expr::Not(one)
        | Expr::IsNull(one)
        | Expr::IsNotNull(one)
        | Expr::IsTrue(one)
        | Expr::IsNotTrue(one)
        | Expr::IsFalse(one)
        | Expr::IsNotFalse(one)
        | Expr::IsUnknown(one)
        | Expr::IsNotUnknown(one) => never_fails(one),
        Expr::Between(Between { expr, low, high, .. }) => [expr, low, high].into_iter().all(|part| never_fails(part)),
        Expr::InList(InList { expr, list, .. }) => never_fails(expr) && list.iter().all(never_fails),
        Expr::Like(Like { expr, pattern, escape_char: None, case_insensitive: false, .. }) => {
            never_fails(expr) && matches!(pattern.as_ref(), Expr::Literal(..))
        }
        _ => false,
    }
}

/// The plan without what the rows of its tables fulfil as they are loaded, which is `loaded`; nothing, if it asks for no such thing.
pub(super) fn without(plan: &LogicalPlan, loaded: &Conditions) -> DataFusionResult<Option<LogicalPlan>> {
    let left_out = plan.clone().transform_up_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = &node {
            let all = split_conjunction(&filter.predicate);
            let mut open = Vec::with_capacity(all.len());
            for condition in &all {
                if !is_loaded(condition, &filter.input, loaded)? {
                    open.push((*condition).clone());
                }
            }
            if open.len() == all.len() {
                return Ok(Transformed::no(node));
            }
            return Ok(Transformed::yes(match conjunction(open) {
                Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::clone(&filter.input))?),
                None => filter.input.as_ref().clone(),
            }));
        }
        let Some(join) = as_lookup(&node) else { return Ok(Transformed::no(node)) };
        let Some(join) = without_checks(join, loaded)? else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(join) })))
    })?;
    Ok(left_out.transformed.then_some(left_out.data))
}

/// Whether all rows of `plan` fulfil a condition because those of a table do.
fn is_loaded(condition: &Expr, plan: &LogicalPlan, loaded: &Conditions) -> DataFusionResult<bool> {
    match plan {
        LogicalPlan::Filter(filter) => is_loaded(condition, &filter.input, loaded),
        LogicalPlan::Projection(projection) if only_picks(projection) => is_loaded(condition, &projection.input, loaded),
        other => {
            let Some(join) = as_lookup(other) else { return Ok(false) };
            if condition.column_refs().into_iter().all(|column| is_of_input(join, column)) {
                return is_loaded(condition, &join.input, loaded);
            }
            let of_table = if join.join_type == JoinType::Inner { of_table(join, condition)? } else { None };
            Ok(of_table.is_some_and(|condition| loaded.get(&join.table.id).is_some_and(|loaded| loaded.contains(&condition))))
        }
    }
}

/// The join without what the rows of its table fulfil anyway; nothing, if it asks for no such thing. One key stays in any case.
fn without_checks(join: &LookupJoin, loaded: &Conditions) -> DataFusionResult<Option<LookupJoin>> {
    let Some(loaded) = loaded.get(&join.table.id) else { return Ok(None) };
    let mut residual = Vec::new();
    for condition in join.residual.iter().flat_map(split_conjunction) {
        if !of_table(join, condition)?.is_some_and(|condition| loaded.contains(&condition)) {
            residual.push(condition.clone());
        }
    }
    let is_open = |number: &usize| !of_key(join, *number).is_some_and(|condition| loaded.contains(&condition));
    let mut open: Vec<usize> = (0..join.key.keys.len()).filter(is_open).collect();
    if open.is_empty() {
        open.push(0);
    }
    let is_same = open.len() == join.key.keys.len() && residual.len() == join.residual.iter().flat_map(split_conjunction).count();
    let keys = open.iter().filter_map(|number| join.key.keys.get(*number)).cloned().collect();
    let columns = open.iter().filter_map(|number| join.key.columns.get(*number)).copied();
    let columns = if join.key.index.is_some() { join.key.columns.clone() } else { columns.collect() };
    let key = LookupKey { keys, columns, index: join.key.index.clone() };
    Ok((!is_same).then(|| join.clone().asking_for(key, conjunction(residual))))
}
