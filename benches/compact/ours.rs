//! A run of compaction over the whole table.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use weir_base::memory::MemoryBudget;
use weir_catalog::upkeep::{Journal, Keeper};
use weir_compaction::policy::{Group, Options, Way as How};
use weir_compaction::{Compactor, PartitionKey, Progress, Request};

use crate::print::line;
use crate::table::{catalog, id};
use crate::{Outcome, Way};

/// Files are made this large.
pub(crate) const TARGET: u64 = 512 << 20;
const BUDGET: u64 = 256 << 20;

/// Notes the CPU time when the last group was rewritten.
#[derive(Debug, Default)]
struct Rewritten(Mutex<Duration>);

impl Progress for Rewritten {
    fn rewritten(&self, _: &Group<PartitionKey>, _: How, _: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cpu();
    }

    fn committed(&self, _: i64, _: usize, _: usize) {}

    fn gave_way(&self, _: &Group<PartitionKey>, _: &str) {}

    fn failed(&self, _: &Group<PartitionKey>, _: &weir_connectors::ConnectorError) {}
}

pub(crate) fn run(folder: &Path, way: Way, parallelism: usize) -> Outcome<()> {
    weir_base::allocator::give_back_large_buffers(); // as the program does
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (catalog, budget) = (catalog(folder)?, MemoryBudget::new(BUDGET));
        let journal = Journal::new(&catalog, &catalog.load(&id()).await?, Keeper::Command);
        let compactor = Compactor::new(&catalog, &id(), budget.clone(), journal);
        let quiet = if way == Way::Copy { Duration::from_secs(86_400) } else { Duration::ZERO };
        // One commit, after all is rewritten.
        let request =
            Request { options: Options { target_bytes: TARGET, quiet, ..Options::default() }, parallelism, commits: 1, ..Request::default() };
        let plan = compactor.plan(&request, SystemTime::UNIX_EPOCH.elapsed()?).await?;
        let (planned, rewritten) = (cpu(), Rewritten::default());
        let report = compactor.run(&request, plan, &rewritten).await.map_err(|failed| failed.error)?;
        let (copied, decoded) = (report.copied > 0, report.decoded > 0);
        if (copied, decoded) != (way == Way::Copy, way == Way::Decode) {
            return Err(format!("not what was to be measured: {report:?}").into());
        }
        let rewriting = rewritten.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_sub(planned);
        let requests: u64 = catalog.file_systems().io_counts().iter().map(|count| count.requests).sum();
        let files = format!("{requests} for {} files into {}", report.files_before, report.files_after);
        line(&format!("{} {} {files}", rewriting.as_secs_f64(), budget.peak()));
        Ok(())
    })
}

/// CPU time of the process so far, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
