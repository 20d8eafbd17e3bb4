//! Files as other engines write them, where the crate alone would refuse.

use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Literal, ManifestWriterBuilder, NestedField, PartitionSpec, PrimitiveType, Schema, Struct, Type,
};
use serde_json::{Value, json};

use crate::others::{load_manifest, table_metadata};

fn metadata(version: u8) -> Value {
    let snapshot = |id: i64| json!({"snapshot-id": id, "timestamp-ms": id, "manifest-list": "memory:/list.avro", "summary": {"operation": "append"}, "schema-id": 0});
    let mut second = snapshot(2);
    second["sequence-number"] = json!(1);
    second["parent-snapshot-id"] = json!(1);
    json!({
        "format-version": version, "table-uuid": "755a4155-d769-4ff4-b90a-08809adde6c2", "location": "memory:/t", "last-sequence-number": 1,
        "last-updated-ms": 2, "last-column-id": 1, "current-schema-id": 0, "next-row-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "required": false, "type": "long"}]}],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999, "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}], "current-snapshot-id": 2, "snapshots": [snapshot(1), second],
    })
}

#[tokio::test]
async fn a_table_that_grew_out_of_format_1_is_read_with_its_first_snapshots() {
    let io = FileIO::new_with_memory();
    for version in [2, 3] {
        let mut file = metadata(version);
        io.new_output("memory:/m.json").unwrap().write(file.to_string().into()).await.unwrap();
        let read = table_metadata(&io, "memory:/m.json").await.unwrap();
        let numbers: Vec<i64> = [1, 2].iter().map(|id| read.snapshot_by_id(*id).unwrap().sequence_number()).collect();
        assert_eq!(numbers, [0, 1]);
        file["schemas"] = json!("nothing");
        io.new_output("memory:/m.json").unwrap().write(file.to_string().into()).await.unwrap();
        table_metadata(&io, "memory:/m.json").await.unwrap_err();
    }
}

#[tokio::test]
async fn a_partition_field_that_format_1_dropped_may_have_the_name_of_its_column() {
    let io = FileIO::new_with_memory();
    let column = |id, name: &str| Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Int)));
    let schema = Arc::new(Schema::builder().with_fields([column(1, "id"), column(2, "p")]).build().unwrap());
    let spec: PartitionSpec = serde_json::from_value(json!({
        "spec-id": 1, "fields": [{"source-id": 2, "field-id": 1000, "name": "p", "transform": "void"}, {"source-id": 1, "field-id": 1001, "name": "id", "transform": "identity"}]
    }))
    .unwrap();
    let output = io.new_output("memory:/m0.avro").unwrap();
    let mut writer = ManifestWriterBuilder::new(output, Some(7), schema, spec).build_v1();
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path("memory:/a.parquet".to_owned())
        .file_format(DataFileFormat::Parquet)
        .file_size_in_bytes(10)
        .record_count(3)
        .partition_spec_id(1)
        .partition(Struct::from_iter([None, Some(Literal::int(5))]))
        .build()
        .unwrap();
    writer.add_file(file, 0).unwrap();
    let manifest = writer.write_manifest_file().await.unwrap();

    manifest.load_manifest(&io).await.expect_err("the crate takes exception to the name; once it does not, ours is of no more use");
    let loaded = load_manifest(&io, &manifest).await.unwrap();
    let [entry] = loaded.entries() else { panic!("one entry") };
    assert_eq!((entry.file_path(), entry.snapshot_id(), entry.sequence_number()), ("memory:/a.parquet", Some(7), Some(0)));
    assert_eq!(entry.data_file().partition(), &Struct::from_iter([None, Some(Literal::int(5))]));

    let whole = io.new_input("memory:/m0.avro").unwrap().read().await.unwrap();
    let marker = &whole[whole.len() - 16..];
    let head = whole.windows(16).position(|window| window == marker).unwrap() + 16;
    io.new_output("memory:/m0.avro").unwrap().write(whole.slice(..head)).await.unwrap();
    let error = load_manifest(&io, &manifest).await.expect_err("its block is gone");
    assert!(error.message().contains("it has 0 live entries"), "{error}");

    io.new_output("memory:/m0.avro").unwrap().write("Obj\u{1}\u{2}".into()).await.unwrap();
    load_manifest(&io, &manifest).await.unwrap_err();
}
