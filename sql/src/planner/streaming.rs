//! What a streaming INSERT may contain: stateless operators. The rest is refused here, by name, instead of failing in a job.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use weir_connectors::table::TablePath;

use super::stream_table::StreamProvider;

/// What in a plan over streams cannot run yet, if anything. A plan without a stream may contain everything.
pub(crate) fn first_unsupported(plan: &LogicalPlan) -> Option<&'static str> {
    if !reads_stream(plan) {
        return None;
    }
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        found = found.or_else(|| operator(node));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    // The closure never fails, so neither does the walk.
    match walked {
        Ok(_) => found,
        Err(_) => Some("this query"),
    }
}

/// Whether a stream is read anywhere in a plan.
pub(crate) fn reads_stream(plan: &LogicalPlan) -> bool {
    let walked = plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(scan) if is_stream(scan))));
    walked.unwrap_or(true)
}

/// Whether a plan reads the stream of the table `path`.
pub(crate) fn reads_stream_of(plan: &LogicalPlan, path: &TablePath) -> bool {
    let of_path = |scan: &TableScan| {
        let provider = source_as_provider(&scan.source).ok();
        let provider = provider.as_ref().and_then(|provider| (provider.as_ref() as &dyn std::any::Any).downcast_ref::<StreamProvider>());
        provider.is_some_and(|stream| stream.table.path == *path)
    };
    plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(scan) if of_path(scan)))).unwrap_or(false)
}

fn is_stream(scan: &TableScan) -> bool {
    let Ok(provider) = source_as_provider(&scan.source) else { return false };
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.is::<StreamProvider>()
}

fn operator(plan: &LogicalPlan) -> Option<&'static str> {
    match plan {
        LogicalPlan::Aggregate(_) => Some("an aggregation (GROUP BY, or a function such as COUNT or SUM)"),
        LogicalPlan::Distinct(_) => Some("DISTINCT"),
        LogicalPlan::Join(_) => Some("a join"),
        LogicalPlan::Window(_) => Some("a window function (OVER)"),
        LogicalPlan::Sort(_) => Some("ORDER BY"),
        LogicalPlan::Limit(_) => Some("LIMIT"),
        LogicalPlan::RecursiveQuery(_) => Some("a recursive query"),
        // Each epoch is a plan of its own: these rows would come again in every one of them.
        LogicalPlan::Values(_) => Some("a UNION with VALUES"),
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some("a UNION with a SELECT without FROM"),
        LogicalPlan::TableScan(scan) if !is_stream(scan) => Some("a UNION with a table that is no stream"),
        other => subquery(other),
    }
}

fn subquery(plan: &LogicalPlan) -> Option<&'static str> {
    let mut found = ControlFlow::Continue(());
    let walked = plan.apply_expressions(|expression| {
        let has = expression.exists(|inner| Ok(matches!(inner, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_))))?;
        if has {
            found = ControlFlow::Break(());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    (walked.is_err() || found.is_break()).then_some("a subquery in an expression")
}
