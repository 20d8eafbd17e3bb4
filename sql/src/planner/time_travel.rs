//! `FOR SYSTEM_TIME AS OF …` and its kin: a constant becomes the option of the read that says the same.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::sql::sqlparser::ast::{Expr as AstExpr, ExprWithAlias, visit_expressions};
use weir_base::options::{Position, Problem};
use weir_connectors::table::TablePath;

use super::state::{StatementTables, statement_state};
use crate::error::{NOT_YET, PLAN, SqlError};
use crate::parse::WrittenOption;
use crate::parse::ast::{AsOf, QueryText};

/// The option that `as_of` stands for.
///
/// # Errors
/// What is no constant, or neither a time nor a number of a snapshot.
pub(super) fn option(base: &SessionState, query: &QueryText, as_of: &AsOf, path: &TablePath, at: Position) -> Result<WrittenOption, SqlError> {
    let object = format!("Table '{path}'");
    let refused = |what: String, hint: &str| SqlError::from(Problem::new(PLAN, object.clone(), what).hint(hint).at(Some(at)));
    let (expression, key, data_type, example) = match as_of {
        AsOf::Time(expression) => {
            let example = "Write FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-31 12:00:00', which is in UTC.";
            (expression, "as-of-timestamp", DataType::Timestamp(TimeUnit::Millisecond, None), example)
        }
        AsOf::Snapshot(expression) => (expression, "snapshot-id", DataType::Int64, "Write VERSION AS OF and the id of a snapshot."),
        AsOf::Other => {
            let what = "this form of time travel is not supported.".to_owned();
            return Err(refused(what, "Write FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-31 12:00:00', or VERSION AS OF and the id of a snapshot."));
        }
    };
    if has_columns(expression) {
        let what = "the time of AS OF must be a constant, or, for a lookup join, a column PROCTIME() of the other side.";
        return Err(Problem::new(NOT_YET, object, what).hint(example).at(Some(at)).into());
    }
    let value = constant(base, query, expression).map_err(|error| refused(format!("the version in AS OF cannot be told: {error}."), example))?;
    let fits = match as_of {
        AsOf::Snapshot(_) => value.data_type().is_integer(),
        _ => matches!(value.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Utf8),
    };
    let number = if fits { value.cast_to(&data_type).ok() } else { None };
    match number {
        Some(ScalarValue::TimestampMillisecond(Some(number), _) | ScalarValue::Int64(Some(number))) => {
            Ok(WrittenOption { key: key.to_owned(), value: number.to_string(), position: at })
        }
        _ => Err(refused(format!("'{value}' is no version of a table."), example)),
    }
}

fn has_columns(expression: &AstExpr) -> bool {
    let found = visit_expressions(expression, |inner| match inner {
        AstExpr::Identifier(_) | AstExpr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn constant(base: &SessionState, query: &QueryText, expression: &AstExpr) -> DataFusionResult<ScalarValue> {
    let state = statement_state(base, StatementTables::new(), &query.types, ("", ""));
    let nothing = DFSchema::empty();
    let expression = ExprWithAlias { expr: expression.clone(), alias: None };
    evaluated(&state, state.create_logical_expr_from_sql_expr(expression, &nothing)?)
}

/// The value of an expression without columns.
pub(super) fn evaluated(state: &SessionState, constant: Expr) -> DataFusionResult<ScalarValue> {
    let physical = state.create_physical_expr(constant, &DFSchema::empty())?;
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row)?;
    match physical.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}
