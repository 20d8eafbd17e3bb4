//! The configuration file: settings for every command, over which SET wins.
//!
//! It is TOML: `[fs.alias.aahdfs]` with `scheme = "hdfs"` in it says the same as `SET 'fs.alias.aahdfs.scheme' = 'hdfs'`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::failure::Failure;

/// The file that is read when none is named, if it is there.
const DEFAULT: &str = "weir.toml";

/// Settings and where they come from.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) file: String,
    pub(crate) entries: BTreeMap<String, String>,
}

/// Reads the file `given`, or the default one if there is one.
pub(crate) fn read(given: Option<&Path>) -> Result<Option<Configuration>, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None if Path::new(DEFAULT).is_file() => PathBuf::from(DEFAULT),
        None => return Ok(None),
    };
    let file = path.display().to_string();
    let failed = |what: String| Failure::user(format!("the configuration file '{file}' {what}"));
    let text = std::fs::read_to_string(&path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let entries = parse(&text).map_err(failed)?;
    Ok(Some(Configuration { file, entries }))
}

/// The settings in `text`. What is wrong is said without the text itself, which may hold secrets.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("is no TOML: line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    let mut entries = BTreeMap::new();
    flatten("", &table, &mut entries)?;
    Ok(entries)
}

fn flatten(prefix: &str, table: &Table, entries: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let text = match value {
            Value::Table(inner) => {
                flatten(&format!("{key}."), inner, entries)?;
                continue;
            }
            Value::Array(elements) => list(elements),
            other => scalar(other),
        };
        let text = text.ok_or_else(|| format!("has a list of tables or lists in '{key}', which no setting takes"))?;
        if entries.insert(key.clone(), text).is_some() {
            return Err(format!("says '{key}' twice"));
        }
    }
    Ok(())
}

/// Elements as settings have them, `;` between; nothing for a list of tables or lists.
fn list(elements: &[Value]) -> Option<String> {
    elements.iter().map(scalar).collect::<Option<Vec<_>>>().map(|elements| elements.join(";"))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(time) => Some(time.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_dotted_keys_and_every_value_a_text() {
        let text = r#"
            parallelism.default = 4
            "execution.checkpointing.dir" = "aahdfs://ns1/checkpoints"
            [fs.alias.aahdfs]
            scheme = "hdfs"
            allow-rebind = true
            option.dfs.replication = 2
            option."fs.s3a.x" = ["a", 1]
        "#;
        let entries = parse(text).expect("right");
        let expected = [
            ("execution.checkpointing.dir", "aahdfs://ns1/checkpoints"),
            ("fs.alias.aahdfs.allow-rebind", "true"),
            ("fs.alias.aahdfs.option.dfs.replication", "2"),
            ("fs.alias.aahdfs.option.fs.s3a.x", "a;1"),
            ("fs.alias.aahdfs.scheme", "hdfs"),
            ("parallelism.default", "4"),
        ];
        assert_eq!(entries, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        let broken = parse("a = 1\nsecret-key = hunter2\n").expect_err("no quotes");
        assert!(broken.contains("line 2") && !broken.contains("hunter2"), "{broken}");
        assert!(parse("a.b = 1\n\"a.b\" = 2").expect_err("twice").contains("'a.b' twice"));
        assert!(parse("a = [[1]]").expect_err("nested").contains("'a'"));
    }
}
