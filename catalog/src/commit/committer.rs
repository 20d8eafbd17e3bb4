//! The one committer of a table: refresh, decide, stage, swap; again after a conflict or a lost answer, until a deadline.
//!
//! Nothing is deleted on doubt. Manifests and lists of the tries are deleted by name at the end, once it is certain that they are in no table
//! state: another try of the same append is known to have won (all bear the same snapshot id, so only one can), or every swap was refused
//! and the table has no such snapshot. A refusal alone proves nothing: a proxy that sends a request twice answers with the refusal of the
//! second to a first that was carried out.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use weir_base::failpoint::{self, Outcome};
use weir_base::{Classified, ErrorKind};

use super::change::{Change, Replacement};
use super::decide::{Verdict, decide};
use super::expire::{self, ExpireRules, Expired};
use super::litter;
use super::news::News;
use super::stage::{Staged, Stager};
use super::{Append, Appended};
use crate::backoff::Backoff;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::metadata_file::delete_files;
use crate::properties::value_or;
use crate::upkeep::Journal;

/// Conflicts that are met with another try unless the table says `commit.retry.num-retries`. Iceberg's 4 suit a batch job that may fail;
/// a stream that loses races for a while has nothing better to do than to try again.
const CONFLICTS: u32 = 100;

/// The longest that one append goes on losing races, unless the table says `commit.retry.total-timeout-ms`: Iceberg's own default. Each
/// race that is lost is a commit of somebody else, so there is no reason to give up early.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(30 * 60);

/// The longest that one append is tried while the catalog or a store fails, before its caller hears why it does not succeed and may begin
/// anew; `commit.retry.total-timeout-ms` may shorten it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest wait after a race that was lost, unless the table says `commit.retry.max-wait-ms`: about the time of a commit, since
/// whoever waits for much longer than the others is overtaken by them again and again.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(2);

/// The longest wait after a failure.
const WAIT_FOR_SERVERS: Duration = Duration::from_secs(10);

/// Commits that a watcher may be behind before it has to look at the table instead.
const NEWS: usize = 64;

type Registry = Mutex<HashMap<(usize, TableId), Weak<TableCommitter>>>;

/// The one committer of a table in this process.
#[derive(Debug)]
pub struct TableCommitter {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    /// Commits take their turns, first come first served.
    turn: tokio::sync::Mutex<()>,
    news: broadcast::Sender<Arc<News>>,
    /// Snapshots that somebody in this process works on, as often as they do.
    held: Mutex<Vec<i64>>,
}

/// Keeps a snapshot from being expired by this process, until it is dropped.
#[derive(Debug)]
pub struct Held {
    committer: Arc<TableCommitter>,
    snapshot_id: i64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.committer.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = held.iter().position(|id| *id == self.snapshot_id) {
            held.swap_remove(place);
        }
    }
}

/// Between tries.
#[derive(Debug)]
pub(super) struct Pace {
    conflicts: Backoff,
    conflicts_left: u32,
    /// Since the last conflict, which is an answer too.
    failures: Backoff,
    min: Duration,
    patience: Duration,
}

/// A try that did not succeed, as far as the answers say.
#[derive(Debug)]
struct Tried {
    manifest_list: String,
    used: Vec<String>,
    /// The catalog said no; if not, nothing is known.
    refused: bool,
}

impl TableCommitter {
    /// The committer of a table; one for each catalog (the object, however often it is cloned) and table, whoever asks.
    #[must_use]
    pub fn of(catalog: &Arc<dyn LakeCatalog>, id: &TableId) -> Arc<Self> {
        static COMMITTERS: OnceLock<Registry> = OnceLock::new();
        // A committer holds its catalog, so the address belongs to no other catalog as long as the committer lives.
        let key = (Arc::as_ptr(catalog).cast::<()>() as usize, id.clone());
        let mut committers = COMMITTERS.get_or_init(Registry::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = committers.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        committers.retain(|_, committer| committer.strong_count() > 0);
        let (turn, news) = (tokio::sync::Mutex::new(()), broadcast::Sender::new(NEWS));
        let committer = Arc::new(Self { catalog: Arc::clone(catalog), id: id.clone(), turn, news, held: Mutex::default() });
        committers.insert(key, Arc::downgrade(&committer));
        committer
    }

    /// The table as it is now.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn refresh(&self) -> Result<LakeTable, CatalogError> {
        self.catalog.load(&self.id).await
    }

    /// Is told of every commit that this process makes to the table from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    /// Commits an append exactly once, whatever happens to answers.
    ///
    /// It may be called again with the same argument after any error, also by another process: an append that is in the table is found
    /// and reported as such.
    ///
    /// # Errors
    /// Another table under the name, a marker that is not where the append expects it, an unknown branch (user); too many conflicts
    /// (conflict); the deadline (transient), where the last lost answer stays an [`CatalogError::OutcomeUnknown`].
    pub async fn append(&self, append: &Append) -> Result<Appended, CatalogError> {
        let _turn = self.turn.lock().await;
        let change = Change::from(append);
        Ok(self.change(change, Stager::new(change)).await?.1)
    }

    /// Commits a replacement of files exactly once. It may be called again with the same argument, as [`Self::append`]. Most manifests are
    /// written before its turn, so that appends hardly wait for it.
    ///
    /// # Errors
    /// [`CatalogError::Overtaken`] if others have changed what it was made from, as [`Replaced`](super::Replaced) says; a later attempt has
    /// taken over (fenced); those of [`Self::append`] but for the marker's.
    pub async fn replace(&self, replacement: &Replacement) -> Result<Appended, CatalogError> {
        let change = Change::from(replacement);
        let mut stager = Stager::new(change);
        let early = async {
            let base = self.refresh().await?;
            if decide(&base, &change)? == Verdict::Proceed { stager.prepare(&base).await } else { Ok(()) }
        };
        // What fails here fails again in the turn, where it is met.
        if let Err(error) = Box::pin(early).await {
            tracing::debug!(table = %self.id, %error, "a replacement could not be prepared");
        }
        let _turn = self.turn.lock().await;
        Ok(self.change(change, stager).await?.1)
    }

    /// Commits a change and cleans up after it; the table as it is then.
    pub(super) async fn change(&self, change: Change<'_>, mut stager: Stager<'_>) -> Result<(LakeTable, Appended), CatalogError> {
        let mut tried = Vec::new();
        let ended = Box::pin(self.try_change(&change, &mut stager, &mut tried)).await;
        let (table, used, appended) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A base on which somebody else has been ahead is no longer that of a try whose answer was lost.
                if tried.iter().all(|tried| tried.refused) || error.kind() == ErrorKind::Conflict {
                    self.discard(&stager.written, change.snapshot_id).await;
                }
                let tries = if tried.len() > 1 { format!(", {} tries", tried.len()) } else { String::new() };
                return Err(error.with_note(format_args!("(catalog `{}`, table `{}`{tries})", self.catalog.name(), self.id)));
            }
        };
        if let Some(used) = used {
            let lost: Vec<String> = stager.written.into_iter().filter(|path| !used.contains(path)).collect();
            delete_files(&table.file_io, &lost).await;
        }
        if self.news.receiver_count() > 0
            && let Some(news) = News::of(&table, &change)
        {
            // Nobody may listen any more.
            drop(self.news.send(Arc::new(news)));
        }
        Ok((table, appended))
    }

    /// Expires the snapshots that `rules` name, and deletes what only they needed. Commits wait for it no longer than for another commit. Whatever it
    /// is cut off at, [`Journal::recover`] finishes it.
    ///
    /// # Errors
    /// The rules name a snapshot that must stay, or the table's `gc.enabled` is off (user); a later attempt has taken over (fenced); the catalog's and
    /// the stores'. A conflict means that others have changed what was decided on again and again; the next call decides anew.
    pub async fn expire(&self, rules: &ExpireRules, journal: &Arc<Journal>) -> Result<Expired, CatalogError> {
        Box::pin(expire::expire(self, rules, journal)).await
    }

    /// Keeps a snapshot from being expired by this process while somebody works on it.
    #[must_use]
    pub fn hold(self: &Arc<Self>, snapshot_id: i64) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot_id);
        Held { committer: Arc::clone(self), snapshot_id }
    }

    pub(super) fn held(&self) -> BTreeSet<i64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    pub(super) fn id(&self) -> &TableId {
        &self.id
    }

    /// The table's catalog.
    #[must_use]
    pub fn catalog(&self) -> &Arc<dyn LakeCatalog> {
        &self.catalog
    }

    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Deletes what tries that were cut off have left of appends that are in the table by now, and gives the number of files. Appends that are
    /// not are left alone. It lists the table's metadata folder: something for recovery, not for every commit.
    ///
    /// # Errors
    /// The catalog's and the store's; nothing depends on the deletion.
    pub async fn sweep(&self, snapshot_ids: &[i64]) -> Result<usize, CatalogError> {
        let _turn = self.turn.lock().await;
        let table = self.refresh().await?;
        Box::pin(litter::sweep(&self.catalog, &table, snapshot_ids)).await
    }

    /// The table after the change, the files of this call that it uses (`None` if that is not certain), and the answer.
    async fn try_change(
        &self,
        change: &Change<'_>,
        stager: &mut Stager<'_>,
        tried: &mut Vec<Tried>,
    ) -> Result<(LakeTable, Option<Vec<String>>, Appended), CatalogError> {
        let mut base = self.refresh().await?;
        let mut pace = Pace::of(&base);
        let mut retries = 0;
        loop {
            if decide(&base, change)? == Verdict::Already {
                let used = winner(&base, change.snapshot_id, tried);
                let already = used.as_ref().is_some_and(Vec::is_empty);
                return Ok((base, used, Appended { already, snapshot_id: change.snapshot_id, retries }));
            }
            match self.try_once(&base, change, stager).await {
                Ok((table, staged)) => {
                    return Ok((table, Some(staged.used), Appended { already: false, snapshot_id: change.snapshot_id, retries }));
                }
                Err((error, staged)) => {
                    tried.extend(staged.map(|staged| self.failed(&error, staged)));
                    if !pace.may_go_on(&error).await {
                        return Err(error);
                    }
                    retries += u32::from(matches!(error, CatalogError::Conflict(_)));
                    tracing::debug!(table = %self.id, %error, retries, "change is tried again");
                }
            }
            base = loop {
                match self.refresh().await {
                    Ok(base) => break base,
                    Err(error) if error.is_transient() && pace.may_go_on(&error).await => {}
                    Err(error) => return Err(error),
                }
            };
        }
    }

    async fn try_once(
        &self,
        base: &LakeTable,
        change: &Change<'_>,
        stager: &mut Stager<'_>,
    ) -> Result<(LakeTable, Staged), (CatalogError, Option<Staged>)> {
        let mut staged = match stager.stage(base, chrono::Utc::now().timestamp_millis()).await {
            Ok(staged) => staged,
            Err(error) => return Err((error, None)),
        };
        for point in ["commit-manifest-written", "commit-before-swap"] {
            if failpoint::fails(point).await {
                return Err((CatalogError::other(ErrorKind::Transient, format!("fail point `{point}`")), Some(staged)));
            }
        }
        let (requirements, updates) = (std::mem::take(&mut staged.requirements), std::mem::take(&mut staged.updates));
        let swapped = self.catalog.commit(base, requirements, updates).await;
        match (swapped, failpoint::hit("commit-after-swap")) {
            (Ok(table), Outcome::Pass) => Ok((table, staged)),
            (Ok(table), Outcome::Sleep(time)) => {
                tokio::time::sleep(time).await;
                Ok((table, staged))
            }
            (Ok(_), Outcome::Fail | Outcome::LoseAnswer) => {
                let message = format!("the answer to the commit of snapshot {} was lost at a fail point", change.snapshot_id);
                Err((CatalogError::OutcomeUnknown { message, source: None }, Some(staged)))
            }
            (Err(error), _) => Err((error, Some(staged))),
        }
    }

    fn failed(&self, error: &CatalogError, staged: Staged) -> Tried {
        let refused = !matches!(error, CatalogError::OutcomeUnknown { .. });
        if !refused {
            tracing::warn!(table = %self.id, %error, "answer of a commit was lost, looking for the snapshot");
        }
        Tried { manifest_list: staged.manifest_list, used: staged.used, refused }
    }

    /// Deletes files of an append that failed, unless the table has its snapshot all the same.
    async fn discard(&self, paths: &[String], snapshot_id: i64) {
        if paths.is_empty() {
            return;
        }
        match self.refresh().await {
            Ok(table) if table.metadata.snapshot_by_id(snapshot_id).is_some() => {}
            Ok(table) => delete_files(&table.file_io, paths).await,
            Err(error) => tracing::warn!(table = %self.id, %error, files = paths.len(), "files of a failed commit are left behind"),
        }
    }
}

/// The files of the try that became the snapshot, none if another process made it; `None` if the snapshot is gone again.
fn winner(table: &LakeTable, snapshot_id: i64, tried: &[Tried]) -> Option<Vec<String>> {
    if tried.is_empty() {
        return Some(Vec::new());
    }
    let snapshot = table.metadata.snapshot_by_id(snapshot_id)?;
    let won = tried.iter().find(|tried| tried.manifest_list == snapshot.manifest_list());
    Some(won.map(|tried| tried.used.clone()).unwrap_or_default())
}

impl Pace {
    pub(super) fn of(table: &LakeTable) -> Self {
        let properties = table.metadata.properties();
        let millis =
            |key, default: Duration| Duration::from_millis(value_or(properties, key, u64::try_from(default.as_millis()).unwrap_or(u64::MAX)));
        let min = millis("commit.retry.min-wait-ms", Duration::from_millis(50));
        let whole = millis("commit.retry.total-timeout-ms", PATIENCE_WITH_OTHERS);
        let patience = whole.min(PATIENCE);
        Self {
            conflicts: Backoff::new(min, millis("commit.retry.max-wait-ms", WAIT_FOR_OTHERS), whole),
            conflicts_left: value_or(properties, "commit.retry.num-retries", CONFLICTS),
            failures: Backoff::new(min, WAIT_FOR_SERVERS, patience),
            min,
            patience,
        }
    }

    /// Whether the error may be followed by another try; waits until then.
    pub(super) async fn may_go_on(&mut self, error: &CatalogError) -> bool {
        match error.kind() {
            ErrorKind::Conflict if self.conflicts_left == 0 || matches!(error, CatalogError::Overtaken(_)) => false,
            ErrorKind::Conflict => {
                self.conflicts_left -= 1;
                self.failures = Backoff::new(self.min, WAIT_FOR_SERVERS, self.patience);
                self.conflicts.wait().await
            }
            ErrorKind::Transient => self.failures.wait().await,
            ErrorKind::User | ErrorKind::Fenced | ErrorKind::Corrupt | ErrorKind::Internal => false,
        }
    }
}
