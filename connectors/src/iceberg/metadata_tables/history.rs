//! `$snapshots`, `$history`, `$refs`, `$metadata_log`: what the metadata file itself says.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use iceberg::spec::{MetadataLog, SnapshotLog, SnapshotRef, SnapshotRetention, TableMetadata};
use weir_catalog::lake::LakeTable;
use weir_catalog::references::references;

use super::columns::Columns;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;

pub(super) fn snapshots(metadata: &TableMetadata) -> Result<RecordBatch, ConnectorError> {
    let mut all: Vec<&SnapshotRef> = metadata.snapshots().collect();
    all.sort_by_key(|snapshot| (snapshot.timestamp_ms(), snapshot.sequence_number()));
    let all = || all.iter();
    Columns::default()
        .times("committed_at", all().map(|snapshot| snapshot.timestamp_ms()))
        .longs("snapshot_id", all().map(|snapshot| Some(snapshot.snapshot_id())))
        .longs("parent_id", all().map(|snapshot| snapshot.parent_snapshot_id()))
        .texts("operation", all().map(|snapshot| Some(snapshot.summary().operation.as_str().to_owned())))
        .texts("manifest_list", all().map(|snapshot| Some(snapshot.manifest_list().to_owned())))
        .longs("sequence_number", all().map(|snapshot| Some(snapshot.sequence_number())))
        .ints("schema_id", all().map(|snapshot| snapshot.schema_id()))
        .properties("summary", all().map(|snapshot| &snapshot.summary().additional_properties))?
        .finish()
}

pub(super) fn history(metadata: &TableMetadata) -> Result<RecordBatch, ConnectorError> {
    let ancestors: HashSet<i64> = ancestors(metadata).collect();
    let all = || metadata.history().iter();
    let parent = |entry: &SnapshotLog| metadata.snapshot_by_id(entry.snapshot_id).and_then(|snapshot| snapshot.parent_snapshot_id());
    Columns::default()
        .times("made_current_at", all().map(SnapshotLog::timestamp_ms))
        .longs("snapshot_id", all().map(|entry| Some(entry.snapshot_id)))
        .longs("parent_id", all().map(parent))
        .flags("is_current_ancestor", all().map(|entry| ancestors.contains(&entry.snapshot_id)))
        .finish()
}

/// The current snapshot, its parent, and so on.
fn ancestors(metadata: &TableMetadata) -> impl Iterator<Item = i64> + '_ {
    let parent = |id: &i64| metadata.snapshot_by_id(*id).and_then(|snapshot| snapshot.parent_snapshot_id());
    std::iter::successors(metadata.current_snapshot_id(), parent)
}

pub(super) fn refs(metadata: &TableMetadata) -> Result<RecordBatch, ConnectorError> {
    let refs = references(metadata).map_err(catalog_error)?;
    let all = || refs.iter();
    Columns::default()
        .texts("name", all().map(|(name, _)| Some(name.clone())))
        .texts("type", all().map(|(_, one)| Some(if one.is_branch() { "BRANCH" } else { "TAG" }.to_owned())))
        .longs("snapshot_id", all().map(|(_, one)| Some(one.snapshot_id)))
        .longs(
            "max_reference_age_in_ms",
            all().map(|(_, one)| match one.retention {
                SnapshotRetention::Branch { max_ref_age_ms, .. } | SnapshotRetention::Tag { max_ref_age_ms } => max_ref_age_ms,
            }),
        )
        .ints(
            "min_snapshots_to_keep",
            all().map(|(_, one)| match one.retention {
                SnapshotRetention::Branch { min_snapshots_to_keep, .. } => min_snapshots_to_keep,
                SnapshotRetention::Tag { .. } => None,
            }),
        )
        .longs(
            "max_snapshot_age_in_ms",
            all().map(|(_, one)| match one.retention {
                SnapshotRetention::Branch { max_snapshot_age_ms, .. } => max_snapshot_age_ms,
                SnapshotRetention::Tag { .. } => None,
            }),
        )
        .finish()
}

pub(super) fn metadata_log(table: &LakeTable) -> Result<RecordBatch, ConnectorError> {
    let metadata = &table.metadata;
    let now = MetadataLog { timestamp_ms: metadata.last_updated_ms(), metadata_file: table.metadata_location.clone() };
    let all: Vec<&MetadataLog> = metadata.metadata_log().iter().chain([&now]).collect();
    // The snapshot that was current when the file was written.
    let latest = |entry: &MetadataLog| metadata.history().iter().rfind(|log| log.timestamp_ms() <= entry.timestamp_ms).map(|log| log.snapshot_id);
    let snapshot = |entry: &MetadataLog| latest(entry).and_then(|id| metadata.snapshot_by_id(id));
    let all = || all.iter();
    Columns::default()
        .times("timestamp", all().map(|entry| entry.timestamp_ms))
        .texts("file", all().map(|entry| Some(entry.metadata_file.clone())))
        .longs("latest_snapshot_id", all().map(|entry| latest(entry)))
        .ints("latest_schema_id", all().map(|entry| snapshot(entry).and_then(|snapshot| snapshot.schema_id())))
        .longs("latest_sequence_number", all().map(|entry| snapshot(entry).map(|snapshot| snapshot.sequence_number())))
        .finish()
}
