//! The writer of one partition, or of a table without any: straight into one file after another.

use std::sync::Arc;

use arrow_array::RecordBatch;
use weir_base::memory::{Reservation, Use};

use super::closing::Closing;
use super::file::{FileFactory, OpenFile};
use super::limits::Limits;
use super::partitioning::PartitionTuple;
use super::written::WrittenFile;
use crate::error::ConnectorError;
use crate::sink::WriterContext;

/// Rows that are encoded in one go, or fewer if they are wide.
const ROWS: usize = 8_192;
const BYTES: u64 = 2 << 20;

#[derive(Debug)]
pub(super) struct WholeWriter {
    limits: Limits,
    target_bytes: u64,
    partition: Arc<PartitionTuple>,
    open: Option<OpenFile>,
    closing: Closing,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    reservation: Reservation,
}

impl WholeWriter {
    pub(super) fn new(context: &WriterContext, limits: Limits, target_bytes: u64) -> Self {
        Self {
            limits,
            target_bytes,
            partition: Arc::new(PartitionTuple::none()),
            open: None,
            closing: Closing::new(limits.closing),
            waiting: Vec::new(),
            waiting_rows: 0,
            reservation: context.budget.reservation(Use::Writers),
        }
    }

    pub(super) async fn write(&mut self, batch: RecordBatch, files: &mut FileFactory) -> Result<(), ConnectorError> {
        self.reservation.grow(batch.get_array_memory_size() as u64);
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= ROWS || self.reservation.bytes() >= self.limits.drain.min(BYTES) { self.encode(files).await } else { Ok(()) }
    }

    async fn encode(&mut self, files: &mut FileFactory) -> Result<(), ConnectorError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_rows = 0;
        let Some(sample) = waiting.iter().max_by_key(|batch| batch.num_rows()) else { return Ok(()) };
        let file = match self.open.take() {
            Some(file) => file,
            None => files.create(&self.partition, sample).await?,
        };
        let file = file.append(waiting, self.limits.encoder(1)).await?;
        self.reservation.resize(0);
        if file.size() < self.target_bytes {
            self.open = Some(file);
            return Ok(());
        }
        self.closing.push(file.seal(Vec::new(), self.limits.encoder(1)).await?).await
    }

    pub(super) async fn finish(&mut self, files: &mut FileFactory) -> Result<(), ConnectorError> {
        self.encode(files).await?;
        match self.open.take() {
            Some(file) => self.closing.push(file.seal(Vec::new(), self.limits.encoder(1)).await?).await,
            None => Ok(()),
        }
    }

    pub(super) async fn stored(self) -> Result<Vec<WrittenFile>, ConnectorError> {
        self.closing.finish().await
    }

    pub(super) async fn abort(self) {
        if let Some(file) = self.open {
            file.abort().await;
        }
        self.closing.settle().await;
    }
}
