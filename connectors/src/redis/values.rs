//! Texts of Redis to columns, and keys to texts.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray};
use arrow_cast::{CastOptions, cast, cast_with_options};
use arrow_schema::{DataType, Field};
use arrow_select::filter::filter;

use crate::error::ConnectorError;

/// The most characters of a value that a message shows.
pub(super) const SHOWN: usize = 60;

/// Keys as Redis has them, `prefix` before each.
///
/// # Errors
/// A type that has no text, which the declaration's check leaves out.
pub(super) fn key_texts(prefix: &str, keys: &ArrayRef) -> Result<BinaryArray, ConnectorError> {
    let texts = match keys.as_binary_opt::<i32>() {
        Some(keys) => keys.clone(),
        None => {
            let texts = cast(keys, &DataType::Utf8).map_err(|error| ConnectorError::internal("keys without a text").with_source(error))?;
            BinaryArray::from(texts.as_string::<i32>().clone())
        }
    };
    if prefix.is_empty() {
        return Ok(texts);
    }
    // Of a slice, the buffer is that of the whole array.
    let bytes: usize = texts.iter().flatten().map(<[u8]>::len).sum();
    let mut all = BinaryBuilder::with_capacity(texts.len(), bytes + prefix.len() * texts.len());
    let mut joined = Vec::new();
    for text in &texts {
        joined.clear();
        joined.extend_from_slice(prefix.as_bytes());
        joined.extend_from_slice(text.unwrap_or_default());
        all.append_value(&joined);
    }
    Ok(all.finish())
}

/// The values of the keys that some lookup asks for by exactly this text, and the other keys: `07` is no key of a number.
///
/// # Errors
/// As [`key_texts`].
pub(super) fn own_keys<'a>(prefix: &str, keys: &'a [Vec<u8>], data_type: &DataType) -> Result<(ArrayRef, Vec<&'a [u8]>), ConnectorError> {
    let internal = |error| ConnectorError::internal(format!("no keys for type {data_type}")).with_source(error);
    let texts = keys.iter().map(|key| key.get(prefix.len()..));
    let values: ArrayRef = if data_type == &DataType::Binary {
        Arc::new(texts.collect::<BinaryArray>())
    } else {
        let texts: ArrayRef = Arc::new(texts.map(|text| str::from_utf8(text?).ok()).collect::<StringArray>());
        cast_with_options(&texts, data_type, &CastOptions { safe: true, ..CastOptions::default() }).map_err(internal)?
    };
    let asked = key_texts(prefix, &values)?;
    let own: BooleanArray =
        (0..keys.len()).map(|key| Some(values.is_valid(key) && keys.get(key).is_some_and(|text| asked.value(key) == text.as_slice()))).collect();
    let foreign = keys.iter().zip(own.values()).filter(|(_, own)| !own).map(|(key, _)| key.as_slice()).collect();
    Ok((filter(&values, &own).map_err(internal)?, foreign))
}

/// Of which values a column is made, for messages.
pub(super) struct Origin<'a> {
    pub(super) table: &'a str,
    /// The key of a row.
    pub(super) key: &'a (dyn Fn(usize) -> String + Sync),
}

/// A column of `field` from texts; `None` is a NULL.
///
/// # Errors
/// A text that is no value of the column's type, or a NULL in a NOT NULL column (user).
pub(super) fn column(texts: &[Option<&[u8]>], field: &Field, origin: &Origin<'_>) -> Result<ArrayRef, ConnectorError> {
    let wrong = |row: usize, what: &str| {
        let text = texts.get(row).copied().flatten().map(String::from_utf8_lossy).unwrap_or_default();
        let shown: String = text.chars().take(SHOWN).collect();
        let (table, key, name) = (origin.table, (origin.key)(row), field.name());
        ConnectorError::user(format!("Table '{table}': key '{key}', column '{name}': '{shown}' {what}"))
    };
    if !field.is_nullable()
        && let Some(row) = texts.iter().position(Option::is_none)
    {
        return Err(wrong(row, "is missing, and the column is NOT NULL"));
    }
    if field.data_type() == &DataType::Binary {
        return Ok(Arc::new(texts.iter().copied().collect::<BinaryArray>()));
    }
    if let DataType::FixedSizeBinary(size) = field.data_type() {
        let fits = |text: &&[u8]| i32::try_from(text.len()) == Ok(*size);
        if let Some(row) = texts.iter().position(|text| !text.iter().all(fits)) {
            return Err(wrong(row, &format!("has not {size} bytes")));
        }
        let values = FixedSizeBinaryArray::try_from_sparse_iter_with_size(texts.iter().copied(), *size);
        return Ok(Arc::new(values.map_err(|error| ConnectorError::internal("bytes that do not fit").with_source(error))?));
    }
    let Ok(strings) = StringArray::try_from_binary(texts.iter().copied().collect()) else {
        let is_wrong = |text: &Option<&[u8]>| text.is_some_and(|text| str::from_utf8(text).is_err());
        return Err(wrong(texts.iter().position(is_wrong).unwrap_or_default(), "is not UTF-8"));
    };
    let strings: ArrayRef = Arc::new(strings);
    if field.data_type() == &DataType::Utf8 {
        return Ok(strings);
    }
    let internal = |error| ConnectorError::internal(format!("no texts for type {}", field.data_type())).with_source(error);
    let values = cast_with_options(&strings, field.data_type(), &CastOptions { safe: true, ..CastOptions::default() }).map_err(internal)?;
    match (0..values.len()).find(|row| values.is_null(*row) && strings.is_valid(*row)) {
        Some(row) => Err(wrong(row, &format!("is no {}", field.data_type()))),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::{Decimal128Type, Int32Type};
    use arrow_array::{Date32Array, Int64Array};

    use super::*;

    fn made(texts: &[Option<&str>], data_type: DataType, nullable: bool) -> Result<ArrayRef, String> {
        let texts: Vec<Option<&[u8]>> = texts.iter().map(|text| text.map(str::as_bytes)).collect();
        let origin = Origin { table: "c.d.t", key: &|row| format!("k{row}") };
        column(&texts, &Field::new("v", data_type, nullable), &origin).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_become_values_of_the_declared_type() {
        let numbers = made(&[Some("1"), None, Some("-7")], DataType::Int32, true).expect("numbers");
        assert_eq!(numbers.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(-7)]);
        let amounts = made(&[Some("12.5")], DataType::Decimal128(10, 2), false).expect("amounts");
        assert_eq!(amounts.as_primitive::<Decimal128Type>().value(0), 1_250);
        let time = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, None);
        for (text, data_type) in [("2026-01-31", DataType::Date32), ("2026-01-31 10:00:00.5", time), ("true", DataType::Boolean)] {
            assert!(made(&[Some(text)], data_type.clone(), true).expect("a value").is_valid(0), "{data_type}");
        }
    }

    #[test]
    fn what_is_no_value_is_told_with_its_key() {
        assert_eq!(
            made(&[Some("1"), Some("many")], DataType::Int32, true).expect_err("no number"),
            "Table 'c.d.t': key 'k1', column 'v': 'many' is no Int32"
        );
        assert!(made(&[None], DataType::Utf8, false).expect_err("missing").contains("NOT NULL"));
        let texts: &[Option<&[u8]>] = &[Some(&[0xff, 0xfe])];
        let origin = Origin { table: "c.d.t", key: &|row| row.to_string() };
        assert!(column(texts, &Field::new("v", DataType::Utf8, true), &origin).expect_err("no text").to_string().contains("is not UTF-8"));
        assert!(column(texts, &Field::new("v", DataType::Binary, true), &origin).is_ok());
    }

    fn texts(prefix: &str, keys: &ArrayRef) -> Vec<Vec<u8>> {
        key_texts(prefix, keys).expect("texts").iter().map(|text| text.expect("no NULL").to_vec()).collect()
    }

    #[test]
    fn keys_have_the_prefix_and_one_text_each() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![7, -1]));
        assert_eq!(texts("app:", &keys), [b"app:7".to_vec(), b"app:-1".to_vec()]);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0]));
        assert_eq!(texts("", &days), [b"1970-01-01".to_vec()]);
        let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&[0xff]]));
        assert_eq!(texts("x", &bytes), [vec![b'x', 0xff]]);
    }

    #[test]
    fn bytes_of_a_fixed_number_are_taken_as_they_are() {
        let fixed = |text: &[u8]| {
            column(&[Some(text), None], &Field::new("v", DataType::FixedSizeBinary(2), true), &Origin { table: "t", key: &|_| "k".to_owned() })
        };
        let values = fixed(&[0, 255]).expect("two bytes");
        assert_eq!((values.as_fixed_size_binary().value(0), values.is_null(1)), (&[0, 255][..], true));
        assert_eq!(fixed(b"abc").expect_err("three").to_string(), "Table 't': key 'k', column 'v': 'abc' has not 2 bytes");
    }

    #[test]
    fn keys_that_no_value_has_are_not_those_of_the_table() {
        let keys = |keys: &[&str]| keys.iter().map(|key| format!("p:{key}").into_bytes()).collect::<Vec<_>>();
        for (data_type, own, foreign) in [
            (DataType::Int64, &["7", "-1"][..], &["07", "+7", "x", "", "1.0", "9223372036854775808"][..]),
            (DataType::Boolean, &["true"], &["TRUE", "1", "yes"]),
            (DataType::Date32, &["2026-01-31"], &["2026-1-31", "20260131"]),
            (DataType::Decimal128(10, 2), &["1.50"], &["1.5", "01.50"]),
            (DataType::Utf8, &["07", ""], &[]),
            (DataType::Binary, &["07"], &[]),
        ] {
            let all = keys(&[own, foreign].concat());
            let (values, others) = own_keys("p:", &all, &data_type).expect("keys");
            assert_eq!(texts("p:", &values), keys(own), "{data_type}");
            assert_eq!(others, keys(foreign), "{data_type}");
        }
        assert_eq!(own_keys("", &[vec![0xff]], &DataType::Utf8).expect("keys").1.len(), 1, "no text");
    }
}
