//! Snapshots that overwrite or delete rows, told as changes: every row of a data file that went away is a `-D`, every row of one that came
//! is a `+I`. A file that was rewritten gives both for the rows that stayed in it.
//!
//! That can be told of whole files only. Delete files take rows out of files that stay, and which rows these are, and which of them
//! were gone before, only the deletes of the whole table say together: such tables are refused.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use iceberg::spec::{DataFile, ManifestContentType, ManifestStatus, SnapshotRef};
use weir_base::ErrorKind;
use weir_catalog::lake::LakeTable;
use weir_catalog::read::{entries, manifests};

use crate::error::ConnectorError;
use crate::iceberg::committer::catalog_error;

/// The column that says what a row of a change stream is. A query must look at it.
pub const ROW_KIND: &str = "_row_kind";
/// The sequence number of the snapshot that made the change: the order of changes.
const COMMIT_SEQUENCE: &str = "_commit_sequence";

/// What a snapshot did with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Removed,
    Added,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "-D",
            Self::Added => "+I",
        }
    }
}

/// The columns of a stream of changes; `Err` names a column that the table has already.
pub(super) fn with_changes(columns: &SchemaRef) -> Result<SchemaRef, &'static str> {
    let ours = [Field::new(ROW_KIND, DataType::Utf8, false), Field::new(COMMIT_SEQUENCE, DataType::Int64, false)];
    for name in [ROW_KIND, COMMIT_SEQUENCE] {
        if columns.column_with_name(name).is_some() {
            return Err(name);
        }
    }
    Ok(Arc::new(Schema::new(columns.fields().iter().cloned().chain(ours.map(Arc::new)).collect::<Vec<_>>())))
}

/// How batches of a stream are made of the rows of files and what is known of these.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Columns of the table to read.
    pub(super) read: Vec<usize>,
    /// None if that is all.
    output: Option<(SchemaRef, Vec<Place>)>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Read(usize),
    Kind,
    Sequence,
}

impl Layout {
    /// The columns `projection` of a stream with the columns `schema`, of which the first `of_table` are the table's.
    pub(super) fn new(schema: &SchemaRef, of_table: usize, projection: &[usize]) -> Result<Self, ArrowError> {
        let read: Vec<usize> = projection.iter().copied().filter(|column| *column < of_table).collect();
        if read.len() == projection.len() {
            return Ok(Self { read, output: None });
        }
        let mut next = 0;
        let place = |column: &usize| match column.checked_sub(of_table) {
            None => {
                next += 1;
                Place::Read(next - 1)
            }
            Some(0) => Place::Kind,
            Some(_) => Place::Sequence,
        };
        let places = projection.iter().map(place).collect();
        Ok(Self { read, output: Some((Arc::new(schema.project(projection)?), places)) })
    }

    /// The batch to hand on.
    pub(super) fn make(&self, rows: RecordBatch, kind: Kind, sequence: i64) -> Result<RecordBatch, ArrowError> {
        let Some((schema, places)) = &self.output else { return Ok(rows) };
        let count = rows.num_rows();
        let column = |place: &Place| -> ArrayRef {
            match place {
                Place::Read(index) => Arc::clone(rows.column(*index)),
                Place::Kind => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(kind.as_str(), count))),
                Place::Sequence => Arc::new(Int64Array::from_value(sequence, count)),
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(schema), places.iter().map(column).collect(), &options)
    }
}

/// The files that a snapshot removed and added.
///
/// # Errors
/// Deletes of rows, manifests that cannot be read, or that do not name all files that the snapshot says it removed.
pub(super) async fn changed_files(name: &str, table: &LakeTable, snapshot: &SnapshotRef) -> Result<Vec<(Kind, DataFile)>, ConnectorError> {
    let id = snapshot.snapshot_id();
    let mut files = Vec::new();
    for manifest in manifests(table, snapshot).await.map_err(catalog_error)? {
        if manifest.content == ManifestContentType::Deletes {
            let what = format!("snapshot {id} of table {name} changes rows, and the table has delete files, which cannot be told as changes");
            let ways = "Let its writers replace whole files ('write.delete.mode', 'write.update.mode' and 'write.merge.mode' = 'copy-on-write') and \
                        compact it; or pass over such snapshots with 'streaming.skip-overwrite-snapshots' = 'true'";
            return Err(ConnectorError::user(format!("{what}. {ways}.")));
        }
        if manifest.added_snapshot_id != id {
            continue;
        }
        for entry in entries(table, &manifest).await.map_err(catalog_error)? {
            match entry.status() {
                _ if entry.snapshot_id() != Some(id) => {}
                ManifestStatus::Added => files.push((Kind::Added, entry.data_file().clone())),
                ManifestStatus::Deleted => files.push((Kind::Removed, entry.data_file().clone())),
                ManifestStatus::Existing => {}
            }
        }
    }
    let told = snapshot.summary().additional_properties.get("deleted-data-files").and_then(|count| count.parse::<usize>().ok());
    let found = files.iter().filter(|(kind, _)| *kind == Kind::Removed).count();
    match told {
        Some(told) if told != found => {
            let what = format!("table {name}: snapshot {id} says that it removed {told} data files, but its manifests name {found}");
            Err(ConnectorError::new(ErrorKind::Corrupt, what))
        }
        _ => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_changes_stand_where_a_query_wants_them() {
        let table: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]));
        let all = with_changes(&table).expect("free names");
        assert_eq!(with_changes(&all), Err(ROW_KIND));
        let layout = Layout::new(&all, 2, &[3, 1, 2]).expect("columns");
        assert_eq!(layout.read, [1]);
        let read = RecordBatch::try_new(Arc::new(table.project(&[1]).expect("b")), vec![Arc::new(Int64Array::from(vec![7, 8]))]).expect("rows");
        let made = layout.make(read, Kind::Removed, 5).expect("a batch");
        let wanted: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![5, 5])), Arc::new(Int64Array::from(vec![7, 8])), Arc::new(StringArray::from(vec!["-D", "-D"]))];
        assert_eq!(made.columns(), wanted);
        assert_eq!(Layout::new(&all, 2, &[1, 0]).expect("columns").read, [1, 0]);
    }
}
