//! May this change be committed to this table? Decided from the refreshed metadata alone.

use super::change::Change;
use super::{Append, marker_of};
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::marker::{Marker, stored};
use crate::upkeep::check_fence;

/// What the refreshed table means for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The table holds it; nothing is left to do.
    Already,
    /// The table is exactly where the checkpoint expects it.
    Proceed,
}

/// Decides. The caller swaps only against the very metadata that was judged here.
///
/// # Errors
/// Another table under the name; a later attempt has fenced it; a marker that is not where the checkpoint expects it, with the ways out.
pub(super) fn decide(table: &LakeTable, change: &Change<'_>) -> Result<Verdict, CatalogError> {
    let uuid = table.metadata.uuid().to_string();
    if !uuid.eq_ignore_ascii_case(change.table_uuid) {
        return Err(CatalogError::user(format!(
            "table `{}` was dropped and created again: it has UUID {uuid}, but the files were written for UUID {}. Nothing was committed and no \
             offset was moved. To go on with the new table, start the job under a new name or without its checkpoints.",
            table.name(),
            change.table_uuid
        )));
    }
    if table.metadata.snapshot_by_id(change.snapshot_id).is_some() {
        return Ok(Verdict::Already);
    }
    if let Some(fence) = change.fence {
        check_fence(table, fence)?;
    }
    let Some(append) = change.append else { return Ok(Verdict::Proceed) };
    match marker_of(table, &append.job, &append.sink)? {
        // Our snapshot may have been expired by somebody else; the marker stays. Equal cuts say that it is this very epoch and not one
        // of the same number that was made after an older checkpoint had been restored.
        Some(Marker { epoch, ref cuts }) if epoch == append.epoch && *cuts == append.to => Ok(Verdict::Already),
        marker if marker.as_ref().map(|marker| marker.epoch) == append.previous_epoch => Ok(Verdict::Proceed),
        marker => Err(refusal(table, append, marker.as_ref())),
    }
}

fn refusal(table: &LakeTable, append: &Append, marker: Option<&Marker>) -> CatalogError {
    let name = |epoch: Option<u64>| epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("epoch {epoch}"));
    let (found, expected) = (marker.map(|marker| marker.epoch), append.previous_epoch);
    let facts = format!(
        "table `{}` holds {} of job `{}`, sink `{}`, but the checkpoint of epoch {} was made on {}",
        table.name(),
        name(found),
        append.job,
        append.sink,
        append.epoch,
        name(expected)
    );
    let key = stored::epoch_key(&append.job, &append.sink);
    let ways = if found > expected {
        let newest = found.unwrap_or_default();
        format!(
            "An older checkpoint was restored, or another process runs this job. Either start from a checkpoint of epoch {newest} or later; or, \
             to read that stretch again on purpose, roll the table back to the snapshot of {} and set its property '{key}' (and its '.cut') \
             to that epoch's.",
            name(expected)
        )
    } else {
        format!(
            "The table was rolled back, restored from a copy, or lost its properties. Either bring it back to {}; or, to go on without what is \
             missing, set its property '{key}' (and its '.cut') to that epoch's.",
            name(expected)
        )
    };
    CatalogError::user(format!("{facts}. {ways}"))
}
