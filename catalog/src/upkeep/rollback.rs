//! A branch set back to an earlier snapshot, or to any.
//!
//! Only the branch moves: files and snapshots stay until they are expired. The markers of jobs are table properties and stay too, unless they
//! are asked back: a job that goes on writes behind what was taken away, which is gone then for good.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use iceberg::TableUpdate;
use iceberg::spec::{Operation, Snapshot, SnapshotRef};

use super::branch::Branch;
use super::swap::{Decided, swap};
use crate::commit::{ancestors, marker_of};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::marker::{Marker, stored};

/// Where a branch shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackTo {
    /// A snapshot before the branch's head.
    Snapshot(i64),
    /// The newest snapshot before the head that was committed before this time, in milliseconds since 1970.
    Before(i64),
    /// Any snapshot of the table.
    Any(i64),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The branch; `None` is `main`.
    pub branch: Option<String>,
    /// Where it goes.
    pub to: BackTo,
    /// Whether the markers of jobs go back with it, so that a job which is started from an older checkpoint, or without any, writes again what was
    /// taken away.
    pub markers: bool,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The branch.
    pub branch: String,
    /// Its head before.
    pub from: i64,
    /// Its head after.
    pub to: i64,
    /// Snapshots that no branch or tag leads to any more, newest first.
    pub unreachable: Vec<Unreachable>,
    /// Jobs whose commits the branch has lost.
    pub jobs: Vec<LostCommits>,
}

/// A snapshot that nothing leads to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Its id.
    pub snapshot_id: i64,
    /// When it was committed.
    pub committed: Option<DateTime<Utc>>,
    /// What it did, in Iceberg's words: `append`, `replace`, `overwrite`, `delete`.
    pub operation: String,
    /// Rows that it added, as its summary says; `None` for a rewrite, which adds none to the table.
    pub added_rows: Option<u64>,
}

/// Commits of one sink of a job that a branch has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostCommits {
    /// Job name.
    pub job: String,
    /// Sink id.
    pub sink: String,
    /// The newest epoch that the branch has now; `None`: none that the table knows of.
    pub at: Option<u64>,
    /// The newest epoch that was taken away.
    pub lost: u64,
    /// Whether its marker went back too.
    pub marker_set_back: bool,
}

/// The newest commit of a job's sink in a row of snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Commit {
    epoch: u64,
    to: String,
}

/// Moves the branch.
///
/// # Errors
/// A snapshot that the table does not have, or that is not one before the head, with the way to go there all the same; markers that cannot be set
/// back (user); the catalog's.
pub async fn roll_back(catalog: &Arc<dyn LakeCatalog>, id: &TableId, request: &Rollback) -> Result<RolledBack, CatalogError> {
    swap(catalog, id, |table| {
        let (told, updates) = decide(table, request)?;
        let branch = Branch::of(table, request.branch.as_deref())?;
        Ok(Decided { told, requirements: branch.requirements(), updates })
    })
    .await
}

/// What [`roll_back`] would do to the table as it is.
///
/// # Errors
/// As [`roll_back`].
pub fn plan_rollback(table: &LakeTable, request: &Rollback) -> Result<RolledBack, CatalogError> {
    decide(table, request).map(|(told, _)| told)
}

fn decide(table: &LakeTable, request: &Rollback) -> Result<(RolledBack, Vec<TableUpdate>), CatalogError> {
    let branch = Branch::of(table, request.branch.as_deref())?;
    let Some(from) = branch.head else {
        return Err(CatalogError::user(format!("table `{}` has no snapshot on branch '{}'", table.name(), branch.name)));
    };
    let to = target(&branch, request.to)?.snapshot_id();
    if to == from {
        let told = RolledBack { branch: branch.name.to_owned(), from, to, unreachable: Vec::new(), jobs: Vec::new() };
        return Ok((told, Vec::new()));
    }
    let left = branch.reachable_with(Some(to));
    let before = branch.reachable_with(Some(from));
    let mut lost: Vec<&SnapshotRef> = before.difference(&left).filter_map(|id| table.metadata.snapshot_by_id(*id)).collect();
    lost.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    let unreachable = lost.iter().map(|snapshot| Unreachable::of(snapshot)).collect();
    let mut updates = vec![branch.moved_to(to)];
    let mut jobs = Vec::new();
    for ((job, sink), gone) in lost_commits(&branch, to) {
        let kept = newest(ancestors(&table.metadata, to), &job, &sink);
        if request.markers {
            updates.extend(marker_updates(table, to, (&job, &sink), &gone, kept.as_ref())?);
        }
        jobs.push(LostCommits { job, sink, at: kept.map(|kept| kept.epoch), lost: gone.epoch, marker_set_back: request.markers });
    }
    Ok((RolledBack { branch: branch.name.to_owned(), from, to, unreachable, jobs }, updates))
}

/// The snapshot that is meant.
fn target<'a>(branch: &Branch<'a>, to: BackTo) -> Result<&'a SnapshotRef, CatalogError> {
    match to {
        BackTo::Any(id) => branch.snapshot(id),
        BackTo::Snapshot(id) => {
            let wanted = branch.snapshot(id)?;
            match branch.ancestors().find(|ancestor| ancestor.snapshot_id() == id) {
                Some(found) => Ok(found),
                None => Err(CatalogError::user(format!(
                    "snapshot {id} of table `{}`, of {}, is not one that branch '{}' has come from, so that going there is no way back. To make it current \
                     all the same, set it as the current snapshot ('weir table rollback --set-current', or CALL …system.set_current_snapshot)",
                    branch.table.name(),
                    time(wanted.timestamp_ms()),
                    branch.name
                ))),
            }
        }
        BackTo::Before(limit) => {
            let older = branch.ancestors().find(|ancestor| ancestor.timestamp_ms() < limit);
            older.ok_or_else(|| {
                let oldest = branch.ancestors().last().map_or_else(|| "none".to_owned(), |oldest| time(oldest.timestamp_ms()));
                CatalogError::user(format!(
                    "branch '{}' of table `{}` has no snapshot from before {}; its oldest one is of {oldest}",
                    branch.name,
                    branch.table.name(),
                    time(limit)
                ))
            })
        }
    }
}

fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

impl Unreachable {
    fn of(snapshot: &Snapshot) -> Self {
        let operation = &snapshot.summary().operation;
        let added = snapshot.summary().additional_properties.get("added-records").filter(|_| *operation != Operation::Replace);
        Self {
            operation: operation.as_str().to_owned(),
            snapshot_id: snapshot.snapshot_id(),
            committed: DateTime::from_timestamp_millis(snapshot.timestamp_ms()),
            added_rows: added.and_then(|text| text.parse().ok()),
        }
    }
}

/// For each sink of a job, the newest of its commits that the branch has now and will not have at `to`.
fn lost_commits(branch: &Branch<'_>, to: i64) -> BTreeMap<(String, String), Commit> {
    let kept: HashSet<i64> = ancestors(branch.metadata(), to).map(|snapshot| snapshot.snapshot_id()).collect();
    let mut lost = BTreeMap::new();
    for snapshot in branch.ancestors().filter(|snapshot| !kept.contains(&snapshot.snapshot_id())) {
        if let Some((key, commit)) = commit_of(snapshot) {
            lost.entry(key).or_insert(commit);
        }
    }
    lost
}

fn newest<'a>(mut snapshots: impl Iterator<Item = &'a SnapshotRef>, job: &str, sink: &str) -> Option<Commit> {
    snapshots.find_map(|snapshot| commit_of(snapshot).filter(|(key, _)| key.0 == job && key.1 == sink)).map(|(_, commit)| commit)
}

fn commit_of(snapshot: &Snapshot) -> Option<((String, String), Commit)> {
    let text = |key: &str| snapshot.summary().additional_properties.get(key).cloned();
    let commit = Commit { epoch: text(stored::SUMMARY_EPOCH)?.parse().ok()?, to: text(stored::SUMMARY_TO)? };
    Some(((text(stored::SUMMARY_JOB)?, text(stored::SUMMARY_SINK)?), commit))
}

/// What sets a marker back from `gone` to `kept`.
///
/// # Errors
/// A marker that is not that of `gone`; one whose earlier value the table does not know any more.
fn marker_updates(
    table: &LakeTable,
    to: i64,
    (job, sink): (&str, &str),
    gone: &Commit,
    kept: Option<&Commit>,
) -> Result<Vec<TableUpdate>, CatalogError> {
    let who = || format!("the marker of job `{job}`, sink `{sink}`, in table `{}`", table.name());
    let marker = marker_of(table, job, sink)?;
    if marker.as_ref().map(|marker: &Marker| marker.epoch) != Some(gone.epoch) {
        let at = marker.map_or_else(|| "nowhere".to_owned(), |marker| format!("at epoch {}", marker.epoch));
        let what = format!("{} is {at}, but the newest commit on this branch is of epoch {}: it is not set back", who(), gone.epoch);
        return Err(CatalogError::user(format!("{what}. Roll back without it, and look at 'weir verify'")));
    }
    let (epoch, cut) = (stored::epoch_key(job, sink), stored::cut_key(job, sink));
    if let Some(kept) = kept {
        let updates = HashMap::from([(epoch, kept.epoch.to_string()), (cut, kept.to.clone())]);
        return Ok(vec![TableUpdate::SetProperties { updates }]);
    }
    let oldest = ancestors(&table.metadata, to).last();
    if oldest.is_some_and(|oldest| oldest.parent_snapshot_id().is_some()) {
        let what = format!("{} cannot be set back: where it was at snapshot {to} stood in a snapshot that was expired", who());
        return Err(CatalogError::user(format!("{what}. Roll back without it")));
    }
    Ok(vec![TableUpdate::RemoveProperties { removals: vec![epoch, cut] }])
}
