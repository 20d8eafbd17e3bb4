//! Commits that take files out of a table: INSERT OVERWRITE, DELETE and UPDATE.
//!
//! A statement that changes rows looks first: a scan with the column [`FILE_COLUMN`] tells which files hold rows that match, and how many.
//! Files in which every row matches leave the table unread; the others are read again, and what is to be there instead is written. What is
//! replaced goes into the checkpoint as one more committable, so that a commit that was cut off is finished as it was meant.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datafusion::common::ScalarValue;
use iceberg::spec::{DataContentType, DataFile, FormatVersion, MAIN_BRANCH, Operation, Struct};
use serde::{Deserialize, Serialize};
use weir_base::ErrorKind;
use weir_catalog::commit::{Appends, Replaced};
use weir_catalog::lake::LakeTable;
use weir_catalog::read::LiveFile;

use super::read::PartitionConstants;
use crate::error::ConnectorError;
use crate::sink::Committable;

/// The column that holds the path of each row's file, in a scan that looks for files.
pub const FILE_COLUMN: &str = "$file";

/// Decides whether a data file may hold a row that a statement is about.
type Concerns = Arc<dyn Fn(&LiveFile) -> bool + Send + Sync>;

/// Which files a write takes the place of.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All of them.
    Everything,
    /// Those of the partitions that get rows.
    TouchedPartitions,
    /// Those of the partitions with these values, of columns by name for which [`is_partitioned_by`] holds.
    Partitions(Vec<(String, ScalarValue)>),
    /// Those that the statement has found.
    Found(FoundFiles),
}

/// Whether a table is partitioned by a column as it is: [`Scope::Partitions`] may name it.
#[must_use]
pub fn is_partitioned_by(table: &LakeTable, column: &str) -> bool {
    PartitionConstants::of(&table.metadata).is_partitioned_by(column)
}

/// The files that a DELETE or an UPDATE is about; empty until the scan that looks for them has run.
#[derive(Debug, Clone)]
pub struct FoundFiles(Arc<Found>);

#[derive(Debug)]
struct Found {
    rewrites_all: bool,
    looked: OnceLock<Looked>,
    chosen: OnceLock<Chosen>,
}

/// What planning the scan told.
struct Looked {
    /// Rows of each file without deletes; none for the others.
    rows: BTreeMap<String, u64>,
    concerns: Concerns,
}

#[derive(Debug, Default)]
struct Chosen {
    replaced: Vec<String>,
    read_again: HashSet<String>,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looked").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl FoundFiles {
    /// None found yet. `rewrites_all`: rows that match stay, in another form, so that files in which every row matches are written anew too.
    #[must_use]
    pub fn new(rewrites_all: bool) -> Self {
        Self(Arc::new(Found { rewrites_all, looked: OnceLock::new(), chosen: OnceLock::new() }))
    }

    /// Whether the files are known.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.0.chosen.get().is_some()
    }

    /// Takes the rows of the scan that looks: path of a file, and how many of its rows match.
    ///
    /// # Errors
    /// Rows of another form: a defect.
    pub fn take(&self, batches: &[RecordBatch]) -> Result<(), ConnectorError> {
        let wrong = || ConnectorError::internal("the scan for files to change gave rows of another form");
        let mut chosen = Chosen::default();
        for batch in batches {
            let [paths, counts] = batch.columns() else { return Err(wrong()) };
            let (paths, counts) = (paths.as_string_opt::<i32>().ok_or_else(wrong)?, counts.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?);
            for (path, count) in paths.iter().zip(counts) {
                let (path, count) = path.zip(count).ok_or_else(wrong)?;
                let rows = self.0.looked.get().and_then(|looked| looked.rows.get(path));
                let whole = rows.is_some_and(|rows| i64::try_from(*rows) == Ok(count));
                chosen.replaced.push(path.to_owned());
                if self.0.rewrites_all || !whole {
                    chosen.read_again.insert(path.to_owned());
                }
            }
        }
        chosen.replaced.sort_unstable();
        // The same scan of the same snapshot gives the same files: another attempt's count as well.
        self.0.chosen.get_or_init(|| chosen);
        Ok(())
    }

    /// Notes what planning the scan that looks has told.
    pub(super) fn note(&self, rows: BTreeMap<String, u64>, concerns: Concerns) {
        self.0.looked.get_or_init(|| Looked { rows, concerns });
    }

    /// Whether the file is to be read again; an error before files are known.
    pub(super) fn is_read_again(&self, path: &str) -> Result<bool, ConnectorError> {
        let chosen = self.0.chosen.get().ok_or_else(|| ConnectorError::internal("the files to change have not been looked for"))?;
        Ok(chosen.read_again.contains(path))
    }

    fn replaced(&self) -> Vec<String> {
        self.0.chosen.get().map(|chosen| chosen.replaced.clone()).unwrap_or_default()
    }

    /// Every file concerns a statement whose scan this process has not planned.
    fn concerns(&self) -> Concerns {
        self.0.looked.get().map_or_else(|| Arc::new(|_: &LiveFile| true) as Concerns, |looked| Arc::clone(&looked.concerns))
    }
}

/// What a sink takes the place of.
#[derive(Debug)]
pub(super) struct Replacing {
    scope: Scope,
    /// Whether commits that others have added rows with meanwhile are given way to.
    serializable: bool,
    read: Option<i64>,
    table: LakeTable,
}

/// What is replaced, as it stands in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// The snapshot that was read; `None` for a table without any.
    replaces_of: Option<i64>,
    /// For [`Scope::Found`]: paths as the table's metadata has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

impl Mark {
    /// The snapshot that was read.
    pub(super) fn read(&self) -> Option<i64> {
        self.replaces_of
    }
}

impl Replacing {
    /// # Errors
    /// A table of which only some files cannot be replaced (user).
    pub(super) fn try_new(table: &LakeTable, branch: Option<&str>, scope: Scope, serializable: bool) -> Result<Self, ConnectorError> {
        let metadata = &table.metadata;
        if !matches!(scope, Scope::Everything) && metadata.format_version() == FormatVersion::V3 {
            return Err(ConnectorError::user(format!(
                "table {} has format version 3, of which only all rows can be replaced yet. Overwrite it whole, or keep the rows in a table of format 2",
                table.id
            )));
        }
        let read = metadata.snapshot_for_ref(branch.unwrap_or(MAIN_BRANCH)).map(|snapshot| snapshot.snapshot_id());
        Ok(Self { scope, serializable, read, table: table.clone() })
    }

    /// What goes into the checkpoint beside the new files; nothing if there is nothing to do.
    ///
    /// # Errors
    /// A mark without a JSON form: a defect.
    pub(super) fn mark(&self) -> Result<Option<Committable>, ConnectorError> {
        let files = match &self.scope {
            Scope::Found(found) => found.replaced(),
            Scope::Everything | Scope::TouchedPartitions | Scope::Partitions(_) => Vec::new(),
        };
        if matches!(self.scope, Scope::Found(_)) && files.is_empty() {
            return Ok(None);
        }
        let payload = serde_json::to_value(Mark { replaces_of: self.read, files });
        let payload = payload.map_err(|error| ConnectorError::internal("a committable has no JSON form").with_source(error))?;
        Ok(Some(Committable { payload, rows: 0, bytes: 0 }))
    }

    /// The sequence number of new files that hold rows which were there before.
    pub(super) fn sequence_number(&self, mark: &Mark) -> Option<i64> {
        let snapshot = self.table.metadata.snapshot_by_id(mark.replaces_of?)?;
        matches!(self.scope, Scope::Found(_)).then(|| snapshot.sequence_number())
    }

    /// What leaves the table, of the files `live` that it had when it was read.
    ///
    /// # Errors
    /// Files of an older partitioning, where partitions are replaced (user).
    pub(super) fn replaced(&self, mark: &Mark, live: Vec<LiveFile>, added: &[DataFile]) -> Result<Replaced, ConnectorError> {
        let partitions: HashSet<Struct> = added.iter().map(|file| file.partition().clone()).collect();
        let metadata = &self.table.metadata;
        let spec = metadata.default_partition_spec_id();
        let by_partition = matches!(self.scope, Scope::TouchedPartitions | Scope::Partitions(_));
        if let Some(old) = live.iter().find(|live| by_partition && live.spec_id != spec && live.file.content_type() == DataContentType::Data) {
            return Err(ConnectorError::user(format!(
                "table {} still has files from before its partitioning was changed, such as `{}`: its partitions cannot be replaced one by one. \
                 Write all rows anew: INSERT OVERWRITE … SELECT from a copy, or rewrite the old files first",
                self.table.id,
                old.file.file_path()
            )));
        }
        let constants = Arc::new(PartitionConstants::of(metadata));
        let concerns: Concerns = match &self.scope {
            Scope::Everything => Arc::new(|_| true),
            Scope::TouchedPartitions => Arc::new(move |live| live.spec_id == spec && partitions.contains(live.file.partition())),
            Scope::Partitions(values) => {
                let values = values.clone();
                Arc::new(move |live| constants.have(live, &values))
            }
            Scope::Found(found) => found.concerns(),
        };
        let files: Vec<LiveFile> = match &self.scope {
            Scope::Found(_) => {
                let wanted: HashSet<&str> = mark.files.iter().map(String::as_str).collect();
                live.into_iter().filter(|live| wanted.contains(live.file.file_path())).collect()
            }
            _ => live.into_iter().filter(|live| concerns(live)).collect(),
        };
        if files.len() < mark.files.len() {
            return Err(ConnectorError::new(ErrorKind::Corrupt, format!("table {} lacks files of the snapshot that was read", self.table.id)));
        }
        let operation = match (added.is_empty(), files.is_empty()) {
            (true, _) => Operation::Delete,
            (false, true) if self.read.is_none() => Operation::Append,
            (false, _) => Operation::Overwrite,
        };
        let appends = if self.serializable { Appends::Heeded(concerns) } else { Appends::Welcome };
        Ok(Replaced { operation, read: mark.replaces_of, files, appends, notes: BTreeMap::new() })
    }
}

/// The mark among the committables, if this is one.
pub(super) fn mark_of(committable: &Committable) -> Option<Mark> {
    serde_json::from_value(committable.payload.clone()).ok()
}
