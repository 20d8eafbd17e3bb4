//! A stream table as DataFusion sees it: a schema, and a leaf that somebody else makes.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::plan::{LeafFactory, StreamTable, Wanted};

/// Provider of a [`StreamTable`].
#[derive(Debug)]
pub(crate) struct StreamProvider {
    pub(crate) table: StreamTable,
    pub(crate) schema: SchemaRef,
    /// What it is a stream of, if of a table in a lake.
    pub(crate) lake: Option<LakeStream>,
}

/// The table of a lake that a stream follows.
#[derive(Debug, Clone)]
pub(crate) struct LakeStream {
    /// The table itself, by whatever name, link or alias it was reached.
    pub(crate) uuid: String,
    /// A column that says what each row is: a query that does not look at it would take removed rows for added ones.
    pub(crate) row_kind: Option<&'static str>,
}

impl StreamProvider {
    /// The column that says what each row is, if it is a stream of changes.
    pub(crate) fn row_kind(&self) -> Option<&'static str> {
        let of_lake = self.lake.as_ref().and_then(|lake| lake.row_kind);
        of_lake.or_else(|| self.table.source.row_kind())
    }
}

#[async_trait]
impl TableProvider for StreamProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let factory = state.config().get_extension::<LeafFactory>().ok_or_else(|| {
            let path = &self.table.path;
            let bounded = "or make it bounded with /*+ OPTIONS('scan.bounded.mode'='latest-offset') */";
            plan_datafusion_err!("'{path}' is an unbounded stream; read it with INSERT INTO in a job, {bounded}")
        })?;
        (factory.0)(&self.table, Wanted::Rows(projection))
    }
}
