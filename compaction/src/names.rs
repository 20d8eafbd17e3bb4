//! Names of the files that compaction makes, and a memory of those that are in no table yet.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use weir_catalog::CatalogError;
use weir_catalog::upkeep::{Work, remove_files};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::catalog_error;
use weir_connectors::sink::IntentLog;
use weir_fs::FileSystems;

/// What the name of a copy ends with: how one is known again.
const COPY: &str = "-copy.parquet";

/// The name of a copy of one attempt; `number` tells it from the others.
pub(crate) fn copy_name(folder: &str, attempt: &str, number: &str) -> String {
    format!("{folder}/weir-compact-{attempt}-{number}{COPY}")
}

pub(crate) fn is_copy(path: &str) -> bool {
    path.ends_with(COPY)
}

/// The folder of a file, without a slash at its end.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Writes names into the journal and remembers those whose files are in no table yet.
#[derive(Debug)]
pub(crate) struct Begun {
    work: Arc<Work>,
    names: Mutex<BTreeSet<String>>,
    doubtful: AtomicBool,
}

impl Begun {
    pub(crate) fn new(work: Arc<Work>) -> Self {
        Self { work, names: Mutex::default(), doubtful: AtomicBool::new(false) }
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Forgets files that a table has now.
    pub(crate) fn forget(&self, paths: &[String]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name| !paths.contains(name));
    }

    /// Forgets files of which nobody knows whether the table has them: the journal keeps what it says of them.
    pub(crate) fn doubt(&self, paths: &[String]) {
        self.doubtful.store(true, Ordering::Relaxed);
        self.forget(paths);
    }

    /// Deletes the files that are in no table, and ends the work unless something is in doubt.
    pub(crate) async fn clear(&self, file_systems: &FileSystems) -> Result<(), CatalogError> {
        let left: Vec<String> = std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
        remove_files(file_systems, &left).await?;
        if self.doubtful.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.work.end().await
    }
}

#[async_trait]
impl IntentLog for Begun {
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(paths.iter().cloned());
        self.work.files(paths).await.map_err(catalog_error)
    }
}
