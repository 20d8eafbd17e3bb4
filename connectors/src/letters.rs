//! What becomes of messages that give no row: options that every source of messages shares, dead letters as rows, and the share of messages
//! that may be lost.
//!
//! A job writes dead letters into a table of their own, in the same epoch as the rows of the messages around them: to the runtime that table is
//! one more sink of the job, so each message is in a target or in the dead-letter table, once, whatever happens.

mod places;

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use weir_base::options::{OptionBag, OptionDecl, Position, ValueType, normalise};

use crate::error::ConnectorError;

pub use places::Places;

/// `error.mode`.
pub const ERROR_MODE: OptionDecl = OptionDecl::new(
    "error.mode",
    ValueType::Enum(&["fail", "skip", "dead-letter"]),
    "What a message that cannot be read does: it ends the job, is left out and counted, or goes into `error.table`.",
)
.default("fail");

/// `error.table`.
pub const ERROR_TABLE: OptionDecl = OptionDecl::new(
    "error.table",
    ValueType::String,
    "The Iceberg table for messages that cannot be read, with `error.mode` = `dead-letter`: `catalog.database.table`.",
);

/// `error.max-rate`.
pub const ERROR_MAX_RATE: OptionDecl = OptionDecl::new(
    "error.max-rate",
    ValueType::Double,
    "The job ends if a larger share of the last messages (100 to 20,000 of them) cannot be read: a number above 0, up to 1. Default: no limit.",
);

/// What becomes of a bad message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorMode {
    /// It ends the job, unless the format's options tolerate it.
    Fail,
    /// It is left out and counted.
    Skip,
    /// It becomes a dead letter.
    DeadLetter,
}

/// Where dead letters go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// The table's name as the user wrote it.
    pub table: String,
    /// Where it was written.
    pub position: Option<Position>,
}

/// The options together.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorHandling {
    /// What becomes of bad messages.
    pub mode: ErrorMode,
    /// The table, with [`ErrorMode::DeadLetter`].
    pub letters: Option<DeadLetters>,
    /// The share of messages that may be bad.
    pub max_rate: Option<f64>,
}

impl ErrorHandling {
    /// Pulls the options. `None` if a problem was found.
    pub fn pull(bag: &mut OptionBag) -> Option<Self> {
        let mode = bag.choice(&ERROR_MODE);
        let table = bag.string(&ERROR_TABLE);
        let max_rate = bag.contains(ERROR_MAX_RATE.key).then(|| max_rate(bag));
        let mode = match mode? {
            "skip" => ErrorMode::Skip,
            "dead-letter" => ErrorMode::DeadLetter,
            _ => ErrorMode::Fail,
        };
        if mode == ErrorMode::DeadLetter && table.is_none() {
            bag.error("OPT-005", ERROR_MODE.key, "'error.table' is required in 'dead-letter' error mode but missing.");
            return None;
        }
        if mode != ErrorMode::DeadLetter && table.is_some() {
            bag.warn("OPT-008", ERROR_TABLE.key, "'error.table' has no effect because 'error.mode' is not 'dead-letter'.");
        }
        let position = bag.position(ERROR_TABLE.key);
        let letters = table.filter(|_| mode == ErrorMode::DeadLetter).map(|table| DeadLetters { table, position });
        let max_rate = match max_rate {
            Some(rate) => Some(rate?),
            None => None,
        };
        Some(Self { mode, letters, max_rate })
    }
}

fn max_rate(bag: &mut OptionBag) -> Option<f64> {
    let rate = bag.double(&ERROR_MAX_RATE)?;
    let fits = rate > 0.0 && rate <= 1.0;
    if !fits {
        bag.error("OPT-007", ERROR_MAX_RATE.key, format!("'error.max-rate' must be > 0 and <= 1, but is {rate}."));
    }
    fits.then_some(rate)
}

/// The options of a table for a query, which has no place for dead letters: bad messages are left out and counted. `None`: there is nothing to change.
#[must_use]
pub fn without_letters(options: &OptionBag) -> Option<OptionBag> {
    options.peek(ERROR_MODE.key).filter(|mode| normalise(mode) == "dead-letter")?;
    let mut others = OptionBag::new(options.object());
    for (key, value) in options.iter().filter(|(key, _)| *key != ERROR_TABLE.key) {
        others.insert(key, if key == ERROR_MODE.key { "skip" } else { value }, options.position(key));
    }
    Some(others)
}

/// The columns of dead letters as a source delivers them; a job adds its own name and that of the source.
#[must_use]
pub fn letter_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let header = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
        let headers = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(header.into()), false)), false);
        Arc::new(Schema::new(vec![
            Field::new("topic", DataType::Utf8, false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            Field::new("timestamp", time.clone(), true),
            Field::new("headers", headers, false),
            Field::new("key", DataType::Binary, true),
            Field::new("raw", DataType::Binary, false),
            Field::new("column", DataType::Utf8, true),
            Field::new("error", DataType::Utf8, false),
            Field::new("time", time, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// How dead letters are sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResendTo {
    /// Who sends: of all that is sent under one id, each letter is sent once.
    pub id: String,
    /// Another topic than the one that each came from.
    pub topic: Option<String>,
    /// What is known to have been sent before.
    pub sent: Places,
}

/// What became of some letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resent {
    /// Sent now.
    pub sent: u64,
    /// Sent before, under the same id.
    pub before: u64,
    /// How far all that was sent under the id has come, in the partitions of these letters.
    pub reached: Places,
}

/// Sends dead letters back to where a source reads them.
#[async_trait]
pub trait Resender: Send + fmt::Debug {
    /// Sends `letters`, which have columns of [`letter_schema`] by name and are sorted by topic, partition and offset: all of them or none.
    ///
    /// # Errors
    /// The server's. If the outcome is unknown, asking again sends what was not sent.
    async fn send(&mut self, letters: RecordBatch) -> Result<Resent, ConnectorError>;
}

/// Messages that must have been seen before their bad ones are a share.
const FEWEST: u64 = 100;
/// Messages after which older ones begin to count less.
const MOST: u64 = 20_000;

/// The share of bad ones among the last messages of a table.
#[derive(Debug)]
pub struct LossRate {
    most: f64,
    seen: u64,
    bad: u64,
}

impl LossRate {
    /// Nothing seen; `most` is the share that is allowed.
    #[must_use]
    pub fn new(most: f64) -> Self {
        Self { most, seen: 0, bad: 0 }
    }

    /// Counts `seen` messages, `bad` among them; too many bad ones are given back, with the messages that they were among.
    pub fn count(&mut self, seen: usize, bad: usize) -> Option<(u64, u64)> {
        self.seen += seen as u64;
        self.bad += bad as u64;
        let found = (self.bad, self.seen);
        let exceeded = self.seen >= FEWEST && self.bad as f64 > self.most * self.seen as f64;
        while self.seen > MOST {
            self.seen /= 2;
            self.bad /= 2;
        }
        exceeded.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(entries: &[(&str, &str)]) -> Result<ErrorHandling, String> {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        for (key, value) in entries {
            bag.insert(*key, *value, None);
        }
        let handling = ErrorHandling::pull(&mut bag);
        match bag.finish("kafka", &[&ERROR_MODE, &ERROR_TABLE, &ERROR_MAX_RATE], &[]) {
            Ok(_) => Ok(handling.expect("no problem, so there is a value")),
            Err(problems) => Err(problems.to_string()),
        }
    }

    #[test]
    fn the_options_are_checked_together() {
        assert_eq!(pull(&[]), Ok(ErrorHandling { mode: ErrorMode::Fail, letters: None, max_rate: None }));
        assert_eq!(
            pull(&[("error.mode", "skip"), ("error.max-rate", "0.1")]).map(|found| (found.mode, found.max_rate)),
            Ok((ErrorMode::Skip, Some(0.1)))
        );
        let letters = pull(&[("error.mode", "dead-letter"), ("error.table", "lake.db.bad")]).expect("valid");
        assert_eq!((letters.mode, letters.letters.map(|letters| letters.table)), (ErrorMode::DeadLetter, Some("lake.db.bad".to_owned())));
        for (entries, phrase) in [
            (&[("error.mode", "dead-letter")][..], "'error.table' is required in 'dead-letter' error mode but missing."),
            (&[("error.mode", "dead-leter")], "Expected one of: [fail, skip, dead-letter]. Did you mean 'dead-letter'?"),
            (&[("error.max-rate", "5")], "'error.max-rate' must be > 0 and <= 1, but is 5."),
            (&[("error.max-rate", "5 %")], "'5 %' is not a number."),
        ] {
            let text = pull(entries).expect_err(phrase);
            assert!(text.contains(phrase), "{phrase}\nnot in\n{text}");
        }
    }

    #[test]
    fn a_share_is_one_of_enough_messages_and_of_the_last_ones() {
        let mut rate = LossRate::new(0.1);
        assert_eq!(rate.count(99, 50), None, "too few to tell");
        assert_eq!(rate.count(1, 0), Some((50, 100)));
        let mut rate = LossRate::new(0.1);
        assert_eq!(rate.count(1_000, 100), None, "no more than allowed");
        assert_eq!(rate.count(1, 1), Some((101, 1_001)));
        let mut rate = LossRate::new(0.5);
        for _ in 0..1_000 {
            assert_eq!(rate.count(10_000, 0), None);
        }
        let batches = (1..).find(|_| rate.count(1_000, 1_000).is_some());
        assert!(batches.is_some_and(|batches| batches <= 30), "millions of good messages do not hide that all are bad now");
    }
}
