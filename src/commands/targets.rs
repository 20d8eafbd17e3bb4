//! The look at a job's tables before anything is created: one that was dropped must not be made anew in silence.

use std::sync::Arc;

use async_trait::async_trait;
use weir_base::Classified;
use weir_catalog::{CatalogError, LakeCatalog, TableId};
use weir_connectors::ConnectorError;
use weir_fs::FileSystems;
use weir_runtime::{check_target, recorded_targets};
use weir_sql::BeforeCreate;
use weir_sql::plan::JobSettings;

/// Compares the tables that the job's newest checkpoint names with those that exist.
#[derive(Debug)]
pub(super) struct TargetCheck {
    pub(super) file_systems: FileSystems,
}

#[async_trait]
impl BeforeCreate for TargetCheck {
    async fn check(&self, settings: &JobSettings, catalogs: &[Arc<dyn LakeCatalog>]) -> Result<(), ConnectorError> {
        // What SET says of file systems counts for the checkpoints too.
        let file_systems = self.file_systems.with_properties(&settings.properties);
        let recorded = recorded_targets(settings, &file_systems).await.map_err(classified)?;
        for target in recorded {
            let Some((catalog, id)) = locate(&target.target, catalogs) else { continue };
            let found = match catalog.load(&id).await {
                Ok(table) => Some(table.metadata.uuid().to_string()),
                Err(CatalogError::NotFound(_)) => None,
                Err(error) => return Err(classified(error)),
            };
            check_target(&target, found.as_deref()).map_err(classified)?;
        }
        Ok(())
    }
}

/// The catalog of the session that `name` (`catalog.database.table`) begins with; none if the job no longer uses it.
fn locate<'a>(name: &str, catalogs: &'a [Arc<dyn LakeCatalog>]) -> Option<(&'a Arc<dyn LakeCatalog>, TableId)> {
    let (catalog, rest) = name.split_once('.')?;
    let (database, table) = rest.rsplit_once('.')?;
    let catalog = catalogs.iter().find(|candidate| candidate.name() == catalog)?;
    Some((catalog, TableId { database: database.to_owned(), table: table.to_owned() }))
}

fn classified<E: Classified + std::error::Error + Send + Sync + 'static>(error: E) -> ConnectorError {
    ConnectorError::new(error.kind(), error.to_string()).with_source(error)
}
