//! A run of compaction over the whole table.

use std::path::Path;
use std::time::{Duration, SystemTime};

use weir_base::memory::MemoryBudget;
use weir_catalog::upkeep::{Journal, Keeper};
use weir_compaction::policy::Options;
use weir_compaction::{Compactor, Quiet, Request};

use crate::print::line;
use crate::table::{catalog, id};
use crate::{Outcome, Way};

/// Files are made this large.
pub(crate) const TARGET: u64 = 512 << 20;

pub(crate) fn run(folder: &Path, way: Way) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let catalog = catalog(folder)?;
        let journal = Journal::new(&catalog, &catalog.load(&id()).await?, Keeper::Command);
        let compactor = Compactor::new(&catalog, &id(), MemoryBudget::new(256 << 20), journal);
        let quiet = if way == Way::Copy { Duration::from_secs(86_400) } else { Duration::ZERO };
        let request = Request { options: Options { target_bytes: TARGET, quiet, ..Options::default() }, ..Request::default() };
        let report = compactor.compact_once(&request, SystemTime::UNIX_EPOCH.elapsed()?, &Quiet).await?;
        let (copied, decoded) = (report.copied > 0, report.decoded > 0);
        if (copied, decoded) != (way == Way::Copy, way == Way::Decode) {
            return Err(format!("not what was to be measured: {report:?}").into());
        }
        let requests: u64 = catalog.file_systems().io_counts().iter().map(|count| count.requests).sum();
        line(&format!("{requests} for {} files into {}", report.files_before, report.files_after));
        Ok(())
    })
}
