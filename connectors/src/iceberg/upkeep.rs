//! What is said of a table's upkeep: options of a write, each also a table property of the same name, with Flink's spellings as aliases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::Schema;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};
use weir_catalog::lake::{LakeCatalog, LakeTable, TableId};
use weir_catalog::properties::declared::EXPIRE_OWN;

use super::properties::take;
use super::sort_order::SortBy;

const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i64::MAX };
const SECONDS: ValueType = ValueType::Integer { min: 0, max: i64::MAX };
/// Keys of Flink begin so.
const FLINK: &str = "flink-maintenance.";

/// The switch.
pub(super) const AUTO_COMPACT: &str = "auto-compact";

const COMPACT: OptionDecl = OptionDecl::new(
    AUTO_COMPACT,
    ValueType::Boolean,
    "Whether the writing job makes large files of small ones, after commits. A new table that does not say otherwise stores `true`.",
)
.default("false");
const DELTA_COMMITS: OptionDecl =
    OptionDecl::new("compact.delta.commits", POSITIVE, "Commits with data of this sink after which the table is looked at.").default("10");
const TARGET_SIZE: OptionDecl =
    OptionDecl::new("compact.target-file-size", ValueType::MemorySize, "Size that files shall have. Default: `write.target-file-size-bytes`.");
const MIN_INPUT: OptionDecl = OptionDecl::new(
    "compact.min-input-files",
    ValueType::Integer { min: 2, max: i64::MAX },
    "Files that are made one, at least: fewer only where they fill a file, carry deletes, or are more than a small partition should have.",
)
.default("5");
const SORT_ORDER: OptionDecl = OptionDecl::new(
    "compact.sort-order",
    ValueType::String,
    "Order of rows that are decoded and written, such as `user_id, ts DESC NULLS LAST`; `table`, or nothing, is the table's own order if it has one.",
);
const MAX_BYTES: OptionDecl = OptionDecl::new("compact.max-bytes", ValueType::MemorySize, "Bytes that are rewritten at once. Default: no bound.");
const PARALLELISM: OptionDecl = OptionDecl::new(
    "compact.parallelism",
    ValueType::Integer { min: 1, max: 1_024 },
    "Groups of files that are copied at the same time. Default: the job's parallelism. One group at a time is decoded beside them.",
);
const MAX_FAILURES: OptionDecl = OptionDecl::new(
    "compact.max-consecutive-failures",
    ValueType::Integer { min: 1, max: u32::MAX as i64 },
    "How often in a row one rewrite fails or gives way before the job fails.",
)
.default("10");
const MAX_DEBT: OptionDecl =
    OptionDecl::new("compact.max-debt", POSITIVE, "Files above the ideal from which epochs are made longer, so that fewer files come.")
        .default("10000");
const DATA_FILES: OptionDecl =
    OptionDecl::new("flink-maintenance.rewrite.schedule.data-file-count", POSITIVE, "The table is looked at after so many new data files, too.")
        .default("1000");
const DATA_BYTES: OptionDecl = OptionDecl::new(
    "flink-maintenance.rewrite.schedule.data-file-size",
    ValueType::MemorySize,
    "The table is looked at after so many bytes of new data files, too.",
)
.default("100 gb");
const INTERVAL: OptionDecl = OptionDecl::new(
    "flink-maintenance.rewrite.schedule.interval-second",
    POSITIVE,
    "Seconds after which the table is looked at, whatever has come: partitions that have gone quiet are decoded then.",
)
.default("600");
/// The switch of expiry, as Flink spells it.
pub(super) const EXPIRE_SNAPSHOTS: &str = "flink-maintenance.expire-snapshots.enabled";
const EXPIRE: OptionDecl = OptionDecl::new(
    EXPIRE_SNAPSHOTS,
    ValueType::Boolean,
    "Whether the job expires snapshots that it made itself. Default: `weir.expire-snapshots.enabled`.",
);
const EXPIRE_COMMITS: OptionDecl =
    OptionDecl::new("flink-maintenance.expire-snapshots.schedule.commit-count", POSITIVE, "Commits after which snapshots are expired (10 in Flink).")
        .default("60");
const EXPIRE_INTERVAL: OptionDecl = OptionDecl::new(
    "flink-maintenance.expire-snapshots.schedule.interval-second",
    POSITIVE,
    "Seconds after which snapshots are expired, however few commits there were.",
)
.default("3600");
const EXPIRE_AGE: OptionDecl = OptionDecl::new(
    "flink-maintenance.expire-snapshots.max-snapshot-age-seconds",
    SECONDS,
    "Age from which snapshots are expired. Default: `history.expire.max-snapshot-age-ms`.",
);
const RETAIN_LAST: OptionDecl = OptionDecl::new(
    "flink-maintenance.expire-snapshots.retain-last",
    POSITIVE,
    "Snapshots that are kept, whatever their age. Default: `history.expire.min-snapshots-to-keep`.",
);
const ORPHANS: OptionDecl = OptionDecl::new(
    "flink-maintenance.delete-orphan-files.enabled",
    ValueType::Boolean,
    "Has no effect: a job deletes what it left behind by name; `weir table remove-orphans` looks for what others have left.",
);
const CONVERT: OptionDecl =
    OptionDecl::new("flink-maintenance.convert-equality-deletes.enabled", ValueType::Boolean, "Not supported: rewrites apply equality deletes.");
/// Other spellings, each with the option that it stands for.
const ALIASES: &[(OptionDecl, &str)] = &[
    (OptionDecl::new("flink-maintenance.rewrite.enabled", ValueType::Boolean, "Flink's name of `auto-compact`."), AUTO_COMPACT),
    (OptionDecl::new("compaction-enabled", ValueType::Boolean, "An older name of Flink's for `auto-compact`."), AUTO_COMPACT),
    (OptionDecl::new("flink-maintenance.rewrite.schedule.commit-count", POSITIVE, "Flink's name of `compact.delta.commits`."), DELTA_COMMITS.key),
    (OptionDecl::new("flink-maintenance.rewrite.max-bytes", ValueType::MemorySize, "Flink's name of `compact.max-bytes`."), MAX_BYTES.key),
    (OptionDecl::new("flink-maintenance.parallelism", POSITIVE, "Flink's name of `compact.parallelism`."), PARALLELISM.key),
];
/// What Flink has and Weir does without, by the beginning of the key, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("lock.", NO_LOCK),
    ("lock-check-delay-seconds", NO_LOCK),
    ("delete-orphan-files.", "a job deletes what it left behind by name, and `weir table remove-orphans` looks for what others have left"),
    ("convert-equality-deletes.", "rewrites apply equality deletes, and nothing converts them"),
    ("rewrite.partial-progress.", "one committer makes all commits to a table in turn, and commits what is ready"),
    ("expire-snapshots.delete-batch-size", "files are deleted by name, several at the same time, and not in batches"),
    ("expire-snapshots.clean-expired-metadata", "schemas and partition specs stay in the table"),
    ("rate-limit-seconds", "one rewrite at a time begins when 'compact.delta.commits' or what else it waits for has come"),
    ("slot-sharing-group", "upkeep runs within the job"),
];
const NO_LOCK: &str = "one committer makes all commits to a table in turn, without a lock";

/// Every option of upkeep.
pub const UPKEEP_OPTIONS: &[OptionDecl] = &[
    COMPACT,
    DELTA_COMMITS,
    TARGET_SIZE,
    MIN_INPUT,
    SORT_ORDER,
    MAX_BYTES,
    PARALLELISM,
    MAX_FAILURES,
    MAX_DEBT,
    ALIASES[0].0,
    ALIASES[1].0,
    ALIASES[2].0,
    ALIASES[3].0,
    ALIASES[4].0,
    DATA_FILES,
    DATA_BYTES,
    INTERVAL,
    EXPIRE,
    EXPIRE_COMMITS,
    EXPIRE_INTERVAL,
    EXPIRE_AGE,
    RETAIN_LAST,
    ORPHANS,
    CONVERT,
];

/// Whether `key` is about upkeep.
#[must_use]
pub fn is_of_upkeep(key: &str) -> bool {
    key == AUTO_COMPACT || key.starts_with("compact.") || key.starts_with(FLINK) || ALIASES.iter().any(|(alias, _)| alias.key == key)
}

/// Other spellings of `key`.
pub fn upkeep_aliases(key: &str) -> impl Iterator<Item = &'static str> {
    let meant = ALIASES.iter().find(|(alias, _)| alias.key == key).map_or(key, |(_, meant)| meant).to_owned();
    let written = key.to_owned();
    let all = ALIASES.iter().flat_map(|(alias, meant)| [(alias.key, *meant), (*meant, *meant)]);
    all.filter(move |(spelling, of)| *of == meant && *spelling != written).map(|(spelling, _)| spelling)
}

/// When the snapshots that the job made are expired, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireOptions {
    /// After so many commits.
    pub commits: u64,
    /// After so long.
    pub interval: Duration,
    /// From this age; `None`: as the table says.
    pub max_age: Option<Duration>,
    /// Not the newest; `None`: as the table says.
    pub retain_last: Option<usize>,
}

/// What is wanted of upkeep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpkeepOptions {
    /// `auto-compact`.
    pub compact: bool,
    /// `compact.delta.commits`.
    pub delta_commits: u64,
    /// New data files after which the table is looked at.
    pub data_files: u64,
    /// Bytes of new data files after which it is.
    pub data_bytes: u64,
    /// Time after which it is.
    pub interval: Duration,
    /// `compact.target-file-size`.
    pub target_bytes: Option<u64>,
    /// `compact.min-input-files`.
    pub min_input_files: usize,
    /// `compact.sort-order`, as written.
    pub sort_order: Option<String>,
    /// `compact.max-bytes`.
    pub max_bytes: Option<u64>,
    /// `compact.parallelism`.
    pub parallelism: Option<usize>,
    /// `compact.max-consecutive-failures`.
    pub max_failures: u32,
    /// `compact.max-debt`.
    pub max_debt: u64,
    /// `None`: the job expires nothing.
    pub expire: Option<ExpireOptions>,
}

/// A table that a sink writes to, and what is wanted of its upkeep.
#[derive(Debug, Clone)]
pub struct LakeTarget {
    /// Its catalog.
    pub catalog: Arc<dyn LakeCatalog>,
    /// Its name there.
    pub id: TableId,
    /// Branch; `None` is main.
    pub branch: Option<String>,
    /// What is wanted.
    pub upkeep: UpkeepOptions,
}

impl LakeTarget {
    /// `catalog.database.table`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.catalog.name(), self.id)
    }
}

impl UpkeepOptions {
    /// Pulls the options from `hint`, and those that it does not have from the table's properties `set`. Problems are noted where they are.
    pub(super) fn pull(hint: &mut OptionBag, set: &mut OptionBag) -> Self {
        for bag in [&mut *hint, &mut *set] {
            unite_aliases(bag);
            tell_what_has_no_effect(bag);
        }
        let mut both = Both { hint, set };
        let compact = both.boolean(&COMPACT).unwrap_or(false);
        refuse_contradiction(both.set);
        let own = both.set.peek(EXPIRE_OWN.key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let expire = both.boolean(&EXPIRE).unwrap_or(own).then_some(());
        let (commits, interval) = (both.count(&EXPIRE_COMMITS), both.seconds(&EXPIRE_INTERVAL));
        let (max_age, retain_last) = (both.integer(&EXPIRE_AGE), both.integer(&RETAIN_LAST));
        let expire = expire.map(|()| ExpireOptions {
            commits,
            interval,
            max_age: max_age.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
            retain_last: retain_last.and_then(|count| usize::try_from(count).ok()),
        });
        let options = Self {
            compact,
            delta_commits: both.count(&DELTA_COMMITS),
            data_files: both.count(&DATA_FILES),
            data_bytes: both.bytes(&DATA_BYTES).unwrap_or(u64::MAX),
            interval: both.seconds(&INTERVAL),
            target_bytes: both.positive_bytes(&TARGET_SIZE),
            min_input_files: usize::try_from(both.count(&MIN_INPUT)).unwrap_or(usize::MAX),
            sort_order: both.bag(&SORT_ORDER).string(&SORT_ORDER),
            max_bytes: both.positive_bytes(&MAX_BYTES),
            parallelism: both.integer(&PARALLELISM).and_then(|count| usize::try_from(count).ok()),
            max_failures: u32::try_from(both.count(&MAX_FAILURES)).unwrap_or(u32::MAX),
            max_debt: both.count(&MAX_DEBT),
            expire,
        };
        if !options.compact {
            tell_what_waits_for_the_switch(hint);
        }
        options
    }

    /// The first option that another sink of the same table says otherwise: its name, what is said here, and what is said there. Sinks of which neither
    /// wants anything do not differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        if !self.is_wanted() && !other.is_wanted() {
            return None;
        }
        let mut pairs = self.said().into_iter().zip(other.said());
        pairs.find(|(this, that)| this != that).map(|((key, this), (_, that))| (key, this, that))
    }

    /// Every option with its value.
    fn said(&self) -> Vec<(&'static str, String)> {
        fn optional<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "not set".to_owned(), |value| value.to_string())
        }
        let expire = self.expire.as_ref();
        vec![
            (COMPACT.key, self.compact.to_string()),
            (DELTA_COMMITS.key, self.delta_commits.to_string()),
            (DATA_FILES.key, self.data_files.to_string()),
            (DATA_BYTES.key, self.data_bytes.to_string()),
            (INTERVAL.key, self.interval.as_secs().to_string()),
            (TARGET_SIZE.key, optional(self.target_bytes)),
            (MIN_INPUT.key, self.min_input_files.to_string()),
            (SORT_ORDER.key, optional(self.sort_order.as_ref())),
            (MAX_BYTES.key, optional(self.max_bytes)),
            (PARALLELISM.key, optional(self.parallelism)),
            (MAX_FAILURES.key, self.max_failures.to_string()),
            (MAX_DEBT.key, self.max_debt.to_string()),
            (EXPIRE.key, expire.is_some().to_string()),
            (EXPIRE_COMMITS.key, optional(expire.map(|expire| expire.commits))),
            (EXPIRE_INTERVAL.key, optional(expire.map(|expire| expire.interval.as_secs()))),
            (EXPIRE_AGE.key, optional(expire.and_then(|expire| expire.max_age).map(|age| age.as_secs()))),
            (RETAIN_LAST.key, optional(expire.and_then(|expire| expire.retain_last))),
        ]
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.compact || self.expire.is_some()
    }
}

/// Checks the options of upkeep among the properties of a new table, and leaves those that are wrong in it with what is wrong.
pub(super) fn check_upkeep(properties: &mut OptionBag) {
    let mut nothing = OptionBag::new(properties.object());
    UpkeepOptions::pull(&mut nothing, properties);
    // Nothing was given, so that nothing can be wrong with it.
    drop(nothing);
    // A new table that does not say otherwise is compacted.
    if properties.peek(AUTO_COMPACT).is_some_and(|value| value.trim().eq_ignore_ascii_case("false")) {
        tell_what_waits_for_the_switch(properties);
    }
}

/// Warns of what is said of rewrites where there are none.
fn tell_what_waits_for_the_switch(bag: &mut OptionBag) {
    let without: Vec<String> = bag.iter().map(|(key, _)| key.to_owned()).filter(|key| key.starts_with("compact.")).collect();
    for key in without {
        bag.warn("OPT-008", &key, format!("'{key}' has no effect because '{AUTO_COMPACT}' is 'false'."));
    }
}

/// What is wrong with the order of the rows, if rows are to be rewritten: a new table of these columns, or one that is there.
pub(super) fn wrong_order(upkeep: &UpkeepOptions, table: &LakeTable, hints: &OptionBag) -> Option<Problem> {
    let text = upkeep.sort_order.as_deref().filter(|_| upkeep.compact)?;
    let error = SortBy::of(Some(text), &table.metadata).err()?;
    Some(Problem::new("OPT-003", hints.object(), format!("'{}': {error}", SORT_ORDER.key)).at(hints.position(SORT_ORDER.key)))
}

/// What is wrong with the order that the properties of a new table with these columns name, and under which key.
#[must_use]
pub fn wrong_order_of_new(properties: &HashMap<String, String>, schema: &Schema) -> Option<(&'static str, String)> {
    let text = properties.get(SORT_ORDER.key)?;
    let what = SortBy::check(text, schema).err()?;
    let end = if what.ends_with('?') { "" } else { "." };
    Some((SORT_ORDER.key, format!("'{}' = '{text}': {what}{end}", SORT_ORDER.key)))
}

/// That compaction is wanted and cannot be had: files of tables of format version 3 cannot be replaced yet.
pub(super) fn not_in_format_3(object: &str) -> Problem {
    let what = "files of tables of format version 3 are not compacted: they cannot be replaced yet, because the ids of rows would be lost.";
    Problem::warning("OPT-008", object, what)
        .hint(format!("Create the table with 'format-version' = '2', or say '{AUTO_COMPACT}' = 'false' to be told no more of it."))
}

/// Two switches for one thing in one place must say the same.
fn refuse_contradiction(set: &mut OptionBag) {
    let (Some(one), Some(other)) = (set.peek(EXPIRE.key).map(str::to_owned), set.peek(EXPIRE_OWN.key).map(str::to_owned)) else { return };
    if !one.trim().eq_ignore_ascii_case(other.trim()) {
        let (one_key, other_key) = (EXPIRE.key, EXPIRE_OWN.key);
        let what = format!(
            "'{one_key}' = '{one}' and '{other_key}' = '{other}' contradict each other: both say whether jobs expire their snapshots. Keep one of them."
        );
        set.error("OPT-006", one_key, what);
    }
}

/// Puts the values of aliases under the keys that they stand for. Two spellings with different values are an error.
fn unite_aliases(bag: &mut OptionBag) {
    for (alias, key) in ALIASES {
        let Some(value) = bag.peek(alias.key).map(str::to_owned) else { continue };
        let position = bag.position(alias.key);
        // It is known, and its value is checked where it is put.
        bag.string(alias);
        match bag.peek(key).map(str::to_owned) {
            Some(other) if !other.trim().eq_ignore_ascii_case(value.trim()) => {
                bag.error(
                    "OPT-006",
                    alias.key,
                    format!("'{key}' = '{other}' and '{}' = '{value}' mean the same option. Keep one of them.", alias.key),
                );
            }
            Some(_) => {}
            None => bag.insert(*key, value, position),
        }
    }
}

/// Whether `key` is something of Flink's that Weir does without.
#[must_use]
pub fn is_without_effect(key: &str) -> bool {
    let is_known = UPKEEP_OPTIONS.iter().any(|decl| decl.key == key);
    !is_known && why_without_effect(key).is_some()
}

fn why_without_effect(key: &str) -> Option<&'static str> {
    let rest = key.strip_prefix(FLINK)?;
    WITHOUT_EFFECT.iter().find(|(name, _)| rest.starts_with(name)).map(|(_, why)| *why)
}

fn tell_what_has_no_effect(bag: &mut OptionBag) {
    if bag.boolean(&ORPHANS) == Some(true) {
        bag.warn(
            "OPT-008",
            ORPHANS.key,
            format!(
                "'{}' has no effect: a job deletes what it left behind by name. `weir table remove-orphans` looks for what others have left.",
                ORPHANS.key
            ),
        );
    }
    if bag.boolean(&CONVERT) == Some(true) {
        bag.error(
            "OPT-006",
            CONVERT.key,
            format!("'{}' is not supported. 'auto-compact' = 'true' applies equality deletes while it rewrites.", CONVERT.key),
        );
    }
    let keys: Vec<String> = bag.iter().map(|(key, _)| key.to_owned()).filter(|key| is_without_effect(key)).collect();
    for key in keys {
        take(bag, &key);
        let why = why_without_effect(&key).unwrap_or_default();
        bag.warn("OPT-008", &key, format!("'{key}' has no effect: {why}."));
    }
}

/// Options of which the hint's win.
struct Both<'a> {
    hint: &'a mut OptionBag,
    set: &'a mut OptionBag,
}

impl Both<'_> {
    fn bag(&mut self, decl: &OptionDecl) -> &mut OptionBag {
        if self.hint.contains(decl.key) || !self.set.contains(decl.key) { self.hint } else { self.set }
    }

    fn boolean(&mut self, decl: &OptionDecl) -> Option<bool> {
        self.bag(decl).boolean(decl)
    }

    fn integer(&mut self, decl: &OptionDecl) -> Option<i64> {
        self.bag(decl).integer(decl)
    }

    fn bytes(&mut self, decl: &OptionDecl) -> Option<u64> {
        self.bag(decl).bytes(decl)
    }

    fn positive_bytes(&mut self, decl: &OptionDecl) -> Option<u64> {
        let bag = self.bag(decl);
        let bytes = bag.bytes(decl);
        if bytes == Some(0) {
            bag.error("OPT-007", decl.key, format!("'{}' must be > 0, but is 0.", decl.key));
        }
        bytes.filter(|bytes| *bytes > 0)
    }

    /// A count that has a default; 1 after an error, which has been noted.
    fn count(&mut self, decl: &OptionDecl) -> u64 {
        self.integer(decl).and_then(|count| u64::try_from(count).ok()).unwrap_or(1)
    }

    fn seconds(&mut self, decl: &OptionDecl) -> Duration {
        Duration::from_secs(self.count(decl))
    }
}

#[cfg(test)]
mod tests;
