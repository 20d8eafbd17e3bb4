//! How columns are filled from the fields of a line.

use std::mem;

use arrow_schema::Schema;

use super::line::{Dialect, Line};
use super::options::CsvFormat;
use crate::format::columns::number::plain_integer;
use crate::format::columns::{Column, Context, Fault, List, Number, Rows, Values};
use crate::format::decoder::ReadRow;

/// Reads messages that are lines.
#[derive(Debug)]
pub(super) struct ReadCsv {
    dialect: Dialect,
    nested: Nested,
    comments: bool,
    /// For each field of a line the column that wants it.
    places: Vec<Option<usize>>,
}

/// How NULL and nested values are written in a field.
#[derive(Debug)]
struct Nested {
    null: Option<Vec<u8>>,
    delimiter: Vec<u8>,
}

impl ReadCsv {
    /// A reader of the columns of `wanted`.
    pub(super) fn new(format: &CsvFormat, wanted: &Schema) -> Self {
        Self {
            dialect: format.dialect.clone(),
            nested: Nested { null: format.null_literal.clone(), delimiter: format.element_delimiter.clone() },
            comments: format.comments,
            places: format.declared.fields().iter().map(|field| wanted.index_of(field.name()).ok()).collect(),
        }
    }

    /// The column that wants a field.
    #[inline]
    fn column<'r>(&self, field: usize, rows: &'r mut Rows) -> Option<&'r mut Column> {
        self.places.get(field).copied().flatten().and_then(|place| rows.columns.get_mut(place))
    }

    fn fields(&self, line: &mut Line<'_>, rows: &mut Rows, context: &mut Context, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        let mut found = 0;
        let plain = line.each_plain(&self.dialect, |text, rest| {
            found += 1;
            let Some(column) = self.column(found - 1, rows) else { return Ok(()) };
            if self.nested.null.is_none() && column.read_field_quickly(text, rest) {
                return Ok(());
            }
            column.read_field(text, &self.nested, context).map_err(|fault| fault.within(column.name()))
        });
        if let Some(read) = plain {
            read?;
        } else {
            while let Some(text) = line.field(&self.dialect, scratch)? {
                if let Some(column) = self.column(found, rows) {
                    column.read_field(text, &self.nested, context).map_err(|fault| fault.within(column.name()))?;
                }
                found += 1;
            }
        }
        if found == self.places.len() {
            return Ok(());
        }
        Err(Fault::syntax(format!("Row length mismatch. {} fields expected but was {found}", self.places.len())))
    }
}

impl ReadRow for ReadCsv {
    /// An empty message gives no row, nor does a comment where they are allowed.
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
        let mut line = Line::new(message);
        if line.rest().is_empty() || (self.comments && line.rest().trim_ascii_start().first() == Some(&b'#')) {
            return Ok(false);
        }
        if simdutf8::basic::from_utf8(message).is_err() {
            return Err(Fault::syntax("the message is not UTF-8"));
        }
        let mut scratch = mem::take(&mut context.scratch);
        let read = self.fields(&mut line, rows, context, &mut scratch);
        context.scratch = scratch;
        read?;
        rows.len += 1;
        Ok(true)
    }
}

impl Column {
    /// Reads a field, which begins `rest`, if it is a value of one of the usual types; else does nothing.
    #[inline(always)]
    fn read_field_quickly(&mut self, text: &[u8], rest: &[u8]) -> bool {
        match &mut self.values {
            Values::Utf8(bytes) => {
                bytes.append(rest, text.len());
                // A column that is full is so again when this is done once more.
                if bytes.end().is_err() {
                    return false;
                }
            }
            Values::Int64(values) => match plain_integer(text) {
                Some((value, end)) if end == text.len() => values.push(value),
                _ => return false,
            },
            Values::Float64(values) => match Number::parse(text).map(|number| number.double()) {
                Some(Ok(value)) => values.push(value),
                _ => return false,
            },
            _ => return false,
        }
        self.filled();
        true
    }

    /// Reads the value of a field, or of a part of it, into the next slot.
    #[inline]
    fn read_field(&mut self, text: &[u8], nested: &Nested, context: &mut Context) -> Result<(), Fault> {
        if nested.null.as_deref() == Some(text) {
            return self.null();
        }
        let read = match &mut self.values {
            Values::List(list) => list.read_field(text, nested, context),
            Values::Row(row) => row.read_field(text, nested, context),
            values => values.read_text(text, context),
        };
        match read {
            Ok(()) => {
                self.filled();
                Ok(())
            }
            Err(fault) if self.tolerates(&fault, context) => self.forgive(context),
            Err(fault) => Err(fault),
        }
    }
}

impl List {
    fn read_field(&mut self, text: &[u8], nested: &Nested, context: &mut Context) -> Result<(), Fault> {
        for (index, part) in parts(text, &nested.delimiter).enumerate() {
            self.count(context)?;
            self.elements.read_field(part, nested, context).map_err(|fault| fault.within(format!("[{index}]")))?;
        }
        self.ends.push(self.elements.len())
    }
}

impl Rows {
    fn read_field(&mut self, text: &[u8], nested: &Nested, context: &mut Context) -> Result<(), Fault> {
        let found = parts(text, &nested.delimiter).count();
        if found != self.columns.len() {
            return Err(Fault::field(format!("Row length mismatch. {} fields expected but was {found}", self.columns.len())));
        }
        self.settle();
        for (column, part) in self.columns.iter_mut().zip(parts(text, &nested.delimiter)) {
            column.read_field(part, nested, context).map_err(|fault| fault.within(column.name()))?;
        }
        self.len += 1;
        Ok(())
    }
}

/// The parts of `text` between delimiters; none if it is empty.
pub(super) fn parts<'a>(text: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = (!text.is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(delimiter.len().max(1)).position(|window| window == delimiter);
        let (part, behind) = match at {
            Some(at) => (text.get(..at), text.get(at + delimiter.len()..)),
            None => (Some(text), None),
        };
        rest = behind;
        part
    })
}
