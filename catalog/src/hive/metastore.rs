//! The calls of the metastore that a catalog needs, with what each of their failures means.

use std::collections::BTreeMap;

use weir_base::ErrorKind;

use super::client::{Call, Client, Failure};
use super::table::METADATA_LOCATION;
use super::thrift::{Struct, Value};
use crate::error::CatalogError;
use crate::lake::TableId;

/// Tables that are asked for at a time.
const TABLES_AT_ONCE: usize = 100;

/// How a change of a table ended.
#[derive(Debug)]
pub(super) enum Altered {
    Done,
    /// The metastore compared, and the table was not where we thought it was.
    Moved,
}

/// A database that shall be made.
#[derive(Debug)]
pub(super) struct NewDatabase<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    /// The metastore's choice if there is none.
    pub(super) location: Option<&'a str>,
    pub(super) parameters: &'a BTreeMap<String, String>,
    pub(super) owner: Option<&'a str>,
}

/// What a change does if its answer is lost or does not tell.
fn of_change(failure: Failure, what: &str) -> CatalogError {
    match failure {
        Failure::Thrown { message, .. } => CatalogError::OutcomeUnknown { message: format!("{what}: {message}"), source: None },
        Failure::Lost(message, source) => CatalogError::OutcomeUnknown { message: format!("{what}: {message}"), source: source.map(Into::into) },
        other => of_reading(other, what),
    }
}

/// A failure that left nothing behind. What a metastore throws is often its database's trouble, and worth another try.
fn of_reading(failure: Failure, what: &str) -> CatalogError {
    let (kind, message, source) = match failure {
        Failure::Thrown { message, .. } => (ErrorKind::Transient, message, None),
        Failure::Refused(message) => (ErrorKind::User, message, None),
        Failure::NotSent(message, source) | Failure::Lost(message, source) => (ErrorKind::Transient, message, source),
    };
    CatalogError::Other { kind, message: format!("{what}: {message}"), source: source.map(Into::into) }
}

async fn read(client: &Client, method: &'static str, arguments: &Struct) -> Result<Struct, Failure> {
    client.call(&Call { method, arguments, changes: false }).await
}

async fn change(client: &Client, method: &'static str, arguments: &Struct) -> Result<Struct, Failure> {
    client.call(&Call { method, arguments, changes: true }).await
}

/// The names of all databases.
pub(super) async fn databases(client: &Client) -> Result<Vec<String>, CatalogError> {
    let answer = read(client, "get_all_databases", &Struct::new()).await.map_err(|failure| of_reading(failure, "cannot list databases"))?;
    Ok(answer.texts(0))
}

/// A database.
pub(super) async fn database(client: &Client, name: &str) -> Result<Option<Struct>, CatalogError> {
    match read(client, "get_database", &Struct::new().with(1, name)).await {
        Ok(mut answer) => Ok(taken(&mut answer)),
        Err(Failure::Thrown { field: 1, .. }) => Ok(None),
        Err(failure) => Err(of_reading(failure, &format!("cannot look for database `{name}`"))),
    }
}

/// Makes a database; false if there is one.
pub(super) async fn create_database(client: &Client, new: &NewDatabase<'_>) -> Result<bool, CatalogError> {
    let mut database = Struct::new().with(1, new.name).with(2, new.description).with(4, new.parameters);
    if let Some(location) = new.location {
        database.set(3, location);
    }
    if let Some(owner) = new.owner {
        const USER: i32 = 1;
        database = database.with(6, owner).with(7, USER);
    }
    let what = || format!("cannot create database `{}`", new.name);
    match change(client, "create_database", &Struct::new().with(1, database)).await {
        Ok(_) => Ok(true),
        Err(Failure::Thrown { field: 1, .. }) => Ok(false),
        Err(Failure::Thrown { message, .. }) => Err(CatalogError::user(format!("{}: {message}", what()))),
        Err(failure) => Err(of_change(failure, &what())),
    }
}

/// Drops a database that is empty.
pub(super) async fn drop_database(client: &Client, name: &str) -> Result<(), CatalogError> {
    let arguments = Struct::new().with(1, name).with(2, false).with(3, false);
    let what = || format!("cannot drop database `{name}`");
    match change(client, "drop_database", &arguments).await {
        Ok(_) | Err(Failure::Thrown { field: 1, .. }) => Ok(()),
        Err(Failure::Thrown { field: 2, message }) => Err(CatalogError::user(format!("{}: {message}", what()))),
        Err(failure) => Err(of_change(failure, &what())),
    }
}

/// All tables of a database, of whatever kind.
pub(super) async fn tables(client: &Client, database: &str) -> Result<Vec<Struct>, CatalogError> {
    let failed = |failure| of_reading(failure, &format!("cannot list the tables of database `{database}`"));
    let names = read(client, "get_all_tables", &Struct::new().with(1, database)).await.map_err(failed)?.texts(0);
    let mut tables = Vec::with_capacity(names.len());
    for names in names.chunks(TABLES_AT_ONCE) {
        let request = Struct::new().with(1, database).with(2, names);
        let mut answer = read(client, "get_table_objects_by_name_req", &Struct::new().with(1, request)).await.map_err(failed)?;
        tables.extend(taken(&mut answer).iter().flat_map(|found| found.structs(1)).cloned());
    }
    Ok(tables)
}

/// A table.
pub(super) async fn table(client: &Client, id: &TableId) -> Result<Option<Struct>, CatalogError> {
    let request = Struct::new().with(1, id.database.as_str()).with(2, id.table.as_str());
    match read(client, "get_table_req", &Struct::new().with(1, request)).await {
        Ok(mut answer) => Ok(taken(&mut answer).and_then(|mut found| field(&mut found, 1))),
        Err(Failure::Thrown { field: 2, .. }) => Ok(None),
        Err(failure) => Err(of_reading(failure, &format!("cannot look for table `{id}`"))),
    }
}

/// Makes a table; false if there is one.
pub(super) async fn create_table(client: &Client, id: &TableId, table: Struct) -> Result<bool, CatalogError> {
    let what = || format!("cannot create table `{id}`");
    match change(client, "create_table", &Struct::new().with(1, table)).await {
        Ok(_) => Ok(true),
        Err(Failure::Thrown { field: 1, .. }) => Ok(false),
        Err(Failure::Thrown { field: 2 | 4, message }) => Err(CatalogError::user(format!("{}: {message}", what()))),
        Err(failure) => Err(of_change(failure, &what())),
    }
}

/// Drops a table, but no file; false if there is none.
pub(super) async fn drop_table(client: &Client, id: &TableId) -> Result<bool, CatalogError> {
    let arguments = Struct::new().with(1, id.database.as_str()).with(2, id.table.as_str()).with(3, false);
    match change(client, "drop_table", &arguments).await {
        Ok(_) => Ok(true),
        Err(Failure::Thrown { field: 1, .. }) => Ok(false),
        Err(failure) => Err(of_change(failure, &format!("cannot drop table `{id}`"))),
    }
}

/// Replaces a table by `table`, whose metadata must still be at `expected`. Older metastores do not look: then the lock must hold.
///
/// # Errors
/// [`CatalogError::OutcomeUnknown`] if the answer was lost, or says that something failed half-way.
pub(super) async fn alter_table(client: &Client, id: &TableId, table: Struct, expected: &str) -> Result<Altered, CatalogError> {
    let context = [("DO_NOT_UPDATE_STATS", "true"), ("expected_parameter_key", METADATA_LOCATION), ("expected_parameter_value", expected)];
    let context: BTreeMap<String, String> = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let context = Struct::new().with(1, &context);
    let arguments = Struct::new().with(1, id.database.as_str()).with(2, id.table.as_str()).with(3, table).with(4, context);
    let what = || format!("cannot change table `{id}`");
    match change(client, "alter_table_with_environment_context", &arguments).await {
        Ok(_) => Ok(Altered::Done),
        Err(Failure::Thrown { message, .. }) if message.contains("The table has been modified") => Ok(Altered::Moved),
        Err(Failure::Thrown { field: 1, message }) => Err(CatalogError::user(format!("{}: {message}", what()))),
        Err(failure) => Err(of_change(failure, &what())),
    }
}

/// The version that the metastore gives itself, such as `4.0.0`; very old ones say `3.0`.
pub(super) async fn version(client: &Client) -> Result<String, CatalogError> {
    let answer = read(client, "getVersion", &Struct::new()).await.map_err(|failure| of_reading(failure, "cannot ask for the metastore's version"))?;
    Ok(answer.text(0).unwrap_or_default().to_owned())
}

/// The struct that is the result.
fn taken(answer: &mut Struct) -> Option<Struct> {
    field(answer, 0)
}

fn field(of: &mut Struct, id: i16) -> Option<Struct> {
    match of.take(id)? {
        Value::Struct(fields) => Some(fields),
        _ => None,
    }
}
