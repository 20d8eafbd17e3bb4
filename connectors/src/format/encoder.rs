//! The encoder of every format: what one row becomes is for the format to say, the rest is the same for all.

use std::fmt;
use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;

use super::cells::Cells;
use super::columns::Fault;
use super::{BadRow, Encoder, Wanted};

/// Writes one row in a format.
pub(in crate::format) trait WriteRow: Send + Sync + fmt::Debug {
    /// Appends the message of a row; false if it has none.
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault>;

    /// What must be there before the first row.
    fn ready(&self) -> Wanted {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Encodes rows of one schema.
#[derive(Debug)]
pub(in crate::format) struct RowEncoder<W> {
    writer: W,
    schema: SchemaRef,
}

impl<W: WriteRow> RowEncoder<W> {
    pub(in crate::format) fn new(writer: W, schema: &SchemaRef) -> Self {
        Self { writer, schema: Arc::clone(schema) }
    }
}

impl<W: WriteRow> Encoder for RowEncoder<W> {
    fn ready(&self) -> Wanted {
        self.writer.ready()
    }

    fn encode(&self, batch: &RecordBatch) -> Result<BinaryArray, BadRow> {
        let bad = |row: usize, fault: Fault| BadRow { row, bad: fault.into_bad_message(None) };
        let columns = self.schema.fields().iter().zip(batch.columns()).map(|(field, column)| Cells::new(field, column));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|fault| bad(0, fault))?;
        let rows = batch.num_rows();
        let (mut bytes, mut ends, mut nulls) = (Vec::new(), Vec::with_capacity(rows + 1), NullBufferBuilder::new(rows));
        ends.push(0);
        for row in 0..rows {
            let start = bytes.len();
            if self.writer.write(&columns, row, &mut bytes).map_err(|fault| bad(row, fault))? {
                nulls.append_non_null();
            } else {
                bytes.truncate(start);
                nulls.append_null();
            }
            ends.push(i32::try_from(bytes.len()).map_err(|_too_large| bad(row, Fault::full()))?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(BinaryArray::new(offsets, Buffer::from_vec(bytes), nulls.finish()))
    }
}
