//! Options of a streaming read. Pure.

use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType, parse_boolean};

use crate::iceberg::read::{READ_OPTIONS, SPLIT_SIZE, pass_over_idle};
use crate::iceberg::write::WRITE_OPTIONS;
use crate::registry::Opened;

const FROM_LATEST: &str = "INCREMENTAL_FROM_LATEST_SNAPSHOT";
const AFTER_LATEST: &str = "INCREMENTAL_FROM_LATEST_SNAPSHOT_EXCLUSIVE";
const FROM_EARLIEST: &str = "INCREMENTAL_FROM_EARLIEST_SNAPSHOT";
const FROM_ID: &str = "INCREMENTAL_FROM_SNAPSHOT_ID";
const FROM_TIME: &str = "INCREMENTAL_FROM_SNAPSHOT_TIMESTAMP";
const SCAN_FIRST: &str = "TABLE_SCAN_THEN_INCREMENTAL";
const STRATEGIES: ValueType = ValueType::Enum(&[FROM_LATEST, AFTER_LATEST, FROM_EARLIEST, FROM_ID, FROM_TIME, SCAN_FIRST]);
const ANY: ValueType = ValueType::Integer { min: i64::MIN, max: i64::MAX };

const STREAMING: OptionDecl = OptionDecl::new(
    "streaming",
    ValueType::Boolean,
    "Whether a job reads the table as a stream that goes on with each commit, instead of once as it is now.",
)
.default("false");
pub(in crate::iceberg) const MONITOR_INTERVAL: OptionDecl =
    OptionDecl::new("monitor-interval", ValueType::Duration, "How often a stream, or a lookup join, looks for new snapshots.").default("60 s");
const STRATEGY: OptionDecl = OptionDecl::new(
    "starting-strategy",
    STRATEGIES,
    "Where a stream begins if there is no checkpoint: with what the latest snapshot added, after it, with the earliest snapshot that there still is, \
     with a snapshot, at a time, or with all that the table holds.",
)
.default(FROM_LATEST);
pub(in crate::iceberg) const START_ID: OptionDecl = OptionDecl::new(
    "start-snapshot-id",
    ANY,
    "First snapshot of a stream, for `INCREMENTAL_FROM_SNAPSHOT_ID`. A batch query reads only what was appended after it.",
);
pub(in crate::iceberg) const START_TAG: OptionDecl = OptionDecl::new("start-tag", ValueType::String, "The same by the name of a tag.");
const START_TIME: OptionDecl = OptionDecl::new(
    "start-snapshot-timestamp",
    ANY,
    "A stream begins with the first snapshot of this time or later (milliseconds since 1970), for `INCREMENTAL_FROM_SNAPSHOT_TIMESTAMP`.",
);
const MAX_SNAPSHOTS: OptionDecl = OptionDecl::new(
    "max-planning-snapshot-count",
    ValueType::Integer { min: 1, max: 2_147_483_647 },
    "Snapshots that a stream plans in one round; the next are planned when those have been read.",
)
.default("2147483647");
pub(in crate::iceberg) const SKIP_OVERWRITES: OptionDecl = OptionDecl::new(
    "streaming.skip-overwrite-snapshots",
    ValueType::Boolean,
    "Whether a stream passes over snapshots that overwrite or delete rows, with all that they add. Without it they stop the job.",
)
.default("false");
const AS_CHANGES: OptionDecl = OptionDecl::new(
    "streaming.overwrite-as-changes",
    ValueType::Boolean,
    "Whether a stream reads snapshots that overwrite or delete rows as changes: it gets the columns `_row_kind` (`+I`, `-D`) and `_commit_sequence`, and the \
     query must look at the first. For tables whose writers replace whole files.",
)
.default("false");
const MAX_FAILURES: OptionDecl = OptionDecl::new(
    "max-allowed-planning-failures",
    ValueType::Integer { min: -1, max: 2_147_483_647 },
    "How many times in a row a stream may fail to look for snapshots or to plan them, for reasons that may pass. After one more the job's restart strategy \
     decides; -1: it waits without end.",
)
.default("3");
const WATERMARK_COLUMN: OptionDecl = OptionDecl::new(
    "watermark-column",
    ValueType::String,
    "Column of a stream's watermarks. Has no effect yet: no streaming INSERT waits for watermarks.",
);
const WATERMARK_UNIT: OptionDecl = OptionDecl::new(
    "watermark-column-time-unit",
    ValueType::Enum(&["NANOSECONDS", "MICROSECONDS", "MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS"]),
    "Unit of a watermark column of whole numbers. Has no effect yet.",
)
.default("MICROSECONDS");
const PARALLELISM: OptionDecl = OptionDecl::new(
    "scan.parallelism",
    ValueType::Integer { min: 1, max: 32_768 },
    "Splits of a stream. Default: `parallelism.default`. A job that goes on from a checkpoint keeps the splits it has.",
);
const BRANCH: OptionDecl = OptionDecl::new("branch", ValueType::String, "Branch to read.").default("main");

/// Options that make and shape a streaming read, in a hint or in WITH.
pub const STREAM_OPTIONS: &[OptionDecl] = &[
    STREAMING,
    MONITOR_INTERVAL,
    STRATEGY,
    START_ID,
    START_TAG,
    START_TIME,
    MAX_SNAPSHOTS,
    MAX_FAILURES,
    SKIP_OVERWRITES,
    AS_CHANGES,
    PARALLELISM,
    WATERMARK_COLUMN,
    WATERMARK_UNIT,
];

/// What a batch read may be told and a stream not.
const BATCH_ONLY: &[&str] = &["snapshot-id", "as-of-timestamp", "tag", "end-snapshot-id", "end-tag"];
const LIMIT: &str = "limit";

/// Where a stream without a checkpoint begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begin {
    Latest,
    AfterLatest,
    Earliest,
    Snapshot(i64),
    Tag(String),
    Time(i64),
    Scan,
}

/// What a stream does with snapshots that overwrite or delete rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrites {
    Refuse,
    PassOver,
    /// As changes.
    Tell,
}

/// What the table says of a stream over it.
#[derive(Clone, Copy)]
pub(super) struct OfTable<'a> {
    /// Size of pieces unless the options say another.
    pub(super) split_size: Option<u64>,
    pub(super) has_column: &'a dyn Fn(&str) -> bool,
}

/// Everything a stream may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) begin: Begin,
    pub(super) interval: Duration,
    pub(super) branch: String,
    pub(super) snapshots_at_once: usize,
    /// Failures in a row that are waited out; less than none: all.
    pub(super) failures: i64,
    pub(super) overwrites: Overwrites,
    pub(super) splits: usize,
    /// Files of more bytes are cut into pieces, unless a checkpoint says otherwise.
    pub(super) piece: u64,
}

/// Whether a read is to be a stream. A value that is no Boolean is told when the options are opened.
#[must_use]
pub fn is_streaming(options: &OptionBag) -> bool {
    options.peek(STREAMING.key).and_then(parse_boolean).unwrap_or(false)
}

/// Whether a stream reads overwrites as changes.
#[must_use]
pub fn tells_changes(options: &OptionBag) -> bool {
    options.peek(AS_CHANGES.key).and_then(parse_boolean).unwrap_or(false)
}

/// Options of a stream that a read of what was appended between two snapshots has too.
const IN_BATCH_TOO: [&str; 3] = [START_ID.key, START_TAG.key, SKIP_OVERWRITES.key];

/// Takes the options of a stream out of the bag of a read that is none, with a warning for those that would have had an effect.
pub(in crate::iceberg) fn pass_over(bag: &mut OptionBag) {
    bag.boolean(&STREAMING);
    for decl in STREAM_OPTIONS.iter().filter(|decl| decl.key != STREAMING.key) {
        if bag.contains(decl.key) && !IN_BATCH_TOO.contains(&decl.key) {
            bag.warn("OPT-008", decl.key, format!("'{}' has no effect without 'streaming' = 'true'.", decl.key));
        }
        bag.string(decl);
    }
}

impl StreamOptions {
    /// Pulls and checks everything; `parallelism` is the number of splits unless the options say another.
    pub(super) fn open(options: &OptionBag, table: OfTable<'_>, parallelism: usize) -> Result<Opened<Self>, Problems> {
        let mut bag = options.fresh();
        bag.boolean(&STREAMING);
        let strategy = bag.choice(&STRATEGY).unwrap_or(FROM_LATEST);
        let (id, tag, time) = (bag.integer(&START_ID), bag.string(&START_TAG), bag.integer(&START_TIME));
        let begin = match (strategy, id, tag, time) {
            (FROM_ID, Some(_), Some(_), _) => Err((START_TAG.key, "'start-snapshot-id' and 'start-tag' cannot both be set.".to_owned())),
            (FROM_ID, Some(id), ..) => Ok(Begin::Snapshot(id)),
            (FROM_ID, None, Some(tag), _) => Ok(Begin::Tag(tag)),
            (FROM_ID, None, None, _) => Err((STRATEGY.key, format!("'{FROM_ID}' needs 'start-snapshot-id' or 'start-tag'."))),
            (FROM_TIME, _, _, Some(time)) => Ok(Begin::Time(time)),
            (FROM_TIME, ..) => Err((STRATEGY.key, format!("'{FROM_TIME}' needs 'start-snapshot-timestamp'."))),
            (other, id, tag, time) => {
                let given = [(START_ID, id.is_some()), (START_TAG, tag.is_some()), (START_TIME, time.is_some())];
                for (idle, _) in given.iter().filter(|(_, given)| *given) {
                    bag.warn("OPT-008", idle.key, format!("'{}' has no effect with 'starting-strategy' = '{other}'.", idle.key));
                }
                Ok(match other {
                    AFTER_LATEST => Begin::AfterLatest,
                    FROM_EARLIEST => Begin::Earliest,
                    SCAN_FIRST => Begin::Scan,
                    _ => Begin::Latest,
                })
            }
        };
        let begin = begin.unwrap_or_else(|(key, what)| {
            bag.error("OPT-006", key, what);
            Begin::Latest
        });
        let no_limit = options.peek(LIMIT).is_some_and(|limit| limit.trim() == "-1");
        if no_limit {
            bag.string(&OptionDecl::new(LIMIT, ValueType::String, ""));
        }
        for key in BATCH_ONLY.iter().chain((!no_limit).then_some(&LIMIT)).filter(|key| options.contains(key)) {
            bag.string(&OptionDecl::new(key, ValueType::String, ""));
            let problem = Problem::new("OPT-006", options.object(), format!("Cannot set {key} option for streaming reader."));
            bag.report(problem.hint("Leave it out, or read the table with 'streaming' = 'false'.").at(options.position(key)));
        }
        pass_over_idle(&mut bag);
        watermarks(&mut bag, table);
        let (pass_over, tell) = (bag.boolean(&SKIP_OVERWRITES).unwrap_or(false), bag.boolean(&AS_CHANGES).unwrap_or(false));
        if pass_over && tell {
            let what = format!("Option '{}' and '{}' shouldn't be set together.", SKIP_OVERWRITES.key, AS_CHANGES.key);
            bag.error("OPT-006", AS_CHANGES.key, what);
        }
        let overwrites = match (pass_over, tell) {
            (_, true) => Overwrites::Tell,
            (true, false) => Overwrites::PassOver,
            (false, false) => Overwrites::Refuse,
        };
        let said = options.contains(SPLIT_SIZE.key);
        let size = bag.bytes(&SPLIT_SIZE).filter(|bytes| *bytes > 0);
        let opened = Self {
            begin,
            interval: bag.duration(&MONITOR_INTERVAL).unwrap_or_default(),
            branch: bag.string(&BRANCH).unwrap_or_default(),
            snapshots_at_once: bag.integer(&MAX_SNAPSHOTS).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX),
            failures: bag.integer(&MAX_FAILURES).unwrap_or_default(),
            overwrites,
            piece: table.split_size.filter(|_| !said).or(size).unwrap_or(u64::MAX),
            splits: bag.integer(&PARALLELISM).and_then(|count| usize::try_from(count).ok()).unwrap_or(parallelism).max(1),
        };
        let known: Vec<&OptionDecl> = STREAM_OPTIONS.iter().chain(READ_OPTIONS).collect();
        let warnings = bag.finish("iceberg", &known, &[("iceberg sink", WRITE_OPTIONS)])?;
        Ok(Opened { value: opened, warnings })
    }
}

fn watermarks(bag: &mut OptionBag, table: OfTable<'_>) {
    let column = bag.string(&WATERMARK_COLUMN);
    let has_unit = bag.contains(WATERMARK_UNIT.key);
    bag.choice(&WATERMARK_UNIT);
    match column {
        Some(column) if !(table.has_column)(&column) => {
            bag.error("OPT-005", WATERMARK_COLUMN.key, format!("'{}' names column '{column}', which the table does not have.", WATERMARK_COLUMN.key));
        }
        Some(_) => {
            let what = format!("'{}' has no effect yet: no streaming INSERT waits for watermarks.", WATERMARK_COLUMN.key);
            bag.warn("OPT-008", WATERMARK_COLUMN.key, what);
        }
        None if has_unit => {
            let what = format!("'{}' has no effect without '{}'.", WATERMARK_UNIT.key, WATERMARK_COLUMN.key);
            bag.warn("OPT-008", WATERMARK_UNIT.key, what);
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(options: &[(&str, &str)]) -> Result<Opened<StreamOptions>, Problems> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in options {
            bag.insert(*key, *value, None);
        }
        let table = OfTable { split_size: Some(64 << 20), has_column: &|column| column == "ts" };
        StreamOptions::open(&bag, table, 3)
    }

    #[test]
    fn a_stream_begins_where_its_strategy_says() {
        let begin = |options: &[(&str, &str)]| open(options).unwrap().value.begin;
        assert_eq!(begin(&[]), Begin::Latest);
        assert_eq!(begin(&[("starting-strategy", "table-scan-then-incremental")]), Begin::Scan);
        assert_eq!(begin(&[("starting-strategy", FROM_ID), ("start-snapshot-id", "7")]), Begin::Snapshot(7));
        assert_eq!(begin(&[("starting-strategy", FROM_ID), ("start-tag", "eod")]), Begin::Tag("eod".to_owned()));
        assert_eq!(begin(&[("starting-strategy", FROM_TIME), ("start-snapshot-timestamp", "9")]), Begin::Time(9));
        let idle = open(&[("start-snapshot-id", "7")]).unwrap();
        assert_eq!((idle.value.begin, idle.warnings.len(), idle.value.splits), (Begin::Latest, 1, 3));
    }

    #[test]
    fn what_flink_knows_and_a_stream_has_no_use_for_is_told() {
        let idle = [
            ("split-lookback", "10"),
            ("split-file-open-cost", "4 mb"),
            ("include-column-stats", "true"),
            ("case-sensitive", "false"),
            ("watermark-column", "ts"),
        ];
        let opened = open(&idle).unwrap();
        let told: Vec<String> = opened.warnings.iter().map(ToString::to_string).collect();
        for (key, _) in idle {
            assert!(told.iter().any(|warning| warning.contains(&format!("'{key}'")) && warning.contains("has no effect")), "{key} not in {told:?}");
        }
        assert_eq!(open(&[("limit", "-1"), ("case-sensitive", "true")]).unwrap().warnings, Vec::new());
        let wrong = [("limit", "10"), ("watermark-column", "tz"), ("split-lookback", "0"), ("max-allowed-planning-failures", "-2")];
        let told = open(&wrong).unwrap_err().to_string();
        for part in
            ["Cannot set limit option for streaming reader", "column 'tz'", "'split-lookback' must be", "'max-allowed-planning-failures' must be"]
        {
            assert!(told.contains(part), "{part} not in {told}");
        }
    }

    #[test]
    fn overwrites_are_refused_passed_over_or_told() {
        let (skip, tell) = (("streaming.skip-overwrite-snapshots", "true"), ("streaming.overwrite-as-changes", "true"));
        let overwrites = |options: &[(&str, &str)]| open(options).unwrap().value.overwrites;
        assert_eq!((overwrites(&[]), overwrites(&[skip]), overwrites(&[tell])), (Overwrites::Refuse, Overwrites::PassOver, Overwrites::Tell));
        assert!(open(&[skip, tell]).unwrap_err().to_string().contains("shouldn't be set together"));
    }

    #[test]
    fn the_size_of_pieces_is_that_of_the_option_then_of_the_table() {
        let piece = |options: &[(&str, &str)]| open(options).unwrap().value.piece;
        assert_eq!((piece(&[]), piece(&[("split-size", "1 mb")])), (64 << 20, 1 << 20));
    }

    #[test]
    fn what_makes_no_sense_for_a_stream_is_refused_all_at_once() {
        let wrong = [("starting-strategy", FROM_ID), ("snapshot-id", "5"), ("tag", "eod"), ("monitor-intervall", "1 s"), ("branch", "audit")];
        let told = open(&wrong).unwrap_err().to_string();
        for part in [
            "needs 'start-snapshot-id' or 'start-tag'",
            "Cannot set snapshot-id option for streaming reader",
            "Cannot set tag option",
            "Did you mean 'monitor-interval'?",
        ] {
            assert!(told.contains(part), "{part} not in {told}");
        }
        assert!(is_streaming(&{
            let mut bag = OptionBag::new("t");
            bag.insert("streaming", "TRUE", None);
            bag
        }));
    }
}
