//! The journal of a table: entries as objects in a folder of its metadata.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use weir_base::{ErrorKind, failpoint};
use weir_fs::{FsError, Status, is_not_found};

use super::entry::{Entry, What};
use super::fence::{Fence, Keeper};
use super::names::{FOLDER, Owner};
use super::removal::remove_files;
use crate::error::{CatalogError, file_system_error};
use crate::lake::{LakeCatalog, LakeTable, TableId};

/// Paths in one entry.
const PATHS: usize = 10_000;

/// The journal of one table, as one keeper writes it.
#[derive(Debug)]
pub struct Journal {
    pub(super) catalog: Arc<dyn LakeCatalog>,
    pub(super) id: TableId,
    pub(super) keeper: Keeper,
    pub(super) owner: Owner,
    folder: String,
}

/// One piece of work: its entries, which are removed together when nothing that they name is in doubt any more. What is dropped without
/// [`Self::end`] stays for [`Journal::recover`].
#[derive(Debug)]
pub struct Work {
    journal: Arc<Journal>,
    table: String,
    after: i64,
    entries: Mutex<Vec<String>>,
}

/// An entry that somebody has left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) owner: Owner,
    name: String,
    /// When; unknown in stores that do not tell.
    pub(super) written: Option<DateTime<Utc>>,
}

impl Journal {
    /// The journal of `table` in the hand of `keeper`. Makes no request.
    #[must_use]
    pub fn new(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, keeper: Keeper) -> Arc<Self> {
        let folder = format!("{}/metadata/{FOLDER}", table.metadata.location().trim_end_matches('/'));
        let owner = Owner::of(&keeper);
        Arc::new(Self { catalog: Arc::clone(catalog), id: table.id.clone(), keeper, owner, folder })
    }

    /// The fence that changes of this keeper must bear.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.keeper.fence()
    }

    /// Begins a piece of work on the table as it is in `table`. Makes no request.
    #[must_use]
    pub fn begin(self: &Arc<Self>, table: &LakeTable) -> Arc<Work> {
        let (uuid, after) = (table.metadata.uuid().to_string(), table.metadata.last_sequence_number());
        Arc::new(Work { journal: Arc::clone(self), table: uuid, after, entries: Mutex::default() })
    }

    /// The entries that are there, by their names; also those that were cut off while they were written.
    pub(super) async fn entries(&self) -> Result<Vec<Left>, CatalogError> {
        let folder = self.catalog.file_systems().place(&self.folder).map_err(file_system_error)?;
        let listed: Vec<Status> = folder.list().try_collect().await.map_err(file_system_error)?;
        let left = |found: Status| {
            let name = found.target().or_else(|| found.path.filename())?.to_owned();
            Some(Left { owner: Owner::parse(&name)?, name, written: found.modified })
        };
        Ok(listed.into_iter().filter_map(left).collect())
    }

    /// What an entry says; `None` if it is gone, or was cut off while it was written: then what it would name does not exist.
    pub(super) async fn read(&self, left: &Left) -> Result<Option<Entry>, CatalogError> {
        let path = format!("{}/{}", self.folder, left.name);
        let location = self.catalog.file_systems().resolve(&path).map_err(file_system_error)?;
        let read = async { location.store.get(&location.path).await?.bytes().await };
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(file_system_error(FsError::from_store("cannot read", &path, error))),
        };
        match serde_json::from_slice(&bytes) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => {
                tracing::warn!(table = %self.id, entry = %path, %error, "an entry of the journal cannot be read and is passed over");
                Ok(None)
            }
        }
    }

    /// Removes entries.
    pub(super) async fn forget(&self, left: &[Left]) -> Result<(), CatalogError> {
        let paths: Vec<String> = left.iter().map(|left| format!("{}/{}", self.folder, left.name)).collect();
        remove_files(self.catalog.file_systems(), &paths).await
    }
}

impl Work {
    /// Says that data files are about to be made. Returns when that is durable.
    ///
    /// # Errors
    /// The store's; the files must then not be made.
    pub async fn files(&self, paths: &[String]) -> Result<(), CatalogError> {
        self.record(What::Files(paths.to_vec())).await
    }

    /// Says that a snapshot is about to be committed. Returns when that is durable.
    ///
    /// # Errors
    /// The store's; the snapshot must then not be committed.
    pub async fn commit(&self, snapshot_id: i64) -> Result<(), CatalogError> {
        self.record(What::Commit(snapshot_id)).await
    }

    /// Says that snapshots are about to be expired, and which files only they need. Returns when that is durable.
    ///
    /// # Errors
    /// The store's; the snapshots must then stay.
    pub(crate) async fn expiry(&self, snapshots: &[i64], paths: &[String]) -> Result<(), CatalogError> {
        for paths in paths.chunks(PATHS) {
            self.record(What::Expiry { snapshots: snapshots.to_vec(), paths: paths.to_vec() }).await?;
        }
        Ok(())
    }

    /// Removes the entries: all that they name is in the table, or deleted, and no swap is under way.
    ///
    /// # Errors
    /// The store's; entries that are left are settled by the next recovery.
    pub async fn end(&self) -> Result<(), CatalogError> {
        let entries = std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner));
        remove_files(self.journal.catalog.file_systems(), &entries).await
    }

    async fn record(&self, what: What) -> Result<(), CatalogError> {
        let name = format!("{}/{}", self.journal.folder, self.journal.owner.next_name());
        let entry = Entry { table: self.table.clone(), after: self.after, what };
        let unwritable = |error| CatalogError::caused(ErrorKind::Internal, "an entry of the journal cannot be written as JSON", error);
        let bytes = serde_json::to_vec(&entry).map_err(unwritable)?;
        let location = self.journal.catalog.file_systems().resolve(&name).map_err(file_system_error)?;
        // What may exist is always removed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        location
            .store
            .put(&location.path, bytes.into())
            .await
            .map_err(|error| file_system_error(FsError::from_store("cannot write", &name, error)))?;
        if failpoint::fails("upkeep-journal-written").await {
            return Err(CatalogError::other(ErrorKind::Transient, "fail point `upkeep-journal-written`"));
        }
        Ok(())
    }
}
