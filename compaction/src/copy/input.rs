//! Inputs: small files come whole, several at a time and each in one request; of a large one the footer first, and its pages in pieces.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use object_store::ObjectStore;
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use weir_catalog::read::SlimFile;
use weir_fs::{FileSystems, Location};

use super::{AHEAD, PIECE, Stopped};

/// Bytes at the end of a large file that are fetched at first.
const FOOTER: usize = 256 << 10;
/// Small files that are read and taken in together.
const TOGETHER: usize = 16;

/// An input whose footer is known.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) footer: ParquetMetaData,
    /// Bloom filters in the order of the column chunks, for those that have one; none before they are read.
    pub(super) bloom_filters: Vec<Option<Sbbf>>,
}

/// A small file.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) path: String,
    bytes: Bytes,
}

/// A large file.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) path: String,
    pub(super) input: Input,
    location: Location,
}

/// What is read at a time.
#[derive(Debug)]
pub(super) enum Read {
    Wholes(Vec<Whole>),
    Large(Box<Large>),
}

/// Names and sizes of files that are read together.
pub(super) type Batch = Vec<(String, u64)>;

/// Files in their order, in batches: small ones together, at most [`PIECE`] bytes of them; a large one alone.
pub(super) fn batches(inputs: &[&SlimFile]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut room = 0;
    for input in inputs {
        let file = &input.live.file;
        let (path, bytes) = (file.file_path().to_owned(), file.file_size_in_bytes());
        match batches.last_mut() {
            Some(last) if bytes <= room && last.len() < TOGETHER => {
                last.push((path, bytes));
                room -= bytes;
            }
            _ => {
                batches.push(vec![(path, bytes)]);
                room = PIECE.saturating_sub(bytes);
            }
        }
    }
    batches
}

/// Reads a batch.
pub(super) async fn read(file_systems: FileSystems, batch: Batch) -> std::result::Result<Read, Stopped> {
    if let [(path, bytes)] = batch.as_slice()
        && *bytes > PIECE
    {
        let opened = Large::open(&file_systems, path, *bytes).await;
        return opened.map(|large| Read::Large(Box::new(large))).map_err(Stopped::by(path));
    }
    let file_systems = &file_systems;
    let whole = |(path, bytes): (String, u64)| async move {
        let read = async { get(&locate(file_systems, &path)?, 0..bytes).await };
        match read.await {
            Ok(bytes) => Ok(Whole { path, bytes }),
            Err(error) => Err(Stopped::Unreadable(path, error)),
        }
    };
    stream::iter(batch).map(whole).buffered(AHEAD).try_collect().await.map(Read::Wholes)
}

impl Whole {
    /// The footer, from the bytes that are there.
    pub(super) fn open(&self) -> Result<Input> {
        let footer = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional).parse_and_finish(&self.bytes)?;
        Ok(Input { footer, bloom_filters: Vec::new() })
    }

    /// The bloom filters of its chunks.
    pub(super) fn bloom_filters(&self, input: &Input) -> Result<Vec<Option<Sbbf>>> {
        let filter = |range: Option<Range<u64>>| range.map(|range| Sbbf::from_bytes(&self.read(range)?)).transpose();
        input.chunks().map(bloom_filter_range).map(filter).collect()
    }

    /// Some of its bytes.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let at = |place: u64| usize::try_from(place).ok().filter(|place| *place <= self.bytes.len());
        match (at(range.start), at(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.bytes.slice(start..end)),
            _ => Err(ParquetError::EOF(format!("bytes {range:?} are not all there"))),
        }
    }
}

impl Large {
    async fn open(file_systems: &FileSystems, path: &str, bytes: u64) -> Result<Self> {
        let location = locate(file_systems, path)?;
        let mut reader = ParquetObjectReader::new(location.store.clone(), location.path.clone()).with_file_size(bytes);
        let metadata = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER)).with_page_index_policy(PageIndexPolicy::Optional);
        let footer = metadata.load_and_finish(&mut reader, bytes).await?;
        Ok(Self { path: path.to_owned(), input: Input { footer, bloom_filters: Vec::new() }, location })
    }

    /// Reads the bloom filters, whose bytes [`Size`](super::shape::Size) has allowed.
    pub(super) async fn read_bloom_filters(&mut self) -> Result<()> {
        let location = &self.location;
        let read = |range: Option<Range<u64>>| async move {
            match range {
                Some(range) => Sbbf::from_bytes(&get(location, range).await?).map(Some),
                None => Ok(None),
            }
        };
        let reads: Vec<_> = self.input.chunks().map(bloom_filter_range).map(read).collect();
        self.input.bloom_filters = stream::iter(reads).buffered(AHEAD).try_collect().await?;
        Ok(())
    }

    /// Its pages in the order of [`Input::pieces`], some read ahead.
    pub(super) fn pages(&self) -> BoxStream<'static, Result<Bytes>> {
        let location = self.location.clone();
        let piece = move |range| {
            let location = location.clone();
            async move { get(&location, range).await }
        };
        stream::iter(self.input.pieces(PIECE)).map(piece).buffered(AHEAD).boxed()
    }
}

impl Input {
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
}

fn locate(file_systems: &FileSystems, path: &str) -> Result<Location> {
    file_systems.resolve(path).map_err(|error| ParquetError::External(Box::new(error)))
}

/// One range: of a local file this opens and reads it in one go, where a `get` would look at it first.
async fn get(location: &Location, range: Range<u64>) -> Result<Bytes> {
    let ranges = [range];
    let read = location.store.get_ranges(&location.path, &ranges).map_err(|error| ParquetError::External(Box::new(error)));
    read.await?.pop().ok_or_else(|| ParquetError::EOF("a store has given no bytes".to_owned()))
}

fn bloom_filter_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    Some(start..start + u64::try_from(chunk.bloom_filter_length()?).ok()?)
}
