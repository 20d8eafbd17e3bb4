//! One run: the feed, the job as a process of the built binary, and a look at it every second.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::Outcome;
use crate::feed::{COLUMNS, Feed, Log};

/// How often the job is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long it may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Moments of each commit for which freshness is taken.
const MOMENTS: u64 = 20;

/// What to run.
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) brokers: &'a str,
    pub(crate) folder: &'a Path,
    pub(crate) compact: bool,
    pub(crate) target: &'a str,
    pub(crate) rate: Option<u64>,
    pub(crate) time: Duration,
}

/// The job at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Since the run began.
    pub(crate) at: Duration,
    /// CPU time of the process.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    /// Rows in the table.
    pub(crate) rows: u64,
    /// `/status` of the sink's upkeep; null without it.
    pub(crate) upkeep: Value,
}

impl Sample {
    /// A number of upkeep.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.upkeep[key].as_u64().unwrap_or(0)
    }

    /// CPU time of compaction.
    pub(crate) fn upkeep_cpu(&self) -> Duration {
        Duration::from_secs_f64(self.upkeep["cpu_seconds"].as_f64().unwrap_or(0.0))
    }
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) samples: Vec<Sample>,
    /// From a row in the producer's hands to its commit, in seconds, sorted.
    pub(crate) freshness: Vec<f64>,
}

impl Run {
    /// Rows that were committed in a second, between the first sample and the last.
    pub(crate) fn rows_per_second(&self) -> f64 {
        let [first, last] = self.ends();
        (last.rows - first.rows) as f64 / (last.at - first.at).as_secs_f64().max(0.001)
    }

    /// The first sample with rows, and the last.
    pub(crate) fn ends(&self) -> [&Sample; 2] {
        let first = self.samples.iter().find(|sample| sample.rows > 0).unwrap_or(&self.samples[0]);
        [first, &self.samples[self.samples.len() - 1]]
    }
}

/// Runs it.
pub(crate) fn run(plan: &Plan<'_>) -> Outcome<Run> {
    std::fs::create_dir_all(plan.folder)?;
    let feed = Feed::start(plan.brokers, plan.name, plan.rate)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut child = Job(start(plan, port)?);
    let child = &mut child.0;
    let (began, mut samples) = (Instant::now(), Vec::new());
    while began.elapsed() < plan.time {
        #[expect(clippy::disallowed_methods, reason = "samples are taken by the clock")]
        std::thread::sleep(LOOK);
        if let Some(status) = status(port) {
            samples.push(sample(child, began.elapsed(), &status)?);
        } else if began.elapsed() > PATIENCE || child.try_wait()?.is_some() {
            return Err(format!("the job does not answer:\n{}", std::fs::read_to_string(plan.folder.join("log"))?).into());
        }
    }
    let log = feed.stop()?;
    Command::new("kill").arg(child.id().to_string()).status()?;
    let ended = child.wait()?;
    if !ended.success() || samples.is_empty() {
        return Err(format!("the job ended with {ended}:\n{}", std::fs::read_to_string(plan.folder.join("log"))?).into());
    }
    Ok(Run { samples, freshness: freshness(&log, &plan.folder.join("log"), began)? })
}

/// A job that ends with the run, however that ends.
struct Job(Child);

impl Drop for Job {
    fn drop(&mut self) {
        // It has ended by itself if all went well.
        _ = self.0.kill();
    }
}

fn start(plan: &Plan<'_>, port: u16) -> Outcome<Child> {
    let Plan { name, brokers, folder, compact, target, .. } = plan;
    let here = folder.display();
    let text = format!(
        "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.dir' = 'file://{here}/checkpoints';
CREATE TABLE source ({COLUMNS}) WITH ('connector' = 'kafka', 'topic' = '{name}', 'properties.bootstrap.servers' = '{brokers}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{here}/catalog.db', 'warehouse' = 'file://{here}/warehouse');
CREATE DATABASE IF NOT EXISTS lake.bench;
CREATE TABLE IF NOT EXISTS lake.bench.target ({COLUMNS}) PARTITIONED BY (bucket(8, user_id))
  WITH ('auto-compact' = '{compact}', 'weir.expire-snapshots.enabled' = 'true', 'write.target-file-size-bytes' = '{target}');
INSERT INTO lake.bench.target SELECT * FROM source;
"
    );
    let file = folder.join("job.sql");
    std::fs::write(&file, text)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["--log-format", "json", "--log", "warn,weir_runtime=info", "run", "--http", &format!("127.0.0.1:{port}")]).arg(file);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)
}

fn sample(child: &Child, at: Duration, status: &Value) -> Outcome<Sample> {
    let folder = format!("/proc/{}", child.id());
    let stat = std::fs::read_to_string(format!("{folder}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let pages: u64 = std::fs::read_to_string(format!("{folder}/statm"))?.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let sink = status["sinks"].as_object().and_then(|sinks| sinks.values().next()).cloned().unwrap_or_default();
    let rows = sink["rows"].as_u64().unwrap_or(0);
    Ok(Sample { at, cpu: Duration::from_millis(ticks * 10), memory: pages * 4096, rows, upkeep: sink["upkeep"].clone() })
}

fn status(port: u16) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Rows are committed in about the order in which they were handed over: the partitions of the topic are read side by side.
fn freshness(fed: &Log, log: &Path, began: Instant) -> Outcome<Vec<f64>> {
    let zero = SystemTime::now() - began.elapsed();
    let (mut delays, mut before) = (Vec::new(), 0_u64);
    for line in std::fs::read_to_string(log)?.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if line["fields"]["message"] != "committed" {
            continue;
        }
        let text = |field: &Value| field.as_str().map_or_else(|| field.to_string(), str::to_owned);
        let at: SystemTime = chrono::DateTime::parse_from_rfc3339(&text(&line["timestamp"]))?.into();
        let at = at.duration_since(zero).unwrap_or_default();
        let rows: u64 = text(&line["fields"]["rows"]).parse()?;
        for moment in 0..MOMENTS {
            let row = before + rows * (2 * moment + 1) / (2 * MOMENTS);
            let place = fed.partition_point(|(_, handed)| *handed <= row);
            if let Some((handed, _)) = fed.get(place) {
                delays.push(at.saturating_sub(handed.saturating_duration_since(began)).as_secs_f64());
            }
        }
        before += rows;
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}
