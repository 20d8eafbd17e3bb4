//! One line, field by field.

use crate::format::columns::Fault;

/// How fields are written.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// The bytes at which a plain field ends or needs a closer look.
    stops: Box<[bool; 256]>,
}

/// Bytes in which delimiters are looked for together.
const BLOCK: usize = 64;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

impl Dialect {
    pub(super) fn new(delimiter: u8, quote: Option<u8>, escape: Option<u8>) -> Self {
        let mut stops = Box::new([false; 256]);
        for byte in [Some(delimiter), escape, Some(b'\n'), Some(b'\r')].into_iter().flatten() {
            if let Some(stop) = stops.get_mut(usize::from(byte)) {
                *stop = true;
            }
        }
        Self { delimiter, quote, escape, stops }
    }

    /// Whether a line is nothing but fields with delimiters between them: no quote, no escape, no other line.
    fn is_plain(&self, text: &[u8]) -> bool {
        let (quote, escape) = (self.quote.unwrap_or(b'\n'), self.escape.unwrap_or(b'\n'));
        // Without a branch in it, so that many bytes are compared together.
        !text.iter().fold(false, |found, byte| found | (*byte == quote) | (*byte == escape) | (*byte == b'\n') | (*byte == b'\r'))
    }

    #[inline]
    fn stops(&self, byte: u8) -> bool {
        self.stops.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

/// Hands each field of a line that is [plain](Dialect::is_plain) to `read`, with all that is behind its first byte; there is one at least.
#[inline(always)]
fn each_field<'a>(text: &'a [u8], delimiter: u8, mut read: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut start = 0;
    for at in (0..text.len()).step_by(BLOCK) {
        let rest = text.get(at..).unwrap_or_default();
        let mut marks = match rest.first_chunk() {
            Some(block) => marks(block, delimiter),
            None => {
                let mut block = [!delimiter; BLOCK];
                block.iter_mut().zip(rest).for_each(|(byte, of)| *byte = *of);
                marks(&block, delimiter)
            }
        };
        while marks != 0 {
            let end = at + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            let rest = text.get(start..).unwrap_or_default();
            read(rest.get(..end - start).unwrap_or_default(), rest)?;
            start = end + 1;
        }
    }
    let last = text.get(start..).unwrap_or_default();
    read(last, last)
}

/// A bit for each byte of `block` that is `byte`.
#[inline]
fn marks(block: &[u8; BLOCK], byte: u8) -> u64 {
    let (words, _) = block.as_chunks();
    words.iter().rev().fold(0, |marks, word| {
        let other = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        // The high bit of each byte that is zero, without a carry from one to the next; then these bits side by side.
        let zeros = !(((other & !HIGH_BITS) + !HIGH_BITS) | other | !HIGH_BITS);
        marks << 8 | (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// A line that is being read.
#[derive(Debug)]
pub(super) struct Line<'a> {
    text: &'a [u8],
    pos: usize,
    ended: bool,
}

impl<'a> Line<'a> {
    /// The line of a message: an end of line at its end does not count.
    pub(super) fn new(message: &'a [u8]) -> Self {
        let text = message.strip_suffix(b"\n").unwrap_or(message);
        Self { text: text.strip_suffix(b"\r").unwrap_or(text), pos: 0, ended: false }
    }

    /// Hands each of its fields to `read`, with all that is behind its first byte, if all of the line is plain; else says so and does nothing.
    #[inline(always)]
    pub(super) fn each_plain(&self, dialect: &Dialect, read: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Fault>) -> Option<Result<(), Fault>> {
        dialect.is_plain(self.text).then(|| each_field(self.text, dialect.delimiter, read))
    }

    /// What is left of it.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// The next field, as its value; `None` at the end. `scratch` holds it if it is not written as it is.
    #[inline]
    pub(super) fn field<'s>(&mut self, dialect: &Dialect, scratch: &'s mut Vec<u8>) -> Result<Option<&'s [u8]>, Fault>
    where
        'a: 's,
    {
        if self.ended {
            return Ok(None);
        }
        let rest = self.rest();
        if dialect.quote.is_some() && rest.first().copied() == dialect.quote {
            return self.quoted(dialect, scratch).map(Some);
        }
        let end = rest.iter().position(|byte| dialect.stops(*byte));
        match end.and_then(|end| rest.get(end)) {
            None => {
                self.ended = true;
                Ok(Some(rest))
            }
            Some(byte) if *byte == dialect.delimiter => {
                let end = end.unwrap_or_default();
                self.pos += end + 1;
                Ok(Some(rest.get(..end).unwrap_or_default()))
            }
            Some(_) => self.escaped(dialect, scratch).map(Some),
        }
    }

    /// A field without quotes in which something is escaped, or a line end.
    #[cold]
    fn escaped<'s>(&mut self, dialect: &Dialect, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault> {
        scratch.clear();
        while let Some(byte) = self.next() {
            match byte {
                _ if byte == dialect.delimiter => return Ok(scratch),
                _ if Some(byte) == dialect.escape => scratch.push(self.unescaped()?),
                b'\n' | b'\r' => return Err(self.second_line()),
                _ => scratch.push(byte),
            }
        }
        self.ended = true;
        Ok(scratch)
    }

    fn quoted<'s>(&mut self, dialect: &Dialect, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault>
    where
        'a: 's,
    {
        let (opened, quote) = (self.pos, dialect.quote.unwrap_or_default());
        self.pos += 1;
        let inside = self.rest();
        let special = |byte: &u8| *byte == quote || Some(*byte) == dialect.escape;
        let plain = inside.iter().position(special).unwrap_or(inside.len());
        let text = inside.get(..plain).unwrap_or_default();
        if inside.get(plain) == Some(&quote) && inside.get(plain + 1) != Some(&quote) {
            self.pos += plain + 1;
            self.close(dialect)?;
            return Ok(text);
        }
        self.pos += plain;
        scratch.clear();
        scratch.extend_from_slice(text);
        while let Some(byte) = self.next() {
            if byte == quote {
                if self.rest().first() != Some(&quote) {
                    self.close(dialect)?;
                    return Ok(scratch);
                }
                self.pos += 1;
                scratch.push(quote);
            } else if Some(byte) == dialect.escape {
                scratch.push(self.unescaped()?);
            } else {
                scratch.push(byte);
            }
        }
        Err(Fault::syntax(format!("the quote at byte {opened} is not closed")))
    }

    /// Passes what may stand between a closing quote and the next field.
    fn close(&mut self, dialect: &Dialect) -> Result<(), Fault> {
        let blanks = self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t') && **byte != dialect.delimiter).count();
        self.pos += blanks;
        match self.next() {
            None => self.ended = true,
            Some(byte) if byte == dialect.delimiter => {}
            Some(b'\n' | b'\r') => return Err(self.second_line()),
            Some(byte) => {
                return Err(Fault::syntax(format!("found '{}' behind the quote that closes a field, at byte {}", byte.escape_ascii(), self.pos - 1)));
            }
        }
        Ok(())
    }

    /// What the byte behind an escape character stands for.
    fn unescaped(&mut self) -> Result<u8, Fault> {
        Ok(match self.next() {
            Some(b'0') => 0,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(byte) => byte,
            None => return Err(Fault::syntax("the message ends with an escape character")),
        })
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.pos).copied()?;
        self.pos += 1;
        Some(byte)
    }

    fn second_line(&self) -> Fault {
        Fault::syntax(format!("a line ends at byte {}: a message is one line", self.pos - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_line_has_the_fields_between_its_delimiters(text in prop::collection::vec(prop::sample::select(vec![b',', b'a', 0, 0xff, b'+', b'-']), 0..300)) {
            let mut found = Vec::new();
            let mut begins = true;
            each_field(&text, b',', |field, rest| {
                begins &= rest.starts_with(field) && text.ends_with(rest);
                found.push(field.to_vec());
                Ok(())
            }).expect("no fault");
            prop_assert!(begins);
            prop_assert_eq!(found, text.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_with_quotes_escapes_or_a_second_line_is_not_plain() {
        let dialect = Dialect::new(b',', Some(b'"'), Some(b'\\'));
        assert!(dialect.is_plain(b"a,b;c 'd'"));
        for text in [&b"a,\"b\""[..], b"a,b\\,c", b"a\nb", b"a\rb"] {
            assert!(!dialect.is_plain(text), "{}", text.escape_ascii());
        }
        assert!(Dialect::new(b',', None, None).is_plain(b"\"a\\\""));
    }
}
