//! What runs in a process of its own: raw MGETs, or a query.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::{StreamExt, TryStreamExt, stream};
use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;
use weir_runtime::run_query;
use weir_sql::{Mode, Script, Session, SessionOptions, StatementResult};

use crate::{Arguments, Outcome};

/// What is measured.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// How many times `--probes` rows are looked up; with 0 it is one row.
    pub(crate) times: u64,
    /// The sides whose time is no lookup's: the query without the join, and loading a cache.
    pub(crate) less: &'static [&'static str],
    /// What those have in common, which is taken off once only: start and planning.
    pub(crate) but: &'static [&'static str],
}

/// The sides.
pub(crate) const SIDES: [Side; 16] = [
    Side { name: "probes", times: 1, less: &[], but: &[] },
    Side { name: "probes, many", times: HITS, less: &[], but: &[] },
    Side { name: "probes, one", times: 0, less: &[], but: &[] },
    Side { name: "raw", times: 1, less: &[], but: &[] },
    Side { name: "async", times: 1, less: &["probes"], but: &[] },
    Side { name: "batch", times: 1, less: &["probes"], but: &[] },
    Side { name: "batch, unordered", times: 1, less: &["probes"], but: &[] },
    Side { name: "batch, hash", times: 1, less: &["probes"], but: &[] },
    Side { name: "batch, cache", times: 1, less: &["probes"], but: &[] },
    Side { name: "preload, load", times: 0, less: &[], but: &[] },
    Side { name: "preload, hits", times: HITS, less: &["probes, many", "preload, load"], but: &["probes, one"] },
    Side { name: "full, load", times: 0, less: &[], but: &[] },
    Side { name: "full, hits", times: HITS, less: &["probes, many", "full, load"], but: &["probes, one"] },
    Side { name: "probes, two tasks", times: 1, less: &[], but: &[] },
    Side { name: "cold", times: 1, less: &["probes, two tasks"], but: &[] },
    Side { name: "cold, hash", times: 1, less: &["probes, two tasks"], but: &[] },
];

/// How many times as many rows are looked up where every one is a hit.
const HITS: u64 = 10;

impl Side {
    /// Whether two tasks look up keys that come again at random, with a cache that begins empty and holds a fifth of them.
    pub(crate) fn is_cold(name: &str) -> bool {
        name.starts_with("cold") || name.ends_with("two tasks")
    }

    /// Rows that are looked up.
    pub(crate) fn probes(&self, arguments: &Arguments) -> u64 {
        (self.times * arguments.probes).max(1)
    }
}

/// A Redis server.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl Store {
    fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Puts a value of 20 bytes under each key.
    pub(crate) fn fill(&self, keys: u64) -> Outcome<()> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        for first in (0..keys).step_by(10_000) {
            let mut pipeline = redis::pipe();
            for key in first..keys.min(first + 10_000) {
                pipeline.cmd("SET").arg(key).arg(format!("value of {key:>11}")).ignore();
            }
            pipeline.exec(&mut connection)?;
        }
        Ok(())
    }

    /// Keys that the server has been asked for since it began.
    pub(crate) fn asked(&self) -> Outcome<u64> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let told: String = redis::cmd("INFO").arg("stats").query(&mut connection)?;
        let figure = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse::<u64>().ok());
        Ok(figure("keyspace_hits").ok_or("no hits")? + figure("keyspace_misses").ok_or("no misses")?)
    }
}

/// Runs a side, and fails unless every probe finds its value.
pub(crate) async fn run(arguments: &Arguments, side: &str) -> Outcome<()> {
    let (port, password) = arguments.server.split_once(':').ok_or("no server")?;
    let store = Store { port: port.parse()?, password: password.to_owned() };
    let probes = SIDES.iter().find(|known| known.name == side).ok_or("no such side")?.probes(arguments);
    let found = if side == "raw" { raw(arguments, &store).await? } else { Box::pin(query(arguments, side, probes, &store)).await? };
    if found == probes { Ok(()) } else { Err(format!("{side}: {found} of {probes} were found").into()) }
}

/// The key of a probe; the query has the same.
fn key(arguments: &Arguments, probe: u64) -> u64 {
    let (keys, spread) = (arguments.keys, probe * 7_919 % 1_000_003);
    if arguments.zipf { ((spread as f64 / 1_000_003.0 * (keys as f64).ln()).exp() as u64).min(keys - 1) } else { spread % keys }
}

async fn raw(arguments: &Arguments, store: &Store) -> Outcome<u64> {
    let connection = redis::Client::open(store.url())?.get_multiplexed_async_connection().await?;
    let batch = arguments.batch as u64;
    let requests = (0..arguments.probes.div_ceil(batch)).map(|number| {
        let mut connection = connection.clone();
        let keys: Vec<u64> = (number * batch..arguments.probes.min((number + 1) * batch)).map(|probe| key(arguments, probe)).collect();
        async move {
            let values: Vec<Option<Vec<u8>>> = redis::cmd("MGET").arg(keys).query_async(&mut connection).await?;
            Ok::<u64, redis::RedisError>(values.iter().flatten().count() as u64)
        }
    });
    Ok(stream::iter(requests).buffered(arguments.at_once).try_fold(0, |sum, found| async move { Ok(sum + found) }).await?)
}

async fn query(arguments: &Arguments, side: &str, probes: u64, store: &Store) -> Outcome<u64> {
    let Arguments { keys, batch, at_once, .. } = arguments;
    let partial = format!(", 'lookup.async.batch.size' = '{batch}', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '{}'", 2 * keys);
    let budget = MemoryBudget::new(1 << 30);
    let options = SessionOptions {
        registry: Arc::new(weir_connectors::registry()),
        file_systems: FileSystems::default(),
        job_file: None,
        cores: std::thread::available_parallelism()?.get(),
        budget: budget.clone(),
        before_create: None,
    };
    let mut session = Session::new(options);
    let cold = format!(", 'lookup.async.batch.size' = '{batch}', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '{}'", keys / 5);
    let more = match side {
        "async" => String::new(),
        "cold" => cold,
        "cold, hash" => format!("{cold}, 'lookup.hash.enable' = 'true'"),
        "batch, cache" => partial,
        "preload, load" | "preload, hits" => format!("{partial}, 'lookup.preload' = 'true'"),
        "batch, hash" => format!(", 'lookup.async.batch.size' = '{batch}', 'lookup.hash.enable' = 'true'"),
        "full, load" | "full, hits" => ", 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'".to_owned(),
        _ => format!(", 'lookup.async.batch.size' = '{batch}'"),
    };
    let order = if side.contains("unordered") { "ALLOW_UNORDERED" } else { "ORDERED" };
    // A multiple of the number comes again after all the others, when no smaller cache has it any more; its square comes again at random.
    let (spread, tasks, splits) = if Side::is_cold(side) {
        ("(n * 7919 % 1000003) * (n * 7919 % 1000003) % 1000003", "SET 'parallelism.default' = '2'; ", ", 'scan.parallelism' = '2'")
    } else {
        ("n * 7919 % 1000003", "", "")
    };
    let key = if arguments.zipf {
        format!("LEAST(CAST(EXP(CAST({spread} AS DOUBLE) / 1000003.0 * LN(CAST({keys} AS DOUBLE))) AS BIGINT), {keys} - 1)")
    } else {
        format!("({spread}) % {keys}")
    };
    let joined = "SELECT count(d.v) FROM p LEFT JOIN d FOR SYSTEM_TIME AS OF PROCTIME() ON p.k = d.id";
    let asked = if side.starts_with("probes") { "SELECT count(k) FROM p" } else { joined };
    let (port, password, last) = (store.port, &store.password, probes - 1);
    let script = format!(
        "{tasks}SET 'table.exec.async-lookup.buffer-capacity' = '{}'; SET 'table.exec.async-lookup.output-mode' = '{order}';
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{last}'{splits});
         CREATE VIEW p AS SELECT {key} AS k FROM numbers;
         CREATE TABLE d (id BIGINT, v STRING) WITH ('connector' = 'redis', 'host' = '127.0.0.1', 'port' = '{port}', 'password' = '{password}',
           'command' = 'get'{more});
         {asked}",
        batch * at_once
    );
    let outcome = Box::pin(session.run(&Script::parse(&script)?, Mode::Run)).await?;
    let query = outcome.results.into_iter().find_map(|result| if let StatementResult::Query(query) = result { Some(query) } else { None });
    let rows: Vec<_> = Box::pin(run_query(*query.ok_or("no query")?, &budget)).await?.try_collect().await?;
    let count = rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).sum::<i64>();
    Ok(u64::try_from(count)?)
}
