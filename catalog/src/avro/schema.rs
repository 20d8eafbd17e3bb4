//! The schema of an Avro file, as it was written. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Outcome, Unusual};

/// A type.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// No value.
    Null,
    /// True or false.
    Boolean,
    /// A whole number of 32 bits.
    Int,
    /// One of 64 bits.
    Long,
    /// A number of 32 bits.
    Float,
    /// One of 64 bits.
    Double,
    /// Bytes.
    Bytes,
    /// A text.
    Text,
    /// So many bytes.
    Fixed(usize),
    /// An unscaled whole number in big-endian bytes, which are bytes or fixed.
    Decimal(Arc<Node>),
    /// Fields by name, in order.
    Record(Vec<(String, Arc<Node>)>),
    /// Items.
    Array(Arc<Node>),
    /// Values by a text.
    Map(Arc<Node>),
    /// One of several types.
    Union(Vec<Arc<Node>>),
}

/// Logical types whose numbers count another unit than Iceberg's.
const OTHER_UNITS: [&str; 3] = ["timestamp-millis", "local-timestamp-millis", "time-millis"];

impl Node {
    /// The type of a schema in JSON.
    ///
    /// # Errors
    /// A schema that manifests do not have.
    pub fn parse(schema: &[u8]) -> Outcome<Arc<Self>> {
        let value: Value = serde_json::from_slice(schema).map_err(|_error| Unusual("the schema is no JSON"))?;
        parse(&value, &mut HashMap::new())
    }
}

fn parse(value: &Value, names: &mut HashMap<String, Arc<Node>>) -> Outcome<Arc<Node>> {
    match value {
        Value::String(name) => by_name(name, names),
        Value::Array(branches) => {
            let branches: Outcome<Vec<_>> = branches.iter().map(|branch| parse(branch, names)).collect();
            Ok(Arc::new(Node::Union(branches?)))
        }
        Value::Object(object) => {
            let part = |key: &'static str| object.get(key).ok_or(Unusual("a type lacks a part"));
            let node = match part("type")? {
                Value::String(kind) => match kind.as_str() {
                    "record" => {
                        let fields = part("fields")?.as_array().ok_or(Unusual("fields are no list"))?;
                        let fields: Outcome<Vec<_>> = fields.iter().map(|field| field_of(field, names)).collect();
                        Arc::new(Node::Record(fields?))
                    }
                    "array" => Arc::new(Node::Array(parse(part("items")?, names)?)),
                    "map" => Arc::new(Node::Map(parse(part("values")?, names)?)),
                    "fixed" => {
                        let size = part("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                        Arc::new(Node::Fixed(size.ok_or(Unusual("a size is no number"))?))
                    }
                    "enum" => Arc::new(Node::Int),
                    name => by_name(name, names)?,
                },
                nested => parse(nested, names)?,
            };
            let node = match object.get("logicalType").and_then(Value::as_str) {
                Some("decimal") => Arc::new(Node::Decimal(node)),
                Some("uuid") if *node == Node::Text => return Err(Unusual("a UUID in letters")),
                Some(unit) if OTHER_UNITS.contains(&unit) => return Err(Unusual("times in another unit")),
                _ => node,
            };
            if let Some(name) = object.get("name").and_then(Value::as_str) {
                names.insert(name.to_owned(), Arc::clone(&node));
            }
            Ok(node)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Err(Unusual("a type is none")),
    }
}

fn field_of(field: &Value, names: &mut HashMap<String, Arc<Node>>) -> Outcome<(String, Arc<Node>)> {
    let name = field.get("name").and_then(Value::as_str).ok_or(Unusual("a field has no name"))?;
    let node = parse(field.get("type").ok_or(Unusual("a field has no type"))?, names)?;
    Ok((name.to_owned(), node))
}

fn by_name(name: &str, names: &HashMap<String, Arc<Node>>) -> Outcome<Arc<Node>> {
    Ok(Arc::new(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::Text,
        other => return names.get(other).map(Arc::clone).ok_or(Unusual("a type is not known")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_types_are_known_from_where_they_are_made() {
        let schema = br#"{"type": "record", "name": "r", "fields": [
            {"name": "a", "type": {"type": "fixed", "name": "f", "size": 3, "logicalType": "decimal"}},
            {"name": "b", "type": ["null", "f"]},
            {"name": "c", "type": {"type": "array", "items": {"type": "int"}}}
        ]}"#;
        let decimal = || Arc::new(Node::Decimal(Node::Fixed(3).into()));
        let union = Node::Union(vec![Node::Null.into(), decimal()]);
        let fields = vec![("a".to_owned(), decimal()), ("b".to_owned(), union.into()), ("c".to_owned(), Node::Array(Node::Int.into()).into())];
        assert_eq!(Node::parse(schema), Ok(Node::Record(fields).into()));
        for wrong in ["{", "3", r#""later""#, r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "r"}]}"#] {
            Node::parse(wrong.as_bytes()).expect_err("unusual");
        }
    }
}
