//! The client of one cluster and one user: made once, kept for the life of the process, every call with a deadline.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hdfs_native::client::{FileStatus, ListStatusIterator};
use hdfs_native::{Client, ClientBuilder, HdfsError};
use tokio::runtime::{Handle, Runtime};
use weir_base::ErrorKind;
use weir_base::task::Task;

use super::configuration::{Identity, KerberosSecret};
use super::errors::Failure;
use crate::deadline::Limits;
use crate::error::FsError;

/// A cluster as one user sees it.
pub(super) struct Cluster {
    client: Client,
    runtime: Handle,
    limits: Limits,
    url: String,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.url)
    }
}

impl Cluster {
    /// The cluster of `identity`. Makes no request.
    ///
    /// A client that has written keeps a connection and tasks for ever, so clients are never made twice.
    ///
    /// # Errors
    /// A configuration the client refuses.
    pub(super) fn of(identity: Identity, limits: Limits) -> Result<Arc<Self>, FsError> {
        static CLIENTS: OnceLock<Mutex<HashMap<Identity, Client>>> = OnceLock::new();
        let runtime = runtime()?;
        let mut clients = CLIENTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let url = identity.url.clone();
        let client = match clients.get(&identity) {
            Some(client) => client.clone(),
            None => {
                let client = open(&identity, runtime.clone())?;
                clients.insert(identity, client.clone());
                client
            }
        };
        Ok(Arc::new(Self { client, runtime, limits, url }))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Runs `work` on the runtime of HDFS; it ends when the returned task is dropped.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let _entered = self.runtime.enter();
        weir_base::task::spawn("hdfs", work)
    }

    /// Runs `work` on the runtime of HDFS to its end, with nobody waiting.
    pub(super) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// An iterator over the entries of the folder `path`.
    pub(super) fn list(&self, path: &str, recursive: bool) -> ListStatusIterator {
        self.client.list_status_iter(path, recursive)
    }

    /// Does `work` with the client, within `limit`.
    pub(super) async fn within<T, F, W>(&self, limit: Duration, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Client) -> W,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        // The client's futures are large.
        let work = Box::pin(work(self.client.clone()));
        let task = self.spawn(async move { tokio::time::timeout(limit, work).await });
        match task.await {
            Ok(Ok(result)) => result.map_err(Failure::Hdfs),
            Ok(Err(_)) => Err(Failure::Silent(limit)),
            Err(error) => Err(Failure::Task(error)),
        }
    }

    /// Does `work` with the client, within the time of one NameNode call.
    pub(super) async fn call<T, F, W>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Client) -> W,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        self.within(self.limits.timeout * 3 / 4, work).await
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

    /// Makes a folder and those above it.
    pub(super) async fn make_folder(&self, path: &str) -> Result<(), Failure> {
        let path = path.to_owned();
        self.call(|client| async move { client.mkdirs(&path, 0o755, true).await }).await
    }
}

/// The runtime on which all HDFS work is done. It outlives every client: a client whose runtime is gone panics.
fn runtime() -> Result<Handle, FsError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let start = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("weir-hdfs").enable_all().build().map_err(|error| error.to_string())
    };
    match RUNTIME.get_or_init(start) {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(error) => Err(FsError::new(ErrorKind::Internal, format!("no threads for HDFS: {error}"))),
    }
}

fn open(identity: &Identity, runtime: Handle) -> Result<Client, FsError> {
    let mut builder = ClientBuilder::new()
        .with_url(&identity.url)
        // Nothing is there to be read: all entries are given.
        .with_config_dir("/nonexistent")
        .with_config(identity.entries.clone())
        .with_io_runtime(runtime);
    if let Some(user) = &identity.user {
        builder = builder.with_user(user);
    }
    if let Some(kerberos) = &identity.kerberos {
        builder = builder.with_kerberos_principal(&kerberos.principal);
        builder = match &kerberos.secret {
            KerberosSecret::Keytab(file) => builder.with_kerberos_keytab(file),
            KerberosSecret::TicketCache(cache) => builder.with_kerberos_cache(cache),
        };
    }
    builder.build().map_err(|error| FsError::new(ErrorKind::User, format!("`{}`: {error}", identity.url)).with_source(error))
}
