//! Appends on real catalogs: concurrency, merging, metadata that stays small, branches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::ManifestFile;
use weir_base::{Classified, ErrorKind};

use super::support::{catalog as open, create, cuts, data_file, epoch_of, files_in, hadoop, memory, sqlite, table_id};
use crate::commit::{RewriteManifests, TableCommitter, marked_jobs, marker_of, read_manifest_list};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::upkeep::{Journal, Keeper};

/// Sequence number by live file, straight from the manifests.
async fn live(table: &LakeTable) -> (Vec<ManifestFile>, BTreeMap<String, i64>) {
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    let manifests = read_manifest_list(table, snapshot).await.expect("list");
    let mut files = BTreeMap::new();
    for manifest in &manifests {
        for entry in manifest.load_manifest(&table.file_io).await.expect("manifest").entries().iter().filter(|entry| entry.is_alive()) {
            let twice = files.insert(entry.file_path().to_owned(), entry.sequence_number().expect("assigned"));
            assert_eq!(twice, None, "{} stands twice", entry.file_path());
        }
    }
    (manifests, files)
}

#[tokio::test]
async fn an_append_leaves_its_rows_its_totals_and_its_marker() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=3 {
        let append = epoch_of(&table, "a.b", (epoch > 1).then(|| epoch - 1), epoch).await;
        let appended = committer.append(&append).await.expect("appended");
        assert!(!appended.already);
    }
    let now = committer.refresh().await.expect("loaded");
    let marker = marker_of(&now, "a.b", "out").expect("read").expect("marker");
    assert_eq!((marker.epoch, marker.cuts), (3, cuts(30)));
    assert_eq!(marked_jobs(&now), BTreeMap::from([("a.b".to_owned(), vec!["out".to_owned()])]));
    assert_eq!(marker_of(&now, "b", "out").expect("read"), None);
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    for (key, value) in [("total-records", "21"), ("total-data-files", "3"), ("added-records", "7"), ("total-files-size", "21"), ("weir.epoch", "3")]
    {
        assert_eq!(summary.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(summary.get("weir.cut.from").map(String::as_str), Some(r#"{"orders":{"orders/0":20}}"#));
}

#[tokio::test]
async fn an_append_that_is_there_is_found_again_even_when_its_snapshot_is_not() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let first = epoch_of(&table, "job", None, 1).await;
    committer.append(&first).await.expect("appended");
    assert!(committer.append(&first).await.expect("found").already);
    // After a foreign expiry only the property is left.
    let second = epoch_of(&table, "job", Some(1), 2).await;
    committer.append(&second).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    let remove = iceberg::TableUpdate::RemoveSnapshots { snapshot_ids: vec![first.snapshot_id] };
    catalog.commit(&now, Vec::new(), vec![remove]).await.expect("expired");
    assert!(committer.append(&second).await.expect("found").already);
    let now = committer.refresh().await.expect("loaded");
    assert_eq!(live(&now).await.1.len(), 2);
}

#[tokio::test]
async fn an_older_checkpoint_is_refused_with_both_epochs_and_both_ways_out() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=5 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    let error = committer.append(&epoch_of(&table, "job", Some(2), 3).await).await.expect_err("ahead");
    assert_eq!(error.kind(), ErrorKind::User);
    for part in ["holds epoch 5", "made on epoch 2", "Either", "or,", "weir.job.out.epoch"] {
        assert!(error.to_string().contains(part), "{part} not in {error}");
    }
    // The same number, but another stretch: nothing of it is in the table, and nothing of it may get there.
    let mut other = epoch_of(&table, "job", Some(4), 5).await;
    other.to = cuts(51);
    committer.append(&other).await.expect_err("another epoch 5");
    let behind = committer.append(&epoch_of(&table, "job", Some(7), 8).await).await.expect_err("behind").to_string();
    assert!(behind.contains("rolled back"), "{behind}");
}

#[tokio::test]
async fn a_table_made_anew_is_refused_by_both_uuids() {
    let catalog = memory();
    let old = create(&catalog, &[]).await;
    let append = epoch_of(&old, "job", None, 1).await;
    catalog.drop_table(&table_id()).await.expect("dropped");
    let new = create(&catalog, &[]).await;
    let error = TableCommitter::of(&catalog, &table_id()).append(&append).await.expect_err("another table");
    assert_eq!(error.kind(), ErrorKind::User);
    for uuid in [old.metadata.uuid(), new.metadata.uuid()] {
        assert!(error.to_string().contains(&uuid.to_string()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_sqlite_file_lose_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let table = create(&sqlite(folder.path()), &[]).await;
    let run = |job: &'static str| {
        let (catalog, table) = (sqlite(folder.path()), table.clone());
        weir_base::task::spawn("appender", async move {
            let committer = TableCommitter::of(&catalog, &table_id());
            let mut retries = 0;
            for epoch in 1..=20 {
                let append = epoch_of(&table, job, (epoch > 1).then(|| epoch - 1), epoch).await;
                retries += committer.append(&append).await.expect("appended").retries;
            }
            retries
        })
    };
    let (one, two) = (run("one"), run("two"));
    let retries = one.await.expect("ran") + two.await.expect("ran");
    let now = sqlite(folder.path()).load(&table_id()).await.expect("loaded");
    let (_, files) = live(&now).await;
    assert_eq!(files.len(), 40, "{retries} retries");
    let sequence: BTreeSet<i64> = files.values().copied().collect();
    assert_eq!(sequence, (1..=40).collect());
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    assert_eq!(summary.get("total-records").map(String::as_str), Some("280"));
    // Tries that lost left nothing behind: one list for each snapshot, and only manifests that some list names.
    let lists = files_in(folder.path(), ".avro").into_iter().filter(|path| path.contains("/snap-")).count();
    assert_eq!(lists, 40);
    assert!(files_in(folder.path(), ".metadata.json").len() <= 21);
}

#[tokio::test]
async fn merged_manifests_keep_every_file_and_its_sequence_number() {
    let catalog = memory();
    let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "4")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut most = 0;
    for epoch in 1..=13 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
        let (manifests, files) = live(&committer.refresh().await.expect("loaded")).await;
        most = most.max(manifests.len());
        assert_eq!(files.values().copied().collect::<BTreeSet<_>>(), (1..=i64::try_from(epoch).expect("small")).collect());
    }
    assert!(most < 4, "{most} manifests");
}

#[tokio::test]
async fn metadata_files_stay_few_over_many_commits() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[("write.metadata.previous-versions-max", "5")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=300 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    assert_eq!(files_in(folder.path(), ".metadata.json").len(), 6);
    let (manifests, files) = live(&committer.refresh().await.expect("loaded")).await;
    assert_eq!(files.len(), 300);
    assert!(manifests.len() <= 100, "{}", manifests.len());
}

#[tokio::test]
async fn own_old_snapshots_go_and_heads_and_foreign_ones_stay() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[("history.expire.max-snapshot-age-ms", "0"), ("history.expire.min-snapshots-to-keep", "2")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut last = None;
    for epoch in 1..=6 {
        let job = if epoch == 2 { "foreign" } else { "job" };
        let previous = if job == "job" { last } else { None };
        committer.append(&epoch_of(&table, job, previous, epoch).await).await.expect("appended");
        if job == "job" {
            last = Some(epoch);
        }
    }
    let tagged = committer.refresh().await.expect("loaded");
    let third = tagged.metadata.snapshots().find(|snapshot| snapshot.sequence_number() == 3).expect("third").snapshot_id();
    let tag = iceberg::spec::SnapshotReference::new(third, iceberg::spec::SnapshotRetention::Tag { max_ref_age_ms: None });
    catalog
        .commit(&tagged, Vec::new(), vec![iceberg::TableUpdate::SetSnapshotRef { ref_name: "keep".to_owned(), reference: tag }])
        .await
        .expect("tagged");
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    let expired = super::support::expire(&committer, "job").await.expect("expired");
    let now = committer.refresh().await.expect("loaded");
    let mut left: Vec<i64> = now.metadata.snapshots().map(|snapshot| snapshot.sequence_number()).collect();
    left.sort_unstable();
    // 1 and 4 are own and old; 2 is somebody else's, 3 is tagged, 5 and 6 are the two that are kept.
    assert_eq!(left, [2, 3, 5, 6]);
    assert_eq!((expired.snapshots.len(), expired.files.len()), (2, 2));
    assert_eq!(live(&now).await.1.len(), 6);
    assert_eq!(marker_of(&now, "job", "out").expect("read").map(|marker| marker.epoch), Some(6));
}

#[tokio::test]
async fn a_branch_must_exist_and_then_takes_the_rows_alone() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "job", None, 1).await).await.expect("appended");
    let mut append = epoch_of(&table, "job", Some(1), 2).await;
    append.branch = Some("audit".to_owned());
    let error = committer.append(&append).await.expect_err("no branch");
    assert!(error.to_string().contains("`audit`"), "{error}");
    let now = committer.refresh().await.expect("loaded");
    let head = now.metadata.current_snapshot_id().expect("head");
    let branch = iceberg::spec::SnapshotReference::new(head, iceberg::spec::SnapshotRetention::branch(Some(9), None, None));
    catalog
        .commit(&now, Vec::new(), vec![iceberg::TableUpdate::SetSnapshotRef { ref_name: "audit".to_owned(), reference: branch }])
        .await
        .expect("branched");
    committer.append(&append).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    assert_eq!(now.metadata.current_snapshot_id(), Some(head));
    assert_eq!(now.metadata.snapshot_for_ref("audit").map(|snapshot| snapshot.snapshot_id()), Some(append.snapshot_id));
    let json = serde_json::to_value(&*now.metadata).expect("json");
    assert_eq!(json["refs"]["audit"]["min-snapshots-to-keep"], 9);
}

#[tokio::test]
async fn files_of_another_partitioning_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let mut append = epoch_of(&table, "job", None, 1).await;
    let file = data_file(&table, 3).await;
    let json = serde_json::to_value(file.file_path()).expect("json");
    append.files.push(
        iceberg::spec::DataFileBuilder::default()
            .content(iceberg::spec::DataContentType::Data)
            .file_path(json.as_str().expect("text").to_owned())
            .file_format(iceberg::spec::DataFileFormat::Parquet)
            .partition(iceberg::spec::Struct::from_iter([Some(iceberg::spec::Literal::int(1))]))
            .partition_spec_id(1)
            .record_count(3)
            .file_size_in_bytes(3)
            .build()
            .expect("complete"),
    );
    let error = TableCommitter::of(&catalog, &table_id()).append(&append).await.expect_err("does not fit");
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(files_in(folder.path(), ".avro").is_empty());
}

#[tokio::test]
async fn there_is_one_committer_for_a_catalog_and_table() {
    let (catalog, other) = (memory(), memory());
    let clone = Arc::clone(&catalog);
    let committer = TableCommitter::of(&catalog, &table_id());
    assert!(Arc::ptr_eq(&committer, &TableCommitter::of(&clone, &table_id())));
    assert!(!Arc::ptr_eq(&committer, &TableCommitter::of(&other, &table_id())));
}

#[tokio::test]
async fn databases_and_tables_behave_alike_in_every_catalog() {
    let folder = tempfile::tempdir().expect("folder");
    let objects = format!("memory://{}/w", uuid::Uuid::new_v4());
    let hadoop_on_objects = open(&[("catalog-type", "hadoop"), ("warehouse", &objects)]);
    let folders = tempfile::tempdir().expect("folder");
    for catalog in [memory(), sqlite(folder.path()), hadoop(folders.path()), hadoop_on_objects] {
        conforms(&catalog).await;
    }
}

async fn conforms(catalog: &Arc<dyn LakeCatalog>) {
    let missing = catalog.tables("shop").await.expect_err("no database");
    assert!(matches!(missing, CatalogError::NotFound(_)), "{missing}");
    create(catalog, &[]).await;
    let again = catalog.create_database("shop", &BTreeMap::new()).await.expect_err("there");
    assert!(matches!(again, CatalogError::AlreadyExists(_)), "{again}");
    assert_eq!(catalog.databases().await.expect("listed"), ["shop"]);
    assert_eq!(catalog.tables("shop").await.expect("listed"), ["orders"]);
    assert_eq!(catalog.drop_database("shop").await.expect_err("full").kind(), ErrorKind::User);
    catalog.drop_table(&table_id()).await.expect("dropped");
    assert!(matches!(catalog.drop_table(&table_id()).await, Err(CatalogError::NotFound(_))));
    assert!(matches!(catalog.load(&table_id()).await, Err(CatalogError::NotFound(_))));
    catalog.drop_database("shop").await.expect("empty");
    assert!(!catalog.database_exists("shop").await.expect("asked"));
}

#[tokio::test]
async fn manifests_are_written_anew_and_every_file_keeps_its_numbers() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[("commit.manifest-merge.enabled", "false")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=6 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    let (manifests, files) = live(&committer.refresh().await.expect("loaded")).await;
    assert_eq!(manifests.len(), 6);
    let journal = Journal::new(&catalog, &table, Keeper::Command);
    let wanted = |min_count| RewriteManifests { branch: None, min_count };
    assert_eq!(committer.rewrite_manifests(&wanted(7), &journal).await.expect("asked"), None);
    let done = committer.rewrite_manifests(&wanted(2), &journal).await.expect("rewritten").expect("worth it");
    let now = committer.refresh().await.expect("loaded");
    assert_eq!((done.before, done.after, now.metadata.current_snapshot_id()), (6, 1, Some(done.snapshot_id)));
    assert_eq!(live(&now).await, (live(&now).await.0, files.clone()));
    let summary = now.metadata.current_snapshot().expect("snapshot").summary();
    assert_eq!(summary.operation, iceberg::spec::Operation::Replace);
    assert_eq!(summary.additional_properties.get("total-data-files").map(String::as_str), Some("6"));
    // One that is overlarge becomes several.
    let small = iceberg::TableUpdate::SetProperties { updates: [("commit.manifest.target-size-bytes".to_owned(), "2000".to_owned())].into() };
    catalog.commit(&now, Vec::new(), vec![small]).await.expect("set");
    let done = committer.rewrite_manifests(&wanted(2), &journal).await.expect("rewritten").expect("worth it");
    assert!(done.before == 1 && done.after > 1, "{done:?}");
    assert_eq!(live(&committer.refresh().await.expect("loaded")).await.1, files);
    // The journal is empty, and each snapshot's files are all that is there: 6 manifests, 1, and those of the last; and 8 lists.
    assert_eq!(files_in(folder.path(), ".avro").len(), 6 + 1 + done.after + 8);
    assert!(!files_in(folder.path(), ".json").iter().any(|path| path.contains("_weir-upkeep")));
}
