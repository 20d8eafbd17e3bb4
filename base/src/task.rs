//! Spawning of named tasks that end with their owner and whose panics become errors.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

/// Why a task gave no result.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The task panicked; the payload is in the message.
    #[error("task `{name}` panicked: {message}")]
    Panicked {
        /// Name given at the spawn.
        name: &'static str,
        /// The panic's text, if it was one.
        message: String,
    },
    /// The task was aborted, or its runtime went away.
    #[error("task `{name}` was cancelled")]
    Cancelled {
        /// Name given at the spawn.
        name: &'static str,
    },
}

/// A running task; dropping it aborts the task. Await it for the result.
#[derive(Debug)]
#[must_use = "a dropped task is aborted"]
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

impl<T> Task<T> {
    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Asks the task to end; a result already produced is kept.
    pub fn abort(&self) {
        self.handle.abort();
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        Pin::new(&mut self.handle).poll(cx).map(|joined| joined.map_err(|error| describe(name, error)))
    }
}

/// Spawns `future` on the current runtime under `name`.
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns tasks")]
    let handle = tokio::task::spawn(future);
    Task { name, handle }
}

/// Runs `work` on a blocking thread and waits for it. Dropping the future does not stop work that has begun.
///
/// # Errors
/// [`TaskError`] if `work` panicked or the runtime is shutting down.
pub async fn blocking<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| describe(name, error))
}

fn describe(name: &'static str, error: tokio::task::JoinError) -> TaskError {
    if !error.is_panic() {
        return TaskError::Cancelled { name };
    }
    TaskError::Panicked { name, message: panic_message(&*error.into_panic()) }
}

/// The text of a panic payload.
#[must_use]
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "unknown panic".to_owned()
    }
}
