//! A hash of rows that is the same in every process and version: it routes rows to writers.
//!
//! Each value gives 64 bits by FNV-1a over its bytes; columns are combined in order and mixed by the finaliser of SplitMix64. Changing
//! this moves keys between writers of a running job, which is harmless for appends and wrong for upserts: do not.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt64Array};
use arrow_schema::{ArrowError, DataType};

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// One hash for each row of `columns`, which all have `rows` rows.
///
/// # Errors
/// A column of a type that cannot be a key (floats aside: lists, maps, structs).
pub(super) fn hash_rows(columns: &[ArrayRef], rows: usize) -> Result<UInt64Array, ArrowError> {
    let mut hashes = vec![BASIS; rows];
    for column in columns {
        combine(column, &mut hashes)?;
    }
    Ok(hashes.into_iter().map(mix).collect::<Vec<_>>().into())
}

fn combine(column: &ArrayRef, hashes: &mut [u64]) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Utf8 => fold(hashes, column.as_string::<i32>().iter().map(|value| value.map(|text| fnv(text.as_bytes())))),
        DataType::Binary => fold(hashes, column.as_binary::<i32>().iter().map(|value| value.map(fnv))),
        DataType::Boolean => fold(hashes, column.as_boolean().iter().map(|value| value.map(|flag| fnv(&[u8::from(flag)])))),
        data_type => {
            let fixed = match data_type {
                DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
                other => other.primitive_width(),
            };
            let data = column.to_data();
            let (Some(width), Some(buffer)) = (fixed.filter(|width| *width > 0), data.buffers().first()) else {
                return Err(ArrowError::NotYetImplemented(format!("hash of a key of type {data_type}")));
            };
            let bytes = buffer.as_slice().get(data.offset() * width..).unwrap_or_default();
            fold(hashes, bytes.chunks_exact(width).enumerate().map(|(row, value)| column.is_valid(row).then(|| fnv(value))));
        }
    }
    Ok(())
}

fn fold(hashes: &mut [u64], values: impl Iterator<Item = Option<u64>>) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = (hash.rotate_left(5) ^ value.unwrap_or(NULL)).wrapping_mul(PRIME);
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn hashes_depend_on_values_alone_and_never_change() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(9), Some(1), None, Some(1)]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("z"), Some("a"), Some("a"), Some("a")]));
        let whole = hash_rows(&[Arc::clone(&ids), Arc::clone(&names)], 4).expect("hashes");
        assert_eq!(whole.value(1), whole.value(3));
        assert_ne!(whole.value(1), whole.value(2));
        let sliced = hash_rows(&[ids.slice(1, 3), names.slice(1, 3)], 3).expect("hashes");
        assert_eq!(sliced.values(), &whole.values()[1..]);
        let fixed: ArrayRef = Arc::new(Int64Array::from(vec![42]));
        assert_eq!(hash_rows(&[fixed], 1).expect("hash").value(0), 0x79e0_99ef_1f65_cdf8);
    }
}
