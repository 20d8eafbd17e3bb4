//! `weir table expire`: snapshots that nobody needs any more go, and with them the files that only they needed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeZone, Utc};
use clap::Args;
use weir_catalog::commit::{ExpireRules, Expired, GoneKind, TableCommitter};
use weir_catalog::upkeep::{Journal, Keeper};
use weir_catalog::{LakeCatalog, LakeTable, TableId};

use super::{Named, age, now};
use crate::cli::Global;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, size, time};
use crate::status_line;

pub(super) const ABOUT: &str = "Expire old snapshots, and delete the files that only they needed. A job of Weir does that by itself for the snapshots that it has \
                                made ('weir.expire-snapshots.enabled'); this is for all others. Heads of branches and tags stay, what the \
                                settings of a branch keep, and what a job that reads the table as a stream has not read yet. Cut off, it \
                                is finished by the next command or job.";

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table expire --init job.sql lake.db.t --dry-run
  weir table expire --init job.sql lake.db.t --older-than 12h --retain-last 10
  weir table expire --init job.sql lake.db.t --snapshot 8270633197658268308";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Named,
    /// Snapshots that were committed before so long [default: the table's history.expire.max-snapshot-age-ms, else 5 days]
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Snapshots of each branch that stay, at least [default: the table's history.expire.min-snapshots-to-keep, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    retain_last: Option<u32>,
    /// Exactly this snapshot, whatever its age; may be given several times
    #[arg(long, value_name = "SNAPSHOT", conflicts_with_all = ["older_than", "retain_last"])]
    snapshot: Vec<i64>,
    /// Print what would go, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Expires, or prints what would go.
pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let (_session, catalog, id) = arguments.which.find(global).await?;
    let table = super::super::load(&catalog, &id).await?;
    let rules = ExpireRules {
        older_than_ms: arguments.older_than.map(before),
        retain_last: arguments.retain_last.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        ids: arguments.snapshot.clone(),
        dry_run: arguments.dry_run,
        ..ExpireRules::default()
    };
    status_line::show();
    status_line::set("reading what the snapshots refer to".to_owned());
    let done = carry_out(&catalog, &id, &table, &rules).await;
    status_line::clear();
    show(&done?, &table, arguments.dry_run)
}

/// Milliseconds since 1970, so long ago.
fn before(age: Duration) -> i64 {
    Utc::now().timestamp_millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Expires, after what was cut off before is finished.
pub(crate) async fn carry_out(catalog: &Arc<dyn LakeCatalog>, id: &TableId, table: &LakeTable, rules: &ExpireRules) -> Result<Expired, Failure> {
    let journal = Journal::new(catalog, table, Keeper::Command);
    if !rules.dry_run {
        journal.recover(now()).await.map_err(|error| Failure::of(&error))?;
    }
    let done = TableCommitter::of(catalog, id).expire(rules, &journal).await.map_err(|error| Failure::of(&error))?;
    for reader in &done.stale_readers {
        tracing::warn!("reader '{reader}' has not moved for a week and does not count any more");
    }
    Ok(done)
}

fn show(done: &Expired, table: &LakeTable, dry_run: bool) -> Result<(), Failure> {
    let mut printer = Printer::default();
    let what = if dry_run { "would go" } else { "gone" };
    if dry_run {
        let mut rows = vec![["snapshot", "committed", "operation"].map(str::to_owned)];
        rows.extend(done.snapshots.iter().filter_map(|id| table.metadata.snapshot_by_id(*id)).map(|snapshot| {
            let committed = Utc.timestamp_millis_opt(snapshot.timestamp_ms()).single().map(time).unwrap_or_default();
            [snapshot.snapshot_id().to_string(), committed, snapshot.summary().operation.as_str().to_owned()]
        }));
        if rows.len() > 1 {
            printer.table([false, false, false], &rows)?;
        }
    }
    let mut rows = vec![["files", "count", "bytes"].map(str::to_owned)];
    for (name, kind) in KINDS {
        let (count, bytes) = done.count(kind);
        if count > 0 {
            // The size of a manifest list stands nowhere.
            let bytes = if kind == GoneKind::ManifestList { String::new() } else { size(bytes, true) };
            rows.push([name.to_owned(), count.to_string(), bytes]);
        }
    }
    if rows.len() > 1 {
        printer.table([false, true, true], &rows)?;
    }
    printer.line(&format!("{} snapshots {what}, {} files", done.snapshots.len(), done.files.len()))?;
    printer.flush()
}

const KINDS: [(&str, GoneKind); 6] = [
    ("data", GoneKind::Data),
    ("position deletes", GoneKind::PositionDeletes),
    ("equality deletes", GoneKind::EqualityDeletes),
    ("manifests", GoneKind::Manifest),
    ("manifest lists", GoneKind::ManifestList),
    ("statistics", GoneKind::Statistics),
];
