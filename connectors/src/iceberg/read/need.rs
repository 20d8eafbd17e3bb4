//! What of a value a query wants: all of it, or some of its parts, at any depth.
//!
//! The parts of a struct are its fields in order, a list has one part (its elements), a map two (keys and values). Pure.

use std::collections::BTreeMap;

use arrow_schema::{DataType, FieldRef};

/// What of a value is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Everything.
    Whole,
    /// Some parts by number. None at all: only whether the value is null, and how many elements it has.
    Parts(BTreeMap<usize, Need>),
}

impl Need {
    /// Only whether the value is null, and how many elements it has.
    pub(super) fn presence() -> Self {
        Self::Parts(BTreeMap::new())
    }

    /// One part of the value.
    pub(super) fn part(index: usize, need: Self) -> Self {
        Self::Parts(BTreeMap::from([(index, need)]))
    }

    /// Adds `other` to what is wanted.
    pub(super) fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Whole, _) => {}
            (_, Self::Whole) => *self = Self::Whole,
            (Self::Parts(mine), Self::Parts(more)) => {
                for (index, need) in more {
                    match mine.get_mut(&index) {
                        Some(known) => known.merge(need),
                        None => drop(mine.insert(index, need)),
                    }
                }
            }
        }
    }

    /// What is wanted of a part; `None` if the part is not wanted.
    pub(super) fn of_part(&self, index: usize) -> Option<&Self> {
        match self {
            Self::Whole => Some(&Self::Whole),
            Self::Parts(parts) => parts.get(&index),
        }
    }
}

/// The parts of a type; none for a leaf.
pub(super) fn parts_of(data_type: &DataType) -> &[FieldRef] {
    match data_type {
        DataType::Struct(fields) => fields,
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => std::slice::from_ref(element),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields,
            _ => &[],
        },
        _ => &[],
    }
}

/// The wanted leaves of a column as paths, for EXPLAIN: `ev.b.c`, `tags.element.k`, `m.key`; `ev?` if only its nulls are wanted.
pub(super) fn paths(name: &str, data_type: &DataType, need: &Need) -> Vec<String> {
    let parts = parts_of(data_type);
    match need {
        Need::Whole => vec![name.to_owned()],
        _ if parts.is_empty() => vec![name.to_owned()],
        Need::Parts(wanted) if wanted.is_empty() => vec![format!("{name}?")],
        Need::Parts(wanted) => {
            let known = wanted.iter().filter_map(|(index, need)| Some((*index, parts.get(*index)?, need)));
            known.flat_map(|(index, part, need)| paths(&format!("{name}.{}", part_name(data_type, index, part)), part.data_type(), need)).collect()
        }
    }
}

fn part_name<'a>(of: &DataType, index: usize, part: &'a FieldRef) -> &'a str {
    match (of, index) {
        (DataType::Struct(_), _) => part.name(),
        (DataType::Map(..), 0) => "key",
        (DataType::Map(..), _) => "value",
        _ => "element",
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{Field, Fields};

    use super::*;

    #[test]
    fn needs_add_up_and_a_whole_swallows_its_parts() {
        let mut need = Need::part(1, Need::part(0, Need::Whole));
        need.merge(Need::part(1, Need::part(2, Need::Whole)));
        need.merge(Need::part(3, Need::presence()));
        let inner = need.of_part(1).expect("wanted");
        assert!(inner.of_part(0).is_some() && inner.of_part(2).is_some() && inner.of_part(1).is_none());
        need.merge(Need::part(1, Need::Whole));
        assert_eq!(need.of_part(1), Some(&Need::Whole));
        need.merge(Need::Whole);
        assert_eq!(need, Need::Whole);
    }

    #[test]
    fn paths_name_elements_keys_and_bare_nulls() {
        let pair = DataType::Struct(Fields::from(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Utf8, true)]));
        let tags = DataType::List(Field::new("element", pair, true).into());
        assert_eq!(paths("tags", &tags, &Need::part(0, Need::part(1, Need::Whole))), ["tags.element.v"]);
        assert_eq!(paths("tags", &tags, &Need::presence()), ["tags?"]);
        assert_eq!(paths("id", &DataType::Int64, &Need::presence()), ["id"]);
    }
}
