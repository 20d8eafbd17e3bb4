//! What happens to a process, decided by the number of the step or by seeded chance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Fails,
    LosesAnswer,
}

/// Steps, deaths and faults.
#[derive(Debug)]
pub(crate) struct World {
    steps: AtomicU64,
    crash_at: AtomicU64,
    crashed: Mutex<CancellationToken>,
    seed: AtomicU64,
    /// Faults in a thousand operations.
    faults: AtomicU64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            steps: AtomicU64::new(0),
            crash_at: AtomicU64::new(u64::MAX),
            crashed: Mutex::default(),
            seed: AtomicU64::new(1),
            faults: AtomicU64::new(0),
        }
    }
}

impl World {
    /// The next process dies at its `step`th step (from 1).
    pub(crate) fn die_at(&self, step: u64) {
        self.steps.store(0, Ordering::SeqCst);
        self.crash_at.store(step, Ordering::SeqCst);
        *self.crashed.lock().unwrap_or_else(PoisonError::into_inner) = CancellationToken::new();
    }

    /// From now on `per_mille` of the operations fail or lose their answer.
    pub(crate) fn faults(&self, per_mille: u64, seed: u64) {
        self.faults.store(per_mille, Ordering::SeqCst);
        self.seed.store(seed | 1, Ordering::SeqCst);
    }

    pub(crate) fn crashed(&self) -> CancellationToken {
        self.crashed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One step of the process. A dead process takes no further step.
    pub(crate) async fn step(&self) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        if step >= self.crash_at.load(Ordering::SeqCst) {
            self.crashed().cancel();
            std::future::pending::<()>().await;
        }
    }

    /// What becomes of the next operation.
    pub(crate) fn fate(&self) -> Fate {
        let chance = self.random() % 1_000;
        let faults = self.faults.load(Ordering::SeqCst);
        if chance >= faults {
            Fate::Done
        } else if chance.is_multiple_of(2) {
            Fate::Fails
        } else {
            Fate::LosesAnswer
        }
    }

    fn random(&self) -> u64 {
        let next = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        let before = self.seed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |x| Some(next(x))).unwrap_or(1);
        next(before) >> 11
    }
}
