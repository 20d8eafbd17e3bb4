//! Iceberg's `Storage` on [`FileSystems`], so that metadata takes the same road as data and checkpoints.
//!
//! A storage can be sent to another process. It carries the properties without secrets, and the names of the aliases through which bound
//! URIs are read back; the receiver has its own credentials. Within a process a registry hands back the very file systems, stores and
//! secrets included.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use iceberg::{Error, ErrorKind, Result};
use object_store::{MultipartUpload, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_base::Classified;
use weir_base::secret::is_sensitive_key;

use crate::error::{FsError, is_not_found};
use crate::file_systems::{FileSystems, Location};

/// A file is put whole up to this size, and in parts of this size beyond.
const PART: usize = 8 * 1024 * 1024;

/// The `FileIO` that takes all paths through `file_systems`.
pub(crate) fn file_io(file_systems: &FileSystems) -> FileIO {
    FileIOBuilder::new(Arc::new(WeirStorageFactory(Scope::of(file_systems)))).build()
}

/// File systems by the id under which this process knows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scope {
    id: Uuid,
    properties: BTreeMap<String, String>,
    #[serde(default)]
    through: Vec<String>,
}

fn scopes() -> &'static Mutex<HashMap<Uuid, FileSystems>> {
    static SCOPES: OnceLock<Mutex<HashMap<Uuid, FileSystems>>> = OnceLock::new();
    SCOPES.get_or_init(Mutex::default)
}

impl Scope {
    /// The scope of `file_systems`, the same each time.
    fn of(file_systems: &FileSystems) -> Self {
        let mut scopes = scopes().lock().unwrap_or_else(PoisonError::into_inner);
        let known = scopes.iter().find(|(_, known)| known.is_same(file_systems)).map(|(id, _)| *id);
        let id = known.unwrap_or_else(Uuid::new_v4);
        scopes.entry(id).or_insert_with(|| file_systems.clone());
        let shown = file_systems.properties().iter().filter(|(key, _)| !is_sensitive_key(key));
        let properties = shown.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { id, properties, through: file_systems.through() }
    }

    fn file_systems(&self) -> FileSystems {
        let mut scopes = scopes().lock().unwrap_or_else(PoisonError::into_inner);
        let anew = || FileSystems::new(self.properties.clone()).through_aliases(&self.through);
        scopes.entry(self.id).or_insert_with(anew).clone()
    }
}

/// Makes [`WeirStorage`] under the properties a catalog adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WeirStorageFactory(Scope);

#[typetag::serde]
impl StorageFactory for WeirStorageFactory {
    fn build(&self, config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        let file_systems = self.0.file_systems();
        let added: BTreeMap<String, String> = config.props().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let scope = if added.is_empty() { self.0.clone() } else { Scope::of(&file_systems.with_properties(&added)) };
        Ok(Arc::new(WeirStorage { file_systems: OnceLock::new(), scope }))
    }
}

/// All file systems of a scope as one Iceberg storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WeirStorage {
    scope: Scope,
    #[serde(skip)]
    file_systems: OnceLock<FileSystems>,
}

impl WeirStorage {
    fn resolve(&self, path: &str) -> Result<Location> {
        self.file_systems.get_or_init(|| self.scope.file_systems()).resolve(path).map_err(iceberg_error)
    }
}

fn iceberg_error(error: FsError) -> Error {
    let retryable = error.kind() == weir_base::ErrorKind::Transient;
    Error::new(ErrorKind::Unexpected, error.to_string()).with_source(error).with_retryable(retryable)
}

fn failed(doing: &'static str, uri: &str) -> impl FnOnce(object_store::Error) -> Error {
    let uri = uri.to_owned();
    move |error| iceberg_error(FsError::from_store(doing, &uri, error))
}

#[async_trait]
#[typetag::serde]
impl Storage for WeirStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let location = self.resolve(path)?;
        match location.store.head(&location.path).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(failed("looking for", path)(error)),
        }
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let location = self.resolve(path)?;
        let meta = location.store.head(&location.path).await.map_err(failed("looking at", path))?;
        Ok(FileMetadata { size: meta.size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let location = self.resolve(path)?;
        let found = location.store.get(&location.path).await.map_err(failed("reading", path))?;
        found.bytes().await.map_err(failed("reading", path))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader(self.resolve(path)?)))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut writer = Writer::new(self.resolve(path)?);
        writer.write(bytes).await?;
        writer.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(Writer::new(self.resolve(path)?)))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let location = self.resolve(path)?;
        location.store.delete(&location.path).await.map_err(failed("deleting", path))
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let location = self.resolve(path)?;
        let listed = location.store.list(Some(&location.path)).map(|item| item.map(|meta| meta.location)).boxed();
        let mut deleted = location.store.delete_stream(listed);
        while let Some(result) = deleted.next().await {
            result.map_err(failed("deleting", path))?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[derive(Debug)]
struct Reader(Location);

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.0.store.get_range(&self.0.path, range).await.map_err(failed("reading", &self.0.uri))
    }
}

/// Gathers parts; a file of one part is put whole.
#[derive(Debug)]
struct Writer {
    location: Location,
    buffer: BytesMut,
    upload: Option<Box<dyn MultipartUpload>>,
    closed: bool,
}

impl Writer {
    fn new(location: Location) -> Self {
        Self { location, buffer: BytesMut::new(), upload: None, closed: false }
    }

    async fn flush(&mut self, part: Bytes) -> object_store::Result<()> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.location.store.put_multipart(&self.location.path).await?),
        };
        upload.put_part(part.into()).await
    }

    async fn finish(&mut self) -> object_store::Result<()> {
        let last = self.buffer.split().freeze();
        if self.upload.is_none() {
            return self.location.store.put(&self.location.path, last.into()).await.map(|_| ());
        }
        if !last.is_empty() {
            self.flush(last).await?;
        }
        match &mut self.upload {
            Some(upload) => upload.complete().await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends the file after a failure: nothing of it stays.
    async fn give_up(&mut self) {
        self.closed = true;
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(uri = self.location.uri, %error, "upload could not be aborted");
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the file is closed")
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() > PART {
            let part = self.buffer.split_to(PART).freeze();
            if let Err(error) = self.flush(part).await {
                self.give_up().await;
                return Err(failed("writing", &self.location.uri)(error));
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        let finished = self.finish().await;
        if let Err(error) = finished {
            self.give_up().await;
            return Err(failed("writing", &self.location.uri)(error));
        }
        self.closed = true;
        self.upload = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn metadata_takes_the_road_of_the_file_systems() {
        let file_systems = FileSystems::default();
        let io = file_systems.file_io();
        let uri = "memory://iceberg-storage/table/metadata/v 1%.json";
        io.new_output(uri).expect("output").write(Bytes::from_static(b"{}")).await.expect("written");
        assert!(io.exists(uri).await.expect("asked"));
        assert_eq!(io.new_input(uri).expect("input").metadata().await.expect("head").size, 2);
        let location = file_systems.resolve(uri).expect("resolves");
        assert_eq!(location.store.get(&location.path).await.expect("get").bytes().await.expect("bytes"), "{}");
        io.delete_prefix("memory://iceberg-storage/table").await.expect("deleted");
        assert!(!io.exists(uri).await.expect("asked"));
        io.delete(uri).await.expect("what is not there may be deleted");
    }

    #[tokio::test]
    async fn a_big_file_is_written_in_parts_and_read_by_ranges() {
        let folder = tempfile::tempdir().expect("folder");
        let io = FileSystems::default().file_io();
        let uri = format!("file://{}/big", folder.path().display());
        let mut writer = io.new_output(&uri).expect("output").writer().await.expect("writer");
        for number in 0..20_u8 {
            writer.write(Bytes::from(vec![number; 1024 * 1024])).await.expect("write");
        }
        assert!(!io.exists(&uri).await.expect("asked"), "not visible before it is closed");
        writer.close().await.expect("closed");
        assert!(writer.close().await.is_err());
        let reader = io.new_input(&uri).expect("input").reader().await.expect("reader");
        let edge = reader.read(9 * 1024 * 1024 - 1..9 * 1024 * 1024 + 1).await.expect("range");
        assert_eq!(edge.as_ref(), [8, 9]);
    }

    #[tokio::test]
    async fn bound_uris_are_read_back_through_the_alias_here_and_in_another_process() {
        let folder = tempfile::tempdir().expect("folder");
        let properties = [("scheme", "file".to_owned()), ("root", folder.path().display().to_string())];
        let properties = properties.map(|(key, value)| (format!("fs.alias.lake.{key}"), value)).into();
        let view = FileSystems::new(properties).of_object(&BTreeMap::new(), Some("lake:///warehouse")).expect("right");
        let bound = view.for_metadata("lake:///warehouse/t/m.json").expect("bound");
        assert_eq!(bound, format!("file://{}/warehouse/t/m.json", folder.path().display()));
        let mut factory = WeirStorageFactory(Scope::of(&view));
        factory.build(&StorageConfig::new()).expect("builds").write(&bound, Bytes::from_static(b"1")).await.expect("written");
        assert_eq!(std::fs::read(folder.path().join("warehouse/t/m.json")).expect("there"), b"1");
        // Another process does not know the id.
        factory.0.id = Uuid::new_v4();
        let away = factory.build(&StorageConfig::new()).expect("builds");
        assert_eq!(away.read(&bound).await.expect("read"), "1");
        let outside = away.read("file:///etc/hostname").await.expect_err("outside").to_string();
        assert!(outside.contains("Alias 'lake'") && outside.contains("outside of its root"), "{outside}");
    }

    #[tokio::test]
    async fn a_storage_sent_away_keeps_its_properties_but_no_secret() {
        let properties = [("s3.secret-access-key", "hunter2"), ("s3.region", "here")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let file_systems = FileSystems::new(properties.into());
        let factory = WeirStorageFactory(Scope::of(&file_systems));
        let storage = factory.build(&StorageConfig::new()).expect("builds");
        let text = serde_json::to_string(&storage).expect("serialises");
        assert!(text.contains("here") && !text.contains("hunter2"), "{text}");
        let back: Arc<dyn Storage> = serde_json::from_str(&text).expect("deserialises");
        back.write("memory://sent-away/x", Bytes::from_static(b"1")).await.expect("works");
        assert_eq!(factory.0.file_systems().properties().len(), 2, "the registry knows the secret");
    }
}
