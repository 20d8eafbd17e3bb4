//! One try of a change: manifests, manifest list, snapshot, and the requirements and updates of the swap.
//!
//! Why `UuidMatch` and `RefSnapshotIdMatch` keep the marker safe, which is a table property: a marker is only ever written together with
//! a snapshot that moves the branch. Two writers of one marker that start from the same table state therefore move the same branch, and
//! one of them fails; and should they move two branches, their snapshots carry the same sequence number (the table's next), of which a
//! catalog takes one only. Catalogs that swap a pointer to a metadata file compare the whole state anyway.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, MAIN_BRANCH, Manifest, ManifestContentType, ManifestEntry, ManifestFile, ManifestList, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, PartitionSpecRef, SchemaRef, Snapshot, SnapshotRef, StructType, TableMetadata, TableMetadataBuilder,
    UNASSIGNED_SEQUENCE_NUMBER,
};
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;
use weir_base::ErrorKind;

use super::change::Change;
use super::merge::{Candidate, MergeRules, plan};
use super::regroup::Regrouped;
use super::replace::Rewritten;
use super::summary::summary;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::metadata_file::{metadata_directory, uuid_for};
use crate::others;
use crate::properties::value_or;

/// A manifest is begun anew after so many files.
const FILES_PER_MANIFEST: usize = 10_000;

/// Manifests read at the same time while merging.
const READS_AT_ONCE: usize = 8;

/// What is needed to try the swap.
#[derive(Debug)]
pub(super) struct Staged {
    /// The snapshot's manifest list.
    pub(super) manifest_list: String,
    /// Every file of this call that the snapshot refers to, the list included.
    pub(super) used: Vec<String>,
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
}

/// Stages tries of one change. Every file is noted in `written` before it is begun.
#[derive(Debug)]
pub(super) struct Stager<'a> {
    pub(super) change: Change<'a>,
    commit: Uuid,
    counter: u32,
    tries: u32,
    added: Option<Added>,
    /// By the path of the old one; they fit every try that still has that.
    pub(super) rewritten: HashMap<String, Rewritten>,
    /// They fit every try that still has all that they were made of.
    pub(super) regrouped: Option<Regrouped>,
    pub(super) written: Vec<String>,
}

/// Manifests of the new files; they fit every try on the same schema and partition spec.
#[derive(Debug, Clone)]
struct Added {
    schema_id: i32,
    spec_id: i32,
    manifests: Vec<ManifestFile>,
}

impl<'a> Stager<'a> {
    pub(super) fn new(change: Change<'a>) -> Self {
        let commit = uuid_for(change.snapshot_id);
        Self { change, commit, counter: 0, tries: 0, added: None, rewritten: HashMap::new(), regrouped: None, written: Vec::new() }
    }

    /// Writes what the change needs on top of `base`. `now_ms` is the time of the snapshot, unless the table is ahead of it.
    ///
    /// # Errors
    /// An unknown branch, files that fit no partition spec of the table, what [`Replaced`](super::Replaced) gives way to, or the store's.
    pub(super) async fn stage(&mut self, base: &LakeTable, now_ms: i64) -> Result<Staged, CatalogError> {
        let branch = self.change.branch.unwrap_or(MAIN_BRANCH);
        let parent = base.metadata.snapshot_for_ref(branch);
        if parent.is_none() && branch != MAIN_BRANCH {
            return Err(CatalogError::user(format!(
                "table `{}` has no branch `{branch}`; create it first, or leave the option 'branch' out",
                base.name()
            )));
        }
        let (own, merged_in) = self.manifests(base, parent).await?;
        let manifest_list = self.next_path(base, &format!("snap-{}-{}-{}.avro", self.change.snapshot_id, self.tries, self.commit));
        self.tries += 1;
        let mut used: Vec<String> = own.iter().map(|manifest| manifest.manifest_path.clone()).filter(|path| self.written.contains(path)).collect();
        used.push(manifest_list.clone());
        tracing::debug!(table = %base.id, manifests = own.len(), merged_in, "change staged");
        let row_range = self.write_list(base, parent, &manifest_list, own).await?;
        let snapshot = self.snapshot(base, parent, manifest_list.clone(), row_range, now_ms);
        let (requirements, updates) = swap_of(base, parent, branch, snapshot, &self.change)?;
        Ok(Staged { manifest_list, used, requirements, updates })
    }

    /// Writes manifests that every try on a state near `base` can use, so that less is left to do in [`Self::stage`].
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub(super) async fn prepare(&mut self, base: &LakeTable) -> Result<(), CatalogError> {
        let parent = base.metadata.snapshot_for_ref(self.change.branch.unwrap_or(MAIN_BRANCH));
        self.manifests(base, parent).await.map(drop)
    }

    /// The manifests of the new snapshot, and how many old ones were merged.
    async fn manifests(&mut self, base: &LakeTable, parent: Option<&SnapshotRef>) -> Result<(Vec<ManifestFile>, usize), CatalogError> {
        let added = self.added(base).await?;
        let old = match parent {
            Some(parent) => read_manifest_list(base, parent).await?,
            None => Vec::new(),
        };
        let old: Vec<ManifestFile> = old.into_iter().filter(|manifest| manifest.has_added_files() || manifest.has_existing_files()).collect();
        if let Some(regroup) = self.change.regroup {
            return Ok((Box::pin(self.regroup(base, regroup, old)).await?, 0));
        }
        if let Some(replaced) = self.change.replaced {
            // Merging would drop the entries that say what this snapshot removes; the next append merges.
            let left = Box::pin(self.without_replaced(base, parent, replaced, old, added.spec_id)).await?;
            return Ok((added.manifests.into_iter().chain(left).collect(), 0));
        }
        let metadata = &base.metadata;
        // Format 1 has no sequence numbers to keep, and in format 3 a moved entry would lose its row ids.
        let may_merge = metadata.format_version() == FormatVersion::V2 && value_or(metadata.properties(), "commit.manifest-merge.enabled", true);
        if !may_merge {
            return Ok((added.manifests.into_iter().chain(old).collect(), 0));
        }
        let rules = MergeRules {
            target_bytes: value_or(metadata.properties(), "commit.manifest.target-size-bytes", 8 * 1024 * 1024),
            min_count: value_or(metadata.properties(), "commit.manifest.min-count-to-merge", 100),
        };
        let (deletes, data): (Vec<_>, Vec<_>) = old.into_iter().partition(|manifest| manifest.content == ManifestContentType::Deletes);
        let fresh = added.manifests.len();
        let all: Vec<ManifestFile> = added.manifests.into_iter().chain(data).collect();
        let candidates: Vec<Candidate> = all
            .iter()
            .map(|manifest| Candidate { spec_id: manifest.partition_spec_id, length: u64::try_from(manifest.manifest_length).unwrap_or(0) })
            .collect();
        let mut manifests = Vec::with_capacity(all.len() + deletes.len());
        let mut merged_in = 0;
        for group in plan(&candidates, rules) {
            let members: Vec<(bool, ManifestFile)> =
                group.iter().filter_map(|index| all.get(*index).map(|found| (*index < fresh, found.clone()))).collect();
            if members.len() > 1 {
                merged_in += members.len();
                manifests.push(self.merge(base, members).await?);
            } else {
                manifests.extend(members.into_iter().map(|(_, manifest)| manifest));
            }
        }
        manifests.extend(deletes);
        Ok((manifests, merged_in))
    }

    /// Manifests of the new files, written once for all tries unless the table's schema or spec changes in between.
    async fn added(&mut self, base: &LakeTable) -> Result<Added, CatalogError> {
        let spec = spec_of(base, self.change.added)?;
        let schema = base.metadata.current_schema();
        if let Some(added) = &self.added
            && (added.schema_id, added.spec_id) == (schema.schema_id(), spec.spec_id())
        {
            return Ok(added.clone());
        }
        let change = self.change;
        let sequence_number = change.sequence_number.unwrap_or(UNASSIGNED_SEQUENCE_NUMBER);
        let mut manifests = Vec::new();
        for files in change.added.chunks(FILES_PER_MANIFEST) {
            let mut writer = self.manifest_writer(base, &spec, schema)?;
            for file in files {
                // Unassigned: it is the one that the commit will get.
                writer.add_file(file.clone(), sequence_number).map_err(|error| cannot_write(base, error))?;
            }
            manifests.push(writer.write_manifest_file().await.map_err(|error| cannot_write(base, error))?);
        }
        let added = Added { schema_id: schema.schema_id(), spec_id: spec.spec_id(), manifests };
        self.added = Some(added.clone());
        Ok(added)
    }

    /// One manifest of several. What was there before keeps its snapshot and sequence numbers; what was deleted is left out.
    async fn merge(&mut self, base: &LakeTable, members: Vec<(bool, ManifestFile)>) -> Result<ManifestFile, CatalogError> {
        let spec_id = members.first().map_or(0, |(_, manifest)| manifest.partition_spec_id);
        let mut writer = self.manifest_writer_of(base, spec_id)?;
        let unreadable = |error| CatalogError::iceberg(format!("cannot read a manifest of table `{}`", base.name()), error);
        let reads = members.into_iter().map(|(is_new, manifest)| load_manifest(base.file_io.clone(), is_new, manifest));
        let mut loaded = futures::stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some((is_new, path, manifest)) = loaded.try_next().await.map_err(unreadable)? {
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let file = entry.data_file().clone();
                let result = if is_new {
                    writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER)
                } else {
                    let (snapshot, sequence) = origin_of(base, &path, entry)?;
                    writer.add_existing_file(file, snapshot, sequence, entry.file_sequence_number)
                };
                result.map_err(|error| cannot_write(base, error))?;
            }
        }
        writer.write_manifest_file().await.map_err(|error| cannot_write(base, error))
    }

    /// A writer of a manifest of one of the table's partition specs.
    pub(super) fn manifest_writer_of(&mut self, base: &LakeTable, spec_id: i32) -> Result<ManifestWriter, CatalogError> {
        let spec = base.metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            CatalogError::other(
                ErrorKind::Corrupt,
                format!("table `{}` has manifests of partition spec {spec_id}, which it does not know", base.name()),
            )
        })?;
        self.manifest_writer(base, &spec.clone(), base.metadata.current_schema())
    }

    fn manifest_writer(&mut self, base: &LakeTable, spec: &PartitionSpecRef, schema: &SchemaRef) -> Result<ManifestWriter, CatalogError> {
        let path = self.next_manifest_path(base);
        let output = base.file_io.new_output(path).map_err(|error| cannot_write(base, error))?;
        let builder = ManifestWriterBuilder::new(output, Some(self.change.snapshot_id), schema.clone(), (**spec).clone());
        Ok(match base.metadata.format_version() {
            FormatVersion::V1 => builder.build_v1(),
            FormatVersion::V2 => builder.build_v2_data(),
            FormatVersion::V3 => builder.build_v3_data(),
        })
    }

    pub(super) fn next_manifest_path(&mut self, base: &LakeTable) -> String {
        let path = self.next_path(base, &format!("{}-m{}.avro", self.commit, self.counter));
        self.counter += 1;
        path
    }

    fn next_path(&mut self, base: &LakeTable, name: &str) -> String {
        let path = format!("{}/{name}", metadata_directory(&base.metadata));
        self.written.push(path.clone());
        path
    }

    async fn write_list(
        &self,
        base: &LakeTable,
        parent: Option<&SnapshotRef>,
        path: &str,
        manifests: Vec<ManifestFile>,
    ) -> Result<Option<(u64, u64)>, CatalogError> {
        let metadata = &base.metadata;
        let write = async {
            let writer = base.file_io.new_output(path)?.writer().await?;
            let (id, parent) = (self.change.snapshot_id, parent.map(|parent| parent.snapshot_id()));
            let mut list = match metadata.format_version() {
                FormatVersion::V1 => ManifestListWriter::v1(writer, id, parent),
                FormatVersion::V2 => ManifestListWriter::v2(writer, id, parent, metadata.next_sequence_number()),
                FormatVersion::V3 => ManifestListWriter::v3(writer, id, parent, metadata.next_sequence_number(), Some(metadata.next_row_id())),
            };
            list.add_manifests(manifests.into_iter())?;
            let next_row = list.next_row_id();
            list.close().await?;
            Ok(next_row)
        };
        let next_row = write.await.map_err(|error| cannot_write(base, error))?;
        Ok(next_row.map(|next| (metadata.next_row_id(), next.saturating_sub(metadata.next_row_id()))))
    }

    fn snapshot(
        &self,
        base: &LakeTable,
        parent: Option<&SnapshotRef>,
        manifest_list: String,
        row_range: Option<(u64, u64)>,
        now_ms: i64,
    ) -> Snapshot {
        let builder = Snapshot::builder()
            .with_snapshot_id(self.change.snapshot_id)
            .with_parent_snapshot_id(parent.map(|parent| parent.snapshot_id()))
            .with_sequence_number(base.metadata.next_sequence_number())
            // Clocks differ between machines; the log of a table may not go back.
            .with_timestamp_ms(now_ms.max(base.metadata.last_updated_ms()))
            .with_manifest_list(manifest_list)
            .with_summary(summary(&self.change, parent.map(|parent| parent.summary())))
            .with_schema_id(base.metadata.current_schema_id());
        match row_range {
            Some((first, rows)) => builder.with_row_range(first, rows).build(),
            None => builder.build(),
        }
    }
}

fn swap_of(
    base: &LakeTable,
    parent: Option<&SnapshotRef>,
    branch: &str,
    snapshot: Snapshot,
    change: &Change<'_>,
) -> Result<(Vec<TableRequirement>, Vec<TableUpdate>), CatalogError> {
    let requirements = vec![
        TableRequirement::UuidMatch { uuid: base.metadata.uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: branch.to_owned(), snapshot_id: parent.map(|parent| parent.snapshot_id()) },
    ];
    // The builder alone can see a branch's retention settings, which must stay as they are: it makes the updates.
    let marked = TableMetadataBuilder::new_from_metadata((*base.metadata).clone(), None)
        .set_branch_snapshot(snapshot, branch)
        .and_then(|builder| builder.set_properties(change.properties()))
        .and_then(TableMetadataBuilder::build);
    let built = marked.map_err(|error| {
        CatalogError::caused(ErrorKind::Internal, format!("table `{}` cannot take the snapshot: {}", base.name(), error.message()), error)
    })?;
    Ok((requirements, built.changes))
}

/// The manifests of a snapshot.
pub(crate) async fn read_manifest_list(base: &LakeTable, snapshot: &Snapshot) -> Result<Vec<ManifestFile>, CatalogError> {
    let what = || format!("cannot read manifest list `{}` of table `{}`", snapshot.manifest_list(), base.name());
    if snapshot.encryption_key_id().is_some() {
        let keys = "it is encrypted, and encrypted tables are not read. Read it by an engine that has the table's keys";
        return Err(CatalogError::user(format!("{}: {keys}", what())));
    }
    let bytes = read_file(&base.file_io, snapshot.manifest_list()).await.map_err(|error| CatalogError::iceberg(what(), error))?;
    // A table that was upgraded from format 1 still has lists of that format.
    let list = ManifestList::parse_with_version(&bytes, base.metadata.format_version())
        .or_else(|error| ManifestList::parse_with_version(&bytes, FormatVersion::V1).map_err(|_as_v1| error));
    let list = list.map_err(|error| CatalogError::caused(ErrorKind::Corrupt, what(), error))?;
    Ok(list.consume_entries().into_iter().collect())
}

async fn load_manifest(file_io: FileIO, is_new: bool, manifest: ManifestFile) -> iceberg::Result<(bool, String, Manifest)> {
    let loaded = others::load_manifest(&file_io, &manifest).await?;
    Ok((is_new, manifest.manifest_path, loaded))
}

/// [`origin`], or an error that names the manifest and the file.
pub(super) fn origin_of(base: &LakeTable, manifest: &str, entry: &ManifestEntry) -> Result<(i64, i64), CatalogError> {
    origin(entry).map_err(|what| {
        let what = format!("manifest `{manifest}` of table `{}` gives file `{}` {what}", base.name(), entry.file_path());
        CatalogError::other(ErrorKind::Corrupt, what)
    })
}

/// Snapshot and sequence number of an entry that is carried over, what it inherits from its manifest list included. To make up a missing one
/// would move the file behind deletes that were made after it. `Err` says what is missing.
fn origin(entry: &ManifestEntry) -> Result<(i64, i64), &'static str> {
    match (entry.snapshot_id(), entry.sequence_number()) {
        (Some(snapshot), Some(sequence)) => Ok((snapshot, sequence)),
        (None, _) => Err("no snapshot id, and there is none to inherit"),
        (Some(_), None) => Err("no sequence number, and only an added file inherits one"),
    }
}

/// The content of a metadata file.
pub(crate) async fn read_file(file_io: &FileIO, path: &str) -> iceberg::Result<bytes::Bytes> {
    file_io.new_input(path)?.read().await
}

pub(super) fn cannot_write(base: &LakeTable, error: iceberg::Error) -> CatalogError {
    CatalogError::iceberg(format!("cannot write manifests of table `{}`", base.name()), error)
}

/// The spec that the files were written for: the table's, or if it changed meanwhile the newest one whose partition values theirs are.
pub(super) fn spec_of(base: &LakeTable, files: &[DataFile]) -> Result<PartitionSpecRef, CatalogError> {
    let metadata = &base.metadata;
    let mut specs: Vec<&PartitionSpecRef> = metadata.partition_specs_iter().collect();
    specs.sort_by_key(|spec| (spec.spec_id() != metadata.default_partition_spec_id(), -spec.spec_id()));
    let fits = |spec: &&PartitionSpecRef| {
        let partition_type = partition_type_of(metadata, spec);
        partition_type.is_some_and(|partition_type| files.iter().all(|file| is_of(file, &partition_type)))
    };
    specs.into_iter().find(fits).cloned().ok_or_else(|| {
        CatalogError::user(format!("the files' partition values fit no partition spec of table `{}`: it was changed while the job ran", base.name()))
    })
}

/// The partition type of a spec; `None` if its source columns are gone.
pub(crate) fn partition_type_of(metadata: &TableMetadata, spec: &PartitionSpecRef) -> Option<StructType> {
    if spec.spec_id() == metadata.default_partition_spec_id() {
        return Some(metadata.default_partition_type().clone());
    }
    spec.partition_type(metadata.current_schema()).ok()
}

fn is_of(file: &DataFile, partition_type: &StructType) -> bool {
    let values = file.partition().fields();
    values.len() == partition_type.fields().len()
        && values.iter().zip(partition_type.fields()).all(|(value, field)| match (value, field.field_type.as_primitive_type()) {
            (None, Some(_)) => true,
            (Some(value), Some(primitive)) => value.as_primitive_literal().is_some_and(|literal| primitive.compatible(&literal)),
            (_, None) => false,
        })
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{DataFileBuilder, DataFileFormat, ManifestStatus, Struct};

    use super::*;

    fn entry(snapshot: Option<i64>, sequence: Option<i64>) -> ManifestEntry {
        let file = DataFileBuilder::default()
            .content(iceberg::spec::DataContentType::Data)
            .file_path("memory:///f.parquet".to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .expect("complete");
        ManifestEntry::builder().status(ManifestStatus::Existing).snapshot_id_opt(snapshot).sequence_number_opt(sequence).data_file(file).build()
    }

    #[test]
    fn an_entry_is_carried_over_with_what_it_has_and_never_with_something_made_up() {
        assert_eq!(origin(&entry(Some(4), Some(2))), Ok((4, 2)));
        assert!(origin(&entry(Some(4), None)).expect_err("unknown").contains("no sequence number"));
        assert!(origin(&entry(None, Some(2))).expect_err("unknown").contains("no snapshot id"));
    }
}
