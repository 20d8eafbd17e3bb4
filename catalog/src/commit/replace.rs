//! Taking files out of a table: may it be done on this base, and the manifests without them.
//!
//! [`Since`] says what others have done since the snapshot that was read; a manifest that holds none of the files stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    DataContentType, FormatVersion, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestWriterBuilder, Operation, SnapshotRef,
};

use super::change::{Appends, Replaced};
use super::history::ancestors;
use super::stage::{Stager, cannot_write, origin_of};
use crate::delete_files::may_apply;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::manifests::{TakenOut, take_out};
use crate::others;
use crate::read::{LiveFile, live_in, manifest_bytes};

/// Manifests read at the same time.
const READS_AT_ONCE: usize = 4;

/// A manifest after the files have been taken out.
#[derive(Debug, Clone)]
pub(super) struct Rewritten {
    /// Paths of those that it held.
    found: Vec<String>,
    /// What is left of it, or the manifest itself.
    manifest: ManifestFile,
}

/// Snapshots of a branch that came after the one that was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Since {
    all: HashSet<i64>,
    /// Whether one of them changed rows: then a file of any can hold new rows, since those of an append may have been rewritten after it.
    changed_rows: bool,
}

impl Since {
    /// # Errors
    /// A snapshot that is not in the branch's history: nobody can tell what has come since.
    fn of(base: &LakeTable, head: Option<&SnapshotRef>, read: Option<i64>) -> Result<Self, CatalogError> {
        let mut since = Self::default();
        let mut oldest_has_parent = false;
        for snapshot in head.into_iter().flat_map(|head| ancestors(&base.metadata, head.snapshot_id())) {
            if Some(snapshot.snapshot_id()) == read {
                return Ok(since);
            }
            since.all.insert(snapshot.snapshot_id());
            since.changed_rows |= snapshot.summary().operation != Operation::Replace;
            oldest_has_parent = snapshot.parent_snapshot_id().is_some();
        }
        match read {
            None if !oldest_has_parent => Ok(since),
            _ => Err(overtaken(base, "the snapshot that was read is not in its history any more: it was rolled back, or snapshots were expired")),
        }
    }
}

/// Where files that are looked for can be: sequence numbers by partition spec and kind of manifest.
#[derive(Debug, Default)]
struct Places(BTreeMap<(i32, bool), BTreeSet<i64>>);

impl Places {
    fn of(files: &[LiveFile]) -> Self {
        let mut places = Self::default();
        for live in files {
            let of_deletes = live.file.content_type() != DataContentType::Data;
            places.0.entry((live.spec_id, of_deletes)).or_default().insert(live.sequence_number);
        }
        places
    }

    /// Data sequence numbers of live files lie between the manifest's least one and its own.
    fn may_be_in(&self, manifest: &ManifestFile) -> bool {
        let kind = (manifest.partition_spec_id, manifest.content == ManifestContentType::Deletes);
        let range = manifest.min_sequence_number..=manifest.sequence_number.max(manifest.min_sequence_number);
        self.0.get(&kind).is_some_and(|numbers| numbers.range(range).next().is_some())
    }
}

impl Stager<'_> {
    /// The manifests of `old` without the files that are replaced. `new_spec` is the partition spec of the files that are added.
    ///
    /// # Errors
    /// [`CatalogError::Overtaken`] as [`Replaced`] says; a table of format 3 whose manifests would have to be written anew (user).
    pub(super) async fn without_replaced(
        &mut self,
        base: &LakeTable,
        head: Option<&SnapshotRef>,
        replaced: &Replaced,
        old: Vec<ManifestFile>,
        new_spec: i32,
    ) -> Result<Vec<ManifestFile>, CatalogError> {
        if replaced.files.is_empty() && replaced.operation == Operation::Replace {
            // Nothing that others may have changed.
            return Ok(old);
        }
        let since = Since::of(base, head, replaced.read)?;
        check_concurrent(base, &since, replaced, &old, |delete, global| {
            // It applies to the new files as it did to the old ones.
            let is_older = self.change.sequence_number.is_some_and(|number| number < delete.sequence_number);
            is_older && (global || new_spec == delete.spec_id)
        })
        .await?;
        let places = Places::of(&replaced.files);
        let mut missing: HashSet<&str> = replaced.files.iter().map(|live| live.file.file_path()).collect();
        let candidates: Vec<ManifestFile> = old.iter().filter(|manifest| places.may_be_in(manifest)).cloned().collect();
        let unknown: Vec<ManifestFile> =
            candidates.iter().filter(|manifest| !self.rewritten.contains_key(&manifest.manifest_path)).cloned().collect();
        let wanted: HashSet<String> = missing.iter().map(|path| (*path).to_owned()).collect();
        let reads = unknown.into_iter().map(|manifest| async move {
            let content = if manifest.key_metadata.is_none() { Some(manifest_bytes(base, &manifest).await?) } else { None };
            Ok::<_, CatalogError>((manifest, content))
        });
        let mut loaded = stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some((manifest, content)) = loaded.try_next().await? {
            let path = manifest.manifest_path.clone();
            let rewritten = self.take_out(base, manifest, content, &wanted).await?;
            self.rewritten.insert(path, rewritten);
        }
        drop(loaded);
        let mut manifests = Vec::with_capacity(old.len());
        for manifest in old {
            match self.rewritten.get(&manifest.manifest_path) {
                Some(rewritten) => {
                    rewritten.found.iter().for_each(|path| {
                        missing.remove(path.as_str());
                    });
                    manifests.push(rewritten.manifest.clone());
                }
                None => manifests.push(manifest),
            }
        }
        match missing.into_iter().next() {
            None => Ok(manifests),
            Some(gone) => Err(overtaken(base, &format!("file `{gone}`, which was to be replaced, is not in it any more"))),
        }
    }

    /// The manifest, whose file has this content, without the wanted files, which stand in the new one as removed; itself if it holds none of them.
    async fn take_out(
        &mut self,
        base: &LakeTable,
        manifest: ManifestFile,
        content: Option<Bytes>,
        wanted: &HashSet<String>,
    ) -> Result<Rewritten, CatalogError> {
        let is_v2 = base.metadata.format_version() == FormatVersion::V2;
        let taken = content.filter(|_| is_v2).map(|content| take_out(&content, &manifest, self.change.snapshot_id, wanted));
        let Some(Ok(taken)) = taken else { return self.take_out_decoded(base, manifest, wanted).await };
        if taken.found.is_empty() {
            return Ok(Rewritten { found: taken.found, manifest });
        }
        let path = self.next_manifest_path(base);
        let manifest = taken.manifest(&manifest, path.clone(), self.change.snapshot_id);
        let TakenOut { content, found, .. } = taken;
        let output = base.file_io.new_output(path).map_err(|error| cannot_write(base, error))?;
        output.write(content.into()).await.map_err(|error| cannot_write(base, error))?;
        Ok(Rewritten { found, manifest })
    }

    /// The same by way of the crate, for manifests that are written as few are.
    async fn take_out_decoded(&mut self, base: &LakeTable, manifest: ManifestFile, wanted: &HashSet<String>) -> Result<Rewritten, CatalogError> {
        let content = others::load_manifest(&base.file_io, &manifest)
            .await
            .map_err(|error| CatalogError::iceberg(format!("cannot read manifest `{}` of table `{}`", manifest.manifest_path, base.name()), error))?;
        let live: Vec<&ManifestEntryRef> = content.entries().iter().filter(|entry| entry.is_alive()).collect();
        let found: Vec<String> = live.iter().map(|entry| entry.file_path().to_owned()).filter(|path| wanted.contains(path)).collect();
        if found.is_empty() {
            return Ok(Rewritten { found, manifest });
        }
        if base.metadata.format_version() == FormatVersion::V3 && found.len() < live.len() {
            return Err(CatalogError::user(format!(
                "table `{}` has format version 3: files cannot be taken out of its manifests yet, since the row ids of the others would be lost. Use a \
                 table of format version 2",
                base.name()
            )));
        }
        let path = self.next_manifest_path(base);
        let output = base.file_io.new_output(path).map_err(|error| cannot_write(base, error))?;
        let metadata = content.metadata();
        let (schema, spec) = (metadata.schema().clone(), metadata.partition_spec().clone());
        let builder = ManifestWriterBuilder::new(output, Some(self.change.snapshot_id), schema, spec);
        let mut writer = match (base.metadata.format_version(), manifest.content) {
            (FormatVersion::V1, _) => builder.build_v1(),
            (FormatVersion::V2, ManifestContentType::Data) => builder.build_v2_data(),
            (FormatVersion::V2, ManifestContentType::Deletes) => builder.build_v2_deletes(),
            (FormatVersion::V3, ManifestContentType::Data) => builder.build_v3_data(),
            (FormatVersion::V3, ManifestContentType::Deletes) => builder.build_v3_deletes(),
        };
        for entry in live {
            let (snapshot, sequence) = origin_of(base, &manifest.manifest_path, entry)?;
            let file = entry.data_file().clone();
            let done = if wanted.contains(entry.file_path()) {
                writer.add_delete_file(file, sequence, entry.file_sequence_number)
            } else {
                writer.add_existing_file(file, snapshot, sequence, entry.file_sequence_number)
            };
            done.map_err(|error| cannot_write(base, error))?;
        }
        let manifest = writer.write_manifest_file().await.map_err(|error| cannot_write(base, error))?;
        Ok(Rewritten { found, manifest })
    }
}

/// Checks what others have added since: data that matters, and deletes that apply to a replaced file. `still_applies` tells of an equality
/// delete, and of whether it is for the whole table, that the new files are subject to it as the old ones were.
async fn check_concurrent(
    base: &LakeTable,
    since: &Since,
    replaced: &Replaced,
    manifests: &[ManifestFile],
    still_applies: impl Fn(&LiveFile, bool) -> bool,
) -> Result<(), CatalogError> {
    let heeds = |live: &LiveFile| since.changed_rows && matches!(&replaced.appends, Appends::Heeded(matters) if matters(live));
    let matters = |manifest: &&ManifestFile| {
        let of_data = since.changed_rows && matches!(replaced.appends, Appends::Heeded(_));
        since.all.contains(&manifest.added_snapshot_id) && (manifest.content == ManifestContentType::Deletes || of_data)
    };
    let reads = manifests.iter().filter(matters).cloned().map(|manifest| live_in(base.clone(), manifest));
    let mut loaded = stream::iter(reads).buffered(READS_AT_ONCE);
    let old: Vec<&LiveFile> = replaced.files.iter().filter(|live| live.file.content_type() == DataContentType::Data).collect();
    while let Some(files) = loaded.try_next().await? {
        for live in files {
            if !live.snapshot_id.is_some_and(|id| since.all.contains(&id)) {
                continue;
            }
            if live.file.content_type() == DataContentType::Data {
                if heeds(&live) {
                    let what =
                        format!("file `{}`, which another commit has added, may hold rows that this one should have seen", live.file.file_path());
                    return Err(overtaken(base, &what));
                }
                continue;
            }
            let global = base.metadata.partition_spec_by_id(live.spec_id).is_none_or(|spec| spec.is_unpartitioned());
            let hit = old.iter().find(|data| may_apply(&live, global, data));
            let is_kept = live.file.content_type() == DataContentType::EqualityDeletes && still_applies(&live, global);
            if let (Some(hit), false) = (hit, is_kept) {
                let what = format!("another commit has deleted rows of file `{}`, which was to be replaced", hit.file.file_path());
                return Err(overtaken(base, &what));
            }
        }
    }
    Ok(())
}

fn overtaken(base: &LakeTable, what: &str) -> CatalogError {
    CatalogError::Overtaken(format!("table `{}` has changed: {what}", base.name()))
}
