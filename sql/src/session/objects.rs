//! What a session holds besides lake catalogs: declared tables and views, and how names are resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use weir_base::options::{OptionBag, Position, Problem, Problems};
use weir_catalog::{LakeCatalog, LakeTable};
use weir_connectors::table::{TableDef, TablePath};

use super::link::Link;
use crate::error::NOT_FOUND;
use crate::parse::Name;
use crate::parse::ast::{Logical, Object, Partition, QueryText, Watermark};

/// The catalog that is always there, in memory.
pub(crate) const DEFAULT_CATALOG: &str = "default_catalog";
/// Its first database.
pub(crate) const DEFAULT_DATABASE: &str = "default_database";

/// Where a name without catalog or database belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) catalog: String,
    pub(crate) database: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self { catalog: DEFAULT_CATALOG.to_owned(), database: DEFAULT_DATABASE.to_owned() }
    }
}

impl Scope {
    /// The full name of a table.
    pub(crate) fn table(&self, name: &Name) -> TablePath {
        self.path(&name.parts)
    }

    /// The full name of a table given by its parts, at most three.
    pub(crate) fn path(&self, parts: &[String]) -> TablePath {
        let mut parts = parts.iter().rev().cloned();
        let table = parts.next().unwrap_or_default();
        let database = parts.next().unwrap_or_else(|| self.database.clone());
        let catalog = parts.next().unwrap_or_else(|| self.catalog.clone());
        TablePath { catalog, database, table }
    }

    /// Catalog and name of a database.
    pub(crate) fn database(&self, name: &Name) -> (String, String) {
        match name.parts.as_slice() {
            [catalog, database, ..] => (catalog.clone(), database.clone()),
            [database] => (self.catalog.clone(), database.clone()),
            [] => (self.catalog.clone(), self.database.clone()),
        }
    }
}

/// A table declared by CREATE TABLE outside of a lake.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) def: TableDef,
    pub(crate) comment: Option<String>,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) partitioned_by: Vec<Partition>,
    pub(crate) temporary: bool,
    /// With `'connector' = 'iceberg'`: the table that it stands for.
    pub(crate) link: Option<Link>,
}

/// A view, or a logical table: a view with one query for streaming jobs and another for everything else.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) path: TablePath,
    pub(crate) columns: Vec<String>,
    pub(crate) comment: Option<String>,
    pub(crate) query: QueryText,
    pub(crate) logical: Option<Logical>,
    /// Where names in the query belong.
    pub(crate) scope: Scope,
    pub(crate) temporary: bool,
}

/// A declared table or a view.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Table(Arc<Declared>),
    View(Arc<View>),
}

impl View {
    /// As what it is created and dropped.
    pub(crate) fn object(&self) -> Object {
        if self.logical.is_some() { Object::LogicalTable } else { Object::View }
    }
}

impl Entry {
    /// As what it is created and dropped.
    pub(crate) fn object(&self) -> Object {
        match self {
            Self::Table(_) => Object::Table,
            Self::View(view) => view.object(),
        }
    }
}

impl Object {
    /// The word for it at the beginning of a message.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Catalog => "Catalog",
            Self::Database => "Database",
            Self::Table => "Table",
            Self::View => "View",
            Self::LogicalTable => "Logical table",
        }
    }
}

/// A lake catalog, with the options of its CREATE for SHOW CREATE CATALOG.
#[derive(Clone)]
pub(crate) struct Lake {
    pub(crate) catalog: Arc<dyn LakeCatalog>,
    pub(crate) options: OptionBag,
    /// Current after USE CATALOG.
    pub(crate) default_database: String,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("options", &self.options).finish_non_exhaustive()
    }
}

/// All objects of a session. Temporary ones shadow permanent ones of the same name, those of lakes included.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) temporary: BTreeMap<TablePath, Entry>,
    pub(crate) permanent: BTreeMap<TablePath, Entry>,
    /// Databases of the default catalog.
    pub(crate) databases: BTreeSet<String>,
    pub(crate) lakes: BTreeMap<String, Lake>,
    /// Tables of lakes that are declared and not there, where plans are only shown.
    pub(crate) planned: BTreeMap<TablePath, LakeTable>,
}

impl Default for Objects {
    fn default() -> Self {
        let databases = BTreeSet::from([DEFAULT_DATABASE.to_owned()]);
        Self { temporary: BTreeMap::new(), permanent: BTreeMap::new(), databases, lakes: BTreeMap::new(), planned: BTreeMap::new() }
    }
}

impl Objects {
    /// The declared table or view of a name.
    pub(crate) fn entry(&self, path: &TablePath) -> Option<&Entry> {
        self.temporary.get(path).or_else(|| self.permanent.get(path))
    }

    /// Every catalog's name.
    pub(crate) fn catalog_names(&self) -> Vec<&str> {
        std::iter::once(DEFAULT_CATALOG).chain(self.lakes.keys().map(String::as_str)).collect()
    }

    /// The table of a lake that a declared table stands for, if it does.
    pub(crate) fn link(&self, path: &TablePath) -> Option<(&Declared, &Link)> {
        match self.entry(path)? {
            Entry::Table(table) => table.link.as_ref().map(|link| (table.as_ref(), link)),
            Entry::View(_) => None,
        }
    }

    /// Every lake catalog in use, with who named it and the options that it was made from.
    fn catalogs_in_use(&self) -> impl Iterator<Item = (String, &Arc<dyn LakeCatalog>, &OptionBag)> {
        let created = self.lakes.iter().map(|(name, lake)| (format!("Catalog '{name}'"), &lake.catalog, &lake.options));
        let linked = self.temporary.iter().chain(&self.permanent).filter_map(|(path, entry)| match entry {
            Entry::Table(table) => table.link.as_ref().map(|link| (format!("Table '{path}'"), &link.catalog, &link.catalog_options)),
            Entry::View(_) => None,
        });
        created.chain(linked)
    }

    /// Every lake catalog once.
    pub(crate) fn lake_catalogs(&self) -> Vec<Arc<dyn LakeCatalog>> {
        let mut catalogs: Vec<Arc<dyn LakeCatalog>> = Vec::new();
        for (_, catalog, _) in self.catalogs_in_use() {
            if !catalogs.iter().any(|known| Arc::ptr_eq(known, catalog)) {
                catalogs.push(Arc::clone(catalog));
            }
        }
        catalogs
    }

    /// `catalog`, or the same one if it is in use already: one catalog has one cache, and one committer for each of its tables.
    ///
    /// # Errors
    /// Another catalog has that name: tables are known by it, in checkpoints and messages.
    pub(crate) fn shared(&self, catalog: Arc<dyn LakeCatalog>, options: &OptionBag) -> Result<Arc<dyn LakeCatalog>, Problem> {
        let Some((owner, known, its_options)) = self.catalogs_in_use().find(|(_, known, _)| known.name() == catalog.name()) else {
            return Ok(catalog);
        };
        let identity = |options: &OptionBag| -> BTreeMap<String, String> {
            let names_no_place = |key: &str, value: &str| {
                matches!(key, "type" | "default-database" | "property-version") || (key == "catalog-name" && value == catalog.name())
            };
            options.iter().filter(|(key, value)| !names_no_place(key, value)).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        if identity(options) == identity(its_options) {
            return Ok(Arc::clone(known));
        }
        let what = format!("the catalog name '{}' is that of {owner}, whose catalog has other options.", catalog.name());
        let at = options.position("uri").or(options.position("catalog-type"));
        Err(Problem::new("OPT-006", options.object(), what).hint("Give both the same options, or one of them another name.").at(at))
    }

    /// The lake of a catalog name, or nothing for the default catalog.
    pub(crate) fn lake(&self, catalog: &str, at: Position) -> Result<Option<&Lake>, Problems> {
        if catalog == DEFAULT_CATALOG {
            return Ok(None);
        }
        match self.lakes.get(catalog) {
            Some(lake) => Ok(Some(lake)),
            None => Err(missing("Catalog", catalog, "it does not exist.", self.catalog_names()).at(Some(at)).into()),
        }
    }
}

/// `<kind> '<name>': <what>` with the nearest of `known`.
pub(crate) fn missing<'a>(kind: &str, name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let near = weir_base::options::closest(name, known).first().map(|near| format!("Did you mean '{near}'?"));
    Problem::new(NOT_FOUND, format!("{kind} '{name}'"), what).suggest(near)
}
