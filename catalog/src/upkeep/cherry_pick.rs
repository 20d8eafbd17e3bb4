//! An append of another branch, or one that was staged and is on none, brought onto a branch: as Iceberg's `CherryPickOperation` does it.
//!
//! If the snapshot was made on the very head of the branch, the branch goes there (fast-forward). Else the files that it appended are appended
//! anew, and the summary says from where (`source-snapshot-id`). Nothing is brought in twice.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{ManifestContentType, Operation, Snapshot, SnapshotRef};

use super::branch::Branch;
use super::swap::{Decided, swap};
use crate::commit::{Appends, Replaced, Replacement, TableCommitter, new_snapshot_id};
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId};
use crate::read::{LiveFile, added_files, data_files, manifests};

/// From which snapshot a picked one was made, in its summary.
const SOURCE: &str = "source-snapshot-id";
/// Under which name a snapshot was staged.
const STAGED: &str = "wap.id";
/// The same in the summary of the snapshot that made it visible.
const PUBLISHED: &str = "published-wap-id";

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The branch.
    pub branch: String,
    /// The snapshot that was picked.
    pub source: i64,
    /// The branch's head after.
    pub head: i64,
    /// Whether the branch just went to the picked snapshot.
    pub fast_forward: bool,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPick {
    /// The branch.
    pub branch: String,
    /// Files that would be appended anew; `None`: the branch would just go to the snapshot.
    pub files: Option<usize>,
}

/// What [`cherry_pick`] would do to the table as it is.
///
/// # Errors
/// As [`cherry_pick`].
pub async fn plan_cherry_pick(table: &LakeTable, branch: Option<&str>, source: i64) -> Result<PlannedPick, CatalogError> {
    let of = Branch::of(table, branch)?;
    let files = match decide(&of, source)? {
        Way::FastForward => None,
        Way::Append => Some(append(&of, of.snapshot(source)?).await?.added.len()),
    };
    Ok(PlannedPick { branch: of.name.to_owned(), files })
}

/// How a snapshot comes onto a branch.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    FastForward,
    Append,
}

/// Brings a snapshot onto a branch (`None`: main).
///
/// # Errors
/// A snapshot that the table does not have, that is on the branch already or was picked before, or that is more than an append (user); others who bring in the same
/// files meanwhile (conflict); the catalog's.
pub async fn cherry_pick(catalog: &Arc<dyn LakeCatalog>, id: &TableId, branch: Option<&str>, source: i64) -> Result<Picked, CatalogError> {
    let table = catalog.load(id).await?;
    let of = Branch::of(&table, branch)?;
    let picked = |head: i64, fast_forward: bool| Picked { branch: of.name.to_owned(), source, head, fast_forward };
    match decide(&of, source)? {
        Way::FastForward => {
            let moved = swap(catalog, id, |table| {
                let now = Branch::of(table, branch)?;
                let is_there = now.head == Some(source);
                if !is_there && decide(&now, source)? != Way::FastForward {
                    let what = format!("branch '{}' of table `{}` has moved on meanwhile; try again", now.name, table.name());
                    return Err(CatalogError::Overtaken(what));
                }
                let updates = if is_there { Vec::new() } else { vec![now.moved_to(source)] };
                Ok(Decided { told: (), requirements: now.requirements(), updates })
            });
            moved.await?;
            Ok(picked(source, true))
        }
        Way::Append => {
            let replacement = append(&of, of.snapshot(source)?).await?;
            let done = TableCommitter::of(catalog, id).replace(&replacement).await?;
            Ok(picked(done.snapshot_id, false))
        }
    }
}

fn decide(branch: &Branch<'_>, source: i64) -> Result<Way, CatalogError> {
    let snapshot = branch.snapshot(source)?;
    let refused = |what: String| Err(CatalogError::user(format!("snapshot {source} of table `{}` {what}", branch.table.name())));
    let text = |snapshot: &Snapshot, key: &str| snapshot.summary().additional_properties.get(key).cloned();
    let staged = text(snapshot, STAGED);
    for ancestor in branch.ancestors() {
        let id = ancestor.snapshot_id();
        if id == source {
            return refused(format!("is on branch '{}' already", branch.name));
        }
        if text(ancestor, SOURCE).is_some_and(|picked| picked == source.to_string()) {
            return refused(format!("was picked already: snapshot {id} of branch '{}' was made from it", branch.name));
        }
        let is_same = |key: &str| staged.is_some() && text(ancestor, key) == staged;
        if let (Some(name), true) = (&staged, is_same(STAGED) || is_same(PUBLISHED)) {
            return refused(format!("was staged as '{name}', which snapshot {id} of branch '{}' has published already", branch.name));
        }
    }
    if snapshot.parent_snapshot_id() == branch.head {
        return Ok(Way::FastForward);
    }
    match &snapshot.summary().operation {
        Operation::Append => Ok(Way::Append),
        other => refused(format!(
            "is {} {}, and was made on another snapshot than the head of branch '{}': only appends can be picked then, since what it took out may \
             have changed. Run the statement again on the branch",
            if matches!(other, Operation::Overwrite) { "an" } else { "a" },
            other.as_str(),
            branch.name
        )),
    }
}

/// The append of what `snapshot` has appended.
async fn append(branch: &Branch<'_>, snapshot: &SnapshotRef) -> Result<Replacement, CatalogError> {
    let (table, source) = (branch.table, snapshot.snapshot_id());
    let refused = |what: &str| Err(CatalogError::user(format!("snapshot {source} of table `{}` cannot be picked: {what}", table.name())));
    if manifests(table, snapshot).await?.iter().any(|one| one.added_snapshot_id == source && one.content == ManifestContentType::Deletes) {
        return refused("it has deletes");
    }
    let files = added_files(table, snapshot).await?;
    let spec = table.metadata.default_partition_spec_id();
    if files.iter().any(|live| live.spec_id != spec) {
        return refused("its files are of another partition spec than the table's present one");
    }
    let paths: Arc<HashSet<String>> = Arc::new(files.iter().map(|live| live.file.file_path().to_owned()).collect());
    if let Some(there) = on_branch(branch, &paths).await? {
        return refused(&format!("file `{there}` is on branch '{}' already", branch.name));
    }
    let mut notes = BTreeMap::from([(SOURCE.to_owned(), source.to_string())]);
    let staged = snapshot.summary().additional_properties.get(STAGED);
    notes.extend(staged.map(|name| (PUBLISHED.to_owned(), name.clone())));
    let same = move |live: &LiveFile| paths.contains(live.file.file_path());
    Ok(Replacement {
        table_uuid: table.metadata.uuid().to_string(),
        branch: Some(branch.name.to_owned()),
        snapshot_id: new_snapshot_id(&table.metadata),
        added: files.into_iter().map(|live| live.file).collect(),
        sequence_number: None,
        fence: None,
        replaced: Replaced { operation: Operation::Append, read: branch.head, files: Vec::new(), appends: Appends::Heeded(Arc::new(same)), notes },
    })
}

/// One of the files, if the branch has it.
async fn on_branch(branch: &Branch<'_>, paths: &HashSet<String>) -> Result<Option<String>, CatalogError> {
    let Some(head) = branch.head else { return Ok(None) };
    let live: Vec<LiveFile> = data_files(branch.table, Some(head)).await?;
    Ok(live.into_iter().map(|live| live.file.file_path().to_owned()).find(|path| paths.contains(path)))
}
