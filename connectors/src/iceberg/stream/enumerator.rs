//! Looks for new snapshots and plans them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_base::{Classified, ErrorKind};
use weir_catalog::lake::LakeTable;

use super::history::{Known, since};
use super::news::listen;
use super::place::Place;
use super::planned::Planner;
use super::registration::Registration;
use super::shared::Shared;
use crate::error::ConnectorError;
use crate::source::{Cut, Frontier, Gaps, SplitEnumerator, SplitId, SplitPosition};

/// The shortest wait between two looks at the catalog.
const SHORTEST: Duration = Duration::from_millis(20);

/// What a stream reads, as the incarnation of its splits: the table, the snapshot that it began to read whole, and how files are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lineage {
    pub(super) uuid: String,
    pub(super) scan: Option<i64>,
    /// Files of more bytes are cut into pieces; none if no file is.
    pub(super) piece: Option<u64>,
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uuid)?;
        if let Some(scan) = self.scan {
            write!(f, "@{scan}")?;
        }
        match self.piece {
            Some(piece) => write!(f, "/{piece}"),
            None => Ok(()),
        }
    }
}

impl Lineage {
    fn parse(text: &str) -> Option<Self> {
        let (text, piece) = match text.split_once('/') {
            Some((text, piece)) => (text, Some(piece.parse().ok()?)),
            None => (text, None),
        };
        let (uuid, scan) = match text.split_once('@') {
            Some((uuid, scan)) => (uuid, Some(scan.parse().ok()?)),
            None => (text, None),
        };
        Some(Self { uuid: uuid.to_owned(), scan, piece })
    }
}

/// Finds the snapshots of a table, one round after another.
#[derive(Debug)]
pub(super) struct LakeEnumerator {
    shared: Arc<Shared>,
    start: Cut,
    lineage: Lineage,
    known: Known,
    splits: Vec<Split>,
    /// Sequence numbers of snapshots that are planned and not read to their end by all splits.
    unread: VecDeque<i64>,
    /// The table as of the last look, while it has snapshots that are not planned yet.
    table: Option<LakeTable>,
    /// Where its metadata was at the last look.
    seen: Option<String>,
    looked: Option<Instant>,
    news: watch::Receiver<u64>,
    patience: Patience,
    registration: Option<Registration>,
}

/// How many failures in a row are waited out.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Less than none: all.
    allowed: i64,
    failed: i64,
}

impl Patience {
    /// Notes a failure; false if it was one too many.
    fn lasts(&mut self) -> bool {
        self.failed += 1;
        self.allowed < 0 || self.failed <= self.allowed
    }
}

/// What is known of a split's positions.
#[derive(Debug)]
struct Split {
    id: SplitId,
    /// Nothing before it is asked for any more.
    floor: i64,
    /// Where its rows are, in order.
    runs: VecDeque<Range<i64>>,
    /// Behind all snapshots that are planned.
    end: i64,
}

impl LakeEnumerator {
    /// Goes on at `start`, which names all splits.
    pub(super) fn new(shared: Arc<Shared>, start: Cut) -> Result<Self, ConnectorError> {
        let incarnation = start.values().find_map(|position| position.incarnation.as_deref());
        let lineage = incarnation.and_then(Lineage::parse).ok_or_else(|| shared.refused("the checkpoint does not say which table was read"))?;
        if lineage.uuid != shared.uuid {
            let what = format!("it was dropped and created again: it has UUID {}, and the checkpoint has read {}", shared.uuid, lineage.uuid);
            return Err(shared.refused(&format!("{what}. To read the new table, start a job of another name")));
        }
        let splits: Vec<Split> = (0..start.len())
            .filter_map(|number| {
                let id = SplitId(number.to_string());
                let floor = start.get(&id)?.offset;
                Some(Split { id, floor, runs: VecDeque::new(), end: floor })
            })
            .collect();
        if splits.len() != start.len() {
            return Err(shared.refused("the checkpoint has splits that are none of an Iceberg table's"));
        }
        let next = splits.iter().map(|split| Place::of_offset(split.floor).sequence).min().unwrap_or_default();
        let known = Known { next, last: None, scan: lineage.scan };
        let news = listen(&shared.uuid);
        let patience = Patience { allowed: shared.options.failures, failed: 0 };
        Ok(Self {
            shared,
            start,
            lineage,
            known,
            splits,
            unread: VecDeque::new(),
            table: None,
            seen: None,
            looked: None,
            news,
            patience,
            registration: None,
        })
    }

    /// Loads the table again if that is due.
    async fn look(&mut self) -> Result<(), ConnectorError> {
        let told = self.news.has_changed().unwrap_or(false);
        if !told && self.looked.is_some_and(|looked| looked.elapsed() < self.shared.options.interval) {
            return Ok(());
        }
        self.news.mark_unchanged();
        let table = self.shared.load().await?;
        self.looked = Some(Instant::now());
        if self.seen.as_ref() != Some(&table.metadata_location) {
            self.seen = Some(table.metadata_location.clone());
            self.table = Some(table);
        }
        Ok(())
    }

    /// Plans the next snapshots, unless there is enough to read.
    async fn plan(&mut self) -> Result<(), ConnectorError> {
        let Some(table) = &self.table else { return Ok(()) };
        let options = &self.shared.options;
        let steps = since(&table.metadata, &options.branch, self.known, options.overwrites).map_err(|why| self.shared.refused(&why))?;
        let planner = Planner {
            name: &self.shared.name,
            file_systems: self.shared.catalog.file_systems(),
            splits: self.splits.len(),
            piece: self.lineage.piece,
        };
        for step in steps {
            if self.unread.len() >= options.snapshots_at_once {
                return Ok(());
            }
            let planned = Arc::new(planner.plan(table, &step).await?);
            tracing::debug!(table = self.shared.name, snapshot = step.snapshot().snapshot_id(), sequence = planned.sequence, "snapshot planned");
            let behind = self.shared.offset(Place::start_of(planned.sequence + 1))?;
            let mut has_rows = false;
            for (number, split) in self.splits.iter_mut().enumerate() {
                let place = |row| self.shared.offset(Place { sequence: planned.sequence, row });
                let run = place(0)?.max(split.floor)..place(planned.rows(number))?;
                if !run.is_empty() {
                    split.runs.push_back(run);
                    has_rows = true;
                }
                split.end = behind.max(split.end);
            }
            self.unread.extend(has_rows.then_some(planned.sequence));
            self.known.next = planned.sequence + 1;
            self.known.last = Some(step.snapshot().snapshot_id());
            self.shared.keep(planned);
        }
        self.table = None;
        Ok(())
    }

    /// Looks and plans. A failure that may pass is told as one as long as the options allow; then it ends the attempt, and the job's restart
    /// strategy decides.
    async fn advance(&mut self) -> Result<(), ConnectorError> {
        let advanced = match self.look().await {
            Ok(()) => self.plan().await,
            error => error,
        };
        match advanced {
            Ok(()) => {
                self.patience.failed = 0;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Transient && !self.patience.lasts() => {
                let Patience { allowed, failed } = self.patience;
                let what = format!("table {}: its snapshots could not be planned {failed} times in a row: {error}", self.shared.name);
                Err(ConnectorError::new(ErrorKind::Conflict, format!("{what}. 'max-allowed-planning-failures' allows {allowed}")).with_source(error))
            }
            error => error,
        }
    }

    /// The sequence number before which everything is in a checkpoint.
    fn done_before(&self) -> i64 {
        self.splits.iter().map(|split| Place::of_offset(split.floor).sequence).min().unwrap_or_default()
    }

    fn position(&self, offset: i64) -> SplitPosition {
        SplitPosition { offset, incarnation: Some(self.lineage.to_string()) }
    }
}

impl Split {
    /// Where it has no rows, between what is asked for and the end.
    fn gaps(&self) -> Gaps {
        let starts = self.runs.iter().map(|run| run.start).chain([self.end]);
        let ends = [self.floor].into_iter().chain(self.runs.iter().map(|run| run.end));
        Gaps::new(ends.zip(starts).map(|(end, start)| end..start))
    }

    fn forget_before(&mut self, offset: i64) {
        self.floor = self.floor.max(offset.min(self.end));
        while self.runs.front().is_some_and(|run| run.end <= self.floor) {
            self.runs.pop_front();
        }
    }
}

#[async_trait]
impl SplitEnumerator for LakeEnumerator {
    fn start(&self) -> &Cut {
        &self.start
    }

    fn read_by(&mut self, job: &str, source: &str) {
        self.registration = Some(Registration::new(&self.shared, job, source));
    }

    async fn frontier(&mut self) -> Result<Frontier, ConnectorError> {
        let done = self.done_before();
        if let Some(registration) = &mut self.registration {
            registration.tell(done);
        }
        self.advance().await?;
        Ok(Frontier {
            ends: self.splits.iter().map(|split| (split.id.clone(), self.position(split.end))).collect(),
            gaps: self.splits.iter().map(|split| (split.id.clone(), split.gaps())).collect(),
            ..Frontier::default()
        })
    }

    async fn news(&mut self) {
        let interval = self.shared.options.interval;
        let left = self.looked.map_or(Duration::ZERO, |looked| interval.saturating_sub(looked.elapsed())).max(SHORTEST);
        tokio::select! {
            // An error means that nobody will ever tell of anything: the time decides.
            Ok(()) = self.news.changed() => self.news.mark_changed(),
            () = tokio::time::sleep(left) => {}
        }
    }

    /// Every file that is read was named by the table with the UUID of the cut.
    async fn confirm(&mut self, _cut: &Cut) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn show_progress(&mut self, committed: &Cut, last: bool) {
        for split in &mut self.splits {
            if let Some(position) = committed.get(&split.id) {
                split.forget_before(position.offset);
            }
        }
        let sequence = self.done_before();
        self.unread.retain(|planned| *planned >= sequence);
        self.shared.forget_before(sequence);
        if let (Some(registration), true) = (&mut self.registration, last) {
            registration.tell_last(sequence).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_reads_is_told_and_understood() {
        for (scan, piece) in [(None, None), (Some(77), None), (None, Some(128)), (Some(77), Some(128))] {
            let lineage = Lineage { uuid: "u-1".to_owned(), scan, piece };
            assert_eq!(Lineage::parse(&lineage.to_string()), Some(lineage));
        }
        assert_eq!((Lineage::parse("u@x"), Lineage::parse("u/x")), (None, None));
    }

    #[test]
    fn as_many_failures_in_a_row_as_are_allowed_are_waited_out() {
        let lasts = |allowed| {
            let mut patience = Patience { allowed, failed: 0 };
            (0..4).map(|_| patience.lasts()).collect::<Vec<_>>()
        };
        assert_eq!((lasts(2), lasts(0)), (vec![true, true, false, false], vec![false; 4]));
        assert_eq!(lasts(-1), [true; 4]);
    }

    #[test]
    fn gaps_are_all_that_is_between_the_rows() {
        let mut split = Split { id: SplitId("0".to_owned()), floor: 5, runs: [10..20, 30..31].into(), end: 40 };
        assert_eq!(split.gaps(), Gaps::new([5..10, 20..30, 31..40]));
        split.forget_before(20);
        assert_eq!((split.gaps(), split.runs.len()), (Gaps::new([20..30, 31..40]), 1));
        split.forget_before(100);
        assert_eq!((split.gaps(), split.floor), (Gaps::default(), 40));
    }
}
