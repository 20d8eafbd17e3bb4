//! The physical expression that spreads rows as a sink wants them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use weir_connectors::sink::StreamSink;

use super::sink_exec::fit;

/// [`StreamSink::route`] as an expression over the query's rows.
#[derive(Debug, Clone)]
pub(crate) struct RouteExpr {
    sink: Arc<dyn StreamSink>,
}

impl RouteExpr {
    pub(crate) fn new(sink: Arc<dyn StreamSink>) -> Self {
        Self { sink }
    }
}

impl PartialEq for RouteExpr {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sink, &other.sink)
    }
}

impl Eq for RouteExpr {}

impl Hash for RouteExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.sink).cast::<()>().hash(state);
    }
}

impl fmt::Display for RouteExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("route")
    }
}

impl PhysicalExpr for RouteExpr {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn nullable(&self, _input: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = fit(batch, &self.sink.schema())?;
        let routes = self.sink.route(&rows).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(Arc::new(routes)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("route()")
    }
}
