//! One run: read the snapshot, plan, rewrite groups in parallel, commit them as replaces that give way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use iceberg::spec::Operation;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_base::memory::MemoryBudget;
use weir_base::{Classified, ErrorKind, failpoint};
use weir_catalog::CatalogError;
use weir_catalog::commit::{Appends, Replaced, Replacement, TableCommitter, new_snapshot_id};
use weir_catalog::lake::{LakeCatalog, TableId};
use weir_catalog::read::LiveFile;
use weir_catalog::upkeep::Journal;
use weir_connectors::ConnectorError;
use weir_connectors::iceberg::{FileFilter, SortBy, catalog_error, file_system_error};

use crate::names::Begun;
use crate::policy::{Group, Options, Way};
use crate::progress::Progress;
use crate::rewrite::{Made, Shared};
use crate::table::{LiveTable, PartitionKey};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Branch; `None` is main.
    pub branch: Option<String>,
    /// What the policy is told.
    pub options: Options,
    /// Groups that are rewritten at the same time.
    pub parallelism: usize,
    /// Commits at most: groups are committed as they are done, several in one.
    pub commits: usize,
    /// Only partitions whose name begins so.
    pub partition: Option<String>,
    /// Only files that may hold rows of some kind.
    pub filter: Option<FileFilter>,
    /// Only these files, if they are still there: those of the plan before, after which somebody was in the way. What has come in their place
    /// is the business of whoever wrote it, so a run under a busy writer comes to an end.
    pub among: Option<Arc<HashSet<String>>>,
    /// Decode what would be copied.
    pub decode_all: bool,
    /// The job that does it; `None`: somebody by hand.
    pub job: Option<String>,
    /// The order of rows that are written anew.
    pub sort: Option<SortBy>,
}

/// The job that has made a snapshot by rewriting files, in the snapshot's summary.
pub(crate) const SUMMARY_COMPACTED_BY: &str = "weir.compaction.job";
/// The sequence number of the snapshot that it has read: what came later is not covered by it.
pub(crate) const SUMMARY_COVERED: &str = "weir.compaction.covered";

impl Default for Request {
    fn default() -> Self {
        Self {
            branch: None,
            options: Options::default(),
            parallelism: 1,
            commits: 10,
            partition: None,
            filter: None,
            among: None,
            decode_all: false,
            job: None,
            sort: None,
        }
    }
}

/// What a run would do.
#[derive(Debug)]
pub struct Plan {
    /// The snapshot that was read.
    pub live: LiveTable,
    /// The groups, those first that free the table of most files for their bytes.
    pub groups: Vec<Group<PartitionKey>>,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Groups that were committed, by way.
    pub copied: usize,
    /// Those that were decoded.
    pub decoded: usize,
    /// Groups that gave way to others.
    pub gave_way: usize,
    /// Files that left.
    pub files_before: usize,
    /// Files that came.
    pub files_after: usize,
    /// Bytes of the files that left.
    pub bytes_before: u64,
    /// Bytes of the files that came.
    pub bytes_after: u64,
    /// Files of deletes that were of no use any more.
    pub deletes: usize,
    /// Snapshots that were made.
    pub commits: usize,
}

/// A run that failed, and what it had committed before.
#[derive(Debug)]
pub struct Failed {
    /// What stays.
    pub report: Box<Report>,
    /// Why it ended.
    pub error: ConnectorError,
}

impl From<ConnectorError> for Failed {
    fn from(error: ConnectorError) -> Self {
        Self { report: Box::default(), error }
    }
}

impl Report {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            copied: self.copied + other.copied,
            decoded: self.decoded + other.decoded,
            gave_way: self.gave_way + other.gave_way,
            files_before: self.files_before + other.files_before,
            files_after: self.files_after + other.files_after,
            bytes_before: self.bytes_before + other.bytes_before,
            bytes_after: self.bytes_after + other.bytes_after,
            deletes: self.deletes + other.deletes,
            commits: self.commits + other.commits,
        }
    }
}

/// Compacts one table. It keeps nothing between runs, so that several may be made for one table; their commits take turns.
#[derive(Debug)]
pub struct Compactor {
    catalog: Arc<dyn LakeCatalog>,
    id: TableId,
    committer: Arc<TableCommitter>,
    budget: MemoryBudget,
    journal: Arc<Journal>,
    stop: CancellationToken,
}

impl Compactor {
    /// A compactor of the table `id`. `budget` is charged, and half of it bounds what writers hold; `journal` is told every file and every commit
    /// before it exists.
    #[must_use]
    pub fn new(catalog: &Arc<dyn LakeCatalog>, id: &TableId, budget: MemoryBudget, journal: Arc<Journal>) -> Self {
        Self {
            catalog: Arc::clone(catalog),
            id: id.clone(),
            committer: TableCommitter::of(catalog, id),
            budget,
            journal,
            stop: CancellationToken::new(),
        }
    }

    /// The same, which gives up what is not yet committed when `stop` is asked for.
    #[must_use]
    pub fn stopping(self, stop: &CancellationToken) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// Plans over the whole table as it is now; `now` is the time since 1970.
    ///
    /// # Errors
    /// As [`LiveTable::load`].
    pub async fn plan(&self, request: &Request, now: Duration) -> Result<Plan, ConnectorError> {
        let table = self.committer.refresh().await.map_err(catalog_error)?;
        let mut live = LiveTable::load(table, request.branch.as_deref()).await?;
        request.partition.iter().try_for_each(|wanted| live.check_partition(wanted))?;
        live.narrow(request);
        let sort_order = request.sort.as_ref().map(|by| by.number_in(&live.table.metadata));
        let groups = live.inventory.plan_all(&Options { sort_order, ..request.options.clone() }, now).into_iter();
        let way = |group: Group<PartitionKey>| if request.decode_all { Group { way: Way::Decode, ..group } } else { group };
        let groups = groups.map(way).collect();
        Ok(Plan { live, groups })
    }

    /// Plans and carries the plan out.
    ///
    /// # Errors
    /// As [`Self::plan`] and [`Self::run`].
    pub async fn compact_once(&self, request: &Request, now: Duration, progress: &dyn Progress) -> Result<Report, Failed> {
        let plan = self.plan(request, now).await?;
        self.run(request, plan, progress).await
    }

    /// Carries a plan out. After a group that fails no other is begun; what has begun is finished, and what was committed stays. A group whose files others have changed gives way: its
    /// new files are deleted, and it is counted.
    ///
    /// # Errors
    /// The stores' and the catalog's; data that cannot be read; a later attempt has taken over (fenced): with what was committed before. Files that are in no table are deleted
    /// then, those apart of a commit whose outcome is not known: they stay in the journal.
    pub async fn run(&self, request: &Request, mut plan: Plan, progress: &dyn Progress) -> Result<Report, Failed> {
        let _held = plan.live.snapshot.as_ref().map(|snapshot| self.committer.hold(snapshot.snapshot_id()));
        let begun = Arc::new(Begun::new(self.journal.begin(&plan.live.table)));
        let done = self.carry_out(request, &mut plan, &begun, progress).await;
        if let Err(error) = begun.clear(self.catalog.file_systems()).await {
            tracing::warn!(table = %self.id, %error, "the journal of a rewrite stays, and so may files that are in no table: the next recovery sees to them");
        }
        done
    }

    async fn carry_out(&self, request: &Request, plan: &mut Plan, begun: &Arc<Begun>, progress: &dyn Progress) -> Result<Report, Failed> {
        let groups = std::mem::take(&mut plan.groups);
        let mut left = groups.len();
        let each = groups.len().div_ceil(request.commits.max(1)).max(1);
        let sort = match request.sort.as_ref().filter(|_| !groups.is_empty()) {
            Some(by) => Some((by.clone(), by.register(self.catalog.as_ref(), &self.id).await.map_err(catalog_error)?)),
            None => None,
        };
        let shared = Shared {
            name: format!("{}.{}", self.catalog.name(), self.id),
            live: &plan.live,
            file_systems: self.catalog.file_systems().clone(),
            options: request.options.clone(),
            parallelism: request.parallelism.max(1),
            attempt: Uuid::new_v4().simple().to_string(),
            budget: self.budget.clone(),
            begun: Arc::clone(begun),
            sort,
            rows: OnceCell::new(),
        };
        let mut commits = Commits { compactor: self, request, begun, gone: HashSet::new(), report: Report::default(), progress };
        let make = |(number, group): (usize, &Group<PartitionKey>)| {
            let made = shared.make(group.clone(), number);
            async move { (number, made.await) }
        };
        let mut rest = groups.iter().enumerate().map(make).collect::<Vec<_>>().into_iter();
        let mut making: FuturesUnordered<_> = rest.by_ref().take(request.parallelism.max(1)).collect();
        let (mut waiting, mut failed) = (Vec::new(), None);
        loop {
            let made = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    waiting.clear();
                    break;
                }
                made = making.next() => made,
            };
            let Some((number, made)) = made else { break };
            if made.is_ok() && failed.is_none() {
                making.extend(rest.next());
            }
            match made {
                Ok(made) => {
                    if failpoint::fails("rewrite-file-written").await {
                        failed = Some(ConnectorError::transient("fail point `rewrite-file-written`"));
                        break;
                    }
                    progress.rewritten(&made.group, made.way, made.files.len());
                    waiting.push(made);
                    left -= 1;
                }
                Err(error) => {
                    // Groups that have begun do not pay for it: they are finished, and no other is begun.
                    groups.get(number).into_iter().for_each(|group| progress.failed(group, &error));
                    failed.get_or_insert(error);
                }
            }
            // The last ones are committed when all that it takes to rewrite has been given back.
            if left > 0
                && waiting.len() >= each
                && let Err(error) = commits.commit(&plan.live, std::mem::take(&mut waiting)).await
            {
                failed = Some(error);
                break;
            }
        }
        drop((making, rest));
        drop(shared);
        let last = commits.commit(&plan.live, waiting).await;
        match failed.or(last.err()) {
            Some(error) => Err(Failed { report: Box::new(commits.report), error }),
            None => Ok(commits.report),
        }
    }
}

/// The commits of one run.
struct Commits<'a> {
    compactor: &'a Compactor,
    request: &'a Request,
    begun: &'a Begun,
    /// Data files and deletes that this run has taken out of the table.
    gone: HashSet<String>,
    report: Report,
    progress: &'a dyn Progress,
}

impl Commits<'_> {
    /// Commits some groups in one snapshot for each partition spec.
    async fn commit(&mut self, live: &LiveTable, made: Vec<Made>) -> Result<(), ConnectorError> {
        let mut of_spec: BTreeMap<i32, Vec<Made>> = BTreeMap::new();
        for made in made {
            of_spec.entry(made.group.partition.spec_id).or_default().push(made);
        }
        for made in of_spec.into_values() {
            self.commit_together(live, made).await?;
        }
        Ok(())
    }

    /// Commits some groups in one snapshot; one by one, if others have changed files of one of them.
    async fn commit_together(&mut self, live: &LiveTable, mut made: Vec<Made>) -> Result<(), ConnectorError> {
        match self.try_commit(live, &made).await? {
            None => Ok(()),
            Some(_) if made.len() > 1 => {
                for one in made.drain(..) {
                    Box::pin(self.commit_together(live, vec![one])).await?;
                }
                Ok(())
            }
            Some(why) => {
                for made in &made {
                    self.report.gave_way += 1;
                    self.progress.gave_way(&made.group, &why);
                    tracing::info!(table = %self.compactor.id, partition = %made.group.partition, why, "a rewrite gave way");
                }
                // Its files are deleted with all that is left at the end.
                Ok(())
            }
        }
    }

    /// `Some`: others have changed the files, as the text says.
    async fn try_commit(&mut self, live: &LiveTable, made: &[Made]) -> Result<Option<String>, ConnectorError> {
        let Some(snapshot) = &live.snapshot else { return Ok(None) };
        let inputs = || made.iter().flat_map(|made| &made.group.files).filter_map(|file| live.files.get(&file.path)).map(|slim| &slim.live);
        let going: HashSet<&str> = inputs().map(|file| file.file.file_path()).chain(self.gone.iter().map(String::as_str)).collect();
        let idle = live.deletes.idle_without(&going, &self.gone);
        let count = |way: Way| made.iter().filter(|made| made.way == way).count();
        let mut notes = BTreeMap::from([
            ("weir.compaction.copied-groups".to_owned(), count(Way::Copy).to_string()),
            ("weir.compaction.decoded-groups".to_owned(), count(Way::Decode).to_string()),
        ]);
        // Commits are counted from the last copy on: a file that is decoded says nothing of those that are not.
        let by = self.request.job.iter().filter(|_| count(Way::Copy) > 0);
        let covered = snapshot.sequence_number().to_string();
        notes.extend(by.into_iter().flat_map(|job| [(SUMMARY_COMPACTED_BY.to_owned(), job.clone()), (SUMMARY_COVERED.to_owned(), covered.clone())]));
        let files: Vec<LiveFile> = inputs().chain(&idle).cloned().collect();
        let replacement = Replacement {
            table_uuid: live.table.metadata.uuid().to_string(),
            branch: self.request.branch.clone(),
            snapshot_id: new_snapshot_id(&live.table.metadata),
            added: made.iter().flat_map(|made| made.files.iter().cloned()).collect(),
            sequence_number: Some(snapshot.sequence_number()),
            fence: self.compactor.journal.fence(),
            replaced: Replaced { operation: Operation::Replace, read: Some(snapshot.snapshot_id()), files, appends: Appends::Welcome, notes },
        };
        self.begun.work().commit(replacement.snapshot_id).await.map_err(catalog_error)?;
        if failpoint::fails("rewrite-before-commit").await {
            return Err(ConnectorError::transient("fail point `rewrite-before-commit`"));
        }
        match self.compactor.committer.replace(&replacement).await {
            Ok(appended) => {
                self.begun.forget(&self.names_of(&replacement)?);
                let report = &mut self.report;
                report.copied += count(Way::Copy);
                report.decoded += count(Way::Decode);
                report.files_before += inputs().count();
                report.files_after += replacement.added.len();
                report.bytes_before += inputs().map(|live| live.file.file_size_in_bytes()).sum::<u64>();
                report.bytes_after += replacement.added.iter().map(|file| file.file_size_in_bytes()).sum::<u64>();
                report.deletes += idle.len();
                report.commits += 1;
                self.progress.committed(appended.snapshot_id, inputs().count(), replacement.added.len());
                self.gone.extend(replacement.replaced.files.iter().map(|live| live.file.file_path().to_owned()));
                if failpoint::fails("rewrite-committed").await {
                    return Err(ConnectorError::transient("fail point `rewrite-committed`"));
                }
                Ok(None)
            }
            Err(CatalogError::Overtaken(why)) => Ok(Some(why)),
            Err(error) => {
                // Only these say for certain that nothing was committed, and never will be.
                if error.kind() != ErrorKind::Conflict {
                    self.begun.doubt(&self.names_of(&replacement)?);
                }
                Err(catalog_error(error))
            }
        }
    }

    /// The new files, as the journal names them.
    fn names_of(&self, replacement: &Replacement) -> Result<Vec<String>, ConnectorError> {
        let file_systems = self.compactor.catalog.file_systems();
        let names = replacement.added.iter().map(|file| file_systems.for_checkpoint(file.file_path())).collect::<Result<Vec<_>, _>>();
        names.map_err(file_system_error)
    }
}
