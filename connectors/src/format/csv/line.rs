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

    #[inline]
    fn stops(&self, byte: u8) -> bool {
        self.stops.get(usize::from(byte)).copied().unwrap_or(false)
    }
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
