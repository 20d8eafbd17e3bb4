//! Position deletes, deletion vectors and equality deletes, in order of their sequence numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, NestedField, PrimitiveType, Schema, Struct, StructType, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use serde_json::{Value, json};

use super::super::deletes::vector_blob;
use super::super::snapshot::Version;
use super::history::{History, batch, lines, parquet, session};
use crate::iceberg::types::{conform_batch, file_schema};

pub(super) fn schema() -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, ty));
    let inner = Type::Struct(StructType::new(vec![optional(11, "c", Type::Primitive(PrimitiveType::Long))]));
    let fields = vec![
        optional(1, "id", Type::Primitive(PrimitiveType::Long)),
        optional(2, "s", Type::Primitive(PrimitiveType::String)),
        optional(10, "ev", inner),
    ];
    Schema::builder().with_fields(fields).build().expect("schema")
}

fn rows(from: i64, to: i64) -> Vec<Value> {
    (from..to).map(|id| json!({"id": id, "s": format!("s{}", id % 5), "ev": {"c": id * 10}})).collect()
}

fn with_id(name: &str, id: i32, data_type: DataType) -> Field {
    Field::new(name, data_type, false).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
}

/// Position deletes as the specification wants them.
pub(super) async fn positions(table: &mut History, data: &[(&str, i64)]) -> DataFile {
    let schema = ArrowSchema::new(vec![with_id("file_path", i32::MAX - 101, DataType::Utf8), with_id("pos", i32::MAX - 102, DataType::Int64)]);
    let paths: ArrayRef = Arc::new(data.iter().map(|(path, _)| Some(*path)).collect::<StringArray>());
    let places: ArrayRef = Arc::new(data.iter().map(|(_, place)| Some(*place)).collect::<Int64Array>());
    let bytes = parquet(&RecordBatch::try_new(Arc::new(schema), vec![paths, places]).expect("batch"), 1_000);
    described(table, bytes, DataContentType::PositionDeletes, &[]).await
}

/// Equality deletes by some columns of the table's present schema.
pub(super) async fn equality(table: &mut History, schema: &Schema, rows: &[Value], ids: &[i32]) -> DataFile {
    let with_ids = file_schema(schema).expect("schema");
    let bytes = parquet(&conform_batch(&batch(schema, rows), &with_ids).expect("conforms"), 1_000);
    described(table, bytes, DataContentType::EqualityDeletes, ids).await
}

async fn described(table: &mut History, bytes: Vec<u8>, content: DataContentType, ids: &[i32]) -> DataFile {
    let size = bytes.len() as u64;
    let path = table.store(bytes, "deletes.parquet").await;
    let mut file = DataFileBuilder::default();
    file.content(content).file_path(path).file_format(DataFileFormat::Parquet).partition(Struct::empty()).partition_spec_id(0);
    file.record_count(1).file_size_in_bytes(size);
    if !ids.is_empty() {
        file.equality_ids(Some(ids.to_vec()));
    }
    file.build().expect("delete file")
}

/// A deletion vector of a data file.
pub(super) async fn vector(table: &mut History, data: &str, deleted: &[u64]) -> DataFile {
    let blob = vector_blob(deleted.iter().copied());
    let mut bytes = b"PFA1".to_vec();
    bytes.extend_from_slice(&blob);
    let size = bytes.len() as u64;
    let path = table.store(bytes, "puffin").await;
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::PositionDeletes).file_path(path).file_format(DataFileFormat::Puffin).partition(Struct::empty());
    file.partition_spec_id(0).record_count(deleted.len() as u64).file_size_in_bytes(size).referenced_data_file(Some(data.to_owned()));
    file.content_offset(Some(4)).content_size_in_bytes(Some(i64::try_from(blob.len()).expect("small")));
    file.build().expect("vector")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_deleted_by_position_wherever_their_row_group_begins() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let first = table.write(&batch(&schema(), &rows(0, 100)), Struct::empty(), 30).await;
    let second = table.write(&batch(&schema(), &rows(100, 200)), Struct::empty(), 30).await;
    let (path, other) = (first.file_path().to_owned(), second.file_path().to_owned());
    table.commit(vec![first, second], Vec::new()).await;
    let deletes = positions(&mut table, &[(&path, 0), (&path, 31), (&path, 99), (&other, 5), ("memory://elsewhere", 1)]).await;
    table.commit(Vec::new(), vec![deletes]).await;
    assert_eq!(table.rows("SELECT count(*) FROM t").await, ["196"]);
    assert_eq!(table.rows("SELECT id FROM t WHERE id IN (0, 1, 31, 32, 99, 100, 105)").await, ["1", "100", "32"]);
    assert_eq!(table.rows("SELECT sum(ev['c']) FROM t WHERE id < 100").await, [((0..100).sum::<i64>() * 10 - 1_300).to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_vectors_of_format_3_are_applied() {
    let mut table = History::new(schema(), &[], FormatVersion::V3);
    let file = table.write(&batch(&schema(), &rows(0, 100)), Struct::empty(), 40).await;
    let path = file.file_path().to_owned();
    table.commit(vec![file], Vec::new()).await;
    let deletes = vector(&mut table, &path, &[0, 41, 42, 99]).await;
    table.commit(Vec::new(), vec![deletes]).await;
    assert_eq!(table.rows("SELECT count(*), min(id), max(id) FROM t").await, ["96|1|98"]);
    assert_eq!(table.rows("SELECT id FROM t WHERE id BETWEEN 40 AND 43").await, ["40", "43"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equality_delete_hides_older_rows_only_and_by_columns_that_nobody_asked_for() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let first = table.write(&batch(&schema(), &rows(0, 20)), Struct::empty(), 30).await;
    table.commit(vec![first], Vec::new()).await;
    // An upsert: the old row goes, the new one with the same key stays.
    let fresh = table.write(&batch(&schema(), &[json!({"id": 7, "s": "new", "ev": {"c": 1}})]), Struct::empty(), 30).await;
    let by_id = equality(&mut table, &schema(), &[json!({"id": 7}), json!({"id": 8})], &[1]).await;
    table.commit(vec![fresh], vec![by_id]).await;
    let by_leaf = equality(&mut table, &schema(), &[json!({"ev": {"c": 30}}), json!({"ev": null})], &[11]).await;
    table.commit(Vec::new(), vec![by_leaf]).await;
    assert_eq!(table.rows("SELECT count(*) FROM t").await, ["18"]);
    assert_eq!(table.rows("SELECT s FROM t WHERE id IN (3, 7, 8)").await, ["new"]);
    assert_eq!(table.rows("SELECT count(s) FROM t WHERE ev['c'] > 100").await, ["9"]);
    assert_eq!(table.rows("SELECT id FROM t WHERE s = 's3'").await, ["13", "18"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_equality_deletes_are_charged_to_the_memory_of_the_query() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.write(&batch(&schema(), &rows(0, 5_000)), Struct::empty(), 1_000).await;
    table.commit(vec![file], Vec::new()).await;
    let keys: Vec<Value> = (0..4_000).map(|id| json!({"id": id})).collect();
    let deletes = equality(&mut table, &schema(), &keys, &[1]).await;
    let path = deletes.file_path().to_owned();
    table.commit(Vec::new(), vec![deletes]).await;
    let within = |bytes: usize| {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().expect("runtime");
        let state = SessionStateBuilder::new_from_existing(session(2).state()).with_runtime_env(runtime).build();
        let context = SessionContext::new_with_state(state);
        table.register(&context, Version::Branch(None)).expect("a table");
        (context, pool)
    };
    let sql = "SELECT s FROM t WHERE id > 4990";
    let (context, _pool) = within(100_000);
    let told = context.sql(sql).await.expect("plans").collect().await.expect_err("too many keys").to_string();
    assert!(told.contains("'c.d.t'") && told.contains(&path) && told.contains("equality deletes") && told.contains("compacted"), "{told}");
    let (context, pool) = within(2_000_000);
    let plan = context.sql(sql).await.expect("plans").create_physical_plan().await.expect("plans");
    let read = collect(Arc::clone(&plan), context.task_ctx()).await.expect("runs");
    assert_eq!(lines(&read).len(), 9);
    assert!(pool.reserved() > 4_000 * 50, "{} bytes are charged for 4000 keys", pool.reserved());
    drop(plan);
    assert_eq!(pool.reserved(), 0, "given back with the query");
}
