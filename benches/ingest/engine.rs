//! The engine's side: a job file and the built binary as a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow_schema::DataType;

use crate::Outcome;
use crate::child::{Used, watch};
use crate::measure::{Figures, parquet_files};
use crate::topic::Topic;

/// One run of the engine.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) topic: &'a Topic,
    /// Seconds between commits.
    pub(crate) interval: u64,
    /// Whether the table is partitioned; its rows must then be small ones.
    pub(crate) partitioned: bool,
}

/// Runs a bounded job over the whole topic and says what it used.
pub(crate) fn measured(weir: &Path, brokers: &str, job: &Job<'_>, scratch: &Path) -> Outcome<Figures> {
    let Job { topic, interval, partitioned } = job;
    let folder = tempfile::tempdir_in(scratch)?;
    let here = folder.path().display();
    let columns: Vec<String> = topic.set.schema().fields().iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect();
    let columns = columns.join(", ");
    let layout = if *partitioned { " PARTITIONED BY (event_type, days(ts))" } else { "" };
    let job = format!(
        "SET 'pipeline.name' = 'ingest';
SET 'execution.checkpointing.interval' = '{interval} s';
SET 'execution.checkpointing.dir' = 'file://{here}/checkpoints';
CREATE TABLE source ({columns}) WITH ('connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{here}/catalog.db', 'warehouse' = 'file://{here}/warehouse');
CREATE DATABASE IF NOT EXISTS lake.bench;
CREATE TABLE IF NOT EXISTS lake.bench.target ({columns}){layout};
INSERT INTO lake.bench.target SELECT * FROM source;
",
        topic.name
    );
    let file = folder.path().join("job.sql");
    std::fs::write(&file, job)?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    let child = Command::new(weir).arg("run").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let Used { wall, cpu, peak } = watch(child, Duration::from_secs(600))
        .map_err(|error| format!("{error}\n{}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()))?;
    let (files, written) = parquet_files(&folder.path().join("warehouse"))?;
    Ok(Figures { rows: counted(weir, &file, topic.rows)?, wall, cpu, peak, files, written })
}

/// The rows in the table; a run that lost some is no measurement.
fn counted(weir: &Path, job: &Path, rows: u64) -> Outcome<u64> {
    let query = "SELECT count(*) AS n FROM lake.bench.target";
    let output = Command::new(weir).args(["sql", "--format", "json", "-e", query, "--init"]).arg(job).output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    if answer["n"] == rows { Ok(rows) } else { Err(format!("the table has {} of {rows} rows", answer["n"]).into()) }
}

fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Timestamp(..) => "TIMESTAMP(6)".to_owned(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        _ => "STRING".to_owned(),
    }
}
