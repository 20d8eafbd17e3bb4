//! `freshness`: how long after a commit to one table its rows are with the job that follows the table, and in the table that this job writes.
//!
//! A generator fills the first table, a commit a second; a second job follows it. They run as two processes, which know of each other
//! by the catalog alone, and then as two INSERTs of one job, where the stream hears of the commits of its process. Times are those of the log
//! lines of the processes. Beside them, in the same run: what a commit of nothing costs on that catalog, and a look at the table after it.
//! `make bench` runs it; `--help` lists the options.

mod baseline;
#[path = "../support/child.rs"]
mod child;
mod jobs;
mod log;
#[path = "../support/print.rs"]
mod print;
mod report;

use std::process::ExitCode;

use clap::Parser;
use print::line;

/// Benchmark of chained jobs: from a commit to the rows in the next job and in its table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Commits of the first job
    #[arg(long, default_value_t = 200)]
    commits: u64,
    /// Time between them in milliseconds
    #[arg(long, default_value_t = 1_000)]
    interval: u64,
    /// Rows in a second
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// `monitor-interval` of the second job in milliseconds, when it is a process of its own
    #[arg(long, default_value_t = 100)]
    monitor: u64,
    /// Its checkpoint interval in milliseconds
    #[arg(long, default_value_t = 200)]
    checkpoint: u64,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("freshness: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let Arguments { commits, interval, rate, monitor, checkpoint, .. } = arguments;
    line(&format!("{commits} commits, one in {interval} ms, {rate} rows in a second; load of the machine before: {}", report::load()?));
    let scratch = tempfile::tempdir()?;
    let apart = scratch.path().join("apart");
    line(&format!("\ntwo processes; the second looks every {monitor} ms and makes a checkpoint every {checkpoint} ms"));
    report::show(&jobs::apart(arguments, &apart)?)?;
    line("\none process, two INSERTs of one job; 'monitor-interval' is 60 s");
    report::show(&jobs::together(arguments, &scratch.path().join("together"))?)?;
    line("\nthe catalog alone, on the table of the first run");
    report::bare(&baseline::measured(&apart)?);
    Ok(())
}
