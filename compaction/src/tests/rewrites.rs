//! Files decoded and written, with their deletes.

use std::time::Duration;

use iceberg::spec::Transform;
use weir_catalog::upkeep::{Journal, Keeper, Recovered};

use super::support::{Lake, local, now, request, rows};
use crate::policy::{Options, Way};
use crate::{Failed, LiveTable, Quiet, Report, Request};

fn whole() -> Request {
    let wanted = request(true);
    Request { options: Options { min_input_files: 2, ..wanted.options }, ..wanted }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_deleted_are_left_out_and_deletes_that_apply_to_nothing_go() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..3 {
        lake.append(&rows(part * 100..part * 100 + 100)).await;
    }
    let (files, _) = lake.live().await;
    lake.delete_places(&files[0], &[0, 99]).await;
    lake.delete_ids([5_i64, 105, 205, 7_777].into_iter()).await;
    lake.append(&rows(105..106)).await;
    let before = lake.content().await;
    assert_eq!(before.len(), 296);
    let report = lake.compact(&whole()).await;
    assert_eq!((report.decoded, report.copied, report.files_before, report.files_after, report.deletes), (1, 0, 4, 1, 2));
    assert_eq!(lake.content().await, before);
    let (files, deletes) = lake.live().await;
    assert_eq!((files.len(), deletes.len()), (1, 0));
    assert_eq!(files[0].file.record_count(), 296, "the inputs less the deletes");
    assert!(lake.orphans().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_of_an_equality_delete_may_hide_many_rows() {
    for others in [0, 50] {
        let mut lake = Lake::new(&[], &[]).await;
        lake.append(&rows(std::iter::repeat_n(5, 100))).await;
        lake.append(&rows(std::iter::repeat_n(5, 100).chain(100..100 + others))).await;
        let (files, _) = lake.live().await;
        lake.delete_ids(std::iter::once(5)).await;
        lake.delete_places(&files[0], &[7]).await;
        let before = lake.content().await;
        let report = lake.compact(&whole()).await;
        assert_eq!((report.decoded, report.files_before, report.files_after, report.deletes), (1, 2, usize::from(others > 0), 2));
        assert_eq!(lake.content().await, before);
        assert_eq!(before.len() as i64, others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_stays_as_long_as_it_applies_to_a_file() {
    let mut lake = Lake::new(&[("kind", Transform::Identity)], &[]).await;
    for part in 0..3 {
        lake.append(&rows(part * 90..part * 90 + 90)).await;
    }
    let (files, _) = lake.live().await;
    let of = |kind: &str| files.iter().find(|live| live.file.file_path().contains(kind)).expect("a partition").clone();
    lake.delete_places(&of("kind-0"), &[1, 2]).await;
    lake.delete_places(&of("kind-1"), &[3]).await;
    let before = lake.content().await;
    let only = Request { partition: Some("kind=kind-1".to_owned()), ..whole() };
    let report = lake.compact(&only).await;
    assert_eq!((report.files_before, report.files_after, report.deletes), (3, 1, 1));
    assert_eq!(lake.content().await, before);
    let report = lake.compact(&whole()).await;
    assert_eq!((report.decoded, report.files_after, report.deletes, report.commits), (3, 3, 1, 3));
    assert_eq!(lake.content().await, before);
    let (files, deletes) = lake.live().await;
    assert_eq!((files.len(), deletes.len()), (4, 0));
    let folders: std::collections::BTreeSet<&str> = files.iter().map(|live| crate::names::folder_of(live.file.file_path())).collect();
    assert_eq!(folders.len(), 4, "each partition keeps its folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_no_more_than_asked_for() {
    let mut lake = Lake::new(&[("id", Transform::Bucket(8))], &[]).await;
    for _ in 0..2 {
        lake.append(&rows(0..200)).await;
    }
    let before = lake.content().await;
    let report = lake.compact(&Request { commits: 3, ..whole() }).await;
    assert_eq!((report.decoded, report.commits, report.files_before, report.files_after), (8, 3, 16, 8));
    assert_eq!(lake.content().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_fails_the_run_and_leaves_the_table_as_it_was() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..6 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let (files, _) = lake.live().await;
    let path = files[3].file.file_path().trim_start_matches("file://").to_owned();
    let bytes = std::fs::read(&path).expect("there");
    std::fs::remove_file(&path).expect("removed");
    for way in [Way::Copy, Way::Decode] {
        let wanted = Request { decode_all: way == Way::Decode, ..request(false) };
        let Failed { report, error } = lake.compactor().await.compact_once(&wanted, now(), &Quiet).await.expect_err("a file is missing");
        assert_eq!(*report, Report::default());
        assert!(error.to_string().contains(files[3].file.file_path()), "{error}");
        assert!(lake.orphans().await.is_empty(), "{way:?}");
    }
    std::fs::write(&path, bytes).expect("back");
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 60);
    assert_eq!(lake.table().await.metadata.snapshots().count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_a_group_fails_tells_what_it_has_committed() {
    let mut lake = Lake::new(&[("id", Transform::Truncate(1_000))], &[]).await;
    for part in 0..10 {
        lake.append(&rows((part % 2) * 1_000 + part..(part % 2) * 1_000 + part + 1)).await;
    }
    let (files, _) = lake.live().await;
    let lost = files.iter().find(|live| live.file.file_path().contains("id_trunc=1000")).expect("one").file.file_path().to_owned();
    let lost = local(&lost);
    let bytes = std::fs::read(&lost).expect("there");
    std::fs::remove_file(&lost).expect("removed");
    // The groups may be made in any order; the one that can be made is committed, first or last.
    for commits in [2, 1] {
        let wanted = Request { commits, ..request(false) };
        let plan = lake.compactor().await.plan(&wanted, now()).await.expect("plans");
        let whole = plan.groups.iter().position(|group| group.files.iter().all(|file| !file.path.ends_with(&lost)));
        let Failed { report, error } =
            lake.compactor().await.run(&Request { parallelism: 1, ..wanted }, plan, &Quiet).await.expect_err("one is missing");
        assert!(error.to_string().contains(&lost), "{error}");
        let done = usize::from(whole == Some(0));
        assert_eq!((report.copied, report.commits, report.files_before, report.files_after), (done, done, 5 * done, done), "{whole:?}");
    }
    std::fs::write(&lost, bytes).expect("back");
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 10);
    assert_eq!(lake.orphans().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_not_there_is_named_with_those_that_are() {
    let mut lake = Lake::new(&[("kind", Transform::Identity)], &[]).await;
    let plan = async |lake: &Lake, partition: &str| {
        let wanted = Request { partition: Some(partition.to_owned()), ..request(false) };
        lake.compactor().await.plan(&wanted, now()).await.map(drop)
    };
    plan(&lake, "kind=").await.expect("a table without files has nothing to name");
    lake.append(&rows(0..30)).await;
    plan(&lake, "kind=kind-1").await.expect("it is there");
    let told = plan(&lake, "kind=kin-1").await.expect_err("a typo").to_string();
    let parts = ["begins with 'kind=kin-1'", "Did you mean 'kind=kind-1'?", "'kind=kind-0', 'kind=kind-1', 'kind=kind-2', 'kind=null'"];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    let mut whole = Lake::new(&[], &[]).await;
    whole.append(&rows(0..3)).await;
    assert!(plan(&whole, "day=1").await.expect_err("none").to_string().contains("has no partitions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_format_3_can_be_looked_at() {
    let lake = Lake::new(&[], &[("format-version", "3")]).await;
    let table = lake.table().await;
    LiveTable::load(table.clone(), None).await.expect_err("not to be rewritten");
    assert_eq!(LiveTable::read(table, None).await.expect("read").inventory.partitions().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_was_cut_off_has_left_is_deleted_a_day_later_and_nothing_else() {
    let mut lake = Lake::new(&[], &[]).await;
    let before = lake.table().await;
    lake.append(&rows(0..10)).await;
    let table = lake.table().await;
    let (lost, kept) = (format!("{}/data/lost.parquet", table.metadata.location()), lake.live().await.0[0].file.file_path().to_owned());
    let cut_off = Journal::new(&lake.catalog, &table, Keeper::Command).begin(&before);
    cut_off.files(&[lost.clone(), kept.clone()]).await.expect("recorded");
    std::fs::write(lost.trim_start_matches("file://"), "half of it").expect("written");
    let next = Journal::new(&lake.catalog, &table, Keeper::Command);
    let recovered = async |later| next.recover(now() + later).await.expect("recovers");
    assert_eq!(recovered(Duration::ZERO).await, Recovered::default(), "it may be running");
    assert_eq!(lake.orphans().await, [lost]);
    let later = Duration::from_secs(25 * 3_600);
    assert_eq!(recovered(later).await, Recovered { entries: 1, data_files: 1, metadata_files: 0 });
    assert!(lake.orphans().await.is_empty());
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 10);
    assert_eq!(recovered(later).await, Recovered::default(), "the entry is gone");
}
