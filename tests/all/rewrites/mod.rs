//! Tables whose files are rewritten: no row changes, whoever reads, writes or is killed meanwhile.
//!
//! The judges share no code with Weir: PyIceberg, DuckDB on the files alone, and Iceberg's own classes give each snapshot a digest of its
//! rows, so that a rewrite is held against the snapshot that it was made from; `reach` compares the files that are there with those that the
//! metadata names.

use serde_json::Value;

use world::World;

mod beside;
mod commands;
mod concurrent;
mod engines;
mod kills;
mod readers;
mod world;

/// A number from the environment, for longer runs by hand.
pub(crate) fn asked(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a longer run by hand is asked for in the environment")]
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers that one seed always gives in the same order.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One from 0 to `end`, which is excluded.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
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
