//! `upkeep`: what it costs a job to keep its table's files few, and how few they are, moment by moment.
//!
//! A producer fills a topic of four partitions of a real Kafka at half of the speed at which this machine takes rows from the same producer into a
//! table; a job commits them every second to a table of eight partitions: first without compaction, then with it. Every second the job is asked how
//! many files the table has. Freshness is the time from handing a row to the producer to the end of the commit that holds it. `--help` lists the
//! options.

mod feed;
mod job;
mod plot;
#[path = "../support/print.rs"]
#[expect(dead_code, reason = "shared with other benchmarks")]
mod print;
mod report;
#[path = "../support/servers.rs"]
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use print::line;

/// Benchmark of compaction inside a job.
#[derive(Debug, Parser)]
struct Arguments {
    /// Length of the run with compaction
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// Seconds of the run without it
    #[arg(long, default_value_t = 180)]
    alone: u64,
    /// Rows a second; without it half of what the machine can do, which is measured first
    #[arg(long)]
    rate: Option<u64>,
    /// Size of files
    #[arg(long, default_value = "512 mb")]
    target: String,
    /// Where to write a plot of files and debt, as SVG
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The first minute is left out of what is promised of every moment.
const WARM_UP: Duration = Duration::from_secs(60);
/// How long the speed of the machine is measured.
const CALIBRATION: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("upkeep: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let servers = servers::Servers::start(&["kafka"], scratch.path())?;
    let brokers = servers.addresses("kafka")?["bootstrap"].as_str().ok_or("no address of kafka")?.to_owned();
    let run = |name: &str, compact: bool, rate: Option<u64>, time: Duration| {
        job::run(&job::Plan { name, brokers: &brokers, folder: &scratch.path().join(name), compact, target: &arguments.target, rate, time })
    };
    line(&format!("load of the machine before: {}", report::load()?));
    let rate = match arguments.rate {
        Some(rate) => rate,
        None => {
            let fastest = run("fastest", false, None, CALIBRATION)?;
            let speed = fastest.rows_per_second();
            line(&format!("producer, broker and job together: {speed:.0} rows a second; half of it from here on"));
            (speed / 2.0) as u64
        }
    };
    let alone = run("alone", false, Some(rate), Duration::from_secs(arguments.alone))?;
    report::run("without compaction", &alone);
    let kept = run("compacted", true, Some(rate), Duration::from_secs(arguments.minutes * 60))?;
    report::run("with compaction", &kept);
    report::minutes(&kept);
    report::promises(&alone, &kept);
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::svg(&kept.samples))?;
    }
    line(&format!("load of the machine after: {}", report::load()?));
    Ok(())
}
