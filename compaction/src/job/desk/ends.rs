//! How rewrites end, and what their failures come to.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use weir_base::{Classified, ErrorKind};
use weir_catalog::lake::LakeTable;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{LakeTarget, SortBy};

use super::super::failures::Failures;
use super::super::rewriting::Rewrite;
use super::Desk;
use crate::policy::{Group, Way};
use crate::run::{Failed, Report};
use crate::table::{LiveTable, PartitionKey};

impl Desk {
    /// Plans again with what was left alone for long enough.
    pub(super) fn release(&mut self) {
        if Instant::now() < self.ready {
            return;
        }
        let released = self.failures.release(Instant::now());
        if let Some(live) = &mut self.live {
            live.inventory.release_files(&released);
        }
    }

    /// Forgets failures of files that are neither planned with nor being rewritten.
    pub(super) fn forget_unwanted(&mut self, planned: &[Group<PartitionKey>]) {
        if self.failures.most() == 0 {
            return;
        }
        let rewritten = self.copying.iter().chain(&self.decoding).flat_map(|rewrite| &rewrite.groups);
        let wanted: HashSet<&str> = planned.iter().chain(rewritten).flat_map(|group| &group.files).map(|file| file.path.as_str()).collect();
        self.failures.keep(|path| wanted.contains(path));
    }

    /// Takes in how a rewrite ended.
    pub(super) fn end(&mut self, way: Way, (rewrite, done): (Rewrite, Result<Report, Failed>)) -> Result<(), ConnectorError> {
        if let Some(live) = &mut self.live {
            rewrite.groups.iter().for_each(|group| live.inventory.release(group));
        }
        let (report, error) = match done {
            Ok(report) => (report, None),
            Err(Failed { report, error }) => (*report, Some(error)),
        };
        let took = rewrite.began.elapsed();
        self.note(way, &report, error.is_none().then_some(took));
        let to_blame = rewrite.to_blame(error.is_some());
        let Report { gave_way, commits, .. } = report;
        if way == Way::Copy {
            if error.is_some() || (gave_way > 0 && commits == 0) {
                self.trigger.failed();
            } else {
                self.trigger.finished();
                self.recount();
            }
        }
        let error =
            error.or_else(|| (gave_way > 0).then(|| ConnectorError::new(ErrorKind::Conflict, format!("it gave way to others {gave_way} times"))));
        let in_vain = error.is_some() && commits == 0;
        let of_way = if in_vain { self.failures.in_vain(way, Instant::now()) } else { 0 };
        if !in_vain {
            self.failures.succeeded(way);
        }
        match error {
            Some(error) => self.failed(way, &to_blame, of_way, error),
            None => {
                self.failures.done(&rewrite.groups);
                Ok(())
            }
        }
    }

    /// Tells what a rewrite has done; it `took` so long if it did not fail.
    fn note(&self, way: Way, report: &Report, took: Option<Duration>) {
        self.board.send_modify(|status| {
            status.done = status.done.plus(*report);
            match took {
                Some(_) => (status.last_rewrite, status.last_duration) = (Some(SystemTime::now()), took),
                None => status.failures += 1,
            }
        });
        let Some(took) = took else { return };
        let Report { files_before, files_after, bytes_before, bytes_after, gave_way, .. } = *report;
        let table = self.parts.target.name();
        tracing::info!(job = self.parts.job, %table, way = way.as_str(), files_before, files_after, bytes_before, bytes_after, gave_way, ?took, "compacted");
    }

    /// These groups are left alone for a while, and the next try is smaller; `of_way` runs in a row were in vain. If it is the table that
    /// hinders, nothing is tried any more.
    ///
    /// # Errors
    /// The failure itself, if there were too many in a row.
    fn failed(&mut self, way: Way, groups: &[Group<PartitionKey>], of_way: u32, error: ConnectorError) -> Result<(), ConnectorError> {
        if let Some(why) = self.live.as_ref().and_then(|live| hindrance(&live.table, &self.parts.target)) {
            self.switch_off(why);
            return Ok(());
        }
        let failures = self.failures.failed(groups, Instant::now()).max(of_way);
        if let Some(live) = &mut self.live {
            live.inventory.hold_files(self.failures.waiting());
        }
        let mut partitions: Vec<String> = groups.iter().map(|group| group.partition.to_string()).collect();
        partitions.dedup();
        let (first, more) = (partitions.first().cloned().unwrap_or_default(), partitions.len().saturating_sub(1));
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        self.give_up(&format!("{} of partition {first}{more}", way.as_str()), failures, error)
    }

    /// The table could not be read, or `what` else there is to do not be done: it is tried again later.
    ///
    /// # Errors
    /// The failure itself, if there were too many in a row.
    pub(super) fn unsettled(&mut self, what: &str, error: ConnectorError) -> Result<(), ConnectorError> {
        self.pace.failed();
        self.ready = Instant::now() + self.pace.wait();
        self.give_up(what, self.pace.failures(), error)
    }

    /// # Errors
    /// The failure itself, if there were so many in a row, or the job was taken over.
    fn give_up(&self, what: &str, failures: u32, error: ConnectorError) -> Result<(), ConnectorError> {
        let (table, most) = (self.parts.target.name(), self.settings.max_failures);
        let told = weir_base::error::chain(&error);
        tracing::warn!(job = self.parts.job, %table, what, failures, error = told, "a rewrite failed, and is tried again later");
        self.board.send_modify(|status| status.last_error = Some(format!("{what}: {told}")));
        if error.kind() == ErrorKind::Fenced {
            return Err(error);
        }
        if failures < most {
            return Ok(());
        }
        let what = format!("table {table} could not be compacted {failures} times in a row ('compact.max-consecutive-failures' = '{most}'): {what}");
        Err(ConnectorError::new(error.kind(), format!("{what}: {error}")).with_source(error))
    }

    /// The table cannot be compacted, and that will not change by itself.
    pub(super) fn switch_off(&mut self, why: String) {
        tracing::warn!(job = self.parts.job, table = %self.parts.target.name(), why, "the table is not compacted");
        self.board.send_modify(|status| status.last_error = Some(why));
        (self.off, self.live, self.failures) = (true, None, Failures::default());
        self.charged.resize(0);
    }
}

/// Why a table cannot be compacted, whatever is tried: its format, a branch that is not there, an order that does not fit its columns.
pub(super) fn hindrance(table: &LakeTable, target: &LakeTarget) -> Option<String> {
    let order = || SortBy::of(target.upkeep.sort_order.as_deref(), &table.metadata).map(drop);
    let fits = LiveTable::check(table, target.branch.as_deref()).and_then(|()| order());
    fits.err().map(|error| error.to_string())
}
