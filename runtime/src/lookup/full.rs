//! A FULL cache: all rows of the table, loaded before the first one is joined, and loaded anew aside and put in its place in one step.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use chrono::Local;
use futures::TryStreamExt;
use tokio::time::Instant;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_base::task::{Task, spawn};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Full, Preload};
use weir_sql::lookup_join::LookupTable;

use super::keys::{BatchKeys, ByBytes, Codec, by_bytes};
use super::metrics::Counters;

/// What a row takes in the index, beside its key.
const OVERHEAD: u64 = 64;
/// Stands for no row.
const NOBODY: u32 = u32::MAX;

/// All rows of a table at one time.
#[derive(Debug)]
pub(super) struct FullTable {
    pub(super) batches: Vec<RecordBatch>,
    /// The last row of each key.
    last: ByBytes<Box<[u8]>, u32>,
    /// Rows: batch, row, and the row of the same key before it.
    rows: Vec<(u32, u32, u32)>,
    held: Reservation,
}

impl FullTable {
    fn empty(budget: &MemoryBudget) -> Self {
        Self { batches: Vec::new(), last: by_bytes(0), rows: Vec::new(), held: budget.reservation(Use::Lookups) }
    }

    /// Rows and bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.rows.len() as u64, self.held.bytes())
    }

    /// Adds rows whose keys are `keys`; a row without a key is left out. False if the budget has no room for them.
    fn add(&mut self, batch: RecordBatch, keys: &BatchKeys) -> bool {
        let of_keys: u64 = keys.iter().map(|key| key.len() as u64).sum();
        if !self.held.try_grow(batch.get_array_memory_size() as u64 + of_keys + batch.num_rows() as u64 * OVERHEAD) {
            return false;
        }
        let number = self.batches.len() as u32;
        let keys_of: Vec<&[u8]> = keys.iter().collect();
        for (row, key) in keys.of_row.iter().enumerate() {
            let Some(key) = keys_of.get(*key as usize) else { continue };
            let here = self.rows.len() as u32;
            let before = match self.last.get_mut(*key) {
                Some(last) => std::mem::replace(last, here),
                None => {
                    self.last.insert(Box::from(*key), here);
                    NOBODY
                }
            };
            self.rows.push((number, row as u32, before));
        }
        self.batches.push(batch);
        true
    }

    /// Adds the places of the rows of a key, the last one first.
    pub(super) fn rows_of(&self, key: &[u8], places: &mut Vec<(usize, usize)>) {
        let mut next = self.last.get(key).copied().unwrap_or(NOBODY);
        while let Some((batch, row, before)) = self.rows.get(next as usize) {
            places.push((*batch as usize, *row as usize));
            next = *before;
        }
    }
}

/// Reads all rows of a table.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) table: Arc<LookupTable>,
    pub(super) columns: Vec<usize>,
    pub(super) keys: Arc<Codec>,
    pub(super) budget: MemoryBudget,
}

impl Loader {
    /// Gives `take` the rows in batches with their keys, until it has enough, within the time that `preload` says.
    pub(super) async fn each(
        &self,
        preload: &Preload,
        mut take: impl FnMut(RecordBatch, BatchKeys) -> Result<bool, ConnectorError> + Send,
    ) -> Result<(), ConnectorError> {
        let reading = async {
            let mut rows = self.table.lookup.load(preload.parallelism).await?;
            while let Some(batch) = rows.try_next().await? {
                let columns: Vec<_> = self.columns.iter().filter_map(|column| batch.columns().get(*column)).cloned().collect();
                let keys =
                    BatchKeys::try_new(&self.keys, &columns).map_err(|error| ConnectorError::internal("keys of a table").with_source(error))?;
                if !take(batch, keys)? {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(preload.timeout, reading).await.unwrap_or_else(|_elapsed| {
            let (table, timeout) = (&self.table.path, preload.timeout);
            Err(ConnectorError::transient(format!("Table '{table}': it was not loaded within {timeout:?} ('lookup.preload.timeout')")))
        })
    }

    async fn load(&self, preload: &Preload) -> Result<FullTable, ConnectorError> {
        let path = &self.table.path;
        let mut loaded = FullTable::empty(&self.budget);
        let max_bytes = preload.max_bytes.unwrap_or(u64::MAX).min(self.budget.limit() / 4);
        self.each(preload, |batch, keys| {
            if !loaded.add(batch, &keys) {
                let what =
                    format!("Table '{path}': the memory budget has no room for all of its rows; raise --memory, or use 'lookup.cache' = 'PARTIAL'");
                return Err(ConnectorError::user(what));
            }
            let (rows, bytes) = loaded.size();
            if preload.max_rows.is_some_and(|most| rows > most) {
                return Err(ConnectorError::user(format!("Table '{path}': it has more rows than 'lookup.preload.max-rows' allows: {rows} so far")));
            }
            if bytes > max_bytes {
                let what = format!("Table '{path}': its rows take more than the {max_bytes} bytes of 'lookup.preload.max-bytes': {bytes} so far");
                return Err(ConnectorError::user(what));
            }
            Ok(true)
        })
        .await?;
        Ok(loaded)
    }
}

#[derive(Debug)]
struct Loaded {
    rows: Arc<FullTable>,
    at: Instant,
}

/// The newest rows that could be loaded.
#[derive(Debug)]
pub(super) struct FullCache {
    options: Full,
    current: Arc<Mutex<Option<Loaded>>>,
    reloads: Mutex<Option<Task<()>>>,
}

impl FullCache {
    pub(super) fn new(options: &Full) -> Self {
        Self { options: options.clone(), current: Arc::default(), reloads: Mutex::default() }
    }

    /// Loads for the first time, and sees to it that it is done again.
    pub(super) async fn start(&self, loader: &Loader, preload: &Preload, counters: &Counters) -> Result<(), ConnectorError> {
        let began = Instant::now();
        let rows = loader.load(preload).await?;
        tracing::info!(table = %loader.table.path, rows = rows.size().0, bytes = rows.size().1, took = ?began.elapsed(), "lookup table loaded");
        counters.kept(rows.size());
        put(&self.current, rows, began);
        let again = reload(self.options.clone(), loader.clone(), preload.clone(), (Arc::clone(&self.current), counters.clone()), began.elapsed());
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner) = Some(spawn("reload of a lookup table", again));
        Ok(())
    }

    /// The rows to join with now.
    pub(super) fn rows(&self, table: &LookupTable) -> Result<Arc<FullTable>, ConnectorError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(loaded) = current.as_ref() else { return Err(ConnectorError::internal("a lookup table that is not loaded")) };
        match self.options.max_staleness {
            Some(most) if loaded.at.elapsed() > most => {
                let (path, age) = (&table.path, loaded.at.elapsed());
                let what = format!(
                    "Table '{path}': its rows are {age:?} old, more than 'lookup.full-cache.max-staleness' allows: it could not be loaded again"
                );
                Err(ConnectorError::transient(what))
            }
            _ => Ok(Arc::clone(&loaded.rows)),
        }
    }
}

fn put(current: &Mutex<Option<Loaded>>, rows: FullTable, at: Instant) {
    let old = current.lock().unwrap_or_else(PoisonError::into_inner).replace(Loaded { rows: Arc::new(rows), at });
    drop(old); // outside of the lock: it may be large
}

type Shared = (Arc<Mutex<Option<Loaded>>>, Counters);

/// Loads again and again. What cannot be loaded is told, and the rows that are there go on serving.
async fn reload(options: Full, loader: Loader, preload: Preload, (current, counters): Shared, mut took: Duration) {
    while let Some(wait) = options.reload.wait(Local::now(), took) {
        tokio::time::sleep(wait).await;
        let began = Instant::now();
        match loader.load(&preload).await {
            Ok(rows) => {
                tracing::debug!(table = %loader.table.path, rows = rows.size().0, "lookup table loaded anew");
                counters.kept(rows.size());
                counters.reloaded(true);
                put(&current, rows, began);
            }
            Err(error) => {
                counters.reloaded(false);
                let error = weir_base::error::chain(&error);
                tracing::warn!(table = %loader.table.path, error, "lookup table could not be loaded anew, its older rows go on serving");
            }
        }
        took = began.elapsed();
    }
}
