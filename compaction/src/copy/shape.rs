//! Which files can become one without being decoded. Pure.

use std::fmt;

use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::schema::types::SchemaDescriptor;

/// Column chunks (row groups times columns) that a copy may have: beyond, its footer is slow to read and large in memory.
pub(super) const MOST_CHUNKS: usize = 40_000;
/// Row groups that the format numbers.
const MOST_GROUPS: usize = i16::MAX as usize;
/// Bytes of bloom filters that a copy may have: they are held until its end.
const MOST_BLOOM_BYTES: u64 = 8 << 20;
/// Memory of the footer's part for one column chunk, about: its metadata, statistics and page indexes.
const CHUNK_MEMORY: u64 = 512;

/// A codec, whatever its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// `zstd`
    Zstd,
    /// `snappy`
    Snappy,
    /// `gzip`
    Gzip,
    /// `lz4`
    Lz4,
    /// `uncompressed`
    Uncompressed,
}

/// Why files cannot be copied into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Their columns differ in order, name, id or type, from each other's.
    Schema,
    /// They are compressed in another way than the table wants.
    Codec,
    /// Without statistics, page index or a known order of values they would not be pruned as a file that is written anew.
    Statistics,
    /// Bloom filters that are too large, or whose length is not told.
    BloomFilters,
    /// Too many row groups.
    RowGroups,
    /// Pages are where the format does not have them.
    Layout,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schema => "columns differ",
            Self::Codec => "another codec",
            Self::Statistics => "no page index or statistics",
            Self::BloomFilters => "large bloom filters",
            Self::RowGroups => "too many row groups",
            Self::Layout => "an unusual layout",
        })
    }
}

impl Codec {
    /// The codec of that name in `write.parquet.compression-codec`; zstd for others.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "snappy" => Self::Snappy,
            "gzip" => Self::Gzip,
            "lz4" => Self::Lz4,
            "uncompressed" | "none" => Self::Uncompressed,
            _ => Self::Zstd,
        }
    }

    fn is(self, compression: Compression) -> bool {
        match self {
            Self::Zstd => matches!(compression, Compression::ZSTD(_)),
            Self::Snappy => compression == Compression::SNAPPY,
            Self::Gzip => matches!(compression, Compression::GZIP(_)),
            Self::Lz4 => compression == Compression::LZ4_RAW,
            Self::Uncompressed => compression == Compression::UNCOMPRESSED,
        }
    }
}

/// What a copy's footer is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    groups: usize,
    chunks: usize,
    bloom_bytes: u64,
}

impl Size {
    /// Takes in the footer of one more input, before anything else of it is read.
    ///
    /// # Errors
    /// Too many chunks, or bloom filters that are too large or whose length is not told.
    pub(super) fn plus(mut self, footer: &ParquetMetaData) -> Result<Self, Obstacle> {
        for chunk in footer.row_groups().iter().flat_map(|group| group.columns()) {
            self.chunks += 1;
            if chunk.bloom_filter_offset().is_some() {
                let length = chunk.bloom_filter_length().and_then(|length| u64::try_from(length).ok());
                self.bloom_bytes += length.ok_or(Obstacle::BloomFilters)?;
            }
        }
        self.groups += footer.num_row_groups();
        if self.chunks > MOST_CHUNKS || self.groups > MOST_GROUPS {
            return Err(Obstacle::RowGroups);
        }
        if self.bloom_bytes > MOST_BLOOM_BYTES {
            return Err(Obstacle::BloomFilters);
        }
        Ok(self)
    }

    /// Bytes of memory, about.
    pub(super) fn memory(self) -> u64 {
        self.chunks as u64 * CHUNK_MEMORY + self.bloom_bytes
    }
}

/// Whether a file with this footer can be copied into one with the columns of `like`.
///
/// # Errors
/// What hinders it.
pub(super) fn copyable(footer: &ParquetMetaData, like: &SchemaDescriptor, codec: Codec) -> Result<(), Obstacle> {
    if footer.file_metadata().schema_descr().columns() != like.columns() {
        return Err(Obstacle::Schema);
    }
    if footer.file_metadata().column_orders().is_none() && !footer.row_groups().is_empty() {
        return Err(Obstacle::Statistics);
    }
    let (column_index, offset_index) = (footer.column_index(), footer.offset_index());
    for (number, group) in footer.row_groups().iter().enumerate() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if !codec.is(chunk.compression()) {
                return Err(Obstacle::Codec);
            }
            let pages = column_index.and_then(|index| index.get(number)?.get(leaf));
            let places = offset_index.and_then(|index| index.get(number)?.get(leaf));
            let has_pages = pages.is_some_and(|pages| !matches!(pages, ColumnIndexMetaData::NONE));
            // A writer leaves the index of a column out whose values have no order (NaNs alone), never its places.
            if chunk.statistics().is_none() || places.is_none() || !(has_pages || chunk.column_index_offset().is_none() && column_index.is_some()) {
                return Err(Obstacle::Statistics);
            }
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            if start < 4 || chunk.data_page_offset() < start || chunk.crypto_metadata().is_some() || chunk.file_path().is_some() {
                return Err(Obstacle::Layout);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn a_copy_has_so_many_chunks_and_no_more() {
        let numbers: arrow_array::ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("a", Arc::clone(&numbers)), ("b", numbers)]).expect("batch");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("writer");
        writer.write(&batch).expect("writes");
        let footer = writer.close().expect("closes");
        let full = Size { chunks: MOST_CHUNKS - 2, ..Size::default() }.plus(&footer).expect("fits");
        assert_eq!(full.memory(), MOST_CHUNKS as u64 * CHUNK_MEMORY);
        assert_eq!(full.plus(&footer).expect_err("two more"), Obstacle::RowGroups);
        let numbered = Size { groups: MOST_GROUPS, ..Size::default() }.plus(&footer);
        assert_eq!(numbered.expect_err("one more than the format numbers"), Obstacle::RowGroups);
    }
}
