//! Lookup joins with real key-value stores.

mod cluster;
mod dictionary;
mod formats;
mod index;
mod jobs;
mod page;
mod single;
mod sink;
mod trouble;

use crate::support::Redis;

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
