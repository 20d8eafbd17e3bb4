//! One message as one value.

use arrow_schema::Field;

use super::charset::Charset;
use super::options::RawFormat;
use crate::format::columns::{Column, Context, Fault, Rows, Values};
use crate::format::decoder::ReadRow;

/// Reads messages that are values of one type.
#[derive(Debug)]
pub(super) struct ReadRaw {
    charset: Charset,
    little_endian: bool,
    /// Takes the value, so that it is checked, where nobody wants the column.
    unwanted: Column,
}

impl ReadRaw {
    pub(super) fn new(format: &RawFormat) -> Self {
        let unwanted = Column::new(&Field::new("value", format.data_type.clone(), true));
        Self { charset: format.charset, little_endian: format.little_endian, unwanted }
    }

    /// The message as the bytes of a number, lowest first.
    fn bytes<const SIZE: usize>(little_endian: bool, message: &[u8]) -> Result<[u8; SIZE], Fault> {
        let mut bytes: [u8; SIZE] = message.try_into().map_err(|_size| Fault::field(format!("expected {SIZE} bytes, found {}", message.len())))?;
        if !little_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }
}

impl ReadRow for ReadRaw {
    fn read(&mut self, message: &[u8], rows: &mut Rows, _context: &mut Context) -> Result<bool, Fault> {
        let little = self.little_endian;
        self.unwanted.truncate(0);
        let column = rows.columns.first_mut().unwrap_or(&mut self.unwanted);
        let read = match &mut column.values {
            Values::Boolean(values) => Self::bytes::<1>(little, message).map(|bytes| values.append(bytes != [0])),
            Values::Int8(values) => Self::bytes(little, message).map(|bytes| values.push(i8::from_le_bytes(bytes))),
            Values::Int16(values) => Self::bytes(little, message).map(|bytes| values.push(i16::from_le_bytes(bytes))),
            Values::Int32(values) => Self::bytes(little, message).map(|bytes| values.push(i32::from_le_bytes(bytes))),
            Values::Int64(values) => Self::bytes(little, message).map(|bytes| values.push(i64::from_le_bytes(bytes))),
            Values::Float32(values) => Self::bytes(little, message).map(|bytes| values.push(f32::from_le_bytes(bytes))),
            Values::Float64(values) => Self::bytes(little, message).map(|bytes| values.push(f64::from_le_bytes(bytes))),
            Values::Utf8(bytes) => self.charset.decode(message, &mut bytes.values).and_then(|()| bytes.end()),
            Values::Binary(bytes) => {
                bytes.values.extend_from_slice(message);
                bytes.end()
            }
            Values::FixedBinary { values, size } if *size == message.len() => {
                values.extend_from_slice(message);
                Ok(())
            }
            Values::FixedBinary { size, .. } => Err(Fault::field(format!("expected {size} bytes, found {}", message.len()))),
            _ => Err(Fault::field("the type of the column has no form in a message")),
        };
        read.map_err(|fault| fault.within(column.name()))?;
        column.filled();
        rows.len += 1;
        Ok(true)
    }
}
