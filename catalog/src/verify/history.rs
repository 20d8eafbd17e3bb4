//! What the table's metadata says of its history: snapshots in order, markers, and the commits of Weir.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::spec::{FormatVersion, SnapshotRef, TableMetadata};

use super::chains::CommitFact;
use super::few;
use crate::commit::{ancestors, heads, marked_jobs, marker_of};
use crate::error::CatalogError;
use crate::lake::LakeTable;
use crate::marker::{Marker, stored};

/// Every snapshot that a branch or tag leads to, in the order in which they were committed.
pub(super) fn of(metadata: &TableMetadata) -> Result<Vec<SnapshotRef>, CatalogError> {
    let mut seen: HashMap<i64, SnapshotRef> = HashMap::new();
    for head in heads(metadata)? {
        seen.extend(ancestors(metadata, head.snapshot_id).map(|snapshot| (snapshot.snapshot_id(), Arc::clone(snapshot))));
    }
    let mut history: Vec<SnapshotRef> = seen.into_values().collect();
    history.sort_by_key(|snapshot| (snapshot.sequence_number(), snapshot.timestamp_ms()));
    Ok(history)
}

/// Sequence numbers rise from a snapshot to the one made on it, no two snapshots have the same, and none is beyond the table's last one.
/// Snapshots of format 1 have none.
pub(super) fn sequence_problems(metadata: &TableMetadata, history: &[SnapshotRef]) -> Vec<String> {
    if metadata.format_version() == FormatVersion::V1 {
        return Vec::new();
    }
    let last = metadata.last_sequence_number();
    let mut problems = Vec::new();
    for snapshot in history {
        let (id, number) = (snapshot.snapshot_id(), snapshot.sequence_number());
        if number > last {
            problems.push(format!("snapshot {id} has sequence number {number}, beyond the table's last one, {last}"));
        }
        let parent = snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent));
        if let Some(parent) = parent.filter(|parent| number > 0 && parent.sequence_number() >= number) {
            let before = parent.sequence_number();
            problems.push(format!(
                "snapshot {id} has sequence number {number}, though it was made on snapshot {} of number {before}",
                parent.snapshot_id()
            ));
        }
    }
    let mut of_number: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for snapshot in history.iter().filter(|snapshot| snapshot.sequence_number() > 0) {
        of_number.entry(snapshot.sequence_number()).or_default().push(snapshot.snapshot_id());
    }
    let shared = of_number.into_iter().filter(|(_, ids)| ids.len() > 1);
    problems.extend(shared.map(|(number, ids)| {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        format!("snapshots {} share sequence number {number}", ids.join(" and "))
    }));
    few(problems)
}

/// The markers in the table's properties, and those that cannot be read.
pub(super) fn markers(table: &LakeTable) -> (BTreeMap<(String, String), Marker>, Vec<String>) {
    let (mut markers, mut problems) = (BTreeMap::new(), Vec::new());
    for (job, sink) in marked_jobs(table).into_iter().flat_map(|(job, sinks)| sinks.into_iter().map(move |sink| (job.clone(), sink))) {
        match marker_of(table, &job, &sink) {
            Ok(marker) => markers.extend(marker.map(|marker| ((job, sink), marker))),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (markers, problems)
}

/// The commits of Weir among the snapshots, and those whose summaries cannot be read.
pub(super) fn commits(metadata: &TableMetadata, history: &[SnapshotRef]) -> (Vec<CommitFact>, Vec<String>) {
    let mut facts: Vec<CommitFact> = Vec::new();
    let mut problems = Vec::new();
    let mut last: HashMap<(String, String), i64> = HashMap::new();
    for snapshot in history {
        let summary = &snapshot.summary().additional_properties;
        let Some(job) = summary.get(stored::SUMMARY_JOB) else { continue };
        let text = |key: &str| summary.get(key).map(String::as_str);
        let read = || {
            let sink = text(stored::SUMMARY_SINK)?.to_owned();
            let epoch = text(stored::SUMMARY_EPOCH)?.parse().ok()?;
            let gaps = text(stored::SUMMARY_GAPS).map_or_else(|| Some(Vec::new()), stored::decode_gaps)?;
            Some((sink, epoch, stored::decode(text(stored::SUMMARY_FROM)?)?, stored::decode(text(stored::SUMMARY_TO)?)?, gaps))
        };
        let Some((sink, epoch, from, to, gaps)) = read() else {
            problems.push(format!("snapshot {} of job `{job}` has a summary that cannot be read", snapshot.snapshot_id()));
            continue;
        };
        let before = last.insert((job.clone(), sink.clone()), snapshot.snapshot_id());
        let expired_before = has_hole(metadata, snapshot, before);
        facts.push(CommitFact { job: job.clone(), sink, epoch, from, to, gaps, snapshot_id: snapshot.snapshot_id(), expired_before });
    }
    (facts, few(problems))
}

/// Whether the way back from `snapshot` to `until` (or to the table's first snapshot) misses a snapshot.
fn has_hole(metadata: &TableMetadata, snapshot: &SnapshotRef, until: Option<i64>) -> bool {
    let mut oldest = snapshot;
    for ancestor in ancestors(metadata, snapshot.snapshot_id()) {
        if Some(ancestor.snapshot_id()) == until {
            return false;
        }
        oldest = ancestor;
    }
    oldest.parent_snapshot_id().is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::commit::TableCommitter;
    use crate::tests::support::{create, epoch_of, memory, table_id};

    /// The problems of a table of three snapshots whose metadata was changed by hand.
    async fn problems(change: impl Fn(&mut Vec<Value>)) -> Vec<String> {
        let catalog = memory();
        let table = create(&catalog, &[]).await;
        let committer = TableCommitter::of(&catalog, &table_id());
        for epoch in 1..=3 {
            committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
        }
        let metadata = committer.refresh().await.expect("loaded").metadata;
        let mut json = serde_json::to_value(metadata.as_ref()).expect("serialises");
        let snapshots = json["snapshots"].as_array_mut().expect("snapshots");
        snapshots.sort_by_key(|snapshot| snapshot["sequence-number"].as_i64());
        change(snapshots);
        let metadata: TableMetadata = serde_json::from_value(json).expect("still metadata");
        sequence_problems(&metadata, &of(&metadata).expect("history"))
    }

    #[tokio::test]
    async fn sequence_numbers_must_rise_from_each_snapshot_to_the_next() {
        assert!(problems(|_| {}).await.is_empty());
        let fallen = problems(|snapshots| snapshots[2]["sequence-number"] = json!(1)).await;
        assert!(fallen.iter().any(|problem| problem.contains("has sequence number 1, though it was made on snapshot")), "{fallen:?}");
        assert!(fallen.iter().any(|problem| problem.contains("share sequence number 1")), "{fallen:?}");
        let exchanged = problems(|snapshots| {
            snapshots[0]["sequence-number"] = json!(2);
            snapshots[1]["sequence-number"] = json!(1);
        })
        .await;
        assert!(exchanged.len() == 1 && exchanged[0].contains("has sequence number 1, though"), "{exchanged:?}");
    }
}
