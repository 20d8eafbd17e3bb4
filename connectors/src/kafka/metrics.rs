//! Counters of kafka sources, and the log line that goes with one of them.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};
use weir_base::metrics::counters;

/// The counters of one table.
#[derive(Debug, Clone)]
pub(super) struct SourceCounters {
    /// Rows given to the job.
    pub(super) rows: Option<IntCounter>,
    /// Bytes of keys and values decoded.
    pub(super) bytes: Option<IntCounter>,
    /// Bad messages that the format's options say to skip.
    pub(super) skipped: Option<IntCounter>,
    /// Bad messages that became dead letters.
    pub(super) letters: Option<IntCounter>,
    /// Bad fields that the format's options say to read as NULL.
    pub(super) null_fields: Option<IntCounter>,
    lost: Option<IntCounter>,
    calls: Option<IntCounterVec>,
    table: String,
}

/// Offsets that a topic had deleted before they were read, where the options accept that.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    /// What messages call the table.
    pub(super) table: &'a str,
    /// Topic.
    pub(super) topic: &'a str,
    /// Partition.
    pub(super) partition: i32,
    /// How many; 0 if nothing is lost.
    pub(super) lost: i64,
    /// Where reading goes on.
    pub(super) to: i64,
}

#[derive(Debug)]
struct Families {
    rows: Option<IntCounterVec>,
    bytes: Option<IntCounterVec>,
    skipped: Option<IntCounterVec>,
    letters: Option<IntCounterVec>,
    null_fields: Option<IntCounterVec>,
    lost: Option<IntCounterVec>,
    calls: Option<IntCounterVec>,
}

impl SourceCounters {
    /// The counters of the table `path`.
    pub(super) fn new(path: &str) -> Self {
        static FAMILIES: OnceLock<Families> = OnceLock::new();
        let families = FAMILIES.get_or_init(|| Families {
            rows: counters("weir_connectors_kafka_rows_total", "Rows read from Kafka.", &["table"]),
            bytes: counters("weir_connectors_kafka_bytes_total", "Bytes of keys and values read from Kafka.", &["table"]),
            skipped: counters("weir_connectors_kafka_skipped_messages_total", "Bad messages skipped because options say so.", &["table"]),
            letters: counters("weir_connectors_kafka_dead_letters_total", "Bad messages handed on as dead letters.", &["table"]),
            null_fields: counters("weir_connectors_kafka_bad_fields_total", "Bad fields read as NULL because options say so.", &["table"]),
            lost: counters("weir_connectors_kafka_lost_offsets_total", "Offsets that were gone before they were read.", &["table"]),
            calls: counters("weir_connectors_kafka_calls_total", "Questions about offsets and topics asked of the brokers.", &["table", "call"]),
        });
        let of = |family: &Option<IntCounterVec>| family.as_ref().map(|family| family.with_label_values(&[path]));
        Self {
            rows: of(&families.rows),
            bytes: of(&families.bytes),
            skipped: of(&families.skipped),
            letters: of(&families.letters),
            null_fields: of(&families.null_fields),
            lost: of(&families.lost),
            calls: families.calls.clone(),
            table: path.to_owned(),
        }
    }

    /// Counts a question to the brokers.
    pub(super) fn called(&self, call: &str) {
        if let Some(calls) = &self.calls {
            calls.with_label_values(&[self.table.as_str(), call]).inc();
        }
    }

    /// Logs and counts a loss that the options accept.
    pub(super) fn lost(&self, what: &Lost<'_>) {
        let Lost { table, topic, partition, lost, to } = *what;
        if lost > 0 {
            tracing::warn!(table, topic, partition, lost, to, "offsets are lost; going on as the options say");
            add(self.lost.as_ref(), usize::try_from(lost).unwrap_or(usize::MAX));
        }
    }
}

/// Adds to a counter that may be missing.
pub(super) fn add(counter: Option<&IntCounter>, count: usize) {
    if let Some(counter) = counter {
        counter.inc_by(count as u64);
    }
}
