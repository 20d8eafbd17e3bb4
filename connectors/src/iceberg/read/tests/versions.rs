//! Snapshots, tags, times and branches, each in the columns that it had.

use std::sync::Arc;

use iceberg::spec::{FormatVersion, NestedField, Operation, PrimitiveType, Schema, Struct, Type};
use serde_json::json;

use super::super::between::{Between, End};
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

fn between(after: Option<i64>, until: Option<i64>) -> Between {
    Between { after: after.map(End::Snapshot), until: until.map(End::Snapshot), branch: None, skip_overwrites: false }
}

async fn add(table: &mut History, id: i64, operation: Operation) -> i64 {
    let schema = table.metadata.current_schema().as_ref().clone();
    let file = table.write(&batch(&schema, &[json!({"id": id})]), Struct::empty(), 10).await;
    table.commit_as(operation, vec![file], Vec::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_gives_what_was_appended_behind_its_beginning_up_to_its_end() {
    let mut table = History::new(schema("old"), &[], FormatVersion::V2);
    let first = add(&mut table, 1, Operation::Append).await;
    let second = add(&mut table, 2, Operation::Append).await;
    let replaced = add(&mut table, 99, Operation::Replace).await;
    table.evolve(schema("new"));
    let last = add(&mut table, 3, Operation::Append).await;
    table.tag("v2", second);
    let ids = async |between: Between| rows(&table, Version::Between(between), "SELECT id FROM t").await;
    assert_eq!(ids(between(Some(first), None)).await, ["2", "3"]);
    assert_eq!(ids(between(Some(first), Some(second))).await, ["2"]);
    assert_eq!(ids(between(None, Some(replaced))).await, ["1", "2"], "what was there before is not appended anew");
    assert_eq!(ids(between(Some(last), None)).await, Vec::<String>::new());
    assert_eq!(ids(Between { after: Some(End::Tag("v2".to_owned())), ..between(None, None) }).await, ["3"]);
    let version = Version::Between(between(Some(first), Some(second)));
    assert_eq!(rows(&table, version, "SELECT id FROM t WHERE old IS NULL AND id > 0").await, ["2"], "in the columns of its end");
    let version = Version::Between(between(Some(first), None));
    assert_eq!(rows(&table, version, "SELECT count(new), count(*), min(id) FROM t").await, ["0|2|2"], "metadata counts the range only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_none_is_refused_with_the_way_out() {
    let mut table = History::new(schema("old"), &[], FormatVersion::V2);
    let first = add(&mut table, 1, Operation::Append).await;
    let second = add(&mut table, 2, Operation::Append).await;
    let overwrite = add(&mut table, 3, Operation::Overwrite).await;
    let last = add(&mut table, 4, Operation::Append).await;
    let refused = |table: &History, between: Between| {
        let told = table.session(Version::Between(between), 1).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("'c.d.t'"), "{told}");
        told
    };
    let unknown = refused(&table, between(Some(5), None));
    assert!(unknown.contains("no snapshot 5") && unknown.contains("$snapshots"), "{unknown}");
    let backwards = refused(&table, between(Some(second), Some(first)));
    assert!(backwards.contains(&format!("snapshot {second} is no ancestor of snapshot {first}")), "{backwards}");
    let overwritten = refused(&table, between(Some(first), None));
    assert!(overwritten.contains(&format!("snapshot {overwrite}")) && overwritten.contains("'streaming.skip-overwrite-snapshots'"), "{overwritten}");
    let skipping = Between { skip_overwrites: true, ..between(Some(first), None) };
    assert_eq!(rows(&table, Version::Between(skipping), "SELECT id FROM t").await, ["2", "4"]);
    table.change(|builder| Ok(builder.remove_snapshots(&[second])));
    let gap = refused(&table, between(Some(first), Some(last)));
    assert!(gap.contains("expired") && gap.contains(&format!("'start-snapshot-id' = '{overwrite}'")), "{gap}");
    let beginning = refused(&table, between(None, Some(last)));
    assert!(beginning.contains("has expired"), "{beginning}");
}
