//! Lines that are rows, lines that are not, and the csv crate as the oracle.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use weir_base::options::{OptionBag, Problems};

use super::CsvFactory;
use crate::format::{Decoded, Decoder, Format, FormatFactory};

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>()))
}

fn format(schema: &SchemaRef, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("csv.{key}"), *value, None);
    }
    let format = CsvFactory.open("csv.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

fn decoder(schema: &SchemaRef, options: &[(&str, &str)]) -> Box<dyn Decoder> {
    format(schema, options).expect("format").decoder(schema)
}

/// The values of the first row.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let value = |column: &Arc<dyn Array>| if column.is_null(0) { "NULL".to_owned() } else { array_value_to_string(column, 0).expect("display") };
    batch.columns().iter().map(value).collect()
}

/// The row of `line`, or why there is none.
fn read(columns: &[(&str, DataType)], line: &str, options: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut decoder = decoder(&schema(columns), options);
    match decoder.push(line.as_bytes()) {
        Decoded::Row => Ok(shown(&decoder.take().expect("batch"))),
        Decoded::Nothing => Ok(Vec::new()),
        other @ (Decoded::Rows(_) | Decoded::Full | Decoded::Waits) => panic!("{other:?} from one line"),
        Decoded::Skipped(bad) | Decoded::Failed(bad) => {
            assert_eq!(decoder.take().expect("batch").num_rows(), 0, "a bad message leaves nothing");
            Err(format!("{}: {}", bad.column.unwrap_or_default(), bad.reason))
        }
    }
}

fn texts(count: usize) -> Vec<(&'static str, DataType)> {
    ["a", "b", "c", "d"].into_iter().take(count).map(|name| (name, DataType::Utf8)).collect()
}

#[test]
fn every_type_takes_its_own_text() {
    let columns = [
        ("boolean", DataType::Boolean),
        ("tiny", DataType::Int8),
        ("long", DataType::Int64),
        ("double", DataType::Float64),
        ("decimal", DataType::Decimal128(10, 2)),
        ("text", DataType::Utf8),
        ("bytes", DataType::Binary),
        ("date", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Microsecond)),
        ("stamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("zoned", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ];
    let line = "TRUE, -7 ,9223372036854775807,1e-3,12.345, a b ,AP8=,2024-02-29,23:59:59,2024-02-29 12:00:00.5,2024-02-29 12:00:00Z\r\n";
    let expected = [
        "true",
        "-7",
        "9223372036854775807",
        "0.001",
        "12.35",
        " a b ",
        "00ff",
        "2024-02-29",
        "23:59:59",
        "2024-02-29T12:00:00.500",
        "2024-02-29T12:00:00Z",
    ];
    assert_eq!(read(&columns, line, &[]).expect("row"), expected);
}

#[test]
fn fields_are_quoted_and_escaped_as_the_options_say() {
    let two = texts(2);
    let row = |line: &str, options: &[(&str, &str)]| read(&two, line, options).expect(line);
    assert_eq!(row(r#""a,""b""","#, &[]), [r#"a,"b""#, ""]);
    assert_eq!(row("\"two\nlines\"\t,x", &[]), ["two\nlines", "x"]);
    assert_eq!(row(r#"a"b,"c""#, &[]), [r#"a"b"#, "c"]);
    assert_eq!(row("'a|b'|c", &[("field-delimiter", "|"), ("quote-character", "'")]), ["a|b", "c"]);
    assert_eq!(row("a\tb", &[("field-delimiter", "\\t")]), ["a", "b"]);
    assert_eq!(row("a\u{1}b", &[("field-delimiter", "\\u0001")]), ["a", "b"]);
    assert_eq!(row(r#""a",b"#, &[("disable-quote-character", "true")]), [r#""a""#, "b"]);
    assert_eq!(row(r#"a\,b,"c\"d\n""#, &[("escape-character", "\\")]), ["a,b", "c\"d\n"]);
    assert_eq!(row("é,ü", &[]), ["é", "ü"]);
}

#[test]
fn only_the_null_literal_is_null() {
    assert_eq!(read(&texts(3), ",n/a,\"n/a\"", &[("null-literal", "n/a")]).expect("row"), ["", "NULL", "NULL"]);
    let numbers = [("a", DataType::Int32), ("b", DataType::Int32)];
    assert_eq!(read(&numbers, ",1", &[("null-literal", "")]).expect("row"), ["NULL", "1"]);
    assert_eq!(read(&numbers, ",1", &[]).expect_err("no number"), "a: '' is not a number");
}

#[test]
fn arrays_and_rows_are_fields_with_delimiters_of_their_own() {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
    let row = DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)]));
    let columns = [("l", list), ("r", row)];
    assert_eq!(read(&columns, "1;2;3,7;a", &[]).expect("row"), ["[1, 2, 3]", "{x: 7, y: a}"]);
    assert_eq!(read(&columns, ",7::a", &[("array-element-delimiter", "::")]).expect("row"), ["[]", "{x: 7, y: a}"]);
    assert_eq!(read(&columns, "1;x,7;a", &[]).expect_err("x"), "l[1]: 'x' is not a number");
    assert_eq!(read(&columns, "1,7", &[]).expect_err("a short row"), "r: Row length mismatch. 2 fields expected but was 1");
}

#[test]
fn lines_that_are_no_rows_say_why() {
    for (line, reason) in [
        ("a", ": Row length mismatch. 2 fields expected but was 1"),
        ("a,b,c", ": Row length mismatch. 2 fields expected but was 3"),
        ("a,b\nc,d", ": a line ends at byte 3: a message is one line"),
        ("a,\"b", ": the quote at byte 2 is not closed"),
        ("\"a\"b,c", ": found 'b' behind the quote that closes a field, at byte 3"),
    ] {
        assert_eq!(read(&texts(2), line, &[]).expect_err(line), reason);
    }
    let mut decoder = decoder(&schema(&texts(1)), &[]);
    assert!(matches!(decoder.push(b"\xff"), Decoded::Failed(bad) if bad.reason == "the message is not UTF-8"));
    assert_eq!(read(&texts(2), "a,b\\", &[("escape-character", "\\")]).expect_err("an open escape"), ": the message ends with an escape character");
}

#[test]
fn tolerance_makes_bad_fields_null_and_skips_bad_lines() {
    let columns = [("a", DataType::Int32), ("b", DataType::Utf8)];
    let mut decoder = decoder(&schema(&columns), &[("ignore-parse-errors", "true")]);
    assert_eq!(decoder.push(b"x,1"), Decoded::Row);
    assert!(matches!(decoder.push(b"1,2,3"), Decoded::Skipped(bad) if bad.tolerated_by.as_deref() == Some("csv.ignore-parse-errors")));
    assert_eq!((decoder.rows(), decoder.field_errors()), (1, 1));
    assert_eq!(shown(&decoder.take().expect("batch")), ["NULL", "1"]);
}

#[test]
fn empty_messages_and_comments_give_no_row() {
    assert_eq!(read(&texts(2), "", &[]), Ok(Vec::new()));
    assert_eq!(read(&texts(2), "\r\n", &[]), Ok(Vec::new()));
    assert_eq!(read(&texts(2), " # a, comment", &[("allow-comments", "true")]), Ok(Vec::new()));
    assert_eq!(read(&texts(2), "#a,b", &[]).expect("row"), ["#a", "b"]);
}

#[test]
fn columns_that_nobody_wants_keep_their_place() {
    let declared = schema(&[("a", DataType::Int32), ("b", DataType::Utf8), ("c", DataType::Int32)]);
    let mut decoder = format(&declared, &[]).expect("format").decoder(&schema(&[("c", DataType::Int32), ("b", DataType::Utf8)]));
    assert_eq!(decoder.push(b"no number,x,3"), Decoded::Row);
    assert_eq!(shown(&decoder.take().expect("batch")), ["3", "x"]);
}

#[test]
fn declarations_that_cannot_be_served_are_refused() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("field-delimiter", "||")], "Invalid value for option 'csv.field-delimiter': '||' is not a single ASCII character."),
        (&[("quote-character", "'"), ("disable-quote-character", "true")], "Format cannot define a quote character and disabled quote character"),
        (&[("quote-character", ",")], "must be different characters."),
        (&[("array-element-delimiter", "")], "'csv.array-element-delimiter': it must not be empty."),
        (&[("field-delimeter", ";")], "Did you mean 'csv.field-delimiter'?"),
    ];
    for (options, phrase) in cases {
        let text = format(&schema(&texts(1)), options).expect_err(phrase).to_string();
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
    let entries = DataType::Struct(Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]));
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    let deep = DataType::List(Arc::new(Field::new("element", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true)));
    for data_type in [map, deep] {
        let text = format(&schema(&[("m", data_type)]), &[]).expect_err("nested").to_string();
        assert!(text.contains("[CON-003] Table 'c.d.t': Format 'csv' cannot read column 'm': a field has no form for its type"), "{text}");
    }
}

proptest! {
    #[test]
    fn what_the_csv_crate_writes_is_read(fields in prop::collection::vec("[ -~\n\r\té]{0,12}", 4)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&fields).expect("written");
        let line = String::from_utf8(writer.into_inner().expect("buffer")).expect("text");
        prop_assert_eq!(read(&texts(4), &line, &[]).expect("row"), fields);
    }

    #[test]
    fn no_message_is_a_panic(message in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut decoder = decoder(&schema(&[("a", DataType::Int32), ("b", DataType::Utf8)]), &[("escape-character", "\\")]);
        let rows = usize::from(decoder.push(&message) == Decoded::Row);
        prop_assert_eq!(decoder.take().expect("batch").num_rows(), rows);
    }
}
