//! The keys of SET: those that Weir acts on, those that it takes without acting on them, and the name spaces in which no other key is right.

use weir_base::options::{OptionDecl, ValueType};

const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i32::MAX as i64 };
const COUNT: ValueType = ValueType::Integer { min: 0, max: i64::MAX };

pub(super) const NAME: OptionDecl =
    OptionDecl::new("pipeline.name", ValueType::String, "Name of the job, its identity across runs. Default: the stem of the job file's name.");
pub(super) const INTERVAL: OptionDecl =
    OptionDecl::new("execution.checkpointing.interval", ValueType::Duration, "Length of an epoch: how often a checkpoint is made and sinks commit.")
        .default("10 s");
pub(super) const DIR: OptionDecl = OptionDecl::new(
    "execution.checkpointing.dir",
    ValueType::String,
    "URI of the folder that holds the checkpoints of all jobs. Default: `.weir/checkpoints` beside the job file.",
)
.deprecated(&["state.checkpoints.dir"]);
pub(super) const TIMEOUT: OptionDecl =
    OptionDecl::new("execution.checkpointing.timeout", ValueType::Duration, "Deadline of the checkpoint and the commit of an epoch.")
        .default("10 min");
pub(super) const RETAINED: OptionDecl = OptionDecl::new("execution.checkpointing.num-retained", POSITIVE, "How many checkpoints are kept.")
    .default("3")
    .deprecated(&["state.checkpoints.num-retained"]);
pub(super) const PARALLELISM: OptionDecl =
    OptionDecl::new("parallelism.default", POSITIVE, "How many tasks of a stage run side by side. Default: the cores given to the process.")
        .deprecated(&["table.exec.resource.default-parallelism"]);
pub(super) const VALIDATION: OptionDecl =
    OptionDecl::new("table.ddl.validation", ValueType::Enum(&["strict", "lazy"]), "Whether options are checked by CREATE TABLE or at first use.")
        .default("strict");
pub(super) const HINTS: OptionDecl =
    OptionDecl::new("table.dynamic-table-options.enabled", ValueType::Boolean, "Whether OPTIONS hints are allowed.").default("true");
pub(super) const NOT_NULL: OptionDecl = OptionDecl::new(
    "table.exec.sink.not-null-enforcer",
    ValueType::Enum(&["ERROR", "DROP"]),
    "What happens to a row with NULL in a NOT NULL column of the sink: the job ends, or the row is dropped.",
)
.default("ERROR");
pub(super) const RUNTIME_MODE: OptionDecl = OptionDecl::new(
    "execution.runtime-mode",
    ValueType::Enum(&["STREAMING", "BATCH", "AUTOMATIC"]),
    "What INSERTs read of logical tables: their streams, or, in BATCH, their batch sides.",
)
.default("STREAMING");
pub(super) const FROM: OptionDecl = OptionDecl::new(
    "execution.period.from",
    ValueType::String,
    "Logical tables give no rows before this time, such as `2026-01-31` or `2026-01-31 12:00:00`.",
);
pub(super) const TO: OptionDecl = OptionDecl::new("execution.period.to", ValueType::String, "Logical tables give no rows of this time or later.");
pub(super) const TMP_DIRS: OptionDecl = OptionDecl::new(
    "io.tmp.dirs",
    ValueType::String,
    "Folders, with commas between them, for rows of sorts, aggregates and joins that do not fit into memory. Default: the system's for temporary files.",
);
pub(super) const DISABLED_OPERATORS: OptionDecl = OptionDecl::new(
    "table.exec.disabled-operators",
    ValueType::Enum(&["HashJoin", "ShuffleHashJoin", "BroadcastHashJoin"]),
    "Joins by hash tables, which hold one side in memory, are not made; those that sort both sides, and can spill to disk, are. Any of the names.",
);
pub(super) const CACHE: OptionDecl = OptionDecl::new(
    "io.manifest.cache-enabled",
    ValueType::Boolean,
    "Whether manifest lists, manifests and Parquet footers that were read stay in memory for the next query of the process. They never change, so \
     nothing gets stale.",
)
.default("true");
pub(super) const CACHE_SIZE: OptionDecl = OptionDecl::new(
    "io.manifest.cache.max-total-bytes",
    ValueType::MemorySize,
    "The most memory that they take; what was not used for the longest time goes first. Default: an eighth of `--memory`.",
);
pub(super) const LOOKUP_CAPACITY: OptionDecl = OptionDecl::new(
    "table.exec.async-lookup.buffer-capacity",
    POSITIVE,
    "The most keys that a task of a lookup join has on their way at a time. The LOOKUP hint `capacity` wins over it.",
)
.default("100");
pub(super) const LOOKUP_TIMEOUT: OptionDecl = OptionDecl::new(
    "table.exec.async-lookup.timeout",
    ValueType::Duration,
    "How long a key of a lookup join may take, waiting and retries included. The LOOKUP hint `timeout` wins over it.",
)
.default("3 min");
pub(super) const LOOKUP_ORDER: OptionDecl = OptionDecl::new(
    "table.exec.async-lookup.output-mode",
    ValueType::Enum(&["ORDERED", "ALLOW_UNORDERED"]),
    "Whether the rows of a lookup join keep their order; if not, a batch of rows leaves as soon as it has its answers.",
)
.default("ORDERED");
pub(super) const LOOKUP_BATCHES: OptionDecl = OptionDecl::new(
    "table.optimizer.dim-lookup-join.batch.enabled",
    ValueType::Boolean,
    "Whether lookup tables whose options do not say `lookup.async.batch.size` are asked for several keys at once.",
)
.default("false");
pub(super) const LOOKUP_BATCH_SIZE: OptionDecl =
    OptionDecl::new("table.optimizer.dim-lookup-join.batch.size", ValueType::Integer { min: 1, max: 65_536 }, "How many, at most.").default("100");
pub(super) const LOOKUP_BATCH_FLUSH: OptionDecl = OptionDecl::new(
    "table.optimizer.dim-lookup-join.batch.flush.millis",
    POSITIVE,
    "How many milliseconds keys wait for others, where `lookup.async.batch.linger` does not say.",
)
.default("2000");
const ZONE: OptionDecl = OptionDecl::new("table.local-time-zone", ValueType::String, "Session time zone. Only UTC has an effect yet.").default("UTC");
const RESTART: OptionDecl = OptionDecl::new(
    "restart-strategy.type",
    ValueType::Enum(&["none", "off", "disable", "fixed-delay", "failure-rate", "exponential-delay"]),
    "How the job restarts in the process after a passing failure.",
)
.default("exponential-delay")
.deprecated(&["restart-strategy"]);

/// What keys begin with that are defaults of options of reads of Iceberg tables.
pub(super) const READING: &str = "connector.iceberg.";
const READS: &str = "Default of the option of that name for all reads of Iceberg tables; a hint wins over it.";
const STREAMS: &str = "Default of the option of that name for all streams over Iceberg tables; a hint wins over it.";
const ANY: ValueType = ValueType::Integer { min: -1, max: i64::MAX };

/// Every SET key that Weir acts on.
pub const SETTINGS: &[OptionDecl] = &[
    NAME,
    INTERVAL,
    DIR,
    TIMEOUT,
    RETAINED,
    OptionDecl::new(
        "execution.checkpointing.mode",
        ValueType::Enum(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        "Guarantee of the job; always exactly once.",
    )
    .default("EXACTLY_ONCE"),
    RUNTIME_MODE,
    FROM,
    TO,
    PARALLELISM,
    VALIDATION,
    HINTS,
    NOT_NULL,
    TMP_DIRS,
    DISABLED_OPERATORS,
    CACHE,
    CACHE_SIZE,
    LOOKUP_CAPACITY,
    LOOKUP_TIMEOUT,
    LOOKUP_ORDER,
    LOOKUP_BATCHES,
    LOOKUP_BATCH_SIZE,
    LOOKUP_BATCH_FLUSH,
    ZONE,
    RESTART,
    OptionDecl::new("restart-strategy.exponential-delay.initial-backoff", ValueType::Duration, "First wait.").default("1 s"),
    OptionDecl::new("restart-strategy.exponential-delay.max-backoff", ValueType::Duration, "Longest wait.").default("5 min"),
    OptionDecl::new("restart-strategy.exponential-delay.backoff-multiplier", ValueType::Double, "Growth of the wait.").default("2.0"),
    OptionDecl::new("restart-strategy.exponential-delay.reset-backoff-threshold", ValueType::Duration, "Calm after which the wait starts over.")
        .default("1 h"),
    OptionDecl::new("restart-strategy.exponential-delay.jitter-factor", ValueType::Double, "Share of the wait that is random.").default("0.1"),
    OptionDecl::new(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        COUNT,
        "Restarts after which the job ends. Default: no limit.",
    ),
    OptionDecl::new("restart-strategy.fixed-delay.attempts", COUNT, "Restarts after which the job ends.").default("1"),
    OptionDecl::new("restart-strategy.fixed-delay.delay", ValueType::Duration, "Wait before a restart.").default("1 s"),
    OptionDecl::new("restart-strategy.failure-rate.max-failures-per-interval", COUNT, "Failures in an interval after which the job ends.")
        .default("1"),
    OptionDecl::new("restart-strategy.failure-rate.failure-rate-interval", ValueType::Duration, "The interval.").default("1 min"),
    OptionDecl::new("restart-strategy.failure-rate.delay", ValueType::Duration, "Wait before a restart.").default("1 s"),
    OptionDecl::new(
        "execution.allow-shared-source",
        ValueType::Boolean,
        "Whether the job may write into a table that holds rows which a job of another name read from the same splits.",
    )
    .default("false"),
    OptionDecl::new(
        "connector.iceberg.streaming",
        ValueType::Boolean,
        "Whether INSERTs of a job read Iceberg tables as streams; a hint wins over it. Queries read them as they are.",
    ),
    OptionDecl::new("connector.iceberg.monitor-interval", ValueType::Duration, STREAMS),
    OptionDecl::new("connector.iceberg.starting-strategy", ValueType::String, STREAMS),
    OptionDecl::new("connector.iceberg.max-planning-snapshot-count", POSITIVE, STREAMS),
    OptionDecl::new("connector.iceberg.max-allowed-planning-failures", ANY, STREAMS),
    OptionDecl::new("connector.iceberg.watermark-column", ValueType::String, STREAMS),
    OptionDecl::new("connector.iceberg.watermark-column-time-unit", ValueType::String, STREAMS),
    OptionDecl::new("connector.iceberg.split-size", ValueType::MemorySize, READS),
    OptionDecl::new("connector.iceberg.split-lookback", POSITIVE, READS),
    OptionDecl::new("connector.iceberg.split-file-open-cost", ValueType::MemorySize, READS),
    OptionDecl::new("connector.iceberg.limit", ANY, READS),
    OptionDecl::new("connector.iceberg.include-column-stats", ValueType::Boolean, READS),
    OptionDecl::new("connector.iceberg.case-sensitive", ValueType::Boolean, READS),
    OptionDecl::new("fs.alias.*", ValueType::String, "Names of one's own for file systems; see the table of scheme aliases."),
    OptionDecl::new("fs.default-scheme", ValueType::String, "Scheme or alias, with an authority perhaps, of paths without scheme.").default("file"),
    OptionDecl::new("fs.request.deadline", ValueType::Duration, "How long a request to a store is tried before its error is final.").default("60 s"),
    OptionDecl::new("fs.request.timeout", ValueType::Duration, "How long one try of a request may take, plus a second for each MiB.").default("20 s"),
    OptionDecl::new(
        "fs.request.put-if-absent",
        ValueType::Enum(&["require", "look-first"]),
        "What is done where an object store lets a second writer replace a checkpoint or claim, which is tried out: it is refused, or the name is looked at \
         before and after, which two processes of one job may get past.",
    )
    .default("require"),
    OptionDecl::new("fs.file.sync", ValueType::Boolean, "Whether local files are flushed to the disk when they are closed.").default("true"),
    OptionDecl::new("fs.defaultFS", ValueType::String, "The cluster of `hdfs:///` URIs, over that of `core-site.xml`."),
    OptionDecl::new("fs.viewfs.*", ValueType::String, "Mounts of `viewfs`, as in Hadoop."),
    OptionDecl::new("fs.s3a.*", ValueType::String, "Configuration of S3 as Hadoop spells it."),
    OptionDecl::new("fs.oss.*", ValueType::String, "Configuration of OSS as Hadoop spells it."),
    OptionDecl::new("fs.cosn.*", ValueType::String, "Configuration of COS as Hadoop spells it."),
    OptionDecl::new("fs.obs.*", ValueType::String, "Configuration of OBS as Hadoop spells it."),
    OptionDecl::new("s3.*", ValueType::String, "Configuration of S3 and stores that speak its protocol."),
    OptionDecl::new("fs.gs.*", ValueType::String, "Configuration of Google Cloud Storage as Hadoop spells it."),
    OptionDecl::new("gcs.*", ValueType::String, "Configuration of Google Cloud Storage."),
    OptionDecl::new("fs.azure.*", ValueType::String, "Configuration of Azure storage as Hadoop spells it."),
    OptionDecl::new("adls.*", ValueType::String, "Configuration of Azure storage."),
    OptionDecl::new("dfs.*", ValueType::String, "Entries of `hdfs-site.xml`, which they override."),
    OptionDecl::new("hadoop.*", ValueType::String, "Entries of `core-site.xml`, which they override; `hadoop.user.name` and `hadoop.kerberos.*`."),
    OptionDecl::new("hadoop-conf-dir", ValueType::String, "Folder with `core-site.xml` and `hdfs-site.xml`."),
];

/// Keys of Flink in name spaces of ours on which Weir does not act yet.
pub(super) const NO_EFFECT: &[&str] = &[
    "execution.checkpointing.min-pause",
    "execution.checkpointing.tolerable-failed-checkpoints",
    "execution.checkpointing.max-concurrent-checkpoints",
    "execution.checkpointing.externalized-checkpoint-retention",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.incremental",
    "execution.checkpointing.unaligned",
    "execution.checkpointing.unaligned.enabled",
    "execution.checkpointing.storage",
    "execution.state-recovery.path",
    "execution.savepoint.path",
    "execution.attached",
    "fs.allowed-fallback-filesystems",
    "fs.overwrite-files",
    "fs.output.always-create-directory",
    "execution.target",
    "state.savepoints.dir",
    "state.backend",
    "state.backend.type",
    "state.backend.incremental",
    "state.backend.rocksdb.memory.managed",
    "pipeline.max-parallelism",
    "pipeline.auto-watermark-interval",
    "pipeline.object-reuse",
    "pipeline.operator-chaining",
    "pipeline.operator-chaining.enabled",
    "pipeline.jars",
    "pipeline.classpaths",
    "table.exec.state.ttl",
    "table.exec.mini-batch.enabled",
    "table.exec.mini-batch.allow-latency",
    "table.exec.mini-batch.size",
    "table.exec.source.idle-timeout",
    "table.exec.source.cdc-events-duplicate",
    "table.exec.async-lookup.key-ordered-enabled",
    "table.exec.sink.upsert-materialize",
    "table.exec.sink.keyed-shuffle",
    "table.exec.sink.type-length-enforcer",
    "table.exec.interval-join.min-cleanup-interval",
    "table.exec.rank.topn-cache-size",
    "table.exec.emit.early-fire.enabled",
    "table.exec.emit.early-fire.delay",
    "table.exec.emit.late-fire.enabled",
    "table.exec.emit.late-fire.delay",
    "table.exec.emit.allow-lateness",
    "table.exec.emit.mode",
    "table.exec.legacy-cast-behaviour",
    "table.exec.iceberg.infer-source-parallelism",
    "table.exec.iceberg.infer-source-parallelism.max",
    "table.exec.iceberg.worker-pool-size",
    "table.exec.iceberg.fetch-batch-record-count",
    "table.exec.iceberg.use-flip27-source",
    "table.exec.iceberg.use-v2-sink",
    "table.exec.iceberg.split-assigner-type",
    "table.exec.iceberg.expose-split-locality-info",
    "table.optimizer.agg-phase-strategy",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.join-reorder-enabled",
    "table.dml-sync",
    "table.planner",
    "table.sql-dialect",
    "io.manifest.cache.expiration-interval-ms",
    "io.manifest.cache.max-content-length",
    "table.display.max-column-width",
    "table.rtas-ctas.atomicity-enabled",
];

/// Name spaces in which an unknown key is an error.
pub(super) const OWNED: &[&str] = &[
    "execution.",
    "table.",
    "pipeline.",
    "restart-strategy",
    "state.",
    "parallelism.",
    "fs.",
    "io.manifest.",
    "compact.",
    "flink-maintenance.",
    READING,
];
/// Name spaces of Flink's processes, which Weir does not have.
pub(super) const FOREIGN: &[&str] = &[
    "taskmanager.",
    "jobmanager.",
    "sql-client.",
    "rest.",
    "kubernetes.",
    "high-availability",
    "yarn.",
    "metrics.",
    "classloader.",
    "akka.",
    "pekko.",
];
