//! The commands, and what they share: a session, its scripts, and the runtime that they run on.

mod call;
pub(crate) mod dlq;
pub(crate) mod explain;
mod job;
mod results;
pub(crate) mod run;
pub(crate) mod sql;
pub(crate) mod table;
mod targets;
pub(crate) mod verify;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_base::memory::MemoryBudget;
use weir_base::options::closest;
use weir_catalog::{CatalogError, LakeCatalog, LakeTable, TableId};
use weir_fs::FileSystems;
use weir_sql::{BeforeCreate, Mode, Outcome, Script, Session, SessionOptions, SqlError};

use crate::cli::{Global, Period};
use crate::configuration::{self, Configuration};
use crate::failure::Failure;

/// Runs a command on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("weir").build();
    let runtime = runtime.map_err(|error| Failure::internal(format!("the runtime does not start: {error}")))?;
    let outcome = runtime.block_on(work);
    // A blocking call into a dead server must not hold the process back.
    runtime.shutdown_background();
    outcome
}

/// A session for a job file, or for none, with the settings of the configuration file.
fn session(
    global: &Global,
    budget: &MemoryBudget,
    file_systems: FileSystems,
    job_file: Option<PathBuf>,
    before_create: Option<Arc<dyn BeforeCreate>>,
) -> Result<Session, Failure> {
    let mut session = Session::new(SessionOptions {
        registry: Arc::new(weir_connectors::registry()),
        file_systems,
        job_file,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        budget: budget.clone(),
        before_create,
    });
    if let Some(Configuration { file, entries }) = configuration::read(global.config.as_deref())? {
        tracing::info!(file, settings = entries.len(), "configuration file read");
        let warnings = session.configure(&file, &entries).map_err(|error| Failure::user(error.to_string()))?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    Ok(session)
}

/// The file systems of a session after the configuration file, `--init` files and `--set` options.
pub(crate) async fn file_systems(global: &Global, files: &[PathBuf], settings: &[(String, String)]) -> Result<FileSystems, Failure> {
    let mut session = session(global, &budget(global), FileSystems::default(), files.first().cloned(), None)?;
    init(&mut session, files).await?;
    for (key, value) in settings {
        let warnings = session.set(key, value).map_err(|error| sql_failure(&error))?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
    }
    // Also those that SET would keep for other things, such as the user of an HDFS.
    Ok(session.file_systems().with_properties(&settings.iter().cloned().collect()))
}

/// Sets what the command line says about logical tables.
fn pin(session: &mut Session, period: &Period) -> Result<(), Failure> {
    for (key, value) in period.settings() {
        let warnings = session.pin(key, value).map_err(|error| sql_failure(&error))?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    Ok(())
}

/// Runs SQL text in a session and shows its warnings.
async fn run_text(session: &mut Session, text: &str, mode: Mode) -> Result<Outcome, Failure> {
    run_script(session, &parse(text)?, mode).await
}

fn parse(text: &str) -> Result<Script, Failure> {
    Script::parse(text).map_err(|problems| Failure::usage(problems.to_string()))
}

/// Runs a script in a session and shows its warnings.
async fn run_script(session: &mut Session, script: &Script, mode: Mode) -> Result<Outcome, Failure> {
    let outcome = session.run(script, mode).await.map_err(|error| sql_failure(&error))?;
    for warning in &outcome.warnings {
        tracing::warn!("{warning}");
    }
    Ok(outcome)
}

/// Runs files for `--init`.
async fn init(session: &mut Session, files: &[PathBuf]) -> Result<(), Failure> {
    for file in files {
        let text = read(file)?;
        run_text(session, &text, Mode::Init).await?;
    }
    Ok(())
}

/// The catalog and the name in it of a table that a command names.
async fn lake_table(session: &Session, name: &str, init: &[PathBuf]) -> Result<(Arc<dyn LakeCatalog>, TableId), Failure> {
    let failure = match session.lake_table(name) {
        Ok(found) => return Ok(found),
        Err(error) => sql_failure(&error),
    };
    if init.is_empty() {
        let hint = "Give the file that names its catalog: --init job.sql";
        return Err(Failure::usage(format!("{}\n  Hint: {hint}", failure.message)));
    }
    let near = nearest(session, name).await.map(|near| format!("\n  Did you mean '{near}'?")).unwrap_or_default();
    Err(Failure { message: failure.message + &near, ..failure })
}

/// Databases of a catalog that are looked through for a suggestion.
const LOOKED_THROUGH: usize = 20;

/// The lake table whose own name is most like that of `name`, in whatever catalog and database. Catalogs that do not answer are left out.
async fn nearest(session: &Session, name: &str) -> Option<String> {
    let wanted = name.rsplit('.').next()?.trim_matches('`');
    let mut tables = Vec::new();
    for (catalog, lake) in session.catalogs() {
        for database in lake.databases().await.unwrap_or_default().iter().take(LOOKED_THROUGH) {
            let found = lake.tables(database).await.unwrap_or_default();
            tables.extend(found.into_iter().map(|table| (format!("{catalog}.{database}.{table}"), table)));
        }
    }
    let known = closest(wanted, tables.iter().map(|(_, table)| table.as_str()));
    let same = tables.iter().find(|(_, table)| table == wanted);
    same.or_else(|| tables.iter().find(|(_, table)| known.first() == Some(&table.as_str()))).map(|(name, _)| name.clone())
}

/// Loads a table; for one that is not there, the nearest that is.
async fn load(catalog: &Arc<dyn LakeCatalog>, id: &TableId) -> Result<LakeTable, Failure> {
    let error = match catalog.load(id).await {
        Ok(table) => return Ok(table),
        Err(error) => error,
    };
    let mut failure = Failure::of(&error);
    if let CatalogError::NotFound(_) = error {
        // Only for a suggestion: a failure here must not hide that the table is missing.
        let tables = catalog.tables(&id.database).await.unwrap_or_default();
        let table = closest(&id.table, tables.iter().map(String::as_str)).first().map(|near| format!("{}.{near}", id.database));
        let databases = if tables.is_empty() { catalog.databases().await.unwrap_or_default() } else { Vec::new() };
        let database = closest(&id.database, databases.iter().map(String::as_str)).first().map(|near| format!("{near}.{}", id.table));
        if let Some(near) = table.or(database) {
            failure.message.push_str(&format!("\n  Did you mean '{}.{near}'?", catalog.name()));
        }
    }
    Err(failure)
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("the file '{}' cannot be read: {error}", file.display())))
}

fn budget(global: &Global) -> MemoryBudget {
    MemoryBudget::new(global.memory.unwrap_or_else(MemoryBudget::default_limit))
}

/// Problems of the SQL end with 2, what a server or the data says with the code of its kind.
fn sql_failure(error: &SqlError) -> Failure {
    match error {
        SqlError::Problems(problems) => Failure::usage(problems.to_string()),
        other => Failure::of(other),
    }
}
