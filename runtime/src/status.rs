//! What a running job tells about itself: a snapshot for `/status`, the terminal's status line and the gauges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;
use weir_base::memory::{MemoryBudget, Use};
use weir_compaction::job::Status;
use weir_connectors::source::Cuts;

use crate::epoch::{SplitGauges, SplitKey};
use crate::lookup::Lookups;
use crate::monitor::Known;
use crate::name_nodes::{Ledger, NameNodeStatus};

/// Rates are measured over no less than this.
const RATE_SAMPLE: Duration = Duration::from_secs(1);

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Reading checkpoints, claiming, finishing commits.
    #[default]
    Recovering,
    /// Epochs run.
    Running,
    /// A failure is being waited out before the next attempt.
    Waiting,
    /// It ended by itself or was stopped.
    Finished,
    /// It ended with an error.
    Failed,
}

/// A job at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct JobStatus {
    /// Job name.
    pub job: String,
    /// What it is doing.
    pub state: JobState,
    /// Epoch that runs, or ran last.
    pub epoch: Option<u64>,
    /// Attempt.
    pub attempt: String,
    /// Attempts that failed since the process started.
    pub restarts: u64,
    /// Checkpoints written since the process started.
    pub checkpoints: u64,
    /// Size of the last checkpoint in bytes.
    pub checkpoint_bytes: u64,
    /// When the last checkpoint was written.
    pub last_checkpoint: Option<DateTime<Utc>>,
    /// Sources by id.
    pub sources: BTreeMap<String, SourceStatus>,
    /// Sinks by id.
    pub sinks: BTreeMap<String, SinkStatus>,
    /// Lookup tables that are kept as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<LookupStatus>,
    /// Memory.
    pub memory: MemoryStatus,
    /// Calls to NameNodes of HDFS.
    pub name_nodes: NameNodeStatus,
    /// The last error, if the job is waiting or failed, or a commit is being tried again.
    pub last_error: Option<String>,
}

/// A source at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SourceStatus {
    /// Rows read since the process started.
    pub rows: u64,
    /// Rows a second, over the last second or more.
    pub rows_per_second: f64,
    /// Offsets between position and end, over all splits; `None` while the end of one is not known.
    pub lag: Option<i64>,
    /// Splits by name.
    pub splits: BTreeMap<String, SplitStatus>,
}

impl SourceStatus {
    /// No split is known yet.
    fn empty() -> Self {
        Self { lag: Some(0), ..Self::default() }
    }
}

/// A split at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SplitStatus {
    /// Offset of the next record to read.
    pub position: i64,
    /// The split's part of the last durable cut.
    pub cut: Option<i64>,
    /// End as last seen.
    pub end: Option<i64>,
    /// Records between position and end, at most; `None` while the end is not known.
    pub lag: Option<i64>,
}

/// A sink at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SinkStatus {
    /// Target's name.
    pub target: String,
    /// Epoch of the last commit.
    pub last_epoch: Option<u64>,
    /// Snapshot of the last commit of this process.
    pub last_snapshot: Option<String>,
    /// When that was.
    pub last_commit: Option<DateTime<Utc>>,
    /// How long it took.
    pub last_commit_seconds: Option<f64>,
    /// Rows committed since the process started: by it, also when it recovered. A commit that an earlier process made and could not note any
    /// more does not count.
    pub rows: u64,
    /// Bytes committed since the process started, by it.
    pub bytes: u64,
    /// Commits since the process started, by it.
    pub commits: u64,
    /// The first and the newest epoch that this process has begun to commit, and not found committed.
    #[serde(skip)]
    pub(crate) begun: Option<(u64, u64)>,
    /// Commits that are durable in a checkpoint and not yet done.
    pub pending_commits: u64,
    /// Upkeep of the table, if the job looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<UpkeepStatus>,
}

/// A lookup table with a FULL cache at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LookupStatus {
    /// The table.
    pub table: String,
    /// Columns that its rows are found by.
    pub keys: Vec<String>,
    /// Version of the rows that serve, if the table has versions.
    pub version: Option<String>,
    /// When they were loaded.
    pub loaded: Option<DateTime<Utc>>,
    /// When they were last known to be the newest.
    pub checked: Option<DateTime<Utc>>,
    /// Rows.
    pub rows: u64,
    /// Memory that they take.
    pub bytes: u64,
    /// Lines of its files that are left out of them because options of the format say so; null if it has no such files.
    pub skipped_lines: Option<u64>,
    /// Loads after the first one that failed since the process started.
    pub failures: u64,
    /// Why the newest version does not serve, until it does.
    pub last_error: Option<String>,
}

/// Upkeep of a table at one moment. Counts are since the attempt was started.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpkeepStatus {
    /// What is being done: `loading`, `waiting`, `copying`, `decoding`, `copying and decoding` or `off`.
    pub activity: &'static str,
    /// Live data files.
    pub live_files: u64,
    /// Files that would do: as few of the target size as the bytes of each partition need.
    pub ideal_files: u64,
    /// Files above that.
    pub debt_files: u64,
    /// Bytes in files that are to be rewritten.
    pub debt_bytes: u64,
    /// Commits of the job since the last rewrite that is finished.
    pub pending_commits: u64,
    /// Data files in them.
    pub pending_files: u64,
    /// Snapshots that rewrites have made.
    pub rewrites: u64,
    /// Groups of files that were copied.
    pub copied_groups: u64,
    /// Groups of files that were decoded and written.
    pub decoded_groups: u64,
    /// Files that left.
    pub files_before: u64,
    /// Files that came.
    pub files_after: u64,
    /// Bytes of the files that left.
    pub bytes_before: u64,
    /// Bytes of the files that came.
    pub bytes_after: u64,
    /// Groups that gave way to other writers.
    pub gave_way: u64,
    /// Rewrites that failed.
    pub failures: u64,
    /// How often in a row the rewrite has failed or given way to which that has happened most often.
    pub failures_in_a_row: u32,
    /// The last failure, until nothing fails any more.
    pub last_error: Option<String>,
    /// End of the last rewrite.
    pub last_rewrite: Option<DateTime<Utc>>,
    /// How long it took.
    pub last_seconds: Option<f64>,
    /// Snapshots of the job that were expired.
    pub expired_snapshots: u64,
    /// Files that went with them.
    pub expired_files: u64,
    /// CPU time of all of it.
    pub cpu_seconds: f64,
    /// How many times as long as usual epochs are, because there are too many files.
    pub slowdown: f64,
}

impl From<&Status> for UpkeepStatus {
    fn from(status: &Status) -> Self {
        let done = &status.done;
        Self {
            activity: status.activity.as_str(),
            live_files: status.debt.live,
            ideal_files: status.debt.ideal,
            debt_files: status.debt.files(),
            debt_bytes: status.debt.bytes,
            pending_commits: status.pending.commits,
            pending_files: status.pending.files,
            rewrites: done.commits as u64,
            copied_groups: done.copied as u64,
            decoded_groups: done.decoded as u64,
            files_before: done.files_before as u64,
            files_after: done.files_after as u64,
            bytes_before: done.bytes_before,
            bytes_after: done.bytes_after,
            gave_way: done.gave_way as u64,
            failures: status.failures,
            failures_in_a_row: status.failures_in_a_row,
            last_error: status.last_error.clone(),
            last_rewrite: status.last_rewrite.map(DateTime::from),
            last_seconds: status.last_duration.map(|took| took.as_secs_f64()),
            expired_snapshots: status.expired_snapshots,
            expired_files: status.expired_files,
            cpu_seconds: status.cpu.as_secs_f64(),
            slowdown: status.slowdown,
        }
    }
}

/// Memory at one moment, in bytes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MemoryStatus {
    /// Budget.
    pub limit: u64,
    /// Charged now.
    pub used: u64,
    /// The most ever charged.
    pub peak: u64,
    /// Charged now, by use.
    pub by_use: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Live {
    /// How far sources can be read, as last seen.
    known: Known,
    durable: Cuts,
    ledger: Ledger,
    rates: BTreeMap<String, Rate>,
    /// What coordinators of compaction tell, by sink.
    upkeep: BTreeMap<String, watch::Receiver<Status>>,
    lookups: Option<Lookups>,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    since: Instant,
    rows: u64,
    per_second: f64,
}

/// Where a job writes its status and others read it; clones share it.
#[derive(Debug, Clone)]
pub struct StatusBoard {
    status: Arc<Mutex<JobStatus>>,
    live: Arc<Mutex<Live>>,
    gauges: SplitGauges,
    budget: MemoryBudget,
}

impl StatusBoard {
    pub(crate) fn new(job: &str, gauges: &SplitGauges, budget: &MemoryBudget) -> Self {
        let status = JobStatus { job: job.to_owned(), ..JobStatus::default() };
        Self { status: Arc::new(Mutex::new(status)), live: Arc::default(), gauges: gauges.clone(), budget: budget.clone() }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut JobStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes what is told of one sink.
    pub(crate) fn update_sink(&self, sink: &str, change: impl FnOnce(&mut SinkStatus)) {
        self.update(|status| change(status.sinks.entry(sink.to_owned()).or_default()));
    }

    pub(crate) fn watch(&self, known: Known) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).known = known;
    }

    /// Shows what coordinators of compaction tell, by sink, instead of what earlier ones told.
    pub(crate) fn show_upkeep(&self, upkeep: BTreeMap<String, watch::Receiver<Status>>) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).upkeep = upkeep;
    }

    /// Shows what is kept of lookup tables.
    pub(crate) fn show_lookups(&self, lookups: &Lookups) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).lookups = Some(lookups.clone());
    }

    /// The job begins, or goes on, at `cuts`. Its sources show from then on, also while there is nothing to read.
    pub(crate) fn begins(&self, cuts: &Cuts) {
        for (source, cut) in cuts {
            self.update(|status| _ = status.sources.entry(source.clone()).or_insert_with(SourceStatus::empty));
            for (split, position) in cut {
                self.gauges.of(&(source.clone(), split.clone())).set_position(position.offset);
            }
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.durable.clone_from(cuts);
        live.ledger.skip(weir_fs::name_node_calls());
    }

    /// The checkpoint of `epoch`, which ends at `cuts`, is durable.
    pub(crate) fn durable(&self, epoch: u64, cuts: &Cuts) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.durable.clone_from(cuts);
        live.ledger.close(epoch, weir_fs::name_node_calls());
    }

    /// The job now.
    #[must_use]
    pub fn snapshot(&self) -> JobStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, position, rows) in self.gauges.read() {
            let split = live.split(&key, position);
            let source = status.sources.entry(key.0).or_insert_with(SourceStatus::empty);
            source.rows += rows;
            source.lag = source.lag.zip(split.lag).map(|(lag, more)| lag + more);
            source.splits.insert(key.1.0, split);
        }
        for (id, source) in &mut status.sources {
            source.rows_per_second = live.rate(id, source.rows);
        }
        for (id, told) in &live.upkeep {
            status.sinks.entry(id.clone()).or_default().upkeep = Some(UpkeepStatus::from(&*told.borrow()));
        }
        status.lookups = live.lookups.as_ref().map(Lookups::status).unwrap_or_default();
        status.memory = MemoryStatus {
            limit: self.budget.limit(),
            used: self.budget.used(),
            peak: self.budget.peak(),
            by_use: Use::ALL.into_iter().map(|usage| (usage.as_str(), self.budget.used_for(usage))).collect(),
        };
        status.name_nodes = live.ledger.tell(weir_fs::name_node_calls());
        status
    }
}

impl Live {
    fn split(&self, key: &SplitKey, position: i64) -> SplitStatus {
        let end = self.known.end(key);
        let cut = self.durable.get(&key.0).and_then(|cut| cut.get(&key.1)).map(|cut| cut.offset);
        let lag = end.as_ref().map(|(end, gaps)| gaps.records(position, *end));
        SplitStatus { position, cut, end: end.map(|(end, _)| end), lag }
    }

    fn rate(&mut self, source: &str, rows: u64) -> f64 {
        let now = Instant::now();
        let rate = self.rates.entry(source.to_owned()).or_insert(Rate { since: now, rows, per_second: 0.0 });
        let elapsed = now.saturating_duration_since(rate.since);
        if elapsed >= RATE_SAMPLE {
            let per_second = rows.saturating_sub(rate.rows) as f64 / elapsed.as_secs_f64();
            *rate = Rate { since: now, rows, per_second };
        }
        rate.per_second
    }
}
