//! Bytes of strings: eight at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Marks, in their high bits, the bytes of `word` that end a run of plain string bytes: quote, backslash and control characters.
///
/// The lowest mark is exact; one above it may be false (the borrow of a subtraction).
#[inline]
pub(super) fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGH_BITS
}

/// Sixteen bytes as two words.
#[inline]
pub(super) fn words(chunk: [u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(chunk);
    [both as u64, (both >> 64) as u64]
}

/// Appends the JSON text `value`, known to be well formed, without the blanks between its tokens.
pub(super) fn compact(value: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in value {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_of_a_word_is_exact() {
        for stop in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for place in 0..8 {
                for filler in [b'a', b'!', b'#', b' ', 0x7f, 0x80, 0xff, b'[', b']'] {
                    let mut word = [filler; 8];
                    assert_eq!(stops(u64::from_le_bytes(word)), 0, "{filler}");
                    word[place] = stop;
                    word[7] = if place == 7 { stop } else { b'"' };
                    assert_eq!(stops(u64::from_le_bytes(word)).trailing_zeros() as usize / 8, place, "{stop} {filler}");
                }
            }
        }
    }

    #[test]
    fn blanks_go_only_between_tokens() {
        let mut out = Vec::new();
        compact(br#" { "a b" : [ 1 , "\" x\\" ] } "#, &mut out);
        assert_eq!(out, br#"{"a b":[1,"\" x\\"]}"#);
    }
}
