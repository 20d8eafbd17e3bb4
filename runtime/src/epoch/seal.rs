//! From what an epoch wrote to its checkpoint. Pure.

use std::collections::BTreeMap;

use weir_connectors::sink::{Committable, SinkCommit};
use weir_connectors::source::Cuts;

use crate::checkpoint::{Checkpoint, SinkRecord};
use crate::recovery::SinkProgress;

/// What identifies an epoch's checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochId<'a> {
    pub(crate) job: &'a str,
    pub(crate) epoch: u64,
    pub(crate) attempt: &'a str,
}

/// The checkpoint of an epoch that ended at `cuts`, and what each sink will have taken then. `progress` names every sink, as it was before;
/// `commit_id` pre-assigns the id of a sink's commit.
pub(crate) fn seal(
    id: EpochId<'_>,
    cuts: &Cuts,
    mut committables: BTreeMap<String, Vec<Committable>>,
    mut progress: BTreeMap<String, SinkProgress>,
    mut commit_id: impl FnMut(&str) -> Option<i64>,
) -> (Checkpoint, BTreeMap<String, SinkProgress>) {
    let mut records = BTreeMap::new();
    for (sink, state) in &mut progress {
        let written = committables.remove(sink).filter(|written| !written.is_empty());
        let commit = match (written, &state.incarnation, commit_id(sink)) {
            (Some(committables), Some(incarnation), Some(commit_id)) => {
                let to = later(&state.reached, cuts);
                let from = std::mem::replace(&mut state.reached, to.clone());
                let previous_epoch = state.last_epoch.replace(id.epoch);
                let gaps = std::mem::take(&mut state.gaps);
                Some(SinkCommit { incarnation: incarnation.clone(), commit_id, previous_epoch, from, to, gaps, committables })
            }
            _ => None,
        };
        let record = SinkRecord {
            target: state.target.clone(),
            incarnation: state.incarnation.clone(),
            last_epoch: state.last_epoch,
            reached: state.reached.clone(),
            gaps: state.gaps.clone(),
            commit,
        };
        records.insert(sink.clone(), record);
    }
    (Checkpoint::new(id.job, id.epoch, id.attempt, cuts.clone(), records), progress)
}

/// The later position of each split.
fn later(reached: &Cuts, cuts: &Cuts) -> Cuts {
    let mut result = cuts.clone();
    for (source, cut) in reached {
        let merged = result.entry(source.clone()).or_default();
        for (split, position) in cut {
            let entry = merged.entry(split.clone()).or_insert_with(|| position.clone());
            entry.offset = entry.offset.max(position.offset);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use weir_connectors::source::{SplitId, SplitPosition};

    use super::*;

    fn cuts(offset: i64) -> Cuts {
        [("s".to_owned(), [(SplitId("0".into()), SplitPosition { offset, incarnation: None })].into())].into()
    }

    fn run(epoch: u64, to: i64, rows: bool, progress: BTreeMap<String, SinkProgress>) -> (Checkpoint, BTreeMap<String, SinkProgress>) {
        let written = vec![Committable { payload: serde_json::Value::Null, rows: 1, bytes: 1 }];
        let committables = if rows { [("t".to_owned(), written)].into() } else { BTreeMap::new() };
        seal(EpochId { job: "j", epoch, attempt: "a" }, &cuts(to), committables, progress, |_| Some(7))
    }

    #[test]
    fn a_sink_without_rows_commits_nothing_and_its_next_commit_spans_the_gap() {
        let sink = SinkProgress { target: "t".into(), incarnation: Some("U".into()), last_epoch: None, reached: cuts(0), gaps: Vec::new() };
        let (_, progress) = run(1, 10, true, [("t".to_owned(), sink)].into());
        let (second, progress) = run(2, 20, false, progress);
        let (third, _) = run(3, 30, true, progress);
        assert_eq!(second.sinks["t"].commit, None);
        assert_eq!(second.sinks["t"].last_epoch, Some(1));
        let commit = third.sinks["t"].commit.clone().expect("rows");
        assert_eq!((commit.previous_epoch, commit.from, commit.to), (Some(1), cuts(10), cuts(30)));
    }

    #[test]
    fn a_sink_that_is_ahead_of_the_cut_stays_ahead() {
        let sink = SinkProgress { target: "t".into(), incarnation: Some("U".into()), last_epoch: Some(4), reached: cuts(50), gaps: Vec::new() };
        let (checkpoint, _) = run(9, 20, true, [("t".to_owned(), sink)].into());
        assert_eq!(checkpoint.sinks["t"].reached, cuts(50));
        assert_eq!(checkpoint.cuts, cuts(20));
    }
}
