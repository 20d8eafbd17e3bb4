//! The write-intent list: names of files, durable before the files exist.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use weir_base::Classified;
use weir_connectors::ConnectorError;
use weir_connectors::sink::IntentLog;

use super::names::IntentName;
use super::record::Intent;
use super::store::CheckpointStore;

/// The intents of one sink in one epoch and attempt. Each call writes one object.
#[derive(Debug, Clone)]
pub(crate) struct SinkIntents {
    store: CheckpointStore,
    epoch: u64,
    attempt: String,
    sink: String,
    recorded: Arc<Mutex<Vec<IntentName>>>,
}

impl SinkIntents {
    pub(crate) fn new(store: CheckpointStore, epoch: u64, attempt: &str, sink: &str) -> Self {
        Self { store, epoch, attempt: attempt.to_owned(), sink: sink.to_owned(), recorded: Arc::default() }
    }

    /// What has been recorded, to be removed once the epoch is committed.
    pub(crate) fn recorded(&self) -> Vec<IntentName> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names are listed before they are written: what may exist is always removed.
    fn next_name(&self) -> IntentName {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let name = IntentName::new(self.epoch, &self.attempt, &self.sink, recorded.len() as u64);
        recorded.push(name.clone());
        name
    }
}

#[async_trait]
impl IntentLog for SinkIntents {
    async fn record(&self, paths: &[String]) -> Result<(), ConnectorError> {
        let intent = Intent::new(&self.sink, paths);
        let written = self.store.put_intent(&self.next_name(), &intent).await;
        written.map_err(|error| ConnectorError::new(error.kind(), "the write intents cannot be recorded").with_source(error))
    }
}
