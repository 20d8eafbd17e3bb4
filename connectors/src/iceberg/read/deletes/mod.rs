//! Deletes: which apply to which data file, and what they say.
//!
//! A position delete hides rows of one data file by number, a deletion vector does the same in one blob, an equality delete hides all older
//! rows with certain values. [`DeleteIndex`] decides (section "Scan Planning" of the Iceberg specification); [`positions`] and [`equality`]
//! read.

pub(super) mod equality;
pub(super) mod positions;
mod vector;

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, ManifestEntryRef, Struct};
use tokio::sync::OnceCell;
use weir_catalog::delete_files::{may_name, only_target};

use self::equality::EqualityGroup;
use self::positions::PositionFile;

/// A live delete file.
#[derive(Debug, Clone)]
pub(super) struct LiveDelete {
    pub(super) entry: ManifestEntryRef,
    pub(super) spec_id: i32,
    pub(super) sequence: i64,
    /// Whether its spec partitions nothing: an equality delete then applies to the whole table.
    pub(super) global: bool,
}

/// The deletes that apply to one data file.
#[derive(Debug, Clone, Default)]
pub(super) struct Applying {
    pub(super) positions: Vec<Arc<PositionFile>>,
    pub(super) equality: Vec<Arc<EqualityGroup>>,
}

impl Applying {
    /// Whether no delete applies.
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.equality.is_empty()
    }
}

/// A partition of a spec; `None` is the whole table.
type Partition = Option<(i32, Struct)>;

/// A file of position deletes: what planning knows of it, and its rows, once they have been read.
type Positions = (LiveDelete, Arc<PositionFile>);

/// All deletes of a snapshot by where they apply.
#[derive(Debug, Default)]
pub(super) struct DeleteIndex {
    positions: HashMap<(i32, Struct), Vec<Positions>>,
    by_file: HashMap<String, Vec<Positions>>,
    equality: HashMap<Partition, Vec<Arc<EqualityGroup>>>,
}

impl DeleteIndex {
    /// An index of `deletes`.
    pub(super) fn new(deletes: Vec<LiveDelete>) -> Self {
        let mut index = Self::default();
        let mut groups: HashMap<(Partition, Vec<i32>), Vec<LiveDelete>> = HashMap::new();
        for delete in deletes {
            let file = delete.entry.data_file();
            let partition = (delete.spec_id, file.partition().clone());
            if file.content_type() == DataContentType::EqualityDeletes {
                let ids = file.equality_ids().unwrap_or_default();
                groups.entry(((!delete.global).then_some(partition), ids)).or_default().push(delete);
                continue;
            }
            let read = Arc::new(PositionFile { entry: Arc::clone(&delete.entry), read: OnceCell::new() });
            match only_target(file) {
                Some(path) => index.by_file.entry(path).or_default().push((delete, read)),
                None => index.positions.entry(partition).or_default().push((delete, read)),
            }
        }
        for ((partition, ids), files) in groups {
            let group =
                EqualityGroup { ids, files: files.into_iter().map(|delete| (delete.sequence, delete.entry)).collect(), read: OnceCell::new() };
            index.equality.entry(partition).or_default().push(Arc::new(group));
        }
        index
    }

    /// The deletes that apply to a data file.
    pub(super) fn of(&self, file: &DataFile, spec_id: i32, sequence: i64) -> Applying {
        if self.positions.is_empty() && self.by_file.is_empty() && self.equality.is_empty() {
            return Applying::default();
        }
        let partition = (spec_id, file.partition().clone());
        let named = self.by_file.get(file.file_path()).into_iter().flatten();
        let near = self.positions.get(&partition).into_iter().flatten().filter(|(delete, _)| may_name(delete.entry.data_file(), file.file_path()));
        let positions = named.chain(near).filter(|(delete, _)| delete.sequence >= sequence).map(|(_, read)| Arc::clone(read)).collect();
        let groups = [Some(partition), None].into_iter().filter_map(|partition| self.equality.get(&partition)).flatten();
        let equality = groups.filter(|group| group.files.iter().any(|(newer, _)| *newer > sequence)).map(Arc::clone).collect();
        Applying { positions, equality }
    }
}

#[cfg(test)]
pub(super) use vector::blob as vector_blob;
