//! How the values of a schema get into columns: decided once for a schema and a set of columns.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde_json::Value;
use weir_base::options::closest;

use super::entries::Entries;
use super::schema::{Meaning, Member, Type};
use crate::format::changes::TOLD;

/// How the values of one type are read into a column.
#[derive(Debug)]
pub(super) enum Read {
    /// There is nothing to read: the column gets NULL.
    Null,
    Union(Vec<Self>),
    Boolean,
    /// A number as it is.
    Whole,
    /// A number times the first, divided by the second: other ticks.
    Ticks(i64, i64),
    Float,
    Double,
    Text,
    Bytes,
    /// So many bytes.
    Fixed(usize),
    /// With so many digits more behind the point; of so many bytes, if that is not written.
    Decimal(u32, Option<usize>),
    /// Names by number.
    Enum(Arc<[String]>),
    List(Box<Self>),
    Map(Box<Self>),
    Row(Record),
    /// A record as a map of texts.
    Entries(Entries),
    /// A branch of a union that the column cannot take: a message that has it is bad.
    Mismatch(Box<Misfit>),
}

/// How a record is read into a row.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Its fields in order.
    pub(super) steps: Vec<Step>,
    /// The columns that it has no field for: what they get, NULL if nothing.
    pub(super) missing: Vec<(usize, Option<String>)>,
}

/// A column that cannot be read from messages of a schema, with its path, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Misfit {
    pub(in crate::format) column: String,
    pub(in crate::format) why: String,
}

impl Misfit {
    fn within(self, column: &str) -> Self {
        let column = if self.column.is_empty() { column.to_owned() } else { format!("{column}.{}", self.column) };
        Self { column, why: self.why }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column '{}': {}", self.column, self.why)
    }
}

/// What is done with one field.
#[derive(Debug)]
pub(super) enum Step {
    /// It goes into the column of this number.
    Column(usize, Read),
    Skip(Skip),
}

/// How the values of one type are passed over.
#[derive(Debug)]
pub(super) enum Skip {
    Nothing,
    Bytes(usize),
    Whole,
    Sized,
    Blocks(Box<Self>),
    Entries(Box<Self>),
    All(Vec<Self>),
    Union(Vec<Self>),
}

impl Record {
    /// Reads records of `fields` into the columns of the same names, or of other names of theirs; other fields are passed over. `asked` are
    /// the fields of the schema that the user reads with, which may know other names and defaults.
    ///
    /// # Errors
    /// The column that cannot be read so, and why.
    pub(super) fn new(fields: &[Member], columns: &Fields, asked: Option<&[Member]>) -> Result<Self, Misfit> {
        let mut found = vec![None; columns.len()];
        for (number, field) in fields.iter().enumerate() {
            if let Some(slot) = place_of(field, fields, columns, asked).and_then(|place| found.get_mut(place)) {
                slot.get_or_insert(number);
            }
        }
        let mut steps = Vec::with_capacity(fields.len());
        for (number, field) in fields.iter().enumerate() {
            let place = found.iter().position(|found| *found == Some(number));
            steps.push(match place.and_then(|place| Some((place, columns.get(place)?))) {
                None => Step::Skip(Skip::new(&field.written)),
                Some((place, column)) => {
                    let asked = member(asked, column.name()).map(|asked| &asked.written);
                    Step::Column(place, Read::new(&field.written, column, asked).map_err(|misfit| misfit.within(column.name()))?)
                }
            });
        }
        let mut missing = Vec::new();
        for (place, column) in columns.iter().enumerate().filter(|(place, _)| found.get(*place).is_some_and(Option::is_none)) {
            let absent = absent(column, member(asked, column.name()), fields);
            missing.push((place, absent.map_err(|why| Misfit { column: column.name().clone(), why })?));
        }
        Ok(Self { steps, missing })
    }
}

fn member<'a>(members: Option<&'a [Member]>, name: &str) -> Option<&'a Member> {
    members?.iter().find(|member| member.name == name)
}

/// The column of a field: that of its name, else one that no field is named like and that the schema knows by another name.
fn place_of(field: &Member, fields: &[Member], columns: &Fields, asked: Option<&[Member]>) -> Option<usize> {
    let is_alias = |column: &Field| {
        let knows = |member: &Member, name: &str| member.aliases.iter().any(|alias| alias == name);
        knows(field, column.name()) || member(asked, column.name()).is_some_and(|asked| knows(asked, &field.name))
    };
    let exact = columns.find(&field.name).map(|(place, _)| place);
    exact.or_else(|| columns.iter().position(|column| is_alias(column) && member(Some(fields), column.name()).is_none()))
}

/// What a column gets that the schema has no field for.
fn absent(column: &Field, asked: Option<&Member>, fields: &[Member]) -> Result<Option<String>, String> {
    let takes_text = column.data_type().is_numeric() && !matches!(column.data_type(), DataType::Decimal128(..))
        || matches!(column.data_type(), DataType::Boolean | DataType::Utf8);
    match asked.and_then(|asked| asked.default.as_ref()) {
        Some(Value::String(text)) if *column.data_type() == DataType::Utf8 => Ok(Some(text.clone())),
        Some(value @ (Value::Bool(_) | Value::Number(_))) if takes_text => Ok(Some(value.to_string())),
        None | Some(Value::Null) if column.is_nullable() => Ok(None),
        None | Some(Value::Null) => {
            let near = closest(column.name(), fields.iter().map(|field| field.name.as_str()));
            let near = near.first().map(|near| format!(". Did you mean '{near}'?")).unwrap_or_default();
            Err(format!("there is no such field, and the column is NOT NULL{near}"))
        }
        Some(_) => Err("there is no such field, and its default is not one that can be read".to_owned()),
    }
}

impl Read {
    fn new(written: &Type, column: &Field, asked: Option<&Type>) -> Result<Self, Misfit> {
        let misfit = || Err(Misfit { column: String::new(), why: format!("{} cannot be read into {}", name(written), column.data_type()) });
        Ok(match (written, column.data_type()) {
            (Type::Null, _) => Self::Null,
            (Type::Union(branches), _) => {
                let read = branches.iter().map(|branch| Self::new(branch, column, asked));
                let read = read.map(|read| read.unwrap_or_else(|misfit| Self::Mismatch(Box::new(misfit)))).collect::<Vec<_>>();
                let is_readable = |read: &Self| !matches!(read, Self::Null | Self::Mismatch(_));
                let first = read.iter().find_map(|read| if let Self::Mismatch(misfit) = read { Some(misfit) } else { None });
                if let (false, Some(misfit)) = (read.iter().any(is_readable), first) {
                    return Err(Misfit::clone(misfit));
                }
                Self::Union(read)
            }
            (Type::Boolean, DataType::Boolean) => Self::Boolean,
            (
                Type::Whole(Meaning::Number | Meaning::Int),
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64,
            )
            | (Type::Whole(Meaning::Date), DataType::Date32)
            // As it was written, for who wants to count himself.
            | (Type::Whole(_), DataType::Int32 | DataType::Int64) => Self::Whole,
            (Type::Whole(Meaning::Time(ticks)), DataType::Time64(TimeUnit::Microsecond)) => Self::ticks(*ticks, 1_000_000),
            (Type::Whole(Meaning::Timestamp(ticks)), DataType::Timestamp(TimeUnit::Microsecond, _)) => Self::ticks(*ticks, 1_000_000),
            (Type::Whole(Meaning::Timestamp(ticks)), DataType::Timestamp(TimeUnit::Nanosecond, _)) => Self::ticks(*ticks, 1_000_000_000),
            (Type::Float, DataType::Float32 | DataType::Float64) => Self::Float,
            (Type::Double, DataType::Float64) => Self::Double,
            (Type::Text | Type::Bytes, DataType::Utf8) => Self::Text,
            (Type::Text | Type::Bytes, DataType::Binary | DataType::FixedSizeBinary(_)) => Self::Bytes,
            (Type::Fixed(size), DataType::Binary) => Self::Fixed(*size),
            (Type::Fixed(size), DataType::FixedSizeBinary(wanted)) if usize::try_from(*wanted) == Ok(*size) => Self::Fixed(*size),
            (Type::Enum(names), DataType::Utf8) => Self::Enum(Arc::clone(names)),
            (Type::Decimal { scale, fixed }, DataType::Decimal128(_, wanted)) => match u32::try_from(wanted - scale) {
                Ok(digits) => Self::Decimal(digits, *fixed),
                Err(_) => return misfit(),
            },
            (Type::Array(element), DataType::List(elements)) => {
                Self::List(Box::new(Self::new(element, elements, asked.and_then(Type::elements))?))
            }
            (Type::Map(value), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [_, values] => Self::Map(Box::new(Self::new(value, values, asked.and_then(Type::elements))?)),
                    _ => return misfit(),
                },
                _ => return misfit(),
            },
            (Type::Record(fields), DataType::Struct(columns)) => Self::Row(Record::new(fields, columns, asked.and_then(Type::members))?),
            (Type::Record(fields), DataType::Map(..)) if column.metadata().contains_key(TOLD) => Self::Entries(Entries::new(fields)),
            _ => return misfit(),
        })
    }

    fn ticks(written: i64, wanted: i64) -> Self {
        match (wanted / written, written / wanted) {
            (1, _) => Self::Whole,
            (0, divisor) => Self::Ticks(1, divisor),
            (factor, _) => Self::Ticks(factor, 1),
        }
    }
}

impl Skip {
    pub(super) fn new(written: &Type) -> Self {
        let all = |types: &[Type]| types.iter().map(Self::new).collect();
        match written {
            Type::Null => Self::Nothing,
            Type::Boolean => Self::Bytes(1),
            Type::Whole(_) => Self::Whole,
            Type::Float => Self::Bytes(4),
            Type::Double => Self::Bytes(8),
            Type::Fixed(size) | Type::Decimal { fixed: Some(size), .. } => Self::Bytes(*size),
            Type::Enum(_) => Self::Whole,
            Type::Bytes | Type::Text | Type::Decimal { .. } => Self::Sized,
            Type::Array(element) => Self::Blocks(Box::new(Self::new(element))),
            Type::Map(value) => Self::Entries(Box::new(Self::new(value))),
            Type::Union(branches) => Self::Union(all(branches)),
            Type::Record(fields) => Self::All(fields.iter().map(|field| Self::new(&field.written)).collect()),
        }
    }
}

/// What messages call a type.
pub(super) fn name(written: &Type) -> &'static str {
    match written {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Whole(Meaning::Number | Meaning::Int) => "int or long",
        Type::Whole(Meaning::Date) => "date",
        Type::Whole(Meaning::Time(_)) => "a time",
        Type::Whole(Meaning::Timestamp(_)) => "a timestamp",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::Fixed(_) => "fixed",
        Type::Enum(_) => "enum",
        Type::Decimal { .. } => "decimal",
        Type::Text => "string",
        Type::Array(_) => "an array",
        Type::Map(_) => "a map",
        Type::Union(_) => "a union",
        Type::Record(_) => "a record",
    }
}
