//! Schemas of Avro, and the one that columns make (as Flink derives it).

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use serde_json::Value;

/// A type of Avro with what is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) enum Type {
    Null,
    Boolean,
    /// `int` or `long`: both are written the same.
    Whole(Meaning),
    Float,
    Double,
    Bytes,
    /// So many bytes.
    Fixed(usize),
    /// Decimals of up to `precision` digits, the highest byte first: in `bytes`, or so many.
    Decimal {
        precision: u32,
        scale: i8,
        fixed: Option<usize>,
    },
    Text,
    /// Names by number.
    Enum(Arc<[String]>),
    Array(Box<Self>),
    Map(Box<Self>),
    Union(Vec<Self>),
    Record(Vec<Member>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Member {
    pub(in crate::format) name: String,
    /// Its other names.
    pub(super) aliases: Vec<String>,
    /// What it is for readers where a message does not have it.
    pub(super) default: Option<Value>,
    pub(in crate::format) written: Type,
}

impl Member {
    pub(in crate::format) fn new(name: impl Into<String>, written: Type) -> Self {
        Self { name: name.into(), aliases: Vec::new(), default: None, written }
    }
}

impl Type {
    /// The record, if this is one or a union with one.
    pub(in crate::format) fn record(&self) -> Option<&Self> {
        match self {
            Self::Record(_) => Some(self),
            Self::Union(branches) => branches.iter().find_map(Self::record),
            _ => None,
        }
    }

    /// Its fields.
    pub(in crate::format) fn members(&self) -> Option<&[Member]> {
        match self.record()? {
            Self::Record(members) => Some(members),
            _ => None,
        }
    }

    /// Precision and scale, if this is a decimal or a union with one.
    pub(super) fn digits(&self) -> Option<(u32, i8)> {
        match self {
            Self::Decimal { precision, scale, .. } => Some((*precision, *scale)),
            Self::Union(branches) => branches.iter().find_map(Self::digits),
            _ => None,
        }
    }

    /// What is in the arrays or maps, if these are some, or a union with them.
    pub(super) fn elements(&self) -> Option<&Self> {
        match self {
            Self::Array(element) | Self::Map(element) => Some(element),
            Self::Union(branches) => branches.iter().find_map(Self::elements),
            _ => None,
        }
    }
}

/// What a whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Meaning {
    Number,
    /// A number of 32 bits.
    Int,
    /// Days since 1970-01-01.
    Date,
    /// Of the day, so many in a second.
    Time(i64),
    /// Since 1970-01-01 00:00:00, so many in a second.
    Timestamp(i64),
}

/// Ticks of a millisecond, a microsecond and a nanosecond in a second.
pub(super) const MILLIS: i64 = 1_000;
pub(super) const MICROS: i64 = 1_000_000;
pub(super) const NANOS: i64 = 1_000_000_000;

/// The schema of a column: as Flink derives it from the declared type. `legacy`: TIMESTAMP in milliseconds, and no TIMESTAMP_LTZ.
///
/// # Errors
/// Why Avro, or Flink's mapping to it, has no form for the type.
pub(super) fn derive(field: &Field, legacy: bool) -> Result<Type, String> {
    let declared = field.metadata().get(crate::format::SQL_TYPE).map(String::as_str).unwrap_or_default();
    Deriving { legacy, precisions: precisions(declared).into_iter() }.column(field)
}

struct Deriving<I> {
    legacy: bool,
    /// Of the times and timestamps in the declared type, in order.
    precisions: I,
}

impl<I: Iterator<Item = u8>> Deriving<I> {
    fn column(&mut self, field: &Field) -> Result<Type, String> {
        let value = self.value(field.data_type())?;
        Ok(if field.is_nullable() { Type::Union(vec![Type::Null, value]) } else { value })
    }

    fn value(&mut self, data_type: &DataType) -> Result<Type, String> {
        Ok(match data_type {
            DataType::Boolean => Type::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 => Type::Whole(Meaning::Int),
            DataType::Int64 => Type::Whole(Meaning::Number),
            DataType::Float32 => Type::Float,
            DataType::Float64 => Type::Double,
            DataType::Utf8 => Type::Text,
            DataType::Binary | DataType::FixedSizeBinary(_) => Type::Bytes,
            DataType::Decimal128(precision, scale) => Type::Decimal { precision: u32::from(*precision), scale: *scale, fixed: None },
            DataType::Date32 => Type::Whole(Meaning::Date),
            DataType::Time64(_) => match self.precisions.next().unwrap_or(0) {
                0..=3 => Type::Whole(Meaning::Time(MILLIS)),
                precision => {
                    return Err(format!("Avro does not support TIME type with precision: {precision}, it only supports precision less than 3"));
                }
            },
            DataType::Timestamp(unit, zone) => {
                let most = if *unit == TimeUnit::Nanosecond { 9 } else { 6 };
                let precision = self.precisions.next().unwrap_or(most);
                self.timestamp(zone.is_some(), precision)?
            }
            DataType::List(element) => Type::Array(Box::new(self.column(element)?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [key, value] if *key.data_type() == DataType::Utf8 => Type::Map(Box::new(self.column(value)?)),
                    _ => return Err("the keys of Avro's maps are text".to_owned()),
                },
                other => return Err(format!("no map is made of {other}")),
            },
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|field| Ok(Member::new(field.name(), self.column(field)?)));
                Type::Record(fields.collect::<Result<_, String>>()?)
            }
            other => return Err(format!("Avro has no form for {other}")),
        })
    }

    fn timestamp(&self, zoned: bool, precision: u8) -> Result<Type, String> {
        let legacy = self.legacy;
        match precision {
            _ if zoned && legacy => Err("TIMESTAMP_LTZ needs 'timestamp_mapping.legacy' = 'false'".to_owned()),
            0..=3 => Ok(Type::Whole(Meaning::Timestamp(MILLIS))),
            4..=6 if !legacy => Ok(Type::Whole(Meaning::Timestamp(MICROS))),
            _ if legacy => Err(format!(
                "Avro does not support TIMESTAMP type with precision: {precision}, it only supports precision less than 3 (or up to 6 with \
                 'timestamp_mapping.legacy' = 'false')"
            )),
            _ => Err(format!("Avro does not support TIMESTAMP type with precision: {precision}, it only supports precision less than 6")),
        }
    }
}

/// The precisions of times and timestamps in a type in its canonical spelling, in order: Arrow's types do not have them.
fn precisions(declared: &str) -> Vec<u8> {
    let plain = declared.split('`').step_by(2); // names in backticks may be anything
    let words = plain.flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '('))));
    let precision = |word: &str| {
        let (name, digits) = word.split_once('(')?;
        matches!(name, "TIME" | "TIMESTAMP" | "TIMESTAMP_LTZ").then(|| digits.parse().ok())?
    };
    words.filter_map(precision).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_from_the_declared_type_in_order() {
        let declared = "ROW<a TIMESTAMP(3), `TIME(9)` TIME(0), time INT, m MAP<STRING, ARRAY<TIMESTAMP_LTZ(6)>>, d DECIMAL(10, 2)>";
        assert_eq!(precisions(declared), [3, 0, 6]);
        assert!(precisions("VARCHAR(3)").is_empty());
    }
}
