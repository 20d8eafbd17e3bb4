//! How the rows of a table lie under keys.

use arrow_schema::DataType;
use weir_base::options::{OptionBag, Problem};

use super::options::{Layout, layout};
use crate::table::{ColumnKind, TableDef};

/// Where the values of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the string under the key.
    Text,
    /// In one field of the hash under the key.
    Field,
    /// In the hash under the key, a field for each column.
    Hash,
}

/// How rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) place: Place,
    /// A value is a whole row, key columns included, with [`SEPARATOR`] between its columns; else it is the last column.
    pub(super) is_row: bool,
    /// Stands before each key.
    pub(super) prefix: String,
}

/// Between the columns of a row that is one value.
pub(super) const SEPARATOR: u8 = 0x01;

impl Shape {
    /// How many of the first columns are the key: of Redis, and of a field.
    pub(super) fn key_columns(&self) -> usize {
        if self.place == Place::Field { 2 } else { 1 }
    }
}

/// Pulls the shape of `table`; `None` if a problem was noted.
pub(super) fn pull(table: &TableDef, bag: &mut OptionBag) -> Option<Shape> {
    let Layout { command, is_row, prefix } = layout(bag)?;
    let place = match command {
        "get" | "set" => Place::Text,
        "hget" | "hset" => Place::Field,
        _ => Place::Hash,
    };
    let shape = Shape { place, is_row, prefix };
    let keys = shape.key_columns();
    let object = bag.object().to_owned();
    let mut refuse = |what: String| bag.report(Problem::new("SQL-005", object.clone(), what).at(table.options.position("command")));
    let physical: Vec<_> = table.columns.iter().filter(|column| column.kind == ColumnKind::Physical).collect();
    let columns = physical.len();
    let fits = if place == Place::Hash || is_row { columns > keys } else { columns == keys + 1 };
    if !fits {
        let wanted = match (place, is_row) {
            (Place::Text, false) => "two columns, the key and its value",
            (Place::Field, false) => "three columns: the key, the field and its value",
            (Place::Text, true) => "the key and at least one other column",
            (Place::Field, true) => "the key, the field and at least one other column",
            (Place::Hash, _) => "the key and a column for each field",
        };
        refuse(format!("'command' = '{command}' needs {wanted}; the table has {columns}."));
    }
    if is_row && place == Place::Hash {
        refuse(format!("'value.data.structure' = 'row' does not go with 'command' = '{command}', whose fields are the columns."));
    }
    let leading: Vec<&str> = physical.iter().take(keys).map(|column| column.name.as_str()).collect();
    if !table.primary_key.is_empty() && table.primary_key != leading {
        refuse(format!("the primary key must be ({}), which are the first columns.", leading.join(", ")));
    }
    for (index, column) in physical.iter().enumerate() {
        if index < keys && !can_be_key(&column.data_type) {
            refuse(format!("column '{}' of type {} cannot be a key.", column.name, column.sql_type));
        } else if column.data_type.is_nested() {
            refuse(format!("column '{}' of type {} needs a format, which this connector does not take yet.", column.name, column.sql_type));
        }
    }
    Some(shape)
}

/// Types of which equal values have one text.
fn can_be_key(data_type: &DataType) -> bool {
    let is_exact = matches!(data_type, DataType::Decimal128(..) | DataType::Date32 | DataType::Boolean);
    data_type.is_integer() || is_exact || matches!(data_type, DataType::Utf8 | DataType::Binary)
}
