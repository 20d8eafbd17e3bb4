//! Messages that prost writes, others that it would not, and declarations that do not fit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use proptest::prelude::*;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
};
use weir_base::options::{OptionBag, Problems};

use super::ProtobufFactory;
use crate::format::{Decoded, Decoder, Format, FormatFactory};

#[derive(Clone, PartialEq, Message)]
struct Item {
    #[prost(string, tag = "1")]
    sku: String,
    #[prost(sint64, tag = "2")]
    delta: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, optional, tag = "2")]
    note: Option<String>,
    #[prost(uint32, tag = "3")]
    count: u32,
    #[prost(double, tag = "4")]
    price: f64,
    #[prost(float, tag = "5")]
    weight: f32,
    #[prost(bool, tag = "6")]
    paid: bool,
    #[prost(bytes = "vec", tag = "7")]
    token: Vec<u8>,
    #[prost(int32, tag = "8")]
    state: i32,
    #[prost(message, optional, tag = "9")]
    first: Option<Item>,
    #[prost(message, repeated, tag = "10")]
    items: Vec<Item>,
    #[prost(sint32, repeated, tag = "11")]
    sizes: Vec<i32>,
    #[prost(map = "string, int64", tag = "12")]
    tags: HashMap<String, i64>,
    #[prost(fixed32, tag = "13")]
    small: u32,
    #[prost(sfixed64, tag = "1000")]
    large: i64,
}

fn field(name: &str, number: i32, label: Label, ty: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(ty.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

/// What protoc makes of the messages above, in the package `shop` and the given syntax.
fn descriptor_set(syntax: &str) -> Vec<u8> {
    let one = |name: &str, number, ty| field(name, number, Label::Optional, ty, "");
    let item = DescriptorProto {
        name: Some("Item".to_owned()),
        field: vec![one("sku", 1, Type::String), one("delta", 2, Type::Sint64)],
        ..DescriptorProto::default()
    };
    let entry = DescriptorProto {
        name: Some("TagsEntry".to_owned()),
        field: vec![one("key", 1, Type::String), one("value", 2, Type::Int64)],
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..DescriptorProto::default()
    };
    let mut note = one("note", 2, Type::String);
    note.oneof_index = Some(0);
    note.proto3_optional = Some(true);
    let order = DescriptorProto {
        name: Some("Order".to_owned()),
        field: vec![
            one("id", 1, Type::Int64),
            note,
            one("count", 3, Type::Uint32),
            one("price", 4, Type::Double),
            one("weight", 5, Type::Float),
            one("paid", 6, Type::Bool),
            one("token", 7, Type::Bytes),
            field("state", 8, Label::Optional, Type::Enum, ".shop.Order.State"),
            field("first", 9, Label::Optional, Type::Message, ".shop.Item"),
            field("items", 10, Label::Repeated, Type::Message, ".shop.Item"),
            field("sizes", 11, Label::Repeated, Type::Sint32, ""),
            field("tags", 12, Label::Repeated, Type::Message, ".shop.Order.TagsEntry"),
            one("small", 13, Type::Fixed32),
            one("large", 1000, Type::Sfixed64),
        ],
        nested_type: vec![entry],
        enum_type: vec![EnumDescriptorProto {
            name: Some("State".to_owned()),
            value: [("NEW", 0), ("SENT", 1), ("LOST", -1)]
                .map(|(name, number)| EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None })
                .to_vec(),
            ..EnumDescriptorProto::default()
        }],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("shop.proto".to_owned()),
        package: Some("shop".to_owned()),
        syntax: Some(syntax.to_owned()),
        message_type: vec![item, order],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(nullable("element", element)))
}

fn item() -> DataType {
    DataType::Struct(Fields::from(vec![nullable("delta", DataType::Int64), nullable("sku", DataType::Utf8)]))
}

fn columns() -> SchemaRef {
    let entries = DataType::Struct(Fields::from(vec![Field::new("key", DataType::Utf8, false), nullable("value", DataType::Int64)]));
    Arc::new(Schema::new(vec![
        nullable("id", DataType::Int64),
        nullable("note", DataType::Utf8),
        nullable("count", DataType::Int32),
        nullable("price", DataType::Float64),
        nullable("weight", DataType::Float32),
        nullable("paid", DataType::Boolean),
        nullable("token", DataType::Binary),
        nullable("state", DataType::Utf8),
        nullable("first", item()),
        nullable("items", list(item())),
        nullable("sizes", list(DataType::Int32)),
        nullable("tags", DataType::Map(Arc::new(Field::new("entries", entries, false)), false)),
        nullable("small", DataType::Int64),
        nullable("large", DataType::Int64),
    ]))
}

fn format_of(schema: &SchemaRef, syntax: &str, options: &[(&str, &str)]) -> Result<Box<dyn Format>, Problems> {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), descriptor_set(syntax)).expect("written");
    let mut bag = OptionBag::new("Table 'c.d.t'");
    bag.insert("protobuf.descriptor-file", file.path().display().to_string(), None);
    for (key, value) in options {
        bag.insert(format!("protobuf.{key}"), *value, None);
    }
    let format = ProtobufFactory.open("protobuf.", &mut bag, schema);
    bag.finish("kafka", &[], &[]).map(|_| format.expect("no problem, so there is a format"))
}

fn decoder(syntax: &str, options: &[(&str, &str)]) -> Box<dyn Decoder> {
    let named = [&[("message-name", "shop.Order")], options].concat();
    format_of(&columns(), syntax, &named).expect("format").decoder(&columns())
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let value = |column: &Arc<dyn Array>| if column.is_null(0) { "NULL".to_owned() } else { array_value_to_string(column, 0).expect("display") };
    batch.columns().iter().map(value).collect()
}

fn read(decoder: &mut dyn Decoder, message: &[u8]) -> Result<Vec<String>, String> {
    match decoder.push(message) {
        Decoded::Row => Ok(shown(&decoder.take().expect("batch"))),
        Decoded::Skipped(bad) | Decoded::Failed(bad) => {
            assert_eq!(decoder.take().expect("batch").num_rows(), 0, "a bad message leaves nothing");
            Err(bad.located())
        }
        other => panic!("{other:?}"),
    }
}

fn full() -> Order {
    Order {
        id: -7,
        note: Some("é".to_owned()),
        count: 3,
        price: -0.25,
        weight: 1.5,
        paid: true,
        token: vec![0, 255],
        state: -1,
        first: Some(Item { sku: "a".to_owned(), delta: -1 }),
        items: vec![Item { sku: "b".to_owned(), delta: 2 }, Item::default()],
        sizes: vec![-3, 4],
        tags: HashMap::from([("k".to_owned(), 9)]),
        small: 5,
        large: i64::MIN,
    }
}

#[test]
fn what_prost_writes_fills_every_column() {
    let expected = [
        "-7",
        "é",
        "3",
        "-0.25",
        "1.5",
        "true",
        "00ff",
        "LOST",
        "{delta: -1, sku: a}",
        "[{delta: 2, sku: b}, {delta: 0, sku: }]",
        "[-3, 4]",
        "{k: 9}",
        "5",
        "-9223372036854775808",
    ];
    assert_eq!(read(&mut *decoder("proto3", &[]), &full().encode_to_vec()).expect("row"), expected);
}

#[test]
fn a_message_of_more_elements_than_one_may_have_is_bad_and_the_next_one_is_read() {
    let mut decoder = decoder("proto3", &[]);
    decoder.bound(1 << 20);
    let packed = |count: usize| Order { sizes: vec![0; count], ..Order::default() }.encode_to_vec();
    let entries = |count: i64| Order { tags: (0..count).map(|key| (key.to_string(), 0)).collect(), ..Order::default() }.encode_to_vec();
    // An empty message behind the number of its field.
    let items = |count: usize| [0x52, 0].repeat(count);
    for (small, large) in [(packed(10), packed(250_000)), (items(10), items(90_000)), (entries(10), entries(60_000))] {
        let told = read(&mut *decoder, &large).expect_err("too many");
        assert!(told.contains("the message takes more in the columns than one may: 1 MB, a quarter of --memory"), "{told}");
        read(&mut *decoder, &small).expect("row");
    }
}

#[test]
fn what_a_message_lacks_is_null_or_a_default_value_as_syntax_and_option_say() {
    let proto3 = ["0", "NULL", "0", "0.0", "0.0", "false", "", "NEW", "NULL", "[]", "[]", "{}", "0", "0"];
    assert_eq!(read(&mut *decoder("proto3", &[]), &[]).expect("row"), proto3);
    assert_eq!(read(&mut *decoder("proto2", &[]), &[]).expect("row"), ["NULL"; 14]);
    let mut defaults = proto3;
    defaults[1] = "";
    assert_eq!(read(&mut *decoder("proto2", &[("read-default-values", "true")]), &[]).expect("row"), defaults);
}

#[test]
fn columns_that_nobody_wants_are_passed_over() {
    let declared = columns();
    let wanted = Arc::new(Schema::new(vec![declared.field(13).clone(), declared.field(0).clone()]));
    let mut decoder = format_of(&declared, "proto3", &[("message-class-name", "org.shop.Shop$Order")]).expect("format").decoder(&wanted);
    assert_eq!(read(&mut *decoder, &full().encode_to_vec()).expect("row"), ["-9223372036854775808", "-7"]);
}

#[test]
fn fields_that_come_again_are_merged_packed_or_replaced() {
    let messages = [
        Order {
            id: 1,
            sizes: vec![1],
            first: Some(Item { sku: "a".to_owned(), delta: 5 }),
            tags: HashMap::from([("k".to_owned(), 1)]),
            ..Order::default()
        },
        Order {
            id: 2,
            sizes: vec![2, 3],
            first: Some(Item { sku: "b".to_owned(), delta: 0 }),
            tags: HashMap::from([("k".to_owned(), 2)]),
            ..Order::default()
        },
    ];
    let mut bytes: Vec<u8> = messages.iter().flat_map(Message::encode_to_vec).collect();
    bytes.extend([11 << 3, 8]); // an element that is not packed: 4
    bytes.extend([0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06]); // a group of field 100, which nobody knows
    let row = read(&mut *decoder("proto3", &[]), &bytes).expect("row");
    assert_eq!([&row[0], &row[8], &row[10], &row[11]], ["2", "{delta: 5, sku: b}", "[1, 2, 3, 4]", "{k: 2}"]);
    // However often: if each were merged with those before it, this would take for ever.
    let often = [&[0x4a, 2, 0x10, 3][..], &[0x4a, 0].repeat(300_000)].concat();
    assert_eq!(read(&mut *decoder("proto3", &[]), &often).expect("row")[8], "{delta: -2, sku: }");
}

#[test]
fn an_unknown_number_of_an_enumeration_is_its_text() {
    assert_eq!(read(&mut *decoder("proto3", &[]), &Order { state: 42, ..Order::default() }.encode_to_vec()).expect("row")[7], "42");
}

#[test]
fn bad_messages_say_why() {
    for (message, reason) in [
        (&[0x08][..], "column 'id': the message ends within a value"),
        (&[0x0a, 0x05, 0x01], "column 'id': a Varint is written as Sized: the message is of another type"),
        (&[0x12, 0x01, 0xff], "column 'note': the text is not UTF-8"),
        (&[0x18, 0xff, 0xff, 0xff, 0xff, 0x0f], "column 'count': '4294967295' is out of range for a whole number of 32 bits"),
        (&[0x4a, 0x02, 0x0a, 0x05], "column 'first.sku': the message ends within a value"),
        (&[0x0f], "there is no wire type 7"),
        (&[0x00], "a field has a number that is none"),
        (&[0xa4, 0x06], "a group ends that has not begun"),
        (&[0xff; 11], "a number has more than 64 bits"),
        (&[0xa3, 0x06].repeat(200), "groups are nested more than 100 deep"),
    ] {
        assert_eq!(read(&mut *decoder("proto3", &[]), message).expect_err(reason), reason);
    }
    let mut tolerant = decoder("proto3", &[("ignore-parse-errors", "true")]);
    assert!(matches!(tolerant.push(&[0x08]), Decoded::Skipped(bad) if bad.tolerated_by.as_deref() == Some("protobuf.ignore-parse-errors")));
}

/// What is random in a message.
type Parts = (i64, Option<String>, u32, Vec<u8>, Option<(String, i64)>, Vec<i32>);

/// A column, the options of the format, and what is said of them.
type Refused<'a> = (Field, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn declarations_that_do_not_fit_are_refused() {
    let order = ("message-name", "Order");
    let cases: &[Refused<'_>] = &[
        (
            nullable("id", DataType::Utf8),
            &[order],
            "[CON-003] Table 'c.d.t': Format 'protobuf' cannot read column 'id': int64 cannot be read into Utf8.",
        ),
        (nullable("sizes", DataType::Int32), &[order], "column 'sizes': repeated sint32 cannot be read into Int32"),
        (nullable("idd", DataType::Int64), &[order], "column 'idd': the message has no such field. Did you mean 'id'?"),
        (nullable("id", DataType::Int64), &[("message-name", "shop.Oder")], "'shop.Oder' is not a message of"),
        (nullable("id", DataType::Int64), &[("message-name", "shop.Oder")], "Did you mean 'shop.Order'?"),
        (nullable("id", DataType::Int64), &[], "One or more required options are missing: 'protobuf.message-name'."),
        (nullable("id", DataType::Int64), &[order, ("message-class-name", "a.Order")], "shouldn't be set together"),
        (
            nullable("id", DataType::Int64),
            &[order, ("descriptor-file", "/nowhere/x.desc")],
            "'/nowhere/x.desc' cannot be read: No such file or directory",
        ),
    ];
    for (field, options, phrase) in cases {
        let text = format_of(&Arc::new(Schema::new(vec![field.clone()])), "proto3", options).expect_err(phrase).to_string();
        assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
    }
}

proptest! {
    #[test]
    fn numbers_are_those_of_prost(id in any::<i64>(), price in any::<f64>(), sizes in prop::collection::vec(any::<i32>(), 0..6), small in any::<u32>(), large in any::<i64>()) {
        let order = Order { id, price, sizes: sizes.clone(), small, large, ..full() };
        let row = read(&mut *decoder("proto3", &[]), &order.encode_to_vec()).expect("row");
        let sizes: Vec<String> = sizes.iter().map(i32::to_string).collect();
        prop_assert_eq!([&row[0], &row[10], &row[12], &row[13]], [&id.to_string(), &format!("[{}]", sizes.join(", ")), &small.to_string(), &large.to_string()]);
    }

    #[test]
    fn rows_are_read_as_they_were_written(
        orders in prop::collection::vec((any::<i64>(), any::<Option<String>>(), any::<u32>(), any::<Vec<u8>>(), any::<Option<(String, i64)>>(), any::<Vec<i32>>()), 1..6),
        proto2 in any::<bool>(),
    ) {
        let order = |(id, note, small, token, item, sizes): Parts| {
            let first = item.map(|(sku, delta)| Item { sku, delta });
            let items = first.iter().cloned().chain([Item::default()]).collect();
            Order { id, note, count: small >> 1, small, token, first, items, sizes, large: id, ..full() }.encode_to_vec()
        };
        let syntax = if proto2 { "proto2" } else { "proto3" };
        let rows = batch_of(&orders.into_iter().map(order).collect::<Vec<_>>(), syntax);
        prop_assert_eq!(batch_of(&written(&rows, syntax, &[]).expect("messages"), syntax), rows);
    }

    #[test]
    fn no_message_is_a_panic(noise in prop::collection::vec(any::<u8>(), 0..60), cut in 0_usize..200) {
        let mut decoder = decoder("proto3", &[]);
        let whole = full().encode_to_vec();
        for bytes in [&noise[..], &whole[..cut.min(whole.len())], &[&whole[..cut.min(whole.len())], &noise[..]].concat()] {
            let rows = usize::from(decoder.push(bytes) == Decoded::Row);
            prop_assert_eq!(decoder.take().expect("batch").num_rows(), rows);
        }
    }
}

/// The messages of `batch` in the format of `options`.
fn written(batch: &RecordBatch, syntax: &str, options: &[(&str, &str)]) -> Result<Vec<Vec<u8>>, String> {
    let named = [&[("message-name", "shop.Order")], options].concat();
    let format = format_of(&batch.schema(), syntax, &named).expect("format");
    let messages = format.encoder(&batch.schema())?.encode(batch).map_err(|bad| bad.bad.located())?;
    Ok(messages.iter().flatten().map(<[u8]>::to_vec).collect())
}

fn batch_of(messages: &[Vec<u8>], syntax: &str) -> RecordBatch {
    let mut decoder = decoder(syntax, &[]);
    for message in messages {
        assert_eq!(decoder.push(message), Decoded::Row);
    }
    decoder.take().expect("batch")
}

#[test]
fn what_is_written_is_what_prost_writes() {
    let messages = [full().encode_to_vec(), Order::default().encode_to_vec()];
    let again = written(&batch_of(&messages, "proto3"), "proto3", &[]).expect("messages");
    assert_eq!(again, messages);
}

#[test]
fn what_a_type_cannot_hold_is_refused_when_it_is_written() {
    let one = |name: &str, column: Arc<dyn Array>| RecordBatch::try_from_iter([(name, column)]).expect("batch");
    let told = |name: &str, column: Arc<dyn Array>| written(&one(name, column), "proto3", &[]).expect_err(name);
    let number = |value: i64| Arc::new(arrow_array::Int64Array::from(vec![value]));
    assert_eq!(told("count", number(-1)), "column 'count': '-1' is out of range for uint32");
    assert_eq!(
        told("sizes", {
            let field = Arc::new(nullable("element", DataType::Int64));
            Arc::new(arrow_array::ListArray::new(field, arrow_buffer::OffsetBuffer::from_lengths([1]), number(1 << 40), None))
        }),
        "column 'sizes': '1099511627776' is out of range for sint32"
    );
    assert_eq!(told("state", Arc::new(arrow_array::StringArray::from(vec!["GONE"]))), "column 'state': 'GONE' is not a name of the enumeration");
    assert!(told("weight", Arc::new(arrow_array::Float64Array::from(vec![1.5]))).contains("declare the column as FLOAT"));
    let state = written(&one("state", Arc::new(arrow_array::StringArray::from(vec!["42"]))), "proto3", &[]).expect("an unknown number");
    assert_eq!(state, [vec![8 << 3, 42]]);
}

#[test]
fn a_null_in_an_array_is_zero_or_the_text_of_the_option() {
    let sizes: arrow_array::ListArray = arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1), None])]);
    let batch = RecordBatch::try_from_iter([("sizes", Arc::new(sizes) as Arc<dyn Array>)]).expect("batch");
    assert_eq!(written(&batch, "proto3", &[]).expect("messages"), [vec![11 << 3 | 2, 2, 2, 0]]);
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, true), nullable("value", DataType::Int64)]);
    let keys: Arc<dyn Array> = Arc::new(arrow_array::StringArray::from(vec![None::<&str>]));
    let inside = arrow_array::StructArray::new(entries.clone(), vec![keys, Arc::new(arrow_array::Int64Array::from(vec![7]))], None);
    let field = Arc::new(Field::new("entries", DataType::Struct(entries), false));
    let tags = arrow_array::MapArray::new(field, arrow_buffer::OffsetBuffer::from_lengths([1]), inside, None, false);
    let batch = RecordBatch::try_from_iter([("tags", Arc::new(tags) as Arc<dyn Array>)]).expect("batch");
    let messages = written(&batch, "proto3", &[("write-null-string-literal", "nil")]).expect("messages");
    assert_eq!(Order::decode(messages[0].as_slice()).expect("order").tags, HashMap::from([("nil".to_owned(), 7)]));
}
