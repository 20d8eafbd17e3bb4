//! One request for keys, until it is answered or given up: failures are tried again, at last in halves, and misses if a hint says so.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_select::take::take;
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
    /// Their values, one array a column.
    pub(super) values: Vec<ArrayRef>,
    /// When the first of them came.
    pub(super) since: Instant,
}

/// Rows, with the number of its key in the request for each.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rows: RecordBatch,
    pub(super) keys: Vec<u32>,
}

/// Asks for keys; gives the parts of the answer that have rows: those of a key are in one part.
pub(super) async fn fetch(state: Arc<LookupState>, request: Request) -> Result<Vec<Part>, ConnectorError> {
    let Request { mut values, since } = request;
    let asking = &state.table.asking;
    let asker = Asker { state: &state, deadline: since + asking.timeout };
    // The keys that are asked for, by their numbers in the request.
    let mut open: Vec<u32> = (0..len(&values) as u32).collect();
    let mut parts = Vec::new();
    let mut tries = 0;
    loop {
        let mut found = asker.ask(&values, tries > 0).await?;
        let missed = missed(&found, open.len());
        if tries > 0 {
            found.iter_mut().flat_map(|part| &mut part.keys).for_each(|key| *key = open.get(*key as usize).copied().unwrap_or(*key));
        }
        parts.extend(found.into_iter().filter(|part| !part.keys.is_empty()));
        match &asking.on_miss {
            Some(retry) if !missed.is_empty() && tries < retry.attempts => {
                tries += 1;
                open = missed.iter().filter_map(|number| open.get(*number as usize)).copied().collect();
                values = asker.some(&values, missed)?;
                asker.wait(retry.delay, None).await?;
            }
            _ => {
                state.counters.answered(since.elapsed(), missed.len());
                return Ok(parts);
            }
        }
    }
}

/// Which of so many keys have no row.
fn missed(found: &[Part], keys: usize) -> Vec<u32> {
    let mut has_row = vec![false; keys];
    for key in found.iter().flat_map(|part| &part.keys) {
        if let Some(has_row) = has_row.get_mut(*key as usize) {
            *has_row = true;
        }
    }
    (0..).zip(has_row).filter(|(_, has_row)| !has_row).map(|(key, _)| key).collect()
}

/// How many keys have these values.
fn len(values: &[ArrayRef]) -> usize {
    values.first().map_or(0, |values| values.len())
}

struct Asker<'a> {
    state: &'a LookupState,
    deadline: Instant,
}

impl Asker<'_> {
    /// The rows of keys: of all at once, or, if that fails for good, of each half.
    async fn ask(&self, values: &[ArrayRef], again: bool) -> Result<Vec<Part>, ConnectorError> {
        let most = self.state.table.options.max_retries;
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            let error = match self.once(values.to_vec(), again || tries > 1).await {
                Ok(found) => return Ok(vec![found]),
                Err(error) if error.kind() != ErrorKind::Transient => return Err(error),
                Err(error) => error,
            };
            if tries > most {
                return self.halves(values, tries, error).await;
            }
            tracing::debug!(table = %self.state.table.path, tries, keys = len(values), %error, "lookup failed and is tried again");
            self.wait(wait, Some(error)).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
            tries += 1;
        }
    }

    async fn halves(&self, values: &[ArrayRef], tries: u32, error: ConnectorError) -> Result<Vec<Part>, ConnectorError> {
        let (table, keys) = (&self.state.table.path, len(values));
        let gave_up = |error: ConnectorError, tries: u32| {
            let what = format!("Table '{table}': a lookup of {keys} keys failed, {tries} tries in all ('lookup.max-retries')");
            ConnectorError::new(error.kind(), what).with_source(error)
        };
        if keys < 2 {
            return Err(gave_up(error, tries));
        }
        let middle = keys / 2;
        let mut parts = Vec::with_capacity(2);
        for (from, to) in [(0, middle), (middle, keys)] {
            let half = values.iter().map(|values| values.slice(from, to - from)).collect();
            let mut part = self.once(half, true).await.map_err(|error| gave_up(error, tries + 1))?;
            part.keys.iter_mut().for_each(|key| *key += from as u32);
            parts.push(part);
        }
        Ok(parts)
    }

    /// One request.
    async fn once(&self, values: Vec<ArrayRef>, again: bool) -> Result<Part, ConnectorError> {
        let state = self.state;
        let request = Keys { columns: state.columns.clone(), values };
        state.counters.sent(again);
        let answer = timeout_at(self.deadline, state.table.lookup.get(&request)).await;
        let Found { rows, keys } = answer.unwrap_or_else(|_elapsed| Err(self.too_late(None)))?;
        let fits = keys.len() == rows.num_rows() && keys.is_sorted() && keys.last().is_none_or(|last| (*last as usize) < request.len());
        if fits { Ok(Part { rows, keys }) } else { Err(self.internal("an answer that does not fit its request")) }
    }

    /// The values of some keys.
    fn some(&self, values: &[ArrayRef], keys: Vec<u32>) -> Result<Vec<ArrayRef>, ConnectorError> {
        let keys = UInt32Array::from(keys);
        let some = values.iter().map(|values| take(values, &keys, None)).collect::<Result<_, _>>();
        some.map_err(|error| self.internal("keys that cannot be taken").with_source(error))
    }

    fn internal(&self, what: &str) -> ConnectorError {
        ConnectorError::internal(format!("Table '{}': {what}", self.state.table.path))
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
