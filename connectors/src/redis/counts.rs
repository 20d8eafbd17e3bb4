//! What of a table is passed over while it is read: counted, and told once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::{IntCounter, IntCounterVec};
use weir_base::metrics::counters;

use crate::format::BadMessage;

/// The counters of one table.
#[derive(Debug)]
pub(super) struct Counts {
    table: String,
    foreign: Option<IntCounter>,
    skipped: Option<IntCounter>,
    told_foreign: AtomicBool,
    told_skipped: AtomicBool,
}

impl Counts {
    pub(super) fn new(table: &str) -> Self {
        static FAMILIES: OnceLock<[Option<IntCounterVec>; 2]> = OnceLock::new();
        let [foreign, skipped] = FAMILIES.get_or_init(|| {
            [
                counters("weir_connectors_redis_foreign_keys_total", "Keys of a scan that no value of the key column has.", &["table"]),
                counters("weir_connectors_redis_skipped_values_total", "Bad values skipped because options of the format say so.", &["table"]),
            ]
        });
        let of_table = |family: &Option<IntCounterVec>| family.as_ref().map(|family| family.with_label_values(&[table]));
        let (foreign, skipped) = (of_table(foreign), of_table(skipped));
        Self { table: table.to_owned(), foreign, skipped, told_foreign: AtomicBool::new(false), told_skipped: AtomicBool::new(false) }
    }

    /// Keys were found that no lookup can ask for, `example` among them.
    pub(super) fn foreign(&self, keys: u64, example: &[u8]) {
        if let Some(counter) = &self.foreign {
            counter.inc_by(keys);
        }
        if !self.told_foreign.swap(true, Ordering::Relaxed) {
            let key = String::from_utf8_lossy(example);
            tracing::warn!(table = self.table, %key, keys, "keys that no value of the key column has are passed over; said once");
        }
    }

    /// The value under `key` is bad, and options say to do without it.
    pub(super) fn skipped(&self, key: &[u8], bad: &BadMessage) {
        if let Some(counter) = &self.skipped {
            counter.inc();
        }
        if !self.told_skipped.swap(true, Ordering::Relaxed) {
            let key = String::from_utf8_lossy(key);
            tracing::warn!(table = self.table, %key, reason = bad.located(), "a bad value is skipped; said once");
        }
    }
}
