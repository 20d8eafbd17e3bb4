//! Files copied into one.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Struct};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::file::writer::TrackedWrite;
use weir_base::memory::MemoryBudget;
use weir_catalog::read::{LiveFile, SlimFile};

use super::support::{Lake, local, request, rows};
use crate::copy::{Codec, Copied, Copy, Obstacle};
use crate::policy::Way;

fn footer(live: &LiveFile) -> ParquetMetaData {
    let file = File::open(local(live.file.file_path())).expect("file");
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&file).expect("a Parquet file")
}

type Metrics<'a> = [&'a HashMap<i32, u64>; 3];

fn metrics(file: &DataFile) -> (Metrics<'_>, [&HashMap<i32, Datum>; 2]) {
    ([file.value_counts(), file.null_value_counts(), file.nan_value_counts()], [file.lower_bounds(), file.upper_bounds()])
}

async fn filled(properties: &[(&str, &str)]) -> Lake {
    let mut lake = Lake::new(&[], properties).await;
    for part in 0..6 {
        lake.append(&rows(part * 1_000..part * 1_000 + 700)).await;
    }
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_with_the_same_rows_and_nothing_is_decoded() {
    let lake = filled(&[]).await;
    let (before, (old, _)) = (lake.content().await, lake.live().await);
    let report = lake.compact(&request(false)).await;
    assert_eq!((report.copied, report.decoded, report.files_before, report.files_after, report.commits), (1, 0, 6, 1, 1));
    assert_eq!(lake.content().await, before);
    let (files, _) = lake.live().await;
    let groups = files[0].file.split_offsets().expect("offsets").to_vec();
    assert_eq!(groups.len(), 6, "row groups stay as they were");
    assert!(old.iter().all(|old| old.sequence_number <= files[0].sequence_number));
    assert_eq!(files[0].sequence_number, 6, "the number of the snapshot that was read, not of the commit");
    assert_eq!(files[0].file.file_size_in_bytes(), std::fs::metadata(local(files[0].file.file_path())).expect("there").len());
    assert!(lake.orphans().await.is_empty());
    let summary = lake.table().await.metadata.current_snapshot().expect("snapshot").summary().clone();
    assert_eq!(summary.operation, iceberg::spec::Operation::Replace);
    assert_eq!(summary.additional_properties["weir.compaction.copied-groups"], "1");
    assert_eq!(lake.compact(&request(false)).await.commits, 0, "there is nothing left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_metrics_and_the_page_index_that_rows_written_anew_have() {
    let lake = filled(&[]).await;
    let (old, _) = lake.live().await;
    lake.compact(&request(false)).await;
    let (copied, _) = lake.live().await;
    let footer_of_copy = footer(&copied[0]);
    let (columns, offsets) = (footer_of_copy.column_index().expect("pages"), footer_of_copy.offset_index().expect("places"));
    let mut sorted: Vec<&LiveFile> = old.iter().collect();
    sorted.sort_by_key(|live| live.sequence_number);
    for (number, live) in sorted.into_iter().enumerate() {
        let before = footer(live);
        assert_eq!(before.column_index().expect("pages")[0], columns[number], "pages are pruned as before");
        let places = |of: &ParquetMetaData, group: usize| -> Vec<(i64, i64)> {
            let index = of.offset_index().expect("places");
            let start = |leaf: usize| i64::try_from(of.row_group(group).column(leaf).byte_range().0).expect("small");
            index[group]
                .iter()
                .enumerate()
                .flat_map(|(leaf, pages)| pages.page_locations().iter().map(move |page| (page.offset - start(leaf), page.first_row_index)))
                .collect()
        };
        assert_eq!(places(&before, 0), places(&footer_of_copy, number));
        for (leaf, chunk) in before.row_group(0).columns().iter().enumerate() {
            assert_eq!(chunk.statistics(), footer_of_copy.row_group(number).column(leaf).statistics());
        }
    }
    assert_eq!(offsets.len(), 6);
    assert!(footer_of_copy.file_metadata().key_value_metadata().is_none(), "as our own writer leaves it");
    lake.compact(&request(true)).await;
    let (decoded, _) = lake.live().await;
    assert_eq!(decoded.len(), 1);
    assert_eq!(metrics(&copied[0].file), metrics(&decoded[0].file), "merged metrics are exact");
    assert_eq!(decoded[0].file.split_offsets().expect("offsets").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bloom_filters_are_carried_over() {
    let lake = filled(&[("write.parquet.bloom-filter-enabled.column.id", "true")]).await;
    lake.compact(&request(false)).await;
    let (files, _) = lake.live().await;
    let options =
        ReadOptionsBuilder::new().with_reader_properties(parquet::file::properties::ReaderProperties::builder().set_read_bloom_filter(true).build());
    let file = File::open(local(files[0].file.file_path())).expect("file");
    let reader = SerializedFileReader::new_with_options(file, options.build()).expect("reader");
    for number in 0..6 {
        let group = reader.get_row_group(number).expect("group");
        let filter = group.get_column_bloom_filter(0).expect("a filter of its own");
        let first = i64::try_from(number).expect("small") * 1_000;
        assert!((first..first + 700).all(|id| filter.check(&id)), "all ids of group {number} are in its filter");
        assert!((first + 100_000..first + 100_700).filter(|id| filter.check(id)).count() < 100, "and hardly any other");
        assert!(group.get_column_bloom_filter(1).is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_another_codec_are_decoded_instead_and_nothing_is_left_of_the_try() {
    let lake = filled(&[]).await;
    let before = lake.content().await;
    lake.set("write.parquet.compression-codec", "snappy").await;
    let plan = lake.compactor().await.plan(&request(false), super::support::now()).await.expect("plans");
    assert_eq!(plan.groups[0].way, Way::Copy, "metadata does not tell the codec");
    let report = lake.compact(&request(false)).await;
    assert_eq!((report.copied, report.decoded), (0, 1));
    assert_eq!(lake.content().await, before);
    let (files, _) = lake.live().await;
    assert_eq!(footer(&files[0]).row_group(0).column(0).compression(), parquet::basic::Compression::SNAPPY);
    assert!(lake.orphans().await.is_empty());
}

async fn copy(lake: &Lake, inputs: &[LiveFile], codec: Codec, budget: &MemoryBudget) -> Copied {
    let slim: Vec<SlimFile> = inputs.iter().map(|live| SlimFile::of(live).expect("complete")).collect();
    let inputs = &slim.iter().collect::<Vec<_>>();
    let metadata = lake.table().await.metadata;
    let path = format!("{}/data/by-hand.parquet", metadata.location());
    Copy { table: "t", inputs, schema: metadata.current_schema(), path: &path, codec, file_systems: lake.catalog.file_systems(), budget }
        .run()
        .await
        .expect("copies")
}

/// A file on the disk as a manifest would have it.
fn described(path: &str, rows: u64) -> DataFile {
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data).file_path(path.to_owned()).file_format(DataFileFormat::Parquet).partition(Struct::empty());
    file.partition_spec_id(0).record_count(rows).file_size_in_bytes(std::fs::metadata(local(path)).expect("there").len());
    file.build().expect("file")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_whose_columns_differ_are_not_copied() {
    let lake = filled(&[]).await;
    let (old, _) = lake.live().await;
    let shorter = rows(0..10).project(&[0, 1]).expect("columns");
    let path = local(&old[0].file.file_path().replace(".parquet", "-short.parquet"));
    let mut writer = parquet::arrow::ArrowWriter::try_new(File::create(&path).expect("file"), shorter.schema(), None).expect("writer");
    writer.write(&shorter).expect("writes");
    writer.close().expect("closes");
    let mut short = old[0].clone();
    short.file = described(&format!("file://{path}"), 10);
    let inputs = [old[0].clone(), short];
    let copied = copy(&lake, &inputs, Codec::Zstd, &MemoryBudget::new(1 << 30)).await;
    assert!(matches!(copied, Copied::Hindered(Obstacle::Schema)), "{copied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bloom_filters_that_are_too_large_are_not_read() {
    let lake = filled(&[]).await;
    let (mut inputs, _) = lake.live().await;
    let path = local(inputs[0].file.file_path());
    let mut footer = footer(&inputs[0]).into_builder();
    // Nine MiB that are not there: to read them fails.
    let with_filter =
        |chunk: ColumnChunkMetaData| chunk.into_builder().set_bloom_filter_offset(Some(4)).set_bloom_filter_length(Some(9 << 20)).build();
    let mut groups = footer.take_row_groups();
    let mut group = groups.remove(0).into_builder();
    let columns = group.take_columns().into_iter().map(|chunk| with_filter(chunk).expect("chunk")).collect();
    let group = group.set_column_metadata(columns).build().expect("group");
    let mut file = TrackedWrite::new(File::create(format!("{path}.large")).expect("file"));
    file.write_all(&std::fs::read(&path).expect("there")).expect("written");
    ParquetMetaDataWriter::new_with_tracked(file, &footer.add_row_group(group).build()).finish().expect("written");
    std::fs::rename(format!("{path}.large"), &path).expect("moved");
    inputs[0].file = described(&format!("file://{path}"), inputs[0].file.record_count());
    let copied = copy(&lake, &inputs[..1], Codec::Zstd, &MemoryBudget::new(1 << 30)).await;
    assert!(matches!(copied, Copied::Hindered(Obstacle::BloomFilters)), "{copied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_copy_holds_no_more_than_a_small_part_of_it() {
    let mut lake = Lake::new(&[], &[("write.parquet.compression-codec", "uncompressed")]).await;
    lake.append(&rows(0..500_000)).await;
    let (old, _) = lake.live().await;
    let inputs = vec![old[0].clone(); 40];
    let bytes: u64 = inputs.iter().map(|live| live.file.file_size_in_bytes()).sum();
    assert!(bytes > 128 << 20 && old[0].file.file_size_in_bytes() > 2 << 20, "{bytes}");
    let budget = MemoryBudget::new(1 << 30);
    let copied = copy(&lake, &inputs, Codec::Uncompressed, &budget).await;
    let Copied::Done(file) = copied else { panic!("{copied:?}") };
    assert_eq!(file.record_count(), 20_000_000);
    assert!(budget.peak() < 64 << 20, "{} bytes", budget.peak());
    assert_eq!(budget.used(), 0);
}
