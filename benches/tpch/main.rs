//! `tpch`: the 22 queries of TPC-H on Iceberg tables, beside DuckDB on the very same Parquet files in the same run.
//!
//! The rows come from the `tpchgen` crate and are written by the engine's own writer. Both engines have the same number of threads; each query is
//! run several times, the best time counts, planning included. `make bench-tpch` runs it; `--help` lists the options.

#[path = "../support/print.rs"]
mod print;
mod trial;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use print::{line, spread};
use trial::lake::Lake;
use trial::queries::{QUERIES, Query};
use trial::{Outcome, compare, duck};

/// TPC-H on Iceberg tables, beside DuckDB.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scale: 1 is about a gigabyte of text
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Runs of each query; the best one counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Threads of either engine
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Only these queries
    #[arg(long, value_delimiter = ',')]
    only: Vec<usize>,
    /// Memory of ours in MiB
    #[arg(long, default_value_t = 4096)]
    memory: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&Arguments::parse())));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            line(&format!("tpch: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all answers are equal.
async fn run(arguments: &Arguments) -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let mut lake = filled(folder.path(), arguments).await?;
    let tables = lake.files().await?;
    let files: usize = tables.values().map(Vec::len).sum();
    line(&format!("scale {}, {files} data files, {} threads each, best of {} runs", arguments.scale, arguments.threads, arguments.runs));
    let queries: Vec<Query> = QUERIES.into_iter().filter(|query| arguments.only.is_empty() || arguments.only.contains(&query.number)).collect();
    line("query   Weir ms  DuckDB ms   ratio  answers");
    let (mut all_equal, mut sums, mut ratios) = (true, (0.0, 0.0), Vec::new());
    for query in &queries {
        let text = query.at(arguments.scale);
        let request = duck::Request { threads: arguments.threads, tables: tables.clone(), queries: vec![text.clone()], runs: arguments.runs };
        let mut best = Duration::MAX;
        let mut ours = Vec::new();
        for _ in 0..arguments.runs {
            let began = Instant::now();
            ours = lake.ask(&text).await?;
            best = best.min(began.elapsed());
        }
        let theirs = duck::ask(&request)?.pop().ok_or("no answer")?;
        let equal = compare::difference(&ours, &theirs)?;
        let (our_ms, their_ms) = (best.as_secs_f64() * 1e3, theirs.seconds.iter().copied().fold(f64::INFINITY, f64::min) * 1e3);
        let verdict = equal.as_deref().unwrap_or("equal");
        line(&format!("Q{:<4} {our_ms:>10.1} {their_ms:>10.1} {:>7.2}  {verdict}", query.number, our_ms / their_ms));
        all_equal &= equal.is_none();
        sums = (sums.0 + our_ms, sums.1 + their_ms);
        ratios.push(our_ms / their_ms);
    }
    let mean = (ratios.iter().map(|ratio: &f64| ratio.ln()).sum::<f64>() / ratios.len().max(1) as f64).exp();
    line(&format!("all   {:>10.1} {:>10.1} {:>7.2}", sums.0, sums.1, sums.0 / sums.1));
    line(&format!("ratios: geometric mean {mean:.2}, median {}", spread(ratios.into_iter(), 2)));
    Ok(all_equal)
}

async fn filled(folder: &Path, arguments: &Arguments) -> Outcome<Lake> {
    let began = Instant::now();
    let lake = Lake::create(folder, arguments.threads, arguments.memory << 20).await?;
    lake.fill(arguments.scale).await?;
    line(&format!("tables written in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(lake)
}
