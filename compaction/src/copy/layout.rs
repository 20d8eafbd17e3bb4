//! The footer of a copy, made with the writer of the parquet crate: it is told of pages that go another way.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::{BloomFilterPosition, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;

use super::input::Input;
use super::shape::{Codec, Obstacle, copyable};

/// A key that tells which Arrow types a writer had in memory; our writer leaves it out, and so do copies.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// A copy on the way.
pub(super) struct Layout {
    writer: SerializedFileWriter<Tail>,
    codec: Codec,
    rows: u64,
    split_offsets: Vec<i64>,
    /// What all inputs so far say in their footers.
    said: Vec<KeyValue>,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The end of the file.
#[derive(Debug)]
pub(super) struct Footer {
    /// All that comes after the pages.
    pub(super) tail: Bytes,
    /// Size of the whole file.
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Where row groups begin.
    pub(super) split_offsets: Vec<i64>,
}

impl Layout {
    /// A copy that begins with `first`, which is not yet in it.
    pub(super) fn begin(first: &Input, codec: Codec) -> Result<Self> {
        let schema = first.footer.file_metadata().schema_descr().root_schema_ptr();
        // Filters come after all pages, so that the pages are in one piece.
        let properties = WriterProperties::builder().set_bloom_filter_position(BloomFilterPosition::End).build();
        let writer = SerializedFileWriter::new(Tail::default(), schema, Arc::new(properties))?;
        let said = said(first).into_iter().filter(|pair| pair.key != ARROW_SCHEMA).collect();
        Ok(Self { writer, codec, rows: 0, split_offsets: Vec::new(), said })
    }

    /// Adds the row groups of `input`, whose pages are to follow those before in the order of [`Input::pieces`]. An obstacle, and nothing is added,
    /// if they do not go together with those before.
    pub(super) fn add(&mut self, input: Input) -> Result<std::result::Result<(), Obstacle>> {
        if let Err(obstacle) = copyable(&input.footer, self.writer.schema_descr(), self.codec) {
            return Ok(Err(obstacle));
        }
        let said = said(&input);
        self.said.retain(|pair| said.contains(pair));
        self.append(input).map(Ok)
    }

    fn append(&mut self, input: Input) -> Result<()> {
        let mut blooms = input.bloom_filters.into_iter();
        let mut footer = input.footer.into_builder();
        let mut columns = footer.take_column_index().unwrap_or_default().into_iter();
        let mut offsets = footer.take_offset_index().unwrap_or_default().into_iter();
        for group in footer.take_row_groups() {
            let rows = u64::try_from(group.num_rows()).map_err(|error| ParquetError::External(Box::new(error)))?;
            let mut columns = columns.next().unwrap_or_default().into_iter();
            let mut offsets = offsets.next().unwrap_or_default().into_iter();
            let mut writer = self.writer.next_row_group()?;
            for chunk in group.into_builder().take_columns() {
                let close = ColumnCloseResult {
                    bytes_written: chunk.byte_range().1,
                    rows_written: rows,
                    metadata: chunk,
                    bloom_filter: blooms.next().flatten(),
                    column_index: columns.next().filter(|pages| !matches!(pages, ColumnIndexMetaData::NONE)),
                    offset_index: offsets.next(),
                };
                writer.append_column(&Elsewhere, close)?;
            }
            let closed = writer.close()?;
            self.split_offsets.extend(closed.columns().first().and_then(|chunk| i64::try_from(chunk.byte_range().0).ok()));
            self.rows += rows;
        }
        Ok(())
    }

    /// The footer.
    pub(super) fn finish(mut self) -> Result<Footer> {
        for pair in std::mem::take(&mut self.said) {
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.flush()?;
        self.writer.inner_mut().is_end = true;
        self.writer.finish()?;
        let bytes = self.writer.bytes_written() as u64;
        let tail = std::mem::take(&mut self.writer.inner_mut().kept);
        Ok(Footer { tail: tail.into(), bytes, rows: self.rows, split_offsets: self.split_offsets })
    }
}

fn said(input: &Input) -> Vec<KeyValue> {
    input.footer.file_metadata().key_value_metadata().cloned().unwrap_or_default()
}

/// Where the writer writes: only what comes after the pages is kept.
#[derive(Debug, Default)]
struct Tail {
    is_end: bool,
    kept: Vec<u8>,
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_end {
            self.kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pages that go another way: the writer is given as many bytes as it asks for, whatever is in them.
struct Elsewhere;

impl Length for Elsewhere {
    fn len(&self) -> u64 {
        u64::MAX
    }
}

impl Read for Elsewhere {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }
}

impl ChunkReader for Elsewhere {
    type T = Self;

    fn get_read(&self, _: u64) -> Result<Self> {
        Ok(Self)
    }

    fn get_bytes(&self, _: u64, _: usize) -> Result<Bytes> {
        Err(ParquetError::General("pages of a copy are not looked at".to_owned()))
    }
}
