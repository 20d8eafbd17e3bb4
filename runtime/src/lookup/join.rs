//! Rows and the answers to their keys become joined rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::PhysicalExpr;

use super::answers::{Answers, Place};
use super::resolve::Resolved;

/// The most rows of a batch that is made.
const MOST_ROWS: usize = 16_384;
/// The most bytes of one, about.
const MOST_BYTES: usize = 16 << 20;

/// Joins batches of rows with their answers.
#[derive(Debug)]
pub(super) struct Joiner {
    /// Columns of the input, then those of the table.
    pub(super) schema: SchemaRef,
    /// How many columns the input has.
    pub(super) left: usize,
    /// Rows without a match stay.
    pub(super) keeps_all: bool,
    /// What a pair must fulfil besides.
    pub(super) residual: Option<Arc<dyn PhysicalExpr>>,
}

/// A row of the input with a row of the table, or with none.
type Pair = (u32, Option<Place>);

/// Rows with their answers, as far as they are joined.
#[derive(Debug)]
pub(super) struct Joining {
    resolved: Resolved<RecordBatch>,
    /// The row that is next, and the number of its match that is next.
    at: (usize, usize),
    /// The most pairs of a batch.
    most: usize,
    /// Of a residual condition: a row whose matches so far do not fulfil it.
    unmatched: Option<u32>,
    /// The row that the last pair given is of.
    last: Option<u32>,
}

impl Joining {
    pub(super) fn new(resolved: Resolved<RecordBatch>) -> Self {
        // A slice is told by what it is a slice of, unless one looks closer.
        let rough = most_rows(&resolved, |batch| batch.get_array_memory_size());
        let most = if rough == MOST_ROWS { rough } else { most_rows(&resolved, slice_bytes) };
        Self { resolved, at: (0, 0), most, unmatched: None, last: None }
    }

    /// The next rows with a match each; one without any has `None`, if it stays.
    fn pairs(&mut self, keeps_all: bool) -> Vec<Pair> {
        let of_row = &self.resolved.keys.of_row;
        let mut pairs = Vec::with_capacity(self.most.min(of_row.len()));
        let (mut row, mut from) = self.at;
        while let Some(key) = of_row.get(row)
            && pairs.len() < self.most
        {
            let number = row as u32;
            let matches = self.resolved.answers.rows_of(*key);
            let some = matches.get(from..).unwrap_or_default();
            let some = some.get(..self.most - pairs.len()).unwrap_or(some);
            pairs.extend(some.iter().map(|place| (number, Some(*place))));
            if matches.is_empty() && keeps_all {
                pairs.push((number, None));
            }
            from += some.len();
            if from >= matches.len() {
                (row, from) = (row + 1, 0);
            }
        }
        self.at = (row, from);
        pairs
    }
}

/// How many joined rows are about [`MOST_BYTES`], by the widest rows on each side.
fn most_rows(resolved: &Resolved<RecordBatch>, bytes: impl Fn(&RecordBatch) -> usize) -> usize {
    let of_row = |batch: &RecordBatch| bytes(batch) / batch.num_rows().max(1);
    let right = resolved.answers.sources().iter().map(of_row).max().unwrap_or(0);
    (MOST_BYTES / (of_row(&resolved.about) + right).max(1)).clamp(1, MOST_ROWS)
}

fn slice_bytes(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_else(|_unknown| column.get_array_memory_size());
    batch.columns().iter().map(bytes).sum()
}

impl Joiner {
    /// The next joined rows, in the order of the input; `None` after the last ones.
    pub(super) fn next(&self, joining: &mut Joining) -> DataFusionResult<Option<RecordBatch>> {
        loop {
            let mut pairs = joining.pairs(self.keeps_all);
            let are_last = pairs.is_empty();
            if let Some(residual) = &self.residual {
                pairs = self.remaining(residual, joining, &pairs)?;
            }
            if !pairs.is_empty() {
                return Ok(Some(self.joined(&joining.resolved.about, &joining.resolved.answers, &pairs)?));
            }
            if are_last {
                return Ok(None);
            }
        }
    }

    /// The pairs that fulfil the residual condition, and rows that have none left. What is not decided before the next pairs are known is in
    /// `joining`; without pairs, there are none.
    fn remaining(&self, residual: &Arc<dyn PhysicalExpr>, joining: &mut Joining, pairs: &[Pair]) -> DataFusionResult<Vec<Pair>> {
        let mut remaining = Vec::with_capacity(pairs.len());
        let fulfilled = if pairs.is_empty() {
            None
        } else {
            let joined = self.joined(&joining.resolved.about, &joining.resolved.answers, pairs)?;
            Some(residual.evaluate(&joined)?.into_array(pairs.len())?)
        };
        if let Some(fulfilled) = &fulfilled {
            let fulfilled: &BooleanArray = as_boolean_array(fulfilled)?;
            for (index, pair) in pairs.iter().enumerate() {
                remaining.extend(joining.unmatched.take_if(|before| *before != pair.0).map(|before| (before, None)));
                if pair.1.is_some() && fulfilled.is_valid(index) && fulfilled.value(index) {
                    remaining.push(*pair);
                    joining.unmatched = None;
                    joining.last = Some(pair.0);
                } else if joining.last != Some(pair.0) {
                    joining.unmatched = Some(pair.0);
                }
            }
        } else {
            remaining.extend(joining.unmatched.take().map(|row| (row, None)));
        }
        if !self.keeps_all {
            remaining.retain(|(_, place)| place.is_some());
        }
        Ok(remaining)
    }

    fn joined(&self, batch: &RecordBatch, answers: &Answers, pairs: &[Pair]) -> Result<RecordBatch, ArrowError> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let are_all = pairs.len() == batch.num_rows() && pairs.iter().enumerate().all(|(index, (row, _))| index as u32 == *row);
        if are_all {
            columns.extend(batch.columns().iter().cloned());
        } else {
            let rows = UInt32Array::from_iter_values(pairs.iter().map(|(row, _)| *row));
            for column in batch.columns() {
                columns.push(take(column, &rows, None)?);
            }
        }
        columns.extend(self.right(answers, pairs)?);
        let rows = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
    }

    fn right(&self, answers: &Answers, pairs: &[Pair]) -> Result<Vec<ArrayRef>, ArrowError> {
        let types = self.schema.fields().iter().skip(self.left).map(|field| field.data_type());
        match answers.sources() {
            [] => Ok(types.map(|data_type| new_null_array(data_type, pairs.len())).collect()),
            [only] => {
                let rows: UInt32Array = pairs.iter().map(|(_, place)| place.map(|(_, row)| row)).collect();
                only.columns().iter().map(|column| take(column, &rows, None)).collect()
            }
            several => {
                let nowhere = (several.len(), 0);
                let of = |place: Option<Place>| place.map_or(nowhere, |(source, row)| (source as usize, row as usize));
                let places: Vec<(usize, usize)> = pairs.iter().map(|(_, place)| of(*place)).collect();
                let columns = types.enumerate().map(|(index, data_type)| {
                    let nothing = new_null_array(data_type, 1);
                    let mut sources: Vec<&dyn Array> = several.iter().filter_map(|source| source.columns().get(index)).map(AsRef::as_ref).collect();
                    sources.push(nothing.as_ref());
                    interleave(&sources, &places)
                });
                columns.collect()
            }
        }
    }
}
