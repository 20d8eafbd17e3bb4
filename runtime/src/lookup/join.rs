//! Rows and the answers to their keys become joined rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::PhysicalExpr;

use super::answers::Answers;
use super::keys::BatchKeys;

/// The most rows of a batch that is made.
const CHUNK: usize = 16_384;

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
type Pair = (u32, Option<(usize, usize)>);

impl Joiner {
    /// The joined rows, in the order of the input.
    pub(super) fn join(&self, batch: &RecordBatch, keys: &BatchKeys, answers: &Answers) -> DataFusionResult<Vec<RecordBatch>> {
        let mut pairs: Vec<Pair> = Vec::with_capacity(batch.num_rows());
        for (row, key) in keys.of_row.iter().enumerate() {
            let row = row as u32;
            let matches = answers.rows_of(*key);
            pairs.extend(matches.iter().map(|place| (row, Some(*place))));
            if matches.is_empty() && self.keeps_all {
                pairs.push((row, None));
            }
        }
        if let Some(residual) = &self.residual {
            pairs = self.remaining(residual, batch, answers, pairs)?;
        }
        let chunks = pairs.chunks(CHUNK).map(|pairs| self.joined(batch, answers, pairs));
        Ok(chunks.collect::<Result<_, _>>()?)
    }

    /// The pairs that fulfil the residual condition, and rows that have none left.
    fn remaining(&self, residual: &Arc<dyn PhysicalExpr>, batch: &RecordBatch, answers: &Answers, pairs: Vec<Pair>) -> DataFusionResult<Vec<Pair>> {
        let mut remaining = Vec::with_capacity(pairs.len());
        // The row that still has no match, if it is to stay.
        let mut unmatched: Option<u32> = None;
        for pairs in pairs.chunks(CHUNK) {
            let joined = self.joined(batch, answers, pairs)?;
            let fulfilled = residual.evaluate(&joined)?.into_array(pairs.len())?;
            let fulfilled: &BooleanArray = as_boolean_array(&fulfilled)?;
            for (index, pair) in pairs.iter().enumerate() {
                if let Some(before) = unmatched.filter(|before| *before != pair.0) {
                    remaining.push((before, None));
                    unmatched = None;
                }
                let is_new = remaining.last().is_none_or(|(row, _)| *row != pair.0);
                if pair.1.is_some() && fulfilled.is_valid(index) && fulfilled.value(index) {
                    remaining.push(*pair);
                    unmatched = None;
                } else if is_new {
                    unmatched = Some(pair.0);
                }
            }
        }
        remaining.extend(unmatched.map(|row| (row, None)));
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
                let rows: UInt32Array = pairs.iter().map(|(_, place)| place.map(|(_, row)| row as u32)).collect();
                only.columns().iter().map(|column| take(column, &rows, None)).collect()
            }
            several => {
                let nowhere = (several.len(), 0);
                let places: Vec<(usize, usize)> = pairs.iter().map(|(_, place)| place.unwrap_or(nowhere)).collect();
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
