//! Branches set back and appends picked: what they hold then, and what it means for the job that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, Operation, SnapshotReference, SnapshotRetention};

use super::replace::{append, replacement};
use super::support::{create, data_file, epoch_of, memory, table_id};
use crate::commit::{Append, TableCommitter, marker_of};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::read::{data_files, totals};
use crate::references::references;
use crate::upkeep::{BackTo, Rollback, RolledBack, cherry_pick, keep_note, plan_cherry_pick, roll_back};
use crate::verify::{Depth, Quiet, verify};

async fn now(catalog: &Arc<dyn LakeCatalog>) -> LakeTable {
    catalog.load(&table_id()).await.expect("loaded")
}

async fn rows(catalog: &Arc<dyn LakeCatalog>) -> u64 {
    totals(&data_files(&now(catalog).await, None).await.expect("read")).records
}

async fn back(catalog: &Arc<dyn LakeCatalog>, to: BackTo, markers: bool) -> Result<RolledBack, CatalogError> {
    roll_back(catalog, &table_id(), &Rollback { branch: None, to, markers }).await
}

/// The ids of the snapshots, oldest first.
fn ids(table: &LakeTable) -> Vec<i64> {
    let mut snapshots: Vec<_> = table.metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    snapshots.into_iter().map(|snapshot| snapshot.snapshot_id()).collect()
}

fn epoch(table: &LakeTable) -> Option<u64> {
    marker_of(table, "job", "out").expect("readable").map(|marker| marker.epoch)
}

#[tokio::test]
async fn a_branch_goes_back_and_tells_what_that_means() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let table = append(&catalog, &table, 1..=4).await;
    let all = ids(&table);
    let told = back(&catalog, BackTo::Snapshot(all[1]), false).await.expect("an ancestor");
    assert_eq!((told.from, told.to, rows(&catalog).await), (all[3], all[1], 14));
    let lost = told.unreachable.iter().map(|one| (one.snapshot_id, one.operation.as_str(), one.added_rows));
    assert_eq!(lost.collect::<Vec<_>>(), [(all[3], "append", Some(7)), (all[2], "append", Some(7))]);
    let job = &told.jobs[0];
    assert_eq!((job.job.as_str(), job.sink.as_str(), job.at, job.lost, job.marker_set_back), ("job", "out", Some(2), 4, false));
    // The marker stayed: the job goes on behind what was taken away, and verification sees the hole.
    assert_eq!(epoch(&now(&catalog).await), Some(4));
    append(&catalog, &table, 5..=5).await;
    let text = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified").to_string();
    assert!(text.contains("was not read from 20 to 40"), "{text}");
    // The snapshots are still there, for whoever wants them back.
    assert!(back(&catalog, BackTo::Snapshot(all[3]), false).await.expect_err("no ancestor").to_string().contains("no way back"));
    back(&catalog, BackTo::Any(all[3]), false).await.expect("any will do");
    assert_eq!(rows(&catalog).await, 28);
    let again = back(&catalog, BackTo::Any(all[3]), false).await.expect("is there");
    assert!(again.from == again.to && again.unreachable.is_empty());
}

#[tokio::test]
async fn markers_go_back_too_if_that_is_asked_so_that_a_job_writes_again_what_was_taken_away() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let table = append(&catalog, &table, 1..=3).await;
    let first = ids(&table)[0];
    let told = back(&catalog, BackTo::Snapshot(first), true).await.expect("an ancestor");
    assert!(told.jobs[0].marker_set_back);
    assert_eq!(epoch(&now(&catalog).await), Some(1));
    let committer = TableCommitter::of(&catalog, &table_id());
    let refused = committer.append(&epoch_of(&table, "job", Some(3), 4).await).await.expect_err("the running job is ahead");
    assert!(refused.to_string().contains("rolled back"), "{refused}");
    append(&catalog, &table, 2..=3).await;
    let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
    assert!(report.passed() && rows(&catalog).await == 21, "{report}");
}

#[tokio::test]
async fn a_job_that_had_written_nothing_then_loses_its_marker() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let before = now(&catalog).await.metadata.current_snapshot_id().expect("a snapshot");
    committer.append(&epoch_of(&table, "late", None, 1).await).await.expect("appended");
    let told = back(&catalog, BackTo::Snapshot(before), true).await.expect("an ancestor");
    assert_eq!((told.jobs[0].job.as_str(), told.jobs[0].at), ("late", None));
    let now = now(&catalog).await;
    assert_eq!((marker_of(&now, "late", "out").expect("readable"), epoch(&now)), (None, Some(1)));
}

#[tokio::test]
async fn a_branch_goes_back_to_the_newest_snapshot_before_a_time() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let table = append(&catalog, &table, 1..=3).await;
    let all = ids(&table);
    let time = |id: i64| table.metadata.snapshot_by_id(id).expect("there").timestamp_ms();
    let told = back(&catalog, BackTo::Before(time(all[2]) + 1), false).await.expect("the head itself");
    assert_eq!(told.to, all[2]);
    let earlier = all.iter().rev().find(|id| time(**id) < time(all[2]));
    match (back(&catalog, BackTo::Before(time(all[2])), false).await, earlier) {
        (Ok(told), Some(id)) => assert_eq!(told.to, *id),
        (Err(error), None) => assert!(error.to_string().contains("no snapshot from before"), "{error}"),
        (told, earlier) => panic!("{told:?} {earlier:?}"),
    }
    let error = back(&catalog, BackTo::Before(1_000), false).await.expect_err("too early").to_string();
    assert!(error.contains("no snapshot from before 1970-01-01T00:00:01.000Z; its oldest one is of 20"), "{error}");
    let error = back(&catalog, BackTo::Snapshot(12), false).await.expect_err("unknown").to_string();
    assert!(error.contains("has no snapshot 12") && error.contains(&all[2].to_string()), "{error}");
}

/// Makes a branch at the head of main, with a rule of its own.
async fn branch(catalog: &Arc<dyn LakeCatalog>, name: &str) {
    let table = now(catalog).await;
    let head = table.metadata.current_snapshot_id().expect("a snapshot");
    let retention = SnapshotRetention::Branch { min_snapshots_to_keep: Some(7), max_snapshot_age_ms: None, max_ref_age_ms: None };
    let reference = SnapshotReference::new(head, retention);
    let update = TableUpdate::SetSnapshotRef { ref_name: name.to_owned(), reference };
    catalog.commit(&table, Vec::new(), vec![update]).await.expect("made");
}

async fn append_to(catalog: &Arc<dyn LakeCatalog>, branch: Option<&str>, job: &str, epoch: u64) -> i64 {
    let table = now(catalog).await;
    let append: Append = epoch_of(&table, job, (epoch > 1).then(|| epoch - 1), epoch).await;
    let append = Append { branch: branch.map(str::to_owned), ..append };
    TableCommitter::of(catalog, &table_id()).append(&append).await.expect("appended").snapshot_id
}

#[tokio::test]
async fn a_branch_keeps_its_rules_and_what_another_leads_to_stays_reachable() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    branch(&catalog, "audit").await;
    let (first, second) = (append_to(&catalog, Some("audit"), "job", 2).await, append_to(&catalog, Some("audit"), "job", 3).await);
    let request = Rollback { branch: Some("audit".to_owned()), to: BackTo::Snapshot(first), markers: false };
    let told = roll_back(&catalog, &table_id(), &request).await.expect("an ancestor");
    assert_eq!(told.unreachable.iter().map(|one| one.snapshot_id).collect::<Vec<_>>(), [second]);
    let all = references(&now(&catalog).await.metadata).expect("readable");
    assert_eq!(all["audit"].snapshot_id, first);
    assert!(matches!(all["audit"].retention, SnapshotRetention::Branch { min_snapshots_to_keep: Some(7), .. }));
    assert_eq!(all[MAIN_BRANCH].snapshot_id, ids(&now(&catalog).await)[0]);
    let wrong = Rollback { branch: Some("audti".to_owned()), ..request };
    let error = roll_back(&catalog, &table_id(), &wrong).await.expect_err("unknown").to_string();
    assert!(error.contains("no branch 'audti'. Did you mean 'audit'?"), "{error}");
}

#[tokio::test]
async fn an_append_is_picked_once_and_by_going_there_if_nothing_else_has_happened() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    branch(&catalog, "audit").await;
    let (first, second) = (append_to(&catalog, Some("audit"), "other", 1).await, append_to(&catalog, Some("audit"), "other", 2).await);
    let plan = async |source: i64| plan_cherry_pick(&now(&catalog).await, None, source).await.expect("can be picked").files;
    assert_eq!((plan(first).await, rows(&catalog).await), (None, 7), "it would go there, and has not");
    let picked = cherry_pick(&catalog, &table_id(), None, first).await.expect("right on top");
    assert!(picked.fast_forward && picked.head == first && rows(&catalog).await == 14);
    let refused = |result: Result<_, CatalogError>| result.expect_err("refused").to_string();
    assert!(refused(cherry_pick(&catalog, &table_id(), None, first).await).contains("is on branch 'main' already"));

    append_to(&catalog, None, "job", 2).await;
    assert_eq!((plan(second).await, rows(&catalog).await), (Some(1), 21), "it would be appended, and is not");
    let picked = cherry_pick(&catalog, &table_id(), None, second).await.expect("an append");
    assert!(!picked.fast_forward && picked.head != second && rows(&catalog).await == 28);
    let head = now(&catalog).await;
    let snapshot = head.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(
        (&snapshot.summary().operation, snapshot.summary().additional_properties["source-snapshot-id"].clone()),
        (&Operation::Append, second.to_string())
    );
    assert!(!snapshot.summary().additional_properties.contains_key("weir.job"), "it is no commit of the job");
    let twice = refused(cherry_pick(&catalog, &table_id(), None, second).await);
    assert!(twice.contains("was picked already"), "{twice}");
    let report = verify(&catalog, &table_id(), Depth::Files, &Quiet).await.expect("verified");
    assert!(report.problems.iter().all(|problem| !problem.contains("more than once")), "{report}");
}

#[tokio::test]
async fn more_than_an_append_is_not_picked_and_a_staged_one_is_published_once() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    append(&catalog, &table, 1..=1).await;
    branch(&catalog, "audit").await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let staged = async |operation: Operation, name: Option<&str>| {
        let table = now(&catalog).await;
        let head = table.metadata.snapshot_for_ref("audit").map(|head| head.snapshot_id());
        let files = if operation == Operation::Append { Vec::new() } else { data_files(&table, head).await.expect("read")[..1].to_vec() };
        let mut change = replacement(&table, files, vec![data_file(&table, 5).await]);
        change.branch = Some("audit".to_owned());
        change.sequence_number = None;
        change.replaced.operation = operation;
        change.replaced.read = head;
        change.replaced.notes = name.map(|name| BTreeMap::from([("wap.id".to_owned(), name.to_owned())])).unwrap_or_default();
        committer.replace(&change).await.expect("staged").snapshot_id
    };
    let (first, second) = (staged(Operation::Append, Some("w1")).await, staged(Operation::Append, Some("w1")).await);
    let overwrite = staged(Operation::Overwrite, None).await;
    let replace = staged(Operation::Replace, None).await;
    append_to(&catalog, None, "job", 2).await;
    let refused = async |source: i64, part: &str| {
        let error = cherry_pick(&catalog, &table_id(), None, source).await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(overwrite, "is an overwrite, and was made on another snapshot than the head").await;
    refused(replace, "is a replace, and was made").await;
    plan_cherry_pick(&now(&catalog).await, None, replace).await.expect_err("a plan refuses it too");
    refused(4711, "has no snapshot 4711").await;
    cherry_pick(&catalog, &table_id(), None, first).await.expect("published");
    let table = now(&catalog).await;
    let summary = &table.metadata.current_snapshot().expect("a snapshot").summary().additional_properties;
    assert_eq!(summary["published-wap-id"], "w1");
    refused(second, "was staged as 'w1', which snapshot").await;
}

#[tokio::test]
async fn a_note_is_kept_by_several_at_once_and_nothing_is_committed_where_nothing_is_new() {
    let catalog = memory();
    let id = create(&catalog, &[]).await.id;
    let add = |word: &'static str| {
        keep_note(&catalog, &id, "x.words", move |known| {
            let mut words: BTreeSet<&str> = known.unwrap_or_default().split_whitespace().collect();
            words.insert(word);
            Ok(words.into_iter().collect::<Vec<_>>().join(" "))
        })
    };
    let written = futures::future::join_all(["a", "b", "c", "d"].map(add)).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let table = now(&catalog).await;
    assert_eq!(table.metadata.properties().get("x.words").map(String::as_str), Some("a b c d"));
    add("c").await.expect("known already");
    assert_eq!(now(&catalog).await.metadata_location, table.metadata_location);
    let refused = keep_note(&catalog, &id, "x.words", |_known| Err(CatalogError::user("no"))).await;
    assert_eq!(refused.expect_err("refused").to_string(), "no");
}
