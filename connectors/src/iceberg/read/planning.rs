//! Which files a query reads: a snapshot's manifests, without those that cannot hold a wanted row, with the deletes that apply to each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, DataFileFormat, ManifestContentType, ManifestEntryRef, ManifestFile, Snapshot};
use weir_base::{Classified, ErrorKind};
use weir_catalog::CatalogError;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::{entries, manifests, sequence_number};

use super::condition::Condition;
use super::deletes::{Applying, DeleteIndex, LiveDelete};
use super::facts::{OfFile, OfManifest, Specs};
use super::files::TableFiles;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;

/// Manifests that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// A data file to read, with everything that metadata says of it.
#[derive(Debug, Clone)]
pub(super) struct FileTask {
    pub(super) entry: ManifestEntryRef,
    pub(super) spec_id: i32,
    /// Data sequence number.
    pub(super) sequence: i64,
    pub(super) deletes: Applying,
    /// Columns with one value in the whole file, which need not be in it.
    pub(super) constants: BTreeMap<i32, ScalarValue>,
}

impl FileTask {
    pub(super) fn file(&self) -> &DataFile {
        self.entry.data_file()
    }
}

/// What planning left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    pub(super) manifests: usize,
    pub(super) files: usize,
}

/// The files of a query.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) tasks: Vec<Arc<FileTask>>,
    pub(super) pruned: Pruned,
}

/// What is planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planning<'a> {
    pub(super) table: &'a LakeTable,
    pub(super) files: &'a TableFiles,
    pub(super) snapshot: &'a Snapshot,
    /// What wanted rows meet.
    pub(super) condition: &'a Condition,
    pub(super) specs: &'a Specs,
    pub(super) types: &'a HashMap<i32, DataType>,
}

impl Planning<'_> {
    /// Reads the manifests that matter and plans.
    ///
    /// # Errors
    /// Metadata that cannot be read, files of a kind that is not read.
    pub(super) async fn run(&self) -> Result<Planned, ConnectorError> {
        let all = manifests(self.table, self.snapshot).await.map_err(|error| self.remedied(error))?;
        let live = |manifest: &ManifestFile| manifest.has_added_files() || manifest.has_existing_files();
        let (wanted, pruned): (Vec<ManifestFile>, Vec<ManifestFile>) = all.into_iter().filter(live).partition(|manifest| self.may_hold(manifest));
        let load = |manifest: ManifestFile| async move {
            let loaded = entries(self.table, &manifest).await.map_err(|error| self.remedied(error))?;
            let live = loaded.into_iter().filter(|entry| entry.is_alive());
            let numbered: Result<Vec<(ManifestEntryRef, i64)>, ConnectorError> = live
                .map(|entry| {
                    let sequence = sequence_number(self.table, &manifest, &entry).map_err(catalog_error)?;
                    Ok((entry, sequence))
                })
                .collect();
            Ok::<_, ConnectorError>((manifest, numbered?))
        };
        let loaded: Vec<_> = stream::iter(wanted).map(load).buffered(READS_AT_ONCE).try_collect().await?;
        let (deletes, data): (Vec<_>, Vec<_>) = loaded.into_iter().partition(|(manifest, _)| manifest.content == ManifestContentType::Deletes);
        let deletes = DeleteIndex::new(self.deletes(deletes));
        let mut planned = Planned { pruned: Pruned { manifests: pruned.len(), files: 0 }, ..Planned::default() };
        for (manifest, files) in data {
            for (entry, sequence) in files {
                let parts = self.specs.parts(manifest.partition_spec_id);
                if self.condition.may_match(&OfFile { file: entry.data_file(), parts, types: self.types }) {
                    planned.tasks.push(Arc::new(self.task(entry, manifest.partition_spec_id, sequence, &deletes)?));
                } else {
                    planned.pruned.files += 1;
                }
            }
        }
        Ok(planned)
    }

    /// A delete that cannot be about a wanted row is left out like data.
    fn may_hold(&self, manifest: &ManifestFile) -> bool {
        let parts = self.specs.parts(manifest.partition_spec_id);
        manifest.partitions.as_ref().is_none_or(|summaries| self.condition.may_match(&OfManifest { parts, summaries }))
    }

    fn deletes(&self, loaded: Vec<(ManifestFile, Vec<(ManifestEntryRef, i64)>)>) -> Vec<LiveDelete> {
        let of_manifest = |(manifest, files): (ManifestFile, Vec<(ManifestEntryRef, i64)>)| {
            let spec_id = manifest.partition_spec_id;
            let global = self.specs.parts(spec_id).is_empty();
            files.into_iter().map(move |(entry, sequence)| LiveDelete { entry, spec_id, sequence, global })
        };
        loaded.into_iter().flat_map(of_manifest).collect()
    }

    fn task(&self, entry: ManifestEntryRef, spec_id: i32, sequence: i64, deletes: &DeleteIndex) -> Result<FileTask, ConnectorError> {
        let file = entry.data_file();
        if file.file_format() != DataFileFormat::Parquet {
            let format = format!("{:?}", file.file_format());
            let what = format!("it is {format}, and only Parquet is read. Rewrite the table's data as Parquet by the engine that wrote it");
            return Err(self.files.refused(file.file_path(), &what));
        }
        if file.key_metadata().is_some() {
            let what = "it is encrypted, and encrypted tables are not read. Read it by an engine that has the table's keys";
            return Err(self.files.refused(file.file_path(), what));
        }
        let constants = self.specs.constants(spec_id, file);
        let deletes = deletes.of(file, spec_id, sequence);
        Ok(FileTask { spec_id, sequence, deletes, constants, entry })
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
