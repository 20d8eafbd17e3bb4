//! `compact`: what compaction rewrites with a second of CPU, beside the same work by hand with the parquet crate in the same run.
//!
//! By hand is one thread over the files on the local disk: row groups appended to one file, or rows decoded and written with encodings that suit them; its
//! files are flushed to the disk as ours are. Ours is a run of compaction in a process of its own. *Rewriting* is what lies between the plan and the
//! commit, the same work as by hand; the *whole run* has the start, the reading of the table, the plan and the commit as well. The two sides run in turn,
//! pair by pair, every other pair in reverse; the figure to believe is the median of the pairs' ratios. Requests are those of the whole run.

mod by_hand;
#[path = "../support/child.rs"]
mod child;
mod ours;
#[path = "../support/print.rs"]
mod print;
mod spark;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use print::{line, spread};

/// Benchmark of compaction: copies and rewrites beside the same work by hand.
#[derive(Debug, Parser)]
struct Arguments {
    /// Files and their size in kB, such as `1000x1000`
    #[arg(long, value_delimiter = ',', default_value = "1000x1000,10000x100")]
    files: Vec<String>,
    /// Shapes of rows
    #[arg(long, value_enum, value_delimiter = ',', default_value = "narrow,wide")]
    shapes: Vec<Shape>,
    /// Ways to rewrite
    #[arg(long, value_enum, value_delimiter = ',', default_value = "copy,decode")]
    ways: Vec<Way>,
    /// Groups that are rewritten at the same time
    #[arg(long, default_value_t = 1)]
    parallelism: usize,
    /// Pairs of runs (by hand, ours)
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Has Spark compact the same tables once each (downloads some 400 MB at first use)
    #[arg(long)]
    spark: bool,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: do this task
    #[arg(long, hide = true, num_args = 3)]
    task: Option<Vec<String>>,
}

/// Rows of 7 columns, or of 40.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Narrow,
    Wide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    Copy,
    Decode,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.task.as_deref() {
        Some([who, way, folder]) => Way::from_str(way, false).map_err(Into::into).and_then(|way| perform(&arguments, who, way, Path::new(folder))),
        _ => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("compact: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &Arguments, who: &str, way: Way, folder: &Path) -> Outcome<()> {
    if who == "ours" { ours::run(folder, way, arguments.parallelism) } else { by_hand::run(folder, way) }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    line(
        "| files | rows | way | by hand: MB, M rows per CPU s | Weir, rewriting: MB, M rows per CPU s | ratio | ratio of the whole run | by the clock: MB/s by hand, \
         Weir | peak memory: by hand, Weir (its budget) | requests |",
    );
    line("|---|---|---|---|---|---|---|---|---|---|");
    for shape in &arguments.shapes {
        for files in &arguments.files {
            let (count, size) = files.split_once('x').ok_or("files are given as <files>x<kB>")?;
            let scratch = tempfile::tempdir()?;
            let made = table::fill(scratch.path(), *shape, count.parse()?, size.parse::<u64>()? * 1_000)?;
            for way in &arguments.ways {
                compare(arguments, scratch.path(), *shape, *way, &made)?;
            }
            if arguments.spark {
                spark::run(scratch.path(), *shape, &made)?;
            }
        }
    }
    Ok(())
}

/// What one run took.
struct Run {
    used: child::Used,
    /// What ours said.
    said: Said,
}

/// What a run of ours says of itself, in words apart by blanks.
#[derive(Default)]
struct Said {
    rewriting: f64,
    budget: u64,
    requests: String,
}

impl Said {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim().splitn(3, ' ');
        Some(Self { rewriting: words.next()?.parse().ok()?, budget: words.next()?.parse().ok()?, requests: words.next()?.to_owned() })
    }
}

fn compare(arguments: &Arguments, folder: &Path, shape: Shape, way: Way, made: &table::Made) -> Outcome<()> {
    let (mut hand, mut ours): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for pair in 0..arguments.pairs {
        let both = if pair % 2 == 0 { ["hand", "ours"] } else { ["ours", "hand"] };
        for who in both {
            if who == "ours" {
                table::create(folder, shape, made)?;
            }
            let done = child_run(arguments, who, way, folder)?;
            if who == "ours" { ours.push(done) } else { hand.push(done) }
        }
    }
    let cpu = |run: &Run| run.used.cpu.as_secs_f64();
    let ratio = |of: fn(&Run) -> f64| spread(hand.iter().zip(&ours).map(move |(hand, ours)| cpu(hand) / of(ours)), 2);
    let speed = |runs: &[Run], seconds: fn(&Run) -> f64| {
        let per_cpu = |amount: u64, digits| spread(runs.iter().map(move |run| amount as f64 / 1e6 / seconds(run)), digits);
        format!("{}, {}", per_cpu(made.bytes, 0), per_cpu(made.rows, 2))
    };
    let clock = |runs: &[Run]| spread(runs.iter().map(|run| made.bytes as f64 / 1e6 / run.used.wall.as_secs_f64()), 0);
    let peak = |runs: &[Run], of: fn(&Run) -> u64| runs.iter().map(of).max().unwrap_or(0) / 1_000_000;
    line(&format!(
        "| {} × {:.2} MB | {shape:?} | {way:?} | {} | {} | {} | {} | {}, {} | {}, {} MB ({}) | {} |",
        made.files.len(),
        made.bytes as f64 / 1e6 / made.files.len() as f64,
        speed(&hand, |run| run.used.cpu.as_secs_f64()),
        speed(&ours, |run| run.said.rewriting),
        ratio(|run| run.said.rewriting),
        ratio(|run| run.used.cpu.as_secs_f64()),
        clock(&hand),
        clock(&ours),
        peak(&hand, |run| run.used.peak),
        peak(&ours, |run| run.used.peak),
        peak(&ours, |run| run.said.budget),
        ours.last().map_or("", |run| run.said.requests.as_str()),
    ));
    Ok(())
}

fn child_run(arguments: &Arguments, who: &str, way: Way, folder: &Path) -> Outcome<Run> {
    let way = way.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let said = folder.join("said");
    let out = std::fs::File::create(&said)?;
    let parallelism = arguments.parallelism.to_string();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--parallelism", &parallelism, "--task", who, &way]).arg(folder).stdout(Stdio::from(out));
    let used = child::watch(command.spawn()?, Duration::from_secs(3_600))?;
    Ok(Run { used, said: Said::parse(&std::fs::read_to_string(said)?).unwrap_or_default() })
}
