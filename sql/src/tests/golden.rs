//! Golden scripts: `tests/golden/*.slt`. A record is SQL, a line `----`, and what comes out; a blank line ends it. A file is one session.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;

use super::session;
use crate::error::SqlError;
use crate::parse::Script;
use crate::session::{Mode, Outcome, Session, StatementResult};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("golden folder").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

struct Record {
    comment: String,
    sql: String,
    expected: String,
}

fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for block in text.split("\n\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty()) {
        let (comment, rest): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("# "));
        let rest = rest.join("\n");
        let (sql, expected) = rest.split_once("\n----").unwrap_or((&rest, ""));
        records.push(Record { comment: comment.join("\n"), sql: sql.to_owned(), expected: expected.trim_start_matches('\n').to_owned() });
    }
    records
}

async fn answer(session: &mut Session, sql: &str) -> String {
    let outcome = match Script::parse(sql) {
        Ok(script) => session.run(&script, Mode::Run).await,
        Err(problems) => Err(SqlError::Problems(problems)),
    };
    match outcome {
        Ok(outcome) => shown(&outcome),
        Err(error) => format!("error {error}"),
    }
}

pub(super) fn shown(outcome: &Outcome) -> String {
    let mut text = String::new();
    for warning in &outcome.warnings {
        writeln!(text, "{warning}").expect("string");
    }
    for result in &outcome.results {
        match result {
            StatementResult::Message(message) => writeln!(text, "{message}").expect("string"),
            StatementResult::Table(batch) => text.push_str(&rows(batch)),
            StatementResult::Text(shown) => writeln!(text, "{}", shown.trim_end()).expect("string"),
            StatementResult::Call(call) => writeln!(text, "{call}").expect("string"),
            StatementResult::Query(query) => writeln!(text, "{}", query.plan.display_indent()).expect("string"),
        }
    }
    if let Some(job) = &outcome.job {
        for source in &job.sources {
            writeln!(text, "source {} = {}", source.id, source.path).expect("string");
        }
        for insert in &job.inserts {
            let schema = insert.query.schema().as_arrow();
            assert_eq!(schema.fields().len(), insert.sink.schema().fields().len());
            for (given, wanted) in schema.fields().iter().zip(insert.sink.schema().fields()) {
                assert_eq!((given.name(), given.data_type()), (wanted.name(), wanted.data_type()), "of {}", insert.target);
                assert!(wanted.is_nullable() || !given.is_nullable(), "{} of {}", given.name(), insert.target);
            }
            writeln!(text, "sink {} = {}\n{}", insert.sink_id, insert.target, insert.query.display_indent()).expect("string");
        }
    }
    text.trim_end().to_owned()
}

fn rows(batch: &RecordBatch) -> String {
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let cells: Vec<&str> =
            batch.columns().iter().map(|column| column.as_string::<i32>()).map(|column| column.iter().nth(row).flatten().unwrap_or("")).collect();
        writeln!(text, "{}", cells.join(" | ").trim_end()).expect("string");
    }
    text
}

#[tokio::test]
async fn every_golden_script_gives_what_it_says() {
    // Asks for new golden files; read the difference before you keep it.
    let rewrite = std::env::var_os("WEIR_UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    for file in files() {
        let mut session = session();
        let mut text = String::new();
        for record in records(&fs::read_to_string(&file).expect("golden file")) {
            let found = answer(&mut session, &record.sql).await;
            let comment = if record.comment.is_empty() { String::new() } else { format!("{}\n", record.comment) };
            write!(text, "{comment}{}\n----\n{found}\n\n\n", record.sql).expect("string");
            if found != record.expected {
                write!(wrong, "\n{}:\n{}\n---- expected\n{}\n---- found\n{found}\n", file.display(), record.sql, record.expected).expect("string");
            }
        }
        if rewrite {
            fs::write(&file, format!("{}\n", text.trim_end())).expect("golden file");
        }
    }
    assert!(wrong.is_empty() || rewrite, "{wrong}");
}
