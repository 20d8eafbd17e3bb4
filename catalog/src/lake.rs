//! What a lake catalog is to the rest of Weir.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{Schema, TableMetadataRef, Transform};
use iceberg::{TableRequirement, TableUpdate};
use serde::{Deserialize, Serialize};
use weir_fs::FileSystems;

use crate::error::CatalogError;

/// `database.table` inside a catalog; a database of several levels is joined by `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId {
    /// Database (namespace).
    pub database: String,
    /// Table.
    pub table: String,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// A table as loaded: its metadata at one moment.
#[derive(Debug, Clone)]
pub struct LakeTable {
    /// Name of the catalog.
    pub catalog: Arc<str>,
    /// Name in the catalog.
    pub id: TableId,
    /// Metadata at the time of loading.
    pub metadata: TableMetadataRef,
    /// Where that metadata is stored.
    pub metadata_location: String,
    /// For reading and writing its files.
    pub file_io: FileIO,
}

impl LakeTable {
    /// `catalog.database.table`, as messages call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.catalog, self.id)
    }
}

/// One element of `PARTITIONED BY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionColumn {
    /// Column, nested fields with dots.
    pub source: String,
    /// `days`, `bucket[16]`, identity, …
    pub transform: Transform,
}

/// What a new table looks like.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Schema; field ids are assigned anew.
    pub schema: Schema,
    /// Partitioning, in order.
    pub partitioned_by: Vec<PartitionColumn>,
    /// Table properties as given; defaults are added.
    pub properties: HashMap<String, String>,
    /// Location, or the catalog's choice.
    pub location: Option<String>,
}

/// An Iceberg catalog that can be written to by compare-and-swap. All calls have deadlines and retry what is safe to retry.
#[async_trait]
pub trait LakeCatalog: fmt::Debug + Send + Sync {
    /// The name given by CREATE CATALOG.
    fn name(&self) -> &str;

    /// The catalog's file systems, with its own properties.
    fn file_systems(&self) -> &FileSystems;

    /// All databases.
    async fn databases(&self) -> Result<Vec<String>, CatalogError>;

    /// Whether a database exists.
    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError>;

    /// Creates a database. [`CatalogError::AlreadyExists`] if there is one.
    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<(), CatalogError>;

    /// Drops an empty database.
    async fn drop_database(&self, database: &str) -> Result<(), CatalogError>;

    /// The tables of a database.
    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError>;

    /// Loads a table. [`CatalogError::NotFound`] if there is none.
    async fn load(&self, id: &TableId) -> Result<LakeTable, CatalogError>;

    /// Creates a table. [`CatalogError::AlreadyExists`] if there is one.
    async fn create(&self, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError>;

    /// Drops a table; its files stay.
    async fn drop_table(&self, id: &TableId) -> Result<(), CatalogError>;

    /// One compare-and-swap of `base` to what `updates` make of it.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if the table is no longer at `base` or a requirement fails; [`CatalogError::OutcomeUnknown`] if the
    /// answer was lost after the request may have been carried out.
    async fn commit(&self, base: &LakeTable, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<LakeTable, CatalogError>;
}
