//! What a streaming INSERT may contain: stateless operators. The rest is refused here, by name, instead of failing in a job.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::catalog::TableProvider;
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

/// The tables of lakes whose streams a plan reads, by UUID.
pub(crate) fn tables_followed(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_stream(plan, |stream, _| found.extend(stream.lake.as_ref().map(|lake| lake.uuid.clone())));
    found
}

/// A stream of changes in an optimised plan that does not look at what its rows are: the table, and the column to look at.
pub(crate) fn blind_to_changes(plan: &LogicalPlan) -> Option<(TablePath, &'static str)> {
    let mut found = None;
    each_stream(plan, |stream, scan| {
        let Some(kind) = stream.row_kind() else { return };
        if !scan.projected_schema.has_column_with_unqualified_name(kind) {
            found = Some((stream.table.path.clone(), kind));
        }
    });
    found
}

/// The column that says what rows of a table are, if it is a stream of changes.
pub(crate) fn row_kind(table: &(dyn TableProvider + 'static)) -> Option<&'static str> {
    (table as &dyn std::any::Any).downcast_ref::<StreamProvider>()?.row_kind()
}

/// Whether rows of one of these INSERTs come back to it, over others perhaps. Each is the target and the tables that it follows, by UUID.
pub(crate) fn first_in_a_circle(inserts: &[(Option<String>, BTreeSet<String>)]) -> Option<usize> {
    inserts.iter().position(|(target, followed)| {
        let mut behind: BTreeSet<&String> = followed.iter().collect();
        let mut open: Vec<&String> = behind.iter().copied().collect();
        while let Some(uuid) = open.pop() {
            let writers = inserts.iter().filter(|(target, _)| target.as_ref() == Some(uuid));
            open.extend(writers.flat_map(|(_, followed)| followed).filter(|next| behind.insert(next)));
        }
        target.as_ref().is_some_and(|target| behind.contains(target))
    })
}

fn each_stream(plan: &LogicalPlan, mut act: impl FnMut(&StreamProvider, &TableScan)) {
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(stream) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<StreamProvider>()
        {
            act(stream, scan);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The closure never fails, so neither does the walk.
    debug_assert!(walked.is_ok(), "a walk without failures");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_over_several_inserts_is_found() {
        let insert = |target: &str, followed: &[&str]| (Some(target.to_owned()), followed.iter().map(|uuid| (*uuid).to_owned()).collect());
        assert_eq!(first_in_a_circle(&[insert("b", &["a"]), insert("c", &["b", "a"]), (None, BTreeSet::from(["c".to_owned()]))]), None);
        assert_eq!(first_in_a_circle(&[insert("b", &["a"]), insert("c", &["x", "c"])]), Some(1));
        assert_eq!(first_in_a_circle(&[insert("b", &["a"]), insert("c", &["b"]), insert("d", &["c"]), insert("b", &["d"])]), Some(1));
    }
}
