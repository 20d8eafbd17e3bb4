//! The check of table properties that users set in WITH. Which there are is declared in the catalog.

use weir_base::options::{OptionBag, OptionDecl, ValueType};
use weir_catalog::properties::declared::{METRICS, METRICS_OF};
use weir_catalog::properties::{TABLE_PROPERTIES, is_allowed};

use super::upkeep::is_of_upkeep;

/// Checks the table properties in `bag`: declared ones are pulled and must parse, others that a table may have are pulled as they are. What
/// is left over is neither.
pub(super) fn check_table_properties(bag: &mut OptionBag) {
    let keys: Vec<String> = bag.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        match TABLE_PROPERTIES.iter().find(|decl| decl.matches(&key)) {
            Some(decl) => check_one(bag, decl, &key),
            None if is_allowed(&key) && !is_of_upkeep(&key) => take(bag, &key),
            None => {}
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
pub(super) fn take(bag: &mut OptionBag, key: &str) {
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
            ("weir.orders.orders.epoch", "7"),
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
            ("write.wap.enabled", "true"),
            ("write.parquet.bloom-filter-fpp.column.a", "0.01"),
            ("read.parquet.vectorization.batch-size", "5000"),
            ("commit.status-check.total-timeout-ms", "60000"),
            ("weir.expire-snapshots.enabled", "true"),
            ("x.mine", "1"),
            ("owner", "me"),
        ];
        assert_eq!(checked(&right), Ok(Vec::new()));
    }
}
