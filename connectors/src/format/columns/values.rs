//! The buffers of a column by type.

use std::mem;
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray, new_null_array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use super::column::{Column, Context};
use super::fault::Fault;
use super::nested::{List, Map};
use super::number::plain_integer;
use super::rows::Rows;
use super::scalar;
use super::temporal::DateCache;

/// Buffers, one variant for each Arrow type of the DDL contract.
#[derive(Debug)]
pub(in crate::format) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Utf8(Bytes),
    Binary(Bytes),
    FixedBinary {
        values: Vec<u8>,
        size: usize,
    },
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp {
        values: Vec<i64>,
        nanos: bool,
        zoned: bool,
        dates: DateCache,
    },
    List(Box<List>),
    Map(Box<Map>),
    Row(Box<Rows>),
    /// A type that no format fills; formats refuse it when they are opened.
    Unreadable,
}

/// Bytes of a value up to which it is copied as one of this size.
const SHORT: usize = 32;

/// Values of varying length, one behind another.
#[derive(Debug)]
pub(in crate::format) struct Bytes {
    offsets: Vec<i32>,
    pub(in crate::format) values: Vec<u8>,
}

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], values: Vec::new() }
    }

    /// Ends the value that has been appended to `values`.
    #[inline]
    pub(in crate::format) fn end(&mut self) -> Result<(), Fault> {
        let Ok(offset) = i32::try_from(self.values.len()) else { return Err(Fault::full()) };
        self.offsets.push(offset);
        Ok(())
    }

    /// Appends the first `size` bytes of `rest` to the value that is being read. A short copy of a size that is known beforehand costs less than one
    /// that is not, so short values are copied with what is behind them, which is cut off again.
    #[inline]
    pub(in crate::format) fn append(&mut self, rest: &[u8], size: usize) {
        match rest.first_chunk::<SHORT>() {
            Some(chunk) if size <= SHORT => {
                let end = self.values.len() + size;
                self.values.extend_from_slice(chunk);
                self.values.truncate(end);
            }
            _ => self.values.extend_from_slice(rest.get(..size).unwrap_or_default()),
        }
    }

    fn shrink(&mut self) {
        self.values.shrink_to_fit();
        self.offsets.shrink_to_fit();
    }

    fn blank(&mut self, count: usize) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.offsets.resize(self.offsets.len() + count, end);
    }

    /// The value in a slot.
    pub(in crate::format) fn get(&self, slot: usize) -> Option<&[u8]> {
        self.values.get(self.offset(slot)..self.offset(slot + 1))
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.values.truncate(self.offset(len));
    }

    fn offset(&self, slot: usize) -> usize {
        let offset = self.offsets.get(slot).or(self.offsets.last()).copied().unwrap_or(0);
        usize::try_from(offset).unwrap_or(0)
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let offsets = mem::replace(&mut self.offsets, offsets);
        // A little more than last time, so that a batch of much the same size does not grow its buffer.
        let values = Vec::with_capacity(self.values.len() + self.values.len() / 8);
        let values = mem::replace(&mut self.values, values);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values))
    }
}

/// Does `$body` with `$values`, whatever vector of fixed-width values it is; `$other` for the rest.
macro_rules! fixed_width {
    ($self:expr, $values:ident => $body:expr, $($other:tt)*) => {
        match $self {
            Values::Int8($values) => $body,
            Values::Int16($values) => $body,
            Values::Int32($values) | Values::Date($values) => $body,
            Values::Int64($values) | Values::Time($values) | Values::Timestamp { values: $values, .. } => $body,
            Values::Float32($values) => $body,
            Values::Float64($values) => $body,
            Values::Decimal { values: $values, .. } => $body,
            $($other)*
        }
    };
}

impl Values {
    /// Empty buffers for `data_type`.
    pub(in crate::format) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Self::Int8(Vec::new()),
            DataType::Int16 => Self::Int16(Vec::new()),
            DataType::Int32 => Self::Int32(Vec::new()),
            DataType::Int64 => Self::Int64(Vec::new()),
            DataType::Float32 => Self::Float32(Vec::new()),
            DataType::Float64 => Self::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale },
            DataType::Utf8 => Self::Utf8(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::FixedSizeBinary(size) if *size > 0 => Self::FixedBinary { values: Vec::new(), size: size.unsigned_abs() as usize },
            DataType::Date32 => Self::Date(Vec::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Vec::new()),
            DataType::Timestamp(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond), zone) => {
                Self::Timestamp { values: Vec::new(), nanos: *unit == TimeUnit::Nanosecond, zoned: zone.is_some(), dates: DateCache::default() }
            }
            DataType::List(element) => Self::List(Box::new(List::new(element))),
            DataType::Map(entries, _) => Map::new(entries).map_or(Self::Unreadable, |map| Self::Map(Box::new(map))),
            DataType::Struct(fields) => Self::Row(Box::new(Rows::new(fields))),
            _ => Self::Unreadable,
        }
    }

    /// Whether there is a type in here that no value can fill.
    pub(in crate::format) fn is_unreadable(&self) -> bool {
        match self {
            Self::Unreadable => true,
            Self::List(list) => list.is_unreadable(),
            Self::Map(map) => map.is_unreadable(),
            Self::Row(object) => object.columns().any(Column::is_unreadable),
            _ => false,
        }
    }

    /// Appends the value that `text` means: the content of a string, or the key of a map.
    pub(in crate::format) fn read_text(&mut self, text: &[u8], context: &Context) -> Result<(), Fault> {
        match self {
            Self::Boolean(values) => values.append(scalar::boolean_text(text)?),
            Self::Int8(values) => values.push(scalar::number_text(text)?.integer()?),
            Self::Int16(values) => values.push(scalar::number_text(text)?.integer()?),
            Self::Int32(values) => values.push(scalar::number_text(text)?.integer()?),
            Self::Int64(values) => match plain_integer(text) {
                Some((value, end)) if end == text.len() => values.push(value),
                _ => values.push(scalar::number_text(text)?.integer()?),
            },
            Self::Float32(values) => values.push(scalar::float_text(text)?),
            Self::Float64(values) => values.push(scalar::double_text(text)?),
            Self::Decimal { values, precision, scale } => values.push(scalar::number_text(text)?.decimal(*precision, *scale)?),
            Self::Utf8(bytes) => {
                bytes.values.extend_from_slice(text);
                bytes.end()?;
            }
            Self::Binary(bytes) => {
                scalar::base64(text, &mut bytes.values)?;
                bytes.end()?;
            }
            Self::FixedBinary { values, size } => scalar::fixed_base64(text, values, *size)?,
            Self::Date(values) => values.push(scalar::date(text)?),
            Self::Time(values) => values.push(scalar::time(text)?),
            Self::Timestamp { values, nanos, zoned, dates } => {
                values.push(scalar::timestamp(text, (*nanos, *zoned), dates, context.standard, context.standard_option.as_deref())?);
            }
            Self::List(_) | Self::Map(_) | Self::Row(_) | Self::Unreadable => return Err(Fault::field("no text stands for this type")),
        }
        Ok(())
    }

    /// Appends what stands under `count` NULLs.
    pub(in crate::format) fn blank(&mut self, count: usize) {
        fixed_width!(self, values => values.resize(values.len() + count, Default::default()),
            Self::Boolean(values) => values.append_n(count, false),
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.blank(count),
            Self::FixedBinary { values, size } => values.resize(values.len() + count * *size, 0),
            Self::List(list) => list.ends.blank(count),
            Self::Map(map) => map.ends.blank(count),
            Self::Row(object) => object.blank(count),
            Self::Unreadable => {}
        );
    }

    /// Drops the values from slot `len` on.
    pub(in crate::format) fn truncate(&mut self, len: usize) {
        fixed_width!(self, values => values.truncate(len),
            Self::Boolean(values) => values.truncate(len.min(values.len())),
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.truncate(len),
            Self::FixedBinary { values, size } => values.truncate(len * *size),
            Self::List(list) => list.truncate(len),
            Self::Map(map) => map.truncate(len),
            Self::Row(object) => object.truncate(len),
            Self::Unreadable => {}
        );
    }

    /// Gives back the room for more values than there are.
    pub(in crate::format) fn shrink(&mut self) {
        fixed_width!(self, values => values.shrink_to_fit(),
            Self::Boolean(_) | Self::Unreadable => {},
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.shrink(),
            Self::FixedBinary { values, .. } => values.shrink_to_fit(),
            Self::List(list) => list.elements.values.shrink(),
            Self::Map(map) => [&mut map.keys, &mut map.values].into_iter().for_each(|column| column.values.shrink()),
            Self::Row(object) => object.shrink(),
        );
    }

    /// Bytes held.
    pub(in crate::format) fn bytes(&self) -> usize {
        fixed_width!(self, values => size_of_val(values.as_slice()),
            Self::Boolean(values) => values.len() / 8,
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.values.len() + bytes.offsets.len() * 4,
            Self::FixedBinary { values, .. } => values.len(),
            Self::List(list) => list.bytes(),
            Self::Map(map) => map.bytes(),
            Self::Row(object) => object.bytes(),
            Self::Unreadable => 0,
        )
    }

    /// The value of one slot as bytes that are equal for equal values.
    pub(in crate::format) fn identity(&self, slot: usize) -> Vec<u8> {
        fixed_width!(self, values => values.get(slot).map(|value| value.to_ne_bytes().to_vec()).unwrap_or_default(),
            Self::Boolean(values) => vec![u8::from(values.get_bit(slot))],
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.get(slot).unwrap_or_default().to_vec(),
            Self::FixedBinary { values, size } => values.get(slot * size..(slot + 1) * size).unwrap_or_default().to_vec(),
            Self::List(_) | Self::Map(_) | Self::Row(_) | Self::Unreadable => Vec::new(),
        )
    }

    /// The array of the first `len` slots, which are all; the buffers are empty again, with room for as many.
    pub(in crate::format) fn take(&mut self, data_type: &DataType, len: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(BooleanArray::new(mem::replace(values, BooleanBufferBuilder::new(len)).build(), nulls)),
            Self::Int8(values) => primitive::<Int8Type>(values, data_type, nulls)?,
            Self::Int16(values) => primitive::<Int16Type>(values, data_type, nulls)?,
            Self::Int32(values) => primitive::<Int32Type>(values, data_type, nulls)?,
            Self::Int64(values) => primitive::<Int64Type>(values, data_type, nulls)?,
            Self::Float32(values) => primitive::<Float32Type>(values, data_type, nulls)?,
            Self::Float64(values) => primitive::<Float64Type>(values, data_type, nulls)?,
            Self::Decimal { values, .. } => primitive::<Decimal128Type>(values, data_type, nulls)?,
            Self::Date(values) => primitive::<Date32Type>(values, data_type, nulls)?,
            Self::Time(values) => primitive::<Time64MicrosecondType>(values, data_type, nulls)?,
            Self::Timestamp { values, nanos: false, .. } => primitive::<TimestampMicrosecondType>(values, data_type, nulls)?,
            Self::Timestamp { values, nanos: true, .. } => primitive::<TimestampNanosecondType>(values, data_type, nulls)?,
            Self::Utf8(bytes) => {
                let (offsets, values) = bytes.take();
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Self::Binary(bytes) => {
                let (offsets, values) = bytes.take();
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Self::FixedBinary { values, size } => {
                let values = mem::replace(values, Vec::with_capacity(values.len()));
                let size = i32::try_from(*size).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
                Arc::new(FixedSizeBinaryArray::try_new(size, Buffer::from_vec(values), nulls)?)
            }
            Self::List(list) => list.take(data_type, nulls)?,
            Self::Map(map) => map.take(data_type, nulls)?,
            Self::Row(object) => object.take(data_type, nulls)?,
            Self::Unreadable => new_null_array(data_type, len),
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let values = mem::replace(values, Vec::with_capacity(values.len()));
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?.with_data_type(data_type.clone())))
}
