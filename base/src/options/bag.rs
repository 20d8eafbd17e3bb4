//! The bag of options that a user wrote, from which a connector pulls its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::decl::{OptionDecl, ValueType};
use super::problem::{Position, Problem, Problems};
use super::suggest::{closest, did_you_mean, normalise, remedy};
use super::values::{parse_boolean, parse_duration, parse_memory_size, split_list};
use crate::secret::{self, MASK};

#[derive(Debug, Clone)]
struct Entry {
    value: String,
    position: Option<Position>,
}

/// Options by key, with what has been pulled and what was found wrong. Pulling never fails: a problem is kept and the value is `None`.
#[derive(Clone)]
pub struct OptionBag {
    object: String,
    entries: BTreeMap<String, Entry>,
    taken: BTreeSet<String>,
    problems: Vec<Problem>,
    scope: Scope,
    /// Keys that were declared within scopes, in full.
    scoped: Vec<String>,
}

/// How keys of declarations become keys of the bag.
#[derive(Clone, Default)]
struct Scope {
    prefix: String,
    name: Option<String>,
}

impl Scope {
    fn full(&self, key: &str) -> String {
        match &self.name {
            Some(name) => format!("{}{}", self.prefix, key.replacen('#', name, 1)),
            None => format!("{}{key}", self.prefix),
        }
    }
}

impl OptionBag {
    /// An empty bag of the object named so in messages: `Table 'c.d.t'`, `Catalog 'lake'`.
    #[must_use]
    pub fn new(object: impl Into<String>) -> Self {
        Self::with_entries(object.into(), BTreeMap::new())
    }

    fn with_entries(object: String, entries: BTreeMap<String, Entry>) -> Self {
        Self { object, entries, taken: BTreeSet::new(), problems: Vec::new(), scope: Scope::default(), scoped: Vec::new() }
    }

    /// What messages call the object.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Puts a value, replacing an older one of the same key (a hint over WITH).
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>, position: Option<Position>) {
        self.entries.insert(key.into(), Entry { value: value.into(), position });
    }

    /// A copy of what was written, with nothing pulled and no problems.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::with_entries(self.object.clone(), self.entries.clone())
    }

    /// Pulls options whose keys carry `prefix` (`value.json.`): within `pull`, every key given to this bag is one without the prefix.
    ///
    /// `declared` are the options that `pull` may take; [`Self::finish`] knows them with the prefix and suggests them.
    pub fn scoped<T>(&mut self, prefix: &str, declared: &[OptionDecl], pull: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Scope { prefix: self.scope.full(prefix), name: None }, declared, pull)
    }

    /// Pulls options of one column: within `pull`, a `#` in a key (`fields.#.kind`) stands for `name`.
    ///
    /// `declared` as in [`Self::scoped`].
    pub fn named<T>(&mut self, name: &str, declared: &[OptionDecl], pull: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Scope { prefix: self.scope.prefix.clone(), name: Some(name.to_owned()) }, declared, pull)
    }

    fn within<T>(&mut self, scope: Scope, declared: &[OptionDecl], pull: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.scope, scope);
        let known: Vec<String> = declared.iter().map(|decl| self.scope.full(decl.key)).collect();
        self.scoped.extend(known);
        let result = pull(self);
        self.scope = outer;
        result
    }

    /// The key as the user writes it: with the prefix and the name of the scope.
    #[must_use]
    pub fn full_key(&self, key: &str) -> String {
        self.scope.full(key)
    }

    /// Keys and values as written, secrets included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_str()))
    }

    /// Whether the user gave `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of `key` as written, without pulling it.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&str> {
        self.entry(key).map(|entry| entry.value.as_str())
    }

    /// Where `key` was written.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<Position> {
        self.entry(key).and_then(|entry| entry.position)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(&self.scope.full(key))
    }

    /// Notes a problem.
    pub fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes an error of `code` about `key`, at the key's place.
    pub fn error(&mut self, code: &'static str, key: &str, what: impl Into<String>) {
        let position = self.position(key);
        self.problems.push(Problem::new(code, self.object.clone(), what).at(position));
    }

    /// Notes a warning of `code` about `key`, at the key's place.
    pub fn warn(&mut self, code: &'static str, key: &str, what: impl Into<String>) {
        let position = self.position(key);
        self.problems.push(Problem::warning(code, self.object.clone(), what).at(position));
    }

    /// Pulls a text; the default if none was given. A missing required option is noted.
    pub fn string(&mut self, decl: &OptionDecl) -> Option<String> {
        match self.take(decl) {
            Some((_, value)) => Some(value),
            None => decl.default.map(str::to_owned),
        }
    }

    /// Pulls a Boolean.
    pub fn boolean(&mut self, decl: &OptionDecl) -> Option<bool> {
        self.parse(decl, parse_boolean, |text| format!("'{text}' is not a boolean. Expected 'true' or 'false'."))
    }

    /// Pulls a whole number within the declared bounds.
    pub fn integer(&mut self, decl: &OptionDecl) -> Option<i64> {
        let (min, max) = match decl.ty {
            ValueType::Integer { min, max } => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let value = self.parse(decl, |text| text.trim().parse::<i128>().ok(), |text| format!("'{text}' is not a whole number."))?;
        if let Some(fits) = i64::try_from(value).ok().filter(|value| (min..=max).contains(value)) {
            return Some(fits);
        }
        let bound = if value < i128::from(min) { format!(">= {min}") } else { format!("<= {max}") };
        let key = self.given(decl).unwrap_or(decl.key);
        self.error("OPT-007", key, format!("'{}' must be {bound}, but is {value}.", self.scope.full(key)));
        None
    }

    /// Pulls a number.
    pub fn double(&mut self, decl: &OptionDecl) -> Option<f64> {
        self.parse(decl, |text| text.trim().parse::<f64>().ok().filter(|value| value.is_finite()), |text| format!("'{text}' is not a number."))
    }

    /// Pulls a duration; one without a unit counts milliseconds and warns.
    pub fn duration(&mut self, decl: &OptionDecl) -> Option<Duration> {
        let (duration, unit_less) = self.parse(decl, parse_duration, |text| {
            format!("'{text}' is not a duration. Expected '<number> <unit>', unit one of d, h, min, s, ms, us, ns. Example: '10 ms'.")
        })?;
        if unit_less && !duration.is_zero() {
            let key = self.given(decl).unwrap_or(decl.key);
            let full = self.scope.full(key);
            self.warn("OPT-008", key, format!("'{full}' has no unit and is taken as {} ms. Write the unit, as in '10 s'.", duration.as_millis()));
        }
        Some(duration)
    }

    /// Pulls a size in bytes.
    pub fn bytes(&mut self, decl: &OptionDecl) -> Option<u64> {
        self.parse(decl, parse_memory_size, |text| {
            format!("'{text}' is not a size. Expected '<number> <unit>', unit one of b, kb, mb, gb, tb. Example: '64 mb'.")
        })
    }

    /// Pulls one of the declared names, as declared.
    pub fn choice(&mut self, decl: &OptionDecl) -> Option<&'static str> {
        let ValueType::Enum(names) = decl.ty else { return None };
        let (key, value) = match self.take(decl) {
            Some(found) => found,
            None => (decl.key, decl.default?.to_owned()),
        };
        let wanted = normalise(&value);
        if let Some(name) = names.iter().find(|name| normalise(name) == wanted) {
            return Some(name);
        }
        let near = did_you_mean(&closest(&value, names.iter().copied())).map(|text| format!(" {text}")).unwrap_or_default();
        let (full, value) = (self.scope.full(key), shown(key, &value, decl));
        self.error("OPT-004", key, format!("Invalid value for option '{full}': '{value}'. Expected one of: [{}].{near}", names.join(", ")));
        None
    }

    /// Pulls a list whose elements stand between `;`; quotes around an element are taken off.
    pub fn list(&mut self, decl: &OptionDecl) -> Vec<String> {
        let Some((key, value)) = self.take(decl) else {
            return decl.default.map(split_list).unwrap_or_default();
        };
        let elements = split_list(&value);
        if matches!(elements.as_slice(), [only] if only.contains(',')) {
            self.warn("OPT-008", key, format!("'{}' has one element with a ',' in it. Elements are separated by ';'.", self.scope.full(key)));
        }
        elements
    }

    /// Pulls every option whose key begins with `prefix`, the prefix taken off.
    pub fn prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let prefix = self.scope.full(prefix);
        let found: Vec<(String, String)> = self
            .entries
            .iter()
            .filter(|(key, _)| key.len() > prefix.len() && key.starts_with(&prefix))
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect();
        let mut values = BTreeMap::new();
        for (key, value) in found {
            values.insert(key[prefix.len()..].to_owned(), value);
            self.taken.insert(key);
        }
        values
    }

    /// Ends the pulling: warnings if all is well, else every problem and every left-over key.
    ///
    /// `owner` is the connector or catalog type in messages; `known` its declarations, without those of scopes; `elsewhere` the declarations
    /// of other owners by name, for the `belongs to` note.
    ///
    /// # Errors
    /// All problems of the bag, sorted by position.
    pub fn finish(mut self, owner: &str, known: &[&OptionDecl], elsewhere: &[(&str, &[OptionDecl])]) -> Result<Vec<Problem>, Problems> {
        let mut names: Vec<&str> = known.iter().map(|decl| decl.key).chain(self.scoped.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let left = self.entries.keys().filter(|key| !self.taken.contains(*key));
        let unsupported: Vec<Problem> = left
            .map(|key| {
                let what = format!("Unsupported options found for '{owner}': '{key}'.");
                let position = self.entries.get(key).and_then(|entry| entry.position);
                remedy(Problem::new("OPT-001", self.object.clone(), what).at(position), owner, key, &names, elsewhere)
            })
            .collect();
        self.problems.extend(unsupported);
        let (warnings, errors): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(|problem| problem.warning);
        if errors.is_empty() { Ok(warnings) } else { Err(Problems::new(errors)) }
    }

    /// The spelling of `decl` that the user gave: its key, else an older one.
    fn given(&self, decl: &OptionDecl) -> Option<&'static str> {
        std::iter::once(decl.key).chain(decl.deprecated.iter().copied()).find(|key| self.contains(key))
    }

    fn take(&mut self, decl: &OptionDecl) -> Option<(&'static str, String)> {
        let Some(key) = self.given(decl) else {
            if decl.required {
                self.missing(decl);
            }
            return None;
        };
        for old in decl.deprecated.iter().copied().filter(|old| self.contains(old)).collect::<Vec<_>>() {
            let (full, new) = (self.scope.full(old), self.scope.full(decl.key));
            if old == key {
                self.warn("OPT-009", old, format!("'{full}' is deprecated, use '{new}'."));
            } else {
                self.warn("OPT-008", old, format!("'{full}' has no effect because '{}' is given too.", self.scope.full(key)));
            }
            self.taken.insert(full);
        }
        self.taken.insert(self.scope.full(key));
        self.peek(key).map(|value| (key, value.to_owned()))
    }

    fn missing(&mut self, decl: &OptionDecl) {
        let what = format!("One or more required options are missing: '{}'.", self.scope.full(decl.key));
        let mut problem = Problem::new("OPT-002", self.object.clone(), what);
        if let Some((prefix, rest)) = decl.key.split_once('.')
            && self.contains(rest)
        {
            problem = problem.hint(format!("'{rest}' is set; this option needs the prefix '{prefix}.'."));
        }
        self.problems.push(problem);
    }

    fn parse<T>(&mut self, decl: &OptionDecl, parse: impl Fn(&str) -> Option<T>, expected: impl Fn(&str) -> String) -> Option<T> {
        let Some((key, value)) = self.take(decl) else {
            return decl.default.and_then(parse);
        };
        let parsed = parse(&value);
        if parsed.is_none() {
            let what = format!("Invalid value for option '{}': {}", self.scope.full(key), expected(&shown(key, &value, decl)));
            self.error("OPT-003", key, what);
        }
        parsed
    }
}

/// Secrets are masked.
impl std::fmt::Debug for OptionBag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.iter().map(|(key, value)| (key, secret::shown(key, value)));
        write!(f, "{} ", self.object)?;
        f.debug_map().entries(entries).finish()
    }
}

fn shown(key: &str, value: &str, decl: &OptionDecl) -> String {
    if decl.secret { MASK.to_owned() } else { secret::shown(key, value).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: OptionDecl = OptionDecl::new("topic", ValueType::List, "topics");
    const SERVERS: OptionDecl = OptionDecl::new("properties.bootstrap.servers", ValueType::String, "brokers").required();
    const PROPERTIES: OptionDecl = OptionDecl::new("properties.*", ValueType::String, "client");
    const MODE: OptionDecl =
        OptionDecl::new("scan.startup.mode", ValueType::Enum(&["earliest-offset", "latest-offset"]), "start").default("earliest-offset");
    const INTERVAL: OptionDecl = OptionDecl::new("scan.interval", ValueType::Duration, "interval").default("5 min");
    const COUNT: OptionDecl = OptionDecl::new("count", ValueType::Integer { min: 1, max: 10 }, "count");
    const COMPACT: &[OptionDecl] = &[OptionDecl::new("auto-compact", ValueType::Boolean, "compact")];
    const LATER: OptionDecl = OptionDecl::new("auto-compaction", ValueType::Boolean, "merge").default("false");

    fn bag(entries: &[(&str, &str)]) -> OptionBag {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (index, (key, value)) in entries.iter().enumerate() {
            bag.insert(*key, *value, Some(Position { line: index as u64 + 1, column: 3 }));
        }
        bag
    }

    #[test]
    fn defaults_apply_and_nothing_is_left() {
        let mut bag = bag(&[("topic", "a;'b'"), ("properties.bootstrap.servers", "x:1"), ("properties.client.id", "me")]);
        assert_eq!(bag.list(&TOPIC), ["a", "b"]);
        assert_eq!(bag.string(&SERVERS).as_deref(), Some("x:1"));
        assert_eq!(bag.choice(&MODE), Some("earliest-offset"));
        assert_eq!(bag.duration(&INTERVAL), Some(Duration::from_secs(300)));
        assert_eq!(bag.prefixed("properties.").len(), 2);
        assert_eq!(bag.finish("kafka", &[&TOPIC, &SERVERS, &PROPERTIES, &MODE, &INTERVAL], &[]), Ok(vec![]));
    }

    #[test]
    fn every_problem_is_reported_at_its_place() {
        let mut bag = bag(&[
            ("scan.startup.mode", "earliest"),
            ("bootstrap.servers", "x:1"),
            ("scan.interval", "5 mins ago"),
            ("count", "0"),
            ("topc", "t"),
            ("auto-compact", "true"),
        ]);
        bag.string(&SERVERS);
        bag.choice(&MODE);
        bag.duration(&INTERVAL);
        bag.integer(&COUNT);
        bag.list(&TOPIC);
        bag.boolean(&LATER);
        let problems =
            bag.finish("fs", &[&TOPIC, &SERVERS, &PROPERTIES, &MODE, &INTERVAL, &COUNT, &LATER], &[("iceberg", COMPACT)]).expect_err("problems");
        let text = problems.to_string();
        for part in [
            "[OPT-004] Table 'c.d.t': Invalid value for option 'scan.startup.mode': 'earliest'. Expected one of: [earliest-offset, latest-offset]. Did you mean 'earliest-offset'?\n  at line 1, column 3",
            "[OPT-001] Table 'c.d.t': Unsupported options found for 'fs': 'bootstrap.servers'.\n  Did you mean 'properties.bootstrap.servers'?",
            "[OPT-003] Table 'c.d.t': Invalid value for option 'scan.interval': '5 mins ago' is not a duration.",
            "[OPT-007] Table 'c.d.t': 'count' must be >= 1, but is 0.",
            "Did you mean 'topic'?\n  at line 5",
            "Did you mean 'auto-compaction'? ('auto-compact' belongs to connector 'iceberg'.)",
            "[OPT-002] Table 'c.d.t': One or more required options are missing: 'properties.bootstrap.servers'.\n  Hint: 'bootstrap.servers' is set",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
        let lines: Vec<_> = problems.as_slice().iter().filter_map(|problem| problem.position).map(|position| position.line).collect();
        assert!(lines.is_sorted());
    }

    #[test]
    fn secrets_are_masked_in_debug_output_and_messages() {
        let mut bag = bag(&[("token", "hunter2")]);
        let text = format!("{bag:?}");
        assert!(!text.contains("hunter2") && text.contains(MASK), "{text}");
        bag.boolean(&OptionDecl::new("token", ValueType::Boolean, "x").secret());
        let text = bag.finish("c", &[], &[]).expect_err("not a boolean").to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn format_options_are_pulled_under_their_prefix_and_suggested_with_it() {
        const IGNORE: OptionDecl = OptionDecl::new("ignore-parse-errors", ValueType::Boolean, "skip").default("false");
        let mut bag = bag(&[("value.json.ignore-parse-errors", "yes"), ("ignore-parse-errors", "true"), ("json.ignore-parse-errors", "true")]);
        bag.scoped("value.json.", &[IGNORE], |bag| bag.boolean(&IGNORE));
        let text = bag.finish("kafka", &[&TOPIC], &[]).expect_err("problems").to_string();
        let meant = "\n  Did you mean 'value.json.ignore-parse-errors'? (options of format 'json' selected by 'value.format' carry that prefix.)";
        for part in [
            "[OPT-003] Table 'c.d.t': Invalid value for option 'value.json.ignore-parse-errors': 'yes' is not a boolean.",
            &format!("Unsupported options found for 'kafka': 'ignore-parse-errors'.{meant}"),
            &format!("Unsupported options found for 'kafka': 'json.ignore-parse-errors'.{meant}"),
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
    }

    #[test]
    fn options_of_a_column_are_pulled_by_its_name() {
        const LENGTH: OptionDecl = OptionDecl::new("fields.#.length", ValueType::Integer { min: 1, max: 9 }, "length");
        let mut bag = bag(&[("fields.a.b.length", "10"), ("fields.a.length", "3"), ("fields.a.b.lenght", "3")]);
        assert_eq!(bag.named("a", &[LENGTH], |bag| bag.integer(&LENGTH)), Some(3));
        assert_eq!(bag.named("a.b", &[LENGTH], |bag| bag.integer(&LENGTH)), None);
        let text = bag.finish("datagen", &[&LENGTH], &[]).expect_err("problems").to_string();
        assert!(text.contains("'fields.a.b.length' must be <= 9, but is 10."), "{text}");
        assert!(text.contains("'fields.a.b.lenght'.\n  Did you mean 'fields.a.b.length'"), "{text}");
    }

    #[test]
    fn an_old_spelling_warns_and_gives_way_to_the_new_one() {
        const NEW: OptionDecl = OptionDecl::new("count", ValueType::Integer { min: 1, max: 10 }, "count").deprecated(&["cnt", "number"]);
        let mut old = bag(&[("cnt", "99999999999999999999")]);
        assert_eq!(old.integer(&NEW), None);
        assert!(old.finish("c", &[&NEW], &[]).expect_err("too large").to_string().contains("'cnt' must be <= 10, but is 99999999999999999999."));
        let mut both = bag(&[("count", "3"), ("number", "4")]);
        assert_eq!(both.integer(&NEW), Some(3));
        let warnings = both.finish("c", &[&NEW], &[]).expect("fine");
        assert_eq!(warnings.len(), 1);
        assert_eq!(
            warnings[0].to_string(),
            "[OPT-008] warning: Table 'c.d.t': 'number' has no effect because 'count' is given too.\n  at line 2, column 3"
        );
    }
}
