//! From log lines to delays, and the lines that the benchmark prints.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::Outcome;
use crate::baseline::Bare;
use crate::child::Used;
use crate::jobs::Run;
use crate::print::{line, spread};

/// Delays behind each commit to the first table.
#[derive(Debug, Default)]
struct Delays {
    /// Until the stream had handed on all its rows.
    read: Vec<Duration>,
    /// Until the commit to the second table that holds its last row.
    committed: Vec<Duration>,
}

/// Prints what a run gave.
pub(crate) fn show(run: &Run) -> Outcome<()> {
    let delays = delays(run);
    if delays.read.is_empty() || delays.read.len() != delays.committed.len() {
        return Err(format!("{} commits were read and {} came through", delays.read.len(), delays.committed.len()).into());
    }
    line(&format!("  {} of {} commits, those since the second job looked for the first time", delays.read.len(), run.first.len()));
    line(&format!("  from the commit to the rows in the next job: {}", percentiles(&delays.read)));
    line(&format!("  from the commit to the next table's commit:  {}", percentiles(&delays.committed)));
    for (name, Used { wall, cpu, peak }) in &run.used {
        let share = cpu.as_secs_f64() / wall.as_secs_f64().max(0.001) * 100.0;
        line(&format!("  {name:<10} CPU {:.1} s, {share:.1} % of a core; peak {:.0} MB", cpu.as_secs_f64(), *peak as f64 / 1e6));
    }
    line(&format!("  load of the machine after it: {}", load()?));
    Ok(())
}

/// Prints what the catalog alone takes.
pub(crate) fn bare(bare: &Bare) {
    let each = |values: &[Duration]| spread(values.iter().map(|value| value.as_secs_f64() * 1e3), 1);
    line(&format!("  a commit of one property: {} ms", each(&bare.commits)));
    line(&format!("  a look at the table after it, from elsewhere: {} ms", each(&bare.looks)));
    line(&format!("  a look when nothing is new: {} ms", each(&bare.idle_looks)));
}

/// Load averages of the machine.
pub(crate) fn load() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Commits from before the first look of the stream were waiting for it, and say nothing.
fn delays(run: &Run) -> Delays {
    let number =
        |message: &str, field: &str| run.stream.iter().filter(|line| line.message == message).filter_map(|line| line.number(field)).collect();
    let (snapshots, sequences): (Vec<i64>, Vec<i64>) = (number("snapshot planned", "snapshot"), number("snapshot planned", "sequence"));
    let sequences: BTreeMap<i64, i64> = snapshots.into_iter().zip(sequences).collect();
    let planned_first = run.stream.iter().find(|line| line.message == "snapshot planned").map(|line| line.at);
    let mut read: BTreeMap<i64, DateTime<Utc>> = BTreeMap::new();
    for line in run.stream.iter().filter(|line| line.message == "file of a snapshot read") {
        if let Some(sequence) = line.number("sequence") {
            read.insert(sequence, line.at);
        }
    }
    let mut through = run.second.iter().scan(0, |rows, commit| {
        *rows += commit.rows;
        Some((*rows, commit.at))
    });
    let (mut delays, mut written, mut arrived) = (Delays::default(), 0, (0, None));
    for commit in &run.first {
        written += commit.rows;
        while arrived.0 < written {
            let Some((rows, at)) = through.next() else { break };
            arrived = (rows, Some(at));
        }
        if planned_first.is_none_or(|first| commit.at < first) {
            continue;
        }
        let since = |at: DateTime<Utc>| (at - commit.at).to_std().unwrap_or(Duration::ZERO);
        delays.read.extend(sequences.get(&commit.snapshot).and_then(|sequence| read.get(sequence)).map(|at| since(*at)));
        delays.committed.extend(arrived.1.filter(|_| arrived.0 >= written).map(since));
    }
    delays
}

fn percentiles(values: &[Duration]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(index.max(1) - 1).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
    };
    format!("p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms", at(0.5), at(0.99), at(1.0))
}
