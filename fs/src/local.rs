//! Local files.
//!
//! A file appears under its name only when it is complete. The file and its folder are flushed to the disk before the write is acknowledged:
//! a checkpoint that survives a loss of power is worth something only if the data files that it names survive as well, and a catalog's pointer
//! only together with its metadata file. So it is all local files or none. With `fs.file.sync = false` they survive the death of the process,
//! however it dies, but not for certain the loss of power; that saves a disk flush for each file.
//!
//! Folders above that of the file are not flushed: file systems with a journal write it in order, and the file's flush comes last.
//!
//! A file is written as `<name>#<number>` beside its target. A killed process leaves that; it goes with the deletion of a target that is not there.

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
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, UploadPart,
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
    Ok(Arc::new(Local { files, sync }))
}

/// Local files.
#[derive(Debug, Clone)]
struct Local {
    files: LocalFileSystem,
    /// Whether they are flushed to the disk when they are closed.
    sync: bool,
}

impl Local {
    async fn flush(&self, location: &Path) -> Result<()> {
        if self.sync { flush(self.files.path_to_filesystem(location)?).await } else { Ok(()) }
    }

    /// Deletes what killed writers of a file that is not there have left beside it.
    async fn sweep(&self, location: &Path) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        let work = move || {
            let staged = |number: usize| {
                let mut name = path.as_os_str().to_owned();
                name.push(format!("#{number}"));
                name
            };
            // A writer takes the first number that is free.
            (1..).take_while(|number| std::fs::remove_file(staged(*number)).is_ok()).count()
        };
        weir_base::task::blocking("fs-sweep", work).await.map(drop).map_err(|error| failed(error.into()))
    }
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: error }
}

/// Flushes a file, then the folder that holds its name.
async fn flush(path: PathBuf) -> Result<()> {
    let work = move || {
        File::open(&path)?.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    weir_base::task::blocking("fs-sync", work).await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.sync { "Synced" } else { "Unsynced" };
        write!(f, "{kind}({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for Local {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let result = self.files.put_opts(location, payload, options).await;
        // What is there already may be from a try of ours that ended before the flush.
        if matches!(&result, Ok(_) | Err(object_store::Error::AlreadyExists { .. })) {
            self.flush(location).await?;
        }
        result
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.files.put_multipart_opts(location, options).await?;
        if !self.sync {
            return Ok(upload);
        }
        Ok(Box::new(SyncedUpload { upload, path: self.files.path_to_filesystem(location)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let local = self.clone();
        let delete = move |location: Result<Path>| {
            let local = local.clone();
            async move {
                let location = location?;
                let deleted = local.files.delete(&location).await;
                if matches!(&deleted, Err(object_store::Error::NotFound { .. })) {
                    local.sweep(&location).await?;
                }
                deleted.map(|()| location)
            }
        };
        locations.map(delete).buffered(10).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        self.flush(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await?;
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

    #[tokio::test]
    async fn what_a_killed_writer_has_left_goes_with_a_file_that_is_not_there_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let store = build(&BTreeMap::new()).expect("built");
        let path = |name: &str| Path::from_absolute_path(folder.path().join(name)).expect("path");
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(folder.path()).expect("read").map(|entry| entry.expect("entry").file_name()).collect();
            names.sort_unstable();
            names
        };
        // Two writers that were killed: what they began is neither complete nor aborted.
        for _ in 0..2 {
            let mut upload = store.put_multipart(&path("a")).await.expect("begun");
            upload.put_part("half of it".into()).await.expect("written");
            std::mem::forget(upload);
        }
        for name in ["b", "b#1", "aa#1"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        assert_eq!(names(), ["a#1", "a#2", "aa#1", "b", "b#1"]);
        store.delete(&path("b")).await.expect("there");
        let missing = store.delete(&path("a")).await.expect_err("never complete");
        assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing}");
        assert_eq!(names(), ["aa#1", "b#1"]);
    }
}
