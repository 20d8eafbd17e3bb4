//! `ingest`: JSON from a real Kafka into Parquet (zstd) of an Iceberg table, beside the same road by hand in the same run.
//!
//! By hand means drain, decode, encode in one process with two threads and nothing else: no plan, no epochs, no checkpoint, no commit.
//! The engine is the built `weir` binary as its own process. Two roads run in turn, pair by pair, because machines are noisy, every other
//! pair in reverse; the figure to believe is the median of the pairs' ratios. `make bench` runs it; `--help` lists the options.

mod by_hand;
#[path = "../support/child.rs"]
mod child;
#[path = "../support/datasets.rs"]
#[expect(dead_code, clippy::expect_used, reason = "shared with other benchmarks; a benchmark stops at the first surprise")]
mod datasets;
mod engine;
mod measure;
#[path = "../support/print.rs"]
mod print;
mod report;
#[path = "../support/servers.rs"]
mod servers;
mod topic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use datasets::Dataset;
use engine::Job;
use measure::Figures;
use topic::{Kafka, Topic};

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
    #[arg(long, default_value_t = 600_000)]
    wide: u64,
    /// Seconds between commits
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Also compare commits of 1 s with the interval above, in as many pairs
    #[arg(long)]
    epochs: bool,
    /// Small rows of that comparison: a run must last for several of the longer intervals to say anything
    #[arg(long, default_value_t = 10_000_000)]
    epoch_rows: u64,
    /// Also compare a table partitioned by a column and by days with one that is not, in as many pairs of small rows
    #[arg(long)]
    partitioned: bool,
    /// Brokers to use, with topics of an earlier run if they hold as many rows; without it a Kafka is started by scripts/servers
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
            print::line(&format!("ingest: {error}"));
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
    let bench = Bench { arguments, kafka: Kafka::start(arguments.brokers.clone(), scratch.path())?, scratch: scratch.path() };
    print::line(&format!("{} pairs, commits every {} s, 4 partitions, lz4 on the wire, zstd 1 in Parquet", arguments.pairs, arguments.interval));
    for (set, rows) in [(Dataset::Small, arguments.small), (Dataset::Wide, arguments.wide)] {
        if rows > 0 {
            let topic = bench.topic(set, rows, "")?;
            bench.compare(["by hand", "engine"], &topic, [&|| bench.by_hand(&topic), &|| bench.engine(&topic, arguments.interval, false)])?;
            if arguments.partitioned && set == Dataset::Small {
                let road = |partitioned| bench.engine(&topic, arguments.interval, partitioned);
                bench.compare(["whole", "partitioned"], &topic, [&|| road(false), &|| road(true)])?;
            }
        }
    }
    if arguments.epochs {
        let topic = bench.topic(Dataset::Small, arguments.epoch_rows, "-epochs")?;
        let road = |interval| bench.engine(&topic, interval, false);
        bench.compare([&format!("{} s", arguments.interval), "1 s"], &topic, [&|| road(arguments.interval), &|| road(1)])?;
    }
    Ok(())
}

/// What all comparisons share.
struct Bench<'a> {
    arguments: &'a Arguments,
    kafka: Kafka,
    scratch: &'a Path,
}

impl Bench<'_> {
    fn topic(&self, set: Dataset, rows: u64, suffix: &str) -> Outcome<Topic> {
        let topic = self.kafka.fill(set, rows, suffix)?;
        print::line(&format!("\n{}: {rows} rows of {} bytes, {} columns", set.name(), topic.bytes / rows.max(1), set.schema().fields().len()));
        Ok(topic)
    }

    fn by_hand(&self, topic: &Topic) -> Outcome<Figures> {
        by_hand::measured(self.kafka.brokers(), topic, self.scratch)
    }

    fn engine(&self, topic: &Topic, interval: u64, partitioned: bool) -> Outcome<Figures> {
        engine::measured(&self.arguments.weir, self.kafka.brokers(), &Job { topic, interval, partitioned }, self.scratch)
    }

    /// Runs both roads in turn and prints what they used.
    fn compare(&self, names: [&str; 2], topic: &Topic, [first, second]: [&dyn Fn() -> Outcome<Figures>; 2]) -> Outcome<()> {
        let mut pairs = Vec::with_capacity(self.arguments.pairs);
        for number in 1..=self.arguments.pairs {
            let pair = if number % 2 == 1 {
                let first = first()?;
                (first, second()?)
            } else {
                let second = second()?;
                (first()?, second)
            };
            report::pair(number, names, &pair, topic.bytes);
            pairs.push(pair);
        }
        report::summary(names, &pairs, topic.bytes);
        Ok(())
    }
}
