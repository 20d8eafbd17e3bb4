//! Expiry against a model: whatever the history, what a snapshot that stays needs is there, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, Operation, SnapshotReference, SnapshotRetention, StatisticsFile};
use proptest::prelude::*;
use weir_fs::FileSystems;

use super::faults::{Fault, Lying};
use super::support::{Kind, create, epoch_of, killed_at, memory, sqlite, table_id};
use super::upkeep::{keeper, nothing_is_left, now, recover, rewrite};
use crate::commit::{Appends, AtMost, ExpireRules, Expired, GoneKind, Replaced, Replacement, TableCommitter, new_snapshot_id};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable};
use crate::read::data_files;
use crate::upkeep::Journal;
use crate::upkeep::readers::{Reader, register};

/// Everything may go but the last of each branch.
fn all_but(retain_last: usize) -> ExpireRules {
    ExpireRules { older_than_ms: Some(i64::MAX), retain_last: Some(retain_last), ..ExpireRules::default() }
}

async fn expire(catalog: &Arc<dyn LakeCatalog>, rules: &ExpireRules, fence: u64) -> Result<Expired, CatalogError> {
    let committer = TableCommitter::of(catalog, &table_id());
    let table = committer.refresh().await?;
    committer.expire(rules, &Journal::new(catalog, &table, keeper(fence))).await
}

/// A table with a job that appends to branches of it.
struct History {
    catalog: Arc<dyn LakeCatalog>,
    committer: Arc<TableCommitter>,
    table: LakeTable,
    epoch: u64,
}

impl History {
    async fn new(catalog: Arc<dyn LakeCatalog>) -> Self {
        let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "3"), ("write.metadata.previous-versions-max", "2")]).await;
        let committer = TableCommitter::of(&catalog, &table_id());
        Self { catalog, committer, table, epoch: 0 }
    }

    async fn now(&self) -> LakeTable {
        self.committer.refresh().await.expect("loaded")
    }

    async fn append(&mut self, branch: Option<&str>) -> i64 {
        let previous = (self.epoch > 0).then_some(self.epoch);
        self.epoch += 1;
        let mut append = epoch_of(&self.table, "job", previous, self.epoch).await;
        append.branch = branch.map(str::to_owned);
        self.committer.append(&append).await.expect("appended");
        append.snapshot_id
    }

    /// One file of main goes, as a DELETE would have it.
    async fn delete(&self, which: usize) {
        let table = self.now().await;
        let files = data_files(&table, None).await.expect("files");
        let Some(file) = files.get(which % files.len().max(1)).cloned() else { return };
        let replaced = Replaced {
            operation: Operation::Delete,
            read: table.metadata.current_snapshot_id(),
            files: vec![file],
            appends: Appends::Welcome,
            notes: BTreeMap::new(),
        };
        let (table_uuid, snapshot_id) = (table.metadata.uuid().to_string(), new_snapshot_id(&table.metadata));
        let change = Replacement { table_uuid, branch: None, snapshot_id, added: Vec::new(), sequence_number: None, fence: None, replaced };
        self.committer.replace(&change).await.expect("deleted");
    }

    async fn point(&self, name: &str, snapshot_id: i64, retention: SnapshotRetention) {
        let update = TableUpdate::SetSnapshotRef { ref_name: name.to_owned(), reference: SnapshotReference::new(snapshot_id, retention) };
        self.catalog.commit(&self.now().await, Vec::new(), vec![update]).await.expect("pointed");
    }

    /// A snapshot of the table, by a number that may be anything.
    async fn any(&self, which: usize) -> Option<i64> {
        let table = self.now().await;
        let all: BTreeMap<i64, i64> = table.metadata.snapshots().map(|one| (one.sequence_number(), one.snapshot_id())).collect();
        all.into_values().nth(which % table.metadata.snapshots().len().max(1))
    }
}

fn tag() -> SnapshotRetention {
    SnapshotRetention::Tag { max_ref_age_ms: None }
}

fn branch(min: Option<i32>) -> SnapshotRetention {
    SnapshotRetention::branch(min, None, None)
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Append,
    Rewrite,
    Delete(usize),
    Branch(usize),
    AppendToBranch,
    Tag(usize),
    DropTag,
    Rollback(usize),
    Read(usize),
    Expire(usize),
    ExpireSurplus(usize),
    ExpireOne(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Append),
        4 => Just(Step::Rewrite),
        3 => (0_usize..9).prop_map(Step::Delete),
        1 => (0_usize..30).prop_map(Step::Branch),
        2 => Just(Step::AppendToBranch),
        1 => (0_usize..30).prop_map(Step::Tag),
        1 => Just(Step::DropTag),
        1 => (0_usize..30).prop_map(Step::Rollback),
        1 => (0_usize..30).prop_map(Step::Read),
        3 => (1_usize..4).prop_map(Step::Expire),
        1 => (1_usize..4).prop_map(Step::ExpireSurplus),
        1 => (0_usize..30).prop_map(Step::ExpireOne),
    ];
    proptest::collection::vec(step, 1..22)
}

async fn run(folder: &Path, steps: &[Step]) {
    let mut history = History::new(sqlite(folder)).await;
    let (mut has_branch, mut next_sequence, mut fence) = (false, None, 0);
    for step in steps {
        fence += 1;
        let before = history.now().await;
        let main = before.metadata.current_snapshot_id();
        let rules = match *step {
            Step::Append => {
                history.append(None).await;
                None
            }
            Step::AppendToBranch => {
                if has_branch {
                    history.append(Some("b")).await;
                }
                None
            }
            Step::Rewrite => {
                if main.is_some() {
                    rewrite(&history.catalog, fence).await.expect("rewritten");
                }
                None
            }
            Step::Delete(which) => {
                history.delete(which).await;
                None
            }
            Step::Branch(which) => {
                if let (Some(id), false) = (history.any(which).await, has_branch) {
                    history.point("b", id, branch(Some(2))).await;
                    has_branch = true;
                }
                None
            }
            Step::Tag(which) => {
                if let Some(id) = history.any(which).await {
                    history.point("t", id, tag()).await;
                }
                None
            }
            Step::DropTag => {
                let update = TableUpdate::RemoveSnapshotRef { ref_name: "t".to_owned() };
                history.catalog.commit(&before, Vec::new(), vec![update]).await.expect("dropped");
                None
            }
            Step::Rollback(which) => {
                let ancestors: Vec<i64> =
                    main.into_iter().flat_map(|head| crate::commit::ancestors(&before.metadata, head)).map(|one| one.snapshot_id()).collect();
                if let Some(id) = ancestors.get(which % ancestors.len().max(1)) {
                    history.point(MAIN_BRANCH, *id, branch(None)).await;
                }
                None
            }
            Step::Read(which) => {
                let next = history.any(which).await.and_then(|id| before.metadata.snapshot_by_id(id)).map(|one| one.sequence_number());
                if let Some(next) = next {
                    let (job, source, table, branch) = ("reader".to_owned(), "s".to_owned(), before.metadata.uuid().to_string(), "main".to_owned());
                    let time_ms = chrono::Utc::now().timestamp_millis();
                    let reader = Reader { job, source, table, branch, next_sequence: next, time_ms };
                    register(&history.catalog, before.metadata.location(), &reader).await.expect("registered");
                    next_sequence = Some(next);
                }
                None
            }
            Step::Expire(retain) => Some(all_but(retain)),
            Step::ExpireSurplus(snapshots) => {
                Some(ExpireRules { at_most: Some(AtMost { snapshots, min_age: std::time::Duration::ZERO }), ..ExpireRules::default() })
            }
            Step::ExpireOne(which) => history.any(which).await.map(|id| ExpireRules { ids: vec![id], ..ExpireRules::default() }),
        };
        let Some(rules) = rules else { continue };
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let would = expire(&history.catalog, &ExpireRules { dry_run: true, ..rules.clone() }, fence).await;
        let expired = match expire(&history.catalog, &rules, fence).await {
            Ok(expired) => expired,
            // Only what was asked for by its id can be refused.
            Err(error) => {
                assert!(!rules.ids.is_empty() && would.is_err(), "{error}");
                continue;
            }
        };
        let would = would.expect("the same");
        assert_eq!((would.snapshots, would.files), (expired.snapshots.clone(), expired.files), "a dry run tells the truth");
        let after = history.now().await;
        nothing_is_left(&after, folder, &format!("{step:?} of {steps:?}")).await;
        let left: BTreeSet<i64> = after.metadata.snapshots().map(|one| one.snapshot_id()).collect();
        let gone = |sequence: i64| before.metadata.snapshots().any(|one| one.sequence_number() >= sequence && !left.contains(&one.snapshot_id()));
        assert!(next_sequence.is_none_or(|next| !gone(next)), "{step:?}: the reader needs all from {next_sequence:?} on");
        for (name, reference) in crate::references::references(&before.metadata).expect("references") {
            assert_eq!(after.metadata.snapshot_for_ref(&name).map(|one| one.snapshot_id()), Some(reference.snapshot_id), "{name}");
        }
        let own = before.metadata.snapshot_for_ref("b").into_iter();
        let own = own.flat_map(|head| crate::commit::ancestors(&before.metadata, head.snapshot_id())).take(2);
        assert!(own.into_iter().all(|one| left.contains(&one.snapshot_id())), "the branch keeps two by its own settings");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_a_snapshot_that_stays_needs_is_there_and_nothing_else_is(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let folder = tempfile::tempdir().expect("folder");
        runtime.block_on(run(folder.path(), &steps));
    }
}

/// The snapshot that removed the file is on no branch, the one between its coming and its going leaves, and the head still has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_removed_before_a_rollback_is_needed_by_the_head() {
    let folder = tempfile::tempdir().expect("folder");
    let steps = [
        Step::Append,
        Step::Append,
        Step::Delete(0),
        Step::Rollback(2),
        Step::Append,
        Step::ExpireSurplus(1),
        Step::ExpireOne(0),
        Step::ExpireOne(0),
    ];
    run(folder.path(), &steps).await;
}

async fn killed_everywhere(kind: Kind) {
    let (mut before, mut after) = (0, 0);
    for nth in 1.. {
        let folder = tempfile::tempdir().expect("folder");
        let mut history = History::new(kind.process(folder.path(), &FileSystems::default())).await;
        history.append(None).await;
        let counted = history.append(None).await;
        rewrite(&history.catalog, 1).await.expect("rewritten");
        history.append(None).await;
        let table = history.now().await;
        let path = format!("{}/metadata/{counted}.puffin", table.metadata.location());
        table.file_io.new_output(&path).expect("path").write("x".into()).await.expect("written");
        let (snapshot_id, file_size_in_bytes, blob_metadata) = (counted, 1, Vec::new());
        let statistics = StatisticsFile {
            snapshot_id,
            statistics_path: path,
            file_size_in_bytes,
            file_footer_size_in_bytes: 1,
            key_metadata: None,
            blob_metadata,
        };
        history.catalog.commit(&table, Vec::new(), vec![TableUpdate::SetStatistics { statistics }]).await.expect("set");
        let killed = killed_at(kind, folder.path(), nth, async |catalog| {
            let expired = expire(&catalog, &all_but(1), 2).await.expect("expired");
            let counts = [GoneKind::Data, GoneKind::ManifestList, GoneKind::Statistics].map(|kind| expired.count(kind).0);
            assert_eq!((expired.snapshots.len(), counts), (3, [2, 3, 1]));
        })
        .await;
        // By the way: the recovery is killed too.
        killed_at(kind, folder.path(), 1 + nth % 23, async |catalog| {
            recover(&catalog, 3).await.expect("recovered");
        })
        .await;
        recover(&history.catalog, 4).await.expect("recovered");
        let now = history.now().await;
        nothing_is_left(&now, folder.path(), &format!("{kind:?}, killed at request {nth}")).await;
        let left = now.metadata.snapshot_by_id(counted).is_some();
        (before, after) = (before + u32::from(left), after + u32::from(!left));
        assert!(killed || !left);
        if !killed {
            assert!(before > 3 && after > 3, "{before} times before the swap, {after} times after");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_is_killed_at_any_request_leaves_nothing_after_recovery_in_a_hadoop_catalog() {
    killed_everywhere(Kind::Hadoop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_is_killed_at_any_request_leaves_nothing_after_recovery_in_a_sql_catalog() {
    killed_everywhere(Kind::Sqlite).await;
}

#[tokio::test]
async fn what_is_asked_for_by_its_id_is_refused_with_the_reason_if_it_must_stay() {
    let mut history = History::new(memory()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(history.append(None).await);
    }
    history.point("eod", ids[1], tag()).await;
    let held = history.committer.hold(ids[2]);
    let rules = |id| ExpireRules { ids: vec![id], ..ExpireRules::default() };
    for (id, why) in [(ids[4], "branch or tag `main`"), (ids[1], "branch or tag `eod`"), (ids[2], "working on it"), (7, "no snapshot 7")] {
        let error = expire(&history.catalog, &rules(id), 1).await.expect_err("must stay").to_string();
        assert!(error.contains(why), "{why} not in {error}");
    }
    drop(held);
    assert_eq!(expire(&history.catalog, &rules(ids[2]), 1).await.expect("expired").snapshots, [ids[2]]);
}

#[tokio::test]
async fn surplus_snapshots_of_a_job_go_when_they_are_old_enough_and_its_rewrites_are_its_own() {
    let mut history = History::new(memory()).await;
    for _ in 0..4 {
        history.append(None).await;
    }
    rewrite(&history.catalog, 1).await.expect("rewritten");
    let rules = |job: &str, minutes: u64| ExpireRules {
        only_job: Some(job.to_owned()),
        at_most: Some(AtMost { snapshots: 1, min_age: std::time::Duration::from_secs(60 * minutes) }),
        ..ExpireRules::default()
    };
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_eq!(expire(&history.catalog, &rules("job", 10), 1).await.expect("expired").snapshots.len(), 0, "they are too young");
    assert_eq!(expire(&history.catalog, &rules("other", 0), 1).await.expect("expired").snapshots.len(), 0, "they are another's");
    assert_eq!(expire(&history.catalog, &rules("job", 0), 1).await.expect("expired").snapshots.len(), 4);
    history.append(None).await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_eq!(expire(&history.catalog, &rules("a.b", 0), 1).await.expect("expired").snapshots.len(), 1, "the rewrite");
    assert_eq!(history.now().await.metadata.snapshots().count(), 1);
}

#[tokio::test]
async fn a_reader_that_has_not_moved_for_a_week_does_not_count_and_is_named() {
    let mut history = History::new(memory()).await;
    for _ in 0..3 {
        history.append(None).await;
    }
    let table = history.now().await;
    let day = 86_400_000;
    for (age, left) in [(6 * day, 3), (8 * day, 1)] {
        let (job, source, uuid, branch) = ("r".to_owned(), "orders".to_owned(), table.metadata.uuid().to_string(), "main".to_owned());
        let time_ms = i64::try_from(now().as_millis()).expect("now") - age;
        let reader = Reader { job, source, table: uuid, branch, next_sequence: 1, time_ms };
        register(&history.catalog, table.metadata.location(), &reader).await.expect("registered");
        let expired = expire(&history.catalog, &all_but(1), 1).await.expect("expired");
        assert_eq!(history.now().await.metadata.snapshots().count(), left);
        assert_eq!(expired.stale_readers, if left == 1 { vec!["r/orders".to_owned()] } else { Vec::new() });
    }
}

#[tokio::test]
async fn a_table_whose_files_are_not_its_own_is_left_alone() {
    let catalog = memory();
    let table = create(&catalog, &[("gc.enabled", "false")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=2 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then_some(1), epoch).await).await.expect("appended");
    }
    let error = expire(&catalog, &all_but(1), 1).await.expect_err("off").to_string();
    assert!(error.contains("gc.enabled"), "{error}");
    let own = ExpireRules { only_job: Some("job".to_owned()), ..all_but(1) };
    assert_eq!(expire(&catalog, &own, 1).await.expect("nothing").snapshots.len(), 0);
}

/// What job `job` may expire, so that the newest `snapshots` of the branch stay.
fn own(job: &str, snapshots: usize) -> ExpireRules {
    let at_most = Some(AtMost { snapshots, min_age: std::time::Duration::ZERO });
    ExpireRules { only_job: Some(job.to_owned()), at_most, ..ExpireRules::default() }
}

/// Two jobs append to a table in turn.
async fn of_two_jobs(catalog: &Arc<dyn LakeCatalog>, properties: &[(&str, &str)], commits: u64) -> Arc<TableCommitter> {
    let table = create(catalog, properties).await;
    let committer = TableCommitter::of(catalog, &table_id());
    for epoch in 1..=commits {
        for job in ["one", "two"] {
            committer.append(&epoch_of(&table, job, epoch.checked_sub(1).filter(|before| *before > 0), epoch).await).await.expect("appended");
        }
    }
    // Times in milliseconds must differ from now.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    committer
}

#[tokio::test]
async fn the_bound_holds_where_two_jobs_write_to_a_table_and_each_expires_its_own() {
    let catalog = memory();
    let committer = of_two_jobs(&catalog, &[], 8).await;
    assert_eq!(expire(&catalog, &own("one", 2), 1).await.expect("expired").snapshots.len(), 7);
    assert_eq!(expire(&catalog, &own("two", 2), 1).await.expect("expired").snapshots.len(), 7, "although most of its own are behind holes");
    assert_eq!(committer.refresh().await.expect("loaded").metadata.snapshots().count(), 2);
}

#[tokio::test]
async fn what_a_rollback_has_left_beside_the_line_is_not_surplus_until_the_line_has_lost_what_it_stands_on() {
    let mut history = History::new(memory()).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(history.append(None).await);
    }
    history.point(MAIN_BRANCH, ids[3], branch(None)).await;
    let next = history.append(None).await;
    for _ in 0..2 {
        history.append(None).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let expired = expire(&history.catalog, &own("job", 2), 1).await.expect("expired").snapshots;
    assert_eq!(expired, [&ids[..4], &[next]].concat(), "all of the line but two");
    let expired = expire(&history.catalog, &own("job", 2), 1).await.expect("expired").snapshots;
    assert_eq!(expired, ids[4..], "the snapshot that they stand on is gone");
}

#[tokio::test]
async fn two_jobs_that_expire_at_the_same_time_leave_no_file_that_only_both_needed() {
    // Where the swap fails because the table has moved on, and where, as a server of REST catalogs has it, only what it requires counts.
    for meanwhile in [Fault::Meanwhile, Fault::MeanwhileUnseen] {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = sqlite(folder.path());
        let committer = of_two_jobs(&catalog, &[("write.metadata.previous-versions-max", "2")], 3).await;
        // A file that all snapshots have but the last.
        let table = committer.refresh().await.expect("loaded");
        let history = History { catalog: Arc::clone(&catalog), committer: Arc::clone(&committer), table, epoch: 0 };
        history.delete(5).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let other = sqlite(folder.path());
        let lying = Lying::beside(Arc::clone(&catalog), meanwhile, async move { drop(expire(&other, &own("two", 1), 1).await.expect("expired")) });
        let mut expired = expire(&lying, &own("one", 1), 1).await.expect("expired");
        assert_eq!(expired.snapshots.len(), 3);
        expired.files.retain(|file| file.kind == GoneKind::Data);
        assert_eq!(expired.files.len(), 1, "{:?}", expired.files);
        nothing_is_left(&committer.refresh().await.expect("loaded"), folder.path(), &format!("{meanwhile:?}")).await;
    }
}
