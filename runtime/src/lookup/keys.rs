//! Keys as bytes: equal keys have equal bytes, so that they can be told apart, remembered, and turned into arrays again.

use std::hash::{BuildHasher, Hasher};

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use datafusion::common::hash_utils::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Rows of some columns to bytes and back, and to hashes.
#[derive(Debug)]
pub(super) struct Codec {
    converter: RowConverter,
    hasher: RandomState,
}

impl Codec {
    pub(super) fn try_new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, ArrowError> {
        let fields = types.into_iter().map(|data_type| SortField::new(data_type.clone())).collect();
        // Like no hasher of another process: whoever chooses the keys of a stream cannot make them collide.
        let hasher = RandomState::with_seed(uuid::Uuid::new_v4().as_u64_pair().0);
        Ok(Self { converter: RowConverter::new(fields)?, hasher })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }

    /// The hash of a row as bytes.
    fn hash(&self, row: &[u8]) -> u64 {
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
    /// The columns that have them.
    columns: Vec<ArrayRef>,
    rows: Rows,
    /// For each row which key it has; [`Self::NONE`] if one of its columns is NULL.
    pub(super) of_row: Vec<u32>,
    keys: Vec<Key>,
    /// Rows that have the most frequent key.
    pub(super) hottest: u32,
}

/// A key of some rows.
#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u64,
    /// The first row that has it.
    row: u32,
    /// How many have it.
    count: u32,
}

impl BatchKeys {
    /// A row that matches nothing.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn try_new(codec: &Codec, columns: Vec<ArrayRef>) -> Result<Self, ArrowError> {
        let rows = codec.encode(&columns)?;
        let nulls: Vec<_> = columns.iter().filter_map(|column| column.logical_nulls()).filter(|nulls| nulls.null_count() > 0).collect();
        let mut of_row = Vec::with_capacity(rows.num_rows());
        let mut keys = Vec::<Key>::with_capacity(rows.num_rows());
        let mut known: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        for (index, row) in rows.iter().enumerate() {
            if nulls.iter().any(|nulls| nulls.is_null(index)) {
                of_row.push(Self::NONE);
                continue;
            }
            let hash = codec.hash(row.data());
            let is_it = |key: &u32| keys.get(*key as usize).is_some_and(|other| other.hash == hash && rows.row(other.row as usize) == row);
            let key = match known.entry(hash, is_it, |key| keys.get(*key as usize).map_or(0, |key| key.hash)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    let key = keys.len() as u32;
                    place.insert(key);
                    keys.push(Key { hash, row: index as u32, count: 0 });
                    key
                }
            };
            of_row.push(key);
            if let Some(key) = keys.get_mut(key as usize) {
                key.count += 1;
            }
        }
        let hottest = keys.iter().map(|key| key.count).max().unwrap_or(0);
        Ok(Self { columns, rows, of_row, keys, hottest })
    }

    /// Those of some of the rows, by their numbers; a copy.
    pub(super) fn of(&self, codec: &Codec, rows: &UInt32Array) -> Result<Self, ArrowError> {
        Self::try_new(codec, self.columns.iter().map(|column| take(column, rows, None)).collect::<Result<_, _>>()?)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        let columns: usize = self.columns.iter().map(|column| column.get_array_memory_size()).sum();
        (columns + self.rows.size() + size_of_val(self.of_row.as_slice()) + size_of_val(self.keys.as_slice())) as u64
    }

    /// The hash and the bytes of each key.
    pub(super) fn hashed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.keys.iter().map(|key| (key.hash, self.rows.row(key.row as usize).data()))
    }

    /// The hash and the bytes of one key.
    pub(super) fn get(&self, key: u32) -> Option<(u64, &[u8])> {
        let key = self.keys.get(key as usize)?;
        Some((key.hash, self.rows.row(key.row as usize).data()))
    }

    /// The values of some keys, one array a column.
    pub(super) fn values(&self, keys: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = UInt32Array::from_iter_values(keys.iter().filter_map(|key| self.keys.get(*key as usize)).map(|key| key.row));
        self.columns.iter().map(|column| take(column, &rows, None)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn keys_take_the_memory_of_their_columns_and_of_their_bytes() {
        const ROWS: usize = 1_000;
        let text = "k".repeat(1_000);
        let codec = Codec::try_new(&[DataType::Utf8]).expect("types");
        let keys = BatchKeys::try_new(&codec, vec![Arc::new(StringArray::from(vec![text.as_str(); ROWS]))]).expect("keys");
        assert_eq!(keys.len(), 1);
        assert!(keys.bytes() > 2 * (ROWS * text.len()) as u64, "{}", keys.bytes());
    }

    #[test]
    fn equal_keys_are_one_and_a_null_is_none() {
        let codec = Codec::try_new(&[DataType::Int64, DataType::Utf8]).expect("types");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(1), None, Some(1), Some(1)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("a"), Some("a"), Some("a"), None, Some("b")]));
        let keys = BatchKeys::try_new(&codec, vec![numbers, texts]).expect("keys");
        assert_eq!(keys.of_row, [0, 1, 0, BatchKeys::NONE, BatchKeys::NONE, 2]);
        assert_eq!((keys.len(), keys.hottest), (3, 2));
        let decoded = codec.decode(keys.hashed().map(|(_, key)| key)).expect("decoded");
        for columns in [decoded, keys.values(&[0, 1, 2]).expect("values")] {
            assert_eq!(columns[0].as_primitive::<arrow_array::types::Int64Type>().values(), &[1, 2, 1]);
            assert_eq!(columns[1].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "a", "b"]);
        }
    }
}
