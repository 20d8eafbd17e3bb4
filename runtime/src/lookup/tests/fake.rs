//! A lookup table in memory, which can be slow, fail, and find rows only later; it counts and checks what it is asked. Its rows have every type in
//! which others are nested.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::logical_expr::Expr;
use futures::{StreamExt, stream};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Charge, Found, Keys, Load, Lookup, Newest};

fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, false);
    let nested = nested(&[]);
    Arc::new(Schema::new(vec![number("k"), number("v"), Field::new("m", nested.data_type().clone(), true)]))
}

/// A column MAP<BIGINT, ARRAY<ROW<x BIGINT, m MAP<STRING, BIGINT>>>>, with NULLs at every depth, made of the values of another.
pub(super) fn nested(values: &[i64]) -> ArrayRef {
    let offsets = |lengths: &mut dyn Iterator<Item = usize>| OffsetBuffer::from_lengths(lengths);
    let nulls = |values: &[i64], every: i64| Some(NullBuffer::from_iter(values.iter().map(|value| value.rem_euclid(every) != every - 1)));
    let of_maps =
        |values: &[i64]| values.iter().map(|value| if value.rem_euclid(5) == 4 { 0 } else { value.rem_euclid(3) as usize }).collect::<Vec<_>>();
    // The value of each entry of each map; each has a list of one row.
    let lengths = of_maps(values);
    let entries: Vec<i64> = values.iter().zip(&lengths).flat_map(|(value, length)| std::iter::repeat_n(*value, *length)).collect();
    let one_each = || offsets(&mut entries.iter().map(|_| 1));
    let map = |keys: ArrayRef, of_keys: ArrayRef, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>| -> ArrayRef {
        let fields = [Field::new("key", keys.data_type().clone(), false), Field::new("value", of_keys.data_type().clone(), true)];
        let entries = StructArray::new(fields.to_vec().into(), vec![keys, of_keys], None);
        let field = Field::new("entries", entries.data_type().clone(), false);
        Arc::new(MapArray::new(Arc::new(field), offsets, entries, nulls, false))
    };
    let inner_values: ArrayRef = Arc::new(entries.iter().map(|value| (value % 2 == 0).then_some(*value)).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(entries.iter().map(|value| Some(value.to_string())).collect::<StringArray>());
    let inner = map(names, inner_values, one_each(), nulls(&entries, 11));
    let x: ArrayRef = Arc::new(Int64Array::from(entries.clone()));
    let fields = [Field::new("x", DataType::Int64, true), Field::new("m", inner.data_type().clone(), true)];
    let rows = StructArray::new(fields.to_vec().into(), vec![x, inner], nulls(&entries, 7));
    let item = Arc::new(Field::new("item", rows.data_type().clone(), true));
    let lists: ArrayRef = Arc::new(ListArray::new(item, one_each(), Arc::new(rows), nulls(&entries, 3)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(lengths.iter().flat_map(|length| 0..*length as i64)));
    map(numbers, lists, offsets(&mut lengths.iter().copied()), nulls(values, 5))
}

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
    /// Lines that a load leaves out.
    pub(super) skipped: Option<u64>,
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

    pub(super) fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let column = |of: fn(&(i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
        let values: Vec<i64> = rows.iter().map(|row| row.1).collect();
        RecordBatch::try_new(schema(), vec![column(|row| row.0), column(|row| row.1), nested(&values)]).expect("a batch")
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
        schema()
    }

    fn narrowed(&self, _columns: &[usize], _filters: &[Expr]) -> Arc<dyn Lookup> {
        panic!("whoever plans narrows tables")
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

    async fn load(&self, _parallelism: usize, known: Option<&str>, _charge: Charge) -> Result<Newest, ConnectorError> {
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
        Ok(Newest::Rows(Load { version, rows: stream::iter(batches).boxed(), skipped: self.skipped.map(|lines| Arc::new(lines.into())) }))
    }
}
