//! A table of two thousand columns, written by our own writer: what is read of it is what is asked for.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;

use super::history::lines;
use crate::batch::BatchTable;
use crate::iceberg::IcebergScan;
use crate::iceberg::tests::{Lake, commit_rows};

/// Half of the leaves are columns, the other half are fields of one struct.
const LEAVES: usize = 2_000;
const ROWS: i64 = 50;

fn fields() -> Fields {
    let leaf = |prefix: &str, number: usize| Field::new(format!("{prefix}{number}"), DataType::Int64, true);
    let inner: Fields = (0..LEAVES / 2).map(|number| leaf("f", number)).collect();
    (0..LEAVES / 2).map(|number| leaf("c", number)).chain([Field::new("ev", DataType::Struct(inner), true)]).collect()
}

/// Rows from `first` on; the leaf of number n has n more in it.
fn rows(first: i64) -> RecordBatch {
    let leaf = |number: usize| -> ArrayRef {
        let more = i64::try_from(number).expect("small");
        Arc::new(Int64Array::from_iter_values((first..first + ROWS).map(|row| row * 10_000 + more)))
    };
    let mut columns: Vec<ArrayRef> = (0..LEAVES / 2).map(leaf).collect();
    let fields = fields();
    let Some(DataType::Struct(inner)) = fields.last().map(|field| field.data_type()) else { panic!("a struct comes last") };
    columns.push(Arc::new(StructArray::new(inner.clone(), (LEAVES / 2..LEAVES).map(leaf).collect(), None)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leaf_of_two_thousand_is_read_alone() {
    let lake = Lake::of(&Schema::new(fields()), &[], &[]).await;
    let sink = lake.sink(&[]);
    for file in 0..3_u64 {
        let first = i64::try_from(file).expect("small") * ROWS;
        commit_rows(&sink, file + 1, &[rows(first)]).await;
    }
    let scan = IcebergScan::new(Arc::clone(&lake.catalog), lake.table.id.clone());
    let read = async |sql: &str| {
        let context = SessionContext::new_with_state(super::history::session(1).state());
        context.register_table("t", scan.provider().await.expect("provider")).expect("registers");
        let plan = context.sql(sql).await.expect("plans").create_physical_plan().await.expect("plans");
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        (lines(&collect(plan, context.task_ctx()).await.expect("runs")), shown)
    };
    let (answer, plan) = read("SELECT ev['f777'] FROM t WHERE c42 = 600042").await;
    assert_eq!(answer, ["601777"]);
    assert!(plan.contains("leaves=[c42, ev.f777]") && plan.contains("pruned=0 manifests, 2 files"), "{plan}");
    let (answer, plan) = read("SELECT count(*), sum(c999) FROM t").await;
    let sum: i64 = (0..3 * ROWS).map(|row| row * 10_000 + 999).sum();
    assert_eq!(answer, [format!("{}|{sum}", 3 * ROWS)]);
    assert!(plan.contains("leaves=[c999]") && plan.contains("files=3"), "{plan}");
    let (answer, _) = read("SELECT * FROM t WHERE ev['f0'] = 11000").await;
    assert!(answer.len() == 1 && answer[0].starts_with("10000|10001|"), "{answer:?}");
}
