//! `weir dlq`: what is in a dead-letter table, and sending it back.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use clap::{Args, Subcommand};
use futures::StreamExt;
use weir_base::memory::MemoryBudget;
use weir_base::options::closest;
use weir_catalog::upkeep::keep_note;
use weir_catalog::{CatalogError, LakeCatalog, LakeTable};
use weir_connectors::letters::{Places, ResendTo, letter_schema};
use weir_fs::FileSystems;
use weir_runtime::{RuntimeError, run_query};
use weir_sql::{Mode, Session, StatementResult};

use super::results::ResultPrinter;
use crate::cli::{Global, ResultFormat};
use crate::failure::Failure;
use crate::output::{as_text, line, one_line};

/// The column that says whose letter it is.
const JOB: &str = "job";
/// What a letter must have to be sent.
const SENT: [&str; 6] = ["source", "topic", "partition", "offset", "key", "raw"];
/// Characters of a message that are shown in a table.
const SHOWN: usize = 120;
/// Jobs that a message names.
const NAMED: usize = 10;

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
    /// Send the messages of a dead-letter table back to their topic, or to another one, each once
    #[command(
        long_about = "Send the messages of a dead-letter table back to the topic and partition that each came from, or to another topic. Mend the job first: \
                      what still cannot be read comes into the table again, as a new letter. Each letter is sent once to each target, however often the command \
                      runs: once to where it came from, and once to each topic that --topic names, such as one to try it on. How far it has come is kept in \
                      Kafka, in the transaction of the messages, as offsets of the group `weir-dlq.TABLE.JOB.SOURCE`, and then in the table, as its property \
                      `weir-dlq.JOB.SOURCE`; with --topic both names end with `.TOPIC`. A command that was cut off should be run again within a week. The \
                      letters stay in the table."
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
    /// Send them to this topic instead; what was sent there before counts for it alone
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

/// An error unless the table has all of `needed`, which letters need to be `handled`.
fn check(columns: &[String], needed: &[&str], table: &str, handled: &str) -> Result<(), Failure> {
    let missing: Vec<&str> = needed.iter().copied().filter(|name| !columns.iter().any(|column| column == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "The table {table} lacks the columns {}, without which its letters cannot be {handled}.\n  Hint: A job makes a table with every column where \
         'error.table' names none that is there. To a table that was made by hand add the columns with ALTER TABLE … ADD COLUMN of another engine: letters \
         from then on have them. What older letters have, a query gives: weir sql --init job.sql -e 'SELECT * FROM {table}'.",
        list(&missing)
    )))
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
        check(&columns, &["source", "column", "error", "time"], &table, "looked at with --summary")?;
        format!(
            "SELECT source, `column`, REGEXP_REPLACE(error, '''[^'']*''', '…', 'g') AS error, COUNT(*) AS messages, MIN(`time`) AS first_time, \
             MAX(`time`) AS last_time FROM {table} GROUP BY 1, 2, 3 ORDER BY messages DESC, 1, 2, 3 LIMIT {}",
            arguments.limit
        )
    } else {
        check(&columns, &["error", "raw"], &table, "shown")?;
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
    let mut kept = Vec::new();
    query(&mut session, &text, &budget, async |batch| {
        kept.push(readable(&batch, arguments.format)?);
        Ok(())
    })
    .await?;
    let Some(first) = kept.first() else { return line("no dead letters") };
    let mut printer = ResultPrinter::new(first.schema(), arguments.format);
    kept.into_iter().try_for_each(|batch| printer.batch(batch))?;
    printer.finish()
}

/// Messages, and what quotes them, as text: in a table a line without control characters, at most [`SHOWN`] characters of each message.
fn readable(batch: &RecordBatch, format: ResultFormat) -> Result<RecordBatch, Failure> {
    let text = |bytes: &[u8], longest: usize| match format {
        ResultFormat::Table => one_line(bytes, longest),
        ResultFormat::Csv => one_line(bytes, usize::MAX),
        ResultFormat::Json => as_text(bytes),
    };
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let shown: StringArray = if let Some(bytes) = column.as_binary_opt::<i32>() {
            bytes.iter().map(|bytes| bytes.map(|bytes| text(bytes, SHOWN))).collect()
        } else if let Some(texts) = column.as_string_opt::<i32>() {
            texts.iter().map(|quoting| quoting.map(|quoting| text(quoting.as_bytes(), usize::MAX))).collect()
        } else {
            fields.push(Field::clone(field));
            columns.push(Arc::clone(column));
            continue;
        };
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(shown));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| Failure::internal(format!("letters cannot be shown: {error}")))
}

/// The jobs that the table has letters of.
async fn jobs(session: &mut Session, table: &str, budget: &MemoryBudget) -> Result<Vec<String>, Failure> {
    let mut jobs = Vec::new();
    query(session, &format!("SELECT DISTINCT {JOB} FROM {table} WHERE {JOB} IS NOT NULL ORDER BY 1"), budget, async |batch| {
        jobs.extend(batch.column(0).as_string_opt::<i32>().into_iter().flatten().flatten().map(str::to_owned));
        Ok(())
    })
    .await?;
    Ok(jobs)
}

/// An error if none of the letters is one of the job `wanted`, though there are letters: it is misspelt.
fn check_job(wanted: &str, jobs: &[String], table: &str) -> Result<(), Failure> {
    if jobs.is_empty() || jobs.iter().any(|job| job == wanted) {
        return Ok(());
    }
    let near = closest(wanted, jobs.iter().map(String::as_str)).first().map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let named: Vec<String> = jobs.iter().take(NAMED).map(|job| format!("'{job}'")).collect();
    let more = if jobs.len() > NAMED { format!(" and {} more", jobs.len() - NAMED) } else { String::new() };
    Err(Failure::usage(format!("The table {table} has no letters of a job '{wanted}'.{near} It has those of {}{more}.", named.join(", "))))
}

async fn replay(global: &Global, arguments: &Replay) -> Result<(), Failure> {
    let budget = super::budget(global);
    let Opened { mut session, catalog, table, name, columns } = arguments.named.open(global, &budget).await?;
    check(&columns, &SENT, &name, "sent")?;
    let (source, stream) = session.stream_source(&arguments.source).map_err(|error| super::sql_failure(&error))?;
    let tells_jobs = columns.iter().any(|column| column == JOB);
    let of_file = session.job_settings().name;
    let job = tells_jobs.then(|| arguments.job.clone().unwrap_or_else(|| of_file.clone()));
    if let Some(wanted) = job.as_ref().filter(|job| **job != of_file) {
        check_job(wanted, &jobs(&mut session, &name, &budget).await?, &name)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_letters_is_refused_with_the_nearest_that_has_some() {
        let jobs = ["orders", "payments"].map(str::to_owned);
        assert!(check_job("orders", &jobs, "t").is_ok() && check_job("any", &[], "t").is_ok(), "nothing is misspelt");
        let told = check_job("oders", &jobs, "t").expect_err("misspelt").message;
        assert_eq!(told, "The table t has no letters of a job 'oders'. Did you mean 'orders'? It has those of 'orders', 'payments'.");
        let many: Vec<String> = (0..12).map(|job| format!("j{job}")).collect();
        assert!(check_job("z", &many, "t").expect_err("none").message.ends_with("'j9' and 2 more."));
    }

    #[test]
    fn letters_show_no_control_characters_and_no_text_is_lost_to_programs() {
        let raw: ArrayRef = Arc::new(arrow_array::BinaryArray::from_vec(vec![b"\x1b[2J\x00\t\xff".as_slice(), "é".repeat(SHOWN + 1).as_bytes()]));
        let error: ArrayRef = Arc::new(StringArray::from(vec!["'\x1b' is\nno number", "b"]));
        let batch = RecordBatch::try_from_iter([("raw", raw), ("error", error)]).expect("batch");
        let cells = |format, row| {
            let shown = readable(&batch, format).expect("readable");
            [0, 1].map(|column| shown.column(column).as_string::<i32>().value(row).to_owned())
        };
        for format in [ResultFormat::Table, ResultFormat::Csv] {
            assert_eq!(cells(format, 0), [r"\x1b[2J\0\t\xff", r"'\x1b' is\nno number"]);
        }
        assert_eq!(cells(ResultFormat::Json, 0), ["\x1b[2J\0\t\\xff", "'\x1b' is\nno number"]);
        assert_eq!(cells(ResultFormat::Table, 1)[0], format!("{}…", "é".repeat(SHOWN)));
        assert_eq!(cells(ResultFormat::Csv, 1)[0], "é".repeat(SHOWN + 1));
    }
}
