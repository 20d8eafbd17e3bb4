//! The object store of a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
    coalesce_ranges,
};
use weir_base::ErrorKind;

use super::cluster::Cluster;
use super::errors::Failure;
use super::listing;
use super::reading::{OpenedFiles, absolute, head};
use super::writing::{OpenFile, Upload};
use crate::error::FsError;

/// How much of a file is held in memory while it is copied.
const COPY_PIECE: u64 = 4 * 1024 * 1024;

/// An HDFS as an object store: files are objects, folders come and stay by themselves.
pub(crate) struct Hdfs {
    pub(super) cluster: Arc<Cluster>,
    pub(super) opened: Arc<OpenedFiles>,
}

impl Hdfs {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, opened: Arc::default() }
    }

    async fn publish(&self, file: OpenFile, location: &Path, overwrite: bool) -> Result<()> {
        let published = file.publish(&absolute(location), overwrite).await;
        self.opened.forget(location);
        published
    }

    /// Renames within HDFS, making the folder of the target when it is missing.
    async fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> Result<()> {
        let (source, target) = (absolute(from), absolute(to));
        let mut failure = match self.cluster.rename(&source, &target, overwrite).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let about = |failure: Failure| failure.about(from.as_ref());
        let source_exists = self.cluster.status(&source).await.map_err(about)?.is_some();
        if failure.is_missing() && source_exists {
            let folder = target.rsplit_once('/').map_or("/", |(folder, _)| folder);
            self.cluster.make_folder(folder).await.map_err(about)?;
            failure = match self.cluster.rename(&source, &target, overwrite).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
        }
        // No answer, the source was there to be moved, and now it is at the target: it was moved.
        if !failure.is_answer() && !source_exists && self.cluster.status(&target).await.map_err(about)?.is_some() {
            return Ok(());
        }
        Err(failure.about(if source_exists { to.as_ref() } else { from.as_ref() }))
    }
}

impl fmt::Debug for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hdfs").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl fmt::Display for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hdfs({:?})", self.cluster)
    }
}

/// The part of a file of `size` bytes that `range` means.
fn within(location: &Path, range: &Range<u64>, size: u64) -> Result<Range<u64>> {
    if range.start >= range.end || range.start >= size {
        let message = format!("`{location}` has {size} bytes, none of them in {}..{}", range.start, range.end);
        return Err(FsError::new(ErrorKind::User, message).into_store_error());
    }
    Ok(range.start..range.end.min(size))
}

#[async_trait]
impl ObjectStore for Hdfs {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return Err(Error::NotImplemented { operation: "put_opts with PutMode::Update".to_owned(), implementer: self.to_string() });
        }
        let mut file = OpenFile::create(&self.cluster, &absolute(location)).await.map_err(|failure| failure.about(location.as_ref()))?;
        for bytes in payload {
            file.write(bytes).await.map_err(|failure| failure.about(location.as_ref()))?;
        }
        self.publish(file, location, options.mode == PutMode::Overwrite).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = absolute(location);
        let file = OpenFile::create(&self.cluster, &target).await.map_err(|failure| failure.about(location.as_ref()))?;
        let (opened, location) = (Arc::clone(&self.opened), location.clone());
        Ok(Box::new(Upload::new(file, target, Box::new(move || opened.forget(&location)))))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let attributes = Attributes::default();
        if options.head {
            let meta = head(&self.cluster, location).await?;
            options.check_preconditions(&meta)?;
            let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
            return Ok(GetResult { payload, range: 0..0, meta, attributes });
        }
        let file = self.opened.open(&self.cluster, location, options.range.is_none()).await?;
        options.check_preconditions(&file.meta)?;
        let size = file.meta.size;
        let range = match &options.range {
            None => 0..size,
            Some(range) => {
                let range =
                    range.as_range(size).map_err(|error| FsError::new(ErrorKind::User, format!("`{location}`: {error}")).into_store_error())?;
                within(location, &range, size)?
            }
        };
        let (opened, at) = (Arc::clone(&self.opened), location.clone());
        let chunks = file.stream(&self.cluster, &range).inspect(move |chunk| {
            if chunk.is_err() {
                opened.forget(&at);
            }
        });
        Ok(GetResult { payload: GetResultPayload::Stream(chunks.boxed()), meta: file.meta.clone(), range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.opened.open(&self.cluster, location, false).await?;
        let ranges: Vec<Range<u64>> = ranges.iter().map(|range| within(location, range, file.meta.size)).collect::<Result<_>>()?;
        let read = |range| Arc::clone(&file).read(&self.cluster, range);
        coalesce_ranges(&ranges, read, OBJECT_STORE_COALESCE_DEFAULT).await.map_err(|failure| {
            self.opened.forget(location);
            failure.about(location.as_ref())
        })
    }

    /// Deletes objects. Where there is none, what a killed writer has left of it is deleted.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let missing: Arc<Mutex<BTreeMap<Path, Vec<Path>>>> = Arc::default();
        let (cluster, opened, found_missing) = (Arc::clone(&self.cluster), Arc::clone(&self.opened), Arc::clone(&missing));
        let delete = move |location: Result<Path>| {
            let (cluster, opened, missing) = (Arc::clone(&cluster), Arc::clone(&opened), Arc::clone(&found_missing));
            async move {
                let location = location?;
                let deleted = cluster.delete(&absolute(&location)).await.map_err(|failure| failure.about(location.as_ref()))?;
                opened.forget(&location);
                if !deleted && let Some(parent) = parent(&location) {
                    missing.lock().unwrap_or_else(PoisonError::into_inner).entry(parent).or_default().push(location.clone());
                }
                Ok(location)
            }
        };
        let cluster = Arc::clone(&self.cluster);
        let sweeping = async move {
            let missing = std::mem::take(&mut *missing.lock().unwrap_or_else(PoisonError::into_inner));
            for (folder, targets) in missing {
                if let Err(error) = listing::sweep(&cluster, &folder, &targets).await {
                    tracing::debug!(%folder, %error, "temporary files may stay");
                }
            }
            futures::stream::empty()
        };
        locations.map(delete).buffered(10).chain(futures::stream::once(sweeping).flatten()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::objects(&self.cluster, &prefix.cloned().unwrap_or_default())
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let after = move |item: &Result<ObjectMeta>| std::future::ready(item.as_ref().map_or(true, |meta| meta.location > offset));
        self.list(prefix).filter(after).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        listing::folder(&self.cluster, &prefix.cloned().unwrap_or_default()).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let source = self.opened.open(&self.cluster, from, true).await?;
        let about = |failure: Failure| failure.about(to.as_ref());
        let mut target = OpenFile::create(&self.cluster, &absolute(to)).await.map_err(about)?;
        let mut at = 0;
        while at < source.meta.size {
            let end = (at + COPY_PIECE).min(source.meta.size);
            let piece = Arc::clone(&source).read(&self.cluster, at..end).await.map_err(|failure| failure.about(from.as_ref()))?;
            target.write(piece).await.map_err(about)?;
            at = end;
        }
        self.publish(target, to, options.mode == CopyMode::Overwrite).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.rename(from, to, options.target_mode == RenameTargetMode::Overwrite).await;
        self.opened.forget(from);
        self.opened.forget(to);
        renamed
    }
}

fn parent(location: &Path) -> Option<Path> {
    let (folder, _) = location.as_ref().rsplit_once('/')?;
    Path::parse(folder).ok()
}
