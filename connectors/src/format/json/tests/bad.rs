//! What cannot be read: the reason, the column, and that nothing else suffers.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, TimeUnit};
use proptest::prelude::*;
use weir_base::options::OptionBag;

use super::{decoder, list, map, micros, nullable, row, schema, value};
use crate::format::json::JsonFactory;
use crate::format::{BadMessage, Decoded, FormatFactory, warn_of_writing};

const TOLERANT: &[(&str, &str)] = &[("ignore-parse-errors", "true")];

#[test]
fn each_type_says_what_it_does_not_take() {
    let cases = [
        (DataType::Boolean, "1", "expected true or false, found a number"),
        (DataType::Boolean, r#""yes""#, "'yes' is not a Boolean"),
        (DataType::Int8, "128", "'128' is out of range for a whole number of 8 bits"),
        (DataType::Int32, r#""2147483648""#, "'2147483648' is out of range for a whole number of 32 bits"),
        (DataType::Int64, "1.5", "expected a whole number, found '1.5'"),
        (DataType::Int64, r#""x""#, "'x' is not a number"),
        (DataType::Int64, "{}", "expected a number, found an object"),
        (DataType::Int64, "true", "expected a number, found true"),
        (DataType::Float64, "1e999", "'1e999' is out of range for DOUBLE"),
        (DataType::Float64, "NaN", "expected a number, found 'N'"),
        (DataType::Decimal128(4, 2), "100", "'100' does not fit into DECIMAL(4, 2)"),
        (DataType::Binary, r#""%%""#, "'%%' is not Base64"),
        (DataType::FixedSizeBinary(4), r#""AP8=""#, "expected 4 bytes in Base64, found 2"),
        (DataType::Date32, r#""2023-02-29""#, "'2023-02-29' is not a date of the form 'yyyy-MM-dd'"),
        (DataType::Time64(TimeUnit::Microsecond), r#""24:00:00""#, "'24:00:00' is not a time"),
        (micros(false), "1700000000", "expected a timestamp, found a number"),
        (micros(false), r#""yesterday""#, "'yesterday' is not a timestamp of the form 'yyyy-MM-dd HH:mm:ss[.fraction]'"),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), r#""2500-01-01 00:00:00""#, "is out of range for a timestamp in nanoseconds"),
        (list(DataType::Int64), "{}", "expected an array, found an object"),
        (map(DataType::Utf8, DataType::Int64), "[]", "expected an object, found an array"),
        (row(vec![]), r#""x""#, "expected an object, found a string"),
    ];
    for (data_type, text, expected) in cases {
        let bad = value(data_type.clone(), text, &[]).expect_err(text);
        assert!(bad.reason.contains(expected), "{data_type} from {text}: {}", bad.reason);
        assert_eq!((bad.column.as_deref(), bad.tolerated_by.as_deref()), (Some("a"), Some("json.ignore-parse-errors")));
    }
}

#[test]
fn the_column_is_named_through_rows_lists_and_maps() {
    let data_type = list(row(vec![nullable("m", map(DataType::Utf8, list(DataType::Int64)))]));
    let bad = value(data_type, r#"[{},{"m":{"k":[1],"l":[2,"x"]}}]"#, &[]).expect_err("x");
    assert_eq!(bad.column.as_deref(), Some("a[1].m['l'][1]"));
}

#[test]
fn what_is_not_json_is_refused_also_where_no_column_looks() {
    let bad_values = [
        "01",
        "-",
        "1.",
        "+1",
        ".5",
        "1e",
        "NaN",
        "Infinity",
        "tru",
        "nul",
        "nulL",
        "'a'",
        "\"a",
        "\"\t\"",
        "\"\u{0}\"",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        "[1,]",
        "[1 2]",
        "[,1]",
        "[1",
        "{\"x\":}",
        "{\"x\"}",
        "{x:1}",
        "{\"x\":1,}",
        "{\"x\":1",
        "[1}",
        "{\"x\":1]",
        "",
        "1 2",
        "/* c */1",
        "\u{feff}1",
    ];
    for text in bad_values {
        for name in ["a", "unknown"] {
            for data_type in [DataType::Int64, DataType::Utf8, list(DataType::Utf8)] {
                let schema = schema(vec![nullable("a", data_type)]);
                let message = format!(r#"{{"{name}":{text}}}"#);
                assert!(matches!(decoder(&schema, &[]).push(message.as_bytes()), Decoded::Failed(_)), "{message}");
                assert!(matches!(decoder(&schema, TOLERANT).push(message.as_bytes()), Decoded::Skipped(_)), "{message}");
            }
        }
    }
    let mut decoder = decoder(&schema(vec![nullable("a", DataType::Int64)]), &[]);
    for message in ["[]", "1", "{", "}", "{\"a\":1}}", "{\"a\":1}{\"a\":1}", "{\"a\":1} x", "{,}", "{\"a\":1,}", "nullx", "\u{feff}{}"] {
        assert!(matches!(decoder.push(message.as_bytes()), Decoded::Failed(_)), "{message}");
    }
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    let mut decoder = decoder(&schema(vec![nullable("a", DataType::Utf8)]), &[]);
    for (before, after) in
        [("{\"a\":\"", "\"}"), ("{\"other\":\"", "\"}"), ("{\"a\":\"a long one before it ", " and behind it\"}"), ("{\"n", "\":1,\"a\":\"x\"}")]
    {
        for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
            for _ in 0..2 {
                let message = [before.as_bytes(), bytes, after.as_bytes()].concat();
                let Decoded::Failed(bad) = decoder.push(&message) else { panic!("{message:?}") };
                assert_eq!(bad.reason, "the message is not UTF-8");
            }
        }
    }
    assert_eq!(decoder.push("{\"né\":1,\"a\":\"é\"}".as_bytes()), Decoded::Row);
    assert_eq!(decoder.take().expect("batch").column(0).as_string::<i32>().value(0), "é");
}

#[test]
fn nesting_without_end_is_bounded_wherever_it_stands() {
    let schema = schema(vec![nullable("a", DataType::Utf8), nullable("l", list(DataType::Int64))]);
    let mut decoder = decoder(&schema, &[]);
    for (name, open) in [("a", "["), ("other", "["), ("l", "["), ("other", "{\"x\":")] {
        let message = format!(r#"{{"{name}":{}"#, open.repeat(1_000_000));
        assert!(matches!(decoder.push(message.as_bytes()), Decoded::Failed(_)), "{name} {open}");
    }
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(decoder.push(deep.as_bytes()), Decoded::Row);
    let deeper = format!(r#"{{"a":{}1{}}}"#, "[".repeat(1_001), "]".repeat(1_001));
    let Decoded::Failed(bad) = decoder.push(deeper.as_bytes()) else { panic!("too deep") };
    assert!(bad.reason.contains("deeper than 1000 levels"), "{}", bad.reason);
}

#[test]
fn a_message_cut_anywhere_leaves_no_trace() {
    let inner = row(vec![nullable("x", DataType::Utf8), nullable("y", list(row(vec![nullable("z", DataType::Boolean)])))]);
    let schema = schema(vec![
        nullable("i", DataType::Int64),
        nullable("s", DataType::Utf8),
        nullable("d", DataType::Decimal128(10, 2)),
        nullable("t", micros(false)),
        nullable("r", inner),
        nullable("m", map(DataType::Utf8, list(DataType::Float64))),
        nullable("b", DataType::Binary),
    ]);
    let message = r#"{"i":12,"s":"text with é and \u00e9","d":"1.5","t":"2024-01-01 00:00:00","r":{"x":null,"y":[{"z":true},null,{}]},"m":{"k":[1.5,2],"k":[]},"b":"AAAA","u":[{}]}"#;
    let mut decoder = decoder(&schema, &[]);
    for cut in 1..message.len() {
        assert_eq!(decoder.push(message.as_bytes()), Decoded::Row);
        assert!(matches!(decoder.push(&message.as_bytes()[..cut]), Decoded::Failed(_)), "cut at {cut}");
    }
    let batch = decoder.take().expect("batch");
    assert_eq!(batch.num_rows(), message.len() - 1);
    for index in 1..batch.num_rows() {
        assert_eq!(batch.slice(index, 1), batch.slice(0, 1), "row {index}");
    }
}

#[test]
fn tolerated_fields_become_null_and_are_counted() {
    let data_type = row(vec![nullable("n", DataType::Int64), nullable("l", list(DataType::Int64))]);
    let schema = schema(vec![nullable("a", DataType::Int64), nullable("r", data_type), nullable("z", DataType::Utf8)]);
    let mut decoder = decoder(&schema, TOLERANT);
    assert_eq!(decoder.push(br#"{"a":"x","r":{"n":{"deep":[1]},"l":[1,"y",3]},"z":"kept"}"#), Decoded::Row);
    assert_eq!(decoder.field_errors(), 3);
    assert_eq!(decoder.push(br#"{"a":1,"r":5,"z":"kept"}"#), Decoded::Row);
    assert_eq!(decoder.field_errors(), 4);
    let Decoded::Skipped(bad) = decoder.push(br#"{"a":"x","r":}"#) else { panic!("bad syntax") };
    assert_eq!(bad.tolerated_by.as_deref(), Some("json.ignore-parse-errors"));
    assert_eq!(decoder.field_errors(), 4, "fields of a message that is left out do not count");
    let batch = decoder.take().expect("batch");
    assert!(batch.column(0).is_null(0) && batch.column(1).is_null(1));
    let list = batch.column(1).as_struct().column(1).as_list::<i32>().value(0);
    assert_eq!(list.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    assert!(batch.column(2).as_string::<i32>().iter().all(|text| text == Some("kept")));
}

#[test]
fn a_tolerated_fault_in_a_not_null_column_takes_the_row_around_it() {
    let inner = row(vec![arrow_schema::Field::new("n", DataType::Int64, false)]);
    let schema = schema(vec![arrow_schema::Field::new("a", DataType::Int64, false), nullable("r", inner)]);
    let mut decoder = decoder(&schema, TOLERANT);
    assert_eq!(decoder.push(br#"{"a":1,"r":{"n":"x"}}"#), Decoded::Row);
    assert!(matches!(decoder.push(br#"{"a":"x","r":{"n":1}}"#), Decoded::Skipped(BadMessage { column: Some(column), .. }) if column == "a"));
    let batch = decoder.take().expect("batch");
    assert_eq!((batch.num_rows(), batch.column(1).null_count()), (1, 1));
}

#[test]
fn options_that_exclude_each_other_or_do_nothing_are_said() {
    let schema = schema(vec![nullable("a", DataType::Int64)]);
    let open = |options: &[(&str, &str)]| {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in options {
            bag.insert(*key, *value, None);
        }
        warn_of_writing("value.json.", &mut bag);
        let format = JsonFactory.open("value.json.", &mut bag, &schema);
        (format.is_some(), bag.finish("kafka", &[], &[]))
    };
    let (opened, problems) = open(&[("value.json.fail-on-missing-field", "true"), ("value.json.ignore-parse-errors", "true")]);
    let text = problems.expect_err("both").to_string();
    assert!(!opened && text.contains("[OPT-006] Table 'c.d.t': fail-on-missing-field and ignore-parse-errors shouldn't both be true."), "{text}");
    let (_, problems) = open(&[("value.json.timestamp-format.standard", "ISO"), ("value.json.ignore-parse-error", "true")]);
    let text = problems.expect_err("wrong").to_string();
    for part in [
        "[OPT-004] Table 'c.d.t': Invalid value for option 'value.json.timestamp-format.standard': 'ISO'. Expected one of: [SQL, ISO-8601].",
        "Unsupported options found for 'kafka': 'value.json.ignore-parse-error'.\n  Did you mean 'value.json.ignore-parse-errors'?",
    ] {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
    let (opened, warnings) = open(&[("value.json.encode.ignore-null-fields", "true"), ("value.json.decode.json-parser.enabled", "false")]);
    let codes: Vec<_> = warnings.expect("warnings only").iter().map(|warning| warning.code).collect();
    assert!(opened && codes == ["OPT-008", "OPT-008"], "{codes:?}");
}

#[test]
fn a_type_without_a_form_in_json_is_refused_when_the_format_is_opened() {
    let schema =
        schema(vec![nullable("a", list(DataType::Duration(TimeUnit::Millisecond))), nullable("m", map(list(DataType::Utf8), DataType::Utf8))]);
    let mut bag = OptionBag::new("Table 'c.d.t'");
    assert!(JsonFactory.open("json.", &mut bag, &schema).is_none());
    let text = bag.finish("kafka", &[], &[]).expect_err("types").to_string();
    assert!(text.contains("[CON-003] Table 'c.d.t': Format 'json' cannot read column 'a'") && text.contains("column 'm'"), "{text}");
}

proptest! {
    #[test]
    fn no_bytes_whatsoever_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60), tolerant in any::<bool>()) {
        let schema = schema(vec![nullable("a", DataType::Int64), nullable("s", DataType::Utf8), nullable("l", list(DataType::Utf8))]);
        let mut decoder = decoder(&schema, if tolerant { TOLERANT } else { &[] });
        let before = usize::from(decoder.push(br#"{"a":1,"s":"x","l":["y"]}"#) == Decoded::Row);
        for prefix in ["", "{\"a\":", "{\"s\":\"", "{\"l\":[\"", "{\"o\":{\"\":["] {
            decoder.push(&[prefix.as_bytes(), &bytes].concat());
        }
        let rows = decoder.rows();
        let batch = decoder.take().expect("batch");
        prop_assert_eq!(batch.num_rows(), rows);
        prop_assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(before - 1), 1);
    }
}
