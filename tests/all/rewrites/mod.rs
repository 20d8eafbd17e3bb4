//! Tables whose files are rewritten: no row changes, whoever reads, writes or is killed meanwhile.
//!
//! The judges share no code with Weir: PyIceberg, DuckDB on the files alone, and Iceberg's own classes give each snapshot a digest of its
//! rows, so that a rewrite is held against the snapshot that it was made from; `reach` compares the files that are there with those that the
//! metadata names.

use std::path::PathBuf;

use serde_json::Value;

use crate::orders::{LIMIT, sqlite};
use crate::support::{IcebergRows, Table, Workdir};

mod concurrent;
mod kills;
mod readers;

/// A lake on the local disk: its catalog is a SQLite file that other engines open too.
struct World {
    folder: Workdir,
    init: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = Workdir::new();
        let options =
            format!("'type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = '{}', 'warehouse' = '{}'", sqlite(&folder), folder.uri("warehouse"));
        let init = folder.write("init.sql", &format!("CREATE CATALOG lake WITH ({options});"));
        Self { folder, init }
    }

    /// Tables or a namespace, for PyIceberg.
    fn table(&self, name: &str) -> Table {
        Table::of_sql(name, "lake", &sqlite(&self.folder), &self.folder.uri("warehouse"))
    }

    fn java(&self) -> IcebergRows {
        IcebergRows::of_sqlite(&self.folder.path("catalog.db"), &self.folder.uri("warehouse"))
    }

    /// What `weir table compact` tells.
    async fn compact(&self, table: &str, more: &[&str]) -> String {
        let name = format!("lake.{table}");
        let mut arguments = vec!["table", "compact", &name, "--init", self.init.to_str().unwrap()];
        arguments.extend(more);
        self.folder.weir(arguments).output(LIMIT).await.succeeded().stdout
    }
}

/// A number from the environment, for longer runs by hand.
fn asked(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Fails the test unless all readers agree on every snapshot of a table's history, and each rewrite has the rows of the snapshot before it.
/// Gives the number of rewrites. A reader that does not know a snapshot's deletes says nothing of it.
fn agreed(history: &Value) -> usize {
    let history = history.as_array().unwrap();
    let found =
        |snapshot: &Value| -> Vec<Value> { snapshot["readers"].as_object().unwrap().values().filter(|found| !found.is_null()).cloned().collect() };
    let mut rewrites = 0;
    for snapshot in history {
        let all = found(snapshot);
        assert!(!all.is_empty() && all.iter().all(|one| *one == all[0]), "readers differ: {snapshot}");
        if snapshot["operation"] == "replace" {
            let before = history.iter().find(|one| one["id"] == snapshot["parent"]).unwrap();
            assert_eq!(found(before)[0], all[0], "{snapshot} was made from {before}");
            rewrites += 1;
        }
    }
    rewrites
}
