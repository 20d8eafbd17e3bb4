//! One value as one message; NULL has none.

use super::charset::{Charset, encode};
use crate::format::cells::{Cells, Values};
use crate::format::columns::Fault;
use crate::format::encoder::WriteRow;

/// Writes the value of the only column.
#[derive(Debug)]
pub(super) struct WriteRaw {
    pub(super) charset: Charset,
    pub(super) little_endian: bool,
}

impl WriteRaw {
    /// Appends the bytes of a number, which come lowest first.
    fn number<const SIZE: usize>(&self, mut bytes: [u8; SIZE], out: &mut Vec<u8>) {
        if !self.little_endian {
            bytes.reverse();
        }
        out.extend_from_slice(&bytes);
    }
}

impl WriteRow for WriteRaw {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let Some(column) = columns.first().filter(|column| !column.is_null(row)) else { return Ok(false) };
        match &column.values {
            Values::Boolean(values) => out.push(values.value(row).into()),
            Values::Int8(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Int16(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Int32(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Int64(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Float32(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Float64(values) => self.number(values.value(row).to_le_bytes(), out),
            Values::Utf8(values) => encode(self.charset, values.value(row), out).map_err(|fault| fault.within(column.name))?,
            Values::Binary(_) | Values::FixedBinary(_) => out.extend_from_slice(column.bytes(row).unwrap_or_default()),
            _ => return Err(Fault::field("the type of the column has no form in a message").within(column.name)),
        }
        Ok(true)
    }
}
