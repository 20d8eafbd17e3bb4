//! The decoder of every format whose messages are rows: what one message gives is for the format to read, the rest is the same for all.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};

use super::columns::{Context, Fault, Reach, Rows};
use super::{BadMessage, Decoded, Decoder};

/// Rows between two measurements of the columns.
const MEASURE_EVERY: usize = 64;

/// Reads one message of a format.
pub(in crate::format) trait ReadRow: Send + fmt::Debug {
    /// Appends the row of `message`; false if it has none. After a fault the rows are dirty: they are truncated.
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault>;
}

/// Decodes messages of which each is at most one row.
#[derive(Debug)]
pub(in crate::format) struct RowDecoder<R> {
    reader: R,
    schema: SchemaRef,
    rows: Rows,
    context: Context,
    option: Option<String>,
    /// Bytes of the columns when last measured, and of the messages since then.
    bytes: usize,
}

impl<R: ReadRow> RowDecoder<R> {
    /// A decoder; `option` is the one that tolerates bad messages, if the format has one.
    pub(in crate::format) fn new(reader: R, schema: &SchemaRef, context: Context, option: Option<String>) -> Self {
        Self { reader, schema: Arc::clone(schema), rows: Rows::new(schema.fields()), context, option, bytes: 0 }
    }

    #[cold]
    fn bad(&mut self, fault: Fault, rows: usize, field_errors: u64) -> Decoded {
        self.rows.truncate(rows);
        self.context.field_errors = field_errors;
        let skip = self.context.tolerant && fault.reach() != Reach::Batch;
        let bad: BadMessage = fault.into_bad_message(self.option.as_deref());
        if skip { Decoded::Skipped(bad) } else { Decoded::Failed(bad) }
    }
}

impl<R: ReadRow> Decoder for RowDecoder<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let (rows, field_errors) = (self.rows.len(), self.context.field_errors);
        match self.reader.read(message, &mut self.rows, &mut self.context) {
            Ok(true) => {
                self.bytes = if rows % MEASURE_EVERY == 0 { self.rows.bytes() } else { self.bytes + message.len() };
                Decoded::Row
            }
            Ok(false) => Decoded::Nothing,
            Err(fault) => self.bad(fault, rows, field_errors),
        }
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn field_errors(&self) -> u64 {
        self.context.field_errors
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        let columns = self.rows.take_columns(self.schema.fields())?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}
