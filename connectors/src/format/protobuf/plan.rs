//! Which fields of a message get into which columns, and how: decided once for a type and a set of columns.

use std::sync::Arc;

use arrow_schema::{DataType, Field as Column, Fields};
use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};
use weir_base::options::closest;

use super::descriptor::{Descriptors, MessageType};

/// What the user has chosen.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct Choices {
    /// Columns get default values rather than NULL.
    pub(in crate::format) defaults: bool,
    /// A type may lack fields for columns, which are NULL then: other versions of it have them.
    pub(in crate::format) evolves: bool,
}

/// No field of a message has this number.
const NO_NUMBER: u32 = 0;

/// How messages of one type are read into a row: the wanted fields by their numbers, ascending.
#[derive(Debug, Clone)]
pub(super) struct Plan(pub(super) Vec<Field>);

/// One field.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The place of its column in the row.
    pub(super) column: usize,
    pub(super) kind: Kind,
    /// Of several fields with the same, a message has one.
    pub(super) oneof: Option<i32>,
    /// What stands in the column if the message has no value.
    pub(super) absent: Absent,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    One(Value),
    List(Value),
    /// Entries with the key as field 1 and the value as field 2.
    Map(Scalar, Value),
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    Message(Box<Plan>),
}

/// The type of a single value.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Double,
    Float,
    /// Negative numbers in two's complement.
    Int,
    /// Never negative.
    Uint,
    /// Zigzag.
    Sint,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    /// Names by number.
    Enum(Arc<[(i32, String)]>),
}

/// What stands for a value that is missing.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    Null,
    /// Zero, the empty text, the empty list.
    Zero,
    /// This text.
    Text(String),
}

impl Plan {
    /// A plan for messages of `message` into `columns`.
    ///
    /// # Errors
    /// The column that cannot be read so, and why.
    pub(super) fn new(descriptors: &Descriptors, message: &MessageType, columns: &Fields, choices: Choices) -> Result<Self, String> {
        let mut fields = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter().enumerate() {
            let declared = &message.descriptor.field;
            let Some(field) = declared.iter().find(|field| field.name() == column.name()) else {
                if choices.evolves && column.is_nullable() {
                    let kind = Kind::One(Value::Scalar(Scalar::Int));
                    fields.push(Field { number: NO_NUMBER, column: place, kind, oneof: None, absent: Absent::Null });
                    continue;
                }
                let near =
                    closest(column.name(), declared.iter().map(FieldDescriptorProto::name)).first().map(|near| format!(" Did you mean '{near}'?"));
                return Err(format!("column '{}': the message has no such field.{}", column.name(), near.unwrap_or_default()));
            };
            let kind = kind(descriptors, field, column, choices).map_err(|why| format!("column '{}': {why}", column.name()))?;
            let number = u32::try_from(field.number()).unwrap_or_default();
            let absent = absent(field, &kind, message.proto3, choices.defaults);
            fields.push(Field { number, column: place, kind, oneof: field.oneof_index, absent });
        }
        fields.sort_by_key(|field| field.number);
        // One that is alone, as each `optional` field is, has no others to take back.
        let oneofs: Vec<Option<i32>> = fields.iter().map(|field| field.oneof).collect();
        for field in &mut fields {
            field.oneof = field.oneof.filter(|oneof| oneofs.iter().filter(|other| **other == Some(*oneof)).count() > 1);
        }
        Ok(Self(fields))
    }

    /// Whether there are columns, and no field for any of them.
    pub(super) fn finds_nothing(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|field| field.number == NO_NUMBER)
    }
}

fn kind(descriptors: &Descriptors, field: &FieldDescriptorProto, column: &Column, choices: Choices) -> Result<Kind, String> {
    if field.label() != Label::Repeated {
        return value(descriptors, field, column, choices).map(Kind::One);
    }
    match column.data_type() {
        DataType::List(element) => value(descriptors, field, element, choices).map(Kind::List),
        DataType::Map(entries, _) => {
            let entry =
                descriptors.message(field.type_name()).filter(|entry| entry.descriptor.options.as_ref().is_some_and(|options| options.map_entry()));
            match (entry.map(|entry| entry.descriptor.field.as_slice()), entries.data_type()) {
                (Some([key, written]), DataType::Struct(columns)) => match columns.as_ref() {
                    [key_column, value_column] => {
                        let Value::Scalar(key) = value(descriptors, key, key_column, choices)? else { return Err(misfit(field, column)) };
                        Ok(Kind::Map(key, value(descriptors, written, value_column, choices)?))
                    }
                    _ => Err(misfit(field, column)),
                },
                _ => Err(misfit(field, column)),
            }
        }
        _ => Err(misfit(field, column)),
    }
}

fn value(descriptors: &Descriptors, field: &FieldDescriptorProto, column: &Column, choices: Choices) -> Result<Value, String> {
    let whole = matches!(column.data_type(), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64);
    let scalar = match (field.r#type(), column.data_type()) {
        (Type::Double, DataType::Float64) => Scalar::Double,
        (Type::Float, DataType::Float32 | DataType::Float64) => Scalar::Float,
        (Type::Int32 | Type::Int64, _) if whole => Scalar::Int,
        (Type::Uint32 | Type::Uint64, _) if whole => Scalar::Uint,
        (Type::Sint32 | Type::Sint64, _) if whole => Scalar::Sint,
        (Type::Fixed32, _) if whole => Scalar::Fixed32,
        (Type::Fixed64, _) if whole => Scalar::Fixed64,
        (Type::Sfixed32, _) if whole => Scalar::Sfixed32,
        (Type::Sfixed64, _) if whole => Scalar::Sfixed64,
        (Type::Enum, _) if whole => Scalar::Int,
        (Type::Bool, DataType::Boolean) => Scalar::Bool,
        (Type::String, DataType::Utf8) => Scalar::Text,
        (Type::Bytes, DataType::Binary | DataType::FixedSizeBinary(_)) => Scalar::Bytes,
        (Type::Enum, DataType::Utf8) => {
            let found = descriptors.enumeration(field.type_name()).ok_or_else(|| format!("the descriptor set lacks '{}'", field.type_name()))?;
            Scalar::Enum(found.value.iter().map(|value| (value.number(), value.name().to_owned())).collect())
        }
        (Type::Message, DataType::Struct(columns)) => {
            let found = descriptors.message(field.type_name()).ok_or_else(|| format!("the descriptor set lacks '{}'", field.type_name()))?;
            return Plan::new(descriptors, found, columns, choices).map(|plan| Value::Message(Box::new(plan)));
        }
        _ => return Err(misfit(field, column)),
    };
    Ok(Value::Scalar(scalar))
}

fn misfit(field: &FieldDescriptorProto, column: &Column) -> String {
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    let name = field.r#type().as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase();
    let name =
        if matches!(field.r#type(), Type::Message | Type::Enum) { format!("{name} {}", field.type_name().trim_start_matches('.')) } else { name };
    format!("{repeated}{name} cannot be read into {}", column.data_type())
}

fn absent(field: &FieldDescriptorProto, kind: &Kind, proto3: bool, defaults: bool) -> Absent {
    // In proto3 a field that is no message and not marked optional always has a value.
    let implicit = proto3 && field.oneof_index.is_none();
    match kind {
        Kind::One(Value::Message(_)) => Absent::Null,
        Kind::List(_) | Kind::Map(..) if proto3 || defaults => Absent::Zero,
        Kind::One(Value::Scalar(scalar)) if implicit || defaults => match (&field.default_value, scalar) {
            (Some(text), _) => Absent::Text(text.clone()),
            (None, Scalar::Enum(names)) => names.first().map_or(Absent::Null, |(_, name)| Absent::Text(name.clone())),
            (None, _) => Absent::Zero,
        },
        _ => Absent::Null,
    }
}
