//! Answers byte by byte, and random ones.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use weir_base::options::OptionBag;

use super::{decoder, echo, schema, values};
use crate::format::json::JsonFactory;
use crate::format::{Decoded, Decoder, FormatFactory};

/// A value that is not NULL, in the form of its type.
fn value(bytes: &[u8]) -> Vec<u8> {
    [&[1], bytes].concat()
}

/// A length and so many bytes behind a tag.
fn sized(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag], u32::try_from(bytes.len()).expect("short").to_le_bytes().as_slice(), bytes].concat()
}

fn count(values: &[Vec<u8>]) -> Vec<u8> {
    [value(&u32::try_from(values.len()).expect("few").to_le_bytes()), values.concat()].concat()
}

fn rows(values: &[Vec<u8>]) -> Vec<u8> {
    [vec![0], values.concat()].concat()
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

fn map(value: DataType) -> DataType {
    let entries = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)].into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn micros(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
}

fn every_type() -> SchemaRef {
    schema(&[
        ("boolean", DataType::Boolean),
        ("tiny", DataType::Int8),
        ("small", DataType::Int16),
        ("int", DataType::Int32),
        ("big", DataType::Int64),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("decimal", DataType::Decimal128(10, 2)),
        ("text", DataType::Utf8),
        ("bytes", DataType::Binary),
        ("fixed", DataType::FixedSizeBinary(2)),
        ("day", DataType::Date32),
        ("clock", DataType::Time64(TimeUnit::Microsecond)),
        ("at", micros(None)),
        ("zoned", micros(Some("UTC"))),
        ("fine", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("list", list(DataType::Int32)),
        ("map", map(DataType::Int64)),
        ("row", DataType::Struct(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)].into())),
    ])
}

/// One row of [`every_type`], and what it looks like.
fn full_row() -> (Vec<Vec<u8>>, Vec<&'static str>) {
    [
        (value(&[1]), "true"),
        (value(&[0xff]), "-1"),
        (value(&[0, 1]), "256"),
        (value(&[0, 0, 1, 0]), "65536"),
        (value(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "-2"),
        (value(&1.5_f32.to_le_bytes()), "1.5"),
        (value(&(-2.5_f64).to_le_bytes()), "-2.5"),
        (value(&1_250_i128.to_le_bytes()), "12.50"),
        (sized(1, "größe".as_bytes()), "größe"),
        (sized(1, &[0, 255]), "00ff"),
        (sized(1, &[1, 2]), "0102"),
        (value(&1_i32.to_le_bytes()), "1970-01-02"),
        (value(&1_000_001_i64.to_le_bytes()), "00:00:01.000001"),
        (value(&1_i64.to_le_bytes()), "1970-01-01T00:00:00.000001"),
        (value(&0_i64.to_le_bytes()), "1970-01-01T00:00:00Z"),
        (value(&1_i64.to_le_bytes()), "1970-01-01T00:00:00.000000001"),
        (count(&[value(&7_i32.to_le_bytes()), vec![0]]), "[7, ]"),
        ([value(&1_u32.to_le_bytes()), sized(1, b"k"), value(&8_i64.to_le_bytes())].concat(), "{k: 8}"),
        ([value(&[]), value(&9_i32.to_le_bytes()), vec![0]].concat(), "{a: 9, b: }"),
    ]
    .into_iter()
    .unzip()
}

#[tokio::test]
async fn each_type_has_its_form_and_every_value_may_be_null_or_text() {
    let columns = every_type();
    let mut decoder = decoder(&echo(), &[], &columns).await;
    let (cells, shown) = full_row();
    assert_eq!(decoder.push(&rows(&cells)), Decoded::Row);
    assert_eq!(decoder.push(&rows(&vec![vec![0]; columns.fields().len()])), Decoded::Row);
    assert_eq!(values(&decoder.take().expect("batch")), [shown, vec!["NULL"; columns.fields().len()]]);

    let texts = [
        "TRUE",
        "-1",
        "256",
        "65536",
        "-2",
        "1.5",
        "-2.5",
        "12.495",
        "größe",
        "AP8=",
        "AQI=",
        "1970-01-02",
        "00:00:01.000001",
        "1970-01-01 00:00:00.000001",
        "1970-01-01 00:00:00Z",
        "1970-01-01 00:00:00.000000001",
    ];
    let mut cells: Vec<Vec<u8>> = texts.iter().map(|text| sized(2, text.as_bytes())).collect();
    cells.extend(full_row().0.drain(16..));
    assert_eq!(decoder.push(&rows(&cells)), Decoded::Row);
    assert_eq!(values(&decoder.take().expect("batch")), [full_row().1]);
}

#[tokio::test]
async fn a_message_is_no_row_one_or_several_and_what_is_not_wanted_is_passed_over() {
    let columns = every_type();
    let wanted = Arc::new(columns.project(&[4, 17]).expect("columns"));
    let format = super::prepared(&echo(), &[], &columns).await.expect("format");
    let mut decoder = format.decoder(&wanted);
    let (cells, _) = full_row();
    assert_eq!(decoder.push(&[0]), Decoded::Nothing);
    assert_eq!(decoder.push(&rows(&[cells.clone(), cells.clone(), vec![vec![0]; 19]].concat())), Decoded::Rows(3));
    let some = ["-2", "{k: 8}"];
    assert_eq!(values(&decoder.take().expect("batch")), [some, some, ["NULL", "NULL"]]);
    let mut none = format.decoder(&Arc::new(Schema::empty()));
    assert_eq!(none.push(&rows(&cells)), Decoded::Row);
    assert_eq!(none.take().expect("batch").num_rows(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_told_with_its_place() {
    let columns = schema(&[("a", DataType::Int32), ("b", DataType::Utf8), ("c", map(DataType::Int64)), ("d", DataType::Boolean)]);
    let mut decoder = decoder(&echo(), &[], &columns).await;
    let int = || value(&7_i32.to_le_bytes());
    let (null, key) = (vec![0], || sized(1, b"k"));
    let rest = [null.clone(), null.clone(), null.clone()].concat();
    for (answer, column, phrase) in [
        (vec![], None, "the module's answer is broken at byte 0: it is empty"),
        (vec![9], None, "broken at byte 0: 9 says neither that rows follow nor that the message is bad"),
        ([&[1][..], b"no order"].concat(), None, "no order"),
        (vec![0, 1, 7, 0], Some("a"), "broken at byte 2: 4 bytes are expected and 2 are left"),
        (vec![0, 4], Some("a"), "broken at byte 1: 4 is no tag of a value"),
        (rows(&[int()]), Some("b"), "broken at byte 6: 1 bytes are expected and 0 are left"),
        (rows(&[int(), vec![1, 255, 255, 255, 255]]), Some("b"), "4294967295 bytes are expected and 0 are left"),
        (rows(&[sized(2, b"x"), rest.clone()]), Some("a"), "'x' is not a number"),
        (rows(&[sized(3, b"too many"), rest.clone()]), Some("a"), "too many"),
        (rows(&[int(), sized(1, b"\xff"), null.clone(), null.clone()]), Some("b"), "the text is not UTF-8"),
        (rows(&[int(), null.clone(), null.clone(), value(&[2])]), Some("d"), "2 is not a Boolean, which is 0 or 1"),
        (
            rows(&[int(), null.clone(), [value(&2_u32.to_le_bytes()), key(), null.clone(), key(), null.clone()].concat(), null.clone()]),
            Some("c"),
            "a key of the map comes twice",
        ),
        (
            rows(&[int(), null.clone(), [value(&1_u32.to_le_bytes()), null.clone(), null.clone()].concat(), null.clone()]),
            Some("c[0]"),
            "the column is NOT NULL and has no value here",
        ),
    ] {
        let Decoded::Failed(bad) = decoder.push(&answer) else { panic!("{answer:?} is taken") };
        assert!(bad.reason.ends_with(phrase), "{phrase}\nis not the end of\n{}", bad.reason);
        assert_eq!(bad.column.as_deref(), column, "{phrase}");
        assert_eq!(decoder.rows(), 0, "a bad message leaves nothing");
    }
    assert_eq!(decoder.take().expect("batch").num_rows(), 0);
}

#[tokio::test]
async fn values_that_their_types_do_not_have_are_bad_and_become_null_where_that_is_tolerated() {
    let cases = [
        (DataType::Decimal128(4, 2), value(&10_000_i128.to_le_bytes()), "the unscaled value 10000 is out of range for DECIMAL(4, 2)"),
        (DataType::Date32, value(&i32::MAX.to_le_bytes()), "'2147483647' is out of range for a DATE in days"),
        (DataType::Time64(TimeUnit::Microsecond), value(&86_400_000_000_i64.to_le_bytes()), "is out of range for a TIME in microseconds"),
        (micros(None), value(&i64::MIN.to_le_bytes()), "is out of range for a TIMESTAMP in microseconds"),
        (DataType::FixedSizeBinary(2), sized(1, b"abc"), "expected 2 bytes, found 3"),
        (list(DataType::Int32), sized(3, b"unsorted"), "unsorted"),
    ];
    for (data_type, bytes, phrase) in cases {
        let columns = schema(&[("a", data_type), ("b", DataType::Int32)]);
        let answer = rows(&[bytes, value(&7_i32.to_le_bytes())]);
        let Decoded::Failed(bad) = decoder(&echo(), &[], &columns).await.push(&answer) else { panic!("{phrase}") };
        assert!(bad.reason.ends_with(phrase), "{}", bad.reason);
        let mut tolerant = decoder(&echo(), &[("ignore-parse-errors", "true")], &columns).await;
        assert_eq!(tolerant.push(&answer), Decoded::Row);
        assert_eq!((tolerant.field_errors(), values(&tolerant.take().expect("batch"))), (1, vec![vec!["NULL".to_owned(), "7".to_owned()]]));
    }
}

/// A decoder for property tests, which are not async.
fn made(columns: &SchemaRef, options: &[(&str, &str)]) -> Box<dyn Decoder> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(decoder(&echo(), options, columns))
}

proptest! {
    /// Bytes at random, and rows with bytes changed at random.
    #[test]
    fn no_answer_breaks_the_decoder_and_a_bad_one_leaves_nothing(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tolerant in any::<bool>(),
    ) {
        let mut decoder = made(&every_type(), if tolerant { &[("ignore-parse-errors", "true")] } else { &[] });
        let mut changed = rows(&full_row().0);
        for (place, byte) in changes {
            let place = place.index(changed.len());
            changed[place] = byte;
        }
        for answer in [[vec![0], noise.clone()].concat(), noise, changed] {
            let before = decoder.rows();
            let gained = match decoder.push(&answer) {
                Decoded::Row => 1,
                Decoded::Rows(count) => count,
                _ => 0,
            };
            prop_assert_eq!(decoder.rows(), before + gained);
        }
        let expected = decoder.rows();
        prop_assert_eq!(decoder.take().expect("columns of one length").num_rows(), expected);
    }

    #[test]
    fn rows_are_those_that_json_gives(
        orders in prop::collection::vec((any::<Option<i64>>(), "[a-zé]{0,6}", prop::collection::vec(any::<Option<i32>>(), 0..5)), 1..30),
    ) {
        let columns = schema(&[("id", DataType::Int64), ("name", DataType::Utf8), ("sizes", list(DataType::Int32))]);
        let mut json = JsonFactory.open("j.", &mut OptionBag::new("Table 't'"), &columns).expect("format").decoder(&columns);
        let mut wasm = made(&columns, &[]);
        for (id, name, sizes) in &orders {
            let mut text = format!(r#"{{"id":{},"name":"{name}","sizes":["#, id.map_or("null".to_owned(), |id| id.to_string()));
            for (index, size) in sizes.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(text, "{comma}{}", size.map_or("null".to_owned(), |size| size.to_string())).expect("text");
            }
            text.push_str("]}");
            prop_assert_eq!(json.push(text.as_bytes()), Decoded::Row);
            let id = id.map_or(vec![0], |id| value(&id.to_le_bytes()));
            let sizes: Vec<Vec<u8>> = sizes.iter().map(|size| size.map_or(vec![0], |size| value(&size.to_le_bytes()))).collect();
            prop_assert_eq!(wasm.push(&rows(&[id, sized(1, name.as_bytes()), count(&sizes)])), Decoded::Row);
        }
        prop_assert_eq!(wasm.take().expect("batch"), json.take().expect("batch"));
    }
}
