//! The optimizer rule that tells scans which leaves of their columns a plan really reads.
//!
//! It goes from the top of the plan to its scans and carries along what is wanted of every column. No schema changes on the way: a scan
//! still gives whole structs, lists and maps, but fills the leaves that nobody looks at with blanks instead of reading them.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::need::Need;
use super::scan_exec::IcebergScanExec;
use super::want;

/// DataFusion's rules with [`NestedPruning`] among them: after the plan has its shape, and before dynamic filters are handed down, because
/// those are bound to the very nodes that they are handed to.
#[must_use]
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let pushdown = FilterPushdown::new_post_optimization();
    let before = rules.iter().rposition(|rule| rule.name() == pushdown.name()).unwrap_or(rules.len());
    rules.insert(before, Arc::new(NestedPruning));
    rules
}

/// Narrows every Iceberg scan of a plan to the leaves that the plan reads.
#[derive(Debug, Default)]
pub struct NestedPruning;

impl PhysicalOptimizerRule for NestedPruning {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = all_of(&plan);
        narrow(plan, wanted)
    }

    fn name(&self) -> &'static str {
        "nested_pruning"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn all_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Need> {
    vec![Need::Whole; plan.schema().fields().len()]
}

fn none_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Need> {
    vec![Need::presence(); plan.schema().fields().len()]
}

/// `plan` with its scans narrowed, if `wanted` is what is wanted of its columns.
fn narrow(plan: Arc<dyn ExecutionPlan>, wanted: Vec<Need>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<IcebergScanExec>() {
        return Ok(Arc::new(scan.with_needs(wanted)));
    }
    let children: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
    if children.is_empty() {
        return Ok(plan);
    }
    let narrowed: Result<Vec<_>> =
        children.iter().map(|child| narrow(Arc::clone(child), of_child(plan.as_ref(), child, &wanted).unwrap_or_else(|| all_of(child)))).collect();
    let narrowed = narrowed?;
    let changed = children.iter().zip(&narrowed).any(|(before, after)| !Arc::ptr_eq(before, after));
    if changed { plan.with_new_children(narrowed) } else { Ok(plan) }
}

/// What a node wants of its child if `wanted` is wanted of the node; `None` if that is not known.
fn of_child(plan: &dyn ExecutionPlan, child: &Arc<dyn ExecutionPlan>, wanted: &[Need]) -> Option<Vec<Need>> {
    let schema = child.schema();
    let with = |mut needs: Vec<Need>, expressions: &mut dyn Iterator<Item = Arc<dyn PhysicalExpr>>| {
        for expression in expressions {
            want::add(&expression, Need::Whole, &schema, &mut needs);
        }
        Some(needs)
    };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut needs = none_of(child);
        for (one, need) in projection.expr().iter().zip(wanted) {
            want::add(&one.expr, need.clone(), &schema, &mut needs);
        }
        return Some(needs);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let mut needs = none_of(child);
        match filter.projection() {
            Some(kept) => {
                for (column, need) in kept.iter().zip(wanted) {
                    needs.get_mut(*column)?.merge(need.clone());
                }
            }
            None => needs = wanted.to_vec(),
        }
        return with(needs, &mut std::iter::once(Arc::clone(filter.predicate())));
    }
    if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
        return of_unnest(unnest, child, wanted);
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return with(wanted.to_vec(), &mut sort.expr().iter().map(|key| Arc::clone(&key.expr)));
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        return with(wanted.to_vec(), &mut merge.expr().iter().map(|key| Arc::clone(&key.expr)));
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        return match repartition.partitioning() {
            Partitioning::Hash(keys, _) => with(wanted.to_vec(), &mut keys.iter().cloned()),
            Partitioning::RoundRobinBatch(_) | Partitioning::UnknownPartitioning(_) => Some(wanted.to_vec()),
        };
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return of_aggregate(aggregate, child, &schema);
    }
    let passes = plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<UnionExec>();
    passes.then(|| wanted.to_vec())
}

/// An unnest of lists only gives its columns in the order of its input; each list gives its elements.
fn of_unnest(unnest: &UnnestExec, child: &Arc<dyn ExecutionPlan>, wanted: &[Need]) -> Option<Vec<Need>> {
    let lists = unnest.list_column_indices();
    let once =
        lists.iter().enumerate().all(|(at, list)| lists.iter().skip(at + 1).all(|other| other.index_in_input_schema != list.index_in_input_schema));
    if !unnest.struct_column_indices().is_empty() || !once || wanted.len() != child.schema().fields().len() {
        return None;
    }
    let mut needs = wanted.to_vec();
    for list in lists {
        let need = needs.get_mut(list.index_in_input_schema)?;
        let element = std::mem::replace(need, Need::Whole);
        *need = (0..list.depth).fold(element, |inner, _| Need::part(0, inner));
    }
    Some(needs)
}

/// The first stage of an aggregate reads what its expressions name, later stages all states.
fn of_aggregate(aggregate: &AggregateExec, child: &Arc<dyn ExecutionPlan>, schema: &arrow_schema::Schema) -> Option<Vec<Need>> {
    if !matches!(aggregate.mode().input_mode(), AggregateInputMode::Raw) {
        return None;
    }
    let mut needs = none_of(child);
    let groups = aggregate.group_expr().expr().iter().chain(aggregate.group_expr().null_expr()).map(|(expression, _)| Arc::clone(expression));
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let mut all: Vec<Arc<dyn PhysicalExpr>> = groups.chain(filters).collect();
    for function in aggregate.aggr_expr() {
        all.extend(function.expressions());
        all.extend(function.order_bys().iter().map(|key| Arc::clone(&key.expr)));
    }
    for expression in &all {
        want::add(expression, Need::Whole, schema, &mut needs);
    }
    Some(needs)
}
