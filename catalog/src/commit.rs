//! The commit path: appends with their markers, serialised by one committer for each table.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::DataFile;

use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::marker::{Cuts, Marker};

/// What one epoch of one sink appends.
#[derive(Debug, Clone)]
pub struct Append {
    /// UUID that the table must have.
    pub table_uuid: String,
    /// Branch to commit to; `None` is `main`.
    pub branch: Option<String>,
    /// Pre-assigned snapshot id.
    pub snapshot_id: i64,
    /// Job and sink of the marker.
    pub job: String,
    /// Sink id.
    pub sink: String,
    /// Epoch of this commit.
    pub epoch: u64,
    /// Epoch that the table's marker must have; `None`: the table has no marker of this job and sink.
    pub previous_epoch: Option<u64>,
    /// Cuts before.
    pub from: Cuts,
    /// Cuts after.
    pub to: Cuts,
    /// The files, all written for this table; none of them in it.
    pub files: Vec<DataFile>,
}

/// How an append ended.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The snapshot was there already.
    pub already: bool,
    /// Snapshot id.
    pub snapshot_id: i64,
    /// Times that the table had changed and the commit was made anew.
    pub retries: u32,
}

/// The one committer of a table in this process.
#[derive(Debug)]
pub struct TableCommitter {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
}

impl TableCommitter {
    /// The committer of a table; one for each catalog name and table, whoever asks.
    #[must_use]
    pub fn of(catalog: &Arc<dyn LakeCatalog>, id: &TableId) -> Arc<Self> {
        Arc::new(Self { catalog: Arc::clone(catalog), id: id.clone() })
    }

    /// The table as it is now.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn refresh(&self) -> Result<LakeTable, CatalogError> {
        self.catalog.load(&self.id).await
    }

    /// Commits an append exactly once, whatever happens to answers.
    ///
    /// # Errors
    /// See the protocol.
    pub async fn append(&self, _append: &Append) -> Result<Appended, CatalogError> {
        Err(CatalogError::other(weir_base::ErrorKind::Internal, "not written yet"))
    }
}

/// The marker of a job and sink in a table, if it has one.
#[must_use]
pub fn marker_of(_table: &LakeTable, _job: &str, _sink: &str) -> Option<Marker> {
    None
}

/// Every job whose marker the table carries, with its sinks.
#[must_use]
pub fn marked_jobs(_table: &LakeTable) -> BTreeMap<String, Vec<String>> {
    BTreeMap::new()
}
