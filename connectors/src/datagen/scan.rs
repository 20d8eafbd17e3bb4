//! The generated rows as a table of a batch query: all at once, not at the table's rate.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use super::Rows;
use super::source::{BATCH, batch};
use crate::batch::BatchTable;
use crate::error::ConnectorError;

/// A datagen table with an end.
#[derive(Debug)]
pub(super) struct DatagenTable {
    rows: Rows,
    total: i64,
}

impl DatagenTable {
    pub(super) fn new(rows: Rows, total: i64) -> Self {
        Self { rows, total }
    }
}

#[async_trait::async_trait]
impl BatchTable for DatagenTable {
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        let begin = chrono::Utc::now().timestamp_millis();
        let partition = |split| {
            let end = self.rows.of_split(self.total, split);
            Arc::new(Split { rows: self.rows.clone(), split, end, begin }) as Arc<dyn PartitionStream>
        };
        let partitions = (0..self.rows.splits).map(partition).collect();
        let table = StreamingTable::try_new(Arc::clone(&self.rows.schema), partitions);
        Ok(Arc::new(table.map_err(|error| ConnectorError::internal("a datagen table cannot be scanned").with_source(error))?))
    }
}

/// One split as a partition of the query.
#[derive(Debug)]
struct Split {
    rows: Rows,
    split: i64,
    end: i64,
    begin: i64,
}

impl PartitionStream for Split {
    fn schema(&self) -> &SchemaRef {
        &self.rows.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (rows, split, end, begin) = (self.rows.clone(), self.split, self.end, self.begin);
        let projection: Vec<usize> = (0..rows.generators.len()).collect();
        let schema = Arc::clone(&rows.schema);
        let starts = (0..end).step_by(usize::try_from(BATCH).unwrap_or(1));
        let batches = starts.map(move |from| {
            let to = end.min(from + BATCH);
            batch(&rows, (&rows.schema, &projection), split, (from, to), begin).map_err(DataFusionError::from)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches)))
    }
}
