//! Which snapshots a stream reads: decided from the table's metadata alone.

use iceberg::spec::{Operation, SnapshotRef, TableMetadata};

use super::changes::ROW_KIND;
use super::options::{Begin, Overwrites};
use super::place::Place;

/// Why a stream cannot go on, in words for the user.
pub(super) type Trouble = String;

/// What a stream does with a snapshot.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// All that the table held with it.
    Scan(SnapshotRef),
    /// What it added.
    Added(SnapshotRef),
    /// What it removed and what it added.
    Changed(SnapshotRef),
    /// It added nothing, or rows that were there before.
    Nothing(SnapshotRef),
}

impl Step {
    pub(super) fn snapshot(&self) -> &SnapshotRef {
        match self {
            Self::Scan(snapshot) | Self::Added(snapshot) | Self::Changed(snapshot) | Self::Nothing(snapshot) => snapshot,
        }
    }
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The sequence number from which on snapshots have not been seen.
    pub(super) next: i64,
    /// The snapshot that was seen last, if this process saw it.
    pub(super) last: Option<i64>,
    /// The snapshot that is read whole.
    pub(super) scan: Option<i64>,
}

/// The place at which a stream without a checkpoint begins, and the snapshot that it reads whole first, if any.
pub(super) fn beginning(metadata: &TableMetadata, branch: &str, begin: &Begin) -> Result<(Place, Option<i64>), Trouble> {
    let chain = chain(metadata, branch)?;
    let at = |snapshot: &SnapshotRef| Place::start_of(snapshot.sequence_number());
    let named = |id: i64, what: String| {
        let found = chain.iter().find(|snapshot| snapshot.snapshot_id() == id).map(at);
        found.map(|place| (place, None)).ok_or_else(|| format!("{what} is not in the history of branch '{branch}'; {}", oldest(&chain)))
    };
    let Some(head) = chain.first() else {
        return match begin {
            Begin::Snapshot(id) => named(*id, format!("start snapshot {id}")),
            Begin::Tag(tag) => Err(format!("the table has no snapshots, and so no tag '{tag}'")),
            _ => Ok((Place::start_of(0), None)),
        };
    };
    let after_head = Place::start_of(head.sequence_number() + 1);
    match begin {
        Begin::Latest => Ok((at(head), None)),
        Begin::AfterLatest => Ok((after_head, None)),
        Begin::Earliest => Ok((chain.last().map_or(after_head, at), None)),
        Begin::Scan => Ok((at(head), Some(head.snapshot_id()))),
        Begin::Snapshot(id) => named(*id, format!("start snapshot {id}")),
        Begin::Tag(tag) => {
            let id = metadata.snapshot_for_ref(tag).ok_or_else(|| format!("the table has no tag '{tag}'"))?.snapshot_id();
            named(id, format!("snapshot {id} of tag '{tag}'"))
        }
        Begin::Time(time) => Ok((chain.iter().rev().find(|snapshot| snapshot.timestamp_ms() >= *time).map_or(after_head, at), None)),
    }
}

/// What has come since, in order of the commits.
pub(super) fn since(metadata: &TableMetadata, branch: &str, known: Known, overwrites: Overwrites) -> Result<Vec<Step>, Trouble> {
    let chain = chain(metadata, branch)?;
    if let Some(gone) = rolled_back(metadata, &chain, known) {
        return Err(format!(
            "branch '{branch}' was rolled back behind {gone}, which this stream has read. To read on from what is there now, start a job of another name \
             with 'starting-strategy'; rows that were rolled back stay where this job has written them"
        ));
    }
    let mut new: Vec<&SnapshotRef> = chain.iter().take_while(|snapshot| snapshot.sequence_number() >= known.next).collect();
    if let Some(whole) = new.iter().position(|snapshot| known.scan == Some(snapshot.snapshot_id())) {
        new.truncate(whole + 1);
    } else if let Some(old) = new.iter().find(|snapshot| snapshot.sequence_number() == 0) {
        return Err(format!(
            "snapshot {} is from when the table had format version 1: it has no place in the order of commits. Begin with 'starting-strategy' = \
             'TABLE_SCAN_THEN_INCREMENTAL', or with a later snapshot",
            old.snapshot_id()
        ));
    }
    if let Some(first) = new.last()
        && new.len() == chain.len()
        && is_cut_off(metadata, first, known)
    {
        return Err(format!(
            "snapshots that this stream has not read were expired: it needs those from sequence number {} on, and {}. Either restore the table's older \
             metadata, or accept the loss: start a job of another name with 'starting-strategy' = 'INCREMENTAL_FROM_EARLIEST_SNAPSHOT' (what is left of the \
             history) or 'TABLE_SCAN_THEN_INCREMENTAL' (all rows anew). To prevent it, let 'history.expire.max-snapshot-age-ms' be longer than a job may pause",
            known.next,
            oldest(&chain)
        ));
    }
    new.into_iter().rev().map(|snapshot| step(snapshot, known.scan, overwrites)).collect()
}

fn step(snapshot: &SnapshotRef, scan: Option<i64>, overwrites: Overwrites) -> Result<Step, Trouble> {
    if scan == Some(snapshot.snapshot_id()) {
        return Ok(Step::Scan(snapshot.clone()));
    }
    match (&snapshot.summary().operation, overwrites) {
        (Operation::Append, _) => Ok(Step::Added(snapshot.clone())),
        (Operation::Replace, _) | (Operation::Overwrite | Operation::Delete, Overwrites::PassOver) => Ok(Step::Nothing(snapshot.clone())),
        (Operation::Overwrite | Operation::Delete, Overwrites::Tell) => Ok(Step::Changed(snapshot.clone())),
        (Operation::Overwrite | Operation::Delete, Overwrites::Refuse) => Err(format!(
            "snapshot {} overwrites or deletes rows, which a stream of added rows cannot tell. To read such snapshots as changes, with the rows that they \
             remove, set 'streaming.overwrite-as-changes' = 'true' and select '{ROW_KIND}'; to pass over them, with all that they add, set \
             'streaming.skip-overwrite-snapshots' = 'true'",
            snapshot.snapshot_id()
        )),
    }
}

/// Whether there were snapshots between what is known and `first`, behind which nothing is kept.
fn is_cut_off(metadata: &TableMetadata, first: &SnapshotRef, known: Known) -> bool {
    match first.parent_snapshot_id() {
        _ if first.sequence_number() <= known.next => false,
        Some(parent) => known.last != Some(parent),
        // Some engines take the parent away when they expire it. What other branches have kept was not lost.
        None => (known.next.max(1)..first.sequence_number()).any(|number| metadata.snapshots().all(|kept| kept.sequence_number() != number)),
    }
}

/// The snapshots of a branch, the newest first, as far back as they are kept.
fn chain(metadata: &TableMetadata, branch: &str) -> Result<Vec<SnapshotRef>, Trouble> {
    let head = if branch == "main" {
        metadata.current_snapshot()
    } else {
        Some(metadata.snapshot_for_ref(branch).ok_or_else(|| format!("the table has no branch '{branch}'"))?)
    };
    let parent = |snapshot: &&SnapshotRef| snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
    Ok(std::iter::successors(head, parent).cloned().collect())
}

/// The snapshot that has been read and is not in the branch's history any more, if it is certain that there is one.
fn rolled_back(metadata: &TableMetadata, chain: &[SnapshotRef], known: Known) -> Option<String> {
    let read = known.next - 1;
    let by_id = known.last.and_then(|id| metadata.snapshot_by_id(id));
    let by_sequence = || metadata.snapshots().find(|snapshot| snapshot.sequence_number() == read);
    if let Some(last) = by_id.or_else(by_sequence) {
        let kept = chain.iter().any(|snapshot| snapshot.snapshot_id() == last.snapshot_id());
        return (!kept).then(|| format!("snapshot {}", last.snapshot_id()));
    }
    let head = chain.first().map_or(0, |head| head.sequence_number());
    (head < read).then(|| format!("the snapshot with sequence number {read}"))
}

fn oldest(chain: &[SnapshotRef]) -> String {
    match chain.last() {
        Some(oldest) => format!("the oldest that is kept is snapshot {} with sequence number {}", oldest.snapshot_id(), oldest.sequence_number()),
        None => "there are none".to_owned(),
    }
}
