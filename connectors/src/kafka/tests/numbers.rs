//! A format for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use weir_base::options::{OptionBag, OptionDecl};

use crate::error::ConnectorError;
use crate::format::{BadMessage, Decoded, Decoder, Format, FormatFactory, Wanted};

/// A message is one decimal number, which every column gets; `skip` is skipped, anything else is bad. A number behind `wait` is read when it has
/// been waited for, one behind `alone` does not fit behind others, and one behind `vast` not even alone; one behind `huge` takes 64 MB, as it
/// says; what `doom` waits for never comes.
#[derive(Debug)]
pub(super) struct Numbers;

#[derive(Debug)]
struct NumberDecoder {
    schema: SchemaRef,
    values: Vec<i64>,
    huge: usize,
    doomed: bool,
    known: Arc<AtomicBool>,
}

impl FormatFactory for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn doc(&self) -> &'static str {
        "A message is a number."
    }

    fn options(&self) -> &'static [OptionDecl] {
        &[]
    }

    fn open(&self, _prefix: &str, _options: &mut OptionBag, _schema: &SchemaRef) -> Option<Box<dyn Format>> {
        Some(Box::new(Self))
    }
}

impl Format for Numbers {
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        Box::new(NumberDecoder { schema: Arc::clone(schema), values: Vec::new(), huge: 0, doomed: false, known: Arc::default() })
    }
}

impl Decoder for NumberDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let text = String::from_utf8_lossy(message);
        let bad = || BadMessage {
            reason: format!("'{text}' is no number"),
            column: Some("id".to_owned()),
            tolerated_by: Some("numbers.lenient".to_owned()),
        };
        self.doomed = text == "doom";
        if self.doomed || text.starts_with("wait") && !self.known.swap(false, Ordering::Relaxed) {
            return Decoded::Waits;
        }
        if text.starts_with("vast") || text.starts_with("alone") && !self.values.is_empty() {
            return Decoded::Full;
        }
        self.huge += usize::from(text.starts_with("huge"));
        match text.trim_start_matches(char::is_alphabetic).parse() {
            Ok(value) => {
                self.values.push(value);
                Decoded::Row
            }
            Err(_) if text == "skip" => Decoded::Skipped(bad()),
            Err(_) => Decoded::Failed(bad()),
        }
    }

    fn wanted(&mut self) -> Wanted {
        let (doomed, known) = (self.doomed, Arc::clone(&self.known));
        Box::pin(async move {
            tokio::task::yield_now().await;
            known.store(true, Ordering::Relaxed);
            if doomed { Err(ConnectorError::user("nobody knows")) } else { Ok(()) }
        })
    }

    fn bound(&mut self, _bytes: usize) {}

    fn rows(&self) -> usize {
        self.values.len()
    }

    fn bytes(&self) -> usize {
        self.values.len() * 8 + self.huge * (64 << 20)
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.huge = 0;
        let values: ArrayRef = Arc::new(Int64Array::from(std::mem::take(&mut self.values)));
        let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
        let columns = self.schema.fields().iter().map(|_| Arc::clone(&values)).collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}
