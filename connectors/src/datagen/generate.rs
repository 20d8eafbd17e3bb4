//! Generators: from the numbers of rows to arrays.

use std::sync::Arc;

use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};

const DAY_MILLIS: i64 = 86_400_000;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The size of a text or a collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) length: usize,
    /// From 1 to `length`.
    pub(super) varies: bool,
}

/// What a column's values are.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Boolean,
    Integer { min: i64, max: i64 },
    Float { min: f64, max: f64 },
    Decimal { min: i128, max: i128 },
    Text(Size),
    Bytes(Size),
    Date,
    Time,
    Timestamp { max_past: u64 },
    Sequence { start: i64 },
    List(Size, Box<Generator>),
    Map(Size, Box<(Generator, Generator)>),
    Row(Vec<Generator>),
}

/// The values of one column.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    pub(super) seed: u64,
    pub(super) data_type: DataType,
    pub(super) null_rate: f64,
    pub(super) kind: Kind,
}

/// One value to make: its own number, from which it is drawn, and the number of the row it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    draw: u64,
    row: i64,
}

impl Slot {
    /// The value of row `row`.
    pub(super) fn of_row(row: i64) -> Self {
        Self { draw: row.unsigned_abs(), row }
    }

    /// Element `index` in this one.
    fn element(self, index: usize) -> Self {
        Self { draw: mix(self.draw).wrapping_add(index as u64), row: self.row }
    }
}

/// The time of a row: rows follow one another at the rate of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowClock {
    /// Milliseconds since 1970 at which row 0 was due.
    pub(super) begin: i64,
    /// Rows in a second.
    pub(super) rate: i64,
}

impl RowClock {
    fn millis(self, row: i64) -> i64 {
        let after = i128::from(row) * 1_000 / i128::from(self.rate.max(1));
        self.begin.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
    }
}

impl Generator {
    /// The values of `slots`.
    pub(super) fn array(&self, slots: &[Slot], clock: RowClock) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls(slots);
        let random = |slot: &Slot| mix(self.seed ^ mix(slot.draw));
        Ok(match &self.kind {
            Kind::Boolean => Arc::new(BooleanArray::new(slots.iter().map(|slot| random(slot) & 1 == 1).collect::<BooleanBuffer>(), nulls)),
            Kind::Integer { min, max } => self.whole(slots.iter().map(|slot| between(random(slot), *min, *max)), nulls)?,
            Kind::Sequence { start } => self.whole(slots.iter().map(|slot| start.saturating_add(slot.row)), nulls)?,
            Kind::Float { min, max } => self.float(slots.iter().map(|slot| min + (max / 2.0 - min / 2.0) * 2.0 * unit(random(slot))), nulls),
            Kind::Decimal { min, max } => {
                let span = max.abs_diff(*min).saturating_add(1);
                let draw = |slot: &Slot| u128::from(random(slot)) << 64 | u128::from(mix(random(slot)));
                self.decimal(slots.iter().map(|slot| min.saturating_add_unsigned(draw(slot) % span)), nulls)?
            }
            Kind::Text(size) => {
                let (offsets, values) = self.bytes(slots, *size, |byte| HEX[usize::from(byte & 15)])?;
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Kind::Bytes(size) => {
                let (offsets, values) = self.bytes(slots, *size, |byte| byte)?;
                match &self.data_type {
                    DataType::FixedSizeBinary(width) => Arc::new(FixedSizeBinaryArray::try_new(*width, values, nulls)?),
                    _ => Arc::new(BinaryArray::try_new(offsets, values, nulls)?),
                }
            }
            Kind::Date => {
                let days = slots.iter().map(|slot| i32::try_from(clock.millis(slot.row).div_euclid(DAY_MILLIS)).unwrap_or(i32::MAX));
                Arc::new(Date32Array::new(days.collect(), nulls))
            }
            Kind::Time => {
                let micros = slots.iter().map(|slot| clock.millis(slot.row).rem_euclid(DAY_MILLIS) * 1_000);
                Arc::new(Time64MicrosecondArray::new(micros.collect(), nulls))
            }
            Kind::Timestamp { max_past } => {
                let past = |slot: &Slot| i64::try_from(random(slot) % max_past.saturating_add(1)).unwrap_or(0);
                self.timestamp(slots.iter().map(|slot| clock.millis(slot.row).saturating_sub(past(slot))), nulls)
            }
            Kind::Row(parts) => {
                let DataType::Struct(fields) = &self.data_type else { return Err(self.misfit()) };
                let arrays = parts.iter().map(|part| part.array(slots, clock)).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, slots.len())?)
            }
            Kind::List(size, element) => {
                let DataType::List(field) = &self.data_type else { return Err(self.misfit()) };
                let (offsets, elements) = elements(slots, *size);
                Arc::new(ListArray::try_new(Arc::clone(field), offsets, element.array(&elements, clock)?, nulls)?)
            }
            Kind::Map(size, parts) => {
                let DataType::Map(entries, sorted) = &self.data_type else { return Err(self.misfit()) };
                let DataType::Struct(fields) = entries.data_type() else { return Err(self.misfit()) };
                let (offsets, elements) = elements(slots, *size);
                let columns = vec![parts.0.array(&elements, clock)?, parts.1.array(&elements, clock)?];
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, StructArray::try_new(fields.clone(), columns, None)?, nulls, *sorted)?)
            }
        })
    }

    fn nulls(&self, slots: &[Slot]) -> Option<NullBuffer> {
        let valid = |slot: &Slot| unit(mix(self.seed.wrapping_add(1) ^ mix(slot.draw))) >= self.null_rate;
        (self.null_rate > 0.0).then(|| slots.iter().map(valid).collect::<BooleanBuffer>().into())
    }

    /// Whole numbers as values of the column's type, each of which holds them.
    fn whole(&self, values: impl Iterator<Item = i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match &self.data_type {
            DataType::Int8 => primitive::<Int8Type>(values.map(|value| value as i8), nulls),
            DataType::Int16 => primitive::<Int16Type>(values.map(|value| value as i16), nulls),
            DataType::Int32 => primitive::<Int32Type>(values.map(|value| value as i32), nulls),
            DataType::Int64 => primitive::<Int64Type>(values, nulls),
            DataType::Float32 | DataType::Float64 => self.float(values.map(|value| value as f64), nulls),
            DataType::Decimal128(_, scale) => {
                let unit = 10_i128.checked_pow(u32::try_from(*scale).unwrap_or(0)).unwrap_or(1);
                self.decimal(values.map(|value| i128::from(value).saturating_mul(unit)), nulls)?
            }
            _ => {
                let texts = StringArray::from_iter_values(values.map(|value| value.to_string()));
                Arc::new(StringArray::try_new(texts.offsets().clone(), texts.values().clone(), nulls)?)
            }
        })
    }

    fn float(&self, values: impl Iterator<Item = f64>, nulls: Option<NullBuffer>) -> ArrayRef {
        match self.data_type {
            DataType::Float32 => primitive::<Float32Type>(values.map(|value| value as f32), nulls),
            _ => primitive::<Float64Type>(values, nulls),
        }
    }

    fn decimal(&self, values: impl Iterator<Item = i128>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::Decimal128(precision, scale) = self.data_type else { return Err(self.misfit()) };
        let array = PrimitiveArray::<Decimal128Type>::new(values.collect(), nulls);
        Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
    }

    fn timestamp(&self, millis: impl Iterator<Item = i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        let zone = match &self.data_type {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        if matches!(self.data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)) {
            return Arc::new(
                TimestampNanosecondArray::new(millis.map(|millis| millis.saturating_mul(1_000_000)).collect(), nulls).with_timezone_opt(zone),
            );
        }
        Arc::new(TimestampMicrosecondArray::new(millis.map(|millis| millis.saturating_mul(1_000)).collect(), nulls).with_timezone_opt(zone))
    }

    /// Random bytes, each put through `letter`.
    fn bytes(&self, slots: &[Slot], size: Size, letter: impl Fn(u8) -> u8) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
        let mut values = Vec::with_capacity(slots.len() * size.length);
        let mut ends = Vec::with_capacity(slots.len() + 1);
        ends.push(0);
        for slot in slots {
            let mut draw = mix(self.seed ^ mix(slot.draw));
            let length = if size.varies && size.length > 0 { 1 + (draw % size.length as u64) as usize } else { size.length };
            let end = values.len() + length;
            while values.len() < end {
                draw = mix(draw);
                values.extend(draw.to_le_bytes().into_iter().take(end - values.len()).map(&letter));
            }
            let Ok(offset) = i32::try_from(end) else { return Err(ArrowError::OffsetOverflowError(end)) };
            ends.push(offset);
        }
        Ok((OffsetBuffer::new(ends.into()), Buffer::from_vec(values)))
    }

    fn misfit(&self) -> ArrowError {
        ArrowError::SchemaError(format!("the generator was not made for {}", self.data_type))
    }
}

fn primitive<T: ArrowPrimitiveType>(values: impl Iterator<Item = T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.collect(), nulls))
}

/// The elements of collections of `size` in `slots`, and where each collection ends.
fn elements(slots: &[Slot], size: Size) -> (OffsetBuffer<i32>, Vec<Slot>) {
    let elements = slots.iter().flat_map(|slot| (0..size.length).map(|index| slot.element(index))).collect();
    (OffsetBuffer::from_lengths(slots.iter().map(|_| size.length)), elements)
}

/// The output function of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// `draw` as a number from 0 (included) to 1.
fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// `draw` as a number from `min` to `max`, both included.
fn between(draw: u64, min: i64, max: i64) -> i64 {
    let span = u128::from(max.abs_diff(min)) + 1;
    let above = (u128::from(draw) * span) >> 64;
    min.saturating_add_unsigned(u64::try_from(above).unwrap_or(u64::MAX))
}
