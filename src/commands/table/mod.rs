//! `weir table`: a table's files, and their upkeep.

mod compact;
mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use weir_catalog::lake::{LakeCatalog, TableId};
use weir_compaction::LiveTable;
use weir_compaction::policy::Options;
use weir_fs::FileSystems;

use crate::cli::{Global, size};
use crate::failure::Failure;

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
    Compact(Compact),
    /// Show the sizes of a table's files by partition
    Files(Files),
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
    /// Files that are made one at least, unless they fill a file or carry deletes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    min_input_files: u32,
    /// Bytes to rewrite at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_bytes: Option<u64>,
    /// Groups of files that are rewritten at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    parallelism: u32,
    /// Snapshots that are made at most
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
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
    }
}

/// A table that was found.
struct Found {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    live: LiveTable,
    options: Options,
}

impl Found {
    async fn open(global: &Global, which: &Which) -> Result<Self, Failure> {
        let mut session = super::session(global, &super::budget(global), FileSystems::default(), None, None)?;
        super::init(&mut session, &which.init).await?;
        let (catalog, id) = session.lake_table(&which.table).map_err(|error| {
            let failure = super::sql_failure(&error);
            let hint = "Give the file that names its catalog with --init.";
            if which.init.is_empty() { Failure::usage(format!("{}\n  Hint: {hint}", failure.message)) } else { failure }
        })?;
        let table = catalog.load(&id).await.map_err(|error| Failure::of(&error))?;
        let live = LiveTable::load(table, which.branch.as_deref()).await.map_err(|error| Failure::of(&error))?;
        let mut options = Options::of(live.table.metadata.properties());
        options.target_bytes = which.target_size.unwrap_or(options.target_bytes);
        Ok(Self { catalog, id, live, options })
    }
}

impl Which {
    fn wants(&self, partition: &str) -> bool {
        self.partition.as_ref().is_none_or(|wanted| partition.starts_with(wanted.as_str()))
    }
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
