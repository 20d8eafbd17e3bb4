//! Weir's planning: from the table's name to the files, and from the text of a statement to the plan that would run.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use weir_base::memory::{MemoryBudget, Use};
use weir_connectors::batch::BatchTable;
use weir_connectors::iceberg::{IcebergScan, MetadataCache};
use weir_sql::{Mode, Script, StatementResult};

use crate::Outcome;
use crate::queries::{Filter, HOUR, ID, POSITIONS, Query};
use crate::report::{Measured, measured};
use crate::table::Table;

/// Loads the table and finds its files.
pub(crate) async fn files(table: &Table, query: &Query) -> Outcome<Measured> {
    let budget = MemoryBudget::new(4 << 30);
    let session = table.session(&budget).await?;
    let (catalog, id) = Table::place(&session)?;
    let config = SessionConfig::new().with_target_partitions(2).with_extension(Arc::new(MetadataCache::new(&budget, None)));
    let context = SessionContext::new_with_config(config);
    let filters: Vec<Expr> = query.filter.iter().flat_map(|filter| expressions(*filter)).collect();
    let scan = IcebergScan::new(catalog, id);
    let plan = async || {
        let provider = scan.provider().await?;
        let plan = provider.scan(&context.state(), None, &filters, None).await?;
        files_in(&displayable(plan.as_ref()).one_line().to_string())
    };
    measured(plan, || budget.used_for(Use::Metadata)).await
}

/// Plans a whole statement.
pub(crate) async fn statement(table: &Table, query: &Query) -> Outcome<Measured> {
    let budget = MemoryBudget::new(4 << 30);
    let mut session = table.session(&budget).await?;
    let script = Script::parse(&format!("SELECT id, amount FROM lake.bench.orders WHERE {};", query.sql()))?;
    let plan = async || {
        let outcome = session.run(&script, Mode::Run).await?;
        let Some(StatementResult::Query(query)) = outcome.results.into_iter().next() else { return Err("no query".into()) };
        let plan = query.state.query_planner().create_physical_plan(&query.state.optimize(&query.plan)?, &query.state).await?;
        files_in(&displayable(plan.as_ref()).indent(false).to_string())
    };
    measured(plan, || budget.used_for(Use::Metadata)).await
}

fn files_in(plan: &str) -> Outcome<u64> {
    let rest = plan.split("files=").nth(1).ok_or_else(|| format!("no scan in {plan}"))?;
    Ok(rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default().parse()?)
}

fn expressions(filter: Filter) -> Vec<Expr> {
    let time = |seconds: i64| lit(ScalarValue::TimestampMicrosecond(Some(seconds * 1_000_000), None));
    match filter {
        Filter::HourAndId => vec![col("ts").gt_eq(time(HOUR.start)), col("ts").lt(time(HOUR.end)), col("id").eq(lit(ID))],
        Filter::Position => vec![col("pos").gt_eq(lit(*POSITIONS.start())), col("pos").lt_eq(lit(*POSITIONS.end()))],
    }
}
