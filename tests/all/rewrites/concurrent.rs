//! Others write while files are rewritten: a job and PyIceberg with a model beside them, and Iceberg's own classes where keys delete rows.

use axum::http::Method;
use serde_json::{Value, json};

use super::beside::{Beside, PATIENT};
use super::{Chance, World, agreed, asked};
use crate::orders::{LIMIT, answer};
use crate::orphans::{nothing_is_left, nothing_is_left_but};
use crate::support::{Fault, IcebergRows, Proxy, Servers, Table, Warehouse, Workdir, until};

/// `WEIR_TEST_STEPS` changes by PyIceberg (6 if unset), chosen by `WEIR_TEST_SEED`, while a job commits and the table is compacted.
#[tokio::test]
async fn whatever_a_job_pyiceberg_and_compaction_do_at_the_same_time_the_rows_are_those_of_the_history() {
    let world = World::new();
    let beside = Beside::new(&world.folder, &std::fs::read_to_string(&world.init).unwrap(), "shop.orders", "1 s", "").await;
    let table = world.table("shop.orders");
    let told = beside
        .while_it_runs(async |ended| {
            let compacting = async {
                let ways: [&[&str]; 3] =
                    [&["--min-input-files", "2"], &["--min-input-files", "3", "--commits", "1"], &["--min-input-files", "2", "--settle"]];
                for way in ways.iter().cycle().take_while(|_| !ended.get()) {
                    world.compact("shop.orders", way).await;
                    // PyIceberg, which needs a second for a step, must win a race now and then.
                    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                }
            };
            let changing = async {
                let told = table.churn(asked("WEIR_TEST_STEPS", 6), asked("WEIR_TEST_SEED", 7)).await;
                ended.set(true);
                told
            };
            tokio::join!(changing, compacting).0
        })
        .await;
    let found = beside.is_as_told(&table, &told).await;
    let rewrites = agreed(&table.contents(&["--rewrites"]).await["shop.orders"]);
    assert_eq!(Some(rewrites as u64), found["commits"]["rewrite"].as_u64());
    // What PyIceberg wrote for a step that lost a race, it leaves: data files, and metadata files of refused swaps.
    nothing_is_left_but(&table, |path| path.contains("/00000-") || path.ends_with(".metadata.json")).await;
    beside.is_verified("shop.orders").await;
}

/// Steps of Iceberg's own classes that leave equality deletes, and the same as `scripts/judges/steps.py` has them; each waits for others.
fn steps_by_key(chance: &mut Chance, count: u64) -> (Vec<Value>, Vec<Value>) {
    let (mut steps, mut told) = (Vec::new(), Vec::new());
    for number in 0..count {
        // Orders that are there, some that come later, and rows of earlier steps.
        let low = if chance.below(3) == 0 { 1_000_000 + 10 * chance.below(number + 1) } else { chance.below(40 * (number + 2)) };
        let high = low + 1 + chance.below(60);
        let (kind, range, added) = match chance.below(4) {
            0 => ("append", 0..0, 1_000_000 + 10 * number..1_000_000 + 10 * number + 1 + chance.below(30)),
            1 => ("delete_ids", low..high, 0..0),
            _ => ("upsert", low..high, low..high),
        };
        let asked = if kind == "append" { &added } else { &range };
        steps.push(json!({ kind: [asked.start, asked.end] }));
        let v = |id: u64| if kind == "append" { i64::try_from(id * 7).unwrap() } else { -i64::try_from(id).unwrap() };
        let rows: Vec<Value> = added.map(|id| json!([id, format!("k{}", id % 3), v(id), 99, id])).collect();
        // Every second step waits.
        told.push(json!({"number": 2 * number, "kind": kind, "range": [range.start, range.end], "rows": rows}));
        steps.push(json!({"await": {}}));
    }
    (steps, told)
}

/// `WEIR_TEST_STEPS` upserts and deletes by key (8 if unset), chosen by `WEIR_TEST_SEED`, while a job commits and the table is compacted.
#[tokio::test]
async fn whatever_is_deleted_by_key_while_a_job_commits_and_compacts_iceberg_itself_finds_the_rows_of_the_history() {
    let rest = Servers::shared().rest(Warehouse::File);
    let folder = Workdir::new();
    let name = format!("keys_{}.orders", uuid::Uuid::new_v4().simple());
    let catalog = format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}');", rest.uri);
    let beside = Beside::new(&folder, &catalog, &name, "200 ms", PATIENT).await;
    let (steps, told) = steps_by_key(&mut Chance::new(asked("WEIR_TEST_SEED", 7)), asked("WEIR_TEST_STEPS", 8));
    let java = IcebergRows::of_rest(&rest.uri);
    beside.while_it_runs(async |_| java.take(json!({ name.as_str(): steps })).await).await;
    let table = Table::of_rest(&name, &rest.uri);
    let found = beside.is_as_told(&table, &json!({ "steps": told })).await;
    let judged = java.take(json!({ name.as_str(): [{"rows": {"last": true}}] })).await;
    let of_java = &judged[name.as_str()][0]["readers"]["java"];
    assert_eq!((&of_java["rows"], &of_java["digest"]), (&found["expected"], &found["digest"]), "{found}");
    // The REST server leaves the metadata files of swaps that it has refused.
    nothing_is_left_but(&table, |path| path.ends_with(".metadata.json")).await;
    beside.is_verified(&name).await;
}

/// 1,000 rows of which ten were upserted; while the commit of their rewrite is on its way, fifteen are deleted by their keys.
#[tokio::test]
async fn an_equality_delete_that_overtakes_a_rewrite_leaves_985_of_1000_rows() {
    let rest = Servers::shared().rest(Warehouse::File);
    let proxy = Proxy::before(&rest.uri).await;
    let world = World::new();
    // The REST server is shared: a database of one's own.
    let name = format!("upserts_{}.t", uuid::Uuid::new_v4().simple());
    let init = world
        .folder
        .write("rest.sql", &format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}');", proxy.uri()));
    let java = IcebergRows::of_rest(&rest.uri);
    let take = async |steps: Vec<Value>| java.take(json!({ name.as_str(): steps })).await[name.as_str()].take();
    let appends = (0..5).map(|part| json!({"append": [part * 200, part * 200 + 200]}));
    take([json!({"create": ""})].into_iter().chain(appends).chain([json!({"upsert": [0, 10]})]).collect()).await;

    proxy.inject(Method::POST, "/tables/t", Fault::Hold, 1);
    let target = format!("lake.{name}");
    let arguments = ["table", "compact", &target, "--init", init.to_str().unwrap(), "--settle", "--min-input-files", "2"];
    let running = world.folder.weir(arguments).start();
    until("the rewrite is on its way", LIMIT, async || (proxy.left() == 0).then_some(())).await;
    take(vec![json!({"delete_ids": [5, 20]})]).await;
    proxy.release();
    let told = running.wait(LIMIT).await.succeeded().stdout;
    assert!(told.contains("6 files of") && told.contains("became 1 of") && told.contains("0 gave way"), "{told}");

    let of_java = take(vec![json!({"rows": {}})]).await;
    assert_eq!(agreed(&of_java), 1);
    let last = |history: &Value, reader: &str| history.as_array().unwrap().last().unwrap()["readers"][reader].clone();
    assert_eq!(last(&of_java, "java")["rows"], 985);
    let table = Table::of_rest(&name, &rest.uri);
    let mut found = table.contents(&["--rewrites"]).await;
    let found = found[name.as_str()].take();
    assert_eq!((agreed(&found), &last(&found, "duckdb")["digest"]), (1, &last(&of_java, "java")["digest"]));
    let upserted = answer(&world.folder, &init, &format!("SELECT count(*), sum(v) FROM {target} WHERE id < 10")).await;
    assert_eq!(upserted, "5,-10.0", "rows 0 to 4");
    nothing_is_left(&table).await;
}
