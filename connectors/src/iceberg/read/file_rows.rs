//! All rows of one data file, or of some of its row groups, in their order, for a stream that counts them: no filters, no deletes.
//!
//! What is fetched at a time is a row group, or a stretch of one that is too large for the budget, and is charged to the budget until it is
//! decoded.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use arrow_array::RecordBatch;
use futures::StreamExt;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::RowGroupMetaData;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_fs::FileSystems;

use super::columns::TableColumns;
use super::files::columns::FileColumns;
use super::files::recipe::{self, RowMaker};
use super::files::store::FileBytes;
use super::files::{TableFiles, footer, leaves};
use super::need::Need;
use crate::error::ConnectorError;

/// A reader fetches at most this share of the budget at a time, if the file's page index lets it.
const SHARE: u64 = 16;
/// It need not fetch less than this.
const LEAST: u64 = 1 << 20;
/// What decoding holds of a column at most: a dictionary and a page, as large as writers make them by default.
const DECODED: u64 = 2 << 20;

/// A data file to read, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::iceberg) struct FileToRead {
    pub(in crate::iceberg) path: String,
    /// Size of the file.
    pub(in crate::iceberg) bytes: u64,
    /// Rows to read.
    pub(in crate::iceberg) rows: u64,
    /// The row groups to read; all of them if none are named.
    pub(in crate::iceberg) groups: Option<Range<usize>>,
}

/// What is read of every file.
#[derive(Debug, Clone)]
pub(in crate::iceberg) struct Wanted {
    /// The table's name.
    pub(in crate::iceberg) table: String,
    pub(in crate::iceberg) file_systems: FileSystems,
    /// Row counts alone need no columns: then batches of no columns come.
    pub(in crate::iceberg) columns: TableColumns,
    pub(in crate::iceberg) batch_rows: usize,
    pub(in crate::iceberg) budget: MemoryBudget,
}

/// Rows and stored bytes of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::iceberg) struct GroupSize {
    pub(in crate::iceberg) rows: u64,
    pub(in crate::iceberg) bytes: u64,
}

/// The row groups of a file, as its footer tells them.
///
/// # Errors
/// A file that is missing or damaged.
pub(in crate::iceberg) async fn row_groups(
    table: &str,
    file_systems: &FileSystems,
    path: &str,
    bytes: u64,
) -> Result<Vec<GroupSize>, ConnectorError> {
    let files = TableFiles::new(table, file_systems.clone());
    let footer = files.footer(&files.open(path, bytes)?, footer::UNKNOWN, false).await.map_err(|error| files.unreadable(path, error))?;
    let size = |group: &RowGroupMetaData| GroupSize { rows: counted(group.num_rows()), bytes: counted(group.compressed_size()) };
    Ok(footer.row_groups().iter().map(size).collect())
}

/// The rows of a file that is open.
pub(in crate::iceberg) struct FileRows {
    files: TableFiles,
    path: String,
    bytes: FileBytes,
    columns: FileColumns,
    chosen: BTreeSet<usize>,
    maker: RowMaker,
    batch_rows: usize,
    /// What has not been fetched yet.
    left: VecDeque<Stretch>,
    fetched: Option<ParquetRecordBatchStream<FileBytes>>,
    charged: Reservation,
}

/// Rows of a row group that are fetched at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    group: usize,
    rows: Range<u64>,
    /// Rows of the group.
    of: u64,
    /// What it takes in memory until it is decoded.
    memory: u64,
}

impl FileRows {
    /// Opens a file behind its first `skip` rows.
    ///
    /// # Errors
    /// A file that is missing, damaged, or lacks a column that allows no nulls; the message says which.
    pub(in crate::iceberg) async fn open(file: &FileToRead, skip: u64, wanted: &Wanted) -> Result<Self, ConnectorError> {
        let files = TableFiles::new(&wanted.table, wanted.file_systems.clone());
        let bytes = files.open(&file.path, file.bytes)?;
        let TableColumns { schema, with_ids, naming, defaults } = &wanted.columns;
        let load = |page_index| {
            let (bytes, files, path) = (&bytes, &files, &file.path);
            async move {
                let footer = files.footer(bytes, footer::UNKNOWN, page_index).await;
                footer.and_then(|footer| FileColumns::try_new(&footer, naming)).map_err(|error| files.unreadable(path, error))
            }
        };
        let mut columns = load(false).await?;
        let needs = vec![Need::Whole; with_ids.fields().len()];
        let chosen = leaves::choose(with_ids.fields(), &needs, &columns.row, &|leaf| columns.size(leaf));
        let most = (wanted.budget.limit() / SHARE).max(LEAST);
        let is_large = |group: &RowGroupMetaData| stored(group, &chosen) > most;
        if columns.metadata.metadata().row_groups().iter().any(is_large) {
            columns = load(true).await?;
        }
        let of_file = recipe::Wanted { fields: with_ids.fields(), needs: &needs, schema };
        let missing = |id: i32| defaults.get(&id).cloned();
        let maker = RowMaker::try_new(of_file, &columns.row, &chosen, &missing).map_err(|what| files.wrong(&file.path, &what))?;
        let left = behind(skip, stretches(&columns, &chosen, file.groups.clone(), most));
        let charged = wanted.budget.reservation(Use::Fetch);
        let (path, batch_rows) = (file.path.clone(), wanted.batch_rows);
        Ok(Self { files, path, bytes, columns, chosen, maker, batch_rows, left, fetched: None, charged })
    }

    /// The next rows; none at the end. Dropping the future loses no rows.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub(in crate::iceberg) async fn next(&mut self) -> Result<Option<RecordBatch>, ConnectorError> {
        loop {
            let Some(fetched) = &mut self.fetched else {
                let Some(stretch) = self.left.pop_front() else { return Ok(None) };
                self.charged.resize(stretch.memory);
                self.fetched = Some(self.fetch(&stretch)?);
                continue;
            };
            match fetched.next().await {
                Some(Ok(batch)) => {
                    let made = self.maker.make(&batch).map_err(|error| self.files.wrong(&self.path, &error.to_string()))?;
                    return Ok(Some(made));
                }
                Some(Err(error)) => return Err(self.files.unreadable(&self.path, error)),
                None => {
                    self.fetched = None;
                    self.charged.resize(0);
                }
            }
        }
    }

    fn fetch(&self, stretch: &Stretch) -> Result<ParquetRecordBatchStream<FileBytes>, ConnectorError> {
        let metadata = self.columns.metadata.clone();
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), self.chosen.iter().copied());
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.bytes.clone(), metadata)
            .with_row_groups(vec![stretch.group])
            .with_projection(mask)
            .with_batch_size(self.batch_rows);
        if stretch.rows != (0..stretch.of) {
            let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
            let picked = [RowSelector::skip(count(stretch.rows.start)), RowSelector::select(count(stretch.rows.end - stretch.rows.start))];
            builder = builder.with_row_selection(RowSelection::from(picked.to_vec()));
        }
        builder.build().map_err(|error| self.files.unreadable(&self.path, error))
    }
}

/// What is fetched of row groups, one stretch after another: whole groups, and those of more than `most` bytes in even stretches if the file
/// tells where its pages are.
fn stretches(columns: &FileColumns, chosen: &BTreeSet<usize>, groups: Option<Range<usize>>, most: u64) -> Vec<Stretch> {
    let metadata = columns.metadata.metadata();
    let all = metadata.row_groups();
    let has_pages = |group: usize| metadata.offset_index().and_then(|index| index.get(group)).is_some_and(|columns| !columns.is_empty());
    let mut stretches = Vec::new();
    for number in groups.unwrap_or(0..all.len()) {
        let Some(group) = all.get(number) else { break };
        let (rows, bytes) = (counted(group.num_rows()), stored(group, chosen));
        let parts = if has_pages(number) { bytes.div_ceil(most).clamp(1, rows.max(1)) } else { 1 };
        let memory = bytes / parts + decoded(group, chosen);
        let even = rows.div_ceil(parts).max(1);
        let starts = (0..parts).map(|part| part * even).filter(|start| *start < rows);
        stretches.extend(starts.map(|start| Stretch { group: number, rows: start..(start + even).min(rows), of: rows, memory }));
    }
    stretches
}

/// Stretches without their first `skip` rows.
fn behind(skip: u64, stretches: Vec<Stretch>) -> VecDeque<Stretch> {
    let mut skip = skip;
    let mut left = VecDeque::new();
    for stretch in stretches {
        let passed = skip.min(stretch.rows.end - stretch.rows.start);
        skip -= passed;
        let rows = stretch.rows.start + passed..stretch.rows.end;
        if !rows.is_empty() {
            left.push_back(Stretch { rows, ..stretch });
        }
    }
    left
}

/// Stored bytes of the chosen leaves of a row group.
fn stored(group: &RowGroupMetaData, chosen: &BTreeSet<usize>) -> u64 {
    chosen.iter().filter_map(|leaf| group.columns().get(*leaf)).map(|column| counted(column.compressed_size())).sum()
}

/// What is held of them while they are decoded.
fn decoded(group: &RowGroupMetaData, chosen: &BTreeSet<usize>) -> u64 {
    chosen.iter().filter_map(|leaf| group.columns().get(*leaf)).map(|column| counted(column.uncompressed_size()).min(DECODED)).sum()
}

fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_left_behind_skipped_rows_are_the_rows_behind_them(lengths in prop::collection::vec(1_u64..50, 1..8), skip in 0_u64..300) {
            let stretches: Vec<Stretch> =
                lengths.iter().enumerate().map(|(group, rows)| Stretch { group, rows: 0..*rows, of: *rows, memory: 1 }).collect();
            let rows = |stretch: &Stretch| stretch.rows.clone().map(|row| (stretch.group, row)).collect::<Vec<_>>();
            let all: Vec<_> = stretches.iter().flat_map(rows).collect();
            let left: Vec<_> = behind(skip, stretches).iter().flat_map(rows).collect();
            prop_assert_eq!(left, all.into_iter().skip(usize::try_from(skip).expect("small")).collect::<Vec<_>>());
        }
    }
}
