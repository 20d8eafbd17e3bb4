//! CREATE and DROP.

use datafusion::sql::sqlparser::tokenizer::Token;
use iceberg::spec::Transform;

use super::ast::{Column, ColumnText, CreateTable, CreateView, Like, Logical, Merge, Object, Partition, QueryText, StatementKind, Watermark};
use super::cursor::{Cursor, Parsed, unsupported};
use super::query::{check_expression, parse_query};
use super::source::syntax;
use super::types::parse_type;

/// What follows CREATE.
pub(crate) fn parse_create(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    if cursor.eat(&["OR"]) {
        return Err(cursor.unsupported("CREATE OR REPLACE is not supported yet."));
    }
    let temporary = cursor.eat(&["TEMPORARY"]);
    if cursor.eat(&["TABLE"]) {
        return Ok(StatementKind::CreateTable(Box::new(create_table(cursor, temporary)?)));
    }
    if cursor.eat(&["VIEW"]) {
        return Ok(StatementKind::CreateView(Box::new(create_view(cursor, temporary)?)));
    }
    if cursor.eat(&["LOGICAL", "TABLE"]) {
        return Ok(StatementKind::CreateView(Box::new(create_logical(cursor, temporary)?)));
    }
    if cursor.is_word(0, "FUNCTION") || cursor.is_words(&["SYSTEM", "FUNCTION"]) {
        return Err(cursor.unsupported("CREATE FUNCTION is not supported yet."));
    }
    if cursor.is_words(&["MATERIALIZED"]) {
        return Err(cursor.unsupported("CREATE MATERIALIZED TABLE is not supported yet."));
    }
    if !temporary && cursor.eat(&["CATALOG"]) {
        let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
        let name = cursor.name("a catalog name", 1)?;
        comment(cursor)?;
        let options = with(cursor)?.unwrap_or_default();
        return Ok(StatementKind::CreateCatalog { name, if_not_exists, options });
    }
    if !temporary && (cursor.eat(&["DATABASE"]) || cursor.eat(&["SCHEMA"])) {
        let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
        let name = cursor.name("a database name", 2)?;
        comment(cursor)?;
        let options = with(cursor)?.unwrap_or_default();
        return Ok(StatementKind::CreateDatabase { name, if_not_exists, options });
    }
    let words = ["TABLE", "VIEW", "CATALOG", "DATABASE", "TEMPORARY", "LOGICAL"];
    Err(cursor.unexpected_word(&words, "TABLE, VIEW, CATALOG or DATABASE"))
}

/// What follows DROP.
pub(crate) fn parse_drop(cursor: &mut Cursor<'_>) -> Parsed<StatementKind> {
    let temporary = cursor.eat(&["TEMPORARY"]);
    let object = if cursor.eat(&["TABLE"]) {
        Object::Table
    } else if cursor.eat(&["LOGICAL", "TABLE"]) {
        Object::LogicalTable
    } else if cursor.eat(&["VIEW"]) {
        Object::View
    } else if cursor.eat(&["DATABASE"]) || cursor.eat(&["SCHEMA"]) {
        Object::Database
    } else if cursor.eat(&["CATALOG"]) {
        Object::Catalog
    } else {
        return Err(cursor.unexpected_word(&["TABLE", "VIEW", "CATALOG", "DATABASE"], "TABLE, VIEW, CATALOG or DATABASE"));
    };
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let parts = match object {
        Object::Catalog => 1,
        Object::Database => 2,
        Object::Table | Object::View | Object::LogicalTable => 3,
    };
    let name = cursor.name("a name", parts)?;
    if cursor.eat(&["CASCADE"]) {
        return Err(cursor.unsupported("CASCADE is not supported yet: drop the tables first."));
    }
    cursor.eat(&["RESTRICT"]);
    Ok(StatementKind::Drop { object, name, if_exists, temporary })
}

fn comment(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.eat(&["COMMENT"]) { cursor.string("a comment in quotes").map(Some) } else { Ok(None) }
}

fn with(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<super::cursor::WrittenOption>>> {
    if cursor.eat(&["WITH"]) { cursor.options().map(Some) } else { Ok(None) }
}

fn create_view(cursor: &mut Cursor<'_>, temporary: bool) -> Parsed<CreateView> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a view name", 3)?;
    let columns = column_names(cursor)?;
    let comment = comment(cursor)?;
    cursor.expect(&["AS"])?;
    let query = parse_query(cursor)?;
    Ok(CreateView { name, temporary, if_not_exists, columns, comment, query, logical: None })
}

/// `name [(columns)] [COMMENT '…'] WITH STREAM (query) BATCH (query) [TIME column]`.
fn create_logical(cursor: &mut Cursor<'_>, temporary: bool) -> Parsed<CreateView> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a name for the logical table", 3)?;
    let columns = column_names(cursor)?;
    let comment = comment(cursor)?;
    cursor.expect(&["WITH", "STREAM"])?;
    let query = query_in_parentheses(cursor)?;
    cursor.expect(&["BATCH"])?;
    let batch = query_in_parentheses(cursor)?;
    let time = if cursor.eat(&["TIME"]) {
        let at = cursor.position();
        Some((cursor.identifier("a column name")?, at))
    } else {
        None
    };
    Ok(CreateView { name, temporary, if_not_exists, columns, comment, query, logical: Some(Logical { batch, time }) })
}

fn column_names(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    let mut columns = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        loop {
            columns.push(cursor.identifier("a column name")?);
            comment(cursor)?;
            if !cursor.eat_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(columns)
}

fn query_in_parentheses(cursor: &mut Cursor<'_>) -> Parsed<QueryText> {
    let open = cursor.position();
    cursor.expect_token(&Token::LParen)?;
    let (start, mut depth) = (cursor.index(), 1_usize);
    while depth > 0 {
        match cursor.bump() {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            Some(_) => {}
            None => return Err(syntax("This parenthesis is never closed.", open).into()),
        }
    }
    parse_query(&mut Cursor::new(cursor.source(), start, cursor.index() - 1))
}

fn create_table(cursor: &mut Cursor<'_>, temporary: bool) -> Parsed<CreateTable> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a table name", 3)?;
    let mut table = CreateTable {
        name,
        temporary,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        comment: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
        query: None,
    };
    if cursor.eat_token(&Token::LParen) {
        while !cursor.eat_token(&Token::RParen) {
            table_element(cursor, &mut table)?;
            if !cursor.eat_token(&Token::Comma) && cursor.peek() != Some(&Token::RParen) {
                return Err(cursor.unexpected("',' or ')'"));
            }
        }
    }
    table.comment = comment(cursor)?;
    if cursor.is_word(0, "DISTRIBUTED") {
        return Err(cursor.unsupported("DISTRIBUTED BY is not supported yet."));
    }
    if cursor.eat(&["PARTITIONED", "BY"]) {
        table.partitioned_by = partitioned_by(cursor)?;
    }
    table.options = with(cursor)?.unwrap_or_default();
    if cursor.eat(&["LIKE"]) {
        table.like = Some(like(cursor)?);
    }
    if let (Some(column), true) = (table.columns.first(), cursor.is_word(0, "AS")) {
        let what = "The columns of CREATE TABLE … AS are those of the query: write only PRIMARY KEY in the parentheses, and CAST in the query.";
        return Err(unsupported(what, column.position));
    }
    if table.like.is_none() && cursor.eat(&["AS"]) {
        table.query = Some(parse_query(cursor)?);
        return Ok(table);
    }
    if table.columns.is_empty() && table.like.is_none() {
        return Err(cursor.unexpected("columns, LIKE, or AS and a query"));
    }
    for (index, column) in table.columns.iter().enumerate() {
        if table.columns[..index].iter().any(|other| other.name == column.name) {
            return Err(syntax(format!("The column '{}' is declared twice.", column.name), column.position).into());
        }
    }
    Ok(table)
}

fn table_element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Parsed<()> {
    let at = cursor.position();
    if cursor.is_words(&["WATERMARK", "FOR"]) {
        cursor.eat(&["WATERMARK", "FOR"]);
        let column = cursor.name("a column name", 8)?.parts.join(".");
        cursor.expect(&["AS"])?;
        let expression = expression(cursor)?;
        if table.watermark.is_some() {
            return Err(syntax("A table has at most one WATERMARK.", at).into());
        }
        table.watermark = Some(Watermark { column, expression });
        return Ok(());
    }
    if cursor.eat(&["CONSTRAINT"]) {
        cursor.identifier("a constraint name")?;
        if !cursor.is_words(&["PRIMARY", "KEY"]) {
            return Err(cursor.unexpected("PRIMARY KEY"));
        }
    }
    if cursor.eat(&["PRIMARY", "KEY"]) {
        cursor.expect_token(&Token::LParen)?;
        let mut columns = vec![cursor.identifier("a column name")?];
        while cursor.eat_token(&Token::Comma) {
            columns.push(cursor.identifier("a column name")?);
        }
        cursor.expect_token(&Token::RParen)?;
        not_enforced(cursor)?;
        return primary_key(table, columns, at);
    }
    let name = cursor.identifier("a column name")?;
    if cursor.eat(&["AS"]) {
        let text = expression(cursor)?;
        let comment = comment(cursor)?;
        table.columns.push(Column { name, position: at, comment, kind: ColumnText::Computed(text) });
        return Ok(());
    }
    let mut ty = parse_type(cursor)?;
    if cursor.eat(&["METADATA"]) {
        let key = if cursor.eat(&["FROM"]) { Some(cursor.string("a metadata key in quotes")?) } else { None };
        let virtual_column = cursor.eat(&["VIRTUAL"]);
        let comment = comment(cursor)?;
        table.columns.push(Column { name, position: at, comment, kind: ColumnText::Metadata { ty, key, virtual_column } });
        return Ok(());
    }
    cursor.eat(&["CONSTRAINT"]);
    if cursor.eat(&["PRIMARY", "KEY"]) {
        not_enforced(cursor)?;
        ty.nullable = false;
        primary_key(table, vec![name.clone()], at)?;
    }
    if cursor.eat(&["NOT", "NULL"]) {
        ty.nullable = false;
    }
    let comment = comment(cursor)?;
    table.columns.push(Column { name, position: at, comment, kind: ColumnText::Physical(ty) });
    Ok(())
}

fn primary_key(table: &mut CreateTable, columns: Vec<String>, at: weir_base::options::Position) -> Parsed<()> {
    if !table.primary_key.is_empty() {
        return Err(syntax("A table has at most one PRIMARY KEY.", at).into());
    }
    table.primary_key = columns;
    Ok(())
}

fn not_enforced(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if cursor.eat(&["NOT", "ENFORCED"]) {
        return Ok(());
    }
    let problem = syntax("A PRIMARY KEY is not checked against the data, and must say so.", cursor.position());
    Err(problem.hint("Write PRIMARY KEY (…) NOT ENFORCED.").into())
}

/// An expression up to the next `,`, `)` or COMMENT of the same depth, as text.
pub(super) fn expression(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let start = cursor.index();
    let mut depth = 0_usize;
    while let Some(token) = cursor.peek() {
        match token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::Comma if depth == 0 => break,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Word(_) if depth == 0 && cursor.is_word(0, "COMMENT") && matches!(cursor.nth(1), Some(Token::SingleQuotedString(_))) => break,
            _ => {}
        }
        cursor.bump();
    }
    check_expression(cursor.source(), start, cursor.index())?;
    Ok(cursor.source().slice(start, cursor.index()).to_owned())
}

fn partitioned_by(cursor: &mut Cursor<'_>) -> Parsed<Vec<Partition>> {
    cursor.expect_token(&Token::LParen)?;
    let mut partitions = Vec::new();
    loop {
        partitions.push(partition(cursor)?);
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(partitions)
}

const TRANSFORMS: &[&str] = &["years", "months", "days", "hours", "bucket", "truncate", "identity"];

fn partition(cursor: &mut Cursor<'_>) -> Parsed<Partition> {
    let at = cursor.position();
    let name = cursor.name("a column name or a transform", 8)?;
    if name.parts.len() > 1 || cursor.peek() != Some(&Token::LParen) {
        return Ok(Partition { column: name.parts.join("."), transform: Transform::Identity, position: at });
    }
    let function = name.parts.join(".").to_ascii_lowercase();
    cursor.expect_token(&Token::LParen)?;
    let mut number = None;
    let mut column = None;
    loop {
        if let Some(Token::Number(..)) = cursor.peek() {
            number = Some(cursor.number("a number")?);
        } else {
            column = Some(cursor.name("a column name", 8)?.parts.join("."));
        }
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    let transform = match (function.as_str(), number) {
        ("year" | "years", None) => Transform::Year,
        ("month" | "months", None) => Transform::Month,
        ("day" | "days", None) => Transform::Day,
        ("hour" | "hours", None) => Transform::Hour,
        ("identity", None) => Transform::Identity,
        ("bucket", Some(number)) if number > 0 => Transform::Bucket(number),
        ("truncate", Some(number)) if number > 0 => Transform::Truncate(number),
        ("bucket" | "truncate", _) => return Err(syntax(format!("{function} takes a column and a number: {function}(16, c)."), at).into()),
        (known, Some(_)) if TRANSFORMS.contains(&known) => return Err(syntax(format!("{known} takes a column only: {known}(c)."), at).into()),
        _ => {
            let near = weir_base::options::closest(&function, TRANSFORMS.iter().copied()).first().map(|near| format!("Did you mean '{near}'?"));
            let problem = syntax(format!("Unknown partition transform '{function}'."), at).suggest(near);
            return Err(problem.hint(format!("Transforms are {}.", TRANSFORMS.join(", "))).into());
        }
    };
    let column = column.ok_or_else(|| syntax(format!("{function} needs a column."), at))?;
    Ok(Partition { column, transform, position: at })
}

fn like(cursor: &mut Cursor<'_>) -> Parsed<Like> {
    let table = cursor.name("a table name", 3)?;
    let mut like = Like {
        table,
        constraints: Merge::Including,
        partitions: Merge::Including,
        generated: Merge::Including,
        metadata: Merge::Including,
        options: Merge::Overwriting,
        watermarks: Merge::Including,
    };
    if !cursor.eat_token(&Token::LParen) {
        return Ok(like);
    }
    while !cursor.eat_token(&Token::RParen) {
        let at = cursor.position();
        let merge = if cursor.eat(&["INCLUDING"]) {
            Merge::Including
        } else if cursor.eat(&["EXCLUDING"]) {
            Merge::Excluding
        } else if cursor.eat(&["OVERWRITING"]) {
            Merge::Overwriting
        } else {
            return Err(cursor.unexpected_word(&["INCLUDING", "EXCLUDING", "OVERWRITING"], "INCLUDING, EXCLUDING or OVERWRITING"));
        };
        let part = cursor.identifier("ALL, CONSTRAINTS, PARTITIONS, GENERATED, METADATA, OPTIONS or WATERMARKS")?.to_ascii_uppercase();
        if merge == Merge::Overwriting && ["ALL", "CONSTRAINTS", "PARTITIONS", "DISTRIBUTION"].contains(&part.as_str()) {
            return Err(unsupported(format!("OVERWRITING {part} does not exist: only GENERATED, METADATA, OPTIONS and WATERMARKS can be."), at));
        }
        match part.as_str() {
            "ALL" => {
                like.constraints = merge;
                like.partitions = merge;
                like.generated = merge;
                like.metadata = merge;
                like.options = merge;
                like.watermarks = merge;
            }
            "CONSTRAINTS" => like.constraints = merge,
            "PARTITIONS" => like.partitions = merge,
            "GENERATED" => like.generated = merge,
            "METADATA" => like.metadata = merge,
            "OPTIONS" => like.options = merge,
            "WATERMARKS" => like.watermarks = merge,
            "DISTRIBUTION" => {}
            other => return Err(syntax(format!("Unknown LIKE part '{other}'."), at).into()),
        }
    }
    Ok(like)
}
