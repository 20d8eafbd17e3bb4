//! Keys as bytes: equal keys have equal bytes, so that they can be told apart, remembered, and turned into arrays again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use arrow_array::{Array, ArrayRef};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType};
use datafusion::common::hash_utils::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A hash map of bytes.
pub(super) type ByBytes<K, V> = HashMap<K, V, RandomState>;

/// An empty map that hashes like no map of another process: whoever chooses the keys of a stream cannot make them collide.
pub(super) fn by_bytes<K, V>(capacity: usize) -> ByBytes<K, V> {
    HashMap::with_capacity_and_hasher(capacity, hasher())
}

/// A hasher that is like no hasher of another process.
fn hasher() -> RandomState {
    RandomState::with_seed(uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Rows of some columns to bytes and back, and to hashes.
#[derive(Debug)]
pub(super) struct Codec {
    converter: RowConverter,
    hasher: RandomState,
}

impl Codec {
    pub(super) fn try_new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, ArrowError> {
        let fields = types.into_iter().map(|data_type| SortField::new(data_type.clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, hasher: hasher() })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }

    /// The hash of a row as bytes.
    pub(super) fn hash(&self, row: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(row);
        hasher.finish()
    }

    /// The columns of rows that were encoded by this codec.
    pub(super) fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        self.converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))
    }
}

/// The keys of a batch of rows.
#[derive(Debug)]
pub(super) struct BatchKeys {
    rows: Rows,
    /// For each row which key it has; [`Self::NONE`] if one of its columns is NULL.
    pub(super) of_row: Vec<u32>,
    /// For each key the first row that has it, and its hash.
    keys: Vec<(u32, u64)>,
    /// Rows that have the most frequent key.
    pub(super) hottest: u32,
}

impl BatchKeys {
    /// A row that matches nothing.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn try_new(codec: &Codec, columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        let rows = codec.encode(columns)?;
        let nulls: Vec<_> = columns.iter().filter_map(|column| column.logical_nulls()).filter(|nulls| nulls.null_count() > 0).collect();
        let mut of_row = Vec::with_capacity(rows.num_rows());
        let (mut keys, mut count) = (Vec::<(u32, u64)>::new(), Vec::<u32>::new());
        let mut known: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        for (index, row) in rows.iter().enumerate() {
            if nulls.iter().any(|nulls| nulls.is_null(index)) {
                of_row.push(Self::NONE);
                continue;
            }
            let hash = codec.hash(row.data());
            let is_it = |key: &u32| keys.get(*key as usize).is_some_and(|(first, other)| *other == hash && rows.row(*first as usize) == row);
            let key = match known.entry(hash, is_it, |key| keys.get(*key as usize).map_or(0, |(_, hash)| *hash)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    let key = keys.len() as u32;
                    place.insert(key);
                    keys.push((index as u32, hash));
                    count.push(0);
                    key
                }
            };
            of_row.push(key);
            if let Some(count) = count.get_mut(key as usize) {
                *count += 1;
            }
        }
        let hottest = count.into_iter().max().unwrap_or(0);
        Ok(Self { rows, of_row, keys, hottest })
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        (self.rows.size() + size_of_val(self.of_row.as_slice()) + size_of_val(self.keys.as_slice())) as u64
    }

    /// The bytes of each key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.hashed().map(|(_, key)| key)
    }

    /// The hash and the bytes of each key.
    pub(super) fn hashed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.keys.iter().map(|(row, hash)| (*hash, self.rows.row(*row as usize).data()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn equal_keys_are_one_and_a_null_is_none() {
        let codec = Codec::try_new(&[DataType::Int64, DataType::Utf8]).expect("types");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(1), None, Some(1), Some(1)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("a"), Some("a"), Some("a"), None, Some("b")]));
        let keys = BatchKeys::try_new(&codec, &[numbers, texts]).expect("keys");
        assert_eq!(keys.of_row, [0, 1, 0, BatchKeys::NONE, BatchKeys::NONE, 2]);
        assert_eq!((keys.len(), keys.hottest), (3, 2));
        let columns = codec.decode(keys.iter()).expect("decoded");
        assert_eq!(columns[0].as_primitive::<arrow_array::types::Int64Type>().values(), &[1, 2, 1]);
        assert_eq!(columns[1].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "a", "b"]);
    }
}
