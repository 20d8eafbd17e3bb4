//! What is considered for rewriting: files that may hold rows of some kind, in some partitions, within a bound.

use datafusion::prelude::{Expr, SessionContext, col, lit};
use iceberg::spec::Transform;
use weir_connectors::iceberg::FileFilter;

use super::support::{Lake, now, request, rows};
use crate::{Plan, Request};

async fn filter(lake: &Lake, predicate: Expr) -> Option<FileFilter> {
    let state = SessionContext::new().state();
    Some(FileFilter::try_new("lake.shop.orders", &lake.table().await.metadata, &[predicate], &state).expect("a filter"))
}

async fn plan(lake: &Lake, wanted: &Request) -> Plan {
    lake.compactor().await.plan(wanted, now()).await.expect("plans")
}

/// The names of the files that a plan would rewrite.
fn planned(plan: &Plan) -> Vec<&str> {
    let mut all: Vec<&str> = plan.groups.iter().flat_map(|group| &group.files).map(|file| file.path.as_str()).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_that_may_hold_rows_of_a_kind_are_rewritten_and_no_row_is_lost() {
    let mut lake = Lake::new(&[], &[]).await;
    for part in 0..12 {
        lake.append(&rows(part * 10..part * 10 + 10)).await;
    }
    let (files, _) = lake.live().await;
    let is_early = |path: &&str| (1..=6).any(|epoch| path.contains(&format!("/job-s-{epoch}-")));
    let mut wanted: Vec<&str> = files.iter().map(|live| live.file.file_path()).filter(is_early).collect();
    wanted.sort_unstable();
    let before = lake.content().await;
    let below = Request { filter: filter(&lake, col("id").lt(lit(51_i64))).await, ..request(false) };
    let found = plan(&lake, &below).await;
    assert_eq!((planned(&found), found.live.inventory.count()), (wanted, (12, 6)));
    let report = lake.compact(&below).await;
    assert_eq!((report.files_before, report.files_after), (6, 1));
    assert_eq!((lake.live().await.0.len(), lake.content().await), (7, before.clone()));
    assert_eq!(planned(&plan(&lake, &below).await), Vec::<&str>::new(), "nothing is left to do for them");
    let none = Request { filter: filter(&lake, col("id").gt(lit(1_000_i64))).await, ..request(true) };
    assert_eq!(plan(&lake, &none).await.live.inventory.count(), (7, 0));
    assert!(lake.compact(&request(false)).await.files_before >= 5, "those that were not considered before");
    assert_eq!(lake.content().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_rows_and_a_partition_narrow_a_plan_together() {
    let mut lake = Lake::new(&[("kind", Transform::Identity)], &[]).await;
    for part in 0..10 {
        lake.append(&rows(part * 30..part * 30 + 30)).await;
    }
    let kind = filter(&lake, col("kind").eq(lit("kind-1"))).await;
    let of_kind = plan(&lake, &Request { filter: kind.clone(), ..request(false) }).await;
    assert!(of_kind.groups.iter().all(|group| group.partition.name == "kind=kind-1"), "{:?}", of_kind.groups);
    assert_eq!(of_kind.live.inventory.count(), (40, 10));
    let late = filter(&lake, col("kind").eq(lit("kind-1")).and(col("id").gt_eq(lit(150_i64)))).await;
    assert_eq!(plan(&lake, &Request { filter: late.clone(), ..request(false) }).await.live.inventory.count(), (40, 5));
    let both = |partition: &str| Request { filter: late.clone(), partition: Some(partition.to_owned()), ..request(false) };
    assert_eq!(planned(&plan(&lake, &both("kind=kind-1")).await).len(), 5);
    assert_eq!(plan(&lake, &both("kind=kind-2")).await.live.inventory.count(), (40, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_on_bytes_is_used_up_by_what_is_asked_for_alone() {
    let mut lake = Lake::new(&[("kind", Transform::Identity)], &[]).await;
    for part in 0..5 {
        lake.append(&rows(part * 30..part * 30 + 30)).await;
    }
    let all = plan(&lake, &request(true)).await;
    let last = all.groups.last().expect("a group");
    assert!(all.groups.len() > 1);
    let mut wanted = Request { partition: Some(last.partition.name.clone()), ..request(true) };
    wanted.options.max_bytes = Some(last.bytes());
    let found = plan(&lake, &wanted).await;
    assert_eq!((found.groups.len(), &found.groups[0].partition), (1, &last.partition));
    wanted.options.max_bytes = Some(last.bytes() - 1);
    assert!(plan(&lake, &wanted).await.groups.iter().all(|group| group.files.len() < last.files.len()), "less than that does not do");
}
