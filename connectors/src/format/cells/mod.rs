//! Columns of a batch that is written: each array is looked at once, so that a value is a match away and not a downcast.
//!
//! The counterpart of `columns`, which are filled by reading. How a value is written is for each format to say; where it is written as text
//! (`text`), the text is the same in all of them, and the one that reading takes.

pub(in crate::format) mod text;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow_array::{Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, MapArray, PrimitiveArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, TimeUnit};

use super::columns::Fault;

/// The values of a column, of a field of rows, or of the elements of lists.
#[derive(Debug)]
pub(in crate::format) struct Cells<'a> {
    pub(in crate::format) name: &'a str,
    nulls: Option<&'a NullBuffer>,
    pub(in crate::format) values: Values<'a>,
}

/// Values by type: one variant for each Arrow type of the DDL contract.
#[derive(Debug)]
pub(in crate::format) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    /// With whether it is a moment, not a reading of a clock.
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    Nanos(&'a PrimitiveArray<TimestampNanosecondType>, bool),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, Box<Entries<'a>>),
    Row(Vec<Cells<'a>>),
}

/// The entries of all maps of a column.
#[derive(Debug)]
pub(in crate::format) struct Entries<'a> {
    pub(in crate::format) keys: Cells<'a>,
    pub(in crate::format) values: Cells<'a>,
}

impl<'a> Cells<'a> {
    /// The values of `array`, a column of `field`.
    ///
    /// # Errors
    /// A type that no format writes.
    pub(in crate::format) fn new(field: &'a Field, array: &'a dyn Array) -> Result<Self, Fault> {
        let data_type = array.data_type();
        let values = match data_type {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Values::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Values::Utf8(array.as_string()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::FixedSizeBinary(_) => Values::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Values::Micros(array.as_primitive(), zone.is_some()),
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => Values::Nanos(array.as_primitive(), zone.is_some()),
            DataType::List(element) => {
                let lists = array.as_list();
                Values::List(lists, Box::new(Self::new(element, lists.values())?))
            }
            DataType::Map(..) => {
                let maps = array.as_map();
                let (keys, values) = maps.entries_fields();
                Values::Map(maps, Box::new(Entries { keys: Self::new(keys, maps.keys())?, values: Self::new(values, maps.values())? }))
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                Values::Row(columns.map(|(field, column)| Self::new(field, column)).collect::<Result<_, _>>()?)
            }
            other => return Err(Fault::field(format!("no format writes {other}")).within(field.name())),
        };
        Ok(Self { name: field.name(), nulls: array.nulls(), values })
    }

    /// Whether a slot has no value.
    #[inline]
    pub(in crate::format) fn is_null(&self, slot: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(slot))
    }

    /// The whole number in a slot, if the column is one of whole numbers.
    #[inline]
    pub(in crate::format) fn integer(&self, slot: usize) -> Option<i64> {
        Some(match &self.values {
            Values::Int8(values) => values.value(slot).into(),
            Values::Int16(values) => values.value(slot).into(),
            Values::Int32(values) => values.value(slot).into(),
            Values::Int64(values) => values.value(slot),
            _ => return None,
        })
    }

    /// The bytes in a slot, if the column is one of texts or bytes.
    #[inline]
    pub(in crate::format) fn bytes(&self, slot: usize) -> Option<&'a [u8]> {
        Some(match &self.values {
            Values::Utf8(values) => values.value(slot).as_bytes(),
            Values::Binary(values) => values.value(slot),
            Values::FixedBinary(values) => values.value(slot),
            _ => return None,
        })
    }
}

/// The slots of the elements that stand between two of `offsets`.
#[inline]
pub(in crate::format) fn elements(offsets: &[i32], slot: usize) -> std::ops::Range<usize> {
    let end = |slot: usize| offsets.get(slot).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
    end(slot)..end(slot + 1)
}
