//! The pages of one column chunk: how many nulls, and the least and the greatest value.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use object_store::ObjectStoreExt;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{AsBytes, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use weir_base::task;
use weir_fs::Location;

/// Rows decoded at once.
const ROWS: usize = 8_192;

/// What was seen in a column chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) nulls: u64,
    /// The least and the greatest value, in Parquet's plain form. NaNs count as neither.
    pub(super) extremes: Option<(Vec<u8>, Vec<u8>)>,
}

/// Reads the chunk of a flat column in one row group.
///
/// # Errors
/// The store's, pages that cannot be decoded.
pub(super) async fn read(location: &Location, footer: &Arc<ParquetMetaData>, group: usize, leaf: usize) -> Result<Seen> {
    let chunk = footer.row_groups().get(group).and_then(|group| group.columns().get(leaf));
    let (start, length) = chunk.ok_or_else(|| ParquetError::General("a column that the footer does not have".to_owned()))?.byte_range();
    let bytes = location.store.get_range(&location.path, start..start + length).await.map_err(|error| ParquetError::External(Box::new(error)))?;
    let footer = Arc::clone(footer);
    let seen = task::blocking("column chunk", move || scan(&footer, group, leaf, ChunkBytes { start, bytes })).await;
    seen.map_err(|error| ParquetError::External(Box::new(error)))?
}

fn scan(footer: &ParquetMetaData, group: usize, leaf: usize, bytes: ChunkBytes) -> Result<Seen> {
    let missing = || ParquetError::General("a column that the footer does not have".to_owned());
    let group = footer.row_groups().get(group).ok_or_else(missing)?;
    let chunk = group.columns().get(leaf).ok_or_else(missing)?;
    let rows = usize::try_from(group.num_rows()).map_err(|error| ParquetError::External(Box::new(error)))?;
    let pages = SerializedPageReader::new(Arc::new(bytes), chunk, rows, None)?;
    let column = chunk.column_descr_ptr();
    let most = column.max_def_level();
    let is_decimal = column.type_precision() > 0;
    let by_bytes = move |a: &[u8], b: &[u8]| Some(if is_decimal { signed(a, b) } else { a.cmp(b) });
    match get_column_reader(column, Box::new(pages)) {
        ColumnReader::BoolColumnReader(reader) => scan_typed(reader, most, |a, b| Some(a.cmp(b))),
        ColumnReader::Int32ColumnReader(reader) => scan_typed(reader, most, |a, b| Some(a.cmp(b))),
        ColumnReader::Int64ColumnReader(reader) => scan_typed(reader, most, |a, b| Some(a.cmp(b))),
        ColumnReader::Int96ColumnReader(reader) => scan_typed(reader, most, |_, _| None),
        ColumnReader::FloatColumnReader(reader) => scan_typed(reader, most, |a, b| a.partial_cmp(b)),
        ColumnReader::DoubleColumnReader(reader) => scan_typed(reader, most, |a, b| a.partial_cmp(b)),
        ColumnReader::ByteArrayColumnReader(reader) => scan_typed(reader, most, move |a, b| by_bytes(a.as_bytes(), b.as_bytes())),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => scan_typed(reader, most, move |a, b| by_bytes(a.as_bytes(), b.as_bytes())),
    }
}

/// `order` gives nothing for values that have no order, not even with themselves.
fn scan_typed<T: DataType>(mut reader: ColumnReaderImpl<T>, most: i16, order: impl Fn(&T::T, &T::T) -> Option<Ordering>) -> Result<Seen> {
    let mut nulls = 0;
    let mut extremes: Option<(T::T, T::T)> = None;
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let (rows, _, _) = reader.read_records(ROWS, (most > 0).then_some(&mut levels), None, &mut values)?;
        if rows == 0 {
            break;
        }
        nulls += levels.iter().filter(|level| **level < most).count() as u64;
        for value in values.drain(..).filter(|value| order(value, value).is_some()) {
            extremes = Some(match extremes {
                None => (value.clone(), value),
                Some((least, greatest)) if order(&value, &least) == Some(Ordering::Less) => (value, greatest),
                Some((least, greatest)) if order(&value, &greatest) == Some(Ordering::Greater) => (least, value),
                Some(kept) => kept,
            });
        }
    }
    Ok(Seen { nulls, extremes: extremes.map(|(least, greatest)| (least.as_bytes().to_vec(), greatest.as_bytes().to_vec())) })
}

/// The order of two numbers in two's complement, big-endian, of any lengths.
fn signed(a: &[u8], b: &[u8]) -> Ordering {
    let is_negative = |bytes: &[u8]| bytes.first().is_some_and(|first| *first >= 0x80);
    match (is_negative(a), is_negative(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (negative, _) => {
            let fill = if negative { 0xff } else { 0 };
            let length = a.len().max(b.len());
            let extended = |bytes: &[u8]| [vec![fill; length - bytes.len()], bytes.to_vec()].concat();
            extended(a).cmp(&extended(b))
        }
    }
}

/// A part of a file, at the place that it has there.
struct ChunkBytes {
    start: u64,
    bytes: Bytes,
}

impl ChunkBytes {
    fn from(&self, start: u64) -> Result<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= self.bytes.len());
        at.map(|at| self.bytes.slice(at..)).ok_or_else(|| ParquetError::EOF(format!("byte {start} is not in the column chunk")))
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for ChunkBytes {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let from = self.from(start)?;
        if from.len() < length { Err(ParquetError::EOF(format!("{length} bytes at {start} are not all there"))) } else { Ok(from.slice(..length)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_ordered_by_their_sign_and_whatever_their_length() {
        for (a, b) in [(-300_i16, -2_i16), (-2, -1), (-1, 0), (0, 1), (1, 300)] {
            assert_eq!(signed(&a.to_be_bytes(), &b.to_be_bytes()), Ordering::Less, "{a} {b}");
        }
        assert_eq!(signed(&[0xff], &[0xff, 0xfe]), Ordering::Greater);
        assert_eq!(signed(&[1], &[0, 1]), Ordering::Equal);
    }
}
