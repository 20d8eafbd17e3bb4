//! When the job's own snapshots are expired, and the expiry that runs.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_base::cpu::CpuMeter;
use weir_base::task::{Task, spawn};
use weir_base::{Classified, ErrorKind};
use weir_catalog::CatalogError;
use weir_catalog::commit::{ExpireRules, Expired, TableCommitter};
use weir_catalog::upkeep::Journal;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{ExpireOptions, catalog_error};

/// The expiry of the job's own snapshots.
#[derive(Debug)]
pub(super) struct Expiry {
    pub(super) options: ExpireOptions,
    /// Commits since the last time.
    pub(super) commits: u64,
    pub(super) last: Option<Instant>,
    pub(super) task: Option<Task<Result<Expired, CatalogError>>>,
}

impl Expiry {
    pub(super) fn new(options: ExpireOptions) -> Self {
        Self { options, commits: 0, last: None, task: None }
    }

    /// After the first commit, and then as often as the options say.
    pub(super) fn is_due(&self) -> bool {
        let Some(last) = self.last else { return self.task.is_none() && self.commits > 0 };
        self.task.is_none() && self.commits > 0 && (self.commits >= self.options.commits || last.elapsed() >= self.options.interval)
    }

    /// Begins to expire the snapshots of `job`, at `now` since 1970.
    pub(super) fn begin(&mut self, job: String, committer: Arc<TableCommitter>, journal: Arc<Journal>, now: Duration, meter: &CpuMeter) {
        let options = self.options.clone();
        let work = async move {
            let table = committer.refresh().await?;
            let before = |age: Duration| i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX);
            let mut rules = ExpireRules::of_job(&job, table.metadata.properties());
            // Who says how old snapshots may grow does not want fewer of them.
            rules.at_most = rules.at_most.filter(|_| options.max_age.is_none());
            rules.older_than_ms = options.max_age.map(before).or(rules.older_than_ms);
            rules.retain_last = options.retain_last.or(rules.retain_last);
            committer.expire(&rules, &journal).await
        };
        (self.commits, self.last, self.task) = (0, Some(Instant::now()), Some(spawn("expiry", meter.measure(work))));
    }
}

/// Waits for the end of an expiry; for ever if there is none.
pub(super) async fn expired(expiry: &mut Option<Expiry>) -> Result<Expired, CatalogError> {
    let Some(slot) = expiry.as_mut().map(|expiry| &mut expiry.task) else { return std::future::pending().await };
    let Some(task) = slot.as_mut() else { return std::future::pending().await };
    let done = task.await;
    *slot = None;
    done.unwrap_or_else(|error| Err(CatalogError::other(ErrorKind::Internal, error.to_string())))
}

/// Logs how an expiry ended; what it has expired, if it could. A failure is one only if the job has been taken over.
pub(super) fn told(job: &str, table: &impl Display, done: Result<Expired, CatalogError>) -> Result<Option<Expired>, ConnectorError> {
    match done {
        Ok(expired) => {
            for reader in &expired.stale_readers {
                tracing::warn!(job, %table, reader, "this reader of the table has not moved for so long that snapshots are not kept for it any more");
            }
            if !expired.snapshots.is_empty() {
                tracing::info!(job, %table, snapshots = expired.snapshots.len(), files = expired.files.len(), "own snapshots expired");
            }
            Ok(Some(expired))
        }
        Err(error) if error.kind() == ErrorKind::Fenced => Err(catalog_error(error)),
        Err(error) => {
            tracing::warn!(job, %table, %error, "own snapshots could not be expired now; they will be later");
            Ok(None)
        }
    }
}
