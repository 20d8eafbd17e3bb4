//! SET and RESET: every key Weir knows, declared once, and the values a session holds.
//!
//! A key in a name space of ours must be known. Keys that Flink has and Weir does not act on yet are taken with a warning; anything else
//! is stored as it is.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, Position, Problem, Problems, ValueType, closest};
use weir_base::secret::{MASK, is_sensitive_key};

use crate::plan::JobSettings;

const POSITIVE: ValueType = ValueType::Integer { min: 1, max: i32::MAX as i64 };
const COUNT: ValueType = ValueType::Integer { min: 0, max: i64::MAX };

const NAME: OptionDecl =
    OptionDecl::new("pipeline.name", ValueType::String, "Name of the job, its identity across runs. Default: the stem of the job file's name.");
const INTERVAL: OptionDecl =
    OptionDecl::new("execution.checkpointing.interval", ValueType::Duration, "Length of an epoch: how often a checkpoint is made and sinks commit.")
        .default("10 s");
const DIR: OptionDecl = OptionDecl::new(
    "execution.checkpointing.dir",
    ValueType::String,
    "URI of the folder that holds the checkpoints of all jobs. Default: `.weir/checkpoints` beside the job file.",
)
.deprecated(&["state.checkpoints.dir"]);
const TIMEOUT: OptionDecl =
    OptionDecl::new("execution.checkpointing.timeout", ValueType::Duration, "Deadline of the checkpoint and the commit of an epoch.")
        .default("10 min");
const RETAINED: OptionDecl = OptionDecl::new("execution.checkpointing.num-retained", POSITIVE, "How many checkpoints are kept.")
    .default("3")
    .deprecated(&["state.checkpoints.num-retained"]);
const PARALLELISM: OptionDecl =
    OptionDecl::new("parallelism.default", POSITIVE, "How many tasks of a stage run side by side. Default: the cores given to the process.")
        .deprecated(&["table.exec.resource.default-parallelism"]);
const VALIDATION: OptionDecl =
    OptionDecl::new("table.ddl.validation", ValueType::Enum(&["strict", "lazy"]), "Whether options are checked by CREATE TABLE or at first use.")
        .default("strict");
const HINTS: OptionDecl =
    OptionDecl::new("table.dynamic-table-options.enabled", ValueType::Boolean, "Whether OPTIONS hints are allowed.").default("true");
const NOT_NULL: OptionDecl = OptionDecl::new(
    "table.exec.sink.not-null-enforcer",
    ValueType::Enum(&["ERROR", "DROP"]),
    "What happens to a row with NULL in a NOT NULL column of the sink: the job ends, or the row is dropped.",
)
.default("ERROR");
const RUNTIME_MODE: OptionDecl = OptionDecl::new(
    "execution.runtime-mode",
    ValueType::Enum(&["STREAMING", "BATCH", "AUTOMATIC"]),
    "Planning mode of INSERTs; only STREAMING has an effect yet.",
)
.default("STREAMING");
const ZONE: OptionDecl = OptionDecl::new("table.local-time-zone", ValueType::String, "Session time zone. Only UTC has an effect yet.").default("UTC");
const RESTART: OptionDecl = OptionDecl::new(
    "restart-strategy.type",
    ValueType::Enum(&["none", "off", "disable", "fixed-delay", "failure-rate", "exponential-delay"]),
    "How the job restarts in the process after a passing failure.",
)
.default("exponential-delay")
.deprecated(&["restart-strategy"]);

/// Every SET key that Weir acts on.
pub const SETTINGS: &[OptionDecl] = &[
    NAME,
    INTERVAL,
    DIR,
    TIMEOUT,
    RETAINED,
    OptionDecl::new(
        "execution.checkpointing.mode",
        ValueType::Enum(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        "Guarantee of the job; always exactly once.",
    )
    .default("EXACTLY_ONCE"),
    RUNTIME_MODE,
    PARALLELISM,
    VALIDATION,
    HINTS,
    NOT_NULL,
    ZONE,
    RESTART,
    OptionDecl::new("restart-strategy.exponential-delay.initial-backoff", ValueType::Duration, "First wait.").default("1 s"),
    OptionDecl::new("restart-strategy.exponential-delay.max-backoff", ValueType::Duration, "Longest wait.").default("5 min"),
    OptionDecl::new("restart-strategy.exponential-delay.backoff-multiplier", ValueType::Double, "Growth of the wait.").default("2.0"),
    OptionDecl::new("restart-strategy.exponential-delay.reset-backoff-threshold", ValueType::Duration, "Calm after which the wait starts over.")
        .default("1 h"),
    OptionDecl::new("restart-strategy.exponential-delay.jitter-factor", ValueType::Double, "Share of the wait that is random.").default("0.1"),
    OptionDecl::new(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        COUNT,
        "Restarts after which the job ends. Default: no limit.",
    ),
    OptionDecl::new("restart-strategy.fixed-delay.attempts", COUNT, "Restarts after which the job ends.").default("1"),
    OptionDecl::new("restart-strategy.fixed-delay.delay", ValueType::Duration, "Wait before a restart.").default("1 s"),
    OptionDecl::new("restart-strategy.failure-rate.max-failures-per-interval", COUNT, "Failures in an interval after which the job ends.")
        .default("1"),
    OptionDecl::new("restart-strategy.failure-rate.failure-rate-interval", ValueType::Duration, "The interval.").default("1 min"),
    OptionDecl::new("restart-strategy.failure-rate.delay", ValueType::Duration, "Wait before a restart.").default("1 s"),
    OptionDecl::new(
        "execution.allow-shared-source",
        ValueType::Boolean,
        "Whether the job may write into a table that holds rows which a job of another name read from the same splits.",
    )
    .default("false"),
    OptionDecl::new("fs.*", ValueType::String, "Configuration of file systems."),
    OptionDecl::new("s3.*", ValueType::String, "Configuration of S3 and stores that speak its protocol."),
    OptionDecl::new("hadoop-conf-dir", ValueType::String, "Folder with `core-site.xml` and `hdfs-site.xml`."),
];

/// Keys of Flink in name spaces of ours on which Weir does not act yet.
const NO_EFFECT: &[&str] = &[
    "execution.checkpointing.min-pause",
    "execution.checkpointing.tolerable-failed-checkpoints",
    "execution.checkpointing.max-concurrent-checkpoints",
    "execution.checkpointing.externalized-checkpoint-retention",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.incremental",
    "execution.checkpointing.unaligned",
    "execution.checkpointing.unaligned.enabled",
    "execution.checkpointing.storage",
    "execution.state-recovery.path",
    "execution.savepoint.path",
    "execution.attached",
    "execution.target",
    "state.savepoints.dir",
    "state.backend",
    "state.backend.type",
    "state.backend.incremental",
    "state.backend.rocksdb.memory.managed",
    "pipeline.max-parallelism",
    "pipeline.auto-watermark-interval",
    "pipeline.object-reuse",
    "pipeline.operator-chaining",
    "pipeline.operator-chaining.enabled",
    "pipeline.jars",
    "pipeline.classpaths",
    "table.exec.state.ttl",
    "table.exec.mini-batch.enabled",
    "table.exec.mini-batch.allow-latency",
    "table.exec.mini-batch.size",
    "table.exec.source.idle-timeout",
    "table.exec.source.cdc-events-duplicate",
    "table.exec.async-lookup.buffer-capacity",
    "table.exec.async-lookup.timeout",
    "table.exec.async-lookup.output-mode",
    "table.exec.async-lookup.key-ordered-enabled",
    "table.exec.sink.upsert-materialize",
    "table.exec.sink.keyed-shuffle",
    "table.exec.sink.type-length-enforcer",
    "table.exec.interval-join.min-cleanup-interval",
    "table.exec.rank.topn-cache-size",
    "table.exec.emit.early-fire.enabled",
    "table.exec.emit.early-fire.delay",
    "table.exec.emit.late-fire.enabled",
    "table.exec.emit.late-fire.delay",
    "table.exec.emit.allow-lateness",
    "table.exec.emit.mode",
    "table.exec.legacy-cast-behaviour",
    "table.exec.iceberg.infer-source-parallelism",
    "table.exec.iceberg.infer-source-parallelism.max",
    "table.exec.iceberg.worker-pool-size",
    "table.exec.iceberg.fetch-batch-record-count",
    "table.exec.iceberg.use-flip27-source",
    "table.exec.iceberg.use-v2-sink",
    "table.exec.iceberg.split-assigner-type",
    "table.exec.iceberg.expose-split-locality-info",
    "table.optimizer.agg-phase-strategy",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.join-reorder-enabled",
    "table.optimizer.dim-lookup-join.batch.enabled",
    "table.optimizer.dim-lookup-join.batch.size",
    "table.optimizer.dim-lookup-join.batch.flush.millis",
    "table.dml-sync",
    "table.planner",
    "table.sql-dialect",
    "table.display.max-column-width",
    "table.rtas-ctas.atomicity-enabled",
];

/// Name spaces in which an unknown key is an error.
const OWNED: &[&str] = &["execution.", "table.", "pipeline.", "restart-strategy", "state.", "parallelism."];
/// Name spaces of Flink's processes, which Weir does not have.
const FOREIGN: &[&str] = &[
    "taskmanager.",
    "jobmanager.",
    "sql-client.",
    "rest.",
    "kubernetes.",
    "high-availability",
    "yarn.",
    "metrics.",
    "classloader.",
    "akka.",
    "pekko.",
];

/// What CREATE TABLE does about wrong options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    Strict,
    Lazy,
}

/// What is done about NULL in a NOT NULL column of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNull {
    Error,
    Drop,
}

#[derive(Debug, Clone)]
struct Value {
    text: String,
    /// The key as written: an older spelling perhaps.
    written: String,
    position: Option<Position>,
}

/// The settings of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, Value>,
}

impl Settings {
    /// Sets a key; gives warnings.
    pub(crate) fn set(&mut self, key: &str, value: &str, position: Option<Position>) -> Result<Vec<Problem>, Problems> {
        let mut bag = OptionBag::new("SET");
        bag.insert(key, value, position);
        let Some(decl) = SETTINGS.iter().find(|decl| decl.matches(key)) else { return self.set_undeclared(key, value, position) };
        check(&mut bag, decl, key);
        let warnings = bag.finish("SET", &[], &[]);
        // A key that was pulled is never left over; a pattern's key is, and is fine.
        let warnings = if decl.key.contains('*') { Vec::new() } else { warnings? };
        let name = if decl.key.contains('*') { key } else { decl.key };
        if let Some(old) = self.values.get(name)
            && old.written != key
            && old.text != value
        {
            let what = format!("'{key}' and '{}' are the same setting, but have the values '{value}' and '{}'.", old.written, old.text);
            return Err(Problem::new("CFG-002", "SET", what).at(position).into());
        }
        self.values.insert(name.to_owned(), Value { text: value.to_owned(), written: key.to_owned(), position });
        Ok(warnings)
    }

    fn set_undeclared(&mut self, key: &str, value: &str, position: Option<Position>) -> Result<Vec<Problem>, Problems> {
        let idle = NO_EFFECT.contains(&key) || FOREIGN.iter().any(|prefix| key.starts_with(prefix));
        if !idle && OWNED.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(unknown(key).at(position).into());
        }
        self.values.insert(key.to_owned(), Value { text: value.to_owned(), written: key.to_owned(), position });
        if !idle {
            return Ok(Vec::new());
        }
        let what = format!("'{key}' has no effect yet.");
        Ok(vec![Problem::warning("CFG-003", "SET", what).at(position)])
    }

    /// Forgets a key, or all of them.
    pub(crate) fn reset(&mut self, key: Option<&str>, position: Option<Position>) -> Result<(), Problems> {
        let Some(key) = key else {
            self.values.clear();
            return Ok(());
        };
        let name = SETTINGS.iter().find(|decl| decl.matches(key)).map_or(key, |decl| if decl.key.contains('*') { key } else { decl.key });
        let known = self.values.remove(name).is_some() || NO_EFFECT.contains(&key) || SETTINGS.iter().any(|decl| decl.matches(key));
        if known || !OWNED.iter().any(|prefix| key.starts_with(prefix)) { Ok(()) } else { Err(unknown(key).at(position).into()) }
    }

    /// What `SET;` shows: every declared key with its value, then the others that were set. Secrets are masked.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut rows: BTreeMap<String, String> = SETTINGS
            .iter()
            .filter(|decl| !decl.key.contains('*'))
            .filter_map(|decl| decl.default.map(|default| (decl.key.to_owned(), default.to_owned())))
            .collect();
        for (key, value) in &self.values {
            let shown = if is_sensitive_key(key) { MASK } else { value.text.as_str() };
            rows.insert(key.clone(), shown.to_owned());
        }
        rows.into_iter().collect()
    }

    /// Settings of file systems.
    pub(crate) fn file_system_properties(&self) -> BTreeMap<String, String> {
        let wanted = |key: &str| key.starts_with("fs.") || key.starts_with("s3.") || key == "hadoop-conf-dir";
        self.values.iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key.clone(), value.text.clone())).collect()
    }

    pub(crate) fn validation(&self) -> Validation {
        if self.bag().choice(&VALIDATION) == Some("lazy") { Validation::Lazy } else { Validation::Strict }
    }

    pub(crate) fn hints_allowed(&self) -> bool {
        self.bag().boolean(&HINTS).unwrap_or(true)
    }

    pub(crate) fn not_null(&self) -> NotNull {
        if self.bag().choice(&NOT_NULL) == Some("DROP") { NotNull::Drop } else { NotNull::Error }
    }

    /// The settings of a job, Weir's defaults filled in.
    pub(crate) fn job(&self, job_file: Option<&Path>, cores: usize) -> JobSettings {
        let mut bag = self.bag();
        let stem = job_file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        let name = bag.string(&NAME);
        let dir = bag.string(&DIR);
        let count = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        JobSettings {
            name_defaulted: name.is_none(),
            name: name.or(stem).unwrap_or_else(|| "weir".to_owned()),
            interval: bag.duration(&INTERVAL).unwrap_or(Duration::from_secs(10)),
            checkpoint_dir_defaulted: dir.is_none(),
            checkpoint_dir: dir.unwrap_or_else(|| default_checkpoint_dir(job_file)),
            timeout: bag.duration(&TIMEOUT).unwrap_or(Duration::from_secs(600)),
            retained: count(bag.integer(&RETAINED)).unwrap_or(3),
            parallelism: count(bag.integer(&PARALLELISM)).unwrap_or(cores).max(1),
            properties: self.values.iter().map(|(key, value)| (key.clone(), value.text.clone())).collect(),
        }
    }

    fn bag(&self) -> OptionBag {
        let mut bag = OptionBag::new("SET");
        for (key, value) in &self.values {
            bag.insert(key.clone(), value.text.clone(), value.position);
        }
        bag
    }
}

fn check(bag: &mut OptionBag, decl: &OptionDecl, key: &str) {
    match decl.ty {
        ValueType::Boolean => drop(bag.boolean(decl)),
        ValueType::Integer { .. } => drop(bag.integer(decl)),
        ValueType::Double => drop(bag.double(decl)),
        ValueType::Duration => drop(bag.duration(decl)),
        ValueType::MemorySize => drop(bag.bytes(decl)),
        ValueType::Enum(_) => drop(bag.choice(decl)),
        ValueType::List => drop(bag.list(decl)),
        ValueType::String => drop(bag.string(decl)),
    }
    if decl.key == INTERVAL.key && bag.peek(key).and_then(weir_base::options::parse_duration).is_some_and(|(interval, _)| interval.is_zero()) {
        bag.error("OPT-007", key, format!("'{key}' must be greater than 0."));
    }
}

fn unknown(key: &str) -> Problem {
    let declared = SETTINGS.iter().flat_map(|decl| decl.deprecated.iter().copied().chain([decl.key])).filter(|key| !key.contains('*'));
    let near = closest(key, declared.chain(NO_EFFECT.iter().copied()));
    let near = near.first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    Problem::new("CFG-001", "SET", format!("unknown key '{key}'.{near}"))
}

/// `.weir/checkpoints` beside the job file, or in the working directory, as a URI.
fn default_checkpoint_dir(job_file: Option<&Path>) -> String {
    let beside = job_file.and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    let folder = beside.join(".weir").join("checkpoints");
    let absolute: PathBuf = std::path::absolute(&folder).unwrap_or(folder);
    format!("file://{}", without_parents(&absolute).display())
}

/// `/a/b/../c` as `/a/c`, which a URI needs. Links are not followed: a job file may be one to a folder that changes its name.
fn without_parents(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        if part == Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(problems: Result<Vec<Problem>, Problems>) -> String {
        problems.expect_err("an error").to_string()
    }

    #[test]
    fn an_unknown_key_of_ours_is_refused_with_the_nearest_one() {
        let mut settings = Settings::default();
        let at = Some(Position { line: 2, column: 5 });
        assert_eq!(
            text(settings.set("table.exec.state.tll", "1 d", at)),
            "[CFG-001] SET: unknown key 'table.exec.state.tll'. Did you mean 'table.exec.state.ttl'?\n  at line 2, column 5"
        );
        assert_eq!(settings.set("my.own", "x", None), Ok(vec![]), "other name spaces are stored");
        let warnings = settings.set("taskmanager.numberOfTaskSlots", "4", None).expect("known");
        assert!(warnings[0].to_string().contains("has no effect yet"), "{warnings:?}");
    }

    #[test]
    fn an_older_spelling_is_the_same_setting() {
        let mut settings = Settings::default();
        let warnings = settings.set("state.checkpoints.dir", "file:///a", None).expect("alias");
        assert!(warnings[0].to_string().starts_with("[OPT-009] warning: SET: 'state.checkpoints.dir' is deprecated"), "{warnings:?}");
        assert_eq!(settings.job(None, 2).checkpoint_dir, "file:///a");
        assert!(text(settings.set("execution.checkpointing.dir", "file:///b", None)).contains("are the same setting"));
        settings.set("execution.checkpointing.dir", "file:///a", None).expect("the same value");
    }

    #[test]
    fn wrong_values_are_refused_when_they_are_set() {
        let mut settings = Settings::default();
        assert!(text(settings.set("execution.checkpointing.interval", "often", None)).contains("is not a duration"));
        assert!(text(settings.set("execution.checkpointing.interval", "0 s", None)).contains("must be greater than 0"));
        assert!(text(settings.set("parallelism.default", "0", None)).contains("must be >= 1, but is 0"));
        assert!(text(settings.set("table.ddl.validation", "strikt", None)).contains("Did you mean 'strict'?"));
    }

    #[test]
    fn defaults_are_those_of_weir() {
        let job = Settings::default().job(Some(Path::new("/jobs/orders.sql")), 3);
        assert_eq!((job.name.as_str(), job.name_defaulted), ("orders", true));
        assert_eq!((job.checkpoint_dir.as_str(), job.checkpoint_dir_defaulted), ("file:///jobs/.weir/checkpoints", true));
        let job = Settings::default().job(Some(Path::new("/jobs/here/../there/o.sql")), 3);
        assert_eq!(job.checkpoint_dir, "file:///jobs/there/.weir/checkpoints");
        assert_eq!((job.interval, job.timeout, job.retained, job.parallelism), (Duration::from_secs(10), Duration::from_secs(600), 3, 3));
    }

    #[test]
    fn reset_brings_the_default_back() {
        let mut settings = Settings::default();
        settings.set("pipeline.name", "a", None).expect("set");
        settings.reset(Some("pipeline.name"), None).expect("reset");
        assert!(settings.job(None, 1).name_defaulted);
        assert!(settings.reset(Some("pipeline.nam"), None).is_err());
        settings.set("s3.secret-access-key", "hunter2", None).expect("set");
        assert!(!format!("{:?}", settings.rows()).contains("hunter2"));
        settings.reset(None, None).expect("reset all");
        assert!(settings.file_system_properties().is_empty());
    }
}
