//! Lookup joins with real key-value stores.

mod cluster;
mod computed;
mod dictionary;
mod formats;
mod index;
mod jobs;
mod loads;
mod narrowed;
mod page;
mod single;
mod sink;
mod trouble;

use std::sync::Arc;

use arrow_schema::DataType;
use weir_base::options::OptionBag;
use weir_connectors::lookup::Lookup;
use weir_connectors::table::{ColumnDef, ColumnKind, TableDef, TablePath};
use weir_fs::FileSystems;

use crate::support::Redis;

/// A table of Redis of two texts, by its options.
fn opened(with: &[(&str, &str)]) -> Arc<dyn Lookup> {
    let mut options = OptionBag::new("Table 'c.d.t'");
    options.insert("connector", "redis", None);
    with.iter().for_each(|(key, value)| options.insert(*key, *value, None));
    let column = |name: &str| ColumnDef {
        name: name.to_owned(),
        data_type: DataType::Utf8,
        nullable: true,
        kind: ColumnKind::Physical,
        sql_type: "STRING".to_owned(),
        comment: None,
    };
    let path = TablePath { catalog: "c".to_owned(), database: "d".to_owned(), table: "t".to_owned() };
    let table = TableDef { path, columns: vec![column("id"), column("v")], primary_key: Vec::new(), options };
    let registry = weir_connectors::registry();
    registry.of(&table).unwrap().lookup(&table, &FileSystems::default()).unwrap().value.0
}

/// The options of a table on the server, by its password.
pub(crate) fn options(redis: &Redis) -> String {
    format!("'connector' = 'redis', 'host' = '127.0.0.1', 'port' = '{}', 'password' = '{}'", redis.port, redis.password)
}

/// A connection to the server.
pub(crate) fn connection(redis: &Redis) -> redis::Connection {
    let client = redis::Client::open(format!("redis://:{}@127.0.0.1:{}", redis.password, redis.port)).unwrap();
    client.get_connection().unwrap()
}

/// Runs a command.
fn command(connection: &mut impl redis::ConnectionLike, words: &[&str]) {
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).exec(connection).unwrap();
}

/// A name that no other test uses, as a beginning of keys.
pub(crate) fn prefix() -> String {
    format!("{}:", uuid::Uuid::new_v4().simple())
}

/// A query that looks up keys, given as rows of VALUES.
fn lookup(columns: &str, values: &str, join: &str) -> String {
    format!("SELECT {columns} FROM (VALUES {values}) AS v (n, k) {join} ORDER BY n")
}
