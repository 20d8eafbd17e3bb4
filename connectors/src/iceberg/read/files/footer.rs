//! Footers: read in one request, of about their very size, and kept for the next query.

use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::store::{FileBytes, TableFiles};
use crate::iceberg::read::cache::FileKey;
use crate::iceberg::read::listed::ListedFile;

/// Bytes at the end of a file that are fetched if nothing tells how long its footer is.
pub(in crate::iceberg::read) const UNKNOWN: u64 = 64 << 10;
/// Estimates beyond this are not believed.
const MOST: u64 = 8 << 20;
/// Length and magic number, which end every file; the magic number also begins it.
const FRAME: u64 = 8;

/// How many bytes at the end of a data file are its footer and page index: what the columns' sizes leave over.
pub(in crate::iceberg::read) fn length(file: &ListedFile) -> u64 {
    let columns = file.column_bytes();
    let rest = file.bytes().checked_sub(columns.saturating_add(4));
    rest.filter(|rest| columns > 0 && (FRAME..=MOST).contains(rest)).unwrap_or(UNKNOWN)
}

/// A footer as it is kept.
struct Kept {
    metadata: Arc<ParquetMetaData>,
    page_index: bool,
}

impl TableFiles {
    /// The footer of a file of which `length` bytes at the end are expected to be it; with the page index if rows will be picked.
    pub(in crate::iceberg::read) async fn footer(
        &self,
        file: &FileBytes,
        length: u64,
        page_index: bool,
    ) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let key = FileKey::new(&file.location, file.bytes);
        if let Some(kept) = self.cache.get::<Kept>(&key).await.filter(|kept| kept.page_index || !page_index) {
            self.counts.footers_cached.add(1);
            return Ok(Arc::clone(&kept.metadata));
        }
        let metadata = load(file, length, page_index).await?;
        self.counts.footers_read.add(1);
        let kept = Arc::new(Kept { metadata: Arc::clone(&metadata), page_index });
        self.cache.put(key, &kept, metadata.memory_size() as u64).await;
        Ok(metadata)
    }
}

async fn load(file: &FileBytes, length: u64, page_index: bool) -> Result<Arc<ParquetMetaData>, ParquetError> {
    let policy = if page_index { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let hint = usize::try_from(length.min(file.bytes)).ok();
    let reader = ParquetMetaDataReader::new().with_prefetch_hint(hint).with_page_index_policy(policy);
    let mut bytes = file.clone();
    Ok(Arc::new(reader.load_and_finish(&mut bytes, file.bytes).await?))
}
