//! A job as the command line runs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_base::memory::MemoryBudget;
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;
use weir_sql::plan::JobPlan;

use crate::attempt::{Attempt, JobParts};
use crate::checkpoint::CheckpointStore;
use crate::epoch::SplitGauges;
use crate::error::RuntimeError;
use crate::lookup::Lookups;
use crate::metrics::Metrics;
use crate::restart::Restarts;
use crate::status::{JobState, JobStatus, StatusBoard};

/// The SET key that confirms [`JobOptions::allow_shared_source`].
const ALLOW_SHARED_SOURCE: &str = "execution.allow-shared-source";

/// How long a stop may take unless it is said: those that kill what has not ended (`docker stop`) do so after ten seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// What a job may do beyond its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobOptions {
    /// Write into a table that holds rows which another job read from the same splits. Also `SET 'execution.allow-shared-source' = 'true'`.
    pub allow_shared_source: bool,
    /// Share of the memory budget above which sources pause.
    pub memory_mark: f64,
    /// The job is one statement of a session, not a thing with an identity: without sources it runs its one epoch although its targets
    /// carry the marker of an earlier statement.
    pub one_off: bool,
    /// How long a stop may take: the rest of the epoch, its commits and the end of upkeep. Then the job ends with
    /// [`RuntimeError::StopTimeout`]. Default: 9 s.
    pub stop_timeout: Duration,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self { allow_shared_source: false, memory_mark: 0.75, one_off: false, stop_timeout: STOP_TIMEOUT }
    }
}

/// Where a job runs.
#[derive(Debug, Clone)]
pub struct JobEnvironment {
    /// For the checkpoint directory.
    pub file_systems: FileSystems,
    /// The memory budget of the process.
    pub budget: MemoryBudget,
    /// Options.
    pub options: JobOptions,
}

/// How a job ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobReport {
    /// Checkpoints that this process wrote.
    pub checkpoints: u64,
    /// Commits that it made.
    pub commits: u64,
    /// Rows in them.
    pub rows: u64,
    /// Attempts that failed on the way.
    pub restarts: u64,
    /// It was asked to stop; if not, its sources ended.
    pub stopped: bool,
}

/// A job, ready to run.
#[derive(Debug)]
pub struct Job {
    parts: JobParts,
    restarts: Restarts,
}

impl Job {
    /// A job of `plan`. Does no I/O.
    ///
    /// # Errors
    /// A checkpoint directory that no file system serves, or a wrong restart strategy.
    pub fn new(plan: JobPlan, environment: JobEnvironment) -> Result<Self, RuntimeError> {
        let settings = &plan.settings;
        let store = CheckpointStore::open(&environment.file_systems, &settings.checkpoint_dir, &settings.name, settings.timeout)?;
        Self::on_store(plan, store, environment.budget, environment.options)
    }

    pub(crate) fn on_store(plan: JobPlan, store: CheckpointStore, budget: MemoryBudget, mut options: JobOptions) -> Result<Self, RuntimeError> {
        let restarts = Restarts::from_settings(&plan.settings.properties)?;
        options.allow_shared_source |= plan.settings.properties.get(ALLOW_SHARED_SOURCE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let gauges = SplitGauges::default();
        let board = StatusBoard::new(&plan.settings.name, &gauges, &budget);
        let lookups = Lookups::new(&budget);
        board.show_lookups(&lookups);
        let parts = JobParts { plan: Arc::new(plan), store, budget, lookups, options, gauges, board, metrics: Metrics::shared() };
        Ok(Self { parts, restarts })
    }

    /// What the job tells about itself; valid before, while and after it runs.
    #[must_use]
    pub fn status(&self) -> StatusBoard {
        self.parts.board.clone()
    }

    /// Runs the job until its sources end or `stop` is cancelled; then the running epoch is finished and committed first. Failures that may
    /// pass are tried again as `restart-strategy.*` says. Dropping the future stops at once; the next run recovers.
    ///
    /// # Errors
    /// Whatever ends the job; its kind gives the exit code.
    pub async fn run(mut self, stop: CancellationToken) -> Result<JobReport, RuntimeError> {
        let board = self.parts.board.clone();
        let outcome = Box::pin(self.run_attempts(&stop)).await;
        board.update(|status| match &outcome {
            Ok(()) => status.state = JobState::Finished,
            Err(error) => {
                status.state = JobState::Failed;
                status.last_error = Some(weir_base::error::chain(error));
            }
        });
        outcome?;
        let status = board.snapshot();
        Ok(JobReport {
            checkpoints: status.checkpoints,
            commits: status.sinks.values().map(|sink| sink.commits).sum(),
            rows: status.sinks.values().map(|sink| sink.rows).sum(),
            restarts: status.restarts,
            stopped: stop.is_cancelled(),
        })
    }

    async fn run_attempts(&mut self, stop: &CancellationToken) -> Result<(), RuntimeError> {
        let job = self.parts.plan.settings.name.clone();
        let limit = self.parts.options.stop_timeout;
        let mut restarts = 0;
        loop {
            let id = attempt_id();
            let attempt = Attempt::new(&self.parts, id);
            let outcome = tokio::select! {
                biased;
                outcome = Box::pin(attempt.run(stop)) => outcome,
                () = patience_ends(stop, limit) => return Err(RuntimeError::StopTimeout { limit, waiting: waiting(&self.parts.board.snapshot()) }),
            };
            let Err(error) = outcome else { return Ok(()) };
            let kind = error.kind();
            if !matches!(kind, ErrorKind::Transient | ErrorKind::Conflict) {
                return Err(error);
            }
            self.parts.metrics.restarted(&job, kind);
            let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
            let Some(delay) = self.restarts.next(Instant::now(), chance) else {
                return Err(RuntimeError::GaveUp { restarts, strategy: self.restarts.name(), source: Box::new(error) });
            };
            restarts += 1;
            let message = weir_base::error::chain(&error);
            tracing::warn!(job, failures = restarts, wait = ?delay, kind = kind.as_str(), error = message, "attempt failed, the next one begins after a wait");
            self.parts.board.update(|status| {
                status.state = JobState::Waiting;
                status.restarts = restarts;
                status.last_error = Some(message);
            });
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }
}

/// Returns `limit` after a stop was asked for: it should have been done by now. A server that is away must not hold the process: nothing is
/// lost, the next start goes on from the last checkpoint.
async fn patience_ends(stop: &CancellationToken, limit: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(limit).await;
}

/// What a job that does not end in time still waits for: commits that are not done, and the last trouble.
fn waiting(status: &JobStatus) -> String {
    let pending = status.sinks.values().filter(|sink| sink.pending_commits > 0).map(|sink| sink.target.as_str());
    let mut waiting = pending.fold(String::new(), |text, target| format!("{text}; waiting for the commit to table {target}"));
    if let Some(error) = &status.last_error {
        waiting.push_str(&format!("; last error: {error}"));
    }
    waiting
}

/// Twelve letters and digits that no other attempt has.
fn attempt_id() -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}
