//! What a partition value, or a range of them, says of the column that it was made from. Pure.

use arrow_schema::{DataType, TimeUnit};
use chrono::{Months, NaiveDate};
use datafusion::common::ScalarValue;
use iceberg::spec::{PrimitiveLiteral, Transform};
use iceberg::transform::create_transform_function;

use super::condition::Facts;
use super::values::{of_stored, to_datum, whole_number};

/// The bucket of a value; `None` for values that are not put into buckets here.
pub(super) fn bucket_of(count: u32, value: &ScalarValue) -> Option<i32> {
    let bucket = create_transform_function(&Transform::Bucket(count)).ok()?.transform_literal(&to_datum(value)?).ok()??;
    match bucket.literal() {
        PrimitiveLiteral::Int(bucket) => Some(*bucket),
        _ => None,
    }
}

/// What is known of a column of type `source` if its partition values, in Iceberg's single-value serialisation, lie between `lower` and
/// `upper` (both included).
pub(super) fn facts(transform: Transform, source: &DataType, lower: &[u8], upper: &[u8]) -> Facts {
    let (min, max) = match transform {
        // Values that are no number are in no order with others.
        Transform::Identity if matches!(source, DataType::Float32 | DataType::Float64) => (None, None),
        Transform::Identity => (of_stored(lower, source), of_stored(upper, source)),
        Transform::Truncate(width) => (of_stored(lower, source), of_stored(upper, source).and_then(|upper| end_of_truncated(upper, width))),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            let start = |bytes| whole_number(bytes).and_then(|value| first_of(transform, value, source));
            let after = whole_number(upper).and_then(|value| value.checked_add(1)).and_then(|next| first_of(transform, next, source));
            (start(lower), after.and_then(|after| before(&after)))
        }
        Transform::Bucket(count) => {
            let bounds = whole_number(lower).zip(whole_number(upper));
            let buckets = bounds.and_then(|(first, last)| Some((count, i32::try_from(first).ok()?, i32::try_from(last).ok()?)));
            return Facts { buckets, ..Facts::default() };
        }
        Transform::Void | Transform::Unknown => (None, None),
    };
    Facts { min, max, ..Facts::default() }
}

/// The greatest value that is truncated to `start`, or something greater.
fn end_of_truncated(start: ScalarValue, width: u32) -> Option<ScalarValue> {
    let more = i64::from(width) - 1;
    Some(match start {
        ScalarValue::Int32(Some(value)) => ScalarValue::Int32(Some(value.saturating_add(i32::try_from(more).ok()?))),
        ScalarValue::Int64(Some(value)) => ScalarValue::Int64(Some(value.saturating_add(more))),
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            ScalarValue::Decimal128(Some(value.saturating_add(i128::from(more))), precision, scale)
        }
        ScalarValue::Utf8(Some(text)) => {
            let whole = text.chars().count() < usize::try_from(width).ok()?;
            ScalarValue::Utf8(Some(if whole { text } else { after_all_that_begin_with(&text)? }))
        }
        _ => return None,
    })
}

/// A text that is greater than every text that begins with `prefix`.
fn after_all_that_begin_with(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The numbers of surrogates are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// The first moment of the year, month, day or hour with that number, counted from 1970.
fn first_of(transform: Transform, number: i64, source: &DataType) -> Option<ScalarValue> {
    let seconds = match transform {
        Transform::Hour => number.checked_mul(3_600)?,
        Transform::Day => number.checked_mul(86_400)?,
        Transform::Year => days_of_month(number.checked_mul(12)?)?.checked_mul(86_400)?,
        _ => days_of_month(number)?.checked_mul(86_400)?,
    };
    Some(match source {
        DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(seconds.div_euclid(86_400)).ok()?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => ScalarValue::TimestampMicrosecond(Some(seconds.checked_mul(1_000_000)?), zone.clone()),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => ScalarValue::TimestampNanosecond(Some(seconds.checked_mul(1_000_000_000)?), zone.clone()),
        _ => return None,
    })
}

fn days_of_month(months: i64) -> Option<i64> {
    let start = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let distance = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let day = if months < 0 { start.checked_sub_months(distance) } else { start.checked_add_months(distance) };
    Some(day?.signed_duration_since(start).num_days())
}

/// The value right before this one.
fn before(value: &ScalarValue) -> Option<ScalarValue> {
    Some(match value {
        ScalarValue::Date32(Some(value)) => ScalarValue::Date32(Some(value - 1)),
        ScalarValue::TimestampMicrosecond(Some(value), zone) => ScalarValue::TimestampMicrosecond(Some(value - 1), zone.clone()),
        ScalarValue::TimestampNanosecond(Some(value), zone) => ScalarValue::TimestampNanosecond(Some(value - 1), zone.clone()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(transform: Transform, source: &DataType, value: i32) -> (ScalarValue, ScalarValue) {
        let value = value.to_le_bytes();
        let facts = facts(transform, source, &value, &value);
        (facts.min.expect("min"), facts.max.expect("max"))
    }

    #[test]
    fn times_span_their_unit_before_and_after_the_epoch() {
        let date = |days| ScalarValue::Date32(Some(days));
        assert_eq!(bounds(Transform::Month, &DataType::Date32, 1), (date(31), date(58)));
        assert_eq!(bounds(Transform::Month, &DataType::Date32, -1), (date(-31), date(-1)));
        assert_eq!(bounds(Transform::Year, &DataType::Date32, 2), (date(730), date(1095)));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let at = |micros| ScalarValue::TimestampMicrosecond(Some(micros), None);
        assert_eq!(bounds(Transform::Hour, &micros, -1), (at(-3_600_000_000), at(-1)));
        assert_eq!(bounds(Transform::Day, &micros, 1), (at(86_400_000_000), at(2 * 86_400_000_000 - 1)));
    }

    proptest! {
        #[test]
        fn every_value_lies_within_the_facts_of_its_own_partition_value(number: i64, text in ".{0,6}", width in 1_u32..50, days in -200_000_i32..200_000) {
            let check = |transform: Transform, value: ScalarValue| {
                let data_type = value.data_type();
                let function = create_transform_function(&transform).expect("function");
                let partition = function.transform_literal(&to_datum(&value).expect("datum")).expect("transforms").expect("a value");
                let partition = partition.to_bytes().expect("bytes");
                let facts = facts(transform, &data_type, &partition, &partition);
                let below = facts.min.is_none_or(|min| min <= value);
                let above = facts.max.is_none_or(|max| max >= value);
                let bucket = facts.buckets.is_none_or(|(count, first, _)| bucket_of(count, &value) == Some(first));
                below && above && bucket
            };
            let micros = i64::from(days) * 86_400_000_000 + number % 86_400_000_000;
            prop_assert!(check(Transform::Truncate(width), ScalarValue::Int64(Some(number / 2))));
            prop_assert!(check(Transform::Truncate(width.min(4)), ScalarValue::Utf8(Some(text.clone()))));
            prop_assert!(check(Transform::Identity, ScalarValue::Utf8(Some(text.clone()))));
            prop_assert!(check(Transform::Bucket(width), ScalarValue::Utf8(Some(text))));
            for transform in [Transform::Year, Transform::Month, Transform::Day] {
                prop_assert!(check(transform, ScalarValue::Date32(Some(days))));
                prop_assert!(check(transform, ScalarValue::TimestampMicrosecond(Some(micros), None)));
            }
            prop_assert!(check(Transform::Hour, ScalarValue::TimestampMicrosecond(Some(micros), None)));
        }
    }
}
