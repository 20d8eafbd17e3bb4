//! Random schemas, their evolution, and rows, kept by field id: the reader's answers are compared with what follows from these.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::{ListType, MapType, NestedField, PrimitiveType, Schema, StructType, Type};
use serde_json::{Map, Value, json};

/// A generator of numbers that is the same for the same seed.
#[derive(Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % end.max(1) as u64).expect("below a usize")
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}

/// A type, with names and ids.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Int,
    Long,
    Double,
    Text,
    Flag,
    Row(Vec<Part>),
    List(i32, Box<Kind>),
    Map(i32, i32, Box<Kind>),
}

/// A field of a row.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A row or a part of one: fields by id, everything else as it is.
#[derive(Debug, Clone)]
pub(super) enum Held {
    Null,
    Leaf(Value),
    Row(BTreeMap<i32, Held>),
    List(Vec<Held>),
    Map(BTreeMap<String, Held>),
}

/// Keys of maps and values of texts.
pub(super) const WORDS: [&str; 5] = ["a", "ab", "abc", "b", ""];
/// Levels of nesting.
const DEPTH: usize = 4;

/// Columns of a table, and the last id that was given.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) parts: Vec<Part>,
    last: i32,
}

impl Columns {
    /// `id` and up to four random columns.
    pub(super) fn random(numbers: &mut Numbers) -> Self {
        let mut columns = Self { parts: vec![Part { id: 1, name: "id".to_owned(), kind: Kind::Long }], last: 1 };
        for _ in 0..=numbers.below(4) {
            let part = columns.part(numbers, DEPTH);
            columns.parts.push(part);
        }
        columns
    }

    fn next(&mut self) -> i32 {
        self.last += 1;
        self.last
    }

    fn part(&mut self, numbers: &mut Numbers, depth: usize) -> Part {
        let id = self.next();
        Part { id, name: format!("f{id}"), kind: self.kind(numbers, depth) }
    }

    fn kind(&mut self, numbers: &mut Numbers, depth: usize) -> Kind {
        match numbers.below(if depth > 1 { 9 } else { 5 }) {
            0 => Kind::Int,
            1 => Kind::Long,
            2 => Kind::Double,
            3 => Kind::Text,
            4 => Kind::Flag,
            5 | 6 => Kind::Row((0..=numbers.below(3)).map(|_| self.part(numbers, depth - 1)).collect()),
            7 => Kind::List(self.next(), Box::new(self.kind(numbers, depth - 1))),
            _ => Kind::Map(self.next(), self.next(), Box::new(self.kind(numbers, depth - 1))),
        }
    }

    /// One random change at a random depth; the column `id` stays.
    pub(super) fn evolve(&mut self, numbers: &mut Numbers) {
        let mut parts = std::mem::take(&mut self.parts);
        let depth = numbers.below(3);
        self.evolve_row(&mut parts, depth, numbers, true);
        self.parts = parts;
    }

    fn evolve_row(&mut self, parts: &mut Vec<Part>, depth: usize, numbers: &mut Numbers, top: bool) {
        let fixed = usize::from(top);
        let at = fixed + numbers.below(parts.len() - fixed);
        if depth > 0
            && let Some(row) = parts.get_mut(at).and_then(|part| row_in(&mut part.kind))
        {
            return self.evolve_row(row, depth - 1, numbers, false);
        }
        match numbers.below(6) {
            0 => {
                let part = self.part(numbers, 2);
                parts.insert(at.min(parts.len()), part);
            }
            1 if parts.len() > fixed + 1 => drop(parts.remove(at)),
            2 if at < parts.len() => parts[at].name = format!("r{}", self.next()),
            3 if parts.len() > fixed + 1 => {
                let to = fixed + numbers.below(parts.len() - fixed);
                if at < parts.len() {
                    parts.swap(at, to);
                }
            }
            4 if at < parts.len() => {
                // The name comes back with another meaning.
                let name = parts[at].name.clone();
                let part = self.part(numbers, 2);
                parts[at] = Part { name, ..part };
            }
            _ => {
                for part in parts.iter_mut() {
                    promote(&mut part.kind);
                }
            }
        }
    }

    /// The columns as a schema of the table.
    pub(super) fn schema(&self, id: i32) -> Schema {
        Schema::builder().with_schema_id(id).with_fields(fields(&self.parts)).build().expect("schema")
    }

    /// A random row; `id` is given.
    pub(super) fn row(&self, id: i64, numbers: &mut Numbers) -> Held {
        let mut row: BTreeMap<i32, Held> = self.parts.iter().map(|part| (part.id, held(&part.kind, numbers))).collect();
        row.insert(1, Held::Leaf(json!(id)));
        Held::Row(row)
    }

    /// A row of any past as JSON in these columns.
    pub(super) fn named(&self, row: &Held) -> Value {
        named(&Kind::Row(self.parts.clone()), row)
    }
}

fn row_in(kind: &mut Kind) -> Option<&mut Vec<Part>> {
    match kind {
        Kind::Row(parts) => Some(parts),
        Kind::List(_, inner) | Kind::Map(_, _, inner) => row_in(inner),
        _ => None,
    }
}

fn promote(kind: &mut Kind) {
    match kind {
        Kind::Int => *kind = Kind::Long,
        Kind::List(_, inner) | Kind::Map(_, _, inner) => promote(inner),
        _ => {}
    }
}

fn fields(parts: &[Part]) -> Vec<Arc<NestedField>> {
    parts.iter().map(|part| Arc::new(NestedField::optional(part.id, &part.name, type_of(&part.kind)))).collect()
}

fn type_of(kind: &Kind) -> Type {
    let primitive = Type::Primitive;
    match kind {
        Kind::Int => primitive(PrimitiveType::Int),
        Kind::Long => primitive(PrimitiveType::Long),
        Kind::Double => primitive(PrimitiveType::Double),
        Kind::Text => primitive(PrimitiveType::String),
        Kind::Flag => primitive(PrimitiveType::Boolean),
        Kind::Row(parts) => Type::Struct(StructType::new(fields(parts))),
        Kind::List(id, inner) => Type::List(ListType::new(Arc::new(NestedField::list_element(*id, type_of(inner), false)))),
        Kind::Map(key, value, inner) => Type::Map(MapType::new(
            Arc::new(NestedField::map_key_element(*key, primitive(PrimitiveType::String))),
            Arc::new(NestedField::map_value_element(*value, type_of(inner), false)),
        )),
    }
}

fn held(kind: &Kind, numbers: &mut Numbers) -> Held {
    if numbers.one_in(6) {
        return Held::Null;
    }
    match kind {
        Kind::Int | Kind::Long => Held::Leaf(json!(numbers.below(20))),
        Kind::Double => Held::Leaf(json!(numbers.below(40) as f64 / 4.0)),
        Kind::Text => Held::Leaf(json!(WORDS[numbers.below(WORDS.len())])),
        Kind::Flag => Held::Leaf(json!(numbers.one_in(2))),
        Kind::Row(parts) => Held::Row(parts.iter().map(|part| (part.id, held(&part.kind, numbers))).collect()),
        Kind::List(_, inner) => Held::List((0..numbers.below(4)).map(|_| held(inner, numbers)).collect()),
        Kind::Map(_, _, inner) => {
            Held::Map((0..numbers.below(3)).map(|_| (WORDS[numbers.below(WORDS.len())].to_owned(), held(inner, numbers))).collect())
        }
    }
}

fn named(kind: &Kind, held: &Held) -> Value {
    match (kind, held) {
        (_, Held::Null) => Value::Null,
        (_, Held::Leaf(value)) => value.clone(),
        (Kind::Row(parts), Held::Row(fields)) => {
            let field = |part: &Part| (part.name.clone(), fields.get(&part.id).map_or(Value::Null, |held| named(&part.kind, held)));
            Value::Object(parts.iter().map(field).collect::<Map<_, _>>())
        }
        (Kind::List(_, inner), Held::List(elements)) => elements.iter().map(|element| named(inner, element)).collect(),
        (Kind::Map(_, _, inner), Held::Map(entries)) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), named(inner, value))).collect::<Map<_, _>>())
        }
        (kind, held) => panic!("{held:?} is no {kind:?}"),
    }
}
