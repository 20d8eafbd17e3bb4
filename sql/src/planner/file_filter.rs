//! Predicates over the rows of a table that choose its data files: `where` of `rewrite_data_files`, `--where` of `weir table compact`.
//!
//! A predicate is planned as the WHERE of a query would be, with the same functions and casts, and what the optimiser brings down to the scan
//! becomes the filter: files are left out exactly as the query would leave them out.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{Expr as AstExpr, visit_expressions};
use weir_base::options::{Position, Problem, Problems};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::iceberg::{FileFilter, IcebergScan};

use super::resolve::logical;
use crate::error::{NOT_YET, PLAN, SqlError, TYPES, plan_error};
use crate::parse::{ExpressionText, parse_expression};

/// What to write instead of a predicate that is of no use.
const REMEDY: &str = "Compare columns of the table with constants (=, <>, <, <=, >, >=, BETWEEN, IN, LIKE 'a%', IS NULL), joined by AND and OR. \
                      Without a predicate all files are considered.";

/// What a session knows that predicates are read with: its functions and settings.
#[derive(Debug, Clone)]
pub struct Predicates(SessionState);

impl Predicates {
    pub(crate) fn new(base: &SessionState) -> Self {
        Self(base.clone())
    }

    /// The data files of `table` that may hold rows for which the predicate `text` is true. Does no I/O.
    ///
    /// # Errors
    /// A predicate that is none, that looks at more than one row, names what is no column of the table, or could leave out no file whatever the
    /// files hold (user); a table of types that cannot be read.
    pub fn files(&self, catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, text: &str) -> Result<FileFilter, SqlError> {
        let name = table.name();
        let object = format!("Predicate '{text}' on table '{name}'");
        let filter = self.filter(catalog, table, text, &object).map_err(|error| in_predicate(error, &object))?;
        if filter.leaves_out_any() {
            return Ok(filter);
        }
        Err(Problem::new(NOT_YET, object, "no data file could be left out by it, whatever the files hold.").hint(REMEDY).into())
    }

    fn filter(&self, catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, text: &str, object: &str) -> Result<FileFilter, SqlError> {
        let failed = |error: DataFusionError| plan_error(&error, object, START);
        let parsed = parse_expression(text)?;
        let provider = IcebergScan::new(Arc::clone(catalog), table.id.clone()).provider_of(table.clone())?;
        let place = TableReference::full(catalog.name(), table.id.database.as_str(), table.id.table.as_str());
        let scan = LogicalPlanBuilder::scan(place, provider_as_source(provider), None).map_err(failed)?;
        if has_query(&parsed) {
            return Err(beyond_the_row(object));
        }
        let predicate = logical(&self.0, parsed, scan.schema()).map_err(failed)?;
        if is_of_many_rows(&predicate) {
            return Err(beyond_the_row(object));
        }
        let data_type = predicate.get_type(scan.schema()).map_err(failed)?;
        if !matches!(data_type, DataType::Boolean | DataType::Null) {
            return Err(Problem::new(TYPES, object, format!("it must be true or false, but is of type {data_type}.")).into());
        }
        let plan = scan.filter(predicate).and_then(LogicalPlanBuilder::build).and_then(|plan| self.0.optimize(&plan)).map_err(failed)?;
        let pushed = pushed_down(&plan).map_err(failed)?;
        Ok(FileFilter::try_new(&table.name(), &table.metadata, &pushed, &self.0)?)
    }
}

/// Where a predicate begins.
const START: Position = Position { line: 1, column: 1 };

fn beyond_the_row(object: &str) -> SqlError {
    let what = "it may only hold expressions over the columns of the row: no subquery, no aggregate, no window, no UNNEST.";
    Problem::new(PLAN, object, what).into()
}

/// The same problems, of which each names the predicate and a remedy. Places in the predicate would be taken for places in the statement.
fn in_predicate(error: SqlError, object: &str) -> SqlError {
    let SqlError::Problems(problems) = error else { return error };
    let named = |problem: &Problem| {
        let what = if *problem.object == *object { problem.what.clone() } else { format!("{}: {}", problem.object, problem.what) };
        let hint = problem.hint.clone().or_else(|| problem.suggestion.is_none().then(|| REMEDY.into()));
        Problem { object: object.into(), what, hint, position: None, ..problem.clone() }
    };
    SqlError::Problems(Problems::new(problems.as_slice().iter().map(named).collect()))
}

fn has_query(parsed: &ExpressionText) -> bool {
    let is_query = |inner: &AstExpr| matches!(inner, AstExpr::Subquery(_) | AstExpr::InSubquery { .. } | AstExpr::Exists { .. });
    visit_expressions(&parsed.expression, |inner| if is_query(inner) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }).is_break()
}

fn is_of_many_rows(predicate: &Expr) -> bool {
    let is_one = |inner: &Expr| matches!(inner, Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_) | Expr::GroupingSet(_));
    predicate.exists(|inner| Ok(is_one(inner))).unwrap_or(true)
}

/// What the optimiser has brought down to the scan; that nothing matches, if it has taken the scan away.
fn pushed_down(plan: &LogicalPlan) -> DataFusionResult<Vec<Expr>> {
    let mut found = None;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found = Some(unnormalize_cols(scan.filters.iter().cloned()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found.unwrap_or_else(|| vec![lit(false)]))
}
