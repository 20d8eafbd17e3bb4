//! Options of the filesystem connector.

use std::sync::Arc;
use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};
use weir_fs::FileSystems;
use weir_fs::transfer::Place;

use super::files::Rules;
use super::rows::{Kind, Reading};
use crate::format::{factories, warn_of_writing};
use crate::lookup::LOOKUP_OPTIONS;
use crate::registry::CONNECTOR;
use crate::table::{ColumnKind, TableDef};

const PATH: OptionDecl =
    OptionDecl::new("path", ValueType::String, "Folder of the files, or one file, on any file system; an alias may be its scheme.").required();
const FORMAT: OptionDecl =
    OptionDecl::new("format", ValueType::Enum(&["csv", "json", "parquet"]), "What the files are; of CSV and JSON each line is a row.").required();
const PARTITIONS: OptionDecl = OptionDecl::new(
    "scan.partitions",
    ValueType::Enum(&["all", "max_pt()"]),
    "Which folders `key=value` are read: all, or only the one of the greatest values, numbers by their size.",
)
.default("all");
const DEFAULT_NAME: OptionDecl =
    OptionDecl::new("partition.default-name", ValueType::String, "The value in the name of a folder that stands for NULL.")
        .default("__DEFAULT_PARTITION__");
const MONITOR_INTERVAL: OptionDecl =
    OptionDecl::new("source.monitor-interval", ValueType::Duration, "How often a new version is looked for.").default("1 min");
const COMMIT_POLICY: OptionDecl = OptionDecl::new(
    "sink.partition-commit.policy.kind",
    ValueType::Enum(&["success-file"]),
    "How those who write the files say that a folder is complete: with `success-file` a folder without the marker is never read. Without the option \
     that holds as soon as one folder has a marker.",
);
const MARKER: OptionDecl =
    OptionDecl::new("sink.partition-commit.success-file.name", ValueType::String, "Name of the marker of a complete folder.").default("_SUCCESS");

/// Every option, without those of formats.
pub(super) const ALL: &[OptionDecl] = &{
    let own = [CONNECTOR, PATH, FORMAT, PARTITIONS, DEFAULT_NAME, MONITOR_INTERVAL, COMMIT_POLICY, MARKER];
    let mut all = [CONNECTOR; 8 + LOOKUP_OPTIONS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < own.len() { own[index] } else { LOOKUP_OPTIONS[index - own.len()] };
        index += 1;
    }
    all
};

/// A declaration that was checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) rules: Rules,
    pub(super) reading: Reading,
}

/// How often a new version is looked for; `None` if a problem was noted.
pub(super) fn watch(bag: &mut OptionBag) -> Option<Duration> {
    let watch = bag.duration(&MONITOR_INTERVAL)?;
    if watch.is_zero() {
        bag.error("OPT-007", MONITOR_INTERVAL.key, format!("'{}' must be > 0, but is 0.", MONITOR_INTERVAL.key));
    }
    Some(watch)
}

/// Pulls everything else that is not about lookups; `None` if a problem was noted.
pub(super) fn pull(table: &TableDef, bag: &mut OptionBag, file_systems: &FileSystems) -> Option<Settings> {
    bag.string(&CONNECTOR);
    let place = place(bag, file_systems);
    let kind = kind(table, bag);
    let newest_partition = bag.choice(&PARTITIONS).map(|which| which != "all");
    let default_name = bag.string(&DEFAULT_NAME);
    let needs_marker = bag.choice(&COMMIT_POLICY).is_some();
    let marker = bag.string(&MARKER);
    if let Some(column) = table.columns.iter().find(|column| column.kind != ColumnKind::Physical) {
        let what = format!("column '{}' is not in the files: a table that is looked up has columns of its values alone.", column.name);
        bag.report(Problem::new("SQL-005", bag.object().to_owned(), what).at(table.options.position(CONNECTOR.key)));
    }
    let rules = Rules { newest_partition: newest_partition?, needs_marker, marker: marker?, default_name: default_name? };
    let schema = table.source_schema();
    let reading = Reading { table: table.path.to_string(), place: place?, wanted: Arc::clone(&schema), schema, kind: kind? };
    Some(Settings { rules, reading })
}

fn place(bag: &mut OptionBag, file_systems: &FileSystems) -> Option<Place> {
    let path = bag.string(&PATH)?;
    let place = file_systems.place(&path);
    place.map_err(|error| bag.error("OPT-003", PATH.key, format!("Invalid value for option '{}': {error}.", PATH.key))).ok()
}

fn kind(table: &TableDef, bag: &mut OptionBag) -> Option<Kind> {
    let format = bag.choice(&FORMAT)?;
    if format == "parquet" {
        return Some(Kind::Parquet);
    }
    let factory = factories().into_iter().find(|factory| factory.name() == format)?;
    let prefix = format!("{format}.");
    factory.open(&prefix, bag, &table.source_schema())?;
    warn_of_writing(&prefix, bag);
    Some(Kind::Lines { factory: Arc::clone(&factory), prefix, options: Box::new(table.options.fresh()) })
}
