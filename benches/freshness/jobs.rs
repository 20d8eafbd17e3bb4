//! The jobs, as processes of the built binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::{Used, watch};
use crate::log::{Commit, Line, commits, lines};
use crate::{Arguments, Outcome};

/// How long the second job may be behind at the end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);
/// Columns of both tables.
const COLUMNS: &str = "id BIGINT, amount DOUBLE, note STRING";

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Run {
    /// Commits to the first table.
    pub(crate) first: Vec<Commit>,
    /// Commits to the second.
    pub(crate) second: Vec<Commit>,
    /// What the stream said.
    pub(crate) stream: Vec<Line>,
    /// What each process used.
    pub(crate) used: Vec<(&'static str, Used)>,
}

/// The two jobs as two processes.
pub(crate) fn apart(arguments: &Arguments, folder: &Path) -> Outcome<Run> {
    let Arguments { interval, monitor, checkpoint, .. } = arguments;
    std::fs::create_dir_all(folder)?;
    let up = format!("{}INSERT INTO lake.bench.one SELECT * FROM source;", head(folder, "up", *interval, arguments));
    let mut first = Job::start(folder, "up", &up)?;
    first.wait(|log| !commits(log, "one").is_empty())?;
    let down = format!("{}{}", head(folder, "down", *checkpoint, arguments), follow(&format!("{monitor} ms")));
    let mut second = Job::start(folder, "down", &down)?;
    let (first_path, second_path) = (first.log.clone(), second.log.clone());
    let first_used = first.end(Duration::from_millis(arguments.commits * interval) * 2 + PATIENCE)?;
    let written = rows(&commits(&lines(&first_path)?, "one"));
    second.wait(|log| rows(&commits(log, "two")) >= written)?;
    let second_used = second.stop()?;
    let (first_log, second_log) = (lines(&first_path)?, lines(&second_path)?);
    let used = vec![("first job", first_used), ("second job", second_used)];
    Ok(Run { first: commits(&first_log, "one"), second: commits(&second_log, "two"), stream: second_log, used })
}

/// The two INSERTs in one process.
pub(crate) fn together(arguments: &Arguments, folder: &Path) -> Outcome<Run> {
    std::fs::create_dir_all(folder)?;
    let head = head(folder, "both", arguments.interval, arguments);
    let text = format!("{head}EXECUTE STATEMENT SET BEGIN\nINSERT INTO lake.bench.one SELECT * FROM source;\n{}\nEND;", follow("60 s"));
    let mut job = Job::start(folder, "both", &text)?;
    let deadline = Instant::now() + Duration::from_millis(arguments.commits * arguments.interval) * 2 + PATIENCE;
    let all = arguments.rate * arguments.commits * arguments.interval / 1_000;
    job.wait_until(deadline, |log| rows(&commits(log, "two")) >= all)?;
    let path = job.log.clone();
    let used = job.stop()?;
    let log = lines(&path)?;
    Ok(Run { first: commits(&log, "one"), second: commits(&log, "two"), stream: log, used: vec![("both", used)] })
}

fn rows(commits: &[Commit]) -> u64 {
    commits.iter().map(|commit| commit.rows).sum()
}

fn head(folder: &Path, name: &str, interval: u64, arguments: &Arguments) -> String {
    let here = folder.display();
    let all = arguments.rate * arguments.commits * arguments.interval / 1_000;
    format!(
        "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '{interval} ms';
SET 'execution.checkpointing.dir' = 'file://{here}/checkpoints';
CREATE TABLE source ({COLUMNS}) WITH ('connector' = 'datagen', 'rows-per-second' = '{}', 'number-of-rows' = '{all}', 'fields.note.length' = '40');
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'sql', 'uri' = 'sqlite:{here}/catalog.db', 'warehouse' = 'file://{here}/warehouse');
CREATE DATABASE IF NOT EXISTS lake.bench;
CREATE TABLE IF NOT EXISTS lake.bench.one ({COLUMNS});
CREATE TABLE IF NOT EXISTS lake.bench.two ({COLUMNS});
",
        arguments.rate
    )
}

/// One split, so that rows come in the order of the commits and can be counted off against them.
fn follow(monitor: &str) -> String {
    format!(
        "INSERT INTO lake.bench.two SELECT * FROM lake.bench.one /*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '{monitor}', \
         'starting-strategy' = 'INCREMENTAL_FROM_EARLIEST_SNAPSHOT', 'scan.parallelism' = '1') */;"
    )
}

/// A running job.
struct Job {
    name: String,
    started: Instant,
    child: Child,
    log: PathBuf,
}

impl Job {
    fn start(folder: &Path, name: &str, text: &str) -> Outcome<Self> {
        let (file, log) = (folder.join(format!("{name}.sql")), folder.join(format!("{name}.log")));
        std::fs::write(&file, text)?;
        let said = "warn,weir_runtime=info,weir_connectors::iceberg::stream=debug";
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["--log-format", "json", "--log", said, "run"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(std::fs::File::create(&log)?).spawn()?;
        Ok(Self { name: name.to_owned(), started: Instant::now(), child, log })
    }

    fn wait(&mut self, done: impl Fn(&[Line]) -> bool) -> Outcome<()> {
        self.wait_until(Instant::now() + PATIENCE, done)
    }

    fn wait_until(&mut self, deadline: Instant, done: impl Fn(&[Line]) -> bool) -> Outcome<()> {
        while !done(&lines(&self.log)?) {
            if Instant::now() > deadline || self.child.try_wait()?.is_some() {
                return Err(format!("job '{}' did not come to its end:\n{}", self.name, std::fs::read_to_string(&self.log)?).into());
            }
            #[expect(clippy::disallowed_methods, reason = "a log can only be looked at again")]
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Asks it to stop, a moment after the watch over its memory has begun.
    fn stop(self) -> Outcome<Used> {
        let mut asking = Command::new("sh").args(["-c", "sleep 0.3; kill -TERM $0", &self.child.id().to_string()]).spawn()?;
        let used = self.end(PATIENCE)?;
        asking.wait()?;
        Ok(used)
    }

    /// Waits for the end; the time is that since the start.
    fn end(self, limit: Duration) -> Outcome<Used> {
        let used = watch(self.child, limit)?;
        Ok(Used { wall: self.started.elapsed(), ..used })
    }
}
