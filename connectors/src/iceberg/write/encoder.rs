//! Rows of one file to Parquet bytes. Pure CPU work, called on blocking threads.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use super::metrics::LeafMetrics;
use super::pieces::Pieces;
use crate::iceberg::leaves::leaf_arrays;

/// Memory of a writer before its first row, which [`ArrowWriter::memory_size`] does not count.
pub(super) const FRESH_ENCODER_BYTES: usize = 1 << 20;

/// Encodes one file; finished bytes are taken out as they come.
pub(super) struct Encoder {
    writer: ArrowWriter<Pieces>,
    leaves: Arc<[LeafMetrics]>,
    has_floats: bool,
    nans: Vec<u64>,
    rows: u64,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// What is left to do when a file is complete.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) rest: Vec<Bytes>,
    pub(super) footer: ParquetMetaData,
    pub(super) nans: Vec<u64>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Encoder {
    pub(super) fn try_new(file_schema: &SchemaRef, leaves: &Arc<[LeafMetrics]>, properties: WriterProperties) -> ParquetResult<Self> {
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Pieces::default(), Arc::clone(file_schema), options)?;
        let has_floats = leaves.iter().any(|known| is_float(&known.leaf.data_type));
        Ok(Self { writer, leaves: Arc::clone(leaves), has_floats, nans: vec![0; leaves.len()], rows: 0 })
    }

    /// Adds rows; ends the row group if the encoder holds more than `memory_limit` bytes afterwards.
    pub(super) fn write(&mut self, batch: &RecordBatch, memory_limit: usize) -> ParquetResult<()> {
        if self.has_floats {
            self.count_nans(batch);
        }
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch)?;
        if self.writer.memory_size() > memory_limit { self.writer.flush() } else { Ok(()) }
    }

    /// Ends the row group.
    pub(super) fn flush(&mut self) -> ParquetResult<()> {
        self.writer.flush()
    }

    /// Bytes that are finished and have not been taken.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.writer.inner_mut().take()
    }

    /// Bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().bytes() + FRESH_ENCODER_BYTES
    }

    /// Bytes of the file so far, the open row group estimated.
    pub(super) fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> ParquetResult<Encoded> {
        let footer = self.writer.finish()?;
        let bytes = self.writer.bytes_written() as u64;
        let rest = self.take();
        Ok(Encoded { rest, footer, nans: self.nans, rows: self.rows, bytes })
    }

    fn count_nans(&mut self, batch: &RecordBatch) {
        let arrays = leaf_arrays(batch.columns());
        for ((known, array), count) in self.leaves.iter().zip(&arrays).zip(&mut self.nans) {
            if is_float(&known.leaf.data_type) && !known.leaf.repeated {
                *count += nans(array);
            }
        }
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn nans(array: &ArrayRef) -> u64 {
    let found = match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            values.values().iter().enumerate().filter(|(row, value)| value.is_nan() && values.is_valid(*row)).count()
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            values.values().iter().enumerate().filter(|(row, value)| value.is_nan() && values.is_valid(*row)).count()
        }
        _ => 0,
    };
    found as u64
}
