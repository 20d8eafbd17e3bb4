//! From messages to record batches: the format's decoder for the value (and the key), metadata columns beside it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use rdkafka::error::RDKafkaErrorCode;
use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;

use super::backlog::Item;
use super::ffi::{Message, Messages};
use super::letters::LetterBuilder;
use super::losses::Losses;
use super::metadata::{Metadata, MetadataColumn};
use super::metrics::{SourceCounters, add};
use crate::error::ConnectorError;
use crate::format::changes::TOLD;
use crate::format::{BadMessage, Decoded, Decoder, Format, Wanted};
use crate::letters::{ErrorHandling, ErrorMode};

/// Bytes of columns behind which a batch ends: a message of few bytes may be many in columns.
const MOST_BYTES: usize = 32 << 20;

/// What a column of the table is read from.
#[derive(Debug, Clone)]
pub(super) enum ColumnSource {
    /// The message's value.
    Value,
    /// The message's key, under this name.
    Key(String),
    /// What Kafka tells about the message.
    Metadata(Metadata),
    /// What the format of the value tells, under this key.
    Told(&'static str),
}

/// How the messages of a table become rows; makes the builders of its readers.
pub(super) struct RowFormat {
    /// What messages call the table.
    pub(super) object: String,
    /// Columns in declared order.
    pub(super) schema: SchemaRef,
    /// Where each comes from.
    pub(super) sources: Vec<ColumnSource>,
    /// Format of the value.
    pub(super) value: Box<dyn Format>,
    /// Format of the key, if columns are read from it.
    pub(super) key: Option<Box<dyn Format>>,
    /// Rows are changes: the last column says of what kind.
    pub(super) changes: bool,
    /// What becomes of bad messages.
    pub(super) errors: ErrorHandling,
    /// The share of them, if there is a limit.
    pub(super) losses: Option<Mutex<Losses>>,
    /// Counters.
    pub(super) counters: SourceCounters,
    /// Log of skipped messages.
    pub(super) skips: SkipLog,
}

impl fmt::Debug for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFormat").field("object", &self.object).field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl RowFormat {
    /// Has the formats fetch what they need.
    pub(super) async fn prepare(&self, file_systems: &FileSystems) -> Result<(), ConnectorError> {
        for format in std::iter::once(&self.value).chain(&self.key) {
            format.prepare(file_systems).await?;
        }
        Ok(())
    }
}

/// Says at most every ten seconds that messages are bad and the job goes on.
#[derive(Debug, Default)]
pub(super) struct SkipLog(Mutex<Option<(Instant, u64)>>);

impl SkipLog {
    fn note(&self, mode: ErrorMode, object: &str, place: &str, bad: &BadMessage) {
        const QUIET: Duration = Duration::from_secs(10);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaid = match last.as_mut() {
            Some((when, unsaid)) if when.elapsed() < QUIET => {
                *unsaid += 1;
                return;
            }
            Some((_, unsaid)) => *unsaid,
            None => 0,
        };
        *last = Some((Instant::now(), 0));
        let column = bad.column.as_deref().unwrap_or_default();
        if mode == ErrorMode::DeadLetter {
            tracing::warn!(table = object, place, column, reason = bad.reason, before = unsaid, "bad message goes to the dead letters");
        } else {
            tracing::warn!(table = object, place, column, reason = bad.reason, skipped_before = unsaid, "bad message skipped");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Value(usize),
    Key(usize),
    Metadata(usize),
}

/// Builds the rows of one partition.
#[derive(Debug)]
pub(super) struct RowBuilder {
    format: Arc<RowFormat>,
    topic: String,
    partition: i32,
    schema: SchemaRef,
    slots: Vec<Slot>,
    value: Box<dyn Decoder>,
    key: Option<Box<dyn Decoder>>,
    metadata: Vec<MetadataColumn>,
    offsets: Vec<i64>,
    // Rows of the value whose key gave none, and rows of the key that go with them.
    keyless: Vec<usize>,
    valueless: Vec<usize>,
    letters: LetterBuilder,
    lost: Lost,
    next: Option<i64>,
    bytes: usize,
}

impl RowBuilder {
    /// A builder of the columns `projection` for one partition.
    pub(super) fn new(format: &Arc<RowFormat>, projection: &[usize], topic: &str, partition: i32) -> Result<Self, ArrowError> {
        let schema = Arc::new(format.schema.project(projection)?);
        let (mut value, mut key, mut metadata, mut slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (field, source) in schema.fields().iter().zip(projection.iter().filter_map(|index| format.sources.get(*index))) {
            slots.push(match source {
                ColumnSource::Value => {
                    value.push(Arc::clone(field));
                    Slot::Value(value.len() - 1)
                }
                ColumnSource::Key(name) => {
                    key.push(Arc::new(Field::clone(field).with_name(name)));
                    Slot::Key(key.len() - 1)
                }
                ColumnSource::Told(told) => {
                    let told = HashMap::from([(TOLD.to_owned(), (*told).to_owned())]);
                    value.push(Arc::new(Field::clone(field).with_metadata(told)));
                    Slot::Value(value.len() - 1)
                }
                ColumnSource::Metadata(kind) => {
                    metadata.push(MetadataColumn::new(*kind, field));
                    Slot::Metadata(metadata.len() - 1)
                }
            });
        }
        let key_schema: SchemaRef = Arc::new(Schema::new(key));
        let key = format.key.as_ref().filter(|_| !key_schema.fields().is_empty()).map(|key| key.decoder(&key_schema));
        Ok(Self {
            format: Arc::clone(format),
            topic: topic.to_owned(),
            partition,
            schema,
            slots,
            value: format.value.decoder(&Arc::new(Schema::new(value))),
            key,
            metadata,
            offsets: Vec::new(),
            keyless: Vec::new(),
            valueless: Vec::new(),
            letters: LetterBuilder::new(),
            lost: Lost::default(),
            next: None,
            bytes: 0,
        })
    }

    /// One message may take a quarter of `budget`.
    pub(super) fn within(mut self, budget: &MemoryBudget) -> Self {
        let most = usize::try_from(budget.limit() / 4).unwrap_or(usize::MAX);
        std::iter::once(&mut self.value).chain(&mut self.key).for_each(|decoder| decoder.bound(most));
        self
    }

    /// Decodes `messages`, without the first `done` of them. Those after a bad one that may not be skipped are left out: the job ends there.
    /// Those behind very large rows wait until these are taken.
    pub(super) fn decode(&mut self, messages: Messages, done: usize) -> Result<Decode, ConnectorError> {
        let mut items = Vec::new();
        let (mut taken, mut waits) = (0, None);
        let bad_fields = self.bad_fields();
        for (place, message) in messages.iter().enumerate().skip(done) {
            taken += 1;
            if let Some(fault) = message.fault() {
                if fault.code == RDKafkaErrorCode::PartitionEOF {
                    self.next = self.next.max(Some(message.offset()));
                } else {
                    self.flush(&mut items)?;
                    items.push(Item::Fault(fault));
                }
                continue;
            }
            let offset = message.offset();
            let pushed = if self.is_large() { Some(Pushed::Waits(Box::pin(std::future::ready(Ok(()))))) } else { self.push(message) };
            let pushed = match pushed {
                Some(pushed) => pushed,
                None => {
                    self.next = self.next.max(Some(offset));
                    self.flush(&mut items)?;
                    self.push(message).unwrap_or_else(|| self.lose(message, too_large(), false))
                }
            };
            if matches!(pushed, Pushed::Done | Pushed::Bad(_)) {
                self.bytes += message.payload().map_or(0, |payload| payload.len() + message.key().map_or(0, <[u8]>::len));
            }
            match pushed {
                Pushed::Done => self.next = self.next.max(Some(offset + 1)),
                Pushed::Bad(bad) => {
                    self.next = self.next.max(Some(offset));
                    self.flush(&mut items)?;
                    items.push(Item::Bad { offset, message: self.explain(offset, &bad) });
                    break;
                }
                Pushed::Waits(wanted) => {
                    self.next = self.next.max(Some(offset));
                    taken -= 1;
                    waits = Some((place, wanted));
                    break;
                }
            }
        }
        self.flush(&mut items)?;
        self.check_losses(taken)?;
        add(self.format.counters.null_fields.as_ref(), usize::try_from(self.bad_fields() - bad_fields).unwrap_or(usize::MAX));
        let bytes = std::mem::take(&mut self.bytes);
        add(self.format.counters.bytes.as_ref(), bytes);
        let waits = waits.map(|(done, wanted)| Waits { messages, done, wanted });
        Ok(Decode { items, messages: taken, bytes, waits })
    }

    fn bad_fields(&self) -> u64 {
        self.value.field_errors() + self.key.as_ref().map_or(0, |key| key.field_errors())
    }

    /// Whether the rows must be taken away before there are more.
    fn is_large(&self) -> bool {
        self.value.rows() > 0 && self.value.bytes() + self.key.as_ref().map_or(0, |key| key.bytes()) > MOST_BYTES
    }

    /// Appends the rows of `message`, if it gives any. `None`: what was appended before must be taken away first.
    fn push(&mut self, message: Message<'_>) -> Option<Pushed> {
        let Some(payload) = message.payload() else { return Some(Pushed::Done) };
        let first = self.value.rows();
        let rows = match self.value.push(payload) {
            Decoded::Row => 1,
            Decoded::Rows(rows) => rows,
            Decoded::Nothing => 0,
            Decoded::Skipped(bad) => return Some(self.lose(message, bad, true)),
            Decoded::Failed(bad) => return Some(self.lose(message, bad, false)),
            Decoded::Full => return None,
            Decoded::Waits => return Some(Pushed::Waits(self.value.wanted())),
        };
        let pushed = self.push_key(message, first..first + rows);
        for _ in 0..rows {
            self.offsets.push(message.offset());
            self.metadata.iter_mut().for_each(|column| column.push(message));
        }
        pushed
    }

    /// Appends the key of `message` for each of `rows`, those of its value. `None`: what was appended before must be taken away first.
    fn push_key(&mut self, message: Message<'_>, rows: Range<usize>) -> Option<Pushed> {
        let Some(decoder) = &mut self.key else { return Some(Pushed::Done) };
        let (first, key) = (decoder.rows(), message.key());
        let push = |_| key.map_or(Decoded::Nothing, |key| decoder.push(key));
        let decoded = rows.clone().map(push).find(|decoded| *decoded != Decoded::Row).unwrap_or(Decoded::Row);
        if decoded == Decoded::Row {
            return Some(Pushed::Done);
        }
        self.keyless.extend(rows);
        self.valueless.extend(first..decoder.rows());
        Some(match decoded {
            Decoded::Skipped(bad) => self.lose(message, bad, true),
            Decoded::Failed(bad) => self.lose(message, bad, false),
            Decoded::Full => return None,
            Decoded::Waits => Pushed::Waits(decoder.wanted()),
            Decoded::Row | Decoded::Rows(_) | Decoded::Nothing => self.lose(message, without_key(key), false),
        })
    }

    /// Does without `message`, unless it ends the job. `tolerated`: the format's options say to skip it.
    fn lose(&mut self, message: Message<'_>, bad: BadMessage, tolerated: bool) -> Pushed {
        let mode = self.format.errors.mode;
        let counter = match mode {
            ErrorMode::Fail if !tolerated => return Pushed::Bad(bad),
            ErrorMode::Fail | ErrorMode::Skip => &self.format.counters.skipped,
            ErrorMode::DeadLetter => {
                self.letters.push(message, &bad);
                &self.format.counters.letters
            }
        };
        add(counter.as_ref(), 1);
        self.format.skips.note(mode, &self.format.object, &self.place(message.offset()), &bad);
        self.lost.messages += 1;
        self.lost.last = Some((message.offset(), bad));
        Pushed::Done
    }

    /// An error if more messages are lost than the options allow; `taken` is how many came since the last check.
    fn check_losses(&mut self, taken: usize) -> Result<(), ConnectorError> {
        let lost = std::mem::take(&mut self.lost);
        let Some(losses) = &self.format.losses else { return Ok(()) };
        let last = lost.last.map(|(offset, bad)| format!(" The last is at {}: {}.", self.place(offset), bad.located()));
        let exceeded = losses.lock().unwrap_or_else(PoisonError::into_inner).count(taken, lost.messages, last);
        let Some((bad, seen, last)) = exceeded else { return Ok(()) };
        let most = self.format.errors.max_rate.unwrap_or_default();
        let what = format!("{bad} of the last {seen} messages cannot be read, more than 'error.max-rate' = '{most}' allows.{last}");
        Err(ConnectorError::user(format!("{}: {what}", self.format.object)))
    }

    fn place(&self, offset: i64) -> String {
        format!("topic '{}' partition {} offset {offset}", self.topic, self.partition)
    }

    fn explain(&self, offset: i64, bad: &BadMessage) -> String {
        let tolerant = bad.tolerated_by.as_ref().map(|option| format!(" '{option}' = 'true' tolerates such messages.")).unwrap_or_default();
        let remedy = "'error.mode' = 'dead-letter' puts such messages into the table 'error.table', 'skip' leaves them out.";
        format!("{}: bad message at {}: {}. {remedy}{tolerant}", self.format.object, self.place(offset), bad.located())
    }

    /// Puts the appended rows, and how far they reach, behind `items`.
    fn flush(&mut self, items: &mut Vec<Item>) -> Result<(), ConnectorError> {
        let Some(next) = self.next.take() else { return Ok(()) };
        let (batch, offsets) = self.batch().map_err(|error| self.unbuilt(error))?;
        let letters = self.letters.take(&self.topic, self.partition).map_err(|error| self.unbuilt(error))?;
        items.push(Item::Rows { batch, offsets, letters, next });
        Ok(())
    }

    fn unbuilt(&self, error: ArrowError) -> ConnectorError {
        let place = format!("topic '{}' partition {}", self.topic, self.partition);
        ConnectorError::user(format!("{}: {place}: a batch could not be built: {error}.", self.format.object)).with_source(error)
    }

    /// The appended rows with their offsets; rows whose key gave none are taken out.
    fn batch(&mut self) -> Result<(RecordBatch, Vec<i64>), ArrowError> {
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut value = self.value.take()?.columns().to_vec();
        let mut metadata = Vec::with_capacity(self.metadata.len());
        for column in &mut self.metadata {
            metadata.push(column.finish(&self.topic, self.partition, &offsets)?);
        }
        let mut key = Vec::new();
        if let Some(decoder) = &mut self.key {
            let rows = decoder.rows();
            key = decoder.take()?.columns().to_vec();
            let valueless = std::mem::take(&mut self.valueless);
            leave_out(&valueless, rows, key.iter_mut())?;
        }
        let keyless = std::mem::take(&mut self.keyless);
        leave_out(&keyless, offsets.len(), value.iter_mut().chain(&mut metadata))?;
        let mut row = 0..;
        offsets.retain(|_| row.next().is_none_or(|row| keyless.binary_search(&row).is_err()));
        let pick = |slot: &Slot| match slot {
            Slot::Value(index) => value.get(*index),
            Slot::Key(index) => key.get(*index),
            Slot::Metadata(index) => metadata.get(*index),
        };
        let columns: Vec<ArrayRef> = self.slots.iter().filter_map(|slot| pick(slot).cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        Ok((RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?, offsets))
    }
}

/// What is wrong with a message whose key gives no row.
#[cold]
fn without_key(key: Option<&[u8]>) -> BadMessage {
    let reason = if key.is_some() {
        "the key of the message gives no row, and columns are read from it"
    } else {
        "the message has no key, and columns are read from it"
    };
    BadMessage { reason: reason.to_owned(), column: None, tolerated_by: None }
}

/// What is wrong with a message of which even an empty batch is full.
#[cold]
fn too_large() -> BadMessage {
    BadMessage { reason: "the rows of the message do not fit into one batch".to_owned(), column: None, tolerated_by: None }
}

/// Takes the rows `out`, ascending, out of columns of `rows` rows.
fn leave_out<'a>(out: &[usize], rows: usize, columns: impl Iterator<Item = &'a mut ArrayRef>) -> Result<(), ArrowError> {
    if out.is_empty() {
        return Ok(());
    }
    let keep: BooleanArray = (0..rows).map(|row| Some(out.binary_search(&row).is_err())).collect();
    for column in columns {
        *column = arrow_select::filter::filter(column, &keep)?;
    }
    Ok(())
}

/// What became of one message.
enum Pushed {
    /// It is in the rows or the letters, or gives nothing.
    Done,
    /// It may not be skipped: the job ends there.
    Bad(BadMessage),
    /// It waits for this.
    Waits(Wanted),
}

/// Messages that were lost since the last check.
#[derive(Debug, Default)]
struct Lost {
    messages: usize,
    last: Option<(i64, BadMessage)>,
}

/// Messages of which one waits for something, and those behind it for that one.
pub(super) struct Waits {
    pub(super) messages: Messages,
    /// So many of them are decoded.
    pub(super) done: usize,
    /// What the next one waits for.
    pub(super) wanted: Wanted,
}

/// What one drain of a partition's queue gave.
pub(super) struct Decode {
    /// Rows and events in order.
    pub(super) items: Vec<Item>,
    /// Messages looked at.
    pub(super) messages: usize,
    /// Bytes of their keys and values.
    pub(super) bytes: usize,
    /// What is not decoded yet.
    pub(super) waits: Option<Waits>,
}
