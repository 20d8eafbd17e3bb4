//! What one snapshot is made of: the append of a job, files in the place of others, or both at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use iceberg::spec::{DataFile, Operation};

use super::Append;
use super::regroup::Regroup;
use crate::marker::stored;
use crate::read::LiveFile;
use crate::upkeep::{Fence, fence_property};

/// Files that take the place of others in one snapshot, without the marker of a job: compaction, DELETE, UPDATE, MERGE.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// UUID that the table must have.
    pub table_uuid: String,
    /// Branch to commit to; `None` is `main`.
    pub branch: Option<String>,
    /// Pre-assigned snapshot id.
    pub snapshot_id: i64,
    /// New data files, all written for this table; none of them in it.
    pub added: Vec<DataFile>,
    /// Data sequence number of the new files; `None`: that of the commit.
    ///
    /// Files whose rows stood in the table before take the sequence number of the snapshot that was read, and all deletes up to it are
    /// applied to their rows: an equality delete that comes in between then still applies to them, and no earlier one does. With `None` such
    /// a delete would be lost, so that it makes the commit give way.
    pub sequence_number: Option<i64>,
    /// What leaves the table.
    pub replaced: Replaced,
    /// The attempt of a job that makes it: refused if a later one has fenced the table, and it fences earlier ones.
    pub fence: Option<Fence>,
}

/// Files that leave a table, and what the commit gives way to.
///
/// The commit fails with [`CatalogError::Overtaken`](crate::CatalogError::Overtaken), and leaves the table as it is, if one of the files is
/// gone, if a delete that was added since applies to one of them, or if `appends` says so.
#[derive(Debug, Clone)]
pub struct Replaced {
    /// `Replace` if no row changes, `Delete` if rows only go, else `Overwrite`.
    pub operation: Operation,
    /// The snapshot that was read; `None`: the branch had none.
    pub read: Option<i64>,
    /// The files, of data and of deletes, as they were read.
    pub files: Vec<LiveFile>,
    /// What is made of files that others have added since.
    pub appends: Appends,
    /// More entries for the snapshot's summary.
    pub notes: BTreeMap<String, String>,
}

/// What a commit makes of data files that others have added since its snapshot was read.
#[derive(Clone)]
pub enum Appends {
    /// They do not matter.
    Welcome,
    /// It gives way to those for which this is true.
    Heeded(Arc<dyn Fn(&LiveFile) -> bool + Send + Sync>),
}

impl fmt::Debug for Appends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Welcome => "Welcome",
            Self::Heeded(_) => "Heeded",
        })
    }
}

/// An append or a replacement as the commit path sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) table_uuid: &'a str,
    pub(super) branch: Option<&'a str>,
    pub(super) snapshot_id: i64,
    pub(super) added: &'a [DataFile],
    pub(super) sequence_number: Option<i64>,
    pub(super) replaced: Option<&'a Replaced>,
    /// Manifests are written anew, and no file comes or goes.
    pub(super) regroup: Option<Regroup>,
    /// The append, for its marker.
    pub(super) append: Option<&'a Append>,
    pub(super) fence: Option<&'a Fence>,
}

impl Change<'_> {
    pub(super) fn operation(&self) -> Operation {
        self.replaced.map_or(Operation::Append, |replaced| replaced.operation.clone())
    }

    /// The marker and the fence as table properties.
    pub(super) fn properties(&self) -> HashMap<String, String> {
        let marker = |append: &Append| {
            [
                (stored::epoch_key(&append.job, &append.sink), append.epoch.to_string()),
                (stored::cut_key(&append.job, &append.sink), stored::encode(&append.to)),
            ]
        };
        self.append.into_iter().flat_map(marker).chain(self.fence.map(fence_property)).collect()
    }
}

impl<'a> From<&'a Append> for Change<'a> {
    fn from(append: &'a Append) -> Self {
        Self {
            table_uuid: &append.table_uuid,
            branch: append.branch.as_deref(),
            snapshot_id: append.snapshot_id,
            added: &append.files,
            sequence_number: append.sequence_number,
            replaced: append.replaced.as_ref(),
            regroup: None,
            append: Some(append),
            fence: None,
        }
    }
}

impl<'a> From<&'a Replacement> for Change<'a> {
    fn from(replacement: &'a Replacement) -> Self {
        Self {
            table_uuid: &replacement.table_uuid,
            branch: replacement.branch.as_deref(),
            snapshot_id: replacement.snapshot_id,
            added: &replacement.added,
            sequence_number: replacement.sequence_number,
            replaced: Some(&replacement.replaced),
            regroup: None,
            append: None,
            fence: replacement.fence.as_ref(),
        }
    }
}
