//! Text of values and of messages about them.

/// `text` without the blanks around it.
pub(in crate::format) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// `text` for a message: quoted, cut where it is long.
pub(in crate::format) fn quoted(text: &[u8]) -> String {
    const LONGEST: usize = 60;
    let shown: String = String::from_utf8_lossy(text).chars().take(LONGEST).collect();
    let dots = if shown.len() < text.len() && shown.chars().count() == LONGEST { "…" } else { "" };
    format!("'{shown}{dots}'")
}
