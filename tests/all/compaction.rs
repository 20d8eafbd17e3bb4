//! `weir table`: small files made large by hand, as users and other engines see it.

use std::path::PathBuf;

use crate::orders::{LIMIT, answer, sqlite};
use crate::support::{Table, Workdir};

pub(crate) struct Lake {
    pub(crate) folder: Workdir,
    pub(crate) init: PathBuf,
}

impl Lake {
    /// A table of eight commits with a file each, in two partitions.
    pub(crate) async fn new() -> Self {
        let folder = Workdir::new();
        let options =
            format!("'type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{}'", sqlite(&folder), folder.uri("warehouse"));
        let init = folder.write("init.sql", &format!("CREATE CATALOG lake WITH ({options});"));
        let lake = Self { folder, init };
        lake.sql("CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t (id BIGINT, s STRING, day DATE) PARTITIONED BY (day)").await;
        let insert = |id: u32| {
            let (s, day) = (["NULL", "'x'", "'y'"][id as usize % 3], 1 + id / 6);
            format!("INSERT INTO lake.shop.t VALUES ({id}, {s}, DATE '2026-01-0{day}')")
        };
        for id in 0..8 {
            lake.sql(&insert(id)).await;
        }
        lake
    }

    pub(crate) async fn sql(&self, sql: &str) -> String {
        answer(&self.folder, &self.init, sql).await
    }

    pub(crate) async fn table(&self, command: &str, more: &[&str]) -> String {
        let mut arguments = vec!["table", command, "lake.shop.t", "--init", self.init.to_str().unwrap()];
        arguments.extend(more);
        self.folder.weir(arguments).output(LIMIT).await.succeeded().stdout
    }

    async fn rows(&self) -> String {
        self.sql("SELECT id, s, day FROM lake.shop.t ORDER BY id").await
    }

    async fn files(&self) -> String {
        self.sql("SELECT partition, count(*) FROM lake.shop.t$files GROUP BY partition ORDER BY partition").await
    }
}

/// What PyIceberg sees: rows, their sum, and rows whose file is in the wrong partition.
async fn seen(table: &Table) -> [serde_json::Value; 3] {
    let told = table.check(&["--sum", "id", "--places"]).await;
    ["rows", "sums", "misplaced"].map(|key| told[key].clone())
}

#[tokio::test]
async fn a_table_is_compacted_by_hand_and_every_reader_sees_the_same_rows() {
    let lake = Lake::new().await;
    let other = Table::of_sql("shop.t", "lake", &sqlite(&lake.folder), &lake.folder.uri("warehouse"));
    let (rows, seen) = (lake.rows().await, seen(&other).await);
    assert_eq!(lake.files().await, "day=2026-01-01,6\nday=2026-01-02,2");

    let picture = lake.table("files", &[]).await;
    assert!(picture.contains("day=2026-01-01") && picture.contains("6 files above the ideal"), "{picture}");
    let plan = lake.table("compact", &["--dry-run"]).await;
    assert!(plan.contains("copy") && !plan.contains("day=2026-01-02"), "{plan}");
    assert_eq!(lake.files().await, "day=2026-01-01,6\nday=2026-01-02,2", "a dry run changes nothing");

    let told = lake.table("compact", &[]).await;
    assert!(told.starts_with("6 files of") && told.contains("became 1 of") && told.contains("1 groups copied, 0 decoded"), "{told}");
    assert_eq!((lake.files().await.as_str(), lake.rows().await), ("day=2026-01-01,1\nday=2026-01-02,2", rows.clone()));
    assert_eq!(self::seen(&other).await, seen);

    let told = lake.table("compact", &["--settle", "--partition", "day=2026-01-01"]).await;
    assert!(told.contains("0 groups copied, 1 decoded"), "{told}");
    let told = lake.table("compact", &["--settle", "--min-input-files", "2"]).await;
    assert!(told.starts_with("2 files of"), "{told}");
    assert_eq!((lake.files().await.as_str(), lake.rows().await), ("day=2026-01-01,1\nday=2026-01-02,1", rows));
    assert_eq!(self::seen(&other).await, seen);
    assert!(lake.table("compact", &["--settle"]).await.starts_with("0 files of"), "nothing is left to do");
    assert!(lake.table("files", &[]).await.contains("debt: 0 files above the ideal"));

    let verified = lake.folder.weir(["verify", "--init", lake.init.to_str().unwrap(), "lake.shop.t"]).output(LIMIT).await.succeeded();
    assert!(!verified.stdout.is_empty());
    let left = std::fs::read_dir(lake.folder.path("warehouse/shop/t/metadata/_weir-upkeep")).unwrap().count();
    assert_eq!(left, 0, "the journal is empty");
}

#[tokio::test]
async fn only_files_that_may_hold_rows_of_a_predicate_are_compacted_by_hand_and_by_call() {
    let lake = Lake::new().await;
    let other = Table::of_sql("shop.t", "lake", &sqlite(&lake.folder), &lake.folder.uri("warehouse"));
    let (rows, seen) = (lake.rows().await, seen(&other).await);
    let two = ["--settle", "--min-input-files", "2"];
    let plan = lake.table("compact", &[&two[..], &["--where", "id BETWEEN 1 AND 3", "--dry-run"]].concat()).await;
    assert!(plan.starts_with("3 of 8 files are considered") && !plan.contains("day=2026-01-02"), "{plan}");
    let none = lake.table("compact", &[&two[..], &["--where", "id < 5", "--partition", "day=2026-01-02", "--dry-run"]].concat()).await;
    assert!(none.starts_with("0 of 8 files are considered\nnothing to do"), "{none}");
    let told = lake.table("compact", &[&two[..], &["--where", "id BETWEEN 1 AND 3"]].concat()).await;
    assert!(told.starts_with("3 files of") && told.contains("became 1 of"), "{told}");
    assert_eq!((lake.files().await.as_str(), lake.rows().await), ("day=2026-01-01,4\nday=2026-01-02,2", rows.clone()));

    let call = |predicate: &str| {
        let predicate = predicate.replace('\'', "''");
        format!(
            "CALL lake.system.rewrite_data_files(table => 'shop.t', options => map('min-input-files', '2', 'settle', true), where => '{predicate}')"
        )
    };
    let planned = lake.sql(&format!("EXPLAIN {}", call("day = DATE '2026-01-02'"))).await;
    assert!(planned.starts_with("2,1,"), "{planned}");
    let done = lake.sql(&call("day = DATE '2026-01-02'")).await;
    assert!(done.starts_with("2,1,"), "{done}");
    let done = lake.sql(&call("day <> '2026-01-01' AND id < 100")).await;
    assert!(done.starts_with("0,0,"), "one file is left there: {done}");
    assert_eq!((lake.files().await.as_str(), lake.rows().await), ("day=2026-01-01,4\nday=2026-01-02,1", rows.clone()));
    let done = lake.sql(&call("s = 'x' OR s IS NULL")).await;
    assert!(done.starts_with("3,1,"), "the file of 5, where all are 'y', stays: {done}");
    assert_eq!((lake.files().await.as_str(), lake.rows().await), ("day=2026-01-01,2\nday=2026-01-02,1", rows));
    assert_eq!(self::seen(&other).await, seen);
    let verified = lake.folder.weir(["verify", "--init", lake.init.to_str().unwrap(), "lake.shop.t"]).output(LIMIT).await.succeeded();
    assert!(verified.stdout.contains("verified"), "{}", verified.stdout);
}

#[tokio::test]
async fn a_predicate_that_is_of_no_use_is_refused_before_anything_is_done() {
    let lake = Lake::new().await;
    let files = lake.files().await;
    let refused = async |predicate: &str| {
        let by_hand = lake.refused(&["compact", "lake.shop.t", "--where", predicate], 2).await;
        let call = format!("CALL lake.system.rewrite_data_files(table => 'shop.t', where => '{}')", predicate.replace('\'', "''"));
        let init = lake.init.to_str().unwrap();
        let called = lake.folder.weir(["sql", "--init", init, "-e", &call]).output(LIMIT).await.failed_with(2).stderr;
        let what = format!("Predicate '{predicate}' on table 'lake.shop.t': ");
        let of = |told: &str| told.split_once(&what).map(|(_, rest)| rest.trim().to_owned());
        assert_eq!(of(&by_hand), of(&called), "{by_hand}\n{called}");
        of(&by_hand).unwrap_or_else(|| panic!("{by_hand}"))
    };
    assert!(refused("dya = DATE '2026-01-01'").await.contains("Did you mean 'day'?"));
    assert!(refused("id >").await.contains("Syntax error"));
    assert!(refused("id % 2 = 0").await.contains("no data file could be left out by it"));
    assert_eq!(lake.files().await, files);
}

/// What pyarrow and DuckDB make of the only data file of `lake.shop.w`, every page decoded: the answer of `scripts/reader parquet`.
async fn judged(lake: &Lake) -> serde_json::Value {
    let path = lake.sql("SELECT file_path FROM lake.shop.w$files").await;
    let path = path.strip_prefix("file://").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/reader");
    let told = lake.folder.program(script, ["parquet", path, "--probe", "id=1001"]).output(LIMIT).await.succeeded();
    serde_json::from_str(&told.stdout).unwrap()
}

#[tokio::test]
async fn copied_and_sorted_files_are_sound_to_pyarrow_and_duckdb_who_prune_them_like_others() {
    let lake = Lake::new().await;
    let with = "'write.parquet.bloom-filter-enabled.column.id' = 'true', 'write.parquet.page-row-limit' = '20'";
    lake.sql(&format!("CREATE TABLE lake.shop.w (id BIGINT, s STRING, v DOUBLE) WITH ({with})")).await;
    for part in 0..6 {
        // Each file has an id below and one above those of all others, so that only bloom filters can tell where an id is.
        let ids = (0..60).map(|row| row * 6 + part).chain([10_000 + part]);
        let row = |id: i32| format!("({id}, {}, {}.5)", if id % 7 == 0 { "NULL".to_owned() } else { format!("'s{id}'") }, id % 13);
        lake.sql(&format!("INSERT INTO lake.shop.w VALUES {}", ids.map(row).collect::<Vec<_>>().join(", "))).await;
    }
    let rows = lake.sql("SELECT id, s, v FROM lake.shop.w ORDER BY id").await;
    let compact = async |more: &[&str]| {
        let mut arguments = vec!["table", "compact", "lake.shop.w", "--init", lake.init.to_str().unwrap()];
        arguments.extend(more);
        lake.folder.weir(arguments).output(LIMIT).await.succeeded().stdout
    };
    assert!(compact(&[]).await.contains("1 groups copied, 0 decoded"));
    let copied = judged(&lake).await;
    assert_eq!(copied["pyarrow"], serde_json::json!({"rows": 366, "row_groups": 6, "chunks": 18, "indexed": 18}));
    let pruned = serde_json::json!({"rows": 366, "found": 0, "out_by_bloom_filter": 6, "out_by_statistics": 0});
    assert_eq!(copied["duckdb"], pruned, "each row group has kept its filter");

    assert!(compact(&["--settle", "--sort", "v DESC, id"]).await.contains("0 groups copied, 1 decoded"));
    let sorted = judged(&lake).await;
    assert_eq!(sorted["pyarrow"], serde_json::json!({"rows": 366, "row_groups": 1, "chunks": 3, "indexed": 3}));
    assert_eq!(sorted["duckdb"]["out_by_bloom_filter"], 1);
    assert_eq!(lake.sql("SELECT sort_order_id FROM lake.shop.w$files").await, "1");
    assert_eq!(lake.sql("SELECT id, s, v FROM lake.shop.w ORDER BY id").await, rows);
    assert!(compact(&["--settle", "--sort", "v DESC, id"]).await.starts_with("0 files of"), "what is sorted stays");
    let refused = lake.folder.weir(["table", "compact", "lake.shop.w", "--init", lake.init.to_str().unwrap(), "--sort", "vv"]).output(LIMIT).await;
    assert!(refused.stderr.contains("no column 'vv'"), "{}", refused.stderr);
}

#[tokio::test]
async fn what_cannot_be_compacted_is_refused_with_the_reason() {
    let lake = Lake::new().await;
    for (table, more, code, says) in [
        ("lake.shop.none", vec![], 3, "none"),
        ("lake.shop.t", vec!["--branch", "mian"], 3, "has no branch 'mian'. Did you mean 'main'?"),
        ("lake.shop.t", vec!["--target-size", "0"], 2, "expected a size"),
        ("lake.shop.t", vec!["--min-input-files", "1"], 2, "min-input-files"),
    ] {
        let mut arguments = vec!["table", "compact", table, "--init", lake.init.to_str().unwrap()];
        arguments.extend(more);
        let output = lake.folder.weir(arguments).output(LIMIT).await;
        assert_eq!(output.status.code(), Some(code), "{}", output.stderr);
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
}
