//! One column: its buffers, how a value gets into them, and how it gets out again.
//!
//! A column holds as many slots as rows have been read, or one more while a row is being read. Rolling a row back is [`Column::truncate`].
//! The buffers are those of Arrow, so [`Column::take`] moves them.

use std::cell::Cell;

use arrow_array::ArrayRef;
use arrow_buffer::{NullBuffer, NullBufferBuilder};
use arrow_schema::{ArrowError, DataType, Field};

use super::fault::{Fault, Reach};
use super::temporal::Standard;
use super::values::Values;

/// What all columns of a decoder share: the options, scratch space and counts.
#[derive(Debug, Default)]
pub(in crate::format) struct Context {
    /// Fields that cannot be read become NULL.
    pub(in crate::format) tolerant: bool,
    /// `fail-on-missing-field` as the user writes it, if it is on.
    pub(in crate::format) missing_fails: Option<String>,
    /// How timestamps are written.
    pub(in crate::format) standard: Standard,
    /// The option that says so, as the user writes it, if the format has one.
    pub(in crate::format) standard_option: Option<String>,
    /// For strings with escapes.
    pub(in crate::format) scratch: Vec<u8>,
    /// Fields that became NULL because they could not be read.
    pub(in crate::format) field_errors: u64,
    /// What one message may take.
    pub(in crate::format) most: Most,
    /// What is left of it for the message that is being read.
    pub(in crate::format) room: Cell<usize>,
}

impl Context {
    /// Begins a message of so many bytes, which its values may take in the columns.
    #[inline]
    pub(in crate::format) fn begin(&self, bytes: usize) -> Result<(), Fault> {
        self.room.set(self.most.bytes);
        self.spend(bytes)
    }

    /// Counts `bytes` that a part of the message takes in the columns beside its own: a few bytes may be many elements, and each of them a row
    /// of many columns.
    #[inline]
    pub(in crate::format) fn spend(&self, bytes: usize) -> Result<(), Fault> {
        let Some(room) = self.room.get().checked_sub(bytes) else { return Err(Fault::too_large(self.most)) };
        self.room.set(room);
        Ok(())
    }
}

/// The most that one message may take in the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Most {
    /// Bytes.
    pub(in crate::format) bytes: usize,
    /// What they are a share of, for people.
    pub(in crate::format) of: Option<&'static str>,
}

impl Default for Most {
    fn default() -> Self {
        Self { bytes: 256 << 20, of: None }
    }
}

impl Most {
    /// A share of the memory of a job.
    pub(in crate::format) fn of_memory(bytes: usize) -> Self {
        Self { bytes, of: Some("a quarter of --memory") }
    }
}

/// A column, or a field of a row, or the elements of a list.
#[derive(Debug)]
pub(in crate::format) struct Column {
    name: String,
    nullable: bool,
    validity: Validity,
    /// Slots whose field the message did not have, ascending, where that is asked for.
    missing: Option<Vec<usize>>,
    pub(in crate::format) values: Values,
}

impl Column {
    pub(in crate::format) fn new(field: &Field) -> Self {
        let values = Values::new(field.data_type());
        Self { name: field.name().clone(), nullable: field.is_nullable(), validity: Validity::default(), missing: None, values }
    }

    /// Whether its type, or one in it, is one that no format can fill.
    pub(in crate::format) fn is_unreadable(&self) -> bool {
        self.values.is_unreadable()
    }

    pub(in crate::format) fn name(&self) -> &str {
        &self.name
    }

    /// Slots filled.
    #[inline]
    pub(in crate::format) fn len(&self) -> usize {
        self.validity.len
    }

    /// Reads a value that is given as text into the next slot. On a fault the column is left dirty: truncate it.
    pub(in crate::format) fn read_text(&mut self, text: &[u8], context: &mut Context) -> Result<(), Fault> {
        self.values.read_text(text, context)?;
        self.filled();
        Ok(())
    }

    /// Whether options and column allow that the value with `fault` becomes NULL.
    #[cold]
    pub(in crate::format) fn tolerates(&self, fault: &Fault, context: &Context) -> bool {
        context.tolerant && self.nullable && fault.reach() == Reach::Field
    }

    /// Fills the next slot with NULL in place of a value that could not be read.
    #[cold]
    pub(in crate::format) fn forgive(&mut self, context: &mut Context) -> Result<(), Fault> {
        self.values.truncate(self.validity.len);
        context.field_errors += 1;
        self.null()
    }

    /// Fills the next slot with NULL, if the column may hold it.
    pub(in crate::format) fn null(&mut self) -> Result<(), Fault> {
        if !self.nullable {
            return Err(Fault::field("the column is NOT NULL and has no value here"));
        }
        self.blank(1);
        Ok(())
    }

    /// Fills the next `count` slots with NULL, even in a column that is NOT NULL: they stand below NULL rows.
    pub(in crate::format) fn blank(&mut self, count: usize) {
        self.values.blank(count);
        self.validity.null(count);
    }

    /// Empties all slots from `len` on.
    pub(in crate::format) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
        if let Some(missing) = &mut self.missing {
            missing.truncate(missing.partition_point(|slot| *slot < len));
        }
    }

    /// Says that `values` has got the value of the next slot.
    #[inline]
    pub(in crate::format) fn filled(&mut self) {
        self.validity.valid();
    }

    /// From now on remembers which slots had no field, and lets them be blank even where the column is NOT NULL.
    pub(in crate::format) fn note_missing(&mut self) {
        self.missing = Some(Vec::new());
    }

    /// Remembers that the message has no field for `slot`, if that is asked for; false if not.
    pub(in crate::format) fn is_missing_at(&mut self, slot: usize) -> bool {
        self.missing.as_mut().map(|missing| missing.push(slot)).is_some()
    }

    /// The slots that had no field.
    pub(in crate::format) fn take_missing(&mut self) -> Vec<usize> {
        self.missing.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether a slot has a value.
    pub(in crate::format) fn is_valid(&self, slot: usize) -> bool {
        self.validity.bits.as_ref().is_none_or(|bits| bits.is_valid(slot))
    }

    /// The text in a slot of a column of texts, unless it is NULL.
    pub(in crate::format) fn text(&self, slot: usize) -> Option<&[u8]> {
        match &self.values {
            Values::Utf8(bytes) if self.is_valid(slot) => bytes.get(slot),
            _ => None,
        }
    }

    /// Bytes held, about.
    pub(in crate::format) fn bytes(&self) -> usize {
        self.values.bytes() + self.validity.len / 8
    }

    /// What makes the value of a slot equal to another's, for map keys.
    pub(in crate::format) fn identity(&self, slot: usize) -> Vec<u8> {
        self.values.identity(slot)
    }

    /// The array of all slots; the column is empty again, with room for as many.
    pub(in crate::format) fn take(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let len = self.len();
        let nulls = std::mem::take(&mut self.validity).build();
        self.values.take(data_type, len, nulls)
    }
}

/// Which slots have a value. Bits exist from the first NULL on; without one it is a count.
#[derive(Debug, Default)]
struct Validity {
    len: usize,
    bits: Option<NullBufferBuilder>,
}

impl Validity {
    #[inline]
    fn valid(&mut self) {
        if let Some(bits) = &mut self.bits {
            bits.append_non_null();
        }
        self.len += 1;
    }

    fn null(&mut self, count: usize) {
        self.bits.get_or_insert_with(|| NullBufferBuilder::new_with_len(self.len)).append_n_nulls(count);
        self.len += count;
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if let Some(bits) = &mut self.bits {
            bits.truncate(self.len);
        }
    }

    fn build(self) -> Option<NullBuffer> {
        self.bits.and_then(NullBufferBuilder::build)
    }
}
