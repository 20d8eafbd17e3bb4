//! Predicates that choose data files: which are taken, and what is said of the others.

use std::sync::Arc;

use weir_catalog::{LakeCatalog, LakeTable, TableId};

use super::session;
use crate::parse::Script;
use crate::session::{Mode, Session};

async fn table() -> (Session, Arc<dyn LakeCatalog>, LakeTable) {
    let mut session = session();
    let sql = "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'memory://filters/w');
        CREATE DATABASE lake.shop;
        CREATE TABLE lake.shop.t (id BIGINT, `kind` STRING, day DATE, ts TIMESTAMP(6), at TIMESTAMP_LTZ(6), ok BOOLEAN, price DECIMAL(10, 2),
            ev ROW<c BIGINT, tags ARRAY<STRING>>)";
    session.run(&Script::parse(sql).expect("parses"), Mode::Run).await.expect("made");
    let lake = Arc::clone(session.catalog("lake").expect("a catalog"));
    let table = lake.load(&TableId { database: "shop".to_owned(), table: "t".to_owned() }).await.expect("loads");
    (session, lake, table)
}

#[tokio::test]
async fn predicates_that_compare_columns_with_constants_choose_files() {
    let (session, lake, table) = table().await;
    for text in [
        "id = 3 AND `kind` = 'a'",
        "id > 3 OR day IS NULL",
        "t.id <> 5",
        "day = '2026-11-21'",
        "day BETWEEN DATE '2026-11-01' AND DATE '2026-11-21'",
        "ts >= TIMESTAMP '2026-11-21 00:00:00'",
        "ts < DATE '2026-11-21'",
        "at < TIMESTAMP '2026-11-21 00:00:00'",
        "ok",
        "NOT ok AND id % 2 = 0",
        "price >= 10",
        "kind LIKE 'a%'",
        "kind IN ('a', 'b', 'c', 'd', 'e')",
        "ev.c = 5",
        "ev['c'] = 5",
        "id = 2 + 3",
        "1 = 0",
    ] {
        if let Err(error) = session.predicates().files(&lake, &table, text) {
            panic!("{text}: {error}");
        }
    }
}

#[tokio::test]
async fn predicates_that_are_of_no_use_are_named_with_the_remedy() {
    let (session, lake, table) = table().await;
    let remedy = "Compare columns of the table with constants";
    for (text, code, parts) in [
        ("id >", "SQL-001", ["Syntax error", remedy]),
        ("id = 3; DROP TABLE t", "SQL-001", ["Syntax error", remedy]),
        ("", "SQL-001", ["Syntax error", remedy]),
        ("kin = 'a'", "SQL-002", ["Column 'kin' not found", "Did you mean 'kind'?"]),
        ("nothing_like_it = 'a'", "SQL-002", ["Column 'nothing_like_it' not found", "Columns are id, kind, day"]),
        ("kind = \"a\"", "SQL-002", ["Column 'a' not found", ""]),
        ("id", "SQL-005", ["it must be true or false, but is of type Int64", remedy]),
        ("id IN (SELECT 1)", "SQL-006", ["no subquery", remedy]),
        ("sum(id) > 3", "SQL-006", ["no aggregate", remedy]),
        ("id % 2 = 0", "SQL-004", ["no data file could be left out by it", remedy]),
        ("id = 1 OR id % 2 = 0", "SQL-004", ["no data file could be left out by it", remedy]),
        ("CAST(ts AS DATE) = DATE '2026-11-21'", "SQL-004", ["no data file could be left out by it", remedy]),
        ("RAND() < 0.5", "SQL-004", ["no data file could be left out by it", remedy]),
        ("TRUE", "SQL-004", ["no data file could be left out by it", remedy]),
    ] {
        let error = session.predicates().files(&lake, &table, text).expect_err(text).to_string();
        let begins = format!("[{code}] Predicate '{text}' on table 'lake.shop.t': ");
        assert!(error.starts_with(&begins) && parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        assert!(!error.contains("at line"), "a place in the predicate is none in the statement: {error}");
    }
}
