//! `weir table compact`: the plan, the run, and another try for what gave way.

use std::sync::Arc;
use std::time::Duration;

use weir_base::memory::MemoryBudget;
use weir_catalog::upkeep::{Journal, Keeper, Recovered};
use weir_catalog::{LakeCatalog, LakeTable, TableId};
use weir_compaction::pace::Pace;
use weir_compaction::policy::Options;
use weir_compaction::{Compactor, Failed, Plan, Report, Request, SortBy};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::FileFilter;
use weir_sql::procedures::{Predicates, ProcedureCall, RewriteDataFiles};

use super::super::sql_failure;
use super::compact_progress::Lines;
use super::{COMMITS, Compact, Found, MIN_INPUT_FILES, PARALLELISM, now};
use crate::cli::Global;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, size};
use crate::{output, status_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table compact --init job.sql lake.db.t --dry-run
  weir table compact --init job.sql lake.db.t --partition ts_day=2026-11-21
  weir table compact --init job.sql lake.db.t --where \"ts < TIMESTAMP '2026-11-21 00:00:00'\"
  weir table compact --init job.sql lake.db.t --settle --sort 'ts DESC, user_id'";

/// Tries in a row in which everything gave way.
const TRIES: u32 = 10;

/// Compacts a table, or prints what would be done.
pub(super) async fn run(global: &Global, arguments: &Compact) -> Result<(), Failure> {
    let Found { session, catalog, id, live, options } = Found::open(global, &arguments.which, false).await?;
    let sort = SortBy::of(arguments.sort.as_deref(), &live.table.metadata).map_err(|error| Failure::of(&error))?;
    let filter = filter(&session.predicates(), &catalog, &live.table, arguments.filter.as_deref())?;
    let request = Request { filter, ..request(arguments, options, sort) };
    let budget = super::super::budget(global);
    if arguments.dry_run {
        return show(&plan(&catalog, &id, &live.table, &request, &budget).await?, &request.options);
    }
    status_line::show();
    let done = carry_out(&catalog, &id, &live.table, &request, &budget).await;
    status_line::clear();
    let done = done?;
    // A group that gives way is tried again as long as its files are there.
    let others = if done.gave_way > 0 { "; what gave way was tried again, or others have rewritten it meanwhile" } else { "" };
    output::line(&format!("{}{others}", told(&done)))
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
        sort,
        ..Request::default()
    }
}

fn filter(
    predicates: &Predicates,
    catalog: &Arc<dyn LakeCatalog>,
    table: &LakeTable,
    predicate: Option<&str>,
) -> Result<Option<FileFilter>, Failure> {
    predicate.map(|text| predicates.files(catalog, table, text)).transpose().map_err(|error| sql_failure(&error))
}

/// What a procedure asks for; what it does not say is as the command has it.
pub(crate) fn request_of(call: &ProcedureCall, table: &LakeTable, wanted: &RewriteDataFiles) -> Result<Request, Failure> {
    let of_table = Options::of(table.metadata.properties());
    let count = |given: Option<u64>, default: u32| usize::try_from(given.unwrap_or(u64::from(default))).unwrap_or(usize::MAX);
    let options = Options {
        target_bytes: wanted.target_bytes.unwrap_or(of_table.target_bytes),
        min_input_files: count(wanted.min_input_files, MIN_INPUT_FILES),
        max_bytes: wanted.max_bytes,
        quiet: if wanted.settle { Duration::ZERO } else { of_table.quiet },
        deleted_share: if wanted.apply_deletes { 0.0 } else { of_table.deleted_share },
        ..of_table
    };
    Ok(Request {
        branch: wanted.branch.clone(),
        options,
        parallelism: count(wanted.parallelism, PARALLELISM),
        commits: count(wanted.commits, COMMITS),
        partition: wanted.partition.clone(),
        filter: filter(&call.predicates, &call.catalog, table, wanted.filter.as_deref())?,
        sort: SortBy::of(wanted.sort.as_deref(), &table.metadata).map_err(|error| Failure::of(&error))?,
        ..Request::default()
    })
}

fn compactor(catalog: &Arc<dyn LakeCatalog>, id: &TableId, journal: Arc<Journal>, budget: &MemoryBudget) -> Compactor {
    Compactor::new(catalog, id, budget.clone(), journal)
}

/// What would be done.
pub(crate) async fn plan(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    table: &LakeTable,
    request: &Request,
    budget: &MemoryBudget,
) -> Result<Plan, Failure> {
    let compactor = compactor(catalog, id, Journal::new(catalog, table, Keeper::Command), budget);
    compactor.plan(request, now()).await.map_err(|error| Failure::of(&error))
}

/// Compacts, after what a run that was cut off has left is cleaned up.
pub(crate) async fn carry_out(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    table: &LakeTable,
    request: &Request,
    budget: &MemoryBudget,
) -> Result<Report, Failure> {
    let journal = Journal::new(catalog, table, Keeper::Command);
    let compactor = compactor(catalog, id, Arc::clone(&journal), budget);
    let recovered = journal.recover(now()).await.map_err(|error| Failure::of(&error))?;
    if recovered != Recovered::default() {
        let Recovered { data_files, metadata_files, .. } = recovered;
        tracing::info!(data_files, metadata_files, "files of a run that was cut off deleted");
    }
    until_done(&compactor, request).await
}

/// Runs until nothing gives way any more of the files that were there at the beginning.
async fn until_done(compactor: &Compactor, request: &Request) -> Result<Report, Failure> {
    let (mut all, mut pace, mut next) = (Report::default(), Pace::default(), request.clone());
    loop {
        next.options.max_bytes = pace.max_bytes(request.options.max_bytes, request.options.target_bytes);
        status_line::set("reading manifests".to_owned());
        let plan = compactor.plan(&next, now()).await.map_err(|error| Failure::of(&error))?;
        if next.among.is_none() {
            next.among = Some(Arc::new(plan.live.paths()));
        }
        let lines = Lines::of(&plan);
        let report = match compactor.run(&next, plan, &lines).await {
            Ok(report) => report,
            Err(Failed { report, error }) => return Err(ended_early(&all.plus(*report), &error)),
        };
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

/// A failure, with what was committed before it.
fn ended_early(report: &Report, error: &ConnectorError) -> Failure {
    let mut failure = Failure::of(error);
    if report.commits > 0 {
        failure.message.push_str(&format!("\n  Committed before that, and staying: {}", told(report)));
    }
    failure
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
    let (all, considered) = plan.live.inventory.count();
    if considered < all {
        printer.line(&format!("{considered} of {all} files are considered"))?;
    }
    if plan.groups.is_empty() {
        printer.line("nothing to do")?;
    } else {
        printer.table([false, false, false, true, true, true, true], &rows)?;
    }
    let debt = plan.live.inventory.debt(options);
    printer.line(&format!("debt: {} files above the ideal, {} in files to rewrite", debt.files(), size(debt.bytes, true)))?;
    printer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_stays_committed_if_anything_does() {
        let error = ConnectorError::transient("the store is away");
        let told = |commits: usize| ended_early(&Report { commits, files_before: 7, files_after: 2, ..Report::default() }, &error).message;
        assert!(told(0).ends_with("the store is away"), "{}", told(0));
        assert!(
            told(3).contains("the store is away\n  Committed before that, and staying: 7 files of 0 B became 2 of 0 B in 3 commits"),
            "{}",
            told(3)
        );
    }
}
