//! Rows: JSON objects whose fields are columns.
//!
//! Messages of a stream nearly always have the same fields in the same order. So each known field name keeps which one followed it last time,
//! and the text `"name":` is compared at the cursor before anything is parsed; only where that fails the name is read and looked up.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Fields};

use super::column::{Column, Context};
use super::cursor::Cursor;
use super::fault::Fault;

/// Names without a column that are remembered, so that they too are found by comparison.
const REMEMBERED_STRANGERS: usize = 256;

/// The rows of a column, or of the whole table.
#[derive(Debug)]
pub(super) struct Object {
    columns: Vec<Column>,
    names: Names,
    len: usize,
}

impl Object {
    pub(super) fn new(fields: &Fields) -> Self {
        let columns: Vec<Column> = fields.iter().map(|field| Column::new(field)).collect();
        let names = Names::new(columns.iter().map(Column::name));
        Self { columns, names, len: 0 }
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads the object at the cursor as the next row.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<(), Fault> {
        if !cursor.eat(b'{') {
            return Err(cursor.mismatch("an object"));
        }
        let row = self.len;
        let mut filled = 0;
        cursor.blanks();
        if !cursor.eat(b'}') {
            let mut place = Names::BEFORE_FIRST;
            loop {
                place = self.names.read(place, cursor, context)?;
                match self.names.column(place).and_then(|index| self.columns.get_mut(index)) {
                    None => cursor.skip_value()?,
                    Some(column) => {
                        // A name that comes again replaces what it gave before.
                        if column.len() > row {
                            column.truncate(row);
                            filled -= 1;
                        }
                        if let Err(fault) = column.read(cursor, context) {
                            return Err(fault.within(column.name()));
                        }
                        filled += 1;
                    }
                }
                cursor.blanks();
                if cursor.eat(b',') {
                    cursor.blanks();
                } else if cursor.eat(b'}') {
                    break;
                } else {
                    return Err(cursor.unexpected("',' or '}'"));
                }
            }
        }
        if filled < self.columns.len() {
            self.fill_missing(row, context)?;
        }
        self.len = row + 1;
        Ok(())
    }

    fn fill_missing(&mut self, row: usize, context: &Context) -> Result<(), Fault> {
        for column in self.columns.iter_mut().filter(|column| column.len() == row) {
            let filled = match &context.missing_fails {
                Some(option) => Err(Fault::missing(option)),
                None => column.null(),
            };
            filled.map_err(|fault| fault.within(column.name()))?;
        }
        Ok(())
    }

    pub(super) fn blank(&mut self) {
        self.columns.iter_mut().for_each(Column::blank);
        self.len += 1;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
        self.len = self.len.min(len);
    }

    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// The arrays of the columns; the rows are gone.
    pub(super) fn take_columns(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
        self.len = 0;
        self.columns.iter_mut().zip(fields).map(|(column, field)| column.take(field.data_type())).collect()
    }

    pub(super) fn take(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::Struct(fields) = data_type else {
            return Err(ArrowError::SchemaError(format!("columns were not made for {data_type}")));
        };
        let len = self.len;
        let columns = self.take_columns(fields)?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, len)?))
    }
}

/// The names of an object's fields, with or without a column, and which follows which.
#[derive(Debug)]
struct Names {
    known: Vec<Name>,
    by_text: HashMap<Box<[u8]>, usize>,
    strangers: usize,
    first: usize,
}

#[derive(Debug)]
struct Name {
    pattern: Pattern,
    column: Option<usize>,
    next: usize,
}

impl Names {
    /// The place before the first field.
    const BEFORE_FIRST: usize = usize::MAX;
    /// A name that is not remembered.
    const STRANGER: usize = usize::MAX - 1;

    fn new<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Self { known: Vec::new(), by_text: HashMap::new(), strangers: 0, first: 0 };
        for (index, name) in columns.enumerate() {
            names.remember(name.as_bytes(), Some(index));
        }
        names
    }

    fn remember(&mut self, name: &[u8], column: Option<usize>) -> usize {
        let place = self.known.len();
        self.known.push(Name { pattern: Pattern::new(name), column, next: place + 1 });
        self.by_text.insert(name.into(), place);
        place
    }

    fn column(&self, place: usize) -> Option<usize> {
        self.known.get(place).and_then(|name| name.column)
    }

    /// Passes the field name at the cursor, which follows the one at `before`, and its colon; says which it is.
    #[inline]
    fn read(&mut self, before: usize, cursor: &mut Cursor<'_>, context: &mut Context) -> Result<usize, Fault> {
        let expected = self.known.get(before).map_or(self.first, |name| name.next);
        if let Some(name) = self.known.get(expected)
            && name.pattern.matches(cursor.rest())
        {
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

/// The text `"name":`, its first 16 bytes as a word to compare at once.
#[derive(Debug)]
struct Pattern {
    text: Vec<u8>,
    word: u128,
    mask: u128,
}

impl Pattern {
    fn new(name: &[u8]) -> Self {
        // A name that needs escapes is never found by comparison.
        if name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            return Self { text: Vec::new(), word: 1, mask: 0 };
        }
        let text = [b"\"", name, b"\":"].concat();
        let mut word = [0; 16];
        let mut mask = [0; 16];
        for ((word, mask), byte) in word.iter_mut().zip(&mut mask).zip(&text) {
            *word = *byte;
            *mask = 0xff;
        }
        Self { text, word: u128::from_le_bytes(word), mask: u128::from_le_bytes(mask) }
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    #[inline]
    fn matches(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<16>() {
            Some(chunk) => {
                u128::from_le_bytes(*chunk) & self.mask == self.word
                    && (self.text.len() <= 16 || rest.get(16..self.text.len()) == self.text.get(16..))
            }
            None => !self.text.is_empty() && rest.starts_with(&self.text),
        }
    }
}
