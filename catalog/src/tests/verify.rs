//! Verification of real tables, sound and damaged.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Operation, PrimitiveType, Struct};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::replace::{append, delete, replacement};
use super::support::{create, create_of, data_file, epoch_of, memory, sqlite, table_id};
use super::upkeep::{keeper, recover};
use crate::commit::{Replacement, TableCommitter, read_manifest_list};
use crate::lake::{LakeCatalog, LakeTable};
use crate::marker::{Gap, GapReason, SplitId};
use crate::read::{data_files, totals};
use crate::upkeep::Journal;
use crate::verify::{Depth, Quiet, VerifyReport};

async fn verified(catalog: &Arc<dyn LakeCatalog>, depth: Depth) -> VerifyReport {
    crate::verify::verify(catalog, &table_id(), depth, &Quiet).await.expect("verified")
}

#[tokio::test]
async fn a_sound_table_passes_and_shows_its_ranges() {
    let catalog = memory();
    let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "3")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=7 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
        committer.append(&epoch_of(&table, "other", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    let report = verified(&catalog, Depth::Files).await;
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    for part in ["lake.shop.orders", "98 rows in 14 files", "1 .. 7", "orders: orders/0  offsets 0 .. 70", "verified: epochs rise"] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[tokio::test]
async fn a_gap_that_a_commit_tells_of_is_shown_and_not_called_contiguous() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "job", None, 1).await).await.expect("appended");
    let mut second = epoch_of(&table, "job", Some(1), 2).await;
    let split = SplitId("orders/0".to_owned());
    second.gaps = vec![Gap { source: "orders".to_owned(), split, from: 10, to: 15, why: GapReason::NotInJob }];
    committer.append(&second).await.expect("appended");
    let report = verified(&catalog, Depth::Files).await;
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    assert!(text.contains("gap: orders: orders/0  offsets 10 .. 15 (the sink was not in the job)"), "{text}");
    assert!(text.contains("contiguous but for 1 gaps") && !text.contains("contiguous,"), "{text}");
}

#[tokio::test]
async fn damage_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut first = epoch_of(&table, "job", None, 1).await;
    // One file twice, in one append that nobody checked.
    first.files.push(first.files[0].clone());
    committer.append(&first).await.expect("appended");
    let second = epoch_of(&table, "job", Some(1), 2).await;
    committer.append(&second).await.expect("appended");
    let mut third = epoch_of(&table, "job", Some(2), 3).await;
    third.from = super::support::cuts(25);
    committer.append(&third).await.expect("appended");
    let path = |append: &crate::commit::Append| append.files[0].file_path().trim_start_matches("file://").to_owned();
    std::fs::remove_file(path(&second)).expect("removed");
    std::fs::write(path(&third), b"short").expect("written");
    let report = verified(&catalog, Depth::Files).await;
    assert!(!report.passed());
    let text = report.to_string();
    for part in
        ["referenced more than once", "is not there", "has 5 bytes, but the table says 7", "was not read from 20 to 25", "NOT verified: 4 problems"]
    {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[tokio::test]
async fn an_expired_past_is_no_damage() {
    let catalog = memory();
    let table = create(&catalog, &[("history.expire.max-snapshot-age-ms", "0")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=4 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    assert_eq!(super::support::expire(&committer, "job").await.expect("expired").snapshots.len(), 3);
    let report = verified(&catalog, Depth::Files).await;
    assert!(report.passed() && report.sinks[0].expired, "{report}");
    assert_eq!(report.sinks[0].commits, 1);
}

#[tokio::test]
async fn the_files_of_any_known_snapshot_can_be_listed() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    assert!(data_files(&table, None).await.expect("empty").is_empty());
    let committer = TableCommitter::of(&catalog, &table_id());
    let first = epoch_of(&table, "job", None, 1).await;
    committer.append(&first).await.expect("appended");
    committer.append(&epoch_of(&table, "job", Some(1), 2).await).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    let all = totals(&data_files(&now, None).await.expect("listed"));
    assert_eq!((all.files, all.records, all.partitions), (2, 14, 1));
    assert_eq!(data_files(&now, Some(first.snapshot_id)).await.expect("listed").len(), 1);
    data_files(&now, Some(-5)).await.expect_err("unknown");
}

/// What verification says of a table after `damage`, which is given the path of its manifest list and of a manifest.
async fn damaged(damage: impl Fn(&str, &str)) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let table = append(&catalog, &table, 1..=2).await;
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    let manifests = read_manifest_list(&table, snapshot).await.expect("list");
    damage(snapshot.manifest_list().trim_start_matches("file://"), manifests[0].manifest_path.trim_start_matches("file://"));
    let report = verified(&catalog, Depth::Files).await;
    assert!(!report.passed());
    report.to_string()
}

#[tokio::test]
async fn metadata_files_that_are_gone_or_damaged_are_found() {
    let text = damaged(|list, _| std::fs::remove_file(list).expect("removed")).await;
    assert!(text.contains("manifest list `") && text.contains("nothing of the snapshot can be read"), "{text}");
    let text = damaged(|_, manifest| std::fs::remove_file(manifest).expect("removed")).await;
    assert!(text.contains("manifest file `") && text.contains("-m0.avro` is not there") && text.contains("says total-records = 14"), "{text}");
    let text = damaged(|_, manifest| std::fs::write(manifest, b"Obj").expect("written")).await;
    assert!(text.contains("has 3 bytes, but the table says"), "{text}");
}

#[tokio::test]
async fn a_delete_file_that_is_gone_is_found_and_only_if_files_are_asked_for() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    // The helper names a file that nobody has written.
    delete(&catalog, DataContentType::EqualityDeletes, None).await;
    let text = verified(&catalog, Depth::Metadata).await.to_string();
    assert!(!text.contains("is not there"), "{text}");
    let text = verified(&catalog, Depth::Files).await.to_string();
    assert!(text.contains("-deletes.parquet` is not there"), "{text}");
}

/// A rewrite of all files into one of `rows` rows.
async fn rewrite(catalog: &Arc<dyn LakeCatalog>, rows: u64) {
    let committer = TableCommitter::of(catalog, &table_id());
    let table = committer.refresh().await.expect("loaded");
    let files = data_files(&table, None).await.expect("read");
    let mut change: Replacement = replacement(&table, files, vec![data_file(&table, rows).await]);
    change.replaced.operation = Operation::Replace;
    committer.replace(&change).await.expect("replaced");
}

#[tokio::test]
async fn a_rewrite_that_has_lost_a_row_is_found() {
    for (rows, fine) in [(14, true), (13, false), (15, false)] {
        let catalog = memory();
        let table = create(&catalog, &[]).await;
        append(&catalog, &table, 1..=2).await;
        rewrite(&catalog, rows).await;
        let report = verified(&catalog, Depth::Metadata).await;
        assert_eq!(report.passed(), fine, "{report}");
        assert_eq!((report.rewrites.all, report.rewrites.read), (1, 1));
        assert!(fine || report.to_string().contains(&format!("took out files of 14 rows and put in files of {rows}")), "{report}");
        assert!(!fine || report.to_string().contains("no rewrite has changed the number of rows"), "{report}");
    }
}

#[tokio::test]
async fn deletes_say_how_many_rows_a_rewrite_may_have_lost() {
    // The helper's file of deletes has two rows.
    for (content, rows, fine) in
        [(DataContentType::PositionDeletes, 12, true), (DataContentType::PositionDeletes, 11, false), (DataContentType::EqualityDeletes, 3, true)]
    {
        let catalog = memory();
        let table = create(&catalog, &[]).await;
        append(&catalog, &table, 1..=2).await;
        delete(&catalog, content, None).await;
        rewrite(&catalog, rows).await;
        let report = verified(&catalog, Depth::Metadata).await;
        let lost = report.problems.iter().any(|problem| problem.contains("deletes hid 2 at most"));
        assert_eq!(lost, !fine, "{report}");
    }
}

const IDS: [i32; 5] = [1, 2, 3, 4, 5];

fn batch() -> RecordBatch {
    let types = [DataType::Int64, DataType::Utf8, DataType::Float64, DataType::Decimal128(20, 2), DataType::Timestamp(TimeUnit::Microsecond, None)];
    let fields = types.into_iter().zip(IDS).map(|(data_type, id)| {
        Field::new(format!("c{id}"), data_type, true).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
    });
    let decimals = Decimal128Array::from(vec![Some(-500), None, Some(-3), Some(250)]).with_precision_and_scale(20, 2).expect("fits");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(3), None, Some(-7), Some(9)])),
        Arc::new(StringArray::from(vec![Some("m"), Some("b"), None, Some("zebra")])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-1.5), None, Some(2.5)])),
        Arc::new(decimals),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_000), Some(5), None, Some(10)])),
    ];
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>())), columns).expect("a batch")
}

/// A Parquet file of [`batch`] in row groups of two rows, described as it is.
async fn parquet_file(table: &LakeTable, statistics: EnabledStatistics) -> DataFileBuilder {
    let batch = batch();
    let properties = WriterProperties::builder().set_statistics_enabled(statistics).set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("writer");
    writer.write(&batch).expect("written");
    let bytes = writer.into_inner().expect("closed");
    let path = format!("{}/data/{}.parquet", table.metadata.location(), uuid::Uuid::new_v4());
    table.file_io.new_output(&path).expect("path").write(bytes.clone().into()).await.expect("written");
    let decimal = |value: i128| Datum::try_from_bytes(&value.to_be_bytes(), PrimitiveType::Decimal { precision: 20, scale: 2 }).expect("a decimal");
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(4)
        .file_size_in_bytes(bytes.len() as u64)
        .value_counts(IDS.map(|id| (id, 4)).into())
        .null_value_counts(IDS.map(|id| (id, 1)).into())
        .lower_bounds(
            [(1, Datum::long(-7)), (2, Datum::string("b")), (3, Datum::double(-1.5)), (4, decimal(-500)), (5, Datum::timestamp_micros(5))].into(),
        )
        .upper_bounds(
            [(1, Datum::long(9)), (2, Datum::string("zf")), (3, Datum::double(2.5)), (4, decimal(250)), (5, Datum::timestamp_micros(1_000))].into(),
        );
    file
}

/// What a deep verification says of a table with one such file, described otherwise than it is.
async fn deeply(statistics: EnabledStatistics, change: impl Fn(&mut DataFileBuilder)) -> VerifyReport {
    let catalog = memory();
    let table = create_of(&catalog, &batch().schema(), &[]).await;
    let mut file = parquet_file(&table, statistics).await;
    change(&mut file);
    let file: DataFile = file.build().expect("complete");
    let mut first = epoch_of(&table, "job", None, 1).await;
    first.files = vec![file];
    TableCommitter::of(&catalog, &table_id()).append(&first).await.expect("appended");
    verified(&catalog, Depth::Content).await
}

#[tokio::test]
async fn metrics_that_are_true_are_proven_by_footers_or_by_pages() {
    let report = deeply(EnabledStatistics::Chunk, |_| {}).await;
    assert!(report.passed(), "{report}");
    let deep = report.deep.expect("a deep look");
    assert_eq!((deep.footers, deep.columns), (1, 5));
    assert!(deep.chunks <= 2, "a group of NaN alone has no bounds: {deep:?}");
    let report = deeply(EnabledStatistics::None, |_| {}).await;
    assert!(report.passed(), "{report}");
    assert_eq!(report.deep.expect("a deep look").chunks, 10, "every column in both row groups");
}

#[tokio::test]
async fn metrics_that_are_not_true_are_found_with_and_without_statistics_in_the_footer() {
    for statistics in [EnabledStatistics::Chunk, EnabledStatistics::None] {
        let wrong = async |change: &dyn Fn(&mut DataFileBuilder), part: &str| {
            let report = deeply(statistics, change).await;
            assert!(report.problems.iter().any(|problem| problem.contains(part)), "{part} not in {report}");
        };
        wrong(&|file| _ = file.record_count(5), "has 4 rows, but the table says 5").await;
        wrong(&|file| _ = file.null_value_counts([(2, 0)].into()), "counts 0 nulls").await;
        wrong(&|file| _ = file.value_counts([(2, 3)].into()), "counts 3 values").await;
        wrong(&|file| _ = file.lower_bounds([(1, Datum::long(-6))].into()), "the table's lower bound is -6, but the file has -7").await;
        wrong(&|file| _ = file.upper_bounds([(2, Datum::string("ze"))].into()), "upper bound").await;
        wrong(&|file| _ = file.upper_bounds([(3, Datum::double(2.0))].into()), "the file has 2.5").await;
        wrong(&|file| _ = file.upper_bounds([(5, Datum::timestamp_micros(999))].into()), "upper bound").await;
        let decimal = Datum::try_from_bytes(&[0xff], PrimitiveType::Decimal { precision: 20, scale: 2 }).expect("-0.01");
        wrong(&|file| _ = file.lower_bounds([(4, decimal.clone())].into()), "lower bound").await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_parquet_is_found_by_a_deep_look() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    let text = verified(&catalog, Depth::Content).await.to_string();
    assert!(text.contains("its footer cannot be read"), "{text}");
}

#[tokio::test]
async fn a_fence_is_no_rewrite() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    TableCommitter::of(&catalog, &table_id()).append(&epoch_of(&table, "job", None, 1).await).await.expect("appended");
    let loaded = catalog.load(&table_id()).await.expect("loaded");
    Journal::new(&catalog, &loaded, keeper(1)).begin(&loaded).commit(77).await.expect("noted");
    assert_eq!(recover(&catalog, 2).await.expect("recovered").entries, 1);
    let fenced = catalog.load(&table_id()).await.expect("loaded");
    assert_eq!(fenced.metadata.current_snapshot().expect("a head").summary().operation, Operation::Replace);
    let report = verified(&catalog, Depth::Files).await;
    assert!(report.passed() && report.rewrites.all == 0, "{report}");
    assert!(crate::verify::rewrites(&fenced.metadata).expect("references").is_empty());
}
