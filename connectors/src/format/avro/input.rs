//! A message of which some bytes have been read.
//!
//! Where the next value begins depends on the one before it, so what decides the speed is how soon that is known. The `quick_` functions take and give
//! the place by value, so that it stays in the processor's registers; they know the usual cases only, and have done nothing where they give `None`.

use crate::format::columns::Fault;
use crate::format::varint;

/// The bytes that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { whole: message.len(), rest: message }
    }

    /// Bytes that are left.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The number of a branch, if it is one byte, and what is behind it.
    #[inline(always)]
    pub(super) fn quick_branch(self) -> Option<(usize, Self)> {
        let (byte, rest) = self.rest.split_first()?;
        (byte & 0x81 == 0).then_some((usize::from(*byte >> 1), Self { rest, ..self }))
    }

    /// [`Self::whole`].
    #[inline(always)]
    pub(super) fn quick_whole(self) -> Option<(i64, Self)> {
        let (coded, size) = varint::short(self.rest)?;
        Some((zigzag(coded), Self { rest: self.rest.get(size..)?, ..self }))
    }

    /// [`Self::sized_in_rest`].
    #[inline(always)]
    pub(super) fn quick_sized(self) -> Option<(&'a [u8], &'a [u8], Self)> {
        let (size, from) = self.quick_whole()?;
        let (sized, rest) = from.rest.split_at_checked(usize::try_from(size).ok()?)?;
        Some((sized, from.rest, Self { rest, ..self }))
    }

    /// [`Self::array`].
    #[inline(always)]
    pub(super) fn quick_array<const SIZE: usize>(self) -> Option<([u8; SIZE], Self)> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        Some((*taken, Self { rest, ..self }))
    }

    /// The byte here.
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let Some((byte, rest)) = self.rest.split_first() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(*byte)
    }

    /// The next `count` bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `SIZE` bytes.
    #[inline]
    pub(super) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Fault> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else { return Err(self.truncated()) };
        self.rest = rest;
        Ok(*taken)
    }

    /// A whole number in Avro's zigzag coding.
    #[inline]
    pub(super) fn whole(&mut self) -> Result<i64, Fault> {
        if let Some((coded, size)) = varint::short(self.rest) {
            self.rest = self.rest.get(size..).unwrap_or_default();
            return Ok(zigzag(coded));
        }
        self.long_whole()
    }

    /// [`Self::whole`] of more than eight bytes, or near the end.
    fn long_whole(&mut self) -> Result<i64, Fault> {
        let mut coded = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            coded |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    break;
                }
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(zigzag(coded));
            }
        }
        Err(if self.rest.len() < 10 { self.truncated() } else { Fault::syntax(format!("not a number of 64 bits at byte {}", self.at())) })
    }

    /// Bytes with their number before them.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Fault> {
        self.sized_in_rest().map(|(sized, _)| sized)
    }

    /// [`Self::sized`], and these bytes with all that are behind them.
    #[inline]
    pub(super) fn sized_in_rest(&mut self) -> Result<(&'a [u8], &'a [u8]), Fault> {
        let size = self.whole()?;
        let rest = self.rest;
        match usize::try_from(size) {
            Ok(size) => self.take(size).map(|sized| (sized, rest)),
            Err(_) => Err(Fault::syntax(format!("a value has {size} bytes, before byte {}", self.at()))),
        }
    }

    /// How many elements the block here has (0: there is no further one), and how many bytes where the block tells.
    pub(super) fn block(&mut self) -> Result<(usize, Option<usize>), Fault> {
        let count = self.whole()?;
        let bytes = if count < 0 { Some(self.whole()?) } else { None };
        // An element takes a byte at least: more of them than bytes is no message but an attack, or chance.
        let count = usize::try_from(count.unsigned_abs()).ok().filter(|count| *count <= self.left());
        let bytes = bytes.map(|bytes| usize::try_from(bytes).ok().filter(|bytes| *bytes <= self.left()));
        match (count, bytes) {
            (Some(count), None) => Ok((count, None)),
            (Some(count), Some(Some(bytes))) => Ok((count, Some(bytes))),
            _ => Err(Fault::syntax(format!("a block of elements reaches past the end of the message, before byte {}", self.at()))),
        }
    }

    fn at(&self) -> usize {
        self.whole - self.rest.len()
    }

    #[cold]
    fn truncated(&self) -> Fault {
        Fault::syntax(format!("the message ends within a value that begins at byte {}", self.at()))
    }
}

fn zigzag(coded: u64) -> i64 {
    (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed()
}
