//! The result of a verification, as data and as plain text.

use std::fmt;

use super::chains::SinkChain;
use super::deep::Deep;
use super::replaces::Rewrites;
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
    /// Manifests of the current snapshot.
    pub manifests: usize,
    /// What its live files add up to.
    pub totals: Totals,
    /// Whether the sizes of all files were asked for.
    pub sizes: bool,
    /// Rewrites that were looked at.
    pub rewrites: Rewrites,
    /// What was read of the files, if anything was.
    pub deep: Option<Deep>,
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
        writeln!(f, "data      {records} rows in {files} files of {partitions} partitions, {bytes} bytes, {} manifests", self.manifests)?;
        if delete_files > 0 {
            writeln!(f, "deletes   {delete_files} files; rows that they delete are counted above")?;
        }
        let Rewrites { all, read } = self.rewrites;
        if all > 0 {
            writeln!(f, "rewrites  {all}, the manifests of {} were read", if read == all { "all".to_owned() } else { format!("the newest {read}") })?;
        }
        if let Some(Deep { footers, columns, chunks, others }) = self.deep {
            let others = if others > 0 { format!("; {others} files are not Parquet and were not opened") } else { String::new() };
            writeln!(f, "deep      {footers} footers, {columns} columns of files, {chunks} column chunks read{others}")?;
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
            let rewrites = if all > 0 { ", no rewrite has changed the number of rows" } else { "" };
            let sizes = if self.sizes { ", every file has its recorded size" } else { "" };
            let deep = if self.deep.is_some() { ", rows, nulls and bounds are those of the files" } else { "" };
            return writeln!(f, "verified: epochs rise, {ranges}, sequence numbers rise, no file is referenced twice{rewrites}{sizes}{deep}");
        }
        let problems = self.problems.len();
        writeln!(f, "NOT verified: {problems} problem{}", if problems == 1 { "" } else { "s" })?;
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
