//! The `sql` catalog: the tables of Iceberg's JDBC catalog in SQLite or PostgreSQL.
//!
//! `iceberg_tables` and `iceberg_namespace_properties` are made and read as Iceberg's `JdbcCatalog` and PyIceberg's `SqlCatalog` do.
//! JDBC schema V1 added the column `iceberg_type` (`TABLE` or `VIEW`): new databases get it, older ones are used as they are.

mod database;
mod uri;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::CatalogError;
use crate::lake::{LakeTable, TableId};
use crate::pointer_catalog::Pointers;

pub(crate) use database::Database;
pub(crate) use uri::Target;

/// The pointers of one catalog name in a database.
#[derive(Debug)]
pub(crate) struct SqlPointers {
    /// Value of the column `catalog_name`.
    catalog: String,
    database: Database,
}

impl SqlPointers {
    /// Pointers under `catalog`. Connects at the first call.
    pub(crate) fn new(catalog: String, target: Target) -> Self {
        Self { catalog, database: Database::new(target) }
    }

    /// Keeps views out, where the table knows them.
    async fn only_tables(&self) -> Result<&'static str, CatalogError> {
        Ok(if self.database.knows_views().await? { " AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)" } else { "" })
    }

    fn key<'a>(&'a self, id: &'a TableId) -> [&'a str; 3] {
        [&self.catalog, &id.database, &id.table]
    }
}

#[async_trait]
impl Pointers for SqlPointers {
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        let sql = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1 \
                   UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1 ORDER BY 1";
        self.database.texts(sql, &[&self.catalog]).await
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        let sql = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2 \
                   UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2";
        Ok(!self.database.texts(sql, &[&self.catalog, database]).await?.is_empty())
    }

    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<bool, CatalogError> {
        let insert = "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, $3, $4)";
        // The row that says that the namespace exists even if it has no properties: JdbcCatalog and PyIceberg write the same.
        if !self.database.insert(insert, &[&self.catalog, database, "exists", "true"]).await? {
            return Ok(false);
        }
        for (key, value) in properties.iter().filter(|(key, _)| *key != "exists") {
            self.database.insert(insert, &[&self.catalog, database, key, value]).await?;
        }
        Ok(true)
    }

    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        let sql = "DELETE FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2";
        self.database.execute(sql, &[&self.catalog, database]).await.map(|_rows| ())
    }

    async fn folder(&self, _database: &str) -> Result<Option<String>, CatalogError> {
        Ok(None)
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        let filter = self.only_tables().await?;
        let sql = format!("SELECT table_name FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2{filter} ORDER BY table_name");
        self.database.texts(&sql, &[&self.catalog, database]).await
    }

    async fn get(&self, id: &TableId) -> Result<Option<String>, CatalogError> {
        let filter = self.only_tables().await?;
        let sql = format!(
            "SELECT metadata_location FROM iceberg_tables \
             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3{filter}"
        );
        Ok(self.database.texts(&sql, &self.key(id)).await?.into_iter().next())
    }

    async fn insert(&self, table: &LakeTable) -> Result<bool, CatalogError> {
        let sql = if self.database.knows_views().await? {
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type) VALUES ($1, $2, $3, $4, 'TABLE')"
        } else {
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) VALUES ($1, $2, $3, $4)"
        };
        let [catalog, database, name] = self.key(&table.id);
        self.database.insert(sql, &[catalog, database, name, &table.metadata_location]).await
    }

    async fn swap(&self, base: &LakeTable, next: &LakeTable) -> Result<bool, CatalogError> {
        let filter = self.only_tables().await?;
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = $1, previous_metadata_location = $2 \
             WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5 AND metadata_location = $2{filter}"
        );
        let [catalog, database, table] = self.key(&base.id);
        Ok(self.database.execute(&sql, &[&next.metadata_location, &base.metadata_location, catalog, database, table]).await? == 1)
    }

    async fn remove(&self, id: &TableId) -> Result<bool, CatalogError> {
        let filter = self.only_tables().await?;
        let sql = format!("DELETE FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3{filter}");
        Ok(self.database.execute(&sql, &self.key(id)).await? == 1)
    }
}
