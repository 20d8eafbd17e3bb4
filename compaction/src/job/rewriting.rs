//! Groups that are being rewritten.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use weir_base::task::Task;
use weir_connectors::ConnectorError;

use crate::policy::{Group, Way};
use crate::progress::Progress;
use crate::run::{Failed, Report};
use crate::table::PartitionKey;

/// Groups that are being rewritten.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) groups: Vec<Group<PartitionKey>>,
    pub(super) task: Task<Result<Report, Failed>>,
    pub(super) began: Instant,
    pub(super) noted: Arc<Noted>,
}

impl Rewrite {
    /// The groups that are to blame for how it ended: those that failed or gave way; all of them, if it has `failed` as a whole.
    pub(super) fn to_blame(&self, failed: bool) -> Vec<Group<PartitionKey>> {
        let noted = std::mem::take(&mut *self.noted.0.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() && failed { self.groups.clone() } else { noted }
    }
}

/// Notes the groups that failed or gave way.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<Vec<Group<PartitionKey>>>);

impl Noted {
    fn note(&self, group: &Group<PartitionKey>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(group.clone());
    }
}

impl Progress for Noted {
    fn rewritten(&self, _: &Group<PartitionKey>, _: Way, _: usize) {}

    fn committed(&self, _: i64, _: usize, _: usize) {}

    fn gave_way(&self, group: &Group<PartitionKey>, _: &str) {
        self.note(group);
    }

    fn failed(&self, group: &Group<PartitionKey>, _: &ConnectorError) {
        self.note(group);
    }
}

/// Waits for the end of a rewrite; for ever if there is none.
pub(super) async fn ended(slot: &mut Option<Rewrite>) -> (Rewrite, Result<Report, Failed>) {
    let Some(rewrite) = slot.as_mut() else { return std::future::pending().await };
    let done = (&mut rewrite.task).await.unwrap_or_else(|error| Err(ConnectorError::internal(error.to_string()).into()));
    match slot.take() {
        Some(rewrite) => (rewrite, done),
        None => std::future::pending().await,
    }
}
