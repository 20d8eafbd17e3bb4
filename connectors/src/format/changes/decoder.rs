//! Decodes messages of a change log: the rows before and after go into columns of their own, and the rows of a batch are picked from both.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array as _, ArrayRef, RecordBatch, StringArray, StructArray, UInt64Array, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, SchemaRef};
use arrow_select::interleave::interleave;
use arrow_select::take::take;

use super::dialects::Meaning;
use super::metadata::{How, Told};
use super::options::Dialect;
use super::{ROW_KIND, TOLD};
use crate::format::columns::{Column, Context, Fault, Most, Rows, Values, batch_of};
use crate::format::decoder::{ReadRow, bytes_with, failed};
use crate::format::{Decoded, Decoder, Wanted};

/// Places of the envelope's columns; those of [`super::dialects::Layout::more`] follow.
const AFTER: usize = 0;
const BEFORE: usize = 1;
const OPERATION: usize = 2;
const MORE: usize = 3;

/// A row to come: its kind, and where its values are.
#[derive(Debug, Clone, Copy)]
struct Pick {
    kind: &'static str,
    /// Among the rows after the changes; for a row before one, of what has not changed.
    after: usize,
    /// Among the rows before them.
    before: Option<usize>,
}

/// The decoder of all dialects.
#[derive(Debug)]
pub(in crate::format) struct ChangeDecoder<R> {
    reader: R,
    dialect: Dialect,
    schema: SchemaRef,
    envelope: Fields,
    rows: Rows,
    picks: Vec<Pick>,
    /// The message of each of them.
    origins: Vec<u64>,
    /// What fills each column of the schema that is neither one of the rows nor their kind, and its place in the envelope.
    told: Vec<Option<(&'static Told, usize)>>,
    context: Context,
    bytes: usize,
}

impl<R: ReadRow> ChangeDecoder<R> {
    /// A decoder; `reader` makes what reads a message into the columns of the envelope.
    pub(in crate::format) fn new(dialect: &Dialect, schema: &SchemaRef, context: Context, reader: impl FnOnce(&Fields) -> R) -> Self {
        let layout = dialect.layout;
        let is_of_row = |field: &&FieldRef| field.name() != ROW_KIND && !field.metadata().contains_key(TOLD);
        let wanted: Fields = schema.fields().iter().filter(is_of_row).cloned().collect();
        let row = |name: &str| {
            let row = DataType::Struct(wanted.clone());
            let data_type = if layout.lists { DataType::List(Arc::new(Field::new("row", row, true))) } else { row };
            Field::new(name, data_type, true)
        };
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let fields = [row(layout.after), row(layout.before), text(layout.operation)].into_iter().chain(layout.more.iter().map(|name| text(name)));
        let mut body: Vec<Field> = fields.collect();
        let mut outside = Vec::new();
        let told = schema.fields().iter().map(|field| {
            let told = dialect.tool.told().iter().find(|told| field.metadata().get(TOLD).is_some_and(|key| key == told.key))?;
            let (fields, before) = if told.how == How::Outside { (&mut outside, 1) } else { (&mut body, 0) };
            let known = fields.iter().position(|known: &Field| known.name() == told.field);
            let place = known.unwrap_or_else(|| {
                let marked = HashMap::from([(TOLD.to_owned(), told.key.to_owned())]);
                fields.push(Field::new(told.field, told.data_type(), true).with_metadata(marked));
                fields.len() - 1
            });
            Some((told, place + before))
        });
        let told = told.collect();
        let body = Fields::from(body);
        let payload = Field::new("payload", DataType::Struct(body.clone()), true);
        let envelope = if dialect.schema_include { std::iter::once(payload).chain(outside).collect() } else { body };
        let mut rows = Rows::new(&envelope);
        if layout.partial
            && let Some(before) = rows_of(&mut rows, dialect.schema_include, BEFORE)
        {
            before.columns.iter_mut().for_each(Column::note_missing);
        }
        let (reader, schema) = (reader(&envelope), Arc::clone(schema));
        let (picks, origins) = (Vec::new(), Vec::new());
        Self { reader, dialect: dialect.clone(), schema, envelope, rows, picks, origins, told, context, bytes: 0 }
    }

    /// Appends the rows of `message`.
    fn read(&mut self, message: &[u8]) -> Result<(), Fault> {
        self.context.begin(message.len())?;
        if !self.reader.read(message, &mut self.rows, &mut self.context)? {
            return Ok(());
        }
        let row = self.rows.len() - 1;
        let body = match self.rows.columns.first() {
            Some(Column { values: Values::Row(body), .. }) if self.dialect.schema_include => body,
            _ => &self.rows,
        };
        if self.dialect.schema_include && !self.rows.columns.first().is_some_and(|payload| payload.is_valid(row)) {
            return Ok(()); // a tombstone with a schema
        }
        let text = |place: usize| body.columns.get(place).and_then(|column| column.text(row));
        let more: Vec<Option<&[u8]>> = (MORE..MORE + self.dialect.layout.more.len()).map(text).collect();
        let meaning = self.dialect.tool.meaning(text(OPERATION), &more, &self.dialect.include)?;
        if meaning == Meaning::Nothing {
            return Ok(());
        }
        let slots = |place: usize| body.columns.get(place).map_or(0..0, |column| slots(column, row));
        let (after, before) = (slots(AFTER), slots(BEFORE));
        self.pick(meaning, after, before)?;
        self.origins.resize(self.picks.len(), row as u64);
        Ok(())
    }

    fn pick(&mut self, meaning: Meaning, after: Range<usize>, before: Range<usize>) -> Result<(), Fault> {
        let (tool, layout) = (self.dialect.tool, self.dialect.layout);
        // Where the row before is only what was changed, a deleted row is the one after.
        let deleted = if layout.partial { after.clone() } else { before.clone() };
        let empty = |name: &str| Fault::syntax(format!("the message has no \"{name}\""));
        match meaning {
            Meaning::Nothing => {}
            Meaning::Insert if after.is_empty() => return Err(empty(layout.after)),
            Meaning::Insert => self.picks.extend(after.map(|after| Pick { kind: "+I", after, before: None })),
            Meaning::Delete if deleted.is_empty() && layout.partial => return Err(empty(layout.after)),
            Meaning::Delete if deleted.is_empty() => return Err(tool.no_before(meaning)),
            Meaning::Delete if layout.partial => self.picks.extend(deleted.map(|after| Pick { kind: "-D", after, before: None })),
            Meaning::Delete => self.picks.extend(deleted.map(|before| Pick { kind: "-D", after: before, before: Some(before) })),
            Meaning::Update if before.is_empty() => return Err(tool.no_before(meaning)),
            Meaning::Update if after.len() != before.len() => return Err(empty(layout.after)),
            Meaning::Update => {
                let rows = after.zip(before);
                self.picks.extend(
                    rows.flat_map(|(after, before)| [Pick { kind: "-U", after, before: Some(before) }, Pick { kind: "+U", after, before: None }]),
                );
            }
        }
        Ok(())
    }

    #[cold]
    fn bad(&mut self, fault: Fault, before: (usize, usize, u64)) -> Decoded {
        self.rows.take_back(before.0, &fault);
        self.picks.truncate(before.1);
        self.origins.truncate(before.1);
        self.context.field_errors = before.2;
        failed(fault, before.0, &self.context, self.dialect.option.as_deref())
    }
}

/// The rows of the envelope's column at `place`.
fn rows_of(rows: &mut Rows, in_payload: bool, place: usize) -> Option<&mut Rows> {
    let body = if in_payload {
        match &mut rows.columns.first_mut()?.values {
            Values::Row(body) => body,
            _ => return None,
        }
    } else {
        rows
    };
    match &mut body.columns.get_mut(place)?.values {
        Values::Row(rows) => Some(rows),
        Values::List(list) => match &mut list.elements.values {
            Values::Row(rows) => Some(rows),
            _ => None,
        },
        _ => None,
    }
}

/// The rows that the last message has in a column, by their slots.
fn slots(column: &Column, row: usize) -> Range<usize> {
    match &column.values {
        _ if !column.is_valid(row) => 0..0,
        Values::List(list) => list.slots(row),
        _ => row..row + 1,
    }
}

impl<R: ReadRow> Decoder for ChangeDecoder<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, message: &[u8]) -> Decoded {
        let before = (self.rows.len(), self.picks.len(), self.context.field_errors);
        if let Err(fault) = self.read(message) {
            return self.bad(fault, before);
        }
        self.bytes = bytes_with(message, &self.rows, self.bytes);
        match self.picks.len() - before.1 {
            0 => {
                self.rows.truncate(before.0);
                Decoded::Nothing
            }
            1 => Decoded::Row,
            rows => Decoded::Rows(rows),
        }
    }

    fn wanted(&mut self) -> Wanted {
        self.reader.wanted()
    }

    fn bound(&mut self, bytes: usize) {
        self.context.most = Most::of_memory(bytes);
    }

    fn rows(&self) -> usize {
        self.picks.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn field_errors(&self) -> u64 {
        self.context.field_errors
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        let missing: Vec<Vec<usize>> = match rows_of(&mut self.rows, self.dialect.schema_include, BEFORE) {
            Some(before) => before.columns.iter_mut().map(Column::take_missing).collect(),
            None => Vec::new(),
        };
        let outer = self.rows.take_columns(&self.envelope)?;
        let body = match outer.first().and_then(|payload| payload.as_struct_opt()) {
            Some(payload) if self.dialect.schema_include => payload.columns().to_vec(),
            _ => outer.clone(),
        };
        let origins = UInt64Array::from(std::mem::take(&mut self.origins));
        let (after, before) = (rows_in(body.get(AFTER))?, rows_in(body.get(BEFORE))?);
        let picks = std::mem::take(&mut self.picks);
        // As long as nothing was changed, the rows are those after the changes as they came.
        let as_they_came = picks.len() == after.len() && picks.iter().enumerate().all(|(row, pick)| pick.before.is_none() && pick.after == row);
        let mut sides = after.columns().iter().zip(before.columns()).enumerate();
        let columns = self.schema.fields().iter().zip(&self.told).map(|(field, told)| -> Result<ArrayRef, ArrowError> {
            if let Some((told, place)) = told {
                let found = match told.how {
                    How::Outside if !self.dialect.schema_include => return Ok(new_null_array(field.data_type(), origins.len())),
                    How::Outside => outer.get(*place),
                    _ => body.get(*place),
                };
                let found = found.ok_or_else(|| ArrowError::SchemaError("a column too few".to_owned()))?;
                return take(&told.column(found, field.data_type())?, &origins, None);
            }
            if field.name() == ROW_KIND {
                return Ok(Arc::new(StringArray::from_iter_values(picks.iter().map(|pick| pick.kind))));
            }
            let (index, (after, before)) = sides.next().ok_or_else(|| ArrowError::SchemaError("a column too few".to_owned()))?;
            if as_they_came {
                return Ok(Arc::clone(after));
            }
            let missing = missing.get(index).map(Vec::as_slice).unwrap_or_default();
            let place = |pick: &Pick| match pick.before {
                Some(before) if missing.binary_search(&before).is_err() => (1, before),
                _ => (0, pick.after),
            };
            let places: Vec<(usize, usize)> = picks.iter().map(place).collect();
            interleave(&[after.as_ref(), before.as_ref()], &places)
        });
        batch_of(&self.schema, columns.collect::<Result<Vec<_>, _>>()?, picks.len())
    }
}

/// The rows of a column of rows, or of lists of them.
fn rows_in(column: Option<&ArrayRef>) -> Result<StructArray, ArrowError> {
    let rows = column.and_then(|column| match column.as_list_opt::<i32>() {
        Some(lists) => lists.values().as_struct_opt(),
        None => column.as_struct_opt(),
    });
    rows.cloned().ok_or_else(|| ArrowError::SchemaError("a change log without rows".to_owned()))
}
