//! Requests, bytes, errors and times of every store, by scheme, alias and operation.

mod folders;

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use prometheus::{HistogramVec, IntCounterVec};

use crate::error::kind_of;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A whole object is written.
    Put,
    /// A whole object is written unless there is one.
    PutIfAbsent,
    /// An upload in parts is begun.
    MultipartStart,
    /// A part is written.
    MultipartPart,
    /// An upload is made visible.
    MultipartComplete,
    /// An upload is given up.
    MultipartAbort,
    /// An object or one range of it is read.
    Get,
    /// Several ranges of an object are read.
    GetRanges,
    /// The size of an object is asked for.
    Head,
    /// Objects are listed.
    List,
    /// An object is deleted.
    Delete,
    /// An object is copied.
    Copy,
    /// An object is renamed.
    Rename,
    /// A folder is made.
    MakeFolder,
}

impl Operation {
    const ALL: [Self; 14] = [
        Self::Put,
        Self::PutIfAbsent,
        Self::MultipartStart,
        Self::MultipartPart,
        Self::MultipartComplete,
        Self::MultipartAbort,
        Self::Get,
        Self::GetRanges,
        Self::Head,
        Self::List,
        Self::Delete,
        Self::Copy,
        Self::Rename,
        Self::MakeFolder,
    ];

    /// The operation as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutIfAbsent => "put_if_absent",
            Self::MultipartStart => "multipart_start",
            Self::MultipartPart => "multipart_part",
            Self::MultipartComplete => "multipart_complete",
            Self::MultipartAbort => "multipart_abort",
            Self::Get => "get",
            Self::GetRanges => "get_ranges",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Rename => "rename",
            Self::MakeFolder => "make_folder",
        }
    }
}

/// What one kind of store did for one operation since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoCounts {
    /// The kind of store: `file`, `hdfs`, `memory` or `s3`.
    pub scheme: &'static str,
    /// The alias under whose name it was used; empty for none.
    pub alias: Arc<str>,
    /// The operation.
    pub operation: Operation,
    /// Requests, retries included.
    pub requests: u64,
    /// Bytes written or read.
    pub bytes: u64,
    /// Requests that failed, for whatever reason: an object that is not there counts too.
    pub errors: u64,
}

impl IoCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.errors += other.errors;
    }
}

#[derive(Debug, Default)]
struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

struct Families {
    requests: Option<IntCounterVec>,
    bytes: Option<IntCounterVec>,
    errors: Option<IntCounterVec>,
    seconds: Option<HistogramVec>,
}

fn families() -> &'static Families {
    static FAMILIES: OnceLock<Families> = OnceLock::new();
    let labels = ["scheme", "alias", "operation"];
    FAMILIES.get_or_init(|| Families {
        requests: weir_base::metrics::counters("weir_fs_requests_total", "Requests to stores, retries included", &labels),
        bytes: weir_base::metrics::counters("weir_fs_bytes_total", "Bytes written to or read from stores", &labels),
        errors: weir_base::metrics::counters("weir_fs_errors_total", "Requests to stores that failed", &["scheme", "alias", "operation", "kind"]),
        seconds: weir_base::metrics::histograms("weir_fs_request_seconds", "Time until a store answered", &labels),
    })
}

#[derive(Debug)]
struct Meter {
    scheme: &'static str,
    alias: Arc<str>,
    tallies: [Tally; Operation::ALL.len()],
}

impl Meter {
    fn tally(&self, operation: Operation) -> Option<&Tally> {
        self.tallies.get(operation as usize)
    }

    fn request(&self, operation: Operation) {
        if let Some(tally) = self.tally(operation) {
            tally.requests.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(family) = &families().requests {
            family.with_label_values(&[self.scheme, &self.alias, operation.as_str()]).inc();
        }
    }

    fn bytes(&self, operation: Operation, bytes: u64) {
        if let Some(tally) = self.tally(operation) {
            tally.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if let Some(family) = &families().bytes {
            family.with_label_values(&[self.scheme, &self.alias, operation.as_str()]).inc_by(bytes);
        }
    }

    fn error(&self, operation: Operation, error: &object_store::Error) {
        if let Some(tally) = self.tally(operation) {
            tally.errors.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(family) = &families().errors {
            family.with_label_values(&[self.scheme, &self.alias, operation.as_str(), kind_of(error).as_str()]).inc();
        }
    }

    async fn measure<T>(&self, operation: Operation, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        self.request(operation);
        let result = work.await;
        if let Some(family) = &families().seconds {
            family.with_label_values(&[self.scheme, &self.alias, operation.as_str()]).observe(begun.elapsed().as_secs_f64());
        }
        result.inspect_err(|error| self.error(operation, error))
    }
}

/// A store that counts what the store inside does.
#[derive(Debug, Clone)]
pub struct Counting {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl Counting {
    /// Counts for `inner` under the labels `scheme` and `alias`, the latter empty for none.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, scheme: &'static str, alias: &str) -> Self {
        Self { inner, meter: Arc::new(Meter { scheme, alias: alias.into(), tallies: Default::default() }) }
    }

    /// What this store did so far, one entry for each operation.
    #[must_use]
    pub fn counts(&self) -> Vec<IoCounts> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let entry = |(operation, tally): (Operation, &Tally)| IoCounts {
            scheme: self.meter.scheme,
            alias: Arc::clone(&self.meter.alias),
            operation,
            requests: load(&tally.requests),
            bytes: load(&tally.bytes),
            errors: load(&tally.errors),
        };
        Operation::ALL.into_iter().zip(&self.meter.tallies).map(entry).collect()
    }

    /// Counts the items of a listing's failures, and the listing itself.
    fn listed(&self, items: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.request(Operation::List);
        let meter = Arc::clone(&self.meter);
        items.inspect(move |item| _ = item.as_ref().inspect_err(|error| meter.error(Operation::List, error))).boxed()
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let operation = if options.mode == PutMode::Create { Operation::PutIfAbsent } else { Operation::Put };
        let bytes = payload.content_length() as u64;
        let result = self.meter.measure(operation, self.inner.put_opts(location, payload, options)).await?;
        self.meter.bytes(operation, bytes);
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.meter.measure(Operation::MultipartStart, self.inner.put_multipart_opts(location, options)).await?;
        Ok(Box::new(CountingUpload { upload, meter: Arc::clone(&self.meter) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let mut result = self.meter.measure(operation, self.inner.get_opts(location, options)).await?;
        if operation == Operation::Head {
            return Ok(result);
        }
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => {
                let meter = Arc::clone(&self.meter);
                let count = move |item: &Result<Bytes>| match item {
                    Ok(bytes) => meter.bytes(Operation::Get, bytes.len() as u64),
                    Err(error) => meter.error(Operation::Get, error),
                };
                GetResultPayload::Stream(stream.inspect(count).boxed())
            }
            // A local file is read by whoever takes it, so its bytes are counted as if all of the range were read.
            file @ GetResultPayload::File(..) => {
                self.meter.bytes(Operation::Get, result.range.end - result.range.start);
                file
            }
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let result = self.meter.measure(Operation::GetRanges, self.inner.get_ranges(location, ranges)).await?;
        self.meter.bytes(Operation::GetRanges, result.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let meter = Arc::clone(&self.meter);
        let count = move |item: &Result<Path>| {
            meter.request(Operation::Delete);
            if let Err(error) = item {
                meter.error(Operation::Delete, error);
            }
        };
        self.inner.delete_stream(locations).inspect(count).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.measure(Operation::List, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.measure(Operation::Copy, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.measure(Operation::Rename, self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct CountingUpload {
    upload: Box<dyn MultipartUpload>,
    meter: Arc<Meter>,
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let bytes = data.content_length() as u64;
        let part = self.upload.put_part(data);
        let meter = Arc::clone(&self.meter);
        async move {
            meter.measure(Operation::MultipartPart, part).await?;
            meter.bytes(Operation::MultipartPart, bytes);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.meter.measure(Operation::MultipartComplete, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.meter.measure(Operation::MultipartAbort, self.upload.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn requests_bytes_and_errors_are_counted() {
        let store = Counting::new(Arc::new(InMemory::new()), "memory", "");
        let path = Path::from("a");
        store.put(&path, "12345".into()).await.expect("put");
        assert_eq!(store.get(&path).await.expect("get").bytes().await.expect("bytes").len(), 5);
        assert!(store.head(&Path::from("b")).await.is_err());
        let count = |operation| store.counts().into_iter().find(|counts| counts.operation == operation).map(|c| (c.requests, c.bytes, c.errors));
        assert_eq!(count(Operation::Put), Some((1, 5, 0)));
        assert_eq!(count(Operation::Get), Some((1, 5, 0)));
        assert_eq!(count(Operation::Head), Some((1, 0, 1)));
        assert!(weir_base::metrics::exposition().contains("weir_fs_requests_total"));
    }

    #[test]
    fn every_operation_has_its_place() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
    }
}
