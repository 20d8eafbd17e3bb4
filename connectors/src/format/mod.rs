//! Formats: from messages to record batches.
//!
//! A [`FormatFactory`] validates the options of one format and makes a [`Decoder`] for a schema. A decoder takes messages one after
//! another and gives record batches; a message that cannot be decoded leaves no trace in the batch and is reported to the caller. Whoever has
//! a batch of messages (a source, a lookup, the replay of dead letters) does the same: `push` for each, then `take`.

pub mod avro;
pub mod changes;
mod columns;
pub mod csv;
mod decoder;
pub mod json;
pub mod protobuf;
pub mod raw;

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};

/// The key under which the metadata of a field that a format is opened with has the declared SQL type: Arrow's types do not know the precision
/// of a timestamp.
pub const SQL_TYPE: &str = "sql.type";

/// Why one message gave no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMessage {
    /// What is wrong, without the place: `expected a number, found '"'`.
    pub reason: String,
    /// The column, nested ones with dots, if the trouble is in one.
    pub column: Option<String>,
    /// The option that would tolerate it, such as `json.ignore-parse-errors`.
    pub tolerated_by: Option<String>,
}

impl BadMessage {
    /// What is wrong and in which column: `column 'a': expected a number, found '"'`.
    #[must_use]
    pub fn located(&self) -> String {
        match &self.column {
            Some(column) => format!("column '{column}': {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// One row was appended.
    Row,
    /// So many rows were appended, more than one: a change of several rows, or a row before a change and the one after it.
    Rows(usize),
    /// Nothing to append (an empty message, a tombstone).
    Nothing,
    /// The message is bad and its options say to skip it; nothing was appended.
    Skipped(BadMessage),
    /// The message is bad and its options do not tolerate that; nothing was appended.
    Failed(BadMessage),
}

/// Decodes messages into columns. Not shared between threads, but may move between them.
pub trait Decoder: Send + fmt::Debug {
    /// The columns of the batches, in order.
    fn schema(&self) -> SchemaRef;

    /// Decodes one message and appends its row.
    fn push(&mut self, message: &[u8]) -> Decoded;

    /// Rows appended since the last [`Self::take`].
    fn rows(&self) -> usize;

    /// Bytes held by the columns, about. Cheap enough to be asked after every message.
    fn bytes(&self) -> usize;

    /// Fields of appended rows that could not be read and became NULL, as the options allow, since the decoder was made. For a metric.
    fn field_errors(&self) -> u64 {
        0
    }

    /// The appended rows as a batch; the decoder is empty again and keeps what it has learned.
    ///
    /// # Errors
    /// A defect only: the columns do not fit the schema.
    fn take(&mut self) -> Result<RecordBatch, arrow_schema::ArrowError>;
}

/// A format whose options have been validated.
pub trait Format: Send + Sync + fmt::Debug {
    /// A decoder for `schema`: the physical columns that are wanted, a subset of the declared ones.
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder>;
}

/// A format by name.
pub trait FormatFactory: Send + Sync + fmt::Debug {
    /// The name in `'format' = '…'`.
    fn name(&self) -> &'static str;

    /// Whether messages are changes of rows: a schema that a decoder is made for may then have the column [`changes::ROW_KIND`].
    fn tells_changes(&self) -> bool {
        false
    }

    /// One sentence for the book.
    fn doc(&self) -> &'static str;

    /// Its options, without prefix: `ignore-parse-errors`.
    fn options(&self) -> &'static [OptionDecl];

    /// Pulls the options `<prefix><key>` from `options` and checks that the format can decode `schema`. Problems go into the bag.
    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>>;
}

/// All formats, by name.
#[must_use]
pub fn factories() -> Vec<Arc<dyn FormatFactory>> {
    vec![
        Arc::new(avro::AvroFactory),
        Arc::new(changes::canal()),
        Arc::new(csv::CsvFactory),
        Arc::new(changes::debezium()),
        Arc::new(json::JsonFactory),
        Arc::new(changes::maxwell()),
        Arc::new(changes::ogg()),
        Arc::new(protobuf::ProtobufFactory),
        Arc::new(raw::RawFactory),
    ]
}

/// The option of formats that can do without a bad field or message.
const IGNORE_PARSE_ERRORS: OptionDecl = OptionDecl::new(
    "ignore-parse-errors",
    ValueType::Boolean,
    "Whether a field that cannot be read becomes NULL, and a message that cannot be read is left out. Both are counted in the metrics.",
)
.default("false");

/// Reports the columns of `schema` that `reads` says no to; true if there are none. `why` stands before the type in the message.
fn refuse_types(format: &str, why: &str, schema: &SchemaRef, options: &mut OptionBag, reads: impl Fn(&Field) -> bool) -> bool {
    let mut readable = true;
    for field in schema.fields().iter().filter(|field| !reads(field)) {
        readable = false;
        let what = format!("Format '{format}' cannot read column '{}': {why} {}.", field.name(), field.data_type());
        options.report(Problem::new("CON-003", options.object(), what));
    }
    readable
}
