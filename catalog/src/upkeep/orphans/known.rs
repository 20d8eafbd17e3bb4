//! All files that a table refers to, in few bytes for each.
//!
//! A file is kept as a number made from its path and the number of its prefix. Two paths with one number would make a file that nobody refers to look
//! like one that is needed, so that it stays: never the other way round.

use std::collections::{BTreeSet, HashSet, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{ManifestFile, TableMetadata};
use weir_fs::FileSystems;

use super::Progress;
use super::paths::{Equal, Spot};
use crate::commit::read_manifest_list;
use crate::error::{CatalogError, file_system_error};
use crate::lake::LakeTable;
use crate::read::live_in;

/// Manifest lists and manifests read at the same time.
const READS_AT_ONCE: usize = 16;

/// Files by number of path and of prefix.
#[derive(Debug, Default)]
pub(super) struct Known {
    files: BTreeSet<(u64, u16)>,
    prefixes: Vec<String>,
    /// Snapshots that were read.
    snapshots: HashSet<i64>,
    manifests: HashSet<String>,
}

/// What is known of a file that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// The table refers to it.
    Needed,
    /// The table refers to a file of that path under another prefix.
    Elsewhere(&'a str),
    /// Nothing refers to it.
    Orphan,
}

impl Known {
    /// Reads what `table` refers to, on top of what is known: only snapshots that were not there before.
    ///
    /// # Errors
    /// Metadata that cannot be read: then nobody can tell what it refers to.
    pub(super) async fn read(
        &mut self,
        table: &LakeTable,
        file_systems: &FileSystems,
        equal: &Equal,
        progress: &dyn Progress,
    ) -> Result<(), CatalogError> {
        for path in of_metadata(&table.metadata, &table.metadata_location) {
            self.add(file_systems, equal, &path)?;
        }
        let new: Vec<_> = table.metadata.snapshots().filter(|snapshot| !self.snapshots.contains(&snapshot.snapshot_id())).cloned().collect();
        let lists = new.into_iter().map(|snapshot| async move {
            let manifests = read_manifest_list(table, &snapshot).await?;
            Ok::<_, CatalogError>((snapshot, manifests))
        });
        let mut manifests: Vec<ManifestFile> = Vec::new();
        let mut lists = stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(READS_AT_ONCE);
        while let Some((snapshot, found)) = lists.try_next().await? {
            self.add(file_systems, equal, snapshot.manifest_list())?;
            self.snapshots.insert(snapshot.snapshot_id());
            for manifest in found {
                if self.manifests.insert(manifest.manifest_path.clone()) {
                    self.add(file_systems, equal, &manifest.manifest_path)?;
                    manifests.push(manifest);
                }
            }
        }
        drop(lists);
        let all = manifests.len();
        let reads = manifests.into_iter().map(|manifest| live_in(table.clone(), manifest));
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(READS_AT_ONCE);
        let mut done = 0;
        while let Some(files) = reads.try_next().await? {
            done += 1;
            progress.manifests(done, all);
            for live in files {
                self.add(file_systems, equal, live.file.file_path())?;
            }
        }
        Ok(())
    }

    /// Adds a file by its name.
    ///
    /// # Errors
    /// A name that is no URI.
    pub(super) fn add(&mut self, file_systems: &FileSystems, equal: &Equal, uri: &str) -> Result<(), CatalogError> {
        let Spot { prefix, path } = Spot::of(file_systems, equal, uri).map_err(file_system_error)?;
        let number = match self.prefixes.iter().position(|known| *known == prefix) {
            Some(number) => number,
            None => {
                self.prefixes.push(prefix);
                self.prefixes.len() - 1
            }
        };
        // More prefixes than that share the last number: what is below them is kept.
        self.files.insert((number_of(&path), u16::try_from(number).unwrap_or(u16::MAX)));
        Ok(())
    }

    /// What is known of a file that was found.
    pub(super) fn standing(&self, spot: &Spot) -> Standing<'_> {
        let number = number_of(&spot.path);
        let prefixes = self.files.range((number, 0)..=(number, u16::MAX)).map(|(_, prefix)| self.prefixes.get(usize::from(*prefix)));
        let mut elsewhere = None;
        for prefix in prefixes {
            match prefix {
                Some(prefix) if *prefix != spot.prefix => elsewhere = Some(prefix.as_str()),
                _ => return Standing::Needed,
            }
        }
        elsewhere.map_or(Standing::Orphan, Standing::Elsewhere)
    }

    /// How many files are known.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

fn number_of(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Files that the metadata names itself.
fn of_metadata(metadata: &TableMetadata, current: &str) -> Vec<String> {
    let logged = metadata.metadata_log().iter().map(|entry| entry.metadata_file.clone());
    let statistics = metadata.statistics_iter().map(|file| file.statistics_path.clone());
    let partitions = metadata.partition_statistics_iter().map(|file| file.statistics_path.clone());
    logged.chain(statistics).chain(partitions).chain([current.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_needed_elsewhere_or_an_orphan() {
        let (file_systems, equal) = (FileSystems::default(), Equal::default());
        let mut known = Known::default();
        for uri in ["s3a://b/t/x", "s3://c/t/x", "hdfs://n/t/y"] {
            known.add(&file_systems, &equal, uri).expect("a URI");
        }
        let of = |uri: &str| known.standing(&Spot::of(&file_systems, &equal, uri).expect("a URI"));
        assert_eq!((of("s3://b/t/x"), of("s3n://c/t//x")), (Standing::Needed, Standing::Needed));
        assert_eq!(of("gs://b/t/y"), Standing::Elsewhere("hdfs://n"));
        assert_eq!(of("s3://b/t/z"), Standing::Orphan);
    }
}
