//! The `rest` catalog: Iceberg's REST protocol. The server writes table metadata and checks every swap.
//!
//! Requests and answers follow the OpenAPI description of the Iceberg project; requirements and updates travel in the iceberg crate's
//! own JSON forms. Databases of several levels are joined by `.` here and by the unit separator on the wire.

mod address;
mod auth;
mod client;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{FormatVersion, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use weir_base::{Classified, ErrorKind, Secret};
use weir_fs::FileSystems;
use weir_fs::aliases::is_alias_key;

use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
use crate::metadata_file::newer_format;
use crate::new_table::NewTable;
use crate::others::number_snapshots;
use client::{Call, Client, Repeat};

/// Properties of a server or table that concern its files.
const STORAGE: [&str; 5] = ["s3.", "fs.", "gcs.", "adls.", "client.region"];

/// Between the levels of a namespace in a path.
const UNIT_SEPARATOR: &str = "\u{1f}";

/// Options of a REST catalog; its addresses may hold passwords.
#[derive(Clone)]
pub(crate) struct RestConfig {
    pub(crate) uri: String,
    pub(crate) warehouse: Option<String>,
    pub(crate) credential: Option<Secret<String>>,
    pub(crate) token: Option<Secret<String>>,
    pub(crate) scope: String,
    pub(crate) oauth2_server_uri: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) headers: BTreeMap<String, Secret<String>>,
    /// After so long an answer counts as lost.
    pub(crate) timeout: Duration,
}

/// A REST catalog.
pub(crate) struct RestCatalog {
    name: String,
    client: Client,
    file_systems: FileSystems,
    /// Stores of the tables whose server gives settings of their own, as long as these stay the same.
    stores: Mutex<HashMap<TableId, (Settings, FileIO)>>,
}

type Settings = BTreeMap<String, String>;

/// Without the stores, whose settings may be keys that the server gave.
impl fmt::Debug for RestCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestCatalog").field("name", &self.name).field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Namespaces {
    #[serde(default)]
    namespaces: Vec<Vec<String>>,
    #[serde(default, rename = "next-page-token")]
    next_page: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tables {
    #[serde(default)]
    identifiers: Vec<Identifier>,
    #[serde(default, rename = "next-page-token")]
    next_page: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Loaded {
    #[serde(default, rename = "metadata-location")]
    metadata_location: Option<String>,
    metadata: serde_json::Value,
    #[serde(default)]
    config: Option<BTreeMap<String, String>>,
}

impl RestCatalog {
    /// A catalog; nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with an address.
    pub(crate) fn try_new(name: &str, config: RestConfig, file_systems: FileSystems) -> Result<Self, String> {
        Ok(Self { name: name.to_owned(), client: Client::try_new(&config)?, file_systems, stores: Mutex::default() })
    }

    async fn table(&self, id: &TableId, loaded: Loaded) -> Result<LakeTable, CatalogError> {
        let mut settings = storage_of(&self.client.config().await?.properties);
        settings.extend(storage_of(&loaded.config.unwrap_or_default()));
        let file_io = self.file_io(id, settings);
        let metadata_location = loaded.metadata_location.unwrap_or_default();
        let metadata = read_metadata(loaded.metadata).map_err(|what| {
            CatalogError::other(ErrorKind::Corrupt, format!("metadata of table `{id}` in catalog `{}` cannot be used: {what}", self.name))
        })?;
        Ok(LakeTable { catalog: self.name.as_str().into(), id: id.clone(), metadata: Arc::new(metadata), metadata_location, file_io })
    }

    fn file_io(&self, id: &TableId, settings: Settings) -> FileIO {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = stores.get(id).filter(|(known, _)| *known == settings) {
            return known.clone();
        }
        let systems = if settings.is_empty() { self.file_systems.clone() } else { self.file_systems.with_properties(&settings) };
        let file_io = systems.file_io();
        stores.insert(id.clone(), (settings, file_io.clone()));
        file_io
    }

    fn named(&self, error: CatalogError) -> CatalogError {
        error.with_note(format_args!("(catalog `{}`)", self.name))
    }

    /// Calls that answer 409 because the thing exists.
    fn exists(&self, what: &str, error: CatalogError) -> CatalogError {
        match error {
            CatalogError::Conflict(_) => CatalogError::AlreadyExists(format!("{what} exists already in catalog `{}`", self.name)),
            error => self.named(error),
        }
    }
}

/// Table metadata from a server. The crate checks most of it, but panics on some that no server should send.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_metadata(mut json: serde_json::Value) -> Result<TableMetadata, String> {
    if let Some(newer) = newer_format(&json) {
        return Err(newer);
    }
    let read = || -> Result<TableMetadata, String> {
        number_snapshots(&mut json);
        let metadata: TableMetadata = serde_json::from_value(json).map_err(|error| error.to_string())?;
        // What the commit path asks of it, while a panic can still be caught.
        let _ = (metadata.current_schema(), metadata.default_partition_spec(), metadata.current_snapshot());
        Ok(metadata)
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|payload| Err(weir_base::task::panic_message(&*payload)))
}

fn storage_of(properties: &BTreeMap<String, String>) -> Settings {
    // What a scheme stands for is for the user to say, not for a server.
    let concerns = |key: &str| STORAGE.iter().any(|prefix| key.starts_with(prefix)) && !is_alias_key(key);
    properties.iter().filter(|(key, _)| concerns(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn levels(database: &str) -> Vec<&str> {
    database.split('.').collect()
}

fn in_path(database: &str) -> String {
    database.replace('.', UNIT_SEPARATOR)
}

fn reading<'a>(path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Call<'a> {
    Call { method: Method::GET, path, query, body: None, repeat: Repeat::Freely }
}

#[async_trait]
impl LakeCatalog for RestCatalog {
    fn name(&self) -> &str {
        &self.name
    }

    fn file_systems(&self) -> &FileSystems {
        &self.file_systems
    }

    /// Databases of the first level; deeper ones are used by name.
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        let mut found = Vec::new();
        let mut page = String::new();
        loop {
            let query = [("pageToken", page.as_str())];
            let answer: Namespaces =
                self.client.json(&reading(&["namespaces"], if page.is_empty() { &[] } else { &query })).await.map_err(|error| self.named(error))?;
            found.extend(answer.namespaces.into_iter().map(|levels| levels.join(".")));
            match answer.next_page.filter(|next| !next.is_empty() && *next != page) {
                Some(next) => page = next,
                None => break,
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        match self.client.send(&reading(&["namespaces", &in_path(database)], &[])).await {
            Ok(_) => Ok(true),
            Err(CatalogError::NotFound(_)) => Ok(false),
            Err(error) => Err(self.named(error)),
        }
    }

    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<(), CatalogError> {
        let body = json!({ "namespace": levels(database), "properties": properties });
        let call = Call { method: Method::POST, path: &["namespaces"], query: &[], body: Some(&body), repeat: Repeat::Never };
        self.client.send(&call).await.map(|_| ()).map_err(|error| self.exists(&format!("database `{database}`"), error))
    }

    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        let call = Call { method: Method::DELETE, path: &["namespaces", &in_path(database)], query: &[], body: None, repeat: Repeat::Never };
        self.client.send(&call).await.map(|_| ()).map_err(|error| match error {
            CatalogError::Conflict(message) => {
                CatalogError::user(format!("database `{database}` in catalog `{}` is not empty ({message})", self.name))
            }
            error => self.named(error),
        })
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        let mut found = Vec::new();
        let mut page = String::new();
        loop {
            let query = [("pageToken", page.as_str())];
            let path = ["namespaces", &in_path(database), "tables"];
            let answer: Tables =
                self.client.json(&reading(&path, if page.is_empty() { &[] } else { &query })).await.map_err(|error| self.named(error))?;
            found.extend(answer.identifiers.into_iter().map(|identifier| identifier.name));
            match answer.next_page.filter(|next| !next.is_empty() && *next != page) {
                Some(next) => page = next,
                None => break,
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn load(&self, id: &TableId) -> Result<LakeTable, CatalogError> {
        let path = ["namespaces", &in_path(&id.database), "tables", &id.table];
        match self.client.json::<Loaded>(&reading(&path, &[])).await {
            Ok(loaded) => self.table(id, loaded).await,
            Err(CatalogError::NotFound(_)) => Err(CatalogError::NotFound(format!("table `{id}` does not exist in catalog `{}`", self.name))),
            Err(error) => Err(error.with_note(format_args!("(catalog `{}`, table `{id}`)", self.name))),
        }
    }

    async fn create(&self, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError> {
        let new = NewTable::check(id, spec, &self.file_systems)?;
        let mut properties = new.properties;
        // The protocol has no field for it; servers read it here.
        let version = if new.format_version == FormatVersion::V1 {
            "1"
        } else if new.format_version == FormatVersion::V2 {
            "2"
        } else {
            "3"
        };
        properties.insert("format-version".to_owned(), version.to_owned());
        let mut body = json!({
            "name": id.table,
            "schema": new.schema,
            // Servers on Iceberg's Java library refuse a spec without an id.
            "partition-spec": new.partition_spec.with_spec_id(0),
            "stage-create": false,
            "properties": properties,
        });
        if let (Some(location), Some(fields)) = (&spec.location, body.as_object_mut()) {
            let bound = self.file_systems.for_metadata(location);
            let bound =
                bound.map_err(|error| CatalogError::caused(error.kind(), format!("location of table `{}.{id}`: {error}", self.name), error))?;
            fields.insert("location".to_owned(), json!(bound));
        }
        let path = ["namespaces", &in_path(&id.database), "tables"];
        let call = Call { method: Method::POST, path: &path, query: &[], body: Some(&body), repeat: Repeat::Never };
        let loaded: Loaded = self.client.json(&call).await.map_err(|error| self.exists(&format!("table `{id}`"), error))?;
        self.table(id, loaded).await
    }

    async fn drop_table(&self, id: &TableId) -> Result<(), CatalogError> {
        let path = ["namespaces", &in_path(&id.database), "tables", &id.table];
        let query = [("purgeRequested", "false")];
        let call = Call { method: Method::DELETE, path: &path, query: &query, body: None, repeat: Repeat::Never };
        self.client.send(&call).await.map(|_| ()).map_err(|error| self.named(error))
    }

    async fn commit(&self, base: &LakeTable, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<LakeTable, CatalogError> {
        let id = &base.id;
        let body = json!({
            "identifier": { "namespace": levels(&id.database), "name": id.table },
            "requirements": requirements,
            "updates": updates,
        });
        let path = ["namespaces", &in_path(&id.database), "tables", &id.table];
        let call = Call { method: Method::POST, path: &path, query: &[], body: Some(&body), repeat: Repeat::Never };
        let loaded: Loaded = self.client.json(&call).await?;
        let metadata_location = loaded.metadata_location.unwrap_or_default();
        // It says that it has committed; what it answers besides may be looked at again.
        let metadata = read_metadata(loaded.metadata).map_err(|what| CatalogError::OutcomeUnknown {
            message: format!("answer to a commit to table `{}` cannot be used: {what}", base.name()),
            source: None,
        })?;
        Ok(LakeTable { metadata: Arc::new(metadata), metadata_location, ..base.clone() })
    }
}
