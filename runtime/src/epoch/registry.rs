//! Readers that wait for their next epoch, and the gauges of splits: both outlive the plans.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_connectors::source::{SplitId, SplitReader};

/// Source id and split.
pub(crate) type SplitKey = (String, SplitId);

/// How far a split is read; for display and for credit, never for correctness.
#[derive(Debug, Default)]
pub(crate) struct SplitGauge {
    position: AtomicI64,
    rows: AtomicU64,
    window: AtomicI64,
}

impl SplitGauge {
    pub(crate) fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(crate) fn set_position(&self, position: i64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// Rows read since the process started.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The credit window that the last epoch learned.
    pub(crate) fn window(&self) -> Option<i64> {
        Some(self.window.load(Ordering::Relaxed)).filter(|window| *window > 0)
    }

    pub(crate) fn set_window(&self, window: i64) {
        self.window.store(window, Ordering::Relaxed);
    }
}

struct IdleReader {
    reader: Box<dyn SplitReader>,
    projection: Vec<usize>,
    reached: i64,
}

/// Readers between two epochs of an attempt, by split.
#[derive(Clone, Default)]
pub(crate) struct ReaderRegistry {
    idle: Arc<Mutex<HashMap<SplitKey, IdleReader>>>,
}

impl fmt::Debug for ReaderRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReaderRegistry")
    }
}

impl ReaderRegistry {
    /// The waiting reader of a split, if it goes on exactly at `from` with these columns. One that does not fit is closed.
    pub(crate) fn take(&self, key: &SplitKey, projection: &[usize], from: i64) -> Option<Box<dyn SplitReader>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(key)?;
        (idle.reached == from && idle.projection == projection).then_some(idle.reader)
    }

    /// Keeps a reader that has delivered everything before `reached`.
    pub(crate) fn put(&self, key: SplitKey, projection: Vec<usize>, reached: i64, reader: Box<dyn SplitReader>) {
        let replaced = self.idle.lock().unwrap_or_else(PoisonError::into_inner).insert(key, IdleReader { reader, projection, reached });
        drop(replaced);
    }
}

/// The gauges of every split of a job.
#[derive(Debug, Clone, Default)]
pub(crate) struct SplitGauges {
    gauges: Arc<Mutex<BTreeMap<SplitKey, Arc<SplitGauge>>>>,
}

impl SplitGauges {
    /// The gauge of a split, made at the first call.
    pub(crate) fn of(&self, key: &SplitKey) -> Arc<SplitGauge> {
        Arc::clone(self.gauges.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }

    /// Each split's position and rows.
    pub(crate) fn read(&self) -> Vec<(SplitKey, i64, u64)> {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.iter().map(|(key, gauge)| (key.clone(), gauge.position(), gauge.rows())).collect()
    }
}
