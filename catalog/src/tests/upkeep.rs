//! Upkeep that is cut off: whatever request a process is killed at, recovery leaves exactly the files that the table needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use iceberg::TableUpdate;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Operation, SnapshotReference, SnapshotRetention, Struct};
use uuid::Uuid;
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;

use super::support::{Kind, create, epoch_of, files_in, killed_at, memory, sqlite, table_id};
use crate::commit::{Appends, Replaced, Replacement, TableCommitter, marked_jobs, new_snapshot_id, read_manifest_list};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::metadata_file::{file_name, uuid_for};
use crate::read::data_files;
use crate::upkeep::{Journal, Keeper, Recovered, highest_fence};

pub(super) fn now() -> Duration {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")
}

pub(super) fn keeper(fence: u64) -> Keeper {
    Keeper::Job { job: "a.b".to_owned(), sink: "out".to_owned(), branch: None, fence }
}

fn described(path: &str) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .build()
        .expect("complete")
}

/// All files of the table become one, as compaction does it.
pub(super) async fn rewrite(catalog: &Arc<dyn LakeCatalog>, fence: u64) -> Result<(), CatalogError> {
    let committer = TableCommitter::of(catalog, &table_id());
    let table = committer.refresh().await?;
    let journal = Journal::new(catalog, &table, keeper(fence));
    let work = journal.begin(&table);
    let path = format!("{}/data/{}.parquet", table.metadata.location(), Uuid::new_v4());
    work.files(std::slice::from_ref(&path)).await?;
    table.file_io.new_output(&path).expect("path").write("x".into()).await.map_err(|error| CatalogError::iceberg("write", error))?;
    let replacement = replacement(&table, &journal, data_files(&table, None).await?, vec![described(&path)]);
    work.commit(replacement.snapshot_id).await?;
    committer.replace(&replacement).await?;
    work.end().await
}

fn replacement(table: &LakeTable, journal: &Journal, files: Vec<crate::read::LiveFile>, added: Vec<DataFile>) -> Replacement {
    let head = table.metadata.current_snapshot().expect("a snapshot");
    Replacement {
        table_uuid: table.metadata.uuid().to_string(),
        branch: None,
        snapshot_id: new_snapshot_id(&table.metadata),
        added,
        sequence_number: Some(head.sequence_number()),
        fence: journal.fence(),
        replaced: Replaced {
            operation: Operation::Replace,
            read: Some(head.snapshot_id()),
            files,
            appends: Appends::Welcome,
            notes: BTreeMap::new(),
        },
    }
}

pub(super) async fn recover(catalog: &Arc<dyn LakeCatalog>, fence: u64) -> Result<Recovered, CatalogError> {
    let table = catalog.load(&table_id()).await?;
    Journal::new(catalog, &table, keeper(fence)).recover(now()).await
}

fn names(paths: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    paths.into_iter().map(|path| file_name(&path).to_owned()).collect()
}

/// The folder holds the files of the table's snapshots and of its log, and nothing else.
pub(super) async fn nothing_is_left(table: &LakeTable, folder: &Path, when: &str) {
    let metadata = &table.metadata;
    let (mut avro, mut data) = (BTreeSet::new(), BTreeSet::new());
    for snapshot in metadata.snapshots() {
        avro.insert(file_name(snapshot.manifest_list()).to_owned());
        let manifests = read_manifest_list(table, snapshot).await.expect("list");
        avro.extend(names(manifests.into_iter().map(|manifest| manifest.manifest_path)));
        let files = data_files(table, Some(snapshot.snapshot_id())).await.expect("files");
        data.extend(names(files.into_iter().map(|live| live.file.file_path().to_owned())));
    }
    assert_eq!(names(files_in(folder, ".parquet")), data, "{when}: data files");
    assert_eq!(names(files_in(folder, ".avro")), avro, "{when}: manifests and lists");
    let logged = metadata.metadata_log().iter().map(|entry| entry.metadata_file.clone()).chain([table.metadata_location.clone()]);
    let mut stored = names(files_in(folder, ".metadata.json"));
    for name in names(logged) {
        assert!(stored.remove(&name), "{when}: {name} is gone");
    }
    assert_eq!(stored, BTreeSet::new(), "{when}: metadata files");
    let statistics = metadata.statistics_iter().map(|file| file.statistics_path.clone());
    assert_eq!(names(files_in(folder, ".puffin")), names(statistics), "{when}: statistics");
    let journal: Vec<String> = files_in(folder, ".json").into_iter().filter(|path| path.contains("_weir-upkeep")).collect();
    assert_eq!(journal, Vec::<String>::new(), "{when}: journal");
}

/// A rewrite is killed at every request, one after the other; and so is the recovery, which is called again.
async fn killed_everywhere(kind: Kind) {
    let mut landed = 0;
    for nth in 1.. {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = kind.process(folder.path(), &FileSystems::default());
        // So few are kept that each commit deletes one.
        let table = create(&catalog, &[("write.metadata.previous-versions-max", "2")]).await;
        let committer = TableCommitter::of(&catalog, &table_id());
        for epoch in 1..=2 {
            committer.append(&epoch_of(&table, "j", (epoch > 1).then_some(1), epoch).await).await.expect("appended");
        }
        let killed = killed_at(kind, folder.path(), nth, async |catalog| rewrite(&catalog, 1).await.expect("rewritten")).await;
        let mut fence = 2;
        // Each recovery that is killed leaves the next one more to do, so that it is killed further on.
        let mut again = 1 + nth % 11;
        while killed_at(kind, folder.path(), again, async |catalog| {
            recover(&catalog, fence).await.expect("recovered");
        })
        .await
        {
            (fence, again) = (fence + 1, again + 11);
        }
        recover(&catalog, fence + 1).await.expect("recovered");
        let now = committer.refresh().await.expect("loaded");
        nothing_is_left(&now, folder.path(), &format!("{kind:?}, killed at request {nth}")).await;
        let live = data_files(&now, None).await.expect("files").len();
        assert!(live == 1 || live == 2 && killed, "{live} files are live");
        landed += u32::from(live == 1);
        if !killed {
            assert!(landed > 2 && nth > landed, "it was killed before the swap and after: {landed} of {nth} landed");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_is_killed_at_any_request_leaves_nothing_after_recovery_in_a_hadoop_catalog() {
    killed_everywhere(Kind::Hadoop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_is_killed_at_any_request_leaves_nothing_after_recovery_in_a_sql_catalog() {
    killed_everywhere(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_metadata_file_whose_swap_never_came_is_found_by_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "j", None, 1).await).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    Journal::new(&catalog, &now, keeper(1)).begin(&now).commit(77).await.expect("noted");
    for name in [format!("00002-{}.metadata.json", uuid_for(77)), format!("{}-m0.avro", uuid_for(77)), format!("snap-77-0-{}.avro", uuid_for(77))] {
        let path = format!("{}/metadata/{name}", now.metadata.location());
        now.file_io.new_output(&path).expect("path").write("{}".into()).await.expect("written");
    }
    assert_eq!(recover(&catalog, 2).await.expect("recovered"), Recovered { entries: 1, data_files: 0, metadata_files: 3 });
    nothing_is_left(&committer.refresh().await.expect("loaded"), folder.path(), "after recovery").await;
}

#[tokio::test]
async fn an_attempt_that_was_replaced_commits_nothing_any_more_and_says_why() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "j", None, 1).await).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    let journal = Journal::new(&catalog, &now, keeper(5));
    let zombie = replacement(&now, &journal, data_files(&now, None).await.expect("files"), vec![described("memory://x/y.parquet")]);
    // It has written what it is about to do, and sleeps.
    let work = journal.begin(&now);
    work.commit(zombie.snapshot_id).await.expect("noted");
    assert_eq!(recover(&catalog, 9).await.expect("recovered").entries, 1);
    let error = committer.replace(&zombie).await.expect_err("shut out");
    assert_eq!(error.kind(), ErrorKind::Fenced);
    for part in ["`lake.shop.orders`", "job `a.b`", "sink `out`", "epoch 9", "epoch 5"] {
        assert!(error.to_string().contains(part), "{part} not in {error}");
    }
    // Its own recovery, too, sees that it is late, by an entry of its successor or by the table.
    work.commit(1).await.expect("noted");
    let successor = Journal::new(&catalog, &now, keeper(9)).begin(&now);
    successor.commit(2).await.expect("noted");
    assert_eq!(recover(&catalog, 5).await.expect_err("late").kind(), ErrorKind::Fenced);
    successor.end().await.expect("ended");
    assert_eq!(recover(&catalog, 6).await.expect_err("late").kind(), ErrorKind::Fenced);
    // The fence is no marker, and others are not concerned.
    let now = committer.refresh().await.expect("loaded");
    assert_eq!(marked_jobs(&now).into_keys().collect::<Vec<_>>(), ["j"]);
    assert_eq!(now.metadata.properties().get("weir.a%2Eb.out.upkeep").map(String::as_str), Some("9"));
    let other = Journal::new(&catalog, &now, Keeper::Job { job: "a.b".to_owned(), sink: "other".to_owned(), branch: None, fence: 1 });
    assert_eq!(other.recover(super::upkeep::now()).await.expect("recovered"), Recovered::default());
}

#[tokio::test]
async fn where_nothing_is_left_recovery_commits_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "j", None, 1).await).await.expect("appended");
    rewrite(&catalog, 1).await.expect("rewritten");
    let before = committer.refresh().await.expect("loaded").metadata_location;
    assert_eq!(recover(&catalog, 2).await.expect("recovered"), Recovered::default());
    assert_eq!(committer.refresh().await.expect("loaded").metadata_location, before);
}

#[tokio::test]
async fn a_file_that_the_table_needs_is_not_deleted_whatever_a_journal_says() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let work = Journal::new(&catalog, &table, keeper(1)).begin(&table);
    let append = epoch_of(&table, "j", None, 1).await;
    work.files(&append.files.iter().map(|file| file.file_path().to_owned()).collect::<Vec<_>>()).await.expect("noted");
    work.commit(append.snapshot_id).await.expect("noted");
    committer.append(&append).await.expect("appended");
    committer.append(&epoch_of(&table, "j", Some(1), 2).await).await.expect("appended");
    // Somebody has expired the snapshot; its manifest and its file live on in the next one.
    let now = committer.refresh().await.expect("loaded");
    let expire = TableUpdate::RemoveSnapshots { snapshot_ids: vec![append.snapshot_id] };
    let list = now.metadata.snapshot_by_id(append.snapshot_id).expect("there").manifest_list().to_owned();
    catalog.commit(&now, Vec::new(), vec![expire]).await.expect("expired");
    let recovered = recover(&catalog, 2).await.expect("recovered");
    assert_eq!(recovered, Recovered { entries: 1 + 1, data_files: 0, metadata_files: 1 }, "only {list}, which nobody needs");
    nothing_is_left(&committer.refresh().await.expect("loaded"), folder.path(), "after recovery").await;
}

#[tokio::test]
async fn the_fence_of_a_branch_is_on_the_branch_and_the_main_one_is_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let first = epoch_of(&table, "j", None, 1).await;
    committer.append(&first).await.expect("appended");
    let reference = SnapshotReference::new(first.snapshot_id, SnapshotRetention::branch(None, None, None));
    let update = TableUpdate::SetSnapshotRef { ref_name: "audit".to_owned(), reference };
    catalog.commit(&committer.refresh().await.expect("loaded"), Vec::new(), vec![update]).await.expect("branched");
    let keeper = |fence| Keeper::Job { job: "j".to_owned(), sink: "table@audit".to_owned(), branch: Some("audit".to_owned()), fence };
    let now = committer.refresh().await.expect("loaded");
    Journal::new(&catalog, &now, keeper(1)).begin(&now).commit(77).await.expect("noted");
    assert_eq!(highest_fence(&catalog, &now, "j").await.expect("read"), Some(1), "an entry tells of it");
    assert_eq!(Journal::new(&catalog, &now, keeper(4)).recover(super::upkeep::now()).await.expect("recovered").entries, 1);
    let after = committer.refresh().await.expect("loaded");
    let head = |branch: &str| after.metadata.snapshot_for_ref(branch).expect("a head");
    assert_eq!(head("main").snapshot_id(), first.snapshot_id);
    assert_eq!(head("audit").summary().additional_properties.get("weir.operation").map(String::as_str), Some("fence"));
    assert_eq!(highest_fence(&catalog, &after, "j").await.expect("read"), Some(4), "the property tells of it");
    assert_eq!(highest_fence(&catalog, &after, "other").await.expect("read"), None);
}
