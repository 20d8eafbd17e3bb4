//! A session: its objects and settings, and the running of statements against them.
//!
//! DDL is carried out at once. Queries are planned and handed back. The INSERTs of one run become one job.

mod create;
mod create_as;
mod ddl_text;
pub(crate) mod lake_ddl;
mod letters;
pub(crate) mod link;
pub(crate) mod objects;
mod results;
mod run;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use weir_base::memory::MemoryBudget;
use weir_base::options::Problem;
use weir_catalog::{LakeCatalog, TableId};
use weir_connectors::iceberg::MetadataCache;
use weir_connectors::registry::{Registry, Role};
use weir_connectors::source::StreamSource;
use weir_connectors::table::TablePath;
use weir_fs::FileSystems;

use crate::error::{NOT_FOUND, SqlError};
use crate::lake::BeforeCreate;
use crate::plan::{JobPlan, JobSettings, QueryPlan};
use crate::planner::Predicates;
use crate::planner::resolve::missing_table;
use crate::planner::state::base_state;
use crate::procedures::ProcedureCall;
use crate::settings::Settings;
use objects::{DEFAULT_CATALOG, Entry, Objects, Scope, missing};

pub(crate) use results::table_of;

/// What a session is made from.
#[derive(Debug)]
pub struct SessionOptions {
    /// Connectors.
    pub registry: Arc<Registry>,
    /// File systems of the process; SET keys `fs.*` and the like come on top.
    pub file_systems: FileSystems,
    /// The job file, for the job's name and the default checkpoint folder.
    pub job_file: Option<PathBuf>,
    /// Cores of the process, the default parallelism.
    pub cores: usize,
    /// Memory of the process, which metadata that is kept for the next query is charged to.
    pub budget: MemoryBudget,
    /// Asked before a run creates anything in a lake.
    pub before_create: Option<Arc<dyn BeforeCreate>>,
}

/// How a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything is carried out; INSERTs become one job.
    Run,
    /// `--init`: SET, USE and CREATE only, and nothing is created in a lake. INSERTs, queries and DROPs are left out.
    Init,
    /// As [`Mode::Init`], and then every INSERT and query is explained.
    Explain,
}

/// What one statement gave.
#[derive(Debug)]
pub enum StatementResult {
    /// One line for the user.
    Message(String),
    /// Rows of SHOW, DESCRIBE or SET: all columns are strings.
    Table(arrow_array::RecordBatch),
    /// Lines of EXPLAIN or SHOW CREATE.
    Text(String),
    /// A query to be run.
    Query(Box<QueryPlan>),
    /// A procedure to be carried out.
    Call(Box<ProcedureCall>),
}

/// What a run of a script gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Results in the order of the statements; INSERTs give none.
    pub results: Vec<StatementResult>,
    /// The job of all INSERTs, if there were any.
    pub job: Option<JobPlan>,
    /// Warnings, in order.
    pub warnings: Vec<Problem>,
}

/// A SQL session. Not shared: statements change it.
#[derive(Debug)]
pub struct Session {
    pub(crate) parts: SessionParts,
    job_file: Option<PathBuf>,
    cores: usize,
    before_create: Option<Arc<dyn BeforeCreate>>,
    process_file_systems: FileSystems,
    budget: MemoryBudget,
}

/// What planning reads of a session.
#[derive(Debug)]
pub(crate) struct SessionParts {
    pub(crate) registry: Arc<Registry>,
    pub(crate) file_systems: FileSystems,
    pub(crate) settings: Settings,
    pub(crate) objects: Objects,
    pub(crate) scope: Scope,
    pub(crate) base: SessionState,
}

impl Session {
    /// A session with an empty default catalog.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        let mut base = base_state(options.cores, &Settings::default());
        keep_metadata(&mut base, MetadataCache::new(&options.budget, None));
        let parts = SessionParts {
            registry: options.registry,
            file_systems: options.file_systems.clone(),
            settings: Settings::default(),
            objects: Objects::default(),
            scope: Scope::default(),
            base,
        };
        Self {
            parts,
            job_file: options.job_file,
            cores: options.cores,
            before_create: options.before_create,
            process_file_systems: options.file_systems,
            budget: options.budget,
        }
    }

    /// The settings of a job of this session, as SET so far.
    #[must_use]
    pub fn job_settings(&self) -> JobSettings {
        self.parts.settings.job(self.job_file.as_deref(), self.cores)
    }

    /// Sets a key, as SET does; gives warnings.
    ///
    /// # Errors
    /// An unknown key in a name space of ours, or a wrong value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Vec<Problem>, SqlError> {
        let warnings = self.parts.settings.set(key, value, None)?;
        self.settings_changed();
        Ok(warnings)
    }

    /// Sets a key as the command line does: SET and RESET do not change it any more. Gives warnings.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn pin(&mut self, key: &str, value: &str) -> Result<Vec<Problem>, SqlError> {
        let warnings = self.parts.settings.pin(key, value)?;
        self.settings_changed();
        Ok(warnings)
    }

    /// Takes settings from a configuration file, over which SET wins; gives warnings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn configure(&mut self, file: &str, entries: &BTreeMap<String, String>) -> Result<Vec<Problem>, SqlError> {
        let warnings = self.parts.settings.configure(file, entries)?;
        self.settings_changed();
        Ok(warnings)
    }

    /// The file systems of the session: the process's with what SET adds.
    #[must_use]
    pub fn file_systems(&self) -> &FileSystems {
        &self.parts.file_systems
    }

    /// What predicates over rows of a lake's table are read with.
    #[must_use]
    pub fn predicates(&self) -> Predicates {
        Predicates::new(&self.parts.base)
    }

    /// The lake catalogs that are declared, by their names in SQL.
    pub fn catalogs(&self) -> impl Iterator<Item = (&str, &Arc<dyn LakeCatalog>)> {
        self.parts.objects.lakes.iter().map(|(name, lake)| (name.as_str(), &lake.catalog))
    }

    /// The lake catalog of a name.
    #[must_use]
    pub fn catalog(&self, name: &str) -> Option<&Arc<dyn LakeCatalog>> {
        self.parts.objects.lakes.get(name).map(|lake| &lake.catalog)
    }

    /// The catalog and the name in it of the Iceberg table that `name` stands for in a statement, dots between its parts. Whether the table
    /// exists is not looked up.
    ///
    /// # Errors
    /// A name of something else, or in a catalog that is not known.
    pub fn lake_table(&self, name: &str) -> Result<(Arc<dyn LakeCatalog>, TableId), SqlError> {
        let parts: Vec<String> = name.splitn(3, '.').map(|part| part.trim_matches('`').to_owned()).collect();
        let path = self.parts.scope.path(&parts);
        let objects = &self.parts.objects;
        if let Some((_, link)) = objects.link(&path) {
            return Ok((Arc::clone(&link.catalog), link.id.clone()));
        }
        let hint = "Name a table of an Iceberg catalog: catalog.database.table.";
        if objects.entry(&path).is_some() {
            return Err(Problem::new(NOT_FOUND, format!("Table '{path}'"), "it is no Iceberg table.").hint(hint).into());
        }
        match objects.lakes.get(&path.catalog) {
            Some(lake) => Ok((Arc::clone(&lake.catalog), TableId { database: path.database, table: path.table })),
            None if path.catalog == DEFAULT_CATALOG => {
                let known = objects.temporary.keys().chain(objects.permanent.keys()).map(|path| path.table.as_str());
                Err(missing_table(&path, known).hint(hint).into())
            }
            None => Err(missing("Catalog", &path.catalog, "it does not exist.", objects.catalog_names()).into()),
        }
    }

    /// The source of the declared table that `name` stands for in a statement, dots between its parts, and the table's full name.
    ///
    /// # Errors
    /// A name of something else; what is wrong with its options.
    pub fn stream_source(&self, name: &str) -> Result<(TablePath, Arc<dyn StreamSource>), SqlError> {
        let parts: Vec<String> = name.splitn(3, '.').map(|part| part.trim_matches('`').to_owned()).collect();
        let path = self.parts.scope.path(&parts);
        let objects = &self.parts.objects;
        let Some(Entry::Table(table)) = objects.entry(&path) else {
            let known = objects.temporary.keys().chain(objects.permanent.keys()).map(|path| path.table.as_str());
            return Err(missing_table(&path, known).into());
        };
        let source = self.parts.registry.for_role(&table.def, Role::Source)?.source(&table.def, &self.parts.file_systems)?;
        Ok((path, source.value))
    }

    fn settings_changed(&mut self) {
        let before = self.parts.base.config().get_extension::<MetadataCache>();
        self.parts.base = base_state(self.cores, &self.parts.settings);
        self.parts.file_systems = self.process_file_systems.with_properties(&self.parts.settings.file_system_properties());
        let cache = MetadataCache::new(&self.budget, self.parts.settings.metadata_cache());
        let same = before.filter(|before| before.limit() == cache.limit());
        keep_metadata(&mut self.parts.base, same.map_or(cache, |before| before.as_ref().clone()));
    }
}

fn keep_metadata(state: &mut SessionState, cache: MetadataCache) {
    state.config_mut().set_extension(Arc::new(cache));
}
