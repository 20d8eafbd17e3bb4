//! Random columns and rows: of a seed, so that a failure can be run again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// What may occur.
#[derive(Debug, Clone)]
pub(in crate::format) struct Limits {
    /// How deep types are nested.
    pub(in crate::format) depth: usize,
    pub(in crate::format) maps: bool,
    /// Keys of maps are texts only.
    pub(in crate::format) text_keys: bool,
    pub(in crate::format) nanos: bool,
    /// Of which texts within lists and rows are made; they have one character at least, and nothing there is NULL. Empty: as elsewhere.
    pub(in crate::format) parts: &'static str,
    /// Columns have names of letters and digits only.
    pub(in crate::format) plain_names: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 2, maps: true, text_keys: false, nanos: true, parts: "", plain_names: false }
    }
}

/// Of which texts are made.
const ALPHABET: &str = "abcdefghijklmnop ,;|:\"'\\\n\r\t#\u{1}\u{7f}{}[]0éß😀";

/// A sequence of numbers (SplitMix64).
struct Random<'a> {
    state: u64,
    limits: &'a Limits,
}

/// A batch of random columns.
pub(in crate::format) fn batch(seed: u64, limits: &Limits) -> RecordBatch {
    let mut random = Random { state: seed, limits };
    let name = |index: i64| if limits.plain_names { format!("c{index}") } else { format!("c {index}\"é") };
    let fields: Vec<Field> = (0..random.below(1..7)).map(|index| random.field(&name(index), limits.depth)).collect();
    batch_of(random.next(), Arc::new(Schema::new(fields)), limits)
}

/// A batch of random rows.
pub(in crate::format) fn batch_of(seed: u64, schema: SchemaRef, limits: &Limits) -> RecordBatch {
    let mut random = Random { state: seed, limits };
    let rows = random.below(1..20) as usize;
    let columns = schema.fields().iter().map(|field| random.column(field, rows, false)).collect();
    RecordBatch::try_new(schema, columns).expect("batch")
}

impl Random<'_> {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, range: Range<i64>) -> i64 {
        let width = (range.end - range.start).cast_unsigned();
        range.start + (self.next() % width).cast_signed()
    }

    fn field(&mut self, name: &str, depth: usize) -> Field {
        let nullable = self.below(0..3) > 0;
        Field::new(name, self.data_type(depth), nullable)
    }

    fn data_type(&mut self, depth: usize) -> DataType {
        let nested = if depth == 0 { 0 } else { 3 };
        match self.below(0..17 + nested) {
            0 => DataType::Boolean,
            1 => DataType::Int8,
            2 => DataType::Int16,
            3 => DataType::Int32,
            4 => DataType::Int64,
            5 => DataType::Float32,
            6 => DataType::Float64,
            7 => DataType::Decimal128(38, self.below(0..39) as i8),
            8 => DataType::Decimal128(10, 2),
            9 => DataType::Binary,
            10 => DataType::FixedSizeBinary(5),
            11 => DataType::Date32,
            12 => DataType::Time64(TimeUnit::Microsecond),
            13 => DataType::Timestamp(TimeUnit::Microsecond, None),
            14 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            15 if self.limits.nanos => DataType::Timestamp(TimeUnit::Nanosecond, None),
            15 | 16 => DataType::Utf8,
            17 => DataType::List(Arc::new(self.field("element", depth - 1))),
            18 if self.limits.maps => {
                let key = if self.limits.text_keys || self.below(0..2) == 0 { DataType::Utf8 } else { DataType::Int32 };
                let entries = vec![Field::new("key", key, false), self.field("value", depth - 1)];
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(Fields::from(entries)), false)), false)
            }
            _ => {
                let fields: Vec<Field> = (0..self.below(2..4)).map(|index| self.field(&format!("f{index}"), depth - 1)).collect();
                DataType::Struct(Fields::from(fields))
            }
        }
    }

    /// A time between the years 0000 and 9999, or those that nanoseconds reach.
    fn seconds(&mut self, nanos: bool) -> i64 {
        self.below(if nanos { -9_000_000_000..9_000_000_000 } else { -62_167_219_200..253_402_300_800 })
    }

    fn text(&mut self, part: bool) -> String {
        let parts = part && !self.limits.parts.is_empty();
        let characters: Vec<char> = if parts { self.limits.parts } else { ALPHABET }.chars().collect();
        (0..self.below(i64::from(parts)..20)).map(|_| characters[self.next() as usize % characters.len()]).collect()
    }

    fn bytes(&mut self, count: i64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Whole numbers of every size.
    fn whole(&mut self, bits: u32) -> i64 {
        let value = self.next().cast_signed() >> (64 - bits);
        value >> self.below(0..bits.into())
    }

    fn double(&mut self) -> f64 {
        match self.below(0..8) {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            3 => self.whole(40) as f64 / 8.0,
            _ => Some(f64::from_bits(self.next())).filter(|value| !value.is_nan()).unwrap_or(1.0),
        }
    }

    /// A column of `field`; `part`: within a list or a row.
    fn column(&mut self, field: &Field, rows: usize, part: bool) -> ArrayRef {
        let never = part && !self.limits.parts.is_empty();
        let is_null: Vec<bool> = (0..rows).map(|_| field.is_nullable() && !never && self.below(0..4) == 0).collect();
        macro_rules! values {
            ($array:ty, $value:expr) => {
                Arc::new(is_null.iter().map(|null| (!null).then(|| $value)).collect::<$array>())
            };
        }
        match field.data_type() {
            DataType::Boolean => values!(BooleanArray, self.below(0..2) == 0),
            DataType::Int8 => values!(Int8Array, self.whole(8) as i8),
            DataType::Int16 => values!(Int16Array, self.whole(16) as i16),
            DataType::Int32 => values!(Int32Array, self.whole(32) as i32),
            DataType::Int64 => values!(Int64Array, self.whole(64)),
            DataType::Float32 => values!(Float32Array, if self.below(0..2) == 0 { self.whole(20) as f32 } else { 1.1e30 }),
            DataType::Float64 => values!(Float64Array, self.double()),
            DataType::Decimal128(precision, scale) => {
                let limit = 10_i128.pow(u32::from(*precision) - self.below(0..(*precision).into()) as u32);
                let values = values!(Decimal128Array, i128::from(self.next().cast_signed()) * i128::from(self.next().cast_signed()) % limit);
                Arc::new(Decimal128Array::clone(&values).with_precision_and_scale(*precision, *scale).expect("decimals"))
            }
            DataType::Utf8 => values!(StringArray, self.text(part)),
            DataType::Binary => {
                values!(BinaryArray, {
                    let count = self.below(i64::from(part)..9);
                    self.bytes(count)
                })
            }
            DataType::FixedSizeBinary(size) => {
                let values = is_null.iter().map(|null| (!null).then(|| self.bytes((*size).into())));
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *size).expect("bytes"))
            }
            DataType::Date32 => values!(Date32Array, self.seconds(false).div_euclid(86_400) as i32),
            // Avro has times in milliseconds.
            DataType::Time64(_) => values!(Time64MicrosecondArray, self.below(0..86_400_000) * 1_000),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let values = values!(TimestampMicrosecondArray, self.seconds(false) * 1_000_000 + self.below(0..1_000_000));
                Arc::new(TimestampMicrosecondArray::clone(&values).with_timezone_opt(zone.clone()))
            }
            DataType::Timestamp(..) => values!(TimestampNanosecondArray, self.seconds(true) * 1_000_000_000 + self.below(0..1_000_000_000)),
            DataType::List(element) => {
                let lengths: Vec<usize> = is_null.iter().map(|null| if *null { 0 } else { self.below(0..4) as usize }).collect();
                let elements = self.column(element, lengths.iter().sum(), true);
                Arc::new(ListArray::new(Arc::clone(element), OffsetBuffer::from_lengths(lengths), elements, nulls(&is_null)))
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { panic!("{entries}") };
                let keys: Vec<BTreeSet<i32>> = is_null
                    .iter()
                    .map(|null| if *null { BTreeSet::new() } else { (0..self.below(0..4)).map(|_| self.whole(5) as i32).collect() })
                    .collect();
                let lengths: Vec<usize> = keys.iter().map(BTreeSet::len).collect();
                let all: Vec<i32> = keys.into_iter().flatten().collect();
                let keys: ArrayRef = if fields[0].data_type() == &DataType::Utf8 {
                    Arc::new(StringArray::from_iter_values(all.iter().map(|key| format!("k\"{key}"))))
                } else {
                    Arc::new(Int32Array::from(all))
                };
                let values = self.column(&fields[1], keys.len(), true);
                let inside = StructArray::new(fields.clone(), vec![keys, values], None);
                Arc::new(MapArray::new(Arc::clone(entries), OffsetBuffer::from_lengths(lengths), inside, nulls(&is_null), false))
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.column(field, rows, true)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, nulls(&is_null)))
            }
            other => panic!("{other}"),
        }
    }
}

fn nulls(is_null: &[bool]) -> Option<NullBuffer> {
    Some(NullBuffer::from(is_null.iter().map(|null| !null).collect::<Vec<bool>>())).filter(|nulls| nulls.null_count() > 0)
}
