//! The source: one for each declared table that is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio::sync::Mutex;
use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;

use super::client::Health;
use super::decode::{RowBuilder, RowFormat};
use super::enumerator::{KafkaEnumerator, place_of};
use super::options::Settings;
use super::reader::{PartitionReader, ReaderParts};
use super::reading::Reading;
use super::resend::KafkaResender;
use crate::error::ConnectorError;
use crate::format::changes::ROW_KIND;
use crate::letters::{DeadLetters, ResendTo, Resender};
use crate::source::{Cut, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};

/// Number of partitions to share the memory with, where no enumerator has counted them.
const ASSUMED_PARTITIONS: usize = 16;

/// A stream source that reads topics.
#[derive(Debug)]
pub(super) struct KafkaSource {
    settings: Arc<Settings>,
    rows: Arc<RowFormat>,
    file_systems: FileSystems,
    health: Arc<Health>,
    // Lives as long as a reader does.
    reading: Mutex<Weak<Reading>>,
    partitions: AtomicUsize,
}

impl KafkaSource {
    /// A source with validated settings.
    pub(super) fn new(settings: Settings, rows: RowFormat, file_systems: &FileSystems) -> Self {
        let health = Arc::new(Health::new(settings.object.clone(), rows.counters.clone()));
        let (reading, partitions) = (Mutex::new(Weak::new()), AtomicUsize::new(ASSUMED_PARTITIONS));
        Self { settings: Arc::new(settings), rows: Arc::new(rows), file_systems: file_systems.clone(), health, reading, partitions }
    }

    async fn reading(&self, budget: &MemoryBudget) -> Result<Arc<Reading>, ConnectorError> {
        let mut shared = self.reading.lock().await;
        if let Some(reading) = shared.upgrade() {
            return Ok(reading);
        }
        let reading = Arc::new(Reading::new(&self.settings, &self.health, budget, self.partitions.load(Ordering::Relaxed))?);
        *shared = Arc::downgrade(&reading);
        Ok(reading)
    }
}

#[async_trait]
impl StreamSource for KafkaSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.rows.schema)
    }

    fn row_kind(&self) -> Option<&'static str> {
        self.rows.changes.then_some(ROW_KIND)
    }

    fn dead_letters(&self) -> Option<&DeadLetters> {
        self.rows.errors.letters.as_ref()
    }

    async fn resender(&self, to: &ResendTo) -> Result<Box<dyn Resender>, ConnectorError> {
        Ok(Box::new(KafkaResender::connect(&self.settings, to).await?))
    }

    fn is_bounded(&self) -> bool {
        self.settings.bound.is_some()
    }

    async fn enumerator(&self, restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError> {
        self.rows.prepare(&self.file_systems).await?;
        let settings = Arc::clone(&self.settings);
        let enumerator = Box::pin(KafkaEnumerator::connect(settings, &self.health, &self.rows.counters, restored)).await?;
        self.partitions.store(enumerator.partitions(), Ordering::Relaxed);
        if weir_base::failpoint::fails("kafka-source-connected").await {
            return Err(ConnectorError::transient(format!("{}: failed at fail point 'kafka-source-connected'", self.settings.object)));
        }
        Ok(Box::new(enumerator))
    }

    async fn reader(
        &self,
        split: &SplitId,
        from: &SplitPosition,
        projection: &[usize],
        budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let Some((topic, partition)) = place_of(split) else {
            return Err(ConnectorError::internal(format!("{}: split `{split}` is no partition", self.settings.object)));
        };
        self.rows.prepare(&self.file_systems).await?;
        let builder = RowBuilder::new(&self.rows, projection, &topic, partition)
            .map_err(|error| ConnectorError::internal(format!("{}: no such projection", self.settings.object)).with_source(error))?;
        let parts = ReaderParts {
            settings: Arc::clone(&self.settings),
            reading: self.reading(budget).await?,
            topic,
            partition,
            incarnation: from.incarnation.clone(),
            builder: builder.within(budget),
            budget: budget.clone(),
            counters: self.rows.counters.clone(),
        };
        Ok(Box::new(PartitionReader::start(parts, from.offset).await?))
    }
}
