//! Rows, and the names of their fields.
//!
//! Messages of a stream nearly always have the same fields in the same order. So each known field name keeps which one followed it last time,
//! and the text `"name":` is compared at the cursor before anything is parsed; only where that fails the name is read and looked up.
//!
//! Rows that are NULL are but counted until one comes that is not: the row before an insert of a change log is NULL in most messages, and has as many
//! columns as the one after.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Fields, SchemaRef};

use super::column::Column;
use super::fault::{Fault, Reach};
use super::nested::width;

/// The rows of a column, or of the whole table.
#[derive(Debug)]
pub(in crate::format) struct Rows {
    pub(in crate::format) columns: Vec<Column>,
    pub(in crate::format) names: Names,
    pub(in crate::format) len: usize,
    /// The last so many rows are blank and not in the columns yet.
    owed: usize,
    /// The bytes that one of these takes.
    width: usize,
}

impl Rows {
    pub(in crate::format) fn new(fields: &Fields) -> Self {
        let columns: Vec<Column> = fields.iter().map(|field| Column::new(field)).collect();
        let names = Names::new(columns.iter().map(Column::name));
        let width = fields.iter().map(|field| width(field.data_type())).sum();
        Self { columns, names, len: 0, owed: 0, width }
    }

    pub(in crate::format) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter()
    }

    pub(in crate::format) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::format) fn blank(&mut self, count: usize) {
        self.owed += count;
        self.len += count;
    }

    /// Puts all rows into the columns, which comes before a row is read into them.
    #[inline]
    pub(in crate::format) fn settle(&mut self) {
        if self.owed > 0 {
            self.settle_owed();
        }
    }

    #[cold]
    fn settle_owed(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        self.columns.iter_mut().for_each(|column| column.blank(owed));
    }

    pub(in crate::format) fn truncate(&mut self, len: usize) {
        let settled = self.len - self.owed;
        // Without blank rows behind them, columns may hold a part of one more row.
        if self.owed == 0 || len < settled {
            self.columns.iter_mut().for_each(|column| column.truncate(len));
        }
        self.owed = self.owed.min(len.saturating_sub(settled));
        self.len = self.len.min(len);
    }

    /// Leaves `len` rows after a message with `fault`; the room that one took which was too large is given back.
    #[cold]
    pub(in crate::format) fn take_back(&mut self, len: usize, fault: &Fault) {
        self.truncate(len);
        if fault.reach() == Reach::Size {
            self.shrink();
        }
    }

    pub(in crate::format) fn shrink(&mut self) {
        self.columns.iter_mut().for_each(|column| column.values.shrink());
    }

    pub(in crate::format) fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum::<usize>() + self.owed * self.width
    }

    /// The arrays of the columns; the rows are gone.
    pub(in crate::format) fn take_columns(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
        self.settle();
        self.len = 0;
        self.columns.iter_mut().zip(fields).map(|(column, field)| column.take(field.data_type())).collect()
    }

    /// The rows as a batch of `schema`, which they were made for; they are gone.
    pub(in crate::format) fn take_batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let rows = self.len;
        batch_of(schema, self.take_columns(schema.fields())?, rows)
    }

    pub(in crate::format) fn take(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::Struct(fields) = data_type else {
            return Err(ArrowError::SchemaError(format!("columns were not made for {data_type}")));
        };
        let len = self.len;
        let columns = self.take_columns(fields)?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, len)?))
    }
}

/// A batch of so many `rows`, which may have no columns.
pub(in crate::format) fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The names of an object's fields, with or without a column, and which follows which.
#[derive(Debug)]
pub(in crate::format) struct Names {
    pub(in crate::format) known: Vec<Name>,
    pub(in crate::format) by_text: HashMap<Box<[u8]>, usize>,
    pub(in crate::format) strangers: usize,
    pub(in crate::format) first: usize,
}

#[derive(Debug)]
pub(in crate::format) struct Name {
    pub(in crate::format) pattern: Pattern,
    pub(in crate::format) column: Option<usize>,
    pub(in crate::format) next: usize,
}

impl Names {
    /// The place before the first field.
    pub(in crate::format) const BEFORE_FIRST: usize = usize::MAX;
    /// A name that is not remembered.
    pub(in crate::format) const STRANGER: usize = usize::MAX - 1;

    fn new<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Self { known: Vec::new(), by_text: HashMap::new(), strangers: 0, first: 0 };
        for (index, name) in columns.enumerate() {
            names.remember(name.as_bytes(), Some(index));
        }
        names
    }

    pub(in crate::format) fn remember(&mut self, name: &[u8], column: Option<usize>) -> usize {
        let place = self.known.len();
        self.known.push(Name { pattern: Pattern::new(name), column, next: place + 1 });
        self.by_text.insert(name.into(), place);
        place
    }

    pub(in crate::format) fn column(&self, place: usize) -> Option<usize> {
        self.known.get(place).and_then(|name| name.column)
    }
}

/// The text `"name":`, and a word of the byte before it (0 here) and its first 15 bytes, to compare at once.
#[derive(Debug)]
pub(in crate::format) struct Pattern {
    text: Vec<u8>,
    word: u128,
    mask: u128,
}

impl Pattern {
    fn new(name: &[u8]) -> Self {
        // A name that needs escapes is never found by comparison.
        if name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            return Self { text: Vec::new(), word: 1 << 64, mask: 0 };
        }
        let text = [b"\"", name, b"\":"].concat();
        let mut word = [0; 16];
        let mut mask = [0; 16];
        mask[0] = 0xff;
        for ((word, mask), byte) in word.iter_mut().zip(&mut mask).skip(1).zip(&text) {
            *word = *byte;
            *mask = 0xff;
        }
        Self { text, word: u128::from_le_bytes(word), mask: u128::from_le_bytes(mask) }
    }

    pub(in crate::format) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether `rest` begins with it.
    #[inline]
    pub(in crate::format) fn begins(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<16>() {
            Some(chunk) => (u128::from_le_bytes(*chunk) << 8) & self.mask == self.word && self.ends(rest, 0),
            None => !self.text.is_empty() && rest.starts_with(&self.text),
        }
    }

    /// Whether `rest` begins with `separator` and it.
    #[inline]
    pub(in crate::format) fn follows(&self, separator: u8, rest: &[u8]) -> bool {
        match rest.first_chunk::<16>() {
            Some(chunk) => u128::from_le_bytes(*chunk) & self.mask == self.word | u128::from(separator) && self.ends(rest, 1),
            None => !self.text.is_empty() && rest.strip_prefix(&[separator]).is_some_and(|rest| rest.starts_with(&self.text)),
        }
    }

    /// Whether what the word does not hold stands in `rest` too, where the text begins at `start`.
    #[inline]
    fn ends(&self, rest: &[u8], start: usize) -> bool {
        self.text.len() < 16 || rest.get(start + 15..start + self.text.len()) == self.text.get(15..)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::format::columns::Context;

    #[test]
    fn rows_that_are_null_are_there_whatever_is_taken_back_around_them() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let mut rows = Rows::new(schema.fields());
        rows.blank(1_000);
        assert!(rows.bytes() >= 8_000, "{}", rows.bytes());
        rows.truncate(0);
        let read = |rows: &mut Rows, text: &[u8]| {
            rows.settle();
            rows.columns[0].read_text(text, &mut Context::default()).expect("a number");
        };
        rows.blank(3);
        rows.truncate(2);
        read(&mut rows, b"1");
        rows.len += 1;
        // A row that is begun and taken back, behind one that is settled.
        rows.blank(1);
        read(&mut rows, b"2");
        rows.truncate(4);
        rows.blank(2);
        rows.truncate(3);
        rows.blank(1);
        read(&mut rows, b"3");
        rows.len += 1;
        rows.blank(1);
        let batch = rows.take_batch(&schema).expect("a batch");
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, None, Some(1), None, Some(3), None]);
        assert_eq!(rows.take_batch(&schema).expect("a batch").num_rows(), 0);
    }
}
