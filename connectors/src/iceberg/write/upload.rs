//! The bytes of one file on their way to a store: one request for a small file, several parts for a large one.

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use weir_base::Classified;
use weir_fs::{FsError, Location};

use crate::error::ConnectorError;

/// Size of a part, and the largest file that goes in one request: the least that S3 takes, so that more of them fit in memory.
const PART: usize = 5 << 20;
/// Parts in flight. An S3 server that answers each after a while is kept busy.
const CONCURRENCY: usize = 4;

/// An upload; nothing exists in the store before the first part is full or [`Self::finish`] is called.
#[derive(Debug)]
pub struct Upload {
    location: Location,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    parts: Option<WriteMultipart>,
}

impl Upload {
    /// An upload to `location`. Makes no request.
    #[must_use]
    pub fn new(location: Location) -> Self {
        Self { location, waiting: Vec::new(), waiting_bytes: 0, parts: None }
    }

    pub(super) fn uri(&self) -> &str {
        &self.location.uri
    }

    /// Bytes held, those in flight included, at most.
    #[must_use]
    pub fn memory(&self) -> usize {
        if self.parts.is_some() { (CONCURRENCY + 1) * PART } else { self.waiting_bytes }
    }

    /// Takes bytes; waits while too many parts are in flight.
    ///
    /// # Errors
    /// The store's.
    pub async fn put(&mut self, pieces: Vec<Bytes>) -> Result<(), ConnectorError> {
        for bytes in pieces {
            self.put_piece(bytes).await?;
        }
        Ok(())
    }

    async fn put_piece(&mut self, bytes: Bytes) -> Result<(), ConnectorError> {
        if let Some(parts) = &mut self.parts {
            parts.put(bytes);
            return parts.wait_for_capacity(CONCURRENCY).await.map_err(|error| store_error(&self.location.uri, "write", error));
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes >= PART {
            let upload = self.location.store.put_multipart(&self.location.path).await;
            let upload = upload.map_err(|error| store_error(&self.location.uri, "create", error))?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
            self.waiting.drain(..).for_each(|bytes| parts.put(bytes));
            self.waiting_bytes = 0;
            self.parts = Some(parts);
        }
        Ok(())
    }

    /// Makes the file whole and visible.
    ///
    /// # Errors
    /// The store's.
    pub async fn finish(self) -> Result<(), ConnectorError> {
        let Location { uri, store, path } = self.location;
        let done = match self.parts {
            Some(parts) => parts.finish().await.map(drop),
            None => store.put(&path, self.waiting.into_iter().collect()).await.map(drop),
        };
        done.map_err(|error| store_error(&uri, "write", error))
    }

    /// Gives up; parts that were uploaded are removed as far as the store allows.
    pub async fn abort(self) {
        if let Some(parts) = self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::debug!(uri = self.location.uri, %error, "upload was not cleaned up");
        }
    }
}

/// A store's failure as a connector's, of the same kind.
#[must_use]
pub fn store_error(uri: &str, what: &str, error: object_store::Error) -> ConnectorError {
    file_system_error(FsError::from_store(&format!("cannot {what}"), uri, error))
}

/// A file system's failure as a connector's.
#[must_use]
pub fn file_system_error(error: FsError) -> ConnectorError {
    ConnectorError::new(error.kind(), error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
    use weir_fs::FileSystems;

    use super::*;

    /// Bytes of parts that are on their way, and the most there ever were.
    #[derive(Debug, Default)]
    struct Gauge {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    /// A store that is slower than whoever writes.
    #[derive(Debug)]
    struct Slow(Arc<Gauge>);

    #[async_trait::async_trait]
    impl MultipartUpload for Slow {
        fn put_part(&mut self, data: PutPayload) -> UploadPart {
            let (gauge, bytes) = (Arc::clone(&self.0), data.content_length());
            gauge.most.fetch_max(gauge.now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
            async move {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                gauge.now.fetch_sub(bytes, Ordering::SeqCst);
                Ok(())
            }
            .boxed()
        }

        async fn complete(&mut self) -> Result<PutResult> {
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_file_of_any_length_takes_a_few_parts_of_memory_on_its_way_to_a_slow_store() {
        let gauge: Arc<Gauge> = Arc::default();
        let location = FileSystems::default().resolve("memory://upload/x").expect("resolves");
        let parts = WriteMultipart::new_with_chunk_size(Box::new(Slow(Arc::clone(&gauge))), PART);
        let mut upload = Upload { location, waiting: Vec::new(), waiting_bytes: 0, parts: Some(parts) };
        for _ in 0..80 {
            upload.put(vec![Bytes::from(vec![0; 3 << 20])]).await.expect("taken");
        }
        let counted = upload.memory();
        upload.finish().await.expect("finished");
        let most = gauge.most.load(Ordering::SeqCst);
        assert!((PART..=counted).contains(&most), "{most} bytes on their way, {counted} counted");
        assert_eq!(counted, (CONCURRENCY + 1) * PART);
    }
}
