//! The snapshots of a table as branches and tags lead to them.

use iceberg::spec::{SnapshotRef, SnapshotReference, SnapshotRetention, TableMetadata};

use crate::error::CatalogError;
use crate::references::references;

/// A branch or tag.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) snapshot_id: i64,
    pub(crate) is_branch: bool,
    pub(crate) min_to_keep: Option<usize>,
    pub(crate) max_age_ms: Option<i64>,
}

/// A snapshot and those before it, newest first, as far as the metadata knows them.
pub(crate) fn ancestors(metadata: &TableMetadata, from: i64) -> impl Iterator<Item = &SnapshotRef> {
    let mut next = Some(from);
    let mut left = metadata.snapshots().len();
    std::iter::from_fn(move || {
        // The count ends a cycle, which only broken metadata can have.
        left = left.checked_sub(1)?;
        let snapshot = metadata.snapshot_by_id(next?)?;
        next = snapshot.parent_snapshot_id();
        Some(snapshot)
    })
}

/// The heads of branches and tags.
pub(crate) fn heads(metadata: &TableMetadata) -> Result<Vec<Head>, CatalogError> {
    let head = |(name, reference): (String, SnapshotReference)| {
        let (min_to_keep, max_age_ms) = match reference.retention {
            SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, .. } => (min_snapshots_to_keep, max_snapshot_age_ms),
            SnapshotRetention::Tag { .. } => (None, None),
        };
        let min_to_keep = min_to_keep.and_then(|count| usize::try_from(count).ok());
        Head { name, snapshot_id: reference.snapshot_id, is_branch: reference.is_branch(), min_to_keep, max_age_ms }
    };
    Ok(references(metadata)?.into_iter().map(head).collect())
}
