//! What has been read of files that never change (manifest lists, manifests, footers), kept for the next query of the process.
//!
//! An entry is found by the store, the path and the size of its file, so two aliases of one place share nothing. Nothing here gets stale: which
//! files make up a table is read from its current metadata each time. Memory is charged to the budget of the process; what was not used for
//! the longest time goes first.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use object_store::ObjectStore;
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_fs::Location;

/// While more of the budget is in use, nothing is added.
const MARK: f64 = 0.75;
/// The part of the budget that is taken by default.
const SHARE: u64 = 8;
/// What an entry takes besides its content and its path.
const OVERHEAD: u64 = 256;

/// Metadata read so far; clones share it.
#[derive(Clone)]
pub struct MetadataCache(Option<Kept>);

#[derive(Clone)]
struct Kept {
    entries: Cache<FileKey, Entry>,
    /// What the entries take. It shrinks as they go, though their memory may be given back a moment later.
    charged: Arc<Mutex<Reservation>>,
    budget: MemoryBudget,
    most: u64,
}

/// A file that never changes.
#[derive(Debug, Clone)]
pub(super) struct FileKey {
    /// Kept, so that no other store comes to stand where it stood.
    store: Arc<dyn ObjectStore>,
    path: String,
    bytes: u64,
}

impl FileKey {
    /// The file at `location` of that size; 0 if metadata does not tell it.
    pub(super) fn new(location: &Location, bytes: u64) -> Self {
        Self { store: Arc::clone(&location.store), path: location.path.as_ref().to_owned(), bytes }
    }
}

impl PartialEq for FileKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && self.bytes == other.bytes && self.path == other.path
    }
}

impl Eq for FileKey {}

impl Hash for FileKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.store).cast::<()>().hash(state);
        self.path.hash(state);
    }
}

#[derive(Clone)]
struct Entry {
    content: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

impl MetadataCache {
    /// A cache of at most `most` bytes, by default an eighth of the budget; 0 is none.
    #[must_use]
    pub fn new(budget: &MemoryBudget, most: Option<u64>) -> Self {
        let most = most.unwrap_or(budget.limit() / SHARE);
        if most == 0 {
            return Self::none();
        }
        let charged = Arc::new(Mutex::new(budget.reservation(Use::Metadata)));
        let weight = |_: &FileKey, entry: &Entry| u32::try_from(entry.bytes).unwrap_or(u32::MAX);
        let gone = Arc::clone(&charged);
        let gone = move |_: Arc<FileKey>, entry: Entry, _| locked(&gone).shrink(entry.bytes);
        let entries = Cache::builder().max_capacity(most).weigher(weight).eviction_policy(EvictionPolicy::lru()).eviction_listener(gone).build();
        Self(Some(Kept { entries, charged, budget: budget.clone(), most }))
    }

    /// A cache that keeps nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The most that it may take, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.most)
    }

    /// What is kept of a file.
    pub(super) async fn get<T: Any + Send + Sync>(&self, key: &FileKey) -> Option<Arc<T>> {
        let entry = self.0.as_ref()?.entries.get(key).await?;
        entry.content.downcast().ok()
    }

    /// Keeps what takes `bytes` of memory, if there is room for it.
    pub(super) async fn put<T: Any + Send + Sync>(&self, key: FileKey, content: &Arc<T>, bytes: u64) {
        let Some(kept) = &self.0 else { return };
        let bytes = bytes + key.path.len() as u64 + OVERHEAD;
        if bytes > kept.most || kept.budget.is_above(MARK) {
            return;
        }
        let fits = locked(&kept.charged).try_grow(bytes);
        if fits {
            let content: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(content);
            kept.entries.insert(key, Entry { content, bytes }).await;
        }
    }

    /// Waits until what had to go has gone.
    #[cfg(test)]
    pub(super) async fn settled(&self) {
        if let Some(kept) = &self.0 {
            kept.entries.run_pending_tasks().await;
        }
    }
}

fn locked(charged: &Mutex<Reservation>) -> MutexGuard<'_, Reservation> {
    charged.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for MetadataCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataCache").field("limit", &self.limit()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use weir_fs::FileSystems;

    use super::*;

    fn key(file_systems: &FileSystems, uri: &str) -> FileKey {
        FileKey::new(&file_systems.resolve(uri).expect("resolves"), 7)
    }

    #[tokio::test]
    async fn what_was_not_used_for_the_longest_time_goes_first_and_is_given_back_to_the_budget() {
        let budget = MemoryBudget::new(1 << 20);
        let cache = MetadataCache::new(&budget, Some(10_000));
        let file_systems = FileSystems::default();
        let keys: Vec<FileKey> = (0..4).map(|number| key(&file_systems, &format!("memory://m/{number}"))).collect();
        for key in &keys[..3] {
            cache.put(key.clone(), &Arc::new(key.path.clone()), 3_000).await;
        }
        cache.settled().await;
        let read = cache.get::<String>(&keys[0]).await.expect("kept");
        assert_eq!(*read, keys[0].path);
        cache.settled().await;
        cache.put(keys[3].clone(), &Arc::new(String::new()), 3_000).await;
        cache.settled().await;
        assert!(cache.get::<String>(&keys[1]).await.is_none(), "the one that was not used");
        assert!(cache.get::<String>(&keys[0]).await.is_some() && cache.get::<String>(&keys[3]).await.is_some());
        assert!((9_000..=10_000).contains(&budget.used_for(Use::Metadata)), "{}", budget.used_for(Use::Metadata));
        let other = FileKey { bytes: 8, ..keys[0].clone() };
        assert!(cache.get::<String>(&other).await.is_none(), "a file of another size is another file");
        let elsewhere = key(&FileSystems::default(), "memory://m/0");
        assert!(cache.get::<String>(&elsewhere).await.is_none(), "a file of another store is another file");
        drop(cache);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn nothing_is_kept_beyond_the_budget() {
        let budget = MemoryBudget::new(100_000);
        let cache = MetadataCache::new(&budget, None);
        let small = key(&FileSystems::default(), "memory://m/small");
        assert_eq!(cache.limit(), 12_500);
        cache.put(small.clone(), &Arc::new(1), 12_500).await;
        assert_eq!(budget.used(), 0, "larger than the whole cache");
        let others = budget.try_reserve(Use::Operators, 80_000).expect("fits");
        cache.put(small.clone(), &Arc::new(1), 100).await;
        assert_eq!(budget.used_for(Use::Metadata), 0, "little is left for others");
        drop(others);
        cache.put(small.clone(), &Arc::new(1), 100).await;
        assert!(budget.used_for(Use::Metadata) > 100);
        assert_eq!(cache.get::<i32>(&small).await.as_deref(), Some(&1));
        let none = MetadataCache::none();
        none.put(small.clone(), &Arc::new(1), 1).await;
        assert!(none.get::<i32>(&small).await.is_none());
    }
}
