//! Looks for new snapshots and plans them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use weir_catalog::lake::LakeTable;

use super::history::{Known, since};
use super::place::Place;
use super::planned::plan;
use super::shared::Shared;
use crate::error::ConnectorError;
use crate::source::{Cut, Frontier, Gaps, SplitEnumerator, SplitId, SplitPosition};

/// What a stream reads, as the incarnation of its splits: the table, and the snapshot that it began to read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lineage {
    pub(super) uuid: String,
    pub(super) scan: Option<i64>,
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scan {
            Some(scan) => write!(f, "{}@{scan}", self.uuid),
            None => f.write_str(&self.uuid),
        }
    }
}

impl Lineage {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('@') {
            Some((uuid, scan)) => Some(Self { uuid: uuid.to_owned(), scan: Some(scan.parse().ok()?) }),
            None => Some(Self { uuid: text.to_owned(), scan: None }),
        }
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
    /// Snapshots of the last look that are not planned yet are in it.
    table: Option<LakeTable>,
    looked: Option<Instant>,
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
        Ok(Self { shared, start, lineage, known, splits, table: None, looked: None })
    }

    /// Loads the table again if that is due.
    async fn look(&mut self) -> Result<(), ConnectorError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < self.shared.options.interval) {
            return Ok(());
        }
        let table = self.shared.load().await?;
        self.looked = Some(Instant::now());
        let seen = self.table.as_ref().is_some_and(|seen| seen.metadata_location == table.metadata_location);
        if !seen {
            self.table = Some(table);
        }
        Ok(())
    }

    /// Plans the next snapshots, unless there is enough to read.
    async fn plan(&mut self) -> Result<(), ConnectorError> {
        let Some(table) = &self.table else { return Ok(()) };
        let options = &self.shared.options;
        let steps = since(&table.metadata, &options.branch, self.known, options.skip_overwrites).map_err(|why| self.shared.refused(&why))?;
        for step in steps {
            let unread = self.splits.iter().map(|split| split.runs.len()).max().unwrap_or_default();
            if unread >= options.snapshots_at_once {
                return Ok(());
            }
            let planned = Arc::new(plan(&self.shared.name, table, &step, self.splits.len()).await?);
            tracing::debug!(table = self.shared.name, snapshot = step.snapshot().snapshot_id(), sequence = planned.sequence, "snapshot planned");
            let behind = self.shared.offset(Place::start_of(planned.sequence + 1))?;
            for (number, split) in self.splits.iter_mut().enumerate() {
                let place = |row| self.shared.offset(Place { sequence: planned.sequence, row });
                let run = place(0)?.max(split.floor)..place(planned.rows(number))?;
                if !run.is_empty() {
                    split.runs.push_back(run);
                }
                split.end = behind.max(split.end);
            }
            self.known.next = planned.sequence + 1;
            self.known.last = Some(step.snapshot().snapshot_id());
            self.shared.keep(planned);
        }
        Ok(())
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

    async fn frontier(&mut self) -> Result<Frontier, ConnectorError> {
        self.look().await?;
        self.plan().await?;
        Ok(Frontier {
            ends: self.splits.iter().map(|split| (split.id.clone(), self.position(split.end))).collect(),
            gaps: self.splits.iter().map(|split| (split.id.clone(), split.gaps())).collect(),
            ..Frontier::default()
        })
    }

    /// Every file that is read was named by the table with the UUID of the cut.
    async fn confirm(&mut self, _cut: &Cut) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn show_progress(&mut self, committed: &Cut, _last: bool) {
        for split in &mut self.splits {
            if let Some(position) = committed.get(&split.id) {
                split.forget_before(position.offset);
            }
        }
        if let Some(least) = self.splits.iter().map(|split| split.floor).min() {
            self.shared.forget_before(Place::of_offset(least).sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_reads_is_told_and_understood() {
        for lineage in [Lineage { uuid: "u-1".to_owned(), scan: None }, Lineage { uuid: "u-1".to_owned(), scan: Some(77) }] {
            assert_eq!(Lineage::parse(&lineage.to_string()), Some(lineage));
        }
        assert_eq!(Lineage::parse("u@x"), None);
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
