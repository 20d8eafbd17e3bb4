//! Table metadata files: reading them, naming and writing the next one, deleting those that a commit retires.
//!
//! A metadata file never changes once it is written, so the last one of each table is kept in memory by its location, or by its content where another
//! may get the same name.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataBuilder, TableMetadataRef};
use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
use uuid::Uuid;
use weir_base::ErrorKind;

use crate::commit::read_file;
use crate::error::CatalogError;
use crate::lake::{LakeTable, TableId};
use crate::metadata_text::LastText;
use crate::others;

const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";
pub(crate) const METADATA_PATH: &str = "write.metadata.path";
/// How the name of a metadata file ends.
pub(crate) const METADATA: &str = ".metadata.json";

/// The metadata files of a catalog whose tables are pointers to them.
#[derive(Debug)]
pub(crate) struct MetadataFiles {
    /// Name of the catalog.
    catalog: Arc<str>,
    file_io: FileIO,
    /// Whether the file of a name is always the same.
    cached: bool,
    last: Mutex<HashMap<TableId, Last>>,
    texts: Mutex<HashMap<TableId, LastText>>,
}

/// The last metadata file of a table that was read or written.
#[derive(Debug)]
struct Last {
    location: String,
    /// Where the name alone does not tell.
    content: Option<Bytes>,
    metadata: TableMetadataRef,
}

/// What a commit makes of a table.
#[derive(Debug)]
pub(crate) struct NextVersion {
    /// Metadata after the commit.
    pub(crate) metadata: TableMetadataRef,
    /// What made it of the metadata before.
    updates: Vec<TableUpdate>,
    /// Where it will be written.
    pub(crate) location: MetadataLocation,
    /// Metadata files that may be deleted once the commit stands.
    pub(crate) retired: Vec<String>,
}

impl MetadataFiles {
    /// Without `cached` a file is read each time, and kept to tell whether it is still the same.
    pub(crate) fn new(catalog: &str, file_io: FileIO, cached: bool) -> Self {
        Self { catalog: catalog.into(), file_io, cached, last: Mutex::default(), texts: Mutex::default() }
    }

    /// The table whose pointer is `location`.
    pub(crate) async fn read(&self, id: &TableId, location: String) -> Result<LakeTable, CatalogError> {
        if let Some(metadata) = self.remembered(id, |last| self.cached && last.location == location) {
            return Ok(self.table(id, metadata, location));
        }
        let content = match read_file(&self.file_io, &location).await {
            Ok(content) => content,
            Err(error) => return Err(self.unreadable(id, &location, error).await),
        };
        if let Some(metadata) = self.remembered(id, |last| last.content.as_ref() == Some(&content)) {
            return Ok(self.table(id, metadata, location));
        }
        let metadata = match others::metadata_of(&content) {
            Ok(metadata) => Arc::new(metadata),
            Err(error) => return Err(self.unreadable(id, &location, error).await),
        };
        let table = self.table(id, metadata, location);
        self.keep(&table, Some(content));
        Ok(table)
    }

    /// What is wrong with a metadata file that could not be read, and what can be done about it.
    async fn unreadable(&self, id: &TableId, location: &str, error: iceberg::Error) -> CatalogError {
        let what = format!("cannot read metadata file `{location}` of table `{}.{id}`", self.catalog);
        let error = CatalogError::iceberg(&what, error);
        if error.is_transient() {
            return error;
        }
        if self.is_missing(location).await {
            let message = format!("{what}: it is not there, though it is the one that the catalog names. {RESTORE}");
            return CatalogError::caused(ErrorKind::Corrupt, message, error);
        }
        let Ok(content) = read_file(&self.file_io, location).await else { return error };
        match flaw(&content) {
            Some((kind, flaw)) => CatalogError::caused(kind, format!("{what}: {flaw}"), error),
            None => error.with_note(RESTORE),
        }
    }

    async fn is_missing(&self, location: &str) -> bool {
        match self.file_io.new_input(location) {
            Ok(input) => matches!(input.exists().await, Ok(false)),
            Err(_) => false,
        }
    }

    /// Writes `metadata` to `location`; the table as it is once the pointer says so.
    pub(crate) async fn write(&self, id: &TableId, metadata: TableMetadata, location: &MetadataLocation) -> Result<LakeTable, CatalogError> {
        let what = || format!("cannot write metadata file `{location}` of table `{}.{id}`", self.catalog);
        metadata.write_to(&self.file_io, location).await.map_err(|error| CatalogError::iceberg(what(), error))?;
        Ok(self.table(id, Arc::new(metadata), location.to_string()))
    }

    /// Writes what a commit makes of `base` to its place; the table as it is once the pointer says so, and the content of the file.
    pub(crate) async fn write_next(&self, base: &LakeTable, next: &NextVersion) -> Result<(LakeTable, Bytes), CatalogError> {
        let (id, location) = (&base.id, &next.location);
        let what = || format!("cannot write metadata file `{location}` of table `{}.{id}`", self.catalog);
        let failed = |error| CatalogError::iceberg(what(), error);
        let mut content = self.text(base, next)?;
        if next.metadata.metadata_compression_codec().map_err(failed)?.suffix().is_ok_and(|suffix| suffix == ".gz") {
            content = packed(&content).map_err(|error| CatalogError::caused(ErrorKind::Internal, what(), error))?;
        }
        let output = self.file_io.new_output(location.to_string()).map_err(failed)?;
        output.write(content.clone()).await.map_err(failed)?;
        Ok((self.table(id, Arc::clone(&next.metadata), location.to_string()), content))
    }

    /// The text of the version that a commit makes of `base`.
    pub(crate) fn text(&self, base: &LakeTable, next: &NextVersion) -> Result<Bytes, CatalogError> {
        let last = self.texts.lock().unwrap_or_else(PoisonError::into_inner).remove(&base.id);
        let (last, text) = LastText::next(last, &base.metadata, &next.updates, &next.metadata)?;
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(base.id.clone(), last);
        Ok(text.into())
    }

    /// Remembers a table that is known to be current, with the content of its file if that is known.
    pub(crate) fn keep(&self, table: &LakeTable, content: Option<Bytes>) {
        let (location, metadata) = (table.metadata_location.clone(), Arc::clone(&table.metadata));
        let last = Last { location, content: content.filter(|_| !self.cached), metadata };
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(table.id.clone(), last);
    }

    /// Deletes files by name; a file that cannot be deleted is left behind with a warning.
    pub(crate) async fn delete(&self, paths: &[String]) {
        delete_files(&self.file_io, paths).await;
    }

    fn table(&self, id: &TableId, metadata: TableMetadataRef, metadata_location: String) -> LakeTable {
        LakeTable { catalog: Arc::clone(&self.catalog), id: id.clone(), metadata, metadata_location, file_io: self.file_io.clone() }
    }

    fn remembered(&self, id: &TableId, is_it: impl Fn(&Last) -> bool) -> Option<TableMetadataRef> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(id).filter(|last| is_it(last)).map(|last| Arc::clone(&last.metadata))
    }
}

fn packed(text: &[u8]) -> std::io::Result<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text)?;
    Ok(packer.finish()?.into())
}

/// What can be done about a metadata file that is gone or damaged.
const RESTORE: &str = "Restore the file from a copy; or drop the table, which leaves its files, and register an older metadata file of its folder \
     with an engine that can";

/// What is wrong with the content of a metadata file, if it can be told: no JSON, or a format that is not read.
fn flaw(content: &[u8]) -> Option<(ErrorKind, String)> {
    match serde_json::from_slice(content) {
        Ok(json) => newer_format(&json).map(|what| (ErrorKind::User, what)),
        // Packed with gzip.
        Err(_) if content.starts_with(&[0x1f, 0x8b]) => None,
        Err(error) if error.is_eof() => Some((ErrorKind::Corrupt, format!("it ends early, after {} bytes. {RESTORE}", content.len()))),
        Err(error) => Some((ErrorKind::Corrupt, format!("it is no JSON ({error}). {RESTORE}"))),
    }
}

/// That table metadata is of a format version which is not read.
pub(crate) fn newer_format(json: &serde_json::Value) -> Option<String> {
    let version = json.get("format-version")?.as_u64()?;
    (version > NEWEST).then(|| {
        format!(
            "the table is of format version {version}, and versions up to {NEWEST} are read. Read it by an engine that knows version {version}, or have it \
             written anew in version 2 or 3 there"
        )
    })
}

/// The newest format version that is read.
const NEWEST: u64 = 3;

/// Deletes files by name, a few at a time; a file that cannot be deleted is left behind with a warning.
pub(crate) async fn delete_files(file_io: &FileIO, paths: &[String]) {
    let deletions = paths.iter().cloned().map(|path| delete_file(file_io.clone(), path));
    futures::stream::iter(deletions).buffer_unordered(8).collect::<()>().await;
}

async fn delete_file(file_io: FileIO, path: String) {
    if let Err(error) = file_io.delete(&path).await {
        tracing::warn!(%path, %error, "file could not be deleted and is left behind");
    }
}

/// Checks `requirements` against `base` and applies `updates` to it.
///
/// # Errors
/// [`CatalogError::Conflict`] if a requirement fails; an internal error if an update cannot be applied.
pub(crate) fn next_version(base: &LakeTable, requirements: &[TableRequirement], updates: Vec<TableUpdate>) -> Result<NextVersion, CatalogError> {
    for requirement in requirements {
        requirement
            .check(Some(&base.metadata))
            .map_err(|error| CatalogError::Conflict(format!("table `{}` has changed: {}", base.name(), error.message())))?;
    }
    let refused = |error: iceberg::Error| {
        CatalogError::caused(ErrorKind::Internal, format!("table `{}` refused an update: {}", base.name(), error.message()), error)
    };
    let named_after = updates.iter().find_map(|update| match update {
        TableUpdate::AddSnapshot { snapshot } => Some(snapshot.snapshot_id()),
        TableUpdate::RemoveSnapshots { snapshot_ids } => snapshot_ids.first().copied(),
        _ => None,
    });
    let start = TableMetadataBuilder::new_from_metadata((*base.metadata).clone(), Some(base.metadata_location.clone()));
    let builder = updates.iter().cloned().try_fold(start, |builder, update| update.apply(builder)).map_err(refused)?;
    let built = builder.build().map_err(refused)?;
    let location = location_of(&built.metadata, version_of(&base.metadata_location) + 1, named_after.map_or_else(Uuid::new_v4, uuid_for))?;
    let retired = if deletes_old_metadata(&built.metadata) {
        built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect()
    } else {
        Vec::new()
    };
    Ok(NextVersion { metadata: Arc::new(built.metadata), updates, location, retired })
}

/// Whether metadata files are deleted that leave the table's log of them.
pub(crate) fn deletes_old_metadata(metadata: &TableMetadata) -> bool {
    metadata.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A name for version `version` of `metadata`; `uuid` makes it differ from every other.
pub(crate) fn location_of(metadata: &TableMetadata, version: i32, uuid: Uuid) -> Result<MetadataLocation, CatalogError> {
    let directory = metadata_directory(metadata);
    let location = |directory: &str| format!("{directory}/{version:05}-{uuid}.metadata.json").parse::<MetadataLocation>();
    location(&directory)
        .or_else(|_not_named_metadata| location(&format!("{}/metadata", metadata.location())))
        .map(|location| location.with_new_metadata(metadata))
        .map_err(|error| CatalogError::iceberg(format!("no name for the metadata of `{}`", metadata.location()), error))
}

/// A UUID for the names of what one try to commit a snapshot writes: the first half is the snapshot's id, by which recovery knows the files of
/// tries that were cut off ([`snapshot_in`]); the second is chance, so that no two tries write the same file.
pub(crate) fn uuid_for(snapshot_id: i64) -> Uuid {
    Uuid::from_u64_pair(snapshot_id.cast_unsigned(), Uuid::new_v4().as_u64_pair().1)
}

/// The snapshot that a manifest, manifest list or metadata file was written for, by the file's name; nonsense for a file of another writer.
pub(crate) fn snapshot_in(name: &str) -> Option<i64> {
    let uuid = match (name.strip_suffix(METADATA), name.strip_suffix(".avro")) {
        (Some(stem), _) => stem.strip_suffix(".gz").unwrap_or(stem).split_once('-')?.1,
        (None, Some(stem)) => match stem.strip_prefix("snap-") {
            Some(rest) => rest.get(rest.len().checked_sub(36)?..)?,
            None => stem.rsplit_once("-m")?.0,
        },
        (None, None) => return None,
    };
    Some(Uuid::try_parse(uuid).ok()?.as_u64_pair().0.cast_signed())
}

/// The last part of a path. Names of metadata files hold a UUID, so they tell files apart however the path before them is written.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The folder of a table's metadata, manifests and manifest lists.
pub(crate) fn metadata_directory(metadata: &TableMetadata) -> String {
    match metadata.properties().get(METADATA_PATH) {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/metadata", metadata.location()),
    }
}

/// The version in the name of a metadata file: `00003-<uuid>.metadata.json` and Hadoop's `v3.metadata.json`; 0 for any other name.
pub(crate) fn version_of(location: &str) -> i32 {
    let name = file_name(location);
    let name = name.strip_prefix('v').unwrap_or(name);
    let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    name[..digits].parse().unwrap_or(0)
}

/// Whether a metadata file has a name that a catalog gives to versions, ours or Hadoop's, and not one that somebody has chosen.
pub(crate) fn has_version(name: &str) -> bool {
    let hadoop = || {
        let stem = name.strip_prefix('v')?.strip_suffix(METADATA)?;
        Some(stem.strip_suffix(".gz").unwrap_or(stem))
    };
    snapshot_in(name).is_some() || hadoop().is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_the_snapshot_that_it_was_written_for() {
        let uuid = uuid_for(0x1234_5678_9abc_def0);
        assert_ne!(uuid, uuid_for(0x1234_5678_9abc_def0), "another try writes other files");
        for name in [format!("{uuid}-m12.avro"), format!("snap-1311768467463790320-0-{uuid}.avro"), format!("00012-{uuid}.metadata.json")] {
            assert_eq!(snapshot_in(&name), Some(0x1234_5678_9abc_def0), "{name}");
        }
        for name in ["", "-m.avro", "snap-.avro", "snap-1-0-x.avro", "v3.metadata.json", "00001-x.metadata.json", "stats.puffin", "x-m0.avro"] {
            assert_eq!(snapshot_in(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_metadata_file_is_told() {
        for (content, kind, said) in [
            (r#"{"format-version": 2, "loc"#, ErrorKind::Corrupt, "ends early, after 26 bytes"),
            ("", ErrorKind::Corrupt, "ends early"),
            ("<html>", ErrorKind::Corrupt, "no JSON"),
            (r#"{"format-version": 4}"#, ErrorKind::User, "format version 4, and versions up to 3 are read"),
        ] {
            let (found, told) = flaw(content.as_bytes()).expect("wrong");
            assert!(found == kind && told.contains(said), "{told}");
        }
        assert_eq!(flaw(br#"{"format-version": 2}"#), None, "for the crate to say");
    }

    #[test]
    fn the_version_is_read_from_every_known_name() {
        for (name, version) in [("a/metadata/00012-x.metadata.json", 12), ("v7.metadata.json", 7), ("a/b/final.json", 0), ("", 0)] {
            assert_eq!(version_of(name), version, "{name}");
        }
    }
}
