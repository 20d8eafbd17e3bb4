//! Metrics of jobs: counters where things happen, gauges set from the status when somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use weir_base::metrics::{counters, gauges, histograms};

use crate::status::{JobStatus, UpkeepStatus};

/// Every metric of this crate, once a process.
#[derive(Debug)]
pub(crate) struct Metrics {
    epochs: Option<IntCounterVec>,
    restarts: Option<IntCounterVec>,
    commits: Option<IntCounterVec>,
    rows_out: Option<IntCounterVec>,
    bytes_out: Option<IntCounterVec>,
    commit_seconds: Option<HistogramVec>,
    epoch_seconds: Option<HistogramVec>,
    checkpoint_bytes: Option<IntGaugeVec>,
    epoch: Option<IntGaugeVec>,
    rows_in: Option<IntGaugeVec>,
    lag: Option<IntGaugeVec>,
    position: Option<IntGaugeVec>,
    unsaved: Option<IntGaugeVec>,
    pending: Option<IntGaugeVec>,
    debt_files: Option<IntGaugeVec>,
    debt_bytes: Option<IntGaugeVec>,
    uncompacted: Option<IntGaugeVec>,
    compacted_files: Option<IntGaugeVec>,
    compacted_bytes: Option<IntGaugeVec>,
    compaction_conflicts: Option<IntGaugeVec>,
    compaction_millis: Option<IntGaugeVec>,
    live_files: Option<IntGaugeVec>,
    ideal_files: Option<IntGaugeVec>,
    compaction_failures: Option<IntGaugeVec>,
    slowdown: Option<IntGaugeVec>,
    expired_snapshots: Option<IntGaugeVec>,
    expired_files: Option<IntGaugeVec>,
    lookup_age: Option<IntGaugeVec>,
    memory: Option<IntGaugeVec>,
    memory_limit: Option<IntGaugeVec>,
}

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::register()));

impl Metrics {
    /// The metrics of the process.
    pub(crate) fn shared() -> Arc<Self> {
        Arc::clone(&METRICS)
    }

    fn register() -> Self {
        Self {
            epochs: counters("weir_runtime_epochs_total", "Epochs whose checkpoint is durable", &["job"]),
            restarts: counters("weir_runtime_restarts_total", "Attempts that failed, by kind of error", &["job", "kind"]),
            commits: counters("weir_runtime_commits_total", "Commits to sinks", &["job", "sink"]),
            rows_out: counters("weir_runtime_committed_rows_total", "Rows committed to sinks", &["job", "sink"]),
            bytes_out: counters("weir_runtime_committed_bytes_total", "Bytes committed to sinks", &["job", "sink"]),
            commit_seconds: histograms("weir_runtime_commit_seconds", "Duration of commits", &["job", "sink"]),
            epoch_seconds: histograms("weir_runtime_epoch_seconds", "Start of an epoch to its durable checkpoint", &["job"]),
            checkpoint_bytes: gauges("weir_runtime_checkpoint_bytes", "Size of the last checkpoint", &["job"]),
            epoch: gauges("weir_runtime_epoch", "Number of the last epoch started", &["job"]),
            rows_in: gauges("weir_runtime_source_rows", "Rows read since the process started", &["job", "source"]),
            lag: gauges("weir_runtime_lag_offsets", "Offsets between position and end of a split", &["job", "source", "partition"]),
            position: gauges("weir_runtime_position_offset", "Offset of the next record of a split", &["job", "source", "partition"]),
            unsaved: gauges(
                "weir_runtime_unsaved_offsets",
                "Offsets that were read and are in no durable checkpoint yet",
                &["job", "source", "partition"],
            ),
            pending: gauges("weir_runtime_pending_commits", "Durable commits that are not done yet", &["job", "sink"]),
            debt_files: gauges("weir_compaction_debt_files", "Live files above the ideal", &["job", "sink"]),
            debt_bytes: gauges("weir_compaction_debt_bytes", "Bytes in files that are to be rewritten", &["job", "sink"]),
            uncompacted: gauges("weir_compaction_pending_commits", "Commits since the last rewrite that is finished", &["job", "sink"]),
            compacted_files: gauges("weir_compaction_files", "Files that rewrites took (in) and made (out)", &["job", "sink", "side"]),
            compacted_bytes: gauges("weir_compaction_bytes", "Bytes that rewrites took (in) and made (out)", &["job", "sink", "side"]),
            compaction_conflicts: gauges("weir_compaction_conflicts", "Groups of files that gave way to other writers", &["job", "sink"]),
            compaction_millis: gauges("weir_compaction_cpu_milliseconds", "CPU time of compaction", &["job", "sink"]),
            live_files: gauges("weir_compaction_live_files", "Live data files of the table", &["job", "sink"]),
            ideal_files: gauges("weir_compaction_ideal_files", "Files that would do", &["job", "sink"]),
            compaction_failures: gauges("weir_compaction_failures", "Rewrites that failed", &["job", "sink"]),
            slowdown: gauges(
                "weir_upkeep_slowdown_percent",
                "Length of epochs in percent of the usual one: more than 100 if there are too many files",
                &["job", "sink"],
            ),
            expired_snapshots: gauges("weir_upkeep_expired_snapshots", "Snapshots of the job that were expired", &["job", "sink"]),
            expired_files: gauges("weir_upkeep_expired_files", "Files that went with expired snapshots", &["job", "sink"]),
            lookup_age: gauges(
                "weir_runtime_lookup_age_seconds",
                "Since the rows of a lookup table that is kept as a whole were last known to be the newest",
                &["job", "table"],
            ),
            memory: gauges("weir_runtime_memory_bytes", "Memory charged to the budget, by use", &["use"]),
            memory_limit: gauges("weir_runtime_memory_limit_bytes", "The memory budget", &[]),
        }
    }

    pub(crate) fn epoch_durable(&self, job: &str, seconds: f64) {
        count(&self.epochs, &[job], 1);
        if let Some(family) = &self.epoch_seconds {
            family.with_label_values(&[job]).observe(seconds);
        }
    }

    pub(crate) fn restarted(&self, job: &str, kind: weir_base::ErrorKind) {
        count(&self.restarts, &[job, kind.as_str()], 1);
    }

    pub(crate) fn committed(&self, job: &str, sink: &str, rows: u64, bytes: u64, seconds: f64) {
        count(&self.commits, &[job, sink], 1);
        count(&self.rows_out, &[job, sink], rows);
        count(&self.bytes_out, &[job, sink], bytes);
        if let Some(family) = &self.commit_seconds {
            family.with_label_values(&[job, sink]).observe(seconds);
        }
    }

    /// Sets the gauges to what `status` says.
    pub(crate) fn show(&self, status: &JobStatus) {
        let job = status.job.as_str();
        set(&self.checkpoint_bytes, &[job], status.checkpoint_bytes);
        set(&self.epoch, &[job], status.epoch.unwrap_or(0));
        for (source, of) in &status.sources {
            set(&self.rows_in, &[job, source], of.rows);
            for (split, at) in &of.splits {
                if let Some(lag) = at.lag {
                    set(&self.lag, &[job, source, split], lag);
                }
                set(&self.position, &[job, source, split], at.position);
                if let Some(cut) = at.cut {
                    set(&self.unsaved, &[job, source, split], at.position.saturating_sub(cut));
                }
            }
        }
        for (sink, of) in &status.sinks {
            set(&self.pending, &[job, sink], of.pending_commits);
            if let Some(upkeep) = &of.upkeep {
                self.show_upkeep(job, sink, upkeep);
            }
        }
        let now = chrono::Utc::now();
        // A table may be loaded several times, by other keys or with other options: the oldest rows count.
        let mut ages: BTreeMap<&str, i64> = BTreeMap::new();
        for (lookup, checked) in status.lookups.iter().filter_map(|lookup| Some((lookup, lookup.checked?))) {
            let (age, oldest) = ((now - checked).num_seconds().max(0), ages.entry(&lookup.table).or_default());
            *oldest = age.max(*oldest);
        }
        for (table, age) in ages {
            set(&self.lookup_age, &[job, table], age);
        }
        for (usage, bytes) in &status.memory.by_use {
            set(&self.memory, &[usage], *bytes);
        }
        set(&self.memory_limit, &[], status.memory.limit);
    }

    fn show_upkeep(&self, job: &str, sink: &str, upkeep: &UpkeepStatus) {
        set(&self.debt_files, &[job, sink], upkeep.debt_files);
        set(&self.debt_bytes, &[job, sink], upkeep.debt_bytes);
        set(&self.uncompacted, &[job, sink], upkeep.pending_commits);
        set(&self.compacted_files, &[job, sink, "in"], upkeep.files_before);
        set(&self.compacted_files, &[job, sink, "out"], upkeep.files_after);
        set(&self.compacted_bytes, &[job, sink, "in"], upkeep.bytes_before);
        set(&self.compacted_bytes, &[job, sink, "out"], upkeep.bytes_after);
        set(&self.compaction_conflicts, &[job, sink], upkeep.gave_way);
        set(&self.compaction_millis, &[job, sink], (upkeep.cpu_seconds * 1_000.0) as u64);
        set(&self.live_files, &[job, sink], upkeep.live_files);
        set(&self.ideal_files, &[job, sink], upkeep.ideal_files);
        set(&self.compaction_failures, &[job, sink], upkeep.failures);
        set(&self.slowdown, &[job, sink], (upkeep.slowdown * 100.0).round() as u64);
        set(&self.expired_snapshots, &[job, sink], upkeep.expired_snapshots);
        set(&self.expired_files, &[job, sink], upkeep.expired_files);
    }
}

fn count(family: &Option<IntCounterVec>, labels: &[&str], by: u64) {
    if let Some(family) = family {
        family.with_label_values(labels).inc_by(by);
    }
}

fn set(family: &Option<IntGaugeVec>, labels: &[&str], value: impl TryInto<i64>) {
    if let Some(family) = family {
        family.with_label_values(labels).set(value.try_into().unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_upkeep_does_and_fails_at_is_among_the_metrics() {
        let upkeep = UpkeepStatus {
            live_files: 41,
            ideal_files: 3,
            failures: 2,
            slowdown: 1.25,
            expired_snapshots: 60,
            expired_files: 181,
            ..UpkeepStatus::default()
        };
        Metrics::shared().show_upkeep("metrics-of-upkeep", "s", &upkeep);
        let shown = weir_base::metrics::exposition();
        let of = "{job=\"metrics-of-upkeep\",sink=\"s\"}";
        for line in [
            "weir_compaction_live_files{of} 41",
            "weir_compaction_ideal_files{of} 3",
            "weir_compaction_failures{of} 2",
            "weir_upkeep_slowdown_percent{of} 125",
            "weir_upkeep_expired_snapshots{of} 60",
            "weir_upkeep_expired_files{of} 181",
        ] {
            assert!(shown.contains(&line.replace("{of}", of)), "{line} in {shown}");
        }
    }
}
