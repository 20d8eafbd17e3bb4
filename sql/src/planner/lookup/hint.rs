//! LOOKUP hints: how one lookup table of a query is asked, over its options and over SET.

use weir_base::options::{OptionBag, OptionDecl, Position, Problem, Problems, ValueType, closest};
use weir_connectors::lookup::LookupOptions;
use weir_connectors::table::TablePath;

use crate::error::NOT_FOUND;
use crate::lookup_join::{Asking, MissRetry};
use crate::parse::ast::{LookupHint, QueryText};
use crate::settings::Settings;

const TABLE: OptionDecl = OptionDecl::new("table", ValueType::String, "The alias of the lookup table, or its name if it has none.").required();
const ASYNC: OptionDecl = OptionDecl::new("async", ValueType::Boolean, "Stands for `lookup.async`.");
const ORDER: OptionDecl = OptionDecl::new("output-mode", ValueType::Enum(&["ordered", "allow_unordered"]), "Whether rows keep their order.");
const CAPACITY: OptionDecl =
    OptionDecl::new("capacity", ValueType::Integer { min: 1, max: i32::MAX as i64 }, "The most keys on their way at a time.");
const TIMEOUT: OptionDecl = OptionDecl::new("timeout", ValueType::Duration, "How long a key may take, waiting and retries included.");
const PREDICATE: OptionDecl = OptionDecl::new("retry-predicate", ValueType::Enum(&["lookup_miss"]), "What is asked for again: keys without a row.");
const STRATEGY: OptionDecl = OptionDecl::new("retry-strategy", ValueType::Enum(&["fixed_delay"]), "When: after a wait.");
const DELAY: OptionDecl = OptionDecl::new("fixed-delay", ValueType::Duration, "The wait.");
const ATTEMPTS: OptionDecl = OptionDecl::new("max-attempts", ValueType::Integer { min: 1, max: i32::MAX as i64 }, "How often, after the first time.");
const SHUFFLE: OptionDecl = OptionDecl::new("shuffle", ValueType::Boolean, "Stands for `lookup.hash.enable`.");

const HINT: &[&OptionDecl] = &[&TABLE, &ASYNC, &ORDER, &CAPACITY, &TIMEOUT, &PREDICATE, &STRATEGY, &DELAY, &ATTEMPTS, &SHUFFLE];
const RETRY: &[&OptionDecl] = &[&PREDICATE, &STRATEGY, &DELAY, &ATTEMPTS];

/// What one table's hint says; nothing, if it has none.
#[derive(Debug, Clone, Default)]
pub(super) struct OfTable {
    is_async: Option<bool>,
    ordered: Option<bool>,
    capacity: Option<usize>,
    timeout: Option<std::time::Duration>,
    on_miss: Option<MissRetry>,
    shuffle: Option<bool>,
    at: Option<Position>,
}

/// The LOOKUP hints of a query, by the table that they name.
#[derive(Debug)]
pub(crate) struct Hints {
    hints: Vec<(String, OfTable, bool)>,
    /// What the lookup tables of the query are called.
    tables: Vec<String>,
}

impl Hints {
    /// Checks the hints of a query.
    pub(crate) fn of_query(query: &QueryText) -> Result<Self, Problems> {
        let (mut hints, mut problems) = (Vec::new(), Vec::new());
        for hint in &query.lookup_hints {
            match pull(hint) {
                Ok((table, hint)) => hints.push((table, hint, false)),
                Err(found) => problems.extend(found.as_slice().to_vec()),
            }
        }
        if problems.is_empty() { Ok(Self { hints, tables: Vec::new() }) } else { Err(Problems::new(problems)) }
    }

    /// What is said of the table that the query calls `known_as`; of several hints the first counts.
    pub(super) fn of(&mut self, known_as: &str) -> OfTable {
        self.tables.push(known_as.to_owned());
        let mut said = None;
        for (_, hint, used) in self.hints.iter_mut().filter(|(table, ..)| table == known_as) {
            *used = true;
            said = said.or_else(|| Some(hint.clone()));
        }
        said.unwrap_or_default()
    }

    /// That every hint has found its table.
    pub(crate) fn finish(&self) -> Result<(), Problems> {
        let unused = self.hints.iter().filter(|(_, _, used)| !used);
        let problems: Vec<Problem> = unused
            .map(|(table, hint, _)| {
                let mut known: Vec<String> = self.tables.iter().map(|table| format!("'{table}'")).collect();
                known.sort();
                known.dedup();
                let known = if known.is_empty() {
                    "It has none: a lookup table is one behind JOIN … FOR SYSTEM_TIME AS OF.".to_owned()
                } else {
                    format!("It has {}.", known.join(", "))
                };
                let what = format!("the query has no lookup table that is called '{table}'. {known}");
                let near = closest(table, self.tables.iter().map(String::as_str)).first().map(|near| format!("Did you mean '{near}'?"));
                Problem::new(NOT_FOUND, "Hint LOOKUP", what).suggest(near).at(hint.at)
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Problems::new(problems)) }
    }
}

fn pull(hint: &LookupHint) -> Result<(String, OfTable), Problems> {
    let mut bag = OptionBag::new("Hint LOOKUP");
    for option in &hint.options {
        bag.insert(option.key.clone(), option.value.clone(), Some(option.position));
    }
    let table = bag.string(&TABLE);
    let is_async = bag.boolean(&ASYNC);
    let ordered = bag.choice(&ORDER).map(|order| order == "ordered");
    let capacity = bag.integer(&CAPACITY).and_then(|capacity| usize::try_from(capacity).ok());
    let timeout = bag.duration(&TIMEOUT);
    let shuffle = bag.boolean(&SHUFFLE);
    let (_, _) = (bag.choice(&PREDICATE), bag.choice(&STRATEGY));
    let (delay, attempts) = (bag.duration(&DELAY), bag.integer(&ATTEMPTS).and_then(|attempts| u32::try_from(attempts).ok()));
    for (decl, time) in [(&TIMEOUT, timeout), (&DELAY, delay)] {
        if time.is_some_and(|time| time.is_zero()) {
            bag.error("OPT-007", decl.key, format!("'{}' must be > 0, but is 0.", decl.key));
        }
    }
    let missing: Vec<&str> = RETRY.iter().map(|decl| decl.key).filter(|key| !bag.contains(key)).collect();
    if let (false, Some(given)) = (missing.is_empty(), RETRY.iter().map(|decl| decl.key).find(|key| bag.contains(key))) {
        let what = format!(
            "A retry is said by all of 'retry-predicate', 'retry-strategy', 'fixed-delay' and 'max-attempts'; missing: '{}'.",
            missing.join("', '")
        );
        bag.error("OPT-005", given, what);
    }
    // A missing 'table' has no place of its own.
    let place = |problems: Problems| {
        Problems::new(
            problems.as_slice().iter().cloned().map(|problem| Problem { position: problem.position.or(Some(hint.position)), ..problem }).collect(),
        )
    };
    bag.finish("LOOKUP", HINT, &[]).map_err(place)?;
    let on_miss = delay.zip(attempts).map(|(delay, attempts)| MissRetry { delay, attempts });
    Ok((table.unwrap_or_default(), OfTable { is_async, ordered, capacity, timeout, on_miss, shuffle, at: Some(hint.position) }))
}

impl OfTable {
    /// What is said of the index of a table that has this hint: how it is waited for, not what stands for options of the table.
    pub(super) fn of_index(&self) -> Self {
        Self { is_async: None, shuffle: None, ..self.clone() }
    }

    /// Puts what stands for options of the table over them.
    pub(super) fn put_into(&self, options: &mut OptionBag) {
        for (key, value) in [("lookup.async", self.is_async), ("lookup.hash.enable", self.shuffle)] {
            if let Some(value) = value {
                options.insert(key, value.to_string(), self.at);
            }
        }
    }

    /// A warning of each key that says how requests are made: `table` is kept as a whole.
    pub(super) fn without_requests(&self, table: &TablePath) -> Vec<Problem> {
        let given = [
            (ORDER, self.ordered.is_some()),
            (CAPACITY, self.capacity.is_some()),
            (TIMEOUT, self.timeout.is_some()),
            (PREDICATE, self.on_miss.is_some()),
        ];
        let useless = given.iter().filter(|(_, is_given)| *is_given);
        useless
            .map(|(decl, _)| {
                let what = format!("'{}' has no effect because the cache of table '{table}' is FULL.", decl.key);
                Problem::warning("OPT-008", "Hint LOOKUP", what).at(self.at)
            })
            .collect()
    }

    /// How answers are waited for: as the hint says, else SET.
    pub(super) fn asking(&self, settings: &Settings) -> Asking {
        let set = settings.asking();
        Asking {
            capacity: self.capacity.unwrap_or(set.capacity),
            timeout: self.timeout.unwrap_or(set.timeout),
            ordered: self.ordered.unwrap_or(set.ordered),
            on_miss: self.on_miss.clone(),
        }
    }
}

/// What options, hints and SET together must fulfil.
pub(super) fn check(object: &str, options: &LookupOptions, asking: &Asking, at: Position) -> Result<(), Problem> {
    let refused = |what: String| Err(Problem::new("OPT-006", object, what).at(Some(at)));
    if options.batch > 1 && asking.capacity < options.batch {
        return refused(format!(
            "'lookup.async.batch.size' = '{}' is more than the capacity of {} keys on their way, so no request could be full: raise 'capacity' of the LOOKUP \
             hint or SET 'table.exec.async-lookup.buffer-capacity'.",
            options.batch, asking.capacity
        ));
    }
    if options.batch > 1 && options.linger >= asking.timeout {
        return refused(format!(
            "'lookup.async.batch.linger' = '{:?}' must be less than the timeout of a lookup, which is {:?}.",
            options.linger, asking.timeout
        ));
    }
    Ok(())
}
