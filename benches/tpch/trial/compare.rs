//! Are two answers equal? Row by row in their order; texts, dates, whole numbers and decimals exactly.
//!
//! Where one side divides into a double (DuckDB's AVG and `/` of decimals do) and ours into a decimal of so many places, the two may differ by
//! one in our last place; two doubles by a billionth of their size.

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde_json::Value;

use super::Outcome;
use super::duck::Answer;

/// Part of the size by which doubles may differ.
const DOUBLES: f64 = 1e-9;

/// The first difference, if there is one.
pub(crate) fn difference(ours: &[RecordBatch], theirs: &Answer) -> Outcome<Option<String>> {
    let rows: usize = ours.iter().map(RecordBatch::num_rows).sum();
    if rows != theirs.rows.len() {
        return Ok(Some(format!("{rows} rows, DuckDB has {}", theirs.rows.len())));
    }
    let mut number = 0;
    for batch in ours {
        if batch.num_columns() != theirs.types.len() {
            return Ok(Some(format!("{} columns, DuckDB has {}", batch.num_columns(), theirs.types.len())));
        }
        let options = FormatOptions::default();
        let shown: Result<Vec<_>, _> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect();
        let shown = shown?;
        for row in 0..batch.num_rows() {
            let Some(wanted) = theirs.rows.get(number) else { break };
            for ((column, text), value) in batch.columns().iter().zip(&shown).zip(wanted) {
                let text = (!column.is_null(row)).then(|| text.value(row).to_string());
                if !same(column.data_type(), text.as_deref(), value) {
                    return Ok(Some(format!("row {number}: {} where DuckDB has {value}", text.as_deref().unwrap_or("NULL"))));
                }
            }
            number += 1;
        }
    }
    Ok(None)
}

fn same(kind: &DataType, ours: Option<&str>, theirs: &Value) -> bool {
    let Some(ours) = ours else { return theirs.is_null() };
    match theirs {
        Value::Number(theirs) => {
            let (Ok(ours), Some(theirs)) = (ours.parse::<f64>(), theirs.as_f64()) else { return false };
            let place = match kind {
                DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => 10_f64.powi(-i32::from(*scale)),
                _ => 0.0,
            };
            (ours - theirs).abs() <= place + DOUBLES * theirs.abs()
        }
        Value::String(theirs) => plain(kind, ours) == plain(kind, theirs),
        _ => false,
    }
}

/// A decimal without zeros at its end; anything else as it is.
fn plain<'a>(kind: &DataType, text: &'a str) -> &'a str {
    match kind {
        DataType::Decimal128(..) | DataType::Decimal256(..) if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.'),
        _ => text,
    }
}
