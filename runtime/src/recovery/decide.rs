//! Where a job goes on, decided from its checkpoints and from the markers in its targets. No I/O.

use std::collections::BTreeMap;

use weir_connectors::sink::{Gap, GapReason, TargetState};
use weir_connectors::source::{Cut, Cuts, SplitId};

use crate::checkpoint::{Checkpoint, SinkRecord};
use crate::error::RuntimeError;

/// What recovery has read.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Job name.
    pub(crate) job: &'a str,
    /// Checkpoint directory, for messages.
    pub(crate) dir: &'a str,
    /// The newest committed checkpoint, if there is one, and every later one, in order.
    pub(crate) chain: &'a [Checkpoint],
    /// Whether the first of `chain` has its committed mark.
    pub(crate) first_is_committed: bool,
    /// Every sink of the job: its target's name, and the target's state unless the sink has no committer.
    pub(crate) sinks: &'a BTreeMap<String, (String, Option<TargetState>)>,
}

/// What one sink has taken so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SinkProgress {
    /// The target's name.
    pub(crate) target: String,
    /// Identity of the target; `None` without a committer.
    pub(crate) incarnation: Option<String>,
    /// Epoch of the last commit.
    pub(crate) last_epoch: Option<u64>,
    /// Rows before this are in the target, or were never meant for it.
    pub(crate) reached: Cuts,
    /// Stretches after that which it does not get, and which no commit has told yet.
    pub(crate) gaps: Vec<Gap>,
}

/// Where the job goes on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Start {
    /// Nothing was ever committed: at the sources' start options.
    Fresh,
    /// At the cut of the last checkpoint.
    Checkpoint,
    /// The checkpoints are gone: at the lowest of the sinks' own cuts.
    Markers {
        /// Sinks that have a marker, with what they reached.
        lowest: Cuts,
        /// Every sink has a marker: `lowest` is where to start. If not, where a source starts by its options counts too.
        complete: bool,
    },
}

/// The decision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// Where to go on.
    pub(crate) start: Start,
    /// What each sink has taken, once the commits that are pending are done.
    pub(crate) sinks: BTreeMap<String, SinkProgress>,
    /// The epoch that each target held when it was read, by sink.
    pub(crate) markers: BTreeMap<String, u64>,
}

impl Decision {
    /// The highest epoch in any target.
    pub(crate) fn highest_marker(&self) -> Option<u64> {
        self.markers.values().max().copied()
    }
}

/// Decides where the job goes on.
///
/// # Errors
/// Whatever must stop it: a target ahead, behind or replaced, or no place to go on from.
pub(crate) fn decide(facts: &Facts<'_>) -> Result<Decision, RuntimeError> {
    let held = facts.sinks.iter().filter_map(|(id, (_, state))| Some((id.clone(), state.as_ref()?.marker.as_ref()?.epoch)));
    let markers: BTreeMap<String, u64> = held.collect();
    let Some(last) = facts.chain.last() else {
        return without_checkpoint(facts, markers);
    };
    for checkpoint in facts.chain.iter().skip(usize::from(facts.first_is_committed)) {
        let unfinished = checkpoint.sinks.iter().find(|(id, record)| record.commit.is_some() && !facts.sinks.contains_key(*id));
        if let Some((sink, _)) = unfinished {
            return Err(RuntimeError::UnfinishedSink { sink: sink.clone(), epoch: checkpoint.epoch, dir: facts.dir.to_owned() });
        }
    }
    let mut sinks = BTreeMap::new();
    for (id, (target, state)) in facts.sinks {
        let progress = match (last.sinks.get(id), state) {
            (Some(record), Some(state)) => {
                check_target_state(facts, id, state, record, last.epoch)?;
                SinkProgress {
                    target: target.clone(),
                    incarnation: Some(state.incarnation.clone()),
                    last_epoch: record.last_epoch,
                    reached: record.reached.clone(),
                    gaps: record.gaps.clone(),
                }
            }
            (None, Some(state)) => joining(from_marker(target, state), &last.cuts),
            (_, None) => SinkProgress { target: target.clone(), ..SinkProgress::default() },
        };
        sinks.insert(id.clone(), progress);
    }
    Ok(Decision { start: Start::Checkpoint, sinks, markers })
}

fn check_target_state(facts: &Facts<'_>, id: &str, state: &TargetState, record: &SinkRecord, epoch: u64) -> Result<(), RuntimeError> {
    let name = || state.name.clone();
    if let Some(recorded) = record.incarnation.as_ref().filter(|recorded| **recorded != state.incarnation) {
        return Err(RuntimeError::TargetReplaced { target: name(), found: state.incarnation.clone(), recorded: recorded.clone(), epoch });
    }
    let (dir, sink) = (facts.dir.to_owned(), id.to_owned());
    let found = state.marker.as_ref().map(|marker| marker.epoch);
    if let Some(target_epoch) = found.filter(|found| Some(*found) > record.last_epoch) {
        return Err(RuntimeError::TargetAhead { target: name(), sink, target_epoch, checkpoint_epoch: record.last_epoch, dir });
    }
    match oldest_possible(facts, id) {
        Some(expected) if found < Some(expected) => {
            Err(RuntimeError::TargetBehind { target: name(), sink, target_epoch: found, checkpoint_epoch: expected, dir })
        }
        _ => Ok(()),
    }
}

/// The epoch that the sink's target holds at least, if what the first known checkpoint says is true.
fn oldest_possible(facts: &Facts<'_>, id: &str) -> Option<u64> {
    let first = facts.chain.first()?.sinks.get(id)?;
    match &first.commit {
        Some(commit) if !facts.first_is_committed => commit.previous_epoch,
        _ => first.last_epoch,
    }
}

fn from_marker(target: &str, state: &TargetState) -> SinkProgress {
    let marker = state.marker.as_ref();
    SinkProgress {
        target: target.to_owned(),
        incarnation: Some(state.incarnation.clone()),
        last_epoch: marker.map(|marker| marker.epoch),
        reached: marker.map(|marker| marker.cuts.clone()).unwrap_or_default(),
        gaps: Vec::new(),
    }
}

/// A sink that was in the job once, then was not, and is again: it goes on where the job is. The job cannot go back for it, and nobody said
/// that it should; but what was read meanwhile is missing in its table, and that is told.
fn joining(mut sink: SinkProgress, cuts: &Cuts) -> SinkProgress {
    if sink.last_epoch.is_none() {
        return sink; // quite new: it begins with the job's next epoch
    }
    for (source, cut) in cuts {
        let reached = sink.reached.entry(source.clone()).or_default();
        for (split, now) in cut {
            match reached.get(split) {
                Some(then) if then.incarnation == now.incarnation => {
                    sink.gaps.extend(gap(source, split, then.offset, now.offset, GapReason::NotInJob));
                }
                _ => drop(reached.insert(split.clone(), now.clone())),
            }
        }
    }
    sink
}

/// What `sinks` do not get because reading begins at `start` and not, as the checkpoint says, at `restored`.
pub(crate) fn tell_lost(sinks: &mut BTreeMap<String, SinkProgress>, source: &str, restored: &Cut, start: &Cut) {
    for sink in sinks.values_mut() {
        for (split, position) in restored {
            let reached = sink.reached.get(source).and_then(|cut| cut.get(split)).map(|reached| reached.offset);
            let (Some(reached), Some(start)) = (reached, start.get(split)) else { continue };
            sink.gaps.extend(gap(source, split, position.offset.max(reached), start.offset, GapReason::Lost));
        }
    }
}

fn gap(source: &str, split: &SplitId, from: i64, to: i64, why: GapReason) -> Option<Gap> {
    (from < to).then(|| Gap { source: source.to_owned(), split: split.clone(), from, to, why })
}

fn without_checkpoint(facts: &Facts<'_>, markers: BTreeMap<String, u64>) -> Result<Decision, RuntimeError> {
    let progress = |target: &String, state: &Option<TargetState>| match state {
        Some(state) => from_marker(target, state),
        None => SinkProgress { target: target.clone(), ..SinkProgress::default() },
    };
    let sinks: BTreeMap<String, SinkProgress> = facts.sinks.iter().map(|(id, (target, state))| (id.clone(), progress(target, state))).collect();
    let marked = facts.sinks.values().find_map(|(_, state)| {
        let state = state.as_ref()?;
        Some((state.name.clone(), state.marker.as_ref()?.epoch))
    });
    let Some((marked, epoch)) = marked else {
        return Ok(Decision { start: Start::Fresh, sinks, markers });
    };
    if let Some((sink, _)) = facts.sinks.iter().find(|(_, (_, state))| state.is_none()) {
        return Err(RuntimeError::NoMarker { job: facts.job.to_owned(), dir: facts.dir.to_owned(), marked, epoch, sink: sink.clone() });
    }
    let marked: Vec<&Cuts> = sinks.values().filter(|sink| sink.last_epoch.is_some()).map(|sink| &sink.reached).collect();
    let start = Start::Markers { lowest: lowest(&marked), complete: marked.len() == sinks.len() };
    Ok(Decision { start, sinks, markers })
}

/// For each source that all `cuts` have, the lowest position of each split that all of them have. A split that one of them lacks was found
/// after that one's last commit: it is left out, and begins at its beginning.
fn lowest(cuts: &[&Cuts]) -> Cuts {
    let Some((first, rest)) = cuts.split_first() else { return Cuts::new() };
    let mut result = (*first).clone();
    result.retain(|source, _| rest.iter().all(|other| other.contains_key(source)));
    for (source, cut) in &mut result {
        let others: Vec<&Cut> = rest.iter().filter_map(|other| other.get(source)).collect();
        cut.retain(|split, _| others.iter().all(|other| other.contains_key(split)));
        for (split, position) in cut {
            position.offset = others.iter().filter_map(|other| other.get(split)).map(|other| other.offset).fold(position.offset, i64::min);
        }
    }
    result
}

/// `cut`, no split of it later than in `limit`; splits that only `limit` has come with it.
pub(crate) fn at_most(cut: &Cut, limit: &Cut) -> Cut {
    let mut result = cut.clone();
    for (split, position) in limit {
        let entry = result.entry(split.clone()).or_insert_with(|| position.clone());
        entry.offset = entry.offset.min(position.offset);
    }
    result
}

/// The epoch to claim: above everything that has a name in the directory or, if that is lost, in the upkeep of a target; or a marker in one.
pub(crate) fn epoch_to_claim(named: Option<u64>, highest_marker: Option<u64>) -> u64 {
    named.max(highest_marker).map_or(1, |highest| highest + 1)
}

/// A job, other than this one, that wrote into the target what it read from a split that this job reads too.
pub(crate) fn shared_source<'a>(markers: &'a [(String, weir_connectors::sink::Marker)], cuts: &Cuts) -> Option<(&'a str, String)> {
    markers.iter().find_map(|(job, marker)| {
        let theirs = marker.cuts.values().flatten();
        let shared = theirs.into_iter().find(|(split, position)| {
            let ours = cuts.values().filter_map(|cut| cut.get(*split));
            position.incarnation.is_some() && ours.into_iter().any(|ours| ours.incarnation == position.incarnation)
        });
        shared.map(|(split, _)| (job.as_str(), split.0.clone()))
    })
}

#[cfg(test)]
mod tests {
    use weir_connectors::sink::{Committable, Marker, SinkCommit};
    use weir_connectors::source::SplitPosition;

    use super::*;

    fn cuts(offsets: &[(&str, i64)]) -> Cuts {
        let cut = offsets.iter().map(|(split, offset)| (SplitId((*split).into()), SplitPosition { offset: *offset, incarnation: Some("T".into()) }));
        [("src".to_owned(), cut.collect())].into()
    }

    fn record(last_epoch: Option<u64>, commit: Option<Option<u64>>) -> SinkRecord {
        let committables = vec![Committable { payload: serde_json::Value::Null, rows: 1, bytes: 1 }];
        let commit = commit.map(|previous_epoch| SinkCommit {
            incarnation: "U".into(),
            commit_id: 1,
            previous_epoch,
            from: Cuts::new(),
            to: Cuts::new(),
            gaps: Vec::new(),
            committables,
        });
        SinkRecord { target: "lake.t".into(), incarnation: Some("U".into()), last_epoch, reached: cuts(&[("0", 5)]), gaps: Vec::new(), commit }
    }

    fn checkpoint(epoch: u64, record: SinkRecord) -> Checkpoint {
        Checkpoint::new("job", epoch, "a", cuts(&[("0", 9)]), [("s".to_owned(), record)].into())
    }

    fn state(uuid: &str, marker: Option<(u64, Cuts)>) -> Option<TargetState> {
        let marker = marker.map(|(epoch, cuts)| Marker { epoch, cuts });
        Some(TargetState { name: "table lake.t".into(), incarnation: uuid.into(), marker, other_jobs: Vec::new() })
    }

    fn run(chain: &[Checkpoint], first_is_committed: bool, sinks: &[(&str, Option<TargetState>)]) -> Result<Decision, RuntimeError> {
        let sinks = sinks.iter().map(|(id, state)| ((*id).to_owned(), ("lake.t".to_owned(), state.clone()))).collect();
        decide(&Facts { job: "job", dir: "file:///c/job", chain, first_is_committed, sinks: &sinks })
    }

    #[test]
    fn nothing_anywhere_is_a_fresh_start() {
        let decision = run(&[], false, &[("s", state("U", None)), ("p", None)]).expect("starts");
        assert_eq!(decision.start, Start::Fresh);
        assert_eq!(epoch_to_claim(None, decision.highest_marker()), 1);
    }

    #[test]
    fn a_target_may_hold_any_epoch_between_the_committed_and_the_pending_ones() {
        let chain = [checkpoint(4, record(Some(4), Some(Some(2)))), checkpoint(5, record(Some(5), Some(Some(4))))];
        for (marker, committed, good) in [(4, true, true), (5, true, true), (2, true, false), (2, false, true), (1, false, false), (6, true, false)] {
            let decided = run(&chain, committed, &[("s", state("U", Some((marker, Cuts::new()))))]);
            assert_eq!(decided.is_ok(), good, "marker {marker}, committed {committed}");
        }
    }

    #[test]
    fn an_older_checkpoint_is_refused_with_both_epochs_and_the_ways_out() {
        let error = run(&[checkpoint(3, record(Some(3), None))], true, &[("s", state("U", Some((9, Cuts::new()))))]).expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, RuntimeError::TargetAhead { target_epoch: 9, checkpoint_epoch: Some(3), .. }));
        assert!(
            text.contains("epoch 9")
                && text.contains("epoch 3")
                && text.contains("put the newer checkpoints back")
                && text.contains("delete the checkpoint directory")
        );
    }

    #[test]
    fn a_target_made_anew_stops_the_job_with_both_uuids() {
        let error = run(&[checkpoint(3, record(Some(3), None))], true, &[("s", state("V", None))]).expect_err("refused");
        assert!(error.to_string().contains("UUID is V") && error.to_string().contains("has U"));
    }

    #[test]
    fn without_checkpoints_the_lowest_own_cut_counts() {
        let sinks = [("a", state("U", Some((7, cuts(&[("0", 10), ("1", 3)]))))), ("b", state("V", Some((5, cuts(&[("0", 4), ("1", 8), ("2", 1)])))))];
        let decision = run(&[], false, &sinks).expect("goes on");
        assert_eq!(decision.start, Start::Markers { lowest: cuts(&[("0", 4), ("1", 3)]), complete: true });
        assert_eq!(epoch_to_claim(Some(2), decision.highest_marker()), 8);
        assert_eq!(decision.sinks.get("a").and_then(|sink| sink.last_epoch), Some(7));
    }

    #[test]
    fn without_checkpoints_a_sink_that_keeps_no_marker_refuses() {
        let error = run(&[], false, &[("a", state("U", Some((7, Cuts::new())))), ("p", None)]).expect_err("refused");
        assert!(matches!(error, RuntimeError::NoMarker { sink, epoch: 7, .. } if sink == "p"));
    }

    #[test]
    fn a_sink_that_left_with_an_unfinished_commit_is_asked_back() {
        let chain = [checkpoint(4, record(Some(4), Some(None)))];
        assert!(matches!(run(&chain, false, &[]), Err(RuntimeError::UnfinishedSink { epoch: 4, .. })));
        assert!(run(&chain, true, &[]).is_ok());
    }

    #[test]
    fn a_sink_that_comes_back_goes_on_where_the_job_is_and_the_stretch_between_is_a_gap() {
        let mut last = checkpoint(9, record(Some(9), None));
        last.cuts = cuts(&[("0", 30), ("new", 8)]);
        let away = [("s", state("U", Some((9, Cuts::new())))), ("back", state("V", Some((4, cuts(&[("0", 10)]))))), ("fresh", state("W", None))];
        let mut decision = run(&[last], true, &away).expect("goes on");
        let back = &decision.sinks["back"];
        let missing = |from, to, why| Gap { source: "src".into(), split: SplitId("0".into()), from, to, why };
        assert_eq!((back.last_epoch, &back.gaps), (Some(4), &vec![missing(10, 30, GapReason::NotInJob)]));
        assert_eq!(back.reached, cuts(&[("0", 10), ("new", 8)]), "a split that was found meanwhile begins where the job is");
        assert!(decision.sinks["fresh"].gaps.is_empty() && decision.sinks["fresh"].reached.is_empty());
        // Then the log turns out to have lost something more.
        let cut = |offset| cuts(&[("0", offset)]).remove("src").expect("a cut");
        tell_lost(&mut decision.sinks, "src", &cut(30), &cut(32));
        assert_eq!(decision.sinks["back"].gaps[1..], [missing(30, 32, GapReason::Lost)]);
        assert_eq!(decision.sinks["s"].gaps, [missing(30, 32, GapReason::Lost)]);
    }

    #[test]
    fn another_jobs_marker_counts_only_for_the_same_splits_of_the_same_topic() {
        let marker = |offsets: &[(&str, i64)]| vec![("other".to_owned(), Marker { epoch: 1, cuts: cuts(offsets) })];
        assert_eq!(shared_source(&marker(&[("0", 1)]), &cuts(&[("0", 9)])), Some(("other", "0".to_owned())));
        assert_eq!(shared_source(&marker(&[("1", 1)]), &cuts(&[("0", 9)])), None);
        let mut recreated = cuts(&[("0", 9)]);
        recreated.values_mut().flatten().for_each(|(_, position)| position.incarnation = Some("new topic".into()));
        assert_eq!(shared_source(&marker(&[("0", 1)]), &recreated), None);
    }
}
