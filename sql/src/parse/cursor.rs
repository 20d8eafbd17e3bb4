//! A place in the tokens of one statement, and the small steps every statement parser is made of.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_base::options::{Position, Problem, Problems, closest};

use super::source::{HintComment, Source, position, syntax};

/// What a parser of this crate gives.
pub(crate) type Parsed<T> = Result<T, Problems>;

/// Walks over the tokens `at..end` of a source.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a Source, at: usize, end: usize) -> Self {
        Self { source, at, end }
    }

    pub(crate) fn index(&self) -> usize {
        self.at
    }

    pub(crate) fn end(&self) -> usize {
        self.end
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    pub(crate) fn nth(&self, n: usize) -> Option<&'a Token> {
        let at = self.at + n;
        if at < self.end { self.source.tokens.get(at).map(|token| &token.token) } else { None }
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.nth(0)
    }

    fn token(&self) -> Option<&'a TokenWithSpan> {
        if self.at < self.end { self.source.tokens.get(self.at) } else { None }
    }

    /// Where the next token stands, or the end of the last one.
    pub(crate) fn position(&self) -> Position {
        let behind = || self.end.checked_sub(1).and_then(|last| self.source.tokens.get(last)).map(|token| position(token.span.end));
        self.token().map(|token| position(token.span.start)).or_else(behind).unwrap_or(Position { line: 1, column: 1 })
    }

    pub(crate) fn bump(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        if token.is_some() {
            self.at += 1;
        }
        token
    }

    /// Whether the token `n` ahead is the unquoted word `keyword`.
    pub(crate) fn is_word(&self, n: usize, keyword: &str) -> bool {
        matches!(self.nth(n), Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }

    /// Whether the words stand next.
    pub(crate) fn is_words(&self, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(n, keyword)| self.is_word(n, keyword))
    }

    /// Takes the words if all of them stand next.
    pub(crate) fn eat(&mut self, keywords: &[&str]) -> bool {
        let found = self.is_words(keywords);
        if found {
            self.at += keywords.len();
        }
        found
    }

    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn expect(&mut self, keywords: &[&str]) -> Parsed<()> {
        if self.eat(keywords) { Ok(()) } else { Err(self.unexpected(&keywords.join(" "))) }
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Parsed<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.unexpected(&format!("'{token}'"))) }
    }

    /// The error that `wanted` was expected here.
    pub(crate) fn unexpected(&self, wanted: &str) -> Problems {
        syntax(format!("Expected {wanted}, found {}.", self.found()), self.position()).into()
    }

    /// The error that one of `words` was expected here, with the nearest one if a word was found.
    pub(crate) fn unexpected_word(&self, words: &[&str], hint: &str) -> Problems {
        let mut problem = syntax(format!("Expected {hint}, found {}.", self.found()), self.position());
        if let Some(Token::Word(word)) = self.peek()
            && let Some(near) = closest(&word.value, words.iter().copied()).first()
        {
            problem = problem.suggest(Some(format!("Did you mean '{near}'?")));
        }
        problem.into()
    }

    fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the statement".to_owned(), |token| format!("'{token}'"))
    }

    /// A name of one part, quoted or not.
    pub(crate) fn identifier(&mut self, wanted: &str) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// A name of up to `parts` parts, dots between.
    pub(crate) fn name(&mut self, wanted: &str, parts: usize) -> Parsed<Name> {
        let at = self.position();
        let mut found = vec![self.identifier(wanted)?];
        while self.eat_token(&Token::Period) {
            found.push(self.identifier(wanted)?);
        }
        if found.len() > parts {
            return Err(syntax(format!("The name '{}' has {} parts, at most {parts} are possible.", found.join("."), found.len()), at).into());
        }
        Ok(Name { parts: found, position: at })
    }

    pub(crate) fn string(&mut self, wanted: &str) -> Parsed<String> {
        match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            Some(Token::Number(..)) => {
                let problem = syntax(format!("Expected {wanted}, found {}.", self.found()), self.position());
                Err(problem.hint(format!("Write it in quotes: '{}'.", self.source.slice(self.at, self.at + 1))).into())
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    pub(crate) fn number(&mut self, wanted: &str) -> Parsed<u32> {
        match self.peek() {
            Some(Token::Number(text, _)) => {
                let number = text.parse().map_err(|_not_a_u32: std::num::ParseIntError| self.unexpected(wanted))?;
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// `( 'k' = 'v', … )` with the place of each key.
    pub(crate) fn options(&mut self) -> Parsed<Vec<WrittenOption>> {
        self.expect_token(&Token::LParen)?;
        let mut options: Vec<WrittenOption> = Vec::new();
        let mut twice = Vec::new();
        while !self.eat_token(&Token::RParen) {
            let at = self.position();
            let key = self.string("an option key in quotes")?;
            self.expect_token(&Token::Eq)?;
            let value = self.string(&format!("a value in quotes for '{key}'"))?;
            if options.iter().any(|option| option.key == key) {
                twice.push(syntax(format!("The option '{key}' is given twice."), at));
            }
            options.push(WrittenOption { key, value, position: at });
            if !self.eat_token(&Token::Comma) && self.peek() != Some(&Token::RParen) {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        if twice.is_empty() { Ok(options) } else { Err(Problems::new(twice)) }
    }

    /// The hints that stand right before the next token.
    pub(crate) fn hints_here(&self) -> impl Iterator<Item = &'a HintComment> {
        let at = self.at;
        self.source.hints.iter().filter(move |hint| hint.before == at)
    }

    /// That nothing is left.
    pub(crate) fn finish(&self) -> Parsed<()> {
        match self.token() {
            None => Ok(()),
            Some(token) => Err(behind_the_end(token).into()),
        }
    }

    /// A `not supported yet` error here.
    pub(crate) fn unsupported(&self, what: impl Into<String>) -> Problems {
        unsupported(what, self.position())
    }
}

/// That a statement goes on with `token` where it should have ended.
pub(super) fn behind_the_end(token: &TokenWithSpan) -> Problem {
    const STATEMENTS: [&str; 8] = ["CREATE", "INSERT", "SET", "USE", "DROP", "EXECUTE", "EXPLAIN", "SHOW"];
    let at = position(token.span.start);
    let problem = syntax(format!("Expected the end of the statement, found '{}'.", token.token), at);
    match &token.token {
        Token::Word(word) if STATEMENTS.iter().any(|known| known.eq_ignore_ascii_case(&word.value)) => {
            problem.hint("A ';' stands between statements.")
        }
        _ => problem,
    }
}

/// A `not supported yet` error at a place.
pub(crate) fn unsupported(what: impl Into<String>, at: Position) -> Problems {
    Problem::new("SQL-004", "Statement", what).at(Some(at)).into()
}

/// A name as written, of one to three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) parts: Vec<String>,
    pub(crate) position: Position,
}

/// One option as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenOption {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) position: Position,
}
