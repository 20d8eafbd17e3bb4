//! What a table's committer tells those who look after the table, so that they need not read what this process has just written.

use iceberg::spec::{DataContentType, DataFile, MAIN_BRANCH, UNASSIGNED_SEQUENCE_NUMBER};

use super::change::Change;
use super::stage::spec_of;
use crate::lake::LakeTable;
use crate::read::LiveFile;

/// A commit that this process has made.
#[derive(Debug, Clone)]
pub struct News {
    /// The table after it; others may have committed since.
    pub table: LakeTable,
    /// Its snapshot.
    pub snapshot_id: i64,
    /// The branch.
    pub branch: String,
    /// Job and sink, if it is the append of one.
    pub by: Option<(String, String)>,
    /// Data files that came, with their sequence numbers.
    pub added: Vec<LiveFile>,
    /// Names of data files that left.
    pub removed: Vec<String>,
    /// Whether files of deletes came or left.
    pub changed_deletes: bool,
}

impl News {
    /// `None` for a snapshot that is gone already, or whose files fit no partition spec any more.
    pub(super) fn of(table: &LakeTable, change: &Change<'_>) -> Option<Self> {
        let snapshot = table.metadata.snapshot_by_id(change.snapshot_id)?;
        let spec_id = spec_of(table, change.added).ok()?.spec_id();
        let sequence_number = change.sequence_number.filter(|number| *number != UNASSIGNED_SEQUENCE_NUMBER).unwrap_or(snapshot.sequence_number());
        let live = |file: &DataFile| LiveFile { file: file.clone(), spec_id, sequence_number, snapshot_id: Some(change.snapshot_id) };
        let removed = || change.replaced.into_iter().flat_map(|replaced| &replaced.files).map(|live| &live.file);
        let is_data = |file: &DataFile| file.content_type() == DataContentType::Data;
        Some(Self {
            table: table.clone(),
            snapshot_id: change.snapshot_id,
            branch: change.branch.unwrap_or(MAIN_BRANCH).to_owned(),
            by: change.append.map(|append| (append.job.clone(), append.sink.clone())),
            added: change.added.iter().map(live).collect(),
            removed: removed().filter(|file| is_data(file)).map(|file| file.file_path().to_owned()).collect(),
            changed_deletes: removed().chain(change.added).any(|file| !is_data(file)),
        })
    }
}
