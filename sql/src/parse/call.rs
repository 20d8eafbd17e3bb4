//! `CALL catalog.system.procedure(name => value, …)`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{Argument, Call, CallValue, StatementKind};
use super::cursor::{Cursor, Parsed};

/// What follows CALL.
pub(super) fn call(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    let name = cursor.name("a procedure such as catalog.system.expire_snapshots", 3)?;
    cursor.expect_token(&Token::LParen)?;
    let mut arguments = Vec::new();
    while !cursor.eat_token(&Token::RParen) {
        let position = cursor.position();
        let name = if cursor.nth(1) == Some(&Token::RArrow) {
            let name = cursor.identifier("the name of an argument")?;
            cursor.bump();
            Some(name)
        } else {
            None
        };
        arguments.push(Argument { name, value: value(cursor)?, position });
        if !cursor.eat_token(&Token::Comma) && cursor.peek() != Some(&Token::RParen) {
            return Err(cursor.unexpected("',' or ')'"));
        }
    }
    Ok(StatementKind::Call(Box::new(Call { name, arguments })))
}

/// A constant, or a list or map of constants.
fn value(cursor: &mut Cursor<'_>) -> Parsed<CallValue> {
    const WANTED: &str = "a constant: a text in quotes, a number, TRUE, FALSE, NULL, TIMESTAMP '…', MAP['key', 'value'] or ARRAY[…]";
    if let Some(Token::SingleQuotedString(text)) = cursor.peek() {
        cursor.bump();
        return Ok(CallValue::Text(text.clone()));
    }
    for (word, constant) in [("TRUE", true), ("FALSE", false)] {
        if cursor.eat(&[word]) {
            return Ok(CallValue::Boolean(constant));
        }
    }
    if cursor.eat(&["NULL"]) {
        return Ok(CallValue::Null);
    }
    if cursor.eat(&["TIMESTAMP"]) {
        return Ok(CallValue::Timestamp(cursor.string("a time in quotes")?));
    }
    if cursor.eat(&["MAP"]) {
        return Ok(CallValue::Map(elements(cursor)?));
    }
    if cursor.eat(&["ARRAY"]) {
        return Ok(CallValue::Array(elements(cursor)?));
    }
    let sign = if cursor.eat_token(&Token::Minus) { "-" } else { "" };
    match cursor.peek() {
        Some(Token::Number(digits, _)) => {
            cursor.bump();
            Ok(CallValue::Number(format!("{sign}{digits}")))
        }
        _ => Err(cursor.unexpected(WANTED)),
    }
}

/// `[a, b]` as in Flink, `(a, b)` as in Spark.
fn elements(cursor: &mut Cursor<'_>) -> Parsed<Vec<CallValue>> {
    let end = if cursor.eat_token(&Token::LBracket) {
        Token::RBracket
    } else {
        cursor.expect_token(&Token::LParen)?;
        Token::RParen
    };
    let mut values = Vec::new();
    while !cursor.eat_token(&end) {
        values.push(value(cursor)?);
        if !cursor.eat_token(&Token::Comma) && cursor.peek() != Some(&end) {
            return Err(cursor.unexpected(&format!("',' or '{end}'")));
        }
    }
    Ok(values)
}
