//! What tries of an append that were cut off have left in the table's metadata folder.
//!
//! A process that is killed between writing manifests, manifest list and metadata file and the swap leaves them behind, and nobody else knows
//! them: tries are many and their names are chance. But each name carries the snapshot id that the checkpoint assigned, so that recovery, once
//! the append is in the table, finds in one listing what belongs to it and is not in use. That is litter for good: any swap that is still under
//! way starts from a table without the snapshot, which is not the table any more.

use std::collections::HashSet;
use std::sync::Arc;

use iceberg::spec::TableMetadata;
use weir_base::Classified;

use super::stage::read_manifest_list;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::metadata_file::{METADATA, delete_files, deletes_old_metadata, file_name, metadata_directory, snapshot_in, version_of};

/// What a table says of the metadata files of some snapshots.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Snapshots whose files are looked for.
    pub(crate) snapshots: HashSet<i64>,
    /// Names of files that are in use.
    pub(crate) used: HashSet<String>,
    /// The oldest version of the metadata of which it can be told whether it is in use: that of the table's log, or any, if files are deleted
    /// that leave the log; `None` if there is none.
    oldest_version: Option<i32>,
}

impl Known {
    /// No snapshots yet; in use are the metadata file `current` and those in the log.
    pub(crate) fn of(metadata: &TableMetadata, current: &str) -> Self {
        let logged = || metadata.metadata_log().iter().map(|entry| entry.metadata_file.as_str());
        let oldest_logged = logged().map(version_of).min();
        Self {
            snapshots: HashSet::new(),
            used: logged().chain([current]).map(|path| file_name(path).to_owned()).collect(),
            oldest_version: if deletes_old_metadata(metadata) { Some(0) } else { oldest_logged },
        }
    }

    /// Whether the file belongs to one of the snapshots and is not in use. A metadata file that is older than the log may have been the
    /// table's once, and stays where such files are kept.
    fn is_litter(&self, name: &str) -> bool {
        let is_theirs = snapshot_in(name).is_some_and(|snapshot| self.snapshots.contains(&snapshot));
        let is_decided = !name.ends_with(METADATA) || self.oldest_version.is_some_and(|oldest| version_of(name) >= oldest);
        is_theirs && is_decided && !self.used.contains(name)
    }
}

/// Deletes the litter of the appends of `snapshot_ids` that are in `table`; those that are not are left alone. Gives the number of files.
pub(super) async fn sweep(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, snapshot_ids: &[i64]) -> Result<usize, CatalogError> {
    let mut known = Known::of(&table.metadata, &table.metadata_location);
    for snapshot in snapshot_ids.iter().filter_map(|id| table.metadata.snapshot_by_id(*id)) {
        known.snapshots.insert(snapshot.snapshot_id());
        known.used.insert(file_name(snapshot.manifest_list()).to_owned());
        let manifests = read_manifest_list(table, snapshot).await?;
        known.used.extend(manifests.iter().map(|manifest| file_name(&manifest.manifest_path).to_owned()));
    }
    let litter = unused(catalog, table, &known).await?;
    delete_files(&table.file_io, &litter).await;
    Ok(litter.len())
}

/// The files in the table's metadata folder that belong to one of the snapshots in `known` and are not in use. One listing, none without snapshots.
pub(crate) async fn unused(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, known: &Known) -> Result<Vec<String>, CatalogError> {
    if known.snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let folder = metadata_directory(&table.metadata);
    let failed = |kind, error: Box<dyn std::error::Error + Send + Sync>| {
        CatalogError::caused(kind, format!("the metadata folder `{folder}` of table `{}` cannot be listed: {error}", table.id), error)
    };
    let location = catalog.file_systems().resolve(&folder).map_err(|error| failed(error.kind(), error.into()))?;
    let listed = location.store.list_with_delimiter(Some(&location.path)).await;
    let listed = listed.map_err(|error| failed(weir_fs::kind_of(&error), error.into()))?;
    let names = listed.objects.iter().filter_map(|object| object.location.filename());
    Ok(names.filter(|name| known.is_litter(name)).map(|name| format!("{folder}/{name}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata_file::uuid_for;

    #[test]
    fn only_files_of_the_appends_in_question_go_and_only_what_was_never_in_use() {
        let (used, tried, later) = (uuid_for(7), uuid_for(7), uuid_for(8));
        let used_names = [format!("{used}-m0.avro"), format!("snap-7-1-{used}.avro"), format!("00005-{used}.metadata.json")];
        let known = Known { snapshots: [7].into(), used: used_names.clone().into(), oldest_version: Some(3) };
        for name in [format!("{tried}-m0.avro"), format!("{used}-m1.avro"), format!("snap-7-0-{used}.avro"), format!("00004-{tried}.metadata.json")] {
            assert!(known.is_litter(&name), "{name}");
        }
        let kept = [format!("{later}-m0.avro"), format!("00002-{tried}.metadata.json"), "v4.metadata.json".to_owned(), format!("{tried}.puffin")];
        for name in kept.iter().chain(&used_names) {
            assert!(!known.is_litter(name), "{name}");
        }
        let without_log = Known { oldest_version: None, ..known };
        assert!(!without_log.is_litter(&format!("00004-{tried}.metadata.json")));
    }
}
