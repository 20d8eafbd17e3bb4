//! Names of the files that compaction makes, and a memory of those that are in no table yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use weir_connectors::ConnectorError;
use weir_connectors::sink::IntentLog;

/// What the name of a copy ends with: how one is known again.
const COPY: &str = "-copy.parquet";

/// The name of a copy of one attempt.
pub(crate) fn copy_name(folder: &str, attempt: &str, number: usize) -> String {
    format!("{folder}/weir-compact-{attempt}-{number}{COPY}")
}

pub(crate) fn is_copy(path: &str) -> bool {
    path.ends_with(COPY)
}

/// The folder of a file, without a slash at its end.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Passes names on to an intent log and remembers those whose files are in no table yet.
#[derive(Debug)]
pub(crate) struct Begun {
    log: Arc<dyn IntentLog>,
    names: Mutex<BTreeSet<String>>,
}

impl Begun {
    pub(crate) fn new(log: Arc<dyn IntentLog>) -> Self {
        Self { log, names: Mutex::default() }
    }

    /// Forgets files that a table has now, that are deleted, or of which that is not certain.
    pub(crate) fn forget(&self, paths: &[String]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name| !paths.contains(name));
    }

    /// Takes all names out.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

#[async_trait]
impl IntentLog for Begun {
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError> {
        self.log.record(paths).await?;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(paths.iter().cloned());
        Ok(())
    }
}
