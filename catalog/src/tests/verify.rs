//! Verification of real tables, sound and damaged.

use super::support::{create, epoch_of, memory, sqlite, table_id};
use crate::commit::TableCommitter;
use crate::marker::{Gap, GapReason, SplitId};
use crate::read::{data_files, totals};
use crate::verify::verify;

#[tokio::test]
async fn a_sound_table_passes_and_shows_its_ranges() {
    let catalog = memory();
    let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "3")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=7 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
        committer.append(&epoch_of(&table, "other", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    let report = verify(&catalog, &table_id()).await.expect("verified");
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    for part in ["lake.shop.orders", "98 rows in 14 files", "1 .. 7", "orders: orders/0  offsets 0 .. 70", "verified: epochs rise"] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[tokio::test]
async fn a_gap_that_a_commit_tells_of_is_shown_and_not_called_contiguous() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    committer.append(&epoch_of(&table, "job", None, 1).await).await.expect("appended");
    let mut second = epoch_of(&table, "job", Some(1), 2).await;
    let split = SplitId("orders/0".to_owned());
    second.gaps = vec![Gap { source: "orders".to_owned(), split, from: 10, to: 15, why: GapReason::NotInJob }];
    committer.append(&second).await.expect("appended");
    let report = verify(&catalog, &table_id()).await.expect("verified");
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    assert!(text.contains("gap: orders: orders/0  offsets 10 .. 15 (the sink was not in the job)"), "{text}");
    assert!(text.contains("contiguous but for 1 gaps") && !text.contains("contiguous,"), "{text}");
}

#[tokio::test]
async fn damage_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let catalog = sqlite(folder.path());
    let table = create(&catalog, &[]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut first = epoch_of(&table, "job", None, 1).await;
    // One file twice, in one append that nobody checked.
    first.files.push(first.files[0].clone());
    committer.append(&first).await.expect("appended");
    let second = epoch_of(&table, "job", Some(1), 2).await;
    committer.append(&second).await.expect("appended");
    let mut third = epoch_of(&table, "job", Some(2), 3).await;
    third.from = super::support::cuts(25);
    committer.append(&third).await.expect("appended");
    let path = |append: &crate::commit::Append| append.files[0].file_path().trim_start_matches("file://").to_owned();
    std::fs::remove_file(path(&second)).expect("removed");
    std::fs::write(path(&third), b"short").expect("written");
    let report = verify(&catalog, &table_id()).await.expect("verified");
    assert!(!report.passed());
    let text = report.to_string();
    for part in
        ["referenced more than once", "is not there", "has 5 bytes, but the table says 7", "was not read from 20 to 25", "NOT verified: 4 problems"]
    {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[tokio::test]
async fn an_expired_past_is_no_damage() {
    let catalog = memory();
    let table = create(&catalog, &[("history.expire.max-snapshot-age-ms", "0")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    for epoch in 1..=4 {
        committer.append(&epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await).await.expect("appended");
    }
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    assert_eq!(committer.expire("job").await.expect("expired").snapshots.len(), 3);
    let report = verify(&catalog, &table_id()).await.expect("verified");
    assert!(report.passed() && report.sinks[0].expired, "{report}");
    assert_eq!(report.sinks[0].commits, 1);
}

#[tokio::test]
async fn the_files_of_any_known_snapshot_can_be_listed() {
    let catalog = memory();
    let table = create(&catalog, &[]).await;
    assert!(data_files(&table, None).await.expect("empty").is_empty());
    let committer = TableCommitter::of(&catalog, &table_id());
    let first = epoch_of(&table, "job", None, 1).await;
    committer.append(&first).await.expect("appended");
    committer.append(&epoch_of(&table, "job", Some(1), 2).await).await.expect("appended");
    let now = committer.refresh().await.expect("loaded");
    let all = totals(&data_files(&now, None).await.expect("listed"));
    assert_eq!((all.files, all.records, all.partitions), (2, 14, 1));
    assert_eq!(data_files(&now, Some(first.snapshot_id)).await.expect("listed").len(), 1);
    data_files(&now, Some(-5)).await.expect_err("unknown");
}
