//! `CAST(timestamp AS STRING)` as Flink writes it, a blank between date and time, where DataFusion puts a `T`.

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::utils::NamePreserver;

use super::functions::timestamp_text;

/// Puts our function in the place of such casts.
#[derive(Debug)]
pub(super) struct TextCasts;

impl AnalyzerRule for TextCasts {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(replace)?.data)
    }

    fn name(&self) -> &'static str {
        "weir_text_casts"
    }
}

fn replace(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let replaced = expression.transform_up(|inner| Ok(replace_cast(inner, &schema)))?;
        Ok(replaced.update_data(|expression| name.restore(expression)))
    })
}

/// The same in an expression over `schema` that no plan shows.
pub(super) fn with_text_casts(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expression.transform_up(|inner| Ok(replace_cast(inner, schema)))?.data)
}

fn replace_cast(expression: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expression {
        Expr::Cast(Cast { ref expr, ref field }) | Expr::TryCast(TryCast { ref expr, ref field })
            if matches!(field.data_type(), DataType::Utf8) && matches!(expr.get_type(schema), Ok(DataType::Timestamp(..))) =>
        {
            Transformed::yes(timestamp_text(expr.as_ref().clone()))
        }
        other => Transformed::no(other),
    }
}
