//! How the values of a column stand in an answer, and what they take in the column.

use arrow_schema::{DataType, Field};

/// The form of a value that is not NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A length and so many bytes; in the column a slot takes so many beside them.
    Sized(usize),
    /// A count and so many values.
    List(Box<Shape>),
    /// A count and so many pairs of values.
    Map(Box<(Shape, Shape)>),
    /// A value for each field.
    Row(Vec<Shape>),
}

impl Shape {
    /// The form of a type; types that no column reads have been refused.
    pub(super) fn of(data_type: &DataType) -> Self {
        let field = |field: &Field| Self::of(field.data_type());
        match data_type {
            DataType::Boolean | DataType::Int8 => Self::Fixed(1),
            DataType::Int16 => Self::Fixed(2),
            DataType::Int32 | DataType::Float32 | DataType::Date32 => Self::Fixed(4),
            DataType::Decimal128(..) => Self::Fixed(16),
            DataType::Utf8 | DataType::Binary => Self::Sized(4),
            DataType::FixedSizeBinary(size) => Self::Sized(size.unsigned_abs() as usize),
            DataType::List(element) => Self::List(Box::new(field(element))),
            DataType::Struct(fields) => Self::Row(fields.iter().map(|inner| field(inner)).collect()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if let [key, value] = fields.as_ref() => Self::Map(Box::new((field(key), field(value)))),
                _ => Self::Sized(4),
            },
            _ => Self::Fixed(8),
        }
    }

    /// Bytes that a slot takes in the column, whatever is in it.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Fixed(size) | Self::Sized(size) => *size,
            Self::List(_) | Self::Map(_) => 4,
            Self::Row(fields) => fields.iter().map(Self::width).sum(),
        }
    }
}
