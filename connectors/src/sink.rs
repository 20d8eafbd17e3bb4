//! What a stream sink is.
//!
//! In each epoch every sink partition has one [`SinkWriter`]. What the writers finish are [`Committable`]s; the job writes them into its
//! checkpoint, and only then gives them to the [`SinkCommitter`], once for each epoch that has any. A committer decides from the target
//! itself whether an epoch is in it already, so a commit may be asked for again after a crash.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use weir_base::memory::MemoryBudget;

use crate::error::ConnectorError;
use crate::iceberg::LakeTarget;
use crate::source::Cuts;

/// How rows must be spread over the writers of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Rows stay where they are.
    None,
    /// Rows with equal [`StreamSink::route`] values go to one writer.
    Hash,
}

/// Where the names of files are made durable before the files exist, so that recovery can delete them by name.
#[async_trait]
pub trait IntentLog: fmt::Debug + Send + Sync {
    /// Records that `paths` (full URIs) are about to be created. Returns when the record is durable.
    ///
    /// # Errors
    /// The store's; the files must then not be created.
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError>;
}

/// Who writes: everything a writer needs to name its files and to stay in its limits.
#[derive(Debug, Clone)]
pub struct WriterContext {
    /// Job name.
    pub job: String,
    /// Sink id in the job.
    pub sink: String,
    /// Epoch.
    pub epoch: u64,
    /// Attempt: unique for each process start and retry of an epoch; part of file names.
    pub attempt: String,
    /// Which writer this is, from 0.
    pub partition: usize,
    /// How many writers the epoch has.
    pub partitions: usize,
    /// Budget to charge.
    pub budget: MemoryBudget,
    /// To be told every path before it is created.
    pub intents: Arc<dyn IntentLog>,
}

/// What a writer hands over to be made visible: JSON that goes into the checkpoint, and its size for display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Committable {
    /// Opaque to the job; read by the sink's committer, also by a later version of it.
    pub payload: serde_json::Value,
    /// Rows in it.
    pub rows: u64,
    /// Bytes in it.
    pub bytes: u64,
}

/// A stream sink, made from a table declaration or a catalog's table.
#[async_trait]
pub trait StreamSink: fmt::Debug + Send + Sync {
    /// The rows a writer takes.
    fn schema(&self) -> SchemaRef;

    /// How rows must be spread.
    fn distribution(&self) -> Distribution;

    /// How many writers an epoch is to have; `None`: as many as rows come in streams, or as the job's parallelism says where they are spread.
    fn writers(&self) -> Option<usize>;

    /// For [`Distribution::Hash`]: one hash for each row; equal keys have equal hashes, in every process and version.
    ///
    /// # Errors
    /// A batch that does not fit [`Self::schema`].
    fn route(&self, batch: &RecordBatch) -> Result<arrow_array::UInt64Array, ConnectorError>;

    /// The columns of [`Self::schema`] by which a row takes the place of an earlier one; none: rows are only added. Rows that are equal in them have
    /// equal [`Self::route`] values.
    fn key(&self) -> Vec<usize>;

    /// A writer for one partition of one epoch.
    ///
    /// # Errors
    /// None expected; the target is opened lazily.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError>;

    /// The committer, or `None` for a sink that makes rows visible as it writes (print, blackhole).
    fn committer(&self) -> Option<Arc<dyn SinkCommitter>>;

    /// The table of a lake that it writes to, for those who look after it.
    fn lake(&self) -> Option<&LakeTarget> {
        None
    }
}

/// Writes one partition of one epoch.
#[async_trait]
pub trait SinkWriter: Send + fmt::Debug {
    /// Takes a batch.
    ///
    /// # Errors
    /// The store's, after its own retries. The epoch then fails as a whole.
    async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError>;

    /// Finishes every file and says what to commit.
    ///
    /// # Errors
    /// As [`Self::write`].
    async fn finish(self: Box<Self>) -> Result<Vec<Committable>, ConnectorError>;

    /// Gives up: open files are dropped and what was written is deleted, as far as it goes.
    async fn abort(self: Box<Self>);
}

pub use weir_catalog::marker::{Gap, GapReason, Marker};

/// What a committer knows of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// The target as messages name it.
    pub name: String,
    /// Identity: the table's UUID.
    pub incarnation: String,
    /// The marker of this job and sink.
    pub marker: Option<Marker>,
    /// Jobs, other than this one, whose markers the target carries.
    pub other_jobs: Vec<String>,
}

/// One epoch's commit to one sink, exactly as it stands in the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkCommit {
    /// Identity of the target when the epoch ran.
    pub incarnation: String,
    /// Pre-assigned id of the commit: the snapshot id.
    pub commit_id: i64,
    /// Epoch of this sink's previous commit; `None` for the first.
    pub previous_epoch: Option<u64>,
    /// Cut of each source before the first epoch since the previous commit.
    pub from: Cuts,
    /// Cut of each source after this epoch.
    pub to: Cuts,
    /// Stretches between the two that the sink was not given; the user was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// What to make visible; never empty.
    pub committables: Vec<Committable>,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// It was in the target already.
    pub already: bool,
    /// Snapshot id, or what else the target calls it, for display.
    pub snapshot: String,
    /// How often the target had changed under us and the commit was made again.
    pub retries: u32,
}

/// Makes committables visible. One actor for each target serialises all commits of the process.
#[async_trait]
pub trait SinkCommitter: fmt::Debug + Send + Sync {
    /// Reads the target.
    ///
    /// # Errors
    /// Target missing (user), or not reachable (transient).
    async fn state(&self, job: &str, sink: &str) -> Result<TargetState, ConnectorError>;

    /// The last markers of jobs other than `job` in the target, each with its job's name. What is left out here lets a renamed job write its
    /// source a second time.
    ///
    /// # Errors
    /// As [`Self::state`].
    async fn other_markers(&self, job: &str) -> Result<Vec<(String, Marker)>, ConnectorError>;

    /// The highest epoch that an attempt of `job` has claimed, as far as what looks after the target tells, beside markers. Asked when the job's
    /// checkpoints are lost; it may cost a listing.
    ///
    /// # Errors
    /// As [`Self::state`].
    async fn claimed(&self, job: &str) -> Result<Option<u64>, ConnectorError>;

    /// An id for a commit to come, unique in the target.
    fn next_commit_id(&self) -> i64;

    /// Makes `commit` of `epoch` visible, or finds that it is.
    ///
    /// # Errors
    /// Another incarnation, or a marker ahead of `previous_epoch` (user); a newer owner (fenced); deadline passed (transient). After an
    /// error the outcome may be unknown: call again with the same argument.
    async fn commit(&self, job: &str, sink: &str, epoch: u64, commit: &SinkCommit) -> Result<Committed, ConnectorError>;

    /// Removes what tries of the commits `commit_ids` have left behind, other than committables; the commits themselves are in the target. For
    /// recovery, and after a commit that took several tries: it may cost a listing.
    ///
    /// # Errors
    /// The store's; nothing depends on the removal.
    async fn sweep(&self, commit_ids: &[i64]) -> Result<(), ConnectorError>;

    /// Deletes files by name; missing ones are fine. Only for files that no durable checkpoint names.
    ///
    /// # Errors
    /// The store's.
    async fn discard(&self, paths: &[String]) -> Result<(), ConnectorError>;
}
