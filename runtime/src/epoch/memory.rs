//! The memory budget as DataFusion's pool, and the gate that sources wait at.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::spill::SpillFolders;

/// DataFusion's memory pool on the budget of the process. Operators that can spill share three quarters of what the others leave, in equal
/// parts: none of them starves while another holds on to its memory.
#[derive(Debug)]
pub(crate) struct BudgetPool {
    budget: MemoryBudget,
    charged: Mutex<Charged>,
    /// They go with the pool, which every operator holds that may spill.
    _spill: Option<SpillFolders>,
}

#[derive(Debug)]
struct Charged {
    all: Reservation,
    /// Of operators that cannot spill.
    fixed: u64,
    /// How many can.
    spillers: u64,
}

impl Charged {
    /// What an operator that can spill may hold, of a budget of `limit` bytes of which `used` are used.
    fn share(&self, limit: u64, used: u64) -> u64 {
        let elsewhere = used.saturating_sub(self.all.bytes());
        // A quarter stays free for operators that cannot spill and come later, such as the merging of what was sorted.
        let left = limit.saturating_sub(elsewhere).saturating_sub(self.fixed) / 4 * 3;
        left / self.spillers.max(1)
    }
}

impl BudgetPool {
    /// `spill`: where the operators put what does not fit.
    pub(crate) fn new(budget: &MemoryBudget, spill: Option<SpillFolders>) -> Self {
        let charged = Charged { all: budget.reservation(Use::Operators), fixed: 0, spillers: 0 };
        Self { budget: budget.clone(), charged: Mutex::new(charged), _spill: spill }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Charged) -> T) -> T {
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

    fn register(&self, consumer: &MemoryConsumer) {
        self.with(|charged| charged.spillers += u64::from(consumer.can_spill()));
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.with(|charged| charged.spillers = charged.spillers.saturating_sub(u64::from(consumer.can_spill())));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.with(|charged| {
            charged.all.grow(additional as u64);
            charged.fixed += fixed(reservation, additional);
        });
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.with(|charged| {
            charged.all.shrink(shrink as u64);
            charged.fixed = charged.fixed.saturating_sub(fixed(reservation, shrink));
        });
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let grown = self.with(|charged| {
            let wanted = (reservation.size() as u64).saturating_add(additional as u64);
            if consumer.can_spill() && wanted > charged.share(self.budget.limit(), self.budget.used()) {
                return false;
            }
            let grown = charged.all.try_grow(additional as u64);
            charged.fixed += if grown { fixed(reservation, additional) } else { 0 };
            grown
        });
        if grown {
            return Ok(());
        }
        let or_sort = ", or SET 'table.exec.disabled-operators' = 'HashJoin': joins that sort can spill to disk";
        Err(DataFusionError::ResourcesExhausted(format!(
            "the memory budget of {} bytes has no {additional} bytes more for {} ({} are used); raise --memory{}",
            self.budget.limit(),
            consumer.name(),
            self.budget.used(),
            if consumer.name().starts_with("HashJoin") { or_sort } else { "" },
        )))
    }

    fn reserved(&self) -> usize {
        self.with(|charged| charged.all.bytes()) as usize
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.limit() as usize)
    }
}

/// What of `bytes` is held by an operator that cannot spill.
fn fixed(reservation: &MemoryReservation, bytes: usize) -> u64 {
    if reservation.consumer().can_spill() { 0 } else { bytes as u64 }
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
    use super::*;

    #[test]
    fn operators_are_charged_to_the_budget_and_refused_beyond_it() {
        let budget = MemoryBudget::new(100);
        let _writers = budget.try_reserve(Use::Writers, 50).expect("fits");
        let pool: Arc<dyn MemoryPool> = Arc::new(BudgetPool::new(&budget, None));
        let reservation = MemoryConsumer::new("sort").register(&pool);
        reservation.try_grow(40).expect("fits");
        assert_eq!((budget.used_for(Use::Operators), pool.reserved()), (40, 40));
        assert!(reservation.try_grow(11).is_err());
        drop(reservation);
        assert_eq!(budget.used(), 50);
    }

    #[test]
    fn operators_that_can_spill_share_what_the_others_leave() {
        let budget = MemoryBudget::new(100);
        let _writers = budget.try_reserve(Use::Writers, 10).expect("fits");
        let pool: Arc<dyn MemoryPool> = Arc::new(BudgetPool::new(&budget, None));
        let spiller = || MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let (one, fixed) = (spiller(), MemoryConsumer::new("HashJoinInput").register(&pool));
        fixed.try_grow(20).expect("fits");
        one.try_grow(51).expect("it is the only one");
        one.shrink(51);
        let two = spiller();
        two.try_grow(25).expect("its half");
        assert!(one.try_grow(26).is_err() && one.try_grow(25).is_ok());
        drop((one, two));
        let told = fixed.try_grow(71).expect_err("too much").to_string();
        assert!(told.contains("raise --memory") && told.contains("'table.exec.disabled-operators'"), "{told}");
        drop(fixed);
        spiller().try_grow(66).expect("three quarters of what is left");
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
