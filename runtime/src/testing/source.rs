//! A replayable log of several splits, with gaps in their offsets, and a source over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::Notify;
use weir_base::memory::MemoryBudget;
use weir_connectors::ConnectorError;
use weir_connectors::source::{Cut, Frontier, Read, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};
use weir_sql::plan::{LeafFactory, StreamTable, Wanted};

use super::world::World;

/// Offsets of the records of each split; the end may lie beyond the last of them.
#[derive(Debug, Default)]
pub(crate) struct FakeLog {
    splits: Mutex<BTreeMap<SplitId, SplitLog>>,
    changed: Notify,
    /// A reader panics, once, when it comes to this offset.
    pub(crate) panic_at: AtomicI64,
    /// Readers opened.
    pub(crate) opened: AtomicU64,
    /// Enumerators that live.
    pub(crate) watching: AtomicU64,
    /// Topic id; splits of another topic id are other splits.
    pub(crate) topic: Mutex<String>,
    /// The progress that was shown last.
    pub(crate) shown: Mutex<Cut>,
}

#[derive(Debug, Default)]
struct SplitLog {
    offsets: BTreeSet<i64>,
    end: i64,
}

impl FakeLog {
    /// Splits `0`, `1`, … of so many offsets each, every `gap`th of them missing.
    pub(crate) fn new(sizes: &[i64], gap: i64) -> Self {
        let log = Self::default();
        log.panic_at.store(i64::MIN, Ordering::SeqCst);
        *log.topic.lock().unwrap_or_else(PoisonError::into_inner) = "topic-1".to_owned();
        for (split, size) in sizes.iter().enumerate() {
            log.append(&split.to_string(), *size, gap);
        }
        log
    }

    pub(crate) fn append(&self, split: &str, count: i64, gap: i64) {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        let log = splits.entry(SplitId(split.to_owned())).or_default();
        let from = log.end;
        log.offsets.extend((from..from + count).filter(|offset| gap == 0 || offset % gap != gap - 1));
        log.end += count;
        drop(splits);
        self.changed.notify_waiters();
    }

    pub(crate) fn rows(&self) -> Vec<(String, i64)> {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = splits.iter().flat_map(|(split, log)| log.offsets.iter().map(|offset| (split.0.clone(), *offset)));
        rows.collect()
    }

    fn ends(&self) -> Cut {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        splits.iter().map(|(split, log)| (split.clone(), self.at(log.end))).collect()
    }

    fn at(&self, offset: i64) -> SplitPosition {
        SplitPosition { offset, incarnation: Some(self.topic.lock().unwrap_or_else(PoisonError::into_inner).clone()) }
    }

    /// Records from `from`, before `until`, at most `most`; and the end of the split.
    fn read(&self, split: &SplitId, from: i64, until: i64, most: usize) -> (Vec<i64>, i64) {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        splits.get(split).map_or((Vec::new(), 0), |log| {
            let offsets = if from < until { log.offsets.range(from..until).take(most).copied().collect() } else { Vec::new() };
            (offsets, log.end)
        })
    }
}

#[derive(Debug)]
pub(crate) struct FakeSource {
    log: Arc<FakeLog>,
    world: Arc<World>,
    bounded: bool,
}

impl FakeSource {
    pub(crate) fn new(log: &Arc<FakeLog>, world: &Arc<World>, bounded: bool) -> Self {
        Self { log: Arc::clone(log), world: Arc::clone(world), bounded }
    }
}

#[async_trait]
impl StreamSource for FakeSource {
    fn schema(&self) -> SchemaRef {
        let fields = vec![
            Field::new("filler", DataType::Utf8, true),
            Field::new("s", DataType::Utf8, false),
            Field::new("v", DataType::Int64, false),
            Field::new("o", DataType::Int64, false),
        ];
        Arc::new(Schema::new(fields))
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    async fn enumerator(&self, restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError> {
        self.world.step().await;
        let mut start = restored.cloned().unwrap_or_default();
        if restored.is_none() {
            start.extend(self.log.ends().into_keys().map(|split| (split, self.log.at(0))));
        }
        let known = start.keys().cloned().collect();
        self.log.watching.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeEnumerator { log: Arc::clone(&self.log), world: Arc::clone(&self.world), bounded: self.bounded, start, known }))
    }

    async fn reader(
        &self,
        split: &SplitId,
        from: &SplitPosition,
        projection: &[usize],
        _: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        self.world.step().await;
        self.log.opened.fetch_add(1, Ordering::SeqCst);
        let reader = FakeReader {
            log: Arc::clone(&self.log),
            world: Arc::clone(&self.world),
            split: split.clone(),
            position: from.offset,
            schema: self.schema(),
            projection: projection.to_vec(),
        };
        Ok(Box::new(reader))
    }
}

#[derive(Debug)]
struct FakeEnumerator {
    log: Arc<FakeLog>,
    world: Arc<World>,
    bounded: bool,
    start: Cut,
    known: BTreeSet<SplitId>,
}

impl Drop for FakeEnumerator {
    fn drop(&mut self) {
        self.log.watching.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl SplitEnumerator for FakeEnumerator {
    fn start(&self) -> &Cut {
        &self.start
    }

    async fn frontier(&mut self) -> Result<Frontier, ConnectorError> {
        let ends = self.log.ends();
        let discovered: Cut = ends.keys().filter(|split| !self.known.contains(*split)).map(|split| (split.clone(), self.log.at(0))).collect();
        self.known.extend(discovered.keys().cloned());
        Ok(Frontier { ends, discovered, finished: self.bounded, ..Frontier::default() })
    }

    async fn confirm(&mut self, cut: &Cut) -> Result<(), ConnectorError> {
        self.world.step().await;
        let topic = self.log.topic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let other = cut.values().filter_map(|position| position.incarnation.as_ref()).any(|read| *read != topic);
        if other { Err(ConnectorError::user(format!("this is {topic} now"))) } else { Ok(()) }
    }

    async fn show_progress(&mut self, committed: &Cut, _last: bool) {
        self.log.shown.lock().unwrap_or_else(PoisonError::into_inner).clone_from(committed);
    }
}

#[derive(Debug)]
struct FakeReader {
    log: Arc<FakeLog>,
    world: Arc<World>,
    split: SplitId,
    position: i64,
    schema: SchemaRef,
    projection: Vec<usize>,
}

#[async_trait]
impl SplitReader for FakeReader {
    async fn next(&mut self, until: i64) -> Result<Read, ConnectorError> {
        loop {
            let changed = self.log.changed.notified();
            let (offsets, end) = self.log.read(&self.split, self.position, until, 17);
            if let Some(last) = offsets.last() {
                self.world.step().await;
                let panic_at = self.log.panic_at.load(Ordering::SeqCst);
                if offsets.contains(&panic_at) {
                    self.log.panic_at.store(i64::MIN, Ordering::SeqCst);
                    panic!("the reader panics at {panic_at}");
                }
                self.position = last + 1;
                return Ok(Read::Rows { batch: self.batch(&offsets), position: self.position });
            }
            if end >= until {
                self.position = self.position.max(until);
                return Ok(Read::Reached);
            }
            changed.await;
        }
    }

    fn position(&self) -> i64 {
        self.position
    }
}

impl FakeReader {
    fn batch(&self, offsets: &[i64]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("x"); offsets.len()])),
            Arc::new(StringArray::from(vec![self.split.0.as_str(); offsets.len()])),
            Arc::new(Int64Array::from_iter_values(offsets.iter().map(|offset| offset % 7))),
            Arc::new(Int64Array::from(offsets.to_vec())),
        ];
        let all = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("a batch");
        all.project(&self.projection).expect("a projection")
    }
}

/// What the front end registers for a stream table.
#[derive(Debug)]
pub(crate) struct FakeProvider(pub(crate) StreamTable);

#[async_trait]
impl TableProvider for FakeProvider {
    fn schema(&self) -> SchemaRef {
        self.0.source.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let factory = state.config().get_extension::<LeafFactory>().ok_or_else(|| DataFusionError::Plan("no leaf factory".to_owned()))?;
        (factory.0)(&self.0, Wanted::Rows(projection))
    }
}
