//! What work that is under way, or was cut off, has written down in the table's journal: recovery settles it by name, and nobody else.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::metadata_file::snapshot_in;
use crate::upkeep::entry::What;
use crate::upkeep::{Journal, Keeper};

/// What the entries of a journal name.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Data files.
    pub(super) files: Vec<String>,
    /// Snapshots that are about to be committed.
    snapshots: HashSet<i64>,
}

impl Begun {
    /// Reads the journal of `table`, whosever the entries are.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable) -> Result<Self, CatalogError> {
        let journal = Journal::new(catalog, table, Keeper::Command);
        let mut begun = Self::default();
        for left in journal.entries().await? {
            match journal.read(&left).await?.map(|entry| entry.what) {
                Some(What::Files(paths)) => begun.files.extend(paths),
                Some(What::Commit(snapshot)) => {
                    begun.snapshots.insert(snapshot);
                }
                // Recovery deletes the files, if the snapshots have gone.
                Some(What::Expiry { snapshots, paths }) => {
                    begun.snapshots.extend(snapshots);
                    begun.files.extend(paths);
                }
                None => {}
            }
        }
        Ok(begun)
    }

    /// Whether the name is that of metadata which was written for one of the commits.
    pub(super) fn is_of_commit(&self, name: &str) -> bool {
        !self.snapshots.is_empty() && snapshot_in(name).is_some_and(|snapshot| self.snapshots.contains(&snapshot))
    }
}
