//! Rewrites: the row count of each `replace` snapshot is that of the files it took out, less the rows that deletes had hidden in them.
//!
//! The summary of every rewrite is looked at. Of the newest ones, or of all in a deep verification, the manifests are read too: what the summary
//! says must be what they hold, and where deletes were about, they bound how many rows may have gone.

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{DataContentType, ManifestContentType, ManifestFile, ManifestStatus, Operation, Snapshot, SnapshotRef, TableMetadata};
use weir_base::{Classified, ErrorKind};

use super::{Depth, Progress, Step, few};
use crate::commit::read_manifest_list;
use crate::delete_files::may_apply;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::read::{LiveFile, entries, live_in, sequence_number};
use crate::upkeep::is_fence;

/// Rewrites whose manifests are read unless all are.
const NEWEST: usize = 100;

/// Rewrites whose manifests are read at the same time.
const AT_ONCE: usize = 8;

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrites {
    /// Rewrites in the table's history.
    pub all: usize,
    /// Those whose manifests were read.
    pub read: usize,
}

/// Data files that a snapshot has taken out, and those that it has put in.
#[derive(Debug, Clone, Default)]
pub struct Rewritten {
    /// Files that left.
    pub removed: Vec<LiveFile>,
    /// Files that came.
    pub added: Vec<LiveFile>,
}

/// What is known of the rows of one rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    removed: u64,
    added: u64,
    /// Rows that deletes hid in the removed files, at most; `None`: any number.
    hidden: Option<u64>,
}

/// Looks at the rewrites of a history, oldest first.
///
/// # Errors
/// The store's, but for manifests that are missing or damaged.
pub(super) async fn check(
    table: &LakeTable,
    history: &[SnapshotRef],
    depth: Depth,
    progress: &dyn Progress,
) -> Result<(Rewrites, Vec<String>), CatalogError> {
    let rewrites: Vec<&SnapshotRef> = history.iter().filter(|snapshot| is_rewrite(snapshot)).collect();
    let mut problems: Vec<String> = rewrites.iter().filter_map(|snapshot| of_summary(snapshot).and_then(|rows| wrong(snapshot, rows))).collect();
    let most = if depth >= Depth::Content { usize::MAX } else { NEWEST };
    let newest: Vec<&SnapshotRef> = rewrites.iter().rev().take(most).copied().collect();
    let read = newest.len();
    let mut reads = futures::stream::iter(newest.into_iter().map(|snapshot| one(table, snapshot)).collect::<Vec<_>>()).buffered(AT_ONCE);
    let mut done = 0;
    while let Some(found) = reads.try_next().await? {
        done += 1;
        progress.at(Step::Rewrites, done, read);
        problems.extend(found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
    }
    Ok((Rewrites { all: rewrites.len(), read }, few(problems)))
}

/// What the summary of a rewrite says; `None` if it says nothing of rows, as one of manifests alone.
fn of_summary(snapshot: &Snapshot) -> Option<Rows> {
    let summary = &snapshot.summary().additional_properties;
    let count = |key: &str| summary.get(key).and_then(|text| text.parse::<u64>().ok());
    let (added, removed) = (count("added-records"), count("deleted-records"));
    if added.is_none() && removed.is_none() {
        return None;
    }
    // The delete files that were there before it.
    let deletes = count("total-delete-files")
        .map(|left| (left + count("removed-delete-files").unwrap_or(0)).saturating_sub(count("added-delete-files").unwrap_or(0)));
    let copied_only = count("weir.compaction.decoded-groups") == Some(0);
    let hidden = if copied_only || deletes == Some(0) { Some(0) } else { None };
    Some(Rows { removed: removed.unwrap_or(0), added: added.unwrap_or(0), hidden })
}

/// Why a rewrite cannot have kept the rows that it read.
fn wrong(snapshot: &Snapshot, rows: Rows) -> Option<String> {
    let Rows { removed, added, hidden } = rows;
    let what = format!("rewrite {} took out files of {removed} rows and put in files of {added}", snapshot.snapshot_id());
    if added > removed {
        return Some(format!("{what}: a rewrite adds no rows"));
    }
    let hidden = hidden?;
    (removed - added > hidden).then(|| match hidden {
        0 => format!("{what}, though no delete was about them"),
        hidden => format!("{what}, though deletes hid {hidden} at most"),
    })
}

/// What is wrong with one rewrite, as its manifests and those before it say.
async fn one(table: &LakeTable, snapshot: &SnapshotRef) -> Result<Vec<String>, CatalogError> {
    match by_manifests(table, snapshot).await {
        // Files that are gone or damaged are a finding, whatever their kind is to a reader.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::User) => {
            Ok(vec![format!("rewrite {} cannot be looked at: {error}", snapshot.snapshot_id())])
        }
        found => found,
    }
}

async fn by_manifests(table: &LakeTable, snapshot: &SnapshotRef) -> Result<Vec<String>, CatalogError> {
    let said = of_summary(snapshot);
    let files = rewritten(table, snapshot).await?;
    let rows = |files: &[LiveFile]| files.iter().map(|live| live.file.record_count()).sum::<u64>();
    let (removed, added) = (rows(&files.removed), rows(&files.added));
    let mut problems = Vec::new();
    if let Some(said) = said.filter(|said| (said.removed, said.added) != (removed, added)) {
        problems.push(format!(
            "rewrite {} says that it took out {} rows and put in {}, but its manifests hold {removed} and {added}",
            snapshot.snapshot_id(),
            said.removed,
            said.added
        ));
    }
    let hidden = match said.and_then(|said| said.hidden) {
        Some(hidden) => Some(hidden),
        None => hidden_at_most(table, snapshot, &files.removed).await?,
    };
    problems.extend(wrong(snapshot, Rows { removed, added, hidden }));
    Ok(problems)
}

/// Rows of `removed` that the deletes of the snapshot before hid, at most; `None` if that cannot be told.
async fn hidden_at_most(table: &LakeTable, snapshot: &SnapshotRef, removed: &[LiveFile]) -> Result<Option<u64>, CatalogError> {
    let metadata = &table.metadata;
    let Some(parent) = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)) else { return Ok(None) };
    let of_deletes = |manifest: &ManifestFile| manifest.content == ManifestContentType::Deletes;
    let manifests = read_manifest_list(table, parent).await?.into_iter().filter(of_deletes);
    let mut hidden = Some(0);
    for manifest in manifests {
        for delete in live_in(table.clone(), manifest).await? {
            let global = metadata.partition_spec_by_id(delete.spec_id).is_none_or(|spec| spec.is_unpartitioned());
            if removed.iter().any(|data| may_apply(&delete, global, data)) {
                let is_by_position = delete.file.content_type() == DataContentType::PositionDeletes;
                hidden = hidden.filter(|_| is_by_position).map(|hidden: u64| hidden.saturating_add(delete.file.record_count()));
            }
        }
    }
    Ok(hidden)
}

/// The rewrites in a table's history, newest first.
///
/// # Errors
/// References of the table that cannot be read.
pub fn rewrites(metadata: &TableMetadata) -> Result<Vec<SnapshotRef>, CatalogError> {
    let mut found = super::history::of(metadata)?;
    found.retain(|snapshot| is_rewrite(snapshot));
    found.reverse();
    Ok(found)
}

fn is_rewrite(snapshot: &Snapshot) -> bool {
    snapshot.summary().operation == Operation::Replace && !is_fence(snapshot)
}

/// The data files that a snapshot has taken out and put in, as the manifests say that came with it.
///
/// # Errors
/// Manifests that cannot be read.
pub async fn rewritten(table: &LakeTable, snapshot: &SnapshotRef) -> Result<Rewritten, CatalogError> {
    let id = snapshot.snapshot_id();
    let is_own = |manifest: &ManifestFile| manifest.added_snapshot_id == id && manifest.content == ManifestContentType::Data;
    let mut found = Rewritten::default();
    for manifest in read_manifest_list(table, snapshot).await?.into_iter().filter(is_own) {
        for entry in entries(table, &manifest).await?.iter().filter(|entry| entry.snapshot_id() == Some(id)) {
            let list = match entry.status() {
                ManifestStatus::Added => &mut found.added,
                ManifestStatus::Deleted => &mut found.removed,
                ManifestStatus::Existing => continue,
            };
            list.push(LiveFile {
                file: entry.data_file().clone(),
                spec_id: manifest.partition_spec_id,
                sequence_number: sequence_number(table, &manifest, entry)?,
                snapshot_id: Some(id),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use iceberg::spec::Summary;

    use super::*;

    fn rewrite(entries: &[(&str, &str)]) -> SnapshotRef {
        let additional_properties: HashMap<String, String> = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Arc::new(
            Snapshot::builder()
                .with_snapshot_id(7)
                .with_sequence_number(1)
                .with_timestamp_ms(0)
                .with_manifest_list("memory:///list")
                .with_summary(Summary { operation: Operation::Replace, additional_properties })
                .build(),
        )
    }

    fn problem(entries: &[(&str, &str)]) -> Option<String> {
        let snapshot = rewrite(entries);
        of_summary(&snapshot).and_then(|rows| wrong(&snapshot, rows))
    }

    #[test]
    fn a_rewrite_without_deletes_keeps_every_row() {
        let said = |added, deletes| problem(&[("added-records", added), ("deleted-records", "10"), ("total-delete-files", deletes)]);
        assert_eq!(said("10", "0"), None);
        assert_eq!(said("9", "1"), None, "a delete may have hidden it");
        assert!(said("9", "0").expect("lost").contains("no delete was about them"));
        assert!(said("11", "1").expect("more").contains("adds no rows"));
        let with_deletes_gone =
            problem(&[("added-records", "9"), ("deleted-records", "10"), ("total-delete-files", "0"), ("removed-delete-files", "1")]);
        assert_eq!(with_deletes_gone, None, "the rewrite took the delete with it");
        let copied = [("added-records", "9"), ("deleted-records", "10"), ("total-delete-files", "1"), ("weir.compaction.decoded-groups", "0")];
        assert!(problem(&copied).expect("a copy hides nothing").contains("no delete"));
        assert_eq!(problem(&[("total-records", "5")]), None, "a rewrite of manifests says nothing of rows");
    }

    #[test]
    fn deletes_bound_what_may_go() {
        let of = |hidden| wrong(&rewrite(&[]), Rows { removed: 10, added: 7, hidden });
        assert_eq!((of(Some(3)), of(None)), (None, None));
        assert!(of(Some(2)).expect("one too many").contains("deletes hid 2 at most"));
    }
}
