//! The one place that builds stores, and keeps them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::aliases::UsedAlias;
use crate::azure;
use crate::cloud::{Manner, Pace};
use crate::counting::{Counting, IoCounts};
use crate::deadline::{Deadline, Limits};
use crate::environment::Environment;
use crate::error::FsError;
use crate::fault::{FaultPlan, Faulty};
use crate::folders::Folders;
use crate::gcs;
use crate::hdfs;
use crate::local::{self, LocalFolders};
use crate::mounts::{Binding, StoreKind, built_in};
use crate::object_store_keys;
use crate::rooted::RootedFolders;
use crate::s3;

/// What makes two stores the same store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoreKey {
    pub(crate) binding: Binding,
    pub(crate) authority: String,
}

impl StoreKey {
    /// The key of `authority` under `binding`.
    ///
    /// # Errors
    /// An authority that the kind of store needs and `uri` lacks, or has and cannot use.
    pub(crate) fn try_new(binding: Binding, authority: &str, uri: &str) -> Result<Self, FsError> {
        let name = binding.name();
        if let (Some(what), "") = (binding.scheme.kind.authority(), authority) {
            let setting = binding.alias.as_ref().map(|alias| format!(" or set 'fs.alias.{}.authority'", alias.name)).unwrap_or_default();
            return Err(binding.refuse(format!("`{uri}` names no {what}; write `{name}://{what}/path`{setting}.")));
        }
        let authority = match (binding.scheme.kind, authority) {
            (StoreKind::File, "" | "localhost") => "",
            (StoreKind::File, _) => {
                let what = format!("`{uri}` names a host, but local files have none; write `{name}:///path` with three slashes.");
                return Err(binding.refuse(what));
            }
            (_, authority) => authority,
        };
        let authority = authority.to_owned();
        // Other spellings of a scheme lead to the same store.
        let scheme = built_in(binding.scheme.family).unwrap_or(binding.scheme);
        Ok(Self { binding: Binding { scheme, ..binding }, authority })
    }

    /// The first part of the URIs of this store, for messages.
    fn base_uri(&self) -> String {
        format!("{}://{}", self.binding.name(), self.authority)
    }

    fn label(&self) -> (StoreKind, &str) {
        (self.binding.scheme.kind, self.binding.alias.as_ref().map_or("", |alias| &alias.name))
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
    /// In the place of the plan of the process.
    faults: Option<FaultPlan>,
}

impl StoreRegistry {
    /// A registry whose stores fail as `faults` say.
    pub(crate) fn with_faults(faults: FaultPlan) -> Self {
        Self { faults: Some(faults), ..Self::default() }
    }

    /// The store of `key`, and its folders if it has any.
    ///
    /// # Errors
    /// A wrong property.
    pub(crate) fn get_or_build(&self, key: StoreKey, environment: &Environment) -> Result<WithFolders, FsError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = stores.get(&key) {
            return Ok((Arc::clone(&built.store), built.folders.clone()));
        }
        let faults = self.faults.clone().map_or_else(FaultPlan::of_process, |faults| Ok(Some(faults)))?;
        let built = build(&key, environment, faults)?;
        let found = (Arc::clone(&built.store), built.folders.clone());
        stores.insert(key, built);
        Ok(found)
    }

    /// The counts of all stores, added up by kind of store, alias and operation.
    pub(crate) fn io_counts(&self) -> Vec<IoCounts> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums: BTreeMap<(StoreKind, &str), Vec<IoCounts>> = BTreeMap::new();
        for (key, built) in stores.iter() {
            let counts = built.counting.counts();
            match sums.entry(key.label()) {
                Entry::Vacant(first) => drop(first.insert(counts)),
                Entry::Occupied(mut sum) => sum.get_mut().iter_mut().zip(counts).for_each(|(sum, counts)| sum.add(&counts)),
            }
        }
        sums.into_values().flatten().filter(|counts| counts.requests > 0).collect()
    }

    /// The aliases for which there is a store.
    pub(crate) fn used_aliases(&self) -> BTreeSet<UsedAlias> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.keys().filter_map(|key| key.binding.alias.as_deref()).map(UsedAlias::from).collect()
    }
}

impl fmt::Debug for StoreRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(stores.keys().map(StoreKey::base_uri)).finish()
    }
}

/// The store itself, then the root of its alias, then faults (in tests), then counters, then deadlines and retries: each retry is counted.
fn build(key: &StoreKey, environment: &Environment, faults: Option<FaultPlan>) -> Result<Built, FsError> {
    let alias = key.binding.alias.as_deref();
    let limits = Limits::from_properties(&key.binding.properties)?;
    let bare = bare(key, environment, &limits)?;
    let (rooted, folders) = match alias.map(|alias| alias.root.trim_start_matches('/')) {
        None | Some("") => bare,
        Some(root) => {
            let root = Path::parse(root).map_err(|error| key.binding.refuse(format!("its root is no usable path: {error}.")))?;
            below(bare, root)
        }
    };
    let (faulty, folders): (Arc<dyn ObjectStore>, _) = match faults {
        Some(plan) => {
            let faulty = Faulty::new(rooted, plan);
            let folders = folders.map(|folders| faulty.folders(folders));
            (Arc::new(faulty), folders)
        }
        None => (rooted, folders),
    };
    let kind = key.binding.scheme.kind;
    let counting = Counting::new(faulty, kind.as_str(), alias.map_or("", |alias| &alias.name));
    let folders = folders.map(|folders| counting.folders(folders));
    let deadline = Deadline::new(Arc::new(counting.clone()), key.base_uri(), limits);
    // A disk answers when it answers: removing a big folder takes as long as it takes.
    let folders = folders.map(|folders| if kind == StoreKind::File { folders } else { deadline.folders(folders) });
    Ok(Built { store: Arc::new(deadline), folders, counting })
}

/// A store with its folders, if it has any.
type WithFolders = (Arc<dyn ObjectStore>, Option<Arc<dyn Folders>>);

fn bare(key: &StoreKey, environment: &Environment, limits: &Limits) -> Result<WithFolders, FsError> {
    Ok(match key.binding.scheme.kind {
        StoreKind::File => (local::build(&key.binding.properties)?, Some(Arc::new(LocalFolders::default()))),
        StoreKind::Memory => (memory(&key.authority), None),
        StoreKind::Azure | StoreKind::Gcs | StoreKind::S3 => (object_store(key, environment, limits)?, None),
        StoreKind::Hdfs => {
            let hdfs = hdfs::build(key, environment, limits)?;
            (Arc::<hdfs::Hdfs>::clone(&hdfs), Some(hdfs))
        }
    })
}

/// The part of a store that is below `root`.
fn below((store, folders): WithFolders, root: Path) -> WithFolders {
    let folders = folders.map(|inner| Arc::new(RootedFolders::new(inner, root.clone())) as Arc<dyn Folders>);
    (Arc::new(PrefixStore::new(store, root)), folders)
}

/// What configures the object store of `key`, in our keys, and the environment behind that.
///
/// # Errors
/// Files of an alias that are missing or broken, and an endpoint that must be given and is not.
pub(crate) fn object_store_settings(key: &StoreKey, environment: &Environment) -> Result<(BTreeMap<String, String>, Environment), FsError> {
    let scheme = key.binding.scheme;
    // Whoever names an alias means its own credentials, and none that are set for the whole process.
    let (given, fallback) = match &key.binding.alias {
        Some(alias) => (alias.load(environment)?, Environment::default()),
        None => ((*key.binding.properties).clone(), environment.clone()),
    };
    let keys = object_store_keys::of(scheme.kind).ok_or_else(|| key.binding.refuse(format!("`{}` is no object store.", key.base_uri())))?;
    keys.warn_of_ignored(&given, key.binding.name());
    let properties = keys.ours(&given, &key.authority);
    if scheme.kind == StoreKind::S3 && scheme.family != "s3" && !properties.contains_key("s3.endpoint") {
        let what =
            format!("`{}` needs an endpoint that speaks the protocol of S3: give 's3.endpoint' or 'fs.{}.endpoint'.", key.base_uri(), scheme.family);
        return Err(key.binding.refuse(what));
    }
    Ok((properties, fallback))
}

fn object_store(key: &StoreKey, environment: &Environment, limits: &Limits) -> Result<Arc<dyn ObjectStore>, FsError> {
    let (properties, fallback) = object_store_settings(key, environment)?;
    let (kind, alias) = key.label();
    let manner = Manner { limits, pace: Pace::new(kind.as_str(), alias, limits) };
    let built = match kind {
        StoreKind::Azure => azure::build(&key.authority, &properties, &fallback, &manner),
        StoreKind::Gcs => gcs::build(&key.authority, &properties, (&fallback, alias.is_empty()), &manner),
        _ => s3::build(&key.authority, &properties, &fallback, &manner),
    };
    let named = |error: FsError| match &key.binding.alias {
        Some(alias) => alias.refuse(format!("{error}.")).with_source(error),
        None => error,
    };
    Ok(Arc::new(built.map_err(named)?))
}

/// The memory of an authority, which lives as long as the process.
fn memory(authority: &str) -> Arc<dyn ObjectStore> {
    static MEMORIES: OnceLock<Mutex<HashMap<String, Arc<InMemory>>>> = OnceLock::new();
    let mut memories = MEMORIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let memory = memories.entry(authority.to_owned()).or_default();
    Arc::<InMemory>::clone(memory)
}
