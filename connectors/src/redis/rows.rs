//! From answers of Redis to rows.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::take::take;
use redis::Value;
use weir_fs::FileSystems;

use super::counts::Counts;
use super::shape::{Content, Place, SEPARATOR, Shape};
use super::values::{Origin, SHOWN, column};
use crate::error::ConnectorError;
use crate::format::{Decoded, Decoder, Format};
use crate::lookup::Found;

/// Makes rows of the values under keys.
#[derive(Debug)]
pub(super) struct RowMaker {
    table: String,
    shape: Shape,
    schema: SchemaRef,
    decoders: Option<Decoders>,
    pub(super) counts: Counts,
}

/// A row of the answer to a request.
struct Row<'a> {
    /// Number of its key.
    number: usize,
    /// The field of a hash, if it was not asked for.
    field: Option<&'a [u8]>,
    /// The columns behind the key, or the one value that holds them.
    values: Vec<Option<&'a [u8]>>,
}

/// The keys of a request: their values, and as they are in Redis.
pub(super) struct Asked<'a> {
    pub(super) values: &'a [ArrayRef],
    pub(super) texts: &'a [Vec<u8>],
}

impl Asked<'_> {
    fn name(&self, number: usize) -> String {
        self.texts.get(number).map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
    }
}

impl RowMaker {
    pub(super) fn new(table: String, shape: Shape, schema: SchemaRef, file_systems: &FileSystems) -> Self {
        let decoders = match &shape.content {
            Content::Format(format) => {
                let behind = schema.fields().iter().skip(shape.key_columns()).cloned().collect::<Vec<_>>();
                Some(Decoders {
                    format: Arc::clone(format),
                    file_systems: file_systems.clone(),
                    schema: Arc::new(Schema::new(behind)),
                    free: Mutex::default(),
                })
            }
            Content::Column | Content::Row => None,
        };
        let counts = Counts::new(&table);
        Self { table, shape, schema, decoders, counts }
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
        let numbers = UInt32Array::from_iter_values(rows.iter().map(|row| row.number as u32));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for key in keys.values {
            columns.push(take(key, &numbers, None).map_err(|error| self.misfit(error))?);
        }
        if columns.len() < self.shape.key_columns()
            && let Some(field) = self.schema.fields().get(columns.len())
        {
            let texts: Vec<_> = rows.iter().map(|row| row.field).collect();
            let name = |row: usize| keys.name(rows.get(row).map_or(0, |row| row.number));
            columns.push(column(&texts, field, &Origin { table: &self.table, key: &name })?);
        }
        columns.extend(values);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| self.misfit(error))?;
        Ok(Found { rows: batch, keys: numbers.values().to_vec() })
    }

    /// For each row the number of its key, its field if it has one that was not asked for, and its values.
    fn rows<'a>(&self, keys: &Asked<'_>, answers: &'a [Value]) -> Result<Vec<Row<'a>>, ConnectorError> {
        let all_fields = self.shape.place == Place::Field && keys.values.len() < 2;
        let mut rows = Vec::with_capacity(answers.len());
        for (number, answer) in answers.iter().enumerate() {
            let pairs: Vec<(&Value, &Value)> = match answer {
                Value::Nil => continue,
                Value::Array(pairs) if all_fields => pairs.as_chunks::<2>().0.iter().map(|[field, value]| (field, value)).collect(),
                Value::Map(pairs) if all_fields => pairs.iter().map(|(field, value)| (field, value)).collect(),
                Value::Array(values) if self.shape.place == Place::Hash => {
                    // Of a hash that has none of the fields, or of no hash, nothing is known.
                    if values.iter().any(|value| *value != Value::Nil) {
                        rows.push(Row { number, field: None, values: values.iter().map(bytes).collect() });
                    }
                    continue;
                }
                value => {
                    let text = bytes(value).ok_or_else(|| ConnectorError::internal("an answer of an unknown kind"))?;
                    rows.push(Row { number, field: None, values: self.split(text, || keys.name(number))? });
                    continue;
                }
            };
            for (field, value) in pairs {
                let values = self.split(bytes(value).unwrap_or_default(), || keys.name(number))?;
                rows.push(Row { number, field: bytes(field), values });
            }
        }
        Ok(rows)
    }

    /// The values of the columns behind the key, of one text; the text itself where it is one column, or in a format.
    fn split<'a>(&self, text: &'a [u8], key: impl Fn() -> String) -> Result<Vec<Option<&'a [u8]>>, ConnectorError> {
        if !matches!(self.shape.content, Content::Row) {
            return Ok(vec![Some(text)]);
        }
        let columns = self.schema.fields().len();
        // Not more than tell that there are too many.
        let parts: Vec<_> = text.splitn(columns + 1, |byte| *byte == SEPARATOR).collect();
        if parts.len() != columns {
            let found = text.iter().filter(|byte| **byte == SEPARATOR).count() + 1;
            let shown: String = String::from_utf8_lossy(text).chars().take(SHOWN).collect::<String>().replace('\u{1}', "\\u0001");
            return Err(self.user(format!("key '{}': the value '{shown}' has {found} columns, and the table {columns}", key())));
        }
        // A row that was written with an empty text where a column is NULL cannot be told from one with an empty text.
        Ok(parts.into_iter().skip(self.shape.key_columns()).map(Some).collect())
    }

    /// The columns behind the key, of texts.
    fn columns(&self, keys: &Asked<'_>, rows: &[Row<'_>]) -> Result<Vec<ArrayRef>, ConnectorError> {
        let name = |row: usize| keys.name(rows.get(row).map_or(0, |row| row.number));
        let origin = Origin { table: &self.table, key: &name };
        let fields = self.schema.fields().iter().skip(self.shape.key_columns()).enumerate();
        let one = |(index, field): (usize, &Arc<arrow_schema::Field>)| {
            let texts: Vec<_> = rows.iter().map(|row| row.values.get(index).copied().flatten()).collect();
            column(&texts, field, &origin)
        };
        fields.map(one).collect()
    }
}

/// Decoders of values: as many as there were requests at a time.
#[derive(Debug)]
struct Decoders {
    format: Arc<dyn Format>,
    file_systems: FileSystems,
    /// The columns behind the key.
    schema: SchemaRef,
    free: Mutex<Vec<Box<dyn Decoder>>>,
}

impl Decoders {
    /// The columns behind the key; rows whose value is none, or bad where that is allowed, are taken out of `rows`.
    async fn decode(&self, maker: &RowMaker, keys: &Asked<'_>, rows: &mut Vec<Row<'_>>) -> Result<Vec<ArrayRef>, ConnectorError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = free.unwrap_or_else(|| self.format.decoder(&self.schema));
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let value = row.values.first().copied().flatten().unwrap_or_default();
            let decoded = loop {
                match decoder.push(value) {
                    Decoded::Waits => decoder.wanted().await?,
                    decoded => break decoded,
                }
            };
            match decoded {
                Decoded::Row => kept.push(row),
                Decoded::Nothing => {}
                Decoded::Skipped(bad) => maker.counts.skipped(keys.texts.get(row.number).map_or(&[], Vec::as_slice), &bad),
                Decoded::Failed(bad) => {
                    let remedy = bad.tolerated_by.as_ref().map(|option| format!("; '{option}' = 'true' tolerates such values")).unwrap_or_default();
                    return Err(maker.user(format!("key '{}': {}{remedy}", keys.name(row.number), bad.located())));
                }
                Decoded::Full => {
                    let what = "the values of one request do not fit into one batch; a smaller 'lookup.async.batch.size' helps";
                    return Err(maker.user(format!("key '{}': {what}", keys.name(row.number))));
                }
                Decoded::Rows(_) | Decoded::Waits => return Err(ConnectorError::internal("a value of several rows")),
            }
        }
        *rows = kept;
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
