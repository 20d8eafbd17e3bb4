//! The checkpoint directory of one job in an object store.
//!
//! Every object is written with put-if-absent. A put whose answer is lost is resolved by reading the object back: it is ours or it is not.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use weir_base::{Classified, ErrorKind};
use weir_fs::aliases::{AliasBinding, check_rebound};
use weir_fs::{FileSystems, FirstPut, Location};

use super::names::{self, IntentName, job_segments};
use super::record::{Checkpoint, Entry, Intent, encode_claim};
use crate::error::RuntimeError;

/// Waits between tries of one operation; a store retries by itself too.
const RETRY_WAITS: [Duration; 4] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(5)];

/// Claims kept for ever so many restarts: a process that was paused may still try to write where one stands.
const CLAIMS_KEPT: usize = 100;

/// The checkpoint directory of a job.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointStore {
    job: String,
    root: Location,
    limit: Duration,
    file_systems: FileSystems,
}

/// What the directory holds, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Epochs of checkpoints and claims.
    pub(crate) entries: BTreeSet<u64>,
    /// Epochs with a committed mark.
    pub(crate) marks: BTreeSet<u64>,
    /// Write intents.
    pub(crate) intents: Vec<IntentName>,
}

/// How a claim went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The name is ours.
    Won,
    /// Somebody was there first.
    Lost,
}

enum Put {
    Done,
    Taken(Bytes),
}

impl CheckpointStore {
    /// The directory of `job` under the URI `dir`; `limit` bounds each operation, retries included. Does no I/O.
    pub(crate) fn open(file_systems: &FileSystems, dir: &str, job: &str, limit: Duration) -> Result<Self, RuntimeError> {
        Ok(Self { file_systems: file_systems.clone(), ..Self::at(file_systems.resolve(dir)?, job, limit) })
    }

    /// The same under a resolved directory.
    pub(crate) fn at(dir: Location, job: &str, limit: Duration) -> Self {
        let Location { mut uri, store, mut path } = dir;
        uri.truncate(uri.trim_end_matches('/').len());
        for segment in job_segments(job) {
            uri = format!("{uri}/{segment}");
            path = path.join(segment);
        }
        Self { job: job.to_owned(), root: Location { uri, store, path }, limit, file_systems: FileSystems::default() }
    }

    /// URI of the directory, for messages.
    pub(crate) fn uri(&self) -> &str {
        &self.root.uri
    }

    /// Names of everything in the directory.
    pub(crate) async fn list(&self) -> Result<Listing, RuntimeError> {
        let top = self.names(self.root.path.clone()).await?;
        let intents = self.names(self.root.path.clone().join("intents")).await?;
        Ok(Listing {
            entries: top.iter().filter_map(|name| names::parse_checkpoint(name)).collect(),
            marks: top.iter().filter_map(|name| names::parse_mark(name)).collect(),
            intents: intents.iter().filter_map(|name| IntentName::parse(name)).collect(),
        })
    }

    /// What lies under an epoch's name, if anything. A checkpoint whose aliases have moved since is an error.
    pub(crate) async fn read(&self, epoch: u64) -> Result<Option<Entry>, RuntimeError> {
        let name = names::checkpoint_name(epoch);
        let Some(bytes) = self.get(&name).await? else { return Ok(None) };
        let entry = Entry::decode(&bytes, &self.job, epoch);
        let entry = entry.map_err(|reason| RuntimeError::CorruptCheckpoint { file: self.uri_of(&name), reason })?;
        if let Entry::Checkpoint(checkpoint) = &entry {
            check_rebound(&checkpoint.aliases, &self.file_systems.used_aliases())?;
        }
        Ok(Some(entry))
    }

    /// What the aliases in use are bound to, for a checkpoint.
    pub(crate) fn aliases(&self) -> Vec<AliasBinding> {
        self.file_systems.used_aliases().into_iter().map(|used| used.binding).collect()
    }

    /// Takes the name of `epoch`, so that no checkpoint can be written there.
    pub(crate) async fn claim(&self, epoch: u64, attempt: &str) -> Result<Claim, RuntimeError> {
        let body = encode_claim(attempt).map_err(RuntimeError::Internal)?;
        match self.put_new(&names::checkpoint_name(epoch), body).await? {
            Put::Done => Ok(Claim::Won),
            Put::Taken(_) => Ok(Claim::Lost),
        }
    }

    /// Makes a checkpoint durable; gives its size.
    pub(crate) async fn put(&self, checkpoint: &Checkpoint) -> Result<usize, RuntimeError> {
        let name = names::checkpoint_name(checkpoint.epoch);
        let body = checkpoint.encode().map_err(RuntimeError::Internal)?;
        let size = body.len();
        match self.put_new(&name, body).await? {
            Put::Done => Ok(size),
            Put::Taken(found) => {
                let found = Entry::decode(&found, &self.job, checkpoint.epoch);
                let owner = found.map_or_else(|reason| reason, |entry| entry.attempt().to_owned());
                Err(RuntimeError::Fenced { job: self.job.clone(), epoch: checkpoint.epoch, owner })
            }
        }
    }

    /// Marks every commit of `epoch` as done. Doing it twice is fine.
    pub(crate) async fn mark_committed(&self, epoch: u64) -> Result<(), RuntimeError> {
        self.put_new(&names::mark_name(epoch), b"{}".to_vec()).await.map(|_| ())
    }

    /// Records an intent.
    pub(crate) async fn put_intent(&self, name: &IntentName, intent: &Intent) -> Result<(), RuntimeError> {
        let body = intent.encode().map_err(RuntimeError::Internal)?;
        let name = intent_path(name);
        match self.put_new(&name, body).await? {
            Put::Done => Ok(()),
            Put::Taken(_) => Err(RuntimeError::Internal(format!("intent {} exists already", self.uri_of(&name)))),
        }
    }

    /// Reads an intent, if it is still there.
    pub(crate) async fn read_intent(&self, name: &IntentName) -> Result<Option<Intent>, RuntimeError> {
        let path = intent_path(name);
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        Intent::decode(&bytes).map(Some).map_err(|reason| RuntimeError::CorruptCheckpoint { file: self.uri_of(&path), reason })
    }

    /// Removes an intent; a missing one is fine.
    pub(crate) async fn remove_intent(&self, name: &IntentName) -> Result<(), RuntimeError> {
        self.delete(&intent_path(name)).await
    }

    /// Deletes what [`obsolete`] names: each checkpoint before its mark, so that no checkpoint ever looks uncommitted again.
    pub(crate) async fn retire(&self, obsolete: &Obsolete) -> Result<(), RuntimeError> {
        for epoch in &obsolete.entries {
            self.delete(&names::checkpoint_name(*epoch)).await?;
        }
        for epoch in &obsolete.marks {
            self.delete(&names::mark_name(*epoch)).await?;
        }
        Ok(())
    }

    async fn names(&self, folder: Path) -> Result<Vec<String>, RuntimeError> {
        let store = &self.root.store;
        let listed = self
            .retrying("listing", &self.root.uri, || async {
                match store.list_with_delimiter(Some(&folder)).await {
                    Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                    found => found.map(|found| found.objects),
                }
            })
            .await?;
        Ok(listed.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, RuntimeError> {
        let (store, path) = (&self.root.store, self.path_of(name));
        self.retrying("reading", &self.uri_of(name), || async {
            match store.get(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
                Ok(found) => found.bytes().await.map(Some),
            }
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<(), RuntimeError> {
        let (store, path) = (&self.root.store, self.path_of(name));
        self.retrying("deleting", &self.uri_of(name), || async {
            match store.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                result => result,
            }
        })
        .await
    }

    /// Writes `body` unless something else lies there. Safe to repeat: an object with the same body is ours.
    async fn put_new(&self, name: &str, body: Vec<u8>) -> Result<Put, RuntimeError> {
        let (store, path, body) = (&self.root.store, self.path_of(name), Bytes::from(body));
        self.retrying("writing", &self.uri_of(name), || async {
            match store.put_opts(&path, PutPayload::from_bytes(body.clone()), FirstPut::OrLookFirst.into()).await {
                Ok(_) => Ok(Put::Done),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    let found = store.get(&path).await?.bytes().await?;
                    Ok(if found == body { Put::Done } else { Put::Taken(found) })
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn retrying<T, F>(&self, action: &'static str, file: &str, mut operation: impl FnMut() -> F) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let tries = async {
            let mut waits = RETRY_WAITS.iter();
            loop {
                let source = match operation().await {
                    Ok(value) => return Ok(value),
                    Err(source) => source,
                };
                let error = RuntimeError::Store { action, file: file.to_owned(), source };
                match waits.next() {
                    Some(wait) if error.kind() == ErrorKind::Transient => tokio::time::sleep(*wait).await,
                    _ => return Err(error),
                }
            }
        };
        let timed = tokio::time::timeout(self.limit, tries).await;
        timed.unwrap_or(Err(RuntimeError::Timeout { step: "an operation on the checkpoint directory", limit: self.limit }))
    }

    fn path_of(&self, name: &str) -> Path {
        name.split('/').fold(self.root.path.clone(), |path, part| path.join(part))
    }

    fn uri_of(&self, name: &str) -> String {
        format!("{}/{name}", self.root.uri)
    }
}

fn intent_path(name: &IntentName) -> String {
    format!("intents/{}", name.file)
}

/// What retention no longer needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Obsolete {
    entries: Vec<u64>,
    marks: Vec<u64>,
}

/// What may go once `listing` is committed up to its last mark: all but the newest `retained` committed checkpoints, and all but the newest
/// claims (entries without a mark, below the marked ones).
pub(crate) fn obsolete(listing: &Listing, retained: usize) -> Obsolete {
    let committed: Vec<u64> = listing.entries.iter().rev().filter(|epoch| listing.marks.contains(epoch)).copied().collect();
    let Some(oldest_kept) = committed.get(retained.max(1) - 1).copied() else { return Obsolete::default() };
    let claims = listing.entries.iter().rev().filter(|epoch| !listing.marks.contains(epoch)).copied();
    let mut entries: Vec<u64> = committed.into_iter().filter(|epoch| *epoch < oldest_kept).collect();
    entries.extend(claims.skip(CLAIMS_KEPT).filter(|epoch| *epoch < oldest_kept));
    entries.sort_unstable();
    Obsolete { entries, marks: listing.marks.range(..oldest_kept).copied().collect() }
}

impl Listing {
    /// Takes out what was deleted.
    pub(crate) fn forget(&mut self, obsolete: &Obsolete) {
        obsolete.entries.iter().for_each(|epoch| {
            self.entries.remove(epoch);
        });
        obsolete.marks.iter().for_each(|epoch| {
            self.marks.remove(epoch);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_checkpoint_whose_alias_has_moved_is_refused_unless_that_is_allowed() {
        let folder = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink(".", folder.path().join("same")).expect("a second name of one folder");
        let opened = |root: &str, allow: &str| {
            let root = folder.path().join(root).display().to_string();
            let keys = [("scheme", "file".to_owned()), ("root", root), ("allow-rebind", allow.to_owned())];
            let file_systems = FileSystems::new(keys.map(|(key, value)| (format!("fs.alias.aa.{key}"), value)).into());
            CheckpointStore::open(&file_systems, "aa:///checkpoints", "job", Duration::from_secs(5)).expect("opens")
        };
        let first = opened("", "false");
        let mut checkpoint = Checkpoint::new("job", 1, "a", BTreeMap::new(), BTreeMap::new());
        checkpoint.aliases = first.aliases();
        first.put(&checkpoint).await.expect("put");
        assert_eq!(first.read(1).await.expect("as before"), Some(Entry::Checkpoint(Box::new(checkpoint))));
        let refused = opened("same", "false").read(1).await.expect_err("moved");
        assert!(refused.kind() == ErrorKind::User && refused.to_string().contains("'fs.alias.aa.root' was"), "{refused}");
        assert!(opened("same", "true").read(1).await.expect("allowed").is_some());
    }

    #[test]
    fn retention_keeps_the_newest_committed_checkpoints_what_is_not_committed_and_the_claims() {
        let mut listing = Listing { entries: (1..=9).collect(), marks: [2, 3, 5, 6, 7].into(), intents: Vec::new() };
        let old = obsolete(&listing, 2);
        assert_eq!(old, Obsolete { entries: vec![2, 3, 5], marks: vec![2, 3, 5] });
        listing.forget(&old);
        assert_eq!(listing.entries, [1, 4, 6, 7, 8, 9].into());
        assert_eq!(obsolete(&listing, 2), Obsolete::default());
        let many = Listing { entries: (1..=300).collect(), marks: [300].into(), intents: Vec::new() };
        assert_eq!(obsolete(&many, 1).entries, (1..=199).collect::<Vec<_>>());
    }
}
