//! `weir table cherry-pick`: an append of another branch, or a staged one, onto a branch.

use clap::Args;
use weir_catalog::upkeep::{PlannedPick, cherry_pick, plan_cherry_pick};

use super::Named;
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::line;

pub(super) const ABOUT: &str = "Bring an append of another branch, or one that was staged (write-audit-publish) and is on none, onto a branch. If it was \
                                made on the very head of the branch, the branch goes there; else its files are appended anew, and the \
                                summary says from where (source-snapshot-id). What was picked before, or is there already, is refused.";

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table cherry-pick --init job.sql lake.db.t 8270633197658268308 --dry-run
  weir table cherry-pick --init job.sql lake.db.t 8270633197658268308 --branch audit";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Named,
    /// The snapshot
    snapshot: i64,
    /// The branch that it comes to [default: main]
    #[arg(long)]
    branch: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Picks.
pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let (_session, catalog, id) = arguments.which.find(global).await?;
    let (table, name) = (super::super::load(&catalog, &id).await?, format!("{}.{id}", catalog.name()));
    if arguments.dry_run {
        let planned = plan_cherry_pick(&table, arguments.branch.as_deref(), arguments.snapshot).await;
        let PlannedPick { branch, files } = planned.map_err(|error| Failure::of(&error))?;
        let how = match files {
            None => "the branch would go there, nothing has come since".to_owned(),
            Some(files) => format!("its {files} files would be appended"),
        };
        return line(&format!("snapshot {} would come onto branch '{branch}' of {name}: {how}", arguments.snapshot));
    }
    let picked = cherry_pick(&catalog, &id, arguments.branch.as_deref(), arguments.snapshot).await.map_err(|error| Failure::of(&error))?;
    let how = if picked.fast_forward { "the branch went there, nothing had come since" } else { "its files were appended" };
    line(&format!("snapshot {} is on branch '{}' of {name} as snapshot {}: {how}", picked.source, picked.branch, picked.head))
}
