//! The engines: how each of them is started for a query. They serve by the same lines (see [`crate::process`]).

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::Outcome;
use crate::cases::{Case, Table};
use crate::ours::Task;
use crate::tables::Tables;

/// An engine and how it is used.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Threads that it may use.
    cores: usize,
    python: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Weir,
    DuckDb,
    DuckDbInside,
    PyIceberg,
}

/// The name of the engine that the others are compared with.
pub(crate) const REFERENCE: &str = "DuckDB";

impl Engine {
    /// All engines; the environment of those in Python is made at the first use.
    pub(crate) fn all() -> Outcome<Vec<Self>> {
        let ask = "import sys; sys.path.insert(0, sys.argv[1]); from weir_servers import python; print(python.interpreter('reader'))";
        let answer = Command::new("python3").args(["-B", "-c", ask, concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")]).output()?;
        if !answer.status.success() {
            return Err(format!("no environment for DuckDB and PyIceberg: {}", String::from_utf8_lossy(&answer.stderr)).into());
        }
        let python = PathBuf::from(String::from_utf8(answer.stdout)?.trim());
        let all = std::thread::available_parallelism()?.get();
        let engine = |name, kind, cores| Self { name, kind, cores, python: python.clone() };
        Ok(vec![
            engine(REFERENCE, Kind::DuckDb, 1),
            engine("DuckDB inside", Kind::DuckDbInside, 1),
            engine("Weir", Kind::Weir, 1),
            engine("PyIceberg", Kind::PyIceberg, 1),
            engine("DuckDB, all cores", Kind::DuckDb, all),
            engine("Weir, all cores", Kind::Weir, all),
        ])
    }

    /// The command of a process that runs the query whenever it is asked to.
    pub(crate) fn command(&self, case: &Case, tables: &Tables) -> Outcome<Command> {
        let table = match case.table {
            Table::Nested => "nested",
            Table::Flat => "flat",
        };
        let task = match self.kind {
            Kind::Weir => {
                let mut command = Command::new(std::env::current_exe()?);
                let task = Task { init: tables.init(), sql: case.sql.to_owned(), cores: self.cores };
                command.arg("--ours").arg(serde_json::to_string(&task)?);
                return Ok(command);
            }
            Kind::DuckDb | Kind::DuckDbInside => json!({
                "engine": "duckdb", "cores": self.cores, "table": table, "files": tables.of(case.table).paths, "sql": case.sql,
                "inside": self.kind == Kind::DuckDbInside,
            }),
            Kind::PyIceberg => json!({
                "engine": "pyiceberg", "cores": self.cores, "table": table, "uri": tables.uri(), "warehouse": tables.warehouse(),
                "fields": case.scan.fields, "filter": case.scan.filter, "then": case.scan.then,
            }),
        };
        let mut command = Command::new(&self.python);
        command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/read/others.py")]).arg(task.to_string());
        Ok(command)
    }
}
