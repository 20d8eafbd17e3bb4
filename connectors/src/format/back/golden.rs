//! What messages look like, and which rows have none.

use arrow_array::{ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array, ListArray, MapArray, StructArray, TimestampMicrosecondArray};
use arrow_array::{Int32Array, types::Int32Type};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Fields;

use super::super::avro::AvroFactory;
use super::super::csv::CsvFactory;
use super::super::json::JsonFactory;
use super::super::raw::RawFactory;
use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns.iter().map(|(name, column)| nullable(name, column.data_type().clone())).collect();
    RecordBatch::try_new(schema(fields), columns.into_iter().map(|(_, column)| column).collect()).expect("batch")
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn one(factory: &dyn FormatFactory, column: ArrayRef, options: &[(&str, &str)]) -> Result<String, String> {
    let batch = batch(vec![("a", column)]);
    told(&*open(factory, &batch.schema(), options), &batch).map(|messages| messages.join(" ")).map_err(|bad| bad.bad.located())
}

/// A map of `k` and NULL to 1 and 2.
fn with_null_key() -> ArrayRef {
    let fields = Fields::from(vec![nullable("key", DataType::Utf8), nullable("value", DataType::Int32)]);
    let entries = StructArray::new(fields.clone(), vec![texts(&[Some("k"), None]), Arc::new(Int32Array::from(vec![1, 2]))], None);
    let field = Arc::new(Field::new("entries", DataType::Struct(fields), false));
    Arc::new(MapArray::new(field, OffsetBuffer::from_lengths([2]), entries, None, false))
}

#[test]
fn json_is_written_as_flink_writes_it() {
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![27]).with_precision_and_scale(10, 9).expect("decimals"));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_769_860_800_500_000]).with_timezone("UTC"));
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![-7]))),
        ("text", texts(&[Some("a\"b\\c\n\u{1}é")])),
        ("none", texts(&[None])),
        ("amount", Arc::clone(&decimals)),
        ("at", Arc::clone(&at)),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![&[0, 255]]))),
        ("not a number", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]))),
    ]);
    let written = |options: &[(&str, &str)]| told(&*open(&JsonFactory, &rows.schema(), options), &rows).expect("messages").join("\n");
    assert_eq!(
        written(&[]),
        r#"{"id":-7,"text":"a\"b\\c\n\u0001é","none":null,"amount":2.7E-8,"at":"2026-01-31 12:00:00.5Z","bytes":"AP8=","not a number":"NaN","list":[1,null]}"#
    );
    let other =
        written(&[("encode.ignore-null-fields", "true"), ("encode.decimal-as-plain-number", "true"), ("timestamp-format.standard", "ISO-8601")]);
    assert!(other.contains(r#"é","amount":0.000000027,"at":"2026-01-31T12:00:00.5Z","#), "{other}");
    assert_eq!(
        one(&JsonFactory, with_null_key(), &[]).expect_err("a NULL key"),
        "column 'a': a key of the map is NULL, which JSON does not have; 'f.map-null-key.mode' = 'DROP' or 'LITERAL' allows it"
    );
    assert_eq!(one(&JsonFactory, with_null_key(), &[("map-null-key.mode", "DROP")]).as_deref(), Ok(r#"{"a":{"k":1}}"#));
    let literal = [("map-null-key.mode", "LITERAL"), ("map-null-key.literal", "nil")];
    assert_eq!(one(&JsonFactory, with_null_key(), &literal).as_deref(), Ok(r#"{"a":{"k":1,"nil":2}}"#));
    let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX]));
    assert!(one(&JsonFactory, far, &[]).expect_err("a late year").contains("column 'a': the year 294247 has no text"));
}

#[test]
fn changes_are_written_as_each_tool_writes_them() {
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("name", texts(&[Some("Anne"), None])),
        (ROW_KIND, texts(&[Some("+U"), Some("-U")])),
    ]);
    let declared = schema(vec![nullable("id", DataType::Int64), nullable("name", DataType::Utf8)]);
    for (factory, expected) in [
        (debezium(), [r#"{"before":null,"after":{"id":1,"name":"Anne"},"op":"c"}"#, r#"{"before":{"id":2,"name":null},"after":null,"op":"d"}"#]),
        (canal(), [r#"{"data":[{"id":1,"name":"Anne"}],"type":"INSERT"}"#, r#"{"data":[{"id":2,"name":null}],"type":"DELETE"}"#]),
        (maxwell(), [r#"{"data":{"id":1,"name":"Anne"},"type":"insert"}"#, r#"{"data":{"id":2,"name":null},"type":"delete"}"#]),
        (ogg(), [r#"{"before":null,"after":{"id":1,"name":"Anne"},"op_type":"I"}"#, r#"{"before":{"id":2,"name":null},"after":null,"op_type":"D"}"#]),
    ] {
        assert_eq!(told(&*open(&factory, &declared, &[]), &rows).expect("messages"), expected);
    }
    let with_schema = open(&debezium(), &declared, &[("schema-include", "true")]);
    assert!(with_schema.encoder(&declared).expect_err("a schema").contains("'schema-include'"));
    let wrong = batch(vec![("id", Arc::new(Int64Array::from(vec![1]))), ("name", texts(&[None])), (ROW_KIND, texts(&[Some("?")]))]);
    assert!(told(&*open(&debezium(), &declared, &[]), &wrong).expect_err("no kind").bad.reason.contains("'?' is no kind of row"));
}

#[test]
fn lines_are_quoted_where_they_must_be() {
    let line = |text: &str, options: &[(&str, &str)]| one(&CsvFactory, texts(&[Some(text)]), options);
    for (text, options, expected) in [
        ("plain text", &[][..], "plain text"),
        ("a,b", &[], "\"a,b\""),
        ("say \"a\"", &[], "say \"a\""),
        ("\"a\"", &[], "\"\"\"a\"\"\""),
        ("two\nlines", &[], "\"two\nlines\""),
        ("", &[], "\"\""),
        ("# a", &[], "\"# a\""),
        ("a|b", &[("field-delimiter", "|"), ("quote-character", "'")], "'a|b'"),
        ("a,b\\\n", &[("disable-quote-character", "true"), ("escape-character", "\\")], "a\\,b\\\\\\n"),
    ] {
        assert_eq!(line(text, options).as_deref(), Ok(expected));
    }
    let refused = [
        (line("a,b", &[("disable-quote-character", "true")]), "column 'a': the text cannot be written without a quote character"),
        (line("nil", &[("null-literal", "nil")]), "column 'a': the value is written like the text of 'null-literal'"),
    ];
    for (told, wanted) in refused {
        assert!(told.as_ref().is_err_and(|told| told.starts_with(wanted)), "{told:?}");
    }
    assert_eq!(one(&CsvFactory, texts(&[None]), &[("null-literal", "nil")]).as_deref(), Ok("nil"));
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![10_000_000]).with_precision_and_scale(10, 2).expect("decimals"));
    assert_eq!(one(&CsvFactory, Arc::clone(&decimals), &[]).as_deref(), Ok("1E+5"));
    assert_eq!(one(&CsvFactory, decimals, &[("write-bigdecimal-in-scientific-notation", "false")]).as_deref(), Ok("100000"));
    let list = |values: &[Option<&str>]| -> ArrayRef {
        let field = Arc::new(nullable("element", DataType::Utf8));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), texts(values), None))
    };
    assert_eq!(one(&CsvFactory, list(&[Some("a"), Some("b")]), &[]).as_deref(), Ok("a;b"));
    for ambiguous in [&[Some("a;b")][..], &[Some("")]] {
        assert!(one(&CsvFactory, list(ambiguous), &[]).expect_err("not told apart").contains("array-element-delimiter"), "{ambiguous:?}");
    }
    let schema = schema(vec![nullable("a", DataType::Utf8)]);
    let told = open(&CsvFactory, &schema, &[("escape-character", "n")]).encoder(&schema).expect_err("a letter");
    assert!(told.contains("'n'"), "{told}");
}

#[test]
fn a_raw_null_has_no_message_and_what_a_character_set_lacks_is_refused() {
    assert_eq!(one(&RawFactory, texts(&[Some("grüß"), None]), &[]).as_deref(), Ok("grüß NULL"));
    let lacks = one(&RawFactory, texts(&[Some("€")]), &[("charset", "ISO-8859-1")]).expect_err("no such character");
    assert_eq!(lacks, "column 'a': the text has '€', which ISO-8859-1 lacks");
    assert!(one(&RawFactory, texts(&[Some("é")]), &[("charset", "US-ASCII")]).is_err());
}

#[test]
fn a_null_in_a_record_is_a_branch_of_its_union() {
    let rows = batch(vec![("a", Arc::new(Int64Array::from(vec![Some(-1), None])) as ArrayRef)]);
    let messages = encoder(&*open(&AvroFactory, &rows.schema(), &[]), &rows.schema()).encode(&rows).expect("messages");
    assert_eq!(messages.iter().flatten().collect::<Vec<_>>(), [&[2, 1][..], &[0]]);
}
