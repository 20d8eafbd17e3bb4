//! From answers of Redis to rows.

use std::iter::repeat;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{Field, SchemaRef};
use arrow_select::take::take;
use redis::Value;
use weir_fs::FileSystems;

use super::counts::Counts;
use super::shape::{Content, Place, SEPARATOR, Shape};
use super::values::{Origin, SHOWN, column};
use crate::error::ConnectorError;
use crate::format::{Decoded, Decoder, Format};
use crate::lookup::{Found, columns_of};

/// Makes rows of the values under keys.
#[derive(Debug)]
pub(super) struct RowMaker {
    table: String,
    shape: Shape,
    /// The columns that were declared.
    schema: SchemaRef,
    /// Which of them rows have, by their numbers, which rise.
    wanted: Vec<usize>,
    /// These.
    given: SchemaRef,
    decoders: Option<Decoders>,
    pub(super) counts: Counts,
}

/// The rows of the answer to a request, by column.
#[derive(Default)]
struct Rows<'a> {
    /// For each row the number of its key.
    numbers: Vec<u32>,
    /// The fields of a hash, if they were not asked for.
    fields: Vec<Option<&'a [u8]>>,
    /// The columns behind the key, or the one value that holds them.
    values: Vec<Vec<Option<&'a [u8]>>>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, number: u32, values: impl Iterator<Item = Option<&'a [u8]>>) {
        self.numbers.push(number);
        self.values.iter_mut().zip(values.chain(repeat(None))).for_each(|(column, value)| column.push(value));
    }
}

/// The keys of a request: their values, and as they are in Redis.
pub(super) struct Asked<'a> {
    pub(super) values: &'a [ArrayRef],
    pub(super) texts: &'a BinaryArray,
}

impl Asked<'_> {
    fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        if number < self.texts.len() { self.texts.value(number) } else { &[] }
    }

    fn name(&self, number: u32) -> String {
        String::from_utf8_lossy(self.text(number)).into_owned()
    }
}

impl RowMaker {
    pub(super) fn new(table: String, shape: Shape, schema: SchemaRef, file_systems: &FileSystems) -> Self {
        let wanted = (0..schema.fields().len()).collect();
        Self::of(table, shape, schema, wanted, file_systems)
    }

    fn of(table: String, shape: Shape, schema: SchemaRef, wanted: Vec<usize>, file_systems: &FileSystems) -> Self {
        let decoders = match &shape.content {
            Content::Format(format) => {
                let first = shape.key_columns();
                let behind: Vec<usize> = wanted.iter().copied().filter(|column| *column >= first).collect();
                let decoded = columns_of(&schema, &behind);
                Some(Decoders { format: Arc::clone(format), file_systems: file_systems.clone(), schema: decoded, free: Mutex::default() })
            }
            Content::Column | Content::Row => None,
        };
        let (counts, given) = (Counts::new(&table), columns_of(&schema, &wanted));
        Self { table, shape, schema, wanted, given, decoders, counts }
    }

    /// One that gives only these of the columns that this one gives.
    pub(super) fn narrowed(&self, columns: &[usize], file_systems: &FileSystems) -> Self {
        let wanted = columns.iter().filter_map(|column| self.wanted.get(*column)).copied().collect();
        Self::of(self.table.clone(), self.shape.clone(), Arc::clone(&self.schema), wanted, file_systems)
    }

    /// The columns of rows.
    pub(super) fn given(&self) -> SchemaRef {
        Arc::clone(&self.given)
    }

    /// Where rows have the declared column of this number.
    pub(super) fn place(&self, column: usize) -> Option<usize> {
        self.wanted.binary_search(&column).ok()
    }

    fn is_wanted(&self, column: usize) -> bool {
        self.place(column).is_some()
    }

    fn user(&self, what: impl std::fmt::Display) -> ConnectorError {
        ConnectorError::user(format!("Table '{}': {what}", self.table))
    }

    fn misfit(&self, error: arrow_schema::ArrowError) -> ConnectorError {
        ConnectorError::internal(format!("Table '{}': rows that do not fit", self.table)).with_source(error)
    }

    /// Has the format of values fetch what it needs, before the first rows are made.
    pub(super) async fn prepare(&self) -> Result<(), ConnectorError> {
        match &self.decoders {
            Some(decoders) => decoders.format.prepare(&decoders.file_systems).await,
            None => Ok(()),
        }
    }

    /// The rows of the answers to a request for `keys`, one answer a key.
    pub(super) async fn found(&self, keys: &Asked<'_>, answers: &[Value]) -> Result<Found, ConnectorError> {
        let mut rows = self.rows(keys, answers)?;
        let values = match &self.decoders {
            Some(decoders) => decoders.decode(self, keys, &mut rows).await?,
            None => self.columns(keys, &rows)?,
        };
        let field = match self.schema.fields().get(keys.values.len()) {
            Some(field) if keys.values.len() < self.shape.key_columns() && self.is_wanted(keys.values.len()) => {
                Some(self.column(keys, &rows, &rows.fields, field)?)
            }
            _ => None,
        };
        let numbers = UInt32Array::from(rows.numbers);
        let mut columns = Vec::with_capacity(self.given.fields().len());
        for (_, key) in keys.values.iter().enumerate().filter(|(column, _)| self.is_wanted(*column)) {
            columns.push(take(key, &numbers, None).map_err(|error| self.misfit(error))?);
        }
        columns.extend(field);
        let behind = self.given.fields().len() - columns.len();
        columns.extend(values.into_iter().take(behind));
        let count = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.given), columns, &count).map_err(|error| self.misfit(error))?;
        Ok(Found { rows: batch, keys: numbers.values().to_vec() })
    }

    /// The texts of the rows of answers.
    fn rows<'a>(&self, keys: &Asked<'_>, answers: &'a [Value]) -> Result<Rows<'a>, ConnectorError> {
        let all_fields = self.shape.place == Place::Field && keys.values.len() < 2;
        let behind = self.schema.fields().len() - self.shape.key_columns();
        let columns = if matches!(self.shape.content, Content::Format(_)) { 1 } else { behind };
        let values = (0..columns).map(|_| Vec::with_capacity(answers.len())).collect();
        let mut rows = Rows { values, ..Rows::default() };
        for (number, answer) in (0..).zip(answers) {
            let pairs: Vec<(&Value, &Value)> = match answer {
                Value::Nil => continue,
                Value::Array(pairs) if all_fields => pairs.as_chunks::<2>().0.iter().map(|[field, value]| (field, value)).collect(),
                Value::Map(pairs) if all_fields => pairs.iter().map(|(field, value)| (field, value)).collect(),
                Value::Array(values) if self.shape.place == Place::Hash => {
                    // Of a hash that has none of the fields, or of no hash, nothing is known.
                    if values.iter().any(|value| *value != Value::Nil) {
                        rows.push(number, values.iter().map(bytes));
                    }
                    continue;
                }
                value => {
                    let text = bytes(value).ok_or_else(|| ConnectorError::internal("an answer of an unknown kind"))?;
                    self.add(&mut rows, keys, number, text)?;
                    continue;
                }
            };
            for (field, value) in pairs {
                self.add(&mut rows, keys, number, bytes(value).unwrap_or_default())?;
                rows.fields.push(bytes(field));
            }
        }
        Ok(rows)
    }

    /// Adds a row whose values are in one text.
    fn add<'a>(&self, rows: &mut Rows<'a>, keys: &Asked<'_>, number: u32, text: &'a [u8]) -> Result<(), ConnectorError> {
        if !matches!(self.shape.content, Content::Row) {
            rows.push(number, std::iter::once(Some(text)));
            return Ok(());
        }
        let columns = self.schema.fields().len();
        // Not more than tell that there are too many.
        let parts: Vec<_> = text.splitn(columns + 1, |byte| *byte == SEPARATOR).collect();
        if parts.len() != columns {
            let (key, found) = (keys.name(number), text.iter().filter(|byte| **byte == SEPARATOR).count() + 1);
            let shown: String = String::from_utf8_lossy(text).chars().take(SHOWN).collect::<String>().replace('\u{1}', "\\u0001");
            return Err(self.user(format!("key '{key}': the value '{shown}' has {found} columns, and the table {columns}")));
        }
        // A row that was written with an empty text where a column is NULL cannot be told from one with an empty text.
        rows.push(number, parts.into_iter().skip(self.shape.key_columns()).map(Some));
        Ok(())
    }

    /// The columns behind the key that are wanted, of texts.
    fn columns(&self, keys: &Asked<'_>, rows: &Rows<'_>) -> Result<Vec<ArrayRef>, ConnectorError> {
        let fields = self.schema.fields().iter().enumerate().skip(self.shape.key_columns()).zip(&rows.values);
        let wanted = fields.filter(|((column, _), _)| self.is_wanted(*column));
        wanted.map(|((_, field), texts)| self.column(keys, rows, texts, field)).collect()
    }

    fn column(&self, keys: &Asked<'_>, rows: &Rows<'_>, texts: &[Option<&[u8]>], field: &Field) -> Result<ArrayRef, ConnectorError> {
        let name = |row: usize| keys.name(rows.numbers.get(row).copied().unwrap_or_default());
        column(texts, field, &Origin { table: &self.table, key: &name })
    }
}

/// Decoders of values: as many as there were requests at a time.
#[derive(Debug)]
struct Decoders {
    format: Arc<dyn Format>,
    file_systems: FileSystems,
    /// The columns behind the key that are wanted.
    schema: SchemaRef,
    free: Mutex<Vec<Box<dyn Decoder>>>,
}

impl Decoders {
    /// The columns of [`Self::schema`]; rows whose value is none, or bad where that is allowed, are taken out of `rows`.
    async fn decode(&self, maker: &RowMaker, keys: &Asked<'_>, rows: &mut Rows<'_>) -> Result<Vec<ArrayRef>, ConnectorError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = free.unwrap_or_else(|| self.format.decoder(&self.schema));
        let mut kept = Vec::with_capacity(rows.numbers.len());
        for (number, value) in rows.numbers.iter().zip(rows.values.iter().flatten()) {
            let value = value.unwrap_or_default();
            let decoded = loop {
                match decoder.push(value) {
                    Decoded::Waits => decoder.wanted().await?,
                    decoded => break decoded,
                }
            };
            kept.push(matches!(decoded, Decoded::Row));
            match decoded {
                Decoded::Row | Decoded::Nothing => {}
                Decoded::Skipped(bad) => maker.counts.skipped(keys.text(*number), &bad),
                Decoded::Failed(bad) => {
                    let remedy = bad.tolerated_by.as_ref().map(|option| format!("; '{option}' = 'true' tolerates such values")).unwrap_or_default();
                    return Err(maker.user(format!("key '{}': {}{remedy}", keys.name(*number), bad.located())));
                }
                Decoded::Full => {
                    let what = "the values of one request do not fit into one batch; a smaller 'lookup.async.batch.size' helps";
                    return Err(maker.user(format!("key '{}': {what}", keys.name(*number))));
                }
                Decoded::Rows(_) | Decoded::Waits => return Err(ConnectorError::internal("a value of several rows")),
            }
        }
        let mut keep = kept.iter();
        rows.numbers.retain(|_| keep.next() == Some(&true));
        let mut keep = kept.iter();
        rows.fields.retain(|_| keep.next() == Some(&true));
        let batch = decoder.take().map_err(|error| maker.misfit(error))?;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        Ok(batch.columns().to_vec())
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        _ => None,
    }
}
