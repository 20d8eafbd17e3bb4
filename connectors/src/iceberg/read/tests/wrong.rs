//! Input that goes wrong: the message names the table and the file and says what can be done, and the process lives on.

use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, FormatVersion, MAIN_BRANCH, NestedField, PrimitiveType, Schema, Snapshot, Struct, Type,
};
use object_store::ObjectStoreExt;
use serde_json::json;

use super::history::{History, batch};

fn schema() -> Schema {
    let id = Arc::new(NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long)));
    Schema::builder().with_fields(vec![id]).build().expect("schema")
}

async fn failure(table: &History) -> String {
    let error = table.try_query("SELECT sum(id) FROM t").await.expect_err("wrong");
    let text = error.to_string();
    assert!(text.contains("'c.d.t'"), "{text}");
    text
}

async fn one_file() -> (History, String) {
    let mut table = History::new(schema(), &[], FormatVersion::V2);
    let file = table.write(&batch(&schema(), &[json!({"id": 1})]), Struct::empty(), 10).await;
    let path = file.file_path().to_owned();
    table.commit(vec![file], Vec::new()).await;
    (table, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_data_file_is_named() {
    let (table, path) = one_file().await;
    let location = table.file_systems.resolve(&path).expect("resolves");
    location.store.delete(&location.path).await.expect("deleted");
    let text = failure(&table).await;
    assert!(text.contains(&path) && text.contains("missing from the store") && text.contains("$snapshots"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_footer_is_told_from_a_missing_file() {
    let (table, path) = one_file().await;
    let location = table.file_systems.resolve(&path).expect("resolves");
    let stored = location.store.get(&location.path).await.expect("there").bytes().await.expect("bytes");
    let mut damaged = stored.to_vec();
    let end = damaged.len();
    damaged[end - 40..end - 8].fill(0xff);
    location.store.put(&location.path, damaged.into()).await.expect("stored");
    let text = failure(&table).await;
    assert!(text.contains(&path) && text.contains("no Parquet file that can be read"), "{text}");
    location.store.put(&location.path, stored.into()).await.expect("stored");
    assert_eq!(table.rows("SELECT sum(id) FROM t").await, ["1"], "the process lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_named() {
    let (table, _) = one_file().await;
    let snapshot = table.metadata.current_snapshot().expect("snapshot").clone();
    let manifests = weir_catalog::read::manifests(&table.table(), &snapshot).await.expect("list");
    let manifest = manifests[0].manifest_path.clone();
    std::fs::write(manifest.strip_prefix("file://").expect("local"), b"Obj\x01 no more").expect("written");
    let text = failure(&table).await;
    assert!(text.contains(&manifest) && text.contains("Restore the file"), "{text}");
    let list = snapshot.manifest_list().strip_prefix("file://").expect("local").to_owned();
    std::fs::remove_file(&list).expect("removed");
    let text = failure(&table).await;
    assert!(text.contains(&list), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_cut_off_is_named_and_the_whole_table_is_read_again_once_it_is_whole() {
    let (table, _) = one_file().await;
    let snapshot = table.metadata.current_snapshot().expect("snapshot").clone();
    let manifests = weir_catalog::read::manifests(&table.table(), &snapshot).await.expect("list");
    for path in [manifests[0].manifest_path.as_str(), snapshot.manifest_list()] {
        let file = path.strip_prefix("file://").expect("local");
        let whole = std::fs::read(file).expect("read");
        std::fs::write(file, &whole[..whole.len() - 20]).expect("written");
        let text = failure(&table).await;
        assert!(text.contains(path) && text.contains("Restore the file") && text.contains("$snapshots"), "{text}");
        std::fs::write(file, &whole).expect("written");
        assert_eq!(table.rows("SELECT sum(id) FROM t").await, ["1"], "the process lives on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_cut_off_between_its_blocks_is_named() {
    let (table, _) = one_file().await;
    let snapshot = table.metadata.current_snapshot().expect("snapshot").clone();
    let manifests = weir_catalog::read::manifests(&table.table(), &snapshot).await.expect("list");
    let file = manifests[0].manifest_path.strip_prefix("file://").expect("local");
    let whole = std::fs::read(file).expect("read");
    // What ends the head ends every block.
    let marker = &whole[whole.len() - 16..];
    let head = whole.windows(16).position(|window| window == marker).expect("a head") + 16;
    std::fs::write(file, &whole[..head]).expect("written");
    let text = failure(&table).await;
    assert!(text.contains(file) && text.contains("it has 0 live entries") && text.contains("Restore the file"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_metadata_is_refused_by_name() {
    let (mut table, _) = one_file().await;
    let manifest = table.encrypt_manifest();
    table.commit(Vec::new(), Vec::new()).await;
    let text = failure(&table).await;
    assert!(text.contains(&manifest) && text.contains("engine that has the table's keys"), "{text}");

    let last = table.metadata.current_snapshot().expect("snapshot").clone();
    let encrypted = Snapshot::builder()
        .with_snapshot_id(2_000)
        .with_parent_snapshot_id(Some(last.snapshot_id()))
        .with_sequence_number(table.metadata.next_sequence_number())
        .with_timestamp_ms(table.metadata.last_updated_ms() + 1_000)
        .with_manifest_list(last.manifest_list().to_owned())
        .with_summary(last.summary().clone())
        .with_schema_id(0)
        .with_encryption_key_id(Some("key".to_owned()))
        .build();
    table.change(|builder| builder.set_branch_snapshot(encrypted, MAIN_BRANCH));
    let text = failure(&table).await;
    assert!(text.contains(last.manifest_list()) && text.contains("engine that has the table's keys"), "{text}");
    assert!(weir_catalog::read::manifests(&table.table(), table.metadata.current_snapshot().expect("snapshot")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_other_formats_and_encrypted_ones_are_refused_by_name() {
    for (format, encrypted, said) in [
        (DataFileFormat::Orc, false, "only Parquet is read"),
        (DataFileFormat::Avro, false, "only Parquet is read"),
        (DataFileFormat::Parquet, true, "encrypted"),
    ] {
        let mut table = History::new(schema(), &[], FormatVersion::V2);
        let path = table.store(b"whatever".to_vec(), "other").await;
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data).file_path(path.clone()).file_format(format).partition(Struct::empty()).partition_spec_id(0);
        file.record_count(1).file_size_in_bytes(8);
        if encrypted {
            file.key_metadata(Some(vec![1, 2, 3]));
        }
        let file = file.build().expect("file");
        table.commit(vec![file], Vec::new()).await;
        let text = failure(&table).await;
        assert!(text.contains(&path) && text.contains(said), "{text}");
    }
}
