//! Names of users' things (jobs, sinks, topics) as names of objects in a store.
//!
//! Letters, digits, `-` and `_` stand for themselves, every other byte becomes `=XX`; `=` itself is one of those. So two names never share one,
//! and every store and file system takes them.

use std::fmt::Write as _;

/// `name` in characters that every store takes.
#[must_use]
pub fn escape(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if plain {
            safe.push(char::from(byte));
        } else if write!(safe, "={byte:02X}").is_err() {
            return safe; // writing to a String does not fail
        }
    }
    safe
}

/// [`escape`], cut to `longest` characters; a name that is cut ends in a number that tells it from others, by 64 bits of FNV-1a.
#[must_use]
pub fn escape_within(name: &str, longest: usize) -> String {
    let safe = escape(name);
    if safe.len() <= longest {
        return safe;
    }
    let number = safe.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let kept = safe.get(..longest.saturating_sub(18)).unwrap_or_default();
    // No whole name has two of them in a row.
    format!("{kept}=={number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_made_of_safe_characters_and_stays_another_than_others() {
        assert_eq!(escape("a-b_C9"), "a-b_C9");
        assert_eq!(escape("a.b=ä"), "a=2Eb=3D=C3=A4");
        let (left, right) = ("x".repeat(400), format!("{}y", "x".repeat(399)));
        let (left, right) = (escape_within(&left, 90), escape_within(&right, 90));
        assert!(left != right && left.len() == 90 && right.len() == 90, "{left} {right}");
        assert_eq!(escape_within("short", 90), "short");
    }
}
