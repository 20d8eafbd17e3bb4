//! Old versions of a table and its metadata tables, as a user of `weir sql` asks for them.

use std::path::PathBuf;

use crate::orders::{LIMIT, answer, sqlite};
use crate::support::Workdir;

struct Lake {
    folder: Workdir,
    init: PathBuf,
}

impl Lake {
    async fn new(columns: &str) -> Self {
        let folder = Workdir::new();
        let options =
            format!("'type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{}'", sqlite(&folder), folder.uri("warehouse"));
        let init = folder.write("init.sql", &format!("CREATE CATALOG lake WITH ({options});"));
        let lake = Self { folder, init };
        lake.sql(&format!("CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t {columns};")).await;
        lake
    }

    /// What a statement answers, without its head.
    async fn sql(&self, sql: &str) -> String {
        answer(&self.folder, &self.init, sql).await
    }

    async fn refused(&self, sql: &str) -> String {
        let arguments = ["sql", "--init", self.init.to_str().unwrap(), "-e", sql];
        let output = self.folder.weir(arguments).output(LIMIT).await;
        assert!(!output.status.success(), "{sql}\n{}", output.stdout);
        output.stderr
    }
}

#[tokio::test]
async fn versions_and_metadata_tables_are_read_by_sql() {
    let lake = Lake::new("(id BIGINT, s STRING, day DATE) PARTITIONED BY (day)").await;
    lake.sql("INSERT INTO lake.shop.t VALUES (1, 'x', DATE '2026-01-01')").await;
    lake.sql("INSERT INTO lake.shop.t VALUES (2, 'y', DATE '2026-01-02'), (3, 'z', DATE '2026-01-02')").await;

    assert_eq!(lake.sql("SELECT count(*) FROM lake.shop.t").await, "3");
    let snapshots = lake.sql("SELECT snapshot_id, committed_at FROM lake.shop.t$snapshots ORDER BY committed_at").await;
    let rows: Vec<(&str, &str)> = snapshots.lines().filter_map(|line| line.split_once(',')).collect();
    let [(first, _), (_, second_at)] = rows.as_slice() else { panic!("two snapshots\n{snapshots}") };

    let of_version = |version: &str| format!("SELECT count(*) FROM lake.shop.t {version}");
    assert_eq!(lake.sql(&of_version(&format!("VERSION AS OF {first}"))).await, "1");
    assert_eq!(lake.sql(&of_version(&format!("/*+ OPTIONS('snapshot-id' = '{first}') */ AS old"))).await, "1");
    let time = second_at.trim_end_matches('Z');
    assert_eq!(lake.sql(&of_version(&format!("FOR SYSTEM_TIME AS OF TIMESTAMP '{time}'"))).await, "3");
    assert_eq!(lake.sql(&of_version(&format!("FOR SYSTEM_TIME AS OF TIMESTAMP '{time}' - INTERVAL '0.001' SECOND"))).await, "1");
    assert_eq!(lake.sql(&of_version("FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP")).await, "3");

    let files = lake.sql("SELECT partition, count(*), sum(record_count) FROM lake.shop.t$files GROUP BY partition ORDER BY partition").await;
    assert_eq!(files, "day=2026-01-01,1,1\nday=2026-01-02,1,2");
    let hint = format!("/*+ OPTIONS('snapshot-id' = '{first}') */");
    assert_eq!(lake.sql(&format!("SELECT count(*) FROM lake.shop.t$files {hint}")).await, "1");
    assert_eq!(lake.sql("SELECT sum(record_count) FROM lake.shop.t$partitions").await, "3");
    assert_eq!(lake.sql("SELECT count(*) FROM lake.shop.t$entries WHERE status = 'ADDED'").await, "2");
    assert_eq!(lake.sql("SELECT sum(added_rows_count) FROM lake.shop.t$manifests").await, "3");
    assert_eq!(lake.sql("SELECT name FROM lake.shop.t$refs WHERE type = 'BRANCH'").await, "main");
    assert_eq!(lake.sql("SELECT count(*) FROM lake.shop.t$history WHERE is_current_ancestor").await, "2");
    assert_eq!(lake.sql("SELECT count(*) FROM lake.shop.t$metadata_log").await, "3");
    assert_eq!(lake.sql("SELECT job FROM lake.shop.t$weir").await, "weir-sql");

    let shown = lake.sql("EXPLAIN ANALYZE SELECT s FROM lake.shop.t WHERE day = DATE '2026-01-02'").await;
    assert!(shown.contains("leaves=[s") && shown.contains("files=1") && shown.contains("bytes_scanned="), "{shown}");
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_refused_with_what_there_is() {
    let lake = Lake::new("(id BIGINT)").await;
    lake.sql("INSERT INTO lake.shop.t VALUES (1)").await;
    for (sql, says) in [
        ("SELECT * FROM lake.shop.t VERSION AS OF 5", "it has no snapshot 5"),
        ("SELECT * FROM lake.shop.t FOR SYSTEM_TIME AS OF TIMESTAMP '2001-01-01 00:00:00'", "its history begins at"),
        ("SELECT * FROM lake.shop.t /*+ OPTIONS('tag' = 'v1') */", "it has no tag 'v1'"),
        ("SELECT * FROM lake.shop.t /*+ OPTIONS('tag' = 'v1', 'snapshot-id' = '5') */", "'tag' and 'snapshot-id'"),
        ("SELECT * FROM lake.shop.t AS o JOIN lake.shop.t FOR SYSTEM_TIME AS OF o.ts AS d ON o.id = d.id", "has no column 'o.ts'"),
        ("SELECT * FROM lake.shop.t FOR SYSTEM_TIME AS OF 'yesterday'", "no version of a table"),
        ("SELECT * FROM lake.shop.t$snapshot", "Metadata tables are"),
    ] {
        let told = lake.refused(sql).await;
        assert!(told.contains(says), "{sql}\n{told}");
    }
}

#[tokio::test]
async fn a_table_whose_metadata_is_gone_or_damaged_is_named_with_the_file_and_the_way_out() {
    let lake = Lake::new("(id BIGINT)").await;
    lake.sql("INSERT INTO lake.shop.t VALUES (1)").await;
    lake.sql("CREATE TABLE lake.shop.whole (id BIGINT); INSERT INTO lake.shop.whole VALUES (7)").await;
    let folder = lake.folder.path("warehouse/shop/t/metadata");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.to_string_lossy().ends_with(".metadata.json")).max().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let content = std::fs::read_to_string(&file).unwrap();
    let newer = content.replace("\"format-version\":2", "\"format-version\":4");
    assert_ne!(newer, content);
    for (damaged, says) in [
        (None, "it is not there"),
        (Some(&content[..content.len() / 2]), "it ends early"),
        (Some("<html>"), "it is no JSON"),
        (Some(newer.as_str()), "format version 4"),
    ] {
        match damaged {
            Some(damaged) => std::fs::write(&file, damaged).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let told = lake.refused("SELECT count(*) FROM lake.shop.t").await;
        assert!(told.contains(says) && told.contains(name) && told.contains("shop.t"), "{told}");
        assert_eq!(lake.sql("SELECT id FROM lake.shop.whole").await, "7");
    }
    std::fs::write(&file, content).unwrap();
    assert_eq!(lake.sql("SELECT count(*) FROM lake.shop.t").await, "1");
}

#[tokio::test]
async fn what_was_appended_between_two_snapshots_is_read_by_sql() {
    let lake = Lake::new("(id BIGINT)").await;
    for id in 1..=3 {
        lake.sql(&format!("INSERT INTO lake.shop.t VALUES ({id})")).await;
    }
    let snapshots = lake.sql("SELECT snapshot_id FROM lake.shop.t$snapshots ORDER BY committed_at").await;
    let [first, second, third] = snapshots.lines().collect::<Vec<_>>()[..] else { panic!("three snapshots\n{snapshots}") };
    let ids = |options: &str| format!("SELECT id FROM lake.shop.t /*+ OPTIONS({options}) */ ORDER BY id");
    assert_eq!(lake.sql(&ids(&format!("'start-snapshot-id' = '{first}'"))).await, "2\n3");
    assert_eq!(lake.sql(&ids(&format!("'start-snapshot-id' = '{first}', 'end-snapshot-id' = '{second}'"))).await, "2");
    let told = lake.refused(&ids(&format!("'start-snapshot-id' = '{third}', 'end-snapshot-id' = '{first}'"))).await;
    assert!(told.contains("is no ancestor of"), "{told}");
    let told = lake.refused(&ids("'start-snapshot-id' = '5'")).await;
    assert!(told.contains("it has no snapshot 5"), "{told}");
}
