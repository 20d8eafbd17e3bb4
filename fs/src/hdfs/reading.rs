//! Opened files. Reading a range of a file that was opened a short while ago asks no NameNode.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileReader;
use object_store::path::Path;
use object_store::{ObjectMeta, Result};
use weir_base::ErrorKind;

use super::cluster::Cluster;
use super::errors::Failure;
use crate::deadline::Limits;
use crate::error::FsError;

/// How long an opened file is used again. Files that change in place are read whole, which always opens them anew.
const FRESH: Duration = Duration::from_secs(60);
const MOST_OPEN: usize = 512;

/// A file with the places of its blocks.
pub(super) struct OpenedFile {
    reader: FileReader,
    pub(super) meta: ObjectMeta,
    opened: Instant,
}

/// The files opened in the last minute.
#[derive(Default)]
pub(super) struct OpenedFiles(Mutex<HashMap<Path, Arc<OpenedFile>>>);

/// What HDFS says about a file, as an object.
pub(super) fn meta(location: Path, status: &FileStatus) -> ObjectMeta {
    let millis = i64::try_from(status.modification_time).unwrap_or_default();
    ObjectMeta {
        location,
        last_modified: DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default(),
        size: status.length as u64,
        e_tag: Some(format!("{:x}-{:x}", status.modification_time, status.length)),
        version: None,
    }
}

pub(super) fn not_found(location: &Path) -> object_store::Error {
    object_store::Error::NotFound { path: location.to_string(), source: "no such file".into() }
}

/// The metadata of the file at `location`; a folder is no object.
pub(super) async fn head(cluster: &Cluster, location: &Path) -> Result<ObjectMeta> {
    match cluster.status(&absolute(location)).await.map_err(|failure| failure.about(location.as_ref()))? {
        Some(status) if !status.isdir => Ok(meta(location.clone(), &status)),
        _ => Err(not_found(location)),
    }
}

/// The path as HDFS writes it.
pub(super) fn absolute(location: &Path) -> String {
    format!("/{location}")
}

impl OpenedFiles {
    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<Path, Arc<OpenedFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file at `location`, opened anew or, if that may be, a while ago.
    pub(super) async fn open(&self, cluster: &Cluster, location: &Path, anew: bool) -> Result<Arc<OpenedFile>> {
        let known = self.files().get(location).filter(|file| !anew && file.opened.elapsed() < FRESH).cloned();
        if let Some(file) = known {
            return Ok(file);
        }
        // Between the two calls the file may be replaced; then the lengths differ, and it is opened again.
        for _ in 0..5 {
            let meta = head(cluster, location).await?;
            let path = absolute(location);
            let opened = cluster.call(|client| async move { client.read(&path).await }).await;
            let reader = opened.map_err(|failure| failure.about(location.as_ref()))?;
            if reader.file_length() as u64 == meta.size {
                let file = Arc::new(OpenedFile { reader, meta, opened: Instant::now() });
                self.keep(location, &file);
                return Ok(file);
            }
        }
        let message = format!("`{location}` changes its length all the time");
        Err(FsError::new(ErrorKind::Transient, message).into_store_error())
    }

    fn keep(&self, location: &Path, file: &Arc<OpenedFile>) {
        let mut files = self.files();
        if files.len() >= MOST_OPEN {
            files.retain(|_, file| file.opened.elapsed() < FRESH / 2);
        }
        if files.len() >= MOST_OPEN {
            files.clear();
        }
        files.insert(location.clone(), Arc::clone(file));
    }

    /// Forgets the file at `location`: it was replaced, or reading it failed.
    pub(super) fn forget(&self, location: &Path) {
        self.files().remove(location);
    }

    /// Forgets all files: a folder was removed or moved.
    pub(super) fn forget_all(&self) {
        self.files().clear();
    }
}

impl OpenedFile {
    /// All bytes of `range`, which lies within the file.
    pub(super) async fn read(self: Arc<Self>, cluster: &Cluster, range: Range<u64>) -> std::result::Result<Bytes, Failure> {
        let length = range.end - range.start;
        let limit = cluster.limits().timeout + Limits::allowance(length);
        let bytes = cluster.within(limit, async move { self.reader.read_range(range.start as usize, length as usize).await }).await?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        let message = format!("{} of {length} bytes came", bytes.len());
        Err(Failure::Hdfs(hdfs_native::HdfsError::DataTransferError(message)))
    }

    /// The bytes of `range`, which lies within the file, as they come. At most a MiB is read ahead.
    pub(super) fn stream(&self, cluster: &Cluster, range: &Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let mut chunks = Box::pin(self.reader.read_range_stream(range.start as usize, (range.end - range.start) as usize));
        let path = self.meta.location.to_string();
        let pump = cluster.spawn(async move {
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|error| Failure::Hdfs(error).about(&path));
                let over = chunk.is_err();
                if sender.send(chunk).await.is_err() || over {
                    break;
                }
            }
        });
        // The task lives as long as the stream.
        let next = |(mut receiver, pump): (tokio::sync::mpsc::Receiver<Result<Bytes>>, _)| async move {
            receiver.recv().await.map(|chunk| (chunk, (receiver, pump)))
        };
        futures::stream::unfold((receiver, pump), next).fuse().boxed()
    }
}
