//! Branches as commands change them: the head, the snapshots before it, and the swap that moves it.

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::{MAIN_BRANCH, SnapshotRef, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use weir_base::options::closest;

use crate::commit::ancestors;
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::references::references;

/// A branch of a table.
#[derive(Debug)]
pub(super) struct Branch<'a> {
    pub(super) table: &'a LakeTable,
    pub(super) name: &'a str,
    pub(super) all: BTreeMap<String, SnapshotReference>,
    /// `None`: the main branch of a table without snapshots.
    pub(super) head: Option<i64>,
}

impl<'a> Branch<'a> {
    /// # Errors
    /// A branch that the table does not have, with the nearest one; a tag.
    pub(super) fn of(table: &'a LakeTable, name: Option<&'a str>) -> Result<Self, CatalogError> {
        let name = name.unwrap_or(MAIN_BRANCH);
        let all = references(&table.metadata)?;
        let head = match all.get(name) {
            Some(found) if found.is_branch() => Some(found.snapshot_id),
            Some(_) => return Err(CatalogError::user(format!("'{name}' of table `{}` is a tag, which does not move. Name a branch", table.name()))),
            None if name == MAIN_BRANCH => None,
            None => {
                let branches = || all.iter().filter(|(_, reference)| reference.is_branch()).map(|(name, _)| name.as_str());
                let near = closest(name, branches()).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
                return Err(CatalogError::user(format!("table `{}` has no branch '{name}'.{near}", table.name())));
            }
        };
        Ok(Self { table, name, all, head })
    }

    pub(super) fn metadata(&self) -> &'a TableMetadata {
        &self.table.metadata
    }

    /// The head and the snapshots before it, newest first, as far as the table knows them.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = &'a SnapshotRef> + use<'a> {
        let metadata = self.metadata();
        self.head.into_iter().flat_map(move |head| ancestors(metadata, head))
    }

    /// A snapshot of the table.
    ///
    /// # Errors
    /// One that the table does not have, with its newest ones.
    pub(super) fn snapshot(&self, id: i64) -> Result<&'a SnapshotRef, CatalogError> {
        self.metadata().snapshot_by_id(id).ok_or_else(|| {
            let mut known: Vec<&SnapshotRef> = self.metadata().snapshots().collect();
            known.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.timestamp_ms()));
            let newest: Vec<String> = known.iter().take(3).map(|snapshot| snapshot.snapshot_id().to_string()).collect();
            let known = if newest.is_empty() { "it has none".to_owned() } else { format!("its newest ones are {}", newest.join(", ")) };
            CatalogError::user(format!("table `{}` has no snapshot {id}; it may have been expired ({known})", self.table.name()))
        })
    }

    /// Snapshots that some branch or tag leads to, if this branch were at `head`.
    pub(super) fn reachable_with(&self, head: Option<i64>) -> HashSet<i64> {
        let others = self.all.iter().filter(|(name, _)| *name != self.name).map(|(_, reference)| reference.snapshot_id);
        others.chain(head).flat_map(|head| ancestors(self.metadata(), head)).map(|snapshot| snapshot.snapshot_id()).collect()
    }

    /// That the table and the branch are what was looked at.
    pub(super) fn requirements(&self) -> Vec<TableRequirement> {
        vec![
            TableRequirement::UuidMatch { uuid: self.metadata().uuid() },
            TableRequirement::RefSnapshotIdMatch { r#ref: self.name.to_owned(), snapshot_id: self.head },
        ]
    }

    /// The branch at another snapshot; its rules of retention stay.
    pub(super) fn moved_to(&self, snapshot_id: i64) -> TableUpdate {
        let retention = self.all.get(self.name).map_or_else(
            || SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None },
            |reference| reference.retention.clone(),
        );
        TableUpdate::SetSnapshotRef { ref_name: self.name.to_owned(), reference: SnapshotReference::new(snapshot_id, retention) }
    }
}
