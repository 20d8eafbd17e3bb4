//! Files on their way into the store: several at a time, for a close may take half a second on HDFS.

use std::collections::VecDeque;

use weir_base::task::{Task, spawn};

use super::file::SealedFile;
use super::written::WrittenFile;
use crate::error::ConnectorError;

/// Files that are stored at the same time.
const FILES: usize = 32;

#[derive(Debug)]
struct Storing {
    bytes: u64,
    task: Task<Result<WrittenFile, ConnectorError>>,
}

/// Files being stored, and those that are.
#[derive(Debug)]
pub(super) struct Closing {
    storing: VecDeque<Storing>,
    bytes_limit: u64,
    stored: Vec<WrittenFile>,
}

impl Closing {
    pub(super) fn new(bytes_limit: u64) -> Self {
        Self { storing: VecDeque::new(), bytes_limit, stored: Vec::new() }
    }

    /// Begins to store a file; waits while there are too many or they hold too much memory.
    pub(super) async fn push(&mut self, file: SealedFile) -> Result<(), ConnectorError> {
        let bytes = file.memory();
        while self.storing.len() >= FILES || (!self.storing.is_empty() && self.held() + bytes > self.bytes_limit) {
            self.wait_one().await?;
        }
        self.storing.push_back(Storing { bytes, task: spawn("iceberg-file-close", file.store()) });
        Ok(())
    }

    /// Waits for all of them.
    pub(super) async fn finish(mut self) -> Result<Vec<WrittenFile>, ConnectorError> {
        while !self.storing.is_empty() {
            self.wait_one().await?;
        }
        Ok(self.stored)
    }

    /// Waits until nothing is being stored, whatever becomes of it: afterwards files can be deleted for good.
    pub(super) async fn settle(mut self) {
        while !self.storing.is_empty() {
            if let Err(error) = self.wait_one().await {
                tracing::debug!(%error, "file of a given-up epoch");
            }
        }
    }

    fn held(&self) -> u64 {
        self.storing.iter().map(|storing| storing.bytes).sum()
    }

    async fn wait_one(&mut self) -> Result<(), ConnectorError> {
        let Some(storing) = self.storing.pop_front() else { return Ok(()) };
        let stored = storing.task.await.map_err(|error| ConnectorError::internal(error.to_string()).with_source(error))?;
        self.stored.push(stored?);
        Ok(())
    }
}
