//! The bytes of a table's files, and errors that name table and file and say what can be done.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::physical_plan::metrics::Count;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use weir_base::{ErrorKind, task};
use weir_fs::{FileSystems, Location};

use super::ranges;
use crate::error::ConnectorError;
use crate::iceberg::read::cache::{FileKey, MetadataCache};

/// Ranges of one file that are asked for at the same time.
const REQUESTS: usize = 8;

/// Where the files of a table are.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) struct TableFiles {
    /// The table's name, for messages.
    pub(in crate::iceberg::read) table: Arc<str>,
    file_systems: FileSystems,
    pub(in crate::iceberg::read) cache: MetadataCache,
    pub(in crate::iceberg::read) counts: FileCounts,
    /// What is held in memory while the files are read is charged to this.
    memory: Arc<dyn MemoryPool>,
}

/// What reading files takes.
#[derive(Debug, Clone, Default)]
pub(in crate::iceberg::read) struct FileCounts {
    pub(in crate::iceberg::read) bytes: Count,
    /// Footers that were read, and those that were known from before.
    pub(in crate::iceberg::read) footers_read: Count,
    pub(in crate::iceberg::read) footers_cached: Count,
}

impl TableFiles {
    /// The files of the table `name`.
    pub(in crate::iceberg::read) fn new(name: &str, file_systems: FileSystems) -> Self {
        let memory: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        Self { table: name.into(), file_systems, cache: MetadataCache::none(), counts: FileCounts::default(), memory }
    }

    /// The same files, with what is known of them from before.
    pub(in crate::iceberg::read) fn cached(&self, cache: MetadataCache) -> Self {
        Self { cache, ..self.clone() }
    }

    /// The same files; what is read of them is added to `counts`.
    pub(in crate::iceberg::read) fn counting(&self, counts: &FileCounts) -> Self {
        Self { counts: counts.clone(), ..self.clone() }
    }

    /// The same files, read in a query with this memory.
    pub(in crate::iceberg::read) fn charging(&self, memory: &Arc<dyn MemoryPool>) -> Self {
        Self { memory: Arc::clone(memory), ..self.clone() }
    }

    /// An empty reservation of the query's memory for what `what` says.
    pub(in crate::iceberg::read) fn charge(&self, what: &str) -> MemoryReservation {
        MemoryConsumer::new(format!("{what} of table '{}'", self.table)).register(&self.memory)
    }

    /// A reader of one file. Makes no request.
    pub(in crate::iceberg::read) fn open(&self, path: &str, bytes: u64) -> Result<FileBytes, ConnectorError> {
        Ok(FileBytes { location: Arc::new(self.resolve(path)?), bytes, read: self.counts.bytes.clone() })
    }

    /// What tells a file from every other.
    pub(in crate::iceberg::read) fn key(&self, path: &str, bytes: u64) -> Result<FileKey, ConnectorError> {
        Ok(FileKey::new(&self.resolve(path)?, bytes))
    }

    fn resolve(&self, path: &str) -> Result<Location, ConnectorError> {
        self.file_systems.resolve(path).map_err(|error| self.wrong(path, &error.to_string()).with_source(error))
    }

    /// That a file cannot be used, with what can be done about it.
    pub(in crate::iceberg::read) fn unreadable(&self, path: &str, error: ParquetError) -> ConnectorError {
        let (kind, what) = match store_error(&error) {
            Some(error) if is_missing(error) => (
                ErrorKind::Corrupt,
                "it is missing from the store, though the table's metadata still names it. Restore the file; or read a snapshot without it, \
                 which '$snapshots' lists; or delete its rows from the table by the engine that lost it"
                    .to_owned(),
            ),
            Some(error) => (ErrorKind::Transient, error.to_string()),
            None => (
                ErrorKind::Corrupt,
                format!(
                    "it is no Parquet file that can be read ({error}). It was damaged or overwritten after it was committed: restore it from a \
                     copy, or read a snapshot without it, which '$snapshots' lists"
                ),
            ),
        };
        ConnectorError::new(kind, format!("Table '{}': file '{path}': {what}.", self.table)).with_source(error)
    }

    /// That what is stored in a file is not what the table says.
    pub(in crate::iceberg::read) fn wrong(&self, path: &str, what: &str) -> ConnectorError {
        ConnectorError::new(ErrorKind::Corrupt, format!("Table '{}': file '{path}': {what}.", self.table))
    }

    /// That a file is of a kind that is not read.
    pub(in crate::iceberg::read) fn refused(&self, path: &str, what: &str) -> ConnectorError {
        ConnectorError::user(format!("Table '{}': file '{path}': {what}.", self.table))
    }
}

/// The error of a store that is behind an error of the reader.
fn store_error(error: &ParquetError) -> Option<&object_store::Error> {
    match error {
        ParquetError::External(source) => source.downcast_ref::<object_store::Error>(),
        _ => None,
    }
}

fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// One file, read by ranges.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) struct FileBytes {
    pub(super) location: Arc<Location>,
    /// Size of the file.
    pub(in crate::iceberg::read) bytes: u64,
    read: Count,
}

impl FileBytes {
    /// A range of the file, all of it.
    pub(in crate::iceberg::read) async fn range(&self, wanted: Range<u64>) -> Result<Bytes, ParquetError> {
        let options = GetOptions { range: Some(wanted.clone().into()), ..GetOptions::default() };
        let failed = |error| ParquetError::External(Box::new(error));
        let GetResult { payload, meta, range, attributes } = match self.location.store.get_opts(&self.location.path, options).await {
            Ok(found) => found,
            Err(error) if !is_missing(&error) && self.ends_before(wanted.end).await => return Err(cut_off(&wanted)),
            Err(error) => return Err(failed(error)),
        };
        let read = match payload {
            GetResultPayload::File(file, _) => of_local(file, range).await?,
            payload @ GetResultPayload::Stream(_) => GetResult { payload, meta, range, attributes }.bytes().await.map_err(failed)?,
        };
        self.read.add(read.len());
        if read.len() as u64 == wanted.end - wanted.start { Ok(read) } else { Err(cut_off(&wanted)) }
    }

    /// Whether the file is there and shorter than that: stores refuse such a range in words of their own.
    async fn ends_before(&self, end: u64) -> bool {
        self.location.store.head(&self.location.path).await.is_ok_and(|found| found.size < end)
    }

    async fn ranges(&self, wanted: Vec<Range<u64>>) -> Result<Vec<Bytes>, ParquetError> {
        let merged = ranges::merge(&wanted);
        let reads: Vec<_> = merged.iter().cloned().map(|range| self.range(range)).collect();
        let read: Vec<Bytes> = stream::iter(reads).buffered(REQUESTS).try_collect().await?;
        let of = |range: &Range<u64>| {
            if range.is_empty() {
                return Some(Bytes::new());
            }
            let index = merged.partition_point(|whole| whole.end < range.end);
            let start = usize::try_from(range.start.checked_sub(merged.get(index)?.start)?).ok()?;
            let length = usize::try_from(range.end - range.start).ok()?;
            let bytes = read.get(index)?;
            (bytes.len() >= start + length).then(|| bytes.slice(start..start + length))
        };
        wanted.iter().map(|range| of(range).ok_or_else(|| cut_off(range))).collect()
    }
}

fn cut_off(range: &Range<u64>) -> ParquetError {
    ParquetError::EOF(format!("bytes {range:?} are not all there"))
}

/// A range of a local file, into memory that the kernel gives as zeros. The store itself would first write them byte by byte.
async fn of_local(file: File, range: Range<u64>) -> Result<Bytes, ParquetError> {
    let start = range.start;
    let length = usize::try_from(range.end - start).map_err(|_too_long| cut_off(&range))?;
    let read = move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, start).map(|()| Bytes::from(bytes))
    };
    let failed = |source| ParquetError::External(Box::new(object_store::Error::Generic { store: "file", source }));
    let read = task::blocking("iceberg-read", read).await.map_err(|error| failed(error.into()))?;
    read.map_err(|error| if error.kind() == std::io::ErrorKind::UnexpectedEof { cut_off(&range) } else { failed(error.into()) })
}

impl AsyncFileReader for FileBytes {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.range(range).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.ranges(ranges).boxed()
    }

    fn get_metadata<'a>(&'a mut self, _options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        // Footers are read by `TableFiles::footer`, which knows how long they are.
        async { Err(ParquetError::General("the footer is handed to the reader".to_owned())) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use weir_base::Classified;

    use super::*;

    #[tokio::test]
    async fn a_range_of_a_local_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("f");
        std::fs::write(&path, b"0123456789").expect("written");
        let files = TableFiles::new("t", FileSystems::default());
        let file = files.open(&format!("file://{}", path.display()), 10).expect("opens");
        assert_eq!(file.range(3..7).await.expect("there"), b"3456".as_slice());
        assert_eq!(files.counts.bytes.value(), 4);
        std::fs::write(&path, b"01234").expect("cut short");
        for wanted in [3..7, 7..9] {
            let error = file.range(wanted).await.expect_err("cut off");
            assert!(matches!(error, ParquetError::EOF(_)), "{error}");
        }
        let error = file.range(7..9).await.expect_err("cut off");
        assert_eq!(files.unreadable("f", error).kind(), ErrorKind::Corrupt);
    }
}
