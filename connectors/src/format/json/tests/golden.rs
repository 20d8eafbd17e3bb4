//! What each type takes.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, TimeUnit};

use super::{decoder, list, map, micros, nullable, row, schema, value};
use crate::format::Decoded;

fn good(data_type: &DataType, text: &str, expected: &str) {
    assert_eq!(value(data_type.clone(), text, &[]).as_deref(), Ok(expected), "{data_type} from {text}");
}

#[test]
fn every_type_takes_its_own_values() {
    good(&DataType::Boolean, "true", "true");
    good(&DataType::Boolean, "false", "false");
    good(&DataType::Int8, "-128", "-128");
    good(&DataType::Int16, "32767", "32767");
    good(&DataType::Int32, "-2147483648", "-2147483648");
    good(&DataType::Int64, "9223372036854775807", "9223372036854775807");
    good(&DataType::Int64, "1e3", "1000");
    good(&DataType::Float32, "1.5", "1.5");
    good(&DataType::Float64, "-2.5e-3", "-0.0025");
    good(&DataType::Decimal128(10, 2), "12.345", "12.35");
    good(&DataType::Utf8, r#""a\n\u00e9\ud83d\ude00 ""#, "a\né😀 ");
    good(&DataType::Utf8, r#""""#, "");
    good(&DataType::Binary, r#""AP8=""#, "00ff");
    good(&DataType::FixedSizeBinary(2), r#""AP8""#, "00ff");
    good(&DataType::Date32, r#""2024-02-29""#, "2024-02-29");
    good(&DataType::Time64(TimeUnit::Microsecond), r#""23:59:59.1234567""#, "23:59:59.123456");
    good(&micros(false), r#""2024-02-29 12:00:00.5""#, "2024-02-29T12:00:00.500");
    good(&micros(true), r#""2024-02-29 12:00:00Z""#, "2024-02-29T12:00:00Z");
    good(&DataType::Timestamp(TimeUnit::Nanosecond, None), r#""2024-02-29 12:00:00.123456789""#, "2024-02-29T12:00:00.123456789");
    good(&list(DataType::Int32), "[1, null ,3]", "[1, , 3]");
    good(&list(DataType::Utf8), "[ ]", "[]");
    good(&map(DataType::Utf8, DataType::Int32), r#"{"a":1, "b":null}"#, "{a: 1, b: }");
    good(&map(DataType::Utf8, DataType::Int32), "{}", "{}");
    good(&map(DataType::Int64, DataType::Utf8), r#"{"7":"x"}"#, "{7: x}");
    good(&map(DataType::Date32, DataType::Utf8), r#"{"2024-01-01":"x"}"#, "{2024-01-01: x}");
    good(&row(vec![nullable("b", DataType::Int32), nullable("c", list(DataType::Utf8))]), r#"{"c":["x"],"b":1}"#, "{b: 1, c: [x]}");
    for data_type in [DataType::Int64, DataType::Utf8, list(DataType::Int8), map(DataType::Utf8, DataType::Utf8), row(vec![]), DataType::Binary] {
        good(&data_type, "null", "NULL");
    }
}

#[test]
fn numbers_and_booleans_are_read_from_strings_too() {
    good(&DataType::Int32, r#"" +007 ""#, "7");
    good(&DataType::Int64, r#""\u0031\u0032""#, "12");
    good(&DataType::Float64, r#""-.5""#, "-0.5");
    good(&DataType::Float64, r#""NaN""#, "NaN");
    good(&DataType::Float32, r#""-Infinity""#, "-inf");
    good(&DataType::Decimal128(5, 1), r#""1.25""#, "1.3");
    good(&DataType::Boolean, r#""TRUE""#, "true");
}

#[test]
fn a_string_column_takes_the_json_text_of_anything_else() {
    good(&DataType::Utf8, "1.50", "1.50");
    good(&DataType::Utf8, "true", "true");
    good(&DataType::Utf8, r#"{ "x" : [ 1 , "a b" ] }"#, r#"{"x":[1,"a b"]}"#);
    good(&DataType::Utf8, "[ ]", "[]");
}

#[test]
fn timestamps_follow_the_standard_that_is_set() {
    let iso = [("timestamp-format.standard", "iso_8601")];
    assert_eq!(value(micros(false), r#""2024-02-29T12:00""#, &iso).as_deref(), Ok("2024-02-29T12:00:00"));
    assert_eq!(value(micros(true), r#""2024-02-29T12:00:00.25Z""#, &iso).as_deref(), Ok("2024-02-29T12:00:00.250Z"));
    let reason = value(micros(false), r#""2024-02-29T12:00:00""#, &[]).expect_err("SQL").reason;
    assert!(reason.ends_with("'yyyy-MM-dd HH:mm:ss[.fraction]'; 'json.timestamp-format.standard' = 'ISO-8601' reads it"), "{reason}");
    let reason = value(micros(true), r#""2024-02-29 12:00:00""#, &[]).expect_err("no zone").reason;
    assert!(reason.ends_with("a TIMESTAMP_LTZ needs a 'Z' at its end"), "{reason}");
}

#[test]
fn the_last_of_equal_names_wins_wherever_it_stands() {
    let inner = row(vec![nullable("x", DataType::Utf8), nullable("y", list(DataType::Int64))]);
    let schema = schema(vec![nullable("a", DataType::Int64), nullable("b", inner), nullable("m", map(DataType::Utf8, list(DataType::Int64)))]);
    let mut decoder = decoder(&schema, &[]);
    let message = br#"{"a":1,"b":{"x":"first","y":[1,2],"x":"second"},"a":null,"m":{"k":[1],"l":[2],"k":[3,4]},"b":{"y":[5]},"a":7}"#;
    assert_eq!(decoder.push(message), Decoded::Row);
    let expected = r#"{"a":7,"b":{"y":[5]},"m":{"l":[2],"k":[3,4]}}"#;
    assert_eq!(decoder.push(expected.as_bytes()), Decoded::Row);
    let batch = decoder.take().expect("batch");
    assert_eq!(batch.slice(0, 1), batch.slice(1, 1));
}

#[test]
fn names_are_found_in_any_order_and_spelling_and_unknown_ones_are_passed_over() {
    let schema = schema(vec![
        nullable("id", DataType::Int64),
        nullable("a name of more than sixteen bytes", DataType::Int64),
        nullable("q\"é", DataType::Int64),
    ]);
    let mut decoder = decoder(&schema, &[]);
    for message in [
        r#"{"id":1,"a name of more than sixteen bytes":2,"q\"é":3}"#,
        r#"{"q\"\u00e9":3,"a name of more than sixteen bytes":2,"id":1}"#,
        r#"{ "new" : [{"id":9},"]\"}"] , "\u0069d" : 1 ,"q\"é": 3, "a name of more than sixteen bytes":2}"#,
        r#"{"new":{},"id" :1,"a name of more than sixteen byteZ":0,"q\"é":3,"a name of more than sixteen bytes":2}"#,
        "{\t\"id\":1\n,\r\"q\\\"é\":3,\"a name of more than sixteen bytes\":2} \n",
    ] {
        assert_eq!(decoder.push(message.as_bytes()), Decoded::Row, "{message}");
    }
    let batch = decoder.take().expect("batch");
    for (column, expected) in batch.columns().iter().zip(1..) {
        assert!(column.as_primitive::<Int64Type>().values().iter().all(|value| *value == expected), "{column:?}");
    }
}

#[test]
fn names_beyond_those_remembered_are_read_all_the_same() {
    let schema = schema(vec![nullable("id", DataType::Int64)]);
    let mut decoder = decoder(&schema, &[]);
    for index in 0..1_000 {
        assert_eq!(decoder.push(format!(r#"{{"k{index}":0,"id":{index},"l{index}":0}}"#).as_bytes()), Decoded::Row);
    }
    let batch = decoder.take().expect("batch");
    assert!(batch.column(0).as_primitive::<Int64Type>().values().iter().copied().eq(0..1_000));
}

#[test]
fn a_missing_field_is_null_unless_it_may_not_be() {
    let schema = schema(vec![nullable("a", DataType::Int64), nullable("r", row(vec![nullable("b", DataType::Int64)]))]);
    let mut lenient = decoder(&schema, &[]);
    assert_eq!(lenient.push(br#"{"r":{}}"#), Decoded::Row);
    let batch = lenient.take().expect("batch");
    assert!(batch.column(0).is_null(0) && batch.column(1).is_valid(0) && batch.column(1).as_struct().column(0).is_null(0));

    let mut strict = decoder(&schema, &[("fail-on-missing-field", "true")]);
    assert_eq!(strict.push(br#"{"a":null,"r":null}"#), Decoded::Row, "null is not missing");
    let Decoded::Failed(bad) = strict.push(br#"{"a":1,"r":{}}"#) else { panic!("missing") };
    assert_eq!((bad.column.as_deref(), bad.tolerated_by), (Some("r.b"), None));
    assert!(bad.reason.contains("'json.fail-on-missing-field' is 'true'"), "{}", bad.reason);
    assert_eq!(strict.rows(), 1);
}

#[test]
fn a_not_null_column_needs_a_value() {
    let inner = row(vec![Field::new("c", DataType::Int64, false)]);
    let schema = schema(vec![Field::new("a", DataType::Int64, false), nullable("r", inner)]);
    let mut decoder = decoder(&schema, &[]);
    for (message, column) in [(r#"{"a":null}"#, "a"), ("{}", "a"), (r#"{"a":1,"r":{}}"#, "r.c")] {
        let Decoded::Failed(bad) = decoder.push(message.as_bytes()) else { panic!("{message}") };
        assert_eq!(bad.column.as_deref(), Some(column));
        assert!(bad.reason.contains("NOT NULL"), "{}", bad.reason);
    }
    assert_eq!(decoder.push(br#"{"a":1,"r":null}"#), Decoded::Row, "a NULL row has no fields");
    assert_eq!(decoder.take().expect("batch").num_rows(), 1);
}

#[test]
fn messages_without_a_row_give_nothing() {
    let mut decoder = decoder(&schema(vec![nullable("a", DataType::Int64)]), &[]);
    for message in ["", " \n", "null", " null "] {
        assert_eq!(decoder.push(message.as_bytes()), Decoded::Nothing, "{message:?}");
    }
    assert_eq!(decoder.rows(), 0);
    assert_eq!(decoder.take().expect("an empty batch").num_rows(), 0);
}

#[test]
fn no_column_at_all_still_counts_rows() {
    let mut decoder = decoder(&schema(vec![]), &[]);
    assert_eq!(decoder.push(br#"{"a":1}"#), Decoded::Row);
    assert_eq!(decoder.push(b"{}"), Decoded::Row);
    assert_eq!(decoder.take().expect("batch").num_rows(), 2);
}
