//! Metadata that was read once is not read again, and what has changed since is seen all the same.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Struct, Type};
use serde_json::json;
use weir_base::memory::{MemoryBudget, Use};

use super::super::cache::MetadataCache;
use super::super::snapshot::Version;
use super::history::{History, batch, lines, session};

fn schema() -> Schema {
    let id = Arc::new(NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long)));
    Schema::builder().with_fields(vec![id]).build().expect("schema")
}

async fn add(table: &mut History, ids: std::ops::Range<i64>) {
    let rows: Vec<_> = ids.map(|id| json!({"id": id})).collect();
    let file = table.write(&batch(&schema(), &rows), Struct::empty(), 100).await;
    table.commit(vec![file], Vec::new()).await;
}

fn caching(cache: &MetadataCache) -> SessionContext {
    let context = session(2);
    context.state_ref().write().config_mut().set_extension(Arc::new(cache.clone()));
    context
}

/// The answer of a query, what it read of metadata, and how often it read data files.
async fn asked(table: &History, context: &SessionContext, sql: &str) -> (Vec<String>, (u64, u64), u64) {
    context.deregister_table("t").expect("no table");
    table.register(context, Version::Branch(None)).expect("a table");
    let (metadata, data) = (table.metadata_read_so_far(), table.read_so_far());
    let rows = context.sql(sql).await.expect("plans").collect().await.expect("runs");
    let (after, data_after) = (table.metadata_read_so_far(), table.read_so_far());
    (lines(&rows), (after.0 - metadata.0, after.1 - metadata.1), data_after.0 - data.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_query_reads_no_metadata_and_sees_every_commit() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    for file in 0..5 {
        add(&mut table, file * 10..(file + 1) * 10).await;
    }
    let budget = MemoryBudget::new(64 << 20);
    let context = caching(&MetadataCache::new(&budget, None));
    let sql = "SELECT sum(id) FROM t WHERE id >= 0";
    let (rows, (requests, _), footers_and_rows) = asked(&table, &context, sql).await;
    assert_eq!((rows, requests), (vec!["1225".to_owned()], 6), "a list and five manifests");
    assert!(budget.used_for(Use::Metadata) > 0);

    let (rows, metadata, only_rows) = asked(&table, &context, sql).await;
    assert_eq!((rows, metadata), (vec!["1225".to_owned()], (0, 0)));
    assert_eq!(only_rows, footers_and_rows - 5, "no footer is read again");

    add(&mut table, 50..60).await;
    let (rows, (requests, _), _) = asked(&table, &context, sql).await;
    assert_eq!((rows, requests), (vec!["1770".to_owned()], 2), "the new list and the new manifest");
    let (rows, metadata, _) = asked(&table, &context, sql).await;
    assert_eq!((rows, metadata), (vec!["1770".to_owned()], (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_or_room_for_it_every_query_reads_the_metadata() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    add(&mut table, 0..10).await;
    let budget = MemoryBudget::new(64 << 20);
    let full = budget.try_reserve(Use::Operators, 60 << 20).expect("fits");
    for cache in [MetadataCache::none(), MetadataCache::new(&budget, Some(0)), MetadataCache::new(&budget, None)] {
        let context = caching(&cache);
        for _ in 0..2 {
            let (rows, (requests, _), _) = asked(&table, &context, "SELECT sum(id) FROM t").await;
            assert_eq!((rows, requests), (vec!["45".to_owned()], 2));
        }
    }
    assert_eq!(budget.used(), full.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_footer_without_page_index_is_read_again_for_a_query_that_needs_one() {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    add(&mut table, 0..1_000).await;
    let context = caching(&MetadataCache::new(&MemoryBudget::new(64 << 20), None));
    let (_, _, whole) = asked(&table, &context, "SELECT sum(id) FROM t").await;
    assert_eq!(asked(&table, &context, "SELECT sum(id) FROM t").await.2, whole - 1);
    let (rows, _, first) = asked(&table, &context, "SELECT count(*) FROM t WHERE id = 77").await;
    let (again, _, second) = asked(&table, &context, "SELECT count(*) FROM t WHERE id = 77").await;
    assert_eq!((rows, again), (vec!["1".to_owned()], vec!["1".to_owned()]));
    assert_eq!(second, first - 1);
}
