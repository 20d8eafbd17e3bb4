//! Values of Parquet, from statistics and pages, as values of Iceberg's metadata. Pure.

use iceberg::spec::{Datum, PrimitiveType};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as PhysicalType};
use parquet::schema::types::ColumnDescriptor;

/// A value in Parquet's plain form as one of `primitive`; `None` for a column that is stored in another unit or scale.
pub(super) fn datum(bytes: &[u8], column: &ColumnDescriptor, primitive: &PrimitiveType) -> Option<Datum> {
    let bytes: Vec<u8> = match (primitive, column.physical_type()) {
        (_, PhysicalType::INT96) => return None,
        (PrimitiveType::Decimal { scale, .. }, physical) => {
            if i64::from(column.type_scale()) != i64::from(*scale) {
                return None;
            }
            match physical {
                // Parquet keeps integers little-endian, Iceberg has decimals big-endian.
                PhysicalType::INT32 | PhysicalType::INT64 => bytes.iter().rev().copied().collect(),
                _ => bytes.to_vec(),
            }
        }
        (PrimitiveType::Timestamp | PrimitiveType::Timestamptz | PrimitiveType::Time, _) if !is_in(column, Unit::Micros) => return None,
        (PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs, _) if !is_in(column, Unit::Nanos) => return None,
        _ => bytes.to_vec(),
    };
    Datum::try_from_bytes(&bytes, primitive.clone()).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros,
    Nanos,
}

fn is_in(column: &ColumnDescriptor, unit: Unit) -> bool {
    let stored = match column.logical_type_ref() {
        Some(LogicalType::Timestamp { unit, .. } | LogicalType::Time { unit, .. }) => match unit {
            TimeUnit::MICROS => Some(Unit::Micros),
            TimeUnit::NANOS => Some(Unit::Nanos),
            TimeUnit::MILLIS => None,
        },
        _ => matches!(column.converted_type(), ConvertedType::TIMESTAMP_MICROS | ConvertedType::TIME_MICROS).then_some(Unit::Micros),
    };
    stored == Some(unit)
}
