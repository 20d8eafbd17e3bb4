//! Which leaves of a file are read for what is wanted. Pure.

use std::collections::BTreeSet;

use arrow_schema::{DataType, Fields};

use super::columns::FileColumn;
use crate::iceberg::read::need::{Need, parts_of};
use crate::iceberg::types::field_id;

/// The leaves of `row` to read for what is wanted (`needs`) of the columns `fields`, which carry ids. `size` gives the bytes of a leaf.
pub(in crate::iceberg::read) fn choose(fields: &Fields, needs: &[Need], row: &FileColumn, size: &dyn Fn(usize) -> u64) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    for (field, need) in fields.iter().zip(needs) {
        if let Some(column) = field_id(field).and_then(|id| row.part(id)) {
            of_column(field.data_type(), need, column, size, &mut chosen);
        }
    }
    chosen
}

fn of_column(data_type: &DataType, need: &Need, column: &FileColumn, size: &dyn Fn(usize) -> u64, chosen: &mut BTreeSet<usize>) {
    if column.is_leaf() {
        chosen.insert(column.leaves.start);
        return;
    }
    for (index, part) in parts_of(data_type).iter().enumerate() {
        let found = match data_type {
            DataType::Struct(_) => field_id(part).and_then(|id| column.part(id)),
            // Elements, keys and values have a place, whatever their id is.
            _ => column.parts.get(index),
        };
        if let (Some(found), Some(need)) = (found, need.of_part(index)) {
            of_column(part.data_type(), need, found, size, chosen);
        }
    }
    // A map is read with keys and values or not at all.
    let must: Vec<&FileColumn> = if matches!(column.data_type, DataType::Map(..)) { column.parts.iter().collect() } else { vec![column] };
    for part in must {
        if chosen.range(part.leaves.clone()).next().is_none() {
            chosen.extend(cheapest(part, size));
        }
    }
}

/// The leaves that tell at the least cost where a column is null and how many elements it has.
fn cheapest(column: &FileColumn, size: &dyn Fn(usize) -> u64) -> Vec<usize> {
    Telling::of(column, size).leaves
}

/// Leaves that tell where a column is null, in order of what they cost: those inside a further list cost more than their bytes, because
/// their elements are counted, too.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Telling {
    repeated: bool,
    bytes: u64,
    leaves: Vec<usize>,
}

impl Telling {
    fn of(column: &FileColumn, size: &dyn Fn(usize) -> u64) -> Self {
        let nothing = Self { repeated: false, bytes: 0, leaves: Vec::new() };
        let parts = || column.parts.iter().map(|part| Self::of(part, size));
        match column.data_type {
            DataType::Map(..) => parts().fold(nothing, |all, part| Self {
                repeated: true,
                bytes: all.bytes.saturating_add(part.bytes),
                leaves: [all.leaves, part.leaves].concat(),
            }),
            DataType::List(_) => Self { repeated: true, ..parts().min().unwrap_or(nothing) },
            DataType::Struct(_) => parts().min().unwrap_or(nothing),
            _ => Self { repeated: false, bytes: size(column.leaves.start), leaves: vec![column.leaves.start] },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Field;

    use super::*;

    fn leaf(number: usize) -> FileColumn {
        FileColumn { id: None, name: format!("l{number}"), data_type: DataType::Int32, leaves: number..number + 1, parts: Vec::new() }
    }

    fn group(data_type: DataType, parts: Vec<FileColumn>) -> FileColumn {
        let leaves = parts[0].leaves.start..parts[parts.len() - 1].leaves.end;
        FileColumn { id: None, name: "g".to_owned(), data_type, leaves, parts }
    }

    #[test]
    fn the_cheapest_leaf_is_outside_of_further_lists_and_a_map_comes_with_key_and_value() {
        let field = || Arc::new(Field::new("x", DataType::Int32, true));
        let list = group(DataType::List(field()), vec![leaf(0)]);
        let map = group(DataType::Map(field(), false), vec![leaf(1), group(DataType::Struct(Fields::empty()), vec![leaf(2), leaf(3)])]);
        let row = group(DataType::Struct(Fields::empty()), vec![list.clone(), map.clone(), leaf(4)]);
        let size = |leaf: usize| [1, 5, 9, 2, 100][leaf];
        assert_eq!(cheapest(&row, &size), [4]);
        assert_eq!(cheapest(&map, &size), [1, 3]);
        let without = group(DataType::Struct(Fields::empty()), vec![map.clone(), list]);
        assert_eq!(cheapest(&without, &size), [0]);
        assert_eq!(cheapest(&group(DataType::List(field()), vec![map]), &size), [1, 3]);
    }
}
