//! Properties of tables: which keys exist, what Weir writes into new tables, and typed reading.
//!
//! The keys are declared once, in [`declared`]; SQL takes what is declared here, and so does the creation of a table.

pub mod declared;

use std::collections::HashMap;
use std::str::FromStr;

use weir_base::options::closest;

use crate::error::CatalogError;

pub use declared::TABLE_PROPERTIES;

/// Prefixes in which a key must be declared: those of Iceberg, where a misspelt key would do nothing, and our own.
const RESERVED: [&str; 6] = ["write.", "read.", "commit.", "history.", "gc.", "weir."];

/// What a new table gets unless its creator says otherwise: small metadata under frequent commits, and a codec that old readers of
/// Iceberg would not choose by themselves.
pub(crate) const NEW_TABLE: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "20"),
];

/// Checks the keys of a table's properties.
///
/// # Errors
/// Every key that [`is_allowed`] refuses, with its nearest known ones, all in one message.
pub fn check_properties(properties: &HashMap<String, String>) -> Result<(), CatalogError> {
    let mut wrong: Vec<String> = properties.keys().filter(|key| !is_allowed(key)).map(|key| complaint(key)).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort_unstable();
    Err(CatalogError::user(wrong.join("\n")))
}

/// Whether a table may be given the property `key`: it is declared, or it lies outside the name spaces of Iceberg and Weir, where a
/// misspelt one would do nothing, in silence. A prefix `x.` lets any key through.
#[must_use]
pub fn is_allowed(key: &str) -> bool {
    TABLE_PROPERTIES.iter().any(|decl| decl.matches(key)) || !RESERVED.iter().any(|prefix| key.starts_with(prefix))
}

fn complaint(key: &str) -> String {
    let near = closest(key, TABLE_PROPERTIES.iter().map(|decl| decl.key));
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
        check(&["x.write.anything", "comment", "write.parquet.bloom-filter-enabled.column.id", "commit.retry.num-retries", declared::EXPIRE_OWN.key])
            .expect("fine");
        check(&["write.parquet.bloom-filter-enabled.column."]).expect_err("no column");
        check(&["weir.orders.orders.epoch"]).expect_err("markers are not for users");
    }

    #[test]
    fn defaults_of_new_tables_are_known_keys() {
        check(&NEW_TABLE.map(|(key, _)| key)).expect("known");
    }
}
