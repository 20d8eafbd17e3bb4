//! `weir table rollback`: a branch set back, and what that means for whoever writes to it.

use chrono::Utc;
use clap::Args;
use weir_base::ErrorKind;
use weir_catalog::upkeep::{BackTo, LostCommits, Rollback, RolledBack, plan_rollback, roll_back};

use super::Named;
use crate::cli::Global;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, time};

pub(super) const ABOUT: &str = "Set a branch back to an earlier snapshot. Only the branch moves: files and snapshots stay until snapshots are \
                                expired, so that it can be undone. The markers of jobs stay too, unless --markers takes them back: a job that runs \
                                on writes behind what was taken away, and does not write it again.";

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table rollback --init job.sql lake.db.t --to 8270633197658268308 --dry-run
  weir table rollback --init job.sql lake.db.t --before '2026-01-31 12:00:00'
  weir table rollback --init job.sql lake.db.t --set-current 8270633197658268308     undo a rollback

The snapshots: weir sql --init job.sql -e 'SELECT snapshot_id, committed_at, operation FROM lake.db.t$snapshots'";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Named,
    #[command(flatten)]
    target: Target,
    /// The branch [default: main]
    #[arg(long)]
    branch: Option<String>,
    /// Take the markers of jobs back too: a job that is started again writes what was taken away once more, if its source still has it
    #[arg(long)]
    markers: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The snapshot, one that the branch has come from
    #[arg(long, value_name = "SNAPSHOT")]
    to: Option<i64>,
    /// The newest snapshot from before this time, such as `2026-01-31 12:00:00`, in UTC unless it says otherwise
    #[arg(long, value_name = "TIME", value_parser = millis)]
    before: Option<i64>,
    /// Any snapshot that the table has
    #[arg(long, value_name = "SNAPSHOT")]
    set_current: Option<i64>,
}

/// Milliseconds since 1970.
fn millis(text: &str) -> Result<i64, String> {
    let time = arrow_cast::parse::string_to_datetime(&Utc, text);
    time.map(|time| time.timestamp_millis()).map_err(|_not_a_time| "expected a time such as 2026-01-31 or '2026-01-31 12:00:00'".to_owned())
}

/// Rolls back, or prints what would be done.
pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let (_session, catalog, id) = arguments.which.find(global).await?;
    let table = super::super::load(&catalog, &id).await?;
    let Target { to, before, set_current } = arguments.target;
    let to = match (to, before, set_current) {
        (Some(id), _, _) => BackTo::Snapshot(id),
        (_, Some(millis), _) => BackTo::Before(millis),
        (_, _, Some(id)) => BackTo::Any(id),
        (None, None, None) => return Err(Failure { message: "no snapshot is named".to_owned(), exit_code: ErrorKind::Internal.exit_code() }),
    };
    let request = Rollback { branch: arguments.branch.clone(), to, markers: arguments.markers };
    let done = if arguments.dry_run { plan_rollback(&table, &request) } else { roll_back(&catalog, &id, &request).await };
    let done = done.map_err(|error| Failure::of(&error))?;
    let mut printer = Printer::default();
    let would = if arguments.dry_run { "would go" } else { "went" };
    let name = format!("{}.{id}", catalog.name());
    if done.from == done.to {
        printer.line(&format!("branch '{}' of {name} is at snapshot {} already", done.branch, done.to))?;
        return printer.flush();
    }
    printer.line(&format!("branch '{}' of {name} {would} from snapshot {} to {}", done.branch, done.from, done.to))?;
    show_unreachable(&mut printer, &done)?;
    for job in &done.jobs {
        printer.line(&what_it_means(job, arguments.dry_run))?;
    }
    if !arguments.dry_run && !done.unreachable.is_empty() {
        printer.line(&format!("to undo it: weir table rollback {} --set-current {}", arguments.which.written(), done.from))?;
    }
    printer.flush()
}

fn show_unreachable(printer: &mut Printer, done: &RolledBack) -> Result<(), Failure> {
    if done.unreachable.is_empty() {
        return printer.line("every snapshot can still be reached by a branch or tag");
    }
    printer
        .line(&format!("{} snapshots cannot be reached by a branch or tag then; they stay until snapshots are expired:", done.unreachable.len()))?;
    let mut rows = vec![["  snapshot", "committed", "operation", "rows added"].map(str::to_owned)];
    rows.extend(done.unreachable.iter().map(|one| {
        let committed = one.committed.map(time).unwrap_or_default();
        let added = one.added_rows.map(|rows| rows.to_string()).unwrap_or_default();
        [format!("  {}", one.snapshot_id), committed, one.operation.clone(), added]
    }));
    printer.table([false, false, false, true], &rows)
}

/// What the loss of its commits means for a job, or would mean.
pub(crate) fn what_it_means(lost: &LostCommits, dry_run: bool) -> String {
    let LostCommits { job, sink, at, lost, marker_set_back } = lost;
    let begin = at.map_or_else(|| "all its epochs".to_owned(), |at| format!("the epochs after {at}"));
    let from = at.map_or_else(
        || "without its checkpoints".to_owned(),
        |at| format!("from its checkpoint of epoch {at}, or, if it keeps no state, without its checkpoints"),
    );
    let (are, went, stays, goes, does) = if dry_run {
        ("would be gone", "would go", "would stay", "would go", "would not write")
    } else {
        ("are gone", "went", "stays", "goes", "does not write")
    };
    let what = format!("job '{job}', sink '{sink}': {begin}, up to {lost}, {are} from the branch.");
    if *marker_set_back {
        let told =
            format!("Its marker {went} back with them: if it runs then, its next commit is refused. Start it {from}, and it writes them again");
        return format!("{what} {told}; offsets that its source has lost meanwhile are lost.");
    }
    format!(
        "{what} Its marker {stays} at epoch {lost}: the job {goes} on behind them and {does} them again, and 'weir verify' will tell of the hole. To have \
         them written again, stop the job, roll back with --markers, and start it {from}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_says_what_would_be() {
        for marker_set_back in [false, true] {
            let lost = LostCommits { job: "j".to_owned(), sink: "s".to_owned(), at: Some(3), lost: 5, marker_set_back };
            let (would, did) = (what_it_means(&lost, true), what_it_means(&lost, false));
            assert!(would.contains("would be gone from the branch") && !would.contains("are gone"), "{would}");
            assert!(did.contains("are gone from the branch") && !did.contains("would"), "{did}");
        }
    }
}
