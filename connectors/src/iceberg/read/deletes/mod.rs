//! Deletes: which apply to which data file, and what they say.
//!
//! A position delete hides rows of one data file by number, a deletion vector does the same in one blob, an equality delete hides all older
//! rows with certain values. [`DeleteIndex`] decides (section "Scan Planning" of the Iceberg specification); [`positions`] and [`equality`]
//! read.

pub(super) mod equality;
pub(super) mod positions;
mod vector;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::DataContentType;
use tokio::sync::OnceCell;
use weir_catalog::delete_files::{FILE_PATH_ID, Targets};

use self::equality::EqualityGroup;
use self::positions::PositionFile;
use super::listed::{ListedFile, Partition as Values};

/// A live delete file.
#[derive(Debug, Clone)]
pub(super) struct LiveDelete {
    pub(super) file: ListedFile,
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
type Partition = Option<(i32, Values)>;

/// A file of position deletes: what planning knows of it, and its rows, once they have been read.
type Positions = (ListedFile, Arc<PositionFile>);

/// All deletes of a snapshot by where they apply.
#[derive(Debug, Default)]
pub(super) struct DeleteIndex {
    positions: HashMap<(i32, Values), Vec<Positions>>,
    by_file: HashMap<String, Vec<Positions>>,
    equality: HashMap<Partition, Vec<Arc<EqualityGroup>>>,
}

impl DeleteIndex {
    /// An index of `deletes`.
    pub(super) fn new(deletes: Vec<LiveDelete>) -> Self {
        let mut index = Self::default();
        let mut groups: HashMap<(Partition, Vec<i32>), Vec<ListedFile>> = HashMap::new();
        for LiveDelete { file, global } in deletes {
            let partition = partition_of(&file);
            if file.content() == DataContentType::EqualityDeletes {
                let ids = file.equality_ids().to_vec();
                groups.entry(((!global).then_some(partition), ids)).or_default().push(file);
                continue;
            }
            let read = Arc::new(PositionFile { file: file.clone(), read: OnceCell::new() });
            match targets(&file).only().map(str::to_owned) {
                Some(path) => index.by_file.entry(path).or_default().push((file, read)),
                None => index.positions.entry(partition).or_default().push((file, read)),
            }
        }
        for ((partition, ids), files) in groups {
            index.equality.entry(partition).or_default().push(Arc::new(EqualityGroup { ids, files, read: OnceCell::new() }));
        }
        index
    }

    /// The deletes that apply to a data file.
    pub(super) fn of(&self, file: &ListedFile) -> Applying {
        if self.positions.is_empty() && self.by_file.is_empty() && self.equality.is_empty() {
            return Applying::default();
        }
        let (partition, sequence) = (partition_of(file), file.sequence());
        let named = self.by_file.get(file.path()).into_iter().flatten();
        let near = self.positions.get(&partition).into_iter().flatten().filter(|(delete, _)| targets(delete).may_be(file.path()));
        let positions = named.chain(near).filter(|(delete, _)| delete.sequence() >= sequence).map(|(_, read)| Arc::clone(read)).collect();
        let groups = [Some(partition), None].into_iter().filter_map(|partition| self.equality.get(&partition)).flatten();
        let equality = groups.filter(|group| group.files.iter().any(|newer| newer.sequence() > sequence)).map(Arc::clone).collect();
        Applying { positions, equality }
    }
}

fn partition_of(file: &ListedFile) -> (i32, Values) {
    (file.spec_id(), file.partition().into())
}

/// What the metadata of a file of position deletes says of the data files that it is about.
fn targets(delete: &ListedFile) -> Targets<'_> {
    let [lower, upper] = [delete.lower(FILE_PATH_ID), delete.upper(FILE_PATH_ID)].map(|bound| std::str::from_utf8(bound?).ok());
    Targets { named: delete.target().map(Cow::Borrowed), lower, upper, format: delete.format() }
}

#[cfg(test)]
pub(super) use vector::blob as vector_blob;
