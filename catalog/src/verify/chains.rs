//! The commits of each job and sink in the order of the table: do epochs rise, and does each range begin where the last one ended?

use std::collections::BTreeMap;

use crate::marker::{Cuts, Gap, Marker};

/// What the summary of one snapshot says of a commit of ours.
#[derive(Debug, Clone)]
pub(super) struct CommitFact {
    pub(super) job: String,
    pub(super) sink: String,
    pub(super) epoch: u64,
    pub(super) from: Cuts,
    pub(super) to: Cuts,
    pub(super) gaps: Vec<Gap>,
    pub(super) snapshot_id: i64,
    /// Whether the table's history has a hole between this snapshot and the sink's commit before it.
    pub(super) expired_before: bool,
}

/// The retained commits of one job and sink.
#[derive(Debug, Clone)]
pub struct SinkChain {
    /// Job name.
    pub job: String,
    /// Sink id.
    pub sink: String,
    /// Epoch of the oldest commit that the table still knows.
    pub first_epoch: u64,
    /// Epoch of the newest one.
    pub last_epoch: u64,
    /// How many commits the table still knows.
    pub commits: usize,
    /// Whether older commits, or some in between, have been expired.
    pub expired: bool,
    /// Cuts before the oldest commit.
    pub from: Cuts,
    /// Cuts after the newest one.
    pub to: Cuts,
    /// Stretches in between that the sink was not given, as its commits say.
    pub gaps: Vec<Gap>,
}

/// Chains by job and sink, and what is wrong with them. `facts` are in the order of the table; `markers` are those of its properties.
pub(super) fn chains(facts: Vec<CommitFact>, markers: &BTreeMap<(String, String), Marker>) -> (Vec<SinkChain>, Vec<String>) {
    let mut by_sink: BTreeMap<(String, String), Vec<CommitFact>> = BTreeMap::new();
    for fact in facts {
        by_sink.entry((fact.job.clone(), fact.sink.clone())).or_default().push(fact);
    }
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for ((job, sink), commits) in &by_sink {
        let who = format!("job `{job}`, sink `{sink}`");
        for pair in commits.windows(2) {
            if let [before, after] = pair {
                problems.extend(step(&who, before, after));
            }
        }
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { continue };
        match markers.get(&(job.clone(), sink.clone())) {
            None => problems.push(format!("{who}: the table's properties hold no marker, though epoch {} was committed", last.epoch)),
            Some(marker) if marker.epoch != last.epoch || marker.cuts != last.to => {
                problems.push(format!("{who}: the marker is at epoch {}, but the newest commit is epoch {}", marker.epoch, last.epoch));
            }
            Some(_) => {}
        }
        found.push(SinkChain {
            job: job.clone(),
            sink: sink.clone(),
            first_epoch: first.epoch,
            last_epoch: last.epoch,
            commits: commits.len(),
            expired: commits.iter().any(|commit| commit.expired_before),
            from: first.from.clone(),
            to: last.to.clone(),
            gaps: commits.iter().flat_map(|commit| commit.gaps.clone()).collect(),
        });
    }
    // A marker whose snapshots are all gone is no problem: expiry leaves properties alone.
    for ((job, sink), marker) in markers.iter().filter(|(key, _)| !by_sink.contains_key(*key)) {
        let (job, sink) = (job.clone(), sink.clone());
        let (epoch, to) = (marker.epoch, marker.cuts.clone());
        found.push(SinkChain { job, sink, first_epoch: epoch, last_epoch: epoch, commits: 0, expired: true, from: to.clone(), to, gaps: Vec::new() });
    }
    found.sort_by(|a, b| (&a.job, &a.sink).cmp(&(&b.job, &b.sink)));
    (found, problems)
}

/// What is wrong between two commits of one sink that follow each other.
fn step(who: &str, before: &CommitFact, after: &CommitFact) -> Vec<String> {
    let place =
        format!("{who}: epoch {} (snapshot {}) after epoch {} (snapshot {})", after.epoch, after.snapshot_id, before.epoch, before.snapshot_id);
    let mut problems = Vec::new();
    if after.epoch <= before.epoch {
        problems.push(format!("{place}: epochs do not rise"));
    }
    for (source, cut) in &before.to {
        for (split, end) in cut {
            let Some(start) = after.from.get(source).and_then(|cut| cut.get(split)) else {
                problems.push(format!("{place}: split `{split}` of source `{source}` is missing"));
                continue;
            };
            if end.incarnation.is_some() && start.incarnation.is_some() && end.incarnation != start.incarnation {
                problems.push(format!("{place}: `{split}` is another one than before (it was deleted and created again)"));
            } else if start.offset < end.offset {
                problems.push(format!("{place}: `{split}` was read twice from {} to {}", start.offset, end.offset));
            } else if start.offset > end.offset && !after.expired_before {
                problems.push(format!("{place}: `{split}` was not read from {} to {}", end.offset, start.offset));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::cuts;

    fn fact(epoch: u64, from: i64, to: i64, expired_before: bool) -> CommitFact {
        let snapshot_id = i64::try_from(epoch).expect("small");
        CommitFact { job: "j".to_owned(), sink: "s".to_owned(), epoch, from: cuts(from), to: cuts(to), gaps: Vec::new(), snapshot_id, expired_before }
    }

    fn problems(facts: Vec<CommitFact>, epoch: u64, offset: i64) -> Vec<String> {
        let markers = BTreeMap::from([(("j".to_owned(), "s".to_owned()), Marker { epoch, cuts: cuts(offset) })]);
        chains(facts, &markers).1
    }

    #[test]
    fn ranges_that_meet_are_fine() {
        assert!(problems(vec![fact(1, 0, 5, false), fact(4, 5, 9, false)], 4, 9).is_empty());
    }

    #[test]
    fn a_gap_counts_unless_history_has_a_hole_there_and_an_overlap_always() {
        assert!(problems(vec![fact(1, 0, 5, false), fact(2, 6, 9, false)], 2, 9)[0].contains("not read from 5 to 6"));
        assert!(problems(vec![fact(1, 0, 5, false), fact(2, 6, 9, true)], 2, 9).is_empty());
        assert!(problems(vec![fact(1, 0, 5, false), fact(2, 4, 9, true)], 2, 9)[0].contains("read twice from 4 to 5"));
    }

    #[test]
    fn epochs_must_rise_and_the_marker_must_be_the_newest_commit() {
        assert!(problems(vec![fact(2, 0, 5, false), fact(2, 5, 9, false)], 2, 9)[0].contains("do not rise"));
        assert!(problems(vec![fact(1, 0, 5, false)], 3, 5)[0].contains("marker is at epoch 3"));
        let none = chains(vec![fact(1, 0, 5, false)], &BTreeMap::new()).1;
        assert!(none[0].contains("no marker"), "{none:?}");
    }
}
