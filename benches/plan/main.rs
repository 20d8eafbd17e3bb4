//! `plan`: how long it takes to find the files of a query over a table of many, and what memory it takes, beside the Iceberg crate's and
//! PyIceberg's `plan_files` in the same run.
//!
//! The table has no data: only its metadata is written, 1,000 manifests of 100 files, by day and bucket, with metrics of twelve columns. Each
//! engine is a process of its own for each query and round, and plans the query several times: the first time nothing is known (*cold*; the
//! files of the metadata may be in the system's page cache), after that as much as the engine keeps (*warm*, the median). `make bench` runs it;
//! `--help` lists the options.

mod crate_itself;
mod ours;
#[path = "../support/print.rs"]
mod print;
mod queries;
mod report;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use print::line;
use queries::QUERIES;
use report::Measured;
use table::Table;

/// Benchmark of planning.
#[derive(Debug, Parser)]
struct Arguments {
    /// Manifests of the table
    #[arg(long, default_value_t = 1_000)]
    manifests: usize,
    /// Files in each of them
    #[arg(long, default_value_t = 100)]
    files: usize,
    /// Rounds in which every engine plans every query
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rounds of PyIceberg, which takes long
    #[arg(long, default_value_t = 1)]
    pyiceberg: usize,
    /// A folder for the table, which is kept there and used again
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: be this engine
    #[arg(long, hide = true)]
    engine: Option<String>,
    /// Used by the benchmark itself: plan the query of this number
    #[arg(long, hide = true, default_value_t = 0)]
    query: usize,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Engines that are this program again.
const ENGINES: [&str; 3] = ["Weir, files", "Weir, statement", "iceberg crate"];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Box::pin(run(&arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("plan: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let folder = arguments.folder.as_deref().unwrap_or(scratch.path());
    let table = Table::new(folder)?;
    if let Some(engine) = &arguments.engine {
        let query = QUERIES.get(arguments.query).ok_or("no such query")?;
        let measured = match engine.as_str() {
            "Weir, files" => ours::files(&table, query).await?,
            "Weir, statement" => ours::statement(&table, query).await?,
            _ => Box::pin(crate_itself::files(&table, query)).await?,
        };
        line(&measured.to_line());
        return Ok(());
    }
    let made = Box::pin(table.make(arguments.manifests, arguments.files)).await?;
    line(&format!("{} files in {} manifests of {} MB; {} rounds", made.files, made.manifests, made.bytes / 1_000_000, arguments.rounds));
    for (number, query) in QUERIES.iter().enumerate() {
        let mut rounds: Vec<(&str, Vec<Measured>)> = ENGINES.iter().map(|engine| (*engine, Vec::new())).collect();
        for round in 0..arguments.rounds {
            let mut order: Vec<usize> = (0..ENGINES.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                if let Some((engine, all)) = rounds.get_mut(index) {
                    all.push(as_child(engine, number, folder)?);
                }
            }
        }
        let python: Outcome<Vec<Measured>> = (0..arguments.pyiceberg).map(|_| report::pyiceberg(&table, query)).collect();
        rounds.push(("PyIceberg", python?));
        report::query(query, &rounds)?;
    }
    Ok(())
}

fn as_child(engine: &str, query: usize, folder: &std::path::Path) -> Outcome<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--engine", engine, "--query", &query.to_string(), "--folder"]).arg(folder).output()?;
    if !output.status.success() {
        return Err(format!("{engine}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).into());
    }
    Measured::of_line(&String::from_utf8(output.stdout)?)
}
