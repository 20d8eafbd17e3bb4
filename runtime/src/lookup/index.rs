//! A secondary index: another lookup table, whose rows for a key have the keys of the rows wanted.
//!
//! Both are asked as any lookup table is. Between the two, the answers of the index become questions about rows; behind them, the rows found are
//! those of the key that the index was asked for.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave;
use datafusion::error::Result as DataFusionResult;
use weir_base::memory::Reservation;

use super::answers::Answers;
use super::keys::{BatchKeys, Codec};
use super::resolve::{Question, Resolved};
use super::state::LookupState;

/// The index of an operator.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) state: Arc<LookupState>,
    /// Its columns that hold keys of rows, in the order of the key columns of these.
    pub(super) row_key: Vec<usize>,
}

/// Rows of the input, and for each key that they have in the index the keys of rows that it has there.
#[derive(Debug)]
pub(super) struct Hop {
    batch: RecordBatch,
    keys: BatchKeys,
    /// Keys of rows, by number; of each key of the index some that follow each other.
    row_keys: Vec<u32>,
    of_key: Vec<Range<usize>>,
    held: Reservation,
}

/// What the index has found, as a question about rows.
pub(super) fn row_keys(index: &Index, codec: &Codec, resolved: Resolved<RecordBatch>) -> DataFusionResult<Question<Hop>> {
    let Resolved { about: batch, keys, answers, held } = resolved;
    let mut places = Vec::new();
    let mut ends = Vec::with_capacity(keys.len());
    for key in 0..keys.len() as u32 {
        places.extend_from_slice(answers.rows_of(key));
        ends.push(places.len());
    }
    let columns = index.row_key.iter().map(|column| gathered(index, *column, &answers, &places));
    let of_rows = BatchKeys::try_new(codec, &columns.collect::<Result<Vec<_>, _>>()?)?;
    let (mut row_keys, mut of_key) = (Vec::with_capacity(places.len()), Vec::with_capacity(ends.len()));
    let mut seen = HashSet::new();
    let mut begin = 0;
    for end in ends {
        let from = row_keys.len();
        seen.clear();
        let named = of_rows.of_row.get(begin..end).unwrap_or_default();
        // A row that the index names twice is one row; an entry with a NULL names none.
        row_keys.extend(named.iter().copied().filter(|key| *key != BatchKeys::NONE && seen.insert(*key)));
        of_key.push(from..row_keys.len());
        begin = end;
    }
    let bytes = (row_keys.len() * size_of::<u32>()) as u64;
    Ok(Question { about: Hop { batch, keys, row_keys, of_key, held }, keys: of_rows, bytes })
}

/// A column of the index at some places.
fn gathered(index: &Index, column: usize, answers: &Answers, places: &[(usize, usize)]) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<&dyn Array> = answers.sources().iter().filter_map(|source| source.columns().get(column)).map(AsRef::as_ref).collect();
    match sources.as_slice() {
        [] => {
            let schema = index.state.table.lookup.schema();
            Ok(arrow_array::new_empty_array(schema.field(column).data_type()))
        }
        sources => interleave(sources, places),
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
    for (key, numbers) in of_key.into_iter().enumerate() {
        let named = row_keys.get(numbers).unwrap_or_default();
        answers.set(key, named.iter().flat_map(|number| of_rows.rows_of(*number).iter().copied()));
    }
    all.grow(held.bytes());
    Resolved { about: batch, keys, answers, held: all }
}
