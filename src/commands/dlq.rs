//! `weir dlq`: what is in a dead-letter table, and sending it back.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use clap::{Args, Subcommand};
use futures::StreamExt;
use weir_base::memory::MemoryBudget;
use weir_catalog::upkeep::keep_note;
use weir_catalog::{CatalogError, LakeCatalog, LakeTable};
use weir_connectors::letters::{Places, ResendTo, letter_schema};
use weir_fs::FileSystems;
use weir_runtime::{RuntimeError, run_query};
use weir_sql::{Mode, Session, StatementResult};

use super::results::ResultPrinter;
use crate::cli::{Global, ResultFormat};
use crate::failure::Failure;
use crate::output::line;

/// The column that says whose letter it is.
const JOB: &str = "job";
/// Characters of a message that are shown in a table.
const SHOWN: usize = 120;

/// Look at messages that could not be read, and send them back.
#[derive(Debug, Args)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the messages in a dead-letter table, the newest first
    Show(Show),
    /// Send the messages of a dead-letter table back to their topic, each once
    #[command(
        long_about = "Send the messages of a dead-letter table back to the topic and partition that each came from, or to another topic. Mend the job first: \
                      what still cannot be read comes into the table again, as a new letter. Each letter is sent once, however often the command runs: how \
                      far it has come is kept in Kafka, in the transaction of the messages, and then in a property of the table. A command that was cut off \
                      should be run again within a week. The letters stay in the table."
    )]
    Replay(Replay),
}

/// Which table.
#[derive(Debug, Args)]
struct Named {
    /// The dead-letter table, as `catalog.database.table`, or the name of a declared one with 'connector' = 'iceberg'
    table: String,
    /// Take CREATE, SET and USE statements from this file first: the job file
    #[arg(long, value_name = "FILE", required = true)]
    init: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    named: Named,
    /// The most messages that are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
    /// Count messages by source, column and the first words of the error instead
    #[arg(long)]
    summary: bool,
    /// How they look
    #[arg(long, value_enum, default_value_t = ResultFormat::Table)]
    format: ResultFormat,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    named: Named,
    /// The table of the job whose messages are sent, as it is declared in the job file
    #[arg(long, value_name = "TABLE")]
    source: String,
    /// The job whose letters are sent [default: that of the job file]
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Send them to this topic instead
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, dlq: &Dlq) -> Result<(), Failure> {
    match &dlq.command {
        Command::Show(arguments) => show(global, arguments).await,
        Command::Replay(arguments) => replay(global, arguments).await,
    }
}

/// A dead-letter table that has been found.
struct Opened {
    /// The session after the files.
    session: Session,
    catalog: Arc<dyn LakeCatalog>,
    table: LakeTable,
    /// Its name in SQL.
    name: String,
    /// The columns of letters that it has.
    columns: Vec<String>,
}

impl Named {
    async fn open(&self, global: &Global, budget: &MemoryBudget) -> Result<Opened, Failure> {
        let mut session = super::session(global, budget, FileSystems::default(), self.init.first().cloned(), None)?;
        super::init(&mut session, &self.init).await?;
        let (catalog, id) = super::lake_table(&session, &self.table, &self.init).await?;
        let table = super::load(&catalog, &id).await?;
        let has = |name: &&str| table.metadata.current_schema().field_by_name(name).is_some();
        let letters = letter_schema();
        let delivered = letters.fields().iter().map(|field| field.name().as_str());
        let columns: Vec<String> = [JOB, "source"].into_iter().chain(delivered).filter(has).map(str::to_owned).collect();
        let parts: Vec<String> = self.table.splitn(3, '.').map(quoted).collect();
        Ok(Opened { session, catalog, table, name: parts.join("."), columns })
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.trim_matches('`'))
}

fn list(columns: &[&str]) -> String {
    columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// An error unless the table has all of `needed`.
fn check(columns: &[String], needed: &[&str], table: &str) -> Result<(), Failure> {
    let missing: Vec<&str> = needed.iter().copied().filter(|name| !columns.iter().any(|column| column == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("The table {table} lacks the columns {}: it is no dead-letter table that this can be done with.", missing.join(", "))))
}

/// Runs one query and gives its batches one by one.
async fn query(
    session: &mut Session,
    text: &str,
    budget: &MemoryBudget,
    mut each: impl AsyncFnMut(RecordBatch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for result in super::run_text(session, text, Mode::Run).await?.results {
        let StatementResult::Query(query) = result else { continue };
        let mut rows = run_query(*query, budget).await.map_err(|error| Failure::of(&error))?;
        while let Some(batch) = rows.next().await {
            each(batch.map_err(|error| Failure::of(&RuntimeError::from(error)))?).await?;
        }
    }
    Ok(())
}

async fn show(global: &Global, arguments: &Show) -> Result<(), Failure> {
    let budget = super::budget(global);
    let Opened { mut session, name: table, columns, .. } = arguments.named.open(global, &budget).await?;
    let text = if arguments.summary {
        check(&columns, &["source", "column", "error", "time"], &table)?;
        format!(
            "SELECT source, `column`, REGEXP_REPLACE(error, '''[^'']*''', '…', 'g') AS error, COUNT(*) AS messages, MIN(`time`) AS first_time, \
             MAX(`time`) AS last_time FROM {table} GROUP BY 1, 2, 3 ORDER BY messages DESC, 1, 2, 3 LIMIT {}",
            arguments.limit
        )
    } else {
        check(&columns, &["error", "raw"], &table)?;
        let shown: Vec<&str> = ["time", "source", "topic", "partition", "offset", "column", "error", "key", "raw"]
            .into_iter()
            .filter(|name| columns.iter().any(|column| column == name))
            .collect();
        let newest: Vec<&str> = ["time", "topic", "partition", "offset"].into_iter().filter(|name| shown.contains(name)).collect();
        let order = if newest.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", newest.iter().map(|name| format!("{} DESC", quoted(name))).collect::<Vec<_>>().join(", "))
        };
        format!("SELECT {} FROM {table}{order} LIMIT {}", list(&shown), arguments.limit)
    };
    let longest = if arguments.format == ResultFormat::Table { SHOWN } else { usize::MAX };
    let mut kept = Vec::new();
    query(&mut session, &text, &budget, async |batch| {
        kept.push(readable(&batch, longest)?);
        Ok(())
    })
    .await?;
    let Some(first) = kept.first() else { return line("no dead letters") };
    let mut printer = ResultPrinter::new(first.schema(), arguments.format);
    kept.into_iter().try_for_each(|batch| printer.batch(batch))?;
    printer.finish()
}

/// Messages as text, at most `longest` characters of each.
fn readable(batch: &RecordBatch, longest: usize) -> Result<RecordBatch, Failure> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(bytes) = column.as_binary_opt::<i32>() else {
            fields.push(Field::clone(field));
            columns.push(Arc::clone(column));
            continue;
        };
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let mut shown: String = text.chars().take(longest).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        };
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(bytes.iter().map(|bytes| bytes.map(text)).collect::<StringArray>()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| Failure::internal(format!("letters cannot be shown: {error}")))
}

async fn replay(global: &Global, arguments: &Replay) -> Result<(), Failure> {
    let budget = super::budget(global);
    let Opened { mut session, catalog, table, name, columns } = arguments.named.open(global, &budget).await?;
    check(&columns, &["source", "topic", "partition", "offset", "key", "raw"], &name)?;
    let (source, stream) = session.stream_source(&arguments.source).map_err(|error| super::sql_failure(&error))?;
    let tells_jobs = columns.iter().any(|column| column == JOB);
    let job = tells_jobs.then(|| arguments.job.clone().unwrap_or_else(|| session.job_settings().name));
    let whose: Vec<String> = job.iter().cloned().chain([source.to_string()]).chain(arguments.topic.clone()).collect();
    let (whose, note) = (whose.join("."), format!("weir-dlq.{}", whose.join(".")));
    let sent = places(&note, table.metadata.properties().get(&note).map(String::as_str)).map_err(|error| Failure::of(&error))?;
    let group = format!("weir-dlq.{}.{whose}", arguments.named.table.replace('`', ""));
    let to = ResendTo { id: group, topic: arguments.topic.clone(), sent };
    let mut resender = stream.resender(&to).await.map_err(|error| Failure::of(&error))?;
    let kept: Vec<&str> = columns.iter().map(String::as_str).filter(|name| !matches!(*name, JOB | "source" | "column" | "error" | "time")).collect();
    let order = list(&["topic", "partition", "offset"]);
    let of_job = job.as_ref().map(|job| format!(" AND job = {}", literal(job))).unwrap_or_default();
    let text = format!("SELECT {} FROM {name} WHERE source = {}{of_job} ORDER BY {order}", list(&kept), literal(&source.to_string()));
    let (mut now, mut before) = (0, 0);
    query(&mut session, &text, &budget, async |batch| {
        let resent = resender.send(batch).await.map_err(|error| Failure::of(&error))?;
        (now, before) = (now + resent.sent, before + resent.before);
        // Cut off here, the brokers know what was sent, and the next run notes it.
        if weir_base::failpoint::fails("dlq-sent").await {
            return Err(Failure::user("failed at fail point 'dlq-sent'"));
        }
        let noted = keep_note(&catalog, &table.id, &note, |known| Ok(places(&note, known)?.with(&resent.reached).to_string())).await;
        noted.map_err(|error| {
            let failure = Failure::of(&error);
            Failure { message: format!("{now} dead letters were sent, but the table could not note it: {}", failure.message), ..failure }
        })
    })
    .await?;
    let place = arguments.topic.as_ref().map_or_else(|| "where they came from".to_owned(), |topic| format!("topic '{topic}'"));
    let whose = job.map(|job| format!(" in job '{job}'")).unwrap_or_default();
    line(&format!("{now} dead letters of '{source}'{whose} sent to {place}; {before} had been sent before."))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// How far the letters have been sent, as the table's note says.
fn places(note: &str, value: Option<&str>) -> Result<Places, CatalogError> {
    let Some(text) = value else { return Ok(Places::default()) };
    Places::parse(text).ok_or_else(|| CatalogError::user(format!("the table's property '{note}' says no places of partitions: '{text}'")))
}
