//! The WITH clause of an Iceberg table, taken apart: what a new table stores, and what is said of each read and write. For a table with
//! `'connector' = 'iceberg'`, which stands outside of its catalog, also the catalog that it is in.

use std::collections::HashMap;
use std::sync::Arc;

use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType, closest, parse_memory_size};
use weir_catalog::lake::{LakeCatalog, TableId};
use weir_catalog::open::OPTIONS as CATALOG_OPTIONS;
use weir_catalog::properties::declared::EXPIRE_OWN;
use weir_catalog::properties::{TABLE_PROPERTIES, is_allowed};
use weir_fs::FileSystems;

use super::dictionary::{self, is_of_lookup};
use super::properties::check_table_properties;
use super::read::READ_OPTIONS;
use super::stream::STREAM_OPTIONS;
use super::upkeep::{AUTO_COMPACT, EXPIRE_SNAPSHOTS, UPKEEP_OPTIONS, check_upkeep, is_of_upkeep, is_without_effect, not_in_format_3, upkeep_aliases};
use super::write::{WRITE_OPTIONS, check_write_options};
use crate::lookup::LOOKUP_OPTIONS;
use crate::registry::{CONNECTOR, ICEBERG, Opened};
use crate::table::TablePath;

const CATALOG_NAME: OptionDecl = OptionDecl::new(
    "catalog-name",
    ValueType::String,
    "Name of the Iceberg catalog that the table is in. `catalog-type` and the other options of CREATE CATALOG say how to reach it.",
)
.required();
const CATALOG_DATABASE: OptionDecl =
    OptionDecl::new("catalog-database", ValueType::String, "Database of the table in that catalog; by default the one it is declared in.");
const CATALOG_TABLE: OptionDecl =
    OptionDecl::new("catalog-table", ValueType::String, "Name of the table in that catalog; by default the name it is declared with.");
const LOCATION: OptionDecl = OptionDecl::new("location", ValueType::String, "Folder of a new table; the catalog's choice by default.");

/// Options of a table with `'connector' = 'iceberg'`, besides those of its catalog, its properties, and those of reading and writing.
pub const CONNECTOR_OPTIONS: &[OptionDecl] = &[CONNECTOR, CATALOG_NAME, CATALOG_DATABASE, CATALOG_TABLE, LOCATION];

/// Write options that a new table stores, each with the property that it stands for.
const STORED_AS: &[(&str, &str)] = &[
    ("distribution-mode", "write.distribution-mode"),
    ("target-file-size-bytes", "write.target-file-size-bytes"),
    ("write-format", "write.format.default"),
    ("compression-codec", "write.parquet.compression-codec"),
    ("compression-level", "write.parquet.compression-level"),
    ("upsert-enabled", "write.upsert.enabled"),
];

/// What WITH says of a table.
#[derive(Debug, Clone)]
pub struct TableWith {
    /// Properties as written, sizes in bytes.
    pub properties: HashMap<String, String>,
    /// `location`.
    pub location: Option<String>,
    /// Read and write options as written: of each use of the table, like those of a hint.
    pub uses: OptionBag,
}

impl TableWith {
    /// WITH of a table that is created in its catalog.
    ///
    /// # Errors
    /// Every problem of it.
    pub fn in_catalog(options: &OptionBag) -> Result<Opened<Self>, Problems> {
        let mut parts = Parts::of(options, |key| match key {
            "connector" | "location" => Part::Own,
            _ if is_of_upkeep(key) => Part::Property,
            _ if is_of_use(key) => Part::Use,
            _ => Part::Property,
        });
        refuse_connector(&mut parts.own);
        hint_at_typos(&mut parts.properties);
        let mut found = Findings::default();
        for key in parts.uses.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>() {
            found.warnings.extend(unstored(&parts.uses, &parts.properties, &key));
        }
        let with = parts.take(&mut found);
        found.end(with)
    }

    /// The properties of a new table: those that are written, and write options under the property that they stand for.
    #[must_use]
    pub fn stored_properties(&self) -> HashMap<String, String> {
        let mut stored = self.properties.clone();
        for (key, value) in self.default_upkeep() {
            stored.entry((*key).to_owned()).or_insert_with(|| (*value).to_owned());
        }
        for (key, property) in STORED_AS {
            if let Some(value) = self.uses.peek(key) {
                stored.entry((*property).to_owned()).or_insert_with(|| as_stored(property, value));
            }
        }
        stored
    }

    /// What a new table stores of its upkeep if nothing is said of it: the jobs that write keep it healthy, see `docs/adr/0008`. Tables of format 3
    /// cannot be compacted yet.
    fn default_upkeep(&self) -> &'static [(&'static str, &'static str)] {
        let says = |key: &str| self.properties.contains_key(key) || upkeep_aliases(key).any(|other| self.properties.contains_key(other));
        match (says(AUTO_COMPACT) || self.is_newer(), says(EXPIRE_SNAPSHOTS)) {
            (true, _) => &[],
            (false, true) => &[(AUTO_COMPACT, "true")],
            (false, false) => &[(AUTO_COMPACT, "true"), (EXPIRE_OWN.key, "true")],
        }
    }

    /// Whether it asks for a table of format 3.
    fn is_newer(&self) -> bool {
        self.properties.get("format-version").and_then(|version| version.trim().parse::<u8>().ok()).is_some_and(|version| version > 2)
    }

    /// That the files of a new table will not be compacted, unless that is what WITH says.
    #[must_use]
    pub fn not_compacted(&self, object: &str) -> Option<Problem> {
        let mut keys = std::iter::once(AUTO_COMPACT).chain(upkeep_aliases(AUTO_COMPACT));
        let says_so = keys.any(|key| self.properties.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("false")));
        (self.is_newer() && !says_so).then(|| not_in_format_3(object))
    }

    /// What is said of reading, with the options of a hint over it.
    #[must_use]
    pub fn reading(&self, hint: &OptionBag) -> OptionBag {
        self.with_hint(hint, |key| READ_OPTIONS.iter().chain(STREAM_OPTIONS).any(|decl| decl.matches(key)))
    }

    /// What is said of looking the table up, and of reading it for that, with the options of a hint over it.
    #[must_use]
    pub fn looking_up(&self, hint: &OptionBag) -> OptionBag {
        self.with_hint(hint, |key| is_of_lookup(key) || READ_OPTIONS.iter().any(|decl| decl.matches(key)))
    }

    /// What is said of writing and of upkeep, with the options of a hint over it. So a declaration over a table that is there already says what the
    /// jobs that use it do for it.
    #[must_use]
    pub fn writing(&self, hint: &OptionBag) -> OptionBag {
        let mut writing = self.with_hint(hint, |key| WRITE_OPTIONS.iter().any(|decl| decl.matches(key)));
        let says_other = |key: &str| hint.contains(key) || upkeep_aliases(key).any(|other| hint.contains(other));
        for (key, value) in self.properties.iter().filter(|(key, _)| is_of_upkeep(key) && !is_without_effect(key) && !says_other(key)) {
            writing.insert(key, value, None);
        }
        writing
    }

    fn with_hint(&self, hint: &OptionBag, wanted: impl Fn(&str) -> bool) -> OptionBag {
        let mut bag = OptionBag::new(hint.object());
        copy(&self.uses, &mut bag, wanted);
        copy(hint, &mut bag, |_| true);
        bag
    }
}

/// A table with `'connector' = 'iceberg'`: where it is, and what WITH says of it.
#[derive(Debug)]
pub struct TableLink {
    /// The catalog, made from the options. Nothing has been connected yet.
    pub catalog: Arc<dyn LakeCatalog>,
    /// Those options.
    pub catalog_options: OptionBag,
    /// The table in it.
    pub id: TableId,
    /// The rest.
    pub with: TableWith,
}

impl TableLink {
    /// WITH of the table declared as `path`. Does no I/O.
    ///
    /// # Errors
    /// Every problem of it.
    pub fn open(options: &OptionBag, path: &TablePath, file_systems: &FileSystems) -> Result<Opened<Self>, Problems> {
        let mut parts = Parts::of(options, |key| match key {
            _ if CONNECTOR_OPTIONS.iter().any(|decl| decl.key == key) => Part::Own,
            _ if is_of_upkeep(key) => Part::Property,
            _ if is_of_use(key) => Part::Use,
            _ if CATALOG_OPTIONS.iter().any(|decl| decl.matches(key)) => Part::Catalog,
            // Those that are not allowed are told with the properties that they may have been meant for.
            _ if is_declared(key) || !is_allowed(key) || key.starts_with("x.") => Part::Property,
            _ => Part::Own,
        });
        parts.own.string(&CONNECTOR);
        let name = parts.own.string(&CATALOG_NAME);
        let id = TableId {
            database: parts.own.string(&CATALOG_DATABASE).unwrap_or_else(|| path.database.clone()),
            table: parts.own.string(&CATALOG_TABLE).unwrap_or_else(|| path.table.clone()),
        };
        if !parts.catalog.contains("type") {
            parts.catalog.insert("type", ICEBERG, None);
        }
        let mut found = Findings::default();
        let catalog = found.add(weir_catalog::open(name.as_deref().unwrap_or_default(), &mut parts.catalog, file_systems));
        found.warnings.extend(catalog.iter().flat_map(|opened| opened.warnings.clone()));
        let catalog_options = parts.catalog.clone();
        let with = parts.take(&mut found);
        found.end(catalog.zip(with).map(|(opened, with)| Self { catalog: opened.catalog, catalog_options, id, with }))
    }
}

/// Where an option belongs.
enum Part {
    /// To the declaration itself, or nowhere.
    Own,
    Catalog,
    Property,
    Use,
}

/// The options by where they belong.
struct Parts {
    own: OptionBag,
    catalog: OptionBag,
    properties: OptionBag,
    uses: OptionBag,
}

impl Parts {
    fn of(options: &OptionBag, part_of: impl Fn(&str) -> Part) -> Self {
        let bag = || OptionBag::new(options.object());
        let mut parts = Self { own: bag(), catalog: bag(), properties: bag(), uses: bag() };
        for (key, value) in options.iter() {
            let part = match part_of(key) {
                Part::Own => &mut parts.own,
                Part::Catalog => &mut parts.catalog,
                Part::Property => &mut parts.properties,
                Part::Use => &mut parts.uses,
            };
            part.insert(key, value, options.position(key));
        }
        parts
    }

    /// Checks everything but the catalog's options.
    fn take(mut self, found: &mut Findings) -> Option<TableWith> {
        let location = self.own.string(&LOCATION);
        let properties = self.properties.iter().map(|(key, value)| (key.to_owned(), as_stored(key, value))).collect();
        check_upkeep(&mut self.properties);
        check_table_properties(&mut self.properties);
        let all: Vec<&OptionDecl> =
            [CONNECTOR_OPTIONS, CATALOG_OPTIONS, TABLE_PROPERTIES, WRITE_OPTIONS, READ_OPTIONS, STREAM_OPTIONS, LOOKUP_OPTIONS, UPKEEP_OPTIONS]
                .into_iter()
                .flatten()
                .collect();
        let own = found.add_warnings(self.own.finish(ICEBERG, &all, &[]));
        let table = found.add_warnings(self.properties.finish(ICEBERG, &TABLE_PROPERTIES.iter().chain(UPKEEP_OPTIONS).collect::<Vec<_>>(), &[]));
        let uses = found.add_warnings(check_write_options(&only(&self.uses, WRITE_OPTIONS)));
        let lookups = found.add(dictionary::pull(&only(&self.uses, LOOKUP_OPTIONS))).is_some();
        (own && table && uses && lookups).then_some(TableWith { properties, location, uses: self.uses })
    }
}

/// What has been found wrong so far.
#[derive(Default)]
struct Findings {
    warnings: Vec<Problem>,
    errors: Option<Problems>,
}

impl Findings {
    fn add<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.errors = Some(match self.errors.take() {
                    Some(before) => before.merge(problems),
                    None => problems,
                });
                None
            }
        }
    }

    /// Whether there were only warnings.
    fn add_warnings(&mut self, result: Result<Vec<Problem>, Problems>) -> bool {
        let warnings = self.add(result);
        let fine = warnings.is_some();
        self.warnings.extend(warnings.into_iter().flatten());
        fine
    }

    fn end<T>(self, value: Option<T>) -> Result<Opened<T>, Problems> {
        match (value, self.errors) {
            (Some(value), None) => Ok(Opened { value, warnings: self.warnings }),
            (_, errors) => Err(errors.unwrap_or_default()),
        }
    }
}

fn copy(from: &OptionBag, to: &mut OptionBag, wanted: impl Fn(&str) -> bool) {
    for (key, value) in from.iter().filter(|(key, _)| wanted(key)) {
        to.insert(key, value, from.position(key));
    }
}

fn only(bag: &OptionBag, wanted: &[OptionDecl]) -> OptionBag {
    let mut some = OptionBag::new(bag.object());
    copy(bag, &mut some, |key| wanted.iter().any(|decl| decl.matches(key)));
    some
}

fn is_of_use(key: &str) -> bool {
    is_of_lookup(key) || WRITE_OPTIONS.iter().chain(READ_OPTIONS).chain(STREAM_OPTIONS).any(|decl| decl.matches(key))
}

fn is_declared(key: &str) -> bool {
    TABLE_PROPERTIES.iter().any(|decl| decl.matches(key))
}

fn refuse_connector(own: &mut OptionBag) {
    let Some(connector) = own.peek(CONNECTOR.key) else { return };
    let (what, hint) = if connector == ICEBERG {
        (
            "Cannot create the table with 'connector'='iceberg' table property in an iceberg catalog.",
            "Leave 'connector' and the options of the catalog out, or declare the table in default_catalog.",
        )
    } else {
        ("'connector' does not belong into an Iceberg catalog: its tables are Iceberg tables.", "Declare the table in default_catalog.")
    };
    let problem = Problem::new("OPT-006", own.object().to_owned(), what).hint(hint).at(own.position(CONNECTOR.key));
    own.string(&CONNECTOR);
    own.report(problem);
}

/// A key outside of Iceberg's name spaces may be anybody's property; one that is nearly an option of ours is probably that option.
fn hint_at_typos(properties: &mut OptionBag) {
    let known = || WRITE_OPTIONS.iter().chain(TABLE_PROPERTIES).chain(UPKEEP_OPTIONS).chain(CONNECTOR_OPTIONS).map(|decl| decl.key);
    let unknown = |key: &str| is_allowed(key) && !is_declared(key) && !is_of_upkeep(key);
    let keys: Vec<String> = properties.iter().map(|(key, _)| key.to_owned()).filter(|key| unknown(key)).collect();
    for key in keys {
        if let Some(near) = closest(&key, known()).first() {
            let what = format!("'{key}' is no option of Weir's: it is only stored as a property of the table.");
            let position = properties.position(&key);
            let problem = Problem::warning("OPT-008", properties.object().to_owned(), what).suggest(Some(format!("Did you mean '{near}'?")));
            properties.report(problem.at(position));
        }
    }
}

/// Why a write or read option in CREATE TABLE has no effect, if it has none.
fn unstored(uses: &OptionBag, properties: &OptionBag, key: &str) -> Option<Problem> {
    let what = match STORED_AS.iter().find(|(short, _)| *short == key) {
        None => format!("'{key}' has no effect here, because a table does not store it: give it in a hint, /*+ OPTIONS('{key}' = '…') */."),
        Some((_, property)) if properties.contains(property) => format!("'{key}' has no effect because '{property}' is given too."),
        Some(_) => return None,
    };
    Some(Problem::warning("OPT-008", uses.object(), what).at(uses.position(key)))
}

/// The value of a property as every engine reads it: sizes are whole numbers of bytes.
fn as_stored(key: &str, value: &str) -> String {
    let decl = TABLE_PROPERTIES.iter().find(|decl| decl.matches(key) && decl.ty == ValueType::MemorySize);
    let bytes = decl.and_then(|_| parse_memory_size(value));
    bytes.map_or_else(|| value.to_owned(), |bytes| bytes.to_string())
}

#[cfg(test)]
mod tests {
    use weir_base::options::Position;

    use super::*;

    const SQL_CATALOG: [(&str, &str); 5] =
        [("connector", "iceberg"), ("catalog-name", "lake"), ("catalog-type", "sql"), ("uri", "sqlite:/c.db"), ("warehouse", "file:///w")];

    fn bag(options: &[(&str, &str)]) -> OptionBag {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (index, (key, value)) in options.iter().enumerate() {
            bag.insert(*key, *value, Some(Position { line: index as u64 + 1, column: 1 }));
        }
        bag
    }

    fn open(options: &[(&str, &str)]) -> Result<Opened<TableLink>, Problems> {
        let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
        TableLink::open(&bag(options), &path, &FileSystems::default())
    }

    #[test]
    fn a_linked_table_is_where_it_says_or_has_the_name_it_is_declared_with() {
        let here = open(&SQL_CATALOG).expect("fine").value;
        assert_eq!((here.catalog.name(), here.id.to_string().as_str()), ("lake", "d.t"));
        let there = open(&[&SQL_CATALOG[..], &[("catalog-database", "shop"), ("catalog-table", "orders")]].concat()).expect("fine").value;
        assert_eq!(there.id.to_string(), "shop.orders");
    }

    #[test]
    fn every_option_of_a_linked_table_goes_where_it_belongs() {
        let more = [
            ("distribution-mode", "hash"),
            ("branch", "audit"),
            ("uid-suffix", "a"),
            ("write.target-file-size-bytes", "64 mb"),
            ("location", "file:///w/here"),
            ("x.owner", "me"),
            ("compact.delta.commits", "3"),
        ];
        let Opened { value: link, warnings } = open(&[&SQL_CATALOG[..], &more].concat()).expect("fine");
        assert_eq!(warnings, []);
        assert_eq!(link.with.location.as_deref(), Some("file:///w/here"));
        let mut stored: Vec<_> = link.with.stored_properties().into_iter().collect();
        stored.sort();
        let stored: Vec<(&str, &str)> = stored.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let (upkeep, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(key, _)| is_of_upkeep(key) || *key == "weir.expire-snapshots.enabled");
        assert_eq!(upkeep.len(), 3);
        assert_eq!(stored, [("write.distribution-mode", "hash"), ("write.target-file-size-bytes", "67108864"), ("x.owner", "me")]);
        let hint = bag(&[("branch", "main")]);
        let writing: Vec<(String, String)> = link.with.writing(&hint).iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let wanted = [("branch", "main"), ("compact.delta.commits", "3"), ("distribution-mode", "hash"), ("uid-suffix", "a")];
        assert_eq!(writing, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let other_spelling = bag(&[("flink-maintenance.rewrite.schedule.commit-count", "7")]);
        assert!(!link.with.writing(&other_spelling).contains("compact.delta.commits"), "a hint wins");
        assert_eq!(link.with.reading(&bag(&[])).iter().collect::<Vec<_>>(), [("branch", "audit")]);
    }

    #[test]
    fn all_problems_of_a_linked_table_are_told_together_and_in_order() {
        let wrong = [
            ("connector", "iceberg"),
            ("catalog-nam", "lake"),
            ("catalog-type", "sql"),
            ("uri", "sqlite:/c.db"),
            ("distribution-mode", "round-robin"),
            ("compression-level", "99"),
            ("write.parquet.page-row-limit", "0"),
            ("write.parquet.compresion-codec", "zstd"),
            ("cache-enabled", "yes"),
            ("flavour", "sweet"),
        ];
        let problems = open(&wrong).expect_err("wrong");
        let text = problems.to_string();
        for part in [
            "[OPT-002] Table 'c.d.t': One or more required options are missing: 'catalog-name'.",
            "Unsupported options found for 'iceberg': 'catalog-nam'.\n  Did you mean 'catalog-name'?",
            "One or more required options are missing: 'warehouse' (for 'catalog-type' = 'sql').",
            "Invalid value for option 'distribution-mode': 'round-robin'. Expected one of: [none, hash, range].",
            "'compression-level' must be <= 22, but is 99.",
            "'write.parquet.page-row-limit' must be >= 1, but is 0.",
            "Did you mean 'write.parquet.compression-codec'",
            "Invalid value for option 'cache-enabled': 'yes' is not a boolean.",
            "Unsupported options found for 'iceberg': 'flavour'.\n  Hint: DESCRIBE CONNECTOR iceberg lists the options.",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
        let lines: Vec<u64> = problems.as_slice().iter().filter_map(|problem| problem.position).map(|at| at.line).collect();
        assert_eq!(lines, [2, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_table_stores_what_is_wanted_of_its_upkeep_and_a_wrong_word_of_it_is_refused() {
        let Opened { value: with, warnings } =
            TableWith::in_catalog(&bag(&[("auto-compact", "true"), ("compact.delta.commits", "5")])).expect("fine");
        assert!(warnings.is_empty() && with.stored_properties()["auto-compact"] == "true", "{warnings:?}");
        let silent = TableWith::in_catalog(&bag(&[])).expect("fine").value.stored_properties();
        assert!(silent["auto-compact"] == "true" && silent["weir.expire-snapshots.enabled"] == "true", "{silent:?}");
        let own_way =
            TableWith::in_catalog(&bag(&[("flink-maintenance.expire-snapshots.enabled", "false")])).expect("fine").value.stored_properties();
        assert!(own_way["auto-compact"] == "true" && !own_way.contains_key("weir.expire-snapshots.enabled"), "{own_way:?}");
        let off = TableWith::in_catalog(&bag(&[("flink-maintenance.rewrite.enabled", "false")])).expect("fine").value.stored_properties();
        assert!(!off.contains_key("auto-compact") && !off.contains_key("weir.expire-snapshots.enabled"), "{off:?}");
        let told = TableWith::in_catalog(&bag(&[("compact.delta.comits", "5"), ("auto-compact", "maybe")])).expect_err("wrong").to_string();
        assert!(told.contains("Did you mean 'compact.delta.commits'") && told.contains("'maybe' is not a boolean"), "{told}");
    }

    #[test]
    fn a_table_of_format_3_is_told_that_it_is_not_compacted_unless_it_says_so_itself() {
        let format_3 = |more: &[(&str, &str)]| {
            let options = [&[("format-version", "3")], more].concat();
            TableWith::in_catalog(&bag(&options)).expect("fine").value
        };
        let silent = format_3(&[]);
        assert_eq!(silent.stored_properties().len(), 1);
        for with in [silent, format_3(&[("auto-compact", "true")])] {
            let told = with.not_compacted("Table 'c.d.t'").expect("a warning").to_string();
            assert!(told.contains("format version 3 are not compacted") && told.contains("'format-version' = '2'"), "{told}");
        }
        for off in ["auto-compact", "compaction-enabled"] {
            assert_eq!(format_3(&[(off, "false")]).not_compacted("Table 'c.d.t'"), None);
        }
    }

    #[test]
    fn a_catalog_refuses_a_connector_and_says_what_it_does_not_store() {
        let refused = TableWith::in_catalog(&bag(&[("connector", "iceberg")])).expect_err("refused").to_string();
        assert!(refused.contains("Cannot create the table with 'connector'='iceberg' table property in an iceberg catalog"), "{refused}");
        let options = [("branch", "audit"), ("distribution-mod", "hash"), ("owner", "me"), ("compression-codec", "gzip")];
        let Opened { value: with, warnings } = TableWith::in_catalog(&bag(&options)).expect("fine");
        let told: Vec<String> = warnings.iter().map(|warning| warning.what.clone()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("'branch' has no effect here") && told[1].contains("'distribution-mod' is no option"), "{told:?}");
        assert_eq!(warnings[1].suggestion.as_deref(), Some("Did you mean 'distribution-mode'?"));
        assert_eq!(with.stored_properties()["write.parquet.compression-codec"], "gzip");
    }

    #[test]
    fn sizes_are_stored_as_bytes_and_the_rest_as_it_is_written() {
        assert_eq!(as_stored("write.target-file-size-bytes", "64 mb"), "67108864");
        assert_eq!(as_stored("read.split.target-size", "134217728"), "134217728");
        assert_eq!(as_stored("write.parquet.compression-codec", "ZSTD"), "ZSTD");
    }
}
