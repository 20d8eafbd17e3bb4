//! How rows become messages of a type: `Message` decides once which column is which field, and `WriteProtobuf` writes rows by it.
//!
//! What is NULL is left out. So are, as proto3 wants, zeros and empty texts of fields that always have a value.

use arrow_schema::{DataType, FieldRef, Fields};
use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};

use super::descriptor::{Descriptors, MessageType};
use crate::format::cells::{Cells, Entries, Values, elements};
use crate::format::columns::{Fault, quoted};
use crate::format::encoder::WriteRow;

/// The fields of a type that have a column, by their numbers.
#[derive(Debug)]
pub(super) struct Message(Vec<Field>);

/// A field.
#[derive(Debug)]
struct Field {
    number: u32,
    /// The place of its column in the row.
    column: usize,
    shape: Shape,
    /// It always has a value: zeros and empty texts need not be written.
    implicit: bool,
    /// It must be written.
    required: bool,
    oneof: Option<i32>,
}

/// What a field holds.
#[derive(Debug)]
enum Shape {
    One(Kind),
    List(Kind),
    /// Entries with the key as field 1 and the value as field 2.
    Map(Kind, Kind),
}

/// The type of a value.
#[derive(Debug)]
enum Kind {
    Scalar(Type),
    /// Names and numbers.
    Enum(Vec<(String, i32)>),
    Message(Message),
}

impl Message {
    /// The fields of `message` for `columns`, which can be read from it.
    ///
    /// # Errors
    /// A sentence about what cannot be written.
    pub(super) fn new(descriptors: &Descriptors, message: &MessageType, columns: &Fields) -> Result<Self, String> {
        let declared = &message.descriptor.field;
        let missing = declared.iter().find(|field| field.label() == Label::Required && columns.find(field.name()).is_none());
        if let Some(field) = missing {
            return Err(format!("there is no column for the field '{}', which is required", field.name()));
        }
        let field = |(place, column): (usize, &FieldRef)| {
            let field = declared.iter().find(|field| field.name() == column.name());
            let field = field.ok_or_else(|| format!("column '{}': the message has no such field", column.name()))?;
            let shape = shape(descriptors, field, column.data_type()).map_err(|why| format!("column '{}': {why}", column.name()))?;
            Ok(Field {
                number: u32::try_from(field.number()).unwrap_or_default(),
                column: place,
                shape,
                implicit: message.proto3 && field.oneof_index.is_none(),
                required: field.label() == Label::Required,
                oneof: field.oneof_index,
            })
        };
        let mut fields = columns.iter().enumerate().map(field).collect::<Result<Vec<_>, String>>()?;
        fields.sort_by_key(|field| field.number);
        Ok(Self(fields))
    }
}

fn shape(descriptors: &Descriptors, field: &FieldDescriptorProto, column: &DataType) -> Result<Shape, String> {
    let misfit = || format!("no field is written from {column}");
    match column {
        DataType::List(element) => kind(descriptors, field, element.data_type()).map(Shape::List),
        DataType::Map(entries, _) => {
            let entry = descriptors.message(field.type_name()).map(|entry| entry.descriptor.field.as_slice());
            let (Some([key, value]), DataType::Struct(columns)) = (entry, entries.data_type()) else { return Err(misfit()) };
            let [key_column, value_column] = columns.as_ref() else { return Err(misfit()) };
            Ok(Shape::Map(kind(descriptors, key, key_column.data_type())?, kind(descriptors, value, value_column.data_type())?))
        }
        _ => kind(descriptors, field, column).map(Shape::One),
    }
}

fn kind(descriptors: &Descriptors, field: &FieldDescriptorProto, column: &DataType) -> Result<Kind, String> {
    let lacks = || format!("the descriptor set lacks '{}'", field.type_name());
    Ok(match (field.r#type(), column) {
        (Type::Message, DataType::Struct(columns)) => {
            Kind::Message(Message::new(descriptors, descriptors.message(field.type_name()).ok_or_else(lacks)?, columns)?)
        }
        (Type::Enum, DataType::Utf8) => {
            let found = descriptors.enumeration(field.type_name()).ok_or_else(lacks)?;
            Kind::Enum(found.value.iter().map(|value| (value.name().to_owned(), value.number())).collect())
        }
        (Type::Float, DataType::Float64) => return Err("a float does not hold a DOUBLE; declare the column as FLOAT".to_owned()),
        (scalar, _) => Kind::Scalar(scalar),
    })
}

/// Writes rows as messages.
#[derive(Debug)]
pub(in crate::format) struct WriteProtobuf {
    pub(super) message: Message,
    /// The text that stands for NULL in an array or a map.
    pub(super) null_text: String,
}

impl WriteRow for WriteProtobuf {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        self.fields(&self.message, columns, row, out)?;
        Ok(true)
    }
}

const VARINT: u32 = 0;
const EIGHT: u32 = 1;
const SIZED: u32 = 2;
const FOUR: u32 = 5;

impl WriteProtobuf {
    fn fields(&self, message: &Message, columns: &[Cells<'_>], slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let of_columns = || message.0.iter().filter_map(|field| Some((field, columns.get(field.column)?)));
        for (index, (field, cells)) in of_columns().enumerate() {
            if cells.is_null(slot) {
                if field.required {
                    return Err(Fault::field("the field is required and has no value here").within(cells.name));
                }
                continue;
            }
            let mut others = of_columns().skip(index + 1);
            if field.oneof.is_some()
                && let Some((_, other)) = others.find(|(other, cells)| other.oneof == field.oneof && !cells.is_null(slot))
            {
                return Err(Fault::field(format!("it and '{}' are of one oneof, and both have a value", other.name)).within(cells.name));
            }
            self.field(field, cells, slot, out).map_err(|fault| fault.within(cells.name))?;
        }
        Ok(())
    }

    fn field(&self, field: &Field, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match (&field.shape, &cells.values) {
            (Shape::One(kind), _) => {
                let start = out.len();
                tag(field.number, kind.wire(), out);
                let value = out.len();
                self.value(kind, cells, slot, out)?;
                // Zero, whatever its type, is written as zeros; so is the length of nothing.
                if field.implicit && !matches!(kind, Kind::Message(_)) && out.iter().skip(value).all(|byte| *byte == 0) {
                    out.truncate(start);
                }
            }
            (Shape::List(kind), Values::List(lists, of_elements)) => {
                let slots = elements(lists.value_offsets(), slot);
                if kind.wire() == SIZED {
                    for (index, slot) in slots.enumerate() {
                        tag(field.number, SIZED, out);
                        self.element(kind, of_elements, slot, out).map_err(|fault| fault.within(format!("[{index}]")))?;
                    }
                } else if !slots.is_empty() {
                    // Packed: every reader takes it, whatever the declaration says.
                    tag(field.number, SIZED, out);
                    prefixed(out, |out| slots.into_iter().try_for_each(|slot| self.element(kind, of_elements, slot, out)))?;
                }
            }
            (Shape::Map(key, value), Values::Map(maps, entries)) => {
                for slot in elements(maps.value_offsets(), slot) {
                    tag(field.number, SIZED, out);
                    prefixed(out, |out| self.entry((key, value), entries, slot, out))?;
                }
            }
            _ => return Err(misfit()),
        }
        Ok(())
    }

    fn entry(&self, (key, value): (&Kind, &Kind), entries: &Entries<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        tag(1, key.wire(), out);
        self.element(key, &entries.keys, slot, out)?;
        tag(2, value.wire(), out);
        self.element(value, &entries.values, slot, out)
    }

    /// Appends a value of an array or a map, which has no NULL: zero stands for it, or the text of the option.
    fn element(&self, kind: &Kind, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !cells.is_null(slot) {
            return self.value(kind, cells, slot, out);
        }
        match kind {
            Kind::Scalar(Type::String) => sized(self.null_text.as_bytes(), out),
            Kind::Enum(names) => varint(i64::from(names.first().map_or(0, |(_, number)| *number)).cast_unsigned(), out),
            kind => out.resize(
                out.len()
                    + if kind.wire() == EIGHT {
                        8
                    } else if kind.wire() == FOUR {
                        4
                    } else {
                        1
                    },
                0,
            ),
        }
        Ok(())
    }

    fn value(&self, kind: &Kind, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match (kind, &cells.values) {
            (Kind::Message(message), Values::Row(columns)) => return prefixed(out, |out| self.fields(message, columns, slot, out)),
            (Kind::Enum(names), Values::Utf8(values)) => {
                let name = values.value(slot);
                let number = names.iter().find(|(known, _)| known == name).map(|(_, number)| *number).or_else(|| name.parse().ok());
                let number = number.ok_or_else(|| Fault::field(format!("{} is not a name of the enumeration", quoted(name.as_bytes()))))?;
                varint(i64::from(number).cast_unsigned(), out);
            }
            (Kind::Scalar(Type::Double), Values::Float64(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
            (Kind::Scalar(Type::Float), Values::Float32(values)) => out.extend_from_slice(&values.value(slot).to_le_bytes()),
            (Kind::Scalar(Type::Bool), Values::Boolean(values)) => out.push(values.value(slot).into()),
            (Kind::Scalar(Type::String | Type::Bytes), _) => sized(cells.bytes(slot).ok_or_else(misfit)?, out),
            (Kind::Scalar(scalar), _) => whole(*scalar, cells.integer(slot).ok_or_else(misfit)?, out)?,
            _ => return Err(misfit()),
        }
        Ok(())
    }
}

impl Kind {
    fn wire(&self) -> u32 {
        match self {
            Self::Message(_) | Self::Scalar(Type::String | Type::Bytes) => SIZED,
            Self::Scalar(Type::Double | Type::Fixed64 | Type::Sfixed64) => EIGHT,
            Self::Scalar(Type::Float | Type::Fixed32 | Type::Sfixed32) => FOUR,
            Self::Scalar(_) | Self::Enum(_) => VARINT,
        }
    }
}

/// Appends a whole number as its type is written.
fn whole(scalar: Type, value: i64, out: &mut Vec<u8>) -> Result<(), Fault> {
    let range = || Fault::field(format!("'{value}' is out of range for {}", scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase()));
    let narrow = || i32::try_from(value).map_err(|_range| range());
    let unsigned = || u64::try_from(value).map_err(|_range| range());
    let narrow_unsigned = || u32::try_from(value).map_err(|_range| range());
    match scalar {
        Type::Int64 => varint(value.cast_unsigned(), out),
        Type::Int32 | Type::Enum => varint(i64::from(narrow()?).cast_unsigned(), out),
        Type::Uint64 => varint(unsigned()?, out),
        Type::Uint32 => varint(narrow_unsigned()?.into(), out),
        Type::Sint64 => varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out),
        Type::Sint32 => {
            narrow()?;
            varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
        }
        Type::Fixed64 => out.extend_from_slice(&unsigned()?.to_le_bytes()),
        Type::Fixed32 => out.extend_from_slice(&narrow_unsigned()?.to_le_bytes()),
        Type::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
        Type::Sfixed32 => out.extend_from_slice(&narrow()?.to_le_bytes()),
        _ => return Err(misfit()),
    }
    Ok(())
}

fn misfit() -> Fault {
    Fault::field("the column was not made for the message")
}

fn tag(number: u32, wire: u32, out: &mut Vec<u8>) {
    varint((number << 3 | wire).into(), out);
}

#[inline]
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends what `write` does, its length before it.
fn prefixed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> Result<(), Fault> {
    let start = out.len();
    // Most messages are short: one byte of length, moved only where it turns out to be more.
    out.push(0);
    write(out)?;
    let mut length = Vec::with_capacity(10);
    varint((out.len() - start - 1) as u64, &mut length);
    drop(out.splice(start..=start, length));
    Ok(())
}
