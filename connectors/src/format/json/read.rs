//! How columns are filled from JSON: objects fill rows, their fields columns, and so on downwards.

use std::mem;

use super::cursor::Cursor;
use super::scalar;
use crate::format::columns::number::plain_integer;
use crate::format::columns::scalar::timestamp;
use crate::format::columns::{Column, Context, Fault, List, Map, Names, Number, Rows, Values, quoted};
use crate::format::decoder::ReadRow;

/// Names without a column that are remembered, so that they too are found by comparison.
const REMEMBERED_STRANGERS: usize = 256;

/// Reads messages that are objects; an empty message and `null` give no row, as in Flink.
#[derive(Debug)]
pub(in crate::format) struct ReadJson;

impl ReadRow for ReadJson {
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        let mut cursor = Cursor::new(message);
        cursor.blanks();
        if cursor.at_end() {
            return Ok(false);
        }
        let is_row = cursor.peek() != b'n';
        if is_row {
            rows.read(&mut cursor, context)?;
        } else {
            cursor.literal("null")?;
        }
        cursor.blanks();
        if !cursor.at_end() {
            return Err(cursor.unexpected("the end of the message"));
        }
        if !message.is_ascii() && simdutf8::basic::from_utf8(message).is_err() {
            return Err(Fault::syntax("the message is not UTF-8"));
        }
        Ok(is_row)
    }
}

impl Column {
    /// Reads a value of one of the usual types into slot `row`, if that is the next; says what is behind it.
    #[inline(always)]
    fn read_json_quickly<'a>(&mut self, row: usize, at: Cursor<'a>) -> Option<Cursor<'a>> {
        if self.len() != row {
            return None;
        }
        let behind = match &mut self.values {
            Values::Int64(values) => {
                let (value, end) = plain_integer(at.rest())?;
                values.push(value);
                at.further(end)
            }
            Values::Int32(values) => {
                let (value, end) = plain_integer(at.rest())?;
                values.push(i32::try_from(value).ok()?);
                at.further(end)
            }
            Values::Utf8(bytes) => {
                let behind = at.quick_string(&mut bytes.values)?;
                // A column that is full is so again when this is done once more.
                bytes.end().ok()?;
                behind
            }
            Values::Float64(values) => {
                let number = Number::scan::<true>(at.rest()).ok()?;
                values.push(number.double().ok()?);
                at.further(number.len())
            }
            _ => return None,
        };
        self.filled();
        Some(behind)
    }

    /// Reads the value at the cursor into the next slot. On a fault the column is left dirty: truncate it.
    #[inline]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        if cursor.peek() == b'n' {
            cursor.literal("null")?;
            return self.null();
        }
        let start = cursor.pos();
        match self.values.read(cursor, context) {
            Ok(()) => {
                self.filled();
                Ok(())
            }
            Err(fault) if self.tolerates(&fault, context) => {
                cursor.rewind(start);
                cursor.skip_value()?;
                self.forgive(context)
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Values {
    /// Appends the value at the cursor, which is not `null`.
    #[inline]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        match self {
            Self::Int64(values) => values.push(scalar::integer(cursor, context)?),
            Self::Utf8(bytes) => {
                cursor.copy_text(&mut bytes.values)?;
                bytes.end()?;
            }
            Self::Timestamp { values, nanos, zoned, dates } => {
                let text = scalar::text(cursor, &mut context.scratch, "a timestamp")?;
                values.push(timestamp(text, (*nanos, *zoned), dates, context.standard, context.standard_option.as_deref())?);
            }
            Self::Decimal { values, precision, scale } => values.push(scalar::decimal(cursor, context, *precision, *scale)?),
            Self::Row(object) => object.read(cursor, context)?,
            Self::Int32(values) => values.push(scalar::integer(cursor, context)?),
            Self::Float64(values) => values.push(scalar::double(cursor, context)?),
            Self::Boolean(values) => values.append(scalar::boolean(cursor, context)?),
            Self::List(list) => list.read(cursor, context)?,
            Self::Map(map) => map.read(cursor, context)?,
            Self::Int8(values) => values.push(scalar::integer(cursor, context)?),
            Self::Int16(values) => values.push(scalar::integer(cursor, context)?),
            Self::Float32(values) => values.push(scalar::float(cursor, context)?),
            Self::Binary(_) | Self::FixedBinary { .. } | Self::Date(_) | Self::Time(_) | Self::Unreadable => {
                let mut scratch = mem::take(&mut context.scratch);
                let read = scalar::text(cursor, &mut scratch, "a string").and_then(|text| self.read_text(text, context));
                context.scratch = scratch;
                read?;
            }
        }
        Ok(())
    }
}

impl List {
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        if !cursor.eat(b'[') {
            return Err(cursor.mismatch("an array"));
        }
        cursor.blanks();
        if cursor.eat(b']') {
            return self.ends.push(self.elements.len());
        }
        let first = self.ends.last();
        loop {
            let index = self.elements.len() - first;
            self.count(context)?;
            self.elements.read(cursor, context).map_err(|fault| fault.within(format!("[{index}]")))?;
            cursor.blanks();
            if cursor.eat(b']') {
                return self.ends.push(self.elements.len());
            }
            if !cursor.eat(b',') {
                return Err(cursor.unexpected("',' or ']'"));
            }
            cursor.blanks();
        }
    }
}

impl Map {
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        if cursor.peek() != b'{' {
            return Err(cursor.mismatch("an object"));
        }
        let (start, errors, room) = (cursor.pos(), context.field_errors, context.room.get());
        self.read_entries(cursor, context, &[])?;
        let superseded = self.superseded();
        if superseded.contains(&true) {
            // Rare: read again, without the entries whose key comes once more.
            cursor.rewind(start);
            context.field_errors = errors;
            context.room.set(room);
            let first = self.ends.last();
            self.keys.truncate(first);
            self.values.truncate(first);
            self.read_entries(cursor, context, &superseded)?;
        }
        self.ends.push(self.keys.len())
    }

    /// Appends the entries of the object at the cursor, except those marked in `left_out`.
    fn read_entries(&mut self, cursor: &mut Cursor<'_>, context: &mut Context, left_out: &[bool]) -> Result<(), Fault> {
        cursor.advance(1);
        cursor.blanks();
        if cursor.eat(b'}') {
            return Ok(());
        }
        for index in 0.. {
            if !cursor.eat(b'"') {
                return Err(cursor.unexpected("a key"));
            }
            self.count(context)?;
            let key = cursor.string(&mut self.scratch)?;
            cursor.colon()?;
            if left_out.get(index).copied().unwrap_or(false) {
                cursor.skip_value()?;
            } else {
                let entry = self.keys.read_text(key, context).and_then(|()| self.values.read(cursor, context));
                entry.map_err(|fault| fault.within(format!("[{}]", quoted(key))))?;
            }
            cursor.blanks();
            if cursor.eat(b'}') {
                break;
            }
            if !cursor.eat(b',') {
                return Err(cursor.unexpected("',' or '}'"));
            }
            cursor.blanks();
        }
        Ok(())
    }
}

impl Rows {
    /// Reads the object at the cursor as the next row.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        self.settle();
        let row = self.len;
        let mut filled = 0;
        let mut next = self.names.first(cursor, context)?;
        let mut at = *cursor;
        while let Some(place) = next {
            let column = self.names.column(place).and_then(|index| self.columns.get_mut(index));
            at = match column {
                Some(column) => match column.read_json_quickly(row, at) {
                    Some(behind) => {
                        filled += 1;
                        behind
                    }
                    None => {
                        // A name that comes again replaces what it gave before.
                        if column.len() > row {
                            column.truncate(row);
                            filled -= 1;
                        }
                        *cursor = at;
                        if let Err(fault) = column.read(cursor, context) {
                            return Err(fault.within(column.name()));
                        }
                        filled += 1;
                        *cursor
                    }
                },
                None => {
                    *cursor = at;
                    cursor.skip_value()?;
                    *cursor
                }
            };
            match self.names.next_quickly(place, at) {
                Some((expected, behind)) => (next, at) = (Some(expected), behind),
                None if at.peek() == b'}' => (next, at) = (None, at.further(1)),
                None => {
                    *cursor = at;
                    next = self.names.next(place, cursor, context)?;
                    at = *cursor;
                }
            }
        }
        *cursor = at;
        if filled < self.columns.len() {
            self.fill_missing(row, context)?;
        }
        self.len = row + 1;
        Ok(())
    }

    fn fill_missing(&mut self, row: usize, context: &Context) -> Result<(), Fault> {
        for column in self.columns.iter_mut().filter(|column| column.len() == row) {
            let filled = match &context.missing_fails {
                _ if column.is_missing_at(row) => {
                    column.blank(1);
                    Ok(())
                }
                Some(option) => Err(Fault::missing(option)),
                None => column.null(),
            };
            filled.map_err(|fault| fault.within(column.name()))?;
        }
        Ok(())
    }
}

impl Names {
    /// Passes the opening brace and the first field name of the object at the cursor, and its colon; says which it is, if the object has any.
    #[inline]
    fn first(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<Option<usize>, Fault> {
        if self.passes(self.first, b'{', cursor) {
            return Ok(Some(self.first));
        }
        if !cursor.eat(b'{') {
            return Err(cursor.mismatch("an object"));
        }
        cursor.blanks();
        if cursor.eat(b'}') {
            return Ok(None);
        }
        self.read(Self::BEFORE_FIRST, cursor, context).map(Some)
    }

    /// Passes the comma and the field name that follow the value of the one at `before`, and its colon; or the closing brace.
    #[inline(always)]
    fn next(&mut self, before: usize, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<Option<usize>, Fault> {
        let expected = self.after(before);
        if self.passes(expected, b',', cursor) {
            return Ok(Some(expected));
        }
        cursor.blanks();
        if cursor.eat(b'}') {
            return Ok(None);
        }
        if !cursor.eat(b',') {
            return Err(cursor.unexpected("',' or '}'"));
        }
        cursor.blanks();
        self.read(before, cursor, context).map(Some)
    }

    /// [`Self::next`] where the name that is expected comes: which it is, and what is behind it.
    #[inline(always)]
    fn next_quickly<'a>(&self, before: usize, at: Cursor<'a>) -> Option<(usize, Cursor<'a>)> {
        let expected = self.after(before);
        let name = self.known.get(expected).filter(|name| name.pattern.follows(b',', at.rest()))?;
        Some((expected, at.further(1 + name.pattern.len()).behind_blanks()))
    }

    /// The place that followed the one at `before` last time.
    #[inline(always)]
    fn after(&self, before: usize) -> usize {
        self.known.get(before).map_or(self.first, |name| name.next)
    }

    /// Passes `separator` and the field name at `place` with its colon, if they stand at the cursor without blanks before the colon.
    #[inline(always)]
    fn passes(&self, place: usize, separator: u8, cursor: &mut Cursor<'_>) -> bool {
        let Some(name) = self.known.get(place).filter(|name| name.pattern.follows(separator, cursor.rest())) else { return false };
        cursor.advance(1 + name.pattern.len());
        cursor.blanks();
        true
    }

    /// Passes the field name at the cursor, which follows the one at `before`, and its colon; says which it is.
    #[inline]
    fn read(&mut self, before: usize, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<usize, Fault> {
        let expected = self.after(before);
        if let Some(name) = self.known.get(expected).filter(|name| name.pattern.begins(cursor.rest())) {
            cursor.advance(name.pattern.len());
            cursor.blanks();
            return Ok(expected);
        }
        let found = self.look_up(cursor, context)?;
        match self.known.get_mut(before) {
            Some(name) => name.next = found,
            None if before == Self::BEFORE_FIRST => self.first = found,
            None => {}
        }
        Ok(found)
    }

    #[cold]
    fn look_up(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<usize, Fault> {
        if !cursor.eat(b'"') {
            return Err(cursor.unexpected("a field name"));
        }
        let text = cursor.string(&mut context.scratch)?;
        let found = match self.by_text.get(text) {
            Some(place) => *place,
            // What is remembered is compared without a check of its UTF-8 later on.
            None if self.strangers < REMEMBERED_STRANGERS && text.len() < 256 && std::str::from_utf8(text).is_ok() => {
                self.strangers += 1;
                self.remember(text, None)
            }
            None => Self::STRANGER,
        };
        cursor.colon()?;
        Ok(found)
    }
}
