//! How the values of a schema get into columns: decided once for a schema and a set of columns.

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::schema::{Meaning, Type};

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
    /// With so many digits more behind the point.
    Decimal(u32),
    List(Box<Self>),
    Map(Box<Self>),
    Row(Record),
    /// A branch of a union that the column cannot take: a message that has it is bad.
    Mismatch(String),
}

/// How a record is read into a row: its fields in order.
#[derive(Debug)]
pub(super) struct Record(pub(super) Vec<Step>);

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
    /// Reads records of `fields` into the columns of the same names; others are passed over.
    ///
    /// # Errors
    /// The column that cannot be read so, and why.
    pub(super) fn new(fields: &[(String, Type)], columns: &Fields) -> Result<Self, String> {
        let step = |(name, written): &(String, Type)| match columns.find(name) {
            None => Ok(Step::Skip(Skip::new(written))),
            Some((place, column)) => Ok(Step::Column(place, Read::new(written, column).map_err(|why| format!("column '{name}': {why}"))?)),
        };
        fields.iter().map(step).collect::<Result<_, String>>().map(Self)
    }
}

impl Read {
    fn new(written: &Type, column: &Field) -> Result<Self, String> {
        let misfit = || Err(format!("{} cannot be read into {}", name(written), column.data_type()));
        Ok(match (written, column.data_type()) {
            (Type::Null, _) => Self::Null,
            (Type::Union(branches), _) => {
                Self::Union(branches.iter().map(|branch| Self::new(branch, column).unwrap_or_else(Self::Mismatch)).collect())
            }
            (Type::Boolean, DataType::Boolean) => Self::Boolean,
            (
                Type::Whole(Meaning::Number),
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64,
            )
            | (Type::Whole(Meaning::Date), DataType::Date32) => Self::Whole,
            (Type::Whole(Meaning::Time(ticks)), DataType::Time64(TimeUnit::Microsecond)) => Self::ticks(*ticks, 1_000_000),
            (Type::Whole(Meaning::Timestamp(ticks)), DataType::Timestamp(TimeUnit::Microsecond, _)) => Self::ticks(*ticks, 1_000_000),
            (Type::Whole(Meaning::Timestamp(ticks)), DataType::Timestamp(TimeUnit::Nanosecond, _)) => Self::ticks(*ticks, 1_000_000_000),
            (Type::Float, DataType::Float32 | DataType::Float64) => Self::Float,
            (Type::Double, DataType::Float64) => Self::Double,
            (Type::Text | Type::Bytes, DataType::Utf8) => Self::Text,
            (Type::Text | Type::Bytes, DataType::Binary | DataType::FixedSizeBinary(_)) => Self::Bytes,
            (Type::Decimal { scale }, DataType::Decimal128(_, wanted)) => match u32::try_from(wanted - scale) {
                Ok(digits) => Self::Decimal(digits),
                Err(_) => return misfit(),
            },
            (Type::Array(element), DataType::List(elements)) => Self::List(Box::new(Self::new(element, elements)?)),
            (Type::Map(value), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [_, values] => Self::Map(Box::new(Self::new(value, values)?)),
                    _ => return misfit(),
                },
                _ => return misfit(),
            },
            (Type::Record(fields), DataType::Struct(columns)) => Self::Row(Record::new(fields, columns)?),
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
    fn new(written: &Type) -> Self {
        let all = |types: &[Type]| types.iter().map(Self::new).collect();
        match written {
            Type::Null => Self::Nothing,
            Type::Boolean => Self::Bytes(1),
            Type::Whole(_) => Self::Whole,
            Type::Float => Self::Bytes(4),
            Type::Double => Self::Bytes(8),
            Type::Bytes | Type::Text | Type::Decimal { .. } => Self::Sized,
            Type::Array(element) => Self::Blocks(Box::new(Self::new(element))),
            Type::Map(value) => Self::Entries(Box::new(Self::new(value))),
            Type::Union(branches) => Self::Union(all(branches)),
            Type::Record(fields) => Self::All(fields.iter().map(|(_, field)| Self::new(field)).collect()),
        }
    }
}

/// What messages call a type.
fn name(written: &Type) -> &'static str {
    match written {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Whole(Meaning::Number) => "int or long",
        Type::Whole(Meaning::Date) => "date",
        Type::Whole(Meaning::Time(_)) => "a time",
        Type::Whole(Meaning::Timestamp(_)) => "a timestamp",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::Decimal { .. } => "decimal",
        Type::Text => "string",
        Type::Array(_) => "an array",
        Type::Map(_) => "a map",
        Type::Union(_) => "a union",
        Type::Record(_) => "a record",
    }
}
