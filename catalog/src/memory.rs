//! The `memory` catalog: pointers that live as long as the process, for tests and tries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::CatalogError;
use crate::lake::{LakeTable, TableId};
use crate::pointer_catalog::Pointers;

/// Pointers in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryPointers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    databases: BTreeSet<String>,
    tables: BTreeMap<TableId, String>,
}

impl MemoryPointers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pointers for MemoryPointers {
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        Ok(self.state().databases.iter().cloned().collect())
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        Ok(self.state().databases.contains(database))
    }

    async fn create_database(&self, database: &str, _properties: &BTreeMap<String, String>) -> Result<bool, CatalogError> {
        Ok(self.state().databases.insert(database.to_owned()))
    }

    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        self.state().databases.remove(database);
        Ok(())
    }

    async fn folder(&self, _database: &str) -> Result<Option<String>, CatalogError> {
        Ok(None)
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        Ok(self.state().tables.keys().filter(|id| id.database == database).map(|id| id.table.clone()).collect())
    }

    async fn get(&self, id: &TableId) -> Result<Option<String>, CatalogError> {
        Ok(self.state().tables.get(id).cloned())
    }

    async fn insert(&self, table: &LakeTable) -> Result<bool, CatalogError> {
        let mut state = self.state();
        if state.tables.contains_key(&table.id) {
            return Ok(false);
        }
        state.tables.insert(table.id.clone(), table.metadata_location.clone());
        Ok(true)
    }

    async fn swap(&self, base: &LakeTable, next: &LakeTable) -> Result<bool, CatalogError> {
        match self.state().tables.get_mut(&base.id) {
            Some(location) if *location == base.metadata_location => {
                next.metadata_location.clone_into(location);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn remove(&self, id: &TableId) -> Result<bool, CatalogError> {
        Ok(self.state().tables.remove(id).is_some())
    }
}
