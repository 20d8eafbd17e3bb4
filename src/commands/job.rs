//! The running of a job: stop signals, the endpoint, the status line.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_base::task::spawn;
use weir_fs::FileSystems;
use weir_runtime::{BoundAddress, HttpEndpoint, Job, JobEnvironment, JobOptions, JobState, JobStatus, StatusBoard};
use weir_sql::plan::{CreatedTable, JobPlan};

use crate::failure::Failure;
use crate::signals::stop_on_signals;
use crate::status_line;

const REFRESH: Duration = Duration::from_millis(500);

/// How a job is run.
pub(super) struct Running {
    pub(super) file_systems: FileSystems,
    pub(super) budget: MemoryBudget,
    pub(super) options: JobOptions,
    pub(super) http: BoundAddress,
}

/// Takes the address of the endpoint.
pub(super) async fn bind(address: Option<SocketAddr>) -> Result<BoundAddress, Failure> {
    BoundAddress::bind(address).await.map_err(|error| Failure::of(&error))
}

/// Does what comes after the planning of a job, its run included; if that fails, the table that was made for its rows goes.
pub(super) async fn or_take_back(created: Option<CreatedTable>, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let done = work.await;
    if let (Err(_), Some(created)) = (&done, &created) {
        // Not within the macro, which evaluates nothing if warnings are not shown.
        let said = created.take_back().await;
        tracing::warn!(table = %created.path, "{said}");
    }
    done
}

/// Runs a job until its sources end or a signal asks it to stop.
pub(super) async fn run(plan: JobPlan, running: Running) -> Result<(), Failure> {
    let environment = JobEnvironment { file_systems: running.file_systems, budget: running.budget, options: running.options };
    let name = plan.settings.name.clone();
    let job = Job::new(plan, environment).map_err(|error| Failure::of(&error))?;
    let board = job.status();
    let endpoint = HttpEndpoint::open(running.http, board.clone());
    tracing::info!(job = name, status = format!("http://{}/status", endpoint.address()), "job starts");
    let stop = CancellationToken::new();
    let first = || tracing::info!("stopping: the epoch is finished and committed; a second signal stops at once");
    let second = || tracing::warn!("stopped at once; the next start goes on from the last checkpoint");
    let _signals = stop_on_signals(stop.clone(), first, second)?;
    status_line::show();
    let _line = spawn("status line", show_status(board));
    let report = job.run(stop).await;
    status_line::clear();
    let report = report.map_err(|error| Failure::of(&error))?;
    let end = if report.stopped { "job stopped" } else { "job finished: its sources have ended" };
    tracing::info!(job = name, rows = report.rows, commits = report.commits, restarts = report.restarts, "{end}");
    Ok(())
}

async fn show_status(board: StatusBoard) {
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        ticks.tick().await;
        status_line::set(describe(&board.snapshot()));
    }
}

fn describe(status: &JobStatus) -> String {
    if let (JobState::Waiting, Some(error)) = (status.state, &status.last_error) {
        return format!("{} waits after failure {}: {}", status.job, status.restarts, error.lines().next().unwrap_or_default());
    }
    let rate: f64 = status.sources.values().map(|source| source.rows_per_second).sum();
    let lag: Option<i64> = status.sources.values().map(|source| source.lag).sum();
    let lag = lag.map_or_else(|| "not known".to_owned(), |lag| lag.to_string());
    let epoch = status.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    let commit = status.sinks.values().filter_map(|sink| sink.last_commit).max();
    let commit = commit.map_or_else(|| "none yet".to_owned(), |time| format!("{} s ago", (chrono::Utc::now() - time).num_seconds().max(0)));
    format!(
        "{} {:?}  {rate:.0} rows/s  lag {lag}  epoch {epoch}  last commit {commit}  memory {} of {} MB",
        status.job,
        status.state,
        status.memory.used >> 20,
        status.memory.limit >> 20
    )
}
