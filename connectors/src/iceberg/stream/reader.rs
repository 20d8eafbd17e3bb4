//! Reads one split of a stream: the files that it has of each snapshot, one after another.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use weir_base::memory::{Reservation, Use};
use weir_base::{Classified, ErrorKind};
use weir_fs::kind_of;

use super::changes::{Kind, Layout};
use super::place::Place;
use super::planned::Part;
use super::shared::Shared;
use crate::error::ConnectorError;
use crate::iceberg::read::{FileRows, Wanted};
use crate::source::{Read, SplitReader};

/// The reader of one split.
pub(super) struct LakeReader {
    shared: Arc<Shared>,
    split: usize,
    position: i64,
    wanted: Wanted,
    layout: Layout,
    file: Option<OpenFile>,
}

/// A file that is being read.
struct OpenFile {
    path: String,
    kind: Kind,
    sequence: i64,
    rows: FileRows,
    /// Position of the first row that has not come yet.
    next: i64,
    /// Position behind its last row.
    end: i64,
    /// Rows that have come and are not delivered; the last of them lies before `next`.
    held: Option<RecordBatch>,
    /// For what is held.
    charged: Reservation,
}

/// Where in a table's history a part lies.
struct Found {
    part: Part,
    sequence: i64,
    first: i64,
    end: i64,
}

impl std::fmt::Debug for LakeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.as_ref().map(|file| &file.path);
        f.debug_struct("LakeReader").field("split", &self.split).field("position", &self.position).field("file", &file).finish_non_exhaustive()
    }
}

impl LakeReader {
    pub(super) fn new(shared: Arc<Shared>, split: usize, position: i64, wanted: Wanted, layout: Layout) -> Self {
        Self { shared, split, position, wanted, layout, file: None }
    }

    /// The file that holds the next row; none if nothing more is planned.
    fn next_part(&self) -> Result<Option<Found>, ConnectorError> {
        let place = Place::of_offset(self.position);
        let mut sequence = place.sequence;
        while let Some(planned) = self.shared.plan_from(sequence) {
            let row = if planned.sequence == place.sequence { place.row } else { 0 };
            let parts = planned.splits.get(self.split).map(Arc::as_ref).unwrap_or_default();
            if let Some(part) = parts.get(parts.partition_point(|part| part.end() <= row)) {
                let offset = |row| self.shared.offset(Place { sequence: planned.sequence, row });
                let (first, end) = (offset(part.first_row)?, offset(part.end())?);
                return Ok(Some(Found { part: part.clone(), sequence: planned.sequence, first, end }));
            }
            sequence = planned.sequence + 1;
        }
        Ok(None)
    }

    /// Opens the file with the next row, if that comes before `until`.
    async fn open_next(&mut self, until: i64) -> Result<bool, ConnectorError> {
        let Some(Found { part, sequence, first, end }) = self.next_part()?.filter(|found| found.first < until) else { return Ok(false) };
        let next = first.max(self.position);
        let skip = u64::try_from(next - first).unwrap_or(0);
        let path = part.file.path.clone();
        let rows = FileRows::open(&part.file, skip, &self.wanted).await.map_err(|error| unreadable(&self.shared.name, &path, error))?;
        let charged = self.wanted.budget.reservation(Use::Fetch);
        self.file = Some(OpenFile { path, kind: part.kind, sequence, rows, next, end, held: None, charged });
        Ok(true)
    }
}

impl OpenFile {
    /// Takes held rows from `from` on and before `until`, with the position behind them.
    fn take(&mut self, from: i64, until: i64) -> Option<(RecordBatch, i64)> {
        let held = self.held.take()?;
        let first = self.next - rows_of(&held);
        let begin = usize::try_from(from - first).unwrap_or(0).min(held.num_rows());
        let end = usize::try_from(until - first).unwrap_or(0).clamp(begin, held.num_rows());
        if end < held.num_rows() {
            self.held = Some(held.slice(end, held.num_rows() - end));
        } else {
            self.charged.resize(0);
        }
        let position = first.saturating_add(i64::try_from(end).unwrap_or(i64::MAX));
        (end > begin).then(|| (held.slice(begin, end - begin), position))
    }

    /// Waits for more rows; false at the end of the file.
    async fn fill(&mut self, table: &str) -> Result<bool, ConnectorError> {
        let read = self.rows.next().await.map_err(|error| unreadable(table, &self.path, error))?;
        if let Some(batch) = read {
            self.next = self.next.saturating_add(rows_of(&batch));
            self.charged.resize(batch.get_array_memory_size() as u64);
            self.held = Some(batch);
            return Ok(true);
        }
        if self.next == self.end {
            return Ok(false);
        }
        let (path, missing) = (&self.path, self.end - self.next);
        let what = format!("table {table}: file `{path}` has not the number of rows that its manifest says: {missing} are missing");
        Err(ConnectorError::new(ErrorKind::Corrupt, what))
    }
}

fn rows_of(batch: &RecordBatch) -> i64 {
    i64::try_from(batch.num_rows()).unwrap_or(i64::MAX)
}

/// That a file cannot be read, and what it means if it is gone.
pub(super) fn unreadable(table: &str, path: &str, error: ConnectorError) -> ConnectorError {
    let (kind, remedy) = match store_error_in(&error) {
        Some(object_store::Error::NotFound { .. }) => (
            ErrorKind::User,
            ". The snapshot that added it has probably been expired before this stream had read it. Restore the file, or accept the loss: start a job of \
             another name with 'starting-strategy'.",
        ),
        Some(cause) => (kind_of(cause), ""),
        None => (error.kind(), ""),
    };
    ConnectorError::new(kind, format!("table {table}: file `{path}` cannot be read: {error}{remedy}")).with_source(error)
}

/// The error of the store that is behind `error`.
fn store_error_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a object_store::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

#[async_trait]
impl SplitReader for LakeReader {
    async fn next(&mut self, until: i64) -> Result<Read, ConnectorError> {
        loop {
            if self.position >= until {
                return Ok(Read::Reached);
            }
            let Some(file) = &mut self.file else {
                if !self.open_next(until).await? {
                    self.position = until;
                    return Ok(Read::Reached);
                }
                continue;
            };
            if let Some((rows, position)) = file.take(self.position, until) {
                let not_made =
                    |error| ConnectorError::internal(format!("table {}: columns cannot be put together", self.shared.name)).with_source(error);
                let batch = self.layout.make(rows, file.kind, file.sequence).map_err::<ConnectorError, _>(not_made)?;
                self.position = position;
                return Ok(Read::Rows { batch, position });
            }
            if file.held.is_none() && !file.fill(&self.shared.name).await? {
                self.position = self.position.max(file.end);
                tracing::debug!(table = self.shared.name, split = self.split, sequence = file.sequence, path = file.path, "file of a snapshot read");
                self.file = None;
            }
        }
    }

    fn position(&self) -> i64 {
        self.position
    }
}
