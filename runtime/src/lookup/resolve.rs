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

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_select::concat::{concat, concat_batches};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt, stream};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tokio::time::{Instant, sleep_until};
use weir_base::memory::{MemoryBudget, Reservation, Use};
use weir_base::task::{Task, TaskError, spawn};
use weir_connectors::ConnectorError;

use super::answers::{Answers, Place};
use super::fetch::{Part, Request, fetch};
use super::keys::BatchKeys;
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

impl<T> Resolved<T> {
    /// Sets the rows of a key, which stand at `span` of an answer. A part of which the question has rows is a source of it, with one of these numbers by
    /// question and part.
    fn set(&mut self, key: u32, span: Span, parts: &[Part], question: u64, sources: &mut BTreeMap<(u64, u32), u32>) {
        let source = match parts.get(span.part as usize).filter(|_| span.from < span.to) {
            Some(Part { rows, .. }) => *sources.entry((question, span.part)).or_insert_with(|| {
                self.held.grow(rows.get_array_memory_size() as u64);
                self.answers.add_source(rows.clone())
            }),
            None => 0,
        };
        self.answers.set(key, span.places(source));
    }
}

/// Questions, one after the other.
pub(super) type Questions<T> = BoxStream<'static, DataFusionResult<Question<T>>>;
/// The same with their answers.
pub(super) type Resolutions<T> = BoxStream<'static, DataFusionResult<Resolved<T>>>;

/// Answers the questions of one task from `state`, in their order if they are to be `ordered`.
pub(super) fn resolve<T: Send + 'static>(state: &Arc<LookupState>, questions: Questions<T>, ordered: bool, budget: &MemoryBudget) -> Resolutions<T> {
    let resolver = Resolver {
        state: Arc::clone(state),
        ordered,
        budget: budget.clone(),
        questions: Some(questions),
        waiting: VecDeque::new(),
        next_number: 0,
        unsent: VecDeque::new(),
        unsent_keys: 0,
        asked: HashTable::new(),
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
    /// The keys that are asked for on its account, and their values.
    asked: Vec<u32>,
    values: Vec<ArrayRef>,
    resolved: Resolved<T>,
}

/// A key of a question.
type Asker = (u64, u32);

/// A key that is asked for, with its hash.
struct Asked {
    hash: u64,
    by: Asker,
    /// Who waits for it besides.
    others: Vec<Asker>,
}

/// Some of the keys that are asked for on account of a question, by their places among these.
#[derive(Debug)]
struct Piece {
    question: u64,
    keys: Range<usize>,
    /// When they came.
    since: Instant,
}

/// The keys of a request, and its answer.
struct Answer {
    pieces: Vec<Piece>,
    parts: Vec<Part>,
}

struct Resolver<T> {
    state: Arc<LookupState>,
    /// Answers leave in the order of their questions.
    ordered: bool,
    budget: MemoryBudget,
    /// `None` after their end.
    questions: Option<Questions<T>>,
    waiting: VecDeque<Waiting<T>>,
    next_number: u64,
    /// Keys that are not asked for yet, and how many they are.
    unsent: VecDeque<Piece>,
    unsent_keys: usize,
    /// The keys that are waited for, sent or not.
    asked: HashTable<Asked>,
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
            self.send(Instant::now())?;
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
            && self.unsent_keys < self.state.table.options.batch
            && (self.waiting.is_empty() || !self.budget.is_above(1.0))
    }

    /// When keys that do not fill a request are sent all the same.
    fn lingers_until(&self) -> Option<Instant> {
        let at = self.unsent.front()?.since + self.state.table.options.linger;
        // With no room for a request, an answer is what is waited for.
        self.has_room(self.unsent_keys.min(self.state.table.options.batch)).then_some(at)
    }

    fn has_room(&self, keys: usize) -> bool {
        let table = &self.state.table;
        let capacity = if table.options.is_async { table.asking.capacity } else { 1 };
        self.on_their_way == 0 || self.on_their_way + keys <= capacity
    }

    /// Sends the requests that are full, or due, as far as there is room.
    fn send(&mut self, now: Instant) -> DataFusionResult<()> {
        let (batch, linger) = (self.state.table.options.batch, self.state.table.options.linger);
        while let Some(first) = self.unsent.front() {
            let came = first.since;
            let is_due = self.unsent_keys >= batch || !self.takes_more() || now >= came + linger;
            let keys = self.unsent_keys.min(batch);
            if !is_due || !self.has_room(keys) {
                return Ok(());
            }
            let pieces = self.pieces(keys);
            let request = Request { values: self.values(&pieces)?, since: counted_from(came, now, linger) };
            self.on_their_way += keys;
            let state = Arc::clone(&self.state);
            self.requests.push(spawn("lookup request", async move { Ok(Answer { pieces, parts: fetch(state, request).await? }) }));
        }
        Ok(())
    }

    /// The first so many of the keys that are not asked for yet.
    fn pieces(&mut self, mut keys: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while keys > 0
            && let Some(mut piece) = self.unsent.pop_front()
        {
            let (from, to) = (piece.keys.start, piece.keys.end);
            let taken = keys.min(to - from);
            if taken < to - from {
                self.unsent.push_front(Piece { keys: from + taken..to, ..piece });
                piece.keys = from..from + taken;
            }
            keys -= taken;
            self.unsent_keys -= taken;
            pieces.push(piece);
        }
        pieces
    }

    /// The values of the keys of some pieces, one array a column.
    fn values(&self, pieces: &[Piece]) -> DataFusionResult<Vec<ArrayRef>> {
        let of_piece = |Piece { question, keys, .. }: &Piece| -> Option<Vec<ArrayRef>> {
            let waiting = self.waiting.get(place(&self.waiting, *question)?)?;
            Some(waiting.values.iter().map(|values| values.slice(keys.start, keys.len())).collect())
        };
        let slices: Vec<Vec<ArrayRef>> = pieces.iter().filter_map(of_piece).collect();
        match slices.as_slice() {
            [] => Ok(Vec::new()),
            [only] => Ok(only.clone()),
            [first, ..] => {
                let column = |column| slices.iter().filter_map(|slices| slices.get(column)).map(AsRef::as_ref).collect::<Vec<_>>();
                Ok((0..first.len()).map(|number| concat(&column(number))).collect::<Result<_, _>>()?)
            }
        }
    }

    /// The keys of a piece, by hash and bytes.
    fn keys(&self, piece: &Piece) -> impl Iterator<Item = (u64, &[u8])> {
        let waiting = place(&self.waiting, piece.question).and_then(|at| self.waiting.get(at));
        let keys = waiting.map(|waiting| (&waiting.resolved.keys, waiting.asked.get(piece.keys.clone()).unwrap_or_default()));
        keys.into_iter().flat_map(|(keys, asked)| asked.iter().filter_map(|key| keys.get(*key)))
    }

    fn take(&mut self, question: Question<T>) -> DataFusionResult<()> {
        let Question { about, keys, bytes } = question;
        let mut held = self.budget.reservation(Use::Lookups);
        held.grow(bytes);
        let mut answers = Answers::new(keys.len());
        held.grow(answer_known(&self.state, &keys, &mut answers).map_err(external)?);
        let number = self.next_number;
        let (mut open, mut asked) = (0, Vec::new());
        for (key, (hash, bytes)) in (0_u32..).zip(keys.hashed()).filter(|(key, _)| answers.is_open(*key)) {
            open += 1;
            let of_waiting = |(question, key): Asker| self.waiting.get(place(&self.waiting, question)?)?.resolved.keys.get(key);
            let is_it = |asked: &Asked| asked.hash == hash && of_waiting(asked.by).is_some_and(|(_, other)| other == bytes);
            match self.asked.entry(hash, is_it, |asked| asked.hash) {
                Entry::Occupied(mut known) => known.get_mut().others.push((number, key)),
                Entry::Vacant(place) => {
                    place.insert(Asked { hash, by: (number, key), others: Vec::new() });
                    asked.push(key);
                }
            }
        }
        self.state.counters.batch(keys.of_row.len(), keys.hottest, keys.len() - open, open);
        let values = keys.values(&asked)?;
        held.grow(values.iter().map(|values| values.get_array_memory_size() as u64).sum());
        if !asked.is_empty() {
            self.unsent_keys += asked.len();
            self.unsent.push_back(Piece { question: number, keys: 0..asked.len(), since: Instant::now() });
        }
        self.waiting.push_back(Waiting { number, asked, values, resolved: Resolved { about, keys, answers, held } });
        self.next_number += 1;
        Ok(())
    }

    fn answered(&mut self, answers: Vec<Answer>) -> DataFusionResult<()> {
        let Answer { pieces, parts } = merged(answers)?;
        let keys = pieces.iter().map(|piece| piece.keys.len()).sum();
        self.on_their_way -= keys;
        self.state.keep(pieces.iter().flat_map(|piece| self.keys(piece)), &parts).map_err(external)?;
        let mut spans = spans(&parts, keys).into_iter();
        let mut others = Vec::new();
        // A question gets each part once, however many keys it has of it.
        let mut sources = BTreeMap::new();
        for Piece { question, keys, .. } in pieces {
            let Some(waiting) = place(&self.waiting, question).and_then(|at| self.waiting.get_mut(at)) else { continue };
            for (key, span) in waiting.asked.get(keys).unwrap_or_default().iter().zip(&mut spans) {
                waiting.resolved.set(*key, span, &parts, question, &mut sources);
                if let Some((hash, _)) = waiting.resolved.keys.get(*key)
                    && let Ok(asked) = self.asked.find_entry(hash, |asked| asked.by == (question, *key))
                {
                    others.extend(asked.remove().0.others.into_iter().map(|other| (other, span)));
                }
            }
        }
        for ((question, key), span) in others {
            let Some(waiting) = place(&self.waiting, question).and_then(|at| self.waiting.get_mut(at)) else { continue };
            waiting.resolved.set(key, span, &parts, question, &mut sources);
        }
        Ok(())
    }

    /// The next question that has all of its answers: the first one only, if rows keep their order.
    fn take_complete(&mut self) -> Option<Resolved<T>> {
        let looked_at = if self.ordered { 1 } else { self.waiting.len() };
        let at = self.waiting.iter().take(looked_at).position(|waiting| waiting.resolved.answers.are_complete())?;
        self.waiting.remove(at).map(|waiting| waiting.resolved)
    }
}

/// When the timeout of a key that came at `came` and is sent at `now` begins: of its wait only the linger counts. A wait for room, or for somebody
/// who takes rows, is not the store's.
fn counted_from(came: Instant, now: Instant, linger: Duration) -> Instant {
    now.checked_sub(linger).map_or(came, |lingered| came.max(lingered))
}

/// Where the question of this number is.
fn place<T>(waiting: &VecDeque<Waiting<T>>, question: u64) -> Option<usize> {
    waiting.binary_search_by_key(&question, |waiting| waiting.number).ok()
}

/// Answers as one, its rows in one batch unless they are very many.
fn merged(mut answers: Vec<Answer>) -> DataFusionResult<Answer> {
    if answers.len() == 1
        && let Some(only) = answers.pop()
    {
        return Ok(only);
    }
    let mut all = Answer { pieces: Vec::new(), parts: Vec::new() };
    let mut before = 0;
    for Answer { pieces, parts } in answers {
        all.parts.extend(parts.into_iter().map(|part| Part { rows: part.rows, keys: part.keys.into_iter().map(|key| key + before).collect() }));
        before += pieces.iter().map(|piece| piece.keys.len() as u32).sum::<u32>();
        all.pieces.extend(pieces);
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

/// Where the rows of a key are in an answer: they stand together, in one part.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    part: u32,
    from: u32,
    to: u32,
}

impl Span {
    /// The same as places, where the part is the source of this number.
    fn places(self, source: u32) -> impl Iterator<Item = Place> {
        (self.from..self.to).map(move |row| (source, row))
    }
}

/// Where the rows of each of so many keys are.
fn spans(parts: &[Part], keys: usize) -> Vec<Span> {
    let mut spans = vec![Span::default(); keys];
    for (number, part) in (0..).zip(parts) {
        for (row, key) in (0..).zip(&part.keys) {
            if let Some(span) = spans.get_mut(*key as usize) {
                let from = if span.from == span.to { row } else { span.from };
                *span = Span { part: number, from, to: row + 1 };
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
