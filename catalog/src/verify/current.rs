//! The current snapshot: its manifest list, its manifests, and the files that they name.

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::ManifestFile;
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;

use super::{Progress, Step, few, sizes};
use crate::commit::read_manifest_list;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::read::{LiveFile, live_in};

/// Manifests read at the same time.
const AT_ONCE: usize = 16;

/// What was read of the current snapshot.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// Manifests that its list names.
    pub(super) manifests: usize,
    /// Live files of those that could be read, of data and of deletes.
    pub(super) files: Vec<LiveFile>,
    pub(super) problems: Vec<String>,
}

/// Reads what is there of the current snapshot, and says what is not.
///
/// # Errors
/// The store's, but for files that are missing or damaged.
pub(super) async fn read(file_systems: &FileSystems, table: &LakeTable, progress: &dyn Progress) -> Result<Current, CatalogError> {
    let Some(snapshot) = table.metadata.current_snapshot() else { return Ok(Current::default()) };
    if sizes::look(file_systems, snapshot.manifest_list(), None).await?.is_some() {
        let what = format!(
            "manifest list `{}` of the current snapshot {} is not there: nothing of the snapshot can be read",
            snapshot.manifest_list(),
            snapshot.snapshot_id()
        );
        return Ok(Current { problems: vec![what], ..Current::default() });
    }
    let manifests = match read_manifest_list(table, snapshot).await {
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Current { problems: vec![error.to_string()], ..Current::default() }),
        read => read?,
    };
    let all = manifests.len();
    let mut current = Current { manifests: all, ..Current::default() };
    let reads = manifests.into_iter().map(|manifest| one(file_systems, table, manifest));
    let mut reads = futures::stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE);
    let mut done = 0;
    while let Some((files, problems)) = reads.try_next().await? {
        done += 1;
        progress.at(Step::Manifests, done, all);
        current.files.extend(files);
        current.problems.extend(problems);
    }
    current.problems = few(current.problems);
    Ok(current)
}

/// The live files of a manifest, and what is wrong with it.
async fn one(file_systems: &FileSystems, table: &LakeTable, manifest: ManifestFile) -> Result<(Vec<LiveFile>, Vec<String>), CatalogError> {
    let path = &manifest.manifest_path;
    let mut problems = Vec::new();
    if let Some(unsound) = sizes::look(file_systems, path, u64::try_from(manifest.manifest_length).ok()).await? {
        problems.push(format!("manifest {unsound}"));
        if unsound.found.is_none() {
            return Ok((Vec::new(), problems));
        }
    }
    match live_in(table.clone(), manifest.clone()).await {
        Ok(files) => {
            let rows: u64 = files.iter().map(|live| live.file.record_count()).sum();
            let said = manifest.added_rows_count.zip(manifest.existing_rows_count).map(|(added, existing)| added + existing);
            if let Some(said) = said.filter(|said| *said != rows) {
                problems.push(format!("manifest `{path}` is listed with {said} rows in its live files, but they have {rows}"));
            }
            Ok((files, problems))
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            problems.push(error.to_string());
            Ok((Vec::new(), problems))
        }
        Err(error) => Err(error),
    }
}
