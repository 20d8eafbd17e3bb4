//! A small world to run jobs in: a replayable log, tables with markers, an object store, and a clock of steps at which a process can be
//! made to die or to lose an answer.

mod sink;
mod source;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_connectors::sink::Distribution;
use weir_connectors::table::TablePath;
use weir_fs::Location;
use weir_sql::plan::{JobPlan, JobSettings, PlannedInsert, QueryPlan, StreamTable};

pub(crate) use sink::{FakeSink, FakeTable, Files};
pub(crate) use source::{FakeLog, FakeSource};
use store::Hooked;
pub(crate) use world::World;

use crate::checkpoint::CheckpointStore;
use crate::error::RuntimeError;
use crate::job::{Job, JobOptions, JobReport};

/// Everything that outlives a process.
#[derive(Debug, Clone)]
pub(crate) struct Rig {
    pub(crate) world: Arc<World>,
    pub(crate) log: Arc<FakeLog>,
    pub(crate) objects: Arc<InMemory>,
    pub(crate) files: Files,
    pub(crate) tables: BTreeMap<String, Arc<FakeTable>>,
    /// Sink id and query of each INSERT.
    pub(crate) inserts: Vec<(String, String)>,
    pub(crate) bounded: bool,
    pub(crate) hash: bool,
    pub(crate) writers: Option<usize>,
    pub(crate) interval: Duration,
    pub(crate) retained: usize,
    pub(crate) timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) parallelism: usize,
    pub(crate) budget: MemoryBudget,
    pub(crate) restarts: &'static str,
    pub(crate) name: String,
}

impl Rig {
    /// One INSERT a query; the sinks are `t0`, `t1`, …
    pub(crate) fn new(log: FakeLog, queries: &[&str]) -> Self {
        let world = Arc::new(World::default());
        let inserts: Vec<_> = queries.iter().enumerate().map(|(index, query)| (format!("t{index}"), (*query).to_owned())).collect();
        let tables = inserts.iter().map(|(id, _)| (id.clone(), Arc::new(FakeTable::new(&format!("uuid-{id}")))));
        Self {
            world,
            log: Arc::new(log),
            objects: Arc::default(),
            files: Files::default(),
            tables: tables.collect(),
            inserts,
            bounded: true,
            hash: false,
            writers: None,
            interval: Duration::from_millis(20),
            retained: 3,
            timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(60),
            parallelism: 2,
            budget: MemoryBudget::new(1 << 30),
            restarts: "exponential-delay",
            name: "job".to_owned(),
        }
    }

    pub(crate) fn table(&self, id: &str) -> &FakeTable {
        self.tables.get(id).expect("a table of the rig")
    }

    /// The checkpoint directory, without faults.
    pub(crate) fn store(&self) -> CheckpointStore {
        CheckpointStore::at(self.location(Arc::clone(&self.objects) as _), &self.name, Duration::from_secs(20))
    }

    fn location(&self, store: Arc<dyn object_store::ObjectStore>) -> Location {
        Location { uri: "memory:///checkpoints".to_owned(), store, path: Path::from("checkpoints") }
    }

    fn context(&self) -> (SessionContext, StreamTable) {
        let source = Arc::new(FakeSource::new(&self.log, &self.world, self.bounded));
        let table = StreamTable { id: "src".to_owned(), path: path("src"), source };
        let context = SessionContext::new_with_config(SessionConfig::new());
        context.register_table("src", Arc::new(source::FakeProvider(table.clone()))).expect("registered");
        (context, table)
    }

    /// A batch query over the log.
    pub(crate) async fn query(&self, sql: &str) -> QueryPlan {
        let state = self.context().0.state();
        let plan = state.optimize(&state.create_logical_plan(sql).await.expect("planned")).expect("optimised");
        QueryPlan { schema: Arc::new(plan.schema().as_arrow().clone()), plan, state }
    }

    pub(crate) async fn plan(&self) -> JobPlan {
        let (context, table) = self.context();
        let mut inserts = Vec::new();
        for (id, query) in &self.inserts {
            let logical = context.state().create_logical_plan(query).await.expect("planned");
            let query = context.state().optimize(&logical).expect("optimised");
            let spread = if self.hash { Distribution::Hash } else { Distribution::None };
            let sink = FakeSink::new(Arc::clone(&self.tables[id]), &self.files, &self.world, (spread, self.writers));
            inserts.push(PlannedInsert { sink_id: id.clone(), target: path(id), sink: Arc::new(sink), query, look: None });
        }
        let settings = JobSettings {
            name: self.name.clone(),
            name_defaulted: false,
            interval: self.interval,
            checkpoint_dir: "memory:///checkpoints".to_owned(),
            checkpoint_dir_defaulted: false,
            timeout: self.timeout,
            retained: self.retained,
            parallelism: self.parallelism,
            properties: [
                ("restart-strategy.type".to_owned(), self.restarts.to_owned()),
                ("restart-strategy.exponential-delay.initial-backoff".to_owned(), "5 ms".to_owned()),
                ("restart-strategy.exponential-delay.max-backoff".to_owned(), "20 ms".to_owned()),
            ]
            .into(),
        };
        JobPlan { settings, sources: vec![table], inserts, created: None, state: context.state() }
    }

    /// A process with the job in it.
    pub(crate) async fn job(&self) -> Job {
        let store = Arc::new(Hooked::new(Arc::clone(&self.objects), Arc::clone(&self.world)));
        let store = CheckpointStore::at(self.location(store), &self.name, Duration::from_secs(20));
        let options = JobOptions { stop_timeout: self.stop_timeout, ..JobOptions::default() };
        Job::on_store(self.plan().await, store, self.budget.clone(), options).expect("a job")
    }

    /// Runs the job to its end.
    pub(crate) async fn run(&self) -> Result<JobReport, RuntimeError> {
        self.job().await.run(CancellationToken::new()).await
    }

    /// Runs the job until it ends or the world kills it: `None`.
    pub(crate) async fn run_or_die(&self) -> Option<Result<JobReport, RuntimeError>> {
        let job = self.job().await;
        let crashed = self.world.crashed();
        let tasks = tokio::runtime::Handle::current().metrics();
        let before = tasks.num_alive_tasks();
        let ended = tokio::select! {
            () = crashed.cancelled() => None,
            ended = job.run(CancellationToken::new()) => Some(ended),
        };
        // An aborted task goes on to its next await. A dead process does not, so its tasks must be gone before the next one starts.
        while ended.is_none() && tasks.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ended
    }

    /// Checks that every row of the log that `wanted` takes is in the table exactly once.
    pub(crate) fn assert_exactly_once(&self, id: &str, wanted: impl Fn(&(String, i64)) -> bool) {
        let mut expected = self.log.rows();
        expected.retain(wanted);
        let mut found = self.table(id).rows();
        found.sort_unstable();
        let doubled: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
        assert!(doubled.is_empty(), "{id}: {} rows twice, such as {:?}", doubled.len(), doubled.first());
        let lost: Vec<_> = expected.iter().filter(|row| found.binary_search(row).is_err()).collect();
        assert!(lost.is_empty(), "{id}: {} rows of {} lost, such as {:?}", lost.len(), expected.len(), lost.first());
        assert_eq!(found.len(), expected.len(), "{id}: rows that nobody sent");
    }

    /// Checks that no file is left that no table holds, nor anything of a commit that was cut off, and none is gone that a table holds.
    pub(crate) fn assert_no_litter(&self) {
        let mut held: Vec<String> = self.tables.values().flat_map(|table| table.files()).collect();
        held.sort_unstable();
        assert_eq!(self.files.names(), held);
        assert!(self.tables.values().all(|table| table.cut_off().is_empty()), "commits were cut off and not swept");
    }
}

fn path(table: &str) -> TablePath {
    TablePath { catalog: "c".into(), database: "d".into(), table: table.into() }
}
