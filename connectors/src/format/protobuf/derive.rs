//! The text of the type that columns make: a file of proto3 whose first type has a field for each column, numbered in their order.

use std::fmt::Write as _;

use arrow_schema::{DataType, Field, Fields};

use super::compile::{Compiled, compile};
use super::encode::{Message, WriteProtobuf};

impl WriteProtobuf {
    /// Writes rows of `columns` as messages of the type that they make; with its text.
    ///
    /// # Errors
    /// The column that Protocol Buffers have no form for.
    pub(in crate::format) fn derived(columns: &Fields) -> Result<(String, Self), String> {
        let mut text = "syntax = \"proto3\";\n".to_owned();
        message("Row", columns, 0, &mut text)?;
        let Compiled { descriptors, .. } = compile(&text, Vec::new())?;
        let of_row = descriptors.message("Row").ok_or_else(|| "its type was not compiled".to_owned())?;
        let message = Message::new(&descriptors, of_row, columns)?;
        Ok((text, Self { message, null_text: String::new() }))
    }
}

/// Appends the type `name` of rows of `columns`; `depth` is how many types it stands in.
fn message(name: &str, columns: &Fields, depth: usize, out: &mut String) -> Result<(), String> {
    let space = "  ".repeat(depth);
    let mut fields = String::new();
    let mut types = String::new();
    for (number, column) in (1..).zip(columns) {
        let within = |why: String| format!("column '{}': {why}", column.name());
        let name = column.name();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(|byte| byte.is_ascii_alphanumeric() || byte == '_') {
            return Err(within(format!("'{name}' is no name in Protocol Buffers, which has letters, digits and underscores")));
        }
        // A type has its name among the fields beside it.
        let mut inner = format!("Row{number}");
        while columns.find(&inner).is_some() {
            inner.push('_');
        }
        let ty = match column.data_type() {
            DataType::List(element) => format!("repeated {}", value(element, &inner, depth, &mut types).map_err(within)?),
            DataType::Map(entries, _) => map(entries, &inner, depth, &mut types).map_err(within)?,
            _ => {
                let ty = value(column, &inner, depth, &mut types).map_err(within)?;
                let optional = column.is_nullable() && !matches!(column.data_type(), DataType::Struct(_));
                if optional { format!("optional {ty}") } else { ty }
            }
        };
        writeln!(fields, "{space}  {ty} {name} = {number};").map_err(|error| within(error.to_string()))?;
    }
    write!(out, "{space}message {name} {{\n{types}{fields}{space}}}\n").map_err(|error| error.to_string())
}

fn map(entries: &Field, inner: &str, depth: usize, types: &mut String) -> Result<String, String> {
    let DataType::Struct(fields) = entries.data_type() else { return Err("its map has no entries".to_owned()) };
    let [key, of_values] = fields.as_ref() else { return Err("its map has no values".to_owned()) };
    if !matches!(key.data_type(), DataType::Utf8 | DataType::Boolean | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) {
        return Err("the keys of maps in Protocol Buffers are whole numbers, BOOLEAN or STRING".to_owned());
    }
    Ok(format!("map<{}, {}>", value(key, inner, depth, types)?, value(of_values, inner, depth, types)?))
}

/// The name of the type of single values; a row is the type `inner`, which is appended to `types`.
fn value(column: &Field, inner: &str, depth: usize, types: &mut String) -> Result<String, String> {
    Ok(match column.data_type() {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Struct(columns) => {
            message(inner, columns, depth + 1, types)?;
            inner
        }
        DataType::List(_) | DataType::Map(..) => return Err("Protocol Buffers have no lists or maps within lists or maps".to_owned()),
        other => return Err(format!("Protocol Buffers have no form for {other}; write it as STRING, or as a number")),
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn columns_make_a_type_with_their_numbers() {
        let row = DataType::Struct(vec![Field::new("price", DataType::Float64, false)].into());
        let rows = DataType::List(Arc::new(Field::new("element", row.clone(), false)));
        let entries = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into());
        let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
        let fields =
            [("id", DataType::Int64, false), ("Row3", DataType::Int16, true), ("last", row, true), ("lines", rows, true), ("counts", map, true)];
        let columns: Vec<Field> = fields.map(|(name, data_type, nullable)| Field::new(name, data_type, nullable)).to_vec();
        let (text, _) = WriteProtobuf::derived(&columns.into()).expect("a type");
        let expected = "syntax = \"proto3\";\nmessage Row {\n  message Row3_ {\n    double price = 1;\n  }\n  message Row4 {\n    double price = 1;\n  }\n  \
            int64 id = 1;\n  optional int32 Row3 = 2;\n  Row3_ last = 3;\n  repeated Row4 lines = 4;\n  map<string, int64> counts = 5;\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_protocol_buffers_do_not_have_is_told_with_its_column() {
        let list = |element| DataType::List(Arc::new(Field::new("element", element, true)));
        let entries = DataType::Struct(vec![Field::new("key", DataType::Float64, false), Field::new("value", DataType::Int64, true)].into());
        for (name, data_type, why) in [
            ("at", DataType::Date32, "column 'at': Protocol Buffers have no form for Date32; write it as STRING, or as a number"),
            ("tags", list(list(DataType::Utf8)), "column 'tags': Protocol Buffers have no lists or maps within lists or maps"),
            ("counts", DataType::Map(Arc::new(Field::new("entries", entries, false)), false), "column 'counts': the keys of maps in"),
            ("a b", DataType::Utf8, "column 'a b': 'a b' is no name in Protocol Buffers"),
        ] {
            let told = WriteProtobuf::derived(&vec![Field::new(name, data_type, true)].into()).expect_err(why);
            assert!(told.starts_with(why), "{told}");
        }
    }
}
