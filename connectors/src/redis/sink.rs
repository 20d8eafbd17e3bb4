//! The sink: rows become changes of keys, of which each epoch writes the last one for each key.
//!
//! Rows are upserts, so that an epoch which is written again after a failure changes nothing: there is nothing to commit. What an epoch
//! writes is in Redis before its checkpoint is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use chrono::Local;
use redis::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use weir_base::memory::{Reservation, Use};
use weir_base::{Classified, ErrorKind};

use super::changes::{Change, Place2, Writing};
use super::connection::{Keyed, Server};
use super::options::Sinking;
use super::values::key_texts;
use crate::error::ConnectorError;
use crate::sink::{Committable, Distribution, SinkCommitter, SinkWriter, StreamSink, WriterContext};

/// Wait before a pipeline is sent again; it doubles with each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A table that is written.
#[derive(Debug)]
pub(super) struct RedisSink {
    shared: Arc<Shared>,
    schema: SchemaRef,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    writing: Writing,
    options: Sinking,
    pace: Pace,
}

impl RedisSink {
    pub(super) fn new(server: Server, writing: Writing, options: Sinking, schema: SchemaRef) -> Self {
        let pace = Pace::new(options.rows_per_second, options.bytes_per_second);
        Self { shared: Arc::new(Shared { server, writing, options, pace }), schema }
    }
}

#[async_trait]
impl StreamSink for RedisSink {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn distribution(&self) -> Distribution {
        Distribution::Hash
    }

    fn writers(&self) -> Option<usize> {
        self.shared.options.parallelism
    }

    fn route(&self, batch: &RecordBatch) -> Result<UInt64Array, ConnectorError> {
        let key = usize::from(self.shared.writing.kind == Some(0));
        let Some(first) = batch.columns().get(key) else { return Err(ConnectorError::internal("rows without a key")) };
        Ok(key_texts("", first)?.iter().map(|key| Some(fnv(key.unwrap_or_default()))).collect())
    }

    fn key(&self) -> Vec<usize> {
        let Writing { shape, kind, .. } = &self.shared.writing;
        // The column of kinds stands between the others.
        let place = |column: usize| column + usize::from(kind.is_some_and(|kind| kind <= column));
        std::iter::once(0).chain(shape.part_column()).map(place).collect()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        let held = context.budget.reservation(Use::Writers);
        Ok(Box::new(RedisWriter { shared: Arc::clone(&self.shared), changes: HashMap::new(), bytes: 0, held }))
    }

    fn committer(&self) -> Option<Arc<dyn SinkCommitter>> {
        None
    }
}

/// FNV-1a, the same everywhere and always.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Debug)]
struct RedisWriter {
    shared: Arc<Shared>,
    changes: HashMap<Place2, Change>,
    bytes: u64,
    held: Reservation,
}

#[async_trait]
impl SinkWriter for RedisWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        if let Some(encoder) = &self.shared.writing.encoder {
            encoder.ready().await?;
        }
        let grown = self.shared.writing.merge(&batch, &mut self.changes)?;
        self.bytes += grown;
        // What replaces an older change of its key is counted with it until the next flush.
        let fits = self.held.try_grow(grown);
        if !fits || self.changes.len() >= self.shared.options.merge_rows {
            self.flush().await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<Committable>, ConnectorError> {
        self.flush().await?;
        Ok(Vec::new())
    }

    async fn abort(self: Box<Self>) {}
}

impl RedisWriter {
    /// Writes what has come, a pipeline after the other.
    async fn flush(&mut self) -> Result<(), ConnectorError> {
        let changes: Vec<(Place2, Change)> = std::mem::take(&mut self.changes).into_iter().collect();
        let share = self.bytes / (changes.len() as u64).max(1);
        for part in changes.chunks(self.shared.options.pipeline_rows) {
            self.shared.pace.wait(part.len() as u64, share * part.len() as u64).await;
            let now = Local::now();
            let commands: Vec<Keyed> = part.iter().flat_map(|(place, change)| self.shared.writing.commands(place, change, now)).collect();
            self.shared.send(&commands).await?;
        }
        self.bytes = 0;
        self.held.resize(0);
        Ok(())
    }
}

impl Shared {
    async fn send(&self, commands: &[Keyed]) -> Result<(), ConnectorError> {
        let mut wait = FIRST_WAIT;
        for tries in 0.. {
            match self.once(commands).await {
                Err(error) if error.kind() == ErrorKind::Transient && tries < self.options.max_retries => {
                    tracing::debug!(table = self.server.table, tries, %error, "pipeline failed and is sent again");
                    sleep(wait).await;
                    wait = longer(wait);
                }
                done => return done,
            }
        }
        Ok(())
    }

    async fn once(&self, commands: &[Keyed]) -> Result<(), ConnectorError> {
        for (keyed, answer) in commands.iter().zip(self.server.ask_all(commands).await?) {
            if let Value::ServerError(error) = answer {
                if error.code() == "WRONGTYPE" {
                    let (table, key) = (&self.server.table, String::from_utf8_lossy(&keyed.key));
                    return Err(ConnectorError::user(format!("Table '{table}': key '{key}' holds another type than 'command' writes")));
                }
                return Err(self.server.error_at(&keyed.key, error.into()));
            }
        }
        Ok(())
    }
}

/// The wait after this one.
fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LONGEST_WAIT)
}

/// Rows and bytes a second, for all writers of a table.
#[derive(Debug)]
struct Pace {
    rows: Option<u64>,
    bytes: Option<u64>,
    /// When the next pipeline may go.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    fn new(rows: Option<u64>, bytes: Option<u64>) -> Self {
        Self { rows, bytes, next: Mutex::new(None) }
    }

    /// Waits until this much may be written.
    async fn wait(&self, rows: u64, bytes: u64) {
        let took = took(self.rows, rows).max(took(self.bytes, bytes));
        if took.is_zero() {
            return;
        }
        let start = {
            let mut next = self.next.lock().await;
            let start = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(start + took);
            start
        };
        sleep_until(start).await;
    }
}

/// How long so much takes at `rate` a second.
fn took(rate: Option<u64>, amount: u64) -> Duration {
    rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(amount as f64 / rate.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_between_tries_double_up_to_five_seconds() {
        let waits = std::iter::successors(Some(FIRST_WAIT), |wait| Some(longer(*wait)));
        let waits: Vec<u128> = waits.map(|wait| wait.as_millis()).take(8).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }
}
