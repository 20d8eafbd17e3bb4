//! From the logical plans of a job to the running plans of one epoch. Plan nodes are made anew for each epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning, execute_stream};
use futures::TryStreamExt;
use tokio::sync::oneshot;
use weir_base::memory::MemoryBudget;
use weir_connectors::sink::{Distribution, StreamSink, WriterContext};
use weir_connectors::source::{Cut, Cuts};
use weir_connectors::spill::SpillFolders;
use weir_sql::plan::{JobPlan, LeafFactory, PlannedInsert, SpillTo};

use super::memory::BudgetPool;
use super::reading::{Hub, Reading};
use super::route::RouteExpr;
use super::running::{RunningEpoch, RunningSink};
use super::sink_exec::{SinkExec, read_end_row};
use super::writers::Writers;
use crate::checkpoint::{CheckpointStore, SinkIntents};
use crate::error::RuntimeError;
use crate::lookup::{LookupQueryPlanner, Lookups};

/// Makes and starts the epochs of one attempt.
#[derive(Debug)]
pub(crate) struct Engine {
    plan: Arc<JobPlan>,
    state: SessionState,
    store: CheckpointStore,
    lookups: Lookups,
    reading: Reading,
    writers: Writers,
}

/// Which epoch to start.
#[derive(Debug)]
pub(crate) struct EpochSpec<'a> {
    pub(crate) number: u64,
    pub(crate) attempt: &'a str,
    /// Where each split begins.
    pub(crate) from: &'a Cuts,
    /// What each sink has taken when the attempt began; it gets no row before that.
    pub(crate) reached: &'a BTreeMap<String, Cuts>,
}

type Hubs = Arc<Mutex<BTreeMap<String, Hub>>>;

/// Sorts for whose merging a budget has room.
const SORTS_IN_BUDGET: u64 = 32;

/// The session of a job or query with its memory charged to `budget`, and its lookup tables in `lookups`.
pub(crate) fn session_on(budget: &MemoryBudget, lookups: &Lookups, state: SessionState) -> Result<SessionState, RuntimeError> {
    let places = state.config().get_extension::<SpillTo>().unwrap_or_default();
    let folders = SpillFolders::try_new(&places.0)?;
    let environment = RuntimeEnvBuilder::from_runtime_env(state.runtime_env()).with_disk_manager_builder(folders.disk_manager());
    let environment = environment.with_memory_pool(Arc::new(BudgetPool::new(budget, Some(folders)))).build_arc()?;
    let planner = Arc::new(LookupQueryPlanner::new(lookups));
    let mut state = SessionStateBuilder::new_from_existing(state).with_runtime_env(environment).with_query_planner(planner).build();
    // Each sort sets so much aside for merging; several of them must find room in a small budget.
    let aside = &mut state.config_mut().options_mut().execution.sort_spill_reservation_bytes;
    *aside = (*aside).min(usize::try_from(budget.limit() / SORTS_IN_BUDGET).unwrap_or(usize::MAX));
    Ok(state)
}

impl Engine {
    pub(crate) fn try_new(
        plan: &Arc<JobPlan>,
        store: &CheckpointStore,
        lookups: &Lookups,
        reading: Reading,
        writers: Writers,
    ) -> Result<Self, RuntimeError> {
        let mut state = session_on(&reading.budget, lookups, plan.state.clone())?;
        let options = state.config_mut().options_mut();
        options.execution.target_partitions = plan.settings.parallelism.max(1);
        options.optimizer.enable_round_robin_repartition = false;
        Ok(Self { plan: Arc::clone(plan), state, store: store.clone(), lookups: lookups.clone(), reading, writers })
    }

    /// Looks for the files that a DELETE or UPDATE is about, unless an attempt before has.
    pub(crate) async fn look(&self) -> Result<(), RuntimeError> {
        for look in self.plan.inserts.iter().filter_map(|insert| insert.look.as_ref()).filter(|look| !look.found.are_known()) {
            let plan = self.state.query_planner().create_physical_plan(&look.query, &self.state).await?;
            let rows: Vec<_> = execute_stream(plan, self.state.task_ctx())?.try_collect().await?;
            look.found.take(&rows)?;
        }
        Ok(())
    }

    /// Loads the lookup tables that are to be loaded before the first row is read.
    pub(crate) async fn load_lookups(&self) -> Result<(), RuntimeError> {
        let loads = self.plan.inserts.iter().map(|insert| self.lookups.load(&insert.query, self.plan.settings.parallelism));
        futures::future::try_join_all(loads).await?;
        Ok(())
    }

    /// Plans the epoch and starts it. Nothing is read before the first command.
    pub(crate) async fn start(&self, spec: &EpochSpec<'_>) -> Result<RunningEpoch, RuntimeError> {
        let parallelism = self.plan.settings.parallelism.max(1);
        let empty = Cut::new();
        let hub = |table: &weir_sql::plan::StreamTable| Hub::new(table.clone(), spec.from.get(&table.id).unwrap_or(&empty), parallelism);
        let hubs: Hubs = Arc::new(Mutex::new(self.plan.sources.iter().map(|table| (table.id.clone(), hub(table))).collect()));
        let mut sinks = Vec::new();
        for insert in &self.plan.inserts {
            let reached = spec.reached.get(&insert.sink_id).cloned().unwrap_or_default();
            let query = self.physical(insert, &hubs, reached).await?;
            let intents = SinkIntents::new(self.store.clone(), spec.number, spec.attempt, &insert.sink_id);
            let head = self.head(insert, query, spec, &intents)?;
            sinks.push((insert, head, intents));
        }
        let hubs = std::mem::take(&mut *hubs.lock().unwrap_or_else(PoisonError::into_inner));
        let splits = hubs.into_values().flat_map(|hub| hub.start(&self.reading)).collect();
        let sinks = sinks.into_iter().map(|(insert, head, intents)| self.run(insert, head, intents)).collect::<Result<_, _>>()?;
        Ok(RunningEpoch {
            number: spec.number,
            attempt: spec.attempt.to_owned(),
            splits,
            sinks,
            failure: self.reading.failure.clone(),
            wake: Arc::clone(&self.reading.wake),
        })
    }

    async fn physical(&self, insert: &PlannedInsert, hubs: &Hubs, reached: Cuts) -> Result<Arc<dyn ExecutionPlan>, RuntimeError> {
        let hubs = Arc::clone(hubs);
        let factory = LeafFactory(Box::new(move |table, wanted| {
            let mut hubs = hubs.lock().unwrap_or_else(PoisonError::into_inner);
            let hub = hubs.get_mut(&table.id).ok_or_else(|| DataFusionError::Internal(format!("source {} is not one of the job's", table.id)))?;
            hub.leaf(wanted, reached.get(&table.id).cloned().unwrap_or_default())
        }));
        let mut state = self.state.clone();
        state.config_mut().set_extension(Arc::new(factory));
        let planner = Arc::clone(state.query_planner());
        Ok(planner.create_physical_plan(&insert.query, &state).await?)
    }

    fn head(
        &self,
        insert: &PlannedInsert,
        query: Arc<dyn ExecutionPlan>,
        spec: &EpochSpec<'_>,
        intents: &SinkIntents,
    ) -> Result<SinkExec, RuntimeError> {
        let query = spread(query, &insert.sink, self.plan.settings.parallelism)?;
        let context = WriterContext {
            job: self.plan.settings.name.clone(),
            sink: insert.sink_id.clone(),
            epoch: spec.number,
            attempt: spec.attempt.to_owned(),
            partition: 0,
            partitions: 0, // SinkExec knows
            budget: self.reading.budget.clone(),
            intents: Arc::new(intents.clone()),
        };
        Ok(SinkExec::new(query, Arc::clone(&insert.sink), context, self.writers.given_up()))
    }

    fn run(&self, insert: &PlannedInsert, head: SinkExec, intents: SinkIntents) -> Result<RunningSink, RuntimeError> {
        let context = self.state.task_ctx();
        let mut partitions = Vec::new();
        for partition in 0..head.properties().output_partitioning().partition_count() {
            let stream = head.execute(partition, Arc::clone(&context))?;
            let (finished, end) = oneshot::channel();
            let work = async move {
                let batches: Vec<_> = stream.try_collect().await?;
                // Nobody waits for it any more once the attempt has failed.
                let _refused = finished.send(read_end_row(&batches)?);
                Ok(())
            };
            self.writers.keep(self.reading.failure.spawn("sink partition", (), work));
            partitions.push(end);
        }
        Ok(RunningSink { id: insert.sink_id.clone(), partitions, intents })
    }
}

/// The query with as many partitions as the sink has writers, and its rows where the sink wants them.
fn spread(query: Arc<dyn ExecutionPlan>, sink: &Arc<dyn StreamSink>, parallelism: usize) -> Result<Arc<dyn ExecutionPlan>, RuntimeError> {
    let streams = query.output_partitioning().partition_count();
    let (writers, partitioning) = match sink.distribution() {
        Distribution::None => {
            let writers = sink.writers().unwrap_or(streams).max(1);
            (writers, Partitioning::RoundRobinBatch(writers))
        }
        Distribution::Hash => {
            let writers = sink.writers().unwrap_or(parallelism).max(1);
            (writers, Partitioning::Hash(vec![Arc::new(RouteExpr::new(Arc::clone(sink)))], writers))
        }
    };
    Ok(match (streams, writers) {
        (1, 1) => query,
        (_, 1) => Arc::new(CoalescePartitionsExec::new(query)),
        _ if streams == writers && sink.distribution() == Distribution::None => query,
        _ => Arc::new(RepartitionExec::try_new(query, partitioning)?),
    })
}
