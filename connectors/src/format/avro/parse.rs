//! Reads the text of a schema, as Avro's specification (1.11) says, with the schemas that it refers to.
//!
//! A type that contains itself is refused: no columns can hold it. So is a schema that grows beyond all measure when its named types are put
//! in where they are named.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::schema::{MICROS, MILLIS, Meaning, Member, NANOS, Type};

/// The most types that a schema may have, each counted as often as it is named.
const MOST_TYPES: usize = 50_000;

/// Reads `text`, which may name types of `references`, and each of those types of the ones before it.
///
/// # Errors
/// Why the text is no schema that can be read.
pub(in crate::format) fn parse(text: &str, references: &[String]) -> Result<Type, String> {
    let mut parser = Parser { named: HashMap::new(), left: MOST_TYPES };
    for reference in references {
        parser.whole(reference).map_err(|why| format!("in a schema that it refers to: {why}"))?;
    }
    parser.whole(text)
}

struct Parser {
    /// Types by their full names; `None` while they are being read.
    named: HashMap<String, Option<Type>>,
    /// How many more types there may be.
    left: usize,
}

impl Parser {
    fn whole(&mut self, text: &str) -> Result<Type, String> {
        let value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        self.read(&value, "")
    }

    fn count(&mut self, types: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(types).ok_or_else(|| format!("it has more than {MOST_TYPES} types"))?;
        Ok(())
    }

    fn read(&mut self, value: &Value, namespace: &str) -> Result<Type, String> {
        self.count(1)?;
        match value {
            Value::String(name) => self.of_name(name, &Map::new(), namespace),
            Value::Array(branches) => {
                let branches: Result<Vec<Type>, String> = branches.iter().map(|branch| self.read(branch, namespace)).collect();
                branches.map(Type::Union)
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.of_object(name, object, namespace),
                Some(inner) => self.read(inner, namespace),
                None => Err("a type has no \"type\"".to_owned()),
            },
            other => Err(format!("{other} is no type")),
        }
    }

    fn of_object(&mut self, ty: &str, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        match ty {
            "array" => Ok(Type::Array(Box::new(self.read(need(object, "items")?, namespace)?))),
            "map" => Ok(Type::Map(Box::new(self.read(need(object, "values")?, namespace)?))),
            "record" | "error" | "enum" | "fixed" => {
                let name = need(object, "name")?.as_str().ok_or("a name is no text")?;
                let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                let full = full_name(name, namespace);
                if self.named.insert(full.clone(), None).is_some() {
                    return Err(format!("type '{full}' is defined twice"));
                }
                let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
                let read = match ty {
                    "enum" => Type::Enum(texts(need(object, "symbols")?)?.into()),
                    "fixed" => {
                        let size = need(object, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                        meant(Type::Fixed(size.ok_or_else(|| format!("the size of '{full}' is no number"))?), object)
                    }
                    _ => Type::Record(self.members(&full, need(object, "fields")?, inner)?),
                };
                self.named.insert(full, Some(read.clone()));
                Ok(read)
            }
            name => self.of_name(name, object, namespace),
        }
    }

    fn members(&mut self, record: &str, fields: &Value, namespace: &str) -> Result<Vec<Member>, String> {
        let fields = fields.as_array().ok_or_else(|| format!("the fields of '{record}' are no list"))?;
        let (mut members, mut names) = (Vec::with_capacity(fields.len()), HashSet::with_capacity(fields.len()));
        for field in fields {
            let object = field.as_object().ok_or_else(|| format!("a field of '{record}' is no object"))?;
            let name = need(object, "name")?.as_str().ok_or("a name is no text")?;
            if !names.insert(name) {
                return Err(format!("'{record}' has two fields '{name}'"));
            }
            let written = self.read(need(object, "type")?, namespace).map_err(|why| format!("field '{name}': {why}"))?;
            let aliases = object.get("aliases").map(texts).transpose()?.unwrap_or_default();
            members.push(Member { name: name.to_owned(), aliases, default: object.get("default").cloned(), written });
        }
        Ok(members)
    }

    /// A primitive type, meant as `object` says, or a named one.
    fn of_name(&mut self, name: &str, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let primitive = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Whole(Meaning::Int),
            "long" => Type::Whole(Meaning::Number),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::Text,
            _ => {
                let full = full_name(name, namespace);
                let found = self.named.get(&full).or_else(|| self.named.get(name));
                let found = found.ok_or_else(|| format!("there is no type '{full}'"))?;
                let found = found.clone().ok_or_else(|| format!("type '{full}' contains itself, which no columns can hold"))?;
                self.count(size(&found))?;
                return Ok(found);
            }
        };
        Ok(meant(primitive, object))
    }
}

/// How `written` is meant by a logical type, or by the names that Kafka Connect and Debezium give.
fn meant(written: Type, object: &Map<String, Value>) -> Type {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let fixed = match written {
        Type::Whole(_) => {
            let meaning = match (text("logicalType"), text("connect.name")) {
                ("date", _) | ("", "io.debezium.time.Date") => Meaning::Date,
                ("time-millis", _) | ("", "io.debezium.time.Time") => Meaning::Time(MILLIS),
                ("time-micros", _) | ("", "io.debezium.time.MicroTime") => Meaning::Time(MICROS),
                ("", "io.debezium.time.NanoTime") => Meaning::Time(NANOS),
                ("timestamp-millis" | "local-timestamp-millis", _) | ("", "io.debezium.time.Timestamp") => Meaning::Timestamp(MILLIS),
                ("timestamp-micros" | "local-timestamp-micros", _) | ("", "io.debezium.time.MicroTimestamp") => Meaning::Timestamp(MICROS),
                ("timestamp-nanos" | "local-timestamp-nanos", _) | ("", "io.debezium.time.NanoTimestamp") => Meaning::Timestamp(NANOS),
                _ => return written,
            };
            return Type::Whole(meaning);
        }
        Type::Bytes => None,
        Type::Fixed(size) => Some(size),
        other => return other,
    };
    match text("logicalType") {
        "decimal" => decimal(object, fixed).unwrap_or(written),
        _ => written,
    }
}

/// The decimals that `object` declares, in so many bytes; `None` where the declaration is wrong: readers are to take the bytes then.
fn decimal(object: &Map<String, Value>, fixed: Option<usize>) -> Option<Type> {
    let precision = u32::try_from(object.get("precision")?.as_i64()?).ok().filter(|precision| *precision > 0)?;
    let scale = i8::try_from(object.get("scale").map_or(Some(0), Value::as_i64)?).ok()?;
    let fits = fixed.is_none_or(|size| precision as usize <= most_digits(size));
    (fits && u32::try_from(scale).is_ok_and(|scale| scale <= precision)).then_some(Type::Decimal { precision, scale, fixed })
}

/// How many digits every number of so many bytes in two's complement has room for: the logarithm of its greatest, rounded down.
fn most_digits(size: usize) -> usize {
    size.saturating_mul(8).saturating_sub(1).saturating_mul(30_103) / 100_000
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn need<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    object.get(key).ok_or_else(|| format!("a type or field has no \"{key}\""))
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no name"));
    value.as_array().ok_or_else(|| format!("{value} is no list of names"))?.iter().map(text).collect()
}

/// How many types a type is made of.
fn size(ty: &Type) -> usize {
    1 + match ty {
        Type::Array(inner) | Type::Map(inner) => size(inner),
        Type::Union(branches) => branches.iter().map(size).sum(),
        Type::Record(members) => members.iter().map(|member| size(&member.written)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Vec<Member> {
        let Ok(Type::Record(members)) = parse(text, &[]) else { panic!("{:?}", parse(text, &[])) };
        members
    }

    #[test]
    fn logical_types_and_the_names_of_connect_say_how_numbers_and_bytes_are_meant() {
        let members = fields(
            r#"{"type":"record","name":"r","fields":[
                {"name":"a","type":{"type":"long","logicalType":"timestamp-micros"}},
                {"name":"b","type":["null",{"type":"int","connect.version":1,"connect.name":"io.debezium.time.Date"}],"default":null},
                {"name":"c","type":{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}},
                {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},
                {"name":"e","type":{"type":"fixed","name":"f","size":3,"logicalType":"decimal","precision":4}},
                {"name":"g","type":{"type":{"type":"string"},"logicalType":"of our own"},"aliases":["h"]}]}"#,
        );
        let expected = [
            Type::Whole(Meaning::Timestamp(MICROS)),
            Type::Union(vec![Type::Null, Type::Whole(Meaning::Date)]),
            Type::Whole(Meaning::Timestamp(MILLIS)),
            Type::Decimal { precision: 4, scale: 2, fixed: None },
            Type::Decimal { precision: 4, scale: 0, fixed: Some(3) },
            Type::Text,
        ];
        assert_eq!(members.iter().map(|member| member.written.clone()).collect::<Vec<_>>(), expected);
        assert_eq!((members[1].default.clone(), members[5].aliases.clone()), (Some(Value::Null), vec!["h".to_owned()]));
    }

    #[test]
    fn a_decimal_that_is_declared_wrongly_is_the_bytes_that_it_is_in() {
        let read = |declared: &str| parse(&format!(r#"{{"logicalType":"decimal",{declared}}}"#), &[]).expect("a schema");
        assert_eq!(read(r#""type":"bytes","precision":64,"scale":9"#), Type::Decimal { precision: 64, scale: 9, fixed: None });
        for (size, most) in [(1, 2), (2, 4), (3, 6), (4, 9), (8, 18), (16, 38), (32, 76)] {
            let fixed = |precision: u32| read(&format!(r#""type":"fixed","name":"f","size":{size},"precision":{precision}"#));
            assert_eq!(fixed(most), Type::Decimal { precision: most, scale: 0, fixed: Some(size) });
            assert_eq!(fixed(most + 1), Type::Fixed(size));
        }
        for wrong in [r#""scale":2"#, r#""precision":0"#, r#""precision":"9""#, r#""precision":2,"scale":3"#, r#""precision":2,"scale":-1"#] {
            assert_eq!(read(&format!(r#""type":"bytes",{wrong}"#)), Type::Bytes, "{wrong}");
        }
    }

    #[test]
    fn named_types_are_found_in_their_namespace_and_in_schemas_that_are_referred_to() {
        let money = r#"{"type":"record","name":"Money","namespace":"org.shop","fields":[{"name":"cents","type":"long"}]}"#.to_owned();
        let order = r#"{"type":"record","name":"Order","namespace":"org.shop","fields":[
            {"name":"paid","type":"Money"},{"name":"due","type":["null","org.shop.Money"]},
            {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","SENT"]}},{"name":"before","type":"State"}]}"#;
        assert_eq!(parse(order, &[]), Err("field 'paid': there is no type 'org.shop.Money'".to_owned()));
        let Ok(Type::Record(members)) = parse(order, std::slice::from_ref(&money)) else { panic!("a record") };
        let cents = Type::Record(vec![Member::new("cents", Type::Whole(Meaning::Number))]);
        assert_eq!((&members[0].written, &members[1].written), (&cents, &Type::Union(vec![Type::Null, cents.clone()])));
        assert_eq!(members[2].written, members[3].written);
        let wrong = parse(order, &["{".to_owned()]).expect_err("no schema");
        assert!(wrong.starts_with("in a schema that it refers to: it is no JSON"), "{wrong}");
    }

    #[test]
    fn what_is_no_schema_is_told_and_what_grows_without_end_is_refused() {
        let record = |fields: &str| format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
        let mut bombs = r#"{"type":"record","name":"r0","fields":[{"name":"a","type":"long"}]}"#.to_owned();
        for depth in 1..40 {
            bombs.push_str(&format!(
                r#",{{"type":"record","name":"r{depth}","fields":[{{"name":"a","type":"r{0}"}},{{"name":"b","type":"r{0}"}}]}}"#,
                depth - 1
            ));
        }
        for (text, why) in [
            ("<html>".to_owned(), "it is no JSON"),
            ("7".to_owned(), "7 is no type"),
            ("\"strin\"".to_owned(), "there is no type 'strin'"),
            (r#"{"type":"record","name":"r"}"#.to_owned(), "a type or field has no \"fields\""),
            (record(r#"{"name":"a","type":"long"},{"name":"a","type":"int"}"#), "'r' has two fields 'a'"),
            (record(r#"{"name":"next","type":["null","r"]}"#), "field 'next': type 'r' contains itself"),
            (record(r#"{"name":"a","type":{"type":"fixed","name":"r","size":2}}"#), "field 'a': type 'r' is defined twice"),
            (format!("[{bombs}]"), "field 'a': it has more than 50000 types"),
            ("[".repeat(5_000), "it is no JSON"),
        ] {
            let told = parse(&text, &[]).expect_err(why);
            assert!(told.starts_with(why), "{told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in r#"[\[\]{}",:a-z ]{0,60}"#) {
            drop(parse(&text, std::slice::from_ref(&text)));
        }
    }
}
