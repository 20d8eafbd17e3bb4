//! DELETE, UPDATE and TRUNCATE: each becomes the query that gives the rows it is about, and, beside them, their new values.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ast::{RowChange, StatementKind};
use super::cursor::{Cursor, Name, Parsed};
use super::query::parse_query;
use super::source::syntax;

/// What follows DELETE: `FROM table [[AS] alias] [WHERE condition]`.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    cursor.expect(&["FROM"])?;
    let target = Target::parse(cursor)?;
    let condition = condition(cursor)?;
    change(cursor, target, condition, None)
}

/// What follows TRUNCATE TABLE.
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    let start = cursor.index();
    let name = cursor.name("a table name", 3)?;
    let target = Target { name, tokens: start..cursor.index() };
    cursor.finish()?;
    change(cursor, target, start..start, None)
}

/// What follows UPDATE: `table [[AS] alias] SET column = value, … [WHERE condition]`.
pub(super) fn update(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    let target = Target::parse(cursor)?;
    cursor.expect(&["SET"])?;
    let mut columns = Vec::new();
    let mut values = Vec::new();
    loop {
        let at = cursor.position();
        let column = cursor.name("a column name", 8)?;
        let [column] = column.parts.as_slice() else {
            return Err(cursor.unsupported(format!("UPDATE sets whole columns: give all of '{}' a value.", column.parts[0])));
        };
        if columns.iter().any(|(other, _)| other == column) {
            return Err(syntax(format!("The column '{column}' is set twice."), at).into());
        }
        columns.push((column.clone(), at));
        cursor.expect_token(&Token::Eq)?;
        let start = cursor.index();
        skip_value(cursor);
        if cursor.index() == start {
            return Err(cursor.unexpected("a value"));
        }
        values.push(start..cursor.index());
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    let condition = condition(cursor)?;
    change(cursor, target, condition, Some((columns, values)))
}

type Tokens = std::ops::Range<usize>;
type Columns = Vec<(String, weir_base::options::Position)>;

struct Target {
    name: Name,
    tokens: Tokens,
}

impl Target {
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let start = cursor.index();
        let name = cursor.name("a table name", 3)?;
        if cursor.hints_here().next().is_some() {
            return Err(cursor.unsupported("The target of this statement takes no hint."));
        }
        if cursor.eat(&["AS"]) || !(cursor.is_done() || cursor.is_word(0, "WHERE") || cursor.is_word(0, "SET")) {
            cursor.identifier("another name for the table, SET or WHERE")?;
        }
        Ok(Self { name, tokens: start..cursor.index() })
    }
}

/// The tokens from WHERE to the end of the statement.
fn condition(cursor: &mut Cursor<'_>) -> Parsed<Tokens> {
    let start = cursor.index();
    if !cursor.is_done() && !cursor.is_word(0, "WHERE") {
        return Err(cursor.unexpected("WHERE or the end of the statement"));
    }
    cursor.seek(cursor.end());
    Ok(start..cursor.end())
}

/// Goes to the `,` or WHERE that ends a value.
fn skip_value(cursor: &mut Cursor<'_>) {
    let mut depth = 0_usize;
    while let Some(token) = cursor.peek() {
        match token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => break,
            Token::Word(_) if depth == 0 && cursor.is_word(0, "WHERE") => break,
            _ => {}
        }
        cursor.bump();
    }
}

fn change(cursor: &Cursor<'_>, target: Target, condition: Tokens, set: Option<(Columns, Vec<Tokens>)>) -> Parsed<StatementKind> {
    let source = cursor.source();
    let of = |range: Tokens| source.tokens.get(range).unwrap_or_default().iter().cloned();
    let span = source.tokens.get(target.tokens.start).map_or_else(datafusion::sql::sqlparser::tokenizer::Span::empty, |token| token.span);
    let made = |token: Token| TokenWithSpan::new(token, span);
    let (columns, values) = set.unzip();
    let mut tokens = vec![made(Token::make_keyword("SELECT")), made(Token::Mul)];
    for value in values.into_iter().flatten() {
        tokens.push(made(Token::Comma));
        tokens.extend(of(value));
    }
    tokens.push(made(Token::make_keyword("FROM")));
    tokens.extend(of(target.tokens));
    tokens.extend(of(condition));
    let query = source.with_tokens(tokens);
    let query = parse_query(&mut Cursor::new(&query, 0, query.tokens.len()))?;
    Ok(StatementKind::Change(Box::new(RowChange { target: target.name, query, set: columns })))
}
