//! A secondary index: another lookup table, whose rows for a key have the keys of the rows wanted.
//!
//! Both are asked as any lookup table is. Between the two, the answers of the index become questions about rows; behind them, the rows found are
//! those of the key that the index was asked for. What the index names for a batch is asked for in parts, if it is very much.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::ConnectorError;

use super::answers::{Answers, Place};
use super::keys::{BatchKeys, Codec};
use super::resolve::{Question, Resolved, size};
use super::state::LookupState;

/// What a key takes while its rows are waited for, beside its bytes: its answer with the place of a row, who asks for it, its place among those that
/// are not asked for yet, and the room that all of these grow into.
const WAITING: u64 = 192;

/// The most keys of rows that a question is about, and of how many bytes of memory there is one at most.
const MOST_NAMED: usize = 65_536;
const SHARE: u64 = 2_048;

/// The index of an operator.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) state: Arc<LookupState>,
    /// Its columns that hold keys of rows, in the order of the key columns of these.
    pub(super) row_key: Vec<usize>,
    /// The most keys of rows that a question is about, unless one key of the index alone names more.
    pub(super) most: usize,
}

impl Index {
    pub(super) fn new(state: Arc<LookupState>, row_key: Vec<usize>, budget: &MemoryBudget) -> Self {
        let most = usize::try_from(budget.limit() / SHARE).unwrap_or(MOST_NAMED);
        Self { state, row_key, most: most.clamp(1, MOST_NAMED) }
    }
}

/// Rows of the input, and for each key that they have in the index the keys of rows that it has there.
#[derive(Debug)]
pub(super) struct Hop {
    batch: RecordBatch,
    keys: BatchKeys,
    /// Keys of rows, by number; of each key of the index some that follow each other.
    row_keys: Vec<u32>,
    of_key: Vec<Range<usize>>,
    /// What the rows and their keys are charged as; the lists are with the question.
    held: Reservation,
}

/// What the index has found for a batch, as questions about rows.
pub(super) struct Hops {
    index: Arc<Index>,
    /// Of the keys of rows.
    codec: Arc<Codec>,
    budget: MemoryBudget,
    /// `None` behind the last question.
    found: Option<Resolved<RecordBatch>>,
    /// The row of the batch that is next.
    at: usize,
}

impl Hops {
    pub(super) fn new(index: &Arc<Index>, codec: &Arc<Codec>, budget: &MemoryBudget, found: Resolved<RecordBatch>) -> Self {
        Self { index: Arc::clone(index), codec: Arc::clone(codec), budget: budget.clone(), found: Some(found), at: 0 }
    }

    /// The row behind the last one of the next question.
    fn until(&self, found: &Resolved<RecordBatch>) -> usize {
        let named_by = |key: u32| found.answers.rows_of(key).len();
        if self.at == 0 && (0..found.keys.len() as u32).map(named_by).sum::<usize>() <= self.index.most {
            return found.about.num_rows();
        }
        let (mut seen, mut named) = (vec![false; found.keys.len()], 0);
        for (row, key) in found.keys.of_row.iter().enumerate().skip(self.at) {
            let Some(seen) = seen.get_mut(*key as usize).filter(|seen| !**seen) else { continue };
            *seen = true;
            named += named_by(*key);
            if named > self.index.most && row > self.at {
                return row;
            }
        }
        found.about.num_rows()
    }

    /// What was found for some rows of the batch: a copy of these, which holds nothing of the others.
    fn part(&self, found: &Resolved<RecordBatch>, rows: Range<usize>) -> DataFusionResult<Resolved<RecordBatch>> {
        let of_row = found.keys.of_row.get(rows.clone()).unwrap_or_default();
        let numbers = UInt32Array::from_iter_values(rows.start as u32..rows.end as u32);
        let keys = found.keys.of(&self.index.state.keys, &numbers)?;
        let mut answers = Answers::new(keys.len());
        for source in found.answers.sources() {
            answers.add_source(source.clone());
        }
        for (key, before) in keys.of_row.iter().zip(of_row).filter(|(key, _)| **key != BatchKeys::NONE) {
            answers.set(*key, found.answers.rows_of(*before).iter().copied());
        }
        let columns = found.about.columns().iter().map(|column| take(column, &numbers, None)).collect::<Result<_, _>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let about = RecordBatch::try_new_with_options(found.about.schema(), columns, &count)?;
        Ok(Resolved { about, keys, answers, held: self.budget.reservation(Use::Lookups) })
    }

    fn question(&mut self) -> DataFusionResult<Option<Question<Hop>>> {
        let Some(found) = self.found.take() else { return Ok(None) };
        let (from, to) = (self.at, self.until(&found));
        let is_last = to >= found.about.num_rows();
        if from == 0 && is_last {
            return self.about(found).map(Some);
        }
        let part = self.part(&found, from..to)?;
        if !is_last {
            self.at = to;
            self.found = Some(found);
        }
        self.about(part).map(Some)
    }

    fn about(&self, found: Resolved<RecordBatch>) -> DataFusionResult<Question<Hop>> {
        let question = row_keys(&self.index, &self.codec, found)?;
        let (most, path) = (self.budget.limit() / 4, &self.index.state.table.path);
        if question.bytes <= most {
            return Ok(question);
        }
        let (bytes, named) = (question.bytes, question.keys.len());
        let what = format!(
            "Table '{path}': as an index it names {named} rows at a time, whose keys take {bytes} bytes, more than the {most} that are a quarter of \
             --memory, the most that a lookup may take. Raise --memory, or compare further columns of the index"
        );
        Err(DataFusionError::External(Box::new(ConnectorError::user(what))))
    }
}

impl Iterator for Hops {
    type Item = DataFusionResult<Question<Hop>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.question().transpose()
    }
}

/// What the index has found, as one question about rows.
fn row_keys(index: &Index, codec: &Codec, resolved: Resolved<RecordBatch>) -> DataFusionResult<Question<Hop>> {
    let Resolved { about: batch, keys, answers, mut held } = resolved;
    let mut places = Vec::new();
    let mut ends = Vec::with_capacity(keys.len());
    for key in 0..keys.len() as u32 {
        places.extend_from_slice(answers.rows_of(key));
        ends.push(places.len());
    }
    let columns = index.row_key.iter().map(|column| gathered(index, *column, &answers, &places));
    let of_rows = BatchKeys::try_new(codec, columns.collect::<Result<Vec<_>, _>>()?)?;
    let (mut row_keys, mut of_key) = (Vec::with_capacity(places.len()), Vec::with_capacity(ends.len()));
    // For each row key the last key of the index that has named it.
    let mut last_named_by = vec![usize::MAX; of_rows.len()];
    let mut begin = 0;
    for end in ends {
        let from = row_keys.len();
        let named = of_rows.of_row.get(begin..end).unwrap_or_default();
        // A row that the index names twice is one row; an entry with a NULL names none.
        for key in named {
            if let Some(last) = last_named_by.get_mut(*key as usize).filter(|last| **last != of_key.len()) {
                *last = of_key.len();
                row_keys.push(*key);
            }
        }
        of_key.push(from..row_keys.len());
        begin = end;
    }
    // What the index has answered is not needed any more.
    held.resize(size(&batch) + keys.bytes());
    let lists = size_of_val(row_keys.as_slice()) + size_of_val(of_key.as_slice());
    let bytes = lists as u64 + of_rows.bytes() + of_rows.len() as u64 * WAITING;
    Ok(Question { about: Hop { batch, keys, row_keys, of_key, held }, keys: of_rows, bytes })
}

/// A column of the index at some places.
fn gathered(index: &Index, column: usize, answers: &Answers, places: &[Place]) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<&dyn Array> = answers.sources().iter().filter_map(|source| source.columns().get(column)).map(AsRef::as_ref).collect();
    match sources.as_slice() {
        [] => {
            let schema = index.state.table.lookup.schema();
            Ok(arrow_array::new_empty_array(schema.field(column).data_type()))
        }
        sources => interleave(sources, &places.iter().map(|(source, row)| (*source as usize, *row as usize)).collect::<Vec<_>>()),
    }
}

/// The rows that were found, for the keys of the index.
pub(super) fn found(resolved: Resolved<Hop>) -> Resolved<RecordBatch> {
    let Resolved { about: hop, answers: of_rows, held: mut all, .. } = resolved;
    let Hop { batch, keys, row_keys, of_key, held } = hop;
    let mut answers = Answers::new(keys.len());
    for source in of_rows.sources() {
        answers.add_source(source.clone());
    }
    for (key, numbers) in (0..).zip(of_key) {
        let named = row_keys.get(numbers).unwrap_or_default();
        answers.set(key, named.iter().flat_map(|number| of_rows.rows_of(*number).iter().copied()));
    }
    all.grow(held.bytes() + answers.bytes());
    Resolved { about: batch, keys, answers, held: all }
}
