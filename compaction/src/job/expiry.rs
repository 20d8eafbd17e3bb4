//! When the job's own snapshots are expired, and the expiry that runs.

use std::time::Instant;

use weir_base::ErrorKind;
use weir_base::task::Task;
use weir_catalog::CatalogError;
use weir_catalog::commit::Expired;
use weir_connectors::iceberg::ExpireOptions;

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
}

/// Waits for the end of an expiry; for ever if there is none.
pub(super) async fn expired(expiry: &mut Option<Expiry>) -> Result<Expired, CatalogError> {
    let Some(slot) = expiry.as_mut().map(|expiry| &mut expiry.task) else { return std::future::pending().await };
    let Some(task) = slot.as_mut() else { return std::future::pending().await };
    let done = task.await;
    *slot = None;
    done.unwrap_or_else(|error| Err(CatalogError::other(ErrorKind::Internal, error.to_string())))
}
