//! The creation of dead-letter tables: a job makes those that its sources name and that are not there.

use weir_catalog::CatalogError;

use super::Session;
use super::objects::Scope;
use super::run::Run;
use crate::error::SqlError;
use crate::planner::{LetterTable, Planning};

impl Session {
    /// Creates the dead-letter tables of the sources of a job that are in a lake and are not there; what else may be wrong with their names is
    /// found when they are planned.
    pub(super) async fn create_letter_tables(&self, planning: &Planning<'_>, scope: &Scope, run: &mut Run) -> Result<(), SqlError> {
        for table in planning.stream_tables() {
            if let Some(letters) = table.source.dead_letters() {
                self.create_letter_table(&LetterTable::of(letters, scope), run).await?;
            }
        }
        Ok(())
    }

    async fn create_letter_table(&self, table: &LetterTable, run: &mut Run) -> Result<(), SqlError> {
        let objects = &self.parts.objects;
        if let Some((_, link)) = objects.link(&table.path) {
            self.before_lake_create(run).await?;
            if let Some(made) = link.create(&table.path).await? {
                tracing::info!(table = %table.path, "{made}");
            }
            return Ok(());
        }
        if objects.entry(&table.path).is_some() {
            return Ok(());
        }
        let Some(lake) = objects.lake(&table.path.catalog, table.at)? else { return Ok(()) };
        match lake.catalog.load(&table.id()).await {
            Err(CatalogError::NotFound(_)) => {}
            Ok(_) => return Ok(()),
            Err(source) => return Err(SqlError::Catalog { what: format!("table '{}' of 'error.table' cannot be loaded", table.path), source }),
        }
        self.before_lake_create(run).await?;
        match lake.catalog.create(&table.id(), &table.spec()?).await {
            Ok(_) => {
                tracing::info!(table = %table.path, "table of dead letters created");
                Ok(())
            }
            Err(CatalogError::AlreadyExists(_)) => Ok(()),
            Err(source) => Err(SqlError::Catalog { what: format!("table '{}' of 'error.table' cannot be created", table.path), source }),
        }
    }
}
