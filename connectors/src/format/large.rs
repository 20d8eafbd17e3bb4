//! Messages that are few bytes, and many in columns. Those of Protocol Buffers, which need a descriptor, are tested beside their format.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use weir_base::options::OptionBag;

use super::{Decoded, Decoder, factories};

/// What one message may take, in bytes.
const MOST: usize = 1 << 20;

fn schema(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("a", data_type, true)]))
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// Rows of 40 columns.
fn wide() -> DataType {
    DataType::Struct((0..40).map(|number| Field::new(format!("c{number}"), DataType::Int64, true)).collect())
}

fn map() -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", wide(), true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn decoder(format: &str, schema: &SchemaRef) -> Box<dyn Decoder> {
    let factory = factories().into_iter().find(|factory| factory.name() == format).expect("a format");
    let mut bag = OptionBag::new("Table 'c.d.t'");
    let opened = factory.open(&format!("{format}."), &mut bag, schema);
    bag.finish("kafka", &[], &[]).expect("no problem");
    let mut decoder = opened.expect("no problem, so there is a format").decoder(schema);
    decoder.bound(MOST);
    decoder
}

/// A whole number in groups of seven bits.
fn varint(mut left: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

#[test]
fn a_message_that_takes_more_in_the_columns_than_one_may_is_bad_and_the_next_one_is_read() {
    let array = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
    let entries = |count: usize| (0..count).map(|key| format!("\"{key}\":{{}}")).collect::<Vec<_>>().join(",");
    type Message<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let cases: [(&str, DataType, Message<'_>); 7] = [
        ("json", list(wide()), Box::new(|count| format!("{{\"a\":{}}}", array("{}", count)).into_bytes())),
        ("json", list(list(DataType::Int64)), Box::new(|count| format!("{{\"a\":{}}}", array(&array("0", 40), count)).into_bytes())),
        ("json", map(), Box::new(|count| format!("{{\"a\":{{{}}}}}", entries(count)).into_bytes())),
        ("json", DataType::Utf8, Box::new(|count| format!("{{\"a\":\"{}\"}}", "x".repeat(count * 400)).into_bytes())),
        ("maxwell-json", list(wide()), Box::new(|count| format!("{{\"type\":\"insert\",\"data\":{{\"a\":{}}}}}", array("{}", count)).into_bytes())),
        ("csv", list(DataType::Int64), Box::new(|count| vec!["1"; count * 40].join(";").into_bytes())),
        // Each element is there and has 40 NULLs.
        ("avro", list(wide()), Box::new(|count| [vec![2], varint(count << 1), [&[2][..], &[0; 40]].concat().repeat(count), vec![0]].concat())),
    ];
    for (format, data_type, message) in cases {
        let what = format!("{format} {data_type}");
        let mut decoder = decoder(format, &schema(data_type));
        let (small, large) = (message(100), message(5_000));
        for _ in 0..2 {
            let Decoded::Failed(bad) = decoder.push(&large) else { panic!("{what}: {:?}", decoder.push(&large)) };
            assert!(bad.reason.contains("the message takes more in the columns than one may: 1 MB, a quarter of --memory"), "{what}: {}", bad.reason);
            assert_eq!(decoder.rows(), 0, "{what}");
            assert_eq!(decoder.push(&small), Decoded::Row, "{what}");
            assert!(matches!(decoder.push(&large), Decoded::Failed(_)), "{what}");
            assert!(decoder.bytes() < MOST, "{what}");
            let batch = decoder.take().expect("batch");
            assert_eq!(batch.num_rows(), 1, "{what}");
            // Whatever was there for a moment is not kept.
            assert!(batch.get_array_memory_size() < MOST, "{what}: {}", batch.get_array_memory_size());
        }
    }
}
