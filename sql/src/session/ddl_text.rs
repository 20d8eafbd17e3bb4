//! SHOW CREATE: the statement that makes an object again.

use std::fmt::Write as _;

use iceberg::spec::Transform;
use weir_base::options::OptionBag;
use weir_base::secret::shown;
use weir_connectors::table::{ColumnKind, TablePath};

use super::objects::{Declared, View};
use crate::parse::types::quote_identifier;

/// CREATE TABLE.
pub(super) fn table(table: &Declared) -> String {
    let mut lines = Vec::new();
    for column in &table.def.columns {
        let mut line = format!("  {}", quote_identifier(&column.name));
        match &column.kind {
            ColumnKind::Computed(expression) => put(&mut line, format_args!(" AS {expression}")),
            ColumnKind::Physical => {
                put(&mut line, format_args!(" {}{}", column.sql_type, if column.nullable { "" } else { " NOT NULL" }));
            }
            ColumnKind::Metadata { key, virtual_column } => {
                put(&mut line, format_args!(" {}{}", column.sql_type, if column.nullable { "" } else { " NOT NULL" }));
                put(&mut line, format_args!(" METADATA FROM {}{}", literal(key), if *virtual_column { " VIRTUAL" } else { "" }));
            }
        }
        if let Some(comment) = &column.comment {
            put(&mut line, format_args!(" COMMENT {}", literal(comment)));
        }
        lines.push(line);
    }
    if let Some(watermark) = &table.watermark {
        lines.push(format!("  WATERMARK FOR {} AS {}", dotted(&watermark.column), watermark.expression));
    }
    if !table.def.primary_key.is_empty() {
        let columns: Vec<String> = table.def.primary_key.iter().map(|column| quote_identifier(column)).collect();
        lines.push(format!("  PRIMARY KEY ({}) NOT ENFORCED", columns.join(", ")));
    }
    let temporary = if table.temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}TABLE {} (\n{}\n)", full_name(&table.def.path), lines.join(",\n"));
    if let Some(comment) = &table.comment {
        put(&mut text, format_args!("\nCOMMENT {}", literal(comment)));
    }
    if !table.partitioned_by.is_empty() {
        let parts: Vec<String> = table.partitioned_by.iter().map(|part| partition(&part.column, part.transform)).collect();
        put(&mut text, format_args!("\nPARTITIONED BY ({})", parts.join(", ")));
    }
    text + &with(&table.def.options)
}

/// CREATE VIEW, or CREATE LOGICAL TABLE.
pub(super) fn view(view: &View) -> String {
    let temporary = if view.temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}{} {}", view.object().kind().to_uppercase(), full_name(&view.path));
    if !view.columns.is_empty() {
        let columns: Vec<String> = view.columns.iter().map(|column| quote_identifier(column)).collect();
        put(&mut text, format_args!(" ({})", columns.join(", ")));
    }
    if let Some(comment) = &view.comment {
        put(&mut text, format_args!("\nCOMMENT {}", literal(comment)));
    }
    match &view.logical {
        None => put(&mut text, format_args!("\nAS {}", view.query.text)),
        Some(logical) => {
            put(&mut text, format_args!("\nWITH STREAM ({})\nBATCH ({})", view.query.text, logical.batch.text));
            if let Some((time, _)) = &logical.time {
                put(&mut text, format_args!("\nTIME {}", quote_identifier(time)));
            }
        }
    }
    text
}

/// CREATE CATALOG.
pub(super) fn catalog(name: &str, options: &OptionBag) -> String {
    format!("CREATE CATALOG {}{}", quote_identifier(name), with(options))
}

/// One element of PARTITIONED BY.
pub(super) fn partition(column: &str, transform: Transform) -> String {
    let column = dotted(column);
    match transform {
        Transform::Year => format!("years({column})"),
        Transform::Month => format!("months({column})"),
        Transform::Day => format!("days({column})"),
        Transform::Hour => format!("hours({column})"),
        Transform::Bucket(buckets) => format!("bucket({buckets}, {column})"),
        Transform::Truncate(width) => format!("truncate({width}, {column})"),
        Transform::Identity | Transform::Void | Transform::Unknown => column,
    }
}

fn with(options: &OptionBag) -> String {
    let lines: Vec<String> = options.iter().map(|(key, value)| format!("  {} = {}", literal(key), literal(&shown(key, value)))).collect();
    if lines.is_empty() { String::new() } else { format!("\nWITH (\n{}\n)", lines.join(",\n")) }
}

fn full_name(path: &TablePath) -> String {
    format!("{}.{}.{}", quote_identifier(&path.catalog), quote_identifier(&path.database), quote_identifier(&path.table))
}

fn dotted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(quote_identifier).collect();
    parts.join(".")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Writing to a `String` cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}
