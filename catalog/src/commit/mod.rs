//! The commit path: appends with their markers and replacements of files, serialised by one committer for each table.
//!
//! A [`change`] is what one snapshot is made of. [`decide`](decide::decide) says what a refreshed table means for it; [`stage`] writes
//! manifests and the manifest list for one try, with [`replace`] for files that leave the table; [`committer`] runs the loop of refresh,
//! decide, stage and swap, and cleans up by name.

mod change;
mod committer;
mod decide;
mod expire;
mod history;
mod litter;
mod merge;
mod news;
mod regroup;
mod replace;
mod stage;
mod summary;

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, Snapshot, TableMetadata};
use uuid::Uuid;
use weir_base::ErrorKind;

use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::marker::{Cuts, Gap, Marker, stored};

pub use change::{Appends, Replaced, Replacement};
pub use committer::{Held, TableCommitter};
pub use expire::{AtMost, ExpireRules, Expired, GoneFile, GoneKind};
pub use news::News;
pub use regroup::{RewriteManifests, RewrittenManifests};

pub(crate) use history::{ancestors, heads};
pub(crate) use litter::{Known, unused as unused_metadata};
pub(crate) use stage::{read_file, read_manifest_list};

/// What one epoch of one sink appends.
#[derive(Debug, Clone)]
pub struct Append {
    /// UUID that the table must have.
    pub table_uuid: String,
    /// Branch to commit to; `None` is `main`.
    pub branch: Option<String>,
    /// Pre-assigned snapshot id.
    pub snapshot_id: i64,
    /// Job and sink of the marker.
    pub job: String,
    /// Sink id.
    pub sink: String,
    /// Epoch of this commit.
    pub epoch: u64,
    /// Epoch that the table's marker must have; `None`: the table has no marker of this job and sink.
    pub previous_epoch: Option<u64>,
    /// Cuts before.
    pub from: Cuts,
    /// Cuts after.
    pub to: Cuts,
    /// Stretches between them that the sink was not given.
    pub gaps: Vec<Gap>,
    /// The files, all written for this table; none of them in it.
    pub files: Vec<DataFile>,
    /// Data sequence number of the files, as in [`Replacement`]; `None`: that of the commit.
    pub sequence_number: Option<i64>,
    /// What they take the place of; `None`: they come on top of what is there.
    pub replaced: Option<Replaced>,
}

/// How an append or a replacement ended.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The snapshot was there already.
    pub already: bool,
    /// Snapshot id.
    pub snapshot_id: i64,
    /// Times that the table had changed and the commit was made anew.
    pub retries: u32,
}

/// The marker of a job and sink in a table, if it has one.
///
/// # Errors
/// One that cannot be read (corrupt): to go on as if there were none would read, and delete, what the table holds already.
pub fn marker_of(table: &LakeTable, job: &str, sink: &str) -> Result<Option<Marker>, CatalogError> {
    stored::read(table.metadata.properties(), job, sink).map_err(|property| {
        CatalogError::other(ErrorKind::Corrupt, format!("property `{property}` of table `{}` holds no marker that can be read", table.name()))
    })
}

/// A positive id that no snapshot of the table has.
#[must_use]
pub fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let id = i64::try_from((high ^ low) >> 1).unwrap_or(0);
        if id > 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

/// Job and sink whose append a snapshot is.
#[must_use]
pub fn appended_by(snapshot: &Snapshot) -> Option<(&str, &str)> {
    let entry = |key: &str| snapshot.summary().additional_properties.get(key).map(String::as_str);
    Some((entry(stored::SUMMARY_JOB)?, entry(stored::SUMMARY_SINK)?))
}

/// Every job whose marker the table carries, with its sinks.
#[must_use]
pub fn marked_jobs(table: &LakeTable) -> BTreeMap<String, Vec<String>> {
    let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (job, sink) in table.metadata.properties().keys().filter_map(|key| stored::job_and_sink(key)) {
        jobs.entry(job).or_default().push(sink);
    }
    jobs.values_mut().for_each(|sinks| sinks.sort_unstable());
    jobs
}
