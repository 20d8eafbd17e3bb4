//! What only snapshots that go can reach: computed before they go, while everything that tells it is there.
//!
//! Manifests: from its birth on, a manifest is in an unbroken stretch of the history, since a snapshot takes over manifests of its parent or writes
//! new ones. So one that a snapshot which goes has in common with any that stays is in one at the border: that has a neighbour which goes, or has
//! lost its parent. Only the lists of those are read.
//!
//! Data files: in a history without forks a file that was removed stands as removed in a manifest of the snapshot that did it, and is needed by no
//! snapshot but those between its coming and its going. That costs the reading of those manifests alone. Where the history forks, was rolled back, or
//! has holes where the removal would be told, all files of manifests that go are held against all manifests that stay.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataContentType, DataFile, ManifestFile, ManifestStatus, SnapshotRef, TableMetadata};

use super::super::history::{Head, ancestors};
use super::super::stage::read_manifest_list;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::read::entries;

/// Files read at the same time.
const READS_AT_ONCE: usize = 16;

/// A file that goes with snapshots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoneFile {
    /// What it is.
    pub kind: GoneKind,
    /// Where, as metadata has it.
    pub path: String,
    /// Bytes; `None` for manifest lists, whose size stands nowhere.
    pub bytes: Option<u64>,
}

/// Kinds of files of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GoneKind {
    /// Rows.
    Data,
    /// Deletes by position, deletion vectors among them.
    PositionDeletes,
    /// Deletes by equality.
    EqualityDeletes,
    /// Manifest.
    Manifest,
    /// Manifest list.
    ManifestList,
    /// Statistics of a snapshot or its partitions.
    Statistics,
}

/// A history that is about to lose snapshots.
#[derive(Debug)]
struct Parting<'a> {
    metadata: &'a TableMetadata,
    going: HashSet<i64>,
    children: HashMap<i64, Vec<&'a SnapshotRef>>,
}

impl<'a> Parting<'a> {
    fn new(metadata: &'a TableMetadata, going: &[i64]) -> Self {
        let mut children: HashMap<i64, Vec<&SnapshotRef>> = HashMap::new();
        for snapshot in metadata.snapshots() {
            if let Some(parent) = snapshot.parent_snapshot_id() {
                children.entry(parent).or_default().push(snapshot);
            }
        }
        Self { metadata, going: going.iter().copied().collect(), children }
    }

    fn goes(&self, snapshot: &SnapshotRef) -> bool {
        self.going.contains(&snapshot.snapshot_id())
    }

    fn children(&self, of: &SnapshotRef) -> &[&'a SnapshotRef] {
        self.children.get(&of.snapshot_id()).map_or(&[], Vec::as_slice)
    }

    /// Snapshots that stay next to one that goes, or to a hole. A cherry-picked one has files in common with the one it was picked from.
    fn is_border(&self, snapshot: &SnapshotRef) -> bool {
        let beside =
            snapshot.parent_snapshot_id().is_none_or(|parent| self.going.contains(&parent) || self.metadata.snapshot_by_id(parent).is_none());
        beside || is_picked(snapshot) || self.children(snapshot).iter().any(|child| self.goes(child))
    }

    /// Whether removals tell of every file that goes: only where all snapshots are ancestors of one head.
    fn is_told(&self, heads: &[Head]) -> bool {
        let mut branches = heads.iter().filter(|head| head.is_branch);
        let (Some(branch), None) = (branches.next(), branches.next()) else { return false };
        // One line without holes from the first snapshot to the head: after a rollback a file may be removed on one side and be live on the other.
        let line = ancestors(self.metadata, branch.snapshot_id).count();
        line == self.metadata.snapshots().len() && !self.metadata.snapshots().any(is_picked)
    }
}

fn is_picked(snapshot: &SnapshotRef) -> bool {
    ["source-snapshot-id", "published-wap-id"].iter().any(|key| snapshot.summary().additional_properties.contains_key(*key))
}

/// The files that nobody needs once the snapshots `going` are gone.
///
/// # Errors
/// Metadata that cannot be read.
pub(super) async fn gone_with(table: &LakeTable, heads: &[Head], going: &[i64]) -> Result<Vec<GoneFile>, CatalogError> {
    let metadata = &table.metadata;
    let parting = Parting::new(metadata, going);
    let (leaving, staying): (Vec<SnapshotRef>, Vec<SnapshotRef>) = metadata.snapshots().cloned().partition(|snapshot| parting.goes(snapshot));
    let told = parting.is_told(heads);
    let border: Vec<SnapshotRef> = staying.iter().filter(|snapshot| !told || parting.is_border(snapshot)).cloned().collect();
    let kept = manifests_of(table, border.clone()).await?;
    let left = manifests_of(table, leaving.clone()).await?;
    let mut gone: BTreeMap<String, GoneFile> = BTreeMap::new();
    let mut add = |kind, path: &str, bytes| {
        gone.insert(path.to_owned(), GoneFile { kind, path: path.to_owned(), bytes });
    };
    for snapshot in &leaving {
        add(GoneKind::ManifestList, snapshot.manifest_list(), None);
    }
    for (path, bytes) in statistics(metadata, &parting.going) {
        add(GoneKind::Statistics, &path, Some(bytes));
    }
    let only_left: Vec<ManifestFile> = left.values().filter(|manifest| !kept.contains_key(&manifest.manifest_path)).cloned().collect();
    for manifest in &only_left {
        add(GoneKind::Manifest, &manifest.manifest_path, u64::try_from(manifest.manifest_length).ok());
    }
    let files = if told {
        let kept_numbers: BTreeSet<i64> = staying.iter().map(|snapshot| snapshot.sequence_number()).collect();
        let removers = leaving
            .into_iter()
            .chain(border.into_iter().filter(|snapshot| snapshot.parent_snapshot_id().is_some_and(|parent| parting.going.contains(&parent))));
        let removers: HashMap<i64, i64> = removers.map(|snapshot| (snapshot.snapshot_id(), snapshot.sequence_number())).collect();
        removed_by(table, left.into_values().chain(kept.into_values()), &removers, &kept_numbers).await?
    } else {
        only_in(table, only_left, kept.into_values().collect()).await?
    };
    for file in files {
        add(kind_of(&file), file.file_path(), Some(file.file_size_in_bytes()));
    }
    Ok(gone.into_values().collect())
}

fn kind_of(file: &DataFile) -> GoneKind {
    match file.content_type() {
        DataContentType::Data => GoneKind::Data,
        DataContentType::PositionDeletes => GoneKind::PositionDeletes,
        DataContentType::EqualityDeletes => GoneKind::EqualityDeletes,
    }
}

/// Statistics of snapshots that go, unless one that stays has the same file.
fn statistics(metadata: &TableMetadata, going: &HashSet<i64>) -> BTreeMap<String, u64> {
    let files = metadata.statistics_iter().map(|file| (file.snapshot_id, &file.statistics_path, file.file_size_in_bytes));
    let partitions = metadata.partition_statistics_iter().map(|file| (file.snapshot_id, &file.statistics_path, file.file_size_in_bytes));
    let (leaving, staying): (Vec<_>, Vec<_>) = files.chain(partitions).partition(|(snapshot, ..)| going.contains(snapshot));
    let kept: HashSet<&String> = staying.into_iter().map(|(_, path, _)| path).collect();
    let gone = leaving.into_iter().filter(|(_, path, _)| !kept.contains(path));
    gone.map(|(_, path, bytes)| (path.clone(), u64::try_from(bytes).unwrap_or(0))).collect()
}

async fn manifests_of(table: &LakeTable, snapshots: Vec<SnapshotRef>) -> Result<HashMap<String, ManifestFile>, CatalogError> {
    let lists = snapshots.into_iter().map(|snapshot| list_of(table.clone(), snapshot));
    let mut lists = stream::iter(lists).buffer_unordered(READS_AT_ONCE);
    let mut all = HashMap::new();
    while let Some(list) = lists.try_next().await? {
        all.extend(list.into_iter().map(|manifest| (manifest.manifest_path.clone(), manifest)));
    }
    Ok(all)
}

async fn list_of(table: LakeTable, snapshot: SnapshotRef) -> Result<Vec<ManifestFile>, CatalogError> {
    read_manifest_list(&table, &snapshot).await
}

/// Files that one of the snapshots in `removers` (with their sequence numbers) has removed, and that no kept snapshot had before that.
async fn removed_by(
    table: &LakeTable,
    manifests: impl Iterator<Item = ManifestFile>,
    removers: &HashMap<i64, i64>,
    kept_numbers: &BTreeSet<i64>,
) -> Result<Vec<DataFile>, CatalogError> {
    let told = manifests.filter(|manifest| removers.contains_key(&manifest.added_snapshot_id) && manifest.has_deleted_files());
    let told: HashMap<String, ManifestFile> = told.map(|manifest| (manifest.manifest_path.clone(), manifest)).collect();
    let mut reads = stream::iter(told.into_values().map(|manifest| entries_of(table.clone(), manifest))).buffer_unordered(READS_AT_ONCE);
    let mut removed = Vec::new();
    while let Some(found) = reads.try_next().await? {
        for entry in found.into_iter().filter(|entry| entry.status() == ManifestStatus::Deleted) {
            let Some(went) = entry.snapshot_id().and_then(|id| removers.get(&id)) else { continue };
            let came = entry.file_sequence_number.or(entry.sequence_number()).unwrap_or(0);
            if kept_numbers.range(came..*went).next().is_none() {
                removed.push(entry.data_file().clone());
            }
        }
    }
    Ok(removed)
}

async fn entries_of(table: LakeTable, manifest: ManifestFile) -> Result<Vec<iceberg::spec::ManifestEntryRef>, CatalogError> {
    entries(&table, &manifest).await
}

/// Live files of the manifests `left` that are in none of the manifests `kept`, which are read a few at a time and not held.
async fn only_in(table: &LakeTable, left: Vec<ManifestFile>, kept: Vec<ManifestFile>) -> Result<Vec<DataFile>, CatalogError> {
    let mut files: HashMap<String, DataFile> = HashMap::new();
    let mut reads = stream::iter(left.into_iter().map(|manifest| entries_of(table.clone(), manifest))).buffer_unordered(READS_AT_ONCE);
    while let Some(found) = reads.try_next().await? {
        let live = found.iter().filter(|entry| entry.is_alive()).map(|entry| entry.data_file());
        files.extend(live.map(|file| (file.file_path().to_owned(), file.clone())));
    }
    drop(reads);
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut reads = stream::iter(kept.into_iter().map(|manifest| entries_of(table.clone(), manifest))).buffer_unordered(READS_AT_ONCE);
    while let Some(found) = reads.try_next().await? {
        for entry in found.iter().filter(|entry| entry.is_alive()) {
            files.remove(entry.file_path());
        }
    }
    Ok(files.into_values().collect())
}
