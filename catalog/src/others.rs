//! What other engines write, and the format allows, but the crate refuses: put into words that it takes.
//!
//! - A table that grew out of format 1 keeps its snapshots without a sequence number, which is then 0 ("Sequence Numbers" of the table
//!   specification).
//! - Format 1 drops a partition field by making it `void` under its old name, which the source column has too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, TableMetadata};
use serde_json::{Value, json};

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
    let mut rest = file;
    let mut entries = AvroHead::read(&mut rest)?;
    let spec: Vec<Value> = serde_json::from_slice(entries.0.get("partition-spec")?).ok()?;
    let mut schema: Value = serde_json::from_slice(entries.0.get("schema")?).ok()?;
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
    entries.0.insert("schema".to_owned(), serde_json::to_vec(&schema).ok()?);
    renamed.then(|| [entries.written(), rest.to_vec()].concat())
}

/// The metadata at the head of an Avro container file ("Object Container Files" of the Avro specification).
struct AvroHead(HashMap<String, Vec<u8>>);

const MAGIC: &[u8] = b"Obj\x01";

impl AvroHead {
    /// Takes the head off the file; what is left begins with the sync marker.
    fn read(file: &mut &[u8]) -> Option<Self> {
        *file = file.strip_prefix(MAGIC)?;
        let mut entries = HashMap::new();
        loop {
            let count = long(file)?;
            if count == 0 {
                return Some(Self(entries));
            }
            if count < 0 {
                // A negative count is followed by the size of the block.
                long(file)?;
            }
            for _ in 0..count.unsigned_abs() {
                let key = String::from_utf8(bytes(file)?.to_vec()).ok()?;
                entries.insert(key, bytes(file)?.to_vec());
            }
        }
    }

    fn written(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        write_long(self.0.len(), &mut file);
        for (key, value) in &self.0 {
            for part in [key.as_bytes(), value] {
                write_long(part.len(), &mut file);
                file.extend_from_slice(part);
            }
        }
        write_long(0, &mut file);
        file
    }
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    None
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(long(rest)?).ok()?;
    let (found, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(found)
}

/// Writes a count: a long that is not negative.
fn write_long(count: usize, file: &mut Vec<u8>) {
    let mut number = (count as u64) << 1;
    while number >= 0x80 {
        file.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    file.push(number as u8);
}
