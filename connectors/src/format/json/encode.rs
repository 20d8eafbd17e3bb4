//! How rows become JSON objects.

use super::text::stops;
use crate::format::cells::text::Style;
use crate::format::cells::{Cells, Entries, Values, elements};
use crate::format::columns::Fault;
use crate::format::encoder::WriteRow;

/// What becomes of a NULL key of a map.
#[derive(Debug, Clone)]
pub(in crate::format) enum NullKeys {
    /// Nothing: it is an error, unless this option says otherwise.
    Fail(String),
    /// Its entry is left out.
    Drop,
    /// It is this text.
    Literal(String),
}

/// Writes rows as objects, their columns by name.
#[derive(Debug, Clone)]
pub(in crate::format) struct WriteJson {
    pub(in crate::format) style: Style,
    /// NULL fields are left out.
    pub(in crate::format) skip_nulls: bool,
    pub(in crate::format) null_keys: NullKeys,
}

impl WriteRow for WriteJson {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        self.object(columns, row, out)?;
        Ok(true)
    }
}

impl WriteJson {
    /// Appends an object of `fields`.
    pub(in crate::format) fn object<'a>(&self, fields: impl IntoIterator<Item = &'a Cells<'a>>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut begin = b'{';
        for field in fields {
            if self.skip_nulls && field.is_null(slot) {
                continue;
            }
            out.push(begin);
            begin = b',';
            string(field.name.as_bytes(), out);
            out.push(b':');
            self.value(field, slot, out).map_err(|fault| fault.within(field.name))?;
        }
        if begin == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    fn value(&self, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if cells.is_null(slot) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &cells.values {
            Values::Utf8(values) => string(values.value(slot).as_bytes(), out),
            Values::Boolean(_) | Values::Int8(_) | Values::Int16(_) | Values::Int32(_) | Values::Int64(_) | Values::Decimal(..) => {
                self.style.write(cells, slot, out)?;
            }
            Values::Float32(values) if values.value(slot).is_finite() => self.style.write(cells, slot, out)?,
            Values::Float64(values) if values.value(slot).is_finite() => self.style.write(cells, slot, out)?,
            Values::List(lists, of_elements) => {
                let mut begin = b'[';
                for (index, element) in elements(lists.value_offsets(), slot).enumerate() {
                    out.push(begin);
                    begin = b',';
                    self.value(of_elements, element, out).map_err(|fault| fault.within(format!("[{index}]")))?;
                }
                if begin == b'[' {
                    out.push(b'[');
                }
                out.push(b']');
            }
            Values::Map(maps, entries) => self.map(entries, elements(maps.value_offsets(), slot), out)?,
            Values::Row(fields) => self.object(fields, slot, out)?,
            _ => self.quoted(cells, slot, out)?,
        }
        Ok(())
    }

    fn map(&self, entries: &Entries<'_>, slots: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut begin = b'{';
        for slot in slots {
            let null = entries.keys.is_null(slot);
            if null && matches!(self.null_keys, NullKeys::Drop) {
                continue;
            }
            out.push(begin);
            begin = b',';
            match (&self.null_keys, &entries.keys.values) {
                (NullKeys::Literal(text), _) if null => string(text.as_bytes(), out),
                (NullKeys::Fail(option), _) if null => {
                    return Err(Fault::field(format!(
                        "a key of the map is NULL, which JSON does not have; '{option}' = 'DROP' or 'LITERAL' allows it"
                    )));
                }
                (_, Values::Utf8(keys)) => string(keys.value(slot).as_bytes(), out),
                _ => self.quoted(&entries.keys, slot, out)?,
            }
            out.push(b':');
            self.value(&entries.values, slot, out)?;
        }
        if begin == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends a value whose text has nothing to escape, in quotes.
    fn quoted(&self, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.push(b'"');
        self.style.write(cells, slot, out)?;
        out.push(b'"');
        Ok(())
    }
}

/// Appends a string with its quotes; runs of bytes that need no escape are copied as they are.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let plain = plain(rest);
        let (run, behind) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.extend_from_slice(run);
        let Some((byte, behind)) = behind.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
                out.extend_from_slice(b"\\u00");
                out.extend([hex(control >> 4), hex(control & 15)]);
            }
        }
        rest = behind;
    }
    out.push(b'"');
}

/// How many bytes at the beginning of `text` need no escape.
fn plain(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    let stop = tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    words.len() * 8 + stop.unwrap_or(tail.len())
}
