//! The clients of an identity, kept for the life of the process, and the threads they work on.
//!
//! A client that has written keeps a connection and tasks for ever, so clients are never made twice.
//!
//! A client turns to another NameNode when one refuses it or breaks the connection. A frozen NameNode does neither, nor does one whose
//! machine has lost its power. So there is a client for each order of the NameNodes; after a silent call the next client takes over, and the
//! first NameNode it asks is another one.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hdfs_native::{Client, ClientBuilder};
use tokio::runtime::{Handle, Runtime};
use weir_base::ErrorKind;

use super::configuration::{Identity, KerberosSecret};
use super::polls::Polls;
use crate::error::FsError;

const LISTS: &str = "dfs.ha.namenodes.";

/// Clients that differ in the NameNode they begin with.
pub(super) struct Clients {
    turns: Vec<Client>,
    turn: AtomicUsize,
    runtime: Handle,
    /// Of a secured identity.
    polls: Option<Arc<Polls>>,
}

/// Which of the clients a call was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(usize);

impl Clients {
    /// The clients of `identity`. Makes no request.
    ///
    /// # Errors
    /// A configuration that the client refuses, or a keytab that cannot be read.
    pub(super) fn of(identity: &Identity) -> Result<Arc<Self>, FsError> {
        static KNOWN: OnceLock<Mutex<HashMap<Identity, Arc<Clients>>>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = known.get(identity) {
            return Ok(Arc::clone(clients));
        }
        let clients = Arc::new(Self::try_new(identity)?);
        known.insert(identity.clone(), Arc::clone(&clients));
        Ok(clients)
    }

    fn try_new(identity: &Identity) -> Result<Self, FsError> {
        let runtime = runtime_of(identity)?;
        let orders = orders(&identity.entries);
        let turns = orders.into_iter().map(|entries| open(identity, entries, runtime.clone())).collect::<Result<_, _>>()?;
        let polls = identity.is_secured().then(Arc::default);
        Ok(Self { turns, turn: AtomicUsize::new(0), runtime, polls })
    }

    /// The client whose turn it is.
    pub(super) fn current(&self) -> (Turn, &Client) {
        let turn = self.turn.load(Ordering::Relaxed) % self.turns.len();
        // There is at least one, and the remainder is within.
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        (Turn(turn), &self.turns[turn])
    }

    /// A call with the client of `silent` had no answer: it is the next one's turn, unless that was seen to already.
    pub(super) fn pass_over(&self, silent: Turn) {
        let next = (silent.0 + 1) % self.turns.len();
        // It fails only if another call has seen to it.
        _ = self.turn.compare_exchange(silent.0, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Where all work with these clients is done.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where work is noted while a thread is busy with it.
    pub(super) fn polls(&self) -> Option<&Arc<Polls>> {
        self.polls.as_ref()
    }
}

/// The configuration once for each NameNode of the longest list, with another one first each time.
fn orders(entries: &BTreeMap<String, String>) -> Vec<BTreeMap<String, String>> {
    let lists: Vec<(&String, Vec<&str>)> =
        entries.iter().filter(|(key, _)| key.starts_with(LISTS)).map(|(key, list)| (key, list.split(',').collect())).collect();
    let longest = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(1);
    let order = |turn: usize| {
        let mut entries = entries.clone();
        for (key, list) in &lists {
            let (mut list, first) = (list.clone(), turn % list.len());
            list.rotate_left(first);
            entries.insert((*key).clone(), list.join(","));
        }
        entries
    };
    (0..longest).map(order).collect()
}

fn open(identity: &Identity, entries: BTreeMap<String, String>, runtime: Handle) -> Result<Client, FsError> {
    let mut builder = ClientBuilder::new()
        .with_url(&identity.url)
        // Nothing is there to be read: all entries are given.
        .with_config_dir("/nonexistent")
        .with_config(entries)
        .with_io_runtime(runtime);
    if let Some(user) = &identity.user {
        builder = builder.with_user(user);
    }
    if let Some(kerberos) = &identity.kerberos {
        builder = builder.with_kerberos_principal(&kerberos.principal);
        // Who comes is who acts, whatever HADOOP_PROXY_USER says. Only with its realm the name is the one that the NameNode knows.
        if kerberos.principal.contains('@') {
            builder = builder.with_user(&kerberos.principal);
        }
        builder = match &kerberos.secret {
            KerberosSecret::Keytab(file) => {
                // The library says of a missing keytab that there are no credentials.
                File::open(file).map_err(|error| {
                    let message = format!("the keytab '{file}' of '{}' cannot be read: {error}", kerberos.principal);
                    FsError::new(ErrorKind::User, message).with_source(error)
                })?;
                builder.with_kerberos_keytab(file)
            }
            KerberosSecret::TicketCache(cache) => builder.with_kerberos_cache(cache),
        };
    }
    // The client of key servers is made with it, and panics without. It fails if there is one already.
    _ = rustls::crypto::ring::default_provider().install_default();
    builder.build().map_err(|error| FsError::new(ErrorKind::User, format!("`{}`: {error}", identity.url)).with_source(error))
}

/// The threads for the work of `identity`. They outlive every client: a client whose runtime is gone panics.
///
/// A Kerberos handshake blocks its thread, half a minute if the KDC is silent. So a secured identity has threads of its own, and everybody
/// else goes on.
fn runtime_of(identity: &Identity) -> Result<Handle, FsError> {
    static SHARED: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let start = |threads: usize| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("weir-hdfs").enable_all().build().map_err(|error| error.to_string())
    };
    let none = |error: &String| FsError::new(ErrorKind::Internal, format!("no threads for HDFS: {error}"));
    if identity.is_secured() {
        // Each client has one handshake at a time with each NameNode: one thread is always free.
        let clients = orders(&identity.entries).len();
        let threads = 1 + clients * clients;
        let own = start(threads).map_err(|error| none(&error))?;
        return Ok(Box::leak(Box::new(own)).handle().clone());
    }
    match SHARED.get_or_init(|| start(2)) {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(error) => Err(none(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdfs::following::Following;

    fn identity(entries: &[(&str, &str)]) -> Identity {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Identity { url: "hdfs://ns1".to_owned(), entries, user: None, kerberos: None, alias: None, following: Following::default() }
    }

    const TWO: [(&str, &str); 4] = [
        ("dfs.ha.namenodes.ns1", "a,b"),
        ("dfs.ha.namenodes.far", "x"),
        ("dfs.namenode.rpc-address.ns1.a", "127.0.0.1:1"),
        ("dfs.namenode.rpc-address.ns1.b", "127.0.0.1:2"),
    ];

    #[test]
    fn there_is_an_order_for_each_name_node() {
        let found = orders(&identity(&TWO).entries);
        let lists: Vec<_> = found.iter().map(|one| (one["dfs.ha.namenodes.ns1"].as_str(), one["dfs.ha.namenodes.far"].as_str())).collect();
        assert_eq!(lists, [("a,b", "x"), ("b,a", "x")]);
        assert_eq!(orders(&BTreeMap::new()).len(), 1, "a NameNode known by its address");
    }

    #[test]
    fn many_silent_calls_at_once_pass_one_name_node_over() {
        let clients = Clients::try_new(&identity(&TWO)).expect("clients");
        let (first, _) = clients.current();
        clients.pass_over(first);
        clients.pass_over(first);
        let (second, _) = clients.current();
        assert_ne!(first, second);
        clients.pass_over(second);
        assert_eq!(clients.current().0, first);
    }

    #[test]
    fn a_secured_identity_has_threads_of_its_own() {
        let secured = identity(&[&TWO[..], &[("hadoop.security.authentication", "kerberos")]].concat());
        let id = |identity: &Identity| runtime_of(identity).expect("threads").id();
        assert_eq!(id(&identity(&TWO)), id(&identity(&[])));
        assert_ne!(id(&secured), id(&identity(&TWO)));
    }
}
