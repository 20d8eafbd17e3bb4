//! Properties of tables: which keys exist, what Weir writes into new tables, and typed reading.

use std::collections::HashMap;
use std::str::FromStr;

use weir_base::options::closest;

use crate::error::CatalogError;

/// Prefixes in which a key must be known.
const CHECKED: [&str; 5] = ["write.", "read.", "commit.", "history.", "gc."];

/// Known keys. One that ends in `.` is a prefix: a column name follows.
const KNOWN: &[&str] = &[
    "write.format.default",
    "write.delete.format.default",
    "write.target-file-size-bytes",
    "write.delete.target-file-size-bytes",
    "write.distribution-mode",
    "write.delete.distribution-mode",
    "write.update.distribution-mode",
    "write.merge.distribution-mode",
    "write.delete.mode",
    "write.update.mode",
    "write.merge.mode",
    "write.delete.isolation-level",
    "write.update.isolation-level",
    "write.merge.isolation-level",
    "write.delete.granularity",
    "write.upsert.enabled",
    "write.wap.enabled",
    "write.location-provider.impl",
    "write.object-storage.enabled",
    "write.object-storage.partitioned-paths",
    "write.data.path",
    "write.metadata.path",
    "write.metadata.compression-codec",
    "write.metadata.delete-after-commit.enabled",
    "write.metadata.previous-versions-max",
    "write.metadata.metrics.default",
    "write.metadata.metrics.max-inferred-column-defaults",
    "write.metadata.metrics.column.",
    "write.summary.partition-limit",
    "write.manifest-lists.enabled",
    "write.spark.fanout.enabled",
    "write.spark.accept-any-schema",
    "write.spark.advisory-partition-size-bytes",
    "write.datafusion.fanout.enabled",
    "write.parquet.compression-codec",
    "write.parquet.compression-level",
    "write.parquet.row-group-size-bytes",
    "write.parquet.page-size-bytes",
    "write.parquet.page-row-limit",
    "write.parquet.dict-size-bytes",
    "write.parquet.page-version",
    "write.parquet.row-group-check-min-record-count",
    "write.parquet.row-group-check-max-record-count",
    "write.parquet.bloom-filter-enabled.column.",
    "write.parquet.bloom-filter-fpp.column.",
    "write.parquet.bloom-filter-ndv.column.",
    "write.parquet.bloom-filter-max-bytes",
    "write.parquet.stats-enabled.column.",
    "write.parquet.shred-variants",
    "write.parquet.variant-inference-buffer-size",
    "write.parquet.content-defined-chunking.enabled",
    "write.parquet.content-defined-chunking.min-chunk-size",
    "write.parquet.content-defined-chunking.max-chunk-size",
    "write.parquet.content-defined-chunking.norm-level",
    "write.delete.parquet.compression-codec",
    "write.delete.parquet.compression-level",
    "write.delete.parquet.row-group-size-bytes",
    "write.delete.parquet.page-size-bytes",
    "write.delete.parquet.page-row-limit",
    "write.delete.parquet.dict-size-bytes",
    "write.avro.compression-codec",
    "write.avro.compression-level",
    "write.delete.avro.compression-codec",
    "write.delete.avro.compression-level",
    "write.orc.stripe-size-bytes",
    "write.orc.block-size-bytes",
    "write.orc.vectorized.batch-size",
    "write.orc.compression-codec",
    "write.orc.compression-strategy",
    "write.orc.bloom.filter.columns",
    "write.orc.bloom.filter.fpp",
    "read.split.target-size",
    "read.split.metadata-target-size",
    "read.split.planning-lookback",
    "read.split.open-file-cost",
    "read.split.adaptive-size.enabled",
    "read.parquet.vectorization.enabled",
    "read.parquet.vectorization.batch-size",
    "read.orc.vectorization.enabled",
    "read.orc.vectorization.batch-size",
    "read.data-planning-mode",
    "read.delete-planning-mode",
    "commit.retry.num-retries",
    "commit.retry.min-wait-ms",
    "commit.retry.max-wait-ms",
    "commit.retry.total-timeout-ms",
    "commit.status-check.num-retries",
    "commit.status-check.min-wait-ms",
    "commit.status-check.max-wait-ms",
    "commit.status-check.total-timeout-ms",
    "commit.manifest.target-size-bytes",
    "commit.manifest.min-count-to-merge",
    "commit.manifest-merge.enabled",
    "history.expire.max-snapshot-age-ms",
    "history.expire.min-snapshots-to-keep",
    "history.expire.max-ref-age-ms",
    "gc.enabled",
];

/// Set to `true`, jobs expire the snapshots that they made themselves, by `history.expire.*`.
pub(crate) const EXPIRE_OWN: &str = "weir.expire-snapshots.enabled";

/// What a new table gets unless its creator says otherwise: small metadata under frequent commits, and a codec that old readers of
/// Iceberg would not choose by themselves.
pub(crate) const NEW_TABLE: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "20"),
];

/// Checks the keys of a table's properties.
///
/// A key under `write.`, `read.`, `commit.`, `history.` or `gc.` must be one that Iceberg knows: a misspelt one would do nothing, in
/// silence. A prefix `x.` lets any key through; Weir's own `weir.` is refused but for the switch that it documents.
///
/// # Errors
/// Every unknown key with its nearest known ones, all in one message.
pub fn check_properties(properties: &HashMap<String, String>) -> Result<(), CatalogError> {
    let mut wrong: Vec<String> = properties.keys().filter(|key| !is_allowed(key)).map(|key| complaint(key)).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort_unstable();
    Err(CatalogError::user(wrong.join("\n")))
}

fn is_allowed(key: &str) -> bool {
    if key.starts_with("weir.") {
        return key == EXPIRE_OWN;
    }
    !CHECKED.iter().any(|prefix| key.starts_with(prefix)) || KNOWN.iter().any(|known| matches(known, key))
}

fn matches(known: &str, key: &str) -> bool {
    if known.ends_with('.') { key.len() > known.len() && key.starts_with(known) } else { known == key }
}

fn complaint(key: &str) -> String {
    let near = closest(key, KNOWN.iter().copied().chain([EXPIRE_OWN]));
    let quoted: Vec<String> = near.iter().map(|name| format!("'{name}'")).collect();
    let suggestion = if quoted.is_empty() { String::new() } else { format!(" Did you mean {}?", quoted.join(" or ")) };
    format!("Unknown table property '{key}'.{suggestion} (A property of your own can be stored as 'x.{key}'.)")
}

/// The value of `key`, or `default` if the table does not say, or says nonsense (which warns).
pub(crate) fn value_or<T: FromStr>(properties: &HashMap<String, String>, key: &'static str, default: T) -> T {
    let Some(text) = properties.get(key) else { return default };
    match text.trim().to_ascii_lowercase().parse() {
        Ok(value) => value,
        Err(_unreadable) => {
            tracing::warn!(key, value = %text, "table property cannot be read, the default is taken");
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[&str]) -> Result<(), CatalogError> {
        check_properties(&keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect())
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_neighbour() {
        let error = check(&["write.parquet.compresion-codec", "gc.enable", "owner"]).expect_err("two are wrong").to_string();
        assert!(error.contains("Did you mean 'write.parquet.compression-codec'"), "{error}");
        assert!(error.contains("'gc.enabled'"), "{error}");
        assert!(!error.contains("owner"), "{error}");
    }

    #[test]
    fn own_keys_column_keys_and_the_switch_pass() {
        check(&["x.write.anything", "comment", "write.parquet.bloom-filter-enabled.column.id", "commit.retry.num-retries", EXPIRE_OWN])
            .expect("fine");
        check(&["write.parquet.bloom-filter-enabled.column."]).expect_err("no column");
        check(&["weir.orders.orders.epoch"]).expect_err("markers are not for users");
    }

    #[test]
    fn defaults_of_new_tables_are_known_keys() {
        check(&NEW_TABLE.map(|(key, _)| key)).expect("known");
    }
}
