//! `weir table compact`: the plan, the run, and another try for what gave way.

use std::sync::Arc;
use std::time::Duration;

use weir_catalog::upkeep::{Journal, Keeper, Recovered};
use weir_compaction::pace::Pace;
use weir_compaction::policy::{Group, Options, Way};
use weir_compaction::{Compactor, PartitionKey, Plan, Progress, Report, Request, SortBy};

use super::{Compact, Found, now};
use crate::cli::Global;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, size};
use crate::{output, status_line};

/// Tries in a row in which everything gave way.
const TRIES: u32 = 10;

/// Compacts a table, or prints what would be done.
pub(super) async fn run(global: &Global, arguments: &Compact) -> Result<(), Failure> {
    let Found { catalog, id, live, options } = Found::open(global, &arguments.which).await?;
    let sort = SortBy::of(arguments.sort.as_deref(), &live.table.metadata).map_err(|error| Failure::of(&error))?;
    let request = request(arguments, options, sort);
    let journal = Journal::new(&catalog, &live.table, Keeper::Command);
    let compactor = Compactor::new(&catalog, &id, super::super::budget(global), Arc::clone(&journal));
    if arguments.dry_run {
        let plan = compactor.plan(&request, now()).await.map_err(|error| Failure::of(&error))?;
        return show(&plan, &request.options);
    }
    let recovered = journal.recover(now()).await.map_err(|error| Failure::of(&error))?;
    if recovered != Recovered::default() {
        let Recovered { data_files, metadata_files, .. } = recovered;
        tracing::info!(data_files, metadata_files, "files of a run that was cut off deleted");
    }
    status_line::show();
    let done = until_done(&compactor, &request).await;
    status_line::clear();
    output::line(&told(&done?))
}

fn request(arguments: &Compact, options: Options, sort: Option<SortBy>) -> Request {
    let quiet = if arguments.settle { Duration::ZERO } else { options.quiet };
    let deleted_share = if arguments.apply_deletes { 0.0 } else { options.deleted_share };
    let min_input_files = usize::try_from(arguments.min_input_files).unwrap_or(usize::MAX);
    Request {
        branch: arguments.which.branch.clone(),
        options: Options { min_input_files, max_bytes: arguments.max_bytes, quiet, deleted_share, ..options },
        parallelism: usize::try_from(arguments.parallelism).unwrap_or(1),
        commits: usize::try_from(arguments.commits).unwrap_or(usize::MAX),
        partition: arguments.which.partition.clone(),
        decode_all: false,
        job: None,
        sort,
    }
}

/// Runs until nothing gives way any more.
async fn until_done(compactor: &Compactor, request: &Request) -> Result<Report, Failure> {
    let (mut all, mut pace) = (Report::default(), Pace::default());
    loop {
        let mut next = request.clone();
        next.options.max_bytes = pace.max_bytes(request.options.max_bytes, request.options.target_bytes);
        let report = compactor.compact_once(&next, now(), &Lines).await.map_err(|error| Failure::of(&error))?;
        all = all.plus(report);
        if report.gave_way == 0 {
            return Ok(all);
        }
        if report.commits > 0 {
            pace.succeeded()
        } else {
            pace.failed()
        }
        if pace.failures() >= TRIES {
            let what = format!("others have changed the files {TRIES} times in a row while they were rewritten; {}", told(&all));
            return Err(Failure { message: what, exit_code: weir_base::ErrorKind::Transient.exit_code() });
        }
        tokio::time::sleep(pace.wait()).await;
    }
}

fn told(report: &Report) -> String {
    format!(
        "{} files of {} became {} of {} in {} commits: {} groups copied, {} decoded, {} gave way; {} delete files are of no use any more",
        report.files_before,
        size(report.bytes_before, true),
        report.files_after,
        size(report.bytes_after, true),
        report.commits,
        report.copied,
        report.decoded,
        report.gave_way,
        report.deletes
    )
}

fn show(plan: &Plan, options: &Options) -> Result<(), Failure> {
    let mut rows = vec![["partition", "way", "why", "files", "bytes", "rows", "becomes"].map(str::to_owned)];
    for group in &plan.groups {
        rows.push([
            group.partition.to_string(),
            group.way.as_str().to_owned(),
            group.why.as_str().to_owned(),
            group.files.len().to_string(),
            size(group.bytes(), true),
            group.rows().to_string(),
            group.outputs(options).to_string(),
        ]);
    }
    let mut printer = Printer::default();
    if plan.groups.is_empty() {
        printer.line("nothing to do")?;
    } else {
        printer.table([false, false, false, true, true, true, true], &rows)?;
    }
    let debt = plan.live.inventory.debt(options);
    printer.line(&format!("debt: {} files above the ideal, {} in files to rewrite", debt.files(), size(debt.bytes, true)))?;
    printer.flush()
}

/// Shows steps in the status line.
struct Lines;

impl Progress for Lines {
    fn rewritten(&self, group: &Group<PartitionKey>, way: Way, files: usize) {
        let done = match way {
            Way::Copy => "copied into",
            Way::Decode => "decoded and written into",
        };
        status_line::set(format!("{}: {} files {done} {files}", group.partition, group.files.len()));
    }

    fn committed(&self, snapshot_id: i64, files_before: usize, files_after: usize) {
        tracing::info!(snapshot = snapshot_id, files_before, files_after, "rewritten files committed");
    }

    fn gave_way(&self, group: &Group<PartitionKey>, why: &str) {
        tracing::warn!(partition = %group.partition, why, "a group gave way to others and is tried again");
    }
}
