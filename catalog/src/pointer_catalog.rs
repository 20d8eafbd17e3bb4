//! Catalogs that hold one pointer for each table, to its current metadata file: `sql`, `hive` and `memory`.
//!
//! Here stands everything that such catalogs share: writing metadata before the pointer moves, deleting it when the pointer did not
//! move, and never deleting it when nobody knows. [`Pointers`] is the part in which they differ.

use std::collections::BTreeMap;

use async_trait::async_trait;
use iceberg::{TableRequirement, TableUpdate};
use weir_base::{Classified, failpoint};
use weir_fs::FileSystems;

use crate::backoff::{Backoff, repeated};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use crate::metadata_file::{MetadataFiles, location_of, next_version};
use crate::new_table::NewTable;

/// Where the pointers of a catalog are kept. Each call has a deadline of its own.
#[async_trait]
pub(crate) trait Pointers: std::fmt::Debug + Send + Sync {
    /// All databases, sorted.
    async fn databases(&self) -> Result<Vec<String>, CatalogError>;

    /// Whether `database` exists.
    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError>;

    /// Creates a database; false if there is one.
    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<bool, CatalogError>;

    /// Forgets a database and its properties; its tables are not looked at.
    async fn drop_database(&self, database: &str) -> Result<(), CatalogError>;

    /// The folder of the tables of `database`, if the catalog keeps one; else they are in the warehouse.
    async fn folder(&self, database: &str) -> Result<Option<String>, CatalogError>;

    /// Tables of a database, sorted.
    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError>;

    /// Where the table's metadata is.
    async fn get(&self, id: &TableId) -> Result<Option<String>, CatalogError>;

    /// Makes the pointer to a new table; false if there is one.
    async fn insert(&self, table: &LakeTable) -> Result<bool, CatalogError>;

    /// Moves the pointer from `base` to `next`; false if it is not at `base`, and then nothing happened. An error other than
    /// [`CatalogError::OutcomeUnknown`] means too that nothing happened.
    async fn swap(&self, base: &LakeTable, next: &LakeTable) -> Result<bool, CatalogError>;

    /// Removes the pointer; false if there is none.
    async fn remove(&self, id: &TableId) -> Result<bool, CatalogError>;
}

/// A catalog over [`Pointers`].
#[derive(Debug)]
pub(crate) struct PointerCatalog<P> {
    name: String,
    warehouse: Option<String>,
    pointers: P,
    files: MetadataFiles,
    file_systems: FileSystems,
}

impl<P: Pointers + 'static> PointerCatalog<P> {
    /// A catalog; `cached` keeps the last metadata of each table in memory.
    pub(crate) fn new(name: &str, warehouse: Option<String>, pointers: P, file_systems: FileSystems, cached: bool) -> Self {
        let files = MetadataFiles::new(name, file_systems.file_io(), cached);
        let warehouse = warehouse.map(|path| path.trim_end_matches('/').to_owned());
        Self { name: name.to_owned(), warehouse, pointers, files, file_systems }
    }

    async fn require_database(&self, database: &str) -> Result<(), CatalogError> {
        if self.database_exists(database).await? {
            return Ok(());
        }
        Err(CatalogError::NotFound(format!("database `{database}` does not exist in catalog `{}`", self.name)))
    }

    /// In the database's folder, or `<warehouse>/<database>/<table>`, the levels of a database as folders; in the bound form of the path.
    async fn location(&self, id: &TableId, given: Option<&str>) -> Result<String, CatalogError> {
        let location = if let Some(location) = given {
            location.trim_end_matches('/').to_owned()
        } else if let Some(folder) = repeated(Backoff::reads(), || self.pointers.folder(&id.database)).await? {
            format!("{}/{}", folder.trim_end_matches('/'), id.table)
        } else if let Some(warehouse) = &self.warehouse {
            format!("{warehouse}/{}/{}", id.database.replace('.', "/"), id.table)
        } else {
            let what = format!("catalog `{}` has no 'warehouse', so table `{id}` needs a 'location'", self.name);
            return Err(CatalogError::user(what));
        };
        let resolved = self.file_systems.resolve(&location).and_then(|_| self.file_systems.for_metadata(&location));
        resolved.map_err(|error| CatalogError::caused(error.kind(), format!("location of table `{id}` in catalog `{}`: {error}", self.name), error))
    }

    fn exists(&self, id: &TableId) -> CatalogError {
        CatalogError::AlreadyExists(format!("table `{id}` exists already in catalog `{}`", self.name))
    }

    async fn required_pointer(&self, id: &TableId) -> Result<String, CatalogError> {
        let missing = || CatalogError::NotFound(format!("table `{id}` does not exist in catalog `{}`", self.name));
        self.pointer(id).await?.ok_or_else(missing)
    }

    async fn pointer(&self, id: &TableId) -> Result<Option<String>, CatalogError> {
        repeated(Backoff::reads(), || self.pointers.get(id)).await
    }
}

#[async_trait]
impl<P: Pointers + 'static> LakeCatalog for PointerCatalog<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn file_systems(&self) -> &FileSystems {
        &self.file_systems
    }

    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        repeated(Backoff::reads(), || self.pointers.databases()).await
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        repeated(Backoff::reads(), || self.pointers.database_exists(database)).await
    }

    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<(), CatalogError> {
        let made = !self.database_exists(database).await? && self.pointers.create_database(database, properties).await?;
        if made { Ok(()) } else { Err(CatalogError::AlreadyExists(format!("database `{database}` exists already in catalog `{}`", self.name))) }
    }

    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        let tables = self.tables(database).await?;
        if tables.is_empty() {
            return self.pointers.drop_database(database).await;
        }
        let what =
            format!("database `{database}` in catalog `{}` is not empty: {} tables, `{}` among them", self.name, tables.len(), tables.join("`, `"));
        Err(CatalogError::user(what))
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        self.require_database(database).await?;
        repeated(Backoff::reads(), || self.pointers.tables(database)).await
    }

    async fn load(&self, id: &TableId) -> Result<LakeTable, CatalogError> {
        let mut location = self.required_pointer(id).await?;
        loop {
            let read = repeated(Backoff::reads(), || self.files.read(id, location.clone())).await;
            let Err(error) = read else { return read };
            // A reader that was slow may find that later commits have deleted the file that the pointer named.
            let now = self.required_pointer(id).await?;
            if now == location {
                return Err(error.with_note(format_args!("(catalog `{}`)", self.name)));
            }
            location = now;
        }
    }

    async fn create(&self, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError> {
        let new = NewTable::check(id, spec, &self.file_systems)?;
        self.require_database(&id.database).await?;
        let location = self.location(id, spec.location.as_deref()).await?;
        if self.pointer(id).await?.is_some() {
            return Err(self.exists(id));
        }
        let metadata = new.metadata(id, location)?;
        let location = location_of(&metadata, 0, uuid::Uuid::new_v4())?;
        let table = repeated(Backoff::reads(), || self.files.write(id, metadata.clone(), &location)).await?;
        let made = match self.pointers.insert(&table).await {
            // The row says whether it is ours: its metadata file has a name that nobody else has.
            Err(CatalogError::OutcomeUnknown { message, source }) => match self.pointer(id).await? {
                Some(found) => Ok(found == table.metadata_location),
                None => return Err(CatalogError::OutcomeUnknown { message, source }),
            },
            other => other,
        };
        match made {
            Ok(true) => {
                self.files.keep(&table, None);
                Ok(table)
            }
            Ok(false) => {
                self.files.delete(&[table.metadata_location]).await;
                Err(self.exists(id))
            }
            Err(error) => {
                self.files.delete(&[table.metadata_location]).await;
                Err(error)
            }
        }
    }

    async fn drop_table(&self, id: &TableId) -> Result<(), CatalogError> {
        if self.pointers.remove(id).await? {
            return Ok(());
        }
        Err(CatalogError::NotFound(format!("table `{id}` does not exist in catalog `{}`", self.name)))
    }

    async fn commit(&self, base: &LakeTable, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<LakeTable, CatalogError> {
        let next = next_version(base, &requirements, updates)?;
        let (table, content) = self.files.write_next(base, &next).await?;
        if failpoint::fails("commit-metadata-written").await {
            return Err(CatalogError::OutcomeUnknown { message: "fail point `commit-metadata-written`".to_owned(), source: None });
        }
        match self.pointers.swap(base, &table).await {
            Ok(true) => {
                self.files.keep(&table, Some(content));
                self.files.delete(&next.retired).await;
                Ok(table)
            }
            Ok(false) => {
                self.files.delete(&[table.metadata_location]).await;
                Err(CatalogError::Conflict(format!("table `{}` in catalog `{}` has changed since it was read", base.id, self.name)))
            }
            Err(error @ CatalogError::OutcomeUnknown { .. }) => Err(error),
            Err(error) => {
                self.files.delete(&[table.metadata_location]).await;
                Err(error)
            }
        }
    }
}
