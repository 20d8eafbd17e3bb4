//! What tries of an append that were cut off have left in the table's metadata folder.
//!
//! A process that is killed between writing manifests, manifest list and metadata file and the swap leaves them behind, and nobody else knows
//! them: tries are many and their names are chance. But each name carries the snapshot id that the checkpoint assigned, so that recovery, once
//! the append is in the table, finds in one listing what belongs to it and is not in use. That is litter for good: any swap that is still under
//! way starts from a table without the snapshot, which is not the table any more.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::TableMetadata;
use weir_base::Classified;
use weir_fs::{FileSystems, Status};

use super::stage::read_manifest_list;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::metadata_file::{METADATA, deletes_old_metadata, file_name, has_version, metadata_directory, snapshot_in, version_of};
use crate::others;
use crate::upkeep::remove_files;

/// What a table says of the metadata files of some snapshots.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Snapshots whose files are looked for.
    pub(crate) snapshots: HashSet<i64>,
    /// Snapshots whose expiry was begun: its metadata file bears their number too.
    pub(crate) expired: HashSet<i64>,
    /// Names of files that are in use.
    pub(crate) used: HashSet<String>,
    /// The oldest version of the metadata that the table's log still tells; `None` if it tells of none.
    oldest_version: Option<i32>,
    /// Metadata files that leave the log are deleted.
    deletes_old: bool,
}

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It belongs to one of the snapshots and was never in use.
    Litter,
    /// If it is of this table, it is a version that the log does not tell any more, and ought to be deleted: the process that retired it was cut
    /// off before it came to that, or it is litter as well.
    Retired,
}

impl Known {
    /// No snapshots yet; in use are the metadata file `current` and those in the log.
    pub(crate) fn of(metadata: &TableMetadata, current: &str) -> Self {
        let logged = || metadata.metadata_log().iter().map(|entry| entry.metadata_file.as_str());
        Self {
            snapshots: HashSet::new(),
            expired: HashSet::new(),
            used: logged().chain([current]).map(|path| file_name(path).to_owned()).collect(),
            oldest_version: logged().map(version_of).min(),
            deletes_old: deletes_old_metadata(metadata),
        }
    }

    /// A metadata file that is older than the log may have been the table's once, and stays where such files are kept.
    fn fate(&self, name: &str) -> Fate {
        let is_metadata = name.ends_with(METADATA);
        let is_theirs =
            snapshot_in(name).is_some_and(|snapshot| self.snapshots.contains(&snapshot) || (is_metadata && self.expired.contains(&snapshot)));
        let is_of_log = self.oldest_version.is_some_and(|oldest| version_of(name) >= oldest);
        match (self.used.contains(name), is_metadata) {
            (true, _) => Fate::Kept,
            (false, false) => {
                if is_theirs {
                    Fate::Litter
                } else {
                    Fate::Kept
                }
            }
            (false, true) if is_of_log => {
                if is_theirs {
                    Fate::Litter
                } else {
                    Fate::Kept
                }
            }
            (false, true) if self.deletes_old && self.oldest_version.is_some() && has_version(name) => Fate::Retired,
            (false, true) => Fate::Kept,
        }
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
    unused(catalog, table, &known).await?.remove(catalog.file_systems()).await
}

/// Metadata files that a table does not need.
#[derive(Debug, Default)]
pub(crate) struct Unused {
    litter: Vec<String>,
    /// Oldest first.
    retired: Vec<String>,
}

impl Unused {
    /// Deletes them and gives their number.
    pub(crate) async fn remove(self, file_systems: &FileSystems) -> Result<usize, CatalogError> {
        remove_files(file_systems, &self.litter).await?;
        for path in &self.retired {
            // One after the other: in a `hadoop` catalog a gap must not come to be.
            remove_files(file_systems, std::slice::from_ref(path)).await?;
        }
        Ok(self.litter.len() + self.retired.len())
    }
}

/// The files in the table's metadata folder that belong to one of the snapshots in `known` and are not in use, and versions of the metadata that
/// have left its log, if those are deleted. One listing, none without snapshots.
pub(crate) async fn unused(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, known: &Known) -> Result<Unused, CatalogError> {
    if known.snapshots.is_empty() && known.expired.is_empty() {
        return Ok(Unused::default());
    }
    let folder = metadata_directory(&table.metadata);
    let listed = async { catalog.file_systems().place(&folder)?.list().try_collect::<Vec<Status>>().await };
    let listed = listed.await.map_err(|error| {
        let what = format!("the metadata folder `{folder}` of table `{}` cannot be listed: {error}", table.name());
        CatalogError::caused(error.kind(), what, error)
    })?;
    let mut unused = Unused::default();
    // What was cut off while it was written goes when its target is deleted.
    for name in listed.iter().filter_map(|found| found.target().or_else(|| found.path.filename())) {
        let path = format!("{folder}/{name}");
        match known.fate(name) {
            Fate::Kept => {}
            Fate::Litter => unused.litter.push(path),
            Fate::Retired => unused.retired.extend(is_version_of(table, &path).await.then_some(path)),
        }
    }
    unused.retired.sort_by_key(|path| version_of(path));
    Ok(unused)
}

/// Whether a metadata file is one of this table, and not of another that had its place before. One that cannot be read is not.
async fn is_version_of(table: &LakeTable, path: &str) -> bool {
    matches!(others::table_metadata(&table.file_io, path).await, Ok(metadata) if metadata.uuid() == table.metadata.uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata_file::uuid_for;

    #[test]
    fn only_files_of_the_appends_in_question_go_and_only_what_was_never_in_use() {
        let (used, tried, later) = (uuid_for(7), uuid_for(7), uuid_for(8));
        let used_names = [format!("{used}-m0.avro"), format!("snap-7-1-{used}.avro"), format!("00005-{used}.metadata.json")];
        let known = Known { snapshots: [7].into(), used: used_names.clone().into(), oldest_version: Some(3), deletes_old: false, ..Known::default() };
        for name in [format!("{tried}-m0.avro"), format!("{used}-m1.avro"), format!("snap-7-0-{used}.avro"), format!("00004-{tried}.metadata.json")] {
            assert_eq!(known.fate(&name), Fate::Litter, "{name}");
        }
        let kept = [format!("{later}-m0.avro"), format!("00002-{tried}.metadata.json"), "v4.metadata.json".to_owned(), format!("{tried}.puffin")];
        for name in kept.iter().chain(&used_names) {
            assert_eq!(known.fate(name), Fate::Kept, "{name}");
        }
        let deleting = Known { deletes_old: true, ..known };
        for name in [format!("00002-{tried}.metadata.json"), format!("00001-{later}.metadata.json"), "v2.metadata.json".to_owned()] {
            assert_eq!(deleting.fate(&name), Fate::Retired, "{name}");
        }
        for name in ["v3.metadata.json".to_owned(), "v2-copy.metadata.json".to_owned(), format!("00003-{later}.metadata.json")] {
            assert_eq!(deleting.fate(&name), Fate::Kept, "{name}");
        }
        let without_log = Known { oldest_version: None, ..deleting };
        assert_eq!(without_log.fate(&format!("00004-{tried}.metadata.json")), Fate::Kept);
    }
}
