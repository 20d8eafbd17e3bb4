//! Lines that are left out while a table is read, because options of its format say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use prometheus::{IntCounter, IntCounterVec};
use weir_base::metrics::counters;

/// How many lines a load has left out. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Skipped {
    /// Of all loads of the table.
    of_table: Option<IntCounter>,
    of_load: Arc<AtomicU64>,
}

impl Skipped {
    /// None yet, of a load of the table `table`.
    pub(super) fn new(table: &str) -> Self {
        static FAMILY: OnceLock<Option<IntCounterVec>> = OnceLock::new();
        let family = FAMILY.get_or_init(|| {
            let what = "Lines left out of loads of lookup tables because options of the format say so.";
            counters("weir_connectors_filesystem_skipped_lines_total", what, &["table"])
        });
        Self { of_table: family.as_ref().map(|family| family.with_label_values(&[table])), of_load: Arc::default() }
    }

    pub(super) fn add(&self, lines: u64) {
        if let Some(counter) = &self.of_table {
            counter.inc_by(lines);
        }
        self.of_load.fetch_add(lines, Ordering::Relaxed);
    }

    /// What counts those of the load.
    pub(super) fn of_load(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.of_load)
    }
}
