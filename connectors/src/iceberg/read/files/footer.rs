//! Footers: read in one request, of about their very size.

use std::sync::Arc;

use iceberg::spec::DataFile;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::store::FileBytes;

/// Bytes at the end of a file that are fetched if nothing tells how long its footer is.
pub(in crate::iceberg::read) const UNKNOWN: u64 = 64 << 10;
/// Estimates beyond this are not believed.
const MOST: u64 = 8 << 20;
/// Length and magic number, which end every file; the magic number also begins it.
const FRAME: u64 = 8;

/// How many bytes at the end of a data file are its footer and page index: what the columns' sizes leave over.
pub(in crate::iceberg::read) fn length(file: &DataFile) -> u64 {
    let columns: u64 = file.column_sizes().values().sum();
    let rest = file.file_size_in_bytes().checked_sub(columns + 4);
    rest.filter(|rest| columns > 0 && (FRAME..=MOST).contains(rest)).unwrap_or(UNKNOWN)
}

/// Reads the footer of a file of which `length` bytes at the end are expected to be it; with the page index if rows will be picked.
pub(in crate::iceberg::read) async fn load(file: &FileBytes, length: u64, page_index: bool) -> Result<Arc<ParquetMetaData>, ParquetError> {
    let policy = if page_index { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let hint = usize::try_from(length.min(file.bytes)).ok();
    let reader = ParquetMetaDataReader::new().with_prefetch_hint(hint).with_page_index_policy(policy);
    let mut bytes = file.clone();
    Ok(Arc::new(reader.load_and_finish(&mut bytes, file.bytes).await?))
}
