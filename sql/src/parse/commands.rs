//! USE, SET, RESET, SHOW, DESCRIBE, EXPLAIN and INSERT, and which statement begins with which word.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{Describe, Insert, Object, PartitionValue, Pattern, Show, Statement, StatementKind};
use super::call::call;
use super::changes::{delete, truncate, update};
use super::cursor::{Cursor, Parsed, WrittenOption};
use super::ddl::{expression, parse_create, parse_drop};
use super::query::{hint_options, parse_query};
use super::source::syntax;

const FIRST_WORDS: &[&str] = &[
    "CREATE", "DROP", "USE", "SET", "RESET", "INSERT", "EXECUTE", "BEGIN", "SELECT", "WITH", "VALUES", "EXPLAIN", "SHOW", "DESCRIBE", "DESC",
    "ALTER", "DELETE", "UPDATE", "TRUNCATE", "CALL",
];

/// Parses one statement; a statement set has been put together before.
pub(crate) fn parse_statement(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let position = cursor.position();
    let kind = statement_kind(cursor)?;
    cursor.finish()?;
    Ok(Statement { position, kind })
}

fn statement_kind(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    if cursor.peek() == Some(&Token::LParen) || ["SELECT", "WITH", "VALUES"].iter().any(|word| cursor.is_word(0, word)) {
        return Ok(StatementKind::Query(Box::new(parse_query(cursor)?)));
    }
    if cursor.eat(&["CREATE"]) {
        return parse_create(cursor);
    }
    if cursor.eat(&["DROP"]) {
        return parse_drop(cursor);
    }
    if cursor.eat(&["INSERT"]) {
        return Ok(StatementKind::Insert(Box::new(insert(cursor)?)));
    }
    if cursor.is_words(&["EXECUTE", "INSERT"]) {
        cursor.eat(&["EXECUTE", "INSERT"]);
        return Ok(StatementKind::Insert(Box::new(insert(cursor)?)));
    }
    if cursor.eat(&["USE", "CATALOG"]) {
        return Ok(StatementKind::UseCatalog(cursor.name("a catalog name", 1)?));
    }
    if cursor.eat(&["USE"]) {
        return Ok(StatementKind::UseDatabase(cursor.name("a database name", 2)?));
    }
    if cursor.eat(&["SET"]) {
        return set(cursor);
    }
    if cursor.eat(&["RESET"]) {
        let at = cursor.position();
        let key = if cursor.is_done() { None } else { Some((setting_key(cursor)?, at)) };
        return Ok(StatementKind::Reset(key));
    }
    if cursor.eat(&["SHOW"]) {
        return Ok(StatementKind::Show(show(cursor)?));
    }
    if cursor.eat(&["DESCRIBE"]) || cursor.eat(&["DESC"]) {
        return Ok(StatementKind::Describe(describe(cursor)?));
    }
    if cursor.eat(&["EXPLAIN"]) {
        return explain(cursor);
    }
    if cursor.eat(&["DELETE"]) {
        return delete(cursor);
    }
    if cursor.eat(&["UPDATE"]) {
        return update(cursor);
    }
    if cursor.eat(&["TRUNCATE", "TABLE"]) {
        return truncate(cursor);
    }
    if cursor.eat(&["CALL"]) {
        return call(cursor);
    }
    if cursor.is_word(0, "MERGE") {
        let what = "MERGE is not supported yet: UPDATE and DELETE change rows, INSERT INTO adds them, and INSERT OVERWRITE t SELECT … \
                    writes the wanted rows of a table or of its partitions anew.";
        return Err(cursor.unsupported(what));
    }
    for word in ["ALTER", "ANALYZE", "LOAD", "STOP", "COMPILE", "ADD", "REMOVE"] {
        if cursor.is_word(0, word) {
            return Err(cursor.unsupported(format!("{word} is not supported yet.")));
        }
    }
    Err(cursor.unexpected_word(FIRST_WORDS, "a statement"))
}

/// What follows INSERT.
fn insert(cursor: &mut Cursor<'_>) -> Parsed<Insert> {
    let overwrite = cursor.eat(&["OVERWRITE"]);
    if !overwrite || cursor.is_word(0, "INTO") {
        cursor.expect(&["INTO"])?;
    }
    cursor.eat(&["TABLE"]);
    let target = cursor.name("a table name", 3)?;
    let hint = hint_options(cursor)?.unwrap_or_default();
    let partition = if cursor.eat(&["PARTITION"]) { partition(cursor)? } else { Vec::new() };
    let mut columns = Vec::new();
    let starts_query = ["SELECT", "WITH", "VALUES"].iter().any(|word| cursor.is_word(1, word)) || cursor.nth(1) == Some(&Token::LParen);
    if cursor.peek() == Some(&Token::LParen) && !starts_query {
        cursor.bump();
        loop {
            let at = cursor.position();
            columns.push((cursor.identifier("a column name")?, at));
            if !cursor.eat_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    }
    let query = parse_query(cursor)?;
    Ok(Insert { target, overwrite, hint, partition, columns, query })
}

/// `(column [= constant], …)`.
fn partition(cursor: &mut Cursor<'_>) -> Parsed<Vec<PartitionValue>> {
    cursor.expect_token(&Token::LParen)?;
    let mut values: Vec<PartitionValue> = Vec::new();
    loop {
        let position = cursor.position();
        let column = cursor.identifier("a column name")?;
        let value = if cursor.eat_token(&Token::Eq) { Some(expression(cursor)?) } else { None };
        if values.iter().any(|other| other.column == column) {
            return Err(syntax(format!("The column '{column}' is named twice."), position).into());
        }
        values.push(PartitionValue { column, value, position });
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(values)
}

fn set(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    if cursor.is_done() {
        return Ok(StatementKind::ShowSettings);
    }
    let position = cursor.position();
    let key = setting_key(cursor)?;
    cursor.expect_token(&Token::Eq)?;
    let value = match cursor.peek() {
        Some(Token::SingleQuotedString(_) | Token::UnicodeStringLiteral(_)) => cursor.string("a value in quotes")?,
        None => return Err(cursor.unexpected("a value in quotes")),
        // The SQL client of Flink once took values without quotes; scripts still hold them.
        Some(_) => {
            let start = cursor.index();
            while cursor.bump().is_some() {}
            cursor.source().slice(start, cursor.index()).to_owned()
        }
    };
    Ok(StatementKind::Set(WrittenOption { key, value, position }))
}

/// A key in quotes, or dotted and dashed words.
fn setting_key(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if let Some(Token::SingleQuotedString(_)) = cursor.peek() {
        return cursor.string("a key in quotes");
    }
    let start = cursor.index();
    cursor.identifier("a key in quotes")?;
    while matches!(cursor.peek(), Some(Token::Period | Token::Minus | Token::Word(_))) {
        cursor.bump();
    }
    Ok(cursor.source().slice(start, cursor.index()).to_owned())
}

fn show(cursor: &mut Cursor<'_>) -> Parsed<Show> {
    if cursor.eat(&["CATALOGS"]) {
        return Ok(Show::Catalogs);
    }
    if cursor.eat(&["CURRENT", "CATALOG"]) {
        return Ok(Show::CurrentCatalog);
    }
    if cursor.eat(&["CURRENT", "DATABASE"]) {
        return Ok(Show::CurrentDatabase);
    }
    if cursor.eat(&["DATABASES"]) {
        return Ok(Show::Databases);
    }
    if cursor.eat(&["TABLES"]) {
        let database = if cursor.eat(&["FROM"]) || cursor.eat(&["IN"]) { Some(cursor.name("a database name", 2)?) } else { None };
        let negated = cursor.is_words(&["NOT", "LIKE"]) && cursor.eat(&["NOT"]);
        let pattern = if cursor.eat(&["LIKE"]) { Some(Pattern { negated, like: cursor.string("a pattern in quotes")? }) } else { None };
        return Ok(Show::Tables { database, pattern });
    }
    if cursor.eat(&["VIEWS"]) {
        return Ok(Show::Views);
    }
    if cursor.eat(&["COLUMNS"]) {
        if !cursor.eat(&["FROM"]) {
            cursor.expect(&["IN"])?;
        }
        return Ok(Show::Columns { table: cursor.name("a table name", 3)? });
    }
    if cursor.eat(&["FUNCTIONS"]) || cursor.eat(&["USER", "FUNCTIONS"]) {
        return Ok(Show::Functions);
    }
    if cursor.eat(&["CONNECTORS"]) {
        return Ok(Show::Connectors);
    }
    if cursor.eat(&["PROCEDURES"]) {
        return Ok(Show::Procedures);
    }
    if cursor.eat(&["CREATE", "TABLE"]) {
        return Ok(Show::Create(Object::Table, cursor.name("a table name", 3)?));
    }
    if cursor.eat(&["CREATE", "VIEW"]) {
        return Ok(Show::Create(Object::View, cursor.name("a view name", 3)?));
    }
    if cursor.eat(&["CREATE", "LOGICAL", "TABLE"]) {
        return Ok(Show::Create(Object::LogicalTable, cursor.name("a name", 3)?));
    }
    if cursor.eat(&["CREATE", "CATALOG"]) {
        return Ok(Show::Create(Object::Catalog, cursor.name("a catalog name", 1)?));
    }
    for word in ["JOBS", "JARS", "PARTITIONS", "MODULES"] {
        if cursor.is_word(0, word) {
            return Err(cursor.unsupported(format!("SHOW {word} is not supported yet.")));
        }
    }
    let words = ["CATALOGS", "CURRENT", "DATABASES", "TABLES", "VIEWS", "COLUMNS", "FUNCTIONS", "CONNECTORS", "PROCEDURES", "CREATE"];
    Err(cursor.unexpected_word(&words, "CATALOGS, DATABASES, TABLES, VIEWS, COLUMNS, FUNCTIONS, CONNECTORS, PROCEDURES, CURRENT or CREATE"))
}

fn describe(cursor: &mut Cursor<'_>) -> Parsed<Describe> {
    if cursor.is_word(0, "CONNECTOR") && cursor.nth(1).is_some() {
        cursor.bump();
        let at = cursor.position();
        let mut name = match cursor.peek() {
            Some(Token::SingleQuotedString(_)) => cursor.string("a connector name")?,
            _ => cursor.identifier("a connector name")?,
        };
        while cursor.eat_token(&Token::Minus) {
            name.push('-');
            name.push_str(&cursor.identifier("a connector name")?);
        }
        return Ok(Describe::Connector(name, at));
    }
    if cursor.is_word(0, "CATALOG") && matches!(cursor.nth(1), Some(Token::Word(_))) {
        cursor.bump();
        cursor.eat(&["EXTENDED"]);
        return Ok(Describe::Catalog(cursor.name("a catalog name", 1)?));
    }
    if cursor.is_word(0, "JOB") && cursor.nth(1).is_some() {
        return Err(cursor.unsupported("DESCRIBE JOB is not supported yet."));
    }
    Ok(Describe::Table(cursor.name("a table name", 3)?))
}

/// What follows EXPLAIN: variants, then a statement.
fn explain(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    if cursor.eat(&["ANALYZE"]) {
        let inner = parse_statement(cursor)?;
        return match inner.kind {
            StatementKind::Query(query) => Ok(StatementKind::Analyze(query)),
            _ => Err(syntax("EXPLAIN ANALYZE takes a query.", inner.position).into()),
        };
    }
    if !cursor.eat(&["PLAN", "FOR"]) {
        let variants = ["ESTIMATED_COST", "CHANGELOG_MODE", "PLAN_ADVICE", "JSON_EXECUTION_PLAN"];
        while variants.iter().any(|variant| cursor.eat(&[variant])) {
            cursor.eat_token(&Token::Comma);
        }
    }
    let inner = parse_statement(cursor)?;
    match inner.kind {
        StatementKind::Insert(_) | StatementKind::Query(_) | StatementKind::StatementSet(_) | StatementKind::Call(_) => {
            Ok(StatementKind::Explain(Box::new(inner)))
        }
        _ => Err(syntax("EXPLAIN takes a query, an INSERT, a STATEMENT SET or a CALL.", inner.position).into()),
    }
}
