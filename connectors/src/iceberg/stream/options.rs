//! Options of a streaming read. Pure.

use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, Problem, Problems, ValueType, parse_boolean};

use crate::iceberg::read::READ_OPTIONS;
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
const MONITOR_INTERVAL: OptionDecl =
    OptionDecl::new("monitor-interval", ValueType::Duration, "How often a stream looks for new snapshots.").default("60 s");
const STRATEGY: OptionDecl = OptionDecl::new(
    "starting-strategy",
    STRATEGIES,
    "Where a stream begins if there is no checkpoint: with what the latest snapshot added, after it, with the earliest snapshot that there still is, \
     with a snapshot, at a time, or with all that the table holds.",
)
.default(FROM_LATEST);
const START_ID: OptionDecl = OptionDecl::new("start-snapshot-id", ANY, "First snapshot of a stream, for `INCREMENTAL_FROM_SNAPSHOT_ID`.");
const START_TAG: OptionDecl = OptionDecl::new("start-tag", ValueType::String, "The same by the name of a tag.");
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
const SKIP_OVERWRITES: OptionDecl = OptionDecl::new(
    "streaming.skip-overwrite-snapshots",
    ValueType::Boolean,
    "Whether a stream passes over snapshots that overwrite or delete rows, with all that they add. Without it they stop the job.",
)
.default("false");
const PARALLELISM: OptionDecl = OptionDecl::new(
    "scan.parallelism",
    ValueType::Integer { min: 1, max: 32_768 },
    "Splits of a stream. Default: `parallelism.default`. A job that goes on from a checkpoint keeps the splits it has.",
);
const BRANCH: OptionDecl = OptionDecl::new("branch", ValueType::String, "Branch to read.").default("main");

/// Options that make and shape a streaming read, in a hint or in WITH.
pub const STREAM_OPTIONS: &[OptionDecl] =
    &[STREAMING, MONITOR_INTERVAL, STRATEGY, START_ID, START_TAG, START_TIME, MAX_SNAPSHOTS, SKIP_OVERWRITES, PARALLELISM];

/// What a batch read may be told and a stream not.
const BATCH_ONLY: &[&str] = &["snapshot-id", "as-of-timestamp", "tag", "end-snapshot-id", "end-tag"];

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

/// Everything a stream may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) begin: Begin,
    pub(super) interval: Duration,
    pub(super) branch: String,
    pub(super) snapshots_at_once: usize,
    pub(super) skip_overwrites: bool,
    pub(super) splits: usize,
}

/// Whether a read is to be a stream. A value that is no Boolean is told when the options are opened.
#[must_use]
pub fn is_streaming(options: &OptionBag) -> bool {
    options.peek(STREAMING.key).and_then(parse_boolean).unwrap_or(false)
}

/// Takes the options of a stream out of the bag of a read that is none, with a warning for those that would have had an effect.
pub(in crate::iceberg) fn pass_over(bag: &mut OptionBag) {
    bag.boolean(&STREAMING);
    for decl in STREAM_OPTIONS.iter().filter(|decl| decl.key != STREAMING.key) {
        if bag.contains(decl.key) {
            bag.warn("OPT-008", decl.key, format!("'{}' has no effect without 'streaming' = 'true'.", decl.key));
        }
        bag.string(decl);
    }
}

impl StreamOptions {
    /// Pulls and checks everything; `parallelism` is the number of splits unless the options say another.
    pub(super) fn open(options: &OptionBag, parallelism: usize) -> Result<Opened<Self>, Problems> {
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
        for key in BATCH_ONLY.iter().filter(|key| options.contains(key)) {
            bag.string(&OptionDecl::new(key, ValueType::String, ""));
            let problem = Problem::new("OPT-006", options.object(), format!("Cannot set {key} option for streaming reader."));
            bag.report(problem.hint("Leave it out, or read the table with 'streaming' = 'false'.").at(options.position(key)));
        }
        let opened = Self {
            begin,
            interval: bag.duration(&MONITOR_INTERVAL).unwrap_or_default(),
            branch: bag.string(&BRANCH).unwrap_or_default(),
            snapshots_at_once: bag.integer(&MAX_SNAPSHOTS).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX),
            skip_overwrites: bag.boolean(&SKIP_OVERWRITES).unwrap_or(false),
            splits: bag.integer(&PARALLELISM).and_then(|count| usize::try_from(count).ok()).unwrap_or(parallelism).max(1),
        };
        let known: Vec<&OptionDecl> = STREAM_OPTIONS.iter().chain(READ_OPTIONS).collect();
        let warnings = bag.finish("iceberg", &known, &[("iceberg sink", WRITE_OPTIONS)])?;
        Ok(Opened { value: opened, warnings })
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
        StreamOptions::open(&bag, 3)
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
