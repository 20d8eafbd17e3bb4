//! What is told of commits that are done: the status and the counters. The committer makes most of them, recovery those that were left.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use weir_connectors::sink::SinkCommit;

use crate::metrics::Metrics;
use crate::status::StatusBoard;

/// A commit of one sink.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) job: &'a str,
    pub(crate) sink: &'a str,
    pub(crate) epoch: u64,
    pub(crate) commit: &'a SinkCommit,
}

impl Commit<'_> {
    pub(crate) fn rows(&self) -> u64 {
        self.commit.committables.iter().map(|committable| committable.rows).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.commit.committables.iter().map(|committable| committable.bytes).sum()
    }
}

/// Counts the commits of a process, each once.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) board: StatusBoard,
    pub(crate) metrics: Arc<Metrics>,
}

impl Tally {
    /// This process begins to make a commit; true if it had begun that before.
    pub(crate) fn begins(&self, commit: &Commit<'_>) -> bool {
        let had_begun = self.has_begun(commit);
        self.board.update_sink(commit.sink, |sink| {
            let (first, last) = sink.begun.unwrap_or((commit.epoch, commit.epoch));
            sink.begun = Some((first.min(commit.epoch), last.max(commit.epoch)));
        });
        had_begun
    }

    /// Whether this process has begun to make a commit.
    pub(crate) fn has_begun(&self, commit: &Commit<'_>) -> bool {
        let mut begun = None;
        self.board.update_sink(commit.sink, |sink| begun = sink.begun);
        begun.is_some_and(|(first, last)| (first..=last).contains(&commit.epoch))
    }

    /// This process has made a commit, and knows it. Does nothing for one that has been counted.
    pub(crate) fn done(&self, commit: &Commit<'_>, snapshot: &str, took: Duration) {
        let (rows, bytes, took) = (commit.rows(), commit.bytes(), took.as_secs_f64());
        let mut counted = false;
        self.board.update_sink(commit.sink, |sink| {
            if sink.last_epoch >= Some(commit.epoch) {
                counted = true;
                return;
            }
            sink.last_epoch = Some(commit.epoch);
            sink.last_snapshot = Some(snapshot.to_owned());
            sink.last_commit = Some(Utc::now());
            sink.last_commit_seconds = Some(took);
            sink.rows += rows;
            sink.bytes += bytes;
            sink.commits += 1;
            sink.pending_commits = sink.pending_commits.saturating_sub(1);
        });
        if !counted {
            self.metrics.committed(commit.job, commit.sink, rows, bytes, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_base::memory::MemoryBudget;
    use weir_connectors::source::Cuts;

    use super::*;
    use crate::epoch::SplitGauges;

    #[test]
    fn a_process_has_begun_no_commit_from_before_its_first_one() {
        let board = StatusBoard::new("job", &SplitGauges::default(), &MemoryBudget::new(1));
        let tally = Tally { board, metrics: Metrics::shared() };
        let (from, to, gaps, committables) = (Cuts::new(), Cuts::new(), Vec::new(), Vec::new());
        let commit = SinkCommit { incarnation: "U".to_owned(), commit_id: 1, previous_epoch: None, from, to, gaps, committables };
        let at = |epoch| Commit { job: "job", sink: "s", epoch, commit: &commit };
        assert_eq!([6, 8, 8, 6].map(|epoch| tally.begins(&at(epoch))), [false, false, true, true]);
        assert_eq!([5, 6, 8, 9].map(|epoch| tally.has_begun(&at(epoch))), [false, true, true, false]);
        assert!(!tally.has_begun(&Commit { sink: "other", ..at(6) }));
    }
}
