//! Rows as Flink prints them.

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::ArrowError;

/// What stands before each row: the identifier, the number of the writer (from 1) where there are several, or nothing.
pub(super) fn prefix(identifier: Option<&str>, partition: usize, partitions: usize) -> String {
    match (identifier, partitions > 1) {
        (Some(identifier), true) => format!("{identifier}:{}> ", partition + 1),
        (Some(identifier), false) => format!("{identifier}> "),
        (None, true) => format!("{}> ", partition + 1),
        (None, false) => String::new(),
    }
}

/// One line for each row: `+I[1, a, null]`.
pub(super) fn text(batch: &RecordBatch, prefix: &str) -> Result<String, ArrowError> {
    let options = FormatOptions::new().with_null("null").with_display_error(false);
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        text.push_str(prefix);
        text.push_str("+I[");
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&column.value(row).try_to_string()?);
        }
        text.push_str("]\n");
    }
    Ok(text)
}
