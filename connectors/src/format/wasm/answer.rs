//! What a module gives back for a message: reads its rows into columns.
//!
//! An answer is a byte that says what it is, and the rest: rows, value after value (`ROWS`), or a text that says why the message is bad (`BAD`).
//! Each value is a tag and, by the tag, nothing (NULL), the value in the form of its type, the value as text, or a text that says why this
//! value is bad. All numbers have their lowest byte first.

use super::shape::Shape;
use crate::format::columns::{Column, Context, Fault, List, Map, Rows, Values, range};

const ROWS: u8 = 0;
const BAD: u8 = 1;

const NULL: u8 = 0;
const VALUE: u8 = 1;
const TEXT: u8 = 2;
const FAULT: u8 = 3;

/// The most rows of one message: each has the offset, the headers and whatever else of its message.
pub(super) const MOST_ROWS: usize = 65_536;

/// What is left of an answer, and of the memory that its rows may take.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    rest: &'a [u8],
    length: usize,
    room: usize,
    is_broken: bool,
}

impl<'a> Answer<'a> {
    /// The answer in `bytes`, whose rows may take about `room` bytes.
    pub(super) fn new(bytes: &'a [u8], room: usize) -> Self {
        Self { rest: bytes, length: bytes.len(), room, is_broken: false }
    }

    /// Appends the rows to `rows` and says how many there are; `declared` has the form of each column and its place in `rows`, if it is wanted.
    /// After a fault `rows` is dirty.
    pub(super) fn read_rows(&mut self, declared: &[(Shape, Option<usize>)], rows: &mut Rows, context: &mut Context) -> Result<usize, Fault> {
        let Some((kind, rest)) = self.rest.split_first() else { return Err(self.broken(0, "it is empty")) };
        self.rest = rest;
        match *kind {
            ROWS => {}
            BAD => return Err(Fault::syntax(String::from_utf8_lossy(rest))),
            other => return Err(self.broken(0, &format!("{other} says neither that rows follow nor that the message is bad"))),
        }
        let mut count = 0;
        while !self.rest.is_empty() {
            if count == MOST_ROWS {
                return Err(self.wrong(format!("the module gives more than {MOST_ROWS} rows for one message")));
            }
            for (shape, place) in declared {
                match place.and_then(|place| rows.columns.get_mut(place)) {
                    Some(column) => column.read_answer(shape, self, context).map_err(|fault| fault.within(column.name()))?,
                    None => self.skip(shape)?,
                }
            }
            rows.len += 1;
            count += 1;
        }
        Ok(count)
    }

    /// Whether it is none: no module that works says such a thing, whatever the message.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    #[cold]
    fn wrong(&mut self, why: String) -> Fault {
        self.is_broken = true;
        Fault::syntax(why)
    }

    #[cold]
    fn broken(&mut self, at: usize, why: &str) -> Fault {
        self.wrong(format!("the module's answer is broken at byte {at}: {why}"))
    }

    #[cold]
    fn unknown_tag(&mut self, at: usize, tag: u8) -> Fault {
        self.broken(at, &format!("{tag} is no tag of a value"))
    }

    fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(size) else {
            let why = format!("{size} bytes are expected and {} are left", self.rest.len());
            return Err(self.broken(self.at(), &why));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Fault> {
        let at = self.at();
        self.take(SIZE)?.try_into().map_err(|_size| self.broken(at, "a value of another size is expected"))
    }

    fn tag(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[tag]| tag)
    }

    fn count(&mut self) -> Result<usize, Fault> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let size = self.count()?;
        self.take(size)
    }

    /// Takes `bytes` of the memory that the rows may use.
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                Ok(())
            }
            None => Err(self.wrong("the module gives rows that take more than 'wasm.memory' allows".to_owned())),
        }
    }

    /// Passes over a value that nobody wants.
    fn skip(&mut self, shape: &Shape) -> Result<(), Fault> {
        let at = self.at();
        match self.tag()? {
            NULL => Ok(()),
            VALUE => match shape {
                Shape::Fixed(size) => self.take(*size).map(|_| ()),
                Shape::Sized(_) => self.sized().map(|_| ()),
                Shape::List(element) => (0..self.count()?).try_for_each(|_| self.skip(element)),
                Shape::Map(pair) => (0..self.count()?).try_for_each(|_| {
                    self.skip(&pair.0)?;
                    self.skip(&pair.1)
                }),
                Shape::Row(fields) => fields.iter().try_for_each(|field| self.skip(field)),
            },
            TEXT | FAULT => self.sized().map(|_| ()),
            other => Err(self.unknown_tag(at, other)),
        }
    }
}

impl Column {
    /// Reads the next slot; a bad value becomes NULL where that is tolerated.
    fn read_answer(&mut self, shape: &Shape, answer: &mut Answer<'_>, context: &mut Context) -> Result<(), Fault> {
        let begin = answer.rest;
        match self.read_tagged(shape, answer, context) {
            Err(fault) if self.tolerates(&fault, context) => {
                // The room that it took stays spent, or NULLs would have no end.
                answer.rest = begin;
                answer.skip(shape)?;
                self.forgive(context)
            }
            read => read,
        }
    }

    fn read_tagged(&mut self, shape: &Shape, answer: &mut Answer<'_>, context: &mut Context) -> Result<(), Fault> {
        let at = answer.at();
        answer.spend(shape.width())?;
        match answer.tag()? {
            NULL => self.null(),
            VALUE => {
                self.values.read_answer(shape, answer, context)?;
                self.filled();
                Ok(())
            }
            TEXT => {
                let text = answer.sized()?;
                answer.spend(text.len())?;
                if !text.is_ascii() && simdutf8::basic::from_utf8(text).is_err() {
                    return Err(Fault::field("the text is not UTF-8"));
                }
                self.read_text(text, context)
            }
            FAULT => Err(Fault::field(String::from_utf8_lossy(answer.sized()?))),
            other => Err(answer.unknown_tag(at, other)),
        }
    }
}

impl Values {
    fn read_answer(&mut self, shape: &Shape, answer: &mut Answer<'_>, context: &mut Context) -> Result<(), Fault> {
        match (self, shape) {
            (Self::Boolean(values), _) => match answer.array()? {
                [0] => values.append(false),
                [1] => values.append(true),
                [other] => return Err(Fault::field(format!("{other} is not a Boolean, which is 0 or 1"))),
            },
            (Self::Int8(values), _) => values.push(i8::from_le_bytes(answer.array()?)),
            (Self::Int16(values), _) => values.push(i16::from_le_bytes(answer.array()?)),
            (Self::Int32(values), _) => values.push(i32::from_le_bytes(answer.array()?)),
            (Self::Int64(values), _) => values.push(i64::from_le_bytes(answer.array()?)),
            (Self::Float32(values), _) => values.push(f32::from_le_bytes(answer.array()?)),
            (Self::Float64(values), _) => values.push(f64::from_le_bytes(answer.array()?)),
            (Self::Decimal { values, precision, scale }, _) => {
                let value = i128::from_le_bytes(answer.array()?);
                if value.unsigned_abs() >= 10_u128.saturating_pow((*precision).into()) {
                    return Err(Fault::field(format!("the unscaled value {value} is out of range for DECIMAL({precision}, {scale})")));
                }
                values.push(value);
            }
            (Self::Utf8(bytes), _) => {
                let text = answer.sized()?;
                if !text.is_ascii() && simdutf8::basic::from_utf8(text).is_err() {
                    return Err(Fault::field("the text is not UTF-8"));
                }
                answer.spend(text.len())?;
                bytes.values.extend_from_slice(text);
                bytes.end()?;
            }
            (Self::Binary(bytes), _) => {
                let value = answer.sized()?;
                answer.spend(value.len())?;
                bytes.values.extend_from_slice(value);
                bytes.end()?;
            }
            (Self::FixedBinary { values, size }, _) => {
                let value = answer.sized()?;
                if value.len() != *size {
                    return Err(Fault::field(format!("expected {size} bytes, found {}", value.len())));
                }
                values.extend_from_slice(value);
            }
            (Self::Date(values), _) => values.push(range::date(i32::from_le_bytes(answer.array()?))?),
            (Self::Time(values), _) => values.push(range::time(i64::from_le_bytes(answer.array()?))?),
            (Self::Timestamp { values, nanos, .. }, _) => values.push(range::timestamp(i64::from_le_bytes(answer.array()?), *nanos)?),
            (Self::List(list), Shape::List(element)) => list.read_answer(element, answer, context)?,
            (Self::Map(map), Shape::Map(pair)) => map.read_answer(pair, answer, context)?,
            (Self::Row(row), Shape::Row(fields)) => {
                row.settle();
                for (column, shape) in row.columns.iter_mut().zip(fields) {
                    column.read_answer(shape, answer, context).map_err(|fault| fault.within(column.name()))?;
                }
                row.len += 1;
            }
            _ => return Err(Fault::field("the column was not made for the answer")),
        }
        Ok(())
    }
}

impl List {
    fn read_answer(&mut self, shape: &Shape, answer: &mut Answer<'_>, context: &mut Context) -> Result<(), Fault> {
        for index in 0..answer.count()? {
            self.count(context)?;
            self.elements.read_answer(shape, answer, context).map_err(|fault| fault.within(format!("[{index}]")))?;
        }
        self.ends.push(self.elements.len())
    }
}

impl Map {
    fn read_answer(&mut self, pair: &(Shape, Shape), answer: &mut Answer<'_>, context: &mut Context) -> Result<(), Fault> {
        for index in 0..answer.count()? {
            let within = |fault: Fault| fault.within(format!("[{index}]"));
            self.count(context)?;
            self.keys.read_answer(&pair.0, answer, context).map_err(within)?;
            self.values.read_answer(&pair.1, answer, context).map_err(within)?;
        }
        if self.superseded().contains(&true) {
            return Err(Fault::field("a key of the map comes twice"));
        }
        self.ends.push(self.keys.len())
    }
}
