//! The files that a job has written down, for those who delete files that nobody knows: what a stopped job will commit when it runs again must stay.

use std::time::Duration;

use serde_json::Value;
use weir_fs::FileSystems;

use crate::checkpoint::{CheckpointStore, Entry, StoredPath};
use crate::error::RuntimeError;

/// Every file that the checkpoints and write intents of `job` below the URI `dir` name, and perhaps more; `None` if there is nothing of the job.
/// `limit` bounds each operation.
///
/// # Errors
/// The directory cannot be read, or something in it is corrupt: then nobody can tell what it names.
pub async fn checkpointed_files(file_systems: &FileSystems, dir: &str, job: &str, limit: Duration) -> Result<Option<Vec<String>>, RuntimeError> {
    let store = CheckpointStore::open(file_systems, dir, job, limit)?;
    let listing = store.list().await?;
    if listing.entries.is_empty() && listing.intents.is_empty() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for epoch in listing.entries {
        if let Some(Entry::Checkpoint(checkpoint)) = store.read(epoch).await? {
            let commits = checkpoint.sinks.values().filter_map(|sink| sink.commit.as_ref());
            commits.flat_map(|commit| &commit.committables).for_each(|committable| uris(&committable.payload, &mut files));
        }
    }
    for name in listing.intents {
        let intent = store.read_intent(&name).await?;
        files.extend(intent.into_iter().flat_map(|intent| intent.paths).map(StoredPath::into_uri));
    }
    Ok(Some(files))
}

/// All texts that look like URIs or absolute paths: what a committable holds is its sink's business.
fn uris(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('/') || text.contains(":/") => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| uris(value, found)),
        Value::Object(entries) => entries.values().for_each(|value| uris(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_connectors::sink::{Committable, SinkCommit};
    use weir_connectors::source::Cuts;

    use super::*;
    use crate::checkpoint::{Checkpoint, Intent, IntentName, SinkRecord};

    #[tokio::test]
    async fn files_of_checkpoints_and_of_intents_are_told_and_a_job_that_has_none_is_not_there() {
        let file_systems = FileSystems::default();
        let (dir, limit) = ("memory://checkpointed-files/c", Duration::from_secs(5));
        assert_eq!(checkpointed_files(&file_systems, dir, "job", limit).await.expect("looked"), None);
        let store = CheckpointStore::open(&file_systems, dir, "job", limit).expect("opens");
        let payload = serde_json::json!({"path": "file:///w/a", "rows": 3, "nested": {"deletes": ["s3://b/d", "no path"]}});
        let commit = SinkCommit {
            incarnation: "u".into(),
            commit_id: 1,
            previous_epoch: None,
            from: Cuts::new(),
            to: Cuts::new(),
            gaps: Vec::new(),
            committables: vec![Committable { payload, rows: 3, bytes: 9 }],
        };
        let sink = SinkRecord { commit: Some(commit), ..SinkRecord::default() };
        let checkpoint = Checkpoint::new("job", 4, "a", Cuts::new(), BTreeMap::from([("t".to_owned(), sink)]));
        store.put(&checkpoint).await.expect("put");
        store.put_intent(&IntentName::new(5, "a", "t", 0), &Intent::new("t", &["aa://n/w/b".to_owned()])).await.expect("put");
        let mut files = checkpointed_files(&file_systems, dir, "job", limit).await.expect("looked").expect("there");
        files.sort_unstable();
        assert_eq!(files, ["aa://n/w/b", "file:///w/a", "s3://b/d"]);
    }
}
