//! The redis connector: a lookup table over the strings and hashes of a Redis server, a cluster, or servers that sentinels watch.
//!
//! `options` checks a declaration, `shape` says how rows lie under keys, `connection` sends commands and follows a cluster's slots, `values`
//! turns texts into columns, `lookup` answers keys and loads whole tables, and `trouble` says what an error of the server means.

mod connection;
mod lookup;
mod options;
mod shape;
mod slots;
mod trouble;
mod values;

use std::sync::Arc;

use weir_base::options::{OptionDecl, Problem, Problems};
use weir_fs::FileSystems;

use crate::batch::BatchTable;
use crate::lookup::{Lookup, LookupOptions, LookupParts};
use crate::registry::{Connector, MetadataKey, Opened, Role};
use crate::sink::StreamSink;
use crate::source::StreamSource;
use crate::table::TableDef;
use connection::Server;
use lookup::RedisLookup;

/// The redis connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedisConnector;

impl Connector for RedisConnector {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn doc(&self) -> &'static str {
        "Looks up rows by key in Redis: strings and hashes, of one server, a cluster, or servers that sentinels watch."
    }

    fn options(&self) -> &'static [OptionDecl] {
        options::ALL
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    fn supports(&self, role: Role) -> bool {
        role == Role::Lookup
    }

    fn source(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSource>>, Problems> {
        Err(only_lookups(table, "It cannot be read as a stream."))
    }

    fn scan(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn BatchTable>>, Problems> {
        Err(only_lookups(table, "It cannot be read as a whole yet."))
    }

    fn sink(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<Arc<dyn StreamSink>>, Problems> {
        Err(only_lookups(table, "It cannot be used as a sink yet."))
    }

    fn lookup(&self, table: &TableDef, _file_systems: &FileSystems) -> Result<Opened<LookupParts>, Problems> {
        let mut bag = table.options.fresh();
        let settings = options::pull(&mut bag);
        let shape = shape::pull(table, &mut bag);
        let options = LookupOptions::pull(&mut bag, lookup::ability(settings.as_ref()));
        let object = bag.object().to_owned();
        let known: Vec<&OptionDecl> = options::ALL.iter().collect();
        let warnings = bag.finish("redis", &known, &[])?;
        match (settings, shape, options) {
            (Some(settings), Some(shape), Some(options)) => {
                let server = Server::new(settings, table.path.to_string());
                let lookup: Arc<dyn Lookup> = Arc::new(RedisLookup::new(Arc::new(server), shape, table.source_schema()));
                Ok(Opened { value: (lookup, options), warnings })
            }
            // Whoever gave nothing has said why, and `finish` has failed.
            _ => Err(Problem::new("OPT-003", object, "The declaration could not be checked.").into()),
        }
    }
}

fn only_lookups(table: &TableDef, what: &str) -> Problems {
    let what = format!("Connector 'redis' can only be used as a lookup table. {what}");
    let problem = Problem::new("CON-002", table.options.object(), what).at(table.options.position("connector"));
    problem.hint("Write JOIN … FOR SYSTEM_TIME AS OF t.proctime ON …, where proctime is a column PROCTIME() of t.").into()
}
