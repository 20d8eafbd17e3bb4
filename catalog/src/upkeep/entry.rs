//! What an entry says.

use serde::{Deserialize, Serialize};

/// One entry of a journal. Paths are those of checkpoints: with the alias, if they are reached through one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// UUID of the table: one that was made anew in its place is another.
    pub(super) table: String,
    /// The table's last sequence number when the work was begun: what the entry names can only be in later snapshots.
    pub(super) after: i64,
    pub(super) what: What,
}

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// Data files will be made.
    Files(Vec<String>),
    /// A snapshot will be committed: names of its manifests, manifest list and metadata file carry its id.
    Commit(i64),
    /// Snapshots will be expired, and then the files be deleted that only they need.
    Expiry {
        /// All that go in one swap; the first gives the metadata file its name.
        snapshots: Vec<i64>,
        paths: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_earlier_versions_are_read() {
        let read = |what: &str| serde_json::from_str::<Entry>(&format!(r#"{{"table":"u","after":3,"what":{what}}}"#)).expect("read").what;
        assert_eq!(read(r#"{"files":["a","b"]}"#), What::Files(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(r#"{"commit":7}"#), What::Commit(7));
        let expiry = What::Expiry { snapshots: vec![4], paths: vec!["c".to_owned()] };
        assert_eq!(read(r#"{"expiry":{"snapshots":[4],"paths":["c"]}}"#), expiry);
    }
}
