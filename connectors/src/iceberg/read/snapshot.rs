//! Which snapshot of a table is read, and in which columns. Pure.

use chrono::{DateTime, SecondsFormat};
use iceberg::spec::{MAIN_BRANCH, SchemaRef, SnapshotRef, TableMetadata};
use weir_base::options::closest;
use weir_catalog::references::references;

use super::between::{Between, appended};

/// What of a table's history is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// The head of a branch, of `main` if none is named.
    Branch(Option<String>),
    Tag(String),
    Snapshot(i64),
    /// What was current at a time, in milliseconds since 1970.
    Time(i64),
    /// What was appended between two snapshots.
    Between(Between),
}

/// A snapshot and the columns that it is read in.
#[derive(Debug, Clone)]
pub(in crate::iceberg) struct Chosen {
    /// `None`: the table has no rows yet.
    pub(in crate::iceberg) snapshot: Option<SnapshotRef>,
    pub(in crate::iceberg) schema: SchemaRef,
    /// Of its rows only those that these snapshots have appended; `None`: all.
    pub(super) appended: Option<Vec<SnapshotRef>>,
}

/// The snapshot that `version` means; `Err` says what is missing and what there is.
///
/// A branch is read in the table's columns of today. A tag, a snapshot, a time and a range with an end are read in the columns of the snapshot.
pub(super) fn choose(metadata: &TableMetadata, version: &Version) -> Result<Chosen, String> {
    let snapshot = match version {
        Version::Branch(None) => return Ok(today(metadata, metadata.current_snapshot().cloned())),
        Version::Branch(Some(name)) => return Ok(today(metadata, Some(named(metadata, name, true)?))),
        Version::Between(between) => {
            let found = appended(metadata, between)?;
            let chosen = match (&between.until, &found.last) {
                (Some(_), Some(last)) => as_then(metadata, last.clone())?,
                _ => today(metadata, found.last),
            };
            return Ok(Chosen { appended: Some(found.snapshots), ..chosen });
        }
        Version::Tag(name) => named(metadata, name, false)?,
        Version::Snapshot(id) => by_id(metadata, *id)?,
        Version::Time(time) => at(metadata, *time)?,
    };
    as_then(metadata, snapshot)
}

/// In the columns of today.
fn today(metadata: &TableMetadata, snapshot: Option<SnapshotRef>) -> Chosen {
    Chosen { snapshot, schema: metadata.current_schema().clone(), appended: None }
}

/// In the columns that the snapshot had.
fn as_then(metadata: &TableMetadata, snapshot: SnapshotRef) -> Result<Chosen, String> {
    let schema = snapshot.schema(metadata).map_err(|error| error.message().to_owned())?;
    Ok(Chosen { snapshot: Some(snapshot), schema, appended: None })
}

pub(super) fn named(metadata: &TableMetadata, name: &str, branch: bool) -> Result<SnapshotRef, String> {
    let kind = |branch| if branch { "branch" } else { "tag" };
    let refs = references(metadata).map_err(|error| error.to_string())?;
    match refs.get(name) {
        Some(found) if found.is_branch() == branch => by_id(metadata, found.snapshot_id),
        Some(_) => Err(format!("'{name}' is a {}, not a {}. Read it with the option '{}'", kind(!branch), kind(branch), kind(!branch))),
        None => {
            let mut known: Vec<&str> = refs.iter().filter(|(_, one)| one.is_branch() == branch).map(|(name, _)| name.as_str()).collect();
            known.sort_unstable();
            let near = closest(name, known.iter().copied()).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
            let there = if known.is_empty() { format!("it has no {}", kind(branch)) } else { format!("it has: {}", known.join(", ")) };
            Err(format!("it has no {} '{name}'; {there}.{near} The metadata table '$refs' lists branches and tags", kind(branch)))
        }
    }
}

pub(super) fn by_id(metadata: &TableMetadata, id: i64) -> Result<SnapshotRef, String> {
    metadata.snapshot_by_id(id).cloned().ok_or_else(|| {
        let known = match metadata.history().iter().any(|entry| entry.snapshot_id == id) {
            true => "it has expired, so its files may be gone",
            false => "the table never had it on its main branch, or it has expired",
        };
        format!("it has no snapshot {id}: {known}. The metadata table '$snapshots' lists those that can be read")
    })
}

fn at(metadata: &TableMetadata, time: i64) -> Result<SnapshotRef, String> {
    let last = metadata.history().iter().rfind(|entry| entry.timestamp_ms() <= time);
    let Some(entry) = last else {
        let oldest = metadata.history().first().map(|entry| format!("its history begins at {}", shown(entry.timestamp_ms())));
        let oldest = oldest.unwrap_or_else(|| format!("nothing has been committed to its branch '{MAIN_BRANCH}' yet"));
        return Err(format!(
            "it has no snapshot from {} or before: {oldest}. The metadata table '$history' shows what was current when",
            shown(time)
        ));
    };
    by_id(metadata, entry.snapshot_id).map_err(|missing| format!("at {} snapshot {} was current, but {missing}", shown(time), entry.snapshot_id))
}

/// A time as people read it.
fn shown(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(|| format!("{millis} ms"), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
