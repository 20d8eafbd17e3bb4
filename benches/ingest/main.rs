//! `ingest`: JSON from a real Kafka into Parquet (zstd) of an Iceberg table, beside the same road by hand in the same run.
//!
//! By hand means drain, decode, encode in one process with two threads and nothing else: no plan, no epochs, no checkpoint, no commit.
//! The engine is the built `weir` binary as its own process. Both run in turn, pair by pair, because machines are noisy; the figure to
//! believe is the median of the pairs' ratios. `make bench` runs it; `--help` lists the options.

mod by_hand;
#[path = "../support/datasets.rs"]
#[expect(dead_code, clippy::expect_used, reason = "shared with other benchmarks; a benchmark stops at the first surprise")]
mod datasets;
mod engine;
mod measure;
mod report;
mod topic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use datasets::Dataset;
use measure::Figures;

/// Benchmark of the main road: Kafka JSON to Iceberg Parquet.
#[derive(Debug, Parser)]
struct Arguments {
    /// Pairs of runs (by hand, engine) for each data set
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Rows of about 200 bytes, 8 columns
    #[arg(long, default_value_t = 2_000_000)]
    small: u64,
    /// Rows of about 1 KB, 40 columns
    #[arg(long, default_value_t = 300_000)]
    wide: u64,
    /// Seconds between commits
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Also compare commits of 1 s with the interval above, in as many pairs
    #[arg(long)]
    epochs: bool,
    /// Brokers to use; without it a Kafka is started by scripts/servers
    #[arg(long)]
    brokers: Option<String>,
    /// The binary to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_weir"))]
    weir: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: read this topic by hand into this file
    #[arg(long, hide = true, num_args = 2)]
    by_hand: Option<Vec<String>>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(&format!("ingest: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn run(arguments: &Arguments) -> Outcome<()> {
    if let (Some([name, file]), Some(brokers)) = (arguments.by_hand.as_deref(), &arguments.brokers) {
        let set = Dataset::ALL.into_iter().find(|set| set.name() == name).ok_or("no such data set")?;
        return by_hand::run(brokers, set, Path::new(file));
    }
    let scratch = tempfile::tempdir()?;
    let kafka = topic::Kafka::start(arguments.brokers.clone(), scratch.path())?;
    report::line(&format!("{} pairs, commits every {} s, 4 partitions, lz4 on the wire, zstd 1 in Parquet", arguments.pairs, arguments.interval));
    for set in Dataset::ALL {
        let rows = if set == Dataset::Small { arguments.small } else { arguments.wide };
        if rows == 0 {
            continue;
        }
        let bytes = kafka.fill(set, rows)?;
        report::line(&format!("\n{}: {rows} rows of {} bytes, {} columns", set.name(), bytes / rows, set.schema().fields().len()));
        let engine = |interval: u64| engine::measured(&arguments.weir, kafka.brokers(), set, rows, interval, scratch.path());
        let mut pairs: Vec<(Figures, Figures)> = Vec::new();
        for number in 1..=arguments.pairs {
            let pair = (by_hand::measured(kafka.brokers(), set, rows, scratch.path())?, engine(arguments.interval)?);
            report::pair(number, ["by hand", "engine"], &pair, bytes);
            pairs.push(pair);
        }
        report::summary(["by hand", "engine"], &pairs, bytes);
        if arguments.epochs {
            let names = [format!("{} s", arguments.interval), "1 s".to_owned()];
            let names = [names[0].as_str(), names[1].as_str()];
            let mut pairs = Vec::new();
            for number in 1..=arguments.pairs {
                let pair = (engine(arguments.interval)?, engine(1)?);
                report::pair(number, names, &pair, bytes);
                pairs.push(pair);
            }
            report::summary(names, &pairs, bytes);
        }
    }
    Ok(())
}
