//! Text of values and of messages about them.

/// `text` without the blanks around it.
pub(in crate::format) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// `text`, cut where it is longer than a reason should be: others may have written it.
pub(in crate::format) fn cut(mut text: String) -> String {
    const LONGEST: usize = 1_000;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// `text` for a message: quoted, cut where it is long.
pub(in crate::format) fn quoted(text: &[u8]) -> String {
    const LONGEST: usize = 60;
    let shown: String = String::from_utf8_lossy(text).chars().take(LONGEST).collect();
    let dots = if shown.len() < text.len() && shown.chars().count() == LONGEST { "…" } else { "" };
    format!("'{shown}{dots}'")
}
