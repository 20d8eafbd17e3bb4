//! The running of a script, statement by statement.

use weir_base::options::{Position, Problem};
use weir_connectors::iceberg::LakeTarget;

use super::objects::DEFAULT_CATALOG;
use super::{Mode, Outcome, Session, StatementResult, table_of};
use crate::error::{NOT_FOUND, NOT_YET, SqlError};
use crate::explain;
use crate::parse::Script;
use crate::parse::ast::{Insert, QueryText, RowChange, Statement, StatementKind};
use crate::parse::{Name, WrittenOption};
use crate::plan::{CreatedTable, JobPlan, JobSettings, PlannedInsert, QueryPlan};
use crate::planner::resolve::Purpose;
use crate::planner::row_changes::not_alone;
use crate::planner::{Planned, Planning, narrow_lookups, optimise_query, plan_change, plan_insert, plan_letters, plan_query, reads_stream};
use crate::session::objects::missing;

/// Writes of a run, in order, with the scope in which each stood.
type Writes<'a> = Vec<(Write<'a>, super::Scope)>;

/// A statement that writes.
#[derive(Debug)]
enum Write<'a> {
    Insert(&'a Insert),
    /// What fills a table that CREATE TABLE … AS has made.
    Fill(Box<Insert>),
    Change(&'a RowChange),
}

/// For each write of a statement: what it is, and where it stands, if it takes the place of rows, or of a table that is not there.
fn writes_of(statement: &StatementKind) -> Vec<Option<(&'static str, Position)>> {
    let of = |insert: &Insert| insert.overwrite.then_some(("INSERT OVERWRITE", insert.target.position));
    match statement {
        StatementKind::CreateTable(table) if table.query.is_some() => vec![Some(("CREATE TABLE … AS", table.name.position))],
        StatementKind::Insert(insert) => vec![of(insert)],
        StatementKind::StatementSet(all) => all.iter().map(of).collect(),
        StatementKind::Change(change) => vec![Some((if change.set.is_some() { "UPDATE" } else { "DELETE" }, change.target.position))],
        _ => Vec::new(),
    }
}

/// That a write which takes the place of something is the only one of its job; an EXPLAIN stands for a job of its own.
fn check_alone(script: &Script) -> Result<(), SqlError> {
    let explained = script.statements.iter().filter_map(|statement| match &statement.kind {
        StatementKind::Explain(inner) => Some(writes_of(&inner.kind)),
        _ => None,
    });
    let all: Vec<_> = script.statements.iter().flat_map(|statement| writes_of(&statement.kind)).collect();
    for writes in explained.chain([all]) {
        if let (Some((what, at)), true) = (writes.iter().flatten().next(), writes.len() > 1) {
            return Err(not_alone(what, *at));
        }
    }
    Ok(())
}

impl Write<'_> {
    fn query(&self) -> &QueryText {
        match self {
            Self::Insert(insert) => &insert.query,
            Self::Fill(insert) => &insert.query,
            Self::Change(change) => &change.query,
        }
    }
}

impl Session {
    /// Runs a script.
    ///
    /// # Errors
    /// The problems of the first statement that has any; what the statements before it did stays done, but for a table that was made for rows
    /// of the job. Failures of catalogs.
    pub async fn run(&mut self, script: &Script, mode: Mode) -> Result<Outcome, SqlError> {
        if mode != Mode::Init {
            check_alone(script)?;
        }
        let mut run = Run { mode, job: self.settings_after(script), asked: false, created: None };
        let outcome = Box::pin(self.statements(script, &mut run)).await;
        if let (Err(_), Some(created)) = (&outcome, &run.created) {
            // Not within the macro, which evaluates nothing if warnings are not shown.
            let said = created.take_back().await;
            tracing::warn!(table = %created.path, "{said}");
        }
        outcome
    }

    async fn statements(&mut self, script: &Script, run: &mut Run) -> Result<Outcome, SqlError> {
        let mut outcome = Outcome::default();
        let mut inserts: Writes<'_> = Vec::new();
        for statement in &script.statements {
            self.statement(statement, run, &mut inserts, &mut outcome).await?;
        }
        if inserts.is_empty() {
            return Ok(outcome);
        }
        match run.mode {
            Mode::Run => {
                for (write, scope) in &inserts {
                    if let Write::Insert(insert) = write {
                        outcome.results.extend(self.create_linked(insert, scope, run).await?);
                    }
                }
                outcome.job = Some(self.job(&inserts, run, &mut outcome.warnings).await?);
            }
            Mode::Explain => outcome.results.push(self.explain_inserts(&inserts, &mut outcome.warnings).await?),
            Mode::Init => {}
        }
        Ok(outcome)
    }

    async fn statement<'a>(
        &mut self,
        statement: &'a Statement,
        run: &mut Run,
        inserts: &mut Writes<'a>,
        outcome: &mut Outcome,
    ) -> Result<(), SqlError> {
        let message = |text: String| Some(StatementResult::Message(text));
        let result = match &statement.kind {
            StatementKind::Set(option) => {
                outcome.warnings.extend(self.set_option(option)?);
                None
            }
            StatementKind::Reset(key) => {
                let (key, at) = key.as_ref().map_or((None, None), |(key, at)| (Some(key.as_str()), Some(*at)));
                self.parts.settings.reset(key, at)?;
                self.settings_changed();
                None
            }
            StatementKind::UseCatalog(name) => {
                self.use_catalog(name)?;
                None
            }
            StatementKind::UseDatabase(name) => {
                self.use_database(name).await?;
                None
            }
            StatementKind::CreateCatalog { name, if_not_exists, options } => {
                run.look_again();
                self.create_catalog(name, *if_not_exists, options, &mut outcome.warnings)?.and_then(message)
            }
            StatementKind::CreateDatabase { name, if_not_exists, options } => {
                self.create_database(name, *if_not_exists, options, run, outcome).await?.and_then(message)
            }
            StatementKind::CreateTable(table) => match &table.query {
                None => self.create_table(table, run, outcome).await?.and_then(message),
                Some(query) => {
                    let made = self.create_table_as(table, query, run, outcome).await?;
                    inserts.extend(made.filled.map(|insert| (Write::Fill(Box::new(insert)), self.parts.scope.clone())));
                    made.message.and_then(message)
                }
            },
            StatementKind::CreateView(view) => self.create_view(view, &mut outcome.warnings).await?.and_then(message),
            StatementKind::Insert(insert) => {
                inserts.push((Write::Insert(insert), self.parts.scope.clone()));
                None
            }
            StatementKind::StatementSet(all) => {
                inserts.extend(all.iter().map(|insert| (Write::Insert(insert), self.parts.scope.clone())));
                None
            }
            StatementKind::Change(change) => {
                inserts.push((Write::Change(change), self.parts.scope.clone()));
                None
            }
            _ if run.mode == Mode::Init => None,
            StatementKind::Drop { object, name, if_exists, temporary } => {
                if run.mode == Mode::Explain {
                    return Ok(());
                }
                run.look_again();
                self.drop_object(*object, name, *if_exists, *temporary).await?.and_then(message)
            }
            StatementKind::ShowSettings => {
                let rows: Vec<_> = self.parts.settings.rows().into_iter().map(|(key, value)| vec![Some(key), Some(value)]).collect();
                Some(StatementResult::Table(table_of(&["key", "value"], &rows)?))
            }
            StatementKind::Show(show) => Some(self.show(show, statement.position).await?),
            StatementKind::Describe(what) => Some(StatementResult::Table(self.describe(what, statement.position).await?)),
            kind @ (StatementKind::Query(query) | StatementKind::Analyze(query)) => {
                let mut planning = Planning::new(&self.parts, Purpose::Batch);
                let planned = plan_query(&mut planning, query, &self.parts.scope).await?;
                let plan = optimise_query(&mut planning, &planned, query.position)?;
                outcome.warnings.append(&mut planning.warnings);
                if run.mode == Mode::Explain {
                    Some(StatementResult::Text(explain::query(&planning, &planned, &plan)))
                } else {
                    let plan = if matches!(kind, StatementKind::Analyze(_)) { explain::analyzed(plan, query.position)? } else { plan };
                    let schema = std::sync::Arc::new(plan.schema().as_arrow().clone());
                    Some(StatementResult::Query(Box::new(QueryPlan { plan, schema, state: planned.state })))
                }
            }
            StatementKind::Explain(inner) => Some(self.explain(inner, &mut outcome.warnings).await?),
            StatementKind::Call(call) => {
                let called = self.call(call, false, &mut outcome.warnings)?;
                Some(if run.mode == Mode::Explain { StatementResult::Text(called.to_string()) } else { StatementResult::Call(Box::new(called)) })
            }
        };
        outcome.results.extend(result);
        Ok(())
    }

    fn set_option(&mut self, option: &WrittenOption) -> Result<Vec<Problem>, SqlError> {
        let warnings = self.parts.settings.set(&option.key, &option.value, Some(option.position))?;
        self.settings_changed();
        Ok(warnings)
    }

    fn use_catalog(&mut self, name: &Name) -> Result<(), SqlError> {
        let catalog = name.parts.first().cloned().unwrap_or_default();
        let lake = self.parts.objects.lake(&catalog, name.position)?;
        let database = match lake {
            None => super::objects::DEFAULT_DATABASE.to_owned(),
            Some(lake) => lake.default_database.clone(),
        };
        self.parts.scope.catalog = catalog;
        self.parts.scope.database = database;
        Ok(())
    }

    async fn use_database(&mut self, name: &Name) -> Result<(), SqlError> {
        let (catalog, database) = self.parts.scope.database(name);
        let exists = match self.parts.objects.lake(&catalog, name.position)? {
            None => self.parts.objects.databases.contains(&database),
            Some(lake) => lake
                .catalog
                .database_exists(&database)
                .await
                .map_err(|source| SqlError::Catalog { what: format!("database '{catalog}.{database}' cannot be looked up"), source })?,
        };
        if !exists {
            let known: Vec<&str> =
                if catalog == DEFAULT_CATALOG { self.parts.objects.databases.iter().map(String::as_str).collect() } else { Vec::new() };
            let problem = missing("Database", &format!("{catalog}.{database}"), "it does not exist.", known);
            return Err(Problem { code: NOT_FOUND, ..problem }.at(Some(name.position)).into());
        }
        self.parts.scope.catalog = catalog;
        self.parts.scope.database = database;
        Ok(())
    }

    /// All writes as one job.
    async fn job(&self, inserts: &Writes<'_>, run: &mut Run, warnings: &mut Vec<Problem>) -> Result<JobPlan, SqlError> {
        let settings = self.job_settings();
        let mut planning = Planning::new(&self.parts, Purpose::Stream);
        planning.base = crate::planner::state::base_state(settings.parallelism, &self.parts.settings);
        let mut writes = plan_writes(&mut planning, inserts).await?;
        if let Some((_, scope)) = inserts.last() {
            self.create_letter_tables(&planning, scope, run).await?;
            add_letters(&mut planning, scope, &settings.name, &mut writes).await?;
        }
        let (mut planned, written) = writes;
        narrow_lookups(&mut planning, &mut planned, &written)?;
        let unbounded = planning.sources.iter().find(|(_, table)| !table.source.is_bounded());
        if let (true, Some((_, table))) = (self.parts.settings.batch_mode(), unbounded) {
            let what = "it is an unbounded stream, which a job with 'execution.runtime-mode' = 'BATCH' cannot read.";
            let problem = Problem::new(NOT_YET, format!("Table '{}'", table.path), what);
            return Err(problem.hint("Read a table, a logical table, or a stream with an end ('scan.bounded.mode').").into());
        }
        let state = written.into_iter().next_back().map_or_else(|| planning.base.clone(), |last| last.state);
        warnings.append(&mut planning.warnings);
        Ok(JobPlan { settings, sources: planning.stream_tables(), inserts: planned, created: run.created.clone(), state })
    }

    async fn explain(&self, statement: &Statement, warnings: &mut Vec<Problem>) -> Result<StatementResult, SqlError> {
        let scope = self.parts.scope.clone();
        match &statement.kind {
            StatementKind::Insert(insert) => self.explain_inserts(&vec![(Write::Insert(insert), scope)], warnings).await,
            StatementKind::StatementSet(all) => {
                let inserts = all.iter().map(|insert| (Write::Insert(insert), scope.clone())).collect();
                self.explain_inserts(&inserts, warnings).await
            }
            StatementKind::Query(query) => {
                let mut planning = Planning::new(&self.parts, Purpose::Batch);
                let planned = plan_query(&mut planning, query, &scope).await?;
                let plan = optimise_query(&mut planning, &planned, query.position)?;
                warnings.append(&mut planning.warnings);
                Ok(StatementResult::Text(explain::query(&planning, &planned, &plan)))
            }
            StatementKind::Call(call) => Ok(StatementResult::Call(Box::new(self.call(call, true, warnings)?))),
            _ => Err(SqlError::Internal("the parser lets only queries, INSERTs and CALLs be explained".to_owned())),
        }
    }

    async fn explain_inserts(&self, inserts: &Writes<'_>, warnings: &mut Vec<Problem>) -> Result<StatementResult, SqlError> {
        let mut planning = Planning::new(&self.parts, Purpose::Stream);
        planning.only_shown = true;
        let mut writes = plan_writes(&mut planning, inserts).await?;
        if let Some((_, scope)) = inserts.last() {
            add_letters(&mut planning, scope, &self.job_settings().name, &mut writes).await?;
        }
        let (mut planned, written) = writes;
        narrow_lookups(&mut planning, &mut planned, &written)?;
        let written: Vec<_> = written.into_iter().map(|one| one.plan).collect();
        warnings.append(&mut planning.warnings);
        let text = explain::job(
            &planning,
            &self.job_settings(),
            &written,
            &planned,
            inserts
                .iter()
                .map(|(write, _)| match write {
                    Write::Insert(insert) => insert.hint.as_slice(),
                    Write::Fill(_) | Write::Change(_) => &[],
                })
                .chain(std::iter::repeat(&[][..])),
        );
        Ok(StatementResult::Text(text))
    }

    /// Lets the runtime look at the lakes before anything is created in one: at the first CREATE, and again after each CREATE CATALOG and
    /// DROP, for the tables of that catalog could not be looked at before, and one that was dropped must not come back as another.
    pub(super) async fn before_lake_create(&self, run: &mut Run) -> Result<(), SqlError> {
        if run.asked {
            return Ok(());
        }
        run.asked = true;
        let Some(hook) = &self.before_create else { return Ok(()) };
        hook.check(&run.job, &self.parts.objects.lake_catalogs()).await?;
        Ok(())
    }

    /// The job's settings at the end of a script: a SET after a CREATE counts for the job too, and its checkpoints are those that the tables
    /// are compared with. What is wrong with a SET is reported when its turn comes.
    fn settings_after(&self, script: &Script) -> JobSettings {
        let mut settings = self.parts.settings.clone();
        for statement in &script.statements {
            let _reported_later = match &statement.kind {
                StatementKind::Set(option) => settings.set(&option.key, &option.value, None).map(drop),
                StatementKind::Reset(key) => settings.reset(key.as_ref().map(|(key, _)| key.as_str()), None),
                _ => Ok(()),
            };
        }
        settings.job(self.job_file.as_deref(), self.cores)
    }
}

/// Writes with what was written, before the optimiser.
type PlannedWrites = (Vec<PlannedInsert>, Vec<Planned>);

/// Plans the writes of a job, but for those of its dead letters.
async fn plan_writes(planning: &mut Planning<'_>, inserts: &Writes<'_>) -> Result<PlannedWrites, SqlError> {
    let mut planned: Vec<PlannedInsert> = Vec::with_capacity(inserts.len());
    let mut written = Vec::with_capacity(inserts.len());
    for (write, scope) in inserts {
        let (one, with) = match write {
            Write::Insert(insert) => plan_insert(planning, insert, scope, &planned).await?,
            Write::Fill(insert) => plan_insert(planning, insert, scope, &planned).await?,
            Write::Change(change) => plan_change(planning, change, scope).await?,
        };
        planned.push(one);
        written.push(with);
    }
    if let Some((later, problem)) = contradicting_upkeep(&planned) {
        let at = inserts.get(later).map(|(write, _)| write.query().position);
        return Err(problem.at(at).into());
    }
    let streams: Vec<bool> = written.iter().map(|one| reads_stream(&one.plan)).collect();
    let still = planned.iter().zip(inserts).zip(&streams).find(|(_, reads)| !**reads);
    match still {
        Some(((one, (write, _)), _)) if streams.contains(&true) => {
            let what = "its query reads no stream, and other INSERTs of the job do: its rows would come again in every epoch.";
            let problem = Problem::new(NOT_YET, format!("INSERT INTO '{}'", one.target), what);
            return Err(problem.hint("Run it by itself, as a job of its own.").at(Some(write.query().position)).into());
        }
        _ => {}
    }
    Ok((planned, written))
}

/// Adds the writes of the dead letters of the job named `job`.
async fn add_letters(planning: &mut Planning<'_>, scope: &super::Scope, job: &str, writes: &mut PlannedWrites) -> Result<(), SqlError> {
    let (planned, written) = writes;
    let letters = plan_letters(planning, scope, job, planned).await?;
    // The state of a job is that of its last INSERT.
    let state = written.last().map(|last| last.state.clone());
    for (one, mut with) in letters {
        with.state = state.clone().unwrap_or(with.state);
        planned.push(one);
        written.push(with);
    }
    Ok(())
}

/// The first sink whose hints want something else of a table's upkeep than those of an earlier one: one coordinator looks after a table.
fn contradicting_upkeep(inserts: &[PlannedInsert]) -> Option<(usize, Problem)> {
    let lakes: Vec<(usize, &PlannedInsert, &LakeTarget)> =
        inserts.iter().enumerate().filter_map(|(place, insert)| Some((place, insert, insert.sink.lake()?))).collect();
    for (later, insert, lake) in &lakes {
        let same = |other: &LakeTarget| other.catalog.name() == lake.catalog.name() && (&other.id, &other.branch) == (&lake.id, &lake.branch);
        let before = lakes.iter().take_while(|(place, ..)| place < later).filter(|(.., other)| same(other));
        for (_, first, other) in before {
            let Some((key, there, here)) = other.upkeep.difference(&lake.upkeep) else { continue };
            let what = format!(
                "sink '{}' wants '{key}' = '{there}' and sink '{}' wants '{key}' = '{here}' of the upkeep of the same table.",
                first.sink_id, insert.sink_id
            );
            let hint = "One coordinator looks after a table: give all its INSERTs the same hint, or set the property of the table.";
            return Some((*later, Problem::new("OPT-006", format!("INSERT INTO '{}'", insert.target), what).hint(hint)));
        }
    }
    None
}

/// The state of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) mode: Mode,
    /// Settings of the job that the script makes.
    job: JobSettings,
    /// The hook has been called since the last CREATE CATALOG, linked table or DROP.
    asked: bool,
    /// The table that a CREATE TABLE … AS has made.
    pub(super) created: Option<CreatedTable>,
}

impl Run {
    /// Tables may be there, or not, that the hook has not looked at.
    pub(super) fn look_again(&mut self) {
        self.asked = false;
    }
}
