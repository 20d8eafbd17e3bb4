//! Which of some files the snapshots of a table still need.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{FormatVersion, ManifestFile, SnapshotRef};
use weir_fs::FileSystems;

use crate::commit::read_manifest_list;
use crate::error::{CatalogError, file_system_error};
use crate::lake::LakeTable;
use crate::metadata_file::file_name;
use crate::read::live_in;

/// Manifest lists and manifests read at the same time.
const READS_AT_ONCE: usize = 16;

/// What snapshots after some sequence number need.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Names of manifests and manifest lists. They hold a UUID, so that they tell files apart however the path before them is written.
    pub(super) metadata: HashSet<String>,
    /// Those of the wanted files that are live in one of them.
    pub(super) files: HashSet<String>,
}

impl Reached {
    /// Looks through all snapshots of `table` after the sequence number `after`: whatever was made later is in no other. `wanted` are the files
    /// to look for, by their paths in checkpoints; without any no manifest is read. Manifests are read a few at a time and not kept.
    pub(super) async fn after(table: &LakeTable, file_systems: &FileSystems, after: i64, wanted: &HashSet<String>) -> Result<Self, CatalogError> {
        // Format 1 has no sequence numbers.
        let numbered = table.metadata.format_version() != FormatVersion::V1;
        let snapshots: Vec<SnapshotRef> =
            table.metadata.snapshots().filter(|snapshot| !numbered || snapshot.sequence_number() > after).cloned().collect();
        let mut reached = Self::default();
        let mut manifests: HashMap<String, ManifestFile> = HashMap::new();
        reached.metadata.extend(snapshots.iter().map(|snapshot| file_name(snapshot.manifest_list()).to_owned()));
        let mut lists = stream::iter(snapshots.into_iter().map(|snapshot| list_of(table.clone(), snapshot))).buffer_unordered(READS_AT_ONCE);
        while let Some(list) = lists.try_next().await? {
            for manifest in list.into_iter().filter(|manifest| !numbered || manifest.sequence_number > after) {
                reached.metadata.insert(file_name(&manifest.manifest_path).to_owned());
                manifests.insert(manifest.manifest_path.clone(), manifest);
            }
        }
        drop(lists);
        if wanted.is_empty() {
            return Ok(reached);
        }
        let mut reads = stream::iter(manifests.into_values().map(|manifest| live_in(table.clone(), manifest))).buffer_unordered(READS_AT_ONCE);
        while let Some(files) = reads.try_next().await? {
            for live in files {
                let path = file_systems.for_checkpoint(live.file.file_path()).map_err(file_system_error)?;
                if wanted.contains(&path) {
                    reached.files.insert(path);
                }
            }
        }
        Ok(reached)
    }
}

async fn list_of(table: LakeTable, snapshot: SnapshotRef) -> Result<Vec<ManifestFile>, CatalogError> {
    read_manifest_list(&table, &snapshot).await
}
