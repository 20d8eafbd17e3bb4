//! The bag of options that a user wrote, from which a connector pulls its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::decl::{OptionDecl, ValueType};
use super::problem::{Position, Problem, Problems};
use super::suggest::{closest, did_you_mean, normalise};
use super::values::{parse_boolean, parse_duration, parse_memory_size};
use crate::secret::{MASK, is_sensitive_key};

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
}

impl OptionBag {
    /// An empty bag of the object named so in messages: `Table 'c.d.t'`, `Catalog 'lake'`.
    #[must_use]
    pub fn new(object: impl Into<String>) -> Self {
        Self { object: object.into(), entries: BTreeMap::new(), taken: BTreeSet::new(), problems: Vec::new() }
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
        Self { object: self.object.clone(), entries: self.entries.clone(), taken: BTreeSet::new(), problems: Vec::new() }
    }

    /// Keys and values as written, secrets included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_str()))
    }

    /// Whether the user gave `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of `key` as written, without pulling it.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// Where `key` was written.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<Position> {
        self.entries.get(key).and_then(|entry| entry.position)
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
        self.parse(decl, |text| parse_boolean(text), |text| format!("'{text}' is not a boolean. Expected 'true' or 'false'."))
    }

    /// Pulls a whole number within the declared bounds.
    pub fn integer(&mut self, decl: &OptionDecl) -> Option<i64> {
        let (min, max) = match decl.ty {
            ValueType::Integer { min, max } => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let value = self.parse(decl, |text| text.trim().parse::<i64>().ok(), |text| format!("'{text}' is not a whole number."))?;
        if (min..=max).contains(&value) {
            return Some(value);
        }
        let bound = if value < min { format!(">= {min}") } else { format!("<= {max}") };
        self.error("OPT-007", decl.key, format!("'{}' must be {bound}, but is {value}.", decl.key));
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
            self.warn(
                "OPT-008",
                decl.key,
                format!("'{}' has no unit and is taken as {} ms. Write the unit, as in '10 s'.", decl.key, duration.as_millis()),
            );
        }
        Some(duration)
    }

    /// Pulls a size in bytes.
    pub fn bytes(&mut self, decl: &OptionDecl) -> Option<u64> {
        self.parse(
            decl,
            |text| parse_memory_size(text),
            |text| format!("'{text}' is not a size. Expected '<number> <unit>', unit one of b, kb, mb, gb, tb. Example: '64 mb'."),
        )
    }

    /// Pulls one of the declared names, as declared.
    pub fn choice(&mut self, decl: &OptionDecl) -> Option<&'static str> {
        let ValueType::Enum(names) = decl.ty else { return None };
        let (key, value) = match self.take(decl) {
            Some(found) => found,
            None => (decl.key.to_owned(), decl.default?.to_owned()),
        };
        let wanted = normalise(&value);
        if let Some(name) = names.iter().find(|name| normalise(name) == wanted) {
            return Some(name);
        }
        let near = did_you_mean(&closest(&value, names.iter().copied())).map(|text| format!(" {text}")).unwrap_or_default();
        let what = format!("Invalid value for option '{key}': '{}'. Expected one of: [{}].{near}", shown(&key, &value, decl), names.join(", "));
        self.error("OPT-004", &key, what);
        None
    }

    /// Pulls a list whose elements stand between `;`; quotes around an element are taken off.
    pub fn list(&mut self, decl: &OptionDecl) -> Vec<String> {
        let Some((key, value)) = self.take(decl) else {
            return decl.default.map(|text| split_list(text)).unwrap_or_default();
        };
        let elements = split_list(&value);
        if elements.len() == 1 && elements[0].contains(',') {
            self.warn("OPT-008", &key, format!("'{key}' has one element with a ',' in it. Elements are separated by ';'."));
        }
        elements
    }

    /// Pulls every option whose key begins with `prefix`, the prefix taken off.
    pub fn prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let found: Vec<(String, String)> = self
            .entries
            .iter()
            .filter(|(key, _)| key.len() > prefix.len() && key.starts_with(prefix))
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
    /// `owner` is the connector or catalog type in messages; `known` its declarations; `elsewhere` the declarations of other owners by
    /// name, for the `belongs to` note.
    ///
    /// # Errors
    /// All problems of the bag, sorted by position.
    pub fn finish(mut self, owner: &str, known: &[&OptionDecl], elsewhere: &[(&str, &[OptionDecl])]) -> Result<Vec<Problem>, Problems> {
        let left: Vec<String> = self.entries.keys().filter(|key| !self.taken.contains(*key)).cloned().collect();
        for key in left {
            let problem = self.unsupported(owner, &key, known, elsewhere);
            self.problems.push(problem);
        }
        let (warnings, errors): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(|problem| problem.warning);
        if errors.is_empty() { Ok(warnings) } else { Err(Problems::new(errors)) }
    }

    fn unsupported(&self, owner: &str, key: &str, known: &[&OptionDecl], elsewhere: &[(&str, &[OptionDecl])]) -> Problem {
        let what = format!("Unsupported options found for '{owner}': '{key}'.");
        let problem = Problem::new("OPT-001", self.object.clone(), what).at(self.position(key));
        let prefixed = known.iter().find(|decl| decl.key.ends_with(&format!(".{key}")) || prefix_repair(decl.key, key));
        if let Some(decl) = prefixed {
            let full = decl.key.strip_suffix('*').map_or_else(|| decl.key.to_owned(), |prefix| format!("{prefix}{key}"));
            let note = prefix_note(&full, key);
            return problem.suggest(Some(format!("Did you mean '{full}'?{note}")));
        }
        let near = closest(key, known.iter().map(|decl| decl.key).filter(|name| !name.contains(['*', '#'])));
        if !near.is_empty() {
            let foreign = owner_of(key, elsewhere, owner).map(|name| format!(" ('{key}' belongs to connector '{name}'.)")).unwrap_or_default();
            return problem.suggest(did_you_mean(&near).map(|text| text + &foreign));
        }
        if let Some(name) = owner_of(key, elsewhere, owner) {
            return problem.hint(format!("'{key}' belongs to '{name}'."));
        }
        let foreign: Vec<&str> = elsewhere.iter().flat_map(|(_, decls)| decls.iter().map(|decl| decl.key)).collect();
        if let [first, ..] = closest(key, foreign.iter().copied()).as_slice()
            && let Some(name) = owner_of(first, elsewhere, owner)
        {
            return problem.suggest(Some(format!("Did you mean '{first}'? ('{first}' belongs to '{name}'.)")));
        }
        if known.len() > 20 {
            return problem.hint(format!("DESCRIBE CONNECTOR {owner} lists the options."));
        }
        let mut names: Vec<&str> = known.iter().map(|decl| decl.key).collect();
        names.sort_unstable();
        problem.hint(format!("Supported options: {}.", names.join(", ")))
    }

    fn take(&mut self, decl: &OptionDecl) -> Option<(String, String)> {
        if let Some(entry) = self.entries.get(decl.key) {
            self.taken.insert(decl.key.to_owned());
            return Some((decl.key.to_owned(), entry.value.clone()));
        }
        for old in decl.deprecated {
            if let Some(value) = self.peek(old).map(str::to_owned) {
                self.taken.insert((*old).to_owned());
                self.warn("OPT-009", old, format!("'{old}' is deprecated, use '{}'.", decl.key));
                return Some(((*old).to_owned(), value));
            }
        }
        if decl.required {
            let mut problem = Problem::new("OPT-002", self.object.clone(), format!("One or more required options are missing: '{}'.", decl.key));
            if let Some((prefix, rest)) = decl.key.split_once('.')
                && self.contains(rest)
            {
                problem = problem.hint(format!("'{rest}' is set; this option needs the prefix '{prefix}.'."));
            }
            self.problems.push(problem);
        }
        None
    }

    fn parse<T>(&mut self, decl: &OptionDecl, parse: impl Fn(&str) -> Option<T>, expected: impl Fn(&str) -> String) -> Option<T> {
        let Some((key, value)) = self.take(decl) else {
            return decl.default.and_then(parse);
        };
        let parsed = parse(&value);
        if parsed.is_none() {
            let what = format!("Invalid value for option '{key}': {}", expected(&shown(&key, &value, decl)));
            self.error("OPT-003", &key, what);
        }
        parsed
    }
}

/// Secrets are masked.
impl std::fmt::Debug for OptionBag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.iter().map(|(key, value)| (key, if is_sensitive_key(key) { MASK } else { value }));
        write!(f, "{} ", self.object)?;
        f.debug_map().entries(entries).finish()
    }
}

fn shown(key: &str, value: &str, decl: &OptionDecl) -> String {
    if decl.secret || is_sensitive_key(key) { MASK.to_owned() } else { value.to_owned() }
}

fn split_list(text: &str) -> Vec<String> {
    text.split(';').map(|part| part.trim().trim_matches(|c| c == '\'' || c == '"').to_owned()).filter(|part| !part.is_empty()).collect()
}

/// `properties.*` and the key of a client option whose prefix was forgotten.
fn prefix_repair(pattern: &str, key: &str) -> bool {
    pattern == "properties.*" && matches!(key, "bootstrap.servers" | "group.id" | "security.protocol" | "auto.offset.reset" | "isolation.level")
}

fn prefix_note(full: &str, key: &str) -> String {
    let prefix = full.strip_suffix(key).unwrap_or_default().trim_end_matches('.');
    match prefix.rsplit_once('.').map_or(prefix, |(_, last)| last) {
        "properties" => " (Kafka client options carry the prefix 'properties.'.)".to_owned(),
        "" => String::new(),
        format if prefix.starts_with("value.") || prefix.starts_with("key.") => {
            let selector = prefix.split('.').next().unwrap_or_default();
            format!(" (options of format '{format}' selected by '{selector}.format' carry that prefix.)")
        }
        format => format!(" (options of '{format}' carry that prefix.)"),
    }
}

fn owner_of<'a>(key: &str, elsewhere: &[(&'a str, &[OptionDecl])], except: &str) -> Option<&'a str> {
    elsewhere.iter().find(|(name, decls)| *name != except && decls.iter().any(|decl| decl.key == key)).map(|(name, _)| *name)
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
}
