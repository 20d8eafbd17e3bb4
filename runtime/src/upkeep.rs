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
