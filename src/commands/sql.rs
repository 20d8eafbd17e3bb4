//! `weir sql`: statements and queries from the command line, files, standard input or a prompt.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;
use weir_runtime::{JobOptions, run_query};
use weir_sql::plan::JobPlan;
use weir_sql::{Mode, Outcome, Script, Session, StatementResult, is_incomplete};

use super::job::{self, Running};
use super::results::{ResultPrinter, print_results, table};
use crate::cli::{Global, ResultFormat, Sql};
use crate::failure::Failure;
use crate::output::line;

/// The name under which INSERTs of a session leave their marker.
pub(super) const STATEMENT_JOB: &str = "weir-sql";
/// INSERTs run so far: each has a checkpoint folder of its own, in memory.
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// Runs statements.
pub(crate) async fn run(global: &Global, arguments: &Sql) -> Result<(), Failure> {
    let budget = super::budget(global);
    let mut session = super::session(global, &budget, FileSystems::default(), arguments.init.first().cloned(), None)?;
    super::init(&mut session, &arguments.init).await?;
    let mut texts = Vec::new();
    for file in &arguments.file {
        texts.push(super::read(file)?);
    }
    texts.extend(arguments.execute.iter().cloned());
    if texts.is_empty() && std::io::stdin().is_terminal() {
        return prompt(&mut session, arguments.format, &budget).await;
    }
    if texts.is_empty() {
        let text = std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::usage(format!("standard input: {error}")))?;
        texts.push(text);
    }
    for text in texts {
        execute(&mut session, &text, arguments.format, &budget).await?;
    }
    Ok(())
}

/// Runs statements one after the other: each sees what those before it have written.
async fn execute(session: &mut Session, text: &str, format: ResultFormat, budget: &MemoryBudget) -> Result<(), Failure> {
    for statement in super::parse(text)?.into_single() {
        execute_one(session, &statement, format, budget).await?;
    }
    Ok(())
}

async fn execute_one(session: &mut Session, statement: &Script, format: ResultFormat, budget: &MemoryBudget) -> Result<(), Failure> {
    let outcome = super::run_script(session, statement, Mode::Run).await?;
    let Outcome { results, job, .. } = outcome;
    let created = job.as_ref().and_then(|plan| plan.created.clone());
    let done = async {
        show(results, format, budget).await?;
        match job {
            None => Ok(()),
            Some(plan) => run_one(plan, session, budget).await,
        }
    };
    job::or_take_back(created, Box::pin(done)).await
}

/// Runs what a statement writes.
async fn run_one(mut plan: JobPlan, session: &Session, budget: &MemoryBudget) -> Result<(), Failure> {
    if let Some(source) = plan.sources.first() {
        let hint = "Put it in a file and run it with: weir run FILE";
        return Err(Failure::usage(format!(
            "An INSERT that reads the stream '{}' is a job with a name and checkpoints of its own.\n  Hint: {hint}",
            source.path
        )));
    }
    // One statement, done when it returns: it has nothing to go on from, and must not take the name of a job in the `--init` file.
    plan.settings.name = STATEMENT_JOB.to_owned();
    plan.settings.checkpoint_dir = format!("memory://{STATEMENT_JOB}-{}/", STATEMENTS.fetch_add(1, Ordering::Relaxed));
    let options = JobOptions { one_off: true, ..JobOptions::default() };
    let (file_systems, budget) = (session.file_systems().clone(), budget.clone());
    job::run(plan, Running { file_systems, budget, options, http: job::bind(None).await? }).await
}

/// Prints results in order, running the queries among them.
pub(super) async fn show(results: Vec<StatementResult>, format: ResultFormat, budget: &MemoryBudget) -> Result<(), Failure> {
    for result in results {
        let query = match result {
            StatementResult::Query(query) => query,
            StatementResult::Call(call) => {
                table(Box::pin(super::call::run(*call, budget)).await?, format)?;
                continue;
            }
            other => {
                print_results(vec![other], format)?;
                continue;
            }
        };
        let schema = query.schema.clone();
        let mut stream = run_query(*query, budget).await.map_err(|error| Failure::of(&error))?;
        let mut printer = ResultPrinter::new(schema, format);
        while let Some(batch) = futures::StreamExt::next(&mut stream).await {
            let batch = batch.map_err(|error| Failure::of(&weir_runtime::RuntimeError::from(error)))?;
            printer.batch(batch)?;
        }
        printer.finish()?;
    }
    Ok(())
}

const GREETING: &str = "Statements end with ';' and may take several lines. 'help' tells more, 'quit' or ctrl-D ends.";
const HELP: &str = "\
SELECT …;                a query; a stream needs /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */ behind its name
CREATE …; DROP …;        what is made in a catalog stays, the rest is of this session
INSERT INTO t VALUES …;  rows into a table; INSERT OVERWRITE, UPDATE and DELETE change what is there
CREATE TABLE t AS …;     a table from a query; a job that reads a stream is run from a file: weir run FILE
SHOW TABLES;             also CATALOGS, DATABASES, VIEWS, FUNCTIONS, CONNECTORS, CREATE TABLE t
DESCRIBE t;              columns of a table; DESCRIBE CONNECTOR kafka: options of a connector
CALL c.system.p(…);      upkeep of a table: SHOW PROCEDURES lists what there is, EXPLAIN CALL … only looks
EXPLAIN …;               how a query or an INSERT would run
SET 'key' = 'value';     a setting; SET alone shows all";

/// Reads statements from a terminal until its end; an error ends the statement, not the session.
async fn prompt(session: &mut Session, format: ResultFormat, budget: &MemoryBudget) -> Result<(), Failure> {
    line(GREETING)?;
    let mut text = String::new();
    loop {
        let sign = if text.is_empty() { "weir> " } else { "  ... " };
        write!(std::io::stdout(), "{sign}")
            .and_then(|()| std::io::stdout().flush())
            .map_err(|error| Failure::internal(format!("standard output: {error}")))?;
        let read = std::io::stdin().lock().read_line(&mut text).map_err(|error| Failure::usage(format!("standard input: {error}")))?;
        if read == 0 {
            // The next prompt of the shell stands on a line of its own.
            return line("");
        }
        let word = text.trim().trim_end_matches(';').to_ascii_lowercase();
        if matches!(word.as_str(), "exit" | "quit") {
            return Ok(());
        }
        if word == "help" {
            line(HELP)?;
            text.clear();
        } else if text.trim().is_empty() {
            text.clear();
        } else if !is_incomplete(&text) {
            if let Err(failure) = execute(session, &text, format, budget).await {
                writeln!(std::io::stderr(), "{}", failure.message).map_err(|error| Failure::internal(format!("standard error: {error}")))?;
            }
            text.clear();
        }
    }
}
