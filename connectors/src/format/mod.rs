//! Formats: from messages to record batches, and back.
//!
//! A [`FormatFactory`] validates the options of one format and makes a [`Decoder`] for a schema. A decoder takes messages one after
//! another and gives record batches; a message that cannot be decoded leaves no trace in the batch and is reported to the caller. Whoever has
//! a batch of messages (a source, a lookup, the replay of dead letters) does the same: `push` for each, then `take`. An [`Encoder`] takes a whole
//! batch and gives a message for each row.

pub mod avro;
mod cells;
pub mod changes;
mod columns;
pub mod csv;
mod decoder;
mod encoder;
pub mod json;
#[cfg(test)]
mod large;
pub mod protobuf;
pub mod raw;
pub mod registry;
mod varint;
pub mod wasm;

#[cfg(test)]
mod back;

use std::fmt;
use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_schema::{Field, SchemaRef};
use async_trait::async_trait;
use futures::future::BoxFuture;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType, closest};
use weir_fs::FileSystems;

use crate::error::ConnectorError;
use crate::registry::MetadataKey;

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
    /// The batch cannot grow and nothing was appended: [`Decoder::take`] it, and push the same message again.
    Full,
    /// It is not known yet how the message was written, or the decoder has worked for long, and nothing was appended: hand on what there is, wait
    /// for [`Decoder::wanted`], and push the same message again.
    Waits,
}

/// What a decoder waits for. It goes on as long as nobody answers, and fails with what no waiting can mend. Dropped, it can be asked for anew.
pub type Wanted = BoxFuture<'static, Result<(), ConnectorError>>;

/// Decodes messages into columns. Not shared between threads, but may move between them.
pub trait Decoder: Send + fmt::Debug {
    /// The columns of the batches, in order.
    fn schema(&self) -> SchemaRef;

    /// Decodes one message and appends its row.
    fn push(&mut self, message: &[u8]) -> Decoded;

    /// What the message waits for that [`Self::push`] said [`Decoded::Waits`] to.
    fn wanted(&mut self) -> Wanted {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Says how many bytes of a job's memory one message may take in the columns: more is a bad message. 256 MiB unless it is said.
    fn bound(&mut self, bytes: usize);

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

/// A row that no message of the format can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Its number in the batch.
    pub row: usize,
    /// Why.
    pub bad: BadMessage,
}

/// Encodes rows into messages.
pub trait Encoder: Send + Sync + fmt::Debug {
    /// What must be there before [`Self::encode`], and is asked for once, however often this is awaited: the id of a schema. Ends in bounded time.
    fn ready(&self) -> Wanted {
        Box::pin(std::future::ready(Ok(())))
    }

    /// A message for each row of `batch`, whose columns are those that the encoder was made for, in order; NULL where a row has no message.
    /// Reading the messages gives the rows again, as far as the page of the format says.
    ///
    /// # Errors
    /// The first row that no message can hold.
    fn encode(&self, batch: &RecordBatch) -> Result<BinaryArray, BadRow>;
}

/// A format whose options have been validated.
#[async_trait]
pub trait Format: Send + Sync + fmt::Debug {
    /// Fetches what the options name and decoders need, if there is such a thing; to be asked before a decoder is made, and as often as one likes.
    ///
    /// # Errors
    /// It is not there or not what it should be (user); a store that cannot be reached.
    async fn prepare(&self, _file_systems: &FileSystems) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// A decoder for `schema`: the physical columns that are wanted, a subset of the declared ones.
    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder>;

    /// An encoder for `schema`: all declared columns in order, and with a format that [tells changes](FormatFactory::tells_changes) maybe
    /// [`changes::ROW_KIND`], without which every row is one that came.
    ///
    /// # Errors
    /// A sentence that says why rows cannot be written so; for a format that is only read, always.
    fn encoder(&self, _schema: &SchemaRef) -> Result<Box<dyn Encoder>, String> {
        Err("it is only read".to_owned())
    }
}

/// A format by name.
pub trait FormatFactory: Send + Sync + fmt::Debug {
    /// The name in `'format' = '…'`.
    fn name(&self) -> &'static str;

    /// Whether messages are changes of rows: a schema that a decoder is made for may then have the column [`changes::ROW_KIND`].
    fn tells_changes(&self) -> bool {
        false
    }

    /// Whether one message may be several rows: such a format cannot be one of keys.
    fn gives_many_rows(&self) -> bool {
        self.tells_changes()
    }

    /// Metadata columns that it offers beside those of the connector. A field that a decoder is to fill so has the key in its metadata, under
    /// [`changes::TOLD`].
    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
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
        Arc::new(registry::avro()),
        Arc::new(changes::canal()),
        Arc::new(csv::CsvFactory),
        Arc::new(registry::debezium()),
        Arc::new(changes::debezium()),
        Arc::new(json::JsonFactory),
        Arc::new(registry::json()),
        Arc::new(changes::maxwell()),
        Arc::new(changes::ogg()),
        Arc::new(registry::protobuf()),
        Arc::new(protobuf::ProtobufFactory),
        Arc::new(raw::RawFactory),
        Arc::new(wasm::WasmFactory),
    ]
}

/// Opens the format `name`, which the option `selector` has chosen, for columns of `schema`; `None` if a problem was reported.
pub fn open(
    options: &mut OptionBag,
    formats: &[Arc<dyn FormatFactory>],
    (selector, name): (&str, &str),
    prefix: &str,
    schema: &SchemaRef,
) -> Option<Box<dyn Format>> {
    if let Some(factory) = formats.iter().find(|factory| factory.name() == name) {
        return factory.open(prefix, options, schema);
    }
    let mut names: Vec<&str> = formats.iter().map(|factory| factory.name()).collect();
    names.sort_unstable();
    let near = closest(name, names.iter().copied()).first().map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default();
    let what = format!("Could not find any factory for identifier '{name}' of option '{selector}'.{near}");
    options.error("CON-001", selector, format!("{what} Available factory identifiers are: {}.", names.join(", ")));
    // What its options are is not known: they are not reported on top.
    options.prefixed(prefix);
    None
}

/// Options that say how a format writes.
const WRITING: &[&str] = &[
    "map-null-key.mode",
    "map-null-key.literal",
    "encode.decimal-as-plain-number",
    "encode.ignore-null-fields",
    "write-bigdecimal-in-scientific-notation",
    "write-null-string-literal",
    "subject",
    "properties.auto.register.schemas",
];

/// Warns of options behind `prefix` that are for writing, of a table that is only read.
pub fn warn_of_writing(prefix: &str, options: &mut OptionBag) {
    for key in WRITING.iter().map(|key| format!("{prefix}{key}")) {
        if options.contains(&key) {
            options.warn("OPT-008", &key, format!("'{key}' has no effect because it is for writing and the table is read."));
        }
    }
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
