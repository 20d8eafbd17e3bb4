//! Makes the files of an epoch a snapshot of their table.

use std::sync::Arc;

use async_trait::async_trait;
use iceberg::spec::{DataFile, TableMetadata};
use weir_base::{Classified, ErrorKind};
use weir_catalog::CatalogError;
use weir_catalog::commit::{Append, Replaced, TableCommitter, marked_jobs, marker_of, new_snapshot_id};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};
use weir_catalog::marker::Marker;
use weir_catalog::read::data_files;
use weir_catalog::upkeep::{highest_fence, remove_files};
use weir_fs::FileSystems;

use super::replacing::{Mark, Replacing, mark_of};
use super::stream::announce;
use super::write::{WrittenFile, file_system_error};
use crate::error::ConnectorError;
use crate::sink::{Committable, Committed, SinkCommit, SinkCommitter, TargetState};

/// Commits the files of epochs to one table.
#[derive(Debug)]
pub struct IcebergCommitter {
    name: String,
    id: TableId,
    table: Arc<TableCommitter>,
    file_systems: FileSystems,
    branch: Option<String>,
    loaded: Arc<TableMetadata>,
    replacing: Option<Arc<Replacing>>,
}

impl IcebergCommitter {
    pub(super) fn new(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, branch: Option<String>) -> Self {
        Self {
            name: format!("{}.{}", catalog.name(), table.id),
            id: table.id.clone(),
            table: TableCommitter::of(catalog, &table.id),
            file_systems: catalog.file_systems().clone(),
            branch,
            loaded: Arc::clone(&table.metadata),
            replacing: None,
        }
    }

    pub(super) fn replacing(self, replacing: &Arc<Replacing>) -> Self {
        Self { replacing: Some(Arc::clone(replacing)), ..self }
    }

    /// Files belong to the schema and the partition spec they were written with. The table as it was when the sink was made has these,
    /// unless the files are those of an earlier process: then the table as it is now is asked.
    async fn data_files(&self, commit: &SinkCommit) -> Result<Vec<DataFile>, ConnectorError> {
        let files = commit.committables.iter().filter(|committable| mark_of(committable).is_none());
        let mut written = files.map(written).collect::<Result<Vec<_>, _>>()?;
        for file in &mut written {
            file.path = self.file_systems.for_metadata(&file.path).map_err(file_system_error)?;
        }
        let known = |table: &TableMetadata| written.iter().map(|file| file.to_data_file(table)).collect::<Result<Vec<_>, _>>();
        match known(&self.loaded) {
            Ok(files) => Ok(files),
            Err(_) => known(&self.table.refresh().await.map_err(catalog_error)?.metadata),
        }
    }
}

impl IcebergCommitter {
    /// What the files take the place of, and their sequence number.
    async fn replaced(&self, commit: &SinkCommit, added: &[DataFile]) -> Result<(Option<Replaced>, Option<i64>), ConnectorError> {
        let Some(mark): Option<Mark> = commit.committables.iter().find_map(mark_of) else { return Ok((None, None)) };
        let Some(replacing) = &self.replacing else {
            let what = format!("the checkpoint holds a commit that replaces files of table {}, but the statement does not", self.id);
            return Err(ConnectorError::user(what));
        };
        let live = match mark.read() {
            None => Vec::new(),
            Some(read) => data_files(&self.table.refresh().await.map_err(catalog_error)?, Some(read)).await.map_err(catalog_error)?,
        };
        Ok((Some(replacing.replaced(&mark, live, added)?), replacing.sequence_number(&mark)))
    }

    /// A commit that others have overtaken will never succeed, so that its files are of no use.
    async fn overtaken(&self, commit: &SinkCommit, what: &str) -> ConnectorError {
        let files: Vec<String> = commit.committables.iter().filter_map(|committable| Some(written(committable).ok()?.path)).collect();
        if let Err(error) = delete_files(&self.file_systems, &files).await {
            tracing::warn!(table = %self.id, %error, files = files.len(), "files of a statement that was overtaken are left behind");
        }
        ConnectorError::user(format!("{what}. Nothing was changed: run the statement again"))
    }
}

fn written(committable: &Committable) -> Result<WrittenFile, ConnectorError> {
    serde_json::from_value(committable.payload.clone())
        .map_err(|error| ConnectorError::new(ErrorKind::Corrupt, "a committable of the checkpoint cannot be read").with_source(error))
}

#[async_trait]
impl SinkCommitter for IcebergCommitter {
    async fn state(&self, job: &str, sink: &str) -> Result<TargetState, ConnectorError> {
        let table = self.table.refresh().await.map_err(catalog_error)?;
        Ok(TargetState {
            name: self.name.clone(),
            incarnation: table.metadata.uuid().to_string(),
            marker: marker_of(&table, job, sink).map_err(catalog_error)?,
            other_jobs: marked_jobs(&table).into_keys().filter(|other| other != job).collect(),
        })
    }

    async fn other_markers(&self, job: &str) -> Result<Vec<(String, Marker)>, ConnectorError> {
        let table = self.table.refresh().await.map_err(catalog_error)?;
        let mut markers = Vec::new();
        for (other, sinks) in marked_jobs(&table).into_iter().filter(|(other, _)| other != job) {
            for sink in &sinks {
                let marker = marker_of(&table, &other, sink).map_err(catalog_error)?;
                markers.extend(marker.map(|marker| (other.clone(), marker)));
            }
        }
        Ok(markers)
    }

    async fn claimed(&self, job: &str) -> Result<Option<u64>, ConnectorError> {
        let table = self.table.refresh().await.map_err(catalog_error)?;
        highest_fence(self.table.catalog(), &table, job).await.map_err(catalog_error)
    }

    fn next_commit_id(&self) -> i64 {
        new_snapshot_id(&self.loaded)
    }

    async fn commit(&self, job: &str, sink: &str, epoch: u64, commit: &SinkCommit) -> Result<Committed, ConnectorError> {
        let files = self.data_files(commit).await?;
        let (replaced, sequence_number) = self.replaced(commit, &files).await?;
        let append = Append {
            table_uuid: commit.incarnation.clone(),
            branch: self.branch.clone(),
            snapshot_id: commit.commit_id,
            job: job.to_owned(),
            sink: sink.to_owned(),
            epoch,
            previous_epoch: commit.previous_epoch,
            from: commit.from.clone(),
            to: commit.to.clone(),
            gaps: commit.gaps.clone(),
            files,
            sequence_number,
            replaced,
        };
        let done = match self.table.append(&append).await {
            Err(CatalogError::Overtaken(what)) => return Err(self.overtaken(commit, &what).await),
            done => done.map_err(catalog_error)?,
        };
        announce(&append.table_uuid);
        tracing::debug!(table = %self.id, epoch, snapshot = done.snapshot_id, files = append.files.len(), already = done.already, "committed");
        Ok(Committed { already: done.already, snapshot: done.snapshot_id.to_string(), retries: done.retries })
    }

    async fn sweep(&self, commit_ids: &[i64]) -> Result<(), ConnectorError> {
        let files = self.table.sweep(commit_ids).await.map_err(catalog_error)?;
        if files > 0 {
            tracing::info!(table = %self.id, files, "metadata files of tries that were cut off deleted");
        }
        Ok(())
    }

    async fn discard(&self, paths: &[String]) -> Result<(), ConnectorError> {
        delete_files(&self.file_systems, paths).await
    }
}

/// Deletes files by name; missing ones are fine.
///
/// # Errors
/// The stores'.
pub async fn delete_files(file_systems: &FileSystems, paths: &[String]) -> Result<(), ConnectorError> {
    remove_files(file_systems, paths).await.map_err(catalog_error)
}

/// A catalog's failure as a connector's, of the same kind.
#[must_use]
pub fn catalog_error(error: CatalogError) -> ConnectorError {
    ConnectorError::new(error.kind(), error.to_string()).with_source(error)
}
