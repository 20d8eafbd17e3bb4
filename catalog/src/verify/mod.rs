//! Proof from metadata: offsets are contiguous, no file is referenced twice, every file is there.
//!
//! Nothing is read but metadata, manifests and the sizes of files. The facts are gathered here; what they mean for the chains of commits
//! is decided in `chains`, and `report` says it in plain text.

mod chains;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use iceberg::io::FileIO;
use iceberg::spec::{SnapshotRef, TableMetadata};

use crate::commit::{ancestors, heads, marked_jobs, marker_of};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::marker::{Marker, stored};
use crate::read::{LiveFile, Totals, data_files, totals};
use chains::{CommitFact, chains};

pub use chains::SinkChain;
pub use report::VerifyReport;

/// Sizes asked for at the same time.
const HEADS_AT_ONCE: usize = 32;

/// Problems of one kind that are listed; the rest is counted.
const LISTED: usize = 10;

/// Checks a table. Only what cannot be read at all is an error; everything that is wrong is in the report.
///
/// # Errors
/// The catalog's and the store's.
pub async fn verify(catalog: &Arc<dyn LakeCatalog>, id: &TableId) -> Result<VerifyReport, CatalogError> {
    let table = catalog.load(id).await?;
    let metadata = &table.metadata;
    let history = history(metadata)?;
    let mut problems = sequence_problems(&history);
    let (markers, unreadable) = markers(&table);
    problems.extend(unreadable);
    let (facts, unreadable) = facts(metadata, &history);
    problems.extend(unreadable);
    let (sinks, broken) = chains(facts, &markers);
    problems.extend(broken);
    let files = data_files(&table, None).await?;
    let counted = totals(&files);
    problems.extend(total_problems(metadata, counted));
    problems.extend(double_problems(&files));
    problems.extend(few(missing_files(&table.file_io, &files).await));
    Ok(VerifyReport {
        table: format!("{}.{id}", catalog.name()),
        uuid: metadata.uuid().to_string(),
        snapshot: metadata.current_snapshot_id(),
        snapshots: metadata.snapshots().len(),
        totals: counted,
        sinks,
        problems,
    })
}

/// Every snapshot that a branch or tag leads to, in the order in which they were committed.
fn history(metadata: &TableMetadata) -> Result<Vec<SnapshotRef>, CatalogError> {
    let mut seen: HashMap<i64, SnapshotRef> = HashMap::new();
    for head in heads(metadata)? {
        seen.extend(ancestors(metadata, head.snapshot_id).map(|snapshot| (snapshot.snapshot_id(), Arc::clone(snapshot))));
    }
    let mut history: Vec<SnapshotRef> = seen.into_values().collect();
    history.sort_by_key(|snapshot| (snapshot.sequence_number(), snapshot.timestamp_ms()));
    Ok(history)
}

fn sequence_problems(history: &[SnapshotRef]) -> Vec<String> {
    let rising = |pair: &&[SnapshotRef]| matches!(pair, [a, b] if a.sequence_number() >= b.sequence_number() && b.sequence_number() > 0);
    let twice = history.windows(2).filter(rising);
    few(twice
        .flatten()
        .map(|snapshot| format!("snapshot {} shares sequence number {}", snapshot.snapshot_id(), snapshot.sequence_number()))
        .collect())
}

/// The markers in the table's properties, and those that cannot be read.
fn markers(table: &LakeTable) -> (BTreeMap<(String, String), Marker>, Vec<String>) {
    let (mut markers, mut problems) = (BTreeMap::new(), Vec::new());
    for (job, sink) in marked_jobs(table).into_iter().flat_map(|(job, sinks)| sinks.into_iter().map(move |sink| (job.clone(), sink))) {
        match marker_of(table, &job, &sink) {
            Ok(marker) => markers.extend(marker.map(|marker| ((job, sink), marker))),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (markers, problems)
}

/// The commits of Weir among the snapshots, and those whose summaries cannot be read.
fn facts(metadata: &TableMetadata, history: &[SnapshotRef]) -> (Vec<CommitFact>, Vec<String>) {
    let mut facts: Vec<CommitFact> = Vec::new();
    let mut problems = Vec::new();
    let mut last: HashMap<(String, String), i64> = HashMap::new();
    for snapshot in history {
        let summary = &snapshot.summary().additional_properties;
        let Some(job) = summary.get(stored::SUMMARY_JOB) else { continue };
        let text = |key: &str| summary.get(key).map(String::as_str);
        let read = || {
            let sink = text(stored::SUMMARY_SINK)?.to_owned();
            let epoch = text(stored::SUMMARY_EPOCH)?.parse().ok()?;
            let gaps = text(stored::SUMMARY_GAPS).map_or_else(|| Some(Vec::new()), stored::decode_gaps)?;
            Some((sink, epoch, stored::decode(text(stored::SUMMARY_FROM)?)?, stored::decode(text(stored::SUMMARY_TO)?)?, gaps))
        };
        let Some((sink, epoch, from, to, gaps)) = read() else {
            problems.push(format!("snapshot {} of job `{job}` has a summary that cannot be read", snapshot.snapshot_id()));
            continue;
        };
        let before = last.insert((job.clone(), sink.clone()), snapshot.snapshot_id());
        let expired_before = has_hole(metadata, snapshot, before);
        facts.push(CommitFact { job: job.clone(), sink, epoch, from, to, gaps, snapshot_id: snapshot.snapshot_id(), expired_before });
    }
    (facts, few(problems))
}

/// Whether the way back from `snapshot` to `until` (or to the table's first snapshot) misses a snapshot.
fn has_hole(metadata: &TableMetadata, snapshot: &SnapshotRef, until: Option<i64>) -> bool {
    let mut oldest = snapshot;
    for ancestor in ancestors(metadata, snapshot.snapshot_id()) {
        if Some(ancestor.snapshot_id()) == until {
            return false;
        }
        oldest = ancestor;
    }
    oldest.parent_snapshot_id().is_some()
}

fn total_problems(metadata: &TableMetadata, counted: Totals) -> Vec<String> {
    let Some(snapshot) = metadata.current_snapshot() else { return Vec::new() };
    let summary = &snapshot.summary().additional_properties;
    let expected = [("total-records", counted.records), ("total-data-files", counted.files), ("total-files-size", counted.bytes)];
    expected
        .into_iter()
        // Files of deletes count as bytes too; their sizes are not worth a second sum.
        .filter(|(key, _)| *key != "total-files-size" || counted.delete_files == 0)
        .filter_map(|(key, counted)| {
            let said = summary.get(key)?;
            (*said != counted.to_string()).then(|| format!("the current snapshot says {key} = {said}, but its files add up to {counted}"))
        })
        .collect()
}

fn double_problems(files: &[LiveFile]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = files.iter().map(|live| live.file.file_path()).filter(|path| !seen.insert(*path));
    few(twice.map(|path| format!("file `{path}` is referenced more than once")).collect())
}

async fn missing_files(file_io: &FileIO, files: &[LiveFile]) -> Vec<String> {
    let checks = files.iter().map(|live| size_problem(file_io.clone(), live.file.file_path().to_owned(), live.file.file_size_in_bytes()));
    let checks: Vec<_> = checks.collect();
    let found: Vec<Option<String>> = futures::stream::iter(checks).buffered(HEADS_AT_ONCE).collect().await;
    found.into_iter().flatten().collect()
}

async fn size_problem(file_io: FileIO, path: String, expected: u64) -> Option<String> {
    let asked = match file_io.new_input(&path) {
        Ok(input) => input.metadata().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(found) if found.size == expected => None,
        Ok(found) => Some(format!("file `{path}` has {} bytes, but the table says {expected}", found.size)),
        Err(error) => Some(format!("file `{path}` is not there or cannot be asked for: {}", error.message())),
    }
}

/// The first problems, and how many more there are.
fn few(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(LISTED);
    if more > 0 {
        problems.truncate(LISTED);
        problems.push(format!("and {more} more of that kind"));
    }
    problems
}
