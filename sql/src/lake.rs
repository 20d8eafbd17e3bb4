//! What the runtime is asked before a session creates anything in a lake.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use weir_catalog::LakeCatalog;
use weir_connectors::ConnectorError;

use crate::plan::JobSettings;

/// Called in a run before the first CREATE that may make a lake object, and again when catalogs have come since: the runtime compares the
/// tables of the job's checkpoint with those that exist, so that a dropped table is noticed and not made anew.
#[async_trait]
pub trait BeforeCreate: fmt::Debug + Send + Sync {
    /// Checks; `settings` are those of the job at the end of the script, `catalogs` those of the session so far.
    ///
    /// # Errors
    /// What stands against creating anything.
    async fn check(&self, settings: &JobSettings, catalogs: &[Arc<dyn LakeCatalog>]) -> Result<(), ConnectorError>;
}
