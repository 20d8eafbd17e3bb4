//! The text of metadata files: whatever commits do, reading it gives the metadata that was written.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{
    EncryptedKey, FormatVersion, MAIN_BRANCH, NestedField, NullOrder, Operation, PartitionSpec, PartitionStatisticsFile, PrimitiveType, Schema,
    Snapshot, SnapshotReference, SnapshotRetention, SortDirection, SortField, SortOrder, StatisticsFile, Summary, TableMetadata,
    TableMetadataBuilder, TableMetadataRef, Transform, Type,
};
use proptest::prelude::*;
use serde_json::json;

use crate::metadata_text::LastText;
use crate::references::references;

const NOW: i64 = 1_700_000_000_000;

/// A table with something of everything, and no snapshot.
fn metadata(version: FormatVersion) -> TableMetadata {
    let column = |id, name: &str| NestedField::optional(id, name, Type::Primitive(PrimitiveType::Long)).into();
    let schema = Schema::builder().with_fields([column(1, "id"), column(2, "p \"quoted\"")]).build().expect("a schema");
    let spec = PartitionSpec::builder(schema.clone()).add_partition_field("id", "bucket", Transform::Bucket(4)).expect("a field");
    let field = SortField::builder().source_id(1).transform(Transform::Identity).direction(SortDirection::Descending);
    let order = SortOrder::builder().with_sort_field(field.null_order(NullOrder::Last).build()).build_unbound().expect("an order");
    let properties = HashMap::from([("write.metadata.previous-versions-max".to_owned(), "3".to_owned()), ("ключ".to_owned(), "\n\"\\".to_owned())]);
    let spec = spec.build().expect("a spec");
    let new = TableMetadataBuilder::new(schema, spec, order, "memory://x/t".to_owned(), version, properties).expect("complete");
    let wider = Schema::builder().with_fields([column(1, "id"), column(2, "p \"quoted\""), column(3, "more")]).build().expect("a schema");
    new.add_current_schema(wider).expect("added").build().expect("built").metadata
}

/// What a commit does, by numbers that are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Appends to main, or to the branch of a number.
    Append(Option<usize>),
    /// Expires all but so many of the newest.
    Expire(usize),
    Tag(usize),
    Untag(usize),
    Property(usize),
    Statistics(usize),
    Key(usize),
    /// Somebody else commits in between.
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append(None)),
        1 => (0_usize..3).prop_map(|branch| Step::Append(Some(branch))),
        2 => (0_usize..6).prop_map(Step::Expire),
        1 => (0_usize..9).prop_map(Step::Tag),
        1 => (0_usize..9).prop_map(Step::Untag),
        1 => (0_usize..9).prop_map(Step::Property),
        1 => (0_usize..9).prop_map(Step::Statistics),
        1 => (0_usize..9).prop_map(Step::Key),
        1 => Just(Step::Other),
    ]
}

fn snapshot(base: &TableMetadata, branch: &str) -> Snapshot {
    let number = base.next_sequence_number();
    let summary = Summary { operation: Operation::Append, additional_properties: HashMap::from([("said".to_owned(), "\"{,}\"\n".to_owned())]) };
    let builder = Snapshot::builder()
        .with_snapshot_id(1_000 + number)
        .with_parent_snapshot_id(base.snapshot_for_ref(branch).map(|parent| parent.snapshot_id()))
        .with_sequence_number(number)
        .with_timestamp_ms(NOW.max(base.last_updated_ms()) + number)
        .with_manifest_list(format!("memory://x/t/metadata/snap-{number}.avro"))
        .with_summary(summary)
        .with_schema_id(base.current_schema_id());
    if base.format_version() == FormatVersion::V3 { builder.with_row_range(base.next_row_id(), 7).build() } else { builder.build() }
}

/// A step as updates; none where there is nothing to do.
fn updates(base: &TableMetadata, step: &Step) -> Vec<TableUpdate> {
    let mut ids: Vec<i64> = base.snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
    ids.sort_unstable();
    let at = |number: usize| (!ids.is_empty()).then(|| ids[number % ids.len()]);
    let refs = references(base).expect("shown");
    match step {
        Step::Append(branch) => {
            let branch = branch.map_or(MAIN_BRANCH.to_owned(), |number| format!("branch {number}"));
            let retention = SnapshotRetention::Branch { min_snapshots_to_keep: Some(2), max_snapshot_age_ms: None, max_ref_age_ms: Some(5) };
            let snapshot = snapshot(base, &branch);
            let reference = SnapshotReference::new(snapshot.snapshot_id(), retention);
            vec![TableUpdate::AddSnapshot { snapshot }, TableUpdate::SetSnapshotRef { ref_name: branch, reference }]
        }
        Step::Expire(keep) => {
            // Heads of branches stay, and main's newest; tags go with their snapshots.
            let heads: Vec<i64> = refs.values().filter(|reference| reference.is_branch()).map(|reference| reference.snapshot_id).collect();
            let going: Vec<i64> = ids.iter().rev().skip(*keep).copied().filter(|id| !heads.contains(id)).collect();
            if going.is_empty() { Vec::new() } else { vec![TableUpdate::RemoveSnapshots { snapshot_ids: going }] }
        }
        Step::Tag(number) => at(*number).map_or_else(Vec::new, |id| {
            let reference = SnapshotReference::new(id, SnapshotRetention::Tag { max_ref_age_ms: None });
            vec![TableUpdate::SetSnapshotRef { ref_name: format!("tag {}", number % 3), reference }]
        }),
        Step::Untag(number) => {
            let others: Vec<&String> = refs.keys().filter(|name| *name != MAIN_BRANCH).collect();
            let name = (!others.is_empty()).then(|| others[number % others.len()].clone());
            name.map(|ref_name| TableUpdate::RemoveSnapshotRef { ref_name }).into_iter().collect()
        }
        Step::Property(number) => vec![TableUpdate::SetProperties { updates: HashMap::from([(format!("p{number}"), "v".to_owned())]) }],
        Step::Statistics(number) => at(*number).map_or_else(Vec::new, |snapshot_id| {
            let statistics: StatisticsFile = serde_json::from_value(json!({
                "snapshot-id": snapshot_id, "statistics-path": "s.puffin", "file-size-in-bytes": 4, "file-footer-size-in-bytes": 2, "blob-metadata": [],
            }))
            .expect("statistics");
            let of_partitions = PartitionStatisticsFile { snapshot_id, statistics_path: "p".to_owned(), file_size_in_bytes: 3 };
            vec![TableUpdate::SetStatistics { statistics }, TableUpdate::SetPartitionStatistics { partition_statistics: of_partitions }]
        }),
        Step::Key(number) if base.format_version() == FormatVersion::V3 => {
            let encryption_key = EncryptedKey::builder().key_id(format!("k{number}")).encrypted_key_metadata(vec![1, 2, 3]).build();
            vec![TableUpdate::AddEncryptionKey { encryption_key }]
        }
        Step::Key(_) | Step::Other => Vec::new(),
    }
}

fn apply(base: &TableMetadata, updates: &[TableUpdate], number: usize) -> TableMetadata {
    let start = TableMetadataBuilder::new_from_metadata(base.clone(), Some(format!("memory://x/t/metadata/{number}.metadata.json")));
    let builder = updates.iter().cloned().try_fold(start, |builder, update| update.apply(builder)).expect("applied");
    builder.build().expect("built").metadata
}

/// Carries out the steps and reads each text that was written.
fn check(version: FormatVersion, steps: &[Step]) {
    let mut base: TableMetadataRef = Arc::new(metadata(version));
    let mut last = None;
    for (number, step) in steps.iter().enumerate() {
        if matches!(step, Step::Other) {
            base = Arc::new(apply(&base, &updates(&base, &Step::Append(None)), number));
            continue;
        }
        let updates = updates(&base, step);
        let next: TableMetadataRef = Arc::new(apply(&base, &updates, number));
        let (text, written) = LastText::next(last.take(), &base, &updates, &next).expect("written");
        let read: TableMetadata = serde_json::from_slice(&written).expect("JSON");
        assert_eq!(read, *next, "after {step:?}");
        assert_eq!(references(&read).expect("shown"), references(&next).expect("shown"), "after {step:?}");
        (last, base) = (Some(text), next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_text_that_is_read_again_is_the_metadata_that_was_written(steps in proptest::collection::vec(step(), 1..40)) {
        for version in [FormatVersion::V2, FormatVersion::V3] {
            check(version, &steps);
        }
    }
}

#[test]
fn snapshots_are_written_once() {
    let mut base: TableMetadataRef = Arc::new(metadata(FormatVersion::V2));
    let mut last = None;
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for number in 0..20 {
        let updates = updates(&base, &Step::Append(None));
        let next = Arc::new(apply(&base, &updates, number));
        let (text, written) = LastText::next(last.take(), &base, &updates, &next).expect("written");
        texts.push(written);
        (last, base) = (Some(text), next);
    }
    // From the second in a row on the snapshots stand in their order, as they were.
    let snapshots = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).expect("text");
        let from = text.find("\"snapshots\":[").expect("snapshots");
        text[from..text.find("],\"snapshot-log\"").expect("the log")].to_owned()
    };
    for pair in texts[1..].windows(2) {
        assert!(snapshots(&pair[1]).starts_with(&snapshots(&pair[0])));
    }
}
