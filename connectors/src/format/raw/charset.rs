//! Character sets of messages that are text.

use crate::format::columns::Fault;

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// Little endian, big endian, or as its first two bytes say (big endian without them).
    Utf16(Option<bool>),
}

impl Charset {
    /// The names that `raw.charset` takes, in the spelling of Java.
    pub(super) const NAMES: &'static [&'static str] = &["UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16", "UTF-16BE", "UTF-16LE"];

    /// The character set of one of [`Self::NAMES`].
    pub(super) fn of(name: &str) -> Self {
        match name {
            "US-ASCII" => Self::Ascii,
            "ISO-8859-1" => Self::Latin1,
            "UTF-16" => Self::Utf16(None),
            "UTF-16BE" => Self::Utf16(Some(false)),
            "UTF-16LE" => Self::Utf16(Some(true)),
            _ => Self::Utf8,
        }
    }

    /// Appends the text of `message` as UTF-8.
    pub(super) fn decode(self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Utf8 if simdutf8::basic::from_utf8(message).is_err() => return Err(Fault::field("the message is not UTF-8")),
            Self::Ascii if !message.is_ascii() => return Err(Fault::field("the message is not US-ASCII")),
            Self::Utf8 | Self::Ascii => out.extend_from_slice(message),
            Self::Latin1 => message.iter().for_each(|byte| push(char::from(*byte), out)),
            Self::Utf16(order) => utf16(order, message, out)?,
        }
        Ok(())
    }
}

/// Appends `text` in a character set.
pub(super) fn encode(charset: Charset, text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let unit = |unit: u16, little: bool| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    match charset {
        Charset::Ascii if !text.is_ascii() => return Err(Fault::field("the text has characters that US-ASCII lacks")),
        Charset::Utf8 | Charset::Ascii => out.extend_from_slice(text.as_bytes()),
        Charset::Latin1 => {
            for character in text.chars() {
                out.push(u8::try_from(character).map_err(|_lacks| Fault::field(format!("the text has '{character}', which ISO-8859-1 lacks")))?);
            }
        }
        Charset::Utf16(order) => {
            // As Java does: a mark says that the highest byte comes first.
            if order.is_none() {
                out.extend_from_slice(&[0xfe, 0xff]);
            }
            out.extend(text.encode_utf16().flat_map(|value| unit(value, order.unwrap_or(false))));
        }
    }
    Ok(())
}

fn push(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn utf16(order: Option<bool>, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let (little, text) = match (order, message) {
        (None, [0xff, 0xfe, text @ ..]) => (true, text),
        (None, [0xfe, 0xff, text @ ..]) => (false, text),
        (order, text) => (order.unwrap_or(false), text),
    };
    let (units, odd) = text.as_chunks::<2>();
    let units = units.iter().map(|unit| if little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) });
    for character in char::decode_utf16(units) {
        push(character.map_err(|_unpaired| Fault::field("the message is not UTF-16"))?, out);
    }
    if odd.is_empty() { Ok(()) } else { Err(Fault::field("the message is not UTF-16")) }
}
