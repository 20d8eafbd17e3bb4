//! A timestamp as text.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `2026-01-01 10:00:00`, behind it as many digits of the fraction as are needed, in threes. The session's time zone is UTC.
const PATTERN: &str = "%Y-%m-%d %H:%M:%S%.f";

/// `timestamp` as text.
pub(crate) fn timestamp_text(timestamp: Expr) -> Expr {
    function().call(vec![timestamp])
}

/// The function, for the session.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TimestampText { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimestampText {
    signature: Signature,
}

impl ScalarUDFImpl for TimestampText {
    fn name(&self) -> &'static str {
        "weir_timestamp_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [timestamp] = args.args.as_slice() else { return internal_err!("one argument is needed") };
        let format = FormatOptions::new().with_timestamp_format(Some(PATTERN)).with_timestamp_tz_format(Some(PATTERN));
        let options = CastOptions { safe: false, format_options: format };
        let texts = cast_with_options(&timestamp.to_array(args.number_rows)?, &DataType::Utf8, &options)?;
        Ok(ColumnarValue::Array(texts))
    }
}
