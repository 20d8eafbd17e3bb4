//! The live files of one branch of a table, by partition, kept in memory from commit to commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::debt::Debt;
use super::decide::{Group, decide};
use super::facts::{Carried, FileFacts, Options};

/// The files of a table, and which partitions have changed since they were last looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory<K> {
    partitions: BTreeMap<K, Vec<FileFacts>>,
    partition_of: HashMap<String, K>,
    touched: BTreeSet<K>,
    /// Files that are being rewritten.
    held: HashSet<String>,
}

impl<K> Default for Inventory<K> {
    fn default() -> Self {
        Self { partitions: BTreeMap::new(), partition_of: HashMap::new(), touched: BTreeSet::new(), held: HashSet::new() }
    }
}

impl<K: Ord + Clone> Inventory<K> {
    /// Takes in a file that a commit has added. One that is known already is left as it is.
    pub fn add(&mut self, partition: K, file: FileFacts) {
        if self.partition_of.contains_key(&file.path) {
            return;
        }
        self.partition_of.insert(file.path.clone(), partition.clone());
        self.touched.insert(partition.clone());
        self.partitions.entry(partition).or_default().push(file);
    }

    /// Takes out a file that a commit has removed; its facts, if it was there.
    pub fn remove(&mut self, path: &str) -> Option<FileFacts> {
        let partition = self.partition_of.remove(path)?;
        let files = self.partitions.get_mut(&partition)?;
        let index = files.iter().position(|file| file.path == path)?;
        let file = files.remove(index);
        if files.is_empty() {
            self.partitions.remove(&partition);
        }
        Some(file)
    }

    /// Notes deletes that apply to a file from now on.
    pub fn set_deletes(&mut self, path: &str, deletes: Carried) {
        let Some(partition) = self.partition_of.get(path) else { return };
        if let Some(file) = self.partitions.get_mut(partition).and_then(|files| files.iter_mut().find(|file| file.path == path)) {
            file.deletes = deletes;
            self.touched.insert(partition.clone());
        }
    }

    /// Leaves the files of a group out of plans until they are released.
    pub fn hold(&mut self, group: &Group<K>) {
        self.held.extend(group.files.iter().map(|file| file.path.clone()));
    }

    /// Leaves all files out of plans that are not `wanted`, by partition and path.
    pub fn hold_unless(&mut self, wanted: impl Fn(&K, &str) -> bool) {
        let others = self.partition_of.iter().filter(|(path, partition)| !wanted(partition, path));
        self.held.extend(others.map(|(path, _)| path.clone()));
    }

    /// The number of all files, and of those that plans are made of.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let all = self.partition_of.len();
        (all, all - self.held.iter().filter(|path| self.partition_of.contains_key(*path)).count())
    }

    /// Plans with the files of a group again, if they are still there.
    pub fn release(&mut self, group: &Group<K>) {
        self.held.retain(|path| group.files.iter().all(|file| file.path != *path));
        self.touched.insert(group.partition.clone());
    }

    /// Leaves these files out of plans until they are released.
    pub fn hold_files<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        self.held.extend(paths.map(str::to_owned));
    }

    /// Plans with these files again, as far as they are still there.
    pub fn release_files(&mut self, paths: &[String]) {
        for path in paths {
            self.held.remove(path);
            self.touched.extend(self.partition_of.get(path).cloned());
        }
    }

    /// Looks at every partition with the next plan.
    pub fn touch_all(&mut self) {
        self.touched.extend(self.partitions.keys().cloned());
    }

    fn free<'a>(&self, files: &'a [FileFacts]) -> Cow<'a, [FileFacts]> {
        if self.held.is_empty() {
            return Cow::Borrowed(files);
        }
        files.iter().filter(|file| !self.held.contains(&file.path)).cloned().collect()
    }

    /// The files by partition.
    pub fn partitions(&self) -> impl Iterator<Item = (&K, &[FileFacts])> {
        self.partitions.iter().map(|(partition, files)| (partition, files.as_slice()))
    }

    /// The debt of the whole table.
    #[must_use]
    pub fn debt(&self, options: &Options) -> Debt {
        self.partitions.values().map(|files| Debt::of(files, options)).fold(Debt::default(), Debt::plus)
    }

    /// What to rewrite in the partitions that were touched, those first that are freed of most files for their bytes, up to
    /// [`Options::max_bytes`]. A partition stays touched until it has gone quiet with nothing left to do.
    pub fn plan(&mut self, options: &Options, now: Duration) -> Vec<Group<K>> {
        let mut groups = Vec::new();
        let touched = std::mem::take(&mut self.touched);
        for partition in touched {
            let Some(files) = self.partitions.get(&partition) else { continue };
            let found = decide(&partition, &self.free(files), options, now);
            let newest = files.iter().map(|file| file.added).max().unwrap_or_default();
            if !found.is_empty() || now.saturating_sub(newest) < options.quiet {
                self.touched.insert(partition);
            }
            groups.extend(found);
        }
        within(groups, options)
    }

    /// What to rewrite in the whole table, partitions that were not touched included.
    #[must_use]
    pub fn plan_all(&self, options: &Options, now: Duration) -> Vec<Group<K>> {
        within(self.partitions.iter().flat_map(|(partition, files)| decide(partition, &self.free(files), options, now)).collect(), options)
    }
}

/// The best of `groups` that have no more bytes together than allowed.
fn within<K: Ord>(mut groups: Vec<Group<K>>, options: &Options) -> Vec<Group<K>> {
    groups.sort_by(|one, other| {
        // Bytes for each file, without dividing.
        let cost = |group: &Group<K>, other: &Group<K>| u128::from(group.bytes()) * other.files.len() as u128;
        cost(one, other).cmp(&cost(other, one)).then_with(|| one.partition.cmp(&other.partition))
    });
    let mut left = options.max_bytes.unwrap_or(u64::MAX);
    groups.retain(|group| match left.checked_sub(group.bytes()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    groups
}
