//! Tables with markers, and a sink that writes files and commits them as the lake does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use weir_base::ErrorKind;
use weir_connectors::ConnectorError;
use weir_connectors::sink::{
    Committable, Committed, Distribution, Marker, SinkCommit, SinkCommitter, SinkWriter, StreamSink, TargetState, WriterContext,
};

use super::world::{Fate, World};

type Row = (String, i64);

/// Files by path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(Arc<Mutex<BTreeMap<String, Vec<Row>>>>);

impl Files {
    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|files| files.keys().cloned().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<Row>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A table.
#[derive(Debug)]
pub(crate) struct FakeTable {
    content: Mutex<Content>,
    next_id: AtomicI64,
    /// How long a write of a batch takes.
    pub(crate) write_delay_ms: AtomicU64,
    /// The next writer panics.
    pub(crate) panic_in_writer: AtomicBool,
    /// Commits are refused for now.
    pub(crate) refuses: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Content {
    uuid: String,
    rows: Vec<Row>,
    files: Vec<String>,
    markers: BTreeMap<(String, String), Marker>,
    snapshots: BTreeSet<i64>,
    commits: Vec<SinkCommit>,
    /// The epoch that upkeep has been fenced with.
    fence: Option<u64>,
    /// Ids of commits, once for each try that was cut off or lost its answer.
    cut_off: Vec<i64>,
}

impl FakeTable {
    pub(crate) fn new(uuid: &str) -> Self {
        let content = Mutex::new(Content { uuid: uuid.to_owned(), ..Content::default() });
        Self {
            content,
            next_id: AtomicI64::new(1),
            write_delay_ms: AtomicU64::new(0),
            panic_in_writer: AtomicBool::default(),
            refuses: AtomicBool::default(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> T {
        act(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.with(|content| content.rows.clone())
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.with(|content| content.files.clone())
    }

    pub(crate) fn commits(&self) -> Vec<SinkCommit> {
        self.with(|content| content.commits.clone())
    }

    pub(crate) fn marker_epoch(&self) -> Option<u64> {
        self.with(|content| content.markers.values().map(|marker| marker.epoch).max())
    }

    /// Tries of commits that have left something behind.
    pub(crate) fn cut_off(&self) -> Vec<i64> {
        self.with(|content| content.cut_off.clone())
    }

    /// An attempt of the job that has claimed `epoch` has looked after the table.
    pub(crate) fn fence(&self, epoch: u64) {
        self.with(|content| content.fence = Some(epoch));
    }

    /// Drops the table and creates it again.
    pub(crate) fn recreate(&self, uuid: &str) {
        self.with(|content| *content = Content { uuid: uuid.to_owned(), ..Content::default() });
    }
}

#[derive(Debug)]
pub(crate) struct FakeSink {
    table: Arc<FakeTable>,
    files: Files,
    world: Arc<World>,
    spread: (Distribution, Option<usize>),
}

impl FakeSink {
    /// `spread`: how rows are spread, and over how many writers.
    pub(crate) fn new(table: Arc<FakeTable>, files: &Files, world: &Arc<World>, spread: (Distribution, Option<usize>)) -> Self {
        Self { table, files: files.clone(), world: Arc::clone(world), spread }
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let splits = batch.column(0).as_any().downcast_ref::<StringArray>().expect("splits");
    let offsets = batch.column(1).as_any().downcast_ref::<Int64Array>().expect("offsets");
    (0..batch.num_rows()).map(|row| (splits.value(row).to_owned(), offsets.value(row))).collect()
}

impl StreamSink for FakeSink {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("split", DataType::Utf8, true), Field::new("offset", DataType::Int64, true)]))
    }

    fn distribution(&self) -> Distribution {
        self.spread.0
    }

    fn writers(&self) -> Option<usize> {
        self.spread.1
    }

    fn route(&self, batch: &RecordBatch) -> Result<UInt64Array, ConnectorError> {
        Ok(rows(batch).into_iter().map(|(_, offset)| offset.unsigned_abs() % 5).collect::<Vec<u64>>().into())
    }

    fn key(&self) -> Vec<usize> {
        Vec::new()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        let path = format!("file:///{}/{}-{}-{}", context.sink, context.epoch, context.attempt, context.partition);
        let sink = FakeSink::new(Arc::clone(&self.table), &self.files, &self.world, self.spread);
        Ok(Box::new(FakeWriter { sink, context, path, rows: Vec::new() }))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        Some(Arc::new(FakeSink::new(Arc::clone(&self.table), &self.files, &self.world, self.spread)))
    }
}

#[derive(Debug)]
struct FakeWriter {
    sink: FakeSink,
    context: WriterContext,
    path: String,
    rows: Vec<Row>,
}

#[async_trait]
impl SinkWriter for FakeWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        if self.sink.table.panic_in_writer.swap(false, Ordering::SeqCst) {
            panic!("the writer panics");
        }
        if self.rows.is_empty() {
            self.context.intents.record(std::slice::from_ref(&self.path)).await?;
            self.sink.world.step().await;
            self.sink.files.with(|files| files.insert(self.path.clone(), Vec::new())); // open: half written
        }
        let delay = self.sink.table.write_delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        self.rows.extend(rows(&batch));
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Vec<Committable>, ConnectorError> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        self.sink.world.step().await;
        if self.sink.world.fate() == Fate::Fails {
            return Err(ConnectorError::transient("the file cannot be closed"));
        }
        let count = self.rows.len() as u64;
        self.sink.files.with(|files| files.insert(self.path.clone(), self.rows.clone()));
        self.sink.world.step().await;
        Ok(vec![Committable { payload: serde_json::Value::String(self.path), rows: count, bytes: count * 16 }])
    }

    async fn abort(self: Box<Self>) {
        self.sink.files.with(|files| files.remove(&self.path));
    }
}

#[async_trait]
impl SinkCommitter for FakeSink {
    async fn state(&self, job: &str, sink: &str) -> Result<TargetState, ConnectorError> {
        self.world.step().await;
        Ok(self.table.with(|content| TargetState {
            name: format!("table {sink}"),
            incarnation: content.uuid.clone(),
            marker: content.markers.get(&(job.to_owned(), sink.to_owned())).cloned(),
            other_jobs: content.markers.keys().map(|(other, _)| other.clone()).filter(|other| other != job).collect(),
        }))
    }

    async fn other_markers(&self, job: &str) -> Result<Vec<(String, Marker)>, ConnectorError> {
        Ok(self.table.with(|content| {
            let others = content.markers.iter().filter(|((other, _), _)| other != job);
            others.map(|((other, _), marker)| (other.clone(), marker.clone())).collect()
        }))
    }

    async fn claimed(&self, _: &str) -> Result<Option<u64>, ConnectorError> {
        Ok(self.table.with(|content| content.fence))
    }

    fn next_commit_id(&self) -> i64 {
        self.table.next_id.fetch_add(1, Ordering::SeqCst)
    }

    async fn commit(&self, job: &str, sink: &str, epoch: u64, commit: &SinkCommit) -> Result<Committed, ConnectorError> {
        self.world.step().await;
        let fate = self.world.fate();
        if fate == Fate::Fails || self.table.refuses.load(Ordering::SeqCst) {
            return Err(ConnectorError::transient("the catalog says 503"));
        }
        self.table.with(|content| content.cut_off.push(commit.commit_id)); // until it has ended well
        self.world.step().await;
        let done = self.table.with(|content| {
            if content.snapshots.contains(&commit.commit_id) {
                return Ok(Committed { already: true, snapshot: commit.commit_id.to_string(), retries: 0 });
            }
            let key = (job.to_owned(), sink.to_owned());
            if content.uuid != commit.incarnation || content.markers.get(&key).map(|marker| marker.epoch) != commit.previous_epoch {
                return Err(ConnectorError::user("the table is another one, or ahead"));
            }
            let mut rows = Vec::new();
            for committable in &commit.committables {
                let path = committable.payload.as_str().expect("a path");
                let found = self.files.with(|files| files.get(path).cloned());
                let found =
                    found.ok_or_else(|| ConnectorError::new(ErrorKind::Corrupt, format!("{path} was deleted though it is in a checkpoint")))?;
                assert_eq!(found.len() as u64, committable.rows, "the file is complete");
                rows.extend(found);
                content.files.push(path.to_owned());
            }
            content.rows.extend(rows);
            content.snapshots.insert(commit.commit_id);
            content.markers.insert(key, Marker { epoch, cuts: commit.to.clone() });
            content.commits.push(commit.clone());
            Ok(Committed { already: false, snapshot: commit.commit_id.to_string(), retries: 0 })
        });
        self.world.step().await;
        if fate == Fate::LosesAnswer {
            return Err(ConnectorError::transient("the catalog's answer was lost"));
        }
        self.table.with(|content| {
            let own = content.cut_off.iter().rposition(|id| *id == commit.commit_id).expect("pushed above");
            content.cut_off.remove(own);
        });
        done
    }

    async fn sweep(&self, commit_ids: &[i64]) -> Result<(), ConnectorError> {
        self.world.step().await;
        self.table.with(|content| content.cut_off.retain(|id| !(commit_ids.contains(id) && content.snapshots.contains(id))));
        Ok(())
    }

    async fn discard(&self, paths: &[String]) -> Result<(), ConnectorError> {
        self.world.step().await;
        self.files.with(|files| paths.iter().for_each(|path| drop(files.remove(path))));
        Ok(())
    }
}
