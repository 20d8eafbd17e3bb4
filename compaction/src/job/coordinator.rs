//! The coordinator: finds the table, then works at its desk until the job ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use weir_base::cpu::CpuMeter;
use weir_base::memory::MemoryBudget;
use weir_catalog::commit::{News, TableCommitter};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{LakeTarget, catalog_error};

use super::desk::Desk;
use super::status::Status;
use crate::pace::Pace;

/// What a coordinator is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The table.
    pub target: LakeTarget,
    /// The job.
    pub job: String,
    /// Its sinks that write to the table; at least one.
    pub sinks: BTreeSet<String>,
    /// The epoch that the attempt has claimed: larger for each later one.
    pub fence: u64,
    /// Its parallelism.
    pub parallelism: usize,
    /// What rewrites may take.
    pub budget: MemoryBudget,
}

/// Keeps the files of one branch of a table large while a job writes to it.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) parts: Parts,
    pub(super) committer: Arc<TableCommitter>,
    news: broadcast::Receiver<Arc<News>>,
    pub(super) board: watch::Sender<Status>,
    pub(super) meter: CpuMeter,
}

impl Coordinator {
    /// A coordinator that hears of all commits from now on, and what it tells.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, watch::Receiver<Status>) {
        let committer = TableCommitter::of(&parts.target.catalog, &parts.target.id);
        let news = committer.watch();
        let (board, told) = watch::channel(Status { slowdown: 1.0, ..Status::default() });
        (Self { parts, committer, news, board, meter: CpuMeter::default() }, told)
    }

    /// Works until `stop` is asked for: then what is being rewritten is dropped, and its files are deleted; or until `finish` is: then what has begun,
    /// and what is due, is done first. Failures are met with later and smaller tries.
    ///
    /// # Errors
    /// The last failure, after [`Settings::max_failures`](super::Settings::max_failures) in a row.
    pub async fn run(self, stop: CancellationToken, finish: CancellationToken) -> Result<(), ConnectorError> {
        let meter = self.meter.clone();
        Box::pin(meter.measure(self.work(stop, finish))).await
    }

    async fn work(mut self, stop: CancellationToken, finish: CancellationToken) -> Result<(), ConnectorError> {
        let mut pace = Pace::default();
        let table = loop {
            let error = match self.committer.refresh().await {
                Ok(table) => break table,
                Err(error) => error,
            };
            pace.failed();
            self.board.send_modify(|status| status.last_error = Some(weir_base::error::chain(&error)));
            if pace.failures() >= self.parts.target.upkeep.max_failures {
                return Err(catalog_error(error));
            }
            tracing::warn!(job = self.parts.job, table = %self.parts.target.name(), %error, "the table could not be read, trying again");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = finish.cancelled() => return Ok(()),
                () = tokio::time::sleep(pace.wait()) => {}
            }
        };
        let mut desk = Desk::new(&self, &table, &stop)?;
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = desk.serve(&mut self.news, &finish) => ended,
        };
        desk.clear().await;
        ended
    }
}
