//! Work for the CPU (decoding, encoding, sorting) on a fixed set of threads, as many as there are cores, that live as long as the process.
//!
//! Tokio's blocking threads come and go with what waits for disks and servers. Work that allocates a lot is better kept off them: more of it
//! at once than there are cores gains nothing, and the C library's allocator keeps what was freed for the thread that had it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::cpu::CpuMeter;
use crate::task::{TaskError, blocking, panic_message};

type Job = Box<dyn FnOnce() + Send>;

/// Where jobs are sent; `None` if no thread could be started. The queue has no bound of its own: whoever sends a job waits for its answer.
static JOBS: LazyLock<Option<Sender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = channel();
    let jobs = Arc::new(Mutex::new(jobs));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |_: &usize| {
        let jobs = Arc::clone(&jobs);
        std::thread::Builder::new().name("weir-compute".to_owned()).spawn(move || work_off(&jobs)).is_ok()
    };
    ((0..threads).filter(start).count() > 0).then_some(sender)
});

fn work_off(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job();
    }
}

/// Runs `work`, which must not wait for anything, on one of the threads and waits for it. Dropping the future does not stop work that has
/// begun. The [`CpuMeter`] of the caller, if there is one, counts it.
///
/// # Errors
/// [`TaskError`] if `work` panicked.
pub async fn run<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    let meter = CpuMeter::current();
    let work = move || match meter {
        Some(meter) => meter.time(work),
        None => work(),
    };
    let Some(jobs) = &*JOBS else { return blocking(name, work).await };
    let (answer, answered) = oneshot::channel();
    let job = move || {
        if !answer.is_closed() {
            // Nobody hears the answer if the future was dropped meanwhile.
            drop(answer.send(catch_unwind(AssertUnwindSafe(work))));
        }
    };
    if jobs.send(Box::new(job)).is_err() {
        return Err(TaskError::Cancelled { name });
    }
    match answered.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(payload)) => Err(TaskError::Panicked { name, message: panic_message(&*payload) }),
        Err(_) => Err(TaskError::Cancelled { name }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        for _ in 0..64 {
            let panicked = run("broken", || -> u8 { panic!("as told") }).await;
            assert!(matches!(panicked, Err(TaskError::Panicked { name: "broken", message }) if message == "as told"));
        }
        assert_eq!(run("whole", || 7).await.expect("done"), 7);
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_cores() {
        let work = || std::thread::current().id();
        let threads = futures::future::join_all((0..200).map(|_| run("which", work))).await;
        let threads: HashSet<_> = threads.into_iter().map(|thread| thread.expect("done")).collect();
        assert!(threads.len() <= std::thread::available_parallelism().map_or(1, usize::from));
    }
}
