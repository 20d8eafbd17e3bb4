//! CPU time of work that moves between threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cpu_time::ThreadTime;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static METER: CpuMeter;
}

/// Adds up the CPU time of the futures that it measures, and of what these give to [`compute`](crate::compute). Tasks that they spawn are not
/// counted. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct CpuMeter(Arc<AtomicU64>);

impl CpuMeter {
    /// The time so far.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// The same future, measured.
    #[must_use]
    pub fn measure<F: Future>(&self, future: F) -> Metered<F> {
        Metered { meter: self.clone(), future: Box::pin(METER.scope(self.clone(), future)) }
    }

    /// The meter of the future that is polled now.
    pub(crate) fn current() -> Option<Self> {
        METER.try_with(Clone::clone).ok()
    }

    /// Runs `work` and counts it.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = ThreadTime::try_now();
        let done = work();
        let spent = began.and_then(|began| began.try_elapsed()).unwrap_or_default();
        self.0.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        done
    }
}

/// A future whose CPU time is counted.
#[derive(Debug)]
pub struct Metered<F> {
    meter: CpuMeter,
    future: Pin<Box<TaskLocalFuture<CpuMeter, F>>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let meter = self.meter.clone();
        meter.time(|| self.future.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn() -> u64 {
        (0..20_000_000_u64).fold(1, |sum, number| std::hint::black_box(sum ^ number))
    }

    #[tokio::test]
    async fn work_here_and_on_the_compute_threads_is_counted_and_work_of_others_is_not() {
        let meter = CpuMeter::default();
        burn();
        assert_eq!(meter.spent(), Duration::ZERO);
        meter.measure(async { burn() }).await;
        let here = meter.spent();
        assert!(here > Duration::ZERO);
        meter.measure(crate::compute::run("burn", burn)).await.expect("done");
        let there = meter.spent() - here;
        assert!(there > here / 10, "{here:?} and {there:?}");
        crate::compute::run("burn", burn).await.expect("done");
        assert_eq!(meter.spent(), here + there);
    }

    #[tokio::test]
    async fn waiting_costs_nothing() {
        let meter = CpuMeter::default();
        let began = std::time::Instant::now();
        meter.measure(tokio::time::sleep(Duration::from_millis(300))).await;
        assert!(meter.spent() < began.elapsed() / 2, "{:?}", meter.spent());
    }
}
