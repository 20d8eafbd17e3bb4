//! Numbers as text: one pass over the digits, then an exact value of the column's type.

use super::fault::Fault;
use super::text::quoted;

/// Digits that always fit into the mantissa.
const EXACT_DIGITS: usize = 19;
/// Exponents beyond this make zero or overflow whatever the digits are; it keeps the sums small.
const EXPONENT_LIMIT: i64 = 1_000_000_000;

/// A number as written: `mantissa * 10^exponent` if `exact`, else `text` has more digits than the mantissa.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    mantissa: u64,
    exponent: i64,
    exact: bool,
}

/// A whole number at the beginning of `text` that has no fraction or exponent and certainly fits, and where it ends.
#[inline(always)]
pub(in crate::format) fn plain_integer(text: &[u8]) -> Option<(i64, usize)> {
    let negative = text.first() == Some(&b'-');
    let first = usize::from(negative);
    let (end, magnitude) = digits(text, first, 0);
    let count = end - first;
    let canonical = count == 1 || text.get(first) != Some(&b'0');
    if !(1..EXACT_DIGITS).contains(&count) || !canonical || matches!(text.get(end), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    Some((signed(magnitude, negative)?, end))
}

impl<'a> Number<'a> {
    /// Bytes of its text.
    #[inline]
    pub(in crate::format) fn len(&self) -> usize {
        self.text.len()
    }

    /// A number in a string, in the wider grammar of Java's `parseInt` and `BigDecimal`: `+1`, `007`, `.5` and `1.` pass.
    #[inline]
    pub(in crate::format) fn parse(text: &'a [u8]) -> Option<Self> {
        Self::scan::<false>(text).ok().filter(|number| number.text.len() == text.len())
    }

    /// Reads a number at the beginning of `text`, strictly in the grammar of JSON or not; else says how far it got.
    #[inline(always)]
    pub(in crate::format) fn scan<const STRICT: bool>(text: &'a [u8]) -> Result<Self, usize> {
        let at = |pos: usize| text.get(pos).copied().unwrap_or(0);
        let negative = at(0) == b'-';
        let first = usize::from(negative || (!STRICT && at(0) == b'+'));
        let (mut pos, mut mantissa) = digits(text, first, 0);
        let mut count = pos - first;
        let whole = count;
        if STRICT && (whole == 0 || (whole > 1 && at(first) == b'0')) {
            return Err(if whole == 0 { pos } else { first + 1 });
        }
        let mut exponent = 0;
        if at(pos) == b'.' {
            pos += 1;
            let point = pos;
            (pos, mantissa) = digits(text, point, mantissa);
            let fraction = pos - point;
            count += fraction;
            if if STRICT { fraction == 0 } else { fraction + whole == 0 } {
                return Err(pos);
            }
            exponent = -i64::try_from(fraction).unwrap_or(EXPONENT_LIMIT);
        } else if whole == 0 {
            return Err(pos);
        }
        if matches!(at(pos), b'e' | b'E') {
            exponent += exponent_at(text, &mut pos)?;
        }
        let text = text.get(..pos).unwrap_or_default();
        Ok(Self { text, negative, mantissa, exponent, exact: count <= EXACT_DIGITS || significant_digits(text) <= EXACT_DIGITS })
    }

    /// The number as a whole one, if it is one that `T` holds. `1.0` and `1e3` are whole.
    #[inline]
    pub(in crate::format) fn integer<T: TryFrom<i64>>(&self) -> Result<T, Fault> {
        let value = if self.exact && self.exponent == 0 { signed(self.mantissa, self.negative) } else { self.rare_integer()? };
        value.and_then(|value| T::try_from(value).ok()).ok_or_else(|| {
            let bits = size_of::<T>() * 8;
            Fault::field(format!("{} is out of range for a whole number of {bits} bits", quoted(self.text)))
        })
    }

    #[cold]
    fn rare_integer(&self) -> Result<Option<i64>, Fault> {
        let (value, cut) = self.scaled(0);
        if cut {
            return Err(Fault::field(format!("expected a whole number, found {}", quoted(self.text))));
        }
        Ok(value.and_then(|value| i64::try_from(value).ok()))
    }

    /// The nearest double.
    #[inline]
    pub(in crate::format) fn double(&self) -> Result<f64, Fault> {
        // Exact operands within these bounds give a correctly rounded result (Clinger 1990).
        if self.exact && self.mantissa <= 1 << 53 && (-22..=22).contains(&self.exponent) {
            let power = POWERS_OF_TEN[self.exponent.unsigned_abs() as usize];
            let value = if self.exponent < 0 { self.mantissa as f64 / power } else { self.mantissa as f64 * power };
            return Ok(if self.negative { -value } else { value });
        }
        self.nearest("DOUBLE", f64::is_finite)
    }

    /// The nearest float.
    pub(in crate::format) fn float(&self) -> Result<f32, Fault> {
        self.nearest("FLOAT", f32::is_finite)
    }

    fn nearest<T: std::str::FromStr + Copy>(&self, name: &str, finite: impl Fn(T) -> bool) -> Result<T, Fault> {
        let value: Option<T> = std::str::from_utf8(self.text).ok().and_then(|text| text.parse().ok());
        value.filter(|value| finite(*value)).ok_or_else(|| Fault::field(format!("{} is out of range for {name}", quoted(self.text))))
    }

    /// The number as an unscaled DECIMAL(`precision`, `scale`), rounded half up (away from zero at a tie), as Java's `BigDecimal` does.
    #[inline]
    pub(in crate::format) fn decimal(&self, precision: u8, scale: i8) -> Result<i128, Fault> {
        let limit = TENS.get(usize::from(precision)).copied().unwrap_or(i128::MAX);
        let (value, _) = self.scaled(scale);
        value
            .filter(|value| (-limit < *value) && (*value < limit))
            .ok_or_else(|| Fault::field(format!("{} does not fit into DECIMAL({precision}, {scale})", quoted(self.text))))
    }

    /// The number times `10^scale`, rounded half up, and whether digits other than 0 were cut; `None` if it has more than 38 digits.
    #[inline]
    fn scaled(&self, scale: i8) -> (Option<i128>, bool) {
        let shift = self.exponent + i64::from(scale);
        if !self.exact {
            return self.scaled_digits(shift);
        }
        let (value, cut) = if shift == 0 || self.mantissa == 0 {
            (Some(i128::from(self.mantissa)), false)
        } else if shift > 0 {
            let power = usize::try_from(shift).ok().and_then(|shift| TENS.get(shift));
            (power.and_then(|power| i128::from(self.mantissa).checked_mul(*power)), false)
        } else {
            // 10^20 is more than twice any mantissa.
            match u32::try_from(-shift).ok().and_then(|shift| 10_u64.checked_pow(shift)) {
                None => (Some(0), true),
                Some(power) => {
                    let (quotient, rest) = (self.mantissa / power, self.mantissa % power);
                    (Some(i128::from(quotient) + i128::from(rest >= power - rest)), rest != 0)
                }
            }
        };
        (value.map(|value| if self.negative { -value } else { value }), cut)
    }

    /// [`Self::scaled`] for more digits than a mantissa holds.
    #[cold]
    fn scaled_digits(&self, shift: i64) -> (Option<i128>, bool) {
        let written = self.text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
        let digits: Vec<u8> = written.filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').skip_while(|digit| *digit == 0).collect();
        let kept = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(shift);
        let Ok(kept) = usize::try_from(kept) else { return (Some(0), true) };
        if kept > 38 {
            return (None, false);
        }
        let (before, after) = digits.split_at(kept.min(digits.len()));
        let padding = std::iter::repeat_n(&0, kept - before.len());
        let value = before.iter().chain(padding).fold(0_i128, |value, digit| value * 10 + i128::from(*digit));
        let value = value + i128::from(after.first().is_some_and(|digit| *digit >= 5));
        (Some(if self.negative { -value } else { value }), after.iter().any(|digit| *digit != 0))
    }
}

/// Reads the digits at `pos`: where they end, and `mantissa` with them behind it (which wraps around where there are too many).
#[inline]
fn digits(text: &[u8], mut pos: usize, mut mantissa: u64) -> (usize, u64) {
    while let Some(value) = text.get(pos..).and_then(<[u8]>::first_chunk).and_then(eight_digits) {
        mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(value);
        pos += 8;
    }
    while let Some(digit) = text.get(pos).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        pos += 1;
    }
    (pos, mantissa)
}

/// The number that eight digits mean, by pairs, fours and all; `None` if one is no digit.
#[inline]
fn eight_digits(text: &[u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(*text) ^ 0x3030_3030_3030_3030;
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours & 0xffff) * 10_000 + (fours >> 32))
}

/// Digits from the first that is not 0.
#[cold]
fn significant_digits(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(|byte| byte.is_ascii_digit());
    digits.skip_while(|digit| **digit == b'0').count()
}

#[inline]
fn signed(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The exponent whose `e` stands at `pos`; passes it.
#[cold]
fn exponent_at(text: &[u8], pos: &mut usize) -> Result<i64, usize> {
    let at = |pos: usize| text.get(pos).copied().unwrap_or(0);
    *pos += 1;
    let negative = at(*pos) == b'-';
    *pos += usize::from(matches!(at(*pos), b'+' | b'-'));
    let first = *pos;
    let mut exponent = 0_i64;
    while at(*pos).is_ascii_digit() {
        exponent = (exponent * 10 + i64::from(at(*pos) - b'0')).min(EXPONENT_LIMIT);
        *pos += 1;
    }
    if *pos == first {
        return Err(*pos);
    }
    Ok(if negative { -exponent } else { exponent })
}

/// Powers of ten, as far as a decimal goes.
const TENS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

const POWERS_OF_TEN: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(text: &str) -> Option<Number<'_>> {
        Number::scan::<true>(text.as_bytes()).ok().filter(|number| number.text.len() == text.len())
    }

    fn lenient(text: &str) -> Option<Number<'_>> {
        Number::parse(text.as_bytes())
    }

    #[test]
    fn only_the_grammar_of_json_passes() {
        for good in ["0", "-0", "1", "10", "-12.5", "1e5", "1E+05", "0.0e-0"] {
            assert!(strict(good).is_some(), "{good}");
        }
        for bad in ["", "-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "1.e5", "NaN", "Infinity", "0x1", "1_0", "1 "] {
            assert!(strict(bad).is_none(), "{bad}");
        }
        for good in ["+1", "007", ".5", "1.", "-1e3"] {
            assert!(lenient(good).is_some(), "{good}");
        }
        for bad in ["", "+", ".", "-.e1", "1 ", "e5", "NaN", "--1"] {
            assert!(lenient(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_to_the_ends_of_their_range() {
        let integer = |text: &str| strict(text).expect(text).integer::<i64>().map_err(|fault| fault.into_bad_message(None).reason);
        assert_eq!(integer("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer("12e2"), Ok(1200));
        assert_eq!(integer("1.00000000000000000000000"), Ok(1));
        assert!(integer("1.5").expect_err("a fraction").contains("expected a whole number"));
        for large in ["9223372036854775808", "-9223372036854775809", "18446744073709551617", "1e400000000000", "99999999999999999999999"] {
            assert!(integer(large).expect_err(large).contains("out of range"), "{large}");
        }
        assert_eq!(strict("-128").expect("number").integer::<i8>().ok(), Some(-128));
        assert!(strict("128").expect("number").integer::<i8>().is_err());
    }

    #[test]
    fn decimals_round_half_up_and_overflow() {
        let decimal = |text: &str, precision, scale| strict(text).expect(text).decimal(precision, scale).ok();
        assert_eq!(decimal("1.005", 10, 2), Some(101));
        assert_eq!(decimal("-1.005", 10, 2), Some(-101));
        assert_eq!(decimal("1.00499999999999999999999999", 10, 2), Some(100));
        assert_eq!(decimal("1.005000000000000000000000001", 10, 2), Some(101));
        assert_eq!(decimal("99.995", 4, 2), None);
        assert_eq!(decimal("99.994", 4, 2), Some(9999));
        assert_eq!(decimal("1e-400000000000", 10, 2), Some(0));
        assert_eq!(decimal("0e400000000000", 10, 2), Some(0));
        assert_eq!(decimal("1e400000000000", 10, 2), None);
        assert_eq!(decimal("0.00000000000000000005", 38, 19), Some(1));
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal("99999999999999999999999999999999999999.5", 38, 0), None);
        assert_eq!(decimal("100000000000000000000000000000000000000", 38, 0), None);
        assert_eq!(decimal("12300000000000000000000e-20", 10, 2), Some(12300));
    }

    #[test]
    fn doubles_out_of_range_are_faults() {
        assert!(strict("1e999").expect("number").double().is_err());
        assert!(strict("1e39").expect("number").float().is_err());
        assert_eq!(strict("-0.0").expect("number").double().ok().map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }

    proptest! {
        #[test]
        fn doubles_are_the_nearest_ones(whole in any::<i32>(), fraction in "[0-9]{0,22}", exponent in -30_i32..30) {
            let dot = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{dot}{fraction}e{exponent}");
            let expected: f64 = text.parse().expect("a double");
            prop_assert_eq!(strict(&text).expect("number").double().map(f64::to_bits).ok(), Some(expected.to_bits()));
        }

        #[test]
        fn decimals_do_not_depend_on_how_many_zeros_are_written(value in any::<i32>(), zeros in 0_usize..30, scale in 0_i8..6) {
            let plain = format!("{value}.125");
            let long = format!("{plain}{}", "0".repeat(zeros));
            let decimal = |text: &str| strict(text).expect("number").decimal(30, scale).ok();
            prop_assert_eq!(decimal(&plain), decimal(&long));
        }
    }
}
