//! Where three formats have the values of a message, for a reader that knows all columns beforehand and trusts the messages.

use arrow_schema::DataType;

/// The kinds of the wide columns.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Long,
    Double,
    Text,
    Time,
}

impl Kind {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int64 => Self::Long,
            DataType::Float64 => Self::Double,
            DataType::Utf8 => Self::Text,
            _ => Self::Time,
        }
    }
}

/// Where the bytes of a value begin and end.
pub(crate) type Place = (u32, u32);

/// A format: how values are found, and what their bytes mean.
pub(crate) trait Layout {
    /// Finds the values of `message`, one for each column, and appends their places.
    fn walk(kinds: &[Kind], message: &[u8], places: &mut Vec<Place>);
    fn long(bytes: &[u8]) -> i64;
    fn double(bytes: &[u8]) -> f64;
    /// Microseconds.
    fn time(bytes: &[u8], dates: &mut Dates) -> i64;
    /// Whether texts are checked with the message, not each by itself.
    const CHECKED: bool;
}

/// The date that came last, and its days since 1970-01-01.
#[derive(Default)]
pub(crate) struct Dates {
    text: [u8; 10],
    days: i64,
}

/// Lines of plain fields with commas between them.
pub(crate) struct Csv;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that are `byte`, in their high bits.
fn marks(word: u64, byte: u8) -> u64 {
    let rest = word ^ (ONES * u64::from(byte));
    !(((rest & !HIGH_BITS) + !HIGH_BITS) | rest | !HIGH_BITS)
}

impl Layout for Csv {
    const CHECKED: bool = true;

    /// Eight bytes at a time, for delimiters and quotes; and the check of its UTF-8.
    fn walk(_: &[Kind], message: &[u8], places: &mut Vec<Place>) {
        assert!(simdutf8::basic::from_utf8(message).is_ok());
        let (mut start, mut at) = (0, 0);
        let (words, rest) = message.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            assert!(marks(word, b'"') == 0);
            let mut found = marks(word, b',');
            while found != 0 {
                let end = at + found.trailing_zeros() / 8;
                places.push((start, end));
                start = end + 1;
                found &= found - 1;
            }
            at += 8;
        }
        for byte in rest {
            if *byte == b',' {
                places.push((start, at));
                start = at + 1;
            }
            at += 1;
        }
        places.push((start, at));
    }

    fn long(bytes: &[u8]) -> i64 {
        digits(bytes)
    }

    fn double(bytes: &[u8]) -> f64 {
        const TENS: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
        let point = bytes.iter().rposition(|byte| *byte == b'.').expect("a fraction");
        let (whole, fraction) = (&bytes[..point], &bytes[point + 1..]);
        let tens = TENS[fraction.len()];
        (digits(whole) as f64 * tens + digits(fraction) as f64) / tens
    }

    fn time(bytes: &[u8], dates: &mut Dates) -> i64 {
        let (day, clock) = bytes.split_first_chunk::<10>().expect("a day");
        if *day != dates.text {
            let day: chrono::NaiveDate = std::str::from_utf8(day).expect("text").parse().expect("a day");
            dates.days = i64::from(day.to_epoch_days());
            dates.text = *bytes.first_chunk().expect("a day");
        }
        let pair = |place: usize| digits(&clock[place..place + 2]);
        (((dates.days * 24 + pair(1)) * 60 + pair(4)) * 60 + pair(7)) * 1_000_000 + digits(&clock[10..13]) * 1_000
    }
}

fn digits(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'))
}

/// The bytes of a number whose last byte has its high bit off.
fn varint_len(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<8>() {
        Some(word) if !u64::from_le_bytes(*word) & HIGH_BITS != 0 => (!u64::from_le_bytes(*word) & HIGH_BITS).trailing_zeros() as usize / 8 + 1,
        _ => bytes.iter().position(|byte| *byte < 0x80).expect("a last byte") + 1,
    }
}

/// The small number at `at`, and what is behind it.
fn small(message: &[u8], at: usize) -> (usize, usize) {
    match message.get(at) {
        None => (0, at),
        Some(byte) if *byte < 0x80 => (usize::from(*byte), at + 1),
        Some(_) => {
            let end = at + varint_len(&message[at..]);
            (varint(&message[at..end]) as usize, end)
        }
    }
}

fn varint(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// Records of which each field is a union of NULL and a value.
pub(crate) struct Avro;

impl Layout for Avro {
    const CHECKED: bool = false;

    fn walk(kinds: &[Kind], message: &[u8], places: &mut Vec<Place>) {
        let mut at = 0;
        for kind in kinds {
            assert!(message[at] == 2);
            at += 1;
            let size = match kind {
                Kind::Long | Kind::Time => varint_len(&message[at..]),
                Kind::Double => 8,
                Kind::Text => {
                    let (size, behind) = small(message, at);
                    at = behind;
                    size >> 1
                }
            };
            places.push((at as u32, (at + size) as u32));
            at += size;
        }
    }

    fn long(bytes: &[u8]) -> i64 {
        let coded = varint(bytes);
        (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed()
    }

    fn double(bytes: &[u8]) -> f64 {
        bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
    }

    fn time(bytes: &[u8], _: &mut Dates) -> i64 {
        Self::long(bytes) * 1_000
    }
}

/// Messages of which each field stands in its order.
pub(crate) struct Protobuf;

impl Layout for Protobuf {
    const CHECKED: bool = false;

    fn walk(kinds: &[Kind], message: &[u8], places: &mut Vec<Place>) {
        let mut at = 0;
        for (number, kind) in (1..).zip(kinds) {
            let (tag, behind) = small(message, at);
            if tag >> 3 != number {
                // What is zero is left out.
                places.push((at as u32, at as u32));
                continue;
            }
            at = behind;
            let size = match kind {
                Kind::Long | Kind::Time => varint_len(&message[at..]),
                Kind::Double => 8,
                Kind::Text => {
                    let (size, behind) = small(message, at);
                    at = behind;
                    size
                }
            };
            places.push((at as u32, (at + size) as u32));
            at += size;
        }
    }

    fn long(bytes: &[u8]) -> i64 {
        varint(bytes).cast_signed()
    }

    fn double(bytes: &[u8]) -> f64 {
        Avro::double(bytes)
    }

    fn time(bytes: &[u8], _: &mut Dates) -> i64 {
        Self::long(bytes)
    }
}
