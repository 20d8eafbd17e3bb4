//! Groups that are being rewritten.

use std::time::Instant;

use weir_base::task::Task;
use weir_connectors::ConnectorError;

use crate::policy::Group;
use crate::run::{Failed, Report};
use crate::table::PartitionKey;

/// Groups that are being rewritten.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) groups: Vec<Group<PartitionKey>>,
    pub(super) task: Task<Result<Report, Failed>>,
    pub(super) began: Instant,
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
