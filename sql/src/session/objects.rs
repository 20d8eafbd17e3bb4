//! What a session holds besides lake catalogs: declared tables and views, and how names are resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use weir_base::options::{OptionBag, Position, Problem, Problems};
use weir_catalog::LakeCatalog;
use weir_connectors::table::{TableDef, TablePath};

use crate::error::NOT_FOUND;
use crate::parse::Name;
use crate::parse::ast::{Partition, QueryText, Watermark};

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
}

/// A view.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) path: TablePath,
    pub(crate) columns: Vec<String>,
    pub(crate) comment: Option<String>,
    pub(crate) query: QueryText,
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

impl Entry {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "Table",
            Self::View(_) => "View",
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
}

impl Default for Objects {
    fn default() -> Self {
        let databases = BTreeSet::from([DEFAULT_DATABASE.to_owned()]);
        Self { temporary: BTreeMap::new(), permanent: BTreeMap::new(), databases, lakes: BTreeMap::new() }
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
