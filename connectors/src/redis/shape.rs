//! How the rows of a table lie under keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_cast::can_cast_types;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use weir_base::options::{OptionBag, Problem};

use super::options::{Layout, layout};
use crate::format::{self, Format, FormatFactory, SQL_TYPE};
use crate::table::{ColumnDef, ColumnKind, TableDef};

/// Where the values of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the string under the key.
    Text,
    /// In one field of the hash under the key.
    Field,
    /// In the hash under the key, a field for each column.
    Hash,
    /// A member of the set under the key.
    Set,
    /// A member of the sorted set under the key, behind its score.
    Sorted,
    /// Nowhere: a row removes its key.
    Nowhere,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// One column.
    Column,
    /// A whole row, key columns included, with [`SEPARATOR`] between its columns.
    Row,
    /// The columns behind the key, in a format.
    Format(Arc<dyn Format>),
}

/// How rows lie.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Stands before each key.
    pub(super) prefix: String,
}

/// Between the columns of a row that is one value.
pub(super) const SEPARATOR: u8 = 0x01;

impl Shape {
    /// The column of what a row is under its key, if one key has several rows: a field, or a member.
    pub(super) fn part_column(&self) -> Option<usize> {
        match self.place {
            Place::Field | Place::Set => Some(1),
            Place::Sorted => Some(2),
            Place::Text | Place::Hash | Place::Nowhere => None,
        }
    }

    /// How many of the first columns are the key of what is read: of Redis, and of a field.
    pub(super) fn key_columns(&self) -> usize {
        1 + usize::from(self.part_column().is_some())
    }

    /// Whether rows can be read too.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.place, Place::Text | Place::Field | Place::Hash)
    }
}

/// Pulls the shape of `table`; `None` if a problem was noted.
pub(super) fn pull(table: &TableDef, bag: &mut OptionBag, formats: &[Arc<dyn FormatFactory>]) -> Option<Shape> {
    let Layout { command, is_row, format, prefix } = layout(bag)?;
    let place = match command {
        "get" | "set" => Place::Text,
        "hget" | "hset" => Place::Field,
        "hmget" | "hmset" | "hgetall" => Place::Hash,
        "sadd" => Place::Set,
        "zadd" => Place::Sorted,
        _ => Place::Nowhere, // `del`
    };
    let physical: Vec<&ColumnDef> = table.columns.iter().filter(|column| column.kind == ColumnKind::Physical).collect();
    let mut shape = Shape { place, content: if is_row { Content::Row } else { Content::Column }, prefix };
    if let Some((selector, name, prefix)) = format {
        if is_row || !matches!(place, Place::Text | Place::Field) {
            let with = if is_row { "'value.data.structure' = 'row'".to_owned() } else { format!("'command' = '{command}'") };
            bag.error("OPT-006", selector, format!("'{selector}' does not go with {with}: a format writes the value of a string or of one field."));
            return None;
        }
        let behind = physical.get(shape.key_columns()..).unwrap_or_default();
        shape.content = Content::Format(open(bag, formats, (selector, &name), &prefix, behind)?);
    }
    check(table, &shape, command, &physical, bag);
    Some(shape)
}

fn open(
    bag: &mut OptionBag,
    formats: &[Arc<dyn FormatFactory>],
    (selector, name): (&str, &str),
    prefix: &str,
    columns: &[&ColumnDef],
) -> Option<Arc<dyn Format>> {
    if formats.iter().any(|factory| factory.name() == name && factory.tells_changes()) {
        let what = format!("'{selector}' = '{name}' is a log of changes, and what lies under a key is a row.");
        bag.error("OPT-006", selector, what);
        bag.prefixed(prefix);
        return None;
    }
    let typed = |column: &&ColumnDef| {
        let metadata = HashMap::from([(SQL_TYPE.to_owned(), column.sql_type.clone())]);
        Field::new(&column.name, column.data_type.clone(), column.nullable).with_metadata(metadata)
    };
    let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(typed).collect::<Vec<_>>()));
    format::open(bag, formats, (selector, name), prefix, &schema).map(Arc::from)
}

/// Reports what of the columns does not fit.
fn check(table: &TableDef, shape: &Shape, command: &str, physical: &[&ColumnDef], bag: &mut OptionBag) {
    let object = bag.object().to_owned();
    let mut refuse = |what: String| bag.report(Problem::new("SQL-005", object.clone(), what).at(table.options.position("command")));
    let (place, columns, one_value) = (shape.place, physical.len(), matches!(shape.content, Content::Column));
    let (fits, wanted) = match place {
        Place::Text if one_value => (columns == 2, "two columns, the key and its value"),
        Place::Text => (columns > 1, "the key and at least one other column"),
        Place::Field if one_value => (columns == 3, "three columns: the key, the field and its value"),
        Place::Field => (columns > 2, "the key, the field and at least one other column"),
        Place::Hash => (columns > 1, "the key and a column for each field"),
        Place::Set => (columns == 2, "two columns, the key and a member"),
        Place::Sorted => (columns == 3, "three columns: the key, the score and the member"),
        Place::Nowhere => (columns == 1, "one column, the key"),
    };
    if !fits {
        refuse(format!("'command' = '{command}' needs {wanted}; the table has {columns}."));
    }
    if matches!(shape.content, Content::Row) && !matches!(place, Place::Text | Place::Field) {
        refuse(format!("'value.data.structure' = 'row' does not go with 'command' = '{command}', which has no value for a row."));
    }
    let keys: Vec<usize> = std::iter::once(0).chain(shape.part_column()).collect();
    let leading: Vec<&str> = keys.iter().filter_map(|key| physical.get(*key)).map(|column| column.name.as_str()).collect();
    if !table.primary_key.is_empty() && table.primary_key != leading {
        let which = if place == Place::Sorted { "the first and the last column" } else { "the first columns" };
        refuse(format!("the primary key must be ({}), which are {which}.", leading.join(", ")));
    }
    for (index, column) in physical.iter().enumerate() {
        if keys.contains(&index) {
            if !can_be_key(&column.data_type) {
                refuse(format!("column '{}' of type {} cannot be a key.", column.name, column.sql_type));
            }
        } else if place == Place::Sorted && !column.data_type.is_numeric() {
            refuse(format!("column '{}' of type {} cannot be a score, which is a number.", column.name, column.sql_type));
        } else if !matches!(shape.content, Content::Format(_)) && !has_text(&column.data_type) {
            let remedy =
                if matches!(place, Place::Text | Place::Field) { "choose one with 'value.format'" } else { "only strings and fields have one" };
            refuse(format!("column '{}' of type {} needs a format; {remedy}.", column.name, column.sql_type));
        }
    }
}

/// Types of which equal values have one text.
fn can_be_key(data_type: &DataType) -> bool {
    let is_exact = matches!(data_type, DataType::Decimal128(..) | DataType::Date32 | DataType::Boolean);
    data_type.is_integer() || is_exact || matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// Types whose values can be written as a text, or bytes, and read from it.
fn has_text(data_type: &DataType) -> bool {
    let is_bytes = matches!(data_type, DataType::Binary | DataType::FixedSizeBinary(_));
    is_bytes || (!data_type.is_nested() && can_cast_types(data_type, &DataType::Utf8) && can_cast_types(&DataType::Utf8, data_type))
}
