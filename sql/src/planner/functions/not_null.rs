//! The check that a column which goes into a NOT NULL column of a sink has no NULL.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit};

/// `value`, never NULL: evaluating it fails with the name of the sink's column if there is one.
pub(crate) fn not_null(value: Expr, table: &str, column: &str) -> Expr {
    function().call(vec![value, lit(format!("Column '{column}' of table '{table}' is NOT NULL, but a row has NULL there. Set 'table.exec.sink.not-null-enforcer' to 'DROP' to leave such rows out."))])
}

/// The value that an expression checks, if it does nothing else.
pub(crate) fn checked_value(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::ScalarFunction(call) if call.func.inner().is::<CheckNotNull>() => call.args.first(),
        _ => None,
    }
}

/// The function, for the session.
pub(super) fn function() -> Arc<ScalarUDF> {
    // Volatile, so that no optimiser moves it or drops it.
    Arc::new(ScalarUDF::new_from_impl(CheckNotNull { signature: Signature::any(2, Volatility::Volatile) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckNotNull {
    signature: Signature,
}

impl ScalarUDFImpl for CheckNotNull {
    fn name(&self) -> &'static str {
        "weir_not_null"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        internal_err!("the field is asked for")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        match args.arg_fields {
            [value, _] => Ok(Arc::new(Field::new(self.name(), value.data_type().clone(), false))),
            _ => internal_err!("two arguments are needed"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [value, message] = args.args.as_slice() else { return internal_err!("two arguments are needed") };
        let has_null = match value {
            ColumnarValue::Array(array) => array.logical_null_count() > 0,
            ColumnarValue::Scalar(scalar) => scalar.is_null() && args.number_rows > 0,
        };
        match message {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(message))) if has_null => exec_err!("{message}"),
            _ if has_null => exec_err!("a NOT NULL column has NULL"),
            _ => Ok(value.clone()),
        }
    }
}
