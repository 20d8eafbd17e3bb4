//! Settling what earlier keepers have left.
//!
//! For a job the fence goes first. It is a snapshot of its own without any change, not only a property: it moves the branch and takes the next
//! sequence number, so that a swap of an earlier attempt that is still under way fails in every catalog, in a REST catalog too, which looks only
//! at the requirements that a swap names. From then on the table says for good what of the earlier attempts is in it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::{MAIN_BRANCH, Operation, Snapshot};

use super::entry::{Entry, What};
use super::fence::{Fence, Keeper, highest, shut_out, standing};
use super::journal::{Journal, Left};
use super::names::Owner;
use super::reached::Reached;
use super::removal::remove_files;
use crate::commit::{Appends, Known, Replaced, Replacement, TableCommitter, new_snapshot_id, unused_metadata};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::metadata_file::file_name;

/// What a snapshot of a fence says of itself.
const OPERATION: &str = "weir.operation";
const FENCE: &str = "fence";

/// Whether a snapshot is that of a fence, which changes nothing.
pub(crate) fn is_fence(snapshot: &Snapshot) -> bool {
    snapshot.summary().additional_properties.get(OPERATION).is_some_and(|operation| operation == FENCE)
}

/// A command that wrote so long ago is not running any more.
const GRACE: Duration = Duration::from_secs(24 * 3_600);

/// What a recovery has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that were settled.
    pub entries: usize,
    /// Files that were in no snapshot, or only in expired ones.
    pub data_files: usize,
    /// Manifests, manifest lists and metadata files that were not in use.
    pub metadata_files: usize,
}

/// The highest number that an attempt of the job has put into the table's upkeep: as its fence, or as the owner of an entry. One listing, none of a
/// table without snapshots, in which there is nothing to keep up.
///
/// # Errors
/// A fence that cannot be read (corrupt); the store's.
pub async fn highest_fence(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, job: &str) -> Result<Option<u64>, CatalogError> {
    if table.metadata.snapshots().len() == 0 {
        return highest(table, job);
    }
    let entries = Journal::new(catalog, table, Keeper::Command).entries().await?;
    let written = entries.into_iter().filter(|left| left.owner.is_of(job)).filter_map(|left| left.owner.fence()).max();
    Ok(written.max(highest(table, job)?))
}

impl Journal {
    /// Settles the entries of earlier attempts of the same job and sink, and those of commands that are a day old: what they name and the table
    /// does not need is deleted. `now` is the time since 1970. If nothing is left, it costs one listing. Called again, it goes on where it was
    /// cut off.
    ///
    /// # Errors
    /// A later attempt has written (fenced); the catalog's and the stores'. Entries stay then, and so may files.
    pub async fn recover(self: &Arc<Self>, now: Duration) -> Result<Recovered, CatalogError> {
        let (jobs, mut left) = self.left(now).await?;
        if jobs.is_empty() && left.is_empty() {
            return Ok(Recovered::default());
        }
        let committer = TableCommitter::of(&self.catalog, &self.id);
        if let (Some(fence), false) = (self.fence(), jobs.is_empty()) {
            self.raise(&committer, &fence).await?;
        }
        left.extend(jobs);
        let mut entries = Vec::with_capacity(left.len());
        for one in &left {
            entries.extend(self.read(one).await?);
        }
        let table = committer.refresh().await?;
        let recovered = self.settle(&table, &entries).await?;
        self.forget(&left).await?;
        Ok(Recovered { entries: left.len(), ..recovered })
    }

    /// Entries of earlier attempts, and those of old commands.
    async fn left(&self, now: Duration) -> Result<(Vec<Left>, Vec<Left>), CatalogError> {
        let (mut jobs, mut commands) = (Vec::new(), Vec::new());
        for left in self.entries().await? {
            match (&left.owner, &self.owner) {
                (Owner::Job { job, sink, fence }, Owner::Job { job: own_job, sink: own_sink, fence: own }) if (job, sink) == (own_job, own_sink) => {
                    if let (Some(own), true) = (self.fence(), fence > own) {
                        return Err(shut_out(&format!("{}.{}", self.catalog.name(), self.id), &own, *fence));
                    }
                    jobs.extend((fence < own).then_some(left));
                }
                (Owner::Job { .. }, _) => {}
                (Owner::Command, _) => {
                    let written = left.written.and_then(|time| u64::try_from(time.timestamp()).ok()).map(Duration::from_secs);
                    commands.extend(written.is_some_and(|written| now.saturating_sub(written) >= GRACE).then_some(left));
                }
            }
        }
        Ok((jobs, commands))
    }

    /// Commits the fence to the branch, unless the table has it.
    async fn raise(self: &Arc<Self>, committer: &TableCommitter, fence: &Fence) -> Result<(), CatalogError> {
        let base = committer.refresh().await?;
        if standing(&base, fence)? == Some(fence.number) {
            return Ok(());
        }
        let snapshot_id = new_snapshot_id(&base.metadata);
        let work = self.begin(&base);
        work.commit(snapshot_id).await?;
        let replacement = Replacement {
            table_uuid: base.metadata.uuid().to_string(),
            branch: self.keeper.branch().map(str::to_owned),
            snapshot_id,
            added: Vec::new(),
            sequence_number: None,
            fence: Some(fence.clone()),
            replaced: Replaced {
                operation: Operation::Replace,
                read: base.metadata.snapshot_for_ref(self.keeper.branch().unwrap_or(MAIN_BRANCH)).map(|head| head.snapshot_id()),
                files: Vec::new(),
                appends: Appends::Welcome,
                notes: BTreeMap::from([(OPERATION.to_owned(), FENCE.to_owned())]),
            },
        };
        committer.replace(&replacement).await?;
        tracing::info!(table = %self.id, job = fence.job, sink = fence.sink, fence = fence.number, "earlier attempts are shut out of the table's upkeep");
        work.end().await
    }

    /// Deletes what the entries name and the table does not need. The table must be past everything that they were about to do.
    async fn settle(&self, table: &LakeTable, entries: &[Entry]) -> Result<Recovered, CatalogError> {
        let uuid = table.metadata.uuid().to_string();
        // What belongs to another table of the same place is left alone.
        let own = || entries.iter().filter(|entry| entry.table == uuid);
        // What an expiry names is older than the entry, and somebody may have set a branch back to it since.
        let after = |entry: &Entry| if matches!(entry.what, What::Expiry { .. }) { i64::MIN } else { entry.after };
        let Some(after) = own().map(after).min() else { return Ok(Recovered::default()) };
        let (mut files, mut commits, mut expiries) = (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in own() {
            match &entry.what {
                What::Files(paths) => files.extend(paths.iter().cloned()),
                What::Commit(snapshot) => {
                    commits.insert(*snapshot);
                }
                What::Expiry { snapshots, paths } => {
                    expiries.extend(snapshots.first());
                    // They went in one swap: if one of them is there, none has gone.
                    if snapshots.iter().all(|id| table.metadata.snapshot_by_id(*id).is_none()) {
                        files.extend(paths.iter().cloned());
                    }
                }
            }
        }
        let file_systems = self.catalog.file_systems();
        let reached = Reached::after(table, file_systems, after, &files).await?;
        let is_lost = |path: &String| !reached.files.contains(path) && !reached.metadata.contains(file_name(path));
        let lost: Vec<String> = files.into_iter().filter(is_lost).collect();
        remove_files(file_systems, &lost).await?;
        let mut known = Known::of(&table.metadata, &table.metadata_location);
        known.used.extend(reached.metadata);
        known.snapshots = commits;
        known.expired = expiries;
        let metadata_files = unused_metadata(&self.catalog, table, &known).await?.remove(file_systems).await?;
        Ok(Recovered { entries: 0, data_files: lost.len(), metadata_files })
    }
}
