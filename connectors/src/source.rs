//! What a stream source is.
//!
//! The coordinator of a job commands where each split's reading ends. It asks the [`SplitEnumerator`] how far each split can be read
//! now, and lets the [`SplitReader`]s read up to positions of its choice. Readers live across epochs and keep reading ahead; an epoch ends
//! when every reader has reached the commanded end, so the ends together are a consistent cut.

mod gaps;

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use weir_base::memory::MemoryBudget;

use crate::error::ConnectorError;
use crate::letters::{DeadLetters, ResendTo, Resender};

pub use gaps::Gaps;
pub use weir_catalog::marker::{Cut, Cuts, SplitId, SplitPosition};

/// How far the splits can be read at the moment of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    /// End of each known split, exclusive; for Kafka the last stable offset. Bounded: never past the bound.
    pub ends: Cut,
    /// Splits found since the last call, with the positions at which they begin. They are in `ends` too.
    pub discovered: Cut,
    /// The source is bounded and `ends` are its final ends.
    pub finished: bool,
    /// Where the positions of a split are not dense. For splits that are not named here, every position may hold a record.
    pub gaps: BTreeMap<SplitId, Gaps>,
}

/// A stream source, made from a table declaration. Making it does no I/O.
#[async_trait]
pub trait StreamSource: fmt::Debug + Send + Sync {
    /// All columns the source can deliver, in declared order.
    fn schema(&self) -> SchemaRef;

    /// The column that says what a row is, where rows are changes: a query that does not look at it would take removed rows for new ones.
    fn row_kind(&self) -> Option<&'static str> {
        None
    }

    /// Where the source's dead letters go; `None`: it delivers none.
    fn dead_letters(&self) -> Option<&DeadLetters> {
        None
    }

    /// Connects to where the source's messages come from, to send dead letters there.
    ///
    /// # Errors
    /// The source has no such place (user); a server that cannot be reached.
    async fn resender(&self, _to: &ResendTo) -> Result<Box<dyn Resender>, ConnectorError> {
        Err(ConnectorError::user("this source has no dead letters"))
    }

    /// Whether the source ends by itself.
    fn is_bounded(&self) -> bool;

    /// Connects and finds the splits. `restored` is the cut of a checkpoint, and wins over every start option.
    ///
    /// # Errors
    /// A server that cannot be reached (transient); a lost range, a deleted or recreated split, or no start position (user).
    async fn enumerator(&self, restored: Option<&Cut>) -> Result<Box<dyn SplitEnumerator>, ConnectorError>;

    /// A reader of one split that begins at `from`. It delivers the columns `projection` of [`Self::schema`], in that order.
    ///
    /// Readers of one source share its connection. `budget` is charged for what is fetched and not yet delivered.
    ///
    /// # Errors
    /// As [`Self::enumerator`].
    async fn reader(
        &self,
        split: &SplitId,
        from: &SplitPosition,
        projection: &[usize],
        budget: &MemoryBudget,
    ) -> Result<Box<dyn SplitReader>, ConnectorError>;
}

/// Finds splits and their ends; one for each source of a running job.
#[async_trait]
pub trait SplitEnumerator: Send + fmt::Debug {
    /// Where each split begins, as found when the enumerator was made.
    fn start(&self) -> &Cut;

    /// Says which source of which job reads the splits, before any of them is read; for what tells others of its readers.
    fn read_by(&mut self, _job: &str, _source: &str) {}

    /// The ends as of now. Cheap enough to be called several times a second.
    ///
    /// # Errors
    /// Transient ones may be retried by calling again.
    async fn frontier(&mut self) -> Result<Frontier, ConnectorError>;

    /// Returns when there is reason to ask for the frontier before the usual time; never, if the source has no way to know. Cancel safe.
    async fn news(&mut self) {
        std::future::pending().await
    }

    /// Looks whether the splits of `cut`, which have been read up to it, are still those whose incarnations it names. Asked between the last
    /// row of an epoch and its checkpoint, so that rows of another split of the same name are never committed as the old one's.
    ///
    /// # Errors
    /// A split is gone, or another one by now (user). Transient ones may be retried by calling again.
    async fn confirm(&mut self, cut: &Cut) -> Result<(), ConnectorError>;

    /// Tells the server how far the job has committed, for display only. Does nothing where there is no such thing. With `last`, after which
    /// nothing more will be told, it waits for the server's answer; how long is up to the caller.
    async fn show_progress(&mut self, committed: &Cut, last: bool);
}

/// What a reader gives.
#[derive(Debug)]
pub enum Read {
    /// Rows, all before the commanded end. `position` is the offset after the last of them.
    Rows {
        /// The projected columns; at least one row.
        batch: RecordBatch,
        /// Offset of the next record not yet delivered.
        position: i64,
    },
    /// Dead letters, all before the commanded end: messages that gave no row, with the columns of [`crate::letters::letter_schema`]. The
    /// position is still before them.
    Letters {
        /// At least one.
        batch: RecordBatch,
    },
    /// Everything before the commanded end has been delivered; the reader's position is at or after it (gaps are normal).
    Reached,
}

/// Reads one split, in order. Cancel safe: a dropped `next` loses no rows.
#[async_trait]
pub trait SplitReader: Send + fmt::Debug {
    /// The next rows before `until` (exclusive), or [`Read::Reached`]. Waits if there is nothing yet.
    ///
    /// A later call may have a later `until`: rows past an earlier one were kept back and come first.
    ///
    /// # Errors
    /// A record that cannot be decoded and may not be skipped (user): nothing is lost, the position stays before it. Connection trouble is
    /// waited out, not reported, unless the split itself is gone.
    async fn next(&mut self, until: i64) -> Result<Read, ConnectorError>;

    /// Offset of the next record that [`Self::next`] would deliver.
    fn position(&self) -> i64;
}
