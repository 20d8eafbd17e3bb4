//! Every property of a table that Weir or Iceberg knows, declared once.

use weir_base::options::{OptionDecl, ValueType};

const COUNT: ValueType = ValueType::Integer { min: 0, max: i64::MAX };
const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i64::MAX };

/// Codecs of Parquet files.
pub const CODECS: ValueType = ValueType::Enum(&["zstd", "snappy", "gzip", "lz4", "uncompressed"]);
/// Modes of distribution.
pub const DISTRIBUTIONS: ValueType = ValueType::Enum(&["none", "hash", "range"]);
/// File formats.
pub const FORMATS: ValueType = ValueType::Enum(&["parquet", "avro", "orc"]);

/// Format of data files.
pub const FORMAT: OptionDecl = OptionDecl::new("write.format.default", FORMATS, "Format of data files; only Parquet can be written.");
/// Size of data files.
pub const TARGET_SIZE: OptionDecl =
    OptionDecl::new("write.target-file-size-bytes", ValueType::MemorySize, "Size at which a new data file is begun.").default("512 mb");
/// How rows are spread over writers.
pub const DISTRIBUTION: OptionDecl =
    OptionDecl::new("write.distribution-mode", DISTRIBUTIONS, "How rows are spread over writers: `none` or `hash`.").default("none");
/// Upsert semantics.
pub const UPSERT: OptionDecl = OptionDecl::new("write.upsert.enabled", ValueType::Boolean, "Upsert semantics; not supported yet.").default("false");
/// Codec of Parquet files.
pub const CODEC: OptionDecl = OptionDecl::new("write.parquet.compression-codec", CODECS, "Compression of Parquet pages.").default("zstd");
/// Level of the codec.
pub const LEVEL: OptionDecl =
    OptionDecl::new("write.parquet.compression-level", ValueType::Integer { min: 0, max: 22 }, "Level of zstd (default 1) or gzip (default 6).");
/// Size of row groups.
pub const ROW_GROUP: OptionDecl = OptionDecl::new(
    "write.parquet.row-group-size-bytes",
    ValueType::MemorySize,
    "Encoded size at which a row group ends. Default 32 MiB, less when memory is short.",
);
/// Size of pages.
pub const PAGE_SIZE: OptionDecl = OptionDecl::new("write.parquet.page-size-bytes", ValueType::MemorySize, "Size of a data page.").default("1 mb");
/// Rows of pages.
pub const PAGE_ROWS: OptionDecl = OptionDecl::new("write.parquet.page-row-limit", POSITIVE, "Rows of a data page.").default("20000");
/// Size of dictionaries.
pub const DICT_SIZE: OptionDecl =
    OptionDecl::new("write.parquet.dict-size-bytes", ValueType::MemorySize, "Size at which a dictionary is given up.").default("2 mb");
/// Bloom filter of a column.
pub const BLOOM: OptionDecl =
    OptionDecl::new("write.parquet.bloom-filter-enabled.column.#", ValueType::Boolean, "Writes a bloom filter for a column.");
/// Metrics of all columns.
pub const METRICS: OptionDecl = OptionDecl::new(
    "write.metadata.metrics.default",
    ValueType::String,
    "Column metrics in manifests: `none`, `counts`, `truncate(n)` or `full`. Default `truncate(16)` for the first 100 columns.",
);
/// Metrics of one column.
pub const METRICS_OF: OptionDecl = OptionDecl::new("write.metadata.metrics.column.#", ValueType::String, "Column metrics of one column.");
/// Folder of data files.
pub const DATA_PATH: OptionDecl = OptionDecl::new("write.data.path", ValueType::String, "Where data files are put. Default `<location>/data`.");

/// The switch for expiry by jobs.
pub const EXPIRE_OWN: OptionDecl = OptionDecl::new(
    "weir.expire-snapshots.enabled",
    ValueType::Boolean,
    "Whether jobs expire the snapshots that they made themselves, as `history.expire.*` and the two below say.",
)
.default("false");
/// How many own snapshots stay.
pub const EXPIRE_RETAIN: OptionDecl = OptionDecl::new(
    "weir.expire-snapshots.retain-at-most",
    POSITIVE,
    "Snapshots of a branch beyond the newest so many are expired by the job that made them, once they are old enough: it bounds metadata.json.",
)
.default("100");
/// How old they must be.
pub const EXPIRE_MIN_AGE: OptionDecl =
    OptionDecl::new("weir.expire-snapshots.min-age-ms", COUNT, "Age up to which snapshots stay, however many there are.").default("600000");

/// Isolation of DELETE.
pub const DELETE_ISOLATION: OptionDecl = OptionDecl::new(
    "write.delete.isolation-level",
    ISOLATIONS,
    "`serializable`: DELETE fails if another commit has meanwhile added files that may hold rows it is about; `snapshot`: such rows stay.",
)
.default("serializable");

/// Isolation of UPDATE.
pub const UPDATE_ISOLATION: OptionDecl = OptionDecl::new("write.update.isolation-level", ISOLATIONS, "The same for UPDATE.").default("serializable");

const ISOLATIONS: ValueType = ValueType::Enum(&["serializable", "snapshot"]);

/// A property that Iceberg knows and Weir keeps, but does not use.
const fn for_others(key: &'static str, ty: ValueType) -> OptionDecl {
    OptionDecl::new(key, ty, "For other engines.")
}

/// Every property that is known. Others in Iceberg's name spaces are refused, see [`super::is_allowed`].
pub const TABLE_PROPERTIES: &[OptionDecl] = &[
    OptionDecl::new("format-version", ValueType::Integer { min: 1, max: 3 }, "Version of the table format.").default("2"),
    FORMAT,
    TARGET_SIZE,
    DISTRIBUTION,
    UPSERT,
    CODEC,
    LEVEL,
    ROW_GROUP,
    PAGE_SIZE,
    PAGE_ROWS,
    DICT_SIZE,
    BLOOM,
    METRICS,
    METRICS_OF,
    DATA_PATH,
    OptionDecl::new("write.metadata.path", ValueType::String, "Where metadata files are put. Default `<location>/metadata`."),
    OptionDecl::new("write.delete.target-file-size-bytes", ValueType::MemorySize, "Size of delete files.").default("64 mb"),
    for_others("write.delete.mode", ValueType::String),
    for_others("write.update.mode", ValueType::String),
    for_others("write.merge.mode", ValueType::String),
    OptionDecl::new("write.metadata.delete-after-commit.enabled", ValueType::Boolean, "Whether old metadata files are removed after a commit.")
        .default("true"),
    OptionDecl::new("write.metadata.previous-versions-max", COUNT, "How many old metadata files are kept.").default("20"),
    for_others("write.object-storage.enabled", ValueType::Boolean),
    OptionDecl::new("read.split.target-size", ValueType::MemorySize, "Bytes of one read task.").default("128 mb"),
    for_others("read.split.planning-lookback", COUNT).default("10"),
    for_others("read.split.open-file-cost", ValueType::MemorySize).default("4 mb"),
    OptionDecl::new("commit.retry.num-retries", COUNT, "Retries of a commit that met another writer's.").default("100"),
    OptionDecl::new("commit.retry.min-wait-ms", COUNT, "Shortest wait between retries.").default("50"),
    OptionDecl::new("commit.retry.max-wait-ms", COUNT, "Longest wait after a commit of another writer.").default("2000"),
    OptionDecl::new(
        "commit.retry.total-timeout-ms",
        COUNT,
        "How long a commit races with other writers before the job begins anew. While the catalog or a store fails, a minute at most.",
    )
    .default("1800000"),
    OptionDecl::new("commit.status-check.num-retries", COUNT, "For other engines: Weir looks for its snapshot until the deadline."),
    OptionDecl::new("commit.manifest.min-count-to-merge", COUNT, "Manifests at which an append merges them.").default("100"),
    OptionDecl::new("commit.manifest.target-size-bytes", ValueType::MemorySize, "Size of merged manifests.").default("8 mb"),
    OptionDecl::new("commit.manifest-merge.enabled", ValueType::Boolean, "Whether appends merge manifests.").default("true"),
    OptionDecl::new("history.expire.max-snapshot-age-ms", COUNT, "Age at which snapshots may be expired.").default("432000000"),
    OptionDecl::new("history.expire.min-snapshots-to-keep", COUNT, "Snapshots that are always kept.").default("1"),
    OptionDecl::new("history.expire.max-ref-age-ms", COUNT, "Age at which branches and tags may be expired."),
    OptionDecl::new("gc.enabled", ValueType::Boolean, "Whether files may be deleted when snapshots expire.").default("true"),
    EXPIRE_OWN,
    EXPIRE_RETAIN,
    EXPIRE_MIN_AGE,
    for_others("write.delete.format.default", FORMATS),
    for_others("write.delete.distribution-mode", ValueType::String),
    for_others("write.update.distribution-mode", ValueType::String),
    for_others("write.merge.distribution-mode", ValueType::String),
    DELETE_ISOLATION,
    UPDATE_ISOLATION,
    for_others("write.merge.isolation-level", ValueType::String),
    for_others("write.delete.granularity", ValueType::String),
    for_others("write.wap.enabled", ValueType::Boolean),
    for_others("write.location-provider.impl", ValueType::String),
    for_others("write.object-storage.partitioned-paths", ValueType::Boolean),
    for_others("write.metadata.compression-codec", ValueType::String),
    for_others("write.metadata.metrics.max-inferred-column-defaults", COUNT),
    for_others("write.summary.partition-limit", COUNT),
    for_others("write.manifest-lists.enabled", ValueType::Boolean),
    for_others("write.spark.fanout.enabled", ValueType::Boolean),
    for_others("write.spark.accept-any-schema", ValueType::Boolean),
    for_others("write.spark.advisory-partition-size-bytes", ValueType::MemorySize),
    for_others("write.datafusion.fanout.enabled", ValueType::Boolean),
    for_others("write.parquet.page-version", ValueType::String),
    for_others("write.parquet.row-group-check-min-record-count", COUNT),
    for_others("write.parquet.row-group-check-max-record-count", COUNT),
    for_others("write.parquet.bloom-filter-fpp.column.#", ValueType::Double),
    for_others("write.parquet.bloom-filter-ndv.column.#", COUNT),
    for_others("write.parquet.bloom-filter-max-bytes", ValueType::MemorySize),
    for_others("write.parquet.stats-enabled.column.#", ValueType::Boolean),
    for_others("write.parquet.shred-variants", ValueType::Boolean),
    for_others("write.parquet.variant-inference-buffer-size", COUNT),
    for_others("write.parquet.content-defined-chunking.enabled", ValueType::Boolean),
    for_others("write.parquet.content-defined-chunking.min-chunk-size", ValueType::String),
    for_others("write.parquet.content-defined-chunking.max-chunk-size", ValueType::String),
    for_others("write.parquet.content-defined-chunking.norm-level", ValueType::String),
    for_others("write.delete.parquet.compression-codec", ValueType::String),
    for_others("write.delete.parquet.compression-level", ValueType::String),
    for_others("write.delete.parquet.row-group-size-bytes", ValueType::MemorySize),
    for_others("write.delete.parquet.page-size-bytes", ValueType::MemorySize),
    for_others("write.delete.parquet.page-row-limit", COUNT),
    for_others("write.delete.parquet.dict-size-bytes", ValueType::MemorySize),
    for_others("write.avro.compression-codec", ValueType::String),
    for_others("write.avro.compression-level", ValueType::String),
    for_others("write.delete.avro.compression-codec", ValueType::String),
    for_others("write.delete.avro.compression-level", ValueType::String),
    for_others("write.orc.stripe-size-bytes", ValueType::MemorySize),
    for_others("write.orc.block-size-bytes", ValueType::MemorySize),
    for_others("write.orc.vectorized.batch-size", COUNT),
    for_others("write.orc.compression-codec", ValueType::String),
    for_others("write.orc.compression-strategy", ValueType::String),
    for_others("write.orc.bloom.filter.columns", ValueType::String),
    for_others("write.orc.bloom.filter.fpp", ValueType::Double),
    for_others("read.split.metadata-target-size", ValueType::MemorySize),
    for_others("read.split.adaptive-size.enabled", ValueType::Boolean),
    for_others("read.parquet.vectorization.enabled", ValueType::Boolean),
    for_others("read.parquet.vectorization.batch-size", COUNT),
    for_others("read.orc.vectorization.enabled", ValueType::Boolean),
    for_others("read.orc.vectorization.batch-size", COUNT),
    for_others("read.data-planning-mode", ValueType::String),
    for_others("read.delete-planning-mode", ValueType::String),
    for_others("commit.status-check.min-wait-ms", COUNT),
    for_others("commit.status-check.max-wait-ms", COUNT),
    for_others("commit.status-check.total-timeout-ms", COUNT),
];
