//! A lookup table in memory, which can be slow, fail, and find rows only later; it counts and checks what it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Found, Keys, Load, Lookup, Newest};

/// Rows of a key and a value.
#[derive(Debug, Default)]
pub(super) struct FakeTable {
    pub(super) rows: Mutex<Vec<(i64, i64)>>,
    /// Requests that fail before one succeeds.
    pub(super) failures: AtomicUsize,
    /// Failures are for good.
    pub(super) refuses: bool,
    /// Requests with more keys fail.
    pub(super) most: Option<usize>,
    /// Requests get their answer after up to so many milliseconds.
    pub(super) slow: u64,
    /// Requests for other keys than 1 get theirs in two steps.
    pub(super) steps: bool,
    /// Requests that got their answer.
    pub(super) answered: AtomicUsize,
    /// No request gets an answer.
    pub(super) silent: bool,
    /// A key has no row before it was asked for so often.
    pub(super) late: usize,
    /// The version that a load gives, if there are versions.
    pub(super) version: Mutex<Option<String>>,
    pub(super) loads: AtomicUsize,
    /// The size of each request.
    pub(super) requests: Mutex<Vec<usize>>,
    pub(super) asked: Mutex<BTreeMap<i64, usize>>,
    pub(super) on_their_way: AtomicUsize,
    pub(super) most_on_their_way: AtomicUsize,
    pub(super) chance: AtomicU64,
}

impl FakeTable {
    pub(super) fn new(rows: &[(i64, i64)]) -> Self {
        Self { rows: Mutex::new(rows.to_vec()), ..Self::default() }
    }

    pub(super) fn requested(&self) -> Vec<usize> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    pub(super) fn replace(&self, rows: &[(i64, i64)]) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows.to_vec();
    }

    fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let column = |of: fn(&(i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
        RecordBatch::try_from_iter([("k", column(|row| row.0)), ("v", column(|row| row.1))]).expect("a batch")
    }

    fn fails(&self) -> bool {
        self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn error(&self) -> ConnectorError {
        if self.refuses { ConnectorError::user("refused") } else { ConnectorError::transient("away") }
    }

    fn answer(&self, keys: &Int64Array) -> Found {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut of) = (Vec::new(), Vec::new());
        for (number, key) in keys.values().iter().enumerate() {
            let times = asked.entry(*key).or_default();
            *times += 1;
            for row in rows.iter().filter(|row| row.0 == *key && *times > self.late) {
                found.push(*row);
                of.push(number as u32);
            }
        }
        Found { rows: Self::batch(&found), keys: of }
    }
}

#[async_trait]
impl Lookup for FakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(["k", "v"].map(|name| Field::new(name, DataType::Int64, false)).to_vec()))
    }

    fn keys(&self, _equal: &[usize]) -> Result<Vec<usize>, String> {
        Ok(vec![0])
    }

    async fn get(&self, keys: &Keys) -> Result<Found, ConnectorError> {
        let [values] = keys.values.as_slice() else { panic!("one key column") };
        let values = values.as_primitive::<Int64Type>();
        let mut distinct = values.values().to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(!values.is_empty() && distinct.len() == values.len() && values.null_count() == 0, "keys are distinct, and there is one");
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(values.len());
        let now = self.on_their_way.fetch_add(values.len(), Ordering::SeqCst) + values.len();
        self.most_on_their_way.fetch_max(now, Ordering::SeqCst);
        if self.silent {
            std::future::pending::<()>().await;
        }
        if self.slow > 0 {
            let chance = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst) >> 33;
            tokio::time::sleep(Duration::from_millis(chance % self.slow)).await;
        }
        if self.steps && values.value(0) != 1 {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        self.on_their_way.fetch_sub(values.len(), Ordering::SeqCst);
        if self.most.is_some_and(|most| values.len() > most) || self.fails() {
            return Err(self.error());
        }
        Ok(self.answer(values))
    }

    async fn load(&self, _parallelism: usize, known: Option<&str>) -> Result<Newest, ConnectorError> {
        if self.fails() {
            return Err(self.error());
        }
        let version = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() && known == version.as_deref() {
            return Ok(Newest::Known);
        }
        self.loads.fetch_add(1, Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rows.sort_by_key(|row| row.0);
        let batches: Vec<_> = rows.chunk_by(|one, other| one.0 == other.0).map(|rows| Ok(Self::batch(rows))).collect();
        Ok(Newest::Rows(Load { version, rows: stream::iter(batches).boxed() }))
    }
}
