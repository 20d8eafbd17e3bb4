//! Values of Iceberg metadata and of Parquet statistics as scalars of a column's Arrow type. Pure.

use std::cmp::Ordering;

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use iceberg::spec::{Datum, PrimitiveLiteral};
use parquet::basic::Type as PhysicalType;

/// A value of metadata as one of `data_type`, also if it was written before the column was promoted to that type.
pub(super) fn of_literal(literal: &PrimitiveLiteral, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (data_type, literal) {
        (DataType::Boolean, PrimitiveLiteral::Boolean(value)) => ScalarValue::Boolean(Some(*value)),
        (_, PrimitiveLiteral::Int(value)) => of_integer(i64::from(*value), data_type)?,
        (_, PrimitiveLiteral::Long(value)) => of_integer(*value, data_type)?,
        (DataType::Float32, PrimitiveLiteral::Float(value)) => ScalarValue::Float32(Some(value.0)),
        (DataType::Float64, PrimitiveLiteral::Float(value)) => ScalarValue::Float64(Some(f64::from(value.0))),
        (DataType::Float64, PrimitiveLiteral::Double(value)) => ScalarValue::Float64(Some(value.0)),
        (DataType::Utf8, PrimitiveLiteral::String(value)) => ScalarValue::Utf8(Some(value.clone())),
        (DataType::Binary, PrimitiveLiteral::Binary(value)) => ScalarValue::Binary(Some(value.clone())),
        (DataType::FixedSizeBinary(width), PrimitiveLiteral::Binary(value)) => ScalarValue::FixedSizeBinary(*width, Some(value.clone())),
        (DataType::FixedSizeBinary(16), PrimitiveLiteral::UInt128(value)) => ScalarValue::FixedSizeBinary(16, Some(value.to_be_bytes().to_vec())),
        (DataType::Decimal128(precision, scale), PrimitiveLiteral::Int128(value)) => ScalarValue::Decimal128(Some(*value), *precision, *scale),
        _ => return None,
    })
}

/// A value in Iceberg's single-value serialisation as one of `data_type`, also if it was written before the column was promoted to that type.
pub(super) fn of_stored(bytes: &[u8], data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(*bytes.first()? != 0)),
        // A date is no timestamp, so nothing shorter was promoted to one.
        DataType::Timestamp(..) | DataType::Time64(_) => of_integer(i64::from_le_bytes(bytes.try_into().ok()?), data_type)?,
        DataType::Int32 | DataType::Int64 | DataType::Date32 => of_integer(whole_number(bytes)?, data_type)?,
        DataType::Float32 => ScalarValue::Float32(Some(real_number(bytes)? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(real_number(bytes)?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        DataType::Binary => ScalarValue::Binary(Some(bytes.to_vec())),
        DataType::FixedSizeBinary(width) if i32::try_from(bytes.len()) == Ok(*width) => ScalarValue::FixedSizeBinary(*width, Some(bytes.to_vec())),
        DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(Some(big_endian(bytes)?), *precision, *scale),
        _ => return None,
    })
}

/// A whole number of four or eight bytes, little endian.
pub(super) fn whole_number(bytes: &[u8]) -> Option<i64> {
    let short = || bytes.try_into().ok().map(|short| i64::from(i32::from_le_bytes(short)));
    bytes.try_into().ok().map(i64::from_le_bytes).or_else(short)
}

fn real_number(bytes: &[u8]) -> Option<f64> {
    let short = || bytes.try_into().ok().map(|short| f64::from(f32::from_le_bytes(short)));
    bytes.try_into().ok().map(f64::from_le_bytes).or_else(short)
}

/// A number of up to sixteen bytes in two's complement, big endian.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first()? >= &0x80 { 0xff } else { 0 };
    let mut wide = [sign; 16];
    wide.get_mut(16_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

/// The order of two values, as that of the scalars. The types that filters mostly have are compared here, where it is compiled to be fast.
pub(super) fn order(one: &ScalarValue, other: &ScalarValue) -> Option<Ordering> {
    match (one, other) {
        (ScalarValue::Int32(Some(one)), ScalarValue::Int32(Some(other))) | (ScalarValue::Date32(Some(one)), ScalarValue::Date32(Some(other))) => {
            Some(one.cmp(other))
        }
        (ScalarValue::Int64(Some(one)), ScalarValue::Int64(Some(other))) => Some(one.cmp(other)),
        (ScalarValue::TimestampMicrosecond(Some(one), _), ScalarValue::TimestampMicrosecond(Some(other), _)) => Some(one.cmp(other)),
        (ScalarValue::Utf8(Some(one)), ScalarValue::Utf8(Some(other))) => Some(one.cmp(other)),
        (one, other) => one.partial_cmp(other),
    }
}

/// A whole number as a value of `data_type`, in the type's own unit.
fn of_integer(value: i64, data_type: &DataType) -> Option<ScalarValue> {
    let small = || i32::try_from(value).ok();
    Some(match data_type {
        DataType::Int32 => ScalarValue::Int32(Some(small()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value)),
        DataType::Date32 => ScalarValue::Date32(Some(small()?)),
        DataType::Time64(TimeUnit::Microsecond) => ScalarValue::Time64Microsecond(Some(value)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => ScalarValue::TimestampMicrosecond(Some(value), zone.clone()),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => ScalarValue::TimestampNanosecond(Some(value), zone.clone()),
        DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(Some(i128::from(value)), *precision, *scale),
        _ => return None,
    })
}

/// A value as the Iceberg crate's functions take it.
pub(super) fn to_datum(value: &ScalarValue) -> Option<Datum> {
    Some(match value {
        ScalarValue::Int32(Some(value)) => Datum::int(*value),
        ScalarValue::Int64(Some(value)) => Datum::long(*value),
        ScalarValue::Date32(Some(value)) => Datum::date(*value),
        ScalarValue::TimestampMicrosecond(Some(value), None) => Datum::timestamp_micros(*value),
        ScalarValue::TimestampMicrosecond(Some(value), Some(_)) => Datum::timestamptz_micros(*value),
        ScalarValue::Utf8(Some(value)) => Datum::string(value),
        ScalarValue::Binary(Some(value)) => Datum::binary(value.iter().copied()),
        _ => return None,
    })
}

/// A bound in Parquet's statistics. `file` is the type that the file's column has, `table` the one that it is read as.
pub(super) fn of_statistics(bytes: &[u8], physical: PhysicalType, file: &DataType, table: &DataType) -> Option<ScalarValue> {
    match physical {
        PhysicalType::BOOLEAN => matches!(table, DataType::Boolean).then(|| ScalarValue::Boolean(bytes.first().map(|byte| *byte != 0))),
        PhysicalType::INT32 => of_number(i64::from(i32::from_le_bytes(bytes.try_into().ok()?)), file, table),
        PhysicalType::INT64 => of_number(i64::from_le_bytes(bytes.try_into().ok()?), file, table),
        PhysicalType::FLOAT => of_float(f64::from(f32::from_le_bytes(bytes.try_into().ok()?)), table),
        PhysicalType::DOUBLE => of_float(f64::from_le_bytes(bytes.try_into().ok()?), table),
        PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => of_bytes(bytes, file, table),
        PhysicalType::INT96 => None,
    }
}

fn of_number(value: i64, file: &DataType, table: &DataType) -> Option<ScalarValue> {
    match (file, table) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => of_integer(in_unit(value, *from, *to)?, table),
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from == to => of_integer(value, table),
        (DataType::Int32 | DataType::Int64, DataType::Int32 | DataType::Int64) => of_integer(value, table),
        (from, to) if from == to => of_integer(value, table),
        _ => None,
    }
}

fn in_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let per_second = |unit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000_i64,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let (from, to) = (per_second(from), per_second(to));
    if to >= from { value.checked_mul(to / from) } else { Some(value / (from / to)) }
}

fn of_float(value: f64, table: &DataType) -> Option<ScalarValue> {
    match table {
        DataType::Float32 => Some(ScalarValue::Float32(Some(value as f32))),
        DataType::Float64 => Some(ScalarValue::Float64(Some(value))),
        _ => None,
    }
}

fn of_bytes(bytes: &[u8], file: &DataType, table: &DataType) -> Option<ScalarValue> {
    Some(match (file, table) {
        // A bound that was cut off within a character is left out.
        (DataType::Utf8, DataType::Utf8) => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        (DataType::Binary, DataType::Binary) => ScalarValue::Binary(Some(bytes.to_vec())),
        (DataType::FixedSizeBinary(width), DataType::FixedSizeBinary(same)) if width == same => {
            ScalarValue::FixedSizeBinary(*width, Some(bytes.to_vec()))
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) if from == to => {
            ScalarValue::Decimal128(Some(big_endian(bytes)?), *precision, *to)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promoted_values_and_units_come_out_in_the_tables_type() {
        assert_eq!(of_literal(&PrimitiveLiteral::Int(5), &DataType::Int64), Some(ScalarValue::Int64(Some(5))));
        assert_eq!(of_stored(&5_i32.to_le_bytes(), &DataType::Int64), Some(ScalarValue::Int64(Some(5))));
        assert_eq!(of_stored(&5_i64.to_le_bytes(), &DataType::Date32), Some(ScalarValue::Date32(Some(5))));
        assert_eq!(of_stored(&1.5_f32.to_le_bytes(), &DataType::Float64), Some(ScalarValue::Float64(Some(1.5))));
        assert_eq!(of_stored(&[0xff, 0x38], &DataType::Decimal128(9, 2)), Some(ScalarValue::Decimal128(Some(-200), 9, 2)));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(of_stored(&5_i32.to_le_bytes(), &micros), None, "a date");
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let read = of_statistics(&1_999_i64.to_le_bytes(), PhysicalType::INT64, &nanos, &micros);
        assert_eq!(read, Some(ScalarValue::TimestampMicrosecond(Some(1), None)));
        let decimal = DataType::Decimal128(20, 2);
        assert_eq!(
            of_statistics(&[0xff, 0xfe], PhysicalType::FIXED_LEN_BYTE_ARRAY, &decimal, &decimal),
            Some(ScalarValue::Decimal128(Some(-2), 20, 2))
        );
        assert_eq!(of_statistics(&[0xc3], PhysicalType::BYTE_ARRAY, &DataType::Utf8, &DataType::Utf8), None);
    }
}
