//! The redis connector: a lookup table, and a sink, over the strings and hashes of a Redis server, a cluster, or servers that sentinels watch.
//!
//! `options` checks a declaration, `shape` says how rows lie under keys. `connect` makes a connection, `connection` shares it, sends commands and
//! follows a cluster's `slots`. `values` turns texts into columns, `rows` answers into rows; `lookup` answers keys, `load` reads whole tables (by a
//! cluster's `topology`, as long as a server is in the same `run`, and with `patience`), `scan` gives them to queries, and `counts` counts what is passed over.
//! `changes` makes commands of rows and `sink` sends them. `trouble` says what an error of the server means.

mod changes;
mod connect;
mod connection;
mod counts;
mod load;
mod lookup;
mod options;
mod patience;
mod rows;
mod run;
mod scan;
mod shape;
mod sink;
mod slots;
mod topology;
mod trouble;
mod values;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use weir_base::options::{OptionDecl, Problem, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::format::FormatFactory;
use crate::lookup::{Lookup, LookupOptions, LookupParts};
use crate::registry::{Connector, MetadataKey, Opened, Role, cannot_be};
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::{ColumnKind, TableDef};
use changes::Writing;
use connection::Server;
use lookup::RedisLookup;
use options::{Settings, Sinking};
use scan::RedisTable;
use shape::{Content, Place, Shape};
use sink::RedisSink;

/// The redis connector.
#[derive(Debug)]
pub struct RedisConnector {
    /// Formats that values may have.
    formats: Vec<Arc<dyn FormatFactory>>,
}

impl RedisConnector {
    /// A connector whose values may have `formats`.
    #[must_use]
    pub fn new(formats: Vec<Arc<dyn FormatFactory>>) -> Self {
        Self { formats }
    }
}

impl Connector for RedisConnector {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn doc(&self) -> &'static str {
        "Looks up rows by key in Redis, and writes them: strings and hashes, of one server, a cluster, or servers that sentinels watch."
    }

    fn options(&self) -> &'static [OptionDecl] {
        options::ALL
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        let doc = "What a row that is written is: `+I` or `+U` puts it, `-D` removes it, `-U` does nothing. Without it every row is put.";
        vec![MetadataKey { key: ROW_KIND, data_type: DataType::Utf8, writable: true, doc }]
    }

    fn supports(&self, role: Role) -> bool {
        role != Role::Source
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        Err(cannot_be(self, table, Role::Source))
    }

    fn scan(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        let Opened { value: Declared { settings, shape, .. }, warnings } = self.pull(table)?;
        let lookup = to_read(table, settings, shape, file_systems)?;
        Ok(Opened { value: Arc::new(RedisTable::new(lookup)), warnings })
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        let Opened { value: Declared { settings, shape, sinking, .. }, warnings } = self.pull(table)?;
        let schema = table.sink_schema();
        let kind = table.columns.iter().find(|column| matches!(column.kind, ColumnKind::Metadata { virtual_column: false, .. }));
        let kind = kind.and_then(|kind| schema.index_of(&kind.name).ok());
        let physical = || table.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
        if sinking.if_absent && !matches!(shape.place, Place::Text | Place::Field) {
            let what = "'set.if.absent'='true' goes only with a string, or with one field of a hash.";
            return Err(Problem::new("OPT-006", table.options.object(), what).at(table.options.position("set.if.absent")).into());
        }
        let encoder = match &shape.content {
            Content::Format(format) => {
                let behind = physical().skip(shape.key_columns()).map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
                let encoder = format.encoder(&Arc::new(Schema::new(behind.collect::<Vec<_>>())));
                let selector = ["value.format", "format"].into_iter().find(|key| table.options.contains(key)).unwrap_or_default();
                let (position, name) = (table.options.position(selector), table.options.peek(selector).unwrap_or_default());
                let refused =
                    |why: String| Problem::new("CON-003", table.options.object(), format!("Format '{name}' cannot write: {why}.")).at(position);
                Some(Arc::from(encoder.map_err(refused)?))
            }
            Content::Column | Content::Row => None,
        };
        let writing = Writing {
            table: table.path.to_string(),
            shape,
            names: physical().map(|column| column.name.clone()).collect(),
            encoder,
            kind,
            life: sinking.life.clone(),
            keeps_life: sinking.keeps_life,
            if_absent: sinking.if_absent,
        };
        let server = Server::new(settings, table.path.to_string());
        Ok(Opened { value: Arc::new(RedisSink::new(server, writing, sinking, schema)), warnings })
    }

    fn lookup(&self, table: &TableDef, file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        let Opened { value: Declared { settings, shape, options, .. }, warnings } = self.pull(table)?;
        let lookup: Arc<dyn Lookup> = Arc::new(to_read(table, settings, shape, file_systems)?);
        Ok(Opened { value: (lookup, options), warnings })
    }
}

/// A table to read, which has no column for writing.
fn to_read(table: &TableDef, settings: Settings, shape: Shape, file_systems: &FileSystems) -> Result<RedisLookup, Problems> {
    if !shape.is_read() {
        let command = table.options.peek("command").unwrap_or_default();
        let what = format!("'command' = '{command}' only writes: the table can be the target of an INSERT, and nothing else.");
        return Err(Problem::new("CON-002", table.options.object(), what).at(table.options.position("command")).into());
    }
    if let Some(column) = table.columns.iter().find(|column| column.kind != ColumnKind::Physical) {
        let what = format!("column '{}' is only for writing: a table that is read has columns of its values alone.", column.name);
        return Err(Problem::new("SQL-005", table.options.object(), what).at(table.options.position("command")).into());
    }
    let server = Arc::new(Server::new(settings, table.path.to_string()));
    Ok(RedisLookup::new(server, shape, table.source_schema(), file_systems))
}

/// The key of the metadata column that says what a row is.
const ROW_KIND: &str = "row-kind";

/// An option that says nothing to one server.
const PARALLELISM: &str = "lookup.preload.parallelism";

/// A declaration that was checked.
struct Declared {
    settings: Settings,
    shape: Shape,
    options: LookupOptions,
    sinking: Sinking,
}

impl RedisConnector {
    fn pull(&self, table: &TableDef) -> Result<Opened<Declared>, Problems> {
        let mut bag = table.options.fresh();
        let settings = options::pull(&mut bag);
        let shape = shape::pull(table, &mut bag, &self.formats);
        let lookups = LookupOptions::pull(&mut bag, lookup::ABILITY);
        let sinking = options::sinking(&mut bag);
        let is_cluster = settings.as_ref().is_some_and(|settings| matches!(settings.topology, options::Topology::Cluster(_)));
        if lookups.as_ref().is_some_and(|lookups| lookups.preload.is_some()) && bag.contains(PARALLELISM) && !is_cluster {
            bag.warn("OPT-008", PARALLELISM, format!("'{PARALLELISM}' has no effect because one server of Redis is loaded by one reader."));
        }
        let object = bag.object().to_owned();
        let known: Vec<&OptionDecl> = options::ALL.iter().collect();
        let warnings = bag.finish("redis", &known, &[])?;
        match (settings, shape, lookups, sinking) {
            (Some(settings), Some(shape), Some(options), Some(sinking)) => {
                Ok(Opened { value: Declared { settings, shape, options, sinking }, warnings })
            }
            // Whoever gave nothing has said why, and `finish` has failed.
            _ => Err(Problem::new("OPT-003", object, "The declaration could not be checked.").into()),
        }
    }
}
