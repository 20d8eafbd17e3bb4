//! What was appended between two snapshots: which snapshots these are, from the table's metadata alone. Pure.

use iceberg::spec::{Operation, SnapshotRef, TableMetadata};

use super::snapshot::{by_id, named};

/// A snapshot by its id, or by a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Snapshot(i64),
    Tag(String),
}

/// The snapshots behind one, up to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Between {
    /// What came with this one is not read. `None`: the table's beginning.
    pub(super) after: Option<End>,
    /// The last one. `None`: the head of the branch.
    pub(super) until: Option<End>,
    /// Branch whose head is the last one by default; `main` if none is named.
    pub(super) branch: Option<String>,
    /// Snapshots that overwrite or delete rows are passed over.
    pub(super) skip_overwrites: bool,
}

/// The last snapshot of a range, and those in it that appended rows, the oldest first.
#[derive(Debug, Clone)]
pub(super) struct Appended {
    pub(super) last: Option<SnapshotRef>,
    pub(super) snapshots: Vec<SnapshotRef>,
}

/// The snapshots of a range; `Err` says why there is none.
pub(super) fn appended(metadata: &TableMetadata, between: &Between) -> Result<Appended, String> {
    let found = |end: &End| match end {
        End::Snapshot(id) => by_id(metadata, *id),
        End::Tag(tag) => named(metadata, tag, false),
    };
    let last = match (&between.until, &between.branch) {
        (Some(end), _) => Some(found(end)?),
        (None, Some(branch)) => Some(named(metadata, branch, true)?),
        (None, None) => metadata.current_snapshot().cloned(),
    };
    let after = between.after.as_ref().map(found).transpose()?.map(|snapshot| snapshot.snapshot_id());
    let mut snapshots = Vec::new();
    let mut next = last.clone();
    while let Some(snapshot) = next.filter(|snapshot| Some(snapshot.snapshot_id()) != after) {
        let parent = snapshot.parent_snapshot_id();
        next = parent.and_then(|parent| metadata.snapshot_by_id(parent)).cloned();
        match (after, parent, &next) {
            (Some(after), None, _) => return Err(no_ancestor(after, last.as_ref())),
            (_, Some(parent), None) => return Err(expired(after, parent, snapshot.snapshot_id())),
            _ => snapshots.push(snapshot),
        }
    }
    snapshots.reverse();
    if let Some(other) = snapshots.iter().find(|snapshot| !between.skip_overwrites && takes_rows(snapshot)) {
        return Err(format!(
            "snapshot {} in the range overwrites or deletes rows, so what was appended is not what has changed. To read all the same what the other \
             snapshots have appended, set 'streaming.skip-overwrite-snapshots' = 'true'",
            other.snapshot_id()
        ));
    }
    snapshots.retain(|snapshot| snapshot.summary().operation == Operation::Append);
    Ok(Appended { last, snapshots })
}

fn takes_rows(snapshot: &SnapshotRef) -> bool {
    matches!(snapshot.summary().operation, Operation::Overwrite | Operation::Delete)
}

fn no_ancestor(after: i64, last: Option<&SnapshotRef>) -> String {
    let last = last.map(|last| last.snapshot_id().to_string()).unwrap_or_default();
    format!(
        "snapshot {after} is no ancestor of snapshot {last}, so nothing lies between them. The metadata table '$snapshots' lists the parent of each"
    )
}

fn expired(after: Option<i64>, parent: i64, first: i64) -> String {
    let remedy = format!("Begin with 'start-snapshot-id' = '{first}' or a later one, or read a whole snapshot with 'snapshot-id'");
    match after {
        Some(after) => format!(
            "snapshot {after} is no ancestor of snapshot {first}, or what lies between them has expired: snapshot {parent}, the parent of {first}, is gone. {remedy}"
        ),
        None => format!("snapshot {parent}, the parent of {first}, has expired, so what was appended before is not known. {remedy}"),
    }
}
