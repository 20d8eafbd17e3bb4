//! The wire format: numbers, lengths, and what is passed over.
//!
//! Where the next value begins depends on the one before it, so what decides the speed is how soon that is known. The `quick_` functions take and give
//! the place by value, so that it stays in the processor's registers; they know the usual cases only, and have done nothing where they give `None`.

use crate::format::columns::Fault;
use crate::format::varint;

/// Deepest nesting of groups that are passed over.
const MAX_DEPTH: usize = 100;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Eight,
    Sized,
    Group,
    EndGroup,
    Four,
}

/// The bytes of a message that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes there are.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// [`Self::varint`].
    #[inline(always)]
    pub(super) fn quick_varint(self) -> Option<(u64, Self)> {
        let (value, size) = varint::short(self.rest)?;
        Some((value, Self { rest: self.rest.get(size..)? }))
    }

    /// [`Self::sized_in_rest`].
    #[inline(always)]
    pub(super) fn quick_sized(self) -> Option<(&'a [u8], &'a [u8], Self)> {
        let (size, from) = self.quick_varint()?;
        let (sized, rest) = from.rest.split_at_checked(usize::try_from(size).ok()?)?;
        Some((sized, from.rest, Self { rest }))
    }

    /// [`Self::array`].
    #[inline(always)]
    pub(super) fn quick_array<const SIZE: usize>(self) -> Option<([u8; SIZE], Self)> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        Some((*taken, Self { rest }))
    }

    /// The number of the next field, and how its value is written.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, Wire), Fault> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Eight,
            2 => Wire::Sized,
            3 => Wire::Group,
            4 => Wire::EndGroup,
            5 => Wire::Four,
            other => return Err(Fault::syntax(format!("there is no wire type {other}"))),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok((number, wire)),
            _ => Err(Fault::syntax("a field has a number that is none")),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        if let Some((value, size)) = varint::short(self.rest) {
            self.rest = self.rest.get(size..).unwrap_or_default();
            return Ok(value);
        }
        self.long_varint()
    }

    /// [`Self::varint`] of more than eight bytes, or near the end.
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32).unwrap_or(0);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { truncated() } else { Fault::syntax("a number has more than 64 bits") })
    }

    #[inline]
    pub(super) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Fault> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else { return Err(truncated()) };
        self.rest = rest;
        Ok(*taken)
    }

    /// Bytes with their number before them.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Fault> {
        self.sized_in_rest().map(|(sized, _)| sized)
    }

    /// [`Self::sized`], and these bytes with all that are behind them.
    #[inline]
    pub(super) fn sized_in_rest(&mut self) -> Result<(&'a [u8], &'a [u8]), Fault> {
        let size = self.varint()?;
        let rest = self.rest;
        let taken = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let Some((taken, behind)) = taken else { return Err(truncated()) };
        self.rest = behind;
        Ok((taken, rest))
    }

    /// Passes a value.
    pub(super) fn skip(&mut self, wire: Wire) -> Result<(), Fault> {
        let mut depth = 0;
        let mut wire = wire;
        loop {
            match wire {
                Wire::Varint => drop(self.varint()?),
                Wire::Eight => drop(self.array::<8>()?),
                Wire::Four => drop(self.array::<4>()?),
                Wire::Sized => drop(self.sized()?),
                Wire::Group if depth == MAX_DEPTH => return Err(Fault::syntax(format!("groups are nested more than {MAX_DEPTH} deep"))),
                Wire::Group => depth += 1,
                Wire::EndGroup if depth == 0 => return Err(Fault::syntax("a group ends that has not begun")),
                Wire::EndGroup => depth -= 1,
            }
            if depth == 0 {
                return Ok(());
            }
            (_, wire) = self.tag()?;
        }
    }
}

#[cold]
fn truncated() -> Fault {
    Fault::syntax("the message ends within a value")
}
