//! The same queries in DuckDB, over the same files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Outcome;

/// What DuckDB is asked.
#[derive(Debug, Serialize)]
pub(crate) struct Request {
    pub(crate) threads: usize,
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    pub(crate) queries: Vec<String>,
    pub(crate) runs: usize,
}

/// What DuckDB answers to one query.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// Of each run.
    pub(crate) seconds: Vec<f64>,
    /// Of each column, as DuckDB names them.
    pub(crate) types: Vec<String>,
    /// Doubles are numbers, everything else is text.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Asks DuckDB, in the environment of `scripts/reader`, which is made at the first use.
pub(crate) fn ask(request: &Request) -> Outcome<Vec<Answer>> {
    let mut command = Command::new(python()?);
    command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tpch/trial/duck.py")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let text = serde_json::to_vec(request)?;
    child.stdin.take().ok_or("no standard input")?.write_all(&text)?;
    let out = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let answers = out.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Outcome<Vec<Answer>>>()?;
    let status = child.wait()?;
    if !status.success() || answers.len() != request.queries.len() {
        return Err(format!("DuckDB ended with {status} after {} answers", answers.len()).into());
    }
    Ok(answers)
}

fn python() -> Outcome<PathBuf> {
    let ask = "import sys; sys.path.insert(0, sys.argv[1]); from weir_servers import python; print(python.interpreter('reader'))";
    let answer = Command::new("python3").args(["-B", "-c", ask, concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")]).output()?;
    if !answer.status.success() {
        return Err(format!("no environment with DuckDB: {}", String::from_utf8_lossy(&answer.stderr)).into());
    }
    Ok(String::from_utf8(answer.stdout)?.trim().into())
}
