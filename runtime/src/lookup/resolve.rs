//! Questions become answers: batches of keys wait here until each of their keys is known.
//!
//! A key that is not known waits until there are enough for a request, or until the oldest has waited long enough. A key that several
//! batches have is asked for once. Requests are tasks of their own, so that they go on, and their timeouts count, while nobody takes rows; they are
//! on their way for up to so many keys. When they are, when enough batches wait or memory is short, no more batches are taken. Answers that are
//! there are taken together.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, sleep_until};
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_base::task::{Task, TaskError, spawn};
use weir_connectors::ConnectorError;

use super::answers::Answers;
use super::fetch::{Answer, Part, Request, fetch};
use super::keys::{BatchKeys, ByBytes, by_bytes};
use super::state::{LookupState, answer_known};

/// The most batches that wait for answers.
const WAITING_BATCHES: usize = 16;
/// Answers of more bytes are not put together.
const MERGED_BYTES: usize = 32 << 20;

/// Keys to look up, with what is to be done with their rows.
#[derive(Debug)]
pub(super) struct Question<T> {
    pub(super) about: T,
    pub(super) keys: BatchKeys,
    /// Memory of all of it.
    pub(super) bytes: u64,
}

/// A question with its answers.
#[derive(Debug)]
pub(super) struct Resolved<T> {
    pub(super) about: T,
    pub(super) keys: BatchKeys,
    pub(super) answers: Answers,
    /// What all of it is charged as.
    pub(super) held: Reservation,
}

/// Questions, one after the other.
pub(super) type Questions<T> = BoxStream<'static, DataFusionResult<Question<T>>>;
/// The same with their answers.
pub(super) type Resolutions<T> = BoxStream<'static, DataFusionResult<Resolved<T>>>;

/// Answers the questions of one task from `state`, in their order unless that says otherwise.
pub(super) fn resolve<T: Send + 'static>(state: &Arc<LookupState>, questions: Questions<T>, budget: &MemoryBudget) -> Resolutions<T> {
    let resolver = Resolver {
        state: Arc::clone(state),
        budget: budget.clone(),
        questions: Some(questions),
        waiting: VecDeque::new(),
        next_number: 0,
        unsent: VecDeque::new(),
        askers: by_bytes(0),
        requests: FuturesUnordered::new(),
        on_their_way: 0,
    };
    let next = |mut resolver: Resolver<T>| async move {
        let resolved = resolver.next().await?;
        Ok::<_, DataFusionError>(resolved.map(|resolved| (resolved, resolver)))
    };
    stream::try_unfold(resolver, next).boxed()
}

/// A question that waits.
struct Waiting<T> {
    number: u64,
    resolved: Resolved<T>,
}

/// A question, and a key of it.
type Asker = (u64, usize);

struct Resolver<T> {
    state: Arc<LookupState>,
    budget: MemoryBudget,
    /// `None` after their end.
    questions: Option<Questions<T>>,
    waiting: VecDeque<Waiting<T>>,
    next_number: u64,
    /// Keys that are not asked for yet, with the time at which they came.
    unsent: VecDeque<(Arc<[u8]>, Instant)>,
    /// Who waits for a key, sent or not.
    askers: ByBytes<Arc<[u8]>, Vec<Asker>>,
    requests: FuturesUnordered<Task<Result<Answer, ConnectorError>>>,
    /// Keys in requests.
    on_their_way: usize,
}

/// What a task waits for.
enum Event<T> {
    Answers(DataFusionResult<Vec<Answer>>),
    Question(Option<DataFusionResult<Question<T>>>),
    Linger,
}

impl<T> Resolver<T> {
    /// The next question that has all of its answers; `None` after the last one.
    async fn next(&mut self) -> DataFusionResult<Option<Resolved<T>>> {
        let state = Arc::clone(&self.state);
        state.ready().await.map_err(external)?;
        loop {
            if let Some(complete) = self.take_complete() {
                return Ok(Some(complete));
            }
            if self.questions.is_none() && self.waiting.is_empty() {
                return Ok(None);
            }
            self.send(Instant::now());
            match self.event().await {
                Event::Answers(answers) => self.answered(answers?)?,
                Event::Question(Some(question)) => self.take(question?)?,
                Event::Question(None) => self.questions = None,
                Event::Linger => {}
            }
        }
    }

    async fn event(&mut self) -> Event<T> {
        let (takes_more, linger) = (self.takes_more(), self.lingers_until());
        let questions = self.questions.as_mut().filter(|_| takes_more);
        let requests = &mut self.requests;
        tokio::select! {
            biased;
            Some(answer) = requests.next() => {
                let mut answers = vec![outcome(answer)];
                while let Some(Some(more)) = requests.next().now_or_never() {
                    answers.push(outcome(more));
                }
                Event::Answers(answers.into_iter().collect())
            }
            question = next_question(questions) => Event::Question(question),
            () = wait_until(linger) => Event::Linger,
        }
    }

    /// Whether there is room for more: what waits does not fill a request, and memory is not short.
    fn takes_more(&self) -> bool {
        self.questions.is_some()
            && self.waiting.len() < WAITING_BATCHES
            && self.unsent.len() < self.state.table.options.batch
            && (self.waiting.is_empty() || !self.budget.is_above(1.0))
    }

    /// When keys that do not fill a request are sent all the same.
    fn lingers_until(&self) -> Option<Instant> {
        let (_, since) = self.unsent.front()?;
        let at = *since + self.state.table.options.linger;
        // With no room for a request, an answer is what is waited for.
        self.has_room(self.unsent.len().min(self.state.table.options.batch)).then_some(at)
    }

    fn has_room(&self, keys: usize) -> bool {
        let table = &self.state.table;
        let capacity = if table.options.is_async { table.asking.capacity } else { 1 };
        self.on_their_way == 0 || self.on_their_way + keys <= capacity
    }

    /// Sends the requests that are full, or due, as far as there is room.
    fn send(&mut self, now: Instant) {
        let options = &self.state.table.options;
        while let Some((_, since)) = self.unsent.front() {
            let since = *since;
            let is_due = self.unsent.len() >= options.batch || !self.takes_more() || now >= since + options.linger;
            let keys = self.unsent.len().min(options.batch);
            if !is_due || !self.has_room(keys) {
                return;
            }
            let since = counted_from(since, now, options.linger);
            let request = Request { keys: self.unsent.drain(..keys).map(|(key, _)| key).collect(), since };
            self.on_their_way += keys;
            self.requests.push(spawn("lookup request", fetch(Arc::clone(&self.state), request)));
        }
    }

    fn take(&mut self, question: Question<T>) -> DataFusionResult<()> {
        let Question { about, keys, bytes } = question;
        let mut held = self.budget.reservation(Use::Lookups);
        held.grow(bytes);
        let mut answers = Answers::new(keys.len());
        held.grow(answer_known(&self.state, &keys, &mut answers).map_err(external)?);
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
        self.state.counters.batch(keys.of_row.len(), keys.hottest, keys.len() - open, open);
        self.waiting.push_back(Waiting { number, resolved: Resolved { about, keys, answers, held } });
        self.next_number += 1;
        Ok(())
    }

    fn answered(&mut self, answers: Vec<Answer>) -> DataFusionResult<()> {
        let answer = merged(answers)?;
        self.on_their_way -= answer.keys.len().min(self.on_their_way);
        self.state.keep(&answer).map_err(external)?;
        let spans = spans(&answer);
        // A question gets each part once, however many keys it has of it.
        let mut sources: BTreeMap<(u64, usize), usize> = BTreeMap::new();
        for (key, span) in answer.keys.iter().zip(spans) {
            for (number, index) in self.askers.remove(key).unwrap_or_default() {
                let Ok(at) = self.waiting.binary_search_by_key(&number, |waiting| waiting.number) else { continue };
                let Some(Resolved { answers, held, .. }) = self.waiting.get_mut(at).map(|waiting| &mut waiting.resolved) else { continue };
                let (part, rows) = span.clone();
                let source = match answer.parts.get(part).filter(|_| !rows.is_empty()) {
                    Some(Part { rows, .. }) => *sources.entry((number, part)).or_insert_with(|| {
                        held.grow(rows.get_array_memory_size() as u64);
                        answers.add_source(rows.clone())
                    }),
                    None => 0,
                };
                answers.set(index, rows.map(|row| (source, row)));
            }
        }
        Ok(())
    }

    /// The next question that has all of its answers: the first one only, if rows keep their order.
    fn take_complete(&mut self) -> Option<Resolved<T>> {
        let ordered = self.state.table.asking.ordered;
        let looked_at = if ordered { 1 } else { self.waiting.len() };
        let at = self.waiting.iter().take(looked_at).position(|waiting| waiting.resolved.answers.are_complete())?;
        self.waiting.remove(at).map(|waiting| waiting.resolved)
    }
}

/// When the timeout of a key that came at `came` and is sent at `now` begins: of its wait only the linger counts. A wait for room, or for somebody
/// who takes rows, is not the store's.
fn counted_from(came: Instant, now: Instant, linger: Duration) -> Instant {
    now.checked_sub(linger).map_or(came, |lingered| came.max(lingered))
}

/// Answers as one, its rows in one batch unless they are very many.
fn merged(mut answers: Vec<Answer>) -> DataFusionResult<Answer> {
    if answers.len() == 1
        && let Some(only) = answers.pop()
    {
        return Ok(only);
    }
    let mut all = Answer { keys: Vec::new(), parts: Vec::new() };
    for Answer { keys, parts } in answers {
        let before = all.keys.len() as u32;
        all.keys.extend(keys);
        let renumbered = |part: Part| Part { rows: part.rows, keys: part.keys.into_iter().map(|key| key + before).collect() };
        all.parts.extend(parts.into_iter().filter(|part| !part.keys.is_empty()).map(renumbered));
    }
    let bytes: usize = all.parts.iter().map(|part| part.rows.get_array_memory_size()).sum();
    if let [first, _, ..] = all.parts.as_slice()
        && bytes <= MERGED_BYTES
    {
        let rows = concat_batches(&first.rows.schema(), all.parts.iter().map(|part| &part.rows))?;
        let keys = all.parts.iter().flat_map(|part| part.keys.iter().copied()).collect();
        all.parts = vec![Part { rows, keys }];
    }
    Ok(all)
}

/// For each key of an answer the part that has its rows, and where they are in it: they stand together, in one part.
fn spans(answer: &Answer) -> Vec<(usize, Range<usize>)> {
    let mut spans = vec![(0, 0..0); answer.keys.len()];
    for (number, part) in answer.parts.iter().enumerate() {
        let mut row = 0;
        for of_key in part.keys.chunk_by(|one, other| one == other) {
            let rows = row..row + of_key.len();
            row = rows.end;
            if let Some(span) = of_key.first().and_then(|key| spans.get_mut(*key as usize)) {
                *span = (number, rows);
            }
        }
    }
    spans
}

fn outcome(answer: Result<Result<Answer, ConnectorError>, TaskError>) -> DataFusionResult<Answer> {
    answer.unwrap_or_else(|error| Err(ConnectorError::internal("a request of a lookup was lost").with_source(error))).map_err(external)
}

async fn next_question<T>(questions: Option<&mut Questions<T>>) -> Option<DataFusionResult<Question<T>>> {
    match questions {
        Some(questions) => questions.next().await,
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

/// What a batch of rows takes in memory.
pub(super) fn size(batch: &RecordBatch) -> u64 {
    batch.get_array_memory_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_wait_before_a_request_only_the_linger_counts() {
        let (came, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(counted_from(came, came + second, second * 2), came, "it did not wait for longer");
        assert_eq!(counted_from(came, came + second * 9, second * 2), came + second * 7, "nobody took rows for long");
    }
}
