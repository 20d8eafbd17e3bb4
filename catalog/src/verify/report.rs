//! The result of a verification, as data and as plain text.

use std::fmt;

use super::chains::SinkChain;
use crate::marker::Cuts;
use crate::read::Totals;

/// Splits of one sink that are listed one by one.
const LISTED_SPLITS: usize = 32;

/// What a verification found. `Display` shows it as a plain table.
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// `catalog.database.table`.
    pub table: String,
    /// The table's UUID.
    pub uuid: String,
    /// Its current snapshot.
    pub snapshot: Option<i64>,
    /// Snapshots that it still knows.
    pub snapshots: usize,
    /// What its live files add up to.
    pub totals: Totals,
    /// The commits of each job and sink.
    pub sinks: Vec<SinkChain>,
    /// Everything that is wrong.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot.map_or_else(|| "none".to_owned(), |id| id.to_string());
        writeln!(f, "table     {}", self.table)?;
        writeln!(f, "uuid      {}", self.uuid)?;
        writeln!(f, "snapshot  {snapshot} ({} known)", self.snapshots)?;
        let Totals { files, records, bytes, partitions, delete_files } = self.totals;
        writeln!(f, "data      {records} rows in {files} files of {partitions} partitions, {bytes} bytes")?;
        if delete_files > 0 {
            writeln!(f, "deletes   {delete_files} files; rows that they delete are counted above")?;
        }
        if !self.sinks.is_empty() {
            writeln!(f)?;
            sinks(f, &self.sinks)?;
        }
        writeln!(f)?;
        if self.passed() {
            let gaps: usize = self.sinks.iter().map(|sink| sink.gaps.len()).sum();
            let ranges = match gaps {
                0 => "ranges are contiguous".to_owned(),
                gaps => format!("ranges are contiguous but for {gaps} gaps that the job announced (see above)"),
            };
            return writeln!(f, "verified: epochs rise, {ranges}, no file is referenced twice, every file has its recorded size");
        }
        writeln!(f, "NOT verified: {} problems", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  - {problem}"))
    }
}

fn sinks(f: &mut fmt::Formatter<'_>, sinks: &[SinkChain]) -> fmt::Result {
    let width = |title: &str, name: fn(&SinkChain) -> &str| sinks.iter().map(|sink| name(sink).len()).max().unwrap_or(0).max(title.len());
    let (job, sink) = (width("job", |sink| &sink.job), width("sink", |sink| &sink.sink));
    writeln!(f, "{:job$}  {:sink$}  {:>20}  {:>8}  history", "job", "sink", "epochs", "commits")?;
    for chain in sinks {
        let epochs = format!("{} .. {}", chain.first_epoch, chain.last_epoch);
        let history = if chain.expired { "older commits expired" } else { "complete" };
        writeln!(f, "{:job$}  {:sink$}  {epochs:>20}  {:>8}  {history}", chain.job, chain.sink, chain.commits)?;
        splits(f, &chain.from, &chain.to)?;
        chain.gaps.iter().try_for_each(|gap| writeln!(f, "    gap: {gap}"))?;
    }
    Ok(())
}

fn splits(f: &mut fmt::Formatter<'_>, from: &Cuts, to: &Cuts) -> fmt::Result {
    let ends = to.iter().flat_map(|(source, cut)| cut.iter().map(move |(split, end)| (source, split, end.offset)));
    let ranges: Vec<(String, i64, i64)> = ends
        .map(|(source, split, end)| {
            let start = from.get(source).and_then(|cut| cut.get(split)).map_or(0, |position| position.offset);
            (format!("{source}: {split}"), start, end)
        })
        .collect();
    for (name, start, end) in ranges.iter().take(LISTED_SPLITS) {
        writeln!(f, "    {name}  offsets {start} .. {end}")?;
    }
    if ranges.len() > LISTED_SPLITS {
        writeln!(f, "    and {} more splits", ranges.len() - LISTED_SPLITS)?;
    }
    Ok(())
}
