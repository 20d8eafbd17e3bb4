//! Branches and tags of a table, which the crate shows only in the JSON form of its metadata.

use std::collections::BTreeMap;

use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use weir_base::ErrorKind;

use crate::error::CatalogError;

/// All branches and tags by name.
///
/// # Errors
/// Metadata that cannot be shown as JSON, which is a defect.
pub fn references(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>, CatalogError> {
    let unreadable = |error| CatalogError::caused(ErrorKind::Internal, format!("references of the table cannot be read: {error}"), error);
    let mut json = serde_json::to_value(metadata).map_err(unreadable)?;
    match json.get_mut("refs").map(serde_json::Value::take) {
        Some(refs) => serde_json::from_value(refs).map_err(unreadable),
        None => {
            let retention = SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
            let main = metadata.current_snapshot_id().map(|id| SnapshotReference::new(id, retention));
            Ok(main.map(|reference| (MAIN_BRANCH.to_owned(), reference)).into_iter().collect())
        }
    }
}
