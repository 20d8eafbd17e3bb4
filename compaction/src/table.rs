//! A snapshot of a table as the policy sees it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestStatus, Snapshot, SnapshotRef, TableMetadata,
    Type,
};
use weir_base::options::{closest, parse_memory_size};
use weir_catalog::commit::News;
use weir_catalog::lake::LakeTable;
use weir_catalog::properties::declared::TARGET_SIZE;
use weir_catalog::read::{LiveFile, SlimFile, entries, manifests, sequence_number, slim_files};
use weir_catalog::references::references;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::catalog_error;

use crate::deletes::Deletes;
use crate::names::is_copy;
use crate::policy::{FileFacts, Group, Inventory, Options};
use crate::run::Request;

impl Options {
    /// Those of a table with these properties: its files shall have the size that its writers give them.
    #[must_use]
    pub fn of(properties: &HashMap<String, String>) -> Self {
        let target = properties.get(TARGET_SIZE.key).and_then(|text| parse_memory_size(text)).filter(|bytes| *bytes > 0);
        let default = Self::default();
        Self { target_bytes: target.unwrap_or(default.target_bytes), ..default }
    }
}

/// Partitions that a message names.
const NAMED: usize = 10;

/// About what is kept in memory for a live file beside its metrics, in bytes.
const FILE: u64 = 2 << 10;

/// A partition of one of a table's specs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The spec.
    pub spec_id: i32,
    /// `event_type=click/ts_day=2026-11-21`; empty for a table without partitions.
    pub name: String,
    /// The values, exactly.
    values: String,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.name.is_empty() { "(all)" } else { &self.name })
    }
}

/// The files of one snapshot.
#[derive(Debug)]
pub struct LiveTable {
    /// The table as it was loaded.
    pub table: LakeTable,
    /// The snapshot; `None`: the branch has none.
    pub snapshot: Option<SnapshotRef>,
    /// What the policy knows of it.
    pub inventory: Inventory<PartitionKey>,
    pub(crate) files: HashMap<String, SlimFile>,
    pub(crate) deletes: Arc<Deletes>,
}

/// That `table` has no branch `branch`, with the nearest that it has.
fn no_branch(table: &LakeTable, branch: &str) -> Result<ConnectorError, ConnectorError> {
    let all = references(&table.metadata).map_err(catalog_error)?;
    let branches: Vec<&str> = all.iter().filter(|(_, reference)| reference.is_branch()).map(|(name, _)| name.as_str()).collect();
    let near = closest(branch, branches).first().map(|near| format!(". Did you mean '{near}'?")).unwrap_or_default();
    Ok(ConnectorError::user(format!("table '{}' has no branch '{branch}'{near}", table.name())))
}

impl LiveTable {
    /// Reads the manifests of the snapshot that `branch` (`None`: main) has in `table`.
    ///
    /// # Errors
    /// A branch that the table does not have, a format version that cannot be compacted (user); metadata that cannot be read.
    pub async fn load(table: LakeTable, branch: Option<&str>) -> Result<Self, ConnectorError> {
        Self::check(&table, branch)?;
        Self::read(table, branch).await
    }

    /// That the files of `branch` can be replaced at all.
    ///
    /// # Errors
    /// A branch that the table does not have, a format version that cannot be compacted (user).
    pub(crate) fn check(table: &LakeTable, branch: Option<&str>) -> Result<(), ConnectorError> {
        if table.metadata.format_version() == FormatVersion::V3 {
            return Err(ConnectorError::user(format!(
                "table '{}' has format version 3: its files cannot be replaced yet, since the ids of rows would be lost. Use a table of format version 2",
                table.name()
            )));
        }
        head(table, branch).map(drop)
    }

    /// The same for looking alone: of a table of any format version.
    ///
    /// # Errors
    /// A branch that the table does not have (user); metadata that cannot be read.
    pub async fn read(table: LakeTable, branch: Option<&str>) -> Result<Self, ConnectorError> {
        let snapshot = head(&table, branch)?;
        let live = match &snapshot {
            Some(snapshot) => slim_files(&table, snapshot).await.map_err(catalog_error)?,
            None => Vec::new(),
        };
        Ok(Self::new(table, snapshot, live))
    }

    /// That some partition's name begins with `wanted`, if there are partitions.
    ///
    /// # Errors
    /// None does: with the names that there are, the nearest first (user).
    pub fn check_partition(&self, wanted: &str) -> Result<(), ConnectorError> {
        let names: BTreeSet<&str> = self.inventory.partitions().map(|(partition, _)| partition.name.as_str()).collect();
        if names.is_empty() || names.iter().any(|name| name.starts_with(wanted)) {
            return Ok(());
        }
        if names.iter().all(|name| name.is_empty()) {
            return Err(ConnectorError::user(format!("table '{}' has no partitions: none begins with '{wanted}'", self.table.name())));
        }
        let near = closest(wanted, names.iter().copied()).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
        let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
        let more = if names.len() > NAMED { format!(", and {} more", names.len() - NAMED) } else { String::new() };
        let what = format!(
            "table '{}' has no partition whose name begins with '{wanted}'.{near} Its partitions are {}{more}",
            self.table.name(),
            shown.join(", ")
        );
        Err(ConnectorError::user(what))
    }

    /// Leaves the files out of plans that a request is not about.
    pub(crate) fn narrow(&mut self, request: &Request) {
        let Request { partition, filter, among, .. } = request;
        let may_hold = filter.as_ref().map(|filter| filter.of(&self.table.metadata));
        let files = &self.files;
        self.inventory.hold_unless(|of, path| {
            partition.as_ref().is_none_or(|wanted| of.name.starts_with(wanted.as_str()))
                && among.as_ref().is_none_or(|these| these.contains(path))
                && may_hold.as_ref().is_none_or(|may_hold| files.get(path).is_none_or(may_hold))
        });
    }

    /// The table as it is in `table`, a later state of the same branch. Only the manifests of the snapshots since are read; all of them, if
    /// deletes came or went, or the snapshot is not in the branch's history any more.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn follow(mut self, table: LakeTable, branch: Option<&str>) -> Result<Self, ConnectorError> {
        let head = table.metadata.snapshot_for_ref(branch.unwrap_or(MAIN_BRANCH)).cloned();
        let Some(since) = since(&table.metadata, head.as_ref(), self.snapshot.as_ref()) else { return Self::load(table, branch).await };
        for snapshot in since {
            let Some(changed) = Changed::of(&table, &snapshot).await? else { return Self::load(table, branch).await };
            changed.removed.iter().for_each(|path| self.remove(path));
            for file in changed.added {
                self.add(&table.metadata, file);
            }
        }
        (self.table, self.snapshot) = (table, head);
        Ok(self)
    }

    /// The table after a commit of this process, which need not be read: unless deletes came or left with it, or others have committed in
    /// between.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) async fn take(mut self, news: &News, branch: Option<&str>) -> Result<Self, ConnectorError> {
        let branch_name = branch.unwrap_or(MAIN_BRANCH);
        if news.branch != branch_name || self.table.metadata.snapshot_by_id(news.snapshot_id).is_some() {
            return Ok(self);
        }
        let head = news.table.metadata.snapshot_for_ref(branch_name).cloned();
        let is_next = head.as_ref().is_some_and(|head| {
            head.snapshot_id() == news.snapshot_id && head.parent_snapshot_id() == self.snapshot.as_ref().map(|snapshot| snapshot.snapshot_id())
        });
        if !is_next || news.changed_deletes {
            return self.follow(news.table.clone(), branch).await;
        }
        news.removed.iter().for_each(|path| self.remove(path));
        for live in &news.added {
            self.add(&news.table.metadata, SlimFile::of(live).map_err(catalog_error)?);
        }
        (self.table, self.snapshot) = (news.table.clone(), head);
        Ok(self)
    }

    /// The data files.
    #[must_use]
    pub fn paths(&self) -> HashSet<String> {
        self.files.keys().cloned().collect()
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn memory(&self) -> u64 {
        self.files.values().map(|file| FILE + file.metrics.memory() as u64).sum()
    }

    /// What rewriting these groups needs of the table.
    pub(crate) fn view(&self, groups: &[Group<PartitionKey>]) -> Self {
        let files = groups.iter().flat_map(|group| &group.files);
        let files = files.filter_map(|file| Some((file.path.clone(), self.files.get(&file.path)?.clone()))).collect();
        let (table, snapshot, deletes) = (self.table.clone(), self.snapshot.clone(), Arc::clone(&self.deletes));
        Self { table, snapshot, inventory: Inventory::default(), files, deletes }
    }

    fn remove(&mut self, path: &str) {
        self.files.remove(path);
        self.inventory.remove(path);
        if !self.deletes.is_empty() {
            Arc::make_mut(&mut self.deletes).forget(path);
        }
    }

    fn add(&mut self, metadata: &TableMetadata, file: SlimFile) {
        let live = &file.live;
        if !self.deletes.is_empty() {
            Arc::make_mut(&mut self.deletes).meet(live);
        }
        self.inventory.add(partition_key(metadata, live), facts(metadata, live, &self.deletes));
        self.files.insert(live.file.file_path().to_owned(), file);
    }

    fn new(table: LakeTable, snapshot: Option<SnapshotRef>, live: Vec<SlimFile>) -> Self {
        let (data, deletes): (Vec<SlimFile>, Vec<SlimFile>) =
            live.into_iter().partition(|file| file.live.file.content_type() == DataContentType::Data);
        let deletes = deletes.into_iter().map(|file| file.live).collect();
        let deletes = Arc::new(Deletes::of(&table.metadata, deletes, data.iter().map(|file| &file.live)));
        let metadata = Arc::clone(&table.metadata);
        let mut all = Self { table, snapshot, inventory: Inventory::default(), files: HashMap::new(), deletes };
        data.into_iter().for_each(|live| all.add(&metadata, live));
        all
    }
}

/// The snapshot of a branch; `None`: main has none yet.
fn head(table: &LakeTable, branch: Option<&str>) -> Result<Option<SnapshotRef>, ConnectorError> {
    let snapshot = table.metadata.snapshot_for_ref(branch.unwrap_or(MAIN_BRANCH)).cloned();
    match (snapshot, branch) {
        (None, Some(branch)) => Err(no_branch(table, branch)?),
        (snapshot, _) => Ok(snapshot),
    }
}

/// The snapshots after `known` up to `head`, oldest first; `None` if `known` is not in the history.
fn since(metadata: &TableMetadata, head: Option<&SnapshotRef>, known: Option<&SnapshotRef>) -> Option<Vec<SnapshotRef>> {
    let known = known?.snapshot_id();
    let (mut since, mut next) = (Vec::new(), head.cloned());
    while let Some(snapshot) = next {
        if snapshot.snapshot_id() == known {
            since.reverse();
            return Some(since);
        }
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).cloned();
        since.push(snapshot);
    }
    None
}

/// Data files that a snapshot has added and removed.
#[derive(Debug, Default)]
struct Changed {
    added: Vec<SlimFile>,
    removed: Vec<String>,
}

impl Changed {
    /// `None` if it has changed deletes too.
    async fn of(table: &LakeTable, snapshot: &Snapshot) -> Result<Option<Self>, ConnectorError> {
        let id = snapshot.snapshot_id();
        let mut changed = Self::default();
        for manifest in manifests(table, snapshot).await.map_err(catalog_error)?.into_iter().filter(|one| one.added_snapshot_id == id) {
            if manifest.content == ManifestContentType::Deletes {
                return Ok(None);
            }
            for entry in entries(table, &manifest).await.map_err(catalog_error)?.into_iter().filter(|entry| entry.snapshot_id() == Some(id)) {
                match entry.status() {
                    ManifestStatus::Deleted => changed.removed.push(entry.file_path().to_owned()),
                    ManifestStatus::Added => {
                        let sequence_number = sequence_number(table, &manifest, &entry).map_err(catalog_error)?;
                        let file = entry.data_file().clone();
                        let live = LiveFile { file, spec_id: manifest.partition_spec_id, sequence_number, snapshot_id: Some(id) };
                        changed.added.push(SlimFile::of(&live).map_err(catalog_error)?);
                    }
                    ManifestStatus::Existing => {}
                }
            }
        }
        Ok(Some(changed))
    }
}

/// The partition of a file.
fn partition_key(metadata: &TableMetadata, live: &LiveFile) -> PartitionKey {
    let values = live.file.partition();
    let name = partition_name(metadata, live).unwrap_or_else(|| format!("{values:?}"));
    PartitionKey { spec_id: live.spec_id, name, values: format!("{values:?}") }
}

/// `None` for a spec whose source columns the table has no more.
fn partition_name(metadata: &TableMetadata, live: &LiveFile) -> Option<String> {
    let spec = metadata.partition_spec_by_id(live.spec_id)?;
    let types = spec.partition_type(metadata.current_schema()).ok()?;
    let parts = spec.fields().iter().zip(types.fields()).zip(live.file.partition().fields()).map(|((field, of), value)| {
        let of: &Type = &of.field_type;
        format!("{}={}", field.name, field.transform.to_human_string(of, value.as_ref()))
    });
    Some(parts.collect::<Vec<_>>().join("/"))
}

fn facts(metadata: &TableMetadata, live: &LiveFile, deletes: &Deletes) -> FileFacts {
    let file = &live.file;
    let added = live.snapshot_id.and_then(|id| metadata.snapshot_by_id(id)).map(|snapshot| snapshot.timestamp_ms());
    FileFacts {
        path: file.file_path().to_owned(),
        bytes: file.file_size_in_bytes(),
        rows: file.record_count(),
        sequence: live.sequence_number,
        row_groups: file.split_offsets().map_or(1, |offsets| u32::try_from(offsets.len()).unwrap_or(u32::MAX)).max(1),
        deletes: deletes.carried(live),
        is_copy: is_copy(file.file_path()),
        can_be_copied: can_be_copied(file),
        sort_order: file.sort_order_id().unwrap_or(0),
        // A snapshot that has been expired is old.
        added: added.and_then(|time| u64::try_from(time).ok()).map(Duration::from_millis).unwrap_or_default(),
    }
}

fn can_be_copied(file: &DataFile) -> bool {
    file.file_format() == DataFileFormat::Parquet && file.key_metadata().is_none()
}
