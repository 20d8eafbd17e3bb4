//! `fs`: what the stores of HDFS and S3 move with a second of CPU, beside the plain client of each in the same run.
//!
//! The plain clients are Hadoop's shell (`hdfs dfs -put`, `-get`, its JVM as it comes) and boto3. Ours is this program again as a child that
//! copies between the local disk and the store by the requests with which data files are written and objects read. Either is a process of its
//! own, its start included, on the same files; neither flushes local files to the disk. The two run in turn, pair by pair, every other
//! pair in reverse; the figure to believe is the median of the pairs' ratios. `make bench` runs it; `--help` lists the options.

#[path = "../support/child.rs"]
mod child;
mod name_node;
mod ours;
mod plain;
#[path = "../support/print.rs"]
mod print;
mod report;
#[path = "../support/servers.rs"]
mod servers;
mod side;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use print::line;
use report::Figures;
use servers::Servers;
use side::{Direction, Load, Side};

/// Benchmark of the stores: HDFS and S3 beside their plain clients.
#[derive(Debug, Parser)]
struct Arguments {
    /// Pairs of runs (plain client, ours) for each store, size and direction
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Sizes of files in MiB
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    sizes: Vec<u64>,
    /// MiB in all of a run
    #[arg(long, default_value_t = 256)]
    total: u64,
    /// Files of at most 8 MiB on their way at the same time; bigger ones go one by one
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// Ranges of 64 KiB read from a file of the greatest size
    #[arg(long, default_value_t = 1_000)]
    ranges: usize,
    /// The stores
    #[arg(long, value_delimiter = ',', default_value = "hdfs,s3")]
    stores: Vec<String>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: do this task and print what it took
    #[arg(long, hide = true)]
    ours: Option<String>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.ours {
        Some(task) => ours::perform(task),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("fs: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let names: Vec<&str> = arguments.stores.iter().map(String::as_str).collect();
    let servers = Servers::start(&names, scratch.path())?;
    line(&format!(
        "{} pairs, {} MiB a run; files of up to 8 MiB {} at once, bigger ones one by one",
        arguments.pairs, arguments.total, arguments.at_once
    ));
    for name in names {
        let side = Side::try_new(name, &servers.addresses(name)?)?;
        for size in &arguments.sizes {
            let load = Load::make(scratch.path(), *size, (arguments.total / size).max(1), if *size <= 8 { arguments.at_once } else { 1 })?;
            line(&format!("\n{name}: {} files of {size} MiB", load.files));
            for direction in [Direction::Put, Direction::Get] {
                compare(&side, direction, &load, arguments.pairs)?;
            }
            if Some(size) == arguments.sizes.iter().max() {
                ranges(&side, &load, arguments)?;
            }
            load.remove()?;
        }
    }
    Ok(())
}

/// Runs both clients in turn and prints what they used. The files that our last put left are there for the gets.
fn compare(side: &Side, direction: Direction, load: &Load, pairs: usize) -> Outcome<()> {
    let (plain, ours) = (|| side.plain(direction, load), || side.ours(direction, load));
    let mut all: Vec<(Figures, Figures)> = Vec::with_capacity(pairs);
    for number in 1..=pairs {
        all.push(if number % 2 == 1 {
            let plain = plain()?;
            (plain, ours()?)
        } else {
            let ours = ours()?;
            (plain()?, ours)
        });
    }
    report::summary(direction.as_str(), &all);
    Ok(())
}

fn ranges(side: &Side, load: &Load, arguments: &Arguments) -> Outcome<()> {
    let runs = (0..arguments.pairs).map(|_| side.ranges(load, arguments.ranges)).collect::<Outcome<Vec<_>>>()?;
    report::ranges(arguments.ranges, &runs);
    Ok(())
}

/// Whether two folders hold the same files.
fn same(one: &Path, other: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(one)? {
        let path = entry?.path();
        let copy = other.join(path.file_name().unwrap_or_default());
        if std::fs::read(&path)? != std::fs::read(copy)? {
            return Ok(false);
        }
    }
    Ok(true)
}
