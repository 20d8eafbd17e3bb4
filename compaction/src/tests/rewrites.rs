//! Files decoded and written, with their deletes.

use std::time::Duration;

use iceberg::spec::Transform;
use weir_catalog::upkeep::{Journal, Keeper, Recovered};

use super::support::{Lake, now, request, rows};
use crate::policy::{Options, Way};
use crate::{Quiet, Request};

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
        let error = lake.compactor().await.compact_once(&wanted, now(), &Quiet).await.expect_err("a file is missing");
        assert!(error.to_string().contains(files[3].file.file_path()), "{error}");
        assert!(lake.orphans().await.is_empty(), "{way:?}");
    }
    std::fs::write(&path, bytes).expect("back");
    assert_eq!(lake.number("SELECT count(*) FROM orders").await, 60);
    assert_eq!(lake.table().await.metadata.snapshots().count(), 6);
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
