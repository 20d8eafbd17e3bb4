//! A FULL cache: all rows of the table, loaded before the first one is joined, and loaded anew aside and put in its place in one step.
//!
//! A table with versions is only loaded if it has a new one. A version that cannot be loaded leaves the one before in its place; `/status` and the
//! log say so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use chrono::{DateTime, Local, Utc};
use futures::TryStreamExt;
use tokio::time::Instant;
use weir_base::memory::{MemoryBudget, Use};
use weir_base::task::{Task, spawn};
use weir_base::{Classified as _, ErrorKind};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Charge, Full, Newest, Preload};
use weir_sql::lookup_join::LookupTable;

use super::full_table::FullTable;
use super::keys::{BatchKeys, Codec};
use super::metrics::Counters;
use crate::status::LookupStatus;

/// Reads all rows of a table.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) table: Arc<LookupTable>,
    pub(super) columns: Vec<usize>,
    pub(super) keys: Arc<Codec>,
    pub(super) budget: MemoryBudget,
}

/// What was loaded.
#[derive(Debug)]
struct Loaded {
    rows: FullTable,
    version: Option<String>,
    /// Lines that were left out.
    skipped: Option<u64>,
}

/// What was given of a table.
#[derive(Debug)]
pub(super) enum Given {
    /// Nothing: it has the version that is known.
    Known,
    /// Nothing: somebody is writing it.
    BeingWritten,
    /// Nothing: its version is not wanted.
    Unwanted,
    /// All rows of this version, or as many as were wanted, and how many lines were left out.
    All(Option<String>, Option<u64>),
}

/// What a look at a table has led to.
#[derive(Debug)]
enum Looked {
    /// It has the version that is known.
    Known,
    /// Somebody is writing it.
    BeingWritten,
    /// It still has the version that could not be loaded.
    Refused,
    New(Box<Loaded>),
}

/// Why a table was not loaded.
#[derive(Debug)]
struct NotLoaded {
    error: ConnectorError,
    /// The version, if it is of no use to try it again.
    refused: Option<String>,
}

impl Loader {
    /// Gives `take` the rows in batches with their keys, until it has enough, within the time that `preload` says; nothing, if the table still has the
    /// version `known`, or `wants` does not want the version that it has.
    pub(super) async fn each(
        &self,
        preload: &Preload,
        known: Option<&str>,
        wants: impl FnOnce(Option<&str>) -> bool + Send,
        mut take: impl FnMut(RecordBatch, BatchKeys) -> Result<bool, ConnectorError> + Send,
    ) -> Result<Given, ConnectorError> {
        let reading = async {
            let mut held = self.budget.reservation(Use::Lookups);
            let charge = Charge::new(move |bytes| held.try_grow(bytes));
            let mut load = match self.table.lookup.load(preload.parallelism, known, charge).await? {
                Newest::Known => return Ok(Given::Known),
                Newest::BeingWritten => return Ok(Given::BeingWritten),
                Newest::Rows(load) if !wants(load.version.as_deref()) => return Ok(Given::Unwanted),
                Newest::Rows(load) => load,
            };
            while let Some(batch) = load.rows.try_next().await? {
                let columns: Vec<_> = self.columns.iter().filter_map(|column| batch.columns().get(*column)).cloned().collect();
                let keys = BatchKeys::try_new(&self.keys, columns).map_err(unkept)?;
                if !take(batch, keys)? {
                    break;
                }
            }
            Ok(Given::All(load.version, load.skipped.map(|skipped| skipped.load(Ordering::Relaxed))))
        };
        tokio::time::timeout(preload.timeout, reading).await.unwrap_or_else(|_elapsed| {
            let (table, timeout) = (&self.table.path, preload.timeout);
            Err(ConnectorError::transient(format!("Table '{table}': it was not loaded within {timeout:?} ('lookup.preload.timeout')")))
        })
    }

    /// Loads the table, unless its version is `known`, or is the one that was `refused`.
    async fn load(&self, preload: &Preload, known: Option<&str>, refused: Option<&str>) -> Result<Looked, NotLoaded> {
        let mut seen = None;
        let wants = |version: Option<&str>| {
            seen = version.map(str::to_owned);
            version.is_none() || version != refused
        };
        // What a server failed to give may come the next time.
        self.read(preload, known, wants).await.map_err(|error| NotLoaded { refused: seen.filter(|_| error.kind() != ErrorKind::Transient), error })
    }

    async fn read(&self, preload: &Preload, known: Option<&str>, wants: impl FnOnce(Option<&str>) -> bool + Send) -> Result<Looked, ConnectorError> {
        let path = &self.table.path;
        let refused = |what: String| Err(ConnectorError::user(format!("Table '{path}': {what}")));
        let mut loaded = FullTable::empty(&self.budget);
        let quarter = self.budget.limit() / 4;
        let (max_bytes, bound) = match preload.max_bytes {
            Some(most) if most <= quarter => (most, "'lookup.preload.max-bytes' allows"),
            _ => (quarter, "are a quarter of --memory, the most that a lookup table may take"),
        };
        let given = self.each(preload, known, wants, |batch, keys| {
            if !loaded.add(batch, &keys).map_err(unkept)? {
                return refused("the memory budget has no room for all of its rows; raise --memory".to_owned());
            }
            let (rows, bytes) = loaded.size();
            if preload.max_rows.is_some_and(|most| rows > most) {
                return refused(format!("it has more rows than 'lookup.preload.max-rows' allows: {rows} so far"));
            }
            if bytes > max_bytes {
                return refused(format!("its rows take {bytes} bytes so far, more than the {max_bytes} that {bound}"));
            }
            Ok(true)
        });
        Ok(match given.await? {
            Given::Known => Looked::Known,
            Given::BeingWritten => Looked::BeingWritten,
            Given::Unwanted => Looked::Refused,
            Given::All(version, skipped) => {
                loaded.finish().map_err(unkept)?;
                Looked::New(Box::new(Loaded { rows: loaded, version, skipped }))
            }
        })
    }
}

fn unkept(error: ArrowError) -> ConnectorError {
    ConnectorError::internal("rows of a table that cannot be kept").with_source(error)
}

/// The rows that serve.
#[derive(Debug)]
struct Serving {
    rows: Arc<FullTable>,
    version: Option<String>,
    skipped: Option<u64>,
    loaded: DateTime<Utc>,
    /// When they were last known to be the newest.
    checked: (Instant, DateTime<Utc>),
}

/// What a cache holds, and what became of attempts to load it anew.
#[derive(Debug, Default)]
struct State {
    serving: Option<Serving>,
    failures: u64,
    /// Of the last attempt.
    error: Option<String>,
}

impl State {
    /// Puts what an attempt that began at `began` gave in its place; gives what was there, to be dropped outside of the lock: it may be large.
    fn put(&mut self, loaded: Option<Loaded>, began: Instant) -> Option<Serving> {
        let checked = (began, Utc::now());
        self.error = None;
        match loaded {
            None => {
                if let Some(serving) = &mut self.serving {
                    serving.checked = checked;
                }
                None
            }
            Some(Loaded { rows, version, skipped }) => {
                self.serving.replace(Serving { rows: Arc::new(rows), version, skipped, loaded: checked.1, checked })
            }
        }
    }
}

/// The newest rows that could be loaded.
#[derive(Debug)]
pub(super) struct FullCache {
    options: Full,
    state: Arc<Mutex<State>>,
    reloads: Mutex<Option<Task<()>>>,
}

impl FullCache {
    pub(super) fn new(options: &Full) -> Self {
        Self { options: options.clone(), state: Arc::default(), reloads: Mutex::default() }
    }

    /// Loads for the first time, and sees to it that it is done again.
    pub(super) async fn start(&self, loader: &Loader, preload: &Preload, counters: &Counters) -> Result<(), ConnectorError> {
        let began = Instant::now();
        if let Looked::New(loaded) = loader.load(preload, None, None).await.map_err(|failed| failed.error)? {
            let (rows, bytes) = loaded.rows.size();
            tracing::info!(table = %loader.table.path, version = loaded.version, rows, bytes, took = ?began.elapsed(), "lookup table loaded");
            counters.kept((rows, bytes));
            drop(locked(&self.state).put(Some(*loaded), began));
        }
        let reloads = Reloads {
            options: self.options.clone(),
            loader: loader.clone(),
            preload: preload.clone(),
            state: Arc::clone(&self.state),
            counters: counters.clone(),
        };
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner) = Some(spawn("reload of a lookup table", reloads.run(began)));
        Ok(())
    }

    /// The rows to join with now.
    pub(super) fn rows(&self, table: &LookupTable) -> Result<Arc<FullTable>, ConnectorError> {
        let state = locked(&self.state);
        let Some(serving) = &state.serving else { return Err(ConnectorError::internal("a lookup table that is not loaded")) };
        let age = serving.checked.0.elapsed();
        match self.options.max_staleness {
            Some(most) if age > most => {
                let path = &table.path;
                let what = format!(
                    "Table '{path}': its rows are {age:?} old, more than 'lookup.full-cache.max-staleness' allows: it could not be loaded again"
                );
                Err(ConnectorError::transient(what))
            }
            _ => Ok(Arc::clone(&serving.rows)),
        }
    }

    /// What is kept of `table`, which is looked up by `keys`.
    pub(super) fn status(&self, table: &LookupTable, keys: Vec<String>) -> LookupStatus {
        let state = locked(&self.state);
        let (rows, bytes) = state.serving.as_ref().map(|serving| serving.rows.size()).unwrap_or_default();
        LookupStatus {
            table: table.path.to_string(),
            keys,
            version: state.serving.as_ref().and_then(|serving| serving.version.clone()),
            loaded: state.serving.as_ref().map(|serving| serving.loaded),
            checked: state.serving.as_ref().map(|serving| serving.checked.1),
            rows,
            bytes,
            skipped_lines: state.serving.as_ref().and_then(|serving| serving.skipped),
            failures: state.failures,
            last_error: state.error.clone(),
        }
    }
}

fn locked(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads again and again. What cannot be loaded is told, and the rows that are there go on serving.
struct Reloads {
    options: Full,
    loader: Loader,
    preload: Preload,
    state: Arc<Mutex<State>>,
    counters: Counters,
}

impl Reloads {
    async fn run(self, mut began: Instant) {
        let mut refused: Option<String> = None;
        while let Some(wait) = self.options.reload.wait(Local::now(), began.elapsed()) {
            tokio::time::sleep(wait).await;
            began = Instant::now();
            let known = locked(&self.state).serving.as_ref().and_then(|serving| serving.version.clone());
            let (loader, preload, of_task) = (self.loader.clone(), self.preload.clone(), (known.clone(), refused.clone()));
            // A task of its own: a file that makes its reader panic must not end the watch.
            let load = async move { loader.load(&preload, of_task.0.as_deref(), of_task.1.as_deref()).await };
            match spawn("load of a lookup table", load).await {
                Ok(Ok(Looked::Refused)) => {}
                Ok(Ok(Looked::BeingWritten)) => locked(&self.state).error = Some("a new version is being written: a marker is missing".to_owned()),
                Ok(Ok(Looked::Known)) => self.loaded(None, known.as_deref(), began),
                Ok(Ok(Looked::New(loaded))) => self.loaded(Some(*loaded), known.as_deref(), began),
                Ok(Err(failed)) => {
                    self.failed(weir_base::error::chain(&failed.error), known.as_deref());
                    refused = failed.refused.or(refused);
                }
                Err(panicked) => self.failed(panicked.to_string(), known.as_deref()),
            }
        }
    }

    fn loaded(&self, loaded: Option<Loaded>, before: Option<&str>, began: Instant) {
        if let Some(Loaded { rows, version, .. }) = &loaded {
            let (rows, bytes) = rows.size();
            match version {
                Some(version) => tracing::info!(table = %self.loader.table.path, version, before, rows, bytes, "lookup table has a new version"),
                None => tracing::debug!(table = %self.loader.table.path, rows, bytes, "lookup table loaded anew"),
            }
            self.counters.kept((rows, bytes));
            self.counters.reloaded(true);
        }
        let old = locked(&self.state).put(loaded, began);
        drop(old);
    }

    fn failed(&self, error: String, serving: Option<&str>) {
        self.counters.reloaded(false);
        let mut state = locked(&self.state);
        state.failures += 1;
        let is_known = state.error.as_ref() == Some(&error);
        state.error = Some(error.clone());
        drop(state);
        if !is_known {
            tracing::warn!(table = %self.loader.table.path, error, serving, "lookup table could not be loaded anew, its older rows go on serving");
        }
    }
}
