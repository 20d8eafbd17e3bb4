//! The connection to a catalog's database: opened at first use, statements with deadlines, and what a failure says about the outcome.

use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::OnceCell;
use weir_base::ErrorKind;

use super::uri::Target;
use crate::backoff::{Backoff, CALL_TIMEOUT, repeated};
use crate::error::CatalogError;

/// How long a process waits for another one to finish with the SQLite file.
const SQLITE_BUSY: Duration = Duration::from_secs(20);

const CREATE_TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, \
     table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), \
     iceberg_type VARCHAR(5), PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, \
     property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000), PRIMARY KEY (catalog_name, namespace, property_key))",
];

/// A database, connected at the first statement.
#[derive(Debug)]
pub(crate) struct Database {
    target: Target,
    ready: OnceCell<Ready>,
}

#[derive(Debug)]
struct Ready {
    pool: Pool,
    /// Whether `iceberg_tables` has the column `iceberg_type`.
    knows_views: bool,
}

#[derive(Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, ready: OnceCell::new() }
    }

    /// Whether `iceberg_tables` has the column `iceberg_type`.
    pub(crate) async fn knows_views(&self) -> Result<bool, CatalogError> {
        Ok(self.ready().await?.knows_views)
    }

    /// The first column of every row.
    pub(crate) async fn texts(&self, sql: &str, arguments: &[&str]) -> Result<Vec<String>, CatalogError> {
        let ready = self.ready().await?;
        match tokio::time::timeout(CALL_TIMEOUT, ready.pool.texts(sql, arguments)).await {
            Ok(result) => result.map_err(|error| self.failed("read", error)),
            Err(late) => Err(CatalogError::caused(ErrorKind::Transient, self.text("did not answer a read in time"), late)),
        }
    }

    /// Runs one statement; the rows that it touched.
    ///
    /// # Errors
    /// [`CatalogError::OutcomeUnknown`] if it may have been carried out.
    pub(crate) async fn execute(&self, sql: &str, arguments: &[&str]) -> Result<u64, CatalogError> {
        let ready = self.ready().await?;
        match tokio::time::timeout(CALL_TIMEOUT, ready.pool.execute(sql, arguments)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) if may_have_happened(&error) => Err(CatalogError::unknown(self.text("lost the answer to a write"), error)),
            Ok(Err(error)) => Err(self.failed("write", error)),
            Err(late) => Err(CatalogError::unknown(self.text("did not answer a write in time"), late)),
        }
    }

    /// Inserts a row; false if its key is there already.
    pub(crate) async fn insert(&self, sql: &str, arguments: &[&str]) -> Result<bool, CatalogError> {
        match self.execute(sql, arguments).await {
            Ok(_one) => Ok(true),
            Err(CatalogError::AlreadyExists(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ready(&self) -> Result<&Ready, CatalogError> {
        self.ready.get_or_try_init(|| repeated(Backoff::reads(), || self.open())).await
    }

    async fn open(&self) -> Result<Ready, CatalogError> {
        let opening = async {
            let pool = self.connect().await?;
            if pool.texts("SELECT catalog_name FROM iceberg_tables WHERE 1 = 0", &[]).await.is_err() {
                for statement in CREATE_TABLES {
                    pool.execute(statement, &[]).await?;
                }
            }
            // The second table alone may be missing in a database that another engine began.
            if pool.texts("SELECT namespace FROM iceberg_namespace_properties WHERE 1 = 0", &[]).await.is_err() {
                for statement in CREATE_TABLES {
                    pool.execute(statement, &[]).await?;
                }
            }
            let knows_views = match pool.texts("SELECT iceberg_type FROM iceberg_tables WHERE 1 = 0", &[]).await {
                Ok(_) => true,
                Err(error) if error.to_string().contains("iceberg_type") => false,
                Err(error) => return Err(error),
            };
            Ok(Ready { pool, knows_views })
        };
        match tokio::time::timeout(CALL_TIMEOUT, opening).await {
            Ok(result) => result.map_err(|error| self.failed("open", error)),
            Err(late) => Err(CatalogError::caused(ErrorKind::Transient, self.text("could not be opened in time"), late)),
        }
    }

    async fn connect(&self) -> Result<Pool, sqlx::Error> {
        match &self.target {
            Target::Sqlite(path) => {
                if let Some(parent) = path.parent() {
                    tokio::fs::create_dir_all(parent).await?;
                }
                // FULL, not the faster NORMAL: a commit that a checkpoint calls done must survive a power cut.
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .busy_timeout(SQLITE_BUSY)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(CALL_TIMEOUT).connect_with(options).await?;
                Ok(Pool::Sqlite(pool))
            }
            Target::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(CALL_TIMEOUT).connect_with(options.expose().clone()).await?;
                Ok(Pool::Postgres(pool))
            }
        }
    }

    fn text(&self, what: &str) -> String {
        format!("catalog database `{}` {what}", self.target.display())
    }

    /// A failure that left nothing behind.
    fn failed(&self, what: &str, error: sqlx::Error) -> CatalogError {
        if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
            return CatalogError::AlreadyExists(self.text("has that row already"));
        }
        CatalogError::caused(kind_of(&error), self.text(&format!("refused to {what}: {error}")), error)
    }
}

impl Pool {
    async fn texts(&self, sql: &str, arguments: &[&str]) -> Result<Vec<String>, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => {
                let query = arguments.iter().fold(sqlx::query_scalar::<_, Option<String>>(sql), |query, argument| query.bind(*argument));
                Ok(query.fetch_all(pool).await?.into_iter().flatten().collect())
            }
            Self::Postgres(pool) => {
                let query = arguments.iter().fold(sqlx::query_scalar::<_, Option<String>>(sql), |query, argument| query.bind(*argument));
                Ok(query.fetch_all(pool).await?.into_iter().flatten().collect())
            }
        }
    }

    async fn execute(&self, sql: &str, arguments: &[&str]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => {
                let query = arguments.iter().fold(sqlx::query(sql), |query, argument| query.bind(*argument));
                Ok(query.execute(pool).await?.rows_affected())
            }
            Self::Postgres(pool) => {
                let query = arguments.iter().fold(sqlx::query(sql), |query, argument| query.bind(*argument));
                Ok(query.execute(pool).await?.rows_affected())
            }
        }
    }
}

/// Whether a statement that failed so may have been carried out all the same.
///
/// A database that answers with an error has rolled the statement back, except where it says that it broke down or lost its storage
/// (SQLite: I/O error, full disk, corruption; PostgreSQL: classes 08, 53, 57, 58 and XX). A broken connection says nothing.
fn may_have_happened(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => match (sqlite_code(error), database.code().as_deref()) {
            (Some(code), _) => matches!(code, 10 | 11 | 13 | 26),
            (None, Some(code)) => ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class)),
            (None, None) => true,
        },
        _ => false,
    }
}

/// Who must act on an error that left nothing behind.
fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
            ErrorKind::Transient
        }
        sqlx::Error::Database(database) => match (sqlite_code(error), database.code().as_deref()) {
            // Busy, locked, I/O error, full disk, cannot open (a lock or a moment without file handles).
            (Some(5 | 6 | 10 | 13), _) => ErrorKind::Transient,
            (Some(11 | 26), _) => ErrorKind::Corrupt,
            (Some(_), _) => ErrorKind::User,
            // Connection trouble, serialization failures and deadlocks, resources, operator intervention, system errors. A table that
            // another process creates at this moment shows as a unique violation in the system catalog.
            (None, Some(code)) if ["08", "40", "53", "57", "58", "55"].iter().any(|class| code.starts_with(class)) => ErrorKind::Transient,
            (None, _) => ErrorKind::User,
        },
        _ => ErrorKind::User,
    }
}

/// SQLite's primary result code; `None` for another database.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let database = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code: u32 = sqlx::error::DatabaseError::code(database)?.parse().ok()?;
    Some(code & 0xff)
}
