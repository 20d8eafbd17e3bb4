//! The writer of one sink partition and epoch.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use weir_base::failpoint;
use weir_fs::FileSystems;

use super::file::FileFactory;
use super::limits::Limits;
use super::partitioned::PartitionedWriter;
use super::plan::WritePlan;
use super::whole::WholeWriter;
use super::written::WrittenFile;
use crate::error::ConnectorError;
use crate::iceberg::replacing::Replacing;
use crate::iceberg::types::conform_batch;
use crate::sink::{Committable, SinkWriter, WriterContext};

#[derive(Debug)]
enum Body {
    Whole(Box<WholeWriter>),
    Partitioned(Box<PartitionedWriter>),
}

/// Writes the rows of one sink partition and epoch to data files.
#[derive(Debug)]
pub(super) struct IcebergWriter {
    plan: Arc<WritePlan>,
    files: FileFactory,
    body: Body,
    /// Of the writer that tells what the epoch replaces.
    replacing: Option<Arc<Replacing>>,
}

impl IcebergWriter {
    pub(super) fn new(plan: Arc<WritePlan>, context: WriterContext, replacing: Option<Arc<Replacing>>) -> Self {
        let limits = Limits::of(context.budget.limit(), context.partitions);
        let body = match &plan.partitioning {
            None => Body::Whole(Box::new(WholeWriter::new(&context, limits, plan.target_file_bytes))),
            Some(partitioning) => {
                Body::Partitioned(Box::new(PartitionedWriter::new(&context, limits, plan.target_file_bytes, Arc::clone(partitioning))))
            }
        };
        Self { files: FileFactory::new(Arc::clone(&plan), context), plan, body, replacing }
    }

    async fn finish_files(&mut self) -> Result<(), ConnectorError> {
        match &mut self.body {
            Body::Whole(writer) => writer.finish(&mut self.files).await,
            Body::Partitioned(writer) => writer.finish(&mut self.files).await,
        }
    }
}

#[async_trait]
impl SinkWriter for IcebergWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let plan = &self.plan;
        let batch = conform_batch(&batch, &plan.schema)
            .map_err(|error| ConnectorError::user(format!("rows do not fit table {}: {error}", plan.table)).with_source(error))?;
        match &mut self.body {
            Body::Whole(writer) => writer.write(batch, &mut self.files).await,
            Body::Partitioned(writer) => writer.write(batch, &mut self.files).await,
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<Committable>, ConnectorError> {
        if let Err(error) = self.finish_files().await {
            self.abort().await;
            return Err(error);
        }
        let Self { plan, files, body, replacing } = *self;
        let stored = match body {
            Body::Whole(writer) => writer.stored().await,
            Body::Partitioned(writer) => writer.stored().await,
        };
        let stored = match stored {
            Ok(stored) if !failpoint::fails("sink-files-closed").await => stored,
            other => {
                delete_quietly(&plan.file_systems, files.into_recorded()).await;
                return Err(other.err().unwrap_or_else(|| ConnectorError::transient("fail point: files closed")));
            }
        };
        let mut committables = stored.iter().map(committable).collect::<Result<Vec<_>, _>>()?;
        if let Some(replacing) = replacing {
            committables.extend(replacing.mark()?);
        }
        Ok(committables)
    }

    async fn abort(self: Box<Self>) {
        let Self { plan, files, body, .. } = *self;
        match body {
            Body::Whole(writer) => writer.abort().await,
            Body::Partitioned(writer) => writer.abort().await,
        }
        delete_quietly(&plan.file_systems, files.into_recorded()).await;
    }
}

async fn delete_quietly(file_systems: &FileSystems, paths: Vec<String>) {
    if let Err(error) = crate::iceberg::committer::delete_files(file_systems, &paths).await {
        tracing::warn!(%error, files = paths.len(), "files of a given-up epoch were left; they are deleted at recovery");
    }
}

fn committable(file: &WrittenFile) -> Result<Committable, ConnectorError> {
    let payload = serde_json::to_value(file).map_err(|error| ConnectorError::internal("a committable has no JSON form").with_source(error))?;
    Ok(Committable { payload, rows: file.records, bytes: file.bytes })
}
