//! A table with a column of every type, and random rows for it.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, SchemaRef};
use iceberg::spec::{ListType, MapType, NestedField, PrimitiveType, Schema, StructType, Type};

/// A generator of numbers that is the same in every run.
#[derive(Debug, Clone)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn signed(&mut self) -> i64 {
        self.next().cast_signed() >> 20
    }
}

fn primitive(ty: PrimitiveType) -> Type {
    Type::Primitive(ty)
}

/// Every type of section 10 that format version 2 can store.
pub(super) fn every_type() -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, ty));
    let inner =
        Type::Struct(StructType::new(vec![optional(31, "n", primitive(PrimitiveType::Int)), optional(32, "x", primitive(PrimitiveType::Double))]));
    let row = Type::Struct(StructType::new(vec![optional(21, "a", primitive(PrimitiveType::String)), optional(22, "inner", inner)]));
    let pair = Type::Struct(StructType::new(vec![
        optional(41, "k", primitive(PrimitiveType::String)),
        optional(42, "v", primitive(PrimitiveType::Decimal { precision: 9, scale: 3 })),
    ]));
    let list = |id, element| Type::List(ListType::new(Arc::new(NestedField::list_element(id, element, false))));
    let map = Type::Map(MapType::new(
        Arc::new(NestedField::map_key_element(61, primitive(PrimitiveType::String))),
        Arc::new(NestedField::map_value_element(62, primitive(PrimitiveType::Long), false)),
    ));
    Schema::builder()
        .with_fields(vec![
            Arc::new(NestedField::required(1, "id", primitive(PrimitiveType::Long))),
            optional(2, "flag", primitive(PrimitiveType::Boolean)),
            optional(3, "i", primitive(PrimitiveType::Int)),
            optional(4, "f", primitive(PrimitiveType::Float)),
            optional(5, "d", primitive(PrimitiveType::Double)),
            optional(6, "money", primitive(PrimitiveType::Decimal { precision: 10, scale: 2 })),
            optional(7, "big", primitive(PrimitiveType::Decimal { precision: 30, scale: 5 })),
            optional(8, "day", primitive(PrimitiveType::Date)),
            optional(9, "clock", primitive(PrimitiveType::Time)),
            optional(10, "ts", primitive(PrimitiveType::Timestamp)),
            optional(11, "ltz", primitive(PrimitiveType::Timestamptz)),
            optional(12, "s", primitive(PrimitiveType::String)),
            optional(13, "b", primitive(PrimitiveType::Binary)),
            optional(14, "fixed", primitive(PrimitiveType::Fixed(4))),
            optional(15, "u", primitive(PrimitiveType::Uuid)),
            optional(16, "row", row),
            optional(17, "names", list(51, primitive(PrimitiveType::String))),
            optional(18, "pairs", list(52, pair)),
            optional(19, "m", map),
        ])
        .build()
        .expect("schema")
}

/// `rows` random rows; `id` counts from `first`.
pub(super) fn random_batch(schema: &SchemaRef, rows: usize, first: i64, numbers: &mut Numbers) -> RecordBatch {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| match index {
            0 => Arc::new((first..).take(rows).map(Some).collect::<PrimitiveArray<Int64Type>>()) as ArrayRef,
            _ => random_array(field.data_type(), rows, field.is_nullable(), numbers),
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("batch")
}

fn values<T: ArrowPrimitiveType>(rows: usize, nullable: bool, numbers: &mut Numbers, make: impl Fn(&mut Numbers) -> T::Native) -> PrimitiveArray<T> {
    (0..rows).map(|_| if nullable && numbers.below(5) == 0 { None } else { Some(make(numbers)) }).collect()
}

fn nulls(rows: usize, nullable: bool, numbers: &mut Numbers) -> Option<NullBuffer> {
    nullable.then(|| (0..rows).map(|_| numbers.below(5) != 0).collect::<Vec<bool>>().into())
}

fn bytes(numbers: &mut Numbers) -> Vec<u8> {
    let length = numbers.below(24);
    (0..length).map(|_| u8::try_from(numbers.below(256)).expect("a byte")).collect()
}

fn text(numbers: &mut Numbers) -> String {
    let length = numbers.below(24);
    (0..length).map(|_| ['a', 'b', 'é', '/', '\u{10FFFF}', 'Z'][numbers.below(6) as usize]).collect()
}

fn random_array(data_type: &DataType, rows: usize, nullable: bool, numbers: &mut Numbers) -> ArrayRef {
    let missing = |numbers: &mut Numbers| nullable && numbers.below(5) == 0;
    match data_type {
        DataType::Boolean => Arc::new((0..rows).map(|_| if missing(numbers) { None } else { Some(numbers.below(2) == 0) }).collect::<BooleanArray>()),
        DataType::Int32 => Arc::new(values::<Int32Type>(rows, nullable, numbers, |numbers| (numbers.signed() >> 20) as i32)),
        DataType::Int64 => Arc::new(values::<Int64Type>(rows, nullable, numbers, Numbers::signed)),
        DataType::Float32 => {
            Arc::new(values::<Float32Type>(rows, nullable, numbers, |numbers| if numbers.below(7) == 0 { f32::NAN } else { numbers.signed() as f32 }))
        }
        DataType::Float64 => {
            Arc::new(values::<Float64Type>(
                rows,
                nullable,
                numbers,
                |numbers| {
                    if numbers.below(7) == 0 { f64::NAN } else { numbers.signed() as f64 / 3.0 }
                },
            ))
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let array =
                values::<Decimal128Type>(rows, nullable, numbers, |numbers| (i128::from(numbers.signed()) * i128::from(numbers.signed())) % limit);
            Arc::new(array.with_precision_and_scale(*precision, *scale).expect("decimal"))
        }
        DataType::Date32 => Arc::new(values::<Date32Type>(rows, nullable, numbers, |numbers| (numbers.signed() >> 30) as i32)),
        DataType::Time64(_) => {
            Arc::new(values::<Time64MicrosecondType>(rows, nullable, numbers, |numbers| numbers.below(86_400_000_000).cast_signed()))
        }
        DataType::Timestamp(_, zone) => {
            let array = values::<TimestampMicrosecondType>(rows, nullable, numbers, |numbers| numbers.signed() << 9);
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => Arc::new((0..rows).map(|_| if missing(numbers) { None } else { Some(text(numbers)) }).collect::<StringArray>()),
        DataType::Binary => Arc::new((0..rows).map(|_| if missing(numbers) { None } else { Some(bytes(numbers)) }).collect::<BinaryArray>()),
        DataType::FixedSizeBinary(width) => {
            let value = |numbers: &mut Numbers| (0..*width).map(|_| u8::try_from(numbers.below(256)).expect("a byte")).collect::<Vec<u8>>();
            let all = (0..rows).map(|_| if missing(numbers) { None } else { Some(value(numbers)) });
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(all, *width).expect("fixed"))
        }
        DataType::Struct(fields) => {
            let children = fields.iter().map(|field| random_array(field.data_type(), rows, field.is_nullable(), numbers)).collect();
            Arc::new(StructArray::new(fields.clone(), children, nulls(rows, nullable, numbers)))
        }
        DataType::List(element) => {
            let lengths: Vec<usize> = (0..rows).map(|_| numbers.below(4) as usize).collect();
            let inner = random_array(element.data_type(), lengths.iter().sum(), element.is_nullable(), numbers);
            Arc::new(ListArray::new(Arc::clone(element), OffsetBuffer::from_lengths(lengths), inner, nulls(rows, nullable, numbers)))
        }
        DataType::Map(entries, _) => {
            let lengths: Vec<usize> = (0..rows).map(|_| numbers.below(4) as usize).collect();
            let inner = random_array(entries.data_type(), lengths.iter().sum(), false, numbers);
            let inner = inner.as_any().downcast_ref::<StructArray>().expect("entries").clone();
            Arc::new(MapArray::new(Arc::clone(entries), OffsetBuffer::from_lengths(lengths), inner, nulls(rows, nullable, numbers), false))
        }
        other => panic!("no random rows of type {other}"),
    }
}
