//! Options of the redis connector.

use std::time::Duration;

use chrono::{DateTime, Local};
use weir_base::Secret;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType, normalise, parse_duration};

use crate::lookup::{LOOKUP_OPTIONS, Reload};
use crate::registry::CONNECTOR;

const MODE: OptionDecl = OptionDecl::new(
    "redis-mode",
    ValueType::Enum(&["single", "cluster", "sentinel"]),
    "What is connected to: one server, a cluster, or the master that sentinels name.",
)
.default("single");
const HOST: OptionDecl = OptionDecl::new("host", ValueType::String, "The server, in mode `single`.");
const PORT: OptionDecl = OptionDecl::new("port", ValueType::Integer { min: 1, max: 65_535 }, "Its port.").default("6379");
const NODES: OptionDecl =
    OptionDecl::new("cluster-nodes", ValueType::String, "Some nodes of the cluster, `host:port` with commas between, in mode `cluster`.");
const MASTER: OptionDecl = OptionDecl::new("master.name", ValueType::String, "The name under which sentinels know the master, in mode `sentinel`.");
const SENTINELS: OptionDecl =
    OptionDecl::new("sentinels.info", ValueType::String, "The sentinels, `host:port` with commas between, in mode `sentinel`.");
const SENTINEL_PASSWORD: OptionDecl =
    OptionDecl::new("sentinels.password", ValueType::String, "The password of the sentinels, if they have one.").secret();
const USERNAME: OptionDecl =
    OptionDecl::new("username", ValueType::String, "The user of the server's access control list. Default: its user `default`.");
const PASSWORD: OptionDecl = OptionDecl::new("password", ValueType::String, "The user's password.").secret();
const DATABASE: OptionDecl =
    OptionDecl::new("database", ValueType::Integer { min: 0, max: 1_000_000 }, "The database; a cluster has only number 0.").default("0");
const TIMEOUT: OptionDecl =
    OptionDecl::new("timeout", ValueType::Duration, "How long a connection, and the answer to one request, may take.").default("2 s");
const TLS: OptionDecl = OptionDecl::new("ssl.enabled", ValueType::Boolean, "Whether connections are encrypted.").default("false");
const CA: OptionDecl = OptionDecl::new(
    "ssl.ca.location",
    ValueType::String,
    "PEM file of the authority that signed the servers' certificates. Default: those that the system trusts.",
);
const CERTIFICATE: OptionDecl =
    OptionDecl::new("ssl.certificate.location", ValueType::String, "PEM file of the client's certificate, for servers that ask for one.");
const KEY: OptionDecl = OptionDecl::new("ssl.key.location", ValueType::String, "PEM file of its key.");
const COMMAND: OptionDecl = OptionDecl::new(
    "command",
    ValueType::Enum(&["get", "set", "hget", "hset", "hmget", "hmset", "hgetall", "sadd", "zadd", "del"]),
    "How rows lie under keys: `get` (or `set`): a string; `hget` (`hset`): one field of a hash; `hmget` (`hmset`, `hgetall`): a hash with a field for each column. \
     Only written: `sadd`: members of a set; `zadd`: of a sorted set; `del`: a row removes its key. `lpush`, `rpush` and `incrby` are refused: an epoch that is \
     written again after a failure would add its rows twice.",
)
.required();
/// Commands that add, each time again.
const ADDING: [&str; 3] = ["lpush", "rpush", "incrby"];
const STRUCTURE: OptionDecl = OptionDecl::new(
    "value.data.structure",
    ValueType::Enum(&["column", "row"]),
    "With `get` and `hget`: the value is the last column, or all columns of the row with the character U+0001 between.",
)
.default("column");
const FORMAT: OptionDecl = OptionDecl::new(
    "format",
    ValueType::String,
    "With `get` and `hget`: the format of values, which hold the columns behind the key; its options carry the prefix `<format>.`. Either this or `value.format`.",
);
const VALUE_FORMAT: OptionDecl =
    OptionDecl::new("value.format", ValueType::String, "The same, with the prefix `value.<format>.` for the options of the format.");
const PREFIX: OptionDecl = OptionDecl::new("key.prefix", ValueType::String, "Stands before the value of the key column in each key.");
const TTL: OptionDecl =
    OptionDecl::new("ttl", ValueType::String, "Life of a key after it was written; a bare number counts seconds. Default: it stays.");
const TTL_ON_TIME: OptionDecl = OptionDecl::new(
    "ttl.on.time",
    ValueType::String,
    "The time of the day at which written keys expire, `10:15` or `10:15:30`, of the process's zone unless it has one: `10:15Z`. Either this or `ttl`.",
);
const TTL_KEEP: OptionDecl = OptionDecl::new(
    "ttl.key.not.absent",
    ValueType::Boolean,
    "With `ttl` or `ttl.on.time`: whether a key that will expire already keeps its time. It needs Redis 7 or Valkey.",
)
.default("false");
const IF_ABSENT: OptionDecl = OptionDecl::new(
    "set.if.absent",
    ValueType::Boolean,
    "Whether a string, or a field, that is there already stays as it is; not with whole hashes.",
)
.default("false");
const PARALLELISM: OptionDecl =
    OptionDecl::new("sink.parallelism", ValueType::Integer { min: 1, max: 1_024 }, "How many writers there are. Default: those of the job.");
const SINK_RETRIES: OptionDecl =
    OptionDecl::new("sink.max-retries", ValueType::Integer { min: 0, max: 1_000_000 }, "How often commands that failed are sent again.").default("3");
const FLUSH_ROWS: OptionDecl =
    OptionDecl::new("sink.buffer-flush.max-rows", ValueType::Integer { min: 1, max: 100_000 }, "Rows whose commands are sent together.")
        .default("500");
const MERGE_ROWS: OptionDecl = OptionDecl::new(
    "sink.merge.max-rows",
    ValueType::Integer { min: 1, max: 10_000_000 },
    "Keys whose changes a writer holds: of an epoch, only the last change of each is written, as long as they are not more than these.",
)
.default("100000");
const RATE_ROWS: OptionDecl = OptionDecl::new(
    "sink.rate-limit.rows",
    ValueType::Integer { min: 1, max: i64::MAX },
    "The most rows that a process writes in a second. Default: no limit.",
);
const RATE_BYTES: OptionDecl =
    OptionDecl::new("sink.rate-limit.bytes", ValueType::MemorySize, "The most bytes that a process writes in a second, about. Default: no limit.");

/// Every option.
pub(super) const ALL: &[OptionDecl] = &{
    let own = [
        CONNECTOR,
        MODE,
        HOST,
        PORT,
        NODES,
        MASTER,
        SENTINELS,
        SENTINEL_PASSWORD,
        USERNAME,
        PASSWORD,
        DATABASE,
        TIMEOUT,
        TLS,
        CA,
        CERTIFICATE,
        KEY,
        COMMAND,
        STRUCTURE,
        FORMAT,
        VALUE_FORMAT,
        PREFIX,
        TTL,
        TTL_ON_TIME,
        TTL_KEEP,
        IF_ABSENT,
        PARALLELISM,
        SINK_RETRIES,
        FLUSH_ROWS,
        MERGE_ROWS,
        RATE_ROWS,
        RATE_BYTES,
    ];
    let mut all = [CONNECTOR; 31 + LOOKUP_OPTIONS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < own.len() { own[index] } else { LOOKUP_OPTIONS[index - own.len()] };
        index += 1;
    }
    all
};

/// A host and its port.
pub(super) type Address = (String, u16);

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Topology {
    Single(Address),
    Cluster(Vec<Address>),
    Sentinel { sentinels: Vec<Address>, master: String, password: Option<Secret<String>> },
}

/// Files of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) ca: Option<String>,
    /// Certificate and key of the client.
    pub(super) client: Option<(String, String)>,
}

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) topology: Topology,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret<String>>,
    pub(super) database: i64,
    pub(super) timeout: Duration,
    pub(super) tls: Option<Tls>,
}

/// How rows lie under keys, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) command: &'static str,
    pub(super) is_row: bool,
    /// The option that chooses a format, the name of the format, and what stands before its options.
    pub(super) format: Option<(&'static str, String, String)>,
    pub(super) prefix: String,
}

/// How long a key that is written lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    For(Duration),
    /// To the next of these times of the day.
    Until(Reload),
}

impl Life {
    /// What is left of it, at `now`.
    pub(super) fn left(&self, now: DateTime<Local>) -> Option<Duration> {
        match self {
            Self::For(life) => Some(*life),
            Self::Until(time) => time.wait(now, Duration::ZERO),
        }
    }
}

/// How a table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sinking {
    pub(super) life: Option<Life>,
    /// A key that will expire keeps its time.
    pub(super) keeps_life: bool,
    pub(super) if_absent: bool,
    pub(super) parallelism: Option<usize>,
    pub(super) max_retries: u32,
    /// Rows of a pipeline.
    pub(super) pipeline_rows: usize,
    /// Keys that a writer holds.
    pub(super) merge_rows: usize,
    pub(super) rows_per_second: Option<u64>,
    pub(super) bytes_per_second: Option<u64>,
}

/// Pulls how a table is written; `None` if a problem was noted.
pub(super) fn sinking(bag: &mut OptionBag) -> Option<Sinking> {
    let (ttl, on_time, keeps_life) = (bag.string(&TTL), bag.string(&TTL_ON_TIME), bag.boolean(&TTL_KEEP));
    let if_absent = bag.boolean(&IF_ABSENT);
    let parallelism = bag.integer(&PARALLELISM).and_then(|writers| usize::try_from(writers).ok());
    let retries = bag.integer(&SINK_RETRIES);
    let (pipeline, merge) = (bag.integer(&FLUSH_ROWS), bag.integer(&MERGE_ROWS));
    let (rows, bytes_per_second) = (bag.integer(&RATE_ROWS), bag.bytes(&RATE_BYTES));
    let life = ttl.as_deref().map(str::trim).and_then(|text| match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => parse_duration(text).map(|(life, _)| life),
    });
    if let (Some(text), true) = (&ttl, life.is_none_or(|life| life.as_millis() == 0)) {
        bag.error("OPT-003", TTL.key, format!("Invalid value for option 'ttl': '{text}' is neither seconds nor a duration, or is 0."));
    }
    let until = on_time.as_deref().and_then(|text| Reload::daily(text, 1));
    if let (Some(text), None) = (&on_time, &until) {
        let what = format!("Invalid value for option '{}': '{text}'. Expected a time of the day such as '10:15' or '10:15:30Z'.", TTL_ON_TIME.key);
        bag.error("OPT-003", TTL_ON_TIME.key, what);
    }
    if ttl.is_some() && on_time.is_some() {
        bag.error("OPT-006", TTL_ON_TIME.key, "Option 'ttl' and 'ttl.on.time' shouldn't be set together.");
    }
    if keeps_life == Some(true) && ttl.is_none() && on_time.is_none() {
        bag.error("OPT-005", TTL_KEEP.key, "'ttl' or 'ttl.on.time' is required with 'ttl.key.not.absent' but missing.");
    }
    if bytes_per_second == Some(0) {
        bag.error("OPT-007", RATE_BYTES.key, format!("'{}' must be > 0, but is 0.", RATE_BYTES.key));
    }
    Some(Sinking {
        life: life.map(Life::For).or(until.map(Life::Until)),
        keeps_life: keeps_life?,
        if_absent: if_absent?,
        parallelism,
        max_retries: u32::try_from(retries?).ok()?,
        pipeline_rows: usize::try_from(pipeline?).ok()?,
        merge_rows: usize::try_from(merge?).ok()?,
        rows_per_second: rows.and_then(|rows| u64::try_from(rows).ok()),
        bytes_per_second,
    })
}

/// Pulls where to connect to; `None` if a problem was noted.
pub(super) fn pull(bag: &mut OptionBag) -> Option<Settings> {
    bag.string(&CONNECTOR);
    let topology = topology(bag);
    let (username, password) = (bag.string(&USERNAME), bag.string(&PASSWORD).map(Secret::new));
    let database = bag.integer(&DATABASE);
    let timeout = bag.duration(&TIMEOUT);
    if username.is_some() && password.is_none() {
        bag.error("OPT-005", USERNAME.key, "'password' is required with 'username' but missing.");
    }
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        bag.error("OPT-007", TIMEOUT.key, "'timeout' must be > 0, but is 0.");
    }
    if matches!(topology, Some(Topology::Cluster(_))) && database.is_some_and(|database| database != 0) {
        bag.error("OPT-006", DATABASE.key, "a cluster has only database 0: 'database' and 'redis-mode'='cluster' shouldn't be set together.");
    }
    let tls = tls(bag);
    Some(Settings { topology: topology?, username, password, database: database?, timeout: timeout?, tls: tls? })
}

/// Pulls the command; one that adds is refused with what to use instead.
fn command(bag: &mut OptionBag) -> Option<&'static str> {
    let wanted = bag.peek(COMMAND.key).map(normalise);
    let Some(command) = ADDING.iter().find(|command| wanted.as_deref() == Some(**command)) else { return bag.choice(&COMMAND) };
    bag.string(&COMMAND); // it is known, and not left over
    let what = format!("'command' = '{command}' is not supported: an epoch that is written again after a failure would add its rows twice.");
    let hint = if *command == "incrby" { "write the sum with 'set'." } else { "'sadd' and 'zadd' add a row once." };
    bag.report(Problem::new("OPT-004", bag.object(), what).hint(hint).at(bag.position(COMMAND.key)));
    None
}

/// Pulls how rows lie under keys.
pub(super) fn layout(bag: &mut OptionBag) -> Option<Layout> {
    let (command, structure) = (command(bag), bag.choice(&STRUCTURE));
    let prefix = bag.string(&PREFIX).unwrap_or_default();
    let (format, value_format) = (bag.string(&FORMAT), bag.string(&VALUE_FORMAT));
    if format.is_some() && value_format.is_some() {
        bag.error("OPT-006", VALUE_FORMAT.key, "Option 'format' and 'value.format' shouldn't be set together.");
    }
    let format = match (format, value_format) {
        (_, Some(name)) => Some((VALUE_FORMAT.key, format!("value.{name}."), name)),
        (Some(name), None) => Some((FORMAT.key, format!("{name}."), name)),
        (None, None) => None,
    };
    let format = format.map(|(key, prefix, name)| (key, name, prefix));
    Some(Layout { command: command?, is_row: structure? == "row", format, prefix })
}

fn topology(bag: &mut OptionBag) -> Option<Topology> {
    let mode = bag.choice(&MODE);
    let (host, port) = (bag.string(&HOST), bag.integer(&PORT).and_then(|port| u16::try_from(port).ok()));
    let nodes = addresses(bag, &NODES, 6_379);
    let (master, sentinels) = (bag.string(&MASTER), addresses(bag, &SENTINELS, 26_379));
    let password = bag.string(&SENTINEL_PASSWORD).map(Secret::new);
    let mode = mode?;
    let (needed, useless): (&[&str], &[&str]) = match mode {
        "cluster" => (&[NODES.key], &[HOST.key, PORT.key, MASTER.key, SENTINELS.key, SENTINEL_PASSWORD.key]),
        "sentinel" => (&[MASTER.key, SENTINELS.key], &[HOST.key, PORT.key, NODES.key]),
        _ => (&[HOST.key], &[NODES.key, MASTER.key, SENTINELS.key, SENTINEL_PASSWORD.key]),
    };
    for key in needed.iter().filter(|key| !bag.contains(key)).collect::<Vec<_>>() {
        bag.error("OPT-005", MODE.key, format!("'{key}' is required with 'redis-mode'='{mode}' but missing."));
    }
    for key in useless.iter().filter(|key| bag.contains(key)).collect::<Vec<_>>() {
        bag.warn("OPT-008", key, format!("'{key}' has no effect because 'redis-mode' is '{mode}'."));
    }
    match mode {
        "cluster" => nodes.map(Topology::Cluster),
        "sentinel" => Some(Topology::Sentinel { sentinels: sentinels?, master: master?, password }),
        _ => Some(Topology::Single((host?, port?))),
    }
}

fn addresses(bag: &mut OptionBag, decl: &OptionDecl, port: u16) -> Option<Vec<Address>> {
    let text = bag.string(decl)?;
    let parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
    let found: Option<Vec<Address>> = parts
        .map(|part| match part.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() => Some((host.to_owned(), port.parse().ok()?)),
            Some(_) => None,
            None => Some((part.to_owned(), port)),
        })
        .collect();
    let found = found.filter(|found| !found.is_empty());
    if found.is_none() {
        bag.error("OPT-003", decl.key, format!("Invalid value for option '{}': '{text}'. Expected 'host:port,host:port'.", decl.key));
    }
    found
}

fn tls(bag: &mut OptionBag) -> Option<Option<Tls>> {
    let enabled = bag.boolean(&TLS);
    let (ca, certificate, key) = (bag.string(&CA), bag.string(&CERTIFICATE), bag.string(&KEY));
    if certificate.is_some() != key.is_some() {
        let given = if certificate.is_some() { CERTIFICATE.key } else { KEY.key };
        let what = format!("Either all or none of the following options should be provided: '{}', '{}'.", CERTIFICATE.key, KEY.key);
        bag.error("OPT-005", given, what);
    }
    let enabled = enabled?;
    for decl in [CA, CERTIFICATE, KEY] {
        if !enabled && bag.contains(decl.key) {
            bag.warn("OPT-008", decl.key, format!("'{}' has no effect because 'ssl.enabled' is 'false'.", decl.key));
        }
    }
    Some(enabled.then(|| Tls { ca, client: certificate.zip(key) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(entries: &[(&str, &str)]) -> Result<(Settings, String), String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in entries {
            bag.insert(*key, *value, None);
        }
        let settings = pull(&mut bag);
        let warnings = bag.finish("redis", &ALL.iter().collect::<Vec<_>>(), &[]).map_err(|problems| problems.to_string())?;
        Ok((settings.expect("nothing is wrong"), warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
    }

    #[test]
    fn each_mode_needs_its_addresses() {
        let connector = ("connector", "redis");
        let (settings, _) = pulled(&[connector, ("host", "h")]).expect("fine");
        assert_eq!((settings.topology, settings.timeout), (Topology::Single(("h".to_owned(), 6_379)), Duration::from_secs(2)));
        let (settings, _) = pulled(&[connector, ("redis-mode", "cluster"), ("cluster-nodes", "a:1, b:2;c")]).expect("fine");
        let nodes = [("a", 1), ("b", 2), ("c", 6_379)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(settings.topology, Topology::Cluster(nodes.to_vec()));
        for (mode, missing) in [("single", "'host'"), ("cluster", "'cluster-nodes'"), ("sentinel", "'sentinels.info'")] {
            let told = pulled(&[connector, ("redis-mode", mode)]).expect_err("no address");
            assert!(told.contains(&format!("{missing} is required with 'redis-mode'='{mode}' but missing.")), "{told}");
        }
        let told = pulled(&[connector, ("redis-mode", "cluster"), ("cluster-nodes", "a:b")]).expect_err("no port");
        assert!(told.contains("Expected 'host:port,host:port'"), "{told}");
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_what_does_nothing_warns() {
        let host = [("connector", "redis"), ("host", "h")];
        let with = |more: &[(&'static str, &'static str)]| pulled(&[host.as_slice(), more].concat());
        assert!(with(&[("username", "u")]).expect_err("alone").contains("'password' is required"));
        assert!(with(&[("ssl.enabled", "true"), ("ssl.key.location", "/k")]).expect_err("alone").contains("Either all or none"));
        let (settings, warnings) = with(&[("ssl.ca.location", "/ca"), ("password", "hunter2"), ("cluster-nodes", "a:1")]).expect("fine");
        assert!(settings.tls.is_none() && warnings.contains("'ssl.ca.location' has no effect") && warnings.contains("'cluster-nodes' has no effect"));
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        let cluster = [("redis-mode", "cluster"), ("cluster-nodes", "a:1"), ("database", "2")];
        assert!(with(&cluster).expect_err("one database").contains("only database 0"));
        let mut bag = OptionBag::new("Table 'c.d.t'");
        bag.insert("command", "hmgett", None);
        assert!(layout(&mut bag).is_none());
        let told = bag.finish("redis", &[&COMMAND], &[]).expect_err("misspelt").to_string();
        assert!(told.contains("sadd, zadd, del]. Did you mean 'hmget'") && !told.contains("push"), "{told}");
    }
}
