//! Which inputs go into which file of a copy, so that no footer becomes too large. Pure.

use std::ops::Range;

use iceberg::spec::{StructType, Type};

use super::shape::MOST_CHUNKS;

/// Inputs with so many row groups, by their places, in as few files as can hold their column chunks; `None` if copying them would hardly make
/// fewer files, so that it is better to decode them.
///
/// Of `fan_in` inputs comes one file on average, at most: however often copies are copied again, that ends.
pub(crate) fn parts(row_groups: &[u32], columns: usize, fan_in: usize) -> Option<Vec<Range<usize>>> {
    let (mut parts, mut first, mut chunks) = (Vec::new(), 0, 0_usize);
    for (place, groups) in row_groups.iter().enumerate() {
        let more = usize::try_from(*groups).unwrap_or(usize::MAX).saturating_mul(columns.max(1));
        if chunks.saturating_add(more) > MOST_CHUNKS && place > first {
            parts.push(first..place);
            (first, chunks) = (place, 0);
        }
        chunks = chunks.saturating_add(more);
    }
    parts.push(first..row_groups.len());
    let is_worth_it = parts.len() == 1 || (parts.len() * fan_in <= row_groups.len() && parts.iter().all(|part| part.len() > 1));
    is_worth_it.then_some(parts)
}

/// The columns of Parquet files with this schema.
pub(crate) fn leaf_columns(schema: &StructType) -> usize {
    schema.fields().iter().map(|field| leaves(&field.field_type)).sum()
}

fn leaves(of: &Type) -> usize {
    match of {
        Type::Primitive(_) => 1,
        Type::Struct(inner) => leaf_columns(inner),
        Type::List(list) => leaves(&list.element_field.field_type),
        Type::Map(map) => leaves(&map.key_field.field_type) + leaves(&map.value_field.field_type),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_files_are_copied_into_several_and_full_ones_not_again() {
        let together = parts(&[1; 5_000], 7, 5).expect("worth it");
        assert_eq!((together.len(), &together[0]), (1, &(0..5_000)));
        assert_eq!(parts(&[1; 2_500], 40, 5), Some(vec![0..1_000, 1_000..2_000, 2_000..2_500]));
        assert_eq!(parts(&[1_000; 5], 40, 5), None);
        assert_eq!(parts(&[800, 200, 1], 40, 2), None, "one file would be copied alone");
    }

    proptest! {
        #[test]
        fn copying_parts_again_and_again_ends(row_groups in prop::collection::vec(1_u32..2_000, 1..300), columns in 1_usize..200, fan_in in 2_usize..8) {
            let mut files = row_groups;
            for round in 0.. {
                prop_assert!(round < 10, "it goes on for ever");
                let Some(found) = parts(&files, columns, fan_in) else { break };
                prop_assert!(found.windows(2).all(|two| two[0].end == two[1].start), "every input, once and in order");
                prop_assert_eq!((found[0].start, found[found.len() - 1].end), (0, files.len()));
                let made: Vec<u32> = found.iter().map(|part| files[part.clone()].iter().sum()).collect();
                if found.len() == 1 {
                    break;
                }
                prop_assert!(made.iter().zip(&found).all(|(groups, part)| part.len() == 1 || *groups as usize * columns <= MOST_CHUNKS));
                prop_assert!(made.len() * fan_in <= files.len());
                files = made;
            }
        }
    }
}
