//! Queries that are larger than their memory: they spill and are right, leave nothing on the disk, or say what would help.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;

use weir_base::memory::MemoryBudget;

use crate::lake::Lake;
use crate::orders::LIMIT;
use crate::support::until;

const MEMORY: u64 = 40 << 20;
/// Rows of `big` are the square of this; a row takes more than a hundred bytes, so that all take half as much again as the memory.
const SIDE: u64 = 700;

async fn big() -> (Lake, tempfile::TempDir) {
    let mut lake = Lake::new(MEMORY).await;
    let spill = tempfile::tempdir().unwrap();
    lake.run(&format!("SET 'io.tmp.dirs' = '{}'", spill.path().display())).await;
    let numbers: Vec<String> = (0..SIDE).map(|number| format!("({number})")).collect();
    lake.run(&format!("CREATE TABLE n (x BIGINT); INSERT INTO n VALUES {}", numbers.join(", "))).await;
    let all = SIDE * SIDE;
    lake.run(&format!(
        "CREATE TABLE big AS SELECT a.x * {SIDE} + b.x AS id, (a.x * 7919 + b.x * 104729) % {all} AS k, \
         CONCAT(CAST(b.x AS STRING), '{}') AS pad FROM n AS a CROSS JOIN n AS b",
        "-".repeat(100)
    ))
    .await;
    (lake, spill)
}

/// Whether an operator spills when the query is run.
async fn spills(lake: &mut Lake, sql: &str) -> bool {
    let shown = lake.ask(&format!("EXPLAIN ANALYZE {sql}")).await;
    shown.split("spill_count=").skip(1).any(|rest| !rest.starts_with("0,") && !rest.starts_with("0]"))
}

/// Waits until nothing that was spilled is left: tasks of a query end shortly after it.
async fn all_gone(folder: &tempfile::TempDir) {
    until("what was spilled is gone", LIMIT, async || (std::fs::read_dir(folder.path()).unwrap().count() == 0).then_some(())).await;
}

#[tokio::test]
async fn sorts_aggregates_and_windows_spill_and_are_right() {
    let (mut lake, spill) = big().await;
    let all = SIDE * SIDE;
    let sorted = "SELECT k, id, pad FROM big ORDER BY k DESC, id";
    let mut last = None;
    let mut rows = 0;
    for batch in lake.batches(sorted).await.unwrap() {
        let (k, id) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        for (k, id) in k.values().iter().zip(id.values()) {
            assert!(last < Some((-k, *id)), "{last:?} before {k}, {id}");
            last = Some((-k, *id));
            rows += 1;
        }
    }
    assert_eq!(rows, all);
    assert!(spills(&mut lake, sorted).await);
    let grouped = "SELECT count(*), sum(c), max(m) FROM (SELECT id, pad, count(*) AS c, max(k) AS m FROM big GROUP BY id, pad) AS g";
    assert_eq!(lake.ask(grouped).await, format!("{all},{all},{}", lake.ask("SELECT max(k) FROM big").await));
    assert!(spills(&mut lake, grouped).await);
    let ranked = "SELECT count(*), max(r) FROM (SELECT pad, ROW_NUMBER() OVER (PARTITION BY k % 7 ORDER BY id, pad) AS r FROM big) AS w";
    let most = lake.ask("SELECT max(c) FROM (SELECT count(*) AS c FROM big GROUP BY k % 7) AS g").await;
    assert_eq!(lake.ask(ranked).await, format!("{all},{most}"));
    assert!(spills(&mut lake, ranked).await);
    all_gone(&spill).await;
}

#[tokio::test]
async fn a_join_that_does_not_fit_names_what_would_help_and_then_spills() {
    let (mut lake, spill) = big().await;
    let joined = "SELECT count(*), count(DISTINCT a.k % 10) FROM big AS a JOIN big AS b ON a.id = b.id AND a.pad = b.pad";
    let told = lake.batches(joined).await.expect_err("the hash table does not fit");
    assert!(told.contains("raise --memory") && told.contains("'table.exec.disabled-operators' = 'HashJoin'"), "{told}");
    all_gone(&spill).await;
    lake.run("SET 'table.exec.disabled-operators' = 'HashJoin'").await;
    // Four sorts at the same time, of more than they may hold together.
    lake.budget = MemoryBudget::new(3 * MEMORY);
    assert_eq!(lake.ask(joined).await, format!("{},10", SIDE * SIDE));
    assert!(spills(&mut lake, joined).await);
    all_gone(&spill).await;
}

#[tokio::test]
async fn the_smaller_table_is_held_in_memory_whatever_its_place_in_the_query() {
    let (mut lake, _spill) = big().await;
    for from in ["big JOIN n ON big.id = n.x", "n JOIN big ON n.x = big.id", "big LEFT JOIN n ON big.id = n.x"] {
        let plan = lake.ask(&format!("EXPLAIN ANALYZE SELECT count(*), max(pad) FROM {from}")).await;
        let join = plan.find("HashJoinExec").unwrap_or_else(|| panic!("{plan}"));
        let (held, probing) = (plan[join..].find("leaves=[x").unwrap(), plan[join..].find("leaves=[id").unwrap());
        assert!(held < probing, "{from}\n{plan}");
    }
}
