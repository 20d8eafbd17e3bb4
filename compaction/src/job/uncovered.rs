//! What a job has committed to a table since its last copy, counted from the summaries of snapshots.

use iceberg::spec::MAIN_BRANCH;
use weir_catalog::commit::appended_by;
use weir_catalog::lake::LakeTable;

use super::coordinator::Parts;
use super::trigger::Pending;
use crate::run::{SUMMARY_COMPACTED_BY, SUMMARY_COVERED};

/// What the job has committed and no copy has covered yet, as far as the table's history tells.
pub(super) fn uncovered(table: &LakeTable, parts: &Parts) -> Pending {
    let branch = parts.target.branch.as_deref().unwrap_or(MAIN_BRANCH);
    let (mut next, mut pending, mut covered) = (table.metadata.snapshot_for_ref(branch), Pending::default(), None);
    while let Some(snapshot) = next {
        let entry = |key: &str| snapshot.summary().additional_properties.get(key);
        let count = |key: &str| entry(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        if covered.is_none() && entry(SUMMARY_COMPACTED_BY).is_some_and(|job| *job == parts.job) {
            // What came between the snapshot that the copy has read and its own is not in it.
            covered = Some(entry(SUMMARY_COVERED).and_then(|number| number.parse().ok()).unwrap_or_else(|| snapshot.sequence_number()));
        }
        if covered.is_some_and(|covered| snapshot.sequence_number() <= covered) {
            break;
        }
        let files = count("added-data-files");
        if files > 0 && appended_by(snapshot).is_some_and(|(job, sink)| job == parts.job && parts.sinks.contains(sink)) {
            pending = pending.plus(Pending { commits: 1, files, bytes: count("added-files-size") });
        }
        next = snapshot.parent_snapshot_id().and_then(|id| table.metadata.snapshot_by_id(id));
    }
    pending
}
