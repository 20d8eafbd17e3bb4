//! How rows become lines. What could not be read as it was is refused: a text that is the one for NULL, an element with the delimiter of elements.

use super::line::Dialect;
use super::options::CsvFormat;
use super::read::parts;
use crate::format::cells::text::Style;
use crate::format::cells::{Cells, Values, elements};
use crate::format::columns::{Fault, Standard};
use crate::format::encoder::WriteRow;

/// Writes rows as lines, without an end of line.
#[derive(Debug)]
pub(super) struct WriteCsv {
    dialect: Dialect,
    null: Option<Vec<u8>>,
    delimiter: Vec<u8>,
    style: Style,
}

impl WriteCsv {
    /// # Errors
    /// An escape character that cannot stand for itself, or a delimiter that it would change.
    pub(super) fn new(format: &CsvFormat) -> Result<Self, String> {
        let dialect = format.dialect.clone();
        let named = |byte: Option<u8>| byte.filter(|byte| matches!(byte, b'0' | b'n' | b'r' | b't'));
        let special =
            dialect.escape.and_then(|escape| [Some(escape), Some(dialect.delimiter), dialect.quote].into_iter().find_map(named).map(|_| escape));
        if let Some(escape) = special {
            return Err(format!(
                "behind the escape character '{}' the letters 0, n, r and t mean something else: they cannot be delimiters too",
                escape.escape_ascii()
            ));
        }
        let style = Style { standard: Standard::Sql, plain_decimals: format.plain_decimals };
        Ok(Self { dialect, null: format.null_literal.clone(), delimiter: format.element_delimiter.clone(), style })
    }

    /// Appends the text of a value, as it is before it is quoted.
    fn value(&self, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if cells.is_null(slot) {
            out.extend_from_slice(self.null.as_deref().unwrap_or_default());
            return Ok(());
        }
        let start = out.len();
        match &cells.values {
            Values::List(lists, of_elements) => {
                let slots = elements(lists.value_offsets(), slot);
                self.joined(slots.map(|element| (&**of_elements, element)), out)?;
            }
            Values::Row(fields) => self.joined(fields.iter().map(|field| (field, slot)), out)?,
            _ => self.style.write(cells, slot, out)?,
        }
        match &self.null {
            Some(null) if out.get(start..) == Some(null) => {
                Err(Fault::field("the value is written like the text of 'null-literal', and would be NULL when it is read"))
            }
            _ => Ok(()),
        }
    }

    /// Appends values with the delimiter of elements between them.
    fn joined<'a>(&self, values: impl Iterator<Item = (&'a Cells<'a>, usize)>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        let mut lengths = Vec::new();
        for (index, (cells, slot)) in values.enumerate() {
            if index > 0 {
                out.extend_from_slice(&self.delimiter);
            }
            let element = out.len();
            self.value(cells, slot, out).map_err(|fault| fault.within(format!("[{index}]")))?;
            lengths.push(out.len() - element);
        }
        let joined = out.get(start..).unwrap_or_default();
        if parts(joined, &self.delimiter).map(<[u8]>::len).eq(lengths) {
            return Ok(());
        }
        Err(Fault::field(
            "an element has the text of 'array-element-delimiter' in it, or is the only one and empty: it could not be told when it is read",
        ))
    }

    /// Quotes or escapes the field that begins at `start`, if it needs that.
    fn protect(&self, start: usize, (first, alone): (bool, bool), out: &mut Vec<u8>) -> Result<(), Fault> {
        let Dialect { delimiter, quote, escape, .. } = self.dialect;
        let text = out.get(start..).unwrap_or_default();
        let special = |byte: &u8| *byte == delimiter || Some(*byte) == escape || matches!(byte, b'\n' | b'\r');
        // A line that begins with `#` may be taken for a comment, and an empty one for no row.
        let begins = text.first().is_some_and(|byte| quote == Some(*byte)) || (first && text.trim_ascii_start().first() == Some(&b'#'));
        let empty = alone && text.is_empty();
        if !begins && !empty && !text.iter().any(special) {
            return Ok(());
        }
        let text = out.split_off(start);
        match (quote, escape) {
            (Some(quote), _) => {
                out.push(quote);
                for byte in text {
                    if byte == quote {
                        out.push(quote);
                    } else if let Some(escape) = escape.filter(|escape| *escape == byte) {
                        out.push(escape);
                    }
                    out.push(byte);
                }
                out.push(quote);
            }
            (None, Some(escape)) if !empty => {
                for (index, byte) in text.into_iter().enumerate() {
                    match byte {
                        b'\n' => out.extend_from_slice(&[escape, b'n']),
                        b'\r' => out.extend_from_slice(&[escape, b'r']),
                        _ if byte == delimiter || byte == escape || (begins && index == 0) => out.extend_from_slice(&[escape, byte]),
                        _ => out.push(byte),
                    }
                }
            }
            _ => return Err(Fault::field("the text cannot be written without a quote character")),
        }
        Ok(())
    }
}

impl WriteRow for WriteCsv {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(self.dialect.delimiter);
            }
            let start = out.len();
            let written = self.value(column, row, out).and_then(|()| self.protect(start, (index == 0, columns.len() == 1), out));
            written.map_err(|fault| fault.within(column.name))?;
        }
        Ok(true)
    }
}
