//! The one place that maps connector names to what they make.

use std::sync::Arc;

use weir_base::options::{OptionDecl, Problem, Problems, ValueType, closest};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::blackhole::BlackholeConnector;
use crate::datagen::DatagenConnector;
use crate::filesystem::FilesystemConnector;
use crate::format::factories;
use crate::kafka::KafkaConnector;
use crate::lookup::LookupParts;
use crate::print::PrintConnector;
use crate::redis::RedisConnector;
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::TableDef;

/// The option that names the connector; every connector declares it and pulls it.
pub const CONNECTOR: OptionDecl = OptionDecl::new("connector", ValueType::String, "The name of the connector.").required();

/// `'connector' = 'iceberg'`: no [`Connector`], but a table in a catalog, which [`crate::iceberg::TableLink`] finds.
pub const ICEBERG: &str = "iceberg";

/// Every connector there is.
#[must_use]
pub fn registry() -> Registry {
    let (kafka, redis) = (KafkaConnector::new(factories()), RedisConnector::new(factories()));
    Registry::new(vec![
        Arc::new(BlackholeConnector),
        Arc::new(DatagenConnector),
        Arc::new(FilesystemConnector),
        Arc::new(kafka),
        Arc::new(PrintConnector),
        Arc::new(redis),
    ])
}

/// How a query uses a lookup table.
const LOOKED_UP: &str = "JOIN … FOR SYSTEM_TIME AS OF t.proctime, a column PROCTIME() of the other side";

/// That `connector` cannot be opened for `role`.
#[must_use]
pub fn cannot_be(connector: &dyn Connector, table: &TableDef, role: Role) -> Problems {
    let name = connector.name();
    let is_only_looked_up = connector.supports(Role::Lookup) && !connector.supports(Role::Source) && !connector.supports(Role::Sink);
    let what = match role {
        _ if is_only_looked_up => {
            format!("Connector '{name}' can only be used as a lookup table: {LOOKED_UP}.")
        }
        Role::Source | Role::Scan => {
            let (or_lookup, how) = if connector.supports(Role::Lookup) {
                (" or a lookup table", format!(" To look its rows up: {LOOKED_UP}."))
            } else {
                ("", String::new())
            };
            format!("Connector '{name}' can only be used as a sink{or_lookup}. It cannot be used as a source.{how}")
        }
        Role::Sink => format!("Connector '{name}' can only be used as a source. It cannot be used as a sink."),
        Role::Lookup => format!("Connector '{name}' cannot be used as a lookup table: it does not give rows by key."),
    };
    Problem::new("CON-002", table.options.object(), what).at(table.options.position("connector")).into()
}

/// Whether the table is one of an Iceberg catalog, declared outside of it.
#[must_use]
pub fn is_linked(table: &TableDef) -> bool {
    table.options.peek(CONNECTOR.key) == Some(ICEBERG)
}

/// What a table is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reading a stream.
    Source,
    /// Reading all of it in a batch query.
    Scan,
    /// Writing.
    Sink,
    /// Giving the rows of keys in a lookup join.
    Lookup,
}

/// A metadata column that a connector offers.
#[derive(Debug, Clone)]
pub struct MetadataKey {
    /// Key after `METADATA FROM`.
    pub key: &'static str,
    /// Its Arrow type.
    pub data_type: arrow_schema::DataType,
    /// Whether a sink may write it.
    pub writable: bool,
    /// What it holds.
    pub doc: &'static str,
}

/// What opening a table gives: the thing, and warnings.
#[derive(Debug)]
pub struct Opened<T> {
    /// The source, sink or table.
    pub value: T,
    /// Warnings to show.
    pub warnings: Vec<Problem>,
}

/// A connector: option declarations, and factories that validate a whole declaration without any I/O.
pub trait Connector: std::fmt::Debug + Send + Sync {
    /// The name in `'connector' = '…'`.
    fn name(&self) -> &'static str;

    /// One sentence for `DESCRIBE CONNECTOR` and the book.
    fn doc(&self) -> &'static str;

    /// Its options, without those of formats.
    fn options(&self) -> &'static [OptionDecl];

    /// Its metadata columns.
    fn metadata(&self) -> Vec<MetadataKey>;

    /// Whether it can be opened so.
    fn supports(&self, role: Role) -> bool;

    /// Opens a source.
    ///
    /// # Errors
    /// Every problem of the declaration.
    fn source(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems>;

    /// Opens a table for batch queries.
    ///
    /// # Errors
    /// Every problem of the declaration.
    fn scan(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems>;

    /// Opens a sink.
    ///
    /// # Errors
    /// Every problem of the declaration.
    fn sink(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems>;

    /// Opens a lookup table.
    ///
    /// # Errors
    /// Every problem of the declaration.
    fn lookup(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems>;
}

/// Connectors by name.
#[derive(Debug, Default)]
pub struct Registry {
    connectors: Vec<Arc<dyn Connector>>,
}

impl Registry {
    /// A registry of `connectors`.
    #[must_use]
    pub fn new(connectors: Vec<Arc<dyn Connector>>) -> Self {
        Self { connectors }
    }

    /// All connectors, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.iter()
    }

    /// What may follow `'connector' =`, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.connectors.iter().map(|connector| connector.name()).chain([ICEBERG]).collect();
        names.sort_unstable();
        names
    }

    /// The connector that a table names.
    ///
    /// # Errors
    /// `OPT-002` if there is no `connector` option, `CON-001` if nobody has that name.
    pub fn of(&self, table: &TableDef) -> Result<&Arc<dyn Connector>, Problems> {
        let object = table.options.object();
        let names = self.names();
        let Some(wanted) = table.options.peek("connector") else {
            let what = "One or more required options are missing: 'connector'.";
            return Err(Problem::new("OPT-002", object, what).hint(format!("Available connectors: {}.", names.join(", "))).into());
        };
        if let Some(found) = self.connectors.iter().find(|connector| connector.name() == wanted) {
            return Ok(found);
        }
        let near = closest(wanted, names.iter().copied()).first().map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default();
        let what = format!("Cannot discover a connector using option 'connector'='{wanted}'.{near} Available: {}.", names.join(", "));
        Err(Problem::new("CON-001", object, what).at(table.options.position("connector")).into())
    }

    /// The connector of `table`, checked for `role`.
    ///
    /// # Errors
    /// As [`Self::of`]; `CON-002` if the connector cannot be opened so.
    pub fn for_role(&self, table: &TableDef, role: Role) -> Result<&Arc<dyn Connector>, Problems> {
        let connector = self.of(table)?;
        if connector.supports(role) {
            return Ok(connector);
        }
        Err(cannot_be(connector.as_ref(), table, role))
    }

    /// Declarations of every connector, for the `belongs to` note of [`weir_base::options::OptionBag::finish`].
    #[must_use]
    pub fn all_options(&self) -> Vec<(&'static str, &'static [OptionDecl])> {
        self.connectors.iter().map(|connector| (connector.name(), connector.options())).collect()
    }
}
