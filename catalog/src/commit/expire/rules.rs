//! Which snapshots may go: decided from the metadata and from what readers have said, nothing else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use iceberg::spec::{SnapshotRef, TableMetadata};

use super::super::history::{Head, ancestors};
use crate::error::CatalogError;
use crate::marker::stored;
use crate::properties::declared::{EXPIRE_MIN_AGE, EXPIRE_RETAIN};
use crate::properties::value_or;

/// What may go. Whatever the rules say, these stay: heads of branches and tags, what a branch's own `min-snapshots-to-keep` and
/// `max-snapshot-age-ms` keep, what registered readers have still to read, and what this process is working on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpireRules {
    /// Only snapshots that this job has made.
    pub only_job: Option<String>,
    /// Only snapshots from before this time, in milliseconds since 1970; `None`: `history.expire.max-snapshot-age-ms` ago.
    pub older_than_ms: Option<i64>,
    /// Of each branch so many stay at least; `None`: `history.expire.min-snapshots-to-keep`.
    pub retain_last: Option<usize>,
    /// What goes although it is younger than that.
    pub at_most: Option<AtMost>,
    /// Exactly these, whatever their age; empty: those that the other rules name.
    pub ids: Vec<i64>,
    /// Nothing is changed; the answer says what would go.
    pub dry_run: bool,
}

/// A bound on the number of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost {
    /// The newest of each branch that stay.
    pub snapshots: usize,
    /// Younger ones stay in any case.
    pub min_age: Duration,
}

impl ExpireRules {
    /// Those of a job's own upkeep of a table with these properties: snapshots of its own that are too old, or too many.
    #[must_use]
    pub fn of_job(job: &str, properties: &HashMap<String, String>) -> Self {
        let snapshots = value_or(properties, EXPIRE_RETAIN.key, RETAIN);
        let min_age = Duration::from_millis(value_or(properties, EXPIRE_MIN_AGE.key, MIN_AGE_MS));
        Self { only_job: Some(job.to_owned()), at_most: Some(AtMost { snapshots, min_age }), ..Self::default() }
    }
}

/// The default of `weir.expire-snapshots.retain-at-most`.
const RETAIN: usize = 100;
/// The default of `weir.expire-snapshots.min-age-ms`.
const MIN_AGE_MS: u64 = 600_000;

/// What others still need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Readers: name, branch, and the sequence number from which on they have not read everything.
    pub(crate) readers: Vec<(String, String, i64)>,
    /// Snapshots that this process works on.
    pub(crate) held: BTreeSet<i64>,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stays<'a> {
    Head(&'a str),
    OfBranch(&'a str),
    Reader(&'a str),
    Held,
    /// Number or age.
    Rules,
}

impl Stays<'_> {
    fn because(&self) -> String {
        match self {
            Self::Head(name) => format!("branch or tag `{name}` is there"),
            Self::OfBranch(name) => format!("branch `{name}` keeps it by its own settings"),
            Self::Reader(name) => format!("reader `{name}` has not read it yet"),
            Self::Held => "this process is working on it".to_owned(),
            Self::Rules => "the rules keep it".to_owned(),
        }
    }
}

/// The snapshots that go, oldest first.
///
/// # Errors
/// A snapshot that was asked for by its id and is not there, or must stay (user).
pub(super) fn choose(metadata: &TableMetadata, heads: &[Head], rules: &ExpireRules, needs: &Needs, now_ms: i64) -> Result<Vec<i64>, CatalogError> {
    let properties = metadata.properties();
    let age = value_or(properties, "history.expire.max-snapshot-age-ms", 432_000_000_i64);
    let older_than = rules.older_than_ms.unwrap_or(now_ms.saturating_sub(age));
    let retain = rules.retain_last.unwrap_or_else(|| value_or(properties, "history.expire.min-snapshots-to-keep", 1_usize));
    let by_id = !rules.ids.is_empty();
    let mut stays: HashMap<i64, Stays<'_>> = HashMap::new();
    let mut of_branches: HashSet<i64> = HashSet::new();
    for (head, line) in lines(metadata, heads, rules.at_most.is_some()) {
        for (index, snapshot) in line.into_iter().enumerate() {
            let (id, time) = (snapshot.snapshot_id(), snapshot.timestamp_ms());
            of_branches.insert(id);
            let own = head.min_to_keep.is_some_and(|count| index < count) || head.max_age_ms.is_some_and(|age| time >= now_ms.saturating_sub(age));
            let over = rules.at_most.is_some_and(|most| index >= most.snapshots && time < now_ms.saturating_sub(millis(most.min_age)));
            let by_rules = index < head.min_to_keep.unwrap_or(retain) || (head.max_age_ms.is_none() && time >= older_than && !over);
            if own {
                stays.insert(id, Stays::OfBranch(&head.name));
            } else if by_rules && !by_id {
                stays.entry(id).or_insert(Stays::Rules);
            }
        }
    }
    for (name, branch, next) in &needs.readers {
        let head = heads.iter().find(|head| head.is_branch && head.name == *branch);
        // And the newest one that it has read: it tells that nothing is missing in between.
        let last = head.and_then(|head| ancestors(metadata, head.snapshot_id).find(|snapshot| snapshot.sequence_number() < *next));
        let unread = metadata.snapshots().filter(|snapshot| snapshot.sequence_number() >= *next);
        stays.extend(unread.chain(last).map(|snapshot| (snapshot.snapshot_id(), Stays::Reader(name))));
    }
    // What has come since is needed too: it tells whether what was read has changed.
    let first_held = needs.held.iter().filter_map(|id| metadata.snapshot_by_id(*id)).map(|snapshot| snapshot.sequence_number()).min();
    let held = metadata.snapshots().filter(|snapshot| first_held.is_some_and(|first| snapshot.sequence_number() >= first));
    stays.extend(held.map(|snapshot| (snapshot.snapshot_id(), Stays::Held)));
    stays.extend(heads.iter().map(|head| (head.snapshot_id, Stays::Head(&head.name))));
    if by_id {
        return by_ids(metadata, rules, &stays);
    }
    let is_own = |snapshot: &SnapshotRef| rules.only_job.as_ref().is_none_or(|job| made_by(snapshot).any(|by| by == job));
    let may_go = |snapshot: &&SnapshotRef| {
        let id = snapshot.snapshot_id();
        // What no branch leads to has only its age to go by.
        let is_old = of_branches.contains(&id) || snapshot.timestamp_ms() < older_than;
        is_old && is_own(snapshot) && !stays.contains_key(&id)
    };
    Ok(oldest_first(metadata.snapshots().filter(may_go).collect()))
}

/// The snapshots of each branch, newest first. With `behind_holes` also what is behind the oldest that the branch leads to, if others have expired the
/// next one: where several jobs write to a table, each takes its own out of the line, and what the others have made there counts all the same.
fn lines<'a>(metadata: &'a TableMetadata, heads: &'a [Head], behind_holes: bool) -> Vec<(&'a Head, Vec<&'a SnapshotRef>)> {
    let branches = heads.iter().filter(|head| head.is_branch);
    let mut lines: Vec<(&Head, Vec<&SnapshotRef>)> = branches.map(|head| (head, ancestors(metadata, head.snapshot_id).collect())).collect();
    if behind_holes {
        let led_to: HashSet<i64> = lines.iter().flat_map(|(_, line)| line).map(|snapshot| snapshot.snapshot_id()).collect();
        let mut others: Vec<&SnapshotRef> = metadata.snapshots().filter(|snapshot| !led_to.contains(&snapshot.snapshot_id())).collect();
        others.sort_by_key(|snapshot| std::cmp::Reverse(age(snapshot)));
        for (_, line) in &mut lines {
            // What a rollback has left beside the line is younger than where it left it.
            if let Some(oldest) = line.last().copied().filter(|oldest| oldest.parent_snapshot_id().is_some()) {
                line.extend(others.iter().filter(|other| age(other) < age(oldest)));
            }
        }
    }
    lines
}

fn age(snapshot: &SnapshotRef) -> (i64, i64) {
    (snapshot.sequence_number(), snapshot.timestamp_ms())
}

fn by_ids(metadata: &TableMetadata, rules: &ExpireRules, stays: &HashMap<i64, Stays<'_>>) -> Result<Vec<i64>, CatalogError> {
    let mut going = Vec::new();
    for id in rules.ids.iter().collect::<BTreeSet<_>>() {
        let missing = || CatalogError::user(format!("the table has no snapshot {id}"));
        going.push(metadata.snapshot_by_id(*id).ok_or_else(missing)?);
        if let Some(why) = stays.get(id) {
            return Err(CatalogError::user(format!("snapshot {id} cannot be expired: {}", why.because())));
        }
    }
    Ok(oldest_first(going))
}

fn oldest_first(mut going: Vec<&SnapshotRef>) -> Vec<i64> {
    going.sort_by_key(|snapshot| age(snapshot));
    going.into_iter().map(|snapshot| snapshot.snapshot_id()).collect()
}

/// The job whose rows a snapshot has brought, or whose upkeep it is.
fn made_by(snapshot: &SnapshotRef) -> impl Iterator<Item = &String> {
    [stored::SUMMARY_JOB, stored::SUMMARY_UPKEEP].into_iter().filter_map(|key| snapshot.summary().additional_properties.get(key))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
