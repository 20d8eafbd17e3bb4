//! The memory budget as DataFusion's pool, and the gate that sources wait at.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use weir_base::memory::{MemoryBudget, Reservation, Use};

/// DataFusion's memory pool on the budget of the process.
#[derive(Debug)]
pub(crate) struct BudgetPool {
    budget: MemoryBudget,
    charged: Mutex<Reservation>,
}

impl BudgetPool {
    pub(crate) fn new(budget: &MemoryBudget) -> Self {
        Self { budget: budget.clone(), charged: Mutex::new(budget.reservation(Use::Operators)) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Reservation) -> T) -> T {
        act(&mut self.charged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Display for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weir(used: {}, limit: {})", self.budget.used(), self.budget.limit())
    }
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &str {
        "weir"
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        self.with(|charged| charged.grow(additional as u64));
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.with(|charged| charged.shrink(shrink as u64));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.with(|charged| charged.try_grow(additional as u64)) {
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "the memory budget of {} bytes has no {additional} bytes more for {} ({} are used); raise --memory",
            self.budget.limit(),
            reservation.consumer().name(),
            self.budget.used(),
        )))
    }

    fn reserved(&self) -> usize {
        self.with(|charged| charged.bytes()) as usize
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.limit() as usize)
    }
}

/// Where sources wait while more than a share of the budget is charged.
///
/// One batch in [`MemoryGate::TRICKLE`] passes all the same, whoever asks first: what holds the memory may be waiting for the end of the
/// epoch, which would never come if nothing passed.
#[derive(Debug, Clone)]
pub(crate) struct MemoryGate {
    budget: MemoryBudget,
    mark: f64,
    began: Instant,
    passed: Arc<AtomicU64>,
}

impl MemoryGate {
    const TRICKLE: Duration = Duration::from_millis(100);
    const LOOK: Duration = Duration::from_millis(5);

    pub(crate) fn new(budget: &MemoryBudget, mark: f64) -> Self {
        Self { budget: budget.clone(), mark, began: Instant::now(), passed: Arc::default() }
    }

    /// Waits until a batch may be read.
    pub(crate) async fn pass(&self) {
        while self.budget.is_above(self.mark) && !self.trickles() {
            tokio::time::sleep(Self::LOOK).await;
        }
    }

    fn trickles(&self) -> bool {
        let now = self.began.elapsed().as_millis() as u64;
        let last = self.passed.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= Self::TRICKLE.as_millis() as u64;
        due && self.passed.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    #[test]
    fn operators_are_charged_to_the_budget_and_refused_beyond_it() {
        let budget = MemoryBudget::new(100);
        let _writers = budget.try_reserve(Use::Writers, 50).expect("fits");
        let pool: Arc<dyn MemoryPool> = Arc::new(BudgetPool::new(&budget));
        let reservation = MemoryConsumer::new("sort").register(&pool);
        reservation.try_grow(40).expect("fits");
        assert_eq!((budget.used_for(Use::Operators), pool.reserved()), (40, 40));
        assert!(reservation.try_grow(11).is_err());
        drop(reservation);
        assert_eq!(budget.used(), 50);
    }

    #[tokio::test]
    async fn the_gate_lets_a_trickle_through_while_memory_is_short() {
        let budget = MemoryBudget::new(100);
        let gate = MemoryGate::new(&budget, 0.75);
        let _held = budget.try_reserve(Use::Writers, 90).expect("fits");
        let began = Instant::now();
        gate.pass().await;
        gate.pass().await;
        assert!(began.elapsed() >= 2 * MemoryGate::TRICKLE - MemoryGate::LOOK);
    }
}
