//! The metastore's own lock on a table, which Iceberg's other writers take too.
//!
//! A lock is asked for, waited for in the order of the asking, and given back however the commit ends: also when the future is dropped
//! while it waits. A commit whose table moves on while it waits has lost already and leaves the queue: otherwise every loser of a crowd
//! would take its turn only to learn that. A lock that nobody gives back, because its process was killed, ends by itself when it has not been heard of for the
//! metastore's `txn.timeout`, five minutes unless configured otherwise; whoever comes next waits for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;
use weir_base::ErrorKind;
use weir_base::task::Task;

use super::client::{Call, Client, Failure};
use super::metastore;
use super::table::{self, Pointer};
use super::thrift::Struct;
use crate::backoff::Backoff;
use crate::error::CatalogError;
use crate::lake::{LakeTable, TableId};

/// How long a lock is waited for before the commit is tried anew; the committer then comes back.
const PATIENCE: Duration = Duration::from_secs(180);

// Values of Thrift enums.
const ACQUIRED: i32 = 1;
const WAITING: i32 = 2;
const EXCLUSIVE: i32 = 3;
const OF_TABLE: i32 = 2;

/// Gives back the locks of commits that were dropped, in the background.
#[derive(Debug, Clone, Default)]
pub(super) struct Cleanups(Arc<Mutex<Vec<Task<()>>>>);

/// A lock that was asked for. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct TableLock {
    client: Arc<Client>,
    id: TableId,
    /// By this name the lock is found when the answer to the asking was lost.
    agent: String,
    /// The metastore's number of the lock; unknown until it has answered.
    number: Option<i64>,
    held: bool,
    cleanups: Cleanups,
}

impl TableLock {
    /// Takes the lock on the table of `base`, waiting until others have given it back; none if the table has moved on meanwhile.
    ///
    /// # Errors
    /// Transient ones: the wait was too long, with the name of the holder, or the metastore did not answer. Nothing is locked then.
    pub(super) async fn acquire(client: &Arc<Client>, base: &LakeTable, user: &str, cleanups: &Cleanups) -> Result<Option<Self>, CatalogError> {
        if !is_at(client, base).await? {
            return Ok(None);
        }
        let agent = format!("weir-{}", Uuid::new_v4().simple());
        let mut lock = Self { client: Arc::clone(client), id: base.id.clone(), agent, number: None, held: true, cleanups: cleanups.clone() };
        let taken = lock.take(base, user).await;
        match taken {
            Ok(true) => Ok(Some(lock)),
            Ok(false) => {
                lock.release().await;
                Ok(None)
            }
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// Makes sure that the metastore still counts the lock as ours, and that it will for a while.
    ///
    /// # Errors
    /// Transient ones; after them nothing may be changed any more under this lock.
    pub(super) async fn confirm(&self) -> Result<(), CatalogError> {
        let request = Struct::new().with(1, self.number.unwrap_or_default());
        let answer = self.call("heartbeat", request).await;
        answer.map(|_| ()).map_err(|failure| self.failed("lost its lock", failure))
    }

    /// Gives the lock back and waits for that. If it cannot be given back, it ends by itself some time later.
    pub(super) async fn release(mut self) {
        self.held = false;
        if let Err(failure) = give_back(&self.client, &self.id, &self.agent, self.number).await {
            tracing::warn!(table = %self.id, ?failure, "the metastore's lock could not be given back and ends by itself later");
        }
    }

    /// Whether the lock was had before the table moved on.
    async fn take(&mut self, base: &LakeTable, user: &str) -> Result<bool, CatalogError> {
        let component = Struct::new().with(1, EXCLUSIVE).with(2, OF_TABLE).with(3, self.id.database.as_str()).with(4, self.id.table.as_str());
        let request = Struct::new().with(1, vec![component]).with(3, user).with(4, "weir").with(5, self.agent.as_str());
        let deadline = Instant::now() + PATIENCE;
        let mut state = match self.call("lock", request).await {
            Ok(answer) => self.understood(&answer),
            Err(failure) => match self.find().await {
                Ok(Some(number)) => {
                    self.number = Some(number);
                    WAITING
                }
                _not_there => return Err(self.failed("got no lock", failure)),
            },
        };
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1), PATIENCE);
        while state != ACQUIRED {
            if state != WAITING || Instant::now() >= deadline || !backoff.wait().await {
                return Err(self.denied(state).await);
            }
            if !is_at(&self.client, base).await? {
                return Ok(false);
            }
            let request = Struct::new().with(1, self.number.unwrap_or_default());
            state = match self.call("check_lock", request).await {
                Ok(answer) => self.understood(&answer),
                Err(Failure::NotSent(..) | Failure::Lost(..)) => WAITING,
                Err(failure) => return Err(self.failed("got no lock", failure)),
            };
        }
        Ok(true)
    }

    /// Notes the number of the lock; its state.
    fn understood(&mut self, answer: &Struct) -> i32 {
        let Some(response) = answer.only() else { return 0 };
        self.number = response.long(1).or(self.number);
        response.int(2).unwrap_or_default()
    }

    async fn call(&self, method: &'static str, request: Struct) -> Result<Struct, Failure> {
        self.client.call(&Call { method, arguments: &Struct::new().with(1, request), changes: method == "lock" }).await
    }

    async fn find(&self) -> Result<Option<i64>, Failure> {
        let locks = locks(&self.client, &self.id).await?;
        Ok(locks.iter().find(|lock| lock.text(13) == Some(self.agent.as_str())).and_then(|lock| lock.long(1)))
    }

    fn failed(&self, what: &str, failure: Failure) -> CatalogError {
        let (message, source) = match failure {
            Failure::Thrown { message, .. } | Failure::Refused(message) => (message, None),
            Failure::NotSent(message, source) | Failure::Lost(message, source) => (message, source),
        };
        let message = format!("a commit to table `{}` {what} of the metastore: {message}", self.id);
        CatalogError::Other { kind: ErrorKind::Transient, message, source: source.map(Into::into) }
    }

    /// Why the lock was not had, with the name of who has it.
    async fn denied(&self, state: i32) -> CatalogError {
        let holder = locks(&self.client, &self.id).await.ok().and_then(|locks| {
            let holder = locks.iter().find(|lock| lock.int(5) == Some(ACQUIRED))?;
            let part = |id| holder.text(id).unwrap_or("?").to_owned();
            Some(format!("; user `{}` on host `{}` has it ({})", part(10), part(11), part(13)))
        });
        let what = if state == WAITING { format!("waited {PATIENCE:?} for") } else { "was not given".to_owned() };
        let message = format!("a commit to table `{}` {what} the lock of the metastore{}", self.id, holder.unwrap_or_default());
        CatalogError::other(ErrorKind::Transient, message)
    }
}

impl Drop for TableLock {
    fn drop(&mut self) {
        if !self.held || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (client, id, agent, number) = (Arc::clone(&self.client), self.id.clone(), self.agent.clone(), self.number);
        let task = weir_base::task::spawn("hive-unlock", async move {
            if let Err(failure) = give_back(&client, &id, &agent, number).await {
                tracing::warn!(table = %id, ?failure, "the metastore's lock of a commit that was broken off ends by itself later");
            }
        });
        let mut tasks = self.cleanups.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }
}

/// Whether the table is still where `base` was read.
async fn is_at(client: &Client, base: &LakeTable) -> Result<bool, CatalogError> {
    let now = metastore::table(client, &base.id).await?;
    Ok(now.is_some_and(|now| table::pointer(&now) == Pointer::To(base.metadata_location.clone())))
}

/// The locks of a table, held or waited for.
async fn locks(client: &Client, id: &TableId) -> Result<Vec<Struct>, Failure> {
    let request = Struct::new().with(1, id.database.as_str()).with(2, id.table.as_str());
    let answer = client.call(&Call { method: "show_locks", arguments: &Struct::new().with(1, request), changes: false }).await?;
    Ok(answer.only().map(|response| response.structs(1).cloned().collect()).unwrap_or_default())
}

/// Gives a lock back, one whose number is not known by the name of its agent.
async fn give_back(client: &Client, id: &TableId, agent: &str, number: Option<i64>) -> Result<(), Failure> {
    const NO_SUCH_LOCK: i16 = 1;
    let number = match number {
        Some(number) => Some(number),
        None => locks(client, id).await?.iter().find(|lock| lock.text(13) == Some(agent)).and_then(|lock| lock.long(1)),
    };
    let Some(number) = number else { return Ok(()) };
    let arguments = Struct::new().with(1, Struct::new().with(1, number));
    match client.call(&Call { method: "unlock", arguments: &arguments, changes: false }).await {
        Ok(_) | Err(Failure::Thrown { field: NO_SUCH_LOCK, .. }) => Ok(()),
        // A connection that broke is made anew; the second unlock of a lock does nothing.
        Err(Failure::NotSent(..) | Failure::Lost(..)) => {
            client.call(&Call { method: "unlock", arguments: &arguments, changes: false }).await.map(|_| ()).or_else(|failure| match failure {
                Failure::Thrown { field: NO_SUCH_LOCK, .. } => Ok(()),
                failure => Err(failure),
            })
        }
        Err(failure) => Err(failure),
    }
}
