//! Option tables for the book and for DESCRIBE CONNECTOR, made from the declarations.

use std::fmt::Write as _;

use weir_base::options::OptionDecl;
use weir_connectors::format::factories;
use weir_connectors::iceberg::{CONNECTOR_OPTIONS, READ_OPTIONS, STREAM_OPTIONS, TABLE_PROPERTIES, UPKEEP_OPTIONS, WRITE_OPTIONS};
use weir_connectors::lookup::LOOKUP_OPTIONS;
use weir_connectors::registry::Registry;
use weir_fs::aliases::ALIAS_OPTIONS;

use crate::settings::SETTINGS;

/// Every option table as Markdown: one section for SET, one for aliases, one for each connector, those of Iceberg last.
#[must_use]
pub fn option_tables(registry: &Registry) -> String {
    let mut text = section("SET", "Settings of a session.", SETTINGS);
    let of_aliases = "Keys of SET, of the configuration file and of `WITH` of a catalog; `#` is the name of the alias.";
    text.push_str(&section("Scheme aliases", of_aliases, ALIAS_OPTIONS));
    let mut connectors: Vec<_> = registry.iter().collect();
    connectors.sort_by_key(|connector| connector.name());
    for connector in connectors {
        text.push_str(&section(&format!("Connector `{}`", connector.name()), connector.doc(), connector.options()));
        let metadata = connector.metadata();
        if !metadata.is_empty() {
            text.push_str("Metadata columns:\n\n| key | type | writable | meaning |\n|---|---|---|---|\n");
            for key in metadata {
                let sql_type = crate::parse::types::sql_type_of(&key.data_type);
                let line = format!("| `{}` | {} | {} | {} |\n", key.key, cell(&sql_type), if key.writable { "yes" } else { "no" }, cell(key.doc));
                text.push_str(&line);
            }
            text.push('\n');
        }
    }
    let of_formats = "Options of formats, behind the prefix that the format's choice gives: `csv.` with `'format' = 'csv'`, `value.csv.` with \
                      `'value.format'`, `key.csv.` with `'key.format'`.";
    text.push_str(&format!("## Formats\n\n{of_formats}\n\n"));
    for format in factories() {
        text.push_str(&section(&format!("Format `{}`", format.name()), format.doc(), format.options()));
    }
    for (title, doc, options) in ICEBERG {
        text.push_str(&section(title, doc, options));
    }
    text
}

/// What SHOW CONNECTORS says of Iceberg.
pub(crate) const ICEBERG_DOC: &str = "A table of an Iceberg catalog, declared outside of it.";

/// The option tables of Iceberg, which is a catalog first and a connector beside: title, what they are for, options.
pub(crate) const ICEBERG: &[(&str, &str, &[OptionDecl])] = &[
    ("Iceberg: CREATE CATALOG", "Options of `CREATE CATALOG … WITH ('type' = 'iceberg', …)`.", weir_catalog::open::OPTIONS),
    (
        "Iceberg: connector `iceberg`",
        "Options of a table outside of an Iceberg catalog, `WITH ('connector' = 'iceberg', …)`; with them stand the options of CREATE CATALOG, \
         table properties, and the options of writing and reading.",
        CONNECTOR_OPTIONS,
    ),
    ("Iceberg: table properties", "Options of `CREATE TABLE` in an Iceberg catalog or with the connector `iceberg`.", TABLE_PROPERTIES),
    (
        "Iceberg: writing",
        "Options of an OPTIONS hint after the target of an INSERT, or of a table with the connector `iceberg`. CREATE TABLE stores those that have \
         a table property of the same meaning.",
        WRITE_OPTIONS,
    ),
    (
        "Iceberg: upkeep",
        "Options of `CREATE TABLE` in an Iceberg catalog, which a table stores as properties; of an OPTIONS hint after the target of an INSERT, which \
         wins; and of SET, which stands between them.",
        UPKEEP_OPTIONS,
    ),
    ("Iceberg: reading", "Options of an OPTIONS hint after a table in FROM, or of a table with the connector `iceberg`.", READ_OPTIONS),
    (
        "Iceberg: reading as a stream",
        "Options of an OPTIONS hint after a table in FROM, or of a table with the connector `iceberg`. Whether a read is a stream is decided by them \
         alone, not by SET.",
        STREAM_OPTIONS,
    ),
    (
        "Iceberg: looking up",
        "Options of an OPTIONS hint after a table that a lookup join reads, or of a table with the connector `iceberg`. `monitor-interval` says how often \
         it looks for a new snapshot.",
        LOOKUP_OPTIONS,
    ),
];

fn section(title: &str, doc: &str, options: &[OptionDecl]) -> String {
    let mut text = format!("## {title}\n\n{doc}\n\n");
    if options.is_empty() {
        text.push_str("No options.\n\n");
        return text;
    }
    text.push_str("| option | required | default | type | meaning |\n|---|---|---|---|---|\n");
    for row in option_rows(options) {
        let cells: Vec<String> = row.into_iter().enumerate().map(|(index, value)| shown(index, value)).collect();
        // Writing to a `String` cannot fail.
        writeln!(text, "| {} |", cells.join(" | ")).unwrap_or_default();
    }
    text.push('\n');
    text
}

fn shown(index: usize, value: Option<String>) -> String {
    let value = value.unwrap_or_default();
    if index == 0 || (index == 2 && !value.is_empty()) { format!("`{value}`") } else { cell(&value) }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Key, required, default, type and meaning of each option.
pub(crate) fn option_rows(options: &[OptionDecl]) -> Vec<Vec<Option<String>>> {
    options
        .iter()
        .map(|decl| {
            let mut doc = decl.doc.to_owned();
            if !decl.deprecated.is_empty() {
                let old: Vec<String> = decl.deprecated.iter().map(|key| format!("`{key}`")).collect();
                doc = format!("{doc} Older spelling: {}.", old.join(", "));
            }
            let required = if decl.required { "yes" } else { "no" };
            vec![Some(decl.key.to_owned()), Some(required.to_owned()), decl.default.map(str::to_owned), Some(decl.ty.name()), Some(doc)]
        })
        .collect()
}
