//! `weir table`: a table's files, and their upkeep.

mod cherry_pick;
pub(super) mod compact;
mod compact_progress;
pub(super) mod expire;
mod files;
pub(super) mod manifests;
pub(super) mod orphans;
pub(super) mod rollback;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use weir_base::options::parse_duration;
use weir_catalog::lake::{LakeCatalog, TableId};
use weir_compaction::LiveTable;
use weir_compaction::policy::Options;
use weir_fs::FileSystems;
use weir_sql::Session;

use crate::cli::{Global, size};
use crate::failure::Failure;

/// Defaults of `compact`, by hand and by CALL.
const MIN_INPUT_FILES: u32 = 5;
const PARALLELISM: u32 = 2;
const COMMITS: u32 = 10;

/// Look at a table's files and make small ones large.
#[derive(Debug, Args)]
pub(crate) struct Table {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make large files of many small ones, while jobs go on writing
    #[command(
        long_about = "Make large files of many small ones. Row groups are copied where that is enough, and rows decoded and written where files have \
                            settled or carry deletes. Each commit is a replace that changes no row; appends of jobs go through meanwhile, \
                            and what others have changed is given way to and tried again."
    )]
    #[command(after_help = compact::EXAMPLES)]
    Compact(Compact),
    /// Show the sizes of a table's files by partition
    #[command(after_help = files::EXAMPLES)]
    Files(Files),
    /// Set a branch back to an earlier snapshot
    #[command(long_about = rollback::ABOUT, after_help = rollback::EXAMPLES)]
    Rollback(rollback::Arguments),
    /// Bring an append of another branch, or a staged one, onto a branch
    #[command(long_about = cherry_pick::ABOUT, after_help = cherry_pick::EXAMPLES)]
    CherryPick(cherry_pick::Arguments),
    /// Expire old snapshots, and delete the files that only they needed
    #[command(long_about = expire::ABOUT, after_help = expire::EXAMPLES)]
    Expire(expire::Arguments),
    /// Make fewer manifests of many small ones
    #[command(long_about = manifests::ABOUT, after_help = manifests::EXAMPLES)]
    RewriteManifests(manifests::Arguments),
    /// Find and delete files that nothing refers to, by listing the table's folders
    #[command(long_about = orphans::ABOUT, after_help = orphans::EXAMPLES)]
    RemoveOrphans(orphans::Arguments),
}

/// Which table, for what is about all of it.
#[derive(Debug, Args)]
struct Named {
    /// The table, as `catalog.database.table`, or the name of a declared one with 'connector' = 'iceberg'
    table: String,
    /// Take CREATE, SET and USE statements from this file first
    #[arg(long, value_name = "FILE")]
    init: Vec<PathBuf>,
}

impl Named {
    /// The table as it was written, with the files that it needs, for a command that is suggested.
    fn written(&self) -> String {
        let files = self.init.iter().map(|file| format!("--init {} ", file.display()));
        format!("{}{}", files.collect::<String>(), self.table)
    }

    /// The session after the files, and the table's place in it.
    async fn find(&self, global: &Global) -> Result<(Session, Arc<dyn LakeCatalog>, TableId), Failure> {
        let mut session = super::session(global, &super::budget(global), FileSystems::default(), self.init.first().cloned(), None)?;
        super::init(&mut session, &self.init).await?;
        let (catalog, id) = super::lake_table(&session, &self.table, &self.init).await?;
        Ok((session, catalog, id))
    }
}

/// Which table.
#[derive(Debug, Args)]
struct Which {
    /// The table, as `catalog.database.table`, or the name of a declared one with 'connector' = 'iceberg'
    table: String,
    /// Take CREATE, SET and USE statements from this file first
    #[arg(long, value_name = "FILE")]
    init: Vec<PathBuf>,
    /// The branch
    #[arg(long)]
    branch: Option<String>,
    /// Size that files shall have [default: the table's write.target-file-size-bytes]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    target_size: Option<u64>,
    /// Only partitions whose name begins so, such as `ts_day=2026-11-21`
    #[arg(long, value_name = "PREFIX")]
    partition: Option<String>,
}

#[derive(Debug, Args)]
struct Compact {
    #[command(flatten)]
    which: Which,
    /// Only files that may hold rows for which this is true, by partitions and column statistics, such as `ts >= DATE '2026-11-21'`
    #[arg(long = "where", value_name = "PREDICATE")]
    filter: Option<String>,
    /// Files that are made one at least, unless they fill a file or carry deletes
    #[arg(long, default_value_t = MIN_INPUT_FILES, value_parser = clap::value_parser!(u32).range(2..))]
    min_input_files: u32,
    /// Bytes to rewrite at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_bytes: Option<u64>,
    /// Groups of files that are rewritten at the same time
    #[arg(long, default_value_t = PARALLELISM, value_parser = clap::value_parser!(u32).range(1..=256))]
    parallelism: u32,
    /// Snapshots that are made at most
    #[arg(long, default_value_t = COMMITS, value_parser = clap::value_parser!(u32).range(1..))]
    commits: u32,
    /// Take all partitions for settled: decode and write what is small or was copied
    #[arg(long)]
    settle: bool,
    /// Rewrite every file that carries deletes, not only those that have lost a tenth of their rows
    #[arg(long)]
    apply_deletes: bool,
    /// Order of the rows that are written anew, such as `ts DESC NULLS LAST, user_id`, or `table` [default: the table's own order, if it has one]
    #[arg(long, value_name = "COLUMNS")]
    sort: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Files {
    #[command(flatten)]
    which: Which,
}

/// Runs a command of `weir table`.
pub(crate) async fn run(global: &Global, arguments: &Table) -> Result<(), Failure> {
    match &arguments.command {
        Command::Compact(arguments) => compact::run(global, arguments).await,
        Command::Files(arguments) => files::run(global, arguments).await,
        Command::Rollback(arguments) => rollback::run(global, arguments).await,
        Command::Expire(arguments) => expire::run(global, arguments).await,
        Command::CherryPick(arguments) => cherry_pick::run(global, arguments).await,
        Command::RewriteManifests(arguments) => manifests::run(global, arguments).await,
        Command::RemoveOrphans(arguments) => Box::pin(orphans::run(global, arguments)).await,
    }
}

/// A table that was found.
struct Found {
    /// Not held inline: futures that hold what was found stay small.
    session: Box<Session>,
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    live: LiveTable,
    options: Options,
}

impl Found {
    /// To be looked at alone: other than for a rewrite, a table of any format version will do.
    async fn open(global: &Global, which: &Which, looks: bool) -> Result<Self, Failure> {
        let mut session = super::session(global, &super::budget(global), FileSystems::default(), None, None)?;
        super::init(&mut session, &which.init).await?;
        let (catalog, id) = super::lake_table(&session, &which.table, &which.init).await?;
        let table = super::load(&catalog, &id).await?;
        let branch = which.branch.as_deref();
        let live = if looks { LiveTable::read(table, branch).await } else { LiveTable::load(table, branch).await };
        let live = live.map_err(|error| Failure::of(&error))?;
        which.partition.iter().try_for_each(|wanted| live.check_partition(wanted)).map_err(|error| Failure::of(&error))?;
        let mut options = Options::of(live.table.metadata.properties());
        options.target_bytes = which.target_size.unwrap_or(options.target_bytes);
        Ok(Self { session: Box::new(session), catalog, id, live, options })
    }
}

impl Which {
    fn wants(&self, partition: &str) -> bool {
        self.partition.as_ref().is_none_or(|wanted| partition.starts_with(wanted.as_str()))
    }
}

/// A length of time with its unit.
fn age(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|(_, without_unit)| !without_unit)
        .map(|(age, _)| age)
        .ok_or_else(|| "expected an age such as 3d or '36 h'".to_owned())
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
