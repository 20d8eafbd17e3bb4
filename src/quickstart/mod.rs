//! `weir quickstart`: the main job with kills in the middle, and the proof that nothing was lost or doubled.
//!
//! This process hosts the broker and sends the orders, so it knows what must arrive. The job is a child, the same `weir run` that a user
//! starts; so are `weir verify` and the queries. Nothing here reaches into the engine.

mod broker;
mod job;
mod orders;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cli::Quickstart;
use crate::failure::Failure;
use crate::output::line;

/// Orders are sent over this time for 600,000 of them, so that the kills fall into a running stream.
const TIME_FOR_600_000: Duration = Duration::from_secs(15);
/// How long the end may take after the last order was sent.
const PATIENCE: Duration = Duration::from_secs(120);
const TABLE: &str = "lake.shop.orders";

/// Runs the quick start.
pub(crate) fn run(arguments: &Quickstart) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::internal(format!("cannot tell where weir is: {error}")))?;
    let folder = prepare(&arguments.dir)?;
    let broker = broker::Broker::start()?;
    let file = job::write(&folder, &broker.address())?;
    let weir = Weir { program, folder: folder.clone(), file };
    line("Weir quick start: Kafka -> SQL -> Iceberg, exactly once, with kills in the middle")?;
    line(&format!("  broker   {} (librdkafka's own, inside this process), topic orders, 12 partitions", broker.address()))?;
    line(&format!("  job      {} (commits every second; catalog: SQLite; warehouse: {})", weir.file.display(), folder.join("warehouse").display()))?;
    line(&format!("  log      {}\n", folder.join("job.log").display()))?;

    let sent = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicBool::new(false));
    let rows = arguments.rows;
    let sender = {
        let (sent, failed, address) = (Arc::clone(&sent), Arc::clone(&failed), broker.address());
        let time = TIME_FOR_600_000.mul_f64(rows as f64 / 600_000.0).max(Duration::from_secs(4));
        std::thread::spawn(move || {
            let outcome = broker::send(&address, rows, time, |count| sent.store(count, Ordering::Relaxed));
            failed.store(outcome.is_err(), Ordering::Relaxed);
            if outcome.is_ok() {
                sent.store(rows, Ordering::Relaxed);
            }
            outcome
        })
    };
    let watch = Watch { start: Instant::now(), sent, failed, rows };
    let outcome = kill_and_finish(&weir, &watch, arguments.kills);
    let sending = sender.join().unwrap_or_else(|_| Err(Failure::internal("the sender of orders panicked")));
    sending.and(outcome)?;
    prove(&weir, rows)
}

/// Kills the job `kills` times while orders flow, then lets it read the rest and stops it gently.
fn kill_and_finish(weir: &Weir, watch: &Watch, kills: u32) -> Result<(), Failure> {
    for number in 1..=kills {
        let mut job = weir.start()?;
        let share = f64::from(number) / f64::from(kills + 1);
        watch.until_sent((watch.rows as f64 * share) as u64, &mut job)?;
        job.kill().and_then(|()| job.wait()).map_err(|error| Failure::internal(format!("kill -9 of the job failed: {error}")))?;
        watch.say(&format!("kill -9 of process {} ({number} of {kills}); the table has {} orders now", job.id(), grouped(weir.count()?)))?;
    }
    let mut job = weir.start()?;
    watch.until_sent(watch.rows, &mut job)?;
    watch.say(&format!("all {} orders sent; process {} reads what is left", grouped(watch.rows), job.id()))?;
    let deadline = Instant::now() + PATIENCE;
    while weir.count()? < watch.rows {
        still_running(&mut job, &weir.folder)?;
        if Instant::now() > deadline {
            kill_quietly(&mut job);
            return Err(Failure::internal(format!("the table has {} of {} orders after {} s", weir.count()?, watch.rows, PATIENCE.as_secs())));
        }
    }
    weir.stop_gently(&mut job)?;
    watch.say(&format!("process {} was told to stop (SIGTERM), committed, and ended with status 0\n", job.id()))
}

/// `weir verify`, the queries, and the comparison with what was sent.
fn prove(weir: &Weir, rows: u64) -> Result<(), Failure> {
    line(&format!("$ weir verify --init {} {TABLE}", weir.file.display()))?;
    weir.shown(&["verify", "--init", &weir.file.display().to_string(), TABLE])?;
    let query = format!("SELECT event_type, count(*) AS orders, sum(amount) AS amount FROM {TABLE} GROUP BY event_type ORDER BY event_type");
    line(&format!("\n$ weir sql --init {} -e \"{query}\"", weir.file.display()))?;
    weir.shown(&["sql", "--init", &weir.file.display().to_string(), "-e", &query])?;
    let proof = format!(
        "SELECT count(*) AS n, count(DISTINCT id) AS ids, count(DISTINCT concat(CAST(p AS STRING), '/', CAST(o AS STRING))) AS places, CAST(sum(amount) AS STRING) AS amount FROM {TABLE}"
    );
    let answer = weir.answer(&proof)?;
    let number = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let cents: u64 = (0..rows).map(orders::cents).sum();
    let amount = format!("{}.{:02}", cents / 100, cents % 100);
    let found = answer.get("amount").and_then(serde_json::Value::as_str).unwrap_or_default();
    line(&format!("\n{:<24}{:>16}{:>16}{:>22}{:>20}", "", "orders", "distinct ids", "distinct (p, offset)", "sum of amounts"))?;
    line(&format!("{:<24}{:>16}{:>16}{:>22}{:>20}", "sent", grouped(rows), grouped(rows), grouped(rows), amount))?;
    line(&format!("{:<24}{:>16}{:>16}{:>22}{:>20}", "in the table", grouped(number("n")), grouped(number("ids")), grouped(number("places")), found))?;
    if [number("n"), number("ids"), number("places")] != [rows; 3] || found != amount {
        return Err(Failure::internal("the table does not hold what was sent: this is a defect in Weir, please report it"));
    }
    line("\nNothing lost, nothing doubled. The folder stays; try a query of your own:")?;
    line(&format!("  {} sql --init {} -e \"SELECT * FROM {TABLE} LIMIT 5\"", weir.program.display(), weir.file.display()))
}

/// Makes an empty folder; an earlier quick start in it is removed, anything else is left alone and refused.
fn prepare(folder: &Path) -> Result<PathBuf, Failure> {
    let trouble = |error: std::io::Error| Failure::user(format!("the folder '{}' cannot be used: {error}", folder.display()));
    if folder.exists() && folder.read_dir().map_err(trouble)?.next().is_some() {
        if !folder.join(job::MARK).exists() {
            return Err(Failure::user(format!("'{}' is not empty and no earlier quick start; name another folder with --dir", folder.display())));
        }
        std::fs::remove_dir_all(folder).map_err(trouble)?;
    }
    std::fs::create_dir_all(folder).map_err(trouble)?;
    folder.canonicalize().map_err(trouble)
}

/// How far the sending is.
struct Watch {
    start: Instant,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    rows: u64,
}

impl Watch {
    fn say(&self, text: &str) -> Result<(), Failure> {
        line(&format!("{:>5.1} s  {:>9} sent   {text}", self.start.elapsed().as_secs_f64(), grouped(self.sent.load(Ordering::Relaxed))))
    }

    fn until_sent(&self, count: u64, job: &mut Child) -> Result<(), Failure> {
        while self.sent.load(Ordering::Relaxed) < count {
            if self.failed.load(Ordering::Relaxed) {
                kill_quietly(job);
                return Err(Failure::internal("sending orders failed"));
            }
            pause();
        }
        Ok(())
    }
}

/// The weir binary, on the quick start's folder.
struct Weir {
    program: PathBuf,
    folder: PathBuf,
    file: PathBuf,
}

impl Weir {
    fn start(&self) -> Result<Child, Failure> {
        let trouble = |error: std::io::Error| Failure::internal(format!("the job cannot be started: {error}"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("job.log")).map_err(trouble)?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg(&self.file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(trouble)
    }

    fn stop_gently(&self, job: &mut Child) -> Result<(), Failure> {
        let signalled = i32::try_from(job.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        if !matches!(signalled, Some(Ok(()))) {
            return Err(Failure::internal("the job could not be told to stop"));
        }
        let status = job.wait().map_err(|error| Failure::internal(format!("waiting for the job failed: {error}")))?;
        check_status(status, &self.folder)
    }

    fn count(&self) -> Result<u64, Failure> {
        if !self.folder.join("catalog.db").exists() {
            return Ok(0);
        }
        // Before the first commit the table may not be there; then the query fails, and nothing is in it.
        let answer = self.answer(&format!("SELECT count(*) AS n FROM {TABLE}"));
        Ok(answer.ok().and_then(|answer| answer.get("n").and_then(serde_json::Value::as_u64)).unwrap_or(0))
    }

    fn answer(&self, query: &str) -> Result<serde_json::Value, Failure> {
        let output = Command::new(&self.program)
            .args(["sql", "--format", "json", "-e", query, "--init"])
            .arg(&self.file)
            .output()
            .map_err(|error| Failure::internal(format!("a query cannot be started: {error}")))?;
        if !output.status.success() {
            return Err(Failure::internal(format!("the query failed: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| Failure::internal(format!("the query's answer is not JSON: {error}")))
    }

    fn shown(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = Command::new(&self.program).args(arguments).status();
        let status = status.map_err(|error| Failure::internal(format!("a command cannot be started: {error}")))?;
        check_status(status, &self.folder)
    }
}

fn check_status(status: ExitStatus, folder: &Path) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::internal(format!("ended with {status}; the job's log is {}", folder.join("job.log").display())))
}

fn still_running(job: &mut Child, folder: &Path) -> Result<(), Failure> {
    pause();
    match job.try_wait() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => Err(Failure::internal(format!("the job ended early with {status}; see {}", folder.join("job.log").display()))),
        Err(error) => Err(Failure::internal(format!("waiting for the job failed: {error}"))),
    }
}

fn kill_quietly(job: &mut Child) {
    if job.kill().is_ok() {
        drop(job.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "this process only watches others, and has nothing to await")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("thesis.txt"), "years of work").expect("file");
        assert!(prepare(folder.path()).is_err());
        assert!(folder.path().join("thesis.txt").exists());
    }
}
