//! Folders: what is in them, without the files that are being written.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use hdfs_native::client::FileStatus;
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use tokio::sync::mpsc::Receiver;
use weir_base::task::Task;

use super::clients::Turn;
use super::cluster::Cluster;
use super::errors::Failure;
use super::reading::{absolute, meta};
use super::temporary;

/// The entries of `prefix`, of all folders below it too if `recursive`. A folder that is not there has none.
pub(super) fn entries(cluster: &Arc<Cluster>, prefix: &Path, recursive: bool) -> BoxStream<'static, Result<FileStatus>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(256);
    let (path, itself) = (prefix.to_string(), absolute(prefix));
    let (turn, listing) = cluster.list(&itself, recursive);
    let asked = Arc::clone(cluster);
    let pump = cluster.spawn(async move {
        while let Some(entry) = listing.next().await {
            let entry = match entry.map_err(|error| asked.failure(error)) {
                // HDFS lists a file as itself, but an object is not in itself.
                Ok(status) if status.path == itself => continue,
                Ok(status) => Ok(status),
                // Deleted while we walked.
                Err(failure) if failure.is_missing() => continue,
                Err(failure) => Err(failure.about(&path)),
            };
            let over = entry.is_err();
            if sender.send(entry).await.is_err() || over {
                break;
            }
        }
    });
    let listed = Listed { cluster: Arc::clone(cluster), turn, receiver, pump, path: prefix.to_string() };
    futures::stream::unfold(Some(listed), |listed| async move { listed?.next().await }).fuse().boxed()
}

/// A listing under way. Its task lives as long as this.
struct Listed {
    cluster: Arc<Cluster>,
    turn: Turn,
    receiver: Receiver<Result<FileStatus>>,
    pump: Task<()>,
    path: String,
}

impl Listed {
    /// The next entry, and the rest of the listing unless that is the last. A panic in the task is an error of the listing, not its end.
    async fn next(mut self) -> Option<(Result<FileStatus>, Option<Self>)> {
        let limit = self.cluster.limits().timeout * 3 / 4;
        let failure = match tokio::time::timeout(limit, self.receiver.recv()).await {
            Ok(Some(entry)) => return Some((entry, Some(self))),
            Ok(None) => Failure::Task(self.pump.await.err()?),
            Err(_elapsed) => self.cluster.silent(self.turn, limit),
        };
        Some((Err(failure.about(&self.path)), None))
    }
}

/// The entry as an object, unless it is a folder, hidden, or has a name that no object can have.
fn object(status: &FileStatus) -> Option<ObjectMeta> {
    if status.isdir || temporary::is_temporary(last(&status.path)) {
        return None;
    }
    match Path::parse(&status.path) {
        Ok(location) => Some(meta(location, status)),
        Err(error) => {
            tracing::warn!(path = status.path, %error, "file with an unusable name is left out of a listing");
            None
        }
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// All objects below `prefix`.
pub(super) fn objects(cluster: &Arc<Cluster>, prefix: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
    let objects = entries(cluster, prefix, true).filter_map(|entry| async move {
        match entry {
            Ok(status) => object(&status).map(Ok),
            Err(error) => Some(Err(error)),
        }
    });
    objects.boxed()
}

/// The objects and folders right below `prefix`.
pub(super) async fn folder(cluster: &Arc<Cluster>, prefix: &Path) -> Result<ListResult> {
    let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    let mut found = entries(cluster, prefix, false);
    while let Some(status) = found.next().await.transpose()? {
        if status.isdir {
            result.common_prefixes.extend(Path::parse(&status.path));
        } else {
            result.objects.extend(object(&status));
        }
    }
    Ok(result)
}

/// Deletes what killed writers of `targets`, all in `folder`, have left beside them. What cannot be deleted stays.
pub(super) async fn sweep(cluster: &Arc<Cluster>, folder: &Path, targets: &[Path]) -> Result<()> {
    let mut found = entries(cluster, folder, false);
    while let Some(status) = found.next().await.transpose()? {
        let name = last(&status.path);
        let ours = targets.iter().filter_map(Path::filename).any(|target| temporary::is_of(name, target));
        if ours && !status.isdir {
            cluster.delete(&status.path).await.map_err(|failure| failure.about(&status.path))?;
        }
    }
    Ok(())
}
