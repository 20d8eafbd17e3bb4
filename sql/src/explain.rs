//! EXPLAIN: the plan as written, the optimised plan, and the job: what is read, done and written, with which options.

use std::fmt::Write as _;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use weir_base::options::{Position, Problem};
use weir_base::secret::shown;
use weir_connectors::iceberg::ExpireOptions;
use weir_connectors::sink::Distribution;

use crate::error::{SqlError, plan_error};
use crate::lookup_join::LookupJoin;
use crate::parse::WrittenOption;
use crate::plan::{JobSettings, PlannedInsert};
use crate::planner::Planned;
use crate::planner::resolve::Planning;

/// The explanation of a query.
pub(crate) fn query(planning: &Planning<'_>, planned: &Planned, optimised: &LogicalPlan) -> String {
    let mut text = String::from("== Query as written ==\n");
    push_plan(&mut text, &planned.plan);
    text.push_str("\n== Optimized plan ==\n");
    push_plan(&mut text, optimised);
    if !planning.sources.is_empty() {
        text.push_str("\n== Sources ==\n");
        push_sources(&mut text, planning);
    }
    if !planning.lookups.is_empty() {
        text.push_str("\n== Lookups ==\n");
        push_lookups(&mut text, planning);
    }
    push_warnings(&mut text, &planning.warnings);
    text
}

/// A plan that runs `query` and gives its operators with what they did.
pub(crate) fn analyzed(query: LogicalPlan, at: Position) -> Result<LogicalPlan, SqlError> {
    let plan = LogicalPlanBuilder::from(query).explain(false, true).and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| plan_error(&error, "Query", at))
}

/// The explanation of a job.
pub(crate) fn job<'a>(
    planning: &Planning<'_>,
    settings: &JobSettings,
    written: &[LogicalPlan],
    inserts: &[PlannedInsert],
    hints: impl Iterator<Item = &'a [WrittenOption]>,
) -> String {
    let mut text = String::from("== Query as written ==\n");
    for (plan, insert) in written.iter().zip(inserts) {
        line(&mut text, format_args!("INSERT INTO {}", insert.target));
        push_plan(&mut text, plan);
    }
    text.push_str("\n== Optimized plan ==\n");
    for insert in inserts {
        line(&mut text, format_args!("INSERT INTO {}", insert.target));
        push_plan(&mut text, &insert.query);
    }
    text.push_str("\n== Job ==\n");
    let defaulted = |flag: bool| if flag { " (default)" } else { "" };
    line(&mut text, format_args!("name: {}{}", settings.name, defaulted(settings.name_defaulted)));
    line(&mut text, format_args!("parallelism: {}", settings.parallelism));
    line(
        &mut text,
        format_args!("checkpoint: every {:?} into {}{}", settings.interval, settings.checkpoint_dir, defaulted(settings.checkpoint_dir_defaulted)),
    );
    push_sources(&mut text, planning);
    push_lookups(&mut text, planning);
    for (insert, hint) in inserts.iter().zip(hints) {
        let distribution = match insert.sink.distribution() {
            Distribution::None => "none",
            Distribution::Hash => "hash",
        };
        line(&mut text, format_args!("sink '{}': {} (distribution {distribution})", insert.sink_id, insert.target));
        for option in hint {
            line(&mut text, format_args!("    {} = {} (hint)", option.key, shown(&option.key, &option.value)));
        }
        line(&mut text, format_args!("  operators: {}", operators(&insert.query)));
        if let Some(lake) = insert.sink.lake().filter(|lake| lake.upkeep.compact) {
            let (commits, copies) = (lake.upkeep.delta_commits, lake.upkeep.parallelism.unwrap_or(settings.parallelism));
            line(
                &mut text,
                format_args!("  after commits: coordinator (every {commits} commits) -> rewrite (copy x {copies}, decode x 1) -> committer"),
            );
        }
        if let Some(expire) = insert.sink.lake().and_then(|lake| lake.upkeep.expire.as_ref()) {
            let (commits, interval) = (expire.commits, expire.interval);
            line(
                &mut text,
                format_args!("  after commits: own snapshots are expired (every {commits} commits, or after {interval:?}), {}", which(expire)),
            );
        }
    }
    push_warnings(&mut text, &planning.warnings);
    text
}

/// Which snapshots go.
fn which(expire: &ExpireOptions) -> String {
    let age = expire.max_age.map(|age| format!("from an age of {age:?}"));
    let kept = expire.retain_last.map(|count| format!("but the newest {count}"));
    let said: Vec<String> = age.into_iter().chain(kept).collect();
    if said.is_empty() { "those that the table's 'weir.expire-snapshots.*' and 'history.expire.*' name".to_owned() } else { said.join(", ") }
}

fn push_sources(text: &mut String, planning: &Planning<'_>) {
    for ((_, options), table) in &planning.sources {
        let kind = if table.source.is_bounded() { "bounded" } else { "unbounded" };
        line(text, format_args!("source '{}': {} ({kind})", table.id, table.path));
        for (key, value) in options {
            line(text, format_args!("    {key} = {}", shown(key, value)));
        }
    }
}

fn push_lookups(text: &mut String, planning: &Planning<'_>) {
    for ((_, options), table) in &planning.lookups {
        line(text, format_args!("lookup '{}': {} ({table})", table.id, table.path));
        for (key, value) in options {
            line(text, format_args!("    {key} = {}", shown(key, value)));
        }
    }
}

fn push_warnings(text: &mut String, warnings: &[Problem]) {
    if warnings.is_empty() {
        return;
    }
    text.push_str("\n== Advice ==\n");
    for warning in warnings {
        line(text, format_args!("{warning}"));
    }
}

/// The operators from source to sink, by name.
fn operators(plan: &LogicalPlan) -> String {
    let mut names: Vec<&'static str> = Vec::new();
    let walked = plan.apply(|node| {
        names.push(match node {
            LogicalPlan::TableScan(_) => "source",
            LogicalPlan::Projection(_) => "project",
            LogicalPlan::Filter(_) => "filter",
            LogicalPlan::Unnest(_) => "unnest",
            LogicalPlan::Union(_) => "union",
            LogicalPlan::Values(_) => "values",
            LogicalPlan::Extension(extension) if extension.node.name() == LookupJoin::NAME => "lookup",
            _ => return Ok(TreeNodeRecursion::Continue),
        });
        Ok(TreeNodeRecursion::Continue)
    });
    // The closure never fails, so neither does the walk; what was seen until then is still right.
    drop(walked);
    names.reverse();
    names.push("sink");
    names.join(" -> ")
}

fn push_plan(text: &mut String, plan: &LogicalPlan) {
    for row in plan.display_indent().to_string().lines() {
        line(text, format_args!("  {row}"));
    }
}

/// Writing to a `String` cannot fail.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
    text.push('\n');
}
