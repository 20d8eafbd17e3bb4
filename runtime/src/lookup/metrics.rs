//! Counters of lookup tables.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use weir_base::metrics::{counters, gauges, histograms};

/// The counters of one table.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    hits: Option<IntCounter>,
    asked: Option<IntCounter>,
    absent: Option<IntCounter>,
    requests: Option<IntCounter>,
    retries: Option<IntCounter>,
    reloads: Option<IntCounter>,
    failed_reloads: Option<IntCounter>,
    hottest: Option<IntGauge>,
    rows: Option<IntGauge>,
    bytes: Option<IntGauge>,
    wait: Option<prometheus::Histogram>,
}

#[derive(Debug)]
struct Families {
    keys: Option<IntCounterVec>,
    absent: Option<IntCounterVec>,
    requests: Option<IntCounterVec>,
    retries: Option<IntCounterVec>,
    reloads: Option<IntCounterVec>,
    hottest: Option<IntGaugeVec>,
    rows: Option<IntGaugeVec>,
    bytes: Option<IntGaugeVec>,
    wait: Option<HistogramVec>,
}

impl Counters {
    /// The counters of the lookup table `table`.
    pub(super) fn new(table: &str) -> Self {
        static FAMILIES: OnceLock<Families> = OnceLock::new();
        let families = FAMILIES.get_or_init(|| Families {
            keys: counters(
                "weir_runtime_lookup_keys_total",
                "Distinct keys of batches, found in the cache (hit) or asked for (miss)",
                &["table", "cache"],
            ),
            absent: counters("weir_runtime_lookup_absent_keys_total", "Keys that were asked for and have no row", &["table"]),
            requests: counters(
                "weir_runtime_lookup_requests_total",
                "Requests sent; with the misses of the cache they give the keys of one",
                &["table"],
            ),
            retries: counters("weir_runtime_lookup_retries_total", "Requests sent again, after a failure or for keys without a row", &["table"]),
            reloads: counters("weir_runtime_lookup_reloads_total", "Loads of a FULL cache after the first one", &["table", "outcome"]),
            hottest: gauges("weir_runtime_lookup_hottest_key_permille", "Share of the rows of a batch that have its most frequent key", &["table"]),
            rows: gauges("weir_runtime_lookup_cache_rows", "Rows in the cache", &["table"]),
            bytes: gauges("weir_runtime_lookup_cache_bytes", "Memory of the cache", &["table"]),
            wait: histograms("weir_runtime_lookup_wait_seconds", "From the first key of a request to its answer, retries included", &["table"]),
        });
        let of = |family: &Option<IntCounterVec>, labels: &[&str]| family.as_ref().map(|family| family.with_label_values(labels));
        let gauge = |family: &Option<IntGaugeVec>| family.as_ref().map(|family| family.with_label_values(&[table]));
        Self {
            hits: of(&families.keys, &[table, "hit"]),
            asked: of(&families.keys, &[table, "miss"]),
            absent: of(&families.absent, &[table]),
            requests: of(&families.requests, &[table]),
            retries: of(&families.retries, &[table]),
            reloads: of(&families.reloads, &[table, "done"]),
            failed_reloads: of(&families.reloads, &[table, "failed"]),
            hottest: gauge(&families.hottest),
            rows: gauge(&families.rows),
            bytes: gauge(&families.bytes),
            wait: families.wait.as_ref().map(|family| family.with_label_values(&[table])),
        }
    }

    /// A batch of `rows` rows has been looked up in the cache.
    pub(super) fn batch(&self, rows: usize, hottest: u32, hits: usize, misses: usize) {
        add(self.hits.as_ref(), hits);
        add(self.asked.as_ref(), misses);
        if let (Some(gauge), true) = (&self.hottest, rows > 0) {
            gauge.set(i64::from(hottest) * 1_000 / i64::try_from(rows).unwrap_or(i64::MAX));
        }
    }

    /// A request is sent.
    pub(super) fn sent(&self, again: bool) {
        add(self.requests.as_ref(), 1);
        add(self.retries.as_ref(), usize::from(again));
    }

    /// A request has its answer, in which `absent` keys have no row.
    pub(super) fn answered(&self, wait: Duration, absent: usize) {
        add(self.absent.as_ref(), absent);
        if let Some(histogram) = &self.wait {
            histogram.observe(wait.as_secs_f64());
        }
    }

    /// A load of a FULL cache has ended.
    pub(super) fn reloaded(&self, well: bool) {
        add(if well { self.reloads.as_ref() } else { self.failed_reloads.as_ref() }, 1);
    }

    /// The size of the cache.
    pub(super) fn kept(&self, (rows, bytes): (u64, u64)) {
        for (gauge, value) in [(&self.rows, rows), (&self.bytes, bytes)] {
            if let Some(gauge) = gauge {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
    }
}

fn add(counter: Option<&IntCounter>, count: usize) {
    if let Some(counter) = counter {
        counter.inc_by(count as u64);
    }
}
