//! Which files a query reads: a snapshot's manifests, without those that cannot hold a wanted row, with the deletes that apply to each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFileFormat, FieldSummary, ManifestContentType, ManifestFile, Snapshot, SnapshotRef};
use weir_base::{Classified, ErrorKind, compute};
use weir_catalog::CatalogError;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::{entries, live_count, manifest_bytes, manifests};

use super::condition::Condition;
use super::deletes::{Applying, DeleteIndex, LiveDelete};
use super::facts::{LeafMetrics, OfFile, OfManifest, OfMetrics, OfPartition, Specs};
use super::files::TableFiles;
use super::listed::decode::decode;
use super::listed::of_entries::of_entries;
use super::listed::{ListedFile, ListedFiles, Origin};
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;

/// What is said of an encrypted file.
const ENCRYPTED: &str = "it is encrypted, and encrypted tables are not read. Read it by an engine that has the table's keys";
/// Manifests that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// A data file to read, with everything that metadata says of it.
#[derive(Debug, Clone)]
pub(super) struct FileTask {
    pub(super) file: ListedFile,
    pub(super) deletes: Applying,
    /// Columns with one value in the whole file, which need not be in it.
    pub(super) constants: BTreeMap<i32, ScalarValue>,
}

/// What planning left out, and what it read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PlanningCounts {
    pub(super) manifests_pruned: usize,
    pub(super) files_pruned: usize,
    /// Manifests and manifest lists that were read, and those that were known from before.
    pub(super) manifests_read: usize,
    pub(super) manifests_cached: usize,
}

/// The files of a query.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) tasks: Vec<Arc<FileTask>>,
    pub(super) counts: PlanningCounts,
}

/// What is planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planning<'a> {
    pub(super) table: &'a LakeTable,
    pub(super) files: &'a TableFiles,
    pub(super) snapshot: &'a Snapshot,
    /// Of its rows only those that these snapshots have appended; `None`: all.
    pub(super) appended: Option<&'a [SnapshotRef]>,
    /// What wanted rows meet.
    pub(super) condition: &'a Condition,
    pub(super) specs: &'a Specs,
    pub(super) types: &'a HashMap<i32, DataType>,
    /// Whether what is known of columns of data files is kept. Without it, manifests of data files are not put into the cache.
    pub(super) with_metrics: bool,
}

/// Something of a file that was read, or known from before.
struct Found<T> {
    content: Arc<T>,
    cached: bool,
}

impl Planning<'_> {
    /// Reads the manifests that matter and plans.
    ///
    /// # Errors
    /// Metadata that cannot be read, files of a kind that is not read.
    pub(super) async fn run(&self) -> Result<Planned, ConnectorError> {
        let mut counts = PlanningCounts::default();
        let lists = match self.appended {
            None => vec![self.manifests(self.snapshot).await?],
            Some(snapshots) => stream::iter(snapshots).then(|snapshot| self.manifests(snapshot)).try_collect().await?,
        };
        lists.iter().for_each(|found| counts.found(found.cached));
        let listed: Vec<&ManifestFile> = match self.appended {
            None => lists.iter().flat_map(|list| list.content.iter()).collect(),
            Some(snapshots) => snapshots.iter().zip(&lists).flat_map(|(snapshot, list)| added_by(snapshot, &list.content)).collect(),
        };
        let live = listed.into_iter().filter(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        let (wanted, pruned): (Vec<&ManifestFile>, Vec<&ManifestFile>) = live.partition(|manifest| self.may_hold(manifest));
        counts.manifests_pruned = pruned.len();
        let reads: Vec<_> = wanted.into_iter().map(|manifest| self.listed(manifest)).collect();
        let loaded: Vec<Found<ListedFiles>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        loaded.iter().for_each(|found| counts.found(found.cached));
        let of_deletes = |found: &Found<ListedFiles>| found.content.origin.content == ManifestContentType::Deletes;
        let (deletes, data): (Vec<_>, Vec<_>) = loaded.into_iter().partition(of_deletes);
        let deletes = DeleteIndex::new(deletes.iter().flat_map(|found| self.deletes(&found.content)).collect());
        let mut tasks = Vec::new();
        for Found { content, .. } in data {
            let rows = self.rows(&content);
            counts.files_pruned += content.len() - rows.len();
            for row in rows {
                tasks.push(Arc::new(self.task(content.file(row), &deletes)?));
            }
        }
        Ok(Planned { tasks, counts })
    }

    /// The manifests of a snapshot.
    async fn manifests(&self, snapshot: &Snapshot) -> Result<Found<Vec<ManifestFile>>, ConnectorError> {
        if snapshot.encryption_key_id().is_some() {
            return Err(self.files.refused(snapshot.manifest_list(), ENCRYPTED));
        }
        let key = self.files.key(snapshot.manifest_list(), 0)?;
        if let Some(content) = self.files.cache.get(&key).await {
            return Ok(Found { content, cached: true });
        }
        let content = Arc::new(manifests(self.table, snapshot).await.map_err(|error| self.remedied(error))?);
        self.files.cache.put(key, &content, content.iter().map(memory_of).sum()).await;
        Ok(Found { content, cached: false })
    }

    /// The live files of a manifest.
    async fn listed(&self, manifest: &ManifestFile) -> Result<Found<ListedFiles>, ConnectorError> {
        if manifest.key_metadata.is_some() {
            return Err(self.files.refused(&manifest.manifest_path, ENCRYPTED));
        }
        let key = self.files.key(&manifest.manifest_path, u64::try_from(manifest.manifest_length).unwrap_or(0))?;
        if let Some(content) = self.files.cache.get(&key).await {
            return Ok(Found { content, cached: true });
        }
        let origin = Origin {
            spec_id: manifest.partition_spec_id,
            content: manifest.content,
            sequence: manifest.sequence_number,
            snapshot: manifest.added_snapshot_id,
        };
        let bytes = manifest_bytes(self.table, manifest).await.map_err(|error| self.remedied(error))?;
        // Bounds of deletes say which files they are about.
        let with_metrics = self.with_metrics || manifest.content == ManifestContentType::Deletes;
        let decoded = compute::run("manifest decoder", move || decode(&bytes, origin, with_metrics)).await;
        let decoded = decoded.map_err(|error| ConnectorError::internal(error.to_string()))?;
        let listed = match decoded {
            Ok(listed) if listed.len() as u64 >= live_count(manifest) => listed,
            unusual => {
                tracing::debug!(manifest = manifest.manifest_path, unusual = ?unusual.err(), "manifest is read by the iceberg crate");
                let entries = entries(self.table, manifest).await.map_err(|error| self.remedied(error))?;
                of_entries(entries.iter().map(AsRef::as_ref), origin).map_err(|what| {
                    let what = format!("cannot read manifest `{}` of table `{}`: {what}", manifest.manifest_path, self.table.id);
                    self.remedied(CatalogError::other(ErrorKind::Corrupt, what))
                })?
            }
        };
        let content = Arc::new(listed);
        if with_metrics {
            self.files.cache.put(key, &content, content.memory()).await;
        }
        Ok(Found { content, cached: false })
    }

    /// A delete that cannot be about a wanted row is left out like data.
    fn may_hold(&self, manifest: &ManifestFile) -> bool {
        let parts = self.specs.parts(manifest.partition_spec_id);
        manifest.partitions.as_ref().is_none_or(|summaries| self.condition.may_match(&OfManifest { parts, summaries }))
    }

    fn deletes(&self, listed: &Arc<ListedFiles>) -> Vec<LiveDelete> {
        let global = self.specs.parts(listed.origin.spec_id).is_empty();
        (0..listed.len()).map(|row| LiveDelete { file: listed.file(row), global }).collect()
    }

    /// The files of a manifest that may hold a wanted row.
    fn rows(&self, listed: &Arc<ListedFiles>) -> Vec<usize> {
        let parts = self.specs.parts(listed.origin.spec_id);
        // What a partition rules out, it rules out for all its files.
        let of_partition = |values| self.condition.may_match(&OfPartition { parts, values });
        let partitions: Vec<bool> = listed.partitions().iter().map(|values| of_partition(values.as_ref())).collect();
        // After that, only a condition on several leaves must see both at once.
        let (joined, single): (Vec<&Condition>, Vec<&Condition>) =
            self.condition.conjuncts().into_iter().partition(|part| matches!(part, Condition::Or(_)));
        let leaves = LeafMetrics::of(listed, self.condition.leaves(), self.types);
        let may_match = |row: &usize| {
            let metrics = OfMetrics { leaves: &leaves, row: *row, records: listed.records(*row) };
            partitions.get(listed.partition_of(*row)).is_none_or(|may| *may)
                && single.iter().all(|part| part.may_match(&metrics))
                && (joined.is_empty() || joined.iter().all(|part| part.may_match(&OfFile::new(&listed.file(*row), self.specs, &leaves))))
        };
        let appended = |row: &usize| self.appended.is_none() || listed.file(*row).added_by() == Some(listed.origin.snapshot);
        (0..listed.len()).filter(|row| appended(row) && may_match(row)).collect()
    }

    fn task(&self, file: ListedFile, deletes: &DeleteIndex) -> Result<FileTask, ConnectorError> {
        if file.format() != DataFileFormat::Parquet {
            let format = format!("{:?}", file.format());
            let what = format!("it is {format}, and only Parquet is read. Rewrite the table's data as Parquet by the engine that wrote it");
            return Err(self.files.refused(file.path(), &what));
        }
        if file.is_encrypted() {
            return Err(self.files.refused(file.path(), ENCRYPTED));
        }
        Ok(FileTask { constants: self.specs.constants(&file), deletes: deletes.of(&file), file })
    }

    /// What can be done about metadata that cannot be read.
    fn remedied(&self, error: CatalogError) -> ConnectorError {
        let error = catalog_error(error);
        if error.kind() == ErrorKind::Transient {
            return error;
        }
        let remedy = "Restore the file from a copy, or read another snapshot of those that '$snapshots' lists";
        let message = format!("Table '{}', snapshot {}: {error}. {remedy}.", self.files.table, self.snapshot.snapshot_id());
        ConnectorError::new(error.kind(), message).with_source(error)
    }
}

/// The manifests of data that came with a snapshot.
fn added_by<'a>(snapshot: &Snapshot, manifests: &'a [ManifestFile]) -> Vec<&'a ManifestFile> {
    let id = snapshot.snapshot_id();
    manifests.iter().filter(|manifest| manifest.added_snapshot_id == id && manifest.content == ManifestContentType::Data).collect()
}

impl PlanningCounts {
    fn found(&mut self, cached: bool) {
        *(if cached { &mut self.manifests_cached } else { &mut self.manifests_read }) += 1;
    }
}

/// Bytes that an entry of a manifest list takes in memory, about.
fn memory_of(manifest: &ManifestFile) -> u64 {
    let summaries = manifest.partitions.iter().flatten();
    let bounds: usize = summaries.flat_map(|one| [&one.lower_bound, &one.upper_bound]).flatten().map(|bound| bound.len() + 16).sum();
    let fields = manifest.partitions.as_ref().map_or(0, |fields| fields.len() * size_of::<FieldSummary>());
    (size_of::<ManifestFile>() + manifest.manifest_path.len() + bounds + fields) as u64
}
