//! Cuts, and the marker of a job and sink that every commit leaves in its table.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a split, stable across runs: `orders/3` for partition 3 of topic `orders`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitId(pub String);

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a split: the offset of the next record that has not been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Offset of the next record.
    pub offset: i64,
    /// Identity of what holds the split (a topic id), so that a recreated one is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
}

/// The position of every split of one source at one moment.
pub type Cut = BTreeMap<SplitId, SplitPosition>;

/// The cuts of all sources of a job, by source id.
pub type Cuts = BTreeMap<String, Cut>;

/// The marker that a job leaves in a table with each commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Epoch of the last commit of this job and sink.
    pub epoch: u64,
    /// Cut of each source after that epoch.
    pub cuts: Cuts,
}
