//! Numbers in groups of seven bits, the lowest first, of which all but the last have their high bit set: those of Avro and Protocol Buffers.

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The number at the beginning of `bytes` and how many bytes it has, if they are eight at most and either one or followed by others up to eight.
/// All of them are looked at together.
#[inline]
pub(in crate::format) fn short(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((first.into(), 1));
    }
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let ends = !word & HIGH_BITS;
    if ends == 0 {
        return None;
    }
    // The bits up to the first end.
    let groups = word & (ends ^ (ends - 1)) & !HIGH_BITS;
    let pairs = (groups & 0x007f_007f_007f_007f) | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    Some(((fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4, ends.trailing_zeros() as usize / 8 + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_numbers_are_what_they_are_group_by_group(bits in 1_u32..=56, number: u64, behind in prop::collection::vec(any::<u8>(), 0..9)) {
            let number = number >> (64 - bits);
            let mut bytes: Vec<u8> = (0..8).map(|group| (number >> (7 * group)) as u8 & 0x7f).collect();
            bytes.truncate(bytes.iter().rposition(|group| *group != 0).unwrap_or(0) + 1);
            let size = bytes.len();
            bytes[..size - 1].iter_mut().for_each(|group| *group |= 0x80);
            bytes.extend(behind);
            let expected = (size == 1 || bytes.len() >= 8).then_some((number, size));
            prop_assert_eq!(short(&bytes), expected);
        }
    }

    #[test]
    fn a_number_that_does_not_end_in_eight_bytes_is_none() {
        assert_eq!(short(&[0xff; 9]), None);
        assert_eq!(short(&[]), None);
        assert_eq!(short(&[0x81, 0x80, 0, 9, 9, 9, 9, 9]), Some((1, 3)));
    }
}
