//! The decoder of every format whose messages are rows: what one message gives is for the format to read, the rest is the same for all.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use super::columns::{Context, Fault, Most, Reach, Rows};
use super::{Decoded, Decoder, Wanted};

/// Rows between two measurements of the columns.
const MEASURE_EVERY: usize = 64;
/// Bytes of a message behind which they are measured at once: it may be many more in the columns.
const LARGE_MESSAGE: usize = 4 << 10;

/// Reads one message of a format.
pub(in crate::format) trait ReadRow: Send + fmt::Debug {
    /// Appends the row of `message`; false if it has none. After a fault the rows are dirty: they are truncated.
    fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault>;

    /// What a message waits for whose fault was [`Reach::Waits`].
    fn wanted(&mut self) -> Wanted {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// About how many bytes the columns of `rows` take with the row of `message`, the last one, and took `before` it.
pub(in crate::format) fn bytes_with(message: &[u8], rows: &Rows, before: usize) -> usize {
    if rows.len() % MEASURE_EVERY == 1 || message.len() > LARGE_MESSAGE { rows.bytes() } else { before + message.len() }
}

/// What became of a message with `fault`, the rows of which have been taken back; `rows` are in the batch. `option` is the one that tolerates
/// bad messages, if the format has one.
#[cold]
pub(in crate::format) fn failed(fault: Fault, rows: usize, context: &Context, option: Option<&str>) -> Decoded {
    match fault.reach() {
        Reach::Waits => Decoded::Waits,
        // Alone in a batch it would not fit either: then it is the message.
        Reach::Batch if rows > 0 => Decoded::Full,
        Reach::Message | Reach::Field | Reach::Size if context.tolerant => Decoded::Skipped(fault.into_bad_message(option)),
        Reach::Message | Reach::Field | Reach::Size | Reach::Batch => Decoded::Failed(fault.into_bad_message(option)),
    }
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
        self.rows.take_back(rows, &fault);
        self.context.field_errors = field_errors;
        failed(fault, rows, &self.context, self.option.as_deref())
    }
}

impl<R: ReadRow> Decoder for RowDecoder<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let (rows, field_errors) = (self.rows.len(), self.context.field_errors);
        let begun = self.context.begin(message.len());
        match begun.and_then(|()| self.reader.read(message, &mut self.rows, &mut self.context)) {
            Ok(true) => {
                self.bytes = bytes_with(message, &self.rows, self.bytes);
                Decoded::Row
            }
            Ok(false) => Decoded::Nothing,
            Err(fault) => self.bad(fault, rows, field_errors),
        }
    }

    fn wanted(&mut self) -> Wanted {
        self.reader.wanted()
    }

    fn bound(&mut self, bytes: usize) {
        self.context.most = Most::of_memory(bytes);
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
        self.rows.take_batch(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    /// A message is a text; the columns take two of them, and one alone that is `huge` is too much.
    #[derive(Debug)]
    struct Small;

    impl ReadRow for Small {
        fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
            if rows.len() == 2 || message == b"huge" {
                return Err(Fault::full());
            }
            rows.columns.iter_mut().try_for_each(|column| column.read_text(message, context))?;
            rows.len += 1;
            Ok(true)
        }
    }

    /// Each byte of a message is a hundred in the column.
    #[derive(Debug)]
    struct Wide;

    impl ReadRow for Wide {
        fn read(&mut self, message: &[u8], rows: &mut Rows, context: &mut Context) -> Result<bool, Fault> {
            rows.columns.iter_mut().try_for_each(|column| column.read_text(&message.repeat(100), context))?;
            rows.len += 1;
            Ok(true)
        }
    }

    #[test]
    fn what_a_large_message_takes_in_the_columns_is_known_at_once() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let mut decoder = RowDecoder::new(Wide, &schema, Context::default(), None);
        assert_eq!((decoder.push(b"1"), decoder.push(&[b'2'; 5_000])), (Decoded::Row, Decoded::Row));
        assert!(decoder.bytes() > 500_000, "{}", decoder.bytes());
        decoder.take().expect("batch");
        assert_eq!(decoder.bytes(), 0);
    }

    #[test]
    fn a_batch_that_cannot_grow_is_no_fault_of_the_message_unless_it_is_alone_in_it() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let context = Context { tolerant: true, ..Context::default() };
        let mut decoder = RowDecoder::new(Small, &schema, context, Some("ignore".to_owned()));
        assert_eq!([decoder.push(b"1"), decoder.push(b"2"), decoder.push(b"3")], [Decoded::Row, Decoded::Row, Decoded::Full]);
        assert_eq!(decoder.take().expect("batch").num_rows(), 2);
        assert_eq!((decoder.push(b"3"), decoder.push(b"huge")), (Decoded::Row, Decoded::Full));
        assert_eq!(decoder.take().expect("batch").num_rows(), 1);
        let Decoded::Failed(bad) = decoder.push(b"huge") else { panic!("alone, and too much") };
        assert_eq!((bad.tolerated_by, decoder.rows()), (None, 0));
    }
}
