//! A whole SQL file: cut at `;`, statement sets put together.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_base::options::Problems;

use super::ast::{Insert, Statement, StatementKind};
use super::commands::parse_statement;
use super::cursor::{Cursor, Parsed};
use super::source::{Source, syntax};

/// The statements of a SQL file or of one line, parsed.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) statements: Vec<Statement>,
}

impl Script {
    /// Parses SQL text: statements with `;` between them, comments with `--` and `/* */`.
    ///
    /// # Errors
    /// The syntax errors of all statements, each with its line and column.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let source = Source::try_new(text)?;
        let mut statements = Vec::new();
        let mut problems = Vec::new();
        let mut at = 0;
        while at < source.tokens.len() {
            let end = semicolon(&source, at);
            if end == at {
                at += 1;
                continue;
            }
            let (parsed, next) = match set_opening(&source, at, end) {
                Some(opening) => (statement_set(&source, &opening, at), set_end(&source, opening.inserts)),
                None => (parse_statement(&mut Cursor::new(&source, at, end)), end + 1),
            };
            match parsed {
                Ok(statement) => statements.push(statement),
                Err(found) => problems.extend(found.as_slice().to_vec()),
            }
            at = next;
        }
        if problems.is_empty() { Ok(Self { statements }) } else { Err(Problems::new(problems)) }
    }

    /// Each statement as a script of its own, in order.
    pub fn into_single(self) -> impl Iterator<Item = Self> {
        self.statements.into_iter().map(|statement| Self { statements: vec![statement] })
    }

    /// Whether there is no statement in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The number of statements; a statement set counts as one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }
}

/// Whether a text ends within a statement, so that a prompt should ask for more: no `;` at its end, or an open string or comment.
#[must_use]
pub fn is_incomplete(text: &str) -> bool {
    match Source::try_new(text) {
        Err(_) => true,
        Ok(source) => source.tokens.last().is_some_and(|token| token.token != Token::SemiColon),
    }
}

fn semicolon(source: &Source, from: usize) -> usize {
    let rest = source.tokens.get(from..).unwrap_or_default();
    from + rest.iter().position(|token| token.token == Token::SemiColon).unwrap_or(rest.len())
}

struct SetOpening {
    explain: bool,
    /// Index of the first token of the first INSERT.
    inserts: usize,
}

fn set_opening(source: &Source, at: usize, end: usize) -> Option<SetOpening> {
    let mut cursor = Cursor::new(source, at, end);
    let explain = cursor.eat(&["EXPLAIN"]);
    cursor.eat(&["PLAN", "FOR"]);
    if cursor.eat(&["EXECUTE", "STATEMENT", "SET", "BEGIN"]) || (explain && cursor.eat(&["STATEMENT", "SET", "BEGIN"])) {
        return Some(SetOpening { explain, inserts: cursor.index() });
    }
    if cursor.eat(&["BEGIN", "STATEMENT", "SET"]) && cursor.is_done() {
        return Some(SetOpening { explain, inserts: end + 1 });
    }
    None
}

/// The index behind the `END;` of a set, or behind the last token.
fn set_end(source: &Source, mut at: usize) -> usize {
    while at < source.tokens.len() {
        let end = semicolon(source, at);
        if Cursor::new(source, at, end).is_word(0, "END") && end == at + 1 {
            return end + 1;
        }
        at = end + 1;
    }
    source.tokens.len()
}

fn statement_set(source: &Source, opening: &SetOpening, start: usize) -> Parsed<Statement> {
    let mut inserts: Vec<Insert> = Vec::new();
    let mut problems = Vec::new();
    let mut at = opening.inserts;
    let position = Cursor::new(source, start, source.tokens.len()).position();
    loop {
        if at >= source.tokens.len() {
            return Err(syntax("The statement set has no END.", position).into());
        }
        let end = semicolon(source, at);
        let mut cursor = Cursor::new(source, at, end);
        if cursor.is_word(0, "END") && end == at + 1 {
            break;
        }
        at = end + 1;
        if cursor.is_done() {
            continue;
        }
        match parse_statement(&mut cursor) {
            Ok(Statement { kind: StatementKind::Insert(insert), .. }) => inserts.push(*insert),
            Ok(other) => problems.push(syntax("A statement set holds INSERT statements only.", other.position)),
            Err(found) => problems.extend(found.as_slice().to_vec()),
        }
    }
    if problems.is_empty() && inserts.is_empty() {
        problems.push(syntax("The statement set has no INSERT.", position));
    }
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    let set = Statement { position, kind: StatementKind::StatementSet(inserts) };
    if opening.explain {
        return Ok(Statement { position, kind: StatementKind::Explain(Box::new(set)) });
    }
    Ok(set)
}
