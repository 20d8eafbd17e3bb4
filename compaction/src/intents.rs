//! The names of files that a command is about to make, kept beside the table's metadata: a command has no checkpoints of its own.
//!
//! Each run has objects of its own below `<location>/metadata/weir-compaction/`; they are removed at its end. What a run that was cut off has
//! left there is looked at by the next one, once it is [`GRACE`] old: files that no snapshot has are deleted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt};
use uuid::Uuid;
use weir_base::ErrorKind;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::data_files;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{catalog_error, delete_files, file_system_error, store_error};
use weir_connectors::sink::IntentLog;
use weir_fs::{FileSystems, Location};

/// A run that began so long ago is not running any more.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// Snapshots whose files are read at the same time.
const READS_AT_ONCE: usize = 4;

/// The intents of one run.
#[derive(Debug)]
pub struct TableIntents {
    file_systems: FileSystems,
    folder: String,
    run: String,
    recorded: Mutex<Vec<Location>>,
}

impl TableIntents {
    /// Of a run on `table`. Makes no request.
    #[must_use]
    pub fn new(table: &LakeTable, file_systems: &FileSystems) -> Arc<Self> {
        let folder = format!("{}/metadata/weir-compaction", table.metadata.location().trim_end_matches('/'));
        Arc::new(Self { file_systems: file_systems.clone(), folder, run: Uuid::new_v4().simple().to_string(), recorded: Mutex::default() })
    }

    /// Removes the run's own objects: its files are in the table, or deleted.
    ///
    /// # Errors
    /// The store's.
    pub async fn close(&self) -> Result<(), ConnectorError> {
        let recorded = std::mem::take(&mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner));
        for location in recorded {
            match location.store.delete(&location.path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store_error(&location.uri, "delete", error)),
            }
        }
        Ok(())
    }

    /// Deletes the files that runs which were cut off have left, and gives their number. `now` is the time since 1970.
    ///
    /// # Errors
    /// The store's, metadata that cannot be read.
    pub async fn sweep(&self, table: &LakeTable, now: Duration) -> Result<usize, ConnectorError> {
        let folder = self.file_systems.resolve(&self.folder).map_err(file_system_error)?;
        let listed: Vec<ObjectMeta> = match folder.store.list(Some(&folder.path)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(0),
            Err(error) => return Err(store_error(&folder.uri, "list", error)),
        };
        let is_old = |object: &ObjectMeta| {
            u64::try_from(object.last_modified.timestamp()).is_ok_and(|time| now.saturating_sub(Duration::from_secs(time)) >= GRACE)
        };
        let old: Vec<ObjectMeta> = listed.into_iter().filter(is_old).collect();
        if old.is_empty() {
            return Ok(0);
        }
        let known = known_files(table, &self.file_systems).await?;
        let mut deleted = 0;
        for object in old {
            let read = async { folder.store.get(&object.location).await?.bytes().await };
            let bytes = read.await.map_err(|error| store_error(&folder.uri, "read", error))?;
            let names = std::str::from_utf8(&bytes).map_err(|error| {
                let what = format!("the list `{}` of files that were begun cannot be read", object.location);
                ConnectorError::new(ErrorKind::Corrupt, what).with_source(error)
            })?;
            let lost: Vec<String> = names.lines().filter(|name| !known.contains(*name)).map(str::to_owned).collect();
            delete_files(&self.file_systems, &lost).await?;
            folder.store.delete(&object.location).await.map_err(|error| store_error(&folder.uri, "delete", error))?;
            deleted += lost.len();
        }
        Ok(deleted)
    }
}

/// The data files of all snapshots, by the names that are recorded.
async fn known_files(table: &LakeTable, file_systems: &FileSystems) -> Result<HashSet<String>, ConnectorError> {
    let reads = table.metadata.snapshots().map(|snapshot| {
        let id = snapshot.snapshot_id();
        async move { data_files(table, Some(id)).await.map_err(catalog_error) }
    });
    let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(READS_AT_ONCE);
    let mut known = HashSet::new();
    while let Some(files) = reads.try_next().await? {
        for live in files {
            known.insert(file_systems.for_checkpoint(live.file.file_path()).map_err(file_system_error)?);
        }
    }
    Ok(known)
}

#[async_trait]
impl IntentLog for TableIntents {
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError> {
        let name = format!("{}/{}-{}.txt", self.folder, self.run, Uuid::new_v4().simple());
        let location = self.file_systems.resolve(&name).map_err(file_system_error)?;
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).push(location.clone());
        let text = paths.join("\n");
        location.store.put(&location.path, text.into()).await.map(drop).map_err(|error| store_error(&name, "write", error))
    }
}
