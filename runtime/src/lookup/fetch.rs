//! One request for keys, until it is answered or given up: failures are tried again, at last in halves, and misses if a hint says so.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use tokio::time::{Instant, sleep_until, timeout_at};
use weir_base::{Classified, ErrorKind};
use weir_connectors::ConnectorError;
use weir_connectors::lookup::{Found, Keys};

use super::state::LookupState;

/// Wait before the second try; it doubles with each one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Keys that are asked for together.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) keys: Vec<Arc<[u8]>>,
    /// When the first of them came.
    pub(super) since: Instant,
}

/// Rows, with the number of its key in the request for each.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rows: RecordBatch,
    pub(super) keys: Vec<u32>,
}

/// A request with its answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) keys: Vec<Arc<[u8]>>,
    pub(super) parts: Vec<Part>,
}

/// Asks for keys.
pub(super) async fn fetch(state: Arc<LookupState>, request: Request) -> Result<Answer, ConnectorError> {
    let asking = &state.table.asking;
    let asker = Asker { state: &state, deadline: request.since + asking.timeout };
    let mut open: Vec<u32> = (0..request.keys.len() as u32).collect();
    let mut parts = Vec::new();
    let mut tries = 0;
    loop {
        let keys: Vec<&[u8]> = open.iter().filter_map(|key| request.keys.get(*key as usize)).map(AsRef::as_ref).collect();
        let found = asker.ask(&keys, tries > 0).await?;
        let mut answered: Vec<u32> = Vec::new();
        for Part { rows, keys } in found {
            let keys: Vec<u32> = keys.iter().filter_map(|key| open.get(*key as usize)).copied().collect();
            answered.extend(&keys);
            parts.push(Part { rows, keys });
        }
        answered.dedup();
        open.retain(|key| answered.binary_search(key).is_err());
        match &asking.on_miss {
            Some(retry) if !open.is_empty() && tries < retry.attempts => {
                tries += 1;
                asker.wait(retry.delay, None).await?;
            }
            _ => break,
        }
    }
    state.counters.answered(request.since.elapsed(), open.len());
    Ok(Answer { keys: request.keys, parts })
}

struct Asker<'a> {
    state: &'a LookupState,
    deadline: Instant,
}

impl Asker<'_> {
    /// The rows of `keys`: of all at once, or, if that fails for good, of each half.
    async fn ask(&self, keys: &[&[u8]], again: bool) -> Result<Vec<Part>, ConnectorError> {
        let most = self.state.table.options.max_retries;
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            let error = match self.once(keys, again || tries > 1).await {
                Ok(found) => return Ok(vec![found]),
                Err(error) if error.kind() != ErrorKind::Transient => return Err(error),
                Err(error) => error,
            };
            if tries > most {
                return self.halves(keys, tries, error).await;
            }
            tracing::debug!(table = %self.state.table.path, tries, keys = keys.len(), %error, "lookup failed and is tried again");
            self.wait(wait, Some(error)).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
            tries += 1;
        }
    }

    async fn halves(&self, keys: &[&[u8]], tries: u32, error: ConnectorError) -> Result<Vec<Part>, ConnectorError> {
        let table = &self.state.table.path;
        let gave_up = |error: ConnectorError, tries: u32| {
            let what = format!("Table '{table}': a lookup of {} keys failed, {tries} tries in all ('lookup.max-retries')", keys.len());
            ConnectorError::new(error.kind(), what).with_source(error)
        };
        if keys.len() < 2 {
            return Err(gave_up(error, tries));
        }
        let (first, second) = keys.split_at(keys.len() / 2);
        let mut parts = Vec::with_capacity(2);
        for (half, offset) in [(first, 0), (second, first.len() as u32)] {
            let mut part = self.once(half, true).await.map_err(|error| gave_up(error, tries + 1))?;
            part.keys.iter_mut().for_each(|key| *key += offset);
            parts.push(part);
        }
        Ok(parts)
    }

    /// One request.
    async fn once(&self, keys: &[&[u8]], again: bool) -> Result<Part, ConnectorError> {
        let state = self.state;
        let internal = |what: &str| ConnectorError::internal(format!("Table '{}': {what}", state.table.path));
        let values = state.keys.decode(keys.iter().copied()).map_err(|error| internal("keys that cannot be decoded").with_source(error))?;
        let request = Keys { columns: state.columns.clone(), values };
        state.counters.sent(again);
        let answer = timeout_at(self.deadline, state.table.lookup.get(&request)).await;
        let Found { rows, keys: found } = answer.unwrap_or_else(|_elapsed| Err(self.too_late(None)))?;
        let fits = found.len() == rows.num_rows() && found.is_sorted() && found.last().is_none_or(|last| (*last as usize) < keys.len());
        if fits { Ok(Part { rows, keys: found }) } else { Err(internal("an answer that does not fit its request")) }
    }

    /// Waits, not past the deadline.
    async fn wait(&self, wait: Duration, error: Option<ConnectorError>) -> Result<(), ConnectorError> {
        let until = Instant::now() + wait;
        if until >= self.deadline {
            return Err(self.too_late(error));
        }
        sleep_until(until).await;
        Ok(())
    }

    fn too_late(&self, error: Option<ConnectorError>) -> ConnectorError {
        let (table, timeout) = (&self.state.table.path, self.state.table.asking.timeout);
        let what = format!(
            "Table '{table}': a lookup had no answer within {timeout:?} ('timeout' of the LOOKUP hint, or 'table.exec.async-lookup.timeout')"
        );
        let late = ConnectorError::transient(what);
        match error {
            Some(error) => late.with_source(error),
            None => late,
        }
    }
}
