//! The lines that the benchmark prints.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::print::{line, spread};

/// What one run used.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Bytes of the files that were moved.
    pub(crate) bytes: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes.
    pub(crate) peak: u64,
    /// Requests to the store, as the client counts them.
    pub(crate) requests: u64,
    /// Calls to the NameNode, as it counts them.
    pub(crate) calls: BTreeMap<String, u64>,
    /// The same as we count them.
    pub(crate) counted: BTreeMap<String, u64>,
}

impl Figures {
    fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6
    }

    fn per_cpu(&self) -> f64 {
        self.megabytes() / self.cpu.as_secs_f64().max(0.001)
    }

    fn per_second(&self) -> f64 {
        self.megabytes() / self.wall.as_secs_f64().max(0.001)
    }

    fn calls_per_megabyte(&self) -> f64 {
        self.calls.values().sum::<u64>() as f64 / self.megabytes()
    }
}

/// Prints the medians of pairs (plain client, ours), with the least and the most in brackets.
pub(crate) fn summary(what: &str, pairs: &[(Figures, Figures)]) {
    let ratio = |of: fn(&Figures) -> f64| spread(pairs.iter().map(|(plain, ours)| of(ours) / of(plain)), 2);
    line(&format!("  {what}: ours / plain: MB per CPU second {}, MB per second {}", ratio(Figures::per_cpu), ratio(Figures::per_second)));
    let roads: [(&str, Vec<&Figures>); 2] =
        [("plain", pairs.iter().map(|pair| &pair.0).collect()), ("ours", pairs.iter().map(|pair| &pair.1).collect())];
    for (name, runs) in roads {
        let of = |value: &dyn Fn(&Figures) -> f64, digits| spread(runs.iter().map(|run| value(run)), digits);
        line(&format!(
            "    {name:<6} {} MB/CPU s   {} MB/s   CPU {} s   peak {} MB",
            of(&Figures::per_cpu, 0),
            of(&Figures::per_second, 0),
            of(&|run| run.cpu.as_secs_f64(), 2),
            of(&|run| run.peak as f64 / 1e6, 0),
        ));
        let Some(last) = runs.last() else { continue };
        if last.calls.is_empty() {
            line(&format!("           {} requests per MB", of(&|run| run.requests as f64 / run.megabytes(), 3)));
        } else {
            line(&format!("           {} calls to the NameNode per MB; the last run: {:?}", of(&Figures::calls_per_megabyte, 3), last.calls));
        }
    }
}

/// Prints what reading `count` ranges took.
pub(crate) fn ranges(count: usize, runs: &[Figures]) {
    let each = |of: &dyn Fn(&Figures) -> f64, digits| spread(runs.iter().map(|run| of(run) / count as f64), digits);
    line(&format!(
        "  {count} ranges of 64 KiB: {} ms and {} ms of CPU each, {} requests each",
        each(&|run| run.wall.as_secs_f64() * 1e3, 2),
        each(&|run| run.cpu.as_secs_f64() * 1e3, 2),
        each(&|run| run.requests as f64, 2),
    ));
    if let Some(last) = runs.last().filter(|last| !last.calls.is_empty()) {
        line(&format!("    calls to the NameNode for all of them: {:?}; by our own count: {:?}", last.calls, last.counted));
    }
}
