//! Local files.
//!
//! A file appears under its name only when it is complete. The file and its folder are flushed to the disk before the write is acknowledged:
//! a checkpoint that survives a loss of power is worth something only if the data files that it names survive as well, and a catalog's pointer
//! only together with its metadata file. So it is all local files or none. With `fs.file.sync = false` they survive the death of the process,
//! however it dies, but not for certain the loss of power; that saves a disk flush for each file.
//!
//! Folders above that of the file are not flushed: file systems with a journal write it in order, and the file's flush comes last.

mod folders;

pub(crate) use folders::LocalFolders;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};
use weir_base::ErrorKind;
use weir_base::options::parse_boolean;

use crate::error::FsError;

/// The store of local files under `properties`.
///
/// # Errors
/// A value of `fs.file.sync` that is no boolean.
pub(crate) fn build(properties: &BTreeMap<String, String>) -> std::result::Result<Arc<dyn ObjectStore>, FsError> {
    let files = LocalFileSystem::new();
    let sync = match properties.get("fs.file.sync") {
        None => true,
        Some(text) => {
            parse_boolean(text).ok_or_else(|| FsError::new(ErrorKind::User, format!("'fs.file.sync' is '{text}'; it must be true or false")))?
        }
    };
    Ok(if sync { Arc::new(Synced(files)) } else { Arc::new(files) })
}

/// Local files that are flushed to the disk when they are closed.
#[derive(Debug, Clone)]
struct Synced(LocalFileSystem);

impl Synced {
    async fn flush(&self, location: &Path) -> Result<()> {
        flush(self.0.path_to_filesystem(location)?).await
    }
}

/// Flushes a file, then the folder that holds its name.
async fn flush(path: PathBuf) -> Result<()> {
    let work = move || {
        File::open(&path)?.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "file", source: error };
    weir_base::task::blocking("fs-sync", work).await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Synced({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for Synced {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let result = self.0.put_opts(location, payload, options).await;
        // What is there already may be from a try of ours that ended before the flush.
        if matches!(&result, Ok(_) | Err(object_store::Error::AlreadyExists { .. })) {
            self.flush(location).await?;
        }
        result
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.0.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { upload, path: self.0.path_to_filesystem(location)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await?;
        self.flush(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await?;
        self.flush(to).await
    }
}

#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        flush(self.path.clone()).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_files_are_flushed_unless_that_is_switched_off() {
        let shown = |value: Option<&str>| {
            build(&value.map(|value| ("fs.file.sync".to_owned(), value.to_owned())).into_iter().collect()).map(|store| store.to_string())
        };
        for (value, flushed) in [(None, true), (Some("true"), true), (Some("false"), false)] {
            assert_eq!(shown(value).expect("built").starts_with("Synced"), flushed, "{value:?}");
        }
        assert!(shown(Some("maybe")).expect_err("refused").to_string().contains("'fs.file.sync'"));
    }
}
