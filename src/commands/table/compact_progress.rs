//! The status line of a compaction: what is done of what, how fast, and how long the rest will take.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::HumanDuration;
use weir_compaction::policy::{Group, Way};
use weir_compaction::{PartitionKey, Plan, Progress};
use weir_connectors::ConnectorError;

use crate::fs_command::print::size;
use crate::status_line;

/// Shows steps in the status line.
pub(super) struct Lines {
    begun: Instant,
    groups: usize,
    bytes: u64,
    done: Mutex<Done>,
}

/// What is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Done {
    groups: usize,
    bytes: u64,
    commits: usize,
}

impl Lines {
    /// Of a plan that is about to be carried out.
    pub(super) fn of(plan: &Plan) -> Self {
        let bytes = plan.groups.iter().map(Group::bytes).sum();
        let lines = Self { begun: Instant::now(), groups: plan.groups.len(), bytes, done: Mutex::default() };
        if lines.groups > 0 {
            lines.show(Done::default(), "");
        }
        lines
    }

    fn count(&self, count: impl FnOnce(&mut Done)) -> Done {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut done);
        *done
    }

    fn show(&self, done: Done, last: &str) {
        status_line::set(line(self.groups, self.bytes, done, self.begun.elapsed(), last));
    }
}

fn line(groups: usize, bytes: u64, done: Done, elapsed: Duration, last: &str) -> String {
    let rate = done.bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!("{} of {groups} groups, {} of {}", done.groups, size(done.bytes, true), size(bytes, true));
    if done.bytes > 0 {
        let left = Duration::from_secs_f64(bytes.saturating_sub(done.bytes) as f64 / rate.max(1.0));
        // Precise enough for a rate that is a mean.
        line.push_str(&format!(", {}/s, {} left", size(rate.round() as u64, true), HumanDuration(left)));
    }
    line.push_str(&format!(", {} commits", done.commits));
    if last.is_empty() { line } else { format!("{line}; {last}") }
}

impl Progress for Lines {
    fn rewritten(&self, group: &Group<PartitionKey>, way: Way, files: usize) {
        let how = match way {
            Way::Copy => "copied into",
            Way::Decode => "decoded and written into",
        };
        let done = self.count(|done| {
            done.groups += 1;
            done.bytes += group.bytes();
        });
        self.show(done, &format!("{}: {} files {how} {files}", group.partition, group.files.len()));
    }

    fn committed(&self, snapshot_id: i64, files_before: usize, files_after: usize) {
        let done = self.count(|done| done.commits += 1);
        self.show(done, &format!("snapshot {snapshot_id}: {files_before} files became {files_after}"));
        tracing::info!(snapshot = snapshot_id, files_before, files_after, "rewritten files committed");
    }

    fn gave_way(&self, group: &Group<PartitionKey>, why: &str) {
        tracing::warn!(partition = %group.partition, why, "a group gave way to others and is tried again");
    }

    fn failed(&self, group: &Group<PartitionKey>, error: &ConnectorError) {
        tracing::warn!(partition = %group.partition, %error, "a group could not be rewritten: what has begun is finished, and no other is begun");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_much_how_fast_and_how_long() {
        let done = Done { groups: 2, bytes: 100 << 20, commits: 1 };
        let shown = line(8, 400 << 20, done, Duration::from_secs(10), "day=1: 6 files copied into 1");
        assert_eq!(shown, "2 of 8 groups, 100.00 MiB of 400.00 MiB, 10.00 MiB/s, 30 seconds left, 1 commits; day=1: 6 files copied into 1");
        assert_eq!(line(8, 1 << 20, Done::default(), Duration::ZERO, ""), "0 of 8 groups, 0 B of 1.00 MiB, 0 commits");
    }
}
