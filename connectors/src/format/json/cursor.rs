//! A place in one message: what every part of the decoder reads bytes through.
//!
//! The cursor checks the grammar of what it passes, but not its UTF-8. Each place depends on the one before, so what decides the speed is how
//! soon the next place is known: ends of the message are branches of their own, which the processor foresees, and never sums or choices of
//! values, which it has to wait for. The `quick_` functions take and give the cursor by value, so that it stays in the processor's registers; they know the
//! usual cases only, and where they give `None` they have done nothing.

use super::text::{compact, stops, words};
use crate::format::columns::Fault;

/// Deepest nesting of a value that is passed over.
const MAX_DEPTH: usize = 1_000;

/// A message and a place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// The byte here; 0, which no JSON text has outside a string, at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        match self.bytes.get(self.pos) {
            Some(byte) => *byte,
            None => at_end(0),
        }
    }

    /// What is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        match self.bytes.get(self.pos..) {
            Some(rest) => rest,
            None => at_end(&[]),
        }
    }

    /// What lies between `start` and here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.pos).unwrap_or_default()
    }

    #[inline]
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// Goes back to a place that [`Self::pos`] gave.
    pub(super) fn rewind(&mut self, pos: usize) {
        self.pos = pos;
    }

    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.pos += count;
    }

    /// Passes blanks.
    #[inline]
    pub(super) fn blanks(&mut self) {
        if self.peek() <= b' ' {
            self.rare_blanks();
        }
    }

    #[cold]
    fn rare_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.pos += 1;
        }
    }

    /// Passes `byte` if it is here.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        if self.peek() != byte {
            return false;
        }
        self.pos += 1;
        true
    }

    /// Whether everything has been read.
    pub(super) fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// A syntax fault: `expected` is not what stands here.
    #[cold]
    pub(super) fn unexpected(&self, expected: &str) -> Fault {
        Fault::syntax(format!("expected {expected} at byte {}, found {}", self.pos, self.found()))
    }

    /// A field fault: a value of another type stands here.
    #[cold]
    pub(super) fn mismatch(&self, expected: &str) -> Fault {
        Fault::field(format!("expected {expected}, found {}", self.found()))
    }

    fn found(&self) -> String {
        match self.bytes.get(self.pos) {
            None => "the end of the message".to_owned(),
            Some(b'"') => "a string".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'-' | b'0'..=b'9') => "a number".to_owned(),
            Some(b't') if self.rest().starts_with(b"true") => "true".to_owned(),
            Some(b'f') if self.rest().starts_with(b"false") => "false".to_owned(),
            Some(b'n') if self.rest().starts_with(b"null") => "null".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("'{}'", char::from(*byte)),
            Some(byte) => format!("byte 0x{byte:02x}"),
        }
    }

    /// The cursor `count` bytes further.
    #[inline(always)]
    pub(super) fn further(self, count: usize) -> Self {
        Self { pos: self.pos + count, ..self }
    }

    /// The cursor behind the blanks here.
    #[inline(always)]
    pub(super) fn behind_blanks(self) -> Self {
        if self.peek() <= b' ' { self.behind_rare_blanks() } else { self }
    }

    #[cold]
    fn behind_rare_blanks(mut self) -> Self {
        self.rare_blanks();
        self
    }

    /// [`Self::copy_text`] of a string without escapes that does not reach into the last sixteen bytes of the message.
    #[inline(always)]
    pub(super) fn quick_string(self, out: &mut Vec<u8>) -> Option<Self> {
        if self.peek() != b'"' {
            return None;
        }
        let before = out.len();
        let mut at = self.further(1);
        while let Some(chunk) = at.rest().first_chunk::<16>() {
            let [low, high] = words(*chunk);
            out.extend_from_slice(chunk);
            let low_stop = stops(low);
            let plain = if low_stop != 0 {
                low_stop.trailing_zeros() / 8
            } else {
                let high_stop = stops(high);
                if high_stop == 0 {
                    at = at.further(16);
                    continue;
                }
                8 + high_stop.trailing_zeros() / 8
            } as usize;
            out.truncate(out.len() - 16 + plain);
            at = at.further(plain);
            if at.peek() == b'"' {
                return Some(at.further(1));
            }
            break;
        }
        out.truncate(before);
        None
    }

    /// Passes the literal `word`.
    #[inline]
    pub(super) fn literal(&mut self, word: &str) -> Result<(), Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.pos += word.len();
        Ok(())
    }

    /// Passes the rest of a string, whose opening quote has been passed, and appends it to `out`.
    ///
    /// Bytes are looked at and copied together, sixteen at a time.
    #[inline(always)]
    pub(super) fn copy_string(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        while let Some(chunk) = self.rest().first_chunk::<16>() {
            let [low, high] = words(*chunk);
            out.extend_from_slice(chunk);
            let low_stop = stops(low);
            let before = if low_stop != 0 {
                low_stop.trailing_zeros() / 8
            } else {
                let high_stop = stops(high);
                if high_stop == 0 {
                    self.pos += 16;
                    continue;
                }
                8 + high_stop.trailing_zeros() / 8
            } as usize;
            out.truncate(out.len() - 16 + before);
            self.pos += before;
            if self.eat(b'"') {
                return Ok(());
            }
            self.copy_escape(out)?;
        }
        self.copy_string_end(out)
    }

    /// [`Self::copy_string`] within the last sixteen bytes of the message.
    #[cold]
    fn copy_string_end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        loop {
            match self.peek() {
                b'"' => {
                    self.pos += 1;
                    return Ok(());
                }
                b'\\' | 0..0x20 => self.copy_escape(out)?,
                byte => {
                    out.push(byte);
                    self.pos += 1;
                }
            }
        }
    }

    #[cold]
    fn copy_escape(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let letter = self.escape()?;
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Passes the rest of a string, whose opening quote has been passed.
    #[inline]
    fn skip_string(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_plain();
            match self.peek() {
                b'"' => {
                    self.pos += 1;
                    return Ok(());
                }
                b'\\' | 0..0x20 => {
                    self.escape()?;
                }
                _ => self.pos += 1,
            }
        }
    }

    /// Passes plain bytes of a string, eight at a time while there are as many.
    #[inline]
    fn skip_plain(&mut self) {
        let (bytes, mut pos) = (self.bytes, self.pos);
        while let Some(chunk) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<8>()) {
            let stop = stops(u64::from_le_bytes(*chunk));
            if stop != 0 {
                pos += (stop.trailing_zeros() / 8) as usize;
                break;
            }
            pos += 8;
        }
        self.pos = pos;
    }

    /// The content of a string, whose opening quote has been passed: a slice of the message if it has no escapes, else built in `scratch`.
    #[inline]
    pub(super) fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault>
    where
        'a: 's,
    {
        let start = self.pos;
        self.skip_plain();
        if self.peek() == b'"' {
            let raw = self.since(start);
            self.pos += 1;
            return Ok(raw);
        }
        self.pos = start;
        scratch.clear();
        self.copy_string(scratch)?;
        Ok(scratch)
    }

    /// The character of the escape here; a fault if it is a control character or the end that stands here.
    #[cold]
    fn escape(&mut self) -> Result<char, Fault> {
        if self.peek() != b'\\' {
            let what = if self.at_end() { "the message ends in a string".to_owned() } else { format!("a string has {} in it", self.found()) };
            return Err(Fault::syntax(format!("{what} at byte {}", self.pos)));
        }
        self.pos += 1;
        let letter = match self.peek() {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.unexpected("an escape")),
        };
        self.pos += 1;
        Ok(letter)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let place = self.pos - 1;
        let first = self.four_digits()?;
        let code = if (0xd800..0xdc00).contains(&first) && self.rest().starts_with(b"\\u") {
            self.pos += 1;
            match self.four_digits()? {
                second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => first,
            }
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| Fault::syntax(format!("the escape at byte {place} is half of a surrogate pair")))
    }

    /// The number of a `uXXXX`.
    fn four_digits(&mut self) -> Result<u32, Fault> {
        self.pos += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else { return Err(self.unexpected("four hexadecimal digits")) };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// Passes one value of any type, without recursion.
    pub(super) fn skip_value(&mut self) -> Result<(), Fault> {
        // One bit for each open bracket: whether it is an object's.
        let mut objects = [0_u64; MAX_DEPTH.div_ceil(64)];
        let mut depth = 0_usize;
        loop {
            let opened = match self.peek() {
                b'"' => {
                    self.pos += 1;
                    self.skip_string()?;
                    false
                }
                b'{' => self.open(&mut objects, &mut depth, true)?,
                b'[' => self.open(&mut objects, &mut depth, false)?,
                b't' => self.literal("true").map(|()| false)?,
                b'f' => self.literal("false").map(|()| false)?,
                b'n' => self.literal("null").map(|()| false)?,
                _ => self.number().map(|_| false)?,
            };
            if opened {
                continue;
            }
            // A value ends here; close what it ends, and go on behind a comma.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = objects[(depth - 1) / 64] >> ((depth - 1) % 64) & 1 == 1;
                self.blanks();
                if self.eat(b',') {
                    self.blanks();
                    if in_object {
                        self.skip_key()?;
                    }
                    break;
                }
                if !self.eat(if in_object { b'}' } else { b']' }) {
                    return Err(self.unexpected(if in_object { "',' or '}'" } else { "',' or ']'" }));
                }
                depth -= 1;
            }
        }
    }

    /// Passes an opening bracket; false if the closing one followed at once.
    fn open(&mut self, objects: &mut [u64; MAX_DEPTH.div_ceil(64)], depth: &mut usize, object: bool) -> Result<bool, Fault> {
        self.pos += 1;
        self.blanks();
        if self.eat(if object { b'}' } else { b']' }) {
            return Ok(false);
        }
        if *depth == MAX_DEPTH {
            return Err(Fault::syntax(format!("nested deeper than {MAX_DEPTH} levels at byte {}", self.pos)));
        }
        let (word, bit) = (*depth / 64, 1_u64 << (*depth % 64));
        if object {
            objects[word] |= bit;
            self.skip_key()?;
        } else {
            objects[word] &= !bit;
        }
        *depth += 1;
        Ok(true)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        if !self.eat(b'"') {
            return Err(self.unexpected("a field name"));
        }
        self.skip_string()?;
        self.colon()
    }

    /// Passes the colon behind a field name, and the blanks around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        self.blanks();
        if !self.eat(b':') {
            return Err(self.unexpected("':'"));
        }
        self.blanks();
        Ok(())
    }

    /// Passes one value and appends its text to `out`: a string's content, else the JSON text, in containers without blanks.
    #[inline]
    pub(super) fn copy_text(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.eat(b'"') {
            return self.copy_string(out);
        }
        let start = self.pos;
        self.skip_value()?;
        compact(self.since(start), out);
        Ok(())
    }
}

/// `value`, which stands for what comes after the end of the message: rarely, and not to be chosen without a branch.
#[cold]
#[inline(never)]
fn at_end<T>(value: T) -> T {
    value
}
