//! Folders: what is in them, without the files that are being written.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use hdfs_native::client::{FileStatus, ListStatusIterator};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use super::clients::Turn;
use super::cluster::Cluster;
use super::errors::Failure;
use super::reading::{absolute, meta};
use super::temporary;

/// The entries of `prefix`, of all folders below it too if `recursive`. A folder that is not there has none.
pub(super) fn entries(cluster: &Arc<Cluster>, prefix: &Path, recursive: bool) -> BoxStream<'static, Result<FileStatus>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(256);
    let (path, itself) = (prefix.to_string(), absolute(prefix));
    let listing = cluster.list(&itself, recursive);
    let asked = Arc::clone(cluster);
    let pump = cluster.spawn(async move {
        while let Some(entry) = next(&asked, &listing).await {
            let entry = match entry {
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
    // The task lives as long as the stream; a panic in it is an error of the listing, not its end.
    let step = |state: Option<(tokio::sync::mpsc::Receiver<Result<FileStatus>>, weir_base::task::Task<()>, String)>| async move {
        let (mut receiver, pump, path) = state?;
        match receiver.recv().await {
            Some(entry) => Some((entry, Some((receiver, pump, path)))),
            None => match pump.await {
                Ok(()) => None,
                Err(error) => Some((Err(Failure::Task(error).about(&path)), None)),
            },
        }
    };
    futures::stream::unfold(Some((receiver, pump, prefix.to_string())), step).fuse().boxed()
}

async fn next(cluster: &Cluster, (turn, listing): &(Turn, ListStatusIterator)) -> Option<std::result::Result<FileStatus, Failure>> {
    let limit = cluster.limits().timeout * 3 / 4;
    match tokio::time::timeout(limit, listing.next()).await {
        Ok(entry) => entry.map(|entry| entry.map_err(|error| cluster.failure(error))),
        Err(_) => Some(Err(cluster.silent(*turn, limit))),
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
