//! Partitioned tables: the right rows in the right files, few files, little memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use iceberg::arrow::{RecordBatchPartitionSplitter, schema_to_arrow_schema};
use iceberg::spec::{NestedField, PrimitiveType, Schema, Struct, Transform, Type};
use proptest::prelude::*;
use weir_base::memory::MemoryBudget;

use super::fixture::Fixture;
use super::rows::{Numbers, every_type, random_batch};
use crate::sink::SinkWriter;

fn ids(batch: &RecordBatch) -> Vec<i64> {
    let mut ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    ids
}

/// Rows by partition, as files hold them. Every partition must have one file.
async fn by_partition(fixture: &Fixture, batches: &[RecordBatch], budget: &MemoryBudget) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::new();
    for file in fixture.write(batches, budget).await {
        let data_file = file.to_data_file(&fixture.table.metadata).expect("data file");
        let other = found.insert(format!("{:?}", data_file.partition()), ids(&fixture.read(&file)));
        assert!(other.is_none(), "two files in one partition");
    }
    found
}

/// The same from the iceberg crate's own splitter.
fn by_splitter(fixture: &Fixture, batches: &[RecordBatch]) -> BTreeMap<String, Vec<i64>> {
    let metadata = &fixture.table.metadata;
    let splitter = RecordBatchPartitionSplitter::try_new_with_computed_values(
        Arc::clone(metadata.current_schema()),
        Arc::clone(metadata.default_partition_spec()),
    )
    .expect("splitter");
    let arrow = Arc::new(schema_to_arrow_schema(metadata.current_schema()).expect("arrow"));
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .zip(arrow.fields())
            .map(|(column, field)| crate::iceberg::types::conform(column, field.data_type()).expect("conforms"));
        let batch = RecordBatch::try_new(Arc::clone(&arrow), columns.collect()).expect("batch");
        for (key, rows) in splitter.split(&batch).expect("splits") {
            let partition: &Struct = key.data();
            found.entry(format!("{partition:?}")).or_default().extend(ids(&rows));
        }
    }
    found.values_mut().for_each(|ids| ids.sort_unstable());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transform_agrees_with_the_iceberg_crate() {
    let cases: [&[(&str, Transform)]; 6] = [
        &[("flag", Transform::Identity), ("i", Transform::Bucket(5))],
        &[("ts", Transform::Year), ("ltz", Transform::Bucket(3))],
        &[("s", Transform::Truncate(1)), ("flag", Transform::Void)],
        &[("day", Transform::Year), ("row.a", Transform::Bucket(4))],
        &[("money", Transform::Bucket(6)), ("u", Transform::Bucket(2))],
        &[("i", Transform::Truncate(1_000_000)), ("b", Transform::Bucket(3))],
    ];
    for case in cases {
        let fixture = Fixture::new(every_type(), case, &[]);
        let mut numbers = Numbers(17);
        let batches: Vec<_> = (0..3).map(|part| random_batch(&fixture.plan.schema, 200, part * 200, &mut numbers)).collect();
        let got = by_partition(&fixture, &batches, &MemoryBudget::new(1 << 30)).await;
        assert_eq!(got, by_splitter(&fixture, &batches), "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_hours_and_identities_of_times_agree_with_the_iceberg_crate() {
    for transform in [Transform::Day, Transform::Hour, Transform::Month, Transform::Identity] {
        let fixture = Fixture::new(events_schema(), &[("ts", transform)], &[]);
        let batches = [events(&fixture, 0..400, |id| id % 5, |id| (id % 11) * 3_600_000_000 * 7 - 86_400_000_000)];
        let got = by_partition(&fixture, &batches, &MemoryBudget::new(1 << 30)).await;
        assert_eq!(got, by_splitter(&fixture, &batches), "{transform}");
    }
}

fn events_schema() -> Schema {
    let field = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    Schema::builder()
        .with_fields(vec![
            field(1, "id", PrimitiveType::Long),
            field(2, "kind", PrimitiveType::String),
            field(3, "ts", PrimitiveType::Timestamp),
            field(4, "payload", PrimitiveType::String),
        ])
        .build()
        .expect("schema")
}

fn events(fixture: &Fixture, range: std::ops::Range<i64>, kind: impl Fn(i64) -> i64, ts: impl Fn(i64) -> i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(range.clone())),
        Arc::new(range.clone().map(|id| if kind(id) < 0 { None } else { Some(format!("kind/{}", kind(id))) }).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(range.clone().map(ts))),
        Arc::new(StringArray::from_iter_values(range.map(|id| format!("{:032x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()))))),
    ];
    RecordBatch::try_new(Arc::clone(&fixture.plan.schema), columns).expect("batch")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_partitions_in_one_epoch_stay_within_a_small_budget_and_leave_one_file_each() {
    let fixture = Fixture::new(events_schema(), &[("kind", Transform::Identity)], &[]);
    let budget = MemoryBudget::new(24 << 20);
    let mut writer = fixture.writer(&budget);
    for part in 0..50_i64 {
        let batch = events(&fixture, part * 8_192..(part + 1) * 8_192, |id| id % 2_000, |id| id);
        writer.write(batch).await.expect("writes");
    }
    let files = writer.finish().await.expect("finishes");
    assert_eq!(files.len(), 2_000);
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 50 * 8_192);
    assert!(budget.peak() <= budget.limit(), "{} of {}", budget.peak(), budget.limit());
    assert_eq!(budget.used(), 0);
    assert_eq!(fixture.files_on_disk().len(), 2_000);
    assert!(fixture.files_on_disk()[0].contains("/data/kind_identity=kind%2F0/"), "{}", fixture.files_on_disk()[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_very_different_size_get_one_file_each() {
    let fixture = Fixture::new(events_schema(), &[("kind", Transform::Identity)], &[]);
    // Half of the rows are in one partition, a quarter in the next, and so on; one row in 32 has none.
    let kind = |id: i64| if id % 32 == 0 { -1 } else { i64::from(id.trailing_zeros()) };
    let batches: Vec<_> = (0..20_i64).map(|part| events(&fixture, part * 8_192 + 1..(part + 1) * 8_192 + 1, kind, |id| id)).collect();
    let budget = MemoryBudget::new(40 << 20);
    let got = by_partition(&fixture, &batches, &budget).await;
    assert_eq!(got, by_splitter(&fixture, &batches));
    assert!(budget.peak() <= budget.limit(), "{} of {}", budget.peak(), budget.limit());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_file_is_rolled_at_the_target_size() {
    let fixture = Fixture::new(events_schema(), &[("kind", Transform::Bucket(2))], &[("write.target-file-size-bytes", "300 kb")]);
    let batches: Vec<_> = (0..20_i64).map(|part| events(&fixture, part * 8_192..(part + 1) * 8_192, |id| id % 10, |id| id)).collect();
    let files = fixture.write(&batches, &MemoryBudget::new(64 << 20)).await;
    assert!(files.len() > 4, "{}", files.len());
    let all: BTreeSet<i64> = files.iter().flat_map(|file| ids(&fixture.read(file))).collect();
    assert_eq!(all.len(), 20 * 8_192);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_partitioned_epoch_leaves_no_files() {
    let fixture = Fixture::new(events_schema(), &[("kind", Transform::Identity)], &[("write.target-file-size-bytes", "10 kb")]);
    let mut writer = fixture.writer(&MemoryBudget::new(32 << 20));
    for part in 0..10_i64 {
        writer.write(events(&fixture, part * 8_192..(part + 1) * 8_192, |id| id % 3, |id| id)).await.expect("writes");
    }
    assert!(!fixture.intents.paths.lock().expect("lock").is_empty());
    writer.abort().await;
    assert_eq!(fixture.files_on_disk(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn rows_are_the_same_whether_they_were_spilled_or_not(
        parts in prop::collection::vec((1_usize..900, 1_i64..60), 1..12),
        tight in 1_u64..40,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        runtime.block_on(async {
            let fixture = Fixture::new(events_schema(), &[("kind", Transform::Identity)], &[]);
            let mut first = 0;
            let batches: Vec<RecordBatch> = parts
                .iter()
                .map(|(rows, kinds)| {
                    let start = first;
                    first += i64::try_from(*rows).expect("small");
                    events(&fixture, start..first, |id| id % kinds - 1, |id| id)
                })
                .collect();
            let roomy = by_partition(&fixture, &batches, &MemoryBudget::new(1 << 30)).await;
            let other = Fixture::new(events_schema(), &[("kind", Transform::Identity)], &[]);
            let spilled = by_partition(&other, &batches, &MemoryBudget::new(tight << 14)).await;
            prop_assert_eq!(&spilled, &roomy);
            prop_assert_eq!(roomy, by_splitter(&fixture, &batches));
            Ok(())
        })?;
    }
}
