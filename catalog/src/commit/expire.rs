//! Expiry of the snapshots that a job made itself.
//!
//! [`expirable`] decides from the metadata; [`expire`] swaps, and then deletes by name what no remaining snapshot can reach.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{MAIN_BRANCH, ManifestFile, Operation, SnapshotRef, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};

use super::stage::read_manifest_list;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::marker::stored;
use crate::metadata_file::delete_files;
use crate::properties::value_or;
use crate::read::{LiveFile, live_in};
use crate::references::references;

/// Files read at the same time while looking for what is still reachable.
const READS_AT_ONCE: usize = 16;

/// What an expiry did.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Ids of the snapshots.
    pub snapshots: Vec<i64>,
    /// How many files were deleted.
    pub files: usize,
}

/// A branch or tag.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) snapshot_id: i64,
    is_branch: bool,
    min_to_keep: Option<usize>,
    max_age_ms: Option<i64>,
}

/// Expires what `job` may expire now.
pub(super) async fn expire(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, job: &str) -> Result<Expired, CatalogError> {
    let heads = heads(&table.metadata)?;
    let doomed = expirable(&table.metadata, &heads, job, chrono::Utc::now().timestamp_millis());
    if doomed.is_empty() {
        return Ok(Expired::default());
    }
    let main = table.metadata.current_snapshot_id();
    let requirements = vec![
        TableRequirement::UuidMatch { uuid: table.metadata.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: main },
    ];
    let update = TableUpdate::RemoveSnapshots { snapshot_ids: doomed.clone() };
    catalog.commit(table, requirements, vec![update]).await?;
    // From here on the snapshots are gone; a file that is not deleted now is only left behind.
    let files = unreachable_files(table, &doomed).await?;
    delete_files(&table.file_io, &files).await;
    Ok(Expired { snapshots: doomed, files: files.len() })
}

/// Snapshots of `job` that are older than `history.expire.max-snapshot-age-ms` and not among the `history.expire.min-snapshots-to-keep`
/// newest of any branch. Never the head of a branch or tag, never a snapshot of somebody else.
fn expirable(metadata: &TableMetadata, heads: &[Head], job: &str, now_ms: i64) -> Vec<i64> {
    if !value_or(metadata.properties(), "gc.enabled", true) {
        return Vec::new();
    }
    let age = value_or(metadata.properties(), "history.expire.max-snapshot-age-ms", 432_000_000_i64);
    let keep = value_or(metadata.properties(), "history.expire.min-snapshots-to-keep", 1_usize);
    let mut kept: HashSet<i64> = heads.iter().map(|head| head.snapshot_id).collect();
    for head in heads.iter().filter(|head| head.is_branch) {
        let youngest_allowed = now_ms.saturating_sub(head.max_age_ms.unwrap_or(age));
        let keep = head.min_to_keep.unwrap_or(keep);
        let branch = ancestors(metadata, head.snapshot_id);
        kept.extend(
            branch
                .enumerate()
                .filter(|(index, snapshot)| *index < keep || snapshot.timestamp_ms() >= youngest_allowed)
                .map(|(_, snapshot)| snapshot.snapshot_id()),
        );
    }
    let is_own = |snapshot: &SnapshotRef| snapshot.summary().additional_properties.get(stored::SUMMARY_JOB).is_some_and(|owner| owner == job);
    let is_old = |snapshot: &SnapshotRef| snapshot.timestamp_ms() < now_ms.saturating_sub(age);
    let mut doomed: Vec<&SnapshotRef> =
        metadata.snapshots().filter(|snapshot| is_own(snapshot) && is_old(snapshot) && !kept.contains(&snapshot.snapshot_id())).collect();
    doomed.sort_by_key(|snapshot| snapshot.sequence_number());
    doomed.into_iter().map(|snapshot| snapshot.snapshot_id()).collect()
}

/// A snapshot and those before it, newest first, as far as the metadata knows them.
pub(crate) fn ancestors(metadata: &TableMetadata, from: i64) -> impl Iterator<Item = &SnapshotRef> {
    let mut next = Some(from);
    let mut left = metadata.snapshots().len();
    std::iter::from_fn(move || {
        // The count ends a cycle, which only broken metadata can have.
        left = left.checked_sub(1)?;
        let snapshot = metadata.snapshot_by_id(next?)?;
        next = snapshot.parent_snapshot_id();
        Some(snapshot)
    })
}

/// The heads of branches and tags.
pub(crate) fn heads(metadata: &TableMetadata) -> Result<Vec<Head>, CatalogError> {
    let head = |reference: SnapshotReference| {
        let (min_to_keep, max_age_ms) = match reference.retention {
            SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, .. } => (min_snapshots_to_keep, max_snapshot_age_ms),
            SnapshotRetention::Tag { .. } => (None, None),
        };
        let min_to_keep = min_to_keep.and_then(|count| usize::try_from(count).ok());
        Head { snapshot_id: reference.snapshot_id, is_branch: reference.is_branch(), min_to_keep, max_age_ms }
    };
    Ok(references(metadata)?.into_values().map(head).collect())
}

/// Manifest lists of the expired snapshots, manifests that only they referred to, and data files that only those held.
async fn unreachable_files(table: &LakeTable, doomed: &[i64]) -> Result<Vec<String>, CatalogError> {
    let (gone, left): (Vec<SnapshotRef>, Vec<SnapshotRef>) =
        table.metadata.snapshots().cloned().partition(|snapshot| doomed.contains(&snapshot.snapshot_id()));
    let reachable = manifests_of(table, left.clone()).await?;
    let candidates: HashMap<String, ManifestFile> =
        manifests_of(table, gone.clone()).await?.into_iter().filter(|(path, _)| !reachable.contains_key(path)).collect();
    let mut files: Vec<String> = gone.iter().map(|snapshot| snapshot.manifest_list().to_owned()).collect();
    files.extend(candidates.keys().cloned());
    // Appends remove no files: as long as there is nothing else, every file of an expired snapshot is still in the table.
    if left.iter().chain(&gone).any(|snapshot| snapshot.summary().operation != Operation::Append) {
        let live = live_files(table, reachable.into_values().collect()).await?;
        let held = live_files(table, candidates.into_values().collect()).await?;
        files.extend(held.into_iter().filter(|path| !live.contains(path)));
    }
    Ok(files)
}

async fn manifests_of(table: &LakeTable, snapshots: Vec<SnapshotRef>) -> Result<HashMap<String, ManifestFile>, CatalogError> {
    let reads = snapshots.into_iter().map(|snapshot| read_manifest_list_of(table.clone(), snapshot));
    let lists: Vec<Vec<ManifestFile>> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(lists.into_iter().flatten().map(|manifest| (manifest.manifest_path.clone(), manifest)).collect())
}

async fn read_manifest_list_of(table: LakeTable, snapshot: SnapshotRef) -> Result<Vec<ManifestFile>, CatalogError> {
    read_manifest_list(&table, &snapshot).await
}

async fn live_files(table: &LakeTable, manifests: Vec<ManifestFile>) -> Result<HashSet<String>, CatalogError> {
    let reads = manifests.into_iter().map(|manifest| live_in(table.clone(), manifest));
    let all: Vec<Vec<LiveFile>> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().map(|live| live.file.file_path().to_owned()).collect())
}
