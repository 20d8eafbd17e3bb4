//! A look at a job's targets before anything is created: a table that was dropped must not be made anew in silence.

use weir_fs::FileSystems;
use weir_sql::plan::JobSettings;

use crate::checkpoint::{CheckpointStore, Entry};
use crate::error::RuntimeError;

/// A target as the newest checkpoint knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedTarget {
    /// Sink id.
    pub sink: String,
    /// Name of the target: `catalog.database.table`.
    pub target: String,
    /// Its identity (the table's UUID).
    pub incarnation: String,
    /// Epoch of the checkpoint.
    pub epoch: u64,
}

/// The targets that the newest checkpoint of a job names; none if the job has no checkpoint. To be asked, and compared by
/// [`check_target`], before the CREATE statements of the job run.
///
/// # Errors
/// The checkpoint directory cannot be read, or its newest checkpoint is corrupt.
pub async fn recorded_targets(settings: &JobSettings, file_systems: &FileSystems) -> Result<Vec<RecordedTarget>, RuntimeError> {
    let store = CheckpointStore::open(file_systems, &settings.checkpoint_dir, &settings.name, settings.timeout)?;
    for epoch in store.list().await?.entries.into_iter().rev() {
        if let Some(Entry::Checkpoint(checkpoint)) = store.read(epoch).await? {
            let sinks = checkpoint.sinks.into_iter();
            let recorded =
                sinks.filter_map(|(sink, record)| Some(RecordedTarget { sink, target: record.target, incarnation: record.incarnation?, epoch }));
            return Ok(recorded.collect());
        }
    }
    Ok(Vec::new())
}

/// Compares a recorded target with what its catalog has now: the UUID, or `None` if there is no such table.
///
/// # Errors
/// [`RuntimeError::TargetReplaced`] if it is another one, or none.
pub fn check_target(recorded: &RecordedTarget, found: Option<&str>) -> Result<(), RuntimeError> {
    if found == Some(recorded.incarnation.as_str()) {
        return Ok(());
    }
    Err(RuntimeError::TargetReplaced {
        target: format!("table {}", recorded.target),
        found: found.unwrap_or("none (there is no such table)").to_owned(),
        recorded: recorded.incarnation.clone(),
        epoch: recorded.epoch,
    })
}
