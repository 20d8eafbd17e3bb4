//! Others commit while a plan is carried out.

use std::sync::Arc;

use super::support::{Lake, now, request, rows};
use crate::policy::Options;
use crate::{LiveTable, Quiet, Request};

fn whole() -> Request {
    let wanted = request(true);
    Request { options: Options { min_input_files: 2, ..wanted.options }, decode_all: true, ..wanted }
}

/// The case of an upsert while compaction runs: 1,000 rows, ten of them upserted; after the plan fifteen others are deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_equality_delete_that_comes_while_files_are_rewritten_is_not_lost() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..5 {
        lake.append(&rows(part * 200..part * 200 + 200)).await;
    }
    lake.delete_ids(0..10).await;
    lake.append(&rows(0..10)).await;
    assert_eq!(lake.content().await.len(), 1_000);
    let compactor = lake.compactor().await;
    let plan = compactor.plan(&whole(), now()).await.expect("plans");
    lake.delete_ids(5..20).await;
    let report = compactor.run(&whole(), plan, &Quiet).await.expect("runs");
    assert_eq!((report.decoded, report.gave_way), (1, 0));
    assert_eq!(lake.content().await.len(), 985);
    let (files, deletes) = lake.live().await;
    assert_eq!((files.len(), deletes.len()), (1, 1), "the older delete is gone, the newer one applies to the new file");
    assert_eq!(files[0].file.record_count(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_come_meanwhile_go_through() {
    for decode_all in [false, true] {
        let mut lake = Lake::new(&[], &[]).await;
        for part in 0..5 {
            lake.append(&rows(part * 10..part * 10 + 10)).await;
        }
        let wanted = Request { decode_all, ..request(false) };
        let compactor = lake.compactor().await;
        let plan = compactor.plan(&wanted, now()).await.expect("plans");
        lake.append(&rows(50..60)).await;
        let report = compactor.run(&wanted, plan, &Quiet).await.expect("runs");
        assert_eq!((report.files_before, report.files_after, report.gave_way), (5, 1, 0));
        assert_eq!(lake.number("SELECT sum(id) FROM orders").await, 59 * 60 / 2);
        assert_eq!(lake.live().await.0.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_whose_files_are_gone_gives_way_and_leaves_nothing() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..6 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let before = lake.content().await;
    let (first, second) = (lake.compactor().await, lake.compactor().await);
    let overtaken = first.plan(&request(false), now()).await.expect("plans");
    second.compact_once(&request(false), now(), &Quiet).await.expect("runs");
    let report = first.run(&request(false), overtaken, &Quiet).await.expect("gives way");
    assert_eq!((report.gave_way, report.commits, report.files_after), (1, 0, 0));
    assert_eq!(lake.content().await, before);
    assert!(lake.orphans().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_is_about_the_files_of_the_first_so_that_it_ends_however_busy_others_are() {
    let mut lake = Lake::new(&[], &[]).await;
    let mut next = 0..10;
    let mut append = async |lake: &mut Lake| {
        for _ in 0..6 {
            lake.append(&rows(next.clone())).await;
            next = next.end..next.end + 10;
        }
    };
    append(&mut lake).await;
    let (ours, others) = (lake.compactor().await, lake.compactor().await);
    let overtaken = ours.plan(&request(false), now()).await.expect("plans");
    let again = Request { among: Some(Arc::new(overtaken.live.paths())), ..request(false) };
    others.compact_once(&request(false), now(), &Quiet).await.expect("runs");
    append(&mut lake).await;
    assert_eq!(ours.run(&request(false), overtaken, &Quiet).await.expect("gives way").gave_way, 1);
    assert!(!ours.plan(&request(false), now()).await.expect("plans").groups.is_empty(), "there is more to do by now");
    assert!(ours.plan(&again, now()).await.expect("plans").groups.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_delete_that_comes_meanwhile_is_given_way_to_by_its_group_alone() {
    let mut lake = Lake::new(&[("kind", iceberg::spec::Transform::Identity)], &[]).await;
    for part in 0..3 {
        lake.append(&rows(part * 30..part * 30 + 30)).await;
    }
    let compactor = lake.compactor().await;
    let wanted = Request { commits: 1, ..whole() };
    let plan = compactor.plan(&wanted, now()).await.expect("plans");
    assert_eq!(plan.groups.len(), 4);
    let (files, _) = lake.live().await;
    lake.delete_places(&files[0], &[0]).await;
    let before = lake.content().await;
    let report = compactor.run(&wanted, plan, &Quiet).await.expect("runs");
    assert_eq!((report.gave_way, report.decoded, report.commits), (1, 3, 3));
    assert_eq!(lake.content().await, before);
    assert!(lake.orphans().await.is_empty());
    let report = lake.compact(&whole()).await;
    assert_eq!((report.decoded, report.gave_way), (1, 0), "the next run gets it");
    assert_eq!(lake.content().await, before);
    assert_eq!(lake.live().await.1.len(), 0);
}

/// Partitions and files, without which of them were touched.
fn shown(live: &LiveTable) -> Vec<String> {
    let mut shown: Vec<String> =
        live.inventory.partitions().flat_map(|(partition, files)| files.iter().map(move |file| format!("{partition} {file:?}"))).collect();
    shown.sort_unstable();
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_followed_is_as_if_it_were_loaded_anew() {
    let mut lake = Lake::new(&[("kind", iceberg::spec::Transform::Identity)], &[]).await;
    lake.append(&rows(0..20)).await;
    let mut followed = LiveTable::load(lake.table().await, None).await.expect("loaded");
    for step in 0..9_i64 {
        match step {
            5 => assert_eq!(lake.compact(&request(false)).await.copied, 4),
            7 => lake.delete_places(&lake.live().await.0[0], &[0]).await,
            _ => lake.append(&rows(step * 20 + 20..step * 20 + 40)).await,
        }
        followed = followed.follow(lake.table().await, None).await.expect("followed");
        let loaded = LiveTable::load(lake.table().await, None).await.expect("loaded");
        assert_eq!(shown(&followed), shown(&loaded), "step {step}");
        assert_eq!(followed.files.len(), loaded.files.len());
        assert_eq!(followed.snapshot, loaded.snapshot);
    }
    assert!(shown(&followed).iter().any(|file| file.contains("files: 1, rows: 1")), "the delete is known");
}
