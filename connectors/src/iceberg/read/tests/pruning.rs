//! What is not read at all: manifests, files, row groups and pages that cannot hold a wanted row.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::SessionContext;
use iceberg::spec::{FormatVersion, Literal, NestedField, PrimitiveType, Schema, Struct, StructType, Transform, Type};
use serde_json::{Value, json};
use weir_catalog::read::slim_files;

use super::super::FileFilter;
use super::super::snapshot::Version;
use super::history::{History, batch, lines};

fn schema() -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let inner = Type::Struct(StructType::new(vec![optional(11, "c", PrimitiveType::Long), optional(12, "s", PrimitiveType::String)]));
    let fields = vec![
        optional(1, "id", PrimitiveType::Long),
        optional(2, "day", PrimitiveType::Date),
        optional(3, "word", PrimitiveType::String),
        Arc::new(NestedField::optional(10, "ev", inner)),
    ];
    Schema::builder().with_fields(fields).build().expect("schema")
}

fn row(id: i64) -> Value {
    json!({"id": id, "day": format!("2024-01-{:02}", id / 1_000 + 1), "word": format!("w{id:05}"), "ev": {"c": id * 10, "s": format!("s{:03}", id % 7)}})
}

fn rows(from: i64, to: i64) -> Vec<Value> {
    (from..to).map(row).collect()
}

/// Ten files of a thousand rows, each in a manifest of its own.
async fn ten_files() -> History {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    for file in 0..10 {
        let file = table.write(&batch(&schema(), &rows(file * 1_000, (file + 1) * 1_000)), Struct::empty(), 500).await;
        table.commit(vec![file], Vec::new()).await;
    }
    table
}

/// The rows of a query, and what its scan counted under that name.
async fn counted(table: &History, sql: &str, name: &str) -> (Vec<String>, usize) {
    let context = table.session(Version::Branch(None), 2).expect("session");
    let plan = context.sql(sql).await.expect("plans").create_physical_plan().await.expect("plans");
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await.expect("runs");
    (lines(&rows), sum_of(&plan, name))
}

fn sum_of(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own = if plan.name() == "IcebergScanExec" { plan.metrics().and_then(|all| all.sum_by_name(name)).map_or(0, |sum| sum.as_usize()) } else { 0 };
    own + plan.children().into_iter().map(|child| sum_of(child, name)).sum::<usize>()
}

/// Filters with the number of the ten files that they leave out, and of the rows for which they are true.
const FILTERS: [(&str, usize, usize); 14] = [
    ("id = 4500", 9, 1),
    ("id < 1500", 8, 1_500),
    ("ev['c'] >= 95000", 9, 500),
    ("word LIKE 'w003%'", 9, 100),
    ("word IN ('w00001', 'w09999')", 8, 2),
    ("id BETWEEN 2900 AND 3100", 8, 201),
    ("id IS NULL", 10, 0),
    ("day = DATE '2024-01-03'", 9, 1_000),
    ("day <> DATE '2024-01-03'", 1, 9_000),
    ("day NOT IN (DATE '2024-01-01', DATE '2024-01-02')", 2, 8_000),
    ("id <> 4500", 0, 9_999),
    ("id = 1 OR ev['c'] = 99990", 8, 2),
    ("starts_with(word, 'w05')", 9, 1_000),
    ("id % 2 = 0", 0, 5_000),
];

#[tokio::test(flavor = "multi_thread")]
async fn files_are_left_out_by_metrics_of_columns_at_any_depth() {
    let table = ten_files().await;
    for (filter, files, rows) in FILTERS {
        let (read, pruned) = counted(&table, &format!("SELECT count(*) FROM t WHERE {filter}"), "files_pruned").await;
        assert_eq!((read, pruned), (vec![rows.to_string()], files), "{filter}");
    }
}

/// What a query with that condition pushes down to its scan.
async fn pushed_down(context: &SessionContext, filter: &str) -> Vec<Expr> {
    let plan = context.sql(&format!("SELECT * FROM t WHERE {filter}")).await.expect("plans").into_optimized_plan().expect("optimises");
    let mut found = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.extend(unnormalize_cols(scan.filters.iter().cloned()));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("walks");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_files_leaves_out_what_a_query_leaves_out() {
    let table = ten_files().await;
    let (context, loaded) = (table.session(Version::Branch(None), 2).expect("session"), table.table());
    let live = slim_files(&loaded, loaded.metadata.current_snapshot().expect("a snapshot")).await.expect("read");
    assert_eq!(live.len(), 10);
    for (filter, files, _) in FILTERS {
        let predicates = pushed_down(&context, filter).await;
        let of_files = FileFilter::try_new("c.d.t", &loaded.metadata, &predicates, &context.state()).expect("a filter");
        let may_hold = of_files.of(&loaded.metadata);
        assert_eq!(live.iter().filter(|file| !may_hold(file)).count(), files, "{filter}");
        assert_eq!(of_files.leaves_out_any(), filter != "id % 2 = 0", "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_and_pages_are_left_out_by_their_own_bounds() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.write(&batch(&schema(), &rows(0, 20_000)), Struct::empty(), 10_000).await;
    table.commit(vec![file], Vec::new()).await;
    let sql = "SELECT sum(id) FROM t WHERE ev['c'] = 150000";
    assert_eq!(counted(&table, sql, "row_groups_pruned").await, (vec!["15000".to_owned()], 1));
    let (read, skipped) = counted(&table, sql, "page_rows_pruned").await;
    assert_eq!(read, ["15000"]);
    assert!(skipped >= 6_000, "{skipped} of 10000 rows lie in pages without the value");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_and_files_are_left_out_through_every_transform_and_evolved_specs() {
    for (column, transform, value) in [
        ("day", Transform::Month, Literal::int(24 * 12 + 30 * 12)),
        ("day", Transform::Year, Literal::int(54)),
        ("day", Transform::Day, Literal::date(19_724)),
        ("day", Transform::Identity, Literal::date(19_724)),
        ("word", Transform::Truncate(3), Literal::string("w01")),
        ("id", Transform::Bucket(1_000), Literal::int(999)),
    ] {
        let mut table = History::new(schema(), &[], FormatVersion::V2);
        let unpartitioned = table.write(&batch(&schema(), &rows(0, 10)), Struct::empty(), 500).await;
        table.commit(vec![unpartitioned], Vec::new()).await;
        table.repartition(&[(column, transform)]);
        // The rows are elsewhere than the partition value says, so that it must be the value that rules the file out.
        let partition = Struct::from_iter([Some(value)]);
        let bytes = super::history::parquet(
            &crate::iceberg::types::conform_batch(&batch(&schema(), &rows(0, 10)), &crate::iceberg::types::file_schema(&schema()).expect("schema"))
                .expect("conforms"),
            500,
        );
        let file = table.add(bytes, None, partition).await;
        table.commit(vec![file], Vec::new()).await;
        for (filter, expected) in [("day = DATE '2031-07-08'", "day"), ("word = 'zzz'", "word"), ("id = 123456789", "id")] {
            if expected != column {
                continue;
            }
            let (read, pruned) = counted(&table, &format!("SELECT id FROM t WHERE {filter}"), "manifests_pruned").await;
            assert_eq!((read.len(), pruned), (0, 1), "{transform} of {column}");
        }
        assert_eq!(table.rows("SELECT count(*) FROM t").await, ["20"], "{transform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_come_while_the_query_runs_save_files_and_row_groups() {
    let table = ten_files().await;
    let join = "SELECT count(*) FROM t JOIN (VALUES (CAST(17 AS BIGINT)), (CAST(42 AS BIGINT))) AS v(k) ON t.id = v.k";
    let (rows, late) = counted(&table, join, "files_pruned_late").await;
    assert_eq!((rows, late), (vec!["2".to_owned()], 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_of_a_sort_are_looked_for_where_bounds_say_that_they_are() {
    let table = ten_files().await;
    let (first, late) = counted(&table, "SELECT id FROM t ORDER BY id DESC LIMIT 3", "files_pruned_late").await;
    assert_eq!(first, ["9997", "9998", "9999"]);
    assert!(late >= 8, "each of two partitions opens one file at most, and left out {late} in all");

    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.write(&batch(&schema(), &rows(0, 30_000)), Struct::empty(), 10_000).await;
    table.commit(vec![file], Vec::new()).await;
    let last = "SELECT id, word FROM t ORDER BY id DESC LIMIT 3";
    assert_eq!(
        counted(&table, last, "row_groups_pruned").await,
        (vec!["29997|w29997".to_owned(), "29998|w29998".to_owned(), "29999|w29999".to_owned()], 2)
    );
    let (_, skipped) = counted(&table, last, "page_rows_pruned").await;
    assert!(skipped >= 5_000, "{skipped} of 10000 rows lie in pages before the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_names_the_leaves_and_what_was_left_out() {
    let table = ten_files().await;
    let context = table.session(Version::Branch(None), 2).expect("session");
    let plan = context.sql("SELECT ev['s'] FROM t WHERE id = 4500").await.expect("plans").create_physical_plan().await.expect("plans");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("files=1, leaves=[") && text.contains("ev.s") && text.contains("pruned=0 manifests, 9 files"), "{text}");
    assert!(!text.contains("ev.c") && text.contains("filters=[id@"), "{text}");
}
