//! What a table is to a batch query.

use std::sync::Arc;

use datafusion::datasource::TableProvider;

use crate::error::ConnectorError;

/// A table that can be read as a whole: it gives DataFusion a provider over one snapshot of it.
#[async_trait::async_trait]
pub trait BatchTable: std::fmt::Debug + Send + Sync {
    /// The provider for one query; it reads the state of the table at the time of this call.
    ///
    /// # Errors
    /// Table missing or stored wrongly, or its catalog not reachable.
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, ConnectorError>;
}
