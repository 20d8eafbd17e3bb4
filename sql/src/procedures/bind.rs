//! From what was written to the arguments of a procedure, each of its type.

use std::collections::BTreeMap;

use chrono::Utc;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use weir_base::options::{Position, Problem, Problems, closest};

use super::declared::{Declared, Kind, Parameter, Use};
use crate::error::{NOT_FOUND, NOT_YET, SqlError, TYPES};
use crate::parse::ast::{Argument, CallValue};

/// Code of an argument whose value is wrong.
const WRONG: &str = "OPT-003";

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    object: String,
    values: BTreeMap<&'static str, &'a Argument>,
    pub(super) warnings: Vec<Problem>,
    at: Position,
}

impl<'a> Arguments<'a> {
    /// Brings the arguments to their parameters.
    ///
    /// # Errors
    /// Everything that is wrong with names, number and types.
    pub(super) fn bind(object: &str, declared: &'static Declared, written: &'a [Argument], warnings: &mut Vec<Problem>) -> Result<Self, SqlError> {
        let at = written.first().map_or(Position { line: 1, column: 1 }, |argument| argument.position);
        let mut problems = Vec::new();
        let mut values: BTreeMap<&'static str, &'a Argument> = BTreeMap::new();
        let mixed = written.iter().any(|argument| argument.name.is_some()) && written.iter().any(|argument| argument.name.is_none());
        if mixed {
            let what = "arguments are given either all by name or all by place.";
            return Err(Problem::new(WRONG, object, what).at(Some(at)).into());
        }
        for (place, argument) in written.iter().enumerate() {
            let position = Some(argument.position);
            let parameter = match &argument.name {
                None => declared.parameters.get(place).ok_or_else(|| {
                    let what = format!("it takes {} arguments at most.", declared.parameters.len());
                    Problem::new(WRONG, object, what).hint(signature(declared)).at(position)
                }),
                Some(name) => declared.parameters.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    let near = closest(name, declared.parameters.iter().map(|parameter| parameter.name))
                        .first()
                        .map(|near| format!("Did you mean '{near}'?"));
                    Problem::new(NOT_FOUND, object, format!("it has no argument '{name}'.")).suggest(near).hint(signature(declared)).at(position)
                }),
            };
            let parameter = match parameter {
                Ok(parameter) => parameter,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            if argument.value == CallValue::Null {
                continue;
            }
            problems.extend(check(object, parameter, argument, warnings));
            if values.insert(parameter.name, argument).is_some() {
                problems.push(Problem::new(WRONG, object, format!("the argument '{}' is given twice.", parameter.name)).at(position));
            }
        }
        let missing = declared.parameters.iter().filter(|parameter| parameter.used == Use::Needed && !values.contains_key(parameter.name));
        let missing: Vec<String> = missing.map(|parameter| format!("'{}'", parameter.name)).collect();
        if !missing.is_empty() && problems.is_empty() {
            let what = format!("required arguments are missing: {}.", missing.join(", "));
            problems.push(Problem::new("OPT-002", object, what).hint(signature(declared)).at(Some(at)));
        }
        if problems.is_empty() {
            Ok(Self { object: object.to_owned(), values, warnings: Vec::new(), at })
        } else {
            Err(Problems::new(problems).into())
        }
    }

    /// Where the arguments stand.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// What is wrong with the value of an argument.
    pub(super) fn wrong(&self, name: &str, what: String, hint: &str) -> SqlError {
        let at = self.values.get(name).map_or(self.at, |argument| argument.position);
        let problem = Problem::new(WRONG, self.object.clone(), what).at(Some(at));
        if hint.is_empty() { problem.into() } else { problem.hint(hint).into() }
    }

    /// A warning about an argument.
    pub(super) fn warn(&mut self, name: &str, what: String) {
        let at = self.values.get(name).map(|argument| argument.position);
        self.warnings.push(Problem::warning("OPT-008", self.object.clone(), what).at(at));
    }

    fn value(&self, name: &str) -> Option<&'a CallValue> {
        self.values.get(name).map(|argument| &argument.value)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, SqlError> {
        match self.value(name) {
            None => Ok(None),
            Some(CallValue::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name, format!("'{name}' is no text."), "")),
        }
    }

    /// One of `known`, in any case.
    pub(super) fn one_of(&mut self, name: &str, known: &[&str]) -> Result<Option<String>, SqlError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match known.iter().find(|known| known.eq_ignore_ascii_case(&text)) {
            Some(found) => Ok(Some((*found).to_owned())),
            None => {
                let near = closest(&text, known.iter().copied()).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
                Err(self.wrong(name, format!("Invalid value for '{name}': '{text}'. Expected one of: [{}].{near}", known.join(", ")), ""))
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, SqlError> {
        match self.value(name) {
            None => Ok(None),
            Some(CallValue::Boolean(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(name, format!("'{name}' is neither TRUE nor FALSE."), "")),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<i64>, SqlError> {
        match self.value(name) {
            None => Ok(None),
            Some(CallValue::Number(digits)) => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_not_whole) => Err(self.wrong(name, format!("'{name}' must be a whole number of 64 bits, but is {digits}."), "")),
            },
            Some(_) => Err(self.wrong(name, format!("'{name}' is no number."), "")),
        }
    }

    /// A number of things, at least one.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<usize>, SqlError> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        match usize::try_from(number).ok().filter(|count| *count > 0) {
            Some(count) => Ok(Some(count)),
            None => Err(self.wrong(name, format!("'{name}' must be >= 1, but is {number}."), "")),
        }
    }

    pub(super) fn needed_number(&mut self, name: &str) -> Result<i64, SqlError> {
        self.number(name)?.ok_or_else(|| self.wrong(name, format!("'{name}' is missing."), ""))
    }

    /// A time in milliseconds since 1970; in UTC unless it says otherwise.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<i64>, SqlError> {
        let text = match self.value(name) {
            None => return Ok(None),
            Some(CallValue::Timestamp(text) | CallValue::Text(text)) => text.clone(),
            Some(_) => return Err(self.wrong(name, format!("'{name}' is no time."), "Write it as TIMESTAMP '2026-01-31 12:00:00'.")),
        };
        match string_to_datetime(&Utc, &text) {
            Ok(time) => Ok(Some(time.timestamp_millis())),
            Err(_not_a_time) => Err(self.wrong(name, format!("'{name}': '{text}' is no time."), "Write it as TIMESTAMP '2026-01-31 12:00:00'.")),
        }
    }

    pub(super) fn needed_time(&mut self, name: &str) -> Result<i64, SqlError> {
        self.time(name)?.ok_or_else(|| self.wrong(name, format!("'{name}' is missing."), ""))
    }

    pub(super) fn numbers(&mut self, name: &str) -> Result<Vec<i64>, SqlError> {
        let Some(CallValue::Array(elements)) = self.value(name) else { return Ok(Vec::new()) };
        let number = |value: &CallValue| match value {
            CallValue::Number(digits) => digits.parse().ok(),
            _ => None,
        };
        let numbers: Option<Vec<i64>> = elements.iter().map(number).collect();
        numbers.ok_or_else(|| self.wrong(name, format!("'{name}' holds something that is no whole number of 64 bits."), ""))
    }

    /// Keys and values of a map, as texts.
    pub(super) fn map(&mut self, name: &str) -> Result<Vec<(String, String)>, SqlError> {
        let Some(CallValue::Map(elements)) = self.value(name) else { return Ok(Vec::new()) };
        let texts: Option<Vec<String>> = elements.iter().map(as_text).collect();
        match texts {
            Some(texts) if texts.len() % 2 == 0 => {
                let pairs = texts.chunks(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone())));
                Ok(pairs.collect())
            }
            Some(_) => Err(self.wrong(name, format!("'{name}' has a key without a value."), "Write it as MAP['key', 'value', …].")),
            None => Err(self.wrong(name, format!("'{name}' holds something that is no text."), "Write it as MAP['key', 'value', …].")),
        }
    }
}

/// A constant as the text that Iceberg's options have.
fn as_text(value: &CallValue) -> Option<String> {
    match value {
        CallValue::Text(text) | CallValue::Number(text) | CallValue::Timestamp(text) => Some(text.clone()),
        CallValue::Boolean(value) => Some(value.to_string()),
        CallValue::Null | CallValue::Array(_) | CallValue::Map(_) => None,
    }
}

/// What is wrong with an argument before its value is read.
fn check(object: &str, parameter: &Parameter, argument: &Argument, warnings: &mut Vec<Problem>) -> Option<Problem> {
    let name = parameter.name;
    let at = Some(argument.position);
    match parameter.used {
        Use::Refused(instead) => {
            return Some(Problem::new(NOT_YET, object, format!("the argument '{name}' is not supported.")).hint(instead).at(at));
        }
        Use::Idle => warnings.push(Problem::warning("OPT-008", object, format!("'{name}' has no effect in Weir.")).at(at)),
        Use::Needed | Use::Optional => {}
    }
    let fits = match parameter.kind {
        Kind::Text => matches!(argument.value, CallValue::Text(_)),
        Kind::Number => matches!(argument.value, CallValue::Number(_)),
        Kind::Boolean => matches!(argument.value, CallValue::Boolean(_)),
        Kind::Time => matches!(argument.value, CallValue::Timestamp(_) | CallValue::Text(_)),
        Kind::Map => matches!(argument.value, CallValue::Map(_)),
        Kind::Numbers => matches!(argument.value, CallValue::Array(_)),
    };
    (!fits).then(|| Problem::new(TYPES, object, format!("the argument '{name}' must be {}.", parameter.kind.shown())).at(at))
}

impl Kind {
    fn shown(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a number",
            Self::Boolean => "TRUE or FALSE",
            Self::Time => "a time such as TIMESTAMP '2026-01-31 12:00:00'",
            Self::Map => "a map such as MAP['key', 'value']",
            Self::Numbers => "a list of numbers such as ARRAY[1, 2]",
        }
    }
}

/// `expire_snapshots(table, [older_than], …)`.
fn signature(declared: &Declared) -> String {
    let parameters = declared.parameters.iter().filter(|parameter| !matches!(parameter.used, Use::Refused(_)));
    let shown = parameters.map(|parameter| if parameter.used == Use::Needed { parameter.name.to_owned() } else { format!("[{}]", parameter.name) });
    format!("{}({}).", declared.name, shown.collect::<Vec<_>>().join(", "))
}
