//! Measuring in a process, and what the figures come to.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::print::{line, spread};
use crate::queries::Query;
use crate::table::Table;

/// Times that a query is planned after the first.
const AGAIN: usize = 7;

/// What one process measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    files: u64,
    cold: Duration,
    /// The median of the later ones.
    warm: Duration,
    /// Bytes that are kept for the next query; 0 if that is not known.
    kept: u64,
    /// Peak resident memory of the process.
    peak: u64,
}

/// Plans a query for the first time and then again; `kept` is asked for what is kept then.
pub(crate) async fn measured(mut plan: impl AsyncFnMut() -> Outcome<u64>, kept: impl Fn() -> u64) -> Outcome<Measured> {
    let mut timed = async || -> Outcome<(u64, Duration)> {
        let begun = Instant::now();
        let files = plan().await?;
        Ok((files, begun.elapsed()))
    };
    let (files, cold) = timed().await?;
    let mut warm = Vec::with_capacity(AGAIN);
    for _ in 0..AGAIN {
        warm.push(timed().await?.1);
    }
    warm.sort();
    Ok(Measured { files, cold, warm: warm.get(AGAIN / 2).copied().unwrap_or_default(), kept: kept(), peak: peak()? })
}

fn peak() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.split_whitespace().next().ok_or("no peak")?.parse::<u64>()? * 1_024)
}

impl Measured {
    pub(crate) fn to_line(self) -> String {
        format!("{} {} {} {} {}", self.files, self.cold.as_micros(), self.warm.as_micros(), self.kept, self.peak)
    }

    pub(crate) fn of_line(text: &str) -> Outcome<Self> {
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [files, cold, warm, kept, peak] = numbers.as_slice() else { return Err(format!("not what was measured: {text}").into()) };
        Ok(Self { files: *files, cold: Duration::from_micros(*cold), warm: Duration::from_micros(*warm), kept: *kept, peak: *peak })
    }
}

/// Plans with PyIceberg, by a script beside this file.
pub(crate) fn pyiceberg(table: &Table, query: &Query) -> Outcome<Measured> {
    let ask = "import sys; sys.path.insert(0, sys.argv[1]); from weir_servers import python; print(python.interpreter('reader'))";
    let answer = Command::new("python3").args(["-B", "-c", ask, concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")]).output()?;
    if !answer.status.success() {
        return Err(format!("no environment for PyIceberg: {}", String::from_utf8_lossy(&answer.stderr)).into());
    }
    let metadata = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(table.metadata()))?;
    let mut command = Command::new(String::from_utf8(answer.stdout)?.trim());
    let output = command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plan/with_pyiceberg.py"), &metadata, &query.text()]).output()?;
    if !output.status.success() {
        return Err(format!("PyIceberg: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Measured::of_line(&String::from_utf8(output.stdout)?)
}

/// Prints what all engines took for a query, and checks that they found the same files.
pub(crate) fn query(query: &Query, engines: &[(&str, Vec<Measured>)]) -> Outcome<()> {
    let files = engines.iter().flat_map(|(_, all)| all).map(|one| one.files).next().unwrap_or(0);
    line(&format!("\n{}: {files} files", query.name));
    for (engine, all) in engines.iter().filter(|(_, all)| !all.is_empty()) {
        if let Some(other) = all.iter().find(|one| one.files != files) {
            return Err(format!("{engine} finds {} files", other.files).into());
        }
        let millis = |of: fn(&Measured) -> Duration| spread(all.iter().map(|one| of(one).as_secs_f64() * 1e3), 1);
        let kept = all.iter().map(|one| one.kept).max().filter(|kept| *kept > 0);
        let kept = kept.map(|kept| format!(", {:.1} MB kept", kept as f64 / 1e6)).unwrap_or_default();
        let peak = spread(all.iter().map(|one| one.peak as f64 / 1e6), 0);
        line(&format!("  {engine:<16} cold {} ms, warm {} ms, peak {peak} MB{kept}", millis(|one| one.cold), millis(|one| one.warm)));
    }
    Ok(())
}
