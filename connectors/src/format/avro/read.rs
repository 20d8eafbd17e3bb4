//! How columns are filled from a message, as a plan says.

use arrow_schema::Fields;

use super::input::Input;
use super::plan::{Misfit, Read, Record, Skip, Step};
use super::schema::{Member, Type};
use crate::format::columns::{Column, Context, Fault, List, Map, Rows, Values, range};
use crate::format::decoder::ReadRow;

/// Reads messages that are records of one schema.
#[derive(Debug)]
pub(in crate::format) struct ReadAvro(pub(super) Record);

impl ReadAvro {
    /// Reads messages of the schema `written` into `columns`; `asked` is the schema that the user reads with. What is no record goes into the only
    /// column.
    ///
    /// # Errors
    /// The column that cannot be read so, and why.
    pub(in crate::format) fn new(written: &Type, columns: &Fields, asked: Option<&Type>) -> Result<Self, Misfit> {
        let asked = asked.and_then(Type::members);
        match (written, columns.as_ref()) {
            (Type::Record(members), _) => Record::new(members, columns, asked).map(Self),
            (_, []) => Record::new(&[Member::new("", written.clone())], columns, asked).map(Self),
            (_, [only]) => Record::new(&[Member::new(only.name(), written.clone())], columns, asked).map(Self),
            _ => Err(Misfit { column: String::new(), why: "it is no record".to_owned() }),
        }
    }

    /// Checks that messages of `written` are rows of a table whose columns are `declared`, so that it does not depend on the wanted ones.
    ///
    /// # Errors
    /// The column that cannot be read so, and why; or there is no field for any of them.
    pub(in crate::format) fn check(written: &Type, declared: &Fields, asked: Option<&Type>) -> Result<(), Misfit> {
        let Self(record) = Self::new(written, declared, asked)?;
        if !declared.is_empty() && record.steps.iter().all(|step| matches!(step, Step::Skip(_))) {
            return Err(Misfit { column: String::new(), why: "it has none of the table's columns".to_owned() });
        }
        Ok(())
    }
}

impl ReadRow for ReadAvro {
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        let mut input = Input::new(message);
        rows.read_record(&self.0, &mut input, context)?;
        match input.left() {
            0 => Ok(true),
            left => Err(Fault::syntax(format!("{left} bytes follow the record: it was written with another schema"))),
        }
    }
}

impl Rows {
    fn read_record(&mut self, plan: &Record, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        self.settle();
        let mut at = *input;
        for step in &plan.steps {
            let quick = match step {
                Step::Skip(skip) => skip.pass_quickly(at),
                Step::Column(place, read) => self.columns.get_mut(*place).and_then(|column| column.read_avro_quickly(read, at)),
            };
            at = match quick {
                Some(behind) => behind,
                None => self.step(step, at, context)?,
            };
        }
        *input = at;
        for (place, default) in &plan.missing {
            let Some(column) = self.columns.get_mut(*place) else { continue };
            let filled = match default {
                Some(default) => context.spend(default.len()).and_then(|()| column.read_text(default.as_bytes(), context)),
                None => column.null(),
            };
            filled.map_err(|fault| fault.within(column.name()))?;
        }
        self.len += 1;
        Ok(())
    }

    /// Does a step that could not be done quickly, and says what is behind it.
    #[inline(never)]
    fn step<'a>(&mut self, step: &Step, mut at: Input<'a>, context: &mut Context) -> Result<Input<'a>, Fault> {
        match step {
            Step::Skip(skip) => skip.pass(&mut at)?,
            Step::Column(place, read) => {
                if let Some(column) = self.columns.get_mut(*place)
                    && let Err(fault) = column.read_avro(read, &mut at, context)
                {
                    return Err(fault.within(column.name()));
                }
            }
        }
        Ok(at)
    }
}

impl Column {
    /// Reads a value of one of the usual types, and says what is behind it.
    #[inline(always)]
    fn read_avro_quickly<'a>(&mut self, read: &Read, at: Input<'a>) -> Option<Input<'a>> {
        let (read, at) = match read {
            Read::Union(branches) => {
                let (branch, behind) = at.quick_branch()?;
                (branches.get(branch)?, behind)
            }
            read => (read, at),
        };
        if matches!(read, Read::Null) {
            return self.null().ok().map(|()| at);
        }
        let behind = match (read, &mut self.values) {
            (Read::Whole, Values::Int64(values)) => {
                let (value, behind) = at.quick_whole()?;
                values.push(value);
                behind
            }
            (Read::Text, Values::Utf8(bytes)) => {
                let (text, rest, behind) = at.quick_sized()?;
                if !text.is_ascii() {
                    return None;
                }
                bytes.append(rest, text.len());
                // A column that is full is so again when this is done once more.
                bytes.end().ok()?;
                behind
            }
            (Read::Double, Values::Float64(values)) => {
                let (value, behind) = at.quick_array()?;
                values.push(f64::from_le_bytes(value));
                behind
            }
            _ => return None,
        };
        self.filled();
        Some(behind)
    }

    #[inline]
    fn read_avro(&mut self, read: &Read, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        let read = match read {
            Read::Union(branches) => {
                let branch = input.whole()?;
                let Some(read) = usize::try_from(branch).ok().and_then(|branch| branches.get(branch)) else {
                    return Err(Fault::syntax(format!("branch {branch} of a union of {}", branches.len())));
                };
                read
            }
            read => read,
        };
        if matches!(read, Read::Null) {
            return self.null();
        }
        self.values.read_avro(read, input, context)?;
        self.filled();
        Ok(())
    }
}

impl Values {
    fn read_avro(&mut self, read: &Read, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        match (read, self) {
            (Read::Whole, Self::Int64(values)) => values.push(input.whole()?),
            (Read::Whole, Self::Timestamp { values, nanos, .. }) => values.push(range::timestamp(input.whole()?, *nanos)?),
            (Read::Whole, Self::Int32(values)) => values.push(narrow(input.whole()?)?),
            (Read::Whole, Self::Date(values)) => values.push(range::date(narrow(input.whole()?)?)?),
            (Read::Whole, Self::Time(values)) => values.push(range::time(input.whole()?)?),
            (Read::Text, Self::Utf8(bytes)) => {
                let (text, rest) = input.sized_in_rest()?;
                if !text.is_ascii() && simdutf8::basic::from_utf8(text).is_err() {
                    return Err(Fault::field("the text is not UTF-8"));
                }
                bytes.append(rest, text.len());
                bytes.end()?;
            }
            (Read::Double, Self::Float64(values)) => values.push(f64::from_le_bytes(input.array()?)),
            (Read::Ticks(factor, divisor), Self::Time(values)) => values.push(range::time(ticks(input, *factor, *divisor)?)?),
            (Read::Ticks(factor, divisor), Self::Timestamp { values, nanos, .. }) => {
                values.push(range::timestamp(ticks(input, *factor, *divisor)?, *nanos)?);
            }
            (Read::Decimal(digits, fixed), Self::Decimal { values, precision, .. }) => {
                let bytes = match fixed {
                    Some(size) => input.take(*size)?,
                    None => input.sized()?,
                };
                values.push(decimal(bytes, *digits, *precision)?);
            }
            (Read::Enum(names), Self::Utf8(bytes)) => {
                let number = input.whole()?;
                let Some(name) = usize::try_from(number).ok().and_then(|number| names.get(number)) else {
                    return Err(Fault::syntax(format!("name {number} of an enum of {}", names.len())));
                };
                context.spend(name.len())?;
                bytes.values.extend_from_slice(name.as_bytes());
                bytes.end()?;
            }
            (Read::Boolean, Self::Boolean(values)) => match input.byte()? {
                0 => values.append(false),
                1 => values.append(true),
                other => return Err(Fault::syntax(format!("{other} is not a Boolean"))),
            },
            (Read::Float, Self::Float32(values)) => values.push(f32::from_le_bytes(input.array()?)),
            (Read::Float, Self::Float64(values)) => values.push(f64::from(f32::from_le_bytes(input.array()?))),
            (Read::Whole, Self::Int8(values)) => values.push(narrow(input.whole()?)?),
            (Read::Whole, Self::Int16(values)) => values.push(narrow(input.whole()?)?),
            (Read::Whole, Self::Float32(values)) => values.push(input.whole()? as f32),
            (Read::Whole, Self::Float64(values)) => values.push(input.whole()? as f64),
            (Read::Bytes, Self::Binary(bytes)) => {
                bytes.values.extend_from_slice(input.sized()?);
                bytes.end()?;
            }
            (Read::Bytes, Self::FixedBinary { values, size }) => {
                let found = input.sized()?;
                if found.len() != *size {
                    return Err(Fault::field(format!("expected {size} bytes, found {}", found.len())));
                }
                values.extend_from_slice(found);
            }
            (Read::Fixed(size), Self::Binary(bytes)) => {
                bytes.values.extend_from_slice(input.take(*size)?);
                bytes.end()?;
            }
            (Read::Fixed(size), Self::FixedBinary { values, .. }) => values.extend_from_slice(input.take(*size)?),
            (Read::List(element), Self::List(list)) => list.read_avro(element, input, context)?,
            (Read::Map(value), Self::Map(map)) => map.read_avro(value, input, context)?,
            (Read::Entries(entries), Self::Map(map)) => entries.read(map, input, context)?,
            (Read::Row(record), Self::Row(rows)) => rows.read_record(record, input, context)?,
            (Read::Mismatch(misfit), _) => {
                let fault = Fault::field(misfit.why.clone());
                return Err(if misfit.column.is_empty() { fault } else { fault.within(misfit.column.clone()) });
            }
            _ => return Err(Fault::field("the column was not made for the schema")),
        }
        Ok(())
    }
}

/// A number of ticks as one of others.
fn ticks(input: &mut Input<'_>, factor: i64, divisor: i64) -> Result<i64, Fault> {
    let ticks = input.whole()?;
    let scaled = ticks.checked_mul(factor).map(|scaled| scaled.div_euclid(divisor));
    scaled.ok_or_else(|| Fault::field(format!("{ticks} is out of range for the time")))
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, Fault> {
    T::try_from(value).map_err(|_range| Fault::field(format!("'{value}' is out of range for a whole number of {} bits", size_of::<T>() * 8)))
}

/// A number in two's complement, the highest byte first, with `digits` zeros behind it.
fn decimal(bytes: &[u8], digits: u32, precision: u8) -> Result<i128, Fault> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let padding = bytes.len().saturating_sub(16);
    let (padding, significant) = bytes.split_at_checked(padding).unwrap_or_default();
    let value = significant.iter().fold(if negative { -1 } else { 0 }, |value: i128, byte| value << 8 | i128::from(*byte));
    let scaled = (padding.iter().all(|byte| *byte == fill) && (value < 0) == negative)
        .then(|| value.checked_mul(10_i128.checked_pow(digits)?))
        .flatten()
        .filter(|value| 10_i128.checked_pow(precision.into()).is_none_or(|bound| value.unsigned_abs() < bound.unsigned_abs()));
    scaled.ok_or_else(|| Fault::field(format!("a decimal of {} bytes does not fit into {precision} digits", bytes.len())))
}

impl List {
    fn read_avro(&mut self, element: &Read, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        let first = self.ends.last();
        loop {
            let (count, _bytes) = input.block()?;
            for _ in 0..count {
                let index = self.elements.len() - first;
                self.count(context)?;
                self.elements.read_avro(element, input, context).map_err(|fault| fault.within(format!("[{index}]")))?;
            }
            if count == 0 {
                return self.ends.push(self.elements.len());
            }
        }
    }
}

impl Map {
    fn read_avro(&mut self, value: &Read, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        let (first, start, room) = (self.ends.last(), *input, context.room.get());
        self.read_entries_avro(value, input, context, &[])?;
        let superseded = self.superseded();
        if superseded.contains(&true) {
            // Rare: read again, without the entries whose key comes once more.
            *input = start;
            context.room.set(room);
            self.keys.truncate(first);
            self.values.truncate(first);
            self.read_entries_avro(value, input, context, &superseded)?;
        }
        self.ends.push(self.keys.len())
    }

    /// Appends the entries, except those marked in `left_out`.
    fn read_entries_avro(&mut self, value: &Read, input: &mut Input<'_>, context: &mut Context, left_out: &[bool]) -> Result<(), Fault> {
        let mut index = 0;
        loop {
            let (count, _bytes) = input.block()?;
            for _ in 0..count {
                let key = input.sized()?;
                if simdutf8::basic::from_utf8(key).is_err() {
                    return Err(Fault::field("a key is not UTF-8"));
                }
                let slot = self.keys.len();
                self.count(context)?;
                let entry = self.keys.read_text(key, context).and_then(|()| self.values.read_avro(value, input, context));
                entry.map_err(|fault| fault.within(format!("[{}]", crate::format::columns::quoted(key))))?;
                if left_out.get(index).copied().unwrap_or(false) {
                    self.keys.truncate(slot);
                    self.values.truncate(slot);
                }
                index += 1;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
}

impl Skip {
    /// [`Self::pass`] of the usual types; says what is behind them.
    #[inline(always)]
    fn pass_quickly<'a>(&self, at: Input<'a>) -> Option<Input<'a>> {
        let (skip, at) = match self {
            Self::Union(branches) => {
                let (branch, behind) = at.quick_branch()?;
                (branches.get(branch)?, behind)
            }
            skip => (skip, at),
        };
        match skip {
            Self::Nothing => Some(at),
            Self::Whole => at.quick_whole().map(|(_, behind)| behind),
            Self::Sized => at.quick_sized().map(|(_, _, behind)| behind),
            Self::Bytes(8) => at.quick_array::<8>().map(|(_, behind)| behind),
            _ => None,
        }
    }

    pub(super) fn pass(&self, input: &mut Input<'_>) -> Result<(), Fault> {
        match self {
            Self::Nothing => {}
            Self::Bytes(count) => {
                input.take(*count)?;
            }
            Self::Whole => {
                input.whole()?;
            }
            Self::Sized => {
                input.sized()?;
            }
            Self::All(parts) => return parts.iter().try_for_each(|part| part.pass(input)),
            Self::Union(branches) => {
                let branch = input.whole()?;
                match usize::try_from(branch).ok().and_then(|branch| branches.get(branch)) {
                    Some(branch) => branch.pass(input)?,
                    None => return Err(Fault::syntax(format!("branch {branch} of a union of {}", branches.len()))),
                }
            }
            Self::Blocks(element) => blocks(input, |input| element.pass(input))?,
            Self::Entries(value) => blocks(input, |input| {
                input.sized()?;
                value.pass(input)
            })?,
        }
        Ok(())
    }
}

/// Passes blocks of elements: as a whole where their bytes are told, else one by one.
fn blocks(input: &mut Input<'_>, mut pass: impl FnMut(&mut Input<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    loop {
        match input.block()? {
            (0, _) => return Ok(()),
            (_, Some(bytes)) => {
                input.take(bytes)?;
            }
            (count, None) => {
                for _ in 0..count {
                    let left = input.left();
                    pass(input)?;
                    // Of elements without bytes there may be any number.
                    if input.left() == left {
                        break;
                    }
                }
            }
        }
    }
}
