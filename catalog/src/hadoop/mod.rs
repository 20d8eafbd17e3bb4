//! The `hadoop` catalog: a table is a folder, and its versions are numbered files in it; databases are the folders above.
//!
//! Laid out as Iceberg's `HadoopCatalog` does it. A commit makes the file of the next version, which must not exist: on HDFS and on a disk
//! that is an atomic rename, on an object store a conditional put, and one that ignores the condition is found out and refused. Writers
//! that use neither, such as the Java library on an object store, must not write the same tables.
//!
//! Versions are retired from the oldest on, so a committer that was away for very long might find the number after its own free again
//! and commit into the past. It therefore looks, when it has made its version, whether the one before is still there; if not, it does
//! not know what it has done, and the committer looks for its snapshot.

mod folders;
mod versions;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use weir_base::ErrorKind;
use weir_fs::FileSystems;

use crate::backoff::{Backoff, repeated};
use crate::error::{CatalogError, file_system_error as failed};
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use crate::metadata_file::{MetadataFiles, next_version};
use crate::new_table::NewTable;
use folders::DatabaseFolders;
use versions::{Made, Version, Versions, number_in};

/// Properties that would take a version away from where other writers look for it, with what they may be.
const FIXED: [(&str, Option<&str>); 2] = [("write.metadata.path", None), ("write.metadata.compression-codec", Some("none"))];

/// A catalog of folders.
#[derive(Debug)]
pub(crate) struct HadoopCatalog {
    name: String,
    warehouse: String,
    files: MetadataFiles,
    file_systems: FileSystems,
}

impl HadoopCatalog {
    /// The catalog whose databases are the folders in `warehouse`.
    pub(crate) fn new(name: &str, warehouse: &str, file_systems: FileSystems) -> Self {
        // A table that is dropped and made again has files of the same names, so the content counts.
        let files = MetadataFiles::new(name, file_systems.file_io(), false);
        let warehouse = warehouse.trim_end_matches('/').to_owned();
        Self { name: name.to_owned(), warehouse, files, file_systems }
    }

    fn database_folder(&self, database: &str) -> Result<String, CatalogError> {
        let usable = |name: &str| !name.is_empty() && !name.contains('/');
        if database.split('.').all(usable) {
            return Ok(format!("{}/{}", self.warehouse, database.replace('.', "/")));
        }
        Err(CatalogError::user(format!("`{database}` cannot be the name of a database in catalog `{}`: it is no name of a folder", self.name)))
    }

    /// The folder of a table, in the bound form of its path.
    fn table_folder(&self, id: &TableId) -> Result<String, CatalogError> {
        if id.table.is_empty() || id.table.contains('/') {
            let what = format!("`{}` cannot be the name of a table in catalog `{}`: it is no name of a folder", id.table, self.name);
            return Err(CatalogError::user(what));
        }
        let folder = format!("{}/{}", self.database_folder(&id.database)?, id.table);
        self.file_systems.for_metadata(&folder).map_err(failed)
    }

    fn versions(&self, id: &TableId) -> Result<Versions, CatalogError> {
        Versions::of(&self.file_systems, &self.table_folder(id)?)
    }

    fn folders(&self) -> DatabaseFolders<'_> {
        DatabaseFolders(&self.file_systems)
    }

    fn missing(&self, id: &TableId) -> CatalogError {
        CatalogError::NotFound(format!("table `{id}` does not exist in catalog `{}`", self.name))
    }

    async fn require_database(&self, database: &str) -> Result<(), CatalogError> {
        if self.database_exists(database).await? {
            return Ok(());
        }
        Err(CatalogError::NotFound(format!("database `{database}` does not exist in catalog `{}`", self.name)))
    }

    async fn current(&self, versions: &Versions) -> Result<Option<Version>, CatalogError> {
        repeated(Backoff::reads(), || versions.current()).await
    }

    /// Those of `names` whose folders in `parent` are tables, or those that are not.
    async fn chosen(&self, parent: &str, names: Vec<String>, tables: bool) -> Result<Vec<String>, CatalogError> {
        let look = names.into_iter().map(|name| async move {
            let is_table = Versions::of(&self.file_systems, &format!("{parent}/{name}"))?.any().await?;
            Ok::<_, CatalogError>((is_table == tables).then_some(name))
        });
        let found: Vec<Option<String>> = futures::stream::iter(look).buffered(8).try_collect().await?;
        let mut found: Vec<String> = found.into_iter().flatten().collect();
        found.sort_unstable();
        Ok(found)
    }
}

/// Refuses properties under which a version would not be where other writers look for it.
fn check_fixed(id: &TableId, metadata: &TableMetadata) -> Result<(), CatalogError> {
    for (key, allowed) in FIXED {
        if let Some(value) = metadata.properties().get(key)
            && allowed.is_none_or(|allowed| !value.eq_ignore_ascii_case(allowed))
        {
            let what = format!("table `{id}` has '{key}' = '{value}', which a catalog of type 'hadoop' cannot write: its versions have fixed names");
            return Err(CatalogError::user(what));
        }
    }
    Ok(())
}

fn json(id: &TableId, metadata: &TableMetadata) -> Result<Vec<u8>, CatalogError> {
    serde_json::to_vec(metadata)
        .map_err(|error| CatalogError::caused(ErrorKind::Internal, format!("metadata of table `{id}` cannot be written as JSON"), error))
}

/// An error of making a version after which nobody knows whether it was made: everything that may go away by itself.
fn doubtful(error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Other { kind: ErrorKind::Transient, message, source } => CatalogError::OutcomeUnknown { message, source },
        error => error,
    }
}

#[async_trait]
impl LakeCatalog for HadoopCatalog {
    fn name(&self) -> &str {
        &self.name
    }

    fn file_systems(&self) -> &FileSystems {
        &self.file_systems
    }

    /// Databases of the first level; deeper ones are used by name.
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        repeated(Backoff::reads(), || async {
            let names = self.folders().names(&self.warehouse).await?;
            self.chosen(&self.warehouse, names, false).await
        })
        .await
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        let (folder, folders) = (self.database_folder(database)?, self.folders());
        repeated(Backoff::reads(), || folders.exists(&folder)).await
    }

    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<(), CatalogError> {
        if let Some(key) = properties.keys().next() {
            let what = format!("database `{database}` cannot have the property '{key}': a catalog of type 'hadoop' has no place for it");
            return Err(CatalogError::user(what));
        }
        if self.database_exists(database).await? {
            return Err(CatalogError::AlreadyExists(format!("database `{database}` exists already in catalog `{}`", self.name)));
        }
        let (folder, folders) = (self.database_folder(database)?, self.folders());
        repeated(Backoff::reads(), || folders.make(&folder)).await
    }

    /// The folder must hold nothing any more; the folders of dropped tables go with it when they are empty.
    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        let tables = self.tables(database).await?;
        if tables.is_empty() {
            let (folder, folders) = (self.database_folder(database)?, self.folders());
            return repeated(Backoff::reads(), || folders.remove_empty(&folder)).await;
        }
        let what =
            format!("database `{database}` in catalog `{}` is not empty: {} tables, `{}` among them", self.name, tables.len(), tables.join("`, `"));
        Err(CatalogError::user(what))
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        self.require_database(database).await?;
        let folder = self.database_folder(database)?;
        repeated(Backoff::reads(), || async {
            let names = self.folders().names(&folder).await?;
            self.chosen(&folder, names, true).await
        })
        .await
    }

    async fn load(&self, id: &TableId) -> Result<LakeTable, CatalogError> {
        let versions = self.versions(id)?;
        let mut current = self.current(&versions).await?.ok_or_else(|| self.missing(id))?;
        loop {
            let read = repeated(Backoff::reads(), || self.files.read(id, current.uri.clone())).await;
            let Err(error) = read else { return read };
            // A reader that was slow may find that later commits have retired the version that it was about to read.
            let now = self.current(&versions).await?.ok_or_else(|| self.missing(id))?;
            if now == current {
                return Err(error.with_note(format_args!("(catalog `{}`)", self.name)));
            }
            current = now;
        }
    }

    async fn create(&self, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError> {
        let new = NewTable::check(id, spec, &self.file_systems)?;
        let folder = self.table_folder(id)?;
        if let Some(given) = &spec.location
            && self.file_systems.for_metadata(given.trim_end_matches('/')).map_err(failed)? != folder
        {
            let what = format!("table `{id}` cannot be at '{given}': in catalog `{}` of type 'hadoop' its place is '{folder}'", self.name);
            return Err(CatalogError::user(what));
        }
        self.require_database(&id.database).await?;
        let versions = Versions::of(&self.file_systems, &folder)?;
        let exists = || CatalogError::AlreadyExists(format!("table `{id}` exists already in catalog `{}`", self.name));
        if self.current(&versions).await?.is_some() {
            return Err(exists());
        }
        let metadata = new.metadata(id, folder)?;
        check_fixed(id, &metadata)?;
        let made = versions.make(1, json(id, &metadata)?.into()).await.map_err(doubtful);
        let ours = match made {
            Ok(Made::Ours) => true,
            Ok(Made::Taken) => false,
            Err(error @ CatalogError::OutcomeUnknown { .. }) => match self.load(id).await {
                Ok(found) => found.metadata.uuid() == metadata.uuid(),
                Err(_nothing_is_known) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if !ours {
            return Err(exists());
        }
        versions.point_to(1).await;
        self.load(id).await
    }

    async fn drop_table(&self, id: &TableId) -> Result<(), CatalogError> {
        let versions = self.versions(id)?;
        if self.current(&versions).await?.is_none() {
            return Err(self.missing(id));
        }
        repeated(Backoff::reads(), || versions.delete_all()).await
    }

    async fn commit(&self, base: &LakeTable, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<LakeTable, CatalogError> {
        let id = &base.id;
        let next = next_version(base, &requirements, updates)?;
        if next.metadata.location() != base.metadata.location() {
            return Err(CatalogError::user(format!("table `{}` cannot be moved: in a catalog of type 'hadoop' its place is its name", base.name())));
        }
        check_fixed(id, &next.metadata)?;
        let moved = || CatalogError::Conflict(format!("table `{id}` in catalog `{}` has changed since it was read", self.name));
        let number = number_in(&base.metadata_location).ok_or_else(moved)?;
        // The same number may be another table's by now: the content counts, not the name.
        let now = self.load(id).await?;
        if now.metadata_location != base.metadata_location || now.metadata != base.metadata {
            return Err(moved());
        }
        let versions = self.versions(id)?;
        let text = self.files.text(base, &next)?;
        match versions.make(number + 1, text.clone()).await.map_err(doubtful)? {
            Made::Ours => {}
            Made::Taken => return Err(moved()),
        }
        let before = Version { number, uri: base.metadata_location.clone() };
        let unsure = |error: CatalogError| {
            CatalogError::unknown(format!("version {} of table `{}` was written, but nothing more is known", number + 1, base.name()), error)
        };
        if !versions.exists(&before).await.map_err(unsure)? {
            // Older than one that others have retired already, whatever became of ours.
            versions.retire(&next.retired).await;
            let message = format!("version {number} of table `{}` was deleted while version {} was written", base.name(), number + 1);
            return Err(CatalogError::OutcomeUnknown { message, source: None });
        }
        // The hint goes first: what it may still name must not be deleted.
        if versions.point_to(number + 1).await {
            versions.retire(&next.retired).await;
        }
        let table = LakeTable { metadata: next.metadata, metadata_location: versions.uri(number + 1), ..base.clone() };
        self.files.keep(&table, Some(text));
        Ok(table)
    }
}
