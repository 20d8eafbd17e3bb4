//! How a lookup table is asked, and what is kept of it: the `lookup.*` options, which every lookup connector pulls.

use std::time::Duration;

use weir_base::options::{OptionBag, OptionDecl, parse_duration};

use super::declared::{
    AFTER_ACCESS, AFTER_WRITE, ASYNC, BATCH, CACHE, DAYS, HASH, INDEXES, INTERVAL, ISO_TIME, LINGER, MAX_BYTES, MAX_RETRIES, MAX_ROWS, MISSING,
    OLD_MAX_ROWS, OLD_TTL, PRELOAD, PRELOAD_BYTES, PRELOAD_PARALLELISM, PRELOAD_ROWS, PRELOAD_TIMEOUT, SCHEDULE, STALENESS, STRATEGY,
};
use super::schedule::Reload;

/// What a connector can do for lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// The most keys that one of its requests takes; 0: it gives no rows by key, only all of them.
    pub most_keys: usize,
    /// Whether it can give all rows of the table.
    pub can_load: bool,
    /// How often a table with versions is asked for a new one, unless options say when it is loaded.
    pub watch: Option<Duration>,
}

impl Ability {
    /// That of a table which is only read as a whole, and looked at so often.
    #[must_use]
    pub fn dictionary(watch: Duration) -> Self {
        Self { most_keys: 0, can_load: true, watch: Some(watch) }
    }

    fn gives_keys(&self) -> bool {
        self.most_keys > 0
    }
}

/// A PARTIAL cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    /// The most rows.
    pub max_rows: Option<u64>,
    /// The most bytes.
    pub max_bytes: Option<u64>,
    /// Life of a row since it was fetched.
    pub after_write: Option<Duration>,
    /// Life of a row since it was last asked for.
    pub after_access: Option<Duration>,
    /// Whether misses are kept.
    pub missing: bool,
}

/// A FULL cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// What calls for the next load.
    pub reload: Reload,
    /// The oldest rows that may serve.
    pub max_staleness: Option<Duration>,
}

/// What is kept of the rows of a lookup table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// Nothing.
    None,
    /// What was asked for.
    Partial(Partial),
    /// Everything.
    Full(Full),
}

/// A load before the first row is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preload {
    /// Its deadline.
    pub timeout: Duration,
    /// The most rows.
    pub max_rows: Option<u64>,
    /// The most bytes.
    pub max_bytes: Option<u64>,
    /// Readers.
    pub parallelism: usize,
}

/// How a lookup table is asked, as its declaration and hints say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupOptions {
    /// What is kept.
    pub cache: Cache,
    /// The load before the first row; always there with [`Cache::Full`].
    pub preload: Option<Preload>,
    /// Tries after the first one.
    pub max_retries: u32,
    /// Several requests at a time.
    pub is_async: bool,
    /// Rows are spread by their keys.
    pub hash: bool,
    /// Keys of a request.
    pub batch: usize,
    /// How long keys wait for others.
    pub linger: Duration,
    /// Names of its index tables.
    pub indexes: Vec<String>,
}

impl LookupOptions {
    /// Pulls them; `None` if a problem was noted that leaves them open.
    pub fn pull(bag: &mut OptionBag, ability: Ability) -> Option<Self> {
        let cache = pull_cache(bag, ability);
        let preload = pull_preload(bag, cache.as_ref(), ability);
        let retries = bag.integer(&MAX_RETRIES);
        let asked_async = bag.contains(ASYNC.key);
        let is_async = bag.boolean(&ASYNC);
        let hash = bag.boolean(&HASH);
        let batch = pull_batch(bag, ability, is_async);
        let linger = bag.duration(&LINGER);
        let indexes = bag.list(&INDEXES);
        not_zero(bag, LINGER.key, linger.map(|linger| linger.as_nanos()));
        if matches!(cache, Some(Cache::Full(_))) {
            no_effect(bag, &[MAX_RETRIES, BATCH, LINGER], "FULL");
        } else if bag.contains(LINGER.key) && batch == Some(1) {
            bag.warn("OPT-008", LINGER.key, format!("'{}' has no effect because '{}' is 1.", LINGER.key, BATCH.key));
        }
        if matches!(cache, Some(Cache::Full(_))) && asked_async && is_async == Some(true) {
            bag.error(
                "OPT-006",
                ASYNC.key,
                "A FULL cache sends no requests for keys: 'lookup.cache'='FULL' and 'lookup.async'='true' shouldn't be set together.",
            );
        }
        Some(Self {
            cache: cache?,
            preload: preload?,
            max_retries: u32::try_from(retries?).ok()?,
            is_async: is_async?,
            hash: hash?,
            batch: batch?,
            linger: linger?,
            indexes,
        })
    }
}

fn pull_batch(bag: &mut OptionBag, ability: Ability, is_async: Option<bool>) -> Option<usize> {
    let batch = usize::try_from(bag.integer(&BATCH)?).ok()?;
    if !ability.gives_keys() {
        return Some(1);
    }
    if batch > ability.most_keys {
        bag.error("OPT-007", BATCH.key, format!("'{}' must be <= {}, but is {batch}.", BATCH.key, ability.most_keys));
    }
    if batch > 1 && is_async == Some(false) {
        let what = format!("'{}' = '{batch}' needs '{}' = 'true': without it requests have one key.", BATCH.key, ASYNC.key);
        bag.error("OPT-006", BATCH.key, what);
    }
    Some(batch)
}

fn pull_cache(bag: &mut OptionBag, ability: Ability) -> Option<Cache> {
    let said = bag.contains(CACHE.key);
    let mode = match bag.choice(&CACHE) {
        Some(mode) if said && mode != "FULL" && !ability.gives_keys() => {
            let what = format!("'lookup.cache'='{mode}' needs a table that gives rows by key; this one is read as a whole, so its cache is FULL.");
            bag.error("OPT-005", CACHE.key, what);
            None
        }
        Some(_) if !ability.gives_keys() => Some("FULL"),
        mode => mode,
    };
    let old = pull_old(bag);
    let partial = pull_partial(bag, &old);
    let full = pull_full(bag, ability);
    match mode? {
        "FULL" => {
            if !ability.can_load {
                bag.error("OPT-005", CACHE.key, "'lookup.cache'='FULL' needs a table that can be read as a whole, which this one cannot.");
            }
            no_effect(bag, PARTIAL_KEYS, "FULL");
            no_effect(bag, OLD_KEYS, "FULL");
            let is_periodic = bag.peek(STRATEGY.key).is_none_or(|strategy| strategy.eq_ignore_ascii_case("PERIODIC"));
            if is_periodic && !bag.contains(INTERVAL.key) && ability.watch.is_none() {
                let what = format!("'{}' is required with 'lookup.cache'='FULL' and the reload strategy PERIODIC but missing.", INTERVAL.key);
                bag.error("OPT-005", CACHE.key, what);
            }
            full.map(Cache::Full)
        }
        "NONE" if said || !old.is_given => {
            no_effect(bag, PARTIAL_KEYS, "NONE");
            if said {
                no_effect(bag, OLD_KEYS, "NONE");
            }
            no_effect(bag, FULL_KEYS, "NONE");
            Some(Cache::None)
        }
        _ => {
            no_effect(bag, FULL_KEYS, "PARTIAL");
            let partial = partial?;
            let bounds = [MAX_ROWS.key, AFTER_WRITE.key, AFTER_ACCESS.key];
            let is_bound =
                partial.max_rows.is_some() || partial.after_write.is_some() || partial.after_access.is_some() || partial.max_bytes.is_some();
            if !is_bound && !bounds.iter().any(|key| bag.contains(key)) {
                let what = format!("'lookup.cache'='PARTIAL' needs a bound: '{}', '{}' or '{}'.", bounds[0], bounds[1], bounds[2]);
                bag.error("OPT-005", CACHE.key, what);
            }
            Some(Cache::Partial(partial))
        }
    }
}

const PARTIAL_KEYS: &[OptionDecl] = &[MAX_ROWS, MAX_BYTES, AFTER_WRITE, AFTER_ACCESS, MISSING];
const OLD_KEYS: &[OptionDecl] = &[OLD_MAX_ROWS, OLD_TTL];
const FULL_KEYS: &[OptionDecl] = &[STRATEGY, INTERVAL, SCHEDULE, ISO_TIME, DAYS, STALENESS];

fn no_effect(bag: &mut OptionBag, keys: &[OptionDecl], mode: &str) {
    for decl in keys.iter().filter(|decl| bag.contains(decl.key)).collect::<Vec<_>>() {
        bag.warn("OPT-008", decl.key, format!("'{}' has no effect because 'lookup.cache' is '{mode}'.", decl.key));
    }
}

fn not_zero(bag: &mut OptionBag, key: &str, value: Option<impl Into<u128>>) {
    if value.is_some_and(|value| value.into() == 0) {
        bag.error("OPT-007", key, format!("'{key}' must be > 0, but is 0."));
    }
}

/// What the older spellings say.
struct Old {
    is_given: bool,
    max_rows: Option<u64>,
    ttl: Option<Duration>,
}

fn pull_old(bag: &mut OptionBag) -> Old {
    let rows = bag.integer(&OLD_MAX_ROWS);
    let ttl = bag.string(&OLD_TTL);
    for (old, new) in [(OLD_MAX_ROWS.key, MAX_ROWS.key), (OLD_TTL.key, AFTER_WRITE.key)] {
        if bag.contains(old) {
            bag.warn("OPT-009", old, format!("'{old}' is deprecated, use '{new}'."));
        }
    }
    let max_rows = rows.and_then(|rows| u64::try_from(rows).ok()).filter(|rows| *rows > 0);
    let text = ttl.as_deref().map(str::trim).filter(|text| *text != "-1");
    let ttl = text.and_then(|text| match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => parse_duration(text).map(|(ttl, _)| ttl),
    });
    if let (Some(text), None) = (text, ttl) {
        bag.error("OPT-003", OLD_TTL.key, format!("Invalid value for option '{}': '{text}' is neither seconds nor a duration.", OLD_TTL.key));
    }
    not_zero(bag, OLD_TTL.key, ttl.map(|ttl| ttl.as_nanos()).filter(|_| max_rows.is_some()));
    if max_rows.is_some() != text.is_some() {
        let given = if max_rows.is_some() { OLD_MAX_ROWS.key } else { OLD_TTL.key };
        let what = format!("Either all or none of the following options should be provided: '{}', '{}'.", OLD_MAX_ROWS.key, OLD_TTL.key);
        bag.error("OPT-005", given, what);
    }
    Old { is_given: max_rows.is_some() || ttl.is_some(), max_rows, ttl }
}

fn pull_partial(bag: &mut OptionBag, old: &Old) -> Option<Partial> {
    let max_rows = bag.integer(&MAX_ROWS).and_then(|rows| u64::try_from(rows).ok());
    let max_bytes = bag.bytes(&MAX_BYTES);
    let (after_write, after_access) = (bag.duration(&AFTER_WRITE), bag.duration(&AFTER_ACCESS));
    let missing = bag.boolean(&MISSING);
    not_zero(bag, MAX_BYTES.key, max_bytes);
    not_zero(bag, AFTER_WRITE.key, after_write.map(|life| life.as_nanos()));
    not_zero(bag, AFTER_ACCESS.key, after_access.map(|life| life.as_nanos()));
    Some(Partial { max_rows: max_rows.or(old.max_rows), max_bytes, after_write: after_write.or(old.ttl), after_access, missing: missing? })
}

fn pull_full(bag: &mut OptionBag, ability: Ability) -> Option<Full> {
    let strategy = bag.choice(&STRATEGY);
    let (interval, schedule) = (bag.duration(&INTERVAL), bag.choice(&SCHEDULE));
    let (time, days) = (bag.string(&ISO_TIME), bag.integer(&DAYS));
    let max_staleness = bag.duration(&STALENESS);
    // Without a pause a table would be loaded for ever.
    not_zero(bag, INTERVAL.key, interval.map(|interval| interval.as_nanos()));
    not_zero(bag, STALENESS.key, max_staleness.map(|age| age.as_nanos()));
    let reload = match (strategy?, interval.or(ability.watch), schedule?) {
        ("TIMED", ..) => {
            let days = u32::try_from(days?).ok()?;
            let reload = time.as_deref().and_then(|time| Reload::daily(time, days));
            match (&reload, time) {
                (None, Some(time)) => {
                    let what =
                        format!("Invalid value for option '{}': '{time}' is no time. Expected '10:15', '10:15Z' or '10:15+07:00'.", ISO_TIME.key);
                    bag.error("OPT-003", ISO_TIME.key, what);
                }
                (None, None) => {
                    let what = format!("'{}' is required with the reload strategy TIMED but missing.", ISO_TIME.key);
                    bag.error("OPT-005", STRATEGY.key, what);
                }
                _ => {}
            }
            reload?
        }
        (_, Some(interval), "FIXED_RATE") => Reload::AfterStart(interval),
        (_, Some(interval), _) => Reload::AfterEnd(interval),
        // Whoever wants a FULL cache is told that the interval is missing.
        (_, None, _) => Reload::Never,
    };
    Some(Full { reload, max_staleness })
}

fn pull_preload(bag: &mut OptionBag, cache: Option<&Cache>, ability: Ability) -> Option<Option<Preload>> {
    let said = [PRELOAD.key].iter().chain(PRELOAD.deprecated).copied().find(|key| bag.contains(key));
    let key = said.unwrap_or(PRELOAD.key);
    let wanted = if said.is_some() { Some(bag.boolean(&PRELOAD)?) } else { None };
    let timeout = bag.duration(&PRELOAD_TIMEOUT);
    let max_rows = bag.integer(&PRELOAD_ROWS).and_then(|rows| u64::try_from(rows).ok());
    let max_bytes = bag.bytes(&PRELOAD_BYTES);
    let parallelism = bag.integer(&PRELOAD_PARALLELISM);
    not_zero(bag, PRELOAD_TIMEOUT.key, timeout.map(|timeout| timeout.as_nanos()));
    not_zero(bag, PRELOAD_BYTES.key, max_bytes);
    let loads = match (cache?, wanted) {
        (Cache::Full(_), Some(false)) => {
            bag.error("OPT-006", key, "'lookup.preload'='false' and 'lookup.cache'='FULL' shouldn't be set together: a FULL cache is loaded first.");
            true
        }
        (Cache::Full(_), _) => true,
        (Cache::None, Some(true)) => {
            bag.error("OPT-005", key, "'lookup.preload'='true' needs a cache: set 'lookup.cache' to 'FULL' or 'PARTIAL'.");
            false
        }
        (Cache::Partial(_), Some(true)) if !ability.can_load => {
            bag.error("OPT-005", key, "'lookup.preload'='true' needs a table that can be read as a whole, which this one cannot.");
            false
        }
        (_, wanted) => wanted == Some(true),
    };
    if !loads && wanted != Some(true) {
        let useless = [PRELOAD_TIMEOUT, PRELOAD_ROWS, PRELOAD_BYTES, PRELOAD_PARALLELISM];
        for decl in useless.iter().filter(|decl| bag.contains(decl.key)).collect::<Vec<_>>() {
            bag.warn("OPT-008", decl.key, format!("'{}' has no effect because '{}' is 'false'.", decl.key, PRELOAD.key));
        }
    }
    let preload = Preload { timeout: timeout?, max_rows, max_bytes, parallelism: usize::try_from(parallelism?).ok()? };
    Some(loads.then_some(preload))
}

#[cfg(test)]
mod tests {
    use super::super::declared::LOOKUP_OPTIONS;
    use super::*;

    const ABLE: Ability = Ability { most_keys: 1_000, can_load: true, watch: None };

    fn pulled(entries: &[(&str, &str)], ability: Ability) -> Result<(LookupOptions, String), String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in entries {
            bag.insert(*key, *value, None);
        }
        let options = LookupOptions::pull(&mut bag, ability);
        let warnings = bag.finish("redis", &LOOKUP_OPTIONS.iter().collect::<Vec<_>>(), &[]).map_err(|problems| problems.to_string())?;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        Ok((options.expect("nothing is wrong"), warnings.join("\n")))
    }

    fn refused(entries: &[(&str, &str)]) -> String {
        pulled(entries, ABLE).expect_err("refused")
    }

    #[test]
    fn without_options_every_key_is_asked_for_and_nothing_is_kept() {
        let (options, warnings) = pulled(&[], ABLE).expect("fine");
        let expected = LookupOptions {
            cache: Cache::None,
            preload: None,
            max_retries: 3,
            is_async: true,
            hash: false,
            batch: 1,
            linger: Duration::from_millis(10),
            indexes: Vec::new(),
        };
        assert_eq!((options, warnings.as_str()), (expected, ""));
    }

    #[test]
    fn a_partial_cache_needs_a_bound() {
        let told = refused(&[("lookup.cache", "PARTIAL")]);
        assert!(
            told.contains("'lookup.partial-cache.max-rows', 'lookup.partial-cache.expire-after-write' or 'lookup.partial-cache.expire-after-access'"),
            "{told}"
        );
        let (options, _) = pulled(&[("lookup.cache", "partial"), ("lookup.partial-cache.max-bytes", "1 mb")], ABLE).expect("fine");
        assert_eq!(options.cache, Cache::Partial(Partial { max_bytes: Some(1 << 20), missing: true, ..Partial::default() }));
    }

    #[test]
    fn old_spellings_make_a_partial_cache_with_seconds_and_come_together() {
        let (options, warnings) = pulled(&[("lookup.cache.max-rows", "10"), ("lookup.cache.ttl", "7")], ABLE).expect("fine");
        let partial = Partial { max_rows: Some(10), after_write: Some(Duration::from_secs(7)), missing: true, ..Partial::default() };
        assert_eq!(options.cache, Cache::Partial(partial));
        assert!(warnings.contains("[OPT-009]") && warnings.contains("use 'lookup.partial-cache.expire-after-write'"), "{warnings}");
        assert!(refused(&[("lookup.cache.ttl", "7")]).contains("Either all or none"), "alone");
        assert!(refused(&[("lookup.cache.max-rows", "10"), ("lookup.cache.ttl", "soon")]).contains("neither seconds nor a duration"));
        let (none, _) = pulled(&[("lookup.cache.max-rows", "-1"), ("lookup.cache.ttl", "-1")], ABLE).expect("fine");
        assert_eq!(none.cache, Cache::None);
    }

    #[test]
    fn a_full_cache_is_loaded_first_and_needs_a_table_that_can_be() {
        let every_minute = [("lookup.cache", "FULL"), ("lookup.full-cache.periodic-reload.interval", "1 min")];
        let (options, _) = pulled(&every_minute, ABLE).expect("fine");
        let minute = Duration::from_secs(60);
        assert_eq!(options.cache, Cache::Full(Full { reload: Reload::AfterEnd(minute), max_staleness: None }));
        assert_eq!(options.preload.map(|preload| preload.parallelism), Some(4));
        let unable = pulled(&every_minute, Ability { can_load: false, ..ABLE }).expect_err("cannot be loaded");
        assert!(unable.contains("which this one cannot"), "{unable}");
        assert!(refused(&[("lookup.cache", "FULL")]).contains("periodic-reload.interval' is required"));
        assert!(refused(&[every_minute[0], every_minute[1], ("lookup.async", "true")]).contains("shouldn't be set together"));
        let timed = [("lookup.cache", "FULL"), ("lookup.full-cache.reload-strategy", "timed")];
        assert!(refused(&timed).contains("timed-reload.iso-time' is required"));
        assert!(refused(&[timed[0], timed[1], ("lookup.full-cache.timed-reload.iso-time", "noon")]).contains("'noon' is no time"));
    }

    #[test]
    fn a_dictionary_is_a_full_cache_that_looks_for_new_versions() {
        let dictionary = Ability::dictionary(Duration::from_secs(7));
        for entries in [&[][..], &[("lookup.cache", "FULL")]] {
            let (options, _) = pulled(entries, dictionary).expect("fine");
            let seven = Reload::AfterEnd(Duration::from_secs(7));
            assert_eq!(options.cache, Cache::Full(Full { reload: seven, max_staleness: None }));
            assert!(options.preload.is_some());
        }
        let (options, _) = pulled(&[("lookup.full-cache.periodic-reload.interval", "1 min")], dictionary).expect("fine");
        assert!(matches!(options.cache, Cache::Full(Full { reload: Reload::AfterEnd(every), .. }) if every == Duration::from_secs(60)));
        for mode in ["NONE", "PARTIAL"] {
            let told = pulled(&[("lookup.cache", mode)], dictionary).expect_err("refused");
            assert!(told.contains(&format!("'lookup.cache'='{mode}' needs a table that gives rows by key")), "{told}");
        }
        let (_, warnings) = pulled(&[("lookup.async.batch.size", "100")], dictionary).expect("fine");
        assert!(warnings.contains("'lookup.async.batch.size' has no effect because 'lookup.cache' is 'FULL'"), "{warnings}");
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_what_does_nothing_warns() {
        let sync = refused(&[("lookup.async", "false"), ("lookup.async.batch.size", "8")]);
        assert!(sync.contains("'lookup.async.batch.size' = '8' needs 'lookup.async' = 'true'"), "{sync}");
        assert!(refused(&[("lookup.async.batch.size", "1001")]).contains("must be <= 1000, but is 1001"));
        assert!(refused(&[("lookup.async.batch.size", "8"), ("lookup.async.batch.linger", "0 s")]).contains("must be > 0"));
        assert!(refused(&[("lookup.preload", "true")]).contains("needs a cache"));
        let (_, warnings) = pulled(&[("lookup.async.batch.linger", "5 ms"), ("lookup.partial-cache.max-rows", "5")], ABLE).expect("fine");
        assert!(warnings.contains("'lookup.async.batch.linger' has no effect"), "{warnings}");
        assert!(warnings.contains("'lookup.partial-cache.max-rows' has no effect because 'lookup.cache' is 'NONE'"), "{warnings}");
    }

    #[test]
    fn nothing_that_bounds_is_zero() {
        let partial = [("lookup.cache", "PARTIAL"), ("lookup.partial-cache.max-rows", "5")];
        let full = [("lookup.cache", "FULL"), ("lookup.full-cache.periodic-reload.interval", "1 min")];
        let of_partial = ["lookup.partial-cache.max-bytes", "lookup.partial-cache.expire-after-write", "lookup.partial-cache.expire-after-access"];
        let of_full =
            ["lookup.full-cache.periodic-reload.interval", "lookup.full-cache.max-staleness", "lookup.preload.timeout", "lookup.preload.max-bytes"];
        for (key, others) in of_partial.into_iter().map(|key| (key, partial)).chain(of_full.into_iter().map(|key| (key, full))) {
            let told = refused(&[others.as_slice(), &[(key, "0")]].concat());
            assert!(told.contains("[OPT-007]") && told.contains(&format!("'{key}' must be > 0, but is 0.")), "{told}");
        }
        assert!(refused(&[("lookup.cache.max-rows", "10"), ("lookup.cache.ttl", "0")]).contains("'lookup.cache.ttl' must be > 0, but is 0."));
    }

    #[test]
    fn options_of_another_cache_and_of_a_load_that_is_not_warn() {
        let full = [("lookup.cache", "FULL"), ("lookup.full-cache.periodic-reload.interval", "1 min")];
        let old = [("lookup.cache.max-rows", "10"), ("lookup.cache.ttl", "7")];
        let requests = [("lookup.max-retries", "5"), ("lookup.async.batch.size", "50"), ("lookup.async.batch.linger", "5 ms")];
        let load = [
            ("lookup.preload.timeout", "1 s"),
            ("lookup.preload.max-rows", "1"),
            ("lookup.preload.max-bytes", "1 mb"),
            ("lookup.preload.parallelism", "2"),
        ];
        for (others, useless, why) in [
            (full.as_slice(), old.as_slice(), "'lookup.cache' is 'FULL'"),
            ([("lookup.cache", "NONE")].as_slice(), old.as_slice(), "'lookup.cache' is 'NONE'"),
            (full.as_slice(), requests.as_slice(), "'lookup.cache' is 'FULL'"),
            (old.as_slice(), load.as_slice(), "'lookup.preload' is 'false'"),
        ] {
            let (_, warnings) = pulled(&[others, useless].concat(), ABLE).expect("fine");
            for (key, _) in useless {
                let told = format!("'{key}' has no effect because {why}.");
                assert_eq!(warnings.matches(&told).count(), 1, "{told}\n{warnings}");
            }
        }
        let (_, warnings) = pulled(&[full.as_slice(), &load].concat(), ABLE).expect("fine");
        assert_eq!(warnings, "", "a FULL cache is loaded");
    }

    #[test]
    fn the_older_name_of_a_preload_is_taken() {
        let old = [("lookup.cache.max-rows", "10"), ("lookup.cache.ttl", "7"), ("lookup.cache.load-all", "true")];
        let (options, warnings) = pulled(&old, ABLE).expect("fine");
        assert!(options.preload.is_some());
        assert!(warnings.contains("'lookup.cache.load-all' is deprecated, use 'lookup.preload'."), "{warnings}");
        assert!(refused(&old[2..]).contains("needs a cache"));
        assert!(pulled(&[("lookup.cache.load-all", "false")], ABLE).expect("fine").0.preload.is_none());
    }
}
