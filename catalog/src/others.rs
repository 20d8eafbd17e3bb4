//! What other engines write, and the format allows, but the crate refuses: put into words that it takes.
//!
//! - A table that grew out of format 1 keeps its snapshots without a sequence number, which is then 0 ("Sequence Numbers" of the table
//!   specification).
//! - Format 1 drops a partition field by making it `void` under its old name, which the source column has too.

use std::borrow::Cow;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, TableMetadata};
use serde_json::{Value, json};

use crate::avro::{read_head, write_head};
use crate::read::live_count;

/// The metadata of a table in the file `location`.
///
/// # Errors
/// The store's, or what the crate says of the file.
pub(crate) async fn table_metadata(file_io: &FileIO, location: &str) -> iceberg::Result<TableMetadata> {
    metadata_of(&file_io.new_input(location)?.read().await?)
}

/// The metadata that a file with this content holds.
///
/// # Errors
/// What the crate says of the file.
pub(crate) fn metadata_of(content: &[u8]) -> iceberg::Result<TableMetadata> {
    let damaged = |error| iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "the file cannot be unpacked").with_source(error);
    let text = unpacked(content).map_err(damaged)?;
    let refused = match serde_json::from_slice(&text) {
        Ok(metadata) => return Ok(metadata),
        Err(refused) => refused,
    };
    let Ok(mut json) = serde_json::from_slice(&text) else { return Err(refused.into()) };
    if number_snapshots(&mut json) { Ok(serde_json::from_value(json)?) } else { Err(refused.into()) }
}

/// The content of a manifest, with what its entries inherit from the manifest list.
///
/// # Errors
/// The store's, what the crate says of the file, or files that are not in it though the manifest list has them.
pub(crate) async fn load_manifest(file_io: &FileIO, manifest: &ManifestFile) -> iceberg::Result<Manifest> {
    let loaded = match manifest.load_manifest(file_io).await {
        Err(error) if error.kind() == iceberg::ErrorKind::DataInvalid && manifest.key_metadata.is_none() => {
            load_renamed(file_io, manifest, error).await?
        }
        loaded => loaded?,
    };
    whole(loaded, manifest)
}

/// The same of a manifest whose file has this content.
pub(crate) async fn manifest_of(content: Bytes, manifest: &ManifestFile) -> iceberg::Result<Manifest> {
    whole(read_content(content, manifest).await?, manifest)
}

async fn read_content(content: Bytes, manifest: &ManifestFile) -> iceberg::Result<Manifest> {
    let (memory, path) = (FileIO::new_with_memory(), "memory:/manifest.avro");
    memory.new_output(path)?.write(content).await?;
    ManifestFile { manifest_path: path.to_owned(), ..manifest.clone() }.load_manifest(&memory).await
}

/// The manifest, if all of it is there.
fn whole(loaded: Manifest, manifest: &ManifestFile) -> iceberg::Result<Manifest> {
    let (live, listed) = (loaded.entries().iter().filter(|entry| entry.is_alive()).count() as u64, live_count(manifest));
    if live < listed {
        let what = format!("the file is damaged: it has {live} live entries, and its manifest list says {listed}");
        return Err(iceberg::Error::new(iceberg::ErrorKind::DataInvalid, what));
    }
    Ok(loaded)
}

/// The content of a manifest that the crate has `refused`, with columns renamed.
async fn load_renamed(file_io: &FileIO, manifest: &ManifestFile, refused: iceberg::Error) -> iceberg::Result<Manifest> {
    let bytes = file_io.new_input(&manifest.manifest_path)?.read().await?;
    let Some(renamed) = rename_hidden_columns(&bytes) else { return Err(refused) };
    read_content(renamed.into(), manifest).await
}

fn unpacked(content: &[u8]) -> std::io::Result<Cow<'_, [u8]>> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(content));
    }
    let mut text = Vec::new();
    GzDecoder::new(content).read_to_end(&mut text)?;
    Ok(Cow::Owned(text))
}

/// Gives the snapshots of a table that was once of format 1 the sequence number 0; whether there were any.
pub(crate) fn number_snapshots(metadata: &mut Value) -> bool {
    if metadata.get("format-version").and_then(Value::as_u64) == Some(1) {
        return false;
    }
    let snapshots = metadata.get_mut("snapshots").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut);
    snapshots.filter(|snapshot| !snapshot.contains_key("sequence-number")).fold(false, |_, snapshot| {
        snapshot.insert("sequence-number".to_owned(), json!(0));
        true
    })
}

/// Renames the columns, in the schema that the head of a manifest has a copy of, behind whose names partition fields hide. `None` if there
/// are none, or if the file has no such head. Nothing else refers to these names: entries go by field id.
fn rename_hidden_columns(file: &[u8]) -> Option<Vec<u8>> {
    let (mut head, behind) = read_head(file).ok()?;
    let spec: Vec<Value> = serde_json::from_slice(head.get("partition-spec")?).ok()?;
    let mut schema: Value = serde_json::from_slice(head.get("schema")?).ok()?;
    let mut renamed = false;
    for column in schema.get_mut("fields")?.as_array_mut()? {
        let (id, name) = (column.get("id")?.as_i64()?, column.get("name")?.as_str()?.to_owned());
        let hides = |field: &Value| {
            let own =
                field.get("transform").and_then(Value::as_str) == Some("identity") && field.get("source-id").and_then(Value::as_i64) == Some(id);
            field.get("name").and_then(Value::as_str) == Some(&name) && !own
        };
        if spec.iter().any(hides) {
            *column.get_mut("name")? = json!(format!("{name} (column {id})"));
            renamed = true;
        }
    }
    let schema = serde_json::to_vec(&schema).ok()?;
    head.insert("schema", &schema);
    renamed.then(|| [write_head(&head), behind.rest().to_vec()].concat())
}
