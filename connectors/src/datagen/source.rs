//! The stream of generated rows.
//!
//! The positions of a split carry, as its incarnation, the number of splits and the moment of row 0. Both decide what a row is, so a
//! checkpoint that names others is refused or followed.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;

use super::Rows;
use super::generate::{RowClock, Slot};
use crate::error::ConnectorError;
use crate::source::{Cut, Frontier, Read, SplitEnumerator, SplitId, SplitPosition, SplitReader, StreamSource};

/// Rows of a batch, at most.
pub(super) const BATCH: i64 = 8_192;

/// The source of a datagen table.
#[derive(Debug)]
pub(super) struct DatagenSource {
    rows: Rows,
    object: String,
    /// When row 0 was due; fixed by the first enumerator, from the checkpoint if there is one.
    begin: OnceLock<i64>,
}

impl DatagenSource {
    pub(super) fn new(rows: Rows, object: &str) -> Self {
        Self { rows, object: object.to_owned(), begin: OnceLock::new() }
    }

    fn incarnation(&self, begin: i64) -> String {
        format!("{}@{begin}", self.rows.splits)
    }

    /// The moment of row 0 that a position carries.
    fn begin_of(&self, position: &SplitPosition) -> Result<Option<i64>, ConnectorError> {
        let Some((splits, begin)) = position.incarnation.as_deref().and_then(|text| text.split_once('@')) else { return Ok(None) };
        if splits != self.rows.splits.to_string() {
            return Err(ConnectorError::user(format!(
                "{}: the checkpoint was made with 'scan.parallelism' = '{splits}', and the table has '{}'. Set it back, or begin anew",
                self.object, self.rows.splits
            )));
        }
        Ok(begin.parse().ok())
    }
}

/// Row `offset` of split `split`, among all rows.
fn row_number(split: i64, offset: i64, splits: i64) -> i64 {
    offset.saturating_mul(splits).saturating_add(split)
}

/// The rows `from..to` of a split, with the columns `projection`.
pub(super) fn batch(
    rows: &Rows,
    (schema, projection): (&SchemaRef, &[usize]),
    split: i64,
    (from, to): (i64, i64),
    begin: i64,
) -> Result<RecordBatch, ArrowError> {
    let clock = RowClock { begin, rate: rows.rate };
    let slots: Vec<Slot> = (from..to).map(|offset| Slot::of_row(row_number(split, offset, rows.splits))).collect();
    let generators = projection.iter().filter_map(|index| rows.generators.get(*index));
    let columns = generators.map(|generator| generator.array(&slots, clock)).collect::<Result<_, _>>()?;
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &RecordBatchOptions::new().with_row_count(Some(slots.len())))
}

#[async_trait]
impl StreamSource for DatagenSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.rows.schema)
    }

    fn is_bounded(&self) -> bool {
        self.rows.total.is_some()
    }

    async fn enumerator(&self, restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError> {
        let mut restored_begin = None;
        for position in restored.into_iter().flat_map(|cut| cut.values()) {
            restored_begin = restored_begin.or(self.begin_of(position)?);
        }
        let begin = *self.begin.get_or_init(|| restored_begin.unwrap_or_else(|| chrono::Utc::now().timestamp_millis()));
        let position = |split: i64| {
            let id = SplitId(split.to_string());
            let offset = restored.and_then(|cut| cut.get(&id)).map_or(0, |position| position.offset);
            (id, SplitPosition { offset, incarnation: Some(self.incarnation(begin)) })
        };
        let start: Cut = (0..self.rows.splits).map(position).collect();
        let due = start.values().map(|position| position.offset).sum();
        Ok(Box::new(DatagenEnumerator { rows: self.rows.clone(), start, since: Instant::now(), due }))
    }

    async fn reader(
        &self,
        split: &SplitId,
        from: &SplitPosition,
        projection: &[usize],
        _budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let Some(number) = split.0.parse().ok().filter(|number| (0..self.rows.splits).contains(number)) else {
            return Err(ConnectorError::user(format!("{}: there is no split '{split}'", self.object)));
        };
        let carried = self.begin_of(from)?;
        let begin = *self.begin.get_or_init(|| carried.unwrap_or_else(|| chrono::Utc::now().timestamp_millis()));
        let schema = self.rows.schema.project(projection).map_err(|error| internal(&self.object, &error))?;
        Ok(Box::new(DatagenReader {
            rows: self.rows.clone(),
            object: self.object.clone(),
            schema: Arc::new(schema),
            projection: projection.to_vec(),
            split: number,
            position: from.offset,
            begin,
        }))
    }
}

fn internal(object: &str, error: &ArrowError) -> ConnectorError {
    ConnectorError::internal(format!("{object}: rows cannot be made: {error}"))
}

/// Lets rows become readable at the table's rate.
#[derive(Debug)]
struct DatagenEnumerator {
    rows: Rows,
    start: Cut,
    since: Instant,
    /// Rows, over all splits, before this run.
    due: i64,
}

#[async_trait]
impl SplitEnumerator for DatagenEnumerator {
    fn start(&self) -> &Cut {
        &self.start
    }

    async fn frontier(&mut self) -> Result<Frontier, ConnectorError> {
        Ok(frontier_after(&self.rows, &self.start, self.due, self.since.elapsed()))
    }

    async fn confirm(&mut self, _cut: &Cut) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn show_progress(&mut self, _committed: &Cut, _last: bool) {}
}

/// How far splits that began at `start`, `due` rows in all, can be read `elapsed` later.
pub(super) fn frontier_after(rows: &Rows, start: &Cut, due: i64, elapsed: Duration) -> Frontier {
    let passed = elapsed.as_millis().saturating_mul(rows.rate.unsigned_abs().into()) / 1_000;
    let due = due.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
    let readable = rows.total.map_or(due, |total| total.min(due));
    let end = |(id, start): (&SplitId, &SplitPosition)| {
        let split = id.0.parse().ok()?;
        let offset = rows.of_split(readable, split).max(start.offset);
        Some((id.clone(), SplitPosition { offset, ..start.clone() }))
    };
    let finished = rows.total.is_some_and(|total| due >= total);
    Frontier { ends: start.iter().filter_map(end).collect(), finished, ..Frontier::default() }
}

/// Makes the rows of one split.
#[derive(Debug)]
struct DatagenReader {
    rows: Rows,
    object: String,
    schema: SchemaRef,
    projection: Vec<usize>,
    split: i64,
    position: i64,
    begin: i64,
}

#[async_trait]
impl SplitReader for DatagenReader {
    async fn next(&mut self, until: i64) -> Result<Read, ConnectorError> {
        let last = self.rows.total.map_or(i64::MAX, |total| self.rows.of_split(total, self.split));
        let to = until.min(last).min(self.position.saturating_add(BATCH));
        if to <= self.position {
            return Ok(Read::Reached);
        }
        let made = batch(&self.rows, (&self.schema, &self.projection), self.split, (self.position, to), self.begin);
        let batch = made.map_err(|error| internal(&self.object, &error))?;
        self.position = to;
        Ok(Read::Rows { batch, position: to })
    }

    fn position(&self) -> i64 {
        self.position
    }
}
