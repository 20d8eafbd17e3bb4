//! One data file from its first row to the description that goes into the checkpoint, and the names that files get.

use std::sync::Arc;

use arrow_array::RecordBatch;
use weir_base::memory::{Reservation, Use};
use weir_base::{compute, failpoint};

use super::encoder::Encoder;
use super::encoding::writer_properties;
use super::metrics::collect;
use super::partitioning::{PartitionTuple, path_part};
use super::plan::WritePlan;
use super::upload::{Upload, file_system_error};
use super::written::{FileFacts, WrittenFile};
use crate::error::ConnectorError;
use crate::sink::WriterContext;

/// A file that takes rows.
#[derive(Debug)]
pub(super) struct OpenFile {
    plan: Arc<WritePlan>,
    encoder: Encoder,
    upload: Upload,
    reservation: Reservation,
    partition: Arc<PartitionTuple>,
}

/// A file whose bytes are complete; they may not all be in the store yet.
#[derive(Debug)]
pub(super) struct SealedFile {
    upload: Upload,
    written: WrittenFile,
    reservation: Reservation,
}

impl OpenFile {
    pub(super) fn size(&self) -> u64 {
        self.encoder.size()
    }

    pub(super) fn memory(&self) -> usize {
        self.encoder.memory() + self.upload.memory()
    }

    /// Encodes `batches` off the I/O threads and sends what is finished. The row group ends early if it needs more than `memory_limit`.
    pub(super) async fn append(self, batches: Vec<RecordBatch>, memory_limit: usize) -> Result<Self, ConnectorError> {
        self.encode(move |encoder| batches.iter().try_for_each(|batch| encoder.write(batch, memory_limit))).await
    }

    /// Ends the row group and sends it, to free memory.
    pub(super) async fn flush(self) -> Result<Self, ConnectorError> {
        self.encode(Encoder::flush).await
    }

    /// Does `work` off the I/O threads, and sends what it finished.
    async fn encode(mut self, work: impl FnOnce(&mut Encoder) -> parquet::errors::Result<()> + Send + 'static) -> Result<Self, ConnectorError> {
        let (encoder, bytes) = blocking(move || {
            let mut encoder = self.encoder;
            work(&mut encoder)?;
            let bytes = encoder.take();
            Ok((encoder, bytes))
        })
        .await?;
        self.encoder = encoder;
        self.upload.put(bytes).await?;
        self.reservation.resize(self.memory() as u64);
        Ok(self)
    }

    /// Encodes the last of `batches` and the footer.
    pub(super) async fn seal(self, batches: Vec<RecordBatch>, memory_limit: usize) -> Result<SealedFile, ConnectorError> {
        let Self { plan, encoder, mut upload, mut reservation, partition } = self;
        let path = upload.uri().to_owned();
        let (written, rest) = blocking(move || {
            let mut encoder = encoder;
            for batch in &batches {
                encoder.write(batch, memory_limit)?;
            }
            let encoded = encoder.finish()?;
            let offsets = encoded.footer.row_groups().iter().filter_map(|group| group.columns().first());
            let split_offsets = offsets.filter_map(|chunk| i64::try_from(chunk.byte_range().0).ok()).collect();
            let facts = FileFacts { path, records: encoded.rows, bytes: encoded.bytes, split_offsets };
            let metrics = collect(&plan.leaves, &encoded.footer, &encoded.nans);
            Ok((WrittenFile::try_new(facts, plan.ids, &partition, metrics), encoded.rest))
        })
        .await?;
        upload.put(rest).await?;
        reservation.resize(upload.memory() as u64);
        Ok(SealedFile { upload, written: written?, reservation })
    }

    /// Gives up.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }
}

impl SealedFile {
    /// Bytes held until the file is stored.
    pub(super) fn memory(&self) -> u64 {
        self.reservation.bytes()
    }

    /// Brings the file into the store.
    pub(super) async fn store(self) -> Result<WrittenFile, ConnectorError> {
        self.upload.finish().await?;
        drop(self.reservation);
        Ok(self.written)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static) -> Result<T, ConnectorError> {
    let done = compute::run("parquet-encode", work).await;
    let done = done.map_err(|error| ConnectorError::internal(error.to_string()).with_source(error))?;
    done.map_err(|error| ConnectorError::user(format!("rows cannot be written: {error}")).with_source(error))
}

/// Makes the files of one writer and remembers their names.
#[derive(Debug)]
pub(super) struct FileFactory {
    plan: Arc<WritePlan>,
    context: WriterContext,
    stem: String,
    next: u32,
    recorded: Vec<String>,
}

impl FileFactory {
    pub(super) fn new(plan: Arc<WritePlan>, context: WriterContext) -> Self {
        let parts = [&context.job, &context.sink, &context.epoch.to_string(), &context.attempt, &context.partition.to_string()];
        let stem = parts.map(|part| path_part(part).replace('%', "_")).join("-");
        Self { plan, context, stem, next: 0, recorded: Vec::new() }
    }

    /// Every path that was recorded as an intent.
    pub(super) fn into_recorded(self) -> Vec<String> {
        self.recorded
    }

    /// Names `partitions.len()` files and records the names.
    pub(super) async fn name(&mut self, partitions: &[Arc<PartitionTuple>]) -> Result<Vec<String>, ConnectorError> {
        let mut paths = Vec::with_capacity(partitions.len());
        for partition in partitions {
            paths.push(format!("{}/{}{}-{}.parquet", self.plan.data_path, partition.folder, self.stem, self.next));
            self.next += 1;
        }
        if !paths.is_empty() {
            self.context.intents.record(&paths).await?;
            self.recorded.extend_from_slice(&paths);
        }
        Ok(paths)
    }

    /// Opens a named file whose rows look like `sample`.
    pub(super) async fn open(&self, path: &str, partition: &Arc<PartitionTuple>, sample: &RecordBatch) -> Result<OpenFile, ConnectorError> {
        if failpoint::fails("sink-file-open").await {
            return Err(ConnectorError::transient(format!("fail point: cannot create `{path}`")));
        }
        let plan = &self.plan;
        let location = plan.file_systems.resolve(path).map_err(file_system_error)?;
        let encodings = plan.learned.of(sample, &plan.leaves);
        let properties = writer_properties(&plan.parquet, &plan.leaves, &encodings);
        let encoder = Encoder::try_new(&plan.file_schema, &plan.leaves, properties)
            .map_err(|error| ConnectorError::user(format!("table {} cannot be written as Parquet: {error}", plan.table)).with_source(error))?;
        let mut reservation = self.context.budget.reservation(Use::Writers);
        reservation.grow(encoder.memory() as u64);
        let partition = Arc::clone(partition);
        Ok(OpenFile { plan: Arc::clone(plan), encoder, upload: Upload::new(location), reservation, partition })
    }

    /// Names and opens one file.
    pub(super) async fn create(&mut self, partition: &Arc<PartitionTuple>, sample: &RecordBatch) -> Result<OpenFile, ConnectorError> {
        let paths = self.name(std::slice::from_ref(partition)).await?;
        match paths.first() {
            Some(path) => self.open(path, partition, sample).await,
            None => Err(ConnectorError::internal("a file without a name")),
        }
    }
}
