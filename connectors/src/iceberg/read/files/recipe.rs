//! How rows of a table are made of the arrays that are read of a file: decided once for a file, then carried out for every batch.
//!
//! Parts are found by field id, so that renamed, moved and promoted ones come out right. A part that is wanted and not in the file is null,
//! or has the value that its column has for such files. A part that nobody wants is filled with blanks, which cost nothing: only the types
//! must be right.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, make_array, new_null_array};
use arrow_buffer::OffsetBuffer;
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, SchemaRef};
use datafusion::common::ScalarValue;

use super::columns::FileColumn;
use crate::iceberg::read::need::{Need, parts_of};
use crate::iceberg::types::field_id;

/// Values of columns for files that lack them, by id.
pub(in crate::iceberg::read) type Missing<'a> = dyn Fn(i32) -> Option<ScalarValue> + 'a;

/// Where a value comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A child of what was read, made into the target's type.
    Read(usize, Recipe),
    /// The same value in every row.
    Value(ScalarValue),
    Null(DataType),
    /// Anything; the number is that of a store of blanks.
    Blank(usize, DataType),
}

#[derive(Debug, Clone)]
enum Recipe {
    Leaf(DataType),
    Struct(Fields, Vec<Source>),
    List(FieldRef, Box<Source>),
    Map(FieldRef, bool, Box<Source>, Box<Source>),
}

/// Makes rows out of batches of one file.
#[derive(Debug, Clone)]
pub(in crate::iceberg::read) struct RowMaker {
    schema: SchemaRef,
    sources: Vec<Source>,
    blanks: Vec<Option<ArrayRef>>,
}

/// What is wanted of a table's columns.
#[derive(Debug, Clone, Copy)]
pub(in crate::iceberg::read) struct Wanted<'a> {
    /// The columns with their ids.
    pub(in crate::iceberg::read) fields: &'a Fields,
    /// What of each of them.
    pub(in crate::iceberg::read) needs: &'a [Need],
    /// The same columns as they are given.
    pub(in crate::iceberg::read) schema: &'a SchemaRef,
}

impl RowMaker {
    /// Decides for a file of which the leaves `chosen` are read. `Err` says which column the file cannot give.
    pub(in crate::iceberg::read) fn try_new(
        wanted: Wanted<'_>,
        row: &FileColumn,
        chosen: &BTreeSet<usize>,
        missing: &Missing<'_>,
    ) -> Result<Self, String> {
        let mut decide = Decide { chosen, missing, blanks: 0 };
        let columns = wanted.fields.iter().zip(wanted.schema.fields()).zip(wanted.needs);
        let sources: Result<Vec<Source>, String> = columns
            .map(|((field, plain), need)| {
                let found = field_id(field).and_then(|id| row.parts.iter().position(|part| part.id == Some(id)));
                decide.source(field, plain, Some(need), row, found)
            })
            .collect();
        Ok(Self { schema: Arc::clone(wanted.schema), sources: sources?, blanks: vec![None; decide.blanks] })
    }

    /// The rows of a batch that was read with the chosen leaves.
    pub(in crate::iceberg::read) fn make(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let Self { schema, sources, blanks } = self;
        let columns: Result<Vec<ArrayRef>, ArrowError> = sources.iter().map(|source| source.make(batch.columns(), rows, blanks)).collect();
        RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &RecordBatchOptions::new().with_row_count(Some(rows)))
    }
}

struct Decide<'a> {
    chosen: &'a BTreeSet<usize>,
    missing: &'a Missing<'a>,
    blanks: usize,
}

impl Decide<'_> {
    fn is_read(&self, column: &FileColumn) -> bool {
        self.chosen.range(column.leaves.clone()).next().is_some()
    }

    /// Where `field` comes from, which is the part number `found` of `parent`, if the file has it.
    fn source(&mut self, field: &Field, plain: &Field, need: Option<&Need>, parent: &FileColumn, found: Option<usize>) -> Result<Source, String> {
        let column = found.and_then(|index| parent.parts.get(index));
        let (Some(need), column) = (need, column) else { return Ok(self.blank(plain)) };
        let Some((index, column)) = found.zip(column) else { return self.lacking(field, plain) };
        if !self.is_read(column) {
            return Ok(self.blank(plain));
        }
        let before = parent.parts.iter().take(index).filter(|part| self.is_read(part)).count();
        Ok(Source::Read(before, self.recipe(field, plain, need, column)?))
    }

    fn blank(&mut self, plain: &Field) -> Source {
        self.blanks += 1;
        Source::Blank(self.blanks - 1, plain.data_type().clone())
    }

    fn lacking(&self, field: &Field, plain: &Field) -> Result<Source, String> {
        match field_id(field).and_then(self.missing) {
            Some(value) => Ok(Source::Value(value)),
            None if plain.is_nullable() => Ok(Source::Null(plain.data_type().clone())),
            None => Err(format!("it has no column '{}', which allows no nulls and has no default", field.name())),
        }
    }

    fn recipe(&mut self, field: &Field, plain: &Field, need: &Need, column: &FileColumn) -> Result<Recipe, String> {
        let parts = parts_of(field.data_type()).iter().zip(parts_of(plain.data_type())).enumerate();
        let mut sources = Vec::new();
        let by_id = matches!(field.data_type(), DataType::Struct(_));
        for (index, (part, plain)) in parts {
            let found = if by_id { field_id(part).and_then(|id| column.parts.iter().position(|part| part.id == Some(id))) } else { Some(index) };
            sources.push(self.source(part, plain, need.of_part(index), column, found)?);
        }
        let mut sources = sources.into_iter();
        let mut next = || sources.next().map(Box::new).ok_or_else(|| format!("column '{}' has a type without parts", field.name()));
        match (plain.data_type(), &column.data_type) {
            (DataType::Struct(fields), DataType::Struct(_)) => Ok(Recipe::Struct(fields.clone(), sources.collect())),
            (DataType::List(element), DataType::List(_)) => Ok(Recipe::List(Arc::clone(element), next()?)),
            (DataType::Map(entries, sorted), DataType::Map(..)) => Ok(Recipe::Map(Arc::clone(entries), *sorted, next()?, next()?)),
            (wanted, stored) if can_cast_types(stored, wanted) && column.is_leaf() => Ok(Recipe::Leaf(wanted.clone())),
            (wanted, stored) => Err(format!("its column '{}' is {stored}, which cannot be read as {wanted}", column.name)),
        }
    }
}

impl Source {
    fn make(&self, children: &[ArrayRef], rows: usize, blanks: &mut Vec<Option<ArrayRef>>) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Read(index, recipe) => {
                let read = children.get(*index).ok_or_else(|| ArrowError::SchemaError(format!("column {index} was not read")))?;
                recipe.make(read, blanks)
            }
            Self::Value(value) => value.to_array_of_size(rows).map_err(|error| ArrowError::ExternalError(Box::new(error))),
            Self::Null(data_type) => Ok(new_null_array(data_type, rows)),
            Self::Blank(number, data_type) => {
                let kept = blanks.get_mut(*number).ok_or_else(|| ArrowError::SchemaError(format!("no store of blanks {number}")))?;
                match kept {
                    Some(array) if array.len() >= rows => Ok(array.slice(0, rows)),
                    _ => Ok(Arc::clone(kept.insert(blank(data_type, rows)?))),
                }
            }
        }
    }
}

impl Recipe {
    fn make(&self, read: &ArrayRef, blanks: &mut Vec<Option<ArrayRef>>) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Leaf(data_type) if read.data_type() == data_type => Ok(Arc::clone(read)),
            Self::Leaf(data_type) => cast_with_options(read, data_type, &CastOptions { safe: false, ..CastOptions::default() }),
            Self::Struct(fields, sources) => {
                let read = read.as_struct();
                let columns: Result<Vec<ArrayRef>, ArrowError> =
                    sources.iter().map(|source| source.make(read.columns(), read.len(), blanks)).collect();
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns?, read.nulls().cloned(), read.len())?))
            }
            Self::List(element, source) => {
                let read = read.as_list::<i32>();
                let values = source.make(std::slice::from_ref(read.values()), read.values().len(), blanks)?;
                Ok(Arc::new(ListArray::try_new(Arc::clone(element), read.offsets().clone(), values, read.nulls().cloned())?))
            }
            Self::Map(entries, sorted, key, value) => {
                let read = read.as_map();
                let children = read.entries().columns();
                let count = read.entries().len();
                let columns = vec![key.make(children, count, blanks)?, value.make(children, count, blanks)?];
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(ArrowError::SchemaError("a map without a struct of entries".to_owned()));
                };
                let inner = StructArray::try_new_with_length(fields.clone(), columns, None, count)?;
                Ok(Arc::new(MapArray::try_new(Arc::clone(entries), read.offsets().clone(), inner, read.nulls().cloned(), *sorted)?))
            }
        }
    }
}

/// An array of values that do not matter, none of them null: zeros, empty texts, empty lists.
fn blank(data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Struct(fields) => {
            let columns: Result<Vec<ArrayRef>, ArrowError> = fields.iter().map(|field| blank(field.data_type(), rows)).collect();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns?, None, rows)?))
        }
        DataType::List(element) => {
            let values = blank(element.data_type(), 0)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), OffsetBuffer::new_zeroed(rows), values, None)?))
        }
        DataType::Map(entries, sorted) => {
            let inner = blank(entries.data_type(), 0)?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), OffsetBuffer::new_zeroed(rows), inner, None, *sorted)?))
        }
        leaf => Ok(make_array(new_null_array(leaf, rows).to_data().into_builder().nulls(None).build()?)),
    }
}
