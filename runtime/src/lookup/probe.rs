//! One task of a lookup join: batches of rows wait here until all of their keys have an answer.
//!
//! A key that is not known waits until there are enough for a request, or until the oldest has waited long enough. A key that several
//! batches have is asked for once. Requests are on their way for up to so many keys; when they are, or when enough batches wait, no more rows
//! are taken.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_connectors::ConnectorError;

use super::answers::Answers;
use super::fetch::{Answer, Request, fetch};
use super::join::Joiner;
use super::keys::{BatchKeys, ByBytes, by_bytes};
use super::state::{LookupState, answer_known};

/// The most batches that wait for answers.
const WAITING_BATCHES: usize = 16;

/// What all tasks of an operator share.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) state: Arc<LookupState>,
    /// The keys, over the input.
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) joiner: Joiner,
    pub(super) budget: MemoryBudget,
}

/// Rows that wait.
struct Waiting {
    number: u64,
    batch: RecordBatch,
    keys: BatchKeys,
    answers: Answers,
    _held: Reservation,
}

/// A batch, and a key of it.
type Asker = (u64, usize);

/// A running task.
pub(super) struct Probe {
    operator: Arc<Operator>,
    /// `None` after its end.
    input: Option<SendableRecordBatchStream>,
    batches: VecDeque<Waiting>,
    next_number: u64,
    /// Keys that are not asked for yet, with the time at which they came.
    unsent: VecDeque<(Arc<[u8]>, Instant)>,
    /// Who waits for a key, sent or not.
    askers: ByBytes<Arc<[u8]>, Vec<Asker>>,
    requests: FuturesUnordered<BoxFuture<'static, Result<Answer, ConnectorError>>>,
    /// Keys in requests.
    on_their_way: usize,
    joined: VecDeque<RecordBatch>,
}

/// What a task waits for.
enum Event {
    Answer(Result<Answer, ConnectorError>),
    Rows(Option<DataFusionResult<RecordBatch>>),
    Linger,
}

impl Probe {
    pub(super) fn new(operator: Arc<Operator>, input: SendableRecordBatchStream) -> Self {
        Self {
            operator,
            input: Some(input),
            batches: VecDeque::new(),
            next_number: 0,
            unsent: VecDeque::new(),
            askers: by_bytes(0),
            requests: FuturesUnordered::new(),
            on_their_way: 0,
            joined: VecDeque::new(),
        }
    }

    /// The next joined rows; `None` after the last ones.
    pub(super) async fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        let operator = Arc::clone(&self.operator);
        operator.state.ready().await.map_err(external)?;
        loop {
            if let Some(rows) = self.joined.pop_front() {
                return Ok(Some(rows));
            }
            if let Some(complete) = self.take_complete() {
                self.joined.extend(operator.joiner.join(&complete.batch, &complete.keys, &complete.answers)?);
                continue;
            }
            if self.input.is_none() && self.batches.is_empty() {
                return Ok(None);
            }
            self.send(Instant::now());
            match self.event().await {
                Event::Answer(answer) => self.answered(answer.map_err(external)?)?,
                Event::Rows(Some(rows)) => self.take(rows?)?,
                Event::Rows(None) => self.input = None,
                Event::Linger => {}
            }
        }
    }

    async fn event(&mut self) -> Event {
        let (takes_rows, linger) = (self.takes_rows(), self.lingers_until());
        let input = self.input.as_mut().filter(|_| takes_rows);
        tokio::select! {
            biased;
            Some(answer) = self.requests.next() => Event::Answer(answer),
            rows = next_rows(input) => Event::Rows(rows),
            () = wait_until(linger) => Event::Linger,
        }
    }

    /// Whether there is room for more rows: what waits does not fill a request.
    fn takes_rows(&self) -> bool {
        self.input.is_some() && self.batches.len() < WAITING_BATCHES && self.unsent.len() < self.operator.state.table.options.batch
    }

    /// When keys that do not fill a request are sent all the same.
    fn lingers_until(&self) -> Option<Instant> {
        let (_, since) = self.unsent.front()?;
        let at = *since + self.operator.state.table.options.linger;
        // With no room for a request, an answer is what is waited for.
        self.has_room(self.unsent.len().min(self.operator.state.table.options.batch)).then_some(at)
    }

    fn has_room(&self, keys: usize) -> bool {
        let table = &self.operator.state.table;
        let capacity = if table.options.is_async { table.asking.capacity } else { 1 };
        self.on_their_way == 0 || self.on_their_way + keys <= capacity
    }

    /// Sends the requests that are full, or due, as far as there is room.
    fn send(&mut self, now: Instant) {
        let options = &self.operator.state.table.options;
        while let Some((_, since)) = self.unsent.front() {
            let since = *since;
            let is_due = self.unsent.len() >= options.batch || !self.takes_rows() || now >= since + options.linger;
            let keys = self.unsent.len().min(options.batch);
            if !is_due || !self.has_room(keys) {
                return;
            }
            let request = Request { keys: self.unsent.drain(..keys).map(|(key, _)| key).collect(), since };
            self.on_their_way += keys;
            self.requests.push(Box::pin(fetch(Arc::clone(&self.operator.state), request)));
        }
    }

    fn take(&mut self, batch: RecordBatch) -> DataFusionResult<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let operator = &self.operator;
        let columns = operator.keys.iter().map(|key| key.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows())));
        let keys = BatchKeys::try_new(&operator.state.keys, &columns.collect::<DataFusionResult<Vec<_>>>()?)?;
        let mut answers = Answers::new(keys.len());
        answer_known(&operator.state, &keys, &mut answers).map_err(external)?;
        let (number, now) = (self.next_number, Instant::now());
        let mut open = 0;
        for (index, key) in keys.iter().enumerate().filter(|(index, _)| answers.is_open(*index)) {
            open += 1;
            match self.askers.get_mut(key) {
                Some(askers) => askers.push((number, index)),
                None => {
                    let key: Arc<[u8]> = Arc::from(key);
                    self.askers.insert(Arc::clone(&key), vec![(number, index)]);
                    self.unsent.push_back((key, now));
                }
            }
        }
        operator.state.counters.batch(batch.num_rows(), keys.hottest, keys.len() - open, open);
        let mut held = operator.budget.reservation(Use::Lookups);
        held.grow(batch.get_array_memory_size() as u64);
        self.batches.push_back(Waiting { number, batch, keys, answers, _held: held });
        self.next_number += 1;
        Ok(())
    }

    fn answered(&mut self, answer: Answer) -> DataFusionResult<()> {
        self.on_their_way -= answer.keys.len().min(self.on_their_way);
        self.operator.state.keep(&answer).map_err(external)?;
        // For each part, the places of the rows of each key.
        let mut of_key: Vec<Vec<(usize, usize)>> = vec![Vec::new(); answer.keys.len()];
        for (part, rows) in answer.parts.iter().enumerate() {
            for (row, key) in rows.keys.iter().enumerate() {
                if let Some(places) = of_key.get_mut(*key as usize) {
                    places.push((part, row));
                }
            }
        }
        // A batch gets each part once, however many keys it has of it.
        let mut sources: std::collections::BTreeMap<(u64, usize), usize> = std::collections::BTreeMap::new();
        for (key, places) in answer.keys.iter().zip(of_key) {
            for (number, index) in self.askers.remove(key).unwrap_or_default() {
                let Ok(at) = self.batches.binary_search_by_key(&number, |waiting| waiting.number) else { continue };
                let Some(waiting) = self.batches.get_mut(at) else { continue };
                let mut here = Vec::with_capacity(places.len());
                for (part, row) in &places {
                    let Some(rows) = answer.parts.get(*part).map(|part| &part.rows) else { continue };
                    let source = *sources.entry((number, *part)).or_insert_with(|| waiting.answers.add_source(rows.clone()));
                    here.push((source, *row));
                }
                waiting.answers.set(index, here);
            }
        }
        Ok(())
    }

    /// The next batch that has all of its answers: the first one only, if rows keep their order.
    fn take_complete(&mut self) -> Option<Waiting> {
        let ordered = self.operator.state.table.asking.ordered;
        let looked_at = if ordered { 1 } else { self.batches.len() };
        let at = self.batches.iter().take(looked_at).position(|waiting| waiting.answers.are_complete())?;
        self.batches.remove(at)
    }
}

async fn next_rows(input: Option<&mut SendableRecordBatchStream>) -> Option<DataFusionResult<RecordBatch>> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn external(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
