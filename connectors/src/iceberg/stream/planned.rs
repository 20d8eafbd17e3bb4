//! The files of a snapshot, cut into pieces of whole row groups and dealt out over the splits of a stream.
//!
//! Which rows of a snapshot have which positions depends on nothing but what its manifests and its files' footers say, the number of splits
//! and the size of pieces, which a checkpoint remembers; so a job that goes on later finds the same rows at the same positions.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataContentType, DataFile, DataFileFormat};
use weir_base::ErrorKind;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::{added_files, data_files};
use weir_fs::FileSystems;

use super::changes::{Kind, changed_files};
use super::history::Step;
use super::reader::unreadable;
use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;
use crate::iceberg::read::{FileToRead, GroupSize, row_groups};

/// Footers read at the same time.
const FOOTERS: usize = 8;

/// A file or a piece of one, and the row of its split with which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: FileToRead,
    pub(super) kind: Kind,
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

/// How snapshots are planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planner<'a> {
    /// The table's name.
    pub(super) name: &'a str,
    pub(super) file_systems: &'a FileSystems,
    pub(super) splits: usize,
    /// Files of more bytes are cut, and each snapshot begins with another split than the one before, so that many small ones are read side by
    /// side. None for checkpoints from before there were pieces: then neither is done.
    pub(super) piece: Option<u64>,
}

impl Planner<'_> {
    /// Looks up the files of a step, cuts the large ones and deals them out.
    ///
    /// # Errors
    /// Manifests and footers that cannot be read; files that cannot be read as a stream.
    pub(super) async fn plan(&self, table: &LakeTable, step: &Step) -> Result<Planned, ConnectorError> {
        let snapshot = step.snapshot();
        let added = |files: Vec<weir_catalog::read::LiveFile>| files.into_iter().map(|live| (Kind::Added, live.file)).collect();
        let files: Vec<(Kind, DataFile)> = match step {
            Step::Scan(_) => data_files(table, Some(snapshot.snapshot_id())).await.map(added).map_err(catalog_error)?,
            Step::Added(_) => added_files(table, snapshot).await.map(added).map_err(catalog_error)?,
            Step::Changed(_) => changed_files(self.name, table, snapshot).await?,
            Step::Nothing(_) => Vec::new(),
        };
        for (_, file) in &files {
            self.check(file, snapshot.snapshot_id())?;
        }
        let cut = files.iter().filter(|(_, file)| file.record_count() > 0).map(|(kind, file)| self.cut(*kind, file)).collect::<Vec<_>>();
        let pieces: Vec<Vec<(Kind, FileToRead)>> = stream::iter(cut).buffered(FOOTERS).try_collect().await?;
        let sequence = snapshot.sequence_number();
        let mut splits = deal(pieces.into_iter().flatten().collect(), self.splits);
        if self.piece.is_some() {
            let turn = usize::try_from(sequence).unwrap_or(0) % splits.len();
            splits.rotate_right(turn);
        }
        Ok(Planned { sequence, splits })
    }

    fn check(&self, file: &DataFile, snapshot: i64) -> Result<(), ConnectorError> {
        if file.content_type() != DataContentType::Data {
            let what = format!("snapshot {snapshot} of table {} has deletes (`{}`), which a stream cannot apply", self.name, file.file_path());
            return Err(ConnectorError::user(format!("{what}; compact the table, or begin after that snapshot with 'starting-strategy'")));
        }
        if file.file_format() != DataFileFormat::Parquet {
            return Err(ConnectorError::user(format!("file `{}` of table {} is not Parquet and cannot be read", file.file_path(), self.name)));
        }
        Ok(())
    }

    async fn cut(&self, kind: Kind, file: &DataFile) -> Result<Vec<(Kind, FileToRead)>, ConnectorError> {
        let (path, bytes) = (file.file_path().to_owned(), file.file_size_in_bytes());
        let most = self.piece.unwrap_or(u64::MAX);
        if bytes <= most {
            return Ok(vec![(kind, FileToRead { path, bytes, rows: file.record_count(), groups: None })]);
        }
        let groups = row_groups(self.name, self.file_systems, &path, bytes).await.map_err(|error| unreadable(self.name, &path, error))?;
        let rows: u64 = groups.iter().map(|group| group.rows).sum();
        if rows != file.record_count() {
            let what = format!("table {}: file `{path}` has {rows} rows, but its manifest says {}", self.name, file.record_count());
            return Err(ConnectorError::new(ErrorKind::Corrupt, what));
        }
        let piece = |groups: Range<usize>, rows| (kind, FileToRead { path: path.clone(), bytes, rows, groups: Some(groups) });
        Ok(pieces(&groups, most).into_iter().map(|(groups, rows)| piece(groups, rows)).collect())
    }
}

/// Runs of row groups of at most `most` bytes, or of one group, with their rows.
fn pieces(groups: &[GroupSize], most: u64) -> Vec<(Range<usize>, u64)> {
    let mut pieces: Vec<(Range<usize>, u64)> = Vec::new();
    let mut room = 0;
    for (number, group) in groups.iter().enumerate() {
        match pieces.last_mut() {
            Some((run, rows)) if group.bytes <= room => {
                run.end = number + 1;
                *rows += group.rows;
            }
            _ => {
                room = most;
                pieces.push((number..number + 1, group.rows));
            }
        }
        room = room.saturating_sub(group.bytes);
    }
    pieces
}

/// What was removed before what was added, and of each the largest first, each to the split that has the fewest rows.
fn deal(mut pieces: Vec<(Kind, FileToRead)>, splits: usize) -> Vec<Arc<[Part]>> {
    let first_group = |file: &FileToRead| file.groups.as_ref().map(|groups| groups.start);
    pieces.retain(|(_, file)| file.rows > 0);
    pieces.sort_by_cached_key(|(kind, file)| (*kind, Reverse(file.rows), file.path.clone(), first_group(file)));
    let mut dealt: Vec<Vec<Part>> = vec![Vec::new(); splits.max(1)];
    for (kind, file) in pieces {
        if let Some(fewest) = dealt.iter_mut().min_by_key(|parts| parts.last().map_or(0, Part::end)) {
            let first_row = fewest.last().map_or(0, Part::end);
            fewest.push(Part { file, kind, first_row });
        }
    }
    dealt.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_dealt_out_the_same_way_whatever_their_order() {
        let file = |rows| (Kind::Added, FileToRead { path: format!("f{rows}"), bytes: 1, rows, groups: None });
        let dealt = deal([9, 1, 0, 5, 4, 3].map(file).to_vec(), 2);
        let rows: Vec<Vec<(i64, u64)>> = dealt.iter().map(|parts| parts.iter().map(|part| (part.first_row, part.file.rows)).collect()).collect();
        assert_eq!(rows, [vec![(0, 9), (9, 3)], vec![(0, 5), (5, 4), (9, 1)]]);
        assert_eq!(deal([3, 4, 5, 0, 1, 9].map(file).to_vec(), 2), dealt);
        let planned = Planned { sequence: 3, splits: deal(vec![file(7)], 2) };
        assert_eq!((planned.rows(0), planned.rows(1), planned.rows(2)), (7, 0, 0));
    }

    #[test]
    fn in_every_split_what_was_removed_comes_first() {
        let file = |kind, rows| (kind, FileToRead { path: format!("f{rows}"), bytes: 1, rows, groups: None });
        let dealt = deal(vec![file(Kind::Added, 9), file(Kind::Removed, 2), file(Kind::Added, 8), file(Kind::Removed, 1)], 2);
        for parts in &dealt {
            assert_eq!(parts.iter().map(|part| part.kind).collect::<Vec<_>>(), [Kind::Removed, Kind::Added]);
        }
    }

    #[test]
    fn pieces_are_runs_of_whole_row_groups() {
        let group = |bytes| GroupSize { rows: bytes * 10, bytes };
        let cut = |sizes: &[u64]| pieces(&sizes.iter().copied().map(group).collect::<Vec<_>>(), 10);
        assert_eq!(cut(&[4, 6, 1, 9, 30, 2, 2]), [(0..2, 100), (2..4, 100), (4..5, 300), (5..7, 40)]);
        assert_eq!(cut(&[]), []);
    }
}
