//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_base::options::{parse_duration, parse_memory_size};

use crate::commands::dlq::Dlq;
use crate::commands::table::Table;
use crate::fs_command::Fs;

/// Weir takes streams into lake tables: Flink-style SQL from Kafka to Iceberg, exactly once, in one process.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) global: Global,
}

const AFTER_HELP: &str = "\
Start here:
  weir quickstart                            see it work, with a kill in the middle; needs nothing
  weir explain job.sql                       check a job file and show what would run
  weir run job.sql                           run it until its sources end or you press ctrl-C
  weir sql --init job.sql -e 'SELECT …'      query the tables that the job writes
  weir verify --init job.sql lake.db.table   prove from metadata that nothing is lost or doubled
  weir table compact --init job.sql lake.db.table   make large files of many small ones
  weir fs cp -r hdfs://a/x s3://b/x          copy between any two file systems; `weir fs --help` has more

Exit codes: 0 done or stopped, 2 usage or SQL, 3 data or configuration, 4 gave up on a server, 5 fenced by a newer process,
6 stored data is wrong, 70 a defect; `weir fs` has its own.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  weir verify --init job.sql lake.db.t                     is everything there, once?
  weir verify --init job.sql lake.db.t --deep              and do the files hold what the manifests say?
  weir verify --init job.sql lake.db.t --sum amount        have the newest rewrites changed anything?
  weir verify --init job.sql lake.db.t --sum amount --at 8270633197658268308 --at monthly";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Memory the engine may hold, such as `2gb`. Default: half of the machine's or the control group's
    #[arg(long, global = true, value_parser = memory, value_name = "SIZE")]
    pub(crate) memory: Option<u64>,

    /// Settings that hold unless SET says otherwise, as TOML [default: `weir.toml` in the working directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,weir_fs=debug`
    #[arg(long, global = true, env = "WEIR_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job file until its sources end or it is told to stop
    #[command(
        long_about = "Run a job file: SET, CREATE and INSERT statements. All INSERTs are one job. SIGTERM and ctrl-C finish the epoch, commit and \
                            end with 0; a second one stops at once, and one that takes longer than --stop-timeout ends with 4. Started again, the job \
                            goes on where it was."
    )]
    Run(Run),
    /// Run statements and queries, or a prompt
    Sql(Sql),
    /// Check a job file and show what would run; changes nothing
    Explain(Explain),
    /// Prove from a table's metadata that nothing is lost or doubled
    #[command(
        long_about = "Prove from a table's metadata that nothing is lost or doubled: offsets of each job are contiguous, sequence numbers rise, no file is \
                            referenced twice, no rewrite has changed the number of rows, and every file is there with its recorded size. --deep reads \
                            footers, --sum reads rows.",
        after_help = VERIFY_EXAMPLES
    )]
    Verify(Verify),
    /// Look at a table's files and make small ones large
    Table(Table),
    /// Look at messages that could not be read, and send them back
    Dlq(Dlq),
    /// Work with files: list, copy, move, delete, on any file system and between any two
    Fs(Fs),
    /// See it work: Kafka to Iceberg with kills in the middle, on an embedded broker
    Quickstart(Quickstart),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) period: Period,
    /// Address of /metrics, /status and /healthz [default: 127.0.0.1 and a free port]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// Accept a table that carries another job's marker for the same source (after a job was renamed on purpose)
    #[arg(long)]
    pub(crate) confirm_shared_source: bool,
    /// How long the stop after SIGTERM or ctrl-C may take, such as `25s`; a job that needs longer ends with 4, and its next start goes on [default: 9s]
    #[arg(long, value_parser = duration, env = "WEIR_STOP_TIMEOUT", value_name = "DURATION")]
    pub(crate) stop_timeout: Option<Duration>,
}

/// What a job reads of its logical tables.
#[derive(Debug, Args)]
pub(crate) struct Period {
    /// Read the streams of logical tables, or run once over their batch sides, as a job of its own [default: streaming]
    #[arg(long, value_enum)]
    mode: Option<RunMode>,
    /// Take rows of logical tables from this time on, such as `2026-01-31` or `2026-01-31 12:00:00`
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Take rows of logical tables before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Period {
    /// The settings that it stands for; they win over those of the file.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mode = self.mode.map(|mode| match mode {
            RunMode::Streaming => "STREAMING",
            RunMode::Batch => "BATCH",
        });
        let given = [("execution.runtime-mode", mode), ("execution.period.from", self.from.as_deref()), ("execution.period.to", self.to.as_deref())];
        given.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}

/// Which side of logical tables a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunMode {
    /// The streams, as they come.
    Streaming,
    /// The tables, once.
    Batch,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// Take CREATE, SET and USE statements from this file first; its INSERTs are left out and nothing is created in a lake
    #[arg(long, value_name = "FILE")]
    pub(crate) init: Vec<PathBuf>,
    /// Statements to run; without -e and -f they are read from standard input
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    pub(crate) execute: Vec<String>,
    /// A file of statements to run
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// How results look
    #[arg(long, value_enum, default_value_t = ResultFormat::Table)]
    pub(crate) format: ResultFormat,
}

/// Form of query results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a row.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The job file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) period: Period,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The table, as `catalog.database.table`, or the name of a declared one with 'connector' = 'iceberg'
    pub(crate) table: String,
    /// Take CREATE, SET and USE statements from this file first
    #[arg(long, value_name = "FILE")]
    pub(crate) init: Vec<PathBuf>,
    /// Ask for no data file: not even whether it is there
    #[arg(long, conflicts_with = "deep")]
    pub(crate) metadata_only: bool,
    /// Read the footer of every data file too: rows, bounds and nulls must be those of the manifests; where a footer does not tell, pages are read
    #[arg(long)]
    pub(crate) deep: bool,
    /// Print the sum of a column of numbers, and compare it before and after rewrites; may be given several times
    #[arg(long, value_name = "COLUMN")]
    pub(crate) sum: Vec<String>,
    /// Print the sums of this snapshot too: its id, or the name of a branch or tag; may be given several times
    #[arg(long, value_name = "SNAPSHOT", requires = "sum")]
    pub(crate) at: Vec<String>,
    /// Rewrites, from the newest on, of which sums before and after are compared
    #[arg(long, value_name = "N", requires = "sum", default_value_t = 3)]
    pub(crate) rewrites: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Where the job file, the catalog and the warehouse go; an earlier quick start there is replaced
    #[arg(long, default_value = "weir-quickstart", value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
    /// Orders to send
    #[arg(long, default_value_t = 600_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub(crate) rows: u64,
    /// Times to kill the job
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(crate) kills: u32,
}

/// A size such as `512mb`, more than nothing.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_memory_size(text).filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 512mb or 2gb".to_owned())
}

/// A length of time with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = parse_duration(text).filter(|(_, without_unit)| !without_unit);
    parsed.map(|(duration, _)| duration).ok_or_else(|| "expected a length of time such as 25s or '2 min'".to_owned())
}

fn memory(text: &str) -> Result<u64, String> {
    match parse_memory_size(text) {
        Some(bytes) if bytes >= 64 << 20 => Ok(bytes),
        Some(_) => Err("the least is 64mb".to_owned()),
        None => Err("expected a size such as 512mb or 2gb".to_owned()),
    }
}
