//! Tables of strings, which is what SHOW, DESCRIBE, EXPLAIN and SET give.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use crate::error::SqlError;

/// A batch with the named columns, all strings; NULL where a row has `None`.
pub(crate) fn table_of(columns: &[&str], rows: &[Vec<Option<String>>]) -> Result<RecordBatch, SqlError> {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays: Vec<ArrayRef> = (0..columns.len())
        .map(|index| {
            let values: StringArray = rows.iter().map(|row| row.get(index).and_then(Option::as_deref)).collect();
            Arc::new(values) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| SqlError::Internal(format!("result table: {error}")))
}

/// A batch with one column.
pub(crate) fn list_of(column: &str, values: impl IntoIterator<Item = String>) -> Result<RecordBatch, SqlError> {
    let rows: Vec<Vec<Option<String>>> = values.into_iter().map(|value| vec![Some(value)]).collect();
    table_of(&[column], &rows)
}
