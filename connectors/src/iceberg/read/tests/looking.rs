//! Scans of statements that change rows: which files they find, and what they read again.

use std::sync::Arc;

use iceberg::spec::{FormatVersion, Struct};
use serde_json::json;

use super::super::options::ReadOptions;
use super::super::provider::IcebergTable;
use super::deletes::{equality, positions, schema};
use super::history::{History, batch, lines, session};
use crate::iceberg::{FILE_COLUMN, FoundFiles};

/// What a DELETE with this condition finds, and the rows that stay of the files that it reads again.
async fn deleted(table: &History, condition: &str) -> (Vec<String>, Vec<String>) {
    let found = FoundFiles::new(false);
    let of = || IcebergTable::new("c.d.t", table.table(), ReadOptions::default(), table.file_systems.clone()).expect("table");
    let context = session(2);
    context.register_table("look", Arc::new(of().looking(&found))).expect("registers");
    context.register_table("again", Arc::new(of().reading_again(&found))).expect("registers");
    let looked = context.sql(&format!("SELECT \"{FILE_COLUMN}\", count(*) FROM look WHERE {condition} GROUP BY 1")).await.expect("plans");
    let looked = looked.collect().await.expect("runs");
    let early = context.sql("SELECT id FROM again").await.expect("plans").collect().await.expect_err("files are not known yet");
    assert!(early.to_string().contains("have not been looked for"), "{early}");
    found.take(&looked).expect("taken");
    let kept = context.sql(&format!("SELECT id FROM again WHERE ({condition}) IS NOT TRUE")).await.expect("plans");
    (lines(&looked), lines(&kept.collect().await.expect("runs")))
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_of_the_table_are_applied_by_the_scan_that_looks_and_by_the_one_that_reads_again() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let rows = |ids: std::ops::Range<i64>| ids.map(|id| json!({"id": id, "s": "x", "ev": {"c": id}})).collect::<Vec<_>>();
    let first = table.write(&batch(&schema(), &rows(0..4)), Struct::empty(), 10).await;
    let second = table.write(&batch(&schema(), &rows(4..8)), Struct::empty(), 10).await;
    let third = table.write(&batch(&schema(), &rows(8..10)), Struct::empty(), 10).await;
    let paths: Vec<String> = [&first, &second, &third].map(|file| file.file_path().to_owned()).to_vec();
    table.commit(vec![first, second, third], Vec::new()).await;
    let by_position = positions(&mut table, &[(&paths[0], 1)]).await;
    let by_value = equality(&mut table, &schema(), &[json!({"id": 6})], &[1]).await;
    table.commit(Vec::new(), vec![by_position, by_value]).await;
    let found = |counts: &[(usize, u64)]| {
        let mut lines: Vec<String> = counts.iter().map(|(file, count)| format!("{}|{count}", paths[*file])).collect();
        lines.sort_unstable();
        lines
    };
    // 1 and 6 are gone already; a file with deletes is never taken for one in which every row matches.
    assert_eq!(deleted(&table, "id < 3").await, (found(&[(0, 2)]), vec!["3".to_owned()]));
    assert_eq!(deleted(&table, "id > 4 AND id < 9").await, (found(&[(1, 2), (2, 1)]), vec!["4".to_owned(), "9".to_owned()]));
    assert_eq!(deleted(&table, "id IN (1, 6)").await, (Vec::new(), Vec::new()));
    assert_eq!(deleted(&table, "id >= 8").await.1, Vec::<String>::new());
}
