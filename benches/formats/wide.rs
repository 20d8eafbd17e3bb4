//! The wide messages as `prost` has them, and their type.

use chrono::NaiveDateTime;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;

use crate::messages::TIME;

macro_rules! wide_message {
    ($($kind:ident $rust:ty, $name:ident = $tag:tt, $place:literal;)*) => {
        /// The wide messages as prost has them; times count microseconds.
        #[derive(Clone, PartialEq, prost::Message)]
        pub(crate) struct Wide {
            $(#[prost($kind, tag = $tag)] pub(crate) $name: $rust,)*
        }

        impl Wide {
            pub(crate) fn of(values: &[Value]) -> Self {
                Self { $($name: <$rust as FromValue>::of(&values[$place]),)* }
            }
        }

        fn wide_fields() -> Vec<FieldDescriptorProto> {
            vec![$(FieldDescriptorProto {
                name: Some(stringify!($name).to_owned()),
                number: Some($place + 1),
                label: Some(Label::Optional.into()),
                r#type: Some(<$rust as FromValue>::TYPE.into()),
                ..FieldDescriptorProto::default()
            }),*]
        }
    };
}

wide_message! {
    int64 i64, id = "1", 0;
    int64 i64, ts = "2", 1;
    string String, state_02 = "3", 2;
    string String, label_03 = "4", 3;
    int64 i64, count_04 = "5", 4;
    double f64, value_05 = "6", 5;
    string String, state_06 = "7", 6;
    string String, label_07 = "8", 7;
    int64 i64, count_08 = "9", 8;
    double f64, value_09 = "10", 9;
    string String, state_10 = "11", 10;
    string String, label_11 = "12", 11;
    int64 i64, count_12 = "13", 12;
    double f64, value_13 = "14", 13;
    string String, state_14 = "15", 14;
    string String, label_15 = "16", 15;
    int64 i64, count_16 = "17", 16;
    double f64, value_17 = "18", 17;
    string String, state_18 = "19", 18;
    string String, label_19 = "20", 19;
    int64 i64, count_20 = "21", 20;
    double f64, value_21 = "22", 21;
    string String, state_22 = "23", 22;
    string String, label_23 = "24", 23;
    int64 i64, count_24 = "25", 24;
    double f64, value_25 = "26", 25;
    string String, state_26 = "27", 26;
    string String, label_27 = "28", 27;
    int64 i64, count_28 = "29", 28;
    double f64, value_29 = "30", 29;
    string String, state_30 = "31", 30;
    string String, label_31 = "32", 31;
    int64 i64, count_32 = "33", 32;
    double f64, value_33 = "34", 33;
    string String, state_34 = "35", 34;
    string String, label_35 = "36", 35;
    int64 i64, count_36 = "37", 36;
    double f64, value_37 = "38", 37;
    string String, state_38 = "39", 38;
    string String, label_39 = "40", 39;
}

/// Values of JSON as those of prost.
trait FromValue {
    const TYPE: Type;
    fn of(value: &Value) -> Self;
}

impl FromValue for i64 {
    const TYPE: Type = Type::Int64;
    fn of(value: &Value) -> Self {
        value.as_i64().unwrap_or_else(|| micros(value))
    }
}

impl FromValue for f64 {
    const TYPE: Type = Type::Double;
    fn of(value: &Value) -> Self {
        value.as_f64().expect("number")
    }
}

impl FromValue for String {
    const TYPE: Type = Type::String;
    fn of(value: &Value) -> Self {
        value.as_str().expect("text").to_owned()
    }
}

fn micros(value: &Value) -> i64 {
    NaiveDateTime::parse_from_str(value.as_str().expect("text"), TIME).expect("time").and_utc().timestamp_micros()
}

/// The descriptor set of the one message.
pub(crate) fn descriptors() -> FileDescriptorSet {
    let message = DescriptorProto { name: Some("Wide".to_owned()), field: wide_fields(), ..DescriptorProto::default() };
    let file = FileDescriptorProto { syntax: Some("proto3".to_owned()), message_type: vec![message], ..FileDescriptorProto::default() };
    FileDescriptorSet { file: vec![file] }
}

/// The same as text, as a registry has it.
pub(crate) fn text() -> String {
    let named = |field: &FieldDescriptorProto| match field.r#type() {
        Type::Int64 => "int64",
        Type::Double => "double",
        _ => "string",
    };
    let fields: Vec<String> = wide_fields().iter().map(|field| format!("{} {} = {};", named(field), field.name(), field.number())).collect();
    format!(r#"syntax = "proto3"; message Wide {{ {} }}"#, fields.join(" "))
}
