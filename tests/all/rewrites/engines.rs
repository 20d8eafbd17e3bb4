//! Spark, Flink and DuckDB beside Weir, by hand: `make test-engines`, since they are large. They change a table that a job writes to and compacts, and
//! read tables after each kind of rewrite.

use std::cell::Cell;
use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};

use super::beside::{Beside, PATIENT, UPKEEP};
use super::{World, asked};
use crate::orders::LIMIT;
use crate::orphans::nothing_is_left_but;
use crate::support::{IcebergRows, Servers, Table, Warehouse, Workdir, until};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/foreign");
/// Fifty steps, or a hundred queries, on a busy machine.
const LONG: Duration = Duration::from_secs(3_600);

async fn foreign(folder: &Workdir, command: &str, engine: &str, task: &Value) -> String {
    let task = folder.write(&format!("{command}-{engine}.json"), &task.to_string());
    let mut arguments: Vec<&OsStr> = vec![command.as_ref(), engine.as_ref(), task.as_ref()];
    if command == "read" {
        arguments.extend(["--weir".as_ref(), OsStr::new(env!("CARGO_BIN_EXE_weir"))]);
    }
    folder.program(SCRIPT, arguments).output(LONG).await.succeeded().stdout
}

/// A table of a REST catalog, and what leads to it.
struct Shared {
    folder: Workdir,
    name: String,
    catalog: String,
    properties: Value,
    java: IcebergRows,
    table: Table,
}

impl Shared {
    fn new() -> Self {
        let rest = Servers::shared().rest(Warehouse::File);
        let name = format!("engines_{}.orders", uuid::Uuid::new_v4().simple());
        let catalog = format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{}');", rest.uri);
        let properties =
            json!({"catalog-impl": "org.apache.iceberg.rest.RESTCatalog", "uri": rest.uri, "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO"});
        let (java, table) = (IcebergRows::of_rest(&rest.uri), Table::of_rest(&name, &rest.uri));
        Self { folder: Workdir::new(), name, catalog, properties, java, table }
    }

    async fn judged(&self, beside: &Beside<'_>, told: &Value) {
        let found = beside.is_as_told(&self.table, told).await;
        let judged = self.java.take(json!({ self.name.as_str(): [{"rows": {"last": true}}] })).await;
        let of_java = &judged[self.name.as_str()][0]["readers"]["java"];
        assert_eq!((&of_java["rows"], &of_java["digest"]), (&found["expected"], &found["digest"]), "{found}");
        // Others leave what they wrote in vain.
        let of_others = |path: &str| path.contains("/metadata/") || path.rsplit('/').next().unwrap().starts_with("0000");
        nothing_is_left_but(&self.table, of_others).await;
        beside.is_verified(&self.name).await;
        let slowest = told["steps"].as_array().into_iter().flatten().max_by_key(|step| step["tries"].as_u64());
        println!("{}: {} rows, commits {}; the step that was tried most often: {slowest:?}", self.name, found["rows"], found["commits"]);
    }
}

/// `WEIR_TEST_STEPS` (20 if unset), chosen by `WEIR_TEST_SEED`: appends, deletes, updates and overwrites, with and without delete files, and
/// `rewrite_data_files`.
#[tokio::test]
#[ignore = "fetches Spark: make test-engines"]
async fn whatever_a_job_and_spark_which_compacts_too_do_at_the_same_time_the_rows_are_those_of_the_history() {
    let shared = Shared::new();
    let beside = Beside::new(&shared.folder, &shared.catalog, &shared.name, "1 s", PATIENT).await;
    let (steps, seed) = (asked("WEIR_TEST_STEPS", 20), asked("WEIR_TEST_SEED", 7));
    let task = json!({"properties": shared.properties, "table": shared.name, "steps": steps, "seed": seed});
    let told = beside.while_it_runs(async |_| foreign(&shared.folder, "change", "spark", &task).await).await;
    shared.judged(&beside, &serde_json::from_str(&told).unwrap()).await;
}

/// `WEIR_TEST_ROWS` (20,000 if unset), a thousand a second, of 300 keys: equality and position deletes with every checkpoint.
#[tokio::test]
#[ignore = "fetches Flink: make test-engines"]
async fn whatever_a_job_does_while_flink_upserts_each_key_is_there_once_as_it_came_last() {
    let shared = Shared::new();
    let beside = Beside::new(&shared.folder, &shared.catalog, &shared.name, "1 s", PATIENT).await;
    let (count, keys, first) = (asked("WEIR_TEST_ROWS", 20_000), 300, 1_000_000);
    let task = json!({"properties": shared.properties, "table": shared.name, "count": count, "rate": 1_000, "keys": keys, "first": first, "options": format!("{UPKEEP}{PATIENT}")});
    let init = shared.folder.write("init.sql", &shared.catalog);
    let over = Cell::new(false);
    let upserting = async {
        let told = foreign(&shared.folder, "change", "flink", &task).await;
        over.set(true);
        told
    };
    let committing = async {
        // Flink makes the table, with a primary key.
        let query = format!("SELECT count(*) FROM lake.{}", shared.name);
        until("the table is there", LONG, async || {
            let asked = shared.folder.weir(["sql", "--init", init.to_str().unwrap(), "-e", &query]).output(LIMIT).await;
            asked.status.success().then_some(())
        })
        .await;
        beside.while_it_runs(async |_| until("Flink is done", LONG, async || over.get().then_some(())).await).await;
    };
    tokio::join!(upserting, committing);
    shared.judged(&beside, &json!({"upserts": {"first": first, "keys": keys, "count": count}})).await;
}

const SETTLE: &[&str] = &["--settle", "--min-input-files", "2", "--commits", "1"];

/// Tables after each kind of rewrite, and for each what it was made from: snapshots that must be read alike.
async fn rewritten(world: &World) -> Vec<Value> {
    world.table("r").scenes().await;
    // A fraction that is the same as a float and as a double.
    let columns = "id, flag, i, CAST(i AS FLOAT) / 4 AS f, d, d9, d38, day, ts, tz, s, raw, ev, tags, m";
    let made = [
        ("copied", "", "compact", &[][..]),
        ("copied_parts", "PARTITIONED BY (bucket(2, id), day)", "compact", &["--min-input-files", "2", "--commits", "1"]),
        ("decoded", "", "compact", SETTLE),
        (
            "sorted",
            "PARTITIONED BY (flag)",
            "compact",
            &["--settle", "--min-input-files", "2", "--commits", "1", "--sort", "day DESC NULLS LAST, id"],
        ),
        ("manifests", "PARTITIONED BY (flag)", "rewrite-manifests", &[]),
        ("expired", "", "compact", SETTLE),
    ];
    for (table, by, command, more) in made {
        let part = |number: u32| format!("SELECT {columns} FROM lake.r.typed WHERE id >= {} AND id < {}", number * 60, number * 60 + 60);
        let inserts: Vec<String> = (1..5).map(|number| format!("INSERT INTO lake.r.{table} {}", part(number))).collect();
        world.sql(&format!("CREATE TABLE lake.r.{table} {by} AS {}; {}", part(0), inserts.join("; "))).await;
        world.by_hand(command, &format!("r.{table}"), more).output(LIMIT).await.succeeded();
    }
    let by_key = [json!({"upsert": [50, 70]}), json!({"delete_ids": [65, 130]}), json!({"upsert": [100, 110]})];
    let by_place = [json!({"delete_places": [0, 3, 59]}), json!({"append": [300, 330]}), json!({"delete_places": [5]})];
    let of = [("keys", "", &by_key), ("keys_parts", "kind", &by_key), ("places", "", &by_place), ("places_parts", "kind", &by_place)];
    let steps = |kind: &str, deletes: &[Value]| -> Value {
        let appends = (0..5).map(|part| json!({"append": [part * 60, part * 60 + 60]}));
        [json!({"create": kind})].into_iter().chain(appends).chain(deletes.iter().cloned()).collect()
    };
    world.java().take(of.iter().map(|(name, kind, deletes)| (format!("r.{name}"), steps(kind, &deletes[..]))).collect()).await;
    for (table, more) in [("evolved", SETTLE), ("parted", SETTLE)]
        .into_iter()
        .chain(of.map(|(table, ..)| (table, &["--apply-deletes", "--min-input-files", "2", "--commits", "1"][..])))
    {
        world.compact(&format!("r.{table}"), more).await;
    }
    // What was rewritten is deleted from again, by files of the same kinds.
    let again: Value = [("keys_parts", json!({"delete_ids": [200, 210]})), ("places_parts", json!({"delete_places": [1]}))]
        .into_iter()
        .map(|(table, step)| (format!("r.{table}"), json!([step])))
        .collect();
    world.java().take(again).await;
    let names: Vec<String> = made
        .iter()
        .map(|(name, ..)| *name)
        .chain(["evolved", "parted"])
        .chain(of.iter().map(|(name, ..)| *name))
        .map(|name| format!("r.{name}"))
        .collect();
    let found = world.table(&names.join(",")).contents(&["--rewrites", "--reader", "pyiceberg"]).await;
    let mut reads = Vec::new();
    for name in &names {
        let mut told = 0;
        for snapshot in found[name].as_array().unwrap().iter().filter(|snapshot| snapshot["operation"] == "replace") {
            reads.push(json!({"table": name, "snapshots": [snapshot["parent"], snapshot["id"]], "where": ["id >= 120 AND id < 150"]}));
            told += 1;
        }
        assert!(told > 0, "{name} was not rewritten");
    }
    world.by_hand("expire", "r.expired", &["--older-than", "0 s", "--retain-last", "1"]).output(LIMIT).await.succeeded();
    reads.retain(|read| read["table"] != "r.expired");
    let now = ["r.expired", "r.keys_parts", "r.places_parts"].map(|table| json!({"table": table, "snapshots": [], "where": ["id > 290"]}));
    reads.into_iter().chain(now).collect()
}

#[tokio::test]
#[ignore = "fetches Spark and Flink: make test-engines"]
async fn tables_are_read_alike_by_duckdb_spark_and_flink_after_each_kind_of_rewrite() {
    let world = World::new();
    let reads = rewritten(&world).await;
    let properties = json!({
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO", "jdbc.schema-version": "V1",
        "uri": format!("jdbc:sqlite:{}", world.folder.path("catalog.db").display()), "warehouse": world.folder.uri("warehouse"),
    });
    let init = std::fs::read_to_string(&world.init).unwrap();
    let task = |engine: &str| {
        // DuckDB 1.5 fails where equality deletes are for the partition of null.
        let known = reads.iter().filter(|read| engine != "duckdb" || read["table"] != "r.keys_parts");
        json!({"init": init.trim_end_matches(';'), "properties": properties, "reads": known.collect::<Vec<_>>()})
    };
    for engine in ["duckdb", "spark", "flink"] {
        let told = foreign(&world.folder, "read", engine, &task(engine)).await;
        println!("{engine}: {}", told.lines().last().unwrap());
    }
}
