//! Proof from metadata, and as deep as is asked from the files: offsets are contiguous, no file is referenced twice, every file is there, no
//! rewrite has lost a row, and metrics are those of the files.
//!
//! The facts are gathered here and in the modules below; what they mean is decided by plain functions: of the chains of commits in
//! `chains`, of rewrites in `replaces`, of metrics in `deep`. `report` says it in plain text.

mod chains;
mod current;
mod deep;
mod history;
mod replaces;
mod report;
mod sizes;

use std::collections::BTreeSet;
use std::sync::Arc;

use iceberg::spec::TableMetadata;

use crate::error::CatalogError;
use crate::lake::{LakeCatalog, TableId};
use crate::read::{LiveFile, Totals, totals};
use chains::chains;
use current::Current;

pub use chains::SinkChain;
pub use deep::Deep;
pub use replaces::{Rewrites, Rewritten, rewrites, rewritten};
pub use report::VerifyReport;

/// Problems of one kind that are listed; the rest is counted.
const LISTED: usize = 10;

/// How deep a verification goes; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Metadata and manifests. No data file is asked for.
    Metadata,
    /// The size of every file that the current snapshot refers to: one request for each.
    Files,
    /// Rows, bounds and nulls of every Parquet file, from footers, and from the pages where a footer does not tell.
    Content,
}

/// What a verification is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Manifests of the current snapshot.
    Manifests,
    /// Sizes of files.
    Sizes,
    /// Rewrites in the table's history.
    Rewrites,
    /// Footers of files.
    Footers,
}

/// Is told how far a verification is; called from several tasks.
pub trait Progress: Send + Sync {
    /// `done` of `all` steps of this kind are done.
    fn at(&self, step: Step, done: usize, all: usize);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn at(&self, _: Step, _: usize, _: usize) {}
}

/// Checks a table. Only what cannot be asked for at all is an error; everything that is wrong is in the report.
///
/// # Errors
/// The catalog's and the store's, but for files that are not there.
pub async fn verify(catalog: &Arc<dyn LakeCatalog>, id: &TableId, depth: Depth, progress: &dyn Progress) -> Result<VerifyReport, CatalogError> {
    let table = catalog.load(id).await?;
    let metadata = &table.metadata;
    let snapshots = history::of(metadata)?;
    let mut problems = history::sequence_problems(metadata, &snapshots);
    let (markers, unreadable) = history::markers(&table);
    problems.extend(unreadable);
    let (facts, unreadable) = history::commits(metadata, &snapshots);
    problems.extend(unreadable);
    let (sinks, broken) = chains(facts, &markers);
    problems.extend(broken);

    let Current { manifests, files, problems: found } = current::read(catalog.file_systems(), &table, progress).await?;
    problems.extend(found);
    let counted = totals(&files);
    problems.extend(total_problems(metadata, counted));
    problems.extend(double_problems(&files));
    let mut unsound = BTreeSet::new();
    if depth >= Depth::Files {
        let found = sizes::check(catalog.file_systems(), &files, progress).await?;
        unsound = found.iter().map(|problem| problem.path.clone()).collect();
        problems.extend(few(found.iter().map(ToString::to_string).collect()));
    }
    let (rewrites, found) = replaces::check(&table, &snapshots, depth, progress).await?;
    problems.extend(found);
    let mut deep = None;
    if depth >= Depth::Content {
        let sound: Vec<&LiveFile> = files.iter().filter(|live| !unsound.contains(live.file.file_path())).collect();
        let (done, found) = deep::check(catalog.file_systems(), metadata, &sound, progress).await?;
        deep = Some(done);
        problems.extend(few(found));
    }
    Ok(VerifyReport {
        table: format!("{}.{id}", catalog.name()),
        uuid: metadata.uuid().to_string(),
        snapshot: metadata.current_snapshot_id(),
        snapshots: metadata.snapshots().len(),
        manifests,
        totals: counted,
        sizes: depth >= Depth::Files,
        rewrites,
        deep,
        sinks,
        problems,
    })
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

/// Files that the snapshot has twice. Several deletion vectors may be in one file, each at a place of its own.
fn double_problems(files: &[LiveFile]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = files.iter().map(|live| (live.file.file_path(), live.file.content_offset())).filter(|place| !seen.insert(*place));
    few(twice.map(|(path, _)| format!("file `{path}` is referenced more than once")).collect())
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
