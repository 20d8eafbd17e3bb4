//! Manifests that are moved by bytes, beside what the crate makes of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, ManifestEntry, ManifestFile, ManifestStatus, ManifestWriterBuilder,
    NestedField, PartitionSpec, PrimitiveType, Schema, Struct, Transform, Type, UNASSIGNED_SEQUENCE_NUMBER,
};
use proptest::prelude::*;

use crate::manifests::{FileMetrics, strip, take_out};
use crate::others::manifest_of;

/// How a file stands in its manifest: as one that stays, is new, or is gone; and with which metrics.
type Drawn = (u8, Option<i64>, Option<String>, u64);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let text = proptest::option::of("[a-zß]{0,20}");
    proptest::collection::vec((0_u8..3, proptest::option::of(any::<i64>()), text, 1_u64..1_000_000), 1..30)
}

fn file(number: usize, drawn: &Drawn) -> DataFile {
    let (_, bound, text, records) = drawn;
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(format!("memory://x/data/{number}.parquet"))
        .file_format(DataFileFormat::Parquet)
        .partition_spec_id(0)
        .partition(Struct::from_iter([(!number.is_multiple_of(3)).then(|| Literal::long(number as i64))]))
        .record_count(*records)
        .file_size_in_bytes(records * 10)
        .split_offsets(Some(vec![4, 400]));
    if let Some(bound) = bound {
        builder
            .column_sizes(HashMap::from([(1, 10), (2, 300)]))
            .value_counts(HashMap::from([(1, *records)]))
            .nan_value_counts(HashMap::from([(2, 0)]));
        builder.lower_bounds(HashMap::from([(1, Datum::long(*bound))])).sort_order_id(1);
    }
    if let Some(text) = text {
        builder.null_value_counts(HashMap::from([(2, *records / 2)]));
        builder.upper_bounds(HashMap::from([(2, Datum::string(text)), (1, Datum::long(i64::MAX))]));
    }
    builder.build().expect("complete")
}

/// A manifest of these files, as the list of its snapshot (7, with sequence number 5) has it; and its content.
async fn manifest(io: &FileIO, files: &[Drawn]) -> (ManifestFile, bytes::Bytes) {
    let column = |id, name: &str, of| Arc::new(NestedField::optional(id, name, Type::Primitive(of)));
    let schema =
        Schema::builder().with_fields([column(1, "n", PrimitiveType::Long), column(2, "s", PrimitiveType::String)]).build().expect("a schema");
    let spec = PartitionSpec::builder(schema.clone()).add_partition_field("n", "n", Transform::Identity).expect("a field").build().expect("a spec");
    let path = "memory://x/metadata/m0.avro";
    let output = io.new_output(path).expect("a path");
    let mut writer = ManifestWriterBuilder::new(output, Some(7), Arc::new(schema), spec).build_v2_data();
    for (number, drawn) in files.iter().enumerate() {
        let file = file(number, drawn);
        let added = match drawn.0 {
            0 => writer.add_existing_file(file, 3, 2, Some(1)),
            1 if number % 2 == 0 => writer.add_file(file, 4),
            1 => writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER),
            _ => writer.add_delete_file(file, 2, Some(1)),
        };
        added.expect("added");
    }
    let written = writer.write_manifest_file().await.expect("written");
    let content = io.new_input(path).expect("a path").read().await.expect("read");
    (ManifestFile { sequence_number: 5, min_sequence_number: 2, ..written }, content)
}

async fn read(content: bytes::Bytes, manifest: &ManifestFile) -> Vec<ManifestEntry> {
    let loaded = manifest_of(content, manifest).await.expect("a manifest");
    loaded.entries().iter().map(|entry| entry.as_ref().clone()).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

fn sorted<V: Clone + Ord>(map: &HashMap<i32, V>) -> Vec<(i32, V)> {
    let mut all: Vec<_> = map.iter().map(|(id, value)| (*id, value.clone())).collect();
    all.sort();
    all
}

/// That metrics say what a description says.
fn check_metrics(metrics: &FileMetrics, file: &DataFile) {
    let mut read = metrics.read().expect("whole");
    read.counts.iter_mut().for_each(|counts| counts.sort_unstable());
    let counts = [file.column_sizes(), file.value_counts(), file.null_value_counts(), file.nan_value_counts()].map(sorted);
    assert_eq!(read.counts, counts);
    for (read, bounds) in read.bounds.iter_mut().zip([file.lower_bounds(), file.upper_bounds()]) {
        read.sort_unstable();
        let bounds: HashMap<i32, Vec<u8>> = bounds.iter().map(|(id, bound)| (*id, bound.to_bytes().expect("a value").into_vec())).collect();
        assert_eq!(read.iter().map(|(id, bound)| (*id, bound.to_vec())).collect::<Vec<_>>(), sorted(&bounds));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_stripped_manifest_and_its_metrics_are_what_the_crate_reads(files in drawn()) {
        run(async {
            let (manifest, content) = manifest(&FileIO::new_with_memory(), &files).await;
            let entries = read(content.clone(), &manifest).await;
            let (stripped, metrics) = strip(&content).expect("usual");
            let bare = read(stripped.into(), &manifest).await;
            assert_eq!((bare.len(), metrics.len()), (entries.len(), entries.len()));
            for ((bare, metrics), entry) in bare.iter().zip(&metrics).zip(&entries) {
                check_metrics(metrics, entry.data_file());
                check_metrics(&FileMetrics::of(entry.data_file()), entry.data_file());
                check_metrics(&FileMetrics::default(), bare.data_file());
                let same = |entry: &ManifestEntry| {
                    let file = entry.data_file();
                    let told = (file.file_path().to_owned(), file.partition().clone(), file.record_count(), file.file_size_in_bytes());
                    (told, file.split_offsets().map(<[i64]>::to_vec), file.sort_order_id(), entry.status(), entry.snapshot_id(), entry.sequence_number())
                };
                assert_eq!(same(bare), same(entry));
            }
        });
    }

    #[test]
    fn files_are_taken_out_of_a_manifest_and_the_others_stay_as_they_are(files in drawn(), picked in proptest::collection::hash_set(0_usize..30, 0..30)) {
        run(async {
            let (manifest, content) = manifest(&FileIO::new_with_memory(), &files).await;
            let entries = read(content.clone(), &manifest).await;
            let wanted: HashSet<String> = picked.iter().map(|number| format!("memory://x/data/{number}.parquet")).collect();
            let taken = take_out(&content, &manifest, 9, &wanted).expect("usual");
            let made = ManifestFile { sequence_number: 6, ..taken.manifest(&manifest, "memory://x/metadata/m1.avro".to_owned(), 9) };
            let live: Vec<&ManifestEntry> = entries.iter().filter(|entry| entry.is_alive()).collect();
            let goes = |entry: &ManifestEntry| wanted.contains(entry.file_path());
            let left = read(taken.content.clone().into(), &made).await;
            assert_eq!(left.len(), live.len());
            for (after, before) in left.iter().zip(&live) {
                assert_eq!(after.data_file(), before.data_file());
                let (status, snapshot) =
                    if goes(before) { (ManifestStatus::Deleted, Some(9)) } else { (ManifestStatus::Existing, before.snapshot_id()) };
                assert_eq!((after.status(), after.snapshot_id()), (status, snapshot));
                assert_eq!((after.sequence_number(), after.file_sequence_number), (before.sequence_number(), before.file_sequence_number));
            }
            let count = |gone: bool| live.iter().filter(|entry| goes(entry) == gone).count() as u32;
            let rows = |gone: bool| live.iter().filter(|entry| goes(entry) == gone).map(|entry| entry.data_file().record_count()).sum::<u64>();
            assert_eq!((made.deleted_files_count, made.existing_files_count, made.added_files_count), (Some(count(true)), Some(count(false)), Some(0)));
            assert_eq!((made.deleted_rows_count, made.existing_rows_count), (Some(rows(true)), Some(rows(false))));
            let least = live.iter().filter(|entry| !goes(entry)).filter_map(|entry| entry.sequence_number()).min();
            assert_eq!(made.min_sequence_number, least.unwrap_or(UNASSIGNED_SEQUENCE_NUMBER));
            assert_eq!(taken.found.len() as u32, count(true));
        });
    }
}

#[test]
fn a_manifest_that_lacks_entries_is_left_to_the_crate() {
    run(async {
        let (manifest, content) = manifest(&FileIO::new_with_memory(), &[(0, None, None, 1), (1, None, None, 2)]).await;
        let longer = ManifestFile { existing_files_count: Some(5), ..manifest };
        take_out(&content, &longer, 9, &HashSet::new()).expect_err("cut off");
        strip(&content[..content.len() - 3]).expect_err("cut off");
    });
}
