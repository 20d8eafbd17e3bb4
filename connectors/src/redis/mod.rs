//! The redis connector: a lookup table, and a sink, over the strings and hashes of a Redis server, a cluster, or servers that sentinels watch.
//!
//! `options` checks a declaration, `shape` says how rows lie under keys, `connection` sends commands and follows a cluster's slots, `values`
//! turns texts into columns, `lookup` answers keys and loads whole tables, `scan` gives them to queries, `changes` makes commands of rows and `sink` writes them, and
//! `trouble` says what an error of the server means.

mod changes;
mod connection;
mod lookup;
mod options;
mod scan;
mod shape;
mod sink;
mod slots;
mod trouble;
mod values;

use std::sync::Arc;

use arrow_schema::DataType;
use weir_base::options::{OptionDecl, Problem, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
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
use shape::{Place, Shape};
use sink::RedisSink;

/// The redis connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedisConnector;

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

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        let Opened { value: Declared { settings, shape, .. }, warnings } = pull(table)?;
        if !lookup::ability(Some(&settings)).can_load {
            let what = "a cluster cannot be read as a whole yet; one server and a master behind sentinels can.";
            return Err(Problem::new("SQL-004", table.options.object(), what).at(table.options.position("redis-mode")).into());
        }
        let lookup = of_values_alone(table, settings, shape)?;
        Ok(Opened { value: Arc::new(RedisTable::new(lookup)), warnings })
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        let Opened { value: declared, warnings } = pull(table)?;
        let Declared { settings, shape, options: _, sinking } = declared;
        let schema = table.sink_schema();
        let kind = table.columns.iter().find(|column| matches!(column.kind, ColumnKind::Metadata { virtual_column: false, .. }));
        let kind = kind.and_then(|kind| schema.index_of(&kind.name).ok());
        let names = table.columns.iter().filter(|column| column.kind == ColumnKind::Physical).map(|column| column.name.clone()).collect();
        if sinking.if_absent && shape.place == Place::Hash {
            let what = "'set.if.absent'='true' does not go with a hash that is a row.";
            return Err(Problem::new("OPT-006", table.options.object(), what).at(table.options.position("set.if.absent")).into());
        }
        let writing = Writing { shape, names, kind, ttl: sinking.ttl, if_absent: sinking.if_absent };
        let server = Server::new(settings, table.path.to_string());
        Ok(Opened { value: Arc::new(RedisSink::new(server, writing, sinking, schema)), warnings })
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        let Opened { value: Declared { settings, shape, options, .. }, warnings } = pull(table)?;
        let lookup: Arc<dyn Lookup> = Arc::new(of_values_alone(table, settings, shape)?);
        Ok(Opened { value: (lookup, options), warnings })
    }
}

/// A table to read, which has no column for writing.
fn of_values_alone(table: &TableDef, settings: Settings, shape: Shape) -> Result<RedisLookup, Problems> {
    if let Some(column) = table.columns.iter().find(|column| column.kind != ColumnKind::Physical) {
        let what = format!("column '{}' is only for writing: a table that is read has columns of its values alone.", column.name);
        return Err(Problem::new("SQL-005", table.options.object(), what).at(table.options.position("command")).into());
    }
    let server = Arc::new(Server::new(settings, table.path.to_string()));
    Ok(RedisLookup::new(server, shape, table.source_schema()))
}

/// The key of the metadata column that says what a row is.
const ROW_KIND: &str = "row-kind";

/// A declaration that was checked.
struct Declared {
    settings: Settings,
    shape: Shape,
    options: LookupOptions,
    sinking: Sinking,
}

fn pull(table: &TableDef) -> Result<Opened<Declared>, Problems> {
    let mut bag = table.options.fresh();
    let settings = options::pull(&mut bag);
    let shape = shape::pull(table, &mut bag);
    let lookups = LookupOptions::pull(&mut bag, lookup::ability(settings.as_ref()));
    let sinking = options::sinking(&mut bag);
    let object = bag.object().to_owned();
    let known: Vec<&OptionDecl> = options::ALL.iter().collect();
    let warnings = bag.finish("redis", &known, &[])?;
    match (settings, shape, lookups, sinking) {
        (Some(settings), Some(shape), Some(options), Some(sinking)) => Ok(Opened { value: Declared { settings, shape, options, sinking }, warnings }),
        // Whoever gave nothing has said why, and `finish` has failed.
        _ => Err(Problem::new("OPT-003", object, "The declaration could not be checked.").into()),
    }
}
