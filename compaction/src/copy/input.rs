//! One input: its footer, and its pages in pieces. Small files are read in one request.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use weir_fs::{FileSystems, Location};

use super::{AHEAD, PIECE};

/// Bytes at the end of a large file that are fetched at first.
const FOOTER: usize = 256 << 10;

/// A file that has been opened.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: String,
    pub(super) footer: ParquetMetaData,
    /// Bloom filters in the order of the column chunks, for those that have one; none before they are read.
    pub(super) bloom_filters: Vec<Option<Sbbf>>,
    location: Location,
    /// The whole file, if it is small.
    whole: Option<Bytes>,
}

impl Input {
    pub(super) async fn open(file_systems: &FileSystems, path: &str, bytes: u64) -> Result<Self> {
        let location = file_systems.resolve(path).map_err(|error| ParquetError::External(Box::new(error)))?;
        let policy = PageIndexPolicy::Optional;
        let (whole, footer) = if bytes <= PIECE {
            let whole = get(&location, 0..bytes).await?;
            let footer = ParquetMetaDataReader::new().with_page_index_policy(policy).parse_and_finish(&whole)?;
            (Some(whole), footer)
        } else {
            let mut reader = ParquetObjectReader::new(location.store.clone(), location.path.clone()).with_file_size(bytes);
            let metadata = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER)).with_page_index_policy(policy);
            (None, metadata.load_and_finish(&mut reader, bytes).await?)
        };
        Ok(Self { path: path.to_owned(), footer, bloom_filters: Vec::new(), location, whole })
    }

    /// Reads the bloom filters, whose bytes [`Size`](super::shape::Size) has allowed.
    pub(super) async fn read_bloom_filters(&mut self) -> Result<()> {
        let input = &*self;
        let read = |range: Option<Range<u64>>| async move {
            match range {
                Some(range) => Sbbf::from_bytes(&input.read(range).await?).map(Some),
                None => Ok(None),
            }
        };
        let reads: Vec<_> = input.chunks().map(bloom_filter_range).map(read).collect();
        self.bloom_filters = stream::iter(reads).buffered(AHEAD).try_collect().await?;
        Ok(())
    }

    /// All column chunks, in the file's order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &ColumnChunkMetaData> {
        self.footer.row_groups().iter().flat_map(|group| group.columns())
    }

    /// Where the pages are, in the order of the chunks, in ranges of at most `most` bytes; neighbours are joined.
    pub(super) fn pieces(&self, most: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let mut joined: Vec<Range<u64>> = Vec::new();
        for chunk in self.chunks() {
            let (start, length) = chunk.byte_range();
            match joined.last_mut() {
                Some(last) if last.end == start => last.end += length,
                _ => joined.push(start..start + length),
            }
        }
        joined.into_iter().flat_map(move |range| {
            let count = (range.end - range.start).div_ceil(most);
            (0..count).map(move |index| range.start + index * most..(range.start + (index + 1) * most).min(range.end))
        })
    }

    /// Some bytes of the file.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let Some(whole) = &self.whole else { return get(&self.location, range).await };
        let at = |place: u64| usize::try_from(place).ok().filter(|place| *place <= whole.len());
        match (at(range.start), at(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(whole.slice(start..end)),
            _ => Err(ParquetError::EOF(format!("bytes {range:?} are not all there"))),
        }
    }
}

async fn get(location: &Location, range: Range<u64>) -> Result<Bytes> {
    location.store.get_range(&location.path, range).map_err(|error| ParquetError::External(Box::new(error))).await
}

fn bloom_filter_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    Some(start..start + u64::try_from(chunk.bloom_filter_length()?).ok()?)
}
