//! `weir table` commands and CALL: branches set back, appends picked, orphans removed, files rewritten.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::compaction::Lake;
use crate::orders::{LIMIT, answer, sqlite};
use crate::support::{Output, Table, Workdir};

impl Lake {
    /// The ids of the snapshots, oldest first.
    async fn snapshots(&self) -> Vec<String> {
        let ids = self.sql("SELECT snapshot_id FROM lake.shop.t$snapshots ORDER BY committed_at, snapshot_id").await;
        ids.lines().map(str::to_owned).collect()
    }

    async fn count(&self) -> String {
        self.sql("SELECT count(*) FROM lake.shop.t").await
    }

    pub(crate) async fn refused(&self, arguments: &[&str], code: i32) -> String {
        let init = ["--init", self.init.to_str().unwrap()];
        self.folder.weir(["table"].iter().chain(arguments).chain(&init)).output(LIMIT).await.failed_with(code).stderr
    }

    /// A file of this age in the table's folder.
    fn stray(&self, name: &str, age: Duration) -> PathBuf {
        let path = self.folder.path(&format!("warehouse/shop/t/{name}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"four").unwrap();
        aged(&path, age);
        path
    }
}

const DAYS: Duration = Duration::from_secs(24 * 3_600);

fn aged(path: &Path, age: Duration) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn a_branch_is_set_back_and_forth_by_hand_and_every_reader_sees_it() {
    let lake = Lake::new().await;
    let ids = lake.snapshots().await;
    let told = lake.table("rollback", &["--to", &ids[5], "--dry-run"]).await;
    assert!(told.contains("would go from snapshot") && told.contains("2 snapshots cannot be reached"), "{told}");
    assert_eq!(lake.count().await, "8", "a dry run changes nothing");
    let told = lake.table("rollback", &["--to", &ids[5]]).await;
    assert!(told.contains(&format!("went from snapshot {} to {}", ids[7], ids[5])), "{told}");
    assert!(told.contains("job 'weir-sql', sink 't'") && told.contains("does not write them again"), "{told}");
    assert!(told.contains(&format!("--set-current {}", ids[7])), "{told}");
    assert_eq!(lake.count().await, "6");
    let other = Table::of_sql("shop.t", "lake", &sqlite(&lake.folder), &lake.folder.uri("warehouse"));
    assert_eq!(other.check(&["--sum", "id"]).await["rows"], 6);

    let no_way_back = lake.refused(&["rollback", "lake.shop.t", "--to", &ids[7]], 3).await;
    assert!(no_way_back.contains("is not one that branch 'main' has come from") && no_way_back.contains("--set-current"), "{no_way_back}");
    lake.table("rollback", &["--set-current", &ids[7]]).await;
    assert_eq!(lake.count().await, "8");
    let early = lake.refused(&["rollback", "lake.shop.t", "--before", "2020-01-01"], 3).await;
    assert!(early.contains("no snapshot from before 2020-01-01T00:00:00.000Z"), "{early}");
    let missing = lake.refused(&["rollback", "lake.shop.tt", "--to", "1"], 3).await;
    assert!(missing.contains("Did you mean 'lake.shop.t'?"), "{missing}");
    let nothing = lake.refused(&["rollback", "lake.shop.t"], 2).await;
    assert!(nothing.contains("--before <TIME>"), "{nothing}");
}

#[tokio::test]
async fn an_append_that_was_rolled_back_is_picked_again_once() {
    let lake = Lake::new().await;
    let ids = lake.snapshots().await;
    lake.table("rollback", &["--to", &ids[5]]).await;
    let told = lake.table("cherry-pick", &[&ids[6]]).await;
    assert!(told.contains("the branch went there"), "{told}");
    lake.table("rollback", &["--to", &ids[5]]).await;
    lake.sql("INSERT INTO lake.shop.t VALUES (100, 'z', DATE '2026-01-02')").await;
    let told = lake.table("cherry-pick", &[&ids[6]]).await;
    assert!(told.contains("its files were appended"), "{told}");
    assert_eq!(lake.sql("SELECT id FROM lake.shop.t WHERE id >= 6 ORDER BY id").await, "6\n100");
    let twice = lake.refused(&["cherry-pick", "lake.shop.t", &ids[6]], 3).await;
    assert!(twice.contains("was picked already"), "{twice}");
}

#[tokio::test]
async fn old_snapshots_are_expired_by_hand_and_by_call() {
    let lake = Lake::new().await;
    let rows = lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await;
    lake.table("compact", &["--settle", "--min-input-files", "2"]).await;
    let ids = lake.snapshots().await;
    let told = lake.table("expire", &[]).await;
    assert!(told.starts_with("0 snapshots gone"), "none is five days old: {told}");
    let told = lake.table("expire", &["--snapshot", &ids[0], "--dry-run"]).await;
    let listed = told.lines().any(|line| line.starts_with(&ids[0]) && line.ends_with("append"));
    assert!(listed && told.contains("1 snapshots would go"), "{told}");
    let head = lake.refused(&["expire", "lake.shop.t", "--snapshot", ids.last().unwrap()], 3).await;
    assert!(head.contains("branch or tag `main` is there"), "{head}");
    let told = lake.table("expire", &["--older-than", "0 s", "--retain-last", "3"]).await;
    assert!(told.contains(&format!("{} snapshots gone", ids.len() - 3)), "{told}");
    assert_eq!(lake.snapshots().await, ids[ids.len() - 3..]);
    let explained = lake.sql("EXPLAIN CALL lake.system.expire_snapshots('shop.t', TIMESTAMP '2100-01-01', 1)").await;
    assert_eq!(lake.snapshots().await.len(), 3, "EXPLAIN changes nothing");
    let done = lake.sql("CALL lake.system.expire_snapshots(table => 'shop.t', older_than => TIMESTAMP '2100-01-01', retain_last => 1)").await;
    assert_eq!(done, explained);
    assert_eq!(done.split(',').count(), 6, "{done}");
    assert_eq!(lake.snapshots().await.len(), 1);
    assert_eq!(lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await, rows);
    assert_eq!(parquet_files(&lake.folder.path("warehouse")).len(), 2, "nothing is left of the small files");
}

#[tokio::test]
async fn orphans_go_when_they_are_old_and_a_young_age_is_refused() {
    let lake = Lake::new().await;
    let (old, young) = (lake.stray("data/old.parquet", 4 * DAYS), lake.stray("data/young.parquet", 2 * DAYS));
    let rows = lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await;
    let told = lake.table("remove-orphans", &["--dry-run"]).await;
    assert!(told.contains("data/old.parquet  4 B") && told.contains("1 files of 4 B would be deleted"), "{told}");
    assert!(old.exists());
    let told = lake.table("remove-orphans", &[]).await;
    assert!(told.contains("1 files of 4 B deleted") && told.contains(" too young"), "{told}");
    assert!(!old.exists() && young.exists());
    let hasty = lake.refused(&["remove-orphans", "lake.shop.t", "--older-than", "1h"], 2).await;
    assert!(hasty.contains("less than 24 hours") && hasty.contains("--allow-young"), "{hasty}");
    lake.table("remove-orphans", &["--older-than", "1h", "--allow-young"]).await;
    assert!(!young.exists());
    assert_eq!(lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await, rows);
}

#[tokio::test]
async fn files_that_a_killed_job_has_checkpointed_and_not_committed_are_no_orphans() {
    let folder = Workdir::new();
    let (catalog, warehouse) = (sqlite(&folder), folder.uri("warehouse"));
    let job = folder.write(
        "numbers.sql",
        &format!(
            "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');
CREATE DATABASE IF NOT EXISTS lake.shop;
CREATE TABLE IF NOT EXISTS lake.shop.numbers (id BIGINT);
SET 'pipeline.name' = 'numbers';
SET 'execution.checkpointing.interval' = '100 ms';
CREATE TABLE source (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '30000', 'rows-per-second' = '3000', 'fields.id.kind' = 'sequence',
  'fields.id.start' = '1', 'fields.id.end' = '30000');
INSERT INTO lake.shop.numbers SELECT id FROM source;"
        ),
    );
    let run = || folder.weir(["run", job.to_str().unwrap()]);
    // The third commit: the table has the job's marker, and files are in a checkpoint and in no snapshot. However slow the machine is, ten seconds of rows
    // are more than two commits.
    run().env("WEIR_FAIL", "commit-before-swap@3=kill").output(LIMIT).await.killed();
    for path in parquet_files(&folder.path("warehouse")) {
        aged(&path, 9 * DAYS);
    }
    let before = parquet_files(&folder.path("warehouse"));
    let stray = folder.path("warehouse/shop/numbers/data/stray.parquet");
    std::fs::write(&stray, b"four").unwrap();
    aged(&stray, 9 * DAYS);
    let arguments = |more: &[&str], init: &Path| {
        let mut all =
            vec!["table".to_owned(), "remove-orphans".to_owned(), "lake.shop.numbers".to_owned(), "--init".to_owned(), init.display().to_string()];
        all.extend(more.iter().map(|one| (*one).to_owned()));
        all
    };
    // Someone who does not know the job.
    std::fs::create_dir(folder.path("elsewhere")).unwrap();
    let stranger = folder.write(
        "elsewhere/stranger.sql",
        &format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{catalog}', 'warehouse' = '{warehouse}');"),
    );
    let refused = folder.weir(arguments(&[], &stranger)).output(LIMIT).await.failed_with(3).stderr;
    assert!(refused.contains("commits of job 'numbers'") && refused.contains("--gone-job numbers"), "{refused}");
    let told = folder.weir(arguments(&[], &job)).output(LIMIT).await.succeeded().stdout;
    assert!(told.contains("stray.parquet") && !stray.exists(), "{told}");
    assert_eq!(parquet_files(&folder.path("warehouse")), before, "what the checkpoint names is still there");
    run().output(LIMIT).await.succeeded();
    assert_eq!(answer(&folder, &job, "SELECT count(*), sum(id) FROM lake.shop.numbers").await, "30000,450015000");
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match (path.is_dir(), path.extension().is_some_and(|end| end == "parquet")) {
                (true, _) => folders.push(path),
                (false, true) => found.push(path),
                (false, false) => {}
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn procedures_do_what_the_commands_do_and_give_the_columns_that_spark_gives() {
    let lake = Lake::new().await;
    let (rows, ids) = (lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await, lake.snapshots().await);
    let rewrite = "lake.system.rewrite_data_files(table => 'shop.t', options => MAP['min-input-files', '2', 'partial-progress.max-commits', 1])";
    let planned = lake.sql(&format!("EXPLAIN CALL {rewrite}")).await;
    assert!(planned.starts_with("8,2,"), "{planned}");
    assert_eq!(lake.snapshots().await.len(), 8, "EXPLAIN changes nothing");
    let of_manifests = "CALL lake.system.rewrite_manifests(table => 'shop.t')";
    assert_eq!((lake.sql(of_manifests).await, lake.sql(of_manifests).await), ("8,1".to_owned(), "0,0".to_owned()));
    assert_eq!(lake.snapshots().await.len(), 9);
    let done = lake.sql(&format!("CALL {rewrite}")).await;
    assert!(done.starts_with("8,2,") && done.ends_with(",0,0"), "{done}");
    assert_eq!(lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await, rows);

    let head = lake.snapshots().await.pop().unwrap();
    let told = lake.sql(&format!("CALL lake.system.rollback_to_snapshot('shop.t', {})", ids[5])).await;
    assert_eq!(told, format!("{head},{}", ids[5]));
    assert_eq!(lake.count().await, "6");
    let told = lake.sql(&format!("USE CATALOG lake; CALL system.set_current_snapshot(table => 'shop.t', snapshot_id => {head})")).await;
    assert_eq!(told, format!("{},{head}", ids[5]));
    let stray = lake.stray("data/old.parquet", 4 * DAYS);
    let told = lake.sql("CALL lake.system.remove_orphan_files(table => 'shop.t', dry_run => true)").await;
    assert!(told.ends_with("data/old.parquet") && stray.exists(), "{told}");
    lake.sql("CALL lake.system.remove_orphan_files('shop.t')").await;
    assert!(!stray.exists());
    assert_eq!(lake.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await, rows);

    let job = lake.folder.write("job.sql", &format!("{}\nCALL lake.system.rollback_to_snapshot('shop.t', {});", text(&lake.init), ids[5]));
    let ran: Output = lake.folder.weir(["run", job.to_str().unwrap()]).output(LIMIT).await;
    ran.succeeded();
    assert_eq!(lake.count().await, "6", "a file of statements may call too");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
