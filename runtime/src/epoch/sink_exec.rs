//! The head of a plan: writes each partition's rows and ends it with exactly one row that says what was finished.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{FutureExt, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use weir_base::task::{TaskError, panic_message};
use weir_connectors::ConnectorError;
use weir_connectors::sink::{Committable, SinkWriter, StreamSink, WriterContext};

use super::leaf::leaf_properties;
use crate::error::RuntimeError;

/// One text column: the committables of the partition as JSON.
static END_ROW: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("committables", DataType::Utf8, false)])));

/// Writes the rows of its input to a sink.
#[derive(Debug)]
pub(crate) struct SinkExec {
    input: Arc<dyn ExecutionPlan>,
    sink: Arc<dyn StreamSink>,
    /// For partition 0; each partition has its own number.
    context: WriterContext,
    given_up: CancellationToken,
    properties: Arc<PlanProperties>,
}

impl SinkExec {
    /// `context` is completed for each partition. Writers stop between two batches once `given_up` is cancelled, and delete what they wrote.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, sink: Arc<dyn StreamSink>, mut context: WriterContext, given_up: CancellationToken) -> Self {
        context.partitions = input.output_partitioning().partition_count();
        let properties = leaf_properties(&END_ROW, context.partitions);
        Self { input, sink, context, given_up, properties }
    }
}

impl DisplayAs for SinkExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkExec: sink={}", self.context.sink)
    }
}

impl ExecutionPlan for SinkExec {
    fn name(&self) -> &str {
        "SinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self::new(input, Arc::clone(&self.sink), self.context.clone(), self.given_up.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (sink, writer) = (Arc::clone(&self.sink), WriterContext { partition, ..self.context.clone() });
        let given_up = self.given_up.clone();
        let end = async move {
            let written = AssertUnwindSafe(write(input, sink, writer, given_up)).catch_unwind().await;
            let committables = written.unwrap_or_else(|payload| {
                let panicked = TaskError::Panicked { name: "sink partition", message: panic_message(&*payload) };
                Err(DataFusionError::External(Box::new(RuntimeError::from(panicked))))
            })?;
            end_row(&committables)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&END_ROW), stream::once(end))))
    }
}

async fn write(
    mut input: SendableRecordBatchStream,
    sink: Arc<dyn StreamSink>,
    context: WriterContext,
    given_up: CancellationToken,
) -> Result<Vec<Committable>> {
    let schema = sink.schema();
    let mut writer = sink.writer(context).map_err(external)?;
    loop {
        let batch = tokio::select! {
            biased;
            () = given_up.cancelled() => Some(Err(external(ConnectorError::transient("the attempt was given up")))),
            batch = input.next() => batch,
        };
        let Some(batch) = batch else { break };
        let taken = match batch.and_then(|batch| fit(&batch, &schema)) {
            Ok(batch) if batch.num_rows() == 0 => Ok(()),
            Ok(batch) => writer.write(batch).await.map_err(external),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            give_up(writer).await;
            return Err(error);
        }
    }
    writer.finish().await.map_err(external)
}

async fn give_up(writer: Box<dyn SinkWriter>) {
    writer.abort().await;
}

fn external(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The rows under the sink's schema: columns stay where they are, names and nullability become the sink's.
pub(crate) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map_err(DataFusionError::from)
}

fn end_row(committables: &[Committable]) -> Result<RecordBatch> {
    let text = serde_json::to_string(committables).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
    RecordBatch::try_new(Arc::clone(&END_ROW), vec![column]).map_err(DataFusionError::from)
}

/// What the rows of one partition say. There must be exactly one.
pub(crate) fn read_end_row(batches: &[RecordBatch]) -> Result<Vec<Committable>, RuntimeError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let column = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| batch.columns().first()?.as_any().downcast_ref::<StringArray>());
    match column {
        Some(column) if rows == 1 => serde_json::from_str(column.value(0))
            .map_err(|error| RuntimeError::Internal(format!("the end row of a sink partition cannot be read: {error}"))),
        _ => Err(RuntimeError::Internal(format!("a sink partition ended with {rows} end rows instead of one"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_exactly_one_end_row_is_an_error() {
        let row = end_row(&[Committable { payload: serde_json::json!("f"), rows: 3, bytes: 4 }]).expect("row");
        assert_eq!(read_end_row(std::slice::from_ref(&row)).expect("one").len(), 1);
        assert!(read_end_row(&[]).is_err());
        assert!(read_end_row(&[row.clone(), row]).is_err());
    }
}
