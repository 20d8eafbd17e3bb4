//! Deadlines and retries for every store.
//!
//! Each try of a request has a timeout, and the tries together have a deadline. What may be repeated without harm is repeated with
//! growing pauses while the error is transient; the final error names the URI, the operation, the time spent and the last cause.
//!
//! A repeated put-if-absent may find the object of its own earlier try, whose answer was lost. Then the object's content decides: the put
//! has won if the content is its own. This is exact as long as rivals write different contents, so a claim holds its owner's id. An empty
//! object proves nothing and counts as somebody else's.
//!
//! The parts of a multipart upload are not repeated here: a store that can repeat them does so itself.

mod folders;
mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use uuid::Uuid;
use weir_base::ErrorKind;
use weir_base::options::parse_duration;

use crate::error::{FsError, is_not_found, kind_of};

/// How long requests may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All tries of a request together.
    pub deadline: Duration,
    /// One try, apart from the time its bytes need.
    pub timeout: Duration,
    /// The pause after the first failure; it doubles with each, up to 5 s.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(60), timeout: Duration::from_secs(20), pause: Duration::from_millis(100) }
    }
}

impl Limits {
    /// The limits that `properties` ask for.
    ///
    /// # Errors
    /// A value that is no duration, or none at all.
    pub(crate) fn from_properties(properties: &BTreeMap<String, String>) -> std::result::Result<Self, FsError> {
        let defaults = Self::default();
        let read = |key: &str, default: Duration| match properties.get(key) {
            None => Ok(default),
            Some(text) => parse_duration(text)
                .map(|(duration, _)| duration)
                .filter(|duration| !duration.is_zero())
                .ok_or_else(|| FsError::new(ErrorKind::User, format!("'{key}' is '{text}'; it must be a duration such as '20 s'"))),
        };
        Ok(Self { deadline: read("fs.request.deadline", defaults.deadline)?, timeout: read("fs.request.timeout", defaults.timeout)?, ..defaults })
    }

    /// How long a client that repeats its requests by itself does so: it gives up, and says why, a little before its time is over. The cut
    /// would only say that there was no answer.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.min(self.deadline) * 3 / 4
    }

    /// The time that `bytes` need on a slow line: a second for each MiB.
    pub(crate) fn allowance(bytes: u64) -> Duration {
        Duration::from_millis(bytes / 1024)
    }
}

/// Names a put through all its tries, for stores that can mark an object with it: a put extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PutId(pub(crate) Uuid);

/// A store whose every request ends in time.
#[derive(Debug, Clone)]
pub struct Deadline {
    tries: Arc<Tries>,
}

#[derive(Debug)]
struct Tries {
    inner: Arc<dyn ObjectStore>,
    base_uri: String,
    limits: Limits,
}

/// What a request is, for messages and for its time.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    operation: &'static str,
    path: &'a Path,
    bytes: u64,
}

impl Tries {
    /// Runs `attempt` until it succeeds, fails for good, or the time is over. `attempt` is told whether an earlier try has failed.
    async fn run<T, F, W>(&self, request: Request<'_>, mut attempt: F) -> Result<T>
    where
        F: FnMut(bool) -> W,
        W: Future<Output = Result<T>>,
    {
        let begun = Instant::now();
        let allowance = Limits::allowance(request.bytes);
        let deadline = self.limits.deadline + allowance;
        let mut pause = self.limits.pause;
        let mut tried = 0_u32;
        let mut earlier = None;
        loop {
            let left = deadline.saturating_sub(begun.elapsed());
            let whole = self.limits.timeout + allowance;
            let timeout = whole.min(left);
            let error = match tokio::time::timeout(timeout, attempt(tried > 0)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if kind_of(&error) != ErrorKind::Transient => return Err(error),
                Ok(Err(error)) => error,
                Err(elapsed) => match earlier.take() {
                    // It was cut short, and the error of the try before tells more.
                    Some(earlier) if timeout < whole => earlier,
                    _ => {
                        let message = format!("no answer within {} s", timeout.as_secs_f32());
                        FsError::new(ErrorKind::Transient, message).with_source(elapsed).into_store_error()
                    }
                },
            };
            tried += 1;
            if begun.elapsed() + pause >= deadline {
                return Err(self.gave_up(request, begun.elapsed(), tried, error));
            }
            if tried == 1 {
                let cause = weir_base::error::chain(&error);
                tracing::warn!(uri = self.uri(request.path), operation = request.operation, cause, "request failed, trying again");
            }
            earlier = Some(error);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn gave_up(&self, request: Request<'_>, spent: Duration, tried: u32, last: Error) -> Error {
        let tries = if tried == 1 { "1 try".to_owned() } else { format!("{tried} tries") };
        let cause = weir_base::error::chain(&last);
        let message =
            format!("{} of `{}` gave up after {:.1} s and {tries}: {cause}", request.operation, self.uri(request.path), spent.as_secs_f32());
        FsError::new(ErrorKind::Transient, message).with_source(last).into_store_error()
    }

    fn uri(&self, path: &Path) -> String {
        format!("{}/{path}", self.base_uri)
    }

    async fn holds(&self, path: &Path, payload: &PutPayload) -> Result<bool> {
        if payload.content_length() == 0 {
            return Ok(false);
        }
        let stored = self.inner.get(path).await?;
        if stored.meta.size != payload.content_length() as u64 {
            return Ok(false);
        }
        Ok(stored.bytes().await? == Bytes::from(payload.clone()))
    }

    async fn is_there(&self, path: &Path) -> Result<bool> {
        match self.inner.head(path).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete_all(&self, paths: Vec<Path>) -> Vec<Result<Path>> {
        let Some(first) = paths.first() else { return Vec::new() };
        let request = Request { operation: "delete", path: first, bytes: 0 };
        let deleted = self.run(request, |_| async {
            let listed: Vec<Result<Path>> = paths.iter().cloned().map(Ok).collect();
            let results: Vec<Result<Path>> = self.inner.delete_stream(futures::stream::iter(listed).boxed()).collect().await;
            let (mut done, mut failed) = (Vec::new(), Vec::new());
            for result in results {
                match result {
                    Ok(path) => done.push(path),
                    Err(error) if is_not_found(&error) => {}
                    Err(error) if kind_of(&error) == ErrorKind::Transient => return Err(error),
                    Err(error) => failed.push(error),
                }
            }
            Ok((done, failed))
        });
        match deleted.await {
            Ok((_, failed)) if failed.is_empty() => paths.into_iter().map(Ok).collect(),
            Ok((done, failed)) => done.into_iter().map(Ok).chain(failed.into_iter().map(Err)).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    /// A listing: begun again while nothing has come of it, and each item in time.
    fn listing<T: Send + 'static>(
        tries: &Arc<Self>,
        path: Path,
        list: impl Fn() -> BoxStream<'static, Result<T>> + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let tries = Arc::clone(tries);
        let listed = async move {
            let request = Request { operation: "list", path: &path, bytes: 0 };
            let first = tries.run(request, |_| async {
                let mut items = list().fuse().boxed();
                let first = items.next().await.transpose()?;
                Ok((first, items))
            });
            let (first, items) = first.await?;
            let rest = reading::in_time(items, tries.limits.timeout, format!("listing `{}`", tries.uri(&path)));
            Ok::<_, Error>(futures::stream::iter(first.map(Ok)).chain(rest))
        };
        listed.into_stream().try_flatten().boxed()
    }
}

impl Deadline {
    /// Bounds the requests to `inner`, whose URIs begin with `base_uri`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, base_uri: String, limits: Limits) -> Self {
        Self { tries: Arc::new(Tries { inner, base_uri, limits }) }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tries.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Deadline {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let tries = &self.tries;
        let request = Request { operation: "put", path: location, bytes: payload.content_length() as u64 };
        if options.extensions.get::<PutId>().is_none() {
            options.extensions.insert(PutId(Uuid::new_v4()));
        }
        let (payload, options) = (&payload, &options);
        let attempt = |again: bool| async move {
            match tries.inner.put_opts(location, payload.clone(), options.clone()).await {
                Err(Error::AlreadyExists { .. }) if again && options.mode == PutMode::Create && tries.holds(location, payload).await? => {
                    Ok(PutResult { e_tag: None, version: None })
                }
                result => result,
            }
        };
        tries.run(request, attempt).await
    }

    async fn put_multipart_opts(&self, location: &Path, mut options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if options.extensions.get::<PutId>().is_none() {
            options.extensions.insert(PutId(Uuid::new_v4()));
        }
        let request = Request { operation: "upload", path: location, bytes: 0 };
        let upload = self.tries.run(request, |_| self.tries.inner.put_multipart_opts(location, options.clone())).await?;
        Ok(Box::new(DeadlineUpload { upload, limits: self.tries.limits, uri: self.tries.uri(location) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let request = Request { operation: "get", path: location, bytes: 0 };
        let result = self.tries.run(request, |_| self.tries.inner.get_opts(location, options.clone())).await?;
        Ok(if options.head { result } else { reading::resumed(Arc::clone(&self.tries), location.clone(), result) })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let request = Request { operation: "get", path: location, bytes };
        self.tries.run(request, |_| self.tries.inner.get_ranges(location, ranges)).await
    }

    /// Deletes in groups of a thousand; an object that is not there counts as deleted.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let tries = Arc::clone(&self.tries);
        let grouped = locations.ready_chunks(1000).then(move |group| {
            let tries = Arc::clone(&tries);
            async move {
                let (paths, failed): (Vec<_>, Vec<_>) = group.into_iter().partition(Result::is_ok);
                let mut results = tries.delete_all(paths.into_iter().flatten().collect()).await;
                results.extend(failed);
                futures::stream::iter(results)
            }
        });
        grouped.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix) = (Arc::clone(&self.tries.inner), prefix.cloned());
        Tries::listing(&self.tries, prefix.clone().unwrap_or_default(), move || inner.list(prefix.as_ref()))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix, offset) = (Arc::clone(&self.tries.inner), prefix.cloned(), offset.clone());
        Tries::listing(&self.tries, prefix.clone().unwrap_or_default(), move || inner.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let request = Request { operation: "list", path: &path, bytes: 0 };
        self.tries.run(request, |_| self.tries.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let request = Request { operation: "copy", path: to, bytes: 0 };
        self.tries.run(request, |_| self.tries.inner.copy_opts(from, to, options.clone())).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let tries = &self.tries;
        let request = Request { operation: "rename", path: to, bytes: 0 };
        let options = &options;
        let attempt = |again: bool| async move {
            match tries.inner.rename_opts(from, to, options.clone()).await {
                // An earlier try has moved it and its answer was lost: the source is gone and the target is there.
                Err(error) if again && (is_not_found(&error) || kind_of(&error) == ErrorKind::Conflict) => {
                    if !tries.is_there(from).await? && tries.is_there(to).await? { Ok(()) } else { Err(error) }
                }
                result => result,
            }
        };
        tries.run(request, attempt).await
    }
}

#[derive(Debug)]
struct DeadlineUpload {
    upload: Box<dyn MultipartUpload>,
    limits: Limits,
    uri: String,
}

/// `work`, or an error that says what took too long.
async fn in_time<T>(work: impl Future<Output = Result<T>>, limit: Duration, what: &str, uri: &str) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(elapsed) => {
            let message = format!("{what} `{uri}`: no answer within {} s", limit.as_secs_f32());
            Err(FsError::new(ErrorKind::Transient, message).with_source(elapsed).into_store_error())
        }
    }
}

#[async_trait]
impl MultipartUpload for DeadlineUpload {
    /// The time of a part includes waiting for the parts before it.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let limit = self.limits.deadline + Limits::allowance(data.content_length() as u64);
        let part = self.upload.put_part(data);
        let uri = self.uri.clone();
        async move { in_time(part, limit, "writing a part of", &uri).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        in_time(self.upload.complete(), self.limits.deadline, "closing", &self.uri).await
    }

    async fn abort(&mut self) -> Result<()> {
        in_time(self.upload.abort(), self.limits.deadline, "giving up", &self.uri).await
    }
}
