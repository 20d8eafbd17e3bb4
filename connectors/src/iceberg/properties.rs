//! Table properties that users set in WITH: what they are, and the check of a whole bag of them.

use weir_base::options::{OptionBag, OptionDecl, ValueType};

const COUNT: ValueType = ValueType::Integer { min: 0, max: i64::MAX };
const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i64::MAX };

/// Codecs of Parquet files.
pub(super) const CODECS: ValueType = ValueType::Enum(&["zstd", "snappy", "gzip", "lz4", "uncompressed"]);
/// Modes of distribution.
pub(super) const DISTRIBUTIONS: ValueType = ValueType::Enum(&["none", "hash", "range"]);
/// File formats.
pub(super) const FORMATS: ValueType = ValueType::Enum(&["parquet", "avro", "orc"]);

pub(super) const FORMAT: OptionDecl = OptionDecl::new("write.format.default", FORMATS, "Format of data files; only Parquet can be written.");
pub(super) const TARGET_SIZE: OptionDecl =
    OptionDecl::new("write.target-file-size-bytes", ValueType::MemorySize, "Size at which a new data file is begun.").default("512 mb");
pub(super) const DISTRIBUTION: OptionDecl =
    OptionDecl::new("write.distribution-mode", DISTRIBUTIONS, "How rows are spread over writers: `none` or `hash`.").default("none");
pub(super) const UPSERT: OptionDecl =
    OptionDecl::new("write.upsert.enabled", ValueType::Boolean, "Upsert semantics; not supported yet.").default("false");
pub(super) const CODEC: OptionDecl = OptionDecl::new("write.parquet.compression-codec", CODECS, "Compression of Parquet pages.").default("zstd");
pub(super) const LEVEL: OptionDecl =
    OptionDecl::new("write.parquet.compression-level", ValueType::Integer { min: 0, max: 22 }, "Level of zstd (default 1) or gzip (default 6).");
pub(super) const ROW_GROUP: OptionDecl = OptionDecl::new(
    "write.parquet.row-group-size-bytes",
    ValueType::MemorySize,
    "Encoded size at which a row group ends. Default 32 MiB, less when memory is short.",
);
pub(super) const PAGE_SIZE: OptionDecl =
    OptionDecl::new("write.parquet.page-size-bytes", ValueType::MemorySize, "Size of a data page.").default("1 mb");
pub(super) const PAGE_ROWS: OptionDecl = OptionDecl::new("write.parquet.page-row-limit", POSITIVE, "Rows of a data page.").default("20000");
pub(super) const DICT_SIZE: OptionDecl =
    OptionDecl::new("write.parquet.dict-size-bytes", ValueType::MemorySize, "Size at which a dictionary is given up.").default("2 mb");
pub(super) const BLOOM: OptionDecl =
    OptionDecl::new("write.parquet.bloom-filter-enabled.column.#", ValueType::Boolean, "Writes a bloom filter for a column.");
pub(super) const METRICS: OptionDecl = OptionDecl::new(
    "write.metadata.metrics.default",
    ValueType::String,
    "Column metrics in manifests: `none`, `counts`, `truncate(n)` or `full`. Default `truncate(16)` for the first 100 columns.",
);
pub(super) const METRICS_OF: OptionDecl = OptionDecl::new("write.metadata.metrics.column.#", ValueType::String, "Column metrics of one column.");
pub(super) const DATA_PATH: OptionDecl =
    OptionDecl::new("write.data.path", ValueType::String, "Where data files are put. Default `<location>/data`.");

/// Every property that Weir knows. Others that begin with `write.`, `read.`, `commit.`, `history.` or `gc.` are refused by
/// [`check_table_properties`]; a property of somebody else may be kept under a name that begins with `x.`.
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
    OptionDecl::new("write.delete.mode", ValueType::String, "For other engines."),
    OptionDecl::new("write.update.mode", ValueType::String, "For other engines."),
    OptionDecl::new("write.merge.mode", ValueType::String, "For other engines."),
    OptionDecl::new("write.metadata.delete-after-commit.enabled", ValueType::Boolean, "Whether old metadata files are removed after a commit.")
        .default("true"),
    OptionDecl::new("write.metadata.previous-versions-max", COUNT, "How many old metadata files are kept.").default("20"),
    OptionDecl::new("write.object-storage.enabled", ValueType::Boolean, "For other engines."),
    OptionDecl::new("read.split.target-size", ValueType::MemorySize, "Bytes of one read task.").default("128 mb"),
    OptionDecl::new("read.split.planning-lookback", COUNT, "For other engines.").default("10"),
    OptionDecl::new("read.split.open-file-cost", ValueType::MemorySize, "For other engines.").default("4 mb"),
    OptionDecl::new("commit.retry.num-retries", COUNT, "Retries of a commit that met another writer's.").default("100"),
    OptionDecl::new("commit.retry.min-wait-ms", COUNT, "Shortest wait between retries.").default("50"),
    OptionDecl::new("commit.retry.max-wait-ms", COUNT, "Longest wait between retries.").default("10000"),
    OptionDecl::new("commit.retry.total-timeout-ms", COUNT, "Deadline of a commit, ten minutes at most.").default("600000"),
    OptionDecl::new("commit.status-check.num-retries", COUNT, "For other engines: Weir looks for its snapshot until the deadline."),
    OptionDecl::new("commit.manifest.min-count-to-merge", COUNT, "Manifests at which an append merges them.").default("100"),
    OptionDecl::new("commit.manifest.target-size-bytes", ValueType::MemorySize, "Size of merged manifests.").default("8 mb"),
    OptionDecl::new("commit.manifest-merge.enabled", ValueType::Boolean, "Whether appends merge manifests.").default("true"),
    OptionDecl::new("history.expire.max-snapshot-age-ms", COUNT, "Age at which snapshots may be expired.").default("432000000"),
    OptionDecl::new("history.expire.min-snapshots-to-keep", COUNT, "Snapshots that are always kept.").default("1"),
    OptionDecl::new("history.expire.max-ref-age-ms", COUNT, "Age at which branches and tags may be expired."),
    OptionDecl::new("gc.enabled", ValueType::Boolean, "Whether files may be deleted when snapshots expire.").default("true"),
    OptionDecl::new(
        "weir.expire-snapshots.enabled",
        ValueType::Boolean,
        "Whether jobs expire the snapshots that they made themselves, as `history.expire.*` say.",
    )
    .default("false"),
];

const CHECKED: [&str; 5] = ["write.", "read.", "commit.", "history.", "gc."];

/// Checks the table properties in `bag`: known ones are pulled and must parse, others outside Iceberg's name spaces are pulled as they are.
/// What is left over in those name spaces is nothing that Iceberg knows.
pub fn check_table_properties(bag: &mut OptionBag) {
    let keys: Vec<String> = bag.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        match TABLE_PROPERTIES.iter().find(|decl| decl.matches(&key)) {
            Some(decl) => check_one(bag, decl, &key),
            None if CHECKED.iter().any(|prefix| key.starts_with(prefix)) => {}
            None => take(bag, &key),
        }
    }
}

fn check_one(bag: &mut OptionBag, decl: &OptionDecl, key: &str) {
    if let Some((prefix, _)) = decl.key.split_once('#') {
        let column = key.strip_prefix(prefix).unwrap_or_default();
        bag.named(column, std::slice::from_ref(decl), |bag| pull(bag, decl));
    } else {
        pull(bag, decl);
    }
    if (decl.key == METRICS.key || decl.key == METRICS_OF.key)
        && let Some(text) = bag.peek(key)
        && super::write::MetricsMode::parse(text).is_none()
    {
        let what = format!("Invalid value for option '{key}': '{text}'. Expected one of: [none, counts, truncate(<n>), full].");
        bag.error("OPT-004", key, what);
    }
}

/// Pulls a key that nobody declares. The longer keys that begin with it are none of Iceberg's either.
fn take(bag: &mut OptionBag, key: &str) {
    let Some((last, _)) = key.char_indices().next_back() else { return };
    drop(bag.prefixed(&key[..last]));
}

fn pull(bag: &mut OptionBag, decl: &OptionDecl) {
    match decl.ty {
        ValueType::Boolean => drop(bag.boolean(decl)),
        ValueType::Integer { .. } => drop(bag.integer(decl)),
        ValueType::MemorySize => drop(bag.bytes(decl)),
        ValueType::Enum(_) => drop(bag.choice(decl)),
        ValueType::String | ValueType::Double | ValueType::Duration | ValueType::List => drop(bag.string(decl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::options::{Problem, Problems};

    fn checked(properties: &[(&str, &str)]) -> Result<Vec<Problem>, Problems> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in properties {
            bag.insert(*key, *value, None);
        }
        check_table_properties(&mut bag);
        bag.finish("iceberg", &TABLE_PROPERTIES.iter().collect::<Vec<_>>(), &[])
    }

    #[test]
    fn wrong_properties_are_reported_together() {
        let wrong = [
            ("write.parquet.compresion-codec", "zstd"),
            ("write.target-file-size-bytes", "many"),
            ("write.metadata.metrics.default", "some"),
            ("write.parquet.bloom-filter-enabled.column.id", "yes"),
        ];
        let problems = checked(&wrong).expect_err("all are wrong");
        assert_eq!(problems.as_slice().len(), wrong.len(), "{problems}");
        assert!(problems.to_string().contains("Did you mean 'write.parquet.compression-codec'"), "{problems}");
    }

    #[test]
    fn right_properties_and_those_of_others_pass() {
        let right = [
            ("write.parquet.compression-codec", "LZ4"),
            ("write.parquet.bloom-filter-enabled.column.a.b", "true"),
            ("write.metadata.metrics.column.a", "truncate(8)"),
            ("gc.enabled", "false"),
            ("x.mine", "1"),
            ("owner", "me"),
        ];
        assert_eq!(checked(&right), Ok(Vec::new()));
    }
}
