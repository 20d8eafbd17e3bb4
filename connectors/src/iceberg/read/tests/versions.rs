//! Snapshots, tags, times and branches, each in the columns that it had.

use std::sync::Arc;

use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Struct, Type};
use serde_json::json;

use super::super::snapshot::Version;
use super::history::{History, batch, lines};

fn schema(second: &str) -> Schema {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let fields = vec![optional(1, "id", PrimitiveType::Long), optional(2, second, PrimitiveType::String)];
    Schema::builder().with_schema_id(i32::from(second != "old")).with_fields(fields).build().expect("schema")
}

async fn rows(table: &History, version: Version, sql: &str) -> Vec<String> {
    let context = table.session(version, 1).expect("session");
    lines(&context.sql(sql).await.expect("plans").collect().await.expect("runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_read_in_the_columns_of_then() {
    let mut table = History::new(schema("old"), &[], FormatVersion::V2);
    let first = table.write(&batch(&schema("old"), &[json!({"id": 1, "old": "x"})]), Struct::empty(), 10).await;
    let before = table.commit(vec![first], Vec::new()).await;
    let at = table.metadata.last_updated_ms();
    table.tag("v1", before);
    table.evolve(schema("new"));
    let second = table.write(&batch(&schema("new"), &[json!({"id": 2, "new": "y"})]), Struct::empty(), 10).await;
    table.commit(vec![second], Vec::new()).await;

    assert_eq!(rows(&table, Version::Branch(None), "SELECT id, new FROM t").await, ["1|x", "2|y"]);
    for version in [Version::Snapshot(before), Version::Tag("v1".to_owned()), Version::Time(at), Version::Time(at + 1)] {
        assert_eq!(rows(&table, version, "SELECT id, old FROM t").await, ["1|x"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_does_not_have_is_named_with_what_it_has() {
    let mut table = History::new(schema("old"), &[], FormatVersion::V2);
    let refused = |table: &History, version: Version| table.session(version, 1).err().map(|error| error.to_string()).unwrap_or_default();
    let empty = refused(&table, Version::Time(5));
    assert!(empty.contains("'c.d.t'") && empty.contains("nothing has been committed"), "{empty}");
    let file = table.write(&batch(&schema("old"), &[json!({"id": 1})]), Struct::empty(), 10).await;
    let first = table.commit(vec![file], Vec::new()).await;
    table.tag("v1", first);
    let tag = refused(&table, Version::Tag("v2".to_owned()));
    assert!(tag.contains("it has: v1") && tag.contains("$refs"), "{tag}");
    let branch = refused(&table, Version::Branch(Some("v1".to_owned())));
    assert!(branch.contains("is a tag, not a branch"), "{branch}");
    let snapshot = refused(&table, Version::Snapshot(5));
    assert!(snapshot.contains("no snapshot 5") && snapshot.contains("$snapshots"), "{snapshot}");
    let early = refused(&table, Version::Time(1_000));
    assert!(early.contains("1970-01-01T00:00:01.000Z") && early.contains("its history begins at"), "{early}");
}
