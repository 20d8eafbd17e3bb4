//! Which live deletes apply to which data files, and which apply to none any more. Pure.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, Struct, TableMetadata};
use weir_catalog::delete_files::{Targets, may_apply};
use weir_catalog::read::LiveFile;

use crate::policy::Carried;

/// The deletes of a snapshot by where they can apply.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deletes {
    all: Vec<Delete>,
    everywhere: Vec<usize>,
    of_partition: HashMap<(i32, Struct), Vec<usize>>,
    of_file: HashMap<String, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Delete {
    live: LiveFile,
    /// Its spec partitions nothing.
    global: bool,
    /// Data files to which it applies.
    targets: HashSet<String>,
}

impl Deletes {
    /// The deletes among `deletes`, with the data files of `data` to which each applies.
    pub(crate) fn of<'a>(metadata: &TableMetadata, deletes: Vec<LiveFile>, data: impl IntoIterator<Item = &'a LiveFile>) -> Self {
        let mut index = Self::default();
        for (number, live) in deletes.into_iter().enumerate() {
            let global = metadata.partition_spec_by_id(live.spec_id).is_none_or(|spec| spec.is_unpartitioned());
            let equality = live.file.content_type() == DataContentType::EqualityDeletes;
            match Targets::of(&live.file).only().filter(|_| !equality).map(str::to_owned) {
                Some(path) => index.of_file.entry(path).or_default().push(number),
                None if equality && global => index.everywhere.push(number),
                None => index.of_partition.entry((live.spec_id, live.file.partition().clone())).or_default().push(number),
            }
            index.all.push(Delete { live, global, targets: HashSet::new() });
        }
        for file in data {
            for number in index.applying(file) {
                if let Some(delete) = index.all.get_mut(number) {
                    delete.targets.insert(file.file.file_path().to_owned());
                }
            }
        }
        index
    }

    fn applying(&self, file: &LiveFile) -> Vec<usize> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let near = self.of_partition.get(&(file.spec_id, file.file.partition().clone())).into_iter().flatten();
        let named = self.of_file.get(file.file.file_path()).into_iter().flatten();
        let applies = |number: &usize| self.all.get(*number).is_some_and(|delete| may_apply(&delete.live, delete.global, file));
        self.everywhere.iter().chain(near).chain(named).copied().filter(applies).collect()
    }

    /// Notes that a data file has come: deletes that are newer than what it was made of apply to it.
    pub(crate) fn meet(&mut self, file: &LiveFile) {
        for number in self.applying(file) {
            if let Some(delete) = self.all.get_mut(number) {
                delete.targets.insert(file.file.file_path().to_owned());
            }
        }
    }

    /// Each delete with the files that it applies to.
    #[cfg(test)]
    pub(crate) fn told(&self) -> std::collections::BTreeMap<String, std::collections::BTreeSet<String>> {
        let told = |delete: &Delete| (delete.live.file.file_path().to_owned(), delete.targets.iter().cloned().collect());
        self.all.iter().map(told).collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Notes that a data file has left the table.
    pub(crate) fn forget(&mut self, path: &str) {
        for delete in &mut self.all {
            delete.targets.remove(path);
        }
    }

    /// What a file carries.
    pub(crate) fn carried(&self, file: &LiveFile) -> Carried {
        let applying = self.applying(file);
        let files = applying.iter().filter_map(|number| self.all.get(*number)).map(|delete| &delete.live.file);
        let (by_key, by_place): (Vec<&DataFile>, Vec<&DataFile>) = files.partition(|file| file.content_type() == DataContentType::EqualityDeletes);
        let rows = by_place.iter().map(|file| file.record_count()).sum();
        Carried { files: u32::try_from(applying.len()).unwrap_or(u32::MAX), rows, by_key: !by_key.is_empty() }
    }

    /// Deletes that apply to nothing once the data files `gone` have left, without those in `known`.
    pub(crate) fn idle_without(&self, gone: &HashSet<&str>, known: &HashSet<String>) -> Vec<LiveFile> {
        let is_idle =
            |delete: &&Delete| delete.targets.iter().all(|path| gone.contains(path.as_str())) && !known.contains(delete.live.file.file_path());
        self.all.iter().filter(is_idle).map(|delete| delete.live.clone()).collect()
    }
}
