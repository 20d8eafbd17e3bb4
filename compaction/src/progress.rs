//! What a run tells while it goes on.

use weir_connectors::ConnectorError;

use crate::policy::{Group, Way};
use crate::table::PartitionKey;

/// Is told of steps; called from several tasks.
pub trait Progress: Send + Sync {
    /// A group is rewritten, in this way, into so many files; not yet committed.
    fn rewritten(&self, group: &Group<PartitionKey>, way: Way, files: usize);

    /// Groups with so many files were committed.
    fn committed(&self, snapshot_id: i64, files_before: usize, files_after: usize);

    /// A group gave way to others, who have changed its files.
    fn gave_way(&self, group: &Group<PartitionKey>, why: &str);

    /// A group could not be rewritten.
    fn failed(&self, group: &Group<PartitionKey>, error: &ConnectorError);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn rewritten(&self, _: &Group<PartitionKey>, _: Way, _: usize) {}

    fn committed(&self, _: i64, _: usize, _: usize) {}

    fn gave_way(&self, _: &Group<PartitionKey>, _: &str) {}

    fn failed(&self, _: &Group<PartitionKey>, _: &ConnectorError) {}
}
