//! The `hive` catalog: tables of a Hive Metastore, spoken to over Thrift.
//!
//! The metastore keeps a pointer to the metadata among the parameters of a table. A commit takes the metastore's lock on the table, as
//! Iceberg's other writers do, looks at the pointer once more, and changes the table; in the change it also says which pointer it expects,
//! which metastores from 4.0 on check themselves. So a table may be written by those who only lock (Spark and Flink by default, PyIceberg),
//! by those who only compare, and by Weir. Where all writers of a table compare, the lock can be left out (`engine.hive.lock-enabled`); a
//! metastore that is too old to compare is then refused, because it would not say that it does not look.

mod client;
mod lock;
mod metastore;
mod settings;
mod site;
mod table;
#[cfg(test)]
mod tests;
mod thrift;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use weir_base::{ErrorKind, failpoint};
use weir_fs::Environment;

use crate::backoff::CALL_TIMEOUT;
use crate::error::CatalogError;
use crate::lake::{LakeTable, TableId};
use crate::pointer_catalog::Pointers;
use client::Client;
use lock::{Cleanups, TableLock};
use metastore::{Altered, NewDatabase};
use settings::Settings;
use table::Pointer;

pub(crate) use settings::{HiveConfig, addresses};

/// The table property, and catalog option, that says whether commits take the lock.
pub(crate) const LOCK_ENABLED: &str = "engine.hive.lock-enabled";

/// The pointers that a metastore keeps.
#[derive(Debug)]
pub(crate) struct HivePointers {
    config: HiveConfig,
    ready: OnceCell<Ready>,
    compares: OnceCell<()>,
    cleanups: Cleanups,
}

#[derive(Debug)]
struct Ready {
    settings: Settings,
    client: Arc<Client>,
    /// As whom the metastore acts, if it is told.
    user: Option<String>,
}

impl Ready {
    /// The name under which tables and locks are entered.
    fn owner(&self) -> &str {
        self.user.as_deref().unwrap_or("weir")
    }
}

impl HivePointers {
    /// The pointers of the metastores in `config`. Connects at the first call.
    pub(crate) fn new(config: HiveConfig) -> Self {
        Self { config, ready: OnceCell::new(), compares: OnceCell::new(), cleanups: Cleanups::default() }
    }

    async fn ready(&self) -> Result<&Ready, CatalogError> {
        self.ready.get_or_try_init(|| self.prepare()).await
    }

    async fn prepare(&self) -> Result<Ready, CatalogError> {
        let site = match &self.config.folder {
            Some(folder) => site::read(folder).await?,
            None => BTreeMap::new(),
        };
        let settings = self.config.over(&site)?;
        let user = self.config.user.clone().or_else(|| Environment::process().get("HADOOP_USER_NAME").map(str::to_owned));
        let client = Client::new(settings.metastores.clone(), self.config.clients, CALL_TIMEOUT, user.clone());
        Ok(Ready { settings, client: Arc::new(client), user })
    }

    async fn client(&self) -> Result<&Arc<Client>, CatalogError> {
        Ok(&self.ready().await?.client)
    }

    /// Makes sure that the metastore compares pointers itself, from its version: an older one ignores that it is asked to.
    async fn require_comparing(&self, id: &TableId) -> Result<(), CatalogError> {
        let ask = || async {
            let version = metastore::version(self.client().await?).await?;
            if compares(&version) {
                return Ok(());
            }
            Err(CatalogError::user(format!(
                "table `{id}` is committed to without the metastore's lock ('{LOCK_ENABLED}' = 'false'), but this metastore, which says that it \
                 is version '{version}', is not known to compare pointers itself (4.0 and later do). Set '{LOCK_ENABLED}' = 'true'"
            )))
        };
        self.compares.get_or_try_init(ask).await.map(|_| ())
    }

    /// Moves the pointer, under the lock if there is one.
    async fn alter(&self, base: &LakeTable, next: &LakeTable, lock: Option<&TableLock>) -> Result<bool, CatalogError> {
        let (client, id) = (self.client().await?, &base.id);
        let Some(now) = metastore::table(client, id).await? else { return Ok(false) };
        if table::pointer(&now) != Pointer::To(base.metadata_location.clone()) {
            return Ok(false);
        }
        if failpoint::fails("hive-locked").await {
            return Err(CatalogError::other(ErrorKind::Transient, "fail point `hive-locked`"));
        }
        if let Some(lock) = lock {
            lock.confirm().await?;
        }
        let altered = metastore::alter_table(client, id, table::changed(now, base, next), &base.metadata_location).await;
        match altered {
            Ok(Altered::Done) => Ok(true),
            Ok(Altered::Moved) => Ok(false),
            // A metastore that has answered has done what it was going to do, so a look at the table may tell.
            Err(CatalogError::OutcomeUnknown { message, source }) => match self.get(id).await {
                Ok(Some(location)) if location == next.metadata_location => Ok(true),
                _not_there => Err(CatalogError::OutcomeUnknown { message, source }),
            },
            Err(error) => Err(error),
        }
    }
}

/// Whether a metastore of this version compares pointers: from 4.0.0-beta-1 on. What cannot be read counts as no.
fn compares(version: &str) -> bool {
    let major: u32 = version.split('.').next().and_then(|major| major.trim().parse().ok()).unwrap_or(0);
    major > 4 || (major == 4 && !version.contains("alpha"))
}

/// `path` with three slashes where Java writes one.
fn with_slashes(path: &str) -> String {
    match path.strip_prefix("file:/") {
        Some(rest) if !rest.starts_with('/') => format!("file:///{rest}"),
        _ => path.to_owned(),
    }
}

/// Hive's databases have one level.
fn check_level(database: &str) -> Result<(), CatalogError> {
    if database.contains('.') {
        return Err(CatalogError::user(format!("`{database}` cannot be a database of a metastore: there they have one level, without dots")));
    }
    Ok(())
}

#[async_trait]
impl Pointers for HivePointers {
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        let mut names = metastore::databases(self.client().await?).await?;
        names.sort_unstable();
        Ok(names)
    }

    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        Ok(metastore::database(self.client().await?, database).await?.is_some())
    }

    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<bool, CatalogError> {
        check_level(database)?;
        let Ready { settings, client, user } = self.ready().await?;
        let mut parameters = properties.clone();
        let description = parameters.remove("comment").unwrap_or_default();
        let location = parameters.remove("location").or_else(|| settings.warehouse.as_ref().map(|path| format!("{path}/{database}.db")));
        let (location, owner) = (location.as_deref(), user.as_deref());
        metastore::create_database(client, &NewDatabase { name: database, description: &description, location, parameters: &parameters, owner }).await
    }

    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        metastore::drop_database(self.client().await?, database).await
    }

    /// Where the metastore says that the tables of the database are.
    async fn folder(&self, database: &str) -> Result<Option<String>, CatalogError> {
        let found = metastore::database(self.client().await?, database).await?;
        Ok(found.and_then(|found| found.text(3).filter(|location| !location.is_empty()).map(with_slashes)))
    }

    /// The Iceberg tables among the tables of the database.
    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        let tables = metastore::tables(self.client().await?, database).await?;
        let mut names: Vec<String> =
            tables.iter().filter(|one| table::is_iceberg(one)).filter_map(|one| table::name(one).map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn get(&self, id: &TableId) -> Result<Option<String>, CatalogError> {
        match metastore::table(self.client().await?, id).await?.as_ref().map(table::pointer) {
            None => Ok(None),
            Some(Pointer::To(location)) => Ok(Some(location)),
            Some(Pointer::NotIceberg) => Err(CatalogError::user(format!("table `{id}` of the metastore is no Iceberg table"))),
        }
    }

    async fn insert(&self, table: &LakeTable) -> Result<bool, CatalogError> {
        let seconds = i32::try_from(chrono::Utc::now().timestamp()).unwrap_or(i32::MAX);
        let ready = self.ready().await?;
        let new = table::made(&table.id, table, ready.owner(), seconds);
        metastore::create_table(&ready.client, &table.id, new).await
    }

    async fn swap(&self, base: &LakeTable, next: &LakeTable) -> Result<bool, CatalogError> {
        let ready = self.ready().await?;
        let of_table = base.metadata.properties().get(LOCK_ENABLED);
        if !of_table.map_or(ready.settings.lock, |value| !value.eq_ignore_ascii_case("false")) {
            self.require_comparing(&base.id).await?;
            return self.alter(base, next, None).await;
        }
        let Some(lock) = TableLock::acquire(&ready.client, base, ready.owner(), &self.cleanups).await? else { return Ok(false) };
        let moved = self.alter(base, next, Some(&lock)).await;
        lock.release().await;
        moved
    }

    async fn remove(&self, id: &TableId) -> Result<bool, CatalogError> {
        metastore::drop_table(self.client().await?, id).await
    }
}
