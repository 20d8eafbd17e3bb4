//! Joins with a lookup table become [`LookupJoin`]s: what the condition compares with `=` is the key, the rest is checked on the rows found.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, ScalarValue, TableReference, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Extension, Join, LogicalPlan, LogicalPlanBuilder, Operator, lit, try_cast, when};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use weir_base::options::{Position, Problem};

use super::super::functions::is_proctime;
use super::super::text_casts::with_text_casts;
use super::{Marker, RowTime};
use crate::error::{NOT_YET, PLAN, SqlError, plan_error};
use crate::lookup_join::{IndexLookup, LookupJoin, LookupKey};
use crate::parse::types::sql_type_of;

/// Turns joins with lookup tables into what they mean; an error if a lookup table stands elsewhere.
pub(in super::super) fn replace_markers(plan: LogicalPlan, at: Position) -> Result<LogicalPlan, SqlError> {
    let mut wrong = None;
    let joined = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let Some(marker) = marker_of(&join.right)? else { return Ok(Transformed::no(node)) };
        match expand(join, &marker) {
            Ok(plan) => Ok(Transformed::yes(plan)),
            Err(refusal) => refuse(&mut wrong, refusal.problem(&marker)),
        }
    });
    let checked = joined.and_then(|plan| {
        plan.data.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(_) = &node else { return Ok(Transformed::no(node)) };
            let Some(marker) = marker_of(&node)? else { return Ok(Transformed::no(node)) };
            let what = "as of the time of each row, it can only be the right side of a JOIN.";
            refuse(&mut wrong, Refusal::new(PLAN, what).hint("Write FROM t JOIN d FOR SYSTEM_TIME AS OF t.proctime ON t.k = d.k.").problem(&marker))
        })
    });
    match (checked, wrong) {
        (Ok(plan), None) => Ok(plan.data),
        (_, Some(problem)) => Err(problem.into()),
        (Err(error), None) => Err(plan_error(&error, "Query", at)),
    }
}

fn refuse<T>(wrong: &mut Option<Problem>, problem: Problem) -> DataFusionResult<T> {
    *wrong = Some(problem);
    plan_err!("a lookup join that cannot be planned")
}

/// Why a join cannot be a lookup join.
struct Refusal {
    code: &'static str,
    what: String,
    hint: Option<String>,
}

impl Refusal {
    fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn problem(self, marker: &Marker) -> Problem {
        let problem = Problem::new(self.code, format!("Table '{}'", marker.table.path), self.what).at(Some(marker.at));
        match self.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Self {
        let text = error.strip_backtrace();
        Self::new(PLAN, format!("the lookup join cannot be planned: {}.", text.strip_prefix("Error during planning: ").unwrap_or(&text)))
    }
}

/// The marker that a plan is a scan of, under aliases perhaps.
fn marker_of(plan: &LogicalPlan) -> DataFusionResult<Option<Arc<Marker>>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => marker_of(&alias.input),
        LogicalPlan::TableScan(scan) => {
            let provider: Arc<dyn std::any::Any + Send + Sync> = source_as_provider(&scan.source)?;
            Ok(provider.downcast::<Marker>().ok())
        }
        _ => Ok(None),
    }
}

/// What a condition is, taken apart.
#[derive(Default)]
struct Conditions {
    /// Columns of the table with what they are compared with, and the comparison.
    equal: Vec<(usize, Expr, Expr)>,
    /// Conditions on the input alone.
    of_input: Vec<Expr>,
    rest: Vec<Expr>,
}

fn expand(join: &Join, marker: &Marker) -> Result<LogicalPlan, Refusal> {
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        let what = format!("a lookup join is INNER or LEFT, not {}.", join.join_type.to_string().to_uppercase());
        return Err(
            Refusal::new(NOT_YET, what).hint("Only rows of the left side are looked up: those of the table that nobody asks for are not known.")
        );
    }
    let (left, right) = (join.left.schema(), join.right.schema());
    check_time(&marker.time, left)?;
    let conditions = take_apart(join, left, right)?;
    let mut equal: Vec<usize> = conditions.equal.iter().map(|(column, ..)| *column).collect();
    equal.sort_unstable();
    equal.dedup();
    if equal.is_empty() {
        let what = "a lookup join needs a column of the table that is compared with '=': ON t.k = d.k.";
        return Err(Refusal::new(PLAN, what));
    }
    let Way { asked, columns, index } = way(marker, &equal)?;
    let Conditions { equal, of_input, mut rest } = conditions;
    let mut keys: Vec<Option<Expr>> = vec![None; asked.len()];
    for (column, value, condition) in equal {
        match asked.iter().position(|wanted| *wanted == column).and_then(|place| keys.get_mut(place)) {
            Some(key @ None) => {
                *key = Some(typed(value, left, right, column)?);
                // What an index says of a row may be old.
                if index.is_some() {
                    rest.push(condition);
                }
            }
            _ => rest.push(condition),
        }
    }
    let Some(mut keys) = keys.into_iter().collect::<Option<Vec<Expr>>>() else {
        return Err(Refusal::new(PLAN, "the connector asks for keys that the join does not have."));
    };
    if marker.table.options.hash && keys.iter().all(|key| key.column_refs().is_empty()) {
        let what = "'lookup.hash.enable' spreads rows by what they are looked up by, which is the same for all rows here.";
        return Err(Refusal::new(PLAN, what).hint("Leave it out, and 'shuffle' of the LOOKUP hint."));
    }
    let mut input = join.left.as_ref().clone();
    let is_left = join.join_type == JoinType::Left;
    match (conjunction(of_input), keys.first_mut()) {
        // A row that cannot match is not looked up: its key becomes NULL.
        (Some(condition), Some(first)) if is_left => *first = when(condition, first.clone()).end()?,
        (Some(condition), _) => input = LogicalPlanBuilder::from(input).filter(condition)?.build()?,
        (None, _) => {}
    }
    let rest = conjunction(rest);
    let residual = match rest.clone().filter(|_| is_left) {
        Some(residual) => Some(coerced(residual, &join.schema)?),
        None => None,
    };
    let key = LookupKey { keys, columns, index };
    let node = LookupJoin::try_new(Arc::clone(&marker.table), input, key, join.join_type, residual, Arc::clone(right))?;
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(match rest.filter(|_| !is_left) {
        Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build()?,
        None => plan,
    })
}

/// How rows of a table are found.
struct Way {
    /// Its columns whose values are asked for: its key, or the columns of an index.
    asked: Vec<usize>,
    /// Its key.
    columns: Vec<usize>,
    index: Option<IndexLookup>,
}

/// By the table's key, or through the first index that has what the join compares with `=`.
fn way(marker: &Marker, equal: &[usize]) -> Result<Way, Refusal> {
    let table = &marker.table.lookup;
    let refusal = match table.keys(equal) {
        Ok(columns) => return Ok(Way { asked: columns.clone(), columns, index: None }),
        Err(refusal) => refusal,
    };
    let schema = table.schema();
    for index in &marker.indexes {
        let of_index = index.lookup.schema();
        // Columns of both, by their place in the table and in the index.
        let place = |(place, field): (usize, &FieldRef)| {
            let same = of_index.index_of(field.name()).ok().filter(|same| of_index.field(*same).data_type() == field.data_type())?;
            Some((place, same))
        };
        let both: Vec<(usize, usize)> = schema.fields().iter().enumerate().filter_map(place).collect();
        let (of_table, named): (Vec<usize>, Vec<usize>) = both.iter().copied().unzip();
        let compared: Vec<usize> = both.iter().filter(|(place, _)| equal.contains(place)).map(|(_, same)| *same).collect();
        // A dictionary can be asked by any columns, but not by none.
        if compared.is_empty() {
            continue;
        }
        let (Ok(columns), Ok(by)) = (table.keys(&of_table), index.lookup.keys(&compared)) else { continue };
        let other = |from: &[usize], to: &[usize], wanted: &[usize]| -> Option<Vec<usize>> {
            wanted.iter().map(|column| from.iter().position(|known| known == column).and_then(|at| to.get(at)).copied()).collect()
        };
        if let (Some(row_key), Some(asked)) = (other(&of_table, &named, &columns), other(&named, &of_table, &by)) {
            return Ok(Way { asked, columns, index: Some(IndexLookup { table: Arc::clone(index), columns: by, row_key }) });
        }
    }
    let names: Vec<String> = marker.indexes.iter().map(|index| format!("'{}'", index.path.table)).collect();
    let Some(last) = names.last() else { return Err(Refusal::new(PLAN, refusal)) };
    let tried =
        if names.len() == 1 { format!("Its index {last} cannot be asked either") } else { format!("Nor can its indexes {}", names.join(", ")) };
    let hint = format!("{tried}: an index has the columns that are compared and those of the key, by the same names and types.");
    Err(Refusal::new(PLAN, refusal).hint(hint))
}

fn check_time(time: &RowTime, left: &DFSchema) -> Result<(), Refusal> {
    let RowTime::Column(parts) = time else { return Ok(()) };
    let name = parts.join(".");
    let column = match parts.as_slice() {
        [column] => Column::new_unqualified(column),
        [table, column] => Column::new(Some(TableReference::bare(table.as_str())), column),
        [database, table, column] => Column::new(Some(TableReference::partial(database.as_str(), table.as_str())), column),
        [catalog, database, table, column] => Column::new(Some(TableReference::full(catalog.as_str(), database.as_str(), table.as_str())), column),
        _ => return Err(Refusal::new(PLAN, format!("'{name}' in AS OF is no column."))),
    };
    let hint = "Declare it in the table on the left: proctime AS PROCTIME().";
    let Some(index) = left.maybe_index_of_column(&column) else {
        return Err(Refusal::new(PLAN, format!("the left side of the join has no column '{name}', which AS OF names.")).hint(hint));
    };
    if is_proctime(left.field(index)) {
        return Ok(());
    }
    let what =
        format!("'{name}' is no processing time: a lookup join is FOR SYSTEM_TIME AS OF a column PROCTIME(), the time at which a row is worked on.");
    Err(Refusal::new(NOT_YET, what).hint(hint))
}

fn take_apart(join: &Join, left: &DFSchema, right: &DFSchema) -> Result<Conditions, Refusal> {
    let pairs = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let filter = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
    let mut conditions = Conditions::default();
    for condition in pairs.chain(filter) {
        if condition.exists(|inner| Ok(matches!(inner, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_))))? {
            return Err(Refusal::new(NOT_YET, "the condition of a lookup join cannot have a subquery yet."));
        }
        match equality(&condition, left, right) {
            Some((column, value)) => conditions.equal.push((column, value, condition)),
            None if is_of(&condition, left) => conditions.of_input.push(condition),
            None => conditions.rest.push(condition),
        }
    }
    Ok(conditions)
}

/// The column of the table that a condition compares with a value of the input.
fn equality(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(usize, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: other }) = condition else { return None };
    [(one, other), (other, one)].into_iter().find_map(|(column, value)| match column.as_ref() {
        Expr::Column(column) if !left.has_column(column) => {
            let index = right.maybe_index_of_column(column)?;
            is_of(value, left).then(|| (index, value.as_ref().clone()))
        }
        _ => None,
    })
}

/// Whether an expression has columns of the input only, or none.
fn is_of(expression: &Expr, input: &DFSchema) -> bool {
    expression.column_refs().into_iter().all(|column| input.has_column(column)) && !expression.is_volatile()
}

/// The value in the type of the table's column; a value that this type does not have matches nothing.
fn typed(value: Expr, left: &DFSchema, right: &DFSchema, column: usize) -> Result<Expr, Refusal> {
    let field = right.field(column);
    let (given, wanted) = (value.get_type(left)?, field.data_type());
    if given == *wanted {
        return Ok(value);
    }
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let whole = |data_type: &DataType| data_type.is_integer();
    if let Expr::Literal(constant, _) = &value
        && is_text(wanted) == is_text(&given)
    {
        let same = constant.cast_to(wanted).ok().filter(|cast| cast.cast_to(&given).is_ok_and(|back| back == *constant));
        return Ok(lit(same.map_or_else(|| ScalarValue::try_from(wanted), Ok)?));
    }
    if (whole(&given) && whole(wanted)) || (is_text(&given) && is_text(wanted)) || given == DataType::Null {
        return Ok(try_cast(value, wanted.clone()));
    }
    let (given, wanted) = (sql_type_of(&given), sql_type_of(wanted));
    // As the query calls it: several tables may have a column of that name.
    let name = Column::from(right.qualified_field(column)).flat_name();
    let what = format!("column '{name}' is {wanted}, but is compared with a value of type {given}.");
    Err(Refusal::new(crate::error::TYPES, what).hint(format!("Write CAST({value} AS {wanted}) = {name}.")))
}

/// A condition as the plan has it that is made.
fn coerced(condition: Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    let condition = analysed(condition, schema)?;
    match condition.get_type(schema)? {
        DataType::Boolean => Ok(condition),
        DataType::Null => Ok(lit(false)),
        other => plan_err!("a condition of type {other}"),
    }
}

/// An expression as the analyser and the optimiser would leave it, which do not see it within the node. Some functions can only be simplified, not
/// called.
pub(super) fn analysed(expression: Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    let expression = with_text_casts(expression, schema)?;
    let expression = expression.rewrite(&mut TypeCoercionRewriter::new(schema))?.data;
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).with_current_time().build();
    ExprSimplifier::new(context).simplify(expression)
}
