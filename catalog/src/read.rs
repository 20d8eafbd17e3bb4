//! What a snapshot holds, read from its manifests.

use std::collections::HashSet;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, ManifestContentType, ManifestEntryRef, ManifestFile, Snapshot};
use weir_base::ErrorKind;

use crate::commit::{read_file, read_manifest_list};
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::manifests::{FileMetrics, strip};
use crate::others;

/// Manifests read at the same time.
const READS_AT_ONCE: usize = 16;

/// Manifests of many files, at the same time.
const SLIM_READS_AT_ONCE: usize = 4;

/// A live file of a snapshot: data, or deletes that apply to data.
#[derive(Debug, Clone)]
pub struct LiveFile {
    /// The file with its partition and metrics.
    pub file: DataFile,
    /// Partition spec that its partition values belong to.
    pub spec_id: i32,
    /// Data sequence number.
    pub sequence_number: i64,
    /// Snapshot that added it.
    pub snapshot_id: Option<i64>,
}

impl LiveFile {
    /// The same without metrics of columns: what it takes to name a file, and to tell which deletes apply to it.
    fn without_metrics(&self) -> Result<Self, CatalogError> {
        let mut file = DataFileBuilder::default();
        file.content(self.file.content_type())
            .file_path(self.file.file_path().to_owned())
            .file_format(self.file.file_format())
            .partition_spec_id(self.spec_id)
            .partition(self.file.partition().clone())
            .record_count(self.file.record_count())
            .file_size_in_bytes(self.file.file_size_in_bytes())
            .key_metadata(self.file.key_metadata().map(<[u8]>::to_vec))
            .split_offsets(self.file.split_offsets().map(<[i64]>::to_vec));
        if let Some(order) = self.file.sort_order_id() {
            file.sort_order_id(order);
        }
        let file = file.build().map_err(|error| CatalogError::other(ErrorKind::Internal, format!("file `{}`: {error}", self.file.file_path())))?;
        Ok(Self { file, spec_id: self.spec_id, sequence_number: self.sequence_number, snapshot_id: self.snapshot_id })
    }
}

/// A live data file in few bytes, whose metrics stand apart from it; or a file of deletes, which keeps them.
#[derive(Debug, Clone)]
pub struct SlimFile {
    /// The file.
    pub live: LiveFile,
    /// What is said of its columns.
    pub metrics: FileMetrics,
}

impl SlimFile {
    /// The slim form of a file.
    ///
    /// # Errors
    /// A description that is not complete: a defect.
    pub fn of(live: &LiveFile) -> Result<Self, CatalogError> {
        if live.file.content_type() != DataContentType::Data {
            return Ok(Self { live: live.clone(), metrics: FileMetrics::default() });
        }
        Ok(Self { live: live.without_metrics()?, metrics: FileMetrics::of(&live.file) })
    }
}

/// What the live files of a snapshot add up to. Deletes are not taken off the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Data files.
    pub files: u64,
    /// Rows in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Partitions that have any; 1 for an unpartitioned table with rows.
    pub partitions: u64,
    /// Files of position or equality deletes.
    pub delete_files: u64,
}

/// The live files of a snapshot, of the current one if none is named; empty for a table without snapshots.
///
/// # Errors
/// A snapshot that the table does not have (user), manifests that cannot be read.
pub async fn data_files(table: &LakeTable, snapshot_id: Option<i64>) -> Result<Vec<LiveFile>, CatalogError> {
    let snapshot = match snapshot_id {
        None => table.metadata.current_snapshot(),
        Some(id) => {
            let missing = || CatalogError::user(format!("table `{}` has no snapshot {id}; it may have been expired", table.name()));
            Some(table.metadata.snapshot_by_id(id).ok_or_else(missing)?)
        }
    };
    match snapshot {
        Some(snapshot) => live_files(table, snapshot).await,
        None => Ok(Vec::new()),
    }
}

/// The files that a snapshot added, of data and of deletes. Reads only the manifests that came with it.
///
/// # Errors
/// As [`data_files`].
pub async fn added_files(table: &LakeTable, snapshot: &Snapshot) -> Result<Vec<LiveFile>, CatalogError> {
    let id = snapshot.snapshot_id();
    let manifests = read_manifest_list(table, snapshot).await?.into_iter().filter(|manifest| manifest.added_snapshot_id == id);
    let mut added = live_of(table, manifests).await?;
    added.retain(|live| live.snapshot_id == Some(id));
    Ok(added)
}

/// What `files` add up to.
#[must_use]
pub fn totals(files: &[LiveFile]) -> Totals {
    let (data, deletes): (Vec<&LiveFile>, Vec<&LiveFile>) = files.iter().partition(|live| live.file.content_type() == DataContentType::Data);
    let partitions: HashSet<_> = data.iter().map(|live| (live.spec_id, live.file.partition())).collect();
    Totals {
        files: data.len() as u64,
        records: data.iter().map(|live| live.file.record_count()).sum(),
        bytes: data.iter().map(|live| live.file.file_size_in_bytes()).sum(),
        partitions: partitions.len() as u64,
        delete_files: deletes.len() as u64,
    }
}

/// The live files of a snapshot in their slim form, of which a table may have ten thousands.
///
/// # Errors
/// Manifests that cannot be read.
pub async fn slim_files(table: &LakeTable, snapshot: &Snapshot) -> Result<Vec<SlimFile>, CatalogError> {
    let reads = read_manifest_list(table, snapshot).await?.into_iter().map(|manifest| slim_in(table, manifest));
    let mut reads = futures::stream::iter(reads).buffered(SLIM_READS_AT_ONCE);
    let mut all = Vec::new();
    while let Some(files) = reads.try_next().await? {
        all.extend(files);
    }
    Ok(all)
}

async fn slim_in(table: &LakeTable, manifest: ManifestFile) -> Result<Vec<SlimFile>, CatalogError> {
    if let Some(files) = slim_of_bytes(table, &manifest).await? {
        return Ok(files);
    }
    live_in(table.clone(), manifest).await?.iter().map(SlimFile::of).collect()
}

/// `None` for a manifest of deletes, and for one that is written as few are.
async fn slim_of_bytes(table: &LakeTable, manifest: &ManifestFile) -> Result<Option<Vec<SlimFile>>, CatalogError> {
    if manifest.content == ManifestContentType::Deletes || manifest.key_metadata.is_some() {
        return Ok(None);
    }
    let Ok((stripped, metrics)) = strip(&manifest_bytes(table, manifest).await?) else { return Ok(None) };
    let Ok(loaded) = others::manifest_of(stripped.into(), manifest).await else { return Ok(None) };
    let (entries, _) = loaded.into_parts();
    if entries.len() != metrics.len() {
        return Ok(None);
    }
    let live = entries.into_iter().zip(metrics).filter(|(entry, _)| entry.is_alive());
    live.map(|(entry, metrics)| Ok(SlimFile { live: live_file(table, manifest, &entry)?, metrics })).collect::<Result<_, _>>().map(Some)
}

async fn live_files(table: &LakeTable, snapshot: &Snapshot) -> Result<Vec<LiveFile>, CatalogError> {
    live_of(table, read_manifest_list(table, snapshot).await?).await
}

async fn live_of(table: &LakeTable, manifests: impl IntoIterator<Item = ManifestFile>) -> Result<Vec<LiveFile>, CatalogError> {
    let reads = manifests.into_iter().map(|manifest| live_in(table.clone(), manifest));
    let all: Vec<Vec<LiveFile>> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// The manifests of a snapshot, in the order of its list.
///
/// # Errors
/// A manifest list that cannot be read.
pub async fn manifests(table: &LakeTable, snapshot: &Snapshot) -> Result<Vec<ManifestFile>, CatalogError> {
    read_manifest_list(table, snapshot).await
}

/// The live files that a manifest has at least, as its manifest list says: fewer are found in a file that was cut off between two of its
/// blocks.
#[must_use]
pub fn live_count(manifest: &ManifestFile) -> u64 {
    u64::from(manifest.added_files_count.unwrap_or(0)) + u64::from(manifest.existing_files_count.unwrap_or(0))
}

/// The Avro file of a manifest.
///
/// # Errors
/// A manifest that cannot be read.
pub async fn manifest_bytes(table: &LakeTable, manifest: &ManifestFile) -> Result<Bytes, CatalogError> {
    read_file(&table.file_io, &manifest.manifest_path).await.map_err(|error| CatalogError::iceberg(unreadable(table, manifest), error))
}

/// All entries of a manifest, those of removed files too.
///
/// # Errors
/// A manifest that cannot be read.
pub async fn entries(table: &LakeTable, manifest: &ManifestFile) -> Result<Vec<ManifestEntryRef>, CatalogError> {
    let loaded = others::load_manifest(&table.file_io, manifest).await.map_err(|error| CatalogError::iceberg(unreadable(table, manifest), error))?;
    Ok(loaded.into_parts().0)
}

/// The data sequence number of an entry.
///
/// # Errors
/// An entry without one (corrupt).
pub fn sequence_number(table: &LakeTable, manifest: &ManifestFile, entry: &ManifestEntryRef) -> Result<i64, CatalogError> {
    let missing = || format!("{}: file `{}` has no sequence number", unreadable(table, manifest), entry.file_path());
    entry.sequence_number().ok_or_else(|| CatalogError::other(ErrorKind::Corrupt, missing()))
}

fn unreadable(table: &LakeTable, manifest: &ManifestFile) -> String {
    format!("cannot read manifest `{}` of table `{}`", manifest.manifest_path, table.name())
}

/// The live files of one manifest.
pub(crate) async fn live_in(table: LakeTable, manifest: ManifestFile) -> Result<Vec<LiveFile>, CatalogError> {
    let all = entries(&table, &manifest).await?;
    all.iter().filter(|entry| entry.is_alive()).map(|entry| live_file(&table, &manifest, entry)).collect()
}

fn live_file(table: &LakeTable, manifest: &ManifestFile, entry: &ManifestEntryRef) -> Result<LiveFile, CatalogError> {
    let sequence_number = sequence_number(table, manifest, entry)?;
    Ok(LiveFile { file: entry.data_file().clone(), spec_id: manifest.partition_spec_id, sequence_number, snapshot_id: entry.snapshot_id() })
}
