//! Bad messages as dead letters: rows of [`letter_schema`].

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field};
use chrono::Utc;

use super::ffi::Message;
use super::metadata::{Metadata, MetadataColumn};
use crate::format::BadMessage;
use crate::letters::letter_schema;

/// Dead letters of one partition with their offsets, ascending.
#[derive(Debug)]
pub(super) struct Letters {
    /// The letters.
    pub(super) batch: RecordBatch,
    /// One offset for each.
    pub(super) offsets: Vec<i64>,
}

impl Letters {
    /// Those before `until`, and the others.
    pub(super) fn split(mut self, until: i64) -> (Option<RecordBatch>, Option<Self>) {
        let due = self.offsets.partition_point(|offset| *offset < until);
        if due == self.offsets.len() {
            return (Some(self.batch), None);
        }
        let rest = self.batch.slice(due, self.offsets.len() - due);
        let head = (due > 0).then(|| self.batch.slice(0, due));
        (head, Some(Self { batch: rest, offsets: self.offsets.split_off(due) }))
    }
}

/// Builds them.
#[derive(Debug)]
pub(super) struct LetterBuilder {
    offsets: Vec<i64>,
    /// The columns of the schema in order.
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Metadata(MetadataColumn),
    Key(BinaryBuilder),
    Raw(BinaryBuilder),
    Name(StringBuilder),
    Error(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Column {
    fn new(field: &Field) -> Self {
        if let Some(kind) = Metadata::of(field.name()) {
            return Self::Metadata(MetadataColumn::new(kind, field));
        }
        match (field.name().as_str(), field.data_type()) {
            ("key", _) => Self::Key(BinaryBuilder::new()),
            ("column", _) => Self::Name(StringBuilder::new()),
            (_, DataType::Timestamp(..)) => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            (_, DataType::Utf8) => Self::Error(StringBuilder::new()),
            _ => Self::Raw(BinaryBuilder::new()),
        }
    }
}

impl LetterBuilder {
    pub(super) fn new() -> Self {
        Self { offsets: Vec::new(), columns: letter_schema().fields().iter().map(|field| Column::new(field)).collect() }
    }

    /// Appends `message`, which is bad.
    pub(super) fn push(&mut self, message: Message<'_>, bad: &BadMessage) {
        self.offsets.push(message.offset());
        for column in &mut self.columns {
            match column {
                Column::Metadata(column) => column.push(message),
                Column::Key(keys) => keys.append_option(message.key()),
                Column::Raw(payloads) => payloads.append_value(message.payload().unwrap_or_default()),
                Column::Name(names) => names.append_option(bad.column.as_deref()),
                Column::Error(errors) => errors.append_value(&bad.reason),
                Column::Time(times) => times.append_value(Utc::now().timestamp_micros()),
            }
        }
    }

    /// What was appended, if anything.
    pub(super) fn take(&mut self, topic: &str, partition: i32) -> Result<Option<Letters>, ArrowError> {
        if self.offsets.is_empty() {
            return Ok(None);
        }
        let offsets = std::mem::take(&mut self.offsets);
        let finished = self.columns.iter_mut().map(|column| -> Result<ArrayRef, ArrowError> {
            Ok(match column {
                Column::Metadata(column) => column.finish(topic, partition, &offsets)?,
                Column::Key(bytes) | Column::Raw(bytes) => Arc::new(bytes.finish()),
                Column::Name(texts) | Column::Error(texts) => Arc::new(texts.finish()),
                Column::Time(times) => Arc::new(times.finish()),
            })
        });
        let columns = finished.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Letters { batch: RecordBatch::try_new(letter_schema(), columns)?, offsets }))
    }
}
