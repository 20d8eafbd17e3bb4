//! `compact`: what compaction rewrites with a second of CPU, beside the same work by hand with the parquet crate in the same run.
//!
//! By hand is one thread over the files on the local disk: row groups appended to one file, or rows decoded and written with encodings that suit them. Ours
//! is the whole run: it reads the table, plans, rewrites, and commits. Either is this program again as a child, its start
//! included. The two run in turn, pair by pair, every other pair in reverse; the figure to believe is the median of the pairs' ratios.

mod by_hand;
#[path = "../support/child.rs"]
mod child;
mod ours;
#[path = "../support/print.rs"]
mod print;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use print::{line, spread};

/// Benchmark of compaction: copies and rewrites beside the same work by hand.
#[derive(Debug, Parser)]
struct Arguments {
    /// Files and their rows, such as `1000x30000`
    #[arg(long, value_delimiter = ',', default_value = "1000x30000,10000x2500")]
    files: Vec<String>,
    /// Shapes of rows
    #[arg(long, value_enum, value_delimiter = ',', default_value = "narrow,wide")]
    shapes: Vec<Shape>,
    /// Ways to rewrite
    #[arg(long, value_enum, value_delimiter = ',', default_value = "copy,decode")]
    ways: Vec<Way>,
    /// Pairs of runs (by hand, ours)
    #[arg(long, default_value_t = 3)]
    pairs: usize,
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
        Some([who, way, folder]) => Way::from_str(way, false).map_err(Into::into).and_then(|way| perform(who, way, Path::new(folder))),
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

fn perform(who: &str, way: Way, folder: &Path) -> Outcome<()> {
    if who == "ours" { ours::run(folder, way) } else { by_hand::run(folder, way) }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    line(
        "| files | rows of | way | by hand: MB, M rows per CPU s | Weir: MB, M rows per CPU s | ratio | by the clock | peak: by hand, Weir | Weir's requests |",
    );
    line("|---|---|---|---|---|---|---|---|---|");
    for shape in &arguments.shapes {
        for files in &arguments.files {
            let (count, rows) = files.split_once('x').ok_or("files are given as <files>x<rows>")?;
            let (count, rows): (usize, usize) = (count.parse()?, rows.parse()?);
            let scratch = tempfile::tempdir()?;
            let made = table::fill(scratch.path(), *shape, count, rows)?;
            for way in &arguments.ways {
                compare(arguments.pairs, scratch.path(), *shape, *way, &made)?;
            }
        }
    }
    Ok(())
}

/// What one run took, and what it said.
struct Run {
    used: child::Used,
    said: String,
}

fn compare(pairs: usize, folder: &Path, shape: Shape, way: Way, made: &table::Made) -> Outcome<()> {
    let (mut hand, mut ours, mut ratios, mut clock) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let both = if pair % 2 == 0 { ["hand", "ours"] } else { ["ours", "hand"] };
        for who in both {
            if who == "ours" {
                table::create(folder, shape, made)?;
            }
            let done = child_run(who, way, folder)?;
            if who == "ours" { ours.push(done) } else { hand.push(done) }
        }
        if let (Some(hand), Some(ours)) = (hand.last(), ours.last()) {
            ratios.push(hand.used.cpu.as_secs_f64() / ours.used.cpu.as_secs_f64());
            clock.push(hand.used.wall.as_secs_f64() / ours.used.wall.as_secs_f64());
        }
    }
    let speed = |runs: &[Run]| {
        let per_cpu = |amount: u64, digits| spread(runs.iter().map(move |run| amount as f64 / 1e6 / run.used.cpu.as_secs_f64()), digits);
        format!("{}, {}", per_cpu(made.bytes, 0), per_cpu(made.rows, 2))
    };
    let peak = |runs: &[Run]| runs.iter().map(|run| run.used.peak).max().unwrap_or(0) / 1_000_000;
    line(&format!(
        "| {} × {:.2} MB | {shape:?} | {way:?} | {} | {} | {} | {} | {}, {} MB | {} |",
        made.files.len(),
        made.bytes as f64 / 1e6 / made.files.len() as f64,
        speed(&hand),
        speed(&ours),
        spread(ratios.into_iter(), 2),
        spread(clock.into_iter(), 2),
        peak(&hand),
        peak(&ours),
        ours.last().map_or("", |run| run.said.trim()),
    ));
    Ok(())
}

fn child_run(who: &str, way: Way, folder: &Path) -> Outcome<Run> {
    let way = way.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let said = folder.join("said");
    let out = std::fs::File::create(&said)?;
    let child = Command::new(std::env::current_exe()?).args(["--task", who, &way]).arg(folder).stdout(Stdio::from(out)).spawn()?;
    let used = child::watch(child, Duration::from_secs(3_600))?;
    Ok(Run { used, said: std::fs::read_to_string(said)? })
}
