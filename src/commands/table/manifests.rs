//! `weir table rewrite-manifests`: small manifests made fewer, overlarge ones cut.

use std::sync::Arc;

use clap::Args;
use weir_catalog::commit::{RewriteManifests, RewrittenManifests, TableCommitter};
use weir_catalog::upkeep::{Journal, Keeper};
use weir_catalog::{LakeCatalog, LakeTable, TableId};

use super::{Named, now};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::line;

pub(super) const ABOUT: &str = "Write the small manifests of a branch anew as fewer ones, and overlarge ones as several, by partition: queries then plan faster. The \
                                snapshot that it makes changes no file. Commits of Weir keep manifests few by themselves; this is for \
                                tables that others write.";

pub(super) const EXAMPLES: &str = "\
Example:
  weir table rewrite-manifests --init job.sql lake.db.t";

/// Small manifests, at least, that are worth it, unless another number is given.
pub(crate) const MIN_COUNT: u32 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Named,
    /// The branch [default: main]
    #[arg(long)]
    branch: Option<String>,
    /// Small manifests, at least, that are worth it
    #[arg(long, default_value_t = MIN_COUNT, value_parser = clap::value_parser!(u32).range(2..))]
    min_count: u32,
}

/// Writes them.
pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let (_session, catalog, id) = arguments.which.find(global).await?;
    let table = super::super::load(&catalog, &id).await?;
    let wanted = RewriteManifests { branch: arguments.branch.clone(), min_count: usize::try_from(arguments.min_count).unwrap_or(usize::MAX) };
    match carry_out(&catalog, &id, &table, &wanted).await? {
        Some(RewrittenManifests { snapshot_id, before, after, .. }) => {
            line(&format!("snapshot {snapshot_id}: {before} manifests of data before, {after} now"))
        }
        None => line("nothing to do: there are not enough small manifests, and none is overlarge"),
    }
}

/// Writes them, after what earlier commands have left is settled; `None`: nothing was worth it.
pub(crate) async fn carry_out(
    catalog: &Arc<dyn LakeCatalog>,
    id: &TableId,
    table: &LakeTable,
    wanted: &RewriteManifests,
) -> Result<Option<RewrittenManifests>, Failure> {
    let journal = Journal::new(catalog, table, Keeper::Command);
    journal.recover(now()).await.map_err(|error| Failure::of(&error))?;
    TableCommitter::of(catalog, id).rewrite_manifests(wanted, &journal).await.map_err(|error| Failure::of(&error))
}
