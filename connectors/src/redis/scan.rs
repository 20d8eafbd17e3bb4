//! The whole table in a batch query: all keys that a scan finds.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::lookup::RedisLookup;
use crate::batch::BatchTable;
use crate::error::ConnectorError;
use crate::lookup::{Charge, Lookup};

/// A table for batch queries. It is read while the query runs: keys that change meanwhile may be seen as before or after.
#[derive(Debug, Clone)]
pub(super) struct RedisTable {
    lookup: RedisLookup,
    schema: SchemaRef,
}

impl RedisTable {
    pub(super) fn new(lookup: RedisLookup) -> Self {
        let schema = lookup.schema();
        Self { lookup, schema }
    }
}

#[async_trait]
impl BatchTable for RedisTable {
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        let table = StreamingTable::try_new(Arc::clone(&self.schema), vec![Arc::new(self.clone())]);
        Ok(Arc::new(table.map_err(|error| ConnectorError::internal("a table that cannot be read").with_source(error))?))
    }
}

impl PartitionStream for RedisTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let lookup = self.lookup.clone();
        let held = MemoryConsumer::new(format!("scan of table '{}'", lookup.server.table)).register(context.memory_pool());
        let charge = Charge::new(move |bytes| usize::try_from(bytes).is_ok_and(|bytes| held.try_grow(bytes).is_ok()));
        let load = async move {
            Ok::<_, ConnectorError>(lookup.load(1, None, charge).await?.rows().map_or_else(|| stream::empty().boxed(), |load| load.rows))
        };
        let rows = stream::once(load).try_flatten();
        let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
