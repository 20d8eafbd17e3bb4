//! Branches and tags of a table, which the crate shows only in the JSON form of its metadata.

use std::collections::BTreeMap;

use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use serde::Deserialize;
use weir_base::ErrorKind;

use crate::error::CatalogError;

/// What of the metadata is looked at.
#[derive(Deserialize)]
struct Shown {
    refs: Option<BTreeMap<String, SnapshotReference>>,
}

/// All branches and tags by name.
///
/// # Errors
/// Metadata that cannot be shown as JSON, which is a defect.
pub fn references(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>, CatalogError> {
    let json = serde_json::to_vec(metadata).map_err(defect)?;
    let shown: Shown = serde_json::from_slice(&json).map_err(defect)?;
    Ok(shown.refs.unwrap_or_else(|| {
        let retention = SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
        let main = metadata.current_snapshot_id().map(|id| SnapshotReference::new(id, retention));
        main.map(|reference| (MAIN_BRANCH.to_owned(), reference)).into_iter().collect()
    }))
}

pub(crate) fn defect(error: serde_json::Error) -> CatalogError {
    CatalogError::caused(ErrorKind::Internal, format!("the metadata of the table cannot be shown as JSON: {error}"), error)
}
