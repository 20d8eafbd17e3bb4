//! Values as text.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Cells, Values};
use crate::format::columns::{Fault, Standard};

/// How text is written.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::format) struct Style {
    pub(in crate::format) standard: Standard,
    /// Decimals have no exponent.
    pub(in crate::format) plain_decimals: bool,
}

impl Style {
    /// Appends the text of a value that is not NULL and not nested.
    ///
    /// # Errors
    /// A value that has no text: a year before 0000 or after 9999.
    pub(in crate::format) fn write(self, cells: &Cells<'_>, slot: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &cells.values {
            Values::Boolean(values) => out.extend_from_slice(if values.value(slot) { b"true" } else { b"false" }),
            Values::Int8(_) | Values::Int16(_) | Values::Int32(_) | Values::Int64(_) => integer(cells.integer(slot).unwrap_or_default(), out),
            Values::Float32(values) => float(values.value(slot), f64::from(values.value(slot)), out)?,
            Values::Float64(values) => float(values.value(slot), values.value(slot), out)?,
            Values::Decimal(values, scale) => decimal(values.value(slot), *scale, self.plain_decimals, out),
            Values::Utf8(values) => out.extend_from_slice(values.value(slot).as_bytes()),
            Values::Binary(_) | Values::FixedBinary(_) => base64(cells.bytes(slot).unwrap_or_default(), out),
            Values::Date(values) => date(values.value(slot).into(), out)?,
            Values::Time(values) => time(values.value(slot), MICROS, out),
            Values::Micros(values, zoned) => self.timestamp(values.value(slot), MICROS, *zoned, out)?,
            Values::Nanos(values, zoned) => self.timestamp(values.value(slot), NANOS, *zoned, out)?,
            Values::List(..) | Values::Map(..) | Values::Row(_) => return Err(Fault::field("no text stands for this type")),
        }
        Ok(())
    }

    fn timestamp(self, value: i64, ticks: i64, zoned: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        let day = DAY * ticks;
        date(value.div_euclid(day), out)?;
        out.push(self.standard.separator());
        time(value.rem_euclid(day), ticks, out);
        if zoned {
            out.push(b'Z');
        }
        Ok(())
    }
}

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Ticks in a second.
const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

/// Appends bytes in Base64.
pub(in crate::format) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what the text takes.
    let written = out.get_mut(start..).and_then(|room| STANDARD.encode_slice(bytes, room).ok()).unwrap_or_default();
    out.truncate(start + written);
}

/// Appends a whole number.
#[inline]
pub(in crate::format) fn integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits(value.unsigned_abs().into(), &mut [0; MOST_DIGITS]));
}

/// Digits of the largest number.
const MOST_DIGITS: usize = 39;

/// The digits of `value`, which stand at the end of `buffer`.
#[inline]
fn digits(value: u128, buffer: &mut [u8; MOST_DIGITS]) -> &[u8] {
    let mut first = MOST_DIGITS;
    let (mut large, mut small) = (value, u64::try_from(value).ok());
    for byte in buffer.iter_mut().rev() {
        // Divisions of 128 bits are slow, and most numbers are small.
        let digit = if let Some(value) = &mut small {
            let digit = *value % 10;
            *value /= 10;
            digit as u8
        } else {
            let digit = large % 10;
            large /= 10;
            small = u64::try_from(large).ok();
            digit as u8
        };
        *byte = b'0' + digit;
        first -= 1;
        if small == Some(0) {
            break;
        }
    }
    buffer.get(first..).unwrap_or_default()
}

/// Appends the shortest text that is the number again.
fn float(value: impl std::fmt::Debug, wide: f64, out: &mut Vec<u8>) -> Result<(), Fault> {
    if wide.is_finite() {
        return write!(out, "{value:?}").map_err(|error| Fault::field(error.to_string()));
    }
    let word: &[u8] = if wide.is_nan() {
        b"NaN"
    } else if wide > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    };
    out.extend_from_slice(word);
    Ok(())
}

/// Appends a decimal as Java's `BigDecimal` is written once its zeros at the end are gone: `1E+5`, `0.00001`, `2.7E-8`; with `plain` never with
/// an exponent.
fn decimal(value: i128, scale: i8, plain: bool, out: &mut Vec<u8>) {
    let mut buffer = [0; MOST_DIGITS];
    let all = digits(value.unsigned_abs(), &mut buffer);
    let kept = all.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let (digits, zeros) = all.split_at(kept);
    if digits.is_empty() {
        out.push(b'0');
        return;
    }
    if value < 0 {
        out.push(b'-');
    }
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let scale = i64::from(scale) - signed(zeros.len());
    // The exponent of the first digit.
    let exponent = signed(digits.len()) - 1 - scale;
    let count = |count: i64| usize::try_from(count).unwrap_or_default();
    let zero = |count: usize, out: &mut Vec<u8>| out.resize(out.len() + count, b'0');
    if !plain && (scale < 0 || exponent < -6) {
        let (first, more) = digits.split_at(1);
        out.extend_from_slice(first);
        if !more.is_empty() {
            out.push(b'.');
            out.extend_from_slice(more);
        }
        out.push(b'E');
        if exponent > 0 {
            out.push(b'+');
        }
        integer(exponent, out);
    } else if scale <= 0 {
        out.extend_from_slice(digits);
        zero(count(-scale), out);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        zero(count(-exponent - 1), out);
        out.extend_from_slice(digits);
    } else {
        let (whole, fraction) = digits.split_at(count(exponent + 1).min(digits.len()));
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Appends `yyyy-MM-dd` of the days since 1970-01-01.
fn date(days: i64, out: &mut Vec<u8>) -> Result<(), Fault> {
    // Eras of 400 years, which begin with March so that the leap day is the last one of its year.
    let since = days + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    if !(0..10_000).contains(&year) {
        return Err(Fault::field(format!("the year {year} has no text: years are 0000 to 9999")));
    }
    pair(year / 100, out);
    pair(year % 100, out);
    out.push(b'-');
    pair(month, out);
    out.push(b'-');
    pair(day, out);
    Ok(())
}

/// Appends `HH:mm:ss[.fraction]` of so many ticks since midnight.
fn time(value: i64, ticks: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (value.div_euclid(ticks), value.rem_euclid(ticks));
    pair(seconds / 3_600, out);
    out.push(b':');
    pair(seconds / 60 % 60, out);
    out.push(b':');
    pair(seconds % 60, out);
    if fraction > 0 {
        let start = out.len();
        // A digit more than the fraction has, so that its zeros at the beginning are written: the point takes that digit's place.
        integer(ticks + fraction, out);
        if let Some(digit) = out.get_mut(start) {
            *digit = b'.';
        }
        let kept = out.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        out.truncate(kept);
    }
}

fn pair(value: i64, out: &mut Vec<u8>) {
    out.push(b'0' + (value / 10 % 10) as u8);
    out.push(b'0' + (value % 10) as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::columns::scalar::number_text;

    fn told(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn decimals_are_written_as_java_writes_them() {
        for (value, scale, scientific, plain) in [
            (27, 9, "2.7E-8", "0.000000027"),
            (100_000, 0, "1E+5", "100000"),
            (-1_250, 2, "-12.5", "-12.5"),
            (0, 2, "0", "0"),
            (12_300, 0, "1.23E+4", "12300"),
            (1, 6, "0.000001", "0.000001"),
            (10, 7, "0.000001", "0.000001"),
            (1, 7, "1E-7", "0.0000001"),
            (-5, 1, "-0.5", "-0.5"),
            (10_i128.pow(38) - 1, 2, "999999999999999999999999999999999999.99", "999999999999999999999999999999999999.99"),
        ] {
            assert_eq!(told(|out| decimal(value, scale, false, out)), scientific);
            assert_eq!(told(|out| decimal(value, scale, true, out)), plain);
        }
    }

    #[test]
    fn times_have_no_more_digits_than_they_need() {
        assert_eq!(told(|out| time(0, MICROS, out)), "00:00:00");
        assert_eq!(told(|out| time(86_399_500_000, MICROS, out)), "23:59:59.5");
        assert_eq!(told(|out| time(1, NANOS, out)), "00:00:00.000000001");
    }

    #[test]
    fn years_that_four_digits_do_not_hold_have_no_text() {
        assert_eq!(told(|out| date(-719_528, out).expect("the first day")), "0000-01-01");
        assert_eq!(told(|out| date(2_932_896, out).expect("the last day")), "9999-12-31");
        assert!(date(-719_529, &mut Vec::new()).is_err() && date(2_932_897, &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn every_day_is_read_back(days in -719_528_i64..2_932_897) {
            let text = told(|out| date(days, out).expect("a date"));
            prop_assert_eq!(crate::format::columns::temporal::date(text.as_bytes()).map(i64::from), Some(days));
        }

        #[test]
        fn every_number_is_read_back(value in any::<i64>(), small in any::<i8>(), double in any::<f64>(), float32 in any::<f32>()) {
            for whole in [value, small.into(), i64::MIN] {
                prop_assert_eq!(told(|out| integer(whole, out)), whole.to_string());
            }
            if double.is_finite() {
                let text = told(|out| float(double, double, out).expect("text"));
                prop_assert_eq!(number_text(text.as_bytes()).and_then(|number| number.double()).map(f64::to_bits).ok(), Some(double.to_bits()));
            }
            if float32.is_finite() {
                let text = told(|out| float(float32, float32.into(), out).expect("text"));
                prop_assert_eq!(number_text(text.as_bytes()).and_then(|number| number.float()).map(f32::to_bits).ok(), Some(float32.to_bits()));
            }
        }

        #[test]
        fn every_decimal_is_read_back(value in -10_i128.pow(38) + 1..10_i128.pow(38), cut in 0_u32..38, scale in 0_i8..38, plain in any::<bool>()) {
            let value = value / 10_i128.pow(cut);
            let text = told(|out| decimal(value, scale, plain, out));
            prop_assert_eq!(number_text(text.as_bytes()).and_then(|number| number.decimal(38, scale)).ok(), Some(value), "{}", text);
        }
    }
}
