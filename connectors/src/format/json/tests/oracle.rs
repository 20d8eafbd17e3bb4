//! arrow-json reads the same messages: the batches must be equal.

use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, SchemaRef};
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Value, json};

use super::{decoder, list, map, micros, nullable, row, schema};
use crate::format::Decoded;

/// A type that arrow-json reads in the same way.
fn types() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::Float32),
        Just(DataType::Float64),
        Just(DataType::Decimal128(20, 4)),
        Just(DataType::Utf8),
        Just(DataType::Date32),
        Just(micros(false)),
        Just(micros(true)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(list),
            inner.clone().prop_map(|value| map(DataType::Utf8, value)),
            proptest::collection::vec(inner, 1..4).prop_map(|types| row(fields(types))),
        ]
    })
}

fn fields(types: Vec<DataType>) -> Vec<Field> {
    types.into_iter().enumerate().map(|(index, data_type)| nullable(&format!("f{index}"), data_type)).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,20}", any::<String>(), "[\"\\\\/\u{1}-\u{1f}é😀x]{0,12}"]
}

/// A value of `data_type`, or null.
fn values(data_type: &DataType) -> BoxedStrategy<Value> {
    let value = match data_type {
        DataType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        DataType::Int8 => any::<i8>().prop_map(Value::from).boxed(),
        DataType::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        DataType::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        DataType::Float32 => any::<f32>().prop_map(Value::from).boxed(),
        DataType::Float64 => any::<f64>().prop_map(Value::from).boxed(),
        DataType::Decimal128(..) => {
            (any::<i32>(), 0_u32..4).prop_map(|(number, places)| json!(f64::from(number) / 10_f64.powi(places as i32))).boxed()
        }
        DataType::Utf8 => text().prop_map(Value::from).boxed(),
        DataType::Date32 => (1970..2100, 1..13, 1..29).prop_map(|(y, m, d)| json!(format!("{y:04}-{m:02}-{d:02}"))).boxed(),
        DataType::Timestamp(_, zone) => {
            let end = if zone.is_some() { "Z" } else { "" };
            (1900..2100, 1..13, 1..29, 0..24, 0..60, 0..1_000_000)
                .prop_map(move |(y, mo, d, h, mi, us)| json!(format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:07.{us:06}{end}")))
                .boxed()
        }
        DataType::List(element) => proptest::collection::vec(values(element.data_type()), 0..4).prop_map(Value::from).boxed(),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { panic!("entries are rows") };
            proptest::collection::btree_map(text(), values(fields[1].data_type()), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect()))
                .boxed()
        }
        DataType::Struct(fields) => objects(fields.iter().map(|field| field.as_ref().clone()).collect()),
        other => panic!("no values of {other}"),
    };
    Union::new_weighted(vec![(1, Just(Value::Null).boxed()), (5, value)]).boxed()
}

/// Objects with some of `fields` in any order, and others among them.
fn objects(fields: Vec<Field>) -> BoxedStrategy<Value> {
    let columns: Vec<_> = fields.iter().map(|field| (Just(field.name().clone()), values(field.data_type()), 0..8)).collect();
    let others = (Just("other".to_owned()), prop_oneof![Just(json!({"f0": [1, {"x": "]}"}]})), Just(json!("\\\"")), Just(json!(-1.5e3))], 0..8);
    (columns, others)
        .prop_map(|(mut columns, other)| {
            columns.push(other);
            columns.retain(|(_, _, place)| *place > 0);
            columns.sort_by_key(|(_, _, place)| *place);
            Value::Object(columns.into_iter().map(|(name, value, _)| (name, value)).collect())
        })
        .boxed()
}

fn tables() -> impl Strategy<Value = (SchemaRef, Vec<Value>, bool)> {
    proptest::collection::vec(types(), 1..6).prop_flat_map(|types| {
        let columns = fields(types);
        (Just(schema(columns.clone())), proptest::collection::vec(objects(columns), 1..20), any::<bool>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn batches_equal_those_of_arrow_json((schema, messages, pretty) in tables()) {
        let mut ours = decoder(&schema, &[]);
        let mut theirs = ReaderBuilder::new(schema.clone()).build_decoder().expect("oracle");
        for message in &messages {
            let text = if pretty { serde_json::to_string_pretty(message) } else { serde_json::to_string(message) }.expect("text");
            prop_assert_eq!(ours.push(text.as_bytes()), Decoded::Row, "{}", text);
            theirs.decode(text.as_bytes()).expect("oracle reads");
        }
        let expected = theirs.flush().expect("oracle").expect("rows");
        prop_assert_eq!(ours.take().expect("batch"), expected);
    }
}
