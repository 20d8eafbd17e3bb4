//! The one place that builds stores, and keeps them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use weir_base::ErrorKind;

use crate::counting::{Counting, IoCounts};
use crate::deadline::{Deadline, Limits};
use crate::environment::Environment;
use crate::error::FsError;
use crate::fault::{FaultPlan, Faulty};
use crate::folders::Folders;
use crate::hdfs;
use crate::local::{self, LocalFolders};
use crate::mounts::{Binding, StoreKind};
use crate::s3;

/// What makes two stores the same store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoreKey {
    pub(crate) kind: StoreKind,
    pub(crate) authority: String,
    pub(crate) properties: BTreeMap<String, String>,
}

impl StoreKey {
    /// The key of `authority` under `binding`.
    ///
    /// # Errors
    /// An authority that the kind of store needs and `uri` lacks, or has and cannot use.
    pub(crate) fn try_new(binding: Binding, authority: &str, uri: &str) -> Result<Self, FsError> {
        let refuse = |what: &str| Err(FsError::new(ErrorKind::User, format!("`{uri}` {what}")));
        let authority = match (binding.kind, authority) {
            (StoreKind::S3, "") => return refuse("names no bucket; write `s3://bucket/path`"),
            (StoreKind::File, "" | "localhost") => "",
            (StoreKind::File, _) => return refuse("names a host, but local files have none; write `file:///path` with three slashes"),
            (_, authority) => authority,
        };
        Ok(Self { kind: binding.kind, authority: authority.to_owned(), properties: binding.properties })
    }

    /// The first part of the URIs of this store, for messages.
    fn base_uri(&self) -> String {
        format!("{}://{}", self.kind.as_str(), self.authority)
    }
}

struct Built {
    store: Arc<dyn ObjectStore>,
    folders: Option<Arc<dyn Folders>>,
    counting: Counting,
}

/// The stores of a [`FileSystems`](crate::FileSystems), built when first asked for and kept until it goes.
#[derive(Default)]
pub(crate) struct StoreRegistry {
    stores: Mutex<HashMap<StoreKey, Built>>,
}

impl StoreRegistry {
    /// The store of `key`, and its folders if it has any.
    ///
    /// # Errors
    /// A wrong property.
    pub(crate) fn get_or_build(&self, key: StoreKey, environment: &Environment) -> Result<(Arc<dyn ObjectStore>, Option<Arc<dyn Folders>>), FsError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = stores.get(&key) {
            return Ok((Arc::clone(&built.store), built.folders.clone()));
        }
        let built = build(&key, environment)?;
        let found = (Arc::clone(&built.store), built.folders.clone());
        stores.insert(key, built);
        Ok(found)
    }

    /// The counts of all stores, added up by kind of store and operation.
    pub(crate) fn io_counts(&self) -> Vec<IoCounts> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |kind: StoreKind| {
            let all = stores.iter().filter(move |(key, _)| key.kind == kind).map(|(_, built)| built.counting.counts());
            all.reduce(|mut sum, counts| {
                sum.iter_mut().zip(counts).for_each(|(sum, counts)| sum.add(&counts));
                sum
            })
        };
        StoreKind::ALL.into_iter().filter_map(of_kind).flatten().filter(|counts| counts.requests > 0).collect()
    }
}

impl fmt::Debug for StoreRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(stores.keys().map(StoreKey::base_uri)).finish()
    }
}

/// The store itself, then faults (in tests), then counters, then deadlines and retries: each retry is counted.
fn build(key: &StoreKey, environment: &Environment) -> Result<Built, FsError> {
    let limits = Limits::from_properties(&key.properties)?;
    let (bare, folders): (Arc<dyn ObjectStore>, Option<Arc<dyn Folders>>) = match key.kind {
        StoreKind::File => (local::build(&key.properties)?, Some(Arc::new(LocalFolders::default()))),
        StoreKind::Memory => (memory(&key.authority), None),
        StoreKind::S3 => (Arc::new(s3::build(key, environment, &limits)?), None),
        StoreKind::Hdfs => {
            let hdfs = hdfs::build(key, environment, &limits)?;
            (Arc::<hdfs::Hdfs>::clone(&hdfs), Some(hdfs))
        }
    };
    let (faulty, folders): (Arc<dyn ObjectStore>, _) = match FaultPlan::of_process()? {
        Some(plan) => {
            let faulty = Faulty::new(bare, plan);
            let folders = folders.map(|folders| faulty.folders(folders));
            (Arc::new(faulty), folders)
        }
        None => (bare, folders),
    };
    let counting = Counting::new(faulty, key.kind.as_str());
    let folders = folders.map(|folders| counting.folders(folders));
    let deadline = Deadline::new(Arc::new(counting.clone()), key.base_uri(), limits);
    // A disk answers when it answers: removing a big folder takes as long as it takes.
    let folders = folders.map(|folders| if key.kind == StoreKind::File { folders } else { deadline.folders(folders) });
    Ok(Built { store: Arc::new(deadline), folders, counting })
}

/// The memory of an authority, which lives as long as the process.
fn memory(authority: &str) -> Arc<dyn ObjectStore> {
    static MEMORIES: OnceLock<Mutex<HashMap<String, Arc<InMemory>>>> = OnceLock::new();
    let mut memories = MEMORIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let memory = memories.entry(authority.to_owned()).or_default();
    Arc::<InMemory>::clone(memory)
}
