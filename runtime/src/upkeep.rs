//! Upkeep of the tables that a job writes to: one coordinator for each, for as long as an attempt runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_base::memory::MemoryBudget;
use weir_base::task::Task;
use weir_compaction::job::{Coordinator, Parts, Status};
use weir_connectors::iceberg::LakeTarget;
use weir_sql::plan::JobPlan;

use crate::epoch::Failure;
use crate::error::RuntimeError;

/// What rewrites may take of the job's memory: a quarter, and no more than this.
const MEMORY: u64 = 256 << 20;

/// The coordinators of an attempt. Dropping it ends them at once; the next attempt deletes what they leave.
#[derive(Debug)]
pub(crate) struct Upkeep {
    tasks: Vec<Task<Option<()>>>,
    told: BTreeMap<String, watch::Receiver<Status>>,
    stop: CancellationToken,
    finish: CancellationToken,
}

impl Upkeep {
    /// Starts one for each table, and branch of it, whose options want it; they end what they have begun as soon as the job is asked to `stop`. `fence` is
    /// the epoch that the attempt has claimed. A single statement looks after nothing (`one_off`): it must not wait, and not fail, for the sake of files.
    pub(crate) fn start(plan: &JobPlan, budget: &MemoryBudget, fence: u64, one_off: bool, stop: &CancellationToken, failure: &Failure) -> Self {
        let mut upkeep = Self { tasks: Vec::new(), told: BTreeMap::new(), stop: stop.child_token(), finish: CancellationToken::new() };
        let share = budget.part((budget.limit() / 4).min(MEMORY));
        for (target, sinks) in targets(plan).into_iter().filter(|_| !one_off) {
            let parts = Parts {
                target: target.clone(),
                job: plan.settings.name.clone(),
                sinks: sinks.clone(),
                fence,
                parallelism: plan.settings.parallelism,
                budget: share.clone(),
            };
            let (coordinator, told) = Coordinator::new(parts);
            upkeep.told.extend(sinks.into_iter().map(|sink| (sink, told.clone())));
            let (stop, finish) = (upkeep.stop.clone(), upkeep.finish.clone());
            upkeep.tasks.push(failure.spawn("compaction", (), async move { Ok(coordinator.run(stop, finish).await?) }));
        }
        upkeep
    }

    /// What they tell, by sink.
    pub(crate) fn told(&self) -> BTreeMap<String, watch::Receiver<Status>> {
        self.told.clone()
    }

    /// An epoch's length while tables have too many files: up to ten times as long.
    pub(crate) fn slowed(&self, interval: Duration) -> Duration {
        let slowdown = self.told.values().map(|told| told.borrow().slowdown).fold(1.0, f64::max);
        if slowdown > 1.0 { interval.mul_f64(slowdown) } else { interval }
    }

    /// Waits for their end: after what has begun and what is due, or at once if the job was asked to stop.
    pub(crate) async fn end(mut self, failure: &Failure) -> Result<(), RuntimeError> {
        self.finish.cancel();
        for task in &mut self.tasks {
            failure.join(task).await?;
        }
        Ok(())
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The tables that want upkeep, each with the sinks that write to it.
fn targets(plan: &JobPlan) -> Vec<(&LakeTarget, BTreeSet<String>)> {
    let mut targets: Vec<(&LakeTarget, BTreeSet<String>)> = Vec::new();
    for insert in &plan.inserts {
        let Some(lake) = insert.sink.lake().filter(|lake| lake.upkeep.is_wanted()) else { continue };
        let same = |other: &LakeTarget| other.catalog.name() == lake.catalog.name() && (&other.id, &other.branch) == (&lake.id, &lake.branch);
        match targets.iter_mut().find(|(other, _)| same(other)) {
            Some((_, sinks)) => drop(sinks.insert(insert.sink_id.clone())),
            None => targets.push((lake, BTreeSet::from([insert.sink_id.clone()]))),
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use arrow_schema::{DataType, Field, Schema};
    use weir_base::options::OptionBag;
    use weir_base::task::spawn;
    use weir_catalog::lake::{LakeCatalog, LakeTable, TableId, TableSpec};
    use weir_connectors::iceberg::IcebergSink;
    use weir_connectors::sink::StreamSink;
    use weir_fs::FileSystems;

    use super::*;
    use crate::job::{Job, JobOptions};
    use crate::status::SinkStatus;
    use crate::testing::{FakeLog, Rig};

    fn bag(object: &str, options: &[(&str, &str)]) -> OptionBag {
        let mut bag = OptionBag::new(object);
        options.iter().for_each(|(key, value)| bag.insert(*key, *value, None));
        bag
    }

    /// A table of the columns of a [`FakeLog`].
    async fn table(folder: &std::path::Path) -> (Arc<dyn LakeCatalog>, LakeTable) {
        let warehouse = format!("file://{}", folder.display());
        let mut options = bag("Catalog 'lake'", &[("type", "iceberg"), ("catalog-type", "memory"), ("warehouse", &warehouse)]);
        let catalog = weir_catalog::open("lake", &mut options, &FileSystems::default()).expect("catalog").catalog;
        catalog.create_database("shop", &BTreeMap::new()).await.expect("database");
        let columns = Schema::new(vec![Field::new("s", DataType::Utf8, false), Field::new("o", DataType::Int64, false)]);
        let schema = weir_catalog::lake_schema(&columns, &[]).expect("schema");
        let spec = TableSpec { schema, partitioned_by: Vec::new(), properties: [].into(), location: None };
        let id = TableId { database: "shop".to_owned(), table: "t0".to_owned() };
        catalog.create(&id, &spec).await.expect("table");
        let table = catalog.load(&id).await.expect("loads");
        (catalog, table)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn epochs_grow_while_a_table_has_more_files_than_its_debt_allows() {
        let mut rig = Rig::new(FakeLog::new(&[10], 0), &["SELECT s, o FROM src"]);
        (rig.bounded, rig.interval, rig.name) = (false, Duration::from_millis(20), "slowed".to_owned());
        let folder = tempfile::tempdir().expect("folder");
        let (catalog, table) = table(folder.path()).await;
        let options = [("auto-compact", "true"), ("compact.delta.commits", "100000"), ("compact.max-debt", "1")];
        let sink = IcebergSink::open(&catalog, &table, &bag("Table 'lake.shop.t0'", &options)).expect("sink").value;
        let sink: Arc<dyn StreamSink> = Arc::new(sink);
        let mut plan = rig.plan().await;
        plan.inserts.iter_mut().for_each(|insert| insert.sink = Arc::clone(&sink));
        let job = Job::on_store(plan, rig.store(), rig.budget.clone(), JobOptions::default()).expect("a job");
        let (board, stop) = (job.status(), CancellationToken::new());
        let running = spawn("job", job.run(stop.clone()));
        // Rows keep coming, so that each epoch has some.
        let until = async |what: &dyn Fn(&SinkStatus) -> bool| {
            while !board.snapshot().sinks.get("t0").is_some_and(what) {
                rig.log.append("0", 1, 0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        until(&|sink| sink.upkeep.as_ref().is_some_and(|upkeep| upkeep.slowdown >= 10.0)).await;
        let (began, before) = (Instant::now(), board.snapshot().sinks["t0"].commits);
        // The first of them may have been read before.
        until(&|sink| sink.commits >= before + 5).await;
        assert!(began.elapsed() >= 2 * 10 * rig.interval, "five epochs in {:?}", began.elapsed());
        stop.cancel();
        running.await.expect("no panic").expect("ends");
    }
}
