//! Single values: what of JSON a type takes. As Flink does, a column of numbers or Booleans also takes their text in a string.

use super::cursor::Cursor;
use crate::format::columns::number::plain_integer;
use crate::format::columns::scalar::{boolean_text, double_text, float_text, number_text};
use crate::format::columns::{Context, Fault, Number};

impl<'a> Cursor<'a> {
    /// Passes a whole number that has no fraction or exponent and certainly fits; else stays.
    #[inline(always)]
    fn plain_integer(&mut self) -> Option<i64> {
        let (value, end) = plain_integer(self.rest())?;
        self.advance(end);
        Some(value)
    }

    /// Passes a number, in the grammar of JSON.
    // Always inlined: through memory, the parts of the result are written singly and read at once, which stalls.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Fault> {
        match Number::scan::<true>(self.rest()) {
            Ok(number) => {
                self.advance(number.len());
                Ok(number)
            }
            Err(0) => Err(self.unexpected("a value")),
            Err(read) => {
                self.advance(read);
                Err(Fault::syntax(format!("not a number at byte {}", self.pos())))
            }
        }
    }
}

/// Reads a number with `plain`, or one in a string with `text`.
macro_rules! number {
    ($cursor:ident, $context:ident, $plain:expr, $text:expr) => {
        match $cursor.peek() {
            b'-' | b'0'..=b'9' => $plain($cursor.number()?),
            b'"' => $text(text($cursor, &mut $context.scratch, "a number")?),
            _ => Err($cursor.mismatch("a number")),
        }
    };
}

#[inline]
pub(super) fn integer<T: TryFrom<i64>>(cursor: &mut Cursor<'_>, context: &mut Context) -> Result<T, Fault> {
    let start = cursor.pos();
    if let Some(value) = cursor.plain_integer() {
        match T::try_from(value) {
            Ok(value) => return Ok(value),
            Err(_) => cursor.rewind(start),
        }
    }
    number!(cursor, context, |number: Number<'_>| number.integer(), |text| number_text(text)?.integer())
}

#[inline]
pub(super) fn decimal(cursor: &mut Cursor<'_>, context: &mut Context, precision: u8, scale: i8) -> Result<i128, Fault> {
    number!(cursor, context, |number: Number<'_>| number.decimal(precision, scale), |text| number_text(text)?.decimal(precision, scale))
}

#[inline]
pub(super) fn double(cursor: &mut Cursor<'_>, context: &mut Context) -> Result<f64, Fault> {
    number!(cursor, context, |number: Number<'_>| number.double(), double_text)
}

pub(super) fn float(cursor: &mut Cursor<'_>, context: &mut Context) -> Result<f32, Fault> {
    number!(cursor, context, |number: Number<'_>| number.float(), float_text)
}

pub(super) fn boolean(cursor: &mut Cursor<'_>, context: &mut Context) -> Result<bool, Fault> {
    match cursor.peek() {
        b't' => cursor.literal("true").map(|()| true),
        b'f' => cursor.literal("false").map(|()| false),
        b'"' => boolean_text(text(cursor, &mut context.scratch, "a Boolean")?),
        _ => Err(cursor.mismatch("true or false")),
    }
}

/// The content of the string at the cursor.
#[inline]
pub(super) fn text<'s, 'a: 's>(cursor: &mut Cursor<'a>, scratch: &'s mut Vec<u8>, expected: &str) -> Result<&'s [u8], Fault> {
    if !cursor.eat(b'"') {
        return Err(cursor.mismatch(expected));
    }
    cursor.string(scratch)
}
