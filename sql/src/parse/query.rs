//! Queries and expressions: handed to sqlparser after two changes to the tokens. A table with an OPTIONS hint gets a name of its own, and
//! the type of a CAST, which sqlparser's grammar does not cover, is parsed here and replaced by a placeholder.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, ObjectNamePart, Subscript, TableAlias, TableFactor, TableVersion, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_base::options::{Position, Problem, Problems, closest};

use super::ast::{AsOf, LookupHint, QueryText, Version};
use super::cursor::{Cursor, Parsed, WrittenOption, behind_the_end};
use super::dialect::WeirDialect;
use super::source::{HintComment, Source, position, syntax};
use super::types::{SqlType, parse_type};

/// Prefix of the placeholder of a type: `weir_type_0` is the first of a query.
pub(crate) const TYPE_PLACEHOLDER: &str = "weir_type_";
/// Stands between the name of a table and the number of its hint.
const HINT_MARK: &str = "#hint";
/// The same for the version of a table that is read; it stands behind the mark of a hint.
const VERSION_MARK: &str = "#as_of";

/// Hints of Flink that change plans Weir does not make yet.
const IDLE_HINTS: &[&str] = &["STATE_TTL", "BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN", "EMIT"];

/// Parses everything that is left as one query.
pub(crate) fn parse_query(cursor: &mut Cursor<'_>) -> Parsed<QueryText> {
    let (start, end, at) = (cursor.index(), cursor.end(), cursor.position());
    let mut rewritten = rewrite(cursor.source(), start, end)?;
    let mut parser = Parser::new(&WeirDialect).with_tokens_with_locations(std::mem::take(&mut rewritten.tokens));
    let mut query = parser.parse_query().map_err(|error| parser_error(&error, cursor.source(), end))?;
    expect_end(&parser)?;
    let mut names = HintedNames::default();
    // The visitor never breaks off.
    if query.visit(&mut names).is_break() || names.seen != rewritten.hints.len() {
        return Err(syntax("The OPTIONS hint must stand right after the name of a table.", rewritten.first_hint.unwrap_or(at)).into());
    }
    cursor.seek(end);
    let text = cursor.source().slice_with_hints(start, end).to_owned();
    Ok(QueryText {
        text,
        query,
        hints: rewritten.hints,
        versions: names.versions,
        types: rewritten.types,
        lookup_hints: rewritten.lookups,
        idle_hints: rewritten.idle,
        position: at,
    })
}

/// An expression with the types of its casts.
#[derive(Debug, Clone)]
pub(crate) struct ExpressionText {
    pub(crate) expression: Expr,
    pub(crate) types: Vec<SqlType>,
}

/// Parses an expression.
pub(crate) fn parse_expression(text: &str) -> Parsed<ExpressionText> {
    let source = Source::try_new(text)?;
    let end = source.tokens.len();
    expression_of(&source, 0, end)
}

/// Checks that a range of tokens is an expression.
pub(crate) fn check_expression(source: &Source, start: usize, end: usize) -> Parsed<()> {
    expression_of(source, start, end).map(|_| ())
}

fn expression_of(source: &Source, start: usize, end: usize) -> Parsed<ExpressionText> {
    let rewritten = rewrite(source, start, end)?;
    let mut parser = Parser::new(&WeirDialect).with_tokens_with_locations(rewritten.tokens);
    let mut expression = parser.parse_expr().map_err(|error| parser_error(&error, source, end))?;
    expect_end(&parser)?;
    let mut names = HintedNames::default();
    // The visitor never breaks off, and an expression has no table to carry a hint or a version.
    if expression.visit(&mut names).is_break() || !rewritten.hints.is_empty() || !names.versions.is_empty() {
        return Err(syntax(
            "An expression takes no hint and no version of a table.",
            rewritten.first_hint.unwrap_or(Position { line: 1, column: 1 }),
        )
        .into());
    }
    Ok(ExpressionText { expression, types: rewritten.types })
}

/// The options of an OPTIONS hint that stands right here.
pub(crate) fn hint_options(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<WrittenOption>>> {
    let mut found = None;
    for hint in cursor.hints_here() {
        for one in parse_hint(hint)? {
            match one {
                Hint::Options(options) => found = Some(options),
                Hint::Lookup(LookupHint { position: at, .. }) => {
                    return Err(syntax("The hint LOOKUP cannot stand after the target of an INSERT.", at).into());
                }
                Hint::Idle(name, at) => return Err(syntax(format!("The hint {name} cannot stand after the target of an INSERT."), at).into()),
            }
        }
    }
    Ok(found)
}

/// A table's name without its marks, and the numbers of its hint and of its version.
pub(crate) fn split_marks(name: &str) -> (&str, Option<usize>, Option<usize>) {
    let (name, version) = split_mark(name, VERSION_MARK);
    let (name, hint) = split_mark(name, HINT_MARK);
    (name, hint, version)
}

fn split_mark<'a>(name: &'a str, mark: &str) -> (&'a str, Option<usize>) {
    match name.rsplit_once(mark) {
        Some((before, number)) => number.parse().map_or((name, None), |number| (before, Some(number))),
        None => (name, None),
    }
}

#[derive(Default)]
struct Rewritten {
    tokens: Vec<TokenWithSpan>,
    hints: Vec<Vec<WrittenOption>>,
    first_hint: Option<Position>,
    lookups: Vec<LookupHint>,
    idle: Vec<(String, Position)>,
    types: Vec<SqlType>,
}

fn rewrite(source: &Source, start: usize, end: usize) -> Parsed<Rewritten> {
    let mut out = Rewritten { tokens: Vec::with_capacity(end.saturating_sub(start)), ..Rewritten::default() };
    let mut depth = 0_usize;
    // Depth of the parentheses of each CAST that is open.
    let mut casts: Vec<usize> = Vec::new();
    let mut cursor = Cursor::new(source, start, end);
    while let Some(token) = cursor.bump() {
        let index = cursor.index() - 1;
        let Some(original) = source.tokens.get(index) else { break };
        out.tokens.push(original.clone());
        match token {
            Token::LParen => {
                depth += 1;
                let previous = index.checked_sub(1).filter(|previous| *previous >= start).and_then(|previous| source.tokens.get(previous));
                if let Some(Token::Word(word)) = previous.map(|token| &token.token)
                    && word.quote_style.is_none()
                    && (word.value.eq_ignore_ascii_case("CAST") || word.value.eq_ignore_ascii_case("TRY_CAST"))
                {
                    casts.push(depth);
                }
            }
            Token::RParen => {
                if casts.last() == Some(&depth) {
                    casts.pop();
                }
                depth = depth.saturating_sub(1);
            }
            Token::Word(word) if casts.last() == Some(&depth) && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("AS") => {
                let ty = parse_type(&mut cursor)?;
                let placeholder = Token::make_word(&format!("{TYPE_PLACEHOLDER}{}", out.types.len()), None);
                out.tokens.push(TokenWithSpan::new(placeholder, original.span));
                out.types.push(ty);
            }
            _ => {}
        }
        for hint in cursor.hints_here().filter(|hint| hint.before > start) {
            take_hint(hint, &mut out)?;
        }
    }
    Ok(out)
}

fn take_hint(hint: &HintComment, out: &mut Rewritten) -> Parsed<()> {
    for one in parse_hint(hint)? {
        match one {
            Hint::Idle(name, at) => out.idle.push((name, at)),
            Hint::Lookup(hint) => out.lookups.push(hint),
            Hint::Options(options) => {
                let Some(Token::Word(word)) = out.tokens.last_mut().map(|token| &mut token.token) else {
                    return Err(syntax("The OPTIONS hint must stand right after the name of a table.", hint.position).into());
                };
                word.value = format!("{}{HINT_MARK}{}", word.value, out.hints.len());
                word.quote_style = Some('`');
                out.first_hint = out.first_hint.or(Some(hint.position));
                out.hints.push(options);
            }
        }
    }
    Ok(())
}

enum Hint {
    Options(Vec<WrittenOption>),
    Lookup(LookupHint),
    Idle(String, Position),
}

fn parse_hint(hint: &HintComment) -> Parsed<Vec<Hint>> {
    let shift = |at: Position| Position {
        line: at.line + hint.position.line - 1,
        column: if at.line == 1 { at.column + hint.position.column - 1 } else { at.column },
    };
    let source = Source::try_new(&hint.text).map_err(|problems| moved(&problems, shift))?;
    let mut cursor = Cursor::new(&source, 0, source.tokens.len());
    let mut found = Vec::new();
    let mut parse = || -> Parsed<()> {
        while !cursor.is_done() {
            let at = cursor.position();
            let name = cursor.identifier("the name of a hint")?;
            if name.eq_ignore_ascii_case("OPTIONS") || name.eq_ignore_ascii_case("LOOKUP") {
                let options: Vec<_> =
                    cursor.options()?.into_iter().map(|option| WrittenOption { position: shift(option.position), ..option }).collect();
                let is_lookup = name.eq_ignore_ascii_case("LOOKUP");
                found.push(if is_lookup { Hint::Lookup(LookupHint { options, position: shift(at) }) } else { Hint::Options(options) });
            } else if IDLE_HINTS.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                skip_arguments(&mut cursor);
                found.push(Hint::Idle(name.to_ascii_uppercase(), shift(at)));
            } else {
                let near =
                    closest(&name, IDLE_HINTS.iter().copied().chain(["OPTIONS", "LOOKUP"])).first().map(|near| format!("Did you mean '{near}'?"));
                return Err(syntax(format!("Unknown hint '{name}'."), at).suggest(near).into());
            }
            cursor.eat_token(&Token::Comma);
        }
        Ok(())
    };
    parse().map_err(|problems| moved(&problems, shift))?;
    Ok(found)
}

fn moved(problems: &Problems, shift: impl Fn(Position) -> Position) -> Problems {
    Problems::new(problems.as_slice().iter().cloned().map(|problem| Problem { position: problem.position.map(&shift), ..problem }).collect())
}

fn skip_arguments(cursor: &mut Cursor<'_>) {
    let mut depth = 0_usize;
    if cursor.peek() != Some(&Token::LParen) {
        return;
    }
    while let Some(token) = cursor.bump() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn expect_end(parser: &Parser<'_>) -> Parsed<()> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    Err(behind_the_end(&next).into())
}

/// sqlparser's message with its place as a position.
fn parser_error(error: &ParserError, source: &Source, end: usize) -> Problems {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "The statement is nested too deeply",
    };
    let last = end.checked_sub(1).and_then(|last| source.tokens.get(last)).map(|token| position(token.span.end));
    let (what, at) = match text.split_once(" at Line: ") {
        Some((what, place)) => (what, parse_place(place)),
        None => (text, None),
    };
    let what = what.replace(": EOF", ": the end of the statement").replace(": found", ", found").replace("Expected: ", "Expected ");
    Problem::new(super::source::SYNTAX, "Syntax error", format!("{}.", what.trim_end_matches('.'))).at(at.or(last)).into()
}

fn parse_place(place: &str) -> Option<Position> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// Gives a table with a marked name its own name as alias, so that `t.c` still finds it; marks those of which a version is read; writes
/// `t.a[1].b` as `t.a[1]['b']`.
#[derive(Default)]
struct HintedNames {
    seen: usize,
    versions: Vec<Version>,
}

impl VisitorMut for HintedNames {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundFieldAccess { root, access_chain } = expression {
            // What follows a name at once is a part of it: `t.a[1]`.
            let is_part = |access: &AccessExpr| matches!((root.as_ref(), access), (Expr::Identifier(_), AccessExpr::Dot(Expr::Identifier(_))));
            let parts = access_chain.iter().take_while(|access| is_part(access)).count();
            for access in access_chain.iter_mut().skip(parts) {
                if let AccessExpr::Dot(Expr::Identifier(field)) = access {
                    let index = Expr::value(Value::SingleQuotedString(field.value.clone()));
                    *access = AccessExpr::Subscript(Subscript::Index { index });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, version, .. } = factor
            && let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut()
        {
            let (original, hint, _) = split_marks(&last.value);
            let original = original.to_owned();
            self.seen += usize::from(hint.is_some());
            let is_marked = hint.is_some() || version.is_some();
            if let Some(version) = version.take() {
                last.value = format!("{}{VERSION_MARK}{}", last.value, self.versions.len());
                last.quote_style = Some('`');
                let as_of = match version {
                    TableVersion::ForSystemTimeAsOf(time) | TableVersion::TimestampAsOf(time) => AsOf::Time(time),
                    TableVersion::VersionAsOf(snapshot) => AsOf::Snapshot(snapshot),
                    TableVersion::Function(_) | TableVersion::Changes { .. } => AsOf::Other,
                };
                let known_as = alias.as_ref().map_or_else(|| original.clone(), |alias| alias.name.value.clone());
                self.versions.push(Version { as_of, known_as });
            }
            if is_marked && alias.is_none() {
                *alias = Some(TableAlias { explicit: true, name: Ident::with_quote('`', original), columns: Vec::new(), at: None });
            }
        }
        ControlFlow::Continue(())
    }
}
