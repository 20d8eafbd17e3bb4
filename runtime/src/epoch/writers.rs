//! The sink partitions of an attempt that still write. They end before the attempt does, so that what they wrote can be deleted for good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use weir_base::task::Task;

/// How long writers may take to give up; then they are left to themselves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shared by the epochs of one attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writers {
    tasks: Arc<Mutex<Vec<Task<Option<()>>>>>,
    given_up: CancellationToken,
}

impl Writers {
    /// Is cancelled once nothing that is written will be committed any more.
    pub(crate) fn given_up(&self) -> CancellationToken {
        self.given_up.clone()
    }

    /// Keeps the task of one more partition.
    pub(crate) fn keep(&self, task: Task<Option<()>>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Tells every writer to give up, and waits until they have. One that hangs in a store is aborted after half a minute: a file of its may
    /// then still appear, and the write intents name it.
    pub(crate) async fn settle(&self) {
        self.given_up.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let writing = tasks.iter().filter(|task| !task.is_finished()).count();
        // Their errors are the attempt's, or follow from it.
        if tokio::time::timeout(PATIENCE, join_all(tasks)).await.is_err() {
            tracing::warn!(writers = writing, patience = ?PATIENCE, "writers of a failed attempt did not end and are left");
        }
    }
}
