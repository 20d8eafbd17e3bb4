//! A lake on the local disk and a session on it, in this process: statements can be planned, and run later.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use weir_base::error::chain;
use weir_base::memory::MemoryBudget;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::data_files;
use weir_fs::FileSystems;
use weir_runtime::{Job, JobEnvironment, JobOptions, JobReport, RuntimeError, run_query};
use weir_sql::plan::JobPlan;
use weir_sql::{Mode, Outcome, Script, Session, SessionOptions, StatementResult};

/// A catalog `lake` with a database `d`, which is the current one.
pub(crate) struct Lake {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) session: Session,
    pub(crate) budget: MemoryBudget,
}

impl Lake {
    /// A lake whose statements may hold `memory` bytes.
    pub(crate) async fn new(memory: u64) -> Self {
        let budget = MemoryBudget::new(memory);
        let options = SessionOptions {
            registry: Arc::new(weir_connectors::registry()),
            file_systems: FileSystems::default(),
            job_file: None,
            cores: 2,
            budget: budget.clone(),
            before_create: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let mut lake = Self { folder, session: Session::new(options), budget };
        let path = lake.folder.path().display();
        let places = format!("'uri' = 'sqlite:{path}/catalog.db', 'warehouse' = 'file://{path}/warehouse'");
        let catalog = format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', {places})");
        lake.run(&format!("{catalog}; CREATE DATABASE lake.d; USE CATALOG lake; USE d")).await;
        lake
    }

    /// Runs statements one after the other.
    pub(crate) async fn run(&mut self, sql: &str) {
        for statement in Script::parse(sql).unwrap().into_single() {
            let outcome = Box::pin(self.session.run(&statement, Mode::Run)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            if let Some(plan) = outcome.job {
                self.run_plan(plan).await.unwrap_or_else(|error| panic!("{sql}: {}", chain(&error)));
            }
        }
    }

    /// What goes wrong with a statement, when it is planned or when it is run.
    pub(crate) async fn refused(&mut self, sql: &str) -> String {
        match self.outcome(sql).await {
            Err(error) => error,
            Ok(outcome) => match outcome.job {
                Some(plan) => chain(&self.run_plan(plan).await.expect_err(sql)),
                None => panic!("{sql} was not refused"),
            },
        }
    }

    /// The job of a statement, planned now.
    pub(crate) async fn plan(&mut self, sql: &str) -> JobPlan {
        self.outcome(sql).await.unwrap().job.expect("a statement that writes")
    }

    async fn outcome(&mut self, sql: &str) -> Result<Outcome, String> {
        let script = Script::parse(sql).map_err(|problems| problems.to_string())?;
        Box::pin(self.session.run(&script, Mode::Run)).await.map_err(|error| error.to_string())
    }

    /// Runs the job of a statement as `weir sql` does.
    pub(crate) async fn run_plan(&self, mut plan: JobPlan) -> Result<JobReport, RuntimeError> {
        static STATEMENTS: AtomicU64 = AtomicU64::new(0);
        plan.settings.name = "weir-sql".to_owned();
        plan.settings.checkpoint_dir = format!("memory://in-process-{}/", STATEMENTS.fetch_add(1, Ordering::Relaxed));
        let options = JobOptions { one_off: true, ..JobOptions::default() };
        let environment = JobEnvironment { file_systems: self.session.file_systems().clone(), budget: self.budget.clone(), options };
        Box::pin(Job::new(plan, environment)?.run(CancellationToken::new())).await
    }

    /// The rows of a query.
    pub(crate) async fn batches(&mut self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let outcome = self.outcome(sql).await?;
        let Some(StatementResult::Query(query)) = outcome.results.into_iter().next() else { panic!("{sql} is no query") };
        let stream = Box::pin(run_query(*query, &self.budget)).await.map_err(|error| chain(&error))?;
        stream.try_collect().await.map_err(|error| chain(&error))
    }

    /// The rows of a query as text, commas between columns, a line each.
    pub(crate) async fn ask(&mut self, sql: &str) -> String {
        let batches = self.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut lines = Vec::new();
        let options = FormatOptions::default().with_null("NULL");
        for batch in &batches {
            let shown: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                lines.push(shown.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(","));
            }
        }
        lines.join("\n")
    }

    pub(crate) async fn table(&self, name: &str) -> LakeTable {
        let (catalog, id) = self.session.lake_table(name).unwrap();
        catalog.load(&id).await.unwrap()
    }

    /// Paths of the live data files of a table.
    pub(crate) async fn files(&self, name: &str) -> BTreeSet<String> {
        let live = data_files(&self.table(name).await, None).await.unwrap();
        live.iter().map(|live| live.file.file_path().trim_start_matches("file://").to_owned()).collect()
    }

    /// Entries of the summary of the newest snapshot of a table, and its operation.
    pub(crate) async fn summary(&self, name: &str, keys: &[&str]) -> (String, Vec<String>) {
        let table = self.table(name).await;
        let summary = table.metadata.current_snapshot().unwrap().summary();
        let values = keys.iter().map(|key| summary.additional_properties.get(*key).cloned().unwrap_or_default()).collect();
        (summary.operation.as_str().to_owned(), values)
    }

    /// Files on disk, below the warehouse, whose names end so.
    pub(crate) fn on_disk(&self, end: &str) -> BTreeSet<String> {
        let pattern = format!("{}/warehouse/**/*{end}", self.folder.path().display());
        glob::glob(&pattern).unwrap().map(|path: Result<PathBuf, _>| path.unwrap().display().to_string()).collect()
    }
}
