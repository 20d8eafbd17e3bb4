//! What the benchmark prints.

use std::time::Duration;

use crate::job::{Run, Sample};
use crate::print::line;
use crate::{Outcome, WARM_UP};

/// Prints what a run gave.
pub(crate) fn run(name: &str, run: &Run) {
    let [first, last] = run.ends();
    let rows = (last.rows - first.rows) as f64;
    let (ingest, upkeep) = cpu(run);
    let memory = run.samples.iter().map(|sample| sample.memory).max().unwrap_or(0);
    line(&format!("\n{name}"));
    line(&format!("  {:.0} rows a second for {:.0} s", run.rows_per_second(), (last.at - first.at).as_secs_f64()));
    line(&format!("  {:.0} rows for each CPU second of ingest, which took {:.1} s of CPU; compaction {:.1} s", rows / ingest, ingest, upkeep));
    line(&format!("  freshness: p50 {:.2} s, p99 {:.2} s, at most {:.2} s", percentile(run, 0.5), percentile(run, 0.99), percentile(run, 1.0)));
    line(&format!("  peak memory {:.0} MB", memory as f64 / 1e6));
}

/// CPU seconds of ingest and of compaction.
fn cpu(run: &Run) -> (f64, f64) {
    let [first, last] = run.ends();
    let upkeep = (last.upkeep_cpu() - first.upkeep_cpu()).as_secs_f64();
    ((last.cpu - first.cpu).as_secs_f64() - upkeep, upkeep)
}

fn percentile(run: &Run, share: f64) -> f64 {
    let index = (run.freshness.len() as f64 * share).ceil() as usize;
    run.freshness.get(index.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Prints the table's files, minute by minute.
pub(crate) fn minutes(run: &Run) {
    line("\nminute  files in  live  ideal  uncompacted (commits)  in small files MB  rewritten MB  copies  decodes  CPU s  memory MB");
    let mut next = Duration::from_secs(60);
    for sample in &run.samples {
        if sample.at < next {
            continue;
        }
        next += Duration::from_secs(60);
        let number = |key: &str| sample.number(key);
        let files_in = number("live_files") + number("files_before") - number("files_after");
        line(&format!(
            "{:>6} {:>9} {:>5} {:>6} {:>12} {:>9} {:>18} {:>13} {:>7} {:>8} {:>6.1} {:>10}",
            sample.at.as_secs() / 60,
            files_in,
            number("live_files"),
            number("ideal_files"),
            number("pending_files"),
            format!("({})", number("pending_commits")),
            number("debt_bytes") / 1_000_000,
            number("bytes_before") / 1_000_000,
            number("copied_groups"),
            number("decoded_groups"),
            sample.upkeep_cpu().as_secs_f64(),
            sample.memory / 1_000_000,
        ));
    }
}

/// Prints what is promised, and what was seen.
pub(crate) fn promises(alone: &Run, kept: &Run) {
    let later: Vec<&Sample> = kept.samples.iter().filter(|sample| sample.at >= WARM_UP).collect();
    let allowed = |sample: &Sample| 3 * sample.number("ideal_files") + sample.number("pending_files");
    let above = later.iter().filter(|sample| sample.number("live_files") > allowed(sample)).count();
    let most = |key: &str| later.iter().map(|sample| sample.number(key)).max().unwrap_or(0);
    let per_cpu = |run: &Run| {
        let [first, last] = run.ends();
        (last.rows - first.rows) as f64 / cpu(run).0
    };
    let (ingest, upkeep) = cpu(kept);
    let said = |kept: bool| if kept { "kept" } else { "NOT KEPT" };
    line("\npromise                                                                     seen");
    let row = |promise: &str, seen: String, is_kept: bool| line(&format!("{promise:<75} {seen}: {}", said(is_kept)));
    row(
        "live files at most 3 x ideal and those since the last rewrite, each second",
        format!("{above} of {} seconds above; {} files at most", later.len(), most("live_files")),
        above == 0,
    );
    row("commits since the last rewrite at most 30", format!("{} at most", most("pending_commits")), most("pending_commits") <= 30);
    row("freshness p99 below 2 s", format!("{:.2} s", percentile(kept, 0.99)), percentile(kept, 0.99) < 2.0);
    let ratio = per_cpu(kept) / per_cpu(alone);
    row("rows for each CPU second of ingest at least 0.9 of those without compaction", format!("{ratio:.2}"), ratio >= 0.9);
    row("CPU of compaction at most 0.6 of that of ingest", format!("{:.2}", upkeep / ingest), upkeep <= 0.6 * ingest);
}

/// Load averages of the machine.
pub(crate) fn load() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}
