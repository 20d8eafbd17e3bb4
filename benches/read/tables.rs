//! The tables: the same rows each time, through Weir's own writer.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::cases::Table;

const NESTED: &str = "id BIGINT, ev ROW<a STRING, b ROW<c INT, d STRING>>, tags ARRAY<ROW<k STRING, v STRING>>, m MAP<STRING, ROW<x INT, y STRING>>";
const NESTED_VALUES: &[(&str, &str)] = &[
    ("ev.null-rate", "0.05"),
    ("ev.a.length", "48"),
    ("ev.b.null-rate", "0.05"),
    ("ev.b.c.min", "0"),
    ("ev.b.c.max", "999999"),
    ("ev.b.c.null-rate", "0.1"),
    ("ev.b.d.length", "16"),
    ("tags.length", "2"),
    ("tags.element.k.length", "1"),
    ("tags.element.v.length", "16"),
    ("m.length", "1"),
    ("m.key.length", "1"),
    ("m.value.x.min", "0"),
    ("m.value.x.max", "999999"),
    ("m.value.y.length", "16"),
];
const FLAT: &str = "id BIGINT, user_id BIGINT, item_id BIGINT, category STRING, event STRING, amount DECIMAL(10, 2), ts TIMESTAMP(6), price DOUBLE, \
                    quantity INT, label STRING";
const FLAT_VALUES: &[(&str, &str)] = &[
    ("user_id.min", "0"),
    ("user_id.max", "4999999"),
    ("item_id.min", "0"),
    ("item_id.max", "199999"),
    ("category.length", "2"),
    ("event.length", "1"),
    ("amount.min", "0"),
    ("amount.max", "9999.99"),
    ("ts.max-past", "30 d"),
    ("price.min", "0"),
    ("price.max", "1000"),
    ("quantity.min", "1"),
    ("quantity.max", "100"),
    ("label.length", "24"),
    ("label.null-rate", "0.1"),
];

/// The data files of a table.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) paths: Vec<PathBuf>,
}

/// Both tables, in a catalog of a folder.
#[derive(Debug)]
pub(crate) struct Tables {
    folder: PathBuf,
    pub(crate) nested: Files,
    pub(crate) flat: Files,
}

impl Tables {
    /// Makes the tables with `weir run`, or finds them in the folder.
    pub(crate) fn make(folder: &Path, weir: &Path, nested: u64, flat: u64) -> Outcome<Self> {
        let folder = std::path::absolute(folder)?;
        if !folder.join("catalog.db").exists() {
            std::fs::create_dir_all(&folder)?;
            let file = folder.join("tables.sql");
            std::fs::write(&file, job(&folder, nested, flat)?)?;
            let made = Command::new(weir).arg("run").arg(&file).stdin(Stdio::null()).output()?;
            if !made.status.success() {
                return Err(format!("the tables cannot be made: {}", String::from_utf8_lossy(&made.stderr)).into());
            }
        }
        let files = |name: &str, rows| files(&folder.join("warehouse/bench").join(name).join("data"), rows);
        Ok(Self { nested: files("nested", nested)?, flat: files("flat", flat)?, folder })
    }

    /// The files of a table.
    pub(crate) fn of(&self, table: Table) -> &Files {
        match table {
            Table::Nested => &self.nested,
            Table::Flat => &self.flat,
        }
    }

    /// The URI of the catalog, as in a job file.
    pub(crate) fn uri(&self) -> String {
        format!("sqlite:{}/catalog.db", self.folder.display())
    }

    pub(crate) fn warehouse(&self) -> String {
        warehouse(&self.folder)
    }

    /// What a session of ours begins with.
    pub(crate) fn init(&self) -> String {
        format!("{} USE CATALOG lake; USE bench;", catalog(&self.folder))
    }
}

fn warehouse(folder: &Path) -> String {
    format!("file://{}/warehouse", folder.display())
}

fn catalog(folder: &Path) -> String {
    let uri = format!("sqlite:{}/catalog.db", folder.display());
    format!("CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{uri}', 'warehouse' = '{}');", warehouse(folder))
}

fn job(folder: &Path, nested: u64, flat: u64) -> Result<String, std::fmt::Error> {
    let mut sql = format!(
        "SET 'pipeline.name' = 'tables';
SET 'parallelism.default' = '1';
SET 'execution.checkpointing.interval' = '1 h';
SET 'execution.checkpointing.dir' = 'file://{}/checkpoints';
{}
CREATE DATABASE lake.bench;
",
        folder.display(),
        catalog(folder)
    );
    for (name, columns, values, rows) in [("nested", NESTED, NESTED_VALUES, nested), ("flat", FLAT, FLAT_VALUES, flat)] {
        write!(sql, "CREATE TABLE {name} ({columns}) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000'")?;
        let last = rows.saturating_sub(1).to_string();
        let sequence = [("id.kind", "sequence"), ("id.start", "0"), ("id.end", last.as_str())];
        for (key, value) in sequence.iter().chain(values) {
            write!(sql, ", 'fields.{key}' = '{value}'")?;
        }
        writeln!(sql, ");\nCREATE TABLE lake.bench.{name} ({columns});\nINSERT INTO lake.bench.{name} SELECT * FROM {name};")?;
    }
    Ok(sql)
}

fn files(folder: &Path, rows: u64) -> Outcome<Files> {
    let mut files = Files { rows, bytes: 0, paths: Vec::new() };
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files.bytes += entry.metadata()?.len();
        files.paths.push(entry.path());
    }
    files.paths.sort();
    Ok(files)
}
