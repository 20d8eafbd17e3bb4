//! Arrays and maps. A MULTISET is a map to counts.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};

use super::column::{Column, Context};
use super::fault::Fault;

/// Where the elements of each slot end.
#[derive(Debug)]
pub(in crate::format) struct Ends(Vec<i32>);

impl Ends {
    fn new() -> Self {
        Self(vec![0])
    }

    pub(in crate::format) fn push(&mut self, end: usize) -> Result<(), Fault> {
        let Ok(end) = i32::try_from(end) else { return Err(Fault::full()) };
        self.0.push(end);
        Ok(())
    }

    pub(in crate::format) fn last(&self) -> usize {
        self.0.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
    }

    pub(in crate::format) fn blank(&mut self, count: usize) {
        let end = self.0.last().copied().unwrap_or(0);
        self.0.resize(self.0.len() + count, end);
    }

    /// Leaves `len` slots and says where their elements end.
    fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last()
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        let mut ends = Vec::with_capacity(self.0.len());
        ends.push(0);
        OffsetBuffer::new(ScalarBuffer::from(mem::replace(&mut self.0, ends)))
    }
}

/// The lists of a column.
#[derive(Debug)]
pub(in crate::format) struct List {
    pub(in crate::format) ends: Ends,
    pub(in crate::format) elements: Column,
    width: usize,
}

impl List {
    /// The slots of the elements of one list.
    pub(in crate::format) fn slots(&self, slot: usize) -> std::ops::Range<usize> {
        let end = |slot: usize| self.ends.0.get(slot).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        end(slot)..end(slot + 1)
    }

    pub(in crate::format) fn new(element: &Field) -> Self {
        Self { ends: Ends::new(), elements: Column::new(element), width: width(element.data_type()) }
    }

    /// Counts one more element.
    #[inline]
    pub(in crate::format) fn count(&self, context: &Context) -> Result<(), Fault> {
        context.spend(self.width)
    }

    pub(in crate::format) fn is_unreadable(&self) -> bool {
        self.elements.is_unreadable()
    }

    pub(in crate::format) fn truncate(&mut self, len: usize) {
        let end = self.ends.truncate(len);
        self.elements.truncate(end);
    }

    pub(in crate::format) fn bytes(&self) -> usize {
        self.elements.bytes() + self.ends.0.len() * 4
    }

    pub(in crate::format) fn take(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::List(element) = data_type else { return Err(misfit(data_type)) };
        let elements = self.elements.take(element.data_type())?;
        Ok(Arc::new(ListArray::try_new(Arc::clone(element), self.ends.take(), elements, nulls)?))
    }
}

/// The maps of a column.
#[derive(Debug)]
pub(in crate::format) struct Map {
    pub(in crate::format) ends: Ends,
    pub(in crate::format) keys: Column,
    pub(in crate::format) values: Column,
    pub(in crate::format) scratch: Vec<u8>,
    width: usize,
}

impl Map {
    /// Maps of `entries`, unless their keys cannot be read from a text.
    pub(in crate::format) fn new(entries: &Field) -> Option<Self> {
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let [key, value] = fields.as_ref() else { return None };
        let readable = !key.data_type().is_nested();
        let width = width(entries.data_type());
        readable.then(|| Self { ends: Ends::new(), keys: Column::new(key), values: Column::new(value), scratch: Vec::new(), width })
    }

    /// Counts one more entry.
    #[inline]
    pub(in crate::format) fn count(&self, context: &Context) -> Result<(), Fault> {
        context.spend(self.width)
    }

    pub(in crate::format) fn is_unreadable(&self) -> bool {
        self.keys.is_unreadable() || self.values.is_unreadable()
    }

    /// For each entry of the map just read: whether its key comes again. Empty if none does.
    pub(in crate::format) fn superseded(&self) -> Vec<bool> {
        let first = self.ends.last();
        let count = self.keys.len() - first;
        let mut last_of = HashMap::with_capacity(count);
        let mut superseded = vec![false; if count > 1 { count } else { 0 }];
        for index in 0..superseded.len() {
            if let Some(earlier) = last_of.insert(self.keys.identity(first + index), index)
                && let Some(mark) = superseded.get_mut::<usize>(earlier)
            {
                *mark = true;
            }
        }
        superseded
    }

    pub(in crate::format) fn truncate(&mut self, len: usize) {
        let end = self.ends.truncate(len);
        self.keys.truncate(end);
        self.values.truncate(end);
    }

    pub(in crate::format) fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes() + self.ends.0.len() * 4
    }

    pub(in crate::format) fn take(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(entries, sorted) = data_type else { return Err(misfit(data_type)) };
        let DataType::Struct(fields) = entries.data_type() else { return Err(misfit(data_type)) };
        let [key, value] = fields.as_ref() else { return Err(misfit(data_type)) };
        let columns = vec![self.keys.take(key.data_type())?, self.values.take(value.data_type())?];
        let pairs = StructArray::try_new(fields.clone(), columns, None)?;
        Ok(Arc::new(MapArray::try_new(Arc::clone(entries), self.ends.take(), pairs, nulls, *sorted)?))
    }
}

/// The bytes that a value of a type takes at least, even if it is NULL or empty.
pub(super) fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| width(field.data_type())).sum::<usize>().max(1),
        DataType::FixedSizeBinary(size) => size.unsigned_abs() as usize,
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) => size_of::<i32>(),
        fixed => fixed.primitive_width().unwrap_or(1),
    }
}

fn misfit(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("columns were not made for {data_type}"))
}
