//! An Iceberg table as the metastore keeps it: an external table whose parameters point to the metadata.
//!
//! What is written, and under which names, is what Iceberg's own Hive catalog writes, so that Hive, Spark and PyIceberg find all they look
//! for. Weir's markers stay in the metadata: they would grow the metastore's database with each commit.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
use serde::Serialize;

use super::thrift::Struct;
use super::types::columns;
use crate::lake::{LakeTable, TableId};

pub(super) const METADATA_LOCATION: &str = "metadata_location";
const PREVIOUS_LOCATION: &str = "previous_metadata_location";
const TABLE_TYPE: &str = "table_type";
const STORAGE_HANDLER: &str = "storage_handler";
const HANDLER: &str = "org.apache.iceberg.mr.hive.HiveIcebergStorageHandler";

/// The table property that makes a table one that Hive itself can query.
const ENGINE_ENABLED: &str = "engine.hive.enabled";

/// A value longer than this is left out: databases of metastores are limited.
const LONGEST: usize = 32_672;

/// Fields of the metastore's table.
mod field {
    pub(super) const NAME: i16 = 1;
    pub(super) const DATABASE: i16 = 2;
    pub(super) const OWNER: i16 = 3;
    pub(super) const CREATED: i16 = 4;
    pub(super) const ACCESSED: i16 = 5;
    pub(super) const RETENTION: i16 = 6;
    pub(super) const STORAGE: i16 = 7;
    pub(super) const PARTITION_KEYS: i16 = 8;
    pub(super) const PARAMETERS: i16 = 9;
    pub(super) const TYPE: i16 = 12;
}

/// Where the metadata of a table of the metastore is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    To(String),
    /// It is a table of another kind.
    NotIceberg,
}

/// The pointer of a table.
pub(super) fn pointer(table: &Struct) -> Pointer {
    let mut parameters = table.map(field::PARAMETERS);
    match parameters.remove(METADATA_LOCATION) {
        Some(location) if is_iceberg(table) => Pointer::To(location),
        _ => Pointer::NotIceberg,
    }
}

/// Whether a table of the metastore is an Iceberg table.
pub(super) fn is_iceberg(table: &Struct) -> bool {
    table.map(field::PARAMETERS).get(TABLE_TYPE).is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg"))
}

/// The name of a table of the metastore.
pub(super) fn name(table: &Struct) -> Option<&str> {
    table.text(field::NAME)
}

/// A new table of the metastore, made at `seconds` after 1970.
pub(super) fn made(id: &TableId, table: &LakeTable, owner: &str, seconds: i32) -> Struct {
    let external = BTreeMap::from([("EXTERNAL".to_owned(), "TRUE".to_owned())]);
    Struct::new()
        .with(field::NAME, id.table.as_str())
        .with(field::DATABASE, id.database.as_str())
        .with(field::OWNER, owner)
        .with(field::CREATED, seconds)
        .with(field::ACCESSED, seconds)
        .with(field::RETENTION, i32::MAX)
        .with(field::STORAGE, storage(&table.metadata))
        .with(field::PARTITION_KEYS, Vec::<Struct>::new())
        .with(field::PARAMETERS, &parameters(external, None, table))
        .with(field::TYPE, "EXTERNAL_TABLE")
}

/// The table of the metastore after a commit that made `next` of `base`; what else it says stays.
pub(super) fn changed(mut table: Struct, base: &LakeTable, next: &LakeTable) -> Struct {
    let parameters = parameters(table.map(field::PARAMETERS), Some(base), next);
    table.set(field::PARAMETERS, &parameters);
    table.set(field::STORAGE, storage(&next.metadata));
    table
}

fn hive_can_query(metadata: &TableMetadata) -> bool {
    metadata.properties().get(ENGINE_ENABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The parameters that say where the metadata is and, for those who only look here, what stands in it.
fn parameters(mut parameters: BTreeMap<String, String>, base: Option<&LakeTable>, next: &LakeTable) -> BTreeMap<String, String> {
    let metadata = &next.metadata;
    if let Some(base) = base {
        base.metadata.properties().keys().filter(|key| !metadata.properties().contains_key(*key)).for_each(|key| {
            parameters.remove(hive_key(key));
        });
    }
    let shown = metadata.properties().iter().filter(|(key, value)| !key.starts_with("weir.") && value.len() <= LONGEST);
    parameters.extend(shown.map(|(key, value)| (hive_key(key).to_owned(), value.clone())));
    let snapshot = metadata.current_snapshot();
    let total = |key: &str| snapshot.and_then(|snapshot| snapshot.summary().additional_properties.get(key).cloned());
    let partitioned = (!metadata.default_partition_spec().is_unpartitioned()).then(|| text_of(metadata.default_partition_spec())).flatten();
    let sorted = (!metadata.default_sort_order().is_unsorted()).then(|| text_of(metadata.default_sort_order())).flatten();
    let facts = [
        ("uuid", Some(metadata.uuid().to_string())),
        (TABLE_TYPE, Some("ICEBERG".to_owned())),
        (METADATA_LOCATION, Some(next.metadata_location.clone())),
        (PREVIOUS_LOCATION, base.map(|base| base.metadata_location.clone())),
        (STORAGE_HANDLER, hive_can_query(metadata).then(|| HANDLER.to_owned())),
        ("numFiles", total("total-data-files")),
        ("numRows", total("total-records")),
        ("totalSize", total("total-files-size")),
        ("snapshot-count", Some(metadata.snapshots().len().to_string())),
        ("current-snapshot-id", snapshot.map(|snapshot| snapshot.snapshot_id().to_string())),
        ("current-snapshot-timestamp-ms", snapshot.map(|snapshot| snapshot.timestamp_ms().to_string())),
        ("current-snapshot-summary", snapshot.and_then(|snapshot| text_of(&snapshot.summary().additional_properties))),
        ("current-schema", text_of(metadata.current_schema())),
        ("default-partition-spec", partitioned),
        ("default-sort-order", sorted),
    ];
    for (key, value) in facts {
        match value.filter(|value| value.len() <= LONGEST) {
            Some(value) => parameters.insert(key.to_owned(), value),
            None => parameters.remove(key),
        };
    }
    parameters
}

/// Iceberg's name of a table property in Hive's words.
fn hive_key(key: &str) -> &str {
    if key == "gc.enabled" { "external.table.purge" } else { key }
}

fn text_of<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// Columns, place and, for those who read without Iceberg, formats that read nothing.
fn storage(metadata: &TableMetadata) -> Struct {
    let (input, output, serde) = if hive_can_query(metadata) {
        (
            "org.apache.iceberg.mr.hive.HiveIcebergInputFormat",
            "org.apache.iceberg.mr.hive.HiveIcebergOutputFormat",
            "org.apache.iceberg.mr.hive.HiveIcebergSerDe",
        )
    } else {
        (
            "org.apache.hadoop.mapred.FileInputFormat",
            "org.apache.hadoop.mapred.FileOutputFormat",
            "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        )
    };
    let nothing = BTreeMap::new();
    Struct::new()
        .with(1, columns(metadata.current_schema()))
        .with(2, metadata.location())
        .with(3, input)
        .with(4, output)
        .with(5, false)
        .with(6, 0)
        .with(7, Struct::new().with(2, serde).with(3, &nothing))
        .with(8, &[] as &[String])
        .with(9, Vec::<Struct>::new())
        .with(10, &nothing)
}

#[cfg(test)]
mod tests {
    use iceberg::TableUpdate;

    use super::*;
    use crate::tests::support::{create, memory, table_id};

    async fn table(properties: &[(&str, &str)]) -> LakeTable {
        create(&memory(), properties).await
    }

    #[tokio::test]
    async fn a_new_table_says_what_other_engines_look_for() {
        let table = table(&[("gc.enabled", "false")]).await;
        let made = made(&table_id(), &table, "amy", 7);
        let parameters = made.map(field::PARAMETERS);
        for (key, value) in [("EXTERNAL", "TRUE"), ("table_type", "ICEBERG"), ("external.table.purge", "false"), ("snapshot-count", "0")] {
            assert_eq!(parameters.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!parameters.contains_key("previous_metadata_location") && !parameters.contains_key(STORAGE_HANDLER));
        assert_eq!(parameters["uuid"], table.metadata.uuid().to_string());
        assert_eq!((pointer(&made), made.text(field::TYPE)), (Pointer::To(table.metadata_location.clone()), Some("EXTERNAL_TABLE")));
        let schema: serde_json::Value = serde_json::from_str(&parameters["current-schema"]).expect("json");
        assert_eq!(schema["fields"][0]["name"], "id");
    }

    #[tokio::test]
    async fn a_commit_moves_the_pointer_and_keeps_what_it_does_not_know() {
        let catalog = memory();
        let marker = TableUpdate::SetProperties { updates: [("weir.job.out.cut".to_owned(), "{}".to_owned())].into() };
        let made_first = create(&catalog, &[("commit.retry.num-retries", "3")]).await;
        let base = catalog.commit(&made_first, Vec::new(), vec![marker]).await.expect("marked");
        let mut before = made(&table_id(), &base, "amy", 7).with(99, "of a newer server");
        let mut parameters = before.map(field::PARAMETERS);
        assert!(!parameters.contains_key("weir.job.out.cut"), "markers stay in the metadata");
        parameters.insert("owner.note".to_owned(), "mine".to_owned());
        before.set(field::PARAMETERS, &parameters);
        let mut next = table(&[(ENGINE_ENABLED, "true")]).await;
        next.metadata_location = "memory:///next".to_owned();
        let after = changed(before, &base, &next);
        let parameters = after.map(field::PARAMETERS);
        let expected = [
            (METADATA_LOCATION, Some("memory:///next")),
            (PREVIOUS_LOCATION, Some(base.metadata_location.as_str())),
            ("owner.note", Some("mine")),
            ("commit.retry.num-retries", None),
            (STORAGE_HANDLER, Some(HANDLER)),
        ];
        for (key, value) in expected {
            assert_eq!(parameters.get(key).map(String::as_str), value, "{key}");
        }
        assert_eq!((after.text(99), after.text(field::OWNER)), (Some("of a newer server"), Some("amy")));
    }

    #[test]
    fn another_kind_of_table_is_no_pointer() {
        let parameters = BTreeMap::from([(METADATA_LOCATION.to_owned(), "x".to_owned())]);
        assert_eq!(pointer(&Struct::new().with(field::PARAMETERS, &parameters)), Pointer::NotIceberg);
    }
}
