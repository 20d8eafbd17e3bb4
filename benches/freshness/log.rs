//! What the processes say in their logs, and when.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::Outcome;

/// A line of a log.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: DateTime<Utc>,
    pub(crate) message: String,
    pub(crate) fields: Value,
}

impl Line {
    pub(crate) fn number(&self, field: &str) -> Option<i64> {
        let value = &self.fields[field];
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}

/// A commit to a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    /// When it was done and known to be.
    pub(crate) at: DateTime<Utc>,
    pub(crate) snapshot: i64,
    pub(crate) rows: u64,
}

/// The lines of a log so far. One that is still being written is left out.
pub(crate) fn lines(log: &Path) -> Outcome<Vec<Line>> {
    let text = std::fs::read_to_string(log)?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Line> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    let at = DateTime::parse_from_rfc3339(line["timestamp"].as_str()?).ok()?.to_utc();
    let fields = line["fields"].take();
    Some(Line { at, message: fields["message"].as_str()?.to_owned(), fields })
}

/// The commits of the sink of that name.
pub(crate) fn commits(log: &[Line], sink: &str) -> Vec<Commit> {
    let commit = |line: &Line| {
        let of_sink = line.message == "committed" && line.fields["sink"] == sink;
        let (snapshot, rows) = (line.number("snapshot")?, u64::try_from(line.number("rows")?).ok()?);
        of_sink.then_some(Commit { at: line.at, snapshot, rows })
    };
    log.iter().filter_map(commit).collect()
}
