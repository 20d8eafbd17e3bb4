//! Results on standard output.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

use crate::failure::Failure;

/// Prints a line. A reader that has gone away ends the command quietly.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::internal(format!("standard output: {error}")))
}

/// Adds a character of somebody's data as a terminal may have it: what steers a terminal, or turns the direction of the text around it, is written out.
fn push_shown(shown: &mut String, character: char) {
    match character {
        '\t' => shown.push_str("\\t"),
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\0' => shown.push_str("\\0"),
        // Text takes any `fmt::Write`.
        '\u{1}'..='\u{1f}' | '\u{7f}' => _ = write!(shown, "\\x{:02x}", u32::from(character)),
        '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => _ = write!(shown, "\\u{{{:x}}}", u32::from(character)),
        other => shown.push(other),
    }
}

/// A cell of a table on a terminal: as it is but for control characters, which are written out. Lines of a text stay lines of the cell.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    let steers =
        |character: char| character.is_control() && character != '\n' || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character == '\n' { shown.push('\n') } else { push_shown(&mut shown, character) }
    }
    Cow::Owned(shown)
}

/// Bytes as text in one line, for a terminal: at most `longest` characters of them, and `…` if there are more. Control characters are written out
/// (`\x1b`, `\t`, `\0`, `\n`), and bytes that are not UTF-8 are `\xNN`.
pub(crate) fn one_line(bytes: &[u8], longest: usize) -> String {
    let (mut shown, mut left) = (String::new(), longest);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            push_shown(&mut shown, character);
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// The same for programs, whose form of text does its own escaping: all of it, and only bytes that are not UTF-8 are written out.
pub(crate) fn as_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_all_else_is_as_it_is() {
        let bytes = b"\x1b[31mred\x00\t\r\n\x07\x7f {\"a\": \"\xc3\xa9\\n\"}";
        assert_eq!(one_line(bytes, 100), r#"\x1b[31mred\0\t\r\n\x07\x7f {"a": "é\n"}"#);
        assert_eq!(one_line("a\u{9b}b\u{202e}c".as_bytes(), 100), "a\\u{9b}b\\u{202e}c");
        assert_eq!(one_line(b"a\xff\xfeb\xc3", 100), r"a\xff\xfeb\xc3");
        assert_eq!(
            (one_line(b"\x1b\x1b\x1b", 2), one_line(b"\x1b\x1b", 2), one_line(b"\xff\xff", 1)),
            (r"\x1b\x1b…".into(), r"\x1b\x1b".into(), r"\xff…".into())
        );
        assert_eq!(as_text(b"a\t\x1b\xff"), "a\t\x1b\\xff");
    }

    #[test]
    fn a_cell_keeps_its_lines_and_has_nothing_else_that_steers() {
        assert_eq!(cell("one\ntwo é"), "one\ntwo é");
        assert_eq!(cell("\x1b]0;title\x07\none\ttwo"), "\\x1b]0;title\\x07\none\\ttwo");
    }
}
