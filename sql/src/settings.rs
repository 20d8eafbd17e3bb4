//! SET and RESET: every key Weir knows, declared once, and the values a session holds.
//!
//! A key in a name space of ours must be known. Keys that Flink has and Weir does not act on yet are taken with a warning; anything else
//! is stored as it is.

mod keys;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, Position, Problem, Problems, ValueType, closest};
use weir_base::secret::shown;
use weir_connectors::iceberg::{READ_OPTIONS, STREAM_OPTIONS, UPKEEP_OPTIONS, is_of_upkeep, is_streaming, is_without_effect, upkeep_aliases};
use weir_fs::aliases::{is_alias_key, problem_of_alias_key};

use crate::lookup_join::Asking;
use crate::plan::{JobSettings, SpillTo};
pub use keys::SETTINGS;
use keys::{
    CACHE, CACHE_SIZE, DIR, DISABLED_OPERATORS, FOREIGN, FROM, HINTS, INTERVAL, LOOKUP_BATCH_FLUSH, LOOKUP_BATCH_SIZE, LOOKUP_BATCHES,
    LOOKUP_CAPACITY, LOOKUP_ORDER, LOOKUP_TIMEOUT, NAME, NO_EFFECT, NOT_NULL, OWNED, PARALLELISM, READING, RETAINED, RUNTIME_MODE, TIMEOUT, TMP_DIRS,
    TO, VALIDATION,
};

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
    /// What the configuration file says; SET wins over it, and RESET comes back to it.
    configured: BTreeMap<String, Value>,
    values: BTreeMap<String, Value>,
    /// What the command line says; it wins over everything.
    pinned: BTreeMap<String, Value>,
}

impl Settings {
    /// Sets a key for good: no SET and no RESET changes it; gives warnings.
    pub(crate) fn pin(&mut self, key: &str, value: &str) -> Result<Vec<Problem>, Problems> {
        let (name, warnings) = checked("Command line", key, value, None, &self.file_system_properties())?;
        put(&mut self.pinned, "Command line", name, Value { text: value.to_owned(), written: key.to_owned(), position: None })?;
        Ok(warnings)
    }

    /// Sets a key; gives warnings.
    pub(crate) fn set(&mut self, key: &str, value: &str, position: Option<Position>) -> Result<Vec<Problem>, Problems> {
        let (name, warnings) = checked("SET", key, value, position, &self.file_system_properties())?;
        put(&mut self.values, "SET", name, Value { text: value.to_owned(), written: key.to_owned(), position })?;
        Ok(warnings)
    }

    /// Takes what a configuration file says, all of it or nothing; gives warnings.
    pub(crate) fn configure(&mut self, file: &str, entries: &BTreeMap<String, String>) -> Result<Vec<Problem>, Problems> {
        let object = format!("Configuration file '{file}'");
        let (mut configured, mut warnings, mut problems) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (key, text) in entries {
            let value = Value { text: text.clone(), written: key.clone(), position: None };
            let taken =
                checked(&object, key, text, None, entries).and_then(|(name, found)| put(&mut configured, &object, name, value).map(|()| found));
            match taken {
                Ok(found) => warnings.extend(found),
                Err(found) => problems.extend(found.as_slice().to_vec()),
            }
        }
        if !problems.is_empty() {
            return Err(Problems::new(problems));
        }
        self.configured = configured;
        Ok(warnings)
    }

    /// Every value that holds.
    fn all(&self) -> BTreeMap<&str, &Value> {
        self.configured.iter().chain(&self.values).chain(&self.pinned).map(|(key, value)| (key.as_str(), value)).collect()
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
        for (key, value) in self.all() {
            rows.insert(key.to_owned(), shown(key, &value.text).into_owned());
        }
        rows.into_iter().collect()
    }

    /// Settings of file systems.
    pub(crate) fn file_system_properties(&self) -> BTreeMap<String, String> {
        let spaces = ["fs.", "s3.", "gcs.", "adls.", "dfs.", "hadoop."];
        let wanted = |key: &str| matches!(key, "hadoop-conf-dir" | "client.region") || spaces.iter().any(|space| key.starts_with(space));
        self.all().into_iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key.to_owned(), value.text.clone())).collect()
    }

    pub(crate) fn validation(&self) -> Validation {
        if self.bag().choice(&VALIDATION) == Some("lazy") { Validation::Lazy } else { Validation::Strict }
    }

    pub(crate) fn hints_allowed(&self) -> bool {
        self.bag().boolean(&HINTS).unwrap_or(true)
    }

    /// Whether INSERTs read the batch sides of logical tables.
    pub(crate) fn batch_mode(&self) -> bool {
        self.bag().choice(&RUNTIME_MODE) == Some("BATCH")
    }

    /// First time and end, exclusive, of the period of logical tables, as written.
    pub(crate) fn period(&self) -> [Option<String>; 2] {
        let mut bag = self.bag();
        [bag.string(&FROM), bag.string(&TO)]
    }

    /// Where rows go that do not fit into memory.
    pub(crate) fn spill_to(&self) -> SpillTo {
        let places = self.bag().string(&TMP_DIRS).unwrap_or_default();
        SpillTo(places.split(',').map(str::trim).filter(|place| !place.is_empty()).map(PathBuf::from).collect())
    }

    /// Whether joins may be made by hash tables.
    pub(crate) fn hash_joins(&self) -> bool {
        self.bag().choice(&DISABLED_OPERATORS).is_none()
    }

    pub(crate) fn not_null(&self) -> NotNull {
        if self.bag().choice(&NOT_NULL) == Some("DROP") { NotNull::Drop } else { NotNull::Error }
    }

    /// The options of a read of an Iceberg table, with those that SET gives as defaults behind them: of streams only to a job, which reads
    /// what is said to be one as a stream.
    pub(crate) fn reading(&self, options: &OptionBag, job: bool) -> OptionBag {
        let mut reading = options.clone();
        let set = self.all();
        let default = |key: &str| set.get(format!("{READING}{key}").as_str()).map(|value| (value.text.clone(), value.position));
        let fill = |reading: &mut OptionBag, decls: &[OptionDecl]| {
            for decl in decls.iter().filter(|decl| !options.contains(decl.key)) {
                if let Some((value, position)) = default(decl.key) {
                    reading.insert(decl.key, value, position);
                }
            }
        };
        fill(&mut reading, READ_OPTIONS);
        let mut streaming = reading.clone();
        fill(&mut streaming, STREAM_OPTIONS);
        if job && is_streaming(&streaming) || is_streaming(options) { streaming } else { reading }
    }

    /// The options of a write into an Iceberg table, with what SET says of upkeep behind them.
    pub(crate) fn writing(&self, options: &OptionBag) -> OptionBag {
        let mut writing = options.clone();
        let says_other = |key: &str| options.contains(key) || upkeep_aliases(key).any(|other| options.contains(other));
        for (key, value) in self.all().into_iter().filter(|(key, _)| is_of_upkeep(key) && !is_without_effect(key) && !says_other(key)) {
            writing.insert(key, value.text.clone(), value.position);
        }
        writing
    }

    /// How lookup joins wait for answers whose hints do not say.
    pub(crate) fn asking(&self) -> Asking {
        let mut bag = self.bag();
        let capacity = bag.integer(&LOOKUP_CAPACITY).and_then(|capacity| usize::try_from(capacity).ok());
        let timeout = bag.duration(&LOOKUP_TIMEOUT);
        Asking {
            capacity: capacity.unwrap_or(100),
            timeout: timeout.unwrap_or(Duration::from_secs(180)),
            ordered: bag.choice(&LOOKUP_ORDER) != Some("ALLOW_UNORDERED"),
            on_miss: None,
        }
    }

    /// Puts the batches that SET asks for behind the options of a lookup table.
    pub(crate) fn put_lookup_batches(&self, options: &mut OptionBag) -> bool {
        const SIZE: &str = "lookup.async.batch.size";
        const LINGER: &str = "lookup.async.batch.linger";
        let mut bag = self.bag();
        let is_sync = options.peek("lookup.async").is_some_and(|value| value.eq_ignore_ascii_case("false"));
        if bag.boolean(&LOOKUP_BATCHES) != Some(true) || options.contains(SIZE) || is_sync {
            return false;
        }
        if let (Some(size), Some(flush)) = (bag.integer(&LOOKUP_BATCH_SIZE), bag.integer(&LOOKUP_BATCH_FLUSH)) {
            options.insert(SIZE, size.to_string(), None);
            if size > 1 && !options.contains(LINGER) {
                options.insert(LINGER, format!("{flush} ms"), None);
            }
        }
        true
    }

    /// The most bytes of metadata that are kept for the next query; 0 is none, `None` the default.
    pub(crate) fn metadata_cache(&self) -> Option<u64> {
        let mut bag = self.bag();
        if bag.boolean(&CACHE) == Some(false) { Some(0) } else { bag.bytes(&CACHE_SIZE) }
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
            name: self.job_name(name.or(stem).unwrap_or_else(|| "weir".to_owned())),
            interval: bag.duration(&INTERVAL).unwrap_or(Duration::from_secs(10)),
            checkpoint_dir_defaulted: dir.is_none(),
            checkpoint_dir: dir.unwrap_or_else(|| default_checkpoint_dir(job_file)),
            timeout: bag.duration(&TIMEOUT).unwrap_or(Duration::from_secs(600)),
            retained: count(bag.integer(&RETAINED)).unwrap_or(3),
            parallelism: count(bag.integer(&PARALLELISM)).unwrap_or(cores).max(1),
            properties: self.all().into_iter().map(|(key, value)| (key.to_owned(), value.text.clone())).collect(),
        }
    }

    /// The batch run of a job over a period is a job of its own, so that it has nothing to do with what the streaming job has committed.
    fn job_name(&self, name: String) -> String {
        if !self.batch_mode() {
            return name;
        }
        let plain = |text: String| text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect::<String>();
        let [from, to] = self.period().map(|time| time.map(plain).unwrap_or_default());
        format!("{name}-batch-{from}-{to}").trim_end_matches('-').to_owned()
    }

    fn bag(&self) -> OptionBag {
        let mut bag = OptionBag::new("SET");
        for (key, value) in self.all() {
            bag.insert(key, value.text.clone(), value.position);
        }
        bag
    }
}

/// The name under which a key is kept, and warnings. `object` says who wrote it, `others` is what was written besides.
fn checked<'a>(
    object: &str,
    key: &'a str,
    value: &str,
    position: Option<Position>,
    others: &BTreeMap<String, String>,
) -> Result<(&'a str, Vec<Problem>), Problems> {
    if is_alias_key(key)
        && let Some(problem) = problem_of_alias_key(key, value, others)
    {
        return Err(problem.at(position).into());
    }
    let Some(decl) = SETTINGS.iter().chain(UPKEEP_OPTIONS).find(|decl| decl.matches(key)) else { return undeclared(object, key, position) };
    if decl.key.contains('*') {
        return Ok((key, Vec::new()));
    }
    let mut bag = OptionBag::new(object);
    bag.insert(key, value, position);
    check(&mut bag, decl, key);
    Ok((decl.key, bag.finish("SET", &[], &[])?))
}

fn undeclared<'a>(object: &str, key: &'a str, position: Option<Position>) -> Result<(&'a str, Vec<Problem>), Problems> {
    let idle = NO_EFFECT.contains(&key) || is_without_effect(key) || FOREIGN.iter().any(|prefix| key.starts_with(prefix));
    if !idle && OWNED.iter().any(|prefix| key.starts_with(prefix)) {
        return Err(Problem { object: object.into(), ..unknown(key) }.at(position).into());
    }
    let warning = Problem::warning("CFG-003", object, format!("'{key}' has no effect yet.")).at(position);
    Ok((key, if idle { vec![warning] } else { Vec::new() }))
}

/// Puts a value under its name; two spellings of one setting must agree.
fn put(values: &mut BTreeMap<String, Value>, object: &str, name: &str, value: Value) -> Result<(), Problems> {
    if let Some(old) = values.get(name)
        && old.written != value.written
        && old.text != value.text
    {
        let what =
            format!("'{}' and '{}' are the same setting, but have the values '{}' and '{}'.", value.written, old.written, value.text, old.text);
        return Err(Problem::new("CFG-002", object, what).at(value.position).into());
    }
    values.insert(name.to_owned(), value);
    Ok(())
}

/// Times without which nothing would get done.
const NEVER_ZERO: [&str; 2] = [INTERVAL.key, LOOKUP_TIMEOUT.key];

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
    let is_zero = || bag.peek(key).and_then(weir_base::options::parse_duration).is_some_and(|(time, _)| time.is_zero());
    if NEVER_ZERO.contains(&decl.key) && is_zero() {
        bag.error("OPT-007", key, format!("'{key}' must be > 0, but is 0."));
    }
}

fn unknown(key: &str) -> Problem {
    let declared =
        SETTINGS.iter().chain(UPKEEP_OPTIONS).flat_map(|decl| decl.deprecated.iter().copied().chain([decl.key])).filter(|key| !key.contains('*'));
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
        for key in ["execution.checkpointing.interval", "table.exec.async-lookup.timeout"] {
            assert_eq!(text(settings.set(key, "0 s", None)), format!("[OPT-007] SET: '{key}' must be > 0, but is 0."));
        }
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
    fn a_wrong_alias_is_refused_when_it_is_set() {
        let mut settings = Settings::default();
        let at = Some(Position { line: 3, column: 1 });
        let unknown = text(settings.set("fs.alias.aa.shceme", "hdfs", at));
        assert!(unknown.starts_with("[FS-001] Alias 'aa': unknown key 'fs.alias.aa.shceme'.\n  Did you mean 'fs.alias.aa.scheme'?"), "{unknown}");
        assert!(unknown.ends_with("at line 3, column 1"), "{unknown}");
        settings.set("fs.alias.aa.scheme", "hdfs", None).expect("right");
        assert!(text(settings.set("fs.alias.bb.scheme", "aa", None)).contains("'aa', which is an alias itself"));
        assert!(text(settings.set("fs.alais.aa.scheme", "hdfs", None)).contains("[CFG-001] SET: unknown key 'fs.alais.aa.scheme'"));
        assert!(text(settings.set("fs.default-shceme", "aa", None)).contains("Did you mean 'fs.default-scheme'?"));
        assert_eq!(settings.file_system_properties()["fs.alias.aa.scheme"], "hdfs");
        settings.set("fs.alias.aa.option.fs.s3a.secret.key", "hunter2", None).expect("right");
        assert!(!format!("{:?}", settings.rows()).contains("hunter2"));
    }

    #[test]
    fn set_wins_over_the_configuration_file_and_reset_comes_back_to_it() {
        let entries = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut settings = Settings::default();
        let file = entries(&[("pipeline.name", "of-file"), ("state.checkpoints.dir", "file:///f"), ("fs.alias.aa.scheme", "s3")]);
        let warnings = settings.configure("weir.toml", &file).expect("right");
        assert!(warnings[0].to_string().starts_with("[OPT-009] warning: Configuration file 'weir.toml': 'state.checkpoints.dir'"), "{warnings:?}");
        assert_eq!((settings.job(None, 1).name.as_str(), settings.job(None, 1).checkpoint_dir.as_str()), ("of-file", "file:///f"));
        settings.set("pipeline.name", "of-set", None).expect("set");
        settings.set("execution.checkpointing.dir", "file:///s", None).expect("the older spelling in the file is no contradiction");
        assert_eq!((settings.job(None, 1).name.as_str(), settings.job(None, 1).checkpoint_dir.as_str()), ("of-set", "file:///s"));
        settings.reset(None, None).expect("reset");
        assert_eq!(settings.job(None, 1).name, "of-file");
        assert_eq!(settings.file_system_properties(), entries(&[("fs.alias.aa.scheme", "s3")]));
        let wrong = entries(&[("pipeline.nam", "x"), ("fs.alias.s3.scheme", "s3"), ("execution.checkpointing.interval", "often")]);
        let problems = text(settings.configure("weir.toml", &wrong));
        for part in ["Configuration file 'weir.toml': unknown key 'pipeline.nam'", "Alias 's3'", "'often' is not a duration"] {
            assert!(problems.contains(part), "{part} not in {problems}");
        }
    }

    #[test]
    fn options_of_reads_that_are_set_stand_behind_those_of_a_hint() {
        let mut settings = Settings::default();
        for (key, value) in [("streaming", "true"), ("monitor-interval", "1 s"), ("split-size", "1 mb")] {
            assert_eq!(settings.set(&format!("connector.iceberg.{key}"), value, None), Ok(vec![]));
        }
        let told = text(settings.set("connector.iceberg.monitor-intervall", "1 s", None));
        assert!(told.contains("Did you mean 'connector.iceberg.monitor-interval'?"), "{told}");
        assert!(text(settings.set("connector.iceberg.streaming", "yes", None)).contains("is not a boolean"));
        let hint = |pairs: &[(&str, &str)]| {
            let mut bag = OptionBag::new("Table 't'");
            pairs.iter().for_each(|(key, value)| bag.insert(*key, *value, None));
            bag
        };
        let read = |pairs: &[(&str, &str)], job| {
            let options = settings.reading(&hint(pairs), job);
            let all: BTreeMap<String, String> = options.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            all.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read(&[], true), "monitor-interval=1 s split-size=1 mb streaming=true");
        assert_eq!(read(&[("monitor-interval", "2 s")], true), "monitor-interval=2 s split-size=1 mb streaming=true");
        assert_eq!(read(&[("streaming", "false")], true), "split-size=1 mb streaming=false");
        assert_eq!(read(&[], false), "split-size=1 mb", "a query reads a table as it is");
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
