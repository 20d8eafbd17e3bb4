//! What messages mean for each type, and which are refused.

use std::sync::Arc;

use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_base::options::{OptionBag, Problems};

use super::RawFactory;
use crate::format::{BadMessage, Decoded, Format, FormatFactory};

fn schema(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("a", data_type, true)]))
}

fn format(schema: &SchemaRef, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let mut bag = OptionBag::new("Table 'c.d.t'");
    for (key, value) in options {
        bag.insert(format!("raw.{key}"), *value, None);
    }
    let format = RawFactory.open("raw.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

fn read(data_type: DataType, message: &[u8], options: &[(&str, &str)]) -> Result<String, BadMessage> {
    let schema = schema(data_type);
    let mut decoder = format(&schema, options).expect("format").decoder(&schema);
    match decoder.push(message) {
        Decoded::Row => Ok(array_value_to_string(decoder.take().expect("batch").column(0), 0).expect("display")),
        Decoded::Failed(bad) => {
            assert_eq!(decoder.take().expect("batch").num_rows(), 0, "a bad message leaves nothing");
            Err(bad)
        }
        other => panic!("{other:?}"),
    }
}

fn good(data_type: &DataType, message: &[u8], options: &[(&str, &str)], expected: &str) {
    assert_eq!(read(data_type.clone(), message, options).as_deref(), Ok(expected), "{data_type} from {message:?}");
}

#[test]
fn the_whole_message_is_the_value() {
    const LITTLE: &[(&str, &str)] = &[("endianness", "little-endian")];
    good(&DataType::Utf8, " a\né😀".as_bytes(), &[], " a\né😀");
    good(&DataType::Utf8, b"", &[], "");
    good(&DataType::Binary, &[0, 255], &[], "00ff");
    good(&DataType::FixedSizeBinary(2), &[0, 255], &[], "00ff");
    good(&DataType::Boolean, &[1], &[], "true");
    good(&DataType::Boolean, &[0], &[], "false");
    good(&DataType::Int8, &[0xff], &[], "-1");
    good(&DataType::Int16, &[1, 0], &[], "256");
    good(&DataType::Int16, &[1, 0], LITTLE, "1");
    good(&DataType::Int32, &[0xff, 0xff, 0xff, 0xfe], &[], "-2");
    good(&DataType::Int64, &[0, 0, 0, 0, 0, 0, 1, 0], &[], "256");
    good(&DataType::Int64, &[0, 1, 0, 0, 0, 0, 0, 0], LITTLE, "256");
    good(&DataType::Float32, &1.5_f32.to_be_bytes(), &[], "1.5");
    good(&DataType::Float64, &(-2.5_f64).to_le_bytes(), LITTLE, "-2.5");
}

#[test]
fn text_is_read_in_its_character_set() {
    good(&DataType::Utf8, b"a", &[("charset", "US-ASCII")], "a");
    good(&DataType::Utf8, b"gr\xfc\xdf", &[("charset", "iso-8859-1")], "grüß");
    good(&DataType::Utf8, &[0x00, 0x61, 0xd8, 0x3d, 0xde, 0x00], &[("charset", "UTF-16BE")], "a😀");
    good(&DataType::Utf8, &[0x61, 0x00, 0x3d, 0xd8, 0x00, 0xde], &[("charset", "UTF-16LE")], "a😀");
    good(&DataType::Utf8, &[0xff, 0xfe, 0x61, 0x00], &[("charset", "UTF-16")], "a");
    good(&DataType::Utf8, &[0x00, 0x61], &[("charset", "UTF-16")], "a");
    for (charset, message) in
        [("UTF-8", &b"\xff"[..]), ("US-ASCII", b"\x80"), ("UTF-16BE", b"\xd8\x3d"), ("UTF-16BE", b"\x00a\x00"), ("UTF-16LE", b"\x3d\xd8a\x00")]
    {
        let bad = read(DataType::Utf8, message, &[("charset", charset)]).expect_err(charset);
        assert!(bad.reason.starts_with("the message is not U"), "{charset}: {}", bad.reason);
    }
}

#[test]
fn a_message_of_another_size_is_refused_also_where_nobody_wants_the_column() {
    let bad = read(DataType::Int32, b"12345", &[]).expect_err("five bytes");
    assert_eq!(bad, BadMessage { reason: "expected 4 bytes, found 5".to_owned(), column: Some("a".to_owned()), tolerated_by: None });
    assert!(read(DataType::FixedSizeBinary(2), b"1", &[]).is_err());
    let mut decoder = format(&schema(DataType::Int32), &[]).expect("format").decoder(&Arc::new(Schema::empty()));
    assert!(matches!(decoder.push(b"12345"), Decoded::Failed(_)));
    assert_eq!(decoder.push(b"1234"), Decoded::Row);
    assert_eq!(decoder.push(b"1234"), Decoded::Row);
    assert_eq!(decoder.take().expect("batch").num_rows(), 2);
}

#[test]
fn declarations_that_it_cannot_serve_are_refused() {
    let two = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Utf8, true)]));
    let text = format(&two, &[]).expect_err("two columns").to_string();
    assert!(text.contains("[CON-003] Table 'c.d.t': The 'raw' format only supports single physical column."), "{text}");
    assert!(text.contains("contains: [a, b]."), "{text}");
    let time = schema(DataType::Timestamp(TimeUnit::Microsecond, None));
    assert!(format(&time, &[]).expect_err("a timestamp").to_string().contains("Format 'raw' cannot read column 'a'"));
    let text = format(&schema(DataType::Utf8), &[("charset", "UTF8")]).expect_err("a misspelt name").to_string();
    assert!(text.contains("Expected one of: [UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE, UTF-16LE]. Did you mean 'UTF-8'?"), "{text}");
}
