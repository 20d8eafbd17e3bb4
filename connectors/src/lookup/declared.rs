//! The declarations of the `lookup.*` options.

use weir_base::options::{OptionDecl, ValueType};

const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i64::MAX };

pub(super) const CACHE: OptionDecl = OptionDecl::new(
    "lookup.cache",
    ValueType::Enum(&["NONE", "PARTIAL", "FULL"]),
    "What is kept of the table: nothing, the rows of keys that were asked for, or all rows, loaded before the first one is joined. A table that gives \
     no rows by key, such as files and Iceberg tables, is always FULL.",
)
.default("NONE");
pub(super) const MAX_ROWS: OptionDecl = OptionDecl::new(
    "lookup.partial-cache.max-rows",
    POSITIVE,
    "The most rows that a PARTIAL cache keeps; those not asked for the longest time go first.",
);
pub(super) const MAX_BYTES: OptionDecl = OptionDecl::new(
    "lookup.partial-cache.max-bytes",
    ValueType::MemorySize,
    "The most memory that a PARTIAL cache takes. Default: a quarter of `--memory`, which is also the most it can be.",
);
pub(super) const AFTER_WRITE: OptionDecl =
    OptionDecl::new("lookup.partial-cache.expire-after-write", ValueType::Duration, "How long a row of a PARTIAL cache serves after it was fetched.");
pub(super) const AFTER_ACCESS: OptionDecl = OptionDecl::new(
    "lookup.partial-cache.expire-after-access",
    ValueType::Duration,
    "How long a row of a PARTIAL cache serves after it was last asked for.",
);
pub(super) const MISSING: OptionDecl =
    OptionDecl::new("lookup.partial-cache.cache-missing-key", ValueType::Boolean, "Whether a PARTIAL cache remembers which keys have no row.")
        .default("true")
        .deprecated(&["lookup.cache.caching-missing-key"]);
pub(super) const OLD_MAX_ROWS: OptionDecl = OptionDecl::new(
    "lookup.cache.max-rows",
    ValueType::Integer { min: -1, max: i64::MAX },
    "Older spelling of `lookup.partial-cache.max-rows`, which also makes the cache PARTIAL; -1 is none.",
);
pub(super) const OLD_TTL: OptionDecl = OptionDecl::new(
    "lookup.cache.ttl",
    ValueType::String,
    "Older spelling of `lookup.partial-cache.expire-after-write`, which also makes the cache PARTIAL; a bare number counts seconds, -1 is none.",
);
pub(super) const STRATEGY: OptionDecl =
    OptionDecl::new("lookup.full-cache.reload-strategy", ValueType::Enum(&["PERIODIC", "TIMED"]), "What calls for a new load of a FULL cache.")
        .default("PERIODIC");
pub(super) const INTERVAL: OptionDecl = OptionDecl::new(
    "lookup.full-cache.periodic-reload.interval",
    ValueType::Duration,
    "How often a FULL cache is loaded anew, with the strategy PERIODIC. A table that has versions is loaded only if it has a new one. Default: how often \
     its connector looks for one.",
);
pub(super) const SCHEDULE: OptionDecl = OptionDecl::new(
    "lookup.full-cache.periodic-reload.schedule-mode",
    ValueType::Enum(&["FIXED_DELAY", "FIXED_RATE"]),
    "Whether the interval counts from the end of a load or from its beginning.",
)
.default("FIXED_DELAY");
pub(super) const ISO_TIME: OptionDecl = OptionDecl::new(
    "lookup.full-cache.timed-reload.iso-time",
    ValueType::String,
    "When a FULL cache is loaded anew, with the strategy TIMED: `10:15`, `10:15Z`, `10:15+07:00`. Without a zone it is the process's.",
);
pub(super) const DAYS: OptionDecl =
    OptionDecl::new("lookup.full-cache.timed-reload.interval-in-days", ValueType::Integer { min: 1, max: 36_500 }, "Every how many days.")
        .default("1");
pub(super) const STALENESS: OptionDecl = OptionDecl::new(
    "lookup.full-cache.max-staleness",
    ValueType::Duration,
    "The oldest rows that a FULL cache may join with when loads fail; then the job fails too. Default: no limit.",
);
pub(super) const MAX_RETRIES: OptionDecl = OptionDecl::new(
    "lookup.max-retries",
    ValueType::Integer { min: 0, max: 1_000_000 },
    "How often a request that failed is sent again; a key without a row is no failure.",
)
.default("3");
pub(super) const ASYNC: OptionDecl = OptionDecl::new(
    "lookup.async",
    ValueType::Boolean,
    "Whether several requests are on their way at a time: as many keys as the LOOKUP hint or `table.exec.async-lookup.buffer-capacity` says.",
)
.default("true");
pub(super) const HASH: OptionDecl = OptionDecl::new(
    "lookup.hash.enable",
    ValueType::Boolean,
    "Whether rows are first spread by their keys, so that rows of one key come to one task. The LOOKUP hint `shuffle` wins over it.",
)
.default("false");
pub(super) const BATCH: OptionDecl = OptionDecl::new(
    "lookup.async.batch.size",
    ValueType::Integer { min: 1, max: 65_536 },
    "The most keys of one request, all different; 1 sends each by itself.",
)
.default("1");
pub(super) const LINGER: OptionDecl =
    OptionDecl::new("lookup.async.batch.linger", ValueType::Duration, "How long keys that do not fill a request wait for those of the next rows.")
        .default("10 ms");
pub(super) const INDEXES: OptionDecl = OptionDecl::new(
    "lookup.index.tables",
    ValueType::List,
    "Other lookup tables that are indexes of this one, in its database unless they are named in full: each has columns of the names and types of this \
     table's key, and others by whose values this table can then be looked up.",
);
pub(super) const PRELOAD: OptionDecl = OptionDecl::new(
    "lookup.preload",
    ValueType::Boolean,
    "Whether the cache is filled before the first row is joined. Default: true with a FULL cache, else false.",
)
.deprecated(&["lookup.cache.load-all"]);
pub(super) const PRELOAD_TIMEOUT: OptionDecl = OptionDecl::new(
    "lookup.preload.timeout",
    ValueType::Duration,
    "How long one load may take; then it has failed. If it was the first, the job begins again, as often as `restart-strategy` says; after that the rows \
     that are there go on serving until the next load.",
)
.default("10 min");
pub(super) const PRELOAD_ROWS: OptionDecl =
    OptionDecl::new("lookup.preload.max-rows", POSITIVE, "The most rows that are loaded: more are an error with a FULL cache. Default: no limit.");
pub(super) const PRELOAD_BYTES: OptionDecl = OptionDecl::new(
    "lookup.preload.max-bytes",
    ValueType::MemorySize,
    "The most memory that loaded rows take: more are an error with a FULL cache. Default: a quarter of `--memory`.",
);
pub(super) const PRELOAD_PARALLELISM: OptionDecl = OptionDecl::new(
    "lookup.preload.parallelism",
    ValueType::Integer { min: 1, max: 1_024 },
    "How many readers load: of files so many at a time, of a Redis cluster so many nodes. One server of Redis has one reader.",
)
.default("4");

/// The options that every lookup connector takes.
pub const LOOKUP_OPTIONS: &[OptionDecl] = &[
    CACHE,
    MAX_ROWS,
    MAX_BYTES,
    AFTER_WRITE,
    AFTER_ACCESS,
    MISSING,
    OLD_MAX_ROWS,
    OLD_TTL,
    STRATEGY,
    INTERVAL,
    SCHEDULE,
    ISO_TIME,
    DAYS,
    STALENESS,
    MAX_RETRIES,
    ASYNC,
    HASH,
    BATCH,
    LINGER,
    INDEXES,
    PRELOAD,
    PRELOAD_TIMEOUT,
    PRELOAD_ROWS,
    PRELOAD_BYTES,
    PRELOAD_PARALLELISM,
];
