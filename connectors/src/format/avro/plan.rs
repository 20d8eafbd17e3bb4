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
            (Type::Decimal { precision, scale, fixed }, DataType::Decimal128(has, has_scale)) => {
                let read = Self::decimal(((*precision, *scale), *fixed), (u32::from(*has), *has_scale), asked.and_then(Type::digits));
                read.map_err(|why| Misfit { column: String::new(), why })?
            }
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

    /// Decimals of one precision and scale as those of another, the column's. Avro's specification has them match where a schema is read with another,
    /// and so does Flink where a schema is given; a column may have room for more.
    fn decimal((written, fixed): (Digits, Option<usize>), column: Digits, asked: Option<Digits>) -> Result<Self, String> {
        let (precision, scale) = written;
        if let Some(asked) = asked.filter(|asked| !has_room(*asked, written)) {
            let why = format!("decimal({precision}, {scale}) cannot be read as decimal({}, {}), as which the schema given has it", asked.0, asked.1);
            return Err(why);
        }
        match u32::try_from(column.1 - scale) {
            Ok(more) if has_room(column, written) => Ok(Self::Decimal(more, fixed)),
            _ => {
                let needed = precision.min(MOST_DIGITS);
                let remedy = if i64::from(scale) > i64::from(needed) { String::new() } else { format!(": declare DECIMAL({needed}, {scale})") };
                Err(format!("decimal({precision}, {scale}) does not fit into DECIMAL({}, {}){remedy}", column.0, column.1))
            }
        }
    }

    fn ticks(written: i64, wanted: i64) -> Self {
        match (wanted / written, written / wanted) {
            (1, _) => Self::Whole,
            (0, divisor) => Self::Ticks(1, divisor),
            (factor, _) => Self::Ticks(factor, 1),
        }
    }
}

/// The most digits that a column can have. Schemas that say more do not know how many there are, such as Kafka Connect's, which say 64: then each
/// value is looked at.
const MOST_DIGITS: u32 = 38;

/// A precision and a scale.
type Digits = (u32, i8);

/// Whether decimals of `written` are such of `wanted` too: with no fewer digits before the point, nor behind it.
fn has_room(wanted: Digits, written: Digits) -> bool {
    let before_point = |(precision, scale): Digits| i64::from(precision) - i64::from(scale);
    wanted.1 >= written.1 && (written.0 > MOST_DIGITS || before_point(wanted) >= before_point(written))
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

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// What is said of a DECIMAL(10, 2) that is read from `written`, with the schema `asked`.
    fn told(written: &str, asked: Option<&str>) -> Option<String> {
        let schema = |digits: &str| {
            let field = format!(r#"["null",{{"type":"bytes","logicalType":"decimal",{digits}}}]"#);
            parse(&format!(r#"{{"type":"record","name":"r","fields":[{{"name":"d","type":{field}}}]}}"#), &[]).expect("a schema")
        };
        let (written, asked) = (schema(written), asked.map(schema));
        let column = Fields::from(vec![Field::new("d", DataType::Decimal128(10, 2), true)]);
        let record = Record::new(written.members().expect("a record"), &column, asked.as_ref().and_then(Type::members));
        record.err().map(|misfit| misfit.to_string())
    }

    #[test]
    fn a_decimal_is_read_where_the_column_has_room_for_all_of_its_digits() {
        let digits = |precision: u32, scale: u32| format!(r#""precision":{precision},"scale":{scale}"#);
        for (precision, scale, remedy) in [
            (10, 2, None),
            (9, 1, None),
            (8, 0, None),
            (11, 2, Some("DECIMAL(11, 2)")),
            (9, 0, Some("DECIMAL(9, 0)")),
            (3, 3, Some("DECIMAL(3, 3)")),
            // Not known, as Kafka Connect has it; but the digits behind the point are.
            (64, 2, None),
            (64, 3, Some("DECIMAL(38, 3)")),
        ] {
            let expected =
                remedy.map(|remedy| format!("column 'd': decimal({precision}, {scale}) does not fit into DECIMAL(10, 2): declare {remedy}"));
            assert_eq!(told(&digits(precision, scale), None), expected);
        }
        assert_eq!(told(&digits(8, 2), Some(&digits(9, 2))), None);
        let narrower = "column 'd': decimal(9, 2) cannot be read as decimal(8, 2), as which the schema given has it";
        assert_eq!(told(&digits(9, 2), Some(&digits(8, 2))).as_deref(), Some(narrower));
    }
}
