//! A cluster as one user sees it: every call with a deadline, on threads of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdfs_native::client::{FileStatus, ListStatusIterator};
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};
use weir_base::task::Task;

use super::calls::Tally;
use super::clients::{Clients, Turn};
use super::configuration::{Identity, Kerberos};
use super::errors::Failure;
use super::following::Following;
use super::kerberos::{refusal, silent_kdc};
use crate::deadline::Limits;
use crate::error::FsError;

/// A cluster as one user sees it.
pub(super) struct Cluster {
    clients: Arc<Clients>,
    tally: Arc<Tally>,
    limits: Limits,
    following: Following,
    url: String,
    secured: bool,
    kerberos: Option<Kerberos>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.url)
    }
}

impl Cluster {
    /// The cluster of `identity`. Makes no request.
    ///
    /// # Errors
    /// As [`Clients::of`].
    pub(super) fn of(identity: Identity, limits: Limits) -> Result<Arc<Self>, FsError> {
        let clients = Clients::of(&identity)?;
        let (secured, tally) = (identity.is_secured(), Tally::of(identity.alias.as_deref().unwrap_or_default()));
        let Identity { url, kerberos, following, .. } = identity;
        Ok(Arc::new(Self { clients, tally, limits, following, url, secured, kerberos }))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn following(&self) -> Following {
        self.following
    }

    /// Runs `work` on the runtime of HDFS; it ends when the returned task is dropped.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let _entered = self.clients.runtime().enter();
        let work = self.tally.count(work);
        match self.clients.polls().map(Arc::clone) {
            Some(polls) => weir_base::task::spawn("hdfs", async move { polls.note(work).await }),
            None => weir_base::task::spawn("hdfs", work),
        }
    }

    /// Runs `work` on the runtime of HDFS to its end, with nobody waiting.
    pub(super) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.clients.runtime().spawn(self.tally.count(work)));
    }

    /// An iterator over the entries of the folder `path`, and what is passed over when it is silent.
    pub(super) fn list(&self, path: &str, recursive: bool) -> (Turn, ListStatusIterator) {
        let (turn, client) = self.clients.current();
        (turn, client.list_status_iter(path, recursive))
    }

    /// What the client said, as a failure.
    pub(super) fn failure(&self, error: HdfsError) -> Failure {
        match refusal(self.secured, self.kerberos.as_ref(), &error) {
            Some(refusal) => Failure::Refused(refusal),
            None => Failure::Hdfs(error),
        }
    }

    /// A call of `turn` had no answer within `limit`.
    pub(super) fn silent(&self, turn: Turn, limit: Duration) -> Failure {
        let failure = self.late(limit);
        if matches!(failure, Failure::Silent(_)) {
            self.clients.pass_over(turn);
        }
        failure
    }

    /// Nothing came within `limit`: of a server, or of the KDC that it takes to speak to one.
    fn late(&self, limit: Duration) -> Failure {
        match self.clients.polls().and_then(|polls| polls.handshake(Instant::now())) {
            Some(waiting) => Failure::Refused(silent_kdc(self.kerberos.as_ref(), waiting)),
            None => Failure::Silent(limit),
        }
    }

    /// Does `work`, which asks DataNodes rather than NameNodes, within `limit`. The time is kept by the caller's threads: a handshake may
    /// hold those of HDFS.
    pub(super) async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, HdfsError>> + Send + 'static,
    ) -> Result<T, Failure> {
        // The client's futures are large.
        match tokio::time::timeout(limit, self.spawn(Box::pin(work))).await {
            Ok(Ok(result)) => result.map_err(|error| self.failure(error)),
            Ok(Err(error)) => Err(Failure::Task(error)),
            Err(_elapsed) => Err(self.late(limit)),
        }
    }

    /// Does `work` with the client, within the time of one NameNode call.
    pub(super) async fn call<T, F, W>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Client) -> W,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let (turn, client) = self.clients.current();
        let done = self.within(self.limits.timeout * 3 / 4, work(client.clone())).await;
        done.map_err(|failure| match failure {
            Failure::Silent(limit) => self.silent(turn, limit),
            other => other,
        })
    }

    /// The status of the file or folder at `path`, if there is one.
    pub(super) async fn status(&self, path: &str) -> Result<Option<FileStatus>, Failure> {
        let path = path.to_owned();
        let found = self.call(|client| async move { client.get_file_info(&path).await }).await;
        match found {
            Ok(status) => Ok(Some(status)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes a file or an empty folder; whether there was one.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, Failure> {
        self.delete_with(path, false).await
    }

    /// Deletes a file or a folder, with all that is in it if `with_content`; whether there was one.
    pub(super) async fn delete_with(&self, path: &str, with_content: bool) -> Result<bool, Failure> {
        let path = path.to_owned();
        self.call(|client| async move { client.delete(&path, with_content).await }).await
    }

    /// Renames a file.
    pub(super) async fn rename(&self, from: &str, to: &str, overwrite: bool) -> Result<(), Failure> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.call(|client| async move { client.rename(&from, &to, overwrite).await }).await
    }

    /// Asks for an open file to be closed with what its DataNodes hold; whether it is closed. DataNodes need some seconds.
    pub(super) async fn close(&self, path: &str) -> Result<bool, Failure> {
        let path = path.to_owned();
        self.call(|client| async move { client.recover_lease(&path).await }).await
    }

    /// Opens a closed file behind its end.
    pub(super) async fn append(&self, path: &str) -> Result<FileWriter, Failure> {
        let path = path.to_owned();
        self.call(|client| async move { client.append(&path).await }).await
    }

    /// Makes a folder and those above it.
    pub(super) async fn make_folder(&self, path: &str) -> Result<(), Failure> {
        let path = path.to_owned();
        self.call(|client| async move { client.mkdirs(&path, 0o755, true).await }).await
    }
}
