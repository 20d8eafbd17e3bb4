//! A PARTIAL cache: the rows of keys that were asked for, as bytes, so that what they take is known exactly.
//!
//! The cache is split into shards by key, each with its own lock, its share of the bounds, and its order of use: what was not used for the
//! longest time goes first.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::Rows;
use arrow_schema::{ArrowError, SchemaRef};
use datafusion::common::hash_utils::RandomState;
use tokio::time::Instant;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::lookup::Partial;

use super::keys::{BatchKeys, ByBytes, Codec, by_bytes};

/// What an entry takes beside key and rows.
const OVERHEAD: u64 = 160;
/// A cache of fewer rows is not split: its bounds would be met too roughly.
const SPLIT_FROM: u64 = 4_096;
/// Stands for no entry.
const NOBODY: u32 = u32::MAX;

/// What a key has.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Missing,
    One(Arc<[u8]>),
    Many(Arc<[Box<[u8]>]>),
}

impl Value {
    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::One(_) => 1,
            Self::Many(rows) => rows.len(),
        }
    }

    /// What it counts of the rows of a cache: a miss is one too.
    fn counts(&self) -> u64 {
        self.rows().max(1) as u64
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Missing => 0,
            Self::One(row) => row.len() as u64,
            Self::Many(rows) => rows.iter().map(|row| row.len() as u64 + 16).sum(),
        }
    }

    /// Its rows as bytes.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let (one, many) = match self {
            Self::Missing => (None, None),
            Self::One(row) => (Some(row.as_ref()), None),
            Self::Many(rows) => (None, Some(rows.iter().map(AsRef::as_ref))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// Rows by key.
#[derive(Debug)]
pub(super) struct PartialCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    rows: Codec,
    schema: SchemaRef,
    began: Instant,
    /// Whether misses are kept.
    pub(super) missing: bool,
}

impl PartialCache {
    /// A cache of rows of `schema` that `tasks` use at a time.
    pub(super) fn try_new(options: &Partial, schema: &SchemaRef, budget: &MemoryBudget, tasks: usize) -> Result<Self, ArrowError> {
        let shards = if options.max_rows.is_some_and(|rows| rows < SPLIT_FROM) { 1 } else { tasks.max(1).next_power_of_two() };
        let share = |whole: u64| (whole / shards as u64).max(1);
        let max_bytes = options.max_bytes.unwrap_or(u64::MAX).min(budget.limit() / 4);
        let shard = || Shard {
            index: by_bytes(0),
            entries: Vec::new(),
            free: Vec::new(),
            newest: NOBODY,
            oldest: NOBODY,
            rows: 0,
            held: budget.reservation(Use::Lookups),
            max_rows: options.max_rows.map_or(u64::MAX, share),
            max_bytes: share(max_bytes),
            after_write: options.after_write,
            after_access: options.after_access,
        };
        Ok(Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::with_seed(0),
            rows: Codec::try_new(schema.fields().iter().map(|field| field.data_type()))?,
            schema: Arc::clone(schema),
            began: Instant::now(),
            missing: options.missing,
        })
    }

    fn shard_of(&self, key: &[u8]) -> usize {
        if self.shards.len() == 1 { 0 } else { self.hasher.hash_one(key) as usize % self.shards.len() }
    }

    /// What is known of each key at `now`.
    pub(super) fn get(&self, keys: &BatchKeys, now: Instant) -> Vec<Option<Value>> {
        let now = now.saturating_duration_since(self.began);
        let mut found = vec![None; keys.len()];
        for (number, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (slot, key) in found.iter_mut().zip(keys.iter()) {
                if self.shard_of(key) == number {
                    *slot = shard.get(key, now);
                }
            }
        }
        found
    }

    /// Keeps what `key` has, as found at `now`.
    pub(super) fn put(&self, key: &[u8], value: Value, now: Instant) {
        let now = now.saturating_duration_since(self.began);
        if let Some(shard) = self.shards.get(self.shard_of(key)) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).put(key, value, now);
        }
    }

    /// Rows as bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.rows.encode(columns)
    }

    /// The rows of values, one after the other.
    pub(super) fn decode<'a>(&self, values: impl IntoIterator<Item = &'a Value>) -> Result<RecordBatch, ArrowError> {
        let columns = self.rows.decode(values.into_iter().flat_map(Value::each))?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    /// Rows, misses among them, and bytes that are kept.
    pub(super) fn size(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(rows, bytes), shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            (rows + shard.rows, bytes + shard.held.bytes())
        })
    }
}

#[derive(Debug)]
struct Entry {
    key: Arc<[u8]>,
    value: Value,
    written: Duration,
    read: Duration,
    newer: u32,
    older: u32,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.key.len() as u64 + self.value.bytes() + OVERHEAD
    }
}

#[derive(Debug)]
struct Shard {
    index: ByBytes<Arc<[u8]>, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    rows: u64,
    held: Reservation,
    max_rows: u64,
    max_bytes: u64,
    after_write: Option<Duration>,
    after_access: Option<Duration>,
}

impl Shard {
    fn get(&mut self, key: &[u8], now: Duration) -> Option<Value> {
        let slot = *self.index.get(key)?;
        let (after_write, after_access) = (self.after_write, self.after_access);
        let entry = self.entry(slot)?;
        let is_over = |life: Option<Duration>, since: Duration| life.is_some_and(|life| now.saturating_sub(since) >= life);
        if is_over(after_write, entry.written) || is_over(after_access, entry.read) {
            self.remove(slot);
            return None;
        }
        entry.read = now;
        let value = entry.value.clone();
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
        Some(value)
    }

    fn put(&mut self, key: &[u8], value: Value, now: Duration) {
        if let Some(slot) = self.index.get(key).copied() {
            self.remove(slot);
        }
        let entry = Entry { key: Arc::from(key), value, written: now, read: now, newer: NOBODY, older: NOBODY };
        let (rows, bytes) = (entry.value.counts(), entry.bytes());
        if rows > self.max_rows || bytes > self.max_bytes {
            return;
        }
        while self.rows + rows > self.max_rows || self.held.bytes() + bytes > self.max_bytes || !self.held.try_grow(bytes) {
            // Others hold the memory: a cache is the first to do without.
            if self.oldest == NOBODY {
                return;
            }
            self.remove(self.oldest);
        }
        self.rows += rows;
        let key = Arc::clone(&entry.key);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.entries.push(None);
                self.entries.len() as u32 - 1
            }
        };
        if let Some(place) = self.entries.get_mut(slot as usize) {
            *place = Some(entry);
        }
        self.index.insert(key, slot);
        self.link(slot);
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize).and_then(Option::as_mut)
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::take) else { return };
        self.index.remove(&entry.key);
        self.rows -= entry.value.counts();
        self.held.shrink(entry.bytes());
        self.free.push(slot);
    }

    /// Makes an entry the newest.
    fn link(&mut self, slot: u32) {
        let before = self.newest;
        if let Some(entry) = self.entry(slot) {
            (entry.older, entry.newer) = (before, NOBODY);
        }
        match self.entry(before) {
            Some(before) => before.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Some((older, newer)) = self.entry(slot).map(|entry| (entry.older, entry.newer)) else { return };
        match self.entry(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.entry(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn cache(options: &Partial, budget: &MemoryBudget, tasks: usize) -> PartialCache {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        PartialCache::try_new(options, &schema, budget, tasks).expect("a cache")
    }

    fn keys(cache: &PartialCache, keys: &[i64]) -> BatchKeys {
        BatchKeys::try_new(&cache.rows, &[Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef]).expect("keys")
    }

    fn put(cache: &PartialCache, key: i64) {
        let keys = keys(cache, &[key]);
        let row = keys.iter().next().expect("one");
        cache.put(row, Value::One(Arc::from(row)), cache.began);
    }

    fn has_at(cache: &PartialCache, key: i64, seconds: u64) -> bool {
        matches!(cache.get(&keys(cache, &[key]), cache.began + Duration::from_secs(seconds)).as_slice(), [Some(_)])
    }

    fn has(cache: &PartialCache, key: i64) -> bool {
        has_at(cache, key, 0)
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let budget = MemoryBudget::new(1 << 20);
        let cache = cache(&Partial { max_rows: Some(3), ..Partial::default() }, &budget, 4);
        for key in [1, 2, 3] {
            put(&cache, key);
        }
        assert!(has(&cache, 1));
        put(&cache, 4);
        assert_eq!([1, 2, 3, 4].map(|key| has(&cache, key)), [true, false, true, true]);
        assert_eq!(cache.size().0, 3);
    }

    #[test]
    fn rows_expire_after_they_were_fetched_or_used() {
        let budget = MemoryBudget::new(1 << 20);
        let five = Duration::from_secs(5);
        let written = cache(&Partial { after_write: Some(five), ..Partial::default() }, &budget, 1);
        let used = cache(&Partial { after_access: Some(five), ..Partial::default() }, &budget, 1);
        put(&written, 1);
        put(&used, 1);
        assert!(has_at(&written, 1, 3) && has_at(&used, 1, 3));
        assert!(!has_at(&written, 1, 6) && has_at(&used, 1, 6));
        assert!(!has_at(&used, 1, 11));
        assert_eq!((written.size(), used.size(), budget.used()), ((0, 0), (0, 0), 0));
    }

    #[test]
    fn the_memory_budget_counts_more_than_the_bounds() {
        let budget = MemoryBudget::new(8_000);
        let cache = cache(&Partial { max_rows: Some(1_000), ..Partial::default() }, &budget, 1);
        for key in 0..100 {
            put(&cache, key);
        }
        assert!(budget.used() <= 2_000 && cache.size().0 > 5, "{:?}", cache.size());
        let others = budget.try_reserve(Use::Fetch, 8_000 - budget.used()).expect("all the rest");
        put(&cache, 1_000);
        assert!(has(&cache, 1_000), "an older row gave way");
        drop(others);
    }

    proptest! {
        #[test]
        fn a_cache_never_holds_more_than_it_may_and_never_the_wrong_row(
            steps in prop::collection::vec((any::<bool>(), 0_i64..40, 0_usize..4), 1..300),
            max_rows in 1_u64..30,
            max_bytes in 300_u64..4_000,
        ) {
            let budget = MemoryBudget::new(1 << 30);
            let cache = cache(&Partial { max_rows: Some(max_rows), max_bytes: Some(max_bytes), missing: true, ..Partial::default() }, &budget, 1);
            let mut model = std::collections::BTreeMap::new();
            for (write, key, rows) in steps {
                let encoded = keys(&cache, &[key]);
                let bytes = encoded.iter().next().expect("one");
                if write {
                    let value = match rows {
                        0 => Value::Missing,
                        1 => Value::One(Arc::from(bytes)),
                        many => Value::Many((0..many).map(|_| Box::from(bytes)).collect()),
                    };
                    cache.put(bytes, value, cache.began);
                    model.insert(key, rows);
                } else if let [Some(value)] = cache.get(&encoded, cache.began).as_slice() {
                    prop_assert_eq!(model.get(&key), Some(&value.each().count()));
                    prop_assert!(value.each().all(|row| row == bytes));
                }
                let (held_rows, held_bytes) = cache.size();
                prop_assert!(held_rows <= max_rows && held_bytes <= max_bytes && budget.used() == held_bytes);
            }
        }
    }
}
