//! A PARTIAL cache: the rows of keys that were asked for, as bytes, so that what they take is known exactly.
//!
//! The cache is split into shards by key, each with its own lock and its share of the bounds. What goes first is found as a clock's hand does
//! (F. J. Corbato, "A paging experiment with the Multics system", 1968): it goes round and takes the first entry that was not used since it
//! came by the last time. That is nearly what was not used for the longest time, and a hit changes nothing but the entry's own mark.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::Rows;
use arrow_schema::{ArrowError, DataType, SchemaRef};
use hashbrown::HashTable;
use tokio::time::Instant;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::lookup::Partial;

use super::keys::{BatchKeys, Codec};
use super::maps::{retyped, without_maps};

/// What an entry takes beside key and rows: itself and its place in the index, both with the room that they grow into.
const OVERHEAD: u64 = 144;
/// A cache of fewer rows is not split: its bounds would be met too roughly.
const SPLIT_FROM: u64 = 4_096;
/// What stands before each row of an entry that has several: its length.
const LENGTH: usize = size_of::<u32>();

/// The rows that were found, of all keys one after the other, as bytes.
#[derive(Debug)]
pub(super) struct Hits {
    /// For each key that is known its first row and how many it has, none for a miss.
    pub(super) of_key: Vec<Option<(u32, u32)>>,
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl Hits {
    fn add(&mut self, key: usize, rows: u32, bytes: &[u8]) {
        let from = self.ends.len() as u32;
        for row in rows_in(rows, bytes) {
            self.bytes.extend_from_slice(row);
            self.ends.push(self.bytes.len());
        }
        if let Some(found) = self.of_key.get_mut(key) {
            *found = Some((from, rows));
        }
    }

    /// Whether no key is known.
    pub(super) fn is_empty(&self) -> bool {
        self.of_key.iter().all(Option::is_none)
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |end| self.bytes.get(std::mem::replace(&mut from, *end)..*end).unwrap_or_default())
    }
}

/// The rows of an entry.
fn rows_in(rows: u32, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..rows).map(move |_| match bytes.split_at_checked(LENGTH) {
        Some((length, rest)) if rows > 1 => {
            let (row, rest) = rest.split_at_checked(length.try_into().map_or(0, u32::from_le_bytes) as usize).unwrap_or_default();
            bytes = rest;
            row
        }
        _ => bytes,
    })
}

/// Rows by key.
#[derive(Debug)]
pub(super) struct PartialCache {
    shards: Vec<Mutex<Shard>>,
    rows: Codec,
    /// The types of its columns, in which there are no maps.
    types: Vec<DataType>,
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
            index: HashTable::new(),
            entries: Vec::new(),
            hand: 0,
            rows: 0,
            held: budget.reservation(Use::Lookups),
            max_rows: options.max_rows.map_or(u64::MAX, share),
            max_bytes: share(max_bytes),
            after_write: options.after_write.map(micros),
            after_access: options.after_access.map(micros),
        };
        let types: Vec<DataType> = schema.fields().iter().map(|field| without_maps(field.data_type())).collect();
        Ok(Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            rows: Codec::try_new(&types)?,
            types,
            schema: Arc::clone(schema),
            began: Instant::now(),
            missing: options.missing,
        })
    }

    /// The number of a key's shard: of the hash's bits some that the index of a shard does not look at first.
    fn shard_of(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.shards.len() - 1)
    }

    fn since_began(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.began))
    }

    /// What is known of each key at `now`.
    pub(super) fn get(&self, keys: &BatchKeys, now: Instant) -> Hits {
        let now = self.since_began(now);
        let mut hits = Hits { of_key: vec![None; keys.len()], bytes: Vec::new(), ends: Vec::with_capacity(keys.len()) };
        let keys: Vec<(u64, &[u8])> = keys.hashed().collect();
        for (number, shard) in self.shards.iter().enumerate() {
            shard.lock().unwrap_or_else(PoisonError::into_inner).get(|hash| self.shard_of(hash) == number, &keys, now, &mut hits);
        }
        hits
    }

    /// Keeps what `key`, whose hash is `hash`, has, as found at `now`; no rows for a miss.
    pub(super) fn put(&self, hash: u64, key: &[u8], rows: &[&[u8]], now: Instant) {
        let now = self.since_began(now);
        if let Some(shard) = self.shards.get(self.shard_of(hash)) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).put(Entry::new(hash, key, rows, now));
        }
    }

    /// Rows as bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        let columns = columns.iter().zip(&self.types).map(|(column, data_type)| retyped(column, data_type));
        self.rows.encode(&columns.collect::<Result<Vec<_>, _>>()?)
    }

    /// The rows that were found.
    pub(super) fn decode(&self, hits: &Hits) -> Result<RecordBatch, ArrowError> {
        let columns = self.rows.decode(hits.rows())?;
        let columns = columns.iter().zip(self.schema.fields()).map(|(column, field)| retyped(column, field.data_type()));
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<Vec<_>, _>>()?)
    }

    /// Rows, misses among them, and bytes that are kept.
    pub(super) fn size(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(rows, bytes), shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            (rows + shard.rows, bytes + shard.held.bytes())
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    /// The key, then its rows.
    bytes: Box<[u8]>,
    /// Bytes of the key.
    key: u32,
    /// How many rows it has.
    rows: u32,
    /// Microseconds since the cache began.
    written: u64,
    read: Cell<u64>,
    /// Since the hand came by.
    is_used: Cell<bool>,
}

/// Where an entry is, with a part of its hash: an entry is hardly ever looked at in vain.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    at: u32,
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Entry {
    fn new(hash: u64, key: &[u8], rows: &[&[u8]], now: u64) -> Self {
        let before_each = if rows.len() > 1 { LENGTH } else { 0 };
        let mut bytes = Vec::with_capacity(key.len() + rows.iter().map(|row| row.len() + before_each).sum::<usize>());
        bytes.extend_from_slice(key);
        for row in rows {
            if before_each > 0 {
                bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
            }
            bytes.extend_from_slice(row);
        }
        Self {
            hash,
            bytes: bytes.into_boxed_slice(),
            key: key.len() as u32,
            rows: rows.len() as u32,
            written: now,
            read: Cell::new(now),
            is_used: Cell::new(false),
        }
    }

    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key as usize).unwrap_or_default()
    }

    /// What it counts of the rows of a cache: a miss is one too.
    fn counts(&self) -> u64 {
        u64::from(self.rows.max(1))
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64 + OVERHEAD
    }
}

#[derive(Debug)]
struct Shard {
    index: HashTable<Slot>,
    entries: Vec<Entry>,
    /// The entry that is the next to go, unless it is used.
    hand: usize,
    rows: u64,
    held: Reservation,
    max_rows: u64,
    max_bytes: u64,
    /// Microseconds.
    after_write: Option<u64>,
    after_access: Option<u64>,
}

impl Shard {
    /// Where the entry of a key is.
    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let is_it = |slot: &Slot| slot.tag == tag(hash) && self.entries.get(slot.at as usize).is_some_and(|entry| entry.key() == key);
        self.index.find(hash, is_it).map(|slot| slot.at)
    }

    /// Adds what is known of those of `keys` that are `mine`, in steps over all of them: in each, what a key waits for in memory, the next ones
    /// wait for at the same time.
    fn get(&mut self, mine: impl Fn(u64) -> bool, keys: &[(u64, &[u8])], now: u64, hits: &mut Hits) {
        let slots: Vec<(usize, u32)> = keys
            .iter()
            .enumerate()
            .filter(|(_, (hash, _))| mine(*hash))
            .filter_map(|(number, (hash, _))| Some((number, self.index.find(*hash, |slot| slot.tag == tag(*hash))?.at)))
            .collect();
        let is_over = |life: Option<u64>, since: u64| life.is_some_and(|life| now.saturating_sub(since) >= life);
        let is_old = |entry: &Entry| is_over(self.after_write, entry.written) || is_over(self.after_access, entry.read.get());
        let mut old = Vec::new();
        let mut found: Vec<(usize, u32, u32, &[u8])> = Vec::with_capacity(slots.len());
        for (number, at) in slots {
            let Some(entry) = self.entries.get(at as usize) else { continue };
            if is_old(entry) {
                old.push(number);
                continue;
            }
            if !entry.is_used.get() {
                entry.is_used.set(true);
            }
            if self.after_access.is_some() {
                entry.read.set(now);
            }
            found.push((number, entry.key, entry.rows, &entry.bytes));
        }
        let mut others = Vec::new();
        for (number, key, rows, bytes) in found {
            match (keys.get(number), bytes.split_at_checked(key as usize)) {
                (Some((_, wanted)), Some((key, bytes))) if key == *wanted => hits.add(number, rows, bytes),
                _ => others.push(number),
            }
        }
        // Another key has the same tag, which next to never happens.
        for number in others {
            let entry = keys.get(number).and_then(|(hash, key)| self.find(*hash, key)).and_then(|at| self.entries.get(at as usize));
            match entry.and_then(|entry| Some((entry, entry.bytes.get(entry.key as usize..)?))) {
                Some((entry, _)) if is_old(entry) => old.push(number),
                Some((entry, bytes)) => hits.add(number, entry.rows, bytes),
                None => {}
            }
        }
        for (hash, key) in old.into_iter().filter_map(|number| keys.get(number)) {
            if let Some(at) = self.find(*hash, key) {
                self.remove(at as usize);
            }
        }
    }

    fn put(&mut self, entry: Entry) {
        if let Some(at) = self.find(entry.hash, entry.key()) {
            self.remove(at as usize);
        }
        let (rows, bytes) = (entry.counts(), entry.size());
        if rows > self.max_rows || bytes > self.max_bytes {
            return;
        }
        while self.rows + rows > self.max_rows || self.held.bytes() + bytes > self.max_bytes || !self.held.try_grow(bytes) {
            // Others hold the memory: a cache is the first to do without.
            if self.entries.is_empty() {
                return;
            }
            self.let_one_go();
        }
        self.rows += rows;
        let slot = Slot { tag: tag(entry.hash), at: self.entries.len() as u32 };
        self.index.insert_unique(entry.hash, slot, |slot| self.entries.get(slot.at as usize).map_or(0, |entry| entry.hash));
        self.entries.push(entry);
    }

    /// Goes round until there is an entry that was not used since the last time.
    fn let_one_go(&mut self) {
        loop {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get(self.hand) {
                Some(entry) if entry.is_used.get() => entry.is_used.set(false),
                Some(_) => {
                    self.remove(self.hand);
                    // The one that has taken its place is for the next round.
                    self.hand += 1;
                    return;
                }
                None => return,
            }
            self.hand += 1;
        }
    }

    /// Removes an entry; the last one takes its place.
    fn remove(&mut self, at: usize) {
        let last = self.entries.len() - 1;
        let entry = self.entries.swap_remove(at);
        if let Ok(place) = self.index.find_entry(entry.hash, |slot| slot.at as usize == at) {
            place.remove();
        }
        if let Some(moved) = self.entries.get(at)
            && let Some(slot) = self.index.find_mut(moved.hash, |slot| slot.at as usize == last)
        {
            slot.at = at as u32;
        }
        self.rows -= entry.counts();
        self.held.shrink(entry.size());
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn cache(options: &Partial, budget: &MemoryBudget, tasks: usize) -> PartialCache {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        PartialCache::try_new(options, &schema, budget, tasks).expect("a cache")
    }

    fn keys(cache: &PartialCache, keys: &[i64]) -> BatchKeys {
        BatchKeys::try_new(&cache.rows, vec![Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef]).expect("keys")
    }

    fn put(cache: &PartialCache, key: i64) {
        let keys = keys(cache, &[key]);
        let (hash, row) = keys.hashed().next().expect("one");
        cache.put(hash, row, &[row], cache.began);
    }

    fn has_at(cache: &PartialCache, key: i64, seconds: u64) -> bool {
        !cache.get(&keys(cache, &[key]), cache.began + Duration::from_secs(seconds)).is_empty()
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

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let cache = cache(&Partial::default(), &MemoryBudget::new(1 << 20), 1);
        let mut shard = cache.shards[0].lock().expect("a shard");
        for key in [b"a", b"b"] {
            shard.put(Entry::new(7, key, &[key], 0));
        }
        let mut hits = Hits { of_key: vec![None; 3], bytes: Vec::new(), ends: Vec::new() };
        shard.get(|_| true, &[(7, b"b"), (7, b"c"), (7, b"a")], 0, &mut hits);
        let found = hits.of_key.iter().map(|found| found.and_then(|(from, _)| hits.rows().nth(from as usize)));
        assert_eq!(found.collect::<Vec<_>>(), [Some(&b"b"[..]), None, Some(b"a")]);
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
                let (hash, bytes) = encoded.hashed().next().expect("one");
                if write {
                    cache.put(hash, bytes, &vec![bytes; rows], cache.began);
                    model.insert(key, rows);
                } else {
                    let hits = cache.get(&encoded, cache.began);
                    if let [Some((_, found))] = hits.of_key.as_slice() {
                        prop_assert_eq!(model.get(&key), Some(&(*found as usize)));
                        prop_assert_eq!(hits.rows().filter(|row| *row == bytes).count(), *found as usize);
                    }
                }
                let (held_rows, held_bytes) = cache.size();
                prop_assert!(held_rows <= max_rows && held_bytes <= max_bytes && budget.used() == held_bytes);
            }
        }
    }
}
