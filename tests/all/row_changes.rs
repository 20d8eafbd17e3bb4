//! CREATE TABLE AS, INSERT OVERWRITE, DELETE and UPDATE on Iceberg tables: what is there after them, what stays as it was, and what they give
//! way to.

use std::collections::BTreeSet;

use iceberg::TableUpdate;
use iceberg::spec::{SnapshotReference, SnapshotRetention};
use weir_base::Classified;

use crate::lake::Lake;
use crate::orders::LIMIT;
use crate::support::Workdir;

const MEMORY: u64 = 256 << 20;

/// A table of three files: ids 1 to 3, 4 to 6, 7 and 8; `v` is NULL for even ids.
async fn three_files() -> Lake {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE t (id BIGINT NOT NULL, v INT, s STRING)").await;
    lake.run("INSERT INTO t VALUES (1, 10, 'a'), (2, NULL, 'b'), (3, 30, 'c')").await;
    lake.run("INSERT INTO t VALUES (4, NULL, 'd'), (5, 50, 'e'), (6, NULL, 'f')").await;
    lake.run("INSERT INTO t VALUES (7, 70, 'g'), (8, NULL, 'h')").await;
    lake
}

async fn partitioned() -> Lake {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE p (id BIGINT, day DATE, kind STRING) PARTITIONED BY (day, kind)").await;
    lake.run("INSERT INTO p VALUES (1, DATE '2026-01-01', 'x'), (2, DATE '2026-01-01', 'y'), (3, DATE '2026-01-02', 'x')").await;
    lake
}

const ALL: &str = "SELECT id FROM t ORDER BY id";
const ALL_OF_P: &str = "SELECT id, CAST(day AS STRING), kind FROM p ORDER BY id";

#[tokio::test]
async fn a_table_made_from_a_query_has_its_columns_and_rows() {
    let mut lake = three_files().await;
    lake.run("CREATE TABLE n PARTITIONED BY (bucket(2, s)) WITH ('write.parquet.compression-codec' = 'snappy') AS SELECT s, count(*) AS c, max(v) AS m FROM t WHERE id < 4 GROUP BY s")
        .await;
    assert_eq!(lake.ask("SELECT s, c, m FROM n ORDER BY s").await, "a,1,10\nb,1,NULL\nc,1,30");
    let table = lake.table("n").await;
    let types: Vec<String> = table.metadata.current_schema().as_struct().fields().iter().map(|field| field.to_string()).collect();
    assert_eq!(types, ["1: s: optional string ", "2: c: required long ", "3: m: optional int "]);
    assert_eq!(table.metadata.default_partition_spec().fields().len(), 1);
    assert_eq!(table.metadata.properties().get("write.parquet.compression-codec").map(String::as_str), Some("snappy"));
    // There is nothing to do the second time, whatever the query says.
    lake.run("CREATE TABLE IF NOT EXISTS n AS SELECT * FROM t").await;
    assert_eq!(lake.ask("SELECT count(*) FROM n").await, "3");
    let told = lake.refused("CREATE TABLE n AS SELECT 1 AS x").await;
    assert!(told.contains("exists already"), "{told}");
    let told = lake.refused("CREATE TABLE m AS SELECT NULL AS x").await;
    assert!(told.contains("has no type") && told.contains("CAST"), "{told}");
    let told = lake.refused("CREATE TABLE m (x INT) AS SELECT 1").await;
    assert!(told.contains("are those of the query"), "{told}");
}

#[tokio::test]
async fn overwriting_replaces_a_whole_table_even_by_nothing() {
    let mut lake = three_files().await;
    lake.run("INSERT OVERWRITE t SELECT id + 10, v, s FROM t WHERE v IS NOT NULL").await;
    assert_eq!(lake.ask(ALL).await, "11\n13\n15\n17");
    let (operation, counts) = lake.summary("t", &["deleted-data-files", "deleted-records", "total-records", "added-records"]).await;
    assert_eq!((operation.as_str(), counts), ("overwrite", ["3", "8", "4", "4"].map(str::to_owned).to_vec()));
    lake.run("INSERT OVERWRITE t SELECT * FROM t WHERE id < 0").await;
    assert_eq!(lake.ask(ALL).await, "");
    assert_eq!(lake.summary("t", &["total-data-files"]).await, ("delete".to_owned(), vec!["0".to_owned()]));
}

#[tokio::test]
async fn overwriting_replaces_the_partitions_that_get_rows_or_are_named() {
    let mut lake = partitioned().await;
    lake.run("INSERT OVERWRITE p VALUES (9, DATE '2026-01-01', 'x')").await;
    let rest = "2,2026-01-01,y\n3,2026-01-02,x";
    assert_eq!(lake.ask(ALL_OF_P).await, format!("{rest}\n9,2026-01-01,x"));
    lake.run("INSERT OVERWRITE p PARTITION (day = '2026-01-01', kind = 'x') SELECT 10").await;
    assert_eq!(lake.ask(ALL_OF_P).await, format!("{rest}\n10,2026-01-01,x"));
    // A named partition is replaced even by nothing.
    lake.run("INSERT OVERWRITE p PARTITION (day = '2026-01-01', kind = 'x') SELECT id FROM p WHERE id < 0").await;
    assert_eq!(lake.ask(ALL_OF_P).await, rest);
    // With a part of the names, those that get rows.
    lake.run("INSERT OVERWRITE p PARTITION (day = '2026-01-01') SELECT 11, 'z'").await;
    assert_eq!(lake.ask(ALL_OF_P).await, format!("{rest}\n11,2026-01-01,z"));
    lake.run("INSERT INTO p PARTITION (kind = 'q', day = '2026-01-05') VALUES (12)").await;
    assert_eq!(lake.ask(ALL_OF_P).await, format!("{rest}\n11,2026-01-01,z\n12,2026-01-05,q"));
    let told = lake.refused("INSERT OVERWRITE p PARTITION (id = 1, kind = 'x') SELECT DATE '2026-01-01'").await;
    assert!(told.contains("not partitioned by the column 'id'"), "{told}");
    let told = lake.refused("INSERT INTO p PARTITION (kind = 'x') (id, kind) SELECT 1, 'y'").await;
    assert!(told.contains("'kind' has a value in PARTITION"), "{told}");
}

#[tokio::test]
async fn partition_names_only_what_partitions_the_table() {
    let mut lake = three_files().await;
    lake.run("CREATE TABLE p (id BIGINT, day DATE, kind STRING) PARTITIONED BY (day, kind)").await;
    for (sql, says) in [
        ("INSERT OVERWRITE t PARTITION (s = 'a') SELECT id, v FROM t WHERE id = 1", "not partitioned by the column 's'"),
        ("INSERT OVERWRITE t PARTITION (s) SELECT * FROM t WHERE id = 1", "not partitioned by the column 's'"),
        ("INSERT INTO t PARTITION (s = 'a') SELECT 1, 1", "not partitioned by the column 's'"),
        ("INSERT INTO p PARTITION (id, day = '2026-01-01') SELECT 1, 'x'", "not partitioned by the column 'id'"),
        ("INSERT OVERWRITE p PARTITION (day = '2026-01-01', day = '2026-01-02') SELECT 1, 'x'", "named twice"),
    ] {
        let told = lake.refused(sql).await;
        assert!(told.contains(says), "{sql}\n{told}");
    }
    assert_eq!(lake.ask("SELECT count(*) FROM t").await, "8");
}

#[tokio::test]
async fn deleting_leaves_other_files_alone_and_keeps_rows_whose_condition_is_null() {
    let mut lake = three_files().await;
    let before = lake.files("t").await;
    let first = lake.table("t").await.metadata.current_snapshot_id().unwrap();
    lake.run("DELETE FROM t WHERE v > 20 AND id < 7").await;
    assert_eq!(lake.ask(ALL).await, "1\n2\n4\n6\n7\n8");
    let after = lake.files("t").await;
    assert_eq!((after.len(), before.intersection(&after).count()), (3, 1));
    let (operation, counts) = lake.summary("t", &["deleted-data-files", "added-data-files", "total-records", "total-data-files"]).await;
    assert_eq!((operation.as_str(), counts), ("overwrite", ["2", "2", "6", "3"].map(str::to_owned).to_vec()));
    // Every row of the files matches: they leave, and nothing is written.
    let disk = lake.on_disk(".parquet");
    lake.run("DELETE FROM t AS x WHERE x.id >= 7").await;
    assert_eq!(lake.summary("t", &["deleted-data-files", "added-data-files"]).await, ("delete".to_owned(), vec!["1".to_owned(), "0".to_owned()]));
    assert_eq!(lake.on_disk(".parquet"), disk);
    // Nothing matches: there is no commit.
    let snapshot = lake.table("t").await.metadata.current_snapshot_id();
    lake.run("DELETE FROM t WHERE id = 1000").await;
    lake.run("DELETE FROM t WHERE v = NULL").await;
    assert_eq!(lake.table("t").await.metadata.current_snapshot_id(), snapshot);
    assert_eq!(lake.ask(&format!("SELECT count(*) FROM t VERSION AS OF {first}")).await, "8");
    lake.run("TRUNCATE TABLE t").await;
    assert_eq!(lake.ask(ALL).await, "");
    lake.run("INSERT INTO t VALUES (1, 1, 'z')").await;
    assert_eq!(lake.ask(ALL).await, "1");
}

#[tokio::test]
async fn deleting_from_partitions_takes_whole_files() {
    let mut lake = partitioned().await;
    let disk = lake.on_disk(".parquet");
    lake.run("DELETE FROM p WHERE day = DATE '2026-01-01' AND kind IN ('x', 'y')").await;
    assert_eq!(lake.ask(ALL_OF_P).await, "3,2026-01-02,x");
    assert_eq!(lake.on_disk(".parquet"), disk);
}

#[tokio::test]
async fn updating_changes_matching_rows_only_and_in_one_snapshot() {
    let mut lake = three_files().await;
    let before = lake.files("t").await;
    lake.run("UPDATE t AS x SET v = COALESCE(x.v, 0) + 1, s = UPPER(s) WHERE x.id IN (2, 3)").await;
    let changed = "1,10,a\n2,1,B\n3,31,C\n4,NULL,d\n5,50,e\n6,NULL,f\n7,70,g\n8,NULL,h";
    assert_eq!(lake.ask("SELECT * FROM t ORDER BY id").await, changed);
    assert_eq!(before.intersection(&lake.files("t").await).count(), 2);
    assert_eq!(lake.summary("t", &["total-records"]).await, ("overwrite".to_owned(), vec!["8".to_owned()]));
    // The new values are those of the old row; a condition that is NULL is no match.
    lake.run("UPDATE t SET id = id + 100, v = CAST(id AS INT) WHERE v < 100").await;
    assert_eq!(lake.ask("SELECT id, v FROM t WHERE v IS NOT NULL ORDER BY id").await, "101,1\n102,2\n103,3\n105,5\n107,7");
    lake.run("UPDATE t SET s = NULL").await;
    assert_eq!(lake.ask("SELECT count(*), count(s) FROM t").await, "8,0");
    let told = lake.refused("UPDATE t SET id = NULL WHERE s IS NULL").await;
    assert!(told.contains("Column 'id'") && told.contains("NOT NULL"), "{told}");
    assert_eq!(lake.ask("SELECT count(*), count(s) FROM t").await, "8,0");
}

#[tokio::test]
async fn new_values_are_evaluated_on_matching_rows_only() {
    let mut lake = Lake::new(MEMORY).await;
    lake.run("CREATE TABLE q (id INT, a INT, b INT, c INT)").await;
    lake.run("INSERT INTO q VALUES (1, 7, 0, 0), (2, 7, 5, 0), (3, 7, NULL, 0)").await;
    lake.run("UPDATE q SET a = 20 / b, c = 1 WHERE b <> 0").await;
    assert_eq!(lake.ask("SELECT * FROM q ORDER BY id").await, "1,7,0,0\n2,4,5,1\n3,7,NULL,0");
    lake.run("UPDATE q AS x SET a = 30 / x.b, c = 30 / x.b + 1 WHERE x.b <> 0").await;
    assert_eq!(lake.ask("SELECT * FROM q ORDER BY id").await, "1,7,0,0\n2,6,5,7\n3,7,NULL,0");
}

/// A declaration outside of the catalog of the table `t`, with one more option.
fn declared(lake: &Lake, name: &str, option: &str) -> String {
    let path = lake.folder.path().display();
    format!(
        "CREATE TABLE default_catalog.default_database.{name} (id BIGINT NOT NULL, v INT, s STRING) WITH ('connector' = 'iceberg',
          'catalog-name' = 'lake', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db', 'warehouse' = 'file://{path}/warehouse',
          'catalog-database' = 'd', 'catalog-table' = 't', {option})"
    )
}

#[tokio::test]
async fn a_table_declared_with_a_branch_is_changed_on_that_branch() {
    let mut lake = three_files().await;
    let table = lake.table("t").await;
    let head = table.metadata.current_snapshot_id().unwrap();
    let retention = SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
    let branch = TableUpdate::SetSnapshotRef { ref_name: "audit".to_owned(), reference: SnapshotReference::new(head, retention) };
    let (catalog, _) = lake.session.lake_table("t").unwrap();
    catalog.commit(&table, Vec::new(), vec![branch]).await.unwrap();
    let audit = "default_catalog.default_database.audit";
    lake.run(&declared(&lake, "audit", "'branch' = 'audit'")).await;
    lake.run(&format!("UPDATE {audit} SET s = UPPER(s) WHERE id = 1")).await;
    lake.run(&format!("DELETE FROM {audit} WHERE id > 3")).await;
    assert_eq!(lake.ask(&format!("SELECT id, s FROM {audit} ORDER BY id")).await, "1,A\n2,b\n3,c");
    // Rows that are there on the branch alone are found too.
    lake.run(&format!("INSERT INTO {audit} VALUES (9, 90, 'i')")).await;
    lake.run(&format!("DELETE FROM {audit} WHERE id = 9 OR id = 2")).await;
    assert_eq!(lake.ask(&format!("SELECT id, s FROM {audit} ORDER BY id")).await, "1,A\n3,c");
    lake.run(&format!("TRUNCATE TABLE {audit}")).await;
    assert_eq!(lake.ask(&format!("SELECT count(*) FROM {audit}")).await, "0");
    assert_eq!(lake.ask(ALL).await, "1\n2\n3\n4\n5\n6\n7\n8");
    assert_eq!(lake.table("t").await.metadata.current_snapshot_id(), Some(head));
    for (name, option, value) in [("a", "snapshot-id", head.to_string()), ("b", "tag", "v1".to_owned()), ("c", "as-of-timestamp", "1".to_owned())] {
        lake.run(&declared(&lake, name, &format!("'{option}' = '{value}'"))).await;
        for sql in ["DELETE FROM n WHERE id = 1", "UPDATE n SET v = 1", "TRUNCATE TABLE n"] {
            let told = lake.refused(&sql.replace(" n", &format!(" default_catalog.default_database.{name}"))).await;
            assert!(told.contains(&format!("'{option}'")) && told.contains("head of a branch"), "{told}");
        }
    }
    assert_eq!(lake.table("t").await.metadata.current_snapshot_id(), Some(head));
}

#[tokio::test]
async fn what_rows_cannot_be_changed_by_is_refused_with_a_way_round() {
    let mut lake = three_files().await;
    lake.run("CREATE TEMPORARY VIEW w AS SELECT * FROM t").await;
    for (sql, says) in [
        ("DELETE FROM t WHERE id IN (SELECT id FROM t)", "INSERT OVERWRITE t SELECT"),
        ("DELETE FROM t WHERE RAND() < 0.5", "another one each time"),
        ("DELETE FROM w WHERE id = 1", "only rows of Iceberg tables"),
        ("DELETE FROM t WHERE idd = 1", "Did you mean 'id'?"),
        ("UPDATE t SET vv = 1", "Column 'vv' not found"),
        ("UPDATE t SET v = 1, v = 2", "set twice"),
        ("UPDATE t SET v = 'x'", "CAST it"),
        ("UPDATE t SET v = max(v)", "aggregate function"),
        ("MERGE INTO t USING w ON t.id = w.id WHEN MATCHED THEN DELETE", "INSERT OVERWRITE t SELECT"),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT * FROM t; INSERT OVERWRITE t SELECT * FROM t; END;", "Run it by itself"),
    ] {
        let told = lake.refused(sql).await;
        assert!(told.contains(says), "{sql}\n{told}");
    }
    assert_eq!(lake.ask("SELECT count(*) FROM t").await, "8");
}

#[tokio::test]
async fn a_change_gives_way_to_a_commit_that_touched_what_it_read_and_to_no_other() {
    let mut lake = three_files().await;
    let written = lake.on_disk(".parquet").len();
    let late = [
        lake.plan("DELETE FROM t WHERE id = 2").await,
        lake.plan("UPDATE t SET v = 0 WHERE id > 6").await,
        lake.plan("INSERT OVERWRITE t SELECT * FROM t WHERE id > 1").await,
    ];
    lake.run("UPDATE t SET v = 1 WHERE id IN (1, 8)").await;
    let now = lake.ask("SELECT * FROM t ORDER BY id").await;
    for plan in late {
        let error = lake.run_plan(plan).await.expect_err("somebody was there first");
        let told = weir_base::error::chain(&error);
        assert!(told.contains("Nothing was changed: run the statement again"), "{told}");
        assert_eq!(error.kind(), weir_base::ErrorKind::User);
    }
    assert_eq!(lake.ask("SELECT * FROM t ORDER BY id").await, now);
    // What they had written is gone again: there are the three files, and the two of the update.
    assert_eq!(lake.on_disk(".parquet").len(), written + 2);
    // Rows that are added meanwhile do not matter if none of them can match.
    let plan = lake.plan("DELETE FROM t WHERE id = 2").await;
    lake.run("INSERT INTO t VALUES (20, 2, 'new')").await;
    lake.run_plan(plan).await.unwrap();
    assert_eq!(lake.ask(ALL).await, "1\n3\n4\n5\n6\n7\n8\n20");
    let plan = lake.plan("DELETE FROM t WHERE id > 6").await;
    lake.run("INSERT INTO t VALUES (30, 3, 'new')").await;
    let told = weir_base::error::chain(&lake.run_plan(plan).await.expect_err("the new row matches"));
    assert!(told.contains("should have seen"), "{told}");
    let (catalog, id) = lake.session.lake_table("t").unwrap();
    let level = ("write.delete.isolation-level".to_owned(), "snapshot".to_owned());
    let updates = vec![TableUpdate::SetProperties { updates: [level].into() }];
    catalog.commit(&catalog.load(&id).await.unwrap(), Vec::new(), updates).await.unwrap();
    let plan = lake.plan("DELETE FROM t WHERE id > 6").await;
    lake.run("INSERT INTO t VALUES (40, 4, 'newer')").await;
    lake.run_plan(plan).await.unwrap();
    assert_eq!(lake.ask(ALL).await, "1\n3\n4\n5\n6\n40");
}

#[tokio::test]
async fn a_table_whose_rows_do_not_come_is_taken_back() {
    let mut lake = three_files().await;
    let disk = (lake.on_disk(".json"), lake.on_disk(".parquet"));
    let plan = lake.plan("CREATE TABLE n AS SELECT id, 1 / (id - 5) AS q FROM t").await;
    assert!(plan.created.is_some());
    let told = weir_base::error::chain(&lake.run_plan(plan.clone()).await.expect_err("a division by zero"));
    assert!(told.to_lowercase().contains("zero"), "{told}");
    let said = plan.created.unwrap().take_back().await;
    assert!(said.contains("dropped again"), "{said}");
    assert_eq!((lake.on_disk(".json"), lake.on_disk(".parquet")), disk);
    let told = lake.refused("SELECT * FROM n").await;
    assert!(told.contains("does not exist"), "{told}");
    // A table that has rows by now is not taken back.
    let plan = lake.plan("CREATE TABLE n AS SELECT id FROM t").await;
    lake.run_plan(plan.clone()).await.unwrap();
    let said = plan.created.unwrap().take_back().await;
    assert!(said.contains("stays"), "{said}");
    assert_eq!(lake.ask("SELECT count(*) FROM n").await, "8");
    let names: BTreeSet<String> = lake.files("n").await;
    assert!(!names.is_empty());
}

#[tokio::test]
async fn a_table_made_for_rows_goes_with_a_script_that_fails_before_its_job() {
    let mut lake = three_files().await;
    let disk = lake.on_disk(".json");
    for (sql, says) in [
        ("CREATE TABLE n AS SELECT id FROM t; SELECT * FROM missing;", "does not exist"),
        ("CREATE TABLE n AS SELECT id FROM t; DROP TABLE missing;", "does not exist"),
        ("CREATE TABLE m (x INT); CREATE TABLE n AS SELECT id FROM t; INSERT INTO t VALUES (9, 9, 'i');", "cannot be in one job"),
        ("CREATE TABLE m (x INT); INSERT INTO m VALUES (1); DELETE FROM t;", "cannot be in one job"),
        (
            "CREATE TABLE m (x INT); EXPLAIN STATEMENT SET BEGIN INSERT INTO t SELECT * FROM t; INSERT OVERWRITE t SELECT * FROM t; END;",
            "cannot be in one job",
        ),
    ] {
        let told = lake.refused(sql).await;
        assert!(told.contains(says), "{sql}\n{told}");
        let (catalog, id) = lake.session.lake_table("t").unwrap();
        assert_eq!(catalog.tables(&id.database).await.unwrap(), ["t"], "{sql}");
        assert_eq!(lake.on_disk(".json"), disk, "{sql}");
    }
}

#[tokio::test]
async fn where_the_port_is_taken_nothing_is_made() {
    let lake = three_files().await;
    let folder = Workdir::new();
    let path = lake.folder.path().display();
    let job = format!(
        "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db', 'warehouse' = 'file://{path}/warehouse');
CREATE DATABASE lake.more;
CREATE TABLE lake.d.n (id BIGINT);
INSERT INTO lake.d.n SELECT id FROM lake.d.t;"
    );
    let file = folder.write("job.sql", &job);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = folder.weir(["run", "--http", &address, file.to_str().unwrap()]).output(LIMIT).await;
    assert!(!output.status.success() && output.stderr.contains(&address), "{}", output.stderr);
    let (catalog, id) = lake.session.lake_table("t").unwrap();
    assert_eq!(catalog.tables(&id.database).await.unwrap(), ["t"]);
    assert!(!catalog.database_exists("more").await.unwrap());
}

#[tokio::test]
async fn a_table_made_for_rows_goes_when_its_job_cannot_begin() {
    let mut lake = three_files().await;
    let folder = Workdir::new();
    let path = lake.folder.path().display();
    let job = format!(
        "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db', 'warehouse' = 'file://{path}/warehouse');
SET 'fs.alias.b.scheme' = 'hdfs';
SET 'fs.alias.b.conf-dir' = '/nowhere';
CREATE TABLE lake.d.n AS SELECT id FROM lake.d.t;"
    );
    let file = folder.write("job.sql", &job);
    // Also if its log does not tell.
    for (level, tells) in [("info", true), ("error", false)] {
        let output = folder.weir(["run", file.to_str().unwrap()]).env("WEIR_LOG", level).output(LIMIT).await;
        assert!(!output.status.success() && output.stderr.contains("dropped again") == tells, "{}", output.stderr);
        let told = lake.refused("SELECT * FROM n").await;
        assert!(told.contains("does not exist"), "{told}");
    }
}

#[tokio::test]
async fn a_killed_overwrite_is_finished_once_by_the_next_start_of_its_job() {
    for place in ["checkpoint-after-put", "commit-before-swap", "commit-after-swap", "before-committed-mark"] {
        let mut lake = three_files().await;
        let folder = Workdir::new();
        let path = lake.folder.path().display();
        let job = format!(
            "SET 'execution.checkpointing.dir' = '{}';
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{path}/catalog.db', 'warehouse' = 'file://{path}/warehouse');
INSERT OVERWRITE lake.d.t SELECT id + 100, v, s FROM lake.d.t WHERE id < 4;",
            folder.uri("checkpoints")
        );
        let file = folder.write("job.sql", &job);
        let run = ["run", file.to_str().unwrap()];
        folder.weir(run).env("WEIR_FAIL", &format!("{place}=kill")).output(LIMIT).await.killed();
        for _ in 0..2 {
            folder.weir(run).output(LIMIT).await.succeeded();
            assert_eq!(lake.ask(ALL).await, "101\n102\n103", "{place}");
            assert_eq!(lake.table("t").await.metadata.snapshots().count(), 4, "{place}");
        }
        assert_eq!(lake.files("t").await.len(), 1, "{place}");
    }
}
