//! Options of reading a table in a batch query. Parsing does no I/O.

use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType};
use weir_catalog::lake::LakeTable;

use super::between::{Between, End};
use super::snapshot::{Chosen, Version, choose};
use crate::error::ConnectorError;
use crate::iceberg::MetadataTableError;
use crate::iceberg::WRITE_OPTIONS;
use crate::iceberg::stream::{SKIP_OVERWRITES, START_ID, START_TAG, STREAM_OPTIONS, pass_over};
use crate::registry::Opened;

const BRANCH: OptionDecl = OptionDecl::new("branch", ValueType::String, "Branch to read, as it is now.").default("main");
const TAG: OptionDecl = OptionDecl::new("tag", ValueType::String, "Tag to read.");
const SNAPSHOT_ID: OptionDecl = OptionDecl::new(
    "snapshot-id",
    ValueType::Integer { min: 0, max: i64::MAX },
    "Snapshot to read, in the columns that the table had then. The metadata table `$snapshots` lists them.",
);
const AS_OF_TIMESTAMP: OptionDecl = OptionDecl::new(
    "as-of-timestamp",
    ValueType::Integer { min: 0, max: i64::MAX },
    "Read what was current at this time, in milliseconds since 1970-01-01 00:00 UTC, in the columns of then. \
     `FOR SYSTEM_TIME AS OF` says the same in SQL.",
);
const END_ID: OptionDecl = OptionDecl::new(
    "end-snapshot-id",
    ValueType::Integer { min: 0, max: i64::MAX },
    "Read only what was appended up to this snapshot, its own rows included; after `start-snapshot-id` or `start-tag` if one is given. Default: the latest.",
);
const END_TAG: OptionDecl = OptionDecl::new("end-tag", ValueType::String, "The same by the name of a tag.");
pub(in crate::iceberg) const SPLIT_SIZE: OptionDecl = OptionDecl::new(
    "split-size",
    ValueType::MemorySize,
    "Files beyond this size are read in several parts at the same time. It is less where that keeps all partitions of a query busy.",
)
.default("128 mb");

const LIMIT: OptionDecl =
    OptionDecl::new("limit", ValueType::Integer { min: -1, max: i64::MAX }, "Rows to read at most; -1: all. Which ones is open. Not for a stream.")
        .default("-1");
const SPLIT_LOOKBACK: OptionDecl = OptionDecl::new(
    "split-lookback",
    ValueType::Integer { min: 1, max: 2_147_483_647 },
    "Known to Flink. Has no effect: the largest pieces of files are dealt out first, each to whom has least.",
);
const SPLIT_OPEN_COST: OptionDecl =
    OptionDecl::new("split-file-open-cost", ValueType::MemorySize, "Known to Flink. Has no effect: files are dealt out by their sizes alone.");
const INCLUDE_STATS: OptionDecl =
    OptionDecl::new("include-column-stats", ValueType::Boolean, "Known to Flink. Has no effect: what needs metrics of files reads them.");
const CASE_SENSITIVE: OptionDecl =
    OptionDecl::new("case-sensitive", ValueType::Boolean, "Known to Flink. Names of columns are told apart by case always.");

/// Options that a hint may carry when a table is read in a batch query.
pub const READ_OPTIONS: &[OptionDecl] =
    &[BRANCH, TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP, END_ID, END_TAG, SPLIT_SIZE, LIMIT, SPLIT_LOOKBACK, SPLIT_OPEN_COST, INCLUDE_STATS, CASE_SENSITIVE];

/// The most rows that a read may give, if there is a bound.
#[must_use]
pub fn row_limit(options: &OptionBag) -> Option<usize> {
    options.peek(LIMIT.key).and_then(|limit| limit.trim().parse().ok())
}

/// The option with which a read gives something else than the head of a branch, if there is one.
#[must_use]
pub fn pins_version(options: &OptionBag) -> Option<&'static str> {
    [TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP, START_ID, START_TAG, END_ID, END_TAG].iter().map(|decl| decl.key).find(|key| options.contains(key))
}

/// Takes options out of the bag that Flink's reader knows and ours has no use for; tells of those that ask for something.
pub(in crate::iceberg) fn pass_over_idle(bag: &mut OptionBag) {
    for decl in [SPLIT_LOOKBACK, SPLIT_OPEN_COST, INCLUDE_STATS, CASE_SENSITIVE].iter().filter(|decl| bag.contains(decl.key)).collect::<Vec<_>>() {
        let asks = match decl.ty {
            ValueType::Boolean => bag.boolean(decl).is_some_and(|value| value != (decl.key == CASE_SENSITIVE.key)),
            ValueType::MemorySize => bag.bytes(decl).is_some(),
            _ => bag.integer(decl).is_some(),
        };
        if asks {
            bag.warn("OPT-008", decl.key, format!("'{}' has no effect here.", decl.key));
        }
    }
}

/// What the options of a read say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadOptions {
    pub(super) version: Version,
    /// Largest part of a file that is read as one.
    pub(super) split_size: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { version: Version::Branch(None), split_size: 128 << 20 }
    }
}

impl ReadOptions {
    /// The snapshot of a table that they say.
    pub(super) fn choose(&self, name: &str, table: &LakeTable) -> Result<Chosen, ConnectorError> {
        choose(&table.metadata, &self.version).map_err(|what| ConnectorError::user(format!("Table '{name}': {what}.")))
    }

    /// Takes the options apart.
    ///
    /// # Errors
    /// Every problem of them.
    pub(super) fn parse(hints: &OptionBag) -> Result<Opened<Self>, Problems> {
        let mut hints = hints.fresh();
        report_contradiction(&mut hints);
        let branch = hints.string(&BRANCH).filter(|branch| branch != iceberg::spec::MAIN_BRANCH);
        let tag = hints.string(&TAG).map(Version::Tag);
        let snapshot = hints.integer(&SNAPSHOT_ID).map(Version::Snapshot);
        let time = hints.integer(&AS_OF_TIMESTAMP).map(Version::Time);
        let after = hints.string(&START_TAG).map(End::Tag).or(hints.integer(&START_ID).map(End::Snapshot));
        let until = hints.string(&END_TAG).map(End::Tag).or(hints.integer(&END_ID).map(End::Snapshot));
        let is_range = after.is_some() || until.is_some();
        let split_size = hints.bytes(&SPLIT_SIZE).filter(|bytes| *bytes > 0);
        hints.integer(&LIMIT);
        pass_over_idle(&mut hints);
        let skip_overwrites = is_range && hints.boolean(&SKIP_OVERWRITES).unwrap_or(false);
        pass_over(&mut hints);
        let known: Vec<&OptionDecl> = READ_OPTIONS.iter().chain(STREAM_OPTIONS).collect();
        let warnings = hints.finish("iceberg", &known, &[("iceberg sink", WRITE_OPTIONS)])?;
        let version = match tag.or(snapshot).or(time) {
            Some(version) => version,
            None if is_range => Version::Between(Between { after, until, branch, skip_overwrites }),
            None => Version::Branch(branch),
        };
        let split_size = split_size.unwrap_or(Self::default().split_size);
        Ok(Opened { value: Self { version, split_size }, warnings })
    }
}

/// Options of which one says which snapshot, beginning or end is read.
const EITHER: [&[OptionDecl]; 5] = [
    &[BRANCH, TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP],
    &[TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP, START_ID],
    &[TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP, START_TAG],
    &[BRANCH, TAG, SNAPSHOT_ID, AS_OF_TIMESTAMP, END_ID, END_TAG],
    &[START_ID, START_TAG],
];

/// Reports two options that say different things about what is read.
fn report_contradiction(hints: &mut OptionBag) {
    let given = |decls: &[OptionDecl]| -> Vec<&'static str> { decls.iter().map(|decl| decl.key).filter(|key| hints.contains(key)).collect() };
    let twice = EITHER.iter().find_map(|decls| match given(decls).as_slice() {
        [first, second, ..] => Some((*first, *second)),
        _ => None,
    });
    if let Some((first, second)) = twice {
        let what = format!("Option '{first}' and '{second}' shouldn't be set together.");
        let problem = Problem::new("OPT-006", hints.object().to_owned(), what).hint("Each of them says which snapshot is read.");
        hints.report(problem.at(hints.position(second)));
    }
}

/// The snapshot that the options of a read of the table `name` say; warnings about them go to `warnings`.
///
/// # Errors
/// Every problem of the options; a snapshot, branch, tag or time that the table does not have.
pub(in crate::iceberg) fn read_options(
    name: &str,
    table: &LakeTable,
    options: &OptionBag,
    warnings: &mut Vec<Problem>,
) -> Result<Chosen, MetadataTableError> {
    let opened = ReadOptions::parse(options)?;
    warnings.extend(opened.warnings);
    if let Version::Between(_) = opened.value.version {
        let what = "its metadata tables show one snapshot, not what was appended between two. Leave 'start-snapshot-id' and the like out";
        return Err(ConnectorError::user(format!("Table '{name}': {what}.")).into());
    }
    Ok(opened.value.choose(name, table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Version, String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in options {
            bag.insert(*key, *value, None);
        }
        ReadOptions::parse(&bag).map(|opened| opened.value.version).map_err(|problems| problems.to_string())
    }

    #[test]
    fn one_option_says_which_snapshot_is_read_and_two_are_refused() {
        assert_eq!(parse(&[]), Ok(Version::Branch(None)));
        assert_eq!(parse(&[("branch", "main")]), Ok(Version::Branch(None)));
        assert_eq!(parse(&[("tag", "v1")]), Ok(Version::Tag("v1".to_owned())));
        assert_eq!(parse(&[("snapshot-id", "42")]), Ok(Version::Snapshot(42)));
        assert_eq!(parse(&[("as-of-timestamp", "1700000000000")]), Ok(Version::Time(1_700_000_000_000)));
        let both = parse(&[("tag", "v1"), ("snapshot-id", "42")]).expect_err("two");
        assert!(both.contains("OPT-006") && both.contains("'tag' and 'snapshot-id'"), "{both}");
        assert!(parse(&[("snapshot-id", "yesterday")]).is_err());
    }

    #[test]
    fn only_a_branch_is_read_as_it_is_now() {
        let pins = |key: &str, value: &str| {
            let mut bag = OptionBag::new("Table 'c.d.t'");
            bag.insert(key, value, None);
            pins_version(&bag)
        };
        assert_eq!((pins("branch", "audit"), pins("split-size", "1 mb")), (None, None));
        for (key, value) in
            [("tag", "v1"), ("snapshot-id", "42"), ("as-of-timestamp", "1700000000000"), ("end-tag", "v1"), ("start-snapshot-id", "1")]
        {
            assert_eq!(pins(key, value), Some(key));
        }
    }

    #[test]
    fn a_range_has_one_beginning_and_one_end() {
        let range = |after, until, branch: Option<&str>, skip_overwrites| {
            Ok(Version::Between(Between { after, until, branch: branch.map(str::to_owned), skip_overwrites }))
        };
        let (one, tag) = (Some(End::Snapshot(1)), Some(End::Tag("v".to_owned())));
        assert_eq!(parse(&[("start-snapshot-id", "1")]), range(one.clone(), None, None, false));
        assert_eq!(parse(&[("start-snapshot-id", "1"), ("end-tag", "v")]), range(one.clone(), tag.clone(), None, false));
        let skipping = [("start-tag", "v"), ("branch", "b"), ("streaming.skip-overwrite-snapshots", "true")];
        assert_eq!(parse(&skipping), range(tag, None, Some("b"), true));
        for wrong in [["start-snapshot-id", "start-tag"], ["snapshot-id", "start-snapshot-id"], ["end-snapshot-id", "end-tag"], ["branch", "end-tag"]]
        {
            let told = parse(&wrong.map(|key| (key, "1"))).expect_err("two");
            assert!(told.contains("OPT-006") && wrong.iter().all(|key| told.contains(key)), "{told}");
        }
    }
}
