//! Messages to rows.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};

use super::column::Context;
use super::cursor::Cursor;
use super::fault::{Fault, Reach};
use super::object::Object;
use super::options::JsonFormat;
use crate::format::{BadMessage, Decoded, Decoder};

/// Rows between two measurements of the columns.
const MEASURE_EVERY: usize = 64;

/// The decoder of the `json` format. It takes nothing but objects; an empty message and `null` give no row, as in Flink.
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
    rows: Object,
    context: Context,
    option: String,
    /// Bytes of the columns when last measured, and of the messages since then.
    bytes: usize,
}

impl JsonDecoder {
    pub(super) fn new(schema: SchemaRef, format: &JsonFormat) -> Self {
        let rows = Object::new(schema.fields());
        let context = Context {
            tolerant: format.ignore_parse_errors,
            missing_fails: format.fail_on_missing_field.then(|| format!("{}fail-on-missing-field", format.prefix)),
            standard: format.standard,
            standard_option: format!("{}timestamp-format.standard", format.prefix),
            scratch: Vec::new(),
            field_errors: 0,
        };
        Self { schema, rows, context, option: format!("{}ignore-parse-errors", format.prefix), bytes: 0 }
    }

    /// Appends the row of `message`; false if it has none.
    fn read(&mut self, message: &[u8]) -> Result<bool, Fault> {
        let mut cursor = Cursor::new(message);
        cursor.blanks();
        if cursor.at_end() {
            return Ok(false);
        }
        let is_row = cursor.peek() != b'n';
        if is_row {
            self.rows.read(&mut cursor, &mut self.context)?;
        } else {
            cursor.literal("null")?;
        }
        cursor.blanks();
        if !cursor.at_end() {
            return Err(cursor.unexpected("the end of the message"));
        }
        if cursor.saw_non_ascii() && simdutf8::basic::from_utf8(message).is_err() {
            return Err(Fault::syntax("the message is not UTF-8"));
        }
        Ok(is_row)
    }

    #[cold]
    fn bad(&mut self, fault: Fault, rows: usize, field_errors: u64) -> Decoded {
        self.rows.truncate(rows);
        self.context.field_errors = field_errors;
        let skip = self.context.tolerant && fault.reach() != Reach::Batch;
        let bad: BadMessage = fault.into_bad_message(&self.option);
        if skip { Decoded::Skipped(bad) } else { Decoded::Failed(bad) }
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let (rows, field_errors) = (self.rows.len(), self.context.field_errors);
        match self.read(message) {
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
