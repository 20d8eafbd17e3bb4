//! SQL text cut into tokens, each with its place, so that every later message can say line and column.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use weir_base::options::{Position, Problem, Problems};

use super::dialect::WeirDialect;

/// Code of a syntax error.
pub(crate) const SYNTAX: &str = "SQL-001";

/// A hint comment `/*+ … */`.
#[derive(Debug, Clone)]
pub(crate) struct HintComment {
    /// Index of the first token behind it.
    pub(crate) before: usize,
    /// What stands between `/*+` and `*/`.
    pub(crate) text: String,
    /// Where that text begins.
    pub(crate) position: Position,
}

/// A text with its tokens; blanks and comments are left out, hints are kept apart.
#[derive(Debug)]
pub(crate) struct Source {
    text: String,
    line_starts: Vec<usize>,
    /// The tokens.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// The hints, in order.
    pub(crate) hints: Vec<HintComment>,
}

impl Source {
    /// Cuts `text` into tokens.
    ///
    /// # Errors
    /// A string, quoted name or comment that does not end.
    pub(crate) fn try_new(text: &str) -> Result<Self, Problems> {
        let all = Tokenizer::new(&WeirDialect, text).tokenize_with_location().map_err(|error| {
            let what = format!("{}.", error.message.trim_end_matches('.'));
            Problems::from(Problem::new(SYNTAX, "Syntax error", what).at(Some(position(error.location))))
        })?;
        let mut tokens = Vec::with_capacity(all.len() / 2);
        let mut hints = Vec::new();
        for token in all {
            match &token.token {
                Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                    if let Some(hint) = comment.strip_prefix('+') {
                        let start = position(token.span.start);
                        let start = Position { column: start.column + 3, ..start };
                        hints.push(HintComment { before: tokens.len(), text: hint.to_owned(), position: start });
                    }
                }
                Token::Whitespace(_) | Token::EOF => {}
                _ => tokens.push(token),
            }
        }
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Ok(Self { text: text.to_owned(), line_starts, tokens, hints })
    }

    /// The same text with other tokens, without hints.
    pub(crate) fn with_tokens(&self, tokens: Vec<TokenWithSpan>) -> Self {
        Self { text: self.text.clone(), line_starts: self.line_starts.clone(), tokens, hints: Vec::new() }
    }

    /// The text from the first to the last token of a range.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &str {
        let (Some(first), Some(last)) = (self.tokens.get(from), to.checked_sub(1).and_then(|last| self.tokens.get(last))) else { return "" };
        let (start, end) = (self.offset(first.span.start), self.offset(last.span.end));
        self.text.get(start..end).unwrap_or_default()
    }

    /// As [`Self::slice`], with the hints that stand behind the last token.
    pub(crate) fn slice_with_hints(&self, from: usize, to: usize) -> &str {
        let text = self.slice(from, to);
        let last = self.hints.iter().rfind(|hint| hint.before == to);
        let Some((first, last)) = self.tokens.get(from).zip(last) else { return text };
        let start = self.offset(first.span.start);
        let at = self.offset(Location { line: last.position.line, column: last.position.column });
        self.text.get(start..at + last.text.len() + "*/".len()).unwrap_or(text)
    }

    fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(1).saturating_sub(1);
        let Some(start) = self.line_starts.get(line).copied() else { return self.text.len() };
        let columns = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
        self.text[start..].char_indices().nth(columns).map_or(self.text.len(), |(offset, _)| start + offset)
    }
}

/// A place of the tokenizer as one of ours.
pub(crate) fn position(at: Location) -> Position {
    Position { line: at.line, column: at.column }
}

/// A syntax error at a place.
pub(crate) fn syntax(what: impl Into<String>, at: Position) -> Problem {
    Problem::new(SYNTAX, "Syntax error", what).at(Some(at))
}
