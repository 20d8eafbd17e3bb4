//! All rows of a table at one time, by key.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use weir_base::memory::{MemoryBudget, Reservation, Use};

use super::keys::BatchKeys;

/// Stands for no row.
const NOBODY: u32 = u32::MAX;
/// Small batches are put together until they have so many rows or bytes: a join looks at each batch.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 8 << 20;

/// Where a row is, and which row of its key came before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    batch: u32,
    row: u32,
    before: u32,
}

/// A key of the table.
#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u64,
    /// Where its bytes are among those of all keys.
    from: usize,
    length: u32,
    last: Place,
}

/// All rows of a table at one time.
#[derive(Debug)]
pub(super) struct FullTable {
    batches: Vec<RecordBatch>,
    /// Batches that become the next one, with their rows and bytes.
    open: Vec<RecordBatch>,
    open_rows: usize,
    open_bytes: usize,
    index: HashTable<Key>,
    /// The bytes of all keys.
    keys: Vec<u8>,
    /// Rows of keys that have a later one.
    earlier: Vec<Place>,
    rows: u64,
    held: Reservation,
}

impl FullTable {
    pub(super) fn empty(budget: &MemoryBudget) -> Self {
        let held = budget.reservation(Use::Lookups);
        Self {
            batches: Vec::new(),
            open: Vec::new(),
            open_rows: 0,
            open_bytes: 0,
            index: HashTable::new(),
            keys: Vec::new(),
            earlier: Vec::new(),
            rows: 0,
            held,
        }
    }

    /// Rows and bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.rows, self.held.bytes())
    }

    /// The batches; all of them after [`Self::finish`].
    pub(super) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Adds rows whose keys are `keys`; a row without a key is left out. False if the budget has no room for them.
    pub(super) fn add(&mut self, batch: RecordBatch, keys: &BatchKeys) -> Result<bool, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(true);
        }
        let number = self.batches.len() as u32;
        let before = self.index_size();
        let keys_of: Vec<(u64, &[u8])> = keys.hashed().collect();
        for (row, key) in keys.of_row.iter().enumerate() {
            let Some((hash, key)) = keys_of.get(*key as usize).copied() else { continue };
            let last = Place { batch: number, row: (self.open_rows + row) as u32, before: NOBODY };
            let bytes = &mut self.keys;
            let is_it = |other: &Key| other.hash == hash && bytes_of(bytes, other) == key;
            match self.index.entry(hash, is_it, |other| other.hash) {
                Entry::Occupied(mut known) => {
                    let older = std::mem::replace(&mut known.get_mut().last, Place { before: self.earlier.len() as u32, ..last });
                    self.earlier.push(older);
                }
                Entry::Vacant(place) => {
                    place.insert(Key { hash, from: bytes.len(), length: key.len() as u32, last });
                    bytes.extend_from_slice(key);
                }
            }
            self.rows += 1;
        }
        let bytes = batch.get_array_memory_size();
        if !self.held.try_grow((bytes + self.index_size() - before) as u64) {
            return Ok(false);
        }
        self.open_rows += batch.num_rows();
        self.open_bytes += bytes;
        self.open.push(batch);
        if self.open_rows >= GROUP_ROWS || self.open_bytes >= GROUP_BYTES {
            self.finish()?;
        }
        Ok(true)
    }

    /// Puts the last small batches together.
    pub(super) fn finish(&mut self) -> Result<(), ArrowError> {
        let whole = match self.open.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            [first, ..] => concat_batches(&first.schema(), &self.open)?,
        };
        self.held.grow(whole.get_array_memory_size() as u64);
        self.held.shrink(self.open_bytes as u64);
        self.batches.push(whole);
        self.open.clear();
        (self.open_rows, self.open_bytes) = (0, 0);
        Ok(())
    }

    /// Bytes of everything but the rows.
    fn index_size(&self) -> usize {
        self.index.allocation_size() + self.keys.capacity() + self.earlier.capacity() * size_of::<Place>()
    }

    /// Gives `found` for each key the places of its rows, the last one first, in steps over all keys: in each, what a key waits for in memory,
    /// the next ones wait for at the same time.
    pub(super) fn each(&self, keys: &BatchKeys, mut found: impl FnMut(usize, &[(usize, usize)])) {
        let candidates: Vec<Option<Key>> = keys.hashed().map(|(hash, _)| self.index.find(hash, |other| other.hash == hash).copied()).collect();
        let mut places = Vec::new();
        for (number, ((hash, key), candidate)) in keys.hashed().zip(candidates).enumerate() {
            let is_it = |other: &Key| bytes_of(&self.keys, other) == key;
            // Two keys with one hash next to never happen.
            let known = candidate.and_then(|candidate| if is_it(&candidate) { Some(candidate) } else { self.index.find(hash, is_it).copied() });
            let mut next = known.map(|key| key.last);
            while let Some(Place { batch, row, before }) = next {
                places.push((batch as usize, row as usize));
                next = self.earlier.get(before as usize).copied();
            }
            found(number, &places);
            places.clear();
        }
    }
}

fn bytes_of<'a>(keys: &'a [u8], key: &Key) -> &'a [u8] {
    keys.get(key.from..key.from + key.length as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use arrow_schema::DataType;

    use super::super::keys::Codec;
    use super::*;

    #[test]
    fn small_and_empty_batches_become_one_and_each_row_is_found_where_it_then_is() {
        let budget = MemoryBudget::new(1 << 30);
        let codec = Codec::try_new(&[DataType::Int64]).expect("a codec");
        let mut table = FullTable::empty(&budget);
        let encoded = |keys: &[i64]| {
            let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
            (RecordBatch::try_from_iter([("k", Arc::clone(&column))]).expect("a batch"), BatchKeys::try_new(&codec, vec![column]).expect("keys"))
        };
        for first in (0..1_000).step_by(2) {
            for keys in [&[][..], &[first, first + 1, 7]] {
                let (batch, keys) = encoded(keys);
                assert!(table.add(batch, &keys).expect("added"));
            }
        }
        table.finish().expect("finished");
        assert_eq!(table.batches().len(), 1);
        let (_, all) = encoded(&(0..1_000).collect::<Vec<_>>());
        table.each(&all, |key, places| {
            assert_eq!(places.len(), if key == 7 { 501 } else { 1 }, "{key}");
            for (batch, row) in places {
                assert_eq!(table.batches()[*batch].column(0).as_primitive::<Int64Type>().value(*row), key as i64);
            }
        });
        let held = budget.used();
        assert!(held > 1_500 * 8, "{held}");
        drop(table);
        assert_eq!(budget.used(), 0);
    }
}
