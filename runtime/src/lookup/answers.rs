//! What is known of the keys of one batch: which rows of which record batches each of them has.

use arrow_array::RecordBatch;

/// The rows that the keys of a batch have.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Where rows are.
    sources: Vec<RecordBatch>,
    places: Vec<Place>,
    of_key: Vec<Answer>,
    open: usize,
}

/// Where a row is: the number of a source, and of a row in it.
pub(super) type Place = (u32, u32);

#[derive(Debug, Clone, Copy)]
enum Answer {
    Open,
    /// Where the places of its rows begin, and how many there are: none for a miss.
    Rows(usize, u32),
}

impl Answers {
    /// Nothing is known of `keys` keys.
    pub(super) fn new(keys: usize) -> Self {
        Self { sources: Vec::new(), places: Vec::with_capacity(keys), of_key: vec![Answer::Open; keys], open: keys }
    }

    /// Whether all keys have their answer.
    pub(super) fn are_complete(&self) -> bool {
        self.open == 0
    }

    /// Whether a key has no answer yet.
    pub(super) fn is_open(&self, key: u32) -> bool {
        matches!(self.of_key.get(key as usize), Some(Answer::Open))
    }

    /// Adds rows that answers may be of; gives the number of the source.
    pub(super) fn add_source(&mut self, rows: RecordBatch) -> u32 {
        self.sources.push(rows);
        self.sources.len() as u32 - 1
    }

    /// Sets the rows of a key; the first answer counts.
    pub(super) fn set(&mut self, key: u32, places: impl IntoIterator<Item = Place>) {
        let Some(answer @ Answer::Open) = self.of_key.get_mut(key as usize) else { return };
        let from = self.places.len();
        self.places.extend(places);
        *answer = Answer::Rows(from, (self.places.len() - from) as u32);
        self.open -= 1;
    }

    /// The rows of a key.
    pub(super) fn rows_of(&self, key: u32) -> &[Place] {
        match self.of_key.get(key as usize) {
            Some(Answer::Rows(from, rows)) => self.places.get(*from..from + *rows as usize).unwrap_or_default(),
            Some(Answer::Open) | None => &[],
        }
    }

    /// What the places take in memory, without the rows.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(self.places.as_slice()) as u64
    }

    /// Where the rows are.
    pub(super) fn sources(&self) -> &[RecordBatch] {
        &self.sources
    }
}
