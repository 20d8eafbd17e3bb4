//! How columns are filled from a message, as a plan says.

use super::plan::{Absent, Field, Kind, Plan, Scalar, Value};
use super::wire::{Input, Wire};
use crate::format::columns::{Column, Context, Fault, List, Map, Rows, Values, quoted};
use crate::format::decoder::ReadRow;

/// Reads messages of one type.
#[derive(Debug)]
pub(super) struct ReadProtobuf(pub(super) Plan);

impl ReadRow for ReadProtobuf {
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        rows.read_message(&self.0, message, context)?;
        Ok(true)
    }
}

impl Plan {
    /// The field of a number; `expected` is where it should be.
    #[inline]
    fn find(&self, number: u32, expected: usize) -> Option<usize> {
        match self.0.get(expected) {
            Some(field) if field.number == number => Some(expected),
            _ => self.0.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }
}

impl Rows {
    /// Reads a message as the next row.
    fn read_message(&mut self, plan: &Plan, message: &[u8], context: &Context) -> Result<(), Fault> {
        self.settle();
        let row = self.len;
        let mut input = Input::new(message);
        let (mut expected, mut filled, mut cleared) = (0, 0, false);
        let mut again: Vec<usize> = Vec::new();
        while !input.at_end() {
            if let Some(behind) = self.read_protobuf_quickly(plan.0.get(expected), row, input) {
                (input, expected, filled) = (behind, expected + 1, filled + 1);
                continue;
            }
            // The place is in memory only while this is done.
            let mut at = input;
            let (number, wire) = at.tag()?;
            let Some(place) = plan.find(number, expected) else {
                at.skip(wire)?;
                input = at;
                continue;
            };
            // A repeated field comes again.
            expected = place + usize::from(plan.0.get(place).is_some_and(|field| matches!(field.kind, Kind::One(_))));
            if let Some(field) = plan.0.get(place) {
                if field.oneof.is_some() {
                    cleared = true;
                    again.retain(|again| *again == place || plan.0.get(*again).is_some_and(|other| other.oneof != field.oneof));
                    self.clear_others(plan, field, row);
                }
                if let Some(column) = self.columns.get_mut(field.column) {
                    let before = column.len();
                    if before > row && matches!(field.kind, Kind::One(Value::Message(_))) {
                        // Messages that come again are merged, all at once.
                        sized(wire, &mut at).map_err(|fault| fault.within(column.name()))?;
                        again.push(place);
                    } else {
                        column.read_protobuf(field, (row, wire), &mut at, context).map_err(|fault| fault.within(column.name()))?;
                        filled += column.len() - before;
                    }
                }
            }
            input = at;
        }
        again.sort_unstable();
        again.dedup();
        for field in again.into_iter().filter_map(|place| plan.0.get(place)) {
            if let (Kind::One(Value::Message(plan)), Some(column)) = (&field.kind, self.columns.get_mut(field.column)) {
                column.truncate(row);
                let merged = occurrences(message, field.number)?.concat();
                column.read_row(plan, &merged, context).map_err(|fault| fault.within(column.name()))?;
            }
        }
        // Most messages have all fields that are wanted.
        if filled < plan.0.len() || cleared {
            for field in &plan.0 {
                if let Some(column) = self.columns.get_mut(field.column) {
                    column.end_field(field, row, message, context).map_err(|fault| fault.within(column.name()))?;
                }
            }
        }
        self.len = row + 1;
        Ok(())
    }

    /// Reads the field that is expected, if it comes and is a single value of one of the usual types; says what is behind it.
    #[inline(always)]
    fn read_protobuf_quickly<'a>(&mut self, field: Option<&Field>, row: usize, at: Input<'a>) -> Option<Input<'a>> {
        let Field { number: number @ 1.., column, kind: Kind::One(Value::Scalar(scalar)), oneof: None, .. } = field? else { return None };
        let (tag, at) = at.quick_varint()?;
        let column = self.columns.get_mut(*column)?;
        if tag >> 3 != u64::from(*number) || column.len() != row {
            return None;
        }
        let behind = match (tag & 7, scalar, &mut column.values) {
            (0, Scalar::Int, Values::Int64(values)) => {
                let (value, behind) = at.quick_varint()?;
                values.push(value.cast_signed());
                behind
            }
            (1, Scalar::Double, Values::Float64(values)) => {
                let (value, behind) = at.quick_array()?;
                values.push(f64::from_le_bytes(value));
                behind
            }
            (2, Scalar::Text, Values::Utf8(bytes)) => {
                let (text, rest, behind) = at.quick_sized()?;
                if !text.is_ascii() {
                    return None;
                }
                bytes.append(rest, text.len());
                // A column that is full is so again when this is done once more.
                bytes.end().ok()?;
                behind
            }
            _ => return None,
        };
        column.filled();
        Some(behind)
    }

    /// Takes back what another field of the same oneof has given: the last one counts.
    fn clear_others(&mut self, plan: &Plan, field: &Field, row: usize) {
        for other in plan.0.iter().filter(|other| other.oneof == field.oneof && other.number != field.number) {
            if let Some(column) = self.columns.get_mut(other.column) {
                column.truncate(row);
            }
        }
    }
}

impl Column {
    /// Reads a value of `field`: the value of its slot, or one more element of it.
    fn read_protobuf(&mut self, field: &Field, (row, wire): (usize, Wire), input: &mut Input<'_>, context: &Context) -> Result<(), Fault> {
        match (&field.kind, &mut self.values) {
            (Kind::List(value), Values::List(list)) => list.read_elements(value, wire, input, context),
            (Kind::Map(key, value), Values::Map(map)) => map.read_entry(key, value, sized(wire, input)?, context),
            (Kind::One(value), _) => {
                // It comes again: the last value counts.
                if self.len() > row {
                    self.truncate(row);
                }
                self.read_value(value, wire, input, context)
            }
            _ => Err(Fault::field("the column was not made for the message")),
        }
    }

    fn read_value(&mut self, value: &Value, wire: Wire, input: &mut Input<'_>, context: &Context) -> Result<(), Fault> {
        match value {
            Value::Scalar(scalar) => {
                self.values.read_scalar(scalar, wire, input, context)?;
                self.filled();
                Ok(())
            }
            Value::Message(plan) => self.read_row(plan, sized(wire, input)?, context),
        }
    }

    fn read_row(&mut self, plan: &Plan, message: &[u8], context: &Context) -> Result<(), Fault> {
        let Values::Row(rows) = &mut self.values else { return Err(Fault::field("the column was not made for the message")) };
        rows.read_message(plan, message, context)?;
        self.filled();
        Ok(())
    }

    /// Ends the slot of `row`, after all fields of the message have been seen.
    fn end_field(&mut self, field: &Field, row: usize, message: &[u8], context: &Context) -> Result<(), Fault> {
        if self.len() > row {
            return Ok(());
        }
        let is_empty = match &mut self.values {
            Values::List(list) => list.elements.len() == list.ends.last(),
            Values::Map(map) => map.keys.len() == map.ends.last(),
            _ => true,
        };
        match (&mut self.values, &field.absent, &field.kind) {
            (_, Absent::Null, _) if is_empty => return self.null(),
            (Values::List(list), ..) => list.ends.push(list.elements.len())?,
            (Values::Map(map), _, Kind::Map(key, value)) => map.end_entries(|map, left_out| {
                let entries = occurrences(message, field.number)?.into_iter().zip(left_out).filter(|(_, left_out)| !**left_out);
                entries.map(|(entry, _)| entry).try_for_each(|entry| map.read_entry(key, value, entry, context))
            })?,
            (values, Absent::Text(text), _) => {
                context.spend(text.len())?;
                values.read_text(text.as_bytes(), context)?;
            }
            (values, ..) => values.blank(1),
        }
        self.filled();
        Ok(())
    }
}

impl List {
    /// Reads one element, or all of a packed field.
    fn read_elements(&mut self, value: &Value, wire: Wire, input: &mut Input<'_>, context: &Context) -> Result<(), Fault> {
        match value {
            Value::Scalar(scalar) if wire == Wire::Sized && scalar.wire() != Wire::Sized => {
                let mut packed = Input::new(input.sized()?);
                while !packed.at_end() {
                    self.count(context)?;
                    self.elements.read_value(value, scalar.wire(), &mut packed, context)?;
                }
                Ok(())
            }
            _ => {
                self.count(context)?;
                self.elements.read_value(value, wire, input, context)
            }
        }
    }
}

impl Map {
    fn read_entry(&mut self, key: &Scalar, value: &Value, entry: &[u8], context: &Context) -> Result<(), Fault> {
        let slot = self.keys.len();
        self.count(context)?;
        let mut input = Input::new(entry);
        while !input.at_end() {
            match input.tag()? {
                (1, wire) => {
                    self.keys.truncate(slot);
                    self.keys.values.read_scalar(key, wire, &mut input, context)?;
                    self.keys.filled();
                }
                (2, wire) => {
                    self.values.truncate(slot);
                    self.values.read_value(value, wire, &mut input, context)?;
                }
                (_, wire) => input.skip(wire)?,
            }
        }
        // What is missing in an entry is zero, or the empty message.
        if self.keys.len() == slot {
            self.keys.values.blank(1);
            self.keys.filled();
        }
        if self.values.len() == slot {
            match value {
                Value::Scalar(Scalar::Enum(names)) if let Some((_, name)) = names.first() => {
                    context.spend(name.len())?;
                    self.values.values.read_text(name.as_bytes(), context)?;
                    self.values.filled();
                }
                Value::Scalar(_) => {
                    self.values.values.blank(1);
                    self.values.filled();
                }
                Value::Message(plan) => self.values.read_row(plan, &[], context)?,
            }
        }
        Ok(())
    }

    /// Ends the entries of a slot; of those with the same key the last counts: `again` reads all but those that are marked.
    fn end_entries(&mut self, again: impl FnOnce(&mut Self, &[bool]) -> Result<(), Fault>) -> Result<(), Fault> {
        let superseded = self.superseded();
        if superseded.contains(&true) {
            let first = self.ends.last();
            self.keys.truncate(first);
            self.values.truncate(first);
            again(self, &superseded)?;
        }
        self.ends.push(self.keys.len())
    }
}

impl Scalar {
    /// How it is written.
    fn wire(&self) -> Wire {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Wire::Eight,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Wire::Four,
            Self::Text | Self::Bytes => Wire::Sized,
            Self::Int | Self::Uint | Self::Sint | Self::Bool | Self::Enum(_) => Wire::Varint,
        }
    }
}

impl Values {
    fn read_scalar(&mut self, scalar: &Scalar, wire: Wire, input: &mut Input<'_>, context: &Context) -> Result<(), Fault> {
        if wire != scalar.wire() {
            return Err(Fault::syntax(format!("a {:?} is written as {wire:?}: the message is of another type", scalar.wire())));
        }
        match (scalar, self) {
            (Scalar::Text, Self::Utf8(bytes)) => {
                let (text, rest) = input.sized_in_rest()?;
                if !text.is_ascii() && simdutf8::basic::from_utf8(text).is_err() {
                    return Err(Fault::field("the text is not UTF-8"));
                }
                bytes.append(rest, text.len());
                bytes.end()
            }
            (Scalar::Bytes, Self::Binary(bytes)) => {
                bytes.values.extend_from_slice(input.sized()?);
                bytes.end()
            }
            (Scalar::Bytes, Self::FixedBinary { values, size }) => {
                let found = input.sized()?;
                if found.len() != *size {
                    return Err(Fault::field(format!("expected {size} bytes, found {}", found.len())));
                }
                values.extend_from_slice(found);
                Ok(())
            }
            (Scalar::Double, Self::Float64(values)) => input.array().map(|bytes| values.push(f64::from_le_bytes(bytes))),
            (Scalar::Float, Self::Float32(values)) => input.array().map(|bytes| values.push(f32::from_le_bytes(bytes))),
            (Scalar::Float, Self::Float64(values)) => input.array().map(|bytes| values.push(f32::from_le_bytes(bytes).into())),
            (Scalar::Bool, Self::Boolean(values)) => input.varint().map(|value| values.append(value != 0)),
            (Scalar::Enum(names), Self::Utf8(bytes)) => {
                // Enumerations are open: a number without a name is written as it is. They have 32 bits, and -1 is written with 64.
                let number = input.varint()?.cast_signed() as i32;
                match names.iter().find(|(known, _)| *known == number) {
                    Some((_, name)) => {
                        context.spend(name.len())?;
                        bytes.values.extend_from_slice(name.as_bytes());
                    }
                    None => bytes.values.extend_from_slice(number.to_string().as_bytes()),
                }
                bytes.end()
            }
            (scalar, values) => {
                let value = whole(scalar, input)?;
                match values {
                    Self::Int64(values) => values.push(value),
                    Self::Int32(values) => values.push(narrow(value)?),
                    Self::Int16(values) => values.push(narrow(value)?),
                    Self::Int8(values) => values.push(narrow(value)?),
                    _ => return Err(Fault::field("the column was not made for the message")),
                }
                Ok(())
            }
        }
    }
}

/// A whole number.
fn whole(scalar: &Scalar, input: &mut Input<'_>) -> Result<i64, Fault> {
    let unsigned = |value: u64| i64::try_from(value).map_err(|_range| Fault::field(format!("'{value}' is out of range for BIGINT")));
    Ok(match scalar {
        Scalar::Int => input.varint()?.cast_signed(),
        Scalar::Uint => unsigned(input.varint()?)?,
        Scalar::Sint => {
            let coded = input.varint()?;
            (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed()
        }
        Scalar::Fixed32 => u32::from_le_bytes(input.array()?).into(),
        Scalar::Fixed64 => unsigned(u64::from_le_bytes(input.array()?))?,
        Scalar::Sfixed32 => i32::from_le_bytes(input.array()?).into(),
        Scalar::Sfixed64 => i64::from_le_bytes(input.array()?),
        _ => return Err(Fault::field("the column was not made for the message")),
    })
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, Fault> {
    T::try_from(value).map_err(|_range| {
        let number = value.to_string();
        Fault::field(format!("{} is out of range for a whole number of {} bits", quoted(number.as_bytes()), size_of::<T>() * 8))
    })
}

fn sized<'a>(wire: Wire, input: &mut Input<'a>) -> Result<&'a [u8], Fault> {
    if wire == Wire::Sized { input.sized() } else { Err(Fault::syntax(format!("a message is written as {wire:?}: the message is of another type"))) }
}

/// The values of every occurrence of a field that is a message.
fn occurrences(message: &[u8], number: u32) -> Result<Vec<&[u8]>, Fault> {
    let mut found = Vec::new();
    let mut input = Input::new(message);
    while !input.at_end() {
        match input.tag()? {
            (other, Wire::Sized) if other == number => found.push(input.sized()?),
            (_, wire) => input.skip(wire)?,
        }
    }
    Ok(found)
}
