//! The folders of a cluster: each is one call to the NameNode, except a listing, which is one for a thousand names.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use hdfs_native::client::FileStatus;
use object_store::Result;
use object_store::path::Path;

use super::listing;
use super::reading::{absolute, meta};
use super::store::Hdfs;
use super::temporary;
use crate::folders::{Access, Folders, Kind, Status, Usage};

/// The mode without the bits for the kind of file.
const MODE: u16 = 0o7777;

fn status_of(location: Path, found: &FileStatus) -> Status {
    let kind = if found.isdir { Kind::Folder } else { Kind::File };
    let unfinished = kind == Kind::File && location.filename().is_some_and(temporary::is_temporary);
    let access = Access { owner: found.owner.clone(), group: found.group.clone(), permission: found.permission & MODE };
    Status {
        kind,
        access: Some(access),
        replication: found.replication.filter(|copies| *copies > 0),
        block_size: found.blocksize.filter(|size| *size > 0),
        unfinished,
        ..Status::from(meta(location, found))
    }
}

#[async_trait]
impl Folders for Hdfs {
    async fn stat(&self, path: &Path) -> Result<Option<Status>> {
        let found = self.cluster.status(&absolute(path)).await.map_err(|failure| failure.about(path.as_ref()))?;
        Ok(found.map(|found| status_of(path.clone(), &found)))
    }

    fn list(&self, path: &Path) -> BoxStream<'static, Result<Status>> {
        let folder = path.clone();
        let status = move |found: Result<FileStatus>| {
            let found = found?;
            Ok(match Path::parse(&found.path) {
                Ok(location) => status_of(location, &found),
                Err(_) => Status::unusable(&folder, found.path.rsplit('/').next().unwrap_or_default()),
            })
        };
        listing::entries(&self.cluster, path, false).map(status).boxed()
    }

    async fn make(&self, path: &Path) -> Result<()> {
        self.cluster.make_folder(&absolute(path)).await.map_err(|failure| failure.about(path.as_ref()))
    }

    async fn remove(&self, path: &Path, with_content: bool) -> Result<()> {
        let removed = self.cluster.delete_with(&absolute(path), with_content).await;
        self.opened.forget_all();
        removed.map(|_| ()).map_err(|failure| failure.about(path.as_ref()))
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>> {
        let absolute = absolute(path);
        let summary = self.cluster.call(|client| async move { client.get_content_summary(&absolute).await }).await;
        let summary = summary.map_err(|failure| failure.about(path.as_ref()))?;
        // HDFS counts the folder itself too.
        let folders = summary.directory_count.saturating_sub(1);
        Ok(Some(Usage { bytes: summary.length, stored: Some(summary.space_consumed), files: summary.file_count, folders }))
    }
}
