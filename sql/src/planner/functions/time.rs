//! `DATE_FORMAT`, `TO_TIMESTAMP`, `TO_TIMESTAMP_LTZ`, `FROM_UNIXTIME`, and the functions of the present time.
//!
//! DataFusion's `now` is the time of planning. A streaming job is planned once, so ours are evaluated anew for each batch.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::{StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::arrow::compute::cast;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::java_pattern::to_chrono;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// The pattern argument, which must be a constant.
fn pattern(function: &str, argument: Option<&ColumnarValue>) -> DataFusionResult<String> {
    let pattern = match argument {
        None => DEFAULT_PATTERN.to_owned(),
        Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)))) => {
            text.clone()
        }
        Some(_) => return exec_err!("the pattern of {function} must be a constant"),
    };
    to_chrono(&pattern).or_else(|letter| exec_err!("the pattern '{pattern}' of {function} has {letter}, which is not supported"))
}

/// `DATE_FORMAT(timestamp, pattern)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateFormat {
    signature: Signature,
}

impl Default for DateFormat {
    fn default() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateFormat {
    fn name(&self) -> &'static str {
        "date_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let format = pattern("DATE_FORMAT", args.args.get(1))?;
        let Some(times) = args.args.first() else { return exec_err!("DATE_FORMAT takes two arguments") };
        let times = cast(&times.to_array(args.number_rows)?, &MICROS)?;
        Ok(ColumnarValue::Array(format_times(times.as_primitive(), &format)?))
    }
}

fn format_times(times: &TimestampMicrosecondArray, format: &str) -> DataFusionResult<ArrayRef> {
    let mut out = StringBuilder::with_capacity(times.len(), times.len() * 20);
    let mut text = String::new();
    for time in times {
        match time.and_then(DateTime::<Utc>::from_timestamp_micros) {
            Some(time) => {
                text.clear();
                // Writing to a string fails only if the pattern does not fit a time without zone.
                if write!(text, "{}", time.naive_utc().and_utc().format(format)).is_err() {
                    return exec_err!("the pattern '{format}' does not fit a timestamp");
                }
                out.append_value(&text);
            }
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// `TO_TIMESTAMP(text [, pattern])`: NULL if the text does not fit the pattern.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToTimestamp {
    signature: Signature,
}

impl Default for ToTimestamp {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &'static str {
        "to_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        match arguments {
            [text] | [text, _] if text.is_string() || *text == DataType::Null => Ok(MICROS),
            [_] | [_, _] => plan_err!("TO_TIMESTAMP takes a string; TO_TIMESTAMP_LTZ takes a number, CAST a date"),
            _ => plan_err!("TO_TIMESTAMP takes a string and a pattern"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let format = match args.args.get(1) {
            Some(_) => pattern("TO_TIMESTAMP", args.args.get(1))?,
            // Without a pattern, fractions of a second may follow.
            None => "%Y-%m-%d %H:%M:%S%.f".to_owned(),
        };
        let Some(texts) = args.args.first() else { return exec_err!("TO_TIMESTAMP takes a string") };
        let texts = cast(&texts.to_array(args.number_rows)?, &DataType::Utf8)?;
        let mut out = TimestampMicrosecondBuilder::with_capacity(texts.len());
        for text in texts.as_string::<i32>() {
            out.append_option(text.and_then(|text| parse_time(text, &format)));
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

fn parse_time(text: &str, format: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, format).ok();
    let time = time.or_else(|| NaiveDate::parse_from_str(text, format).ok().and_then(|day| day.and_hms_opt(0, 0, 0)));
    let date_only = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let time = time.or_else(|| if format.ends_with("%.f") { date_only() } else { None });
    time.map(|time| time.and_utc().timestamp_micros())
}

/// `TO_TIMESTAMP_LTZ(number, precision)`: seconds since 1970 for precision 0, milliseconds for 3.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToTimestampLtz {
    signature: Signature,
}

impl Default for ToTimestampLtz {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ToTimestampLtz {
    fn name(&self) -> &'static str {
        "to_timestamp_ltz"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(utc_micros())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let factor: i64 = match args.args.get(1) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(0)))) => 1_000_000,
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(3)))) => 1_000,
            _ => return exec_err!("the precision of TO_TIMESTAMP_LTZ must be the constant 0 or 3"),
        };
        let Some(numbers) = args.args.first() else { return exec_err!("TO_TIMESTAMP_LTZ takes a number and a precision") };
        let numbers = numbers.to_array(args.number_rows)?;
        let times: TimestampMicrosecondArray =
            numbers.as_primitive::<Int64Type>().unary_opt::<_, TimestampMicrosecondType>(|number| number.checked_mul(factor));
        Ok(ColumnarValue::Array(Arc::new(times.with_timezone("UTC"))))
    }
}

/// `FROM_UNIXTIME(seconds [, pattern])`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FromUnixTime {
    signature: Signature,
}

impl Default for FromUnixTime {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FromUnixTime {
    fn name(&self) -> &'static str {
        "from_unixtime"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        match arguments {
            [number] | [number, _] if number.is_integer() || *number == DataType::Null => Ok(DataType::Utf8),
            _ => plan_err!("FROM_UNIXTIME takes a whole number of seconds and a pattern"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let format = pattern("FROM_UNIXTIME", args.args.get(1))?;
        let Some(numbers) = args.args.first() else { return exec_err!("FROM_UNIXTIME takes a number") };
        let numbers = cast(&numbers.to_array(args.number_rows)?, &DataType::Int64)?;
        let times: TimestampMicrosecondArray =
            numbers.as_primitive::<Int64Type>().unary_opt::<_, TimestampMicrosecondType>(|seconds| seconds.checked_mul(1_000_000));
        Ok(ColumnarValue::Array(format_times(&times, &format)?))
    }
}

/// The present time: `NOW()`, `CURRENT_TIMESTAMP` (with zone), `LOCALTIMESTAMP` (without).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Now {
    name: &'static str,
    aliases: Vec<String>,
    zone: bool,
    signature: Signature,
}

impl Now {
    pub(super) fn current_timestamp() -> Self {
        let aliases = vec!["current_timestamp".to_owned(), "current_row_timestamp".to_owned()];
        Self { name: "now", aliases, zone: true, signature: Signature::nullary(Volatility::Volatile) }
    }

    pub(super) fn local_timestamp() -> Self {
        Self { name: "localtimestamp", aliases: Vec::new(), zone: false, signature: Signature::nullary(Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(if self.zone { utc_micros() } else { MICROS })
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let zone = self.zone.then(|| Arc::from("UTC"));
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(Utc::now().timestamp_micros()), zone)))
    }
}

/// `PROCTIME()`: the time at which a row is worked on. A column of it is what `FOR SYSTEM_TIME AS OF` of a lookup join names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ProcTime {
    signature: Signature,
}

impl Default for ProcTime {
    fn default() -> Self {
        Self { signature: Signature::nullary(Volatility::Volatile) }
    }
}

/// Key and value in the metadata of a field that holds the processing time.
const TIME_ATTRIBUTE: (&str, &str) = ("weir.time-attribute", "proctime");

/// Whether a column is one of `PROCTIME()`.
pub(crate) fn is_proctime(field: &Field) -> bool {
    field.metadata().get(TIME_ATTRIBUTE.0).is_some_and(|kind| kind == TIME_ATTRIBUTE.1)
}

impl ScalarUDFImpl for ProcTime {
    fn name(&self) -> &'static str {
        "proctime"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(utc_micros())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let metadata = [(TIME_ATTRIBUTE.0.to_owned(), TIME_ATTRIBUTE.1.to_owned())].into();
        Ok(Arc::new(Field::new(self.name(), utc_micros(), false).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(Utc::now().timestamp_micros()), Some(Arc::from("UTC")))))
    }
}
