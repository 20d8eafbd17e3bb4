//! Replacements of files: what leaves, what stays as it was, and what they give way to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, MAIN_BRANCH, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot,
    Struct, Summary, TableMetadataBuilder,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::support::{create, data_file, epoch_of, files_in, memory, sqlite, table_id};
use crate::commit::{Appends, Replaced, Replacement, TableCommitter, read_manifest_list};
use crate::delete_files::FILE_PATH_ID;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::read::{LiveFile, data_files};

pub(super) fn new_id() -> i64 {
    i64::from_str_radix(&Uuid::new_v4().simple().to_string()[..15], 16).expect("hex")
}

/// A replacement of `files`, as the head of `table` was read.
pub(super) fn replacement(table: &LakeTable, files: Vec<LiveFile>, added: Vec<DataFile>) -> Replacement {
    let head = table.metadata.current_snapshot();
    Replacement {
        table_uuid: table.metadata.uuid().to_string(),
        branch: None,
        snapshot_id: new_id(),
        added,
        sequence_number: head.map(|head| head.sequence_number()),
        fence: None,
        replaced: Replaced {
            operation: Operation::Overwrite,
            read: head.map(|head| head.snapshot_id()),
            files,
            appends: Appends::Welcome,
            notes: BTreeMap::from([("weir.operation".to_owned(), "test".to_owned())]),
        },
    }
}

pub(super) async fn append(catalog: &Arc<dyn LakeCatalog>, table: &LakeTable, epochs: std::ops::RangeInclusive<u64>) -> LakeTable {
    let committer = TableCommitter::of(catalog, &table_id());
    for epoch in epochs {
        committer.append(&epoch_of(table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    committer.refresh().await.expect("loaded")
}

/// Commits a delete file by hand, as another engine would.
pub(super) async fn delete(catalog: &Arc<dyn LakeCatalog>, content: DataContentType, of: Option<&str>) -> LakeTable {
    let base = catalog.load(&table_id()).await.expect("loaded");
    let location = base.metadata.location().to_owned();
    let mut file = DataFileBuilder::default();
    file.content(content)
        .file_path(format!("{location}/data/{}-deletes.parquet", Uuid::new_v4()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(2)
        .file_size_in_bytes(9)
        .equality_ids((content == DataContentType::EqualityDeletes).then(|| vec![1]));
    if let Some(path) = of {
        file.lower_bounds([(FILE_PATH_ID, Datum::string(path))].into()).upper_bounds([(FILE_PATH_ID, Datum::string(path))].into());
    }
    let id = new_id();
    let output = base.file_io.new_output(format!("{location}/metadata/{}-d0.avro", Uuid::new_v4())).expect("path");
    let spec = (**base.metadata.default_partition_spec()).clone();
    let mut writer = ManifestWriterBuilder::new(output, Some(id), base.metadata.current_schema().clone(), spec).build_v2_deletes();
    writer.add_file(file.build().expect("complete"), -1).expect("fits");
    let manifest = writer.write_manifest_file().await.expect("written");
    let parent = base.metadata.current_snapshot().expect("a snapshot");
    let list = format!("{location}/metadata/snap-{id}-by-hand.avro");
    let output = base.file_io.new_output(&list).expect("path").writer().await.expect("opened");
    let sequence = base.metadata.next_sequence_number();
    let mut writer = ManifestListWriter::v2(output, id, Some(parent.snapshot_id()), sequence);
    let mut manifests = read_manifest_list(&base, parent).await.expect("list");
    manifests.push(manifest);
    writer.add_manifests(manifests.into_iter()).expect("fits");
    writer.close().await.expect("written");
    let mut totals = parent.summary().additional_properties.clone();
    totals.extend([("total-delete-files", "1"), ("total-equality-deletes", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())));
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(parent.snapshot_id()))
        .with_sequence_number(sequence)
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis().max(base.metadata.last_updated_ms()))
        .with_manifest_list(list)
        .with_summary(Summary { operation: Operation::Overwrite, additional_properties: totals })
        .with_schema_id(base.metadata.current_schema_id())
        .build();
    let built = TableMetadataBuilder::new_from_metadata((*base.metadata).clone(), None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .expect("fits");
    catalog.commit(&base, Vec::new(), built.changes).await.expect("committed")
}

async fn numbers(table: &LakeTable) -> BTreeMap<String, i64> {
    data_files(table, None).await.expect("read").into_iter().map(|live| (live.file.file_path().to_owned(), live.sequence_number)).collect()
}

fn summary_of(table: &LakeTable, keys: &[&str]) -> Vec<String> {
    let summary = &table.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    keys.iter().map(|key| summary.get(*key).cloned().unwrap_or_default()).collect()
}

async fn refused(committer: &TableCommitter, replacement: &Replacement, part: &str) {
    let error = committer.replace(replacement).await.expect_err("gives way");
    assert!(matches!(error, CatalogError::Overtaken(_)), "{error}");
    assert!(error.to_string().contains(part), "{part} not in {error}");
}

#[tokio::test]
async fn replaced_files_leave_and_the_others_stay_as_they_were() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=4).await;
    let old_manifests = read_manifest_list(&before, before.metadata.current_snapshot().expect("head")).await.expect("list");
    let live = data_files(&before, None).await.expect("read");
    let (gone, kept): (Vec<LiveFile>, Vec<LiveFile>) = live.into_iter().partition(|live| live.sequence_number % 2 == 0);
    let new = data_file(&table, 11).await;
    let change = replacement(&before, gone, vec![new.clone()]);
    let committer = TableCommitter::of(&catalog, &table_id());
    assert!(!committer.replace(&change).await.expect("replaced").already);
    assert!(committer.replace(&change).await.expect("is there").already);
    let now = committer.refresh().await.expect("loaded");
    let mut expected: BTreeMap<String, i64> = kept.iter().map(|live| (live.file.file_path().to_owned(), live.sequence_number)).collect();
    expected.insert(new.file_path().to_owned(), 4);
    assert_eq!(numbers(&now).await, expected);
    let keys = ["total-records", "total-data-files", "total-files-size", "deleted-records", "deleted-data-files", "added-records", "weir.operation"];
    assert_eq!(summary_of(&now, &keys), ["25", "3", "25", "14", "2", "11", "test"]);
    assert_eq!(now.metadata.current_snapshot().expect("head").summary().operation, Operation::Overwrite);
    // Manifests without a replaced file are the very same.
    let manifests = read_manifest_list(&now, now.metadata.current_snapshot().expect("head")).await.expect("list");
    let paths: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
    assert_eq!(old_manifests.iter().filter(|old| paths.contains(old.manifest_path.as_str())).count(), 2);
    // The past is still there, and the next append goes on.
    assert_eq!(data_files(&now, before.metadata.current_snapshot_id()).await.expect("read").len(), 4);
    assert_eq!(numbers(&append(&catalog, &table, 5..=5).await).await.len(), 4);
}

#[tokio::test]
async fn an_append_in_between_goes_through_unless_it_is_heeded() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=2).await;
    let mut change = replacement(&before, data_files(&before, None).await.expect("read"), vec![data_file(&table, 3).await]);
    append(&catalog, &table, 3..=3).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    change.replaced.appends = Appends::Heeded(Arc::new(|live: &LiveFile| live.sequence_number == 3));
    refused(&committer, &change, "another commit has added").await;
    change.replaced.appends = Appends::Heeded(Arc::new(|live: &LiveFile| live.sequence_number != 3));
    committer.replace(&change).await.expect("replaced");
    assert_eq!(numbers(&committer.refresh().await.expect("loaded")).await.into_values().collect::<BTreeSet<_>>(), BTreeSet::from([2, 3]));
}

#[tokio::test]
async fn an_append_that_was_rewritten_in_between_is_heeded_and_rewriting_alone_is_not() {
    for appended in [false, true] {
        let catalog = memory();
        let table = create(&catalog, &[]).await;
        let before = append(&catalog, &table, 1..=2).await;
        let mut change = replacement(&before, data_files(&before, None).await.expect("read").split_off(1), vec![data_file(&table, 3).await]);
        change.replaced.appends = Appends::Heeded(Arc::new(|live: &LiveFile| live.file.record_count() == 9));
        let committer = TableCommitter::of(&catalog, &table_id());
        let read = if appended { append(&catalog, &table, 3..=3).await } else { before };
        let gone: BTreeSet<String> = change.replaced.files.iter().map(|live| live.file.file_path().to_owned()).collect();
        let others = data_files(&read, None).await.expect("read").into_iter().filter(|live| !gone.contains(live.file.file_path())).collect();
        let mut rewrite = replacement(&read, others, vec![data_file(&table, 9).await]);
        rewrite.replaced.operation = Operation::Replace;
        committer.replace(&rewrite).await.expect("rewritten");
        if appended {
            refused(&committer, &change, "another commit has added").await;
        } else {
            committer.replace(&change).await.expect("no row is new");
        }
    }
}

#[tokio::test]
async fn of_two_replacements_of_a_file_the_second_gives_way_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=2).await;
    let files = data_files(&before, None).await.expect("read");
    let first = replacement(&before, files[..1].to_vec(), Vec::new());
    let second = replacement(&before, files, vec![data_file(&table, 3).await]);
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.replace(&first).await.expect("replaced");
    let written = files_in(folder.path(), ".avro");
    refused(&committer, &second, "is not in it any more").await;
    assert_eq!(files_in(folder.path(), ".avro"), written);
}

#[tokio::test]
async fn a_position_delete_on_a_replaced_file_is_never_lost() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=3).await;
    let files = data_files(&before, None).await.expect("read");
    let change = replacement(&before, files[..1].to_vec(), vec![data_file(&table, 3).await]);
    let committer = TableCommitter::of(&catalog, &table_id());
    delete(&catalog, DataContentType::PositionDeletes, Some(files[1].file.file_path())).await;
    let other = replacement(&before, files[2..].to_vec(), vec![data_file(&table, 3).await]);
    committer.replace(&other).await.expect("the delete is about another file");
    delete(&catalog, DataContentType::PositionDeletes, Some(files[0].file.file_path())).await;
    refused(&committer, &change, "has deleted rows of file").await;
    // One that says nothing of its target may be about any file.
    let read = committer.refresh().await.expect("loaded");
    let change = replacement(&read, files[1..2].to_vec(), Vec::new());
    delete(&catalog, DataContentType::PositionDeletes, None).await;
    refused(&committer, &change, "has deleted rows of file").await;
}

#[tokio::test]
async fn an_equality_delete_in_between_applies_to_the_new_files_or_is_given_way_to() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=2).await;
    let mut change = replacement(&before, data_files(&before, None).await.expect("read"), vec![data_file(&table, 3).await]);
    let after = delete(&catalog, DataContentType::EqualityDeletes, None).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let number = change.sequence_number.take();
    refused(&committer, &change, "has deleted rows of file").await;
    change.sequence_number = number;
    committer.replace(&change).await.expect("replaced");
    let now = committer.refresh().await.expect("loaded");
    let numbers = numbers(&now).await;
    assert_eq!(numbers.get(change.added[0].file_path()), Some(&2), "{numbers:?}");
    assert_eq!(after.metadata.current_snapshot().expect("head").sequence_number(), 3);
    // Deletes leave when it is asked for.
    let deletes: Vec<LiveFile> =
        data_files(&now, None).await.expect("read").into_iter().filter(|live| live.file.content_type() != DataContentType::Data).collect();
    assert_eq!(deletes.len(), 1);
    let mut change = replacement(&now, deletes, Vec::new());
    change.replaced.operation = Operation::Replace;
    committer.replace(&change).await.expect("replaced");
    let now = committer.refresh().await.expect("loaded");
    assert_eq!(data_files(&now, None).await.expect("read").len(), 1);
    let keys = ["removed-delete-files", "removed-equality-deletes", "total-delete-files", "total-equality-deletes", "total-records"];
    assert_eq!(summary_of(&now, &keys), ["1", "2", "0", "0", "3"]);
}

#[tokio::test]
async fn a_snapshot_that_is_gone_cannot_have_been_read() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let before = append(&catalog, &table, 1..=2).await;
    let change = replacement(&before, data_files(&before, None).await.expect("read"), Vec::new());
    let now = append(&catalog, &table, 3..=3).await;
    let remove = iceberg::TableUpdate::RemoveSnapshots { snapshot_ids: before.metadata.current_snapshot_id().into_iter().collect() };
    catalog.commit(&now, Vec::new(), vec![remove]).await.expect("expired");
    refused(&TableCommitter::of(&catalog, &table_id()), &change, "not in its history").await;
}

#[tokio::test]
async fn files_that_were_replaced_go_when_the_last_snapshot_that_holds_them_is_expired() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[("history.expire.max-snapshot-age-ms", "0")]).await;
    let before = append(&catalog, &table, 1..=2).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let change = replacement(&before, data_files(&before, None).await.expect("read"), vec![data_file(&table, 3).await]);
    committer.replace(&change).await.expect("replaced");
    append(&catalog, &table, 3..=3).await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    super::support::expire(&committer, "job").await.expect("expired");
    let now = committer.refresh().await.expect("loaded");
    let mut live: Vec<String> = numbers(&now).await.into_keys().map(|path| path.trim_start_matches("file://").to_owned()).collect();
    live.sort_unstable();
    assert_eq!(files_in(folder.path(), ".parquet"), live);
}

#[derive(Debug, Clone)]
enum Step {
    /// An append.
    Append,
    /// Files are replaced by new ones; which ones are told by bits.
    Replace(u32),
    /// The same, but as the table was read before the last change.
    Late(u32),
}

fn chosen(files: &[LiveFile], bits: u32) -> Vec<LiveFile> {
    files.iter().enumerate().filter(|(index, _)| bits >> (index % 32) & 1 == 1).map(|(_, live)| live.clone()).collect()
}

async fn run(steps: Vec<Step>) {
    let catalog = memory();
    let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "3")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut model: BTreeMap<String, i64> = BTreeMap::new();
    let (mut epochs, mut late) = (0, table.clone());
    for step in steps {
        let read = committer.refresh().await.expect("loaded");
        let next = read.metadata.next_sequence_number();
        match step {
            Step::Append => {
                epochs += 1;
                let append = epoch_of(&table, "job", (epochs > 1).then(|| epochs - 1), epochs).await;
                committer.append(&append).await.expect("appended");
                model.extend(append.files.iter().map(|file| (file.file_path().to_owned(), next)));
            }
            Step::Replace(bits) | Step::Late(bits) => {
                let base = if matches!(step, Step::Late(_)) { &late } else { &read };
                let files = chosen(&data_files(base, None).await.expect("read"), bits);
                let paths: Vec<String> = files.iter().map(|live| live.file.file_path().to_owned()).collect();
                let mut change = replacement(base, files, vec![data_file(&table, 5).await]);
                change.sequence_number = change.sequence_number.filter(|_| bits % 3 != 0);
                let all_there = paths.iter().all(|path| model.contains_key(path));
                let done = committer.replace(&change).await;
                assert_eq!(done.is_ok(), all_there, "{done:?}");
                if all_there {
                    model.retain(|path, _| !paths.contains(path));
                    model.insert(change.added[0].file_path().to_owned(), change.sequence_number.unwrap_or(next));
                }
            }
        }
        late = read;
        let now = committer.refresh().await.expect("loaded");
        assert_eq!(numbers(&now).await, model);
        if now.metadata.current_snapshot().is_some() {
            assert_eq!(summary_of(&now, &["total-data-files"]), [model.len().to_string()]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_replaced_and_appended_in_any_order_is_what_is_there(
        steps in proptest::collection::vec(
            prop_oneof![3 => Just(Step::Append), 2 => any::<u32>().prop_map(Step::Replace), 1 => any::<u32>().prop_map(Step::Late)], 1..16)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(run(steps));
    }
}
