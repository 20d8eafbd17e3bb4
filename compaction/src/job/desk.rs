//! What the coordinator has before it, and what it does with it: counts commits, plans, begins and ends rewrites and expiries.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use weir_base::cpu::CpuMeter;
use weir_base::memory::{Reservation, Use};
use weir_base::task::spawn;
use weir_catalog::CatalogError;
use weir_catalog::commit::{Expired, News, TableCommitter};
use weir_catalog::lake::LakeTable;
use weir_catalog::upkeep::{Journal, Keeper, Recovered};
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{LakeTarget, SortBy, catalog_error};

use super::coordinator::{Coordinator, Parts};
use super::expiry::{Expiry, expired, told};
use super::failures::Failures;
use super::rewriting::{Noted, Rewrite, ended};
use super::settings::Settings;
use super::status::{Activity, Status};
use super::trigger::Trigger;
use super::uncovered::uncovered;
use crate::pace::Pace;
use crate::policy::{Group, Options, Way};
use crate::run::{Compactor, Failed, Plan, Request};
use crate::table::{LiveTable, PartitionKey};

mod ends;

use ends::hindrance;

/// How long the end of a job waits for an expiry.
const PATIENCE: Duration = Duration::from_secs(3);

/// In whose name upkeep is journaled and fenced: that of no sink, because the sinks of a job may change.
const KEEPER: &str = "table";

/// What the coordinator has before it.
#[derive(Debug)]
pub(super) struct Desk {
    parts: Parts,
    settings: Settings,
    sort: Option<SortBy>,
    committer: Arc<TableCommitter>,
    journal: Arc<Journal>,
    board: watch::Sender<Status>,
    meter: CpuMeter,
    /// Ends rewrites early.
    stop: CancellationToken,
    /// `None` until it is read.
    live: Option<LiveTable>,
    /// The table cannot be compacted.
    off: bool,
    /// It was told that epochs are made longer.
    slowed: bool,
    /// What earlier attempts have left is deleted.
    recovered: bool,
    /// Commits up to this sequence number are counted.
    counted: i64,
    /// Commits went by unheard while files were copied: what the copy has covered is known when it has ended.
    missed: bool,
    trigger: Trigger,
    /// Failures to read the table, or to delete what earlier attempts have left.
    pace: Pace,
    /// Not before this is anything begun.
    ready: Instant,
    /// Rewrites that fail.
    failures: Failures,
    copying: Option<Rewrite>,
    decoding: Option<Rewrite>,
    expiry: Option<Expiry>,
    charged: Reservation,
}

impl Desk {
    /// # Errors
    /// A sort order that does not fit the table (user).
    pub(super) fn new(of: &Coordinator, table: &LakeTable, stop: &CancellationToken) -> Result<Self, ConnectorError> {
        let parts = of.parts.clone();
        let mut settings = Settings::of(&parts.target.upkeep, table.metadata.properties(), parts.parallelism);
        let refused = |error| {
            let way = "Give another in a hint, /*+ OPTIONS('compact.sort-order' = '…') */, or leave 'auto-compact' off";
            ConnectorError::user(format!("table {}: 'compact.sort-order': {error} {way}", parts.target.name()))
        };
        let wanted = parts.target.upkeep.compact.then(|| SortBy::of(parts.target.upkeep.sort_order.as_deref(), &table.metadata));
        let sort = wanted.transpose().map_err(refused)?.flatten();
        settings.policy.sort_order = sort.as_ref().map(|by| by.number_in(&table.metadata));
        let trigger = Trigger::new(uncovered(table, &parts), now());
        let counted = table.metadata.last_sequence_number();
        let charged = parts.budget.reservation(Use::Metadata);
        let expiry = parts.target.upkeep.expire.clone().map(Expiry::new);
        let (committer, board, meter) = (Arc::clone(&of.committer), of.board.clone(), of.meter.clone());
        let branch = parts.target.branch.clone();
        let sink = branch.as_ref().map_or_else(|| KEEPER.to_owned(), |branch| format!("{KEEPER}@{branch}"));
        let keeper = Keeper::Job { job: parts.job.clone(), sink, branch, fence: parts.fence };
        let journal = Journal::new(&parts.target.catalog, table, keeper);
        let (pace, ready, stop) = (Pace::default(), Instant::now(), stop.child_token());
        Ok(Self {
            parts,
            settings,
            sort,
            committer,
            journal,
            board,
            meter,
            stop,
            live: None,
            off: false,
            slowed: false,
            recovered: false,
            counted,
            missed: false,
            trigger,
            pace,
            ready,
            failures: Failures::default(),
            copying: None,
            decoding: None,
            expiry,
            charged,
        })
    }

    /// Works until it is asked to end or has failed too often.
    pub(super) async fn serve(&mut self, news: &mut broadcast::Receiver<Arc<News>>, finish: &CancellationToken) -> Result<(), ConnectorError> {
        self.recover().await?;
        if self.compacts() {
            self.catch_up().await?;
        }
        let mut tick = Instant::now() + self.settings.rules.interval;
        loop {
            self.tell();
            let wait = self.wakes().unwrap_or(tick).min(tick);
            self.begin_expiry();
            let expiring = self.expiry.as_ref().is_some_and(|expiry| expiry.task.is_some());
            let is_done = self.copying.is_none() && self.decoding.is_none() && !self.is_due() && self.failures.of_way(Way::Copy) == 0 && !expiring;
            tokio::select! {
                biased;
                heard = news.recv() => match heard {
                    Ok(heard) => self.hear(&heard).await?,
                    Err(RecvError::Lagged(missed)) => self.miss(missed).await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                done = ended(&mut self.copying) => {
                    self.drain(news).await?;
                    self.end(Way::Copy, done)?;
                }
                done = ended(&mut self.decoding) => {
                    self.drain(news).await?;
                    self.end(Way::Decode, done)?;
                    self.look(false, finish.is_cancelled());
                }
                done = expired(&mut self.expiry) => self.end_expiry(done)?,
                () = finish.cancelled(), if is_done => return Ok(()),
                () = tokio::time::sleep_until(wait.into()) => {
                    if !self.recovered {
                        self.recover().await?;
                    }
                    // Others may have committed; the job's own commits are known.
                    if self.compacts() && (self.live.is_none() || self.trigger.pending().commits == 0) {
                        self.catch_up().await?;
                    }
                    tick = Instant::now() + self.settings.rules.interval;
                    self.release();
                    // While files are copied they are not planned with again.
                    self.look(self.copying.is_none(), finish.is_cancelled());
                }
            }
        }
    }

    fn compacts(&self) -> bool {
        self.parts.target.upkeep.compact && !self.off
    }

    fn is_due(&self) -> bool {
        self.compacts() && self.copying.is_none() && self.failures.may_begin(Way::Copy) && self.trigger.is_due(&self.settings.rules, now())
    }

    /// When there is something to do, if that is known.
    fn wakes(&self) -> Option<Instant> {
        let unread = self.compacts() && self.live.is_none();
        let due = (self.is_due() || unread || !self.recovered).then_some(self.ready);
        let again = self.failures.next().map(|at| at.max(self.ready));
        due.into_iter().chain(again).min()
    }

    /// Deletes what earlier attempts have left. What fails is tried again.
    async fn recover(&mut self) -> Result<(), ConnectorError> {
        let recovered = match self.journal.recover(now()).await {
            Ok(recovered) => recovered,
            Err(error) => {
                self.recovered = false;
                return self.unsettled("what earlier attempts have left", catalog_error(error));
            }
        };
        self.recovered = true;
        self.pace.succeeded();
        if recovered != Recovered::default() {
            let (Recovered { data_files, metadata_files, .. }, table) = (recovered, self.parts.target.name());
            tracing::info!(job = self.parts.job, %table, data_files, metadata_files, "files of upkeep that was cut off deleted");
        }
        Ok(())
    }

    /// A commit of this process.
    async fn hear(&mut self, news: &News) -> Result<(), ConnectorError> {
        let ours = news.by.as_ref().is_some_and(|(job, sink)| *job == self.parts.job && self.parts.sinks.contains(sink));
        if let (true, Some(expiry)) = (ours, &mut self.expiry) {
            expiry.commits += 1;
        }
        // What was counted from the table's history is not counted again.
        let is_new = news.table.metadata.snapshot_by_id(news.snapshot_id).is_none_or(|snapshot| snapshot.sequence_number() > self.counted);
        if ours && is_new && !news.added.is_empty() {
            self.trigger.committed(news.added.len() as u64, news.added.iter().map(|live| live.file.file_size_in_bytes()).sum());
        }
        let Some(live) = self.live.take() else { return Ok(()) };
        let taken = live.take(news, self.parts.target.branch.as_deref()).await;
        self.replace_live(taken)
    }

    async fn drain(&mut self, news: &mut broadcast::Receiver<Arc<News>>) -> Result<(), ConnectorError> {
        loop {
            match news.try_recv() {
                Ok(heard) => self.hear(&heard).await?,
                Err(TryRecvError::Lagged(missed)) => self.miss(missed).await?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    /// So many commits of this process went by unheard: the table tells of them.
    async fn miss(&mut self, missed: u64) -> Result<(), ConnectorError> {
        if let Some(expiry) = &mut self.expiry {
            expiry.commits += missed;
        }
        if !self.compacts() {
            return Ok(());
        }
        self.missed = true;
        self.catch_up().await
    }

    /// Counts from the table's history what news were missed of.
    fn recount(&mut self) {
        let Some(live) = self.live.as_ref().filter(|_| self.missed) else { return };
        self.trigger.recount(uncovered(&live.table, &self.parts));
        self.counted = live.table.metadata.last_sequence_number();
        self.missed = self.copying.is_some();
    }

    /// Looks at what others have committed.
    async fn catch_up(&mut self) -> Result<(), ConnectorError> {
        let branch = self.parts.target.branch.clone();
        let table: Result<LakeTable, ConnectorError> = self.committer.refresh().await.map_err(catalog_error);
        if let Some(why) = table.as_ref().ok().and_then(|table| hindrance(table, &self.parts.target)) {
            self.switch_off(why);
            return Ok(());
        }
        let caught = match (table, self.live.take()) {
            (Ok(table), Some(live)) => live.follow(table, branch.as_deref()).await,
            (Ok(table), None) => {
                let loaded = LiveTable::load(table, branch.as_deref()).await;
                loaded.map(|mut live| {
                    live.inventory.touch_all();
                    live
                })
            }
            (Err(error), live) => {
                self.live = live;
                Err(error)
            }
        };
        self.replace_live(caught)
    }

    /// A table that could not be read is read anew later.
    fn replace_live(&mut self, live: Result<LiveTable, ConnectorError>) -> Result<(), ConnectorError> {
        match live {
            Ok(mut live) => {
                for rewrite in self.copying.iter().chain(&self.decoding) {
                    rewrite.groups.iter().for_each(|group| live.inventory.hold(group));
                }
                live.inventory.hold_files(self.failures.waiting());
                // The table may have learnt the order by now.
                self.settings.policy.sort_order = self.sort.as_ref().map(|by| by.number_in(&live.table.metadata));
                self.charged.resize(live.memory());
                self.live = Some(live);
                self.recount();
                if self.recovered {
                    self.pace.succeeded();
                }
                Ok(())
            }
            Err(error) => self.unsettled("the list of files", error),
        }
    }

    /// Plans, and begins what can be begun: copies only if the table is `due`; nothing is decoded any more at the job's end.
    fn look(&mut self, due: bool, ending: bool) {
        let Some(live) = &mut self.live else { return };
        if Instant::now() < self.ready || self.stop.is_cancelled() {
            return;
        }
        let due = due && self.failures.may_begin(Way::Copy);
        if due {
            self.trigger.begun(now());
        }
        let settings = &self.settings.policy;
        let options = Options { max_bytes: self.failures.pace().max_bytes(settings.max_bytes, settings.target_bytes), ..settings.clone() };
        let groups = live.inventory.plan(&options, now());
        self.forget_unwanted(&groups);
        let (mut copies, decodes): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.way == Way::Copy);
        if self.decoding.is_none()
            && !ending
            && self.failures.may_begin(Way::Decode)
            && let Some(first) = decodes.into_iter().next()
        {
            self.decoding = self.begin(vec![first], &options);
        }
        if !due {
            return;
        }
        if copies.is_empty() {
            self.trigger.finished();
            if self.failures.next().is_none() {
                self.failures.succeeded(Way::Copy);
            }
        } else {
            // After one that fails no other is begun: what has failed before comes last.
            copies.sort_by_key(|group| self.failures.of(group));
            self.copying = self.begin(copies, &options);
        }
    }

    fn begin(&mut self, groups: Vec<Group<PartitionKey>>, options: &Options) -> Option<Rewrite> {
        let live = self.live.as_mut()?;
        groups.iter().for_each(|group| live.inventory.hold(group));
        let view = live.view(&groups);
        let LakeTarget { catalog, id, branch, .. } = &self.parts.target;
        let compactor = Compactor::new(catalog, id, self.parts.budget.clone(), Arc::clone(&self.journal)).stopping(&self.stop);
        let request = Request {
            branch: branch.clone(),
            options: options.clone(),
            parallelism: self.settings.parallelism,
            commits: 1,
            job: Some(self.parts.job.clone()),
            sort: self.sort.clone(),
            ..Request::default()
        };
        let plan = Plan { live: view, groups: groups.clone() };
        let noted = Arc::new(Noted::default());
        let told = Arc::clone(&noted);
        let work = async move { compactor.run(&request, plan, &*told).await };
        Some(Rewrite { groups, task: spawn("compaction", self.meter.measure(work)), began: Instant::now(), noted })
    }

    /// Begins to expire snapshots of the job, if it is time.
    fn begin_expiry(&mut self) {
        let Some(expiry) = self.expiry.as_mut().filter(|expiry| expiry.is_due()) else { return };
        let (committer, journal) = (Arc::clone(&self.committer), Arc::clone(&self.journal));
        expiry.begin(self.parts.job.clone(), committer, journal, now(), &self.meter);
    }

    fn end_expiry(&self, done: Result<Expired, CatalogError>) -> Result<(), ConnectorError> {
        let Some(expired) = told(&self.parts.job, &self.parts.target.name(), done)? else { return Ok(()) };
        self.board.send_modify(|status| {
            status.expired_snapshots += expired.snapshots.len() as u64;
            status.expired_files += expired.files.len() as u64;
        });
        Ok(())
    }

    fn tell(&mut self) {
        let debt = self.live.as_ref().map(|live| live.inventory.debt(&self.settings.policy));
        self.board.send_modify(|status| {
            status.activity = if self.off { Activity::Off } else { Activity::of(self.copying.is_some(), self.decoding.is_some()) };
            status.debt = debt.unwrap_or(status.debt);
            status.pending = self.trigger.pending();
            status.failures_in_a_row = self.failures.most().max(self.pace.failures());
            if status.failures_in_a_row == 0 && !self.off {
                status.last_error = None;
            }
            status.cpu = self.meter.spent();
            status.slowdown = if self.off { 1.0 } else { self.settings.slowdown(status.debt.files()) };
        });
        self.tell_slowdown();
    }

    /// Logs that epochs are made longer, and that they are not any more.
    fn tell_slowdown(&mut self) {
        let (debt_files, slowdown) = {
            let status = self.board.borrow();
            (status.debt.files(), status.slowdown)
        };
        let slowed = !self.off && self.settings.is_slowed(self.slowed, debt_files);
        if slowed == self.slowed {
            return;
        }
        self.slowed = slowed;
        let (job, table, max_debt) = (&self.parts.job, self.parts.target.name(), self.settings.max_debt);
        if slowed {
            tracing::warn!(job, %table, debt_files, max_debt, slowdown, "epochs are made longer: the table has more files above the ideal than 'compact.max-debt'");
        } else {
            tracing::info!(job, %table, debt_files, max_debt, "epochs are as long as usual again");
        }
    }

    /// Ends what is being rewritten; an expiry is cut off if it takes long, and is finished by the next start.
    pub(super) async fn clear(&mut self) {
        self.stop.cancel();
        if self.expiry.as_ref().is_some_and(|expiry| expiry.task.is_some())
            && let Ok(done) = tokio::time::timeout(PATIENCE, expired(&mut self.expiry)).await
            && let Err(error) = self.end_expiry(done)
        {
            tracing::debug!(job = self.parts.job, table = %self.parts.target.name(), %error, "an expiry failed at the end");
        }
        for rewrite in [self.copying.take(), self.decoding.take()].into_iter().flatten() {
            // One that takes longer is aborted, and the journal tells the next start of it.
            if let Ok(Ok(Err(Failed { error, .. }))) = tokio::time::timeout(PATIENCE, rewrite.task).await {
                tracing::debug!(job = self.parts.job, table = %self.parts.target.name(), %error, "a rewrite was given up");
            }
        }
    }
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
