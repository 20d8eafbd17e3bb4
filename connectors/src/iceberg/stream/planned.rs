//! The files of a snapshot, dealt out over the splits of a stream.
//!
//! Which rows of a snapshot have which positions depends on nothing but what its manifests say and the number of splits, so that a job that
//! goes on later finds the same rows at the same positions.

use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileFormat};
use weir_catalog::lake::LakeTable;
use weir_catalog::read::{LiveFile, added_files, data_files};

use super::history::Step;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::read::FileToRead;

/// A file and the row of its split with which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: FileToRead,
    pub(super) first_row: i64,
}

impl Part {
    /// The row behind its last one.
    pub(super) fn end(&self) -> i64 {
        self.first_row.saturating_add(i64::try_from(self.file.rows).unwrap_or(i64::MAX))
    }
}

/// What a snapshot holds for each split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// Its sequence number.
    pub(super) sequence: i64,
    /// By split; parts in the order of their rows.
    pub(super) splits: Vec<Arc<[Part]>>,
}

impl Planned {
    /// The rows of a split.
    pub(super) fn rows(&self, split: usize) -> i64 {
        self.splits.get(split).and_then(|parts| parts.last()).map_or(0, Part::end)
    }
}

/// Looks up the files of a step and deals them out.
///
/// # Errors
/// Manifests that cannot be read; files that cannot be read as a stream.
pub(super) async fn plan(name: &str, table: &LakeTable, step: &Step, splits: usize) -> Result<Planned, ConnectorError> {
    let snapshot = step.snapshot();
    let files = match step {
        Step::Scan(_) => data_files(table, Some(snapshot.snapshot_id())).await.map_err(catalog_error)?,
        Step::Added(_) => added_files(table, snapshot).await.map_err(catalog_error)?,
        Step::Nothing(_) => Vec::new(),
    };
    let files = files.into_iter().map(|live| readable(name, &live, snapshot.snapshot_id())).collect::<Result<Vec<_>, _>>()?;
    Ok(Planned { sequence: snapshot.sequence_number(), splits: deal(files, splits) })
}

fn readable(name: &str, live: &LiveFile, snapshot: i64) -> Result<FileToRead, ConnectorError> {
    let file = &live.file;
    if file.content_type() != DataContentType::Data {
        let what = format!("snapshot {snapshot} of table {name} has deletes (`{}`), which a stream cannot apply", file.file_path());
        return Err(ConnectorError::user(format!("{what}; compact the table, or begin after that snapshot with 'starting-strategy'")));
    }
    if file.file_format() != DataFileFormat::Parquet {
        return Err(ConnectorError::user(format!("file `{}` of table {name} is not Parquet and cannot be read", file.file_path())));
    }
    Ok(FileToRead { path: file.file_path().to_owned(), bytes: file.file_size_in_bytes(), rows: file.record_count() })
}

/// The largest files first, each to the split that has the fewest rows.
fn deal(mut files: Vec<FileToRead>, splits: usize) -> Vec<Arc<[Part]>> {
    files.retain(|file| file.rows > 0);
    files.sort_by(|left, right| right.rows.cmp(&left.rows).then_with(|| left.path.cmp(&right.path)));
    let mut dealt: Vec<Vec<Part>> = vec![Vec::new(); splits.max(1)];
    for file in files {
        if let Some(fewest) = dealt.iter_mut().min_by_key(|parts| parts.last().map_or(0, Part::end)) {
            let first_row = fewest.last().map_or(0, Part::end);
            fewest.push(Part { file, first_row });
        }
    }
    dealt.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_dealt_out_the_same_way_whatever_their_order() {
        let file = |rows| FileToRead { path: format!("f{rows}"), bytes: 1, rows };
        let dealt = deal([9, 1, 0, 5, 4, 3].map(file).to_vec(), 2);
        let rows: Vec<Vec<(i64, u64)>> = dealt.iter().map(|parts| parts.iter().map(|part| (part.first_row, part.file.rows)).collect()).collect();
        assert_eq!(rows, [vec![(0, 9), (9, 3)], vec![(0, 5), (5, 4), (9, 1)]]);
        assert_eq!(deal([3, 4, 5, 0, 1, 9].map(file).to_vec(), 2), dealt);
        let planned = Planned { sequence: 3, splits: deal(vec![file(7)], 2) };
        assert_eq!((planned.rows(0), planned.rows(1), planned.rows(2)), (7, 0, 0));
    }
}
