//! The leaf columns of a table: one for each Parquet column, in Parquet's order.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Fields, Schema as ArrowSchema};
use parquet::schema::types::ColumnPath;

use super::types::field_id;

/// A leaf column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Its path in Parquet.
    pub(super) path: ColumnPath,
    /// Its Iceberg id.
    pub(super) id: i32,
    /// Its Arrow type.
    pub(super) data_type: DataType,
    /// Whether it is inside a list or a map, so that its values are not rows.
    pub(super) repeated: bool,
}

/// All leaves of a file schema (one with ids).
pub(super) fn leaves(schema: &ArrowSchema) -> Vec<Leaf> {
    let mut found = Vec::new();
    visit(schema.fields(), &mut Vec::new(), false, &mut found);
    found
}

fn visit(fields: &Fields, path: &mut Vec<String>, repeated: bool, found: &mut Vec<Leaf>) {
    for field in fields {
        path.push(field.name().clone());
        match field.data_type() {
            DataType::Struct(children) => visit(children, path, repeated, found),
            DataType::List(element) => {
                path.push("list".to_owned());
                visit(&Fields::from(vec![Arc::clone(element)]), path, true, found);
                path.pop();
            }
            DataType::Map(entries, _) => {
                path.push(entries.name().clone());
                if let DataType::Struct(children) = entries.data_type() {
                    visit(children, path, true, found);
                }
                path.pop();
            }
            leaf => {
                found.push(Leaf { path: ColumnPath::new(path.clone()), id: field_id(field).unwrap_or_default(), data_type: leaf.clone(), repeated })
            }
        }
        path.pop();
    }
}

/// The leaf arrays of some columns, in the same order; those inside lists and maps hold the elements of these rows only.
pub(super) fn leaf_arrays(columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let mut found = Vec::new();
    for column in columns {
        collect(column, &mut found);
    }
    found
}

fn collect(array: &ArrayRef, found: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| collect(child, found)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            collect(&between(list.values(), list.value_offsets()), found);
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            collect(&between(map.keys(), map.value_offsets()), found);
            collect(&between(map.values(), map.value_offsets()), found);
        }
        _ => found.push(Arc::clone(array)),
    }
}

fn between(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let place = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let (start, end) = (place(offsets.first()), place(offsets.last()));
    values.slice(start, end.saturating_sub(start))
}
