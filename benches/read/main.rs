//! `read`: queries over Iceberg tables by Weir, beside DuckDB and PyIceberg on the same Parquet files in the same run.
//!
//! The tables are made by `weir run`, the same rows each time. Each engine is a process of its own for each query, warmed up before it is
//! measured, and measured from outside by the same means for all: CPU time, bytes read and peak memory are what the kernel says of the
//! process. The engines take turns, every other round in reverse; a short query is repeated until there is something to measure. What all of
//! them do is the whole statement, from its text or its builder to the last batch of Arrow arrays, which is dropped. DuckDB's own vectors
//! are not Arrow's; `DuckDB inside` is the same query under EXPLAIN ANALYZE, which drops rows before they are turned into Arrow. `make
//! bench-read` runs it; `--help` lists the options.

mod cases;
mod engines;
mod ours;
#[path = "../support/print.rs"]
mod print;
mod process;
mod report;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cases::Case;
use clap::Parser;
use engines::Engine;
use print::line;
use process::{Figures, Process};
use tables::Tables;

/// Benchmark of queries over Iceberg tables.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds in which every engine is measured once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rows of the table with a struct, a list and a map
    #[arg(long, default_value_t = 1_000_000)]
    nested: u64,
    /// Rows of the table of ten plain columns
    #[arg(long, default_value_t = 3_000_000)]
    flat: u64,
    /// Milliseconds for which a short query is repeated in each round
    #[arg(long, default_value_t = 500)]
    at_least: u64,
    /// Only cases with this in their name
    #[arg(long, default_value = "")]
    cases: String,
    /// A folder for the tables, which are kept there and used again
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The binary that makes the tables
    #[arg(long, default_value = env!("CARGO_BIN_EXE_weir"))]
    weir: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: run this query whenever a line comes
    #[arg(long, hide = true)]
    ours: Option<String>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.ours {
        Some(task) => ours::serve(task),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("read: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let folder = arguments.folder.as_deref().unwrap_or(scratch.path());
    let tables = Tables::make(folder, &arguments.weir, arguments.nested, arguments.flat)?;
    let engines = Engine::all()?;
    line(&format!(
        "{} rounds; nested: {} rows, {} MB; flat: {} rows, {} MB",
        arguments.rounds,
        tables.nested.rows,
        tables.nested.bytes / 1_000_000,
        tables.flat.rows,
        tables.flat.bytes / 1_000_000
    ));
    for case in cases::all().filter(|case| case.name.contains(&arguments.cases)) {
        compare(arguments, &case, &engines, &tables)?;
    }
    Ok(())
}

/// Measures every engine on one query, in turns.
fn compare(arguments: &Arguments, case: &Case, engines: &[Engine], tables: &Tables) -> Outcome<()> {
    let at_least = Duration::from_millis(arguments.at_least);
    let mut processes = engines.iter().map(|engine| Process::start(engine.command(case, tables)?, at_least)).collect::<Outcome<Vec<_>>>()?;
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); engines.len()];
    for round in 0..arguments.rounds {
        let mut order: Vec<usize> = (0..engines.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            rounds[index].push(processes[index].measure()?);
        }
    }
    let results: Vec<(&Engine, Vec<Figures>)> = engines.iter().zip(rounds).collect();
    report::case(case, tables.of(case.table).rows, &results)
}
