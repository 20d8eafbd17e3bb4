//! Other engines read a table after each kind of rewrite.

use serde_json::{Value, json};

use super::{World, agreed};
use crate::orphans::nothing_is_left;

const SETTLE: [&str; 5] = ["--settle", "--min-input-files", "2", "--commits", "1"];

#[tokio::test]
async fn tables_of_all_types_partitions_and_schemas_are_read_alike_before_and_after_they_are_copied_and_decoded() {
    let world = World::new();
    world.table("small").scenes().await;
    // What PyIceberg writes has no page index and is never copied: Weir writes the same rows.
    world.sql("CREATE TABLE lake.small.copied AS SELECT * FROM lake.small.typed WHERE id < 60").await;
    world
        .sql("CREATE TABLE lake.small.copied_parts PARTITIONED BY (bucket(2, id), day) AS SELECT id, day, s, ev FROM lake.small.typed WHERE id < 60")
        .await;
    for part in 1..5 {
        let which = format!("id >= {} AND id < {}", part * 60, part * 60 + 60);
        world.sql(&format!("INSERT INTO lake.small.copied SELECT * FROM lake.small.typed WHERE {which}")).await;
        world.sql(&format!("INSERT INTO lake.small.copied_parts SELECT id, day, s, ev FROM lake.small.typed WHERE {which}")).await;
    }
    for (table, more, says) in [
        ("copied", [].as_slice(), "1 groups copied, 0 decoded"),
        ("copied", &SETTLE, "0 groups copied, 1 decoded"),
        ("copied_parts", &["--min-input-files", "2", "--commits", "1"], "groups copied, 0 decoded"),
        ("typed", &SETTLE, "0 groups copied, 1 decoded"),
        ("evolved", &SETTLE, "0 groups copied, 1 decoded"),
        ("parted", &SETTLE, "0 groups copied, "),
    ] {
        let told = world.compact(&format!("small.{table}"), more).await;
        assert!(told.contains(says), "{table}: {told}");
    }
    let tables = ["copied", "copied_parts", "typed", "evolved", "parted"].map(|table| format!("small.{table}"));
    let conditions = ["--where", "id > 100", "--where", "id = 77", "--where", "id < 150 and id >= 120"];
    let mut found = world.table(&tables.join(",")).contents(&[["--rewrites"].as_slice(), &conditions].concat()).await;
    // DuckDB finds fields of nested columns by their names, which have changed; in what is rewritten they are those of now.
    for snapshot in found["small.evolved"].as_array_mut().unwrap() {
        if snapshot["operation"] != "replace" {
            snapshot["readers"].as_object_mut().unwrap().remove("duckdb");
        }
    }
    for (table, rewrites) in tables.iter().zip([2, 1, 1, 1, 2]) {
        assert_eq!(agreed(&found[table]), rewrites, "{table}");
        nothing_is_left(&world.table(table)).await;
    }
    let rows = |table: &str| found[table].as_array().unwrap().last().unwrap()["readers"]["duckdb"]["rows"].clone();
    assert_eq!(tables.each_ref().map(|table| rows(table)), [300, 300, 320, 180, 480].map(Value::from));
}

#[tokio::test]
async fn deletes_by_place_and_by_key_are_applied_as_iceberg_itself_applies_them() {
    let world = World::new();
    let appends = || (0..5).map(|part| json!({"append": [part * 60, part * 60 + 60]}));
    let with = |kind: &str, deletes: &[Value]| -> Vec<Value> {
        [json!({"create": kind})].into_iter().chain(appends()).chain(deletes.iter().cloned()).collect()
    };
    let by_key = [json!({"upsert": [50, 70]}), json!({"delete_ids": [65, 130]}), json!({"upsert": [100, 110]})];
    let by_place = [json!({"delete_places": [0, 3, 59]}), json!({"append": [300, 330]}), json!({"delete_places": [5]})];
    let both = [by_key.as_slice(), &by_place].concat();
    let of = [("keys", "", &by_key[..]), ("keys_parts", "kind", &both), ("places", "", &by_place), ("places_parts", "kind", &by_place)];
    let steps: Value = of.iter().map(|(name, kind, deletes)| (format!("d.{name}"), Value::from(with(kind, deletes)))).collect();
    world.java().take(steps.clone()).await;
    let tables: Vec<String> = of.iter().map(|(name, ..)| format!("d.{name}")).collect();
    for table in &tables {
        let told = world.compact(table, &["--apply-deletes", "--min-input-files", "2", "--commits", "1"]).await;
        assert!(told.contains("0 groups copied") && !told.contains(" 0 delete files are"), "{table}: {told}");
    }
    let of_java = world.java().take(tables.iter().map(|table| (table.clone(), json!([{"rows": {}}]))).collect()).await;
    let found = world.table(&tables.join(",")).contents(&["--rewrites"]).await;
    for table in &tables {
        assert_eq!(agreed(&of_java[table]), 1, "{table}");
        assert_eq!(agreed(&found[table]), 1, "{table}");
        let judged = |history: &Value, reader: &str| {
            let readers = &history.as_array().unwrap().last().unwrap()["readers"][reader];
            (readers["rows"].clone(), readers["digest"].clone())
        };
        assert_eq!(judged(&of_java[table], "java"), judged(&found[table], "pyiceberg"), "{table}");
        nothing_is_left(&world.table(table)).await;
    }
}
