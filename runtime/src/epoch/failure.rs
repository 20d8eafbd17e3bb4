//! The first failure of an attempt, wherever it happened.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use weir_base::task::{Task, TaskError, panic_message, spawn};

use crate::error::RuntimeError;

/// Shared by everything that runs in an attempt: the first error is kept, and wakes the coordinator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    first: Arc<Mutex<Option<RuntimeError>>>,
    happened: CancellationToken,
}

impl Failure {
    /// Keeps `error` unless another came first.
    pub(crate) fn set(&self, error: RuntimeError) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.happened.is_cancelled() {
            *first = Some(error);
            self.happened.cancel();
        }
    }

    /// Waits until something fails, and gives its error.
    pub(crate) async fn wait(&self) -> RuntimeError {
        self.happened.cancelled().await;
        self.take()
    }

    /// The error, once.
    pub(crate) fn take(&self) -> RuntimeError {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| RuntimeError::Internal("a task of the job ended without a result".to_owned()))
    }

    /// Spawns `work`; its error or panic becomes the attempt's failure before `guard` is dropped. `None`: it failed.
    pub(crate) fn spawn<T, G>(
        &self,
        name: &'static str,
        guard: G,
        work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
    ) -> Task<Option<T>>
    where
        T: Send + 'static,
        G: Send + 'static,
    {
        let failure = self.clone();
        spawn(name, async move {
            let result = AssertUnwindSafe(work).catch_unwind().await;
            let value = match result {
                Ok(Ok(value)) => Some(value),
                Ok(Err(error)) => {
                    failure.set(error);
                    None
                }
                Err(payload) => {
                    failure.set(TaskError::Panicked { name, message: panic_message(&*payload) }.into());
                    None
                }
            };
            drop(guard);
            value
        })
    }

    /// The result of `work`, or the attempt's failure if that comes first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, RuntimeError> {
        tokio::select! {
            biased;
            error = self.wait() => Err(error),
            value = work => Ok(value),
        }
    }

    /// Waits for a task spawned by [`Self::spawn`]. For the coordinator, which alone takes the error.
    pub(crate) async fn join<T>(&self, task: &mut Task<Option<T>>) -> Result<T, RuntimeError> {
        match task.await {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.take()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_error_of_a_task_is_the_attempts() {
        let failure = Failure::default();
        let mut first = failure.spawn("first", (), async { Err::<(), _>(RuntimeError::Setting("broken".to_owned())) });
        assert!(matches!((&mut first).await, Ok(None)));
        failure.set(RuntimeError::Internal("follows from it".to_owned()));
        assert!(failure.wait().await.to_string().contains("broken"));
    }
}
