//! Values from text: what of text each type takes.
//!
//! Where Flink would change a value in silence (a fraction cut off for an INT, an unknown word taken as FALSE, a DECIMAL that does not fit
//! taken as NULL), this is a fault.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fault::Fault;
use super::number::Number;
use super::temporal::{self, DateCache, Standard};
use super::text::{quoted, trim};

const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

pub(in crate::format) fn boolean_text(text: &[u8]) -> Result<bool, Fault> {
    match trim(text) {
        word if word.eq_ignore_ascii_case(b"true") => Ok(true),
        word if word.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err(Fault::field(format!("{} is not a Boolean", quoted(text)))),
    }
}

pub(in crate::format) fn number_text(text: &[u8]) -> Result<Number<'_>, Fault> {
    Number::parse(trim(text)).ok_or_else(|| Fault::field(format!("{} is not a number", quoted(text))))
}

pub(in crate::format) fn double_text(text: &[u8]) -> Result<f64, Fault> {
    if let Some(number) = Number::parse(text) {
        return number.double();
    }
    match trim(text) {
        b"NaN" => Ok(f64::NAN),
        b"Infinity" | b"+Infinity" => Ok(f64::INFINITY),
        b"-Infinity" => Ok(f64::NEG_INFINITY),
        _ => number_text(text)?.double(),
    }
}

pub(in crate::format) fn float_text(text: &[u8]) -> Result<f32, Fault> {
    match trim(text) {
        b"NaN" => Ok(f32::NAN),
        b"Infinity" | b"+Infinity" => Ok(f32::INFINITY),
        b"-Infinity" => Ok(f32::NEG_INFINITY),
        _ => number_text(text)?.float(),
    }
}

/// Appends the bytes that the Base64 `text` means.
pub(in crate::format) fn base64(text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    BASE64.decode_vec(text, out).map_err(|error| Fault::field(format!("{} is not Base64: {error}", quoted(text))))
}

/// [`base64()`] for a type of `size` bytes.
pub(in crate::format) fn fixed_base64(text: &[u8], out: &mut Vec<u8>, size: usize) -> Result<(), Fault> {
    let before = out.len();
    base64(text, out)?;
    if out.len() - before == size {
        return Ok(());
    }
    Err(Fault::field(format!("expected {size} bytes in Base64, found {}", out.len() - before)))
}

/// Days since 1970-01-01.
pub(in crate::format) fn date(text: &[u8]) -> Result<i32, Fault> {
    temporal::date(text).ok_or_else(|| Fault::field(format!("{} is not a date of the form 'yyyy-MM-dd'", quoted(text))))
}

/// Microseconds of the day; finer digits are cut.
pub(in crate::format) fn time(text: &[u8]) -> Result<i64, Fault> {
    let time = temporal::time(text).map(|(seconds, nanos)| i64::from(seconds) * 1_000_000 + i64::from(nanos / 1_000));
    time.ok_or_else(|| Fault::field(format!("{} is not a time of the form 'HH:mm:ss[.fraction]'", quoted(text))))
}

/// Microseconds, or nanoseconds for `nanos`, since 1970-01-01 00:00:00; finer digits are cut.
#[inline]
pub(in crate::format) fn timestamp(
    text: &[u8],
    (nanos, zoned): (bool, bool),
    dates: &mut DateCache,
    standard: Standard,
    option: Option<&str>,
) -> Result<i64, Fault> {
    let Some((seconds, fraction)) = dates.timestamp(text, standard, zoned) else { return Err(not_a_timestamp(text, zoned, standard, option)) };
    if !nanos {
        return Ok(seconds * 1_000_000 + i64::from(fraction / 1_000));
    }
    let value = seconds.checked_mul(1_000_000_000).and_then(|value| value.checked_add(i64::from(fraction)));
    value.ok_or_else(|| Fault::field(format!("{} is out of range for a timestamp in nanoseconds (1677 to 2262)", quoted(text))))
}

#[cold]
fn not_a_timestamp(text: &[u8], zoned: bool, standard: Standard, option: Option<&str>) -> Fault {
    let (other, name) = match standard {
        Standard::Sql => (Standard::Iso8601, "ISO-8601"),
        Standard::Iso8601 => (Standard::Sql, "SQL"),
    };
    let reads = |standard: Standard, zoned: bool| DateCache::default().timestamp(text, standard, zoned).is_some();
    let hint = if let Some(option) = option.filter(|_| reads(other, zoned)) {
        format!("; '{option}' = '{name}' reads it")
    } else if reads(standard, !zoned) || reads(other, !zoned) {
        if zoned { "; a TIMESTAMP_LTZ needs a 'Z' at its end".to_owned() } else { "; a 'Z' at its end needs a TIMESTAMP_LTZ".to_owned() }
    } else {
        String::new()
    };
    Fault::field(format!("{} is not a timestamp of the form '{}'{hint}", quoted(text), standard.pattern(zoned)))
}
